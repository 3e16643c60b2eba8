"""The ledger once more, in plain Python: what it is to hold and to answer after every call.

It restates the rules of the design and shares no code with the ledger, so that a slip in one of
them shows as a difference.
"""

from __future__ import annotations

import itertools
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from nanobanana_nb.errors import BudgetReached, LeaseLost, LedgerError
from nanobanana_nb.rows import Account, Callback, Earlier, Spent

PRICE: Final = Decimal("0.03")
LEASE: Final = 15.0
KEPT: Final = 8
FOLLOWING: Final = {
    "queued": {"sending", "rejected", "abandoned"},
    "sending": {"submitted", "queued", "unknown", "rejected"},
    "submitted": {"ready", "failed", "parked", "expired", "abandoned"},
    "parked": {"ready", "failed", "parked", "expired", "abandoned"},
    "ready": {"fetching", "expired", "abandoned"},
    "fetching": {"stored", "ready", "expired", "abandoned"},
    "unknown": {"submitted", "abandoned"},
}
AT_WORK: Final = {"queued", "sending", "submitted", "ready", "fetching"}
ACCEPTED: Final = {"submitted", "parked", "ready", "fetching"}
CALLABLE: Final = {"queued", "sending", "submitted", "parked", "unknown"}
NOT_SENT: Final = {"queued", "rejected", "abandoned"}


@dataclass
class Task:
    """One row, and who looks after it."""

    id: str
    state: str
    prompt: str
    account: Account
    created: float
    owner: str = ""
    lease: float | None = None
    task_id: str | None = None
    day: str | None = None
    sent: float | None = None
    session: str = ""
    cell: str | None = None
    starred: int = 0
    note: str = ""
    urls: list[str] = field(default_factory=list)
    files: dict[int, str] = field(default_factory=dict)


@dataclass
class Call:
    """One noted callback."""

    number: int
    id: str
    task_id: str
    settled: bool


class Model:
    """What the file of a home holds. `now` is the clock of all kernels, which are told apart by the
    name under which they hold leases."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.tasks: dict[str, Task] = {}
        self.calls: list[Call] = []
        self.balances: list[tuple[float, Account, Decimal]] = []
        self._numbers = itertools.count(1)

    # What is asked

    def today(self, at: float | None = None) -> str:
        return time.strftime("%Y-%m-%d", time.localtime(self.now if at is None else at))

    def free(self, me: str, task: Task) -> bool:
        lease = task.lease
        return (
            task.owner == me
            or lease is None
            or lease < self.now
            or lease > self.now + 60  # of a clock that was put back
        )

    def spent_on(self, day: str) -> Decimal:
        return PRICE * sum(task.day == day for task in self.tasks.values())

    def spent(self, me: str) -> Spent:
        tasks = self.tasks.values()
        doubtful = sum(task.state == "unknown" for task in tasks)
        return Spent(
            today=self.spent_on(self.today()),
            session=PRICE * sum(task.session == me and task.day is not None for task in tasks),
            ever=PRICE * sum(task.day is not None for task in tasks),
            unknown=doubtful,
            at_risk=PRICE * doubtful,
        )

    def newest_first(self, tasks: Sequence[Task]) -> list[str]:
        order = {id_: number for number, id_ in enumerate(self.tasks)}
        newest = sorted(tasks, key=lambda task: (task.created, order[task.id]), reverse=True)
        return [task.id for task in newest]

    def history(self, words: str, states: Sequence[str], starred: bool | None) -> list[str]:
        found = [
            task
            for task in self.tasks.values()
            if self._holds(task, words)
            and (task.state in states if states else task.state not in NOT_SENT)
            and (starred is None or bool(task.starred) is starred)
        ]
        return self.newest_first(found)

    def page(
        self, words: str, also: Sequence[str], offset: int, limit: int
    ) -> tuple[list[str], int]:
        found = [
            task
            for task in self.tasks.values()
            if (task.state not in ("rejected", "abandoned") or task.id in also)
            and self._holds(task, words)
        ]
        return self.newest_first(found)[offset : offset + limit], len(found)

    @staticmethod
    def _holds(task: Task, words: str) -> bool:
        text = plain(f"{task.prompt} {task.note}")
        return all(word in text for word in plain(words).split())

    def prompts(self) -> list[str]:
        latest: dict[str, tuple[float, int]] = {}
        for number, task in enumerate(self.tasks.values()):
            created, _ = latest.get(task.prompt, (task.created, 0))
            latest[task.prompt] = (max(created, task.created), number)
        return sorted(latest, key=lambda prompt: latest[prompt], reverse=True)

    def latest(self, cell: str) -> str | None:
        found = [t for t in self.tasks.values() if t.cell == cell and t.state not in NOT_SENT]
        return self.newest_first(found)[0] if found else None

    def unfinished(self, account: Account) -> set[str]:
        return {t.id for t in self.tasks.values() if t.state in ACCEPTED and ours(t, account)}

    def others_at_work(self, me: str) -> bool:
        return any(
            task.state in AT_WORK and task.owner != me and (task.lease or 0) > self.now
            for task in self.tasks.values()
        )

    def stranded(self, me: str, alive: Sequence[str]) -> set[str]:
        return {
            task.id
            for task in self.tasks.values()
            if task.owner == me
            and task.lease is not None
            and task.state in ACCEPTED
            and task.id not in alive
        }

    def callbacks(self, account: Account) -> list[Callback]:
        return [self.seen(one) for one in self.calls if not one.settled and self._of(one, account)]

    def _of(self, one: Call, account: Account) -> bool:
        return ours(self.tasks[one.id], account)

    def seen(self, one: Call) -> Callback:
        task = self.tasks[one.id]
        return Callback(one.number, one.id, one.task_id, task.state, task.task_id)  # type: ignore[arg-type]

    def belongs_elsewhere(self, callback: Callback) -> bool:
        for task in self.tasks.values():
            if task.task_id == callback.task_id and task.id != callback.id:
                return True
        for one in self.calls:
            if one.task_id != callback.task_id or one.id == callback.id:
                continue
            lost = self.tasks[one.id].state in ("sending", "unknown")
            if callback.known is not None or (lost and one.number < callback.number):
                return True
        return False

    # What is done. Each raises what the ledger is to raise.

    def step(self, me: str, id_: str, state: str, **columns: Any) -> None:
        task = self.tasks.get(id_)
        if task is None:
            raise LedgerError("")
        if state not in FOLLOWING.get(task.state, ()) or not self.free(me, task):
            raise LedgerError("") if task.owner == me else LeaseLost("")
        task.state, task.owner = state, me
        task.lease = self.now + LEASE if state in AT_WORK else None
        for name, value in columns.items():
            setattr(task, name, value)
        if state not in CALLABLE:
            for one in self.calls:
                if one.id == id_ and one.task_id == task.task_id:
                    one.settled = True

    def queued(self, me: str, id_: str, prompt: str, account: Account, cell: str | None) -> None:
        lease = self.now + LEASE
        self.tasks[id_] = Task(id_, "queued", prompt, account, self.now, me, lease, cell=cell)

    def send(self, me: str, id_: str, budget: Decimal | None) -> None:
        if budget is not None and self.spent_on(self.today()) + PRICE > budget:
            raise BudgetReached("")
        self.step(me, id_, "sending", day=self.today(), sent=self.now, session=me)

    def accepted(self, me: str, id_: str, task_id: str) -> None:
        task = self.tasks.get(id_)
        if task is None or task.task_id != task_id:
            self.step(me, id_, "submitted", task_id=task_id)
        elif task.state in ACCEPTED and self.free(me, task):
            task.owner, task.lease = me, self.now + LEASE

    def ready(self, me: str, id_: str, urls: Sequence[str]) -> None:
        self.step(me, id_, "ready", urls=[*urls], files={})

    def stored(self, me: str, id_: str, files: Sequence[str]) -> None:
        self.step(me, id_, "stored")
        task = self.tasks[id_]
        task.files = {place: file for place, file in enumerate(files) if place < len(task.urls)}

    def take(self, me: str, id_: str) -> bool:
        task = self.tasks.get(id_)
        if task is None or task.state not in ACCEPTED or not self.free(me, task):
            return False
        task.owner, task.lease = me, self.now + LEASE
        return True

    def release(self, me: str, id_: str) -> None:
        if id_ in self.tasks and self.tasks[id_].owner == me:
            self.tasks[id_].lease = None

    def renew(self, me: str) -> None:
        for task in self.tasks.values():
            if task.owner == me and task.lease is not None:
                task.lease = self.now + LEASE

    def recover(self, me: str, account: Account) -> set[tuple[str, str]]:
        left = [t for t in self.tasks.values() if t.owner != me and self.free(me, t)]
        told = {(t.id, "unknown") for t in left if t.state == "sending" and ours(t, account)}
        for task in left:
            if task.state in ("queued", "sending"):
                task.state = "unknown" if task.state == "sending" else "abandoned"
                task.lease = None
        return told | {(t.id, t.state) for t in left if t.state in ACCEPTED and ours(t, account)}

    def settle(self, me: str, alive: Sequence[str], unbilled: Sequence[str]) -> None:
        for task in self.tasks.values():
            held = task.owner == me and task.lease is not None and task.id not in alive
            if held and task.state in ("queued", "sending"):
                doubtful = task.state == "sending" and task.id not in unbilled
                task.state = "unknown" if doubtful else "abandoned"
                task.day = task.day if doubtful else None
                task.lease = None

    def drop(self, me: str, id_: str) -> bool:
        task = self.tasks.get(id_)
        if task is None or task.state != "queued" or not self.free(me, task):
            return False
        task.state, task.lease = "abandoned", None
        return True

    def drop_all(self, me: str, ids: Sequence[str]) -> None:
        for id_ in ids:
            task = self.tasks.get(id_)
            if task is not None and task.state == "queued" and task.owner == me:
                task.state, task.lease = "abandoned", None

    def dismiss(self, id_: str) -> bool:
        if id_ not in self.tasks or self.tasks[id_].state != "unknown":
            return False
        self.tasks[id_].state = "abandoned"
        return True

    def called(self, id_: str, task_id: str) -> bool:
        if id_ not in self.tasks:
            return False
        before = [one for one in self.calls if one.id == id_]
        if len(before) < KEPT and task_id not in [one.task_id for one in before]:
            task = self.tasks[id_]
            settled = task.task_id == task_id and task.state not in CALLABLE
            self.calls.append(Call(next(self._numbers), id_, task_id, settled))
        return True

    def found(self, me: str, callback: Callback, new: Callable[[], str]) -> str | None:
        task = self.tasks[callback.id]
        if task.state in ("queued", "sending") or task.task_id == callback.task_id:
            return None
        if self.belongs_elsewhere(callback):
            return None
        sent = task.created if task.sent is None else task.sent
        if task.task_id is None:
            task.state, task.task_id = "submitted", callback.task_id
        else:
            self.ignore(callback)
            id_ = new()
            task = Task(id_, "submitted", task.prompt, task.account, self.now)
            task.task_id = callback.task_id
            self.tasks[id_] = task
        task.owner, task.lease = me, self.now + LEASE
        task.sent, task.day = sent, self.today(sent)
        return task.id

    def ignore(self, callback: Callback) -> None:
        for one in self.calls:
            if one.number == callback.number:
                one.settled = True

    def known_as(self, task_id: str) -> set[str]:
        return {task.id for task in self.tasks.values() if task.task_id == task_id}

    def closed(self, me: str) -> None:
        for task in self.tasks.values():
            if task.owner == me:
                task.lease = None

    def balance_seen(self, account: Account, amount: Decimal) -> Earlier | None:
        doubts = [
            task.sent
            for task in self.tasks.values()
            if task.state == "unknown" and ours(task, account) and task.sent is not None
        ]
        until = min(doubts, default=float("inf"))
        before = [one for one in self.balances if one[1] == account and one[0] < until]
        self.balances.append((self.now, account, amount))
        if not before:
            return None
        seen, _, earlier = max(before, key=lambda one: one[0])
        since = [
            task
            for task in self.tasks.values()
            if task.day and ours(task, account) and task.sent is not None and task.sent >= seen
        ]
        doubtful = sum(task.state == "unknown" for task in since)
        return Earlier(seen, earlier, PRICE * len(since), doubtful)


def ours(task: Task, account: Account) -> bool:
    """Whether a task is that of an account, or of nobody in particular."""
    return task.account.origin == account.origin and task.account.mark in ("", account.mark)


def plain(text: str) -> str:
    """Without case and accents."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
