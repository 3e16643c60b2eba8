"""The ledger: every task's state in SQLite, written before the act that depends on it.

One thread writes; its callers await it shielded, so that a commit neither stalls a loop nor is cut
short. A task that is under way has a lease: who looks after it, and until when unless renewed. So
several kernels can share one home, and what a killed one leaves behind is taken over.
"""

from __future__ import annotations

import asyncio
import functools
import json
import math
import random
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from . import hints, schema, turns
from .admission import Admission
from .errors import BudgetReached, LeaseLost, LedgerError
from .forecast import Sample
from .models import MODEL, PRICE, ImageRequest, Mode
from .rows import (
    UNFINISHED,
    Account,
    Callback,
    Earlier,
    Intent,
    PictureRow,
    Spent,
    State,
    TaskRow,
)
from .writer import Writer

P = ParamSpec("P")
T = TypeVar("T")

_UNDER_WAY: Final[tuple[State, ...]] = ("queued", "sending", "submitted", "ready", "fetching")
_NOT_SENT: Final[tuple[State, ...]] = ("queued", "rejected", "abandoned")
_REFUSED: Final[tuple[State, ...]] = ("rejected", "abandoned")

_NEXT: Final[dict[State, tuple[State, ...]]] = {
    "queued": ("sending", "rejected", "abandoned"),
    "sending": ("submitted", "queued", "unknown", "rejected"),
    "submitted": ("ready", "failed", "parked", "expired", "abandoned"),
    "parked": ("ready", "failed", "parked", "expired", "abandoned"),
    "ready": ("fetching", "expired", "abandoned"),
    "fetching": ("stored", "ready", "expired", "abandoned"),
    "unknown": ("submitted", "abandoned"),
}

LEASE: Final = 15.0
"""Seconds. Renewed every third of it, even while a cell computes; losing one costs a second
download at most, because only what may be repeated is done under it."""
_FREE: Final = "(owner = :me OR lease IS NULL OR lease < :now OR lease > :now + 60)"
"""Whether we may look after a task. A lease far in the future is that of a clock put back."""


def _in_writer(
    method: Callable[Concatenate[Ledger, P], T],
) -> Callable[Concatenate[Ledger, P], Coroutine[Any, Any, T]]:
    """Run a method in the writer thread, and await it, shielded, in the caller's loop."""

    @functools.wraps(method)
    async def awaited(ledger: Ledger, /, *args: P.args, **more: P.kwargs) -> T:
        return await ledger._do(functools.partial(method, ledger, *args, **more))

    return awaited


class Ledger:
    """The tasks of one home. Every method is atomic and durable when it returns."""

    def __init__(
        self,
        file: Path,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._me = secrets.token_hex(8)
        self._writer = Writer()
        try:
            self._connection = self._writer.open(lambda: schema.connect(file))
        except sqlite3.Error as error:
            self._writer.close()
            raise LedgerError(
                f"The ledger {file} cannot be opened ({error}), so nothing was sent. "
                f"{_remedy(error)}",
                damaged=_is_damage(error),
            ) from None

    @_in_writer
    def add(
        self,
        request: ImageRequest,
        account: Account,
        cell: str | None = None,
        follows: str | None = None,
        references: Sequence[str] = (),
    ) -> TaskRow:
        """Note the intent: a new task, `queued`. `cell` is its replay key, if a cell wants it;
        `references` are the contents of what it is drawn from."""
        with self._transaction() as db:
            return self._queue(db, Intent(request, cell, follows, tuple(references)), account)

    @_in_writer
    def claim(self, intents: Sequence[Intent], account: Account) -> list[tuple[TaskRow, bool]]:
        """Note them all, `queued`, in one transaction: the row of each, and whether it is new.

        In place of one that is wanted `once`, and whose key another task has by now, that task.
        """
        with self._transaction() as db:
            known = self._latest([one.cell for one in intents if one.once and one.cell])
            claimed = []
            for one in intents:
                if one.once and one.cell in known and known[one.cell].id != one.follows:
                    claimed.append((known[one.cell], False))
                    continue
                row = self._queue(db, one, account)
                claimed.append((row, True))
                if one.once and one.cell:
                    known[one.cell] = row
            return claimed

    @_in_writer
    def send(self, id: str, budget: Decimal | None = None) -> None:  # noqa: A002
        """`sending`, and its price taken from the day's budget, in one transaction.

        Raises `BudgetReached` where the budget (US dollars a day) has no room for it.
        """
        with self._transaction() as db:
            self._send(db, id, budget, self._clock())

    @_in_writer
    def send_in_turn(self, id: str, budget: Decimal | None = None) -> float:  # noqa: A002
        """The same, if the account's limits, as far as they are known, have room for one more.

        0 if so; else nothing has changed, and it is worth asking again in so many seconds
        (infinity: once a task has ended). All kernels of the home are counted.
        """
        now = self._clock()
        with self._transaction() as db:
            whose = turns.whose(db, id)
            known, load = turns.known(db, whose), turns.load(db, whose, now, id)
            if (wait := known.wait(load, now)) > 0:
                return wait
            self._send(db, id, budget, now)
            turns.note(db, whose, known.sent(load, now))
        return 0.0

    @_in_writer
    def accepted(self, id: str, task_id: str, polls: int = 0) -> Admission:  # noqa: A002
        """`submitted`: the API has taken the task; what is known of its limits by now.

        `polls` is how many status calls this process has made since it last told.
        """
        now = self._clock()
        with self._transaction() as db:
            whose, sent = turns.whose(db, id), turns.sent(db, id, now)
            if not self._is_found(db, id, task_id):
                self._step(db, id, "submitted", {"task_id": task_id})
            load = turns.load(db, whose, now, id)
            known = turns.known(db, whose).accepted(load, now, sent, self._chance(), polls)
            turns.note(db, whose, known)
        return known

    @_in_writer
    def refused(
        self,
        id: str,  # noqa: A002
        reason: str = "",
        retry_after: float | None = None,
        polls: int = 0,
    ) -> tuple[Admission, int]:
        """`queued` again after a 429: what is known by now, and how many tasks are under way.

        `reason` is concurrency, rate, or empty where the answer does not say.
        """
        now = self._clock()
        with self._transaction() as db:
            whose, sent = turns.whose(db, id), turns.sent(db, id, now)
            self._step(db, id, "queued", {"day": None, "sent": None})
            load = turns.load(db, whose, now, id)
            known = turns.known(db, whose).refused(
                load, now, sent, self._chance(), reason, retry_after, polls
            )
            turns.note(db, whose, known)
        return known, load.running + load.sending

    @_in_writer
    def admission(self, account: Account) -> Admission:
        """What is known of an account's limits."""
        return turns.known(self._connection, (account.origin, account.mark))

    @_in_writer
    def look_in_turn(self, account: Account) -> float:
        """0 if a status call may be made now, where these count; else seconds to wait first."""
        now, whose = self._clock(), (account.origin, account.mark)
        with self._transaction() as db:
            known = turns.known(db, whose)
            if (wait := known.look_wait(now)) <= 0:
                turns.note(db, whose, known.looked(now))
        return max(0.0, wait)

    @_in_writer
    def look_refused(
        self,
        account: Account,
        retry_after: float | None = None,
        polls: int = 0,
        asked: float | None = None,
    ) -> Admission:
        """A status call, made at `asked` (Unix time), got a 429; what is known by now."""
        now, whose = self._clock(), (account.origin, account.mark)
        with self._transaction() as db:
            known = turns.known(db, whose).look_refused(
                now, self._chance(), retry_after, polls, asked
            )
            turns.note(db, whose, known)
        return known

    @_in_writer
    def durations(self, account: Account, mode: Mode, limit: int) -> list[Sample]:
        """How long the latest tasks of an account took, oldest first."""
        given = "=" if mode == "text-to-image" else "<>"
        found = self._connection.execute(
            f"SELECT done_after, done_before FROM task WHERE done_before IS NOT NULL AND {_OURS} "  # noqa: S608
            f"AND image_urls {given} '[]' ORDER BY created DESC LIMIT ?",
            (account.origin, account.mark, limit),
        )
        return [Sample(low, high) for low, high in reversed(found.fetchall())]

    @_in_writer
    def receiver_secret(self) -> str:
        """What the callback tokens of this home are made with; never told to anybody."""
        found = self._connection.execute("SELECT secret FROM receiver").fetchone()
        return str(found[0])

    @_in_writer
    def called(self, id: str, task_id: str) -> bool:  # noqa: A002
        """Note that a callback named a task id for an attempt; False if there is no such attempt.

        The same again changes nothing, and of a flood of different ones the first few are kept.
        """
        if self._connection.execute("SELECT 1 FROM task WHERE id = ?", (id,)).fetchone() is None:
            return False
        with self._transaction() as db:
            hints.note(db, id, task_id, self._clock())
        return True

    @_in_writer
    def callbacks(self, account: Account) -> list[Callback]:
        """The callbacks of an account of which something may come yet, in their order."""
        return hints.unsettled(self._connection, account)

    @_in_writer
    def belongs_elsewhere(self, callback: Callback) -> bool:
        """Whether the task that a callback names is that of another attempt, as far as is known."""
        return hints.belongs_elsewhere(self._connection, callback)

    @_in_writer
    def found(self, callback: Callback) -> TaskRow | None:
        """The task that a callback names, which the API knows and we did not: `submitted`, and
        looked after here. None where it has become known meanwhile, or may yet.

        It is that of the attempt, also where this was taken for refused or was given up; or, where
        the attempt has another one, a task of its own, made for the same and paid for as well.
        """
        now = self._clock()
        with self._transaction() as db:
            row = self._select("WHERE id = ?", (callback.id,))[0]
            if row.state in ("queued", "sending") or row.task_id == callback.task_id:
                return None
            if hints.belongs_elsewhere(db, callback):
                return None
            sent = row.sent or row.created
            mine = {"owner": self._me, "lease": now + LEASE, "sent": sent, "day": _day(sent)}
            if row.task_id is None:
                _set(db, row.id, state="submitted", task_id=callback.task_id, error=None, **mine)
                return self._select("WHERE id = ?", (row.id,))[0]
            account = Account(row.origin, row.account)
            extra = self._new("submitted", row.request, account, callback.task_id)
            extra = replace(extra, references=row.references, sent=sent)
            _insert(db, extra, follows=row.id, **mine)
            hints.settle(db, callback)
        return extra

    @_in_writer
    def ignore(self, callback: Callback) -> None:
        """Nothing will come of it: the API does not know the task that it names."""
        with self._transaction() as db:
            hints.settle(db, callback)

    @_in_writer
    def stranded(self, alive: Collection[str]) -> list[TaskRow]:
        """Accepted tasks that are looked after here, and are none of those."""
        where = f"WHERE owner = ? AND lease IS NOT NULL AND state IN {_listed(UNFINISHED)}"
        return [row for row in self._select(where, (self._me,)) if row.id not in alive]

    @_in_writer
    def move(self, /, id: str, state: State, **columns: Any) -> None:  # noqa: A002
        """Move a task on. Raises `LedgerError` for a step that its state does not allow, and
        `LeaseLost` where another kernel has taken it over."""
        with self._transaction() as db:
            self._step(db, id, state, columns)

    @_in_writer
    def drop(self, id: str, why: str) -> bool:  # noqa: A002
        """`abandoned`, if it is `queued` and no other kernel's; otherwise False, and no change."""
        now = self._clock()
        with self._transaction() as db:
            dropped = db.execute(
                "UPDATE task SET state = 'abandoned', error = :why, changed = :now, lease = NULL "  # noqa: S608
                f"WHERE id = :id AND state = 'queued' AND {_FREE}",
                {"why": why, "now": now, "id": id, "me": self._me},
            ).rowcount
        return dropped == 1

    @_in_writer
    def dismiss(self, id: str) -> bool:  # noqa: A002
        """`abandoned`, if it is `unknown`; otherwise False, and no change."""
        sql = "UPDATE task SET state = 'abandoned', changed = ? WHERE id = ? AND state = 'unknown'"
        with self._transaction() as db:
            return db.execute(sql, (self._clock(), id)).rowcount == 1

    @_in_writer
    def drop_all(self, ids: Sequence[str], why: str) -> None:
        """`abandoned`: all of these that are still `queued`, in one transaction."""
        now = self._clock()
        with self._transaction() as db:
            db.executemany(
                "UPDATE task SET state = 'abandoned', error = ?, changed = ?, lease = NULL "
                "WHERE id = ? AND state = 'queued' AND owner = ?",
                [(why, now, id_, self._me) for id_ in ids],
            )

    @_in_writer
    def settle(self, alive: Collection[str], unbilled: Collection[str]) -> None:
        """End what is `queued` or `sending` here though nobody is at it: `abandoned`, or `unknown`
        where it was sent and is not surely `unbilled`."""
        ours = "owner = ? AND lease IS NOT NULL AND state IN ('queued', 'sending')"
        found = self._connection.execute(f"SELECT id, state FROM task WHERE {ours}", (self._me,))  # noqa: S608
        left = [(id_, state) for id_, state in found if id_ not in alive]
        if not left:
            return
        now = self._clock()
        with self._transaction() as db:
            for id_, state in left:
                doubtful = state == "sending" and id_ not in unbilled
                ended = "unknown" if doubtful else "abandoned"
                db.execute(
                    "UPDATE task SET state = ?, changed = ?, lease = NULL, "
                    "day = CASE WHEN ? THEN day END WHERE id = ?",
                    (ended, now, doubtful, id_),
                )

    @_in_writer
    def ready(
        self,
        id: str,  # noqa: A002
        urls: Sequence[str],
        seconds: float | None,
        took: Sample | None = None,
    ) -> None:
        """Note the links, the moment that they are seen; `took` is how long it was, if we know."""
        columns = {"seconds": seconds}
        if took is not None:
            columns |= {"done_after": took.low, "done_before": took.high}
        with self._transaction() as db:
            self._step(db, id, "ready", columns)
            db.execute("DELETE FROM picture WHERE task = ?", (id,))
            db.executemany(
                "INSERT INTO picture (task, position, url) VALUES (?, ?, ?)",
                [(id, position, url) for position, url in enumerate(urls)],
            )

    @_in_writer
    def stored(self, id: str, pictures: Sequence[PictureRow]) -> None:  # noqa: A002
        """Note the files of a task, which are on disk by now."""
        with self._transaction() as db:
            self._step(db, id, "stored", {"error": None})
            db.executemany(
                "UPDATE picture SET url = ?, file = ?, sha256 = ?, width = ?, height = ? "
                "WHERE task = ? AND position = ?",
                [
                    (one.url, str(one.file), one.sha256, one.width, one.height, id, position)
                    for position, one in enumerate(pictures)
                ],
            )

    @_in_writer
    def take(self, id: str) -> TaskRow | None:  # noqa: A002
        """Begin to look after an accepted task; None if it has ended or another kernel does."""
        now = self._clock()
        with self._transaction() as db:
            taken = db.execute(
                f"UPDATE task SET owner = :me, lease = :lease WHERE id = :id "  # noqa: S608
                f"AND state IN {_listed(UNFINISHED)} AND {_FREE}",
                {"me": self._me, "lease": now + LEASE, "id": id, "now": now},
            ).rowcount
        return self._select("WHERE id = ?", (id,))[0] if taken else None

    @_in_writer
    def release(self, id: str) -> None:  # noqa: A002
        """No longer look after a task that has not ended, so that another kernel can."""
        with self._transaction() as db:
            mine = (id, self._me)
            db.execute("UPDATE task SET lease = NULL WHERE id = ? AND owner = ?", mine)

    @_in_writer
    def renew(self) -> None:
        """Keep the leases of what is looked after here."""
        with self._transaction() as db:
            db.execute(
                "UPDATE task SET lease = ? WHERE owner = ? AND lease IS NOT NULL",
                (self._clock() + LEASE, self._me),
            )

    @_in_writer
    def recover(self, account: Account) -> list[TaskRow]:
        """What an ended kernel left behind, oldest first: accepted tasks, for `take`, and the
        submits that it ended in, which are `unknown` from now on.

        What it had not sent yet is `abandoned`, without a word: it cost nothing.
        """
        names = {"me": self._me, "now": self._clock()}
        dead = f"{_FREE} AND owner <> :me"
        ours = f"{dead} AND {_OURS_NAMED} ORDER BY created"
        names_of_ours = {**names, "origin": account.origin, "mark": account.mark}
        cut_off = self._select(f"WHERE state = 'sending' AND {ours}", names_of_ours)
        left = f"SELECT 1 FROM task WHERE state IN ('queued', 'sending') AND {dead} LIMIT 1"  # noqa: S608
        if self._connection.execute(left, names).fetchone():
            with self._transaction() as db:
                for state, follows in (("sending", "unknown"), ("queued", "abandoned")):
                    db.execute(
                        f"UPDATE task SET state = '{follows}', changed = :now, lease = NULL "  # noqa: S608
                        f"WHERE state = '{state}' AND {dead}",
                        names,
                    )
        accepted = self._select(f"WHERE state IN {_listed(UNFINISHED)} AND {ours}", names_of_ours)
        return [*(replace(row, state="unknown") for row in cut_off), *accepted]

    @_in_writer
    def others_at_work(self) -> bool:
        """Whether a task is under way that is not looked after here."""
        where = f"state IN {_listed(_UNDER_WAY)} AND owner <> ? AND lease > ?"
        sql = f"SELECT 1 FROM task WHERE {where} LIMIT 1"  # noqa: S608
        return self._connection.execute(sql, (self._me, self._clock())).fetchone() is not None

    @_in_writer
    def get(self, id: str) -> TaskRow | None:  # noqa: A002
        """The task with our own id."""
        return _only(self._select("WHERE id = ?", (id,)))

    @_in_writer
    def find(self, task_id: str) -> TaskRow | None:
        """The task that the API knows by this id."""
        return _only(self._select("WHERE task_id = ?", (task_id,)))

    @_in_writer
    def latest(self, cell: str) -> TaskRow | None:
        """The latest task with this replay key that may have cost something."""
        where = f"WHERE cell = ? AND state NOT IN {_listed(_NOT_SENT)}"
        return _only(self._select(f"{where} ORDER BY created DESC, rowid DESC LIMIT 1", (cell,)))

    @_in_writer
    def latest_of(self, cells: Sequence[str]) -> dict[str, TaskRow]:
        """The latest task with each of these replay keys that may have cost something, or that a
        kernel which is alive is about to send."""
        return self._latest(cells)

    @_in_writer
    def adopt(self, task_id: str, request: ImageRequest, account: Account) -> TaskRow:
        """Note a task that was sent, and paid for, from another machine, unless it is known."""
        with self._transaction() as db:
            if known := self._select("WHERE task_id = ?", (task_id,)):
                return known[0]
            row = self._new("submitted", request, account, task_id)
            _insert(db, row)
        return row

    @_in_writer
    def unfinished(self, account: Account) -> list[TaskRow]:
        """Tasks that were accepted by this API and are not on disk yet, oldest first."""
        where = f"WHERE state IN {_listed(UNFINISHED)} AND {_OURS} ORDER BY created"
        return self._select(where, (account.origin, account.mark))

    @_in_writer
    def history(
        self,
        words: str = "",
        since: float | None = None,
        states: Sequence[str] = (),
        starred: bool | None = None,
    ) -> list[TaskRow]:
        """Tasks whose prompt or note holds all the words, newest first.

        Without `states` those that were never sent are left out.
        """
        tests = ["holds(prompt || ' ' || note, ?)"]
        parameters: list[Any] = [json.dumps(schema.plain(words).split())]
        if since is not None:
            tests.append("created >= ?")
            parameters.append(since)
        if starred is not None:
            tests.append("starred = ?")
            parameters.append(int(starred))
        marks = ", ".join("?" * len(states))
        tests.append(f"state IN ({marks})" if states else f"state NOT IN {_listed(_NOT_SENT)}")
        parameters.extend(states)
        where = f"WHERE {' AND '.join(tests)} ORDER BY created DESC, rowid DESC"
        return self._select(where, parameters)

    @_in_writer
    def page(
        self,
        words: str = "",
        starred: bool | None = None,
        also: Sequence[str] = (),
        offset: int = 0,
        limit: int = 12,
    ) -> tuple[list[TaskRow], int]:
        """A page of the tasks whose prompt or note holds all the words, newest first, and how many
        there are in all.

        Rejected and abandoned ones are left out, unless their id is one of `also`.
        """
        besides = "id IN (SELECT value FROM json_each(?))"
        tests = [f"(state NOT IN {_listed(_REFUSED)} OR {besides})"]
        parameters: list[Any] = [json.dumps(list(also))]
        if starred is not None:
            tests.append("starred = ?")
            parameters.append(int(starred))
        if words := words.strip():
            tests.append("holds(prompt || ' ' || note, ?)")
            parameters.append(json.dumps(schema.plain(words).split()))
        where = f"WHERE {' AND '.join(tests)}"
        counted = self._connection.execute(f"SELECT COUNT(*) FROM task {where}", parameters)  # noqa: S608
        total = counted.fetchone()[0]
        # Which rows: from the index alone. A far page would otherwise read all before it.
        those = f"SELECT rowid FROM task {where} ORDER BY created DESC, rowid DESC LIMIT ? OFFSET ?"  # noqa: S608
        rows = self._select(
            f"WHERE rowid IN ({those}) ORDER BY created DESC, rowid DESC",
            (*parameters, limit, offset),
        )
        return rows, total

    @_in_writer
    def version(self) -> tuple[int, int]:
        """Another pair whenever something in the file has changed, here or in another process."""
        elsewhere = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return self._connection.total_changes, elsewhere

    @_in_writer
    def prompts(self, limit: int = 100) -> list[str]:
        """The prompts that were used, the latest first, each once, whatever became of them."""
        found = self._connection.execute(
            "SELECT prompt FROM task GROUP BY prompt ORDER BY MAX(created) DESC, MAX(rowid) DESC "
            "LIMIT ?",
            (limit,),
        )
        return [prompt for (prompt,) in found]

    @_in_writer
    def picture(self, content: str) -> tuple[TaskRow, PictureRow] | None:
        """The newest stored picture with this content, a sha256 or its link, and its task."""
        return self._picture(content)

    @_in_writer
    def parents(self, id: str) -> list[TaskRow]:  # noqa: A002
        """The stored tasks whose pictures a task was drawn from, in the order of its references.

        Where several have drawn the same, it is the newest that is older than the task.
        """
        child = _only(self._select("WHERE id = ?", (id,)))
        if child is None:
            return []
        found = [self._picture(content, child) for content in child.references]
        return list({pair[0].id: pair[0] for pair in found if pair is not None}.values())

    @_in_writer
    def children(self, id: str) -> list[TaskRow]:  # noqa: A002
        """The tasks that were drawn from a picture of this one, newest first; those that were
        never sent are left out."""
        contents = (
            "SELECT sha256 FROM picture WHERE task = :id UNION "
            "SELECT url FROM picture WHERE task = :id"
        )
        drawn = f"SELECT task FROM reference WHERE content IN ({contents})"  # noqa: S608
        where = f"WHERE id IN ({drawn}) AND id <> :id AND state NOT IN {_listed(_NOT_SENT)}"
        return self._select(f"{where} ORDER BY created DESC, rowid DESC", {"id": id})

    @_in_writer
    def counts(self) -> dict[str, int]:
        """How many tasks are in each state."""
        return dict(self._connection.execute("SELECT state, COUNT(*) FROM task GROUP BY state"))

    @_in_writer
    def spent(self) -> Spent:
        """What this home has spent."""
        db = self._connection
        doubtful = db.execute("SELECT COUNT(*) FROM task WHERE state = 'unknown'")
        return Spent(
            today=_sum(db, "day = ?", (_day(self._clock()),)),
            session=_sum(db, "session = ? AND day IS NOT NULL", (self._me,)),
            ever=_sum(db, "day IS NOT NULL", ()),
            unknown=doubtful.fetchone()[0],
            at_risk=_sum(db, "state = 'unknown'", ()),
        )

    @_in_writer
    def annotate(self, /, id: str, **columns: Any) -> TaskRow:  # noqa: A002
        """Set `starred` or `note` of a task."""
        with self._transaction() as db:
            _set(db, id, **columns)
        if (row := _only(self._select("WHERE id = ?", (id,)))) is None:
            raise LedgerError(f"There is no task {id!r} in this ledger; nb.history() shows them.")
        return row

    @_in_writer
    def balance_seen(self, account: Account, amount: Decimal) -> Earlier | None:
        """Note the account's balance; what was noted before it, None the first time.

        Before means: before what is in doubt was sent, so that it can be told from the difference.
        """
        whose = (account.origin, account.mark)
        with self._transaction() as db:
            doubtful = f"SELECT MIN(sent) FROM task WHERE state = 'unknown' AND {_OURS}"  # noqa: S608
            earlier = f"origin = ? AND account = ? AND seen < COALESCE(({doubtful}), seen + 1)"
            before = db.execute(
                f"SELECT seen, amount FROM balance WHERE {earlier} ORDER BY seen DESC LIMIT 1",  # noqa: S608
                (*whose, *whose),
            ).fetchone()
            db.execute(
                "INSERT INTO balance (seen, origin, account, amount) VALUES (?, ?, ?, ?)",
                (self._clock(), *whose, str(amount)),
            )
            if before is None:
                return None
            since = f"day IS NOT NULL AND sent >= ? AND {_OURS}"
            spent = _sum(db, since, (before[0], *whose))
            unknown = db.execute(
                f"SELECT COUNT(*) FROM task WHERE state = 'unknown' AND {since}",  # noqa: S608
                (before[0], *whose),
            ).fetchone()[0]
        return Earlier(before[0], Decimal(before[1]), spent, unknown)

    @_in_writer
    def restore(self, rows: Sequence[TaskRow]) -> list[bool]:
        """Note stored tasks anew, from what stands beside their pictures, all of them or none; for
        each, whether it was not known yet."""
        with self._transaction() as db:
            return [self._restored(db, row) for row in rows]

    def close(self) -> None:
        """Let go of all leases and end the writer thread once all is written."""
        self._writer.submit(self._let_go)
        self._writer.close()

    async def _do(self, work: Callable[[], T]) -> T:
        written = asyncio.wrap_future(self._writer.submit(work))
        written.add_done_callback(_seen)
        try:
            return await asyncio.shield(written)
        except sqlite3.Error as error:
            raise LedgerError(
                f"The ledger did not take a change ({error}); nothing is sent until it does. "
                f"{_remedy(error)}"
            ) from None
        except UnicodeEncodeError:
            raise LedgerError(
                "The ledger cannot hold half of a surrogate pair; type that text anew."
            ) from None

    # What follows runs in the writer thread.

    def _transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._writer.transaction()

    def _new(
        self, state: State, request: ImageRequest, account: Account, task_id: str | None = None
    ) -> TaskRow:
        id_ = secrets.token_hex(4)
        while self._connection.execute("SELECT 1 FROM task WHERE id = ?", (id_,)).fetchone():
            id_ = secrets.token_hex(4)
        return TaskRow(
            id_,
            state,
            request,
            account.origin,
            PRICE,
            self._clock(),
            task_id,
            account=account.mark,
        )

    def _queue(self, db: sqlite3.Connection, intent: Intent, account: Account) -> TaskRow:
        row = replace(
            self._new("queued", intent.request, account),
            cell=intent.cell,
            references=intent.references,
        )
        lease = self._clock() + LEASE
        _insert(db, row, cell=row.cell, follows=intent.follows, owner=self._me, lease=lease)
        return row

    def _send(self, db: sqlite3.Connection, id: str, budget: Decimal | None, now: float) -> None:  # noqa: A002
        today = _day(now)
        spent = _sum(db, "day = ?", (today,)) if budget is not None else Decimal(0)
        if budget is not None and spent + PRICE > budget:
            raise BudgetReached(
                f"Today's budget is ${budget:.2f} and ${spent:.2f} of it is spent, so this "
                f"picture (${PRICE}) was not sent. A new NANOBANANA_BUDGET, or %config "
                "NanoBananaMagics.budget, lifts it; tomorrow begins a new day."
            )
        self._step(db, id, "sending", {"day": today, "sent": now, "session": self._me})

    def _latest(self, cells: Sequence[str]) -> dict[str, TaskRow]:
        alive = f"(state NOT IN {_listed(_NOT_SENT)} OR (state = 'queued' AND lease > ?))"
        found: dict[str, TaskRow] = {}
        for some in _batched(cells):
            where = f"WHERE cell IN ({_marks(some)}) AND {alive} ORDER BY created, rowid"
            rows = self._select(where, (*some, self._clock()))
            found |= {str(row.cell): row for row in rows}
        return found

    def _step(self, db: sqlite3.Connection, id: str, state: State, columns: dict[str, Any]) -> None:  # noqa: A002
        now = self._clock()
        values: dict[str, Any] = {"state": state, "changed": now, "owner": self._me}
        values["lease"] = now + LEASE if state in _UNDER_WAY else None
        values |= columns
        before = [old for old, following in _NEXT.items() if state in following]
        settings = ", ".join(f"{name} = :{name}" for name in values)
        changed = db.execute(
            f"UPDATE task SET {settings} WHERE id = :id AND state IN {_listed(before)} AND {_FREE}",  # noqa: S608
            {**values, "id": id, "me": self._me, "now": now},
        ).rowcount
        if changed == 1:
            if state not in hints.AWAITED:
                hints.settle_true(db, id)
            return
        owner = db.execute("SELECT owner FROM task WHERE id = ?", (id,)).fetchone()
        if owner is not None and owner[0] != self._me:
            raise LeaseLost(f"Task {id} is looked after by another kernel.")
        raise LedgerError(f"Task {id} cannot become {state!r} from where it is.")

    def _is_found(self, db: sqlite3.Connection, id: str, task_id: str) -> bool:  # noqa: A002
        """Whether a callback was quicker than the answer and told the same, here or elsewhere; it
        is looked after here from now on, if it may be."""
        whole = "SELECT 1 FROM task WHERE id = ? AND task_id = ?"
        if db.execute(whole, (id, task_id)).fetchone() is None:
            return False
        now = self._clock()
        db.execute(
            "UPDATE task SET owner = :me, lease = :lease WHERE id = :id "  # noqa: S608
            f"AND state IN {_listed(UNFINISHED)} AND {_FREE}",
            {"id": id, "me": self._me, "now": now, "lease": now + LEASE},
        )
        return True

    def _restored(self, db: sqlite3.Connection, row: TaskRow) -> bool:
        known = db.execute(
            "SELECT 1 FROM task WHERE id = ? OR (task_id = ? AND task_id IS NOT NULL)",
            (row.id, row.task_id),
        ).fetchone()
        if known:
            return False
        _insert(db, row, cell=row.cell, sent=row.created, day=_day(row.created))
        db.executemany(
            "INSERT INTO picture (task, position, url, file, sha256, width, height) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (row.id, position, one.url, str(one.file), one.sha256, one.width, one.height)
                for position, one in enumerate(row.pictures)
            ],
        )
        return True

    def _let_go(self) -> None:
        held = "owner = ? AND lease IS NOT NULL"
        sql = f"SELECT 1 FROM task WHERE {held} LIMIT 1"  # noqa: S608
        if self._connection.execute(sql, (self._me,)).fetchone():
            with self._transaction() as db:
                db.execute(f"UPDATE task SET lease = NULL WHERE {held}", (self._me,))  # noqa: S608

    def _picture(
        self, content: str, child: TaskRow | None = None
    ) -> tuple[TaskRow, PictureRow] | None:
        """The newest stored picture with this content; with a `child`, of an older task."""
        found = self._connection.execute(
            "SELECT task.id, picture.position FROM picture JOIN task ON task.id = picture.task "
            "WHERE (picture.sha256 = :content OR picture.url = :content) "
            "AND task.state = 'stored' AND task.created <= :until AND task.id <> :child "
            "ORDER BY task.created DESC, task.rowid DESC, picture.position LIMIT 1",
            {
                "content": content,
                "until": child.created if child else math.inf,
                "child": child.id if child else "",
            },
        ).fetchone()
        if found is None:
            return None
        row = self._select("WHERE id = ?", found[:1])[0]
        return row, row.pictures[found[1]]

    def _select(self, where: str, values: Any) -> list[TaskRow]:
        sql = f"SELECT {', '.join(_COLUMNS)} FROM task {where}"  # noqa: S608
        found = self._connection.execute(sql, values).fetchall()
        pictures: dict[str, list[PictureRow]] = {}
        references: dict[str, list[str]] = {}
        for some in _batched([columns[0] for columns in found]):
            these = f"WHERE task IN ({_marks(some)}) ORDER BY task, position"
            sql = f"SELECT task, url, file, sha256, width, height FROM picture {these}"  # noqa: S608
            for task, url, file, sha256, width, height in self._connection.execute(sql, some):
                path = Path(file) if file else None
                one = PictureRow(url, path, sha256 or "", width or 0, height or 0)
                pictures.setdefault(task, []).append(one)
            sql = f"SELECT task, content FROM reference {these}"  # noqa: S608
            for task, content in self._connection.execute(sql, some):
                references.setdefault(task, []).append(content)
        return [
            _row(
                dict(zip(_COLUMNS, columns, strict=True)),
                pictures.get(columns[0], ()),
                references.get(columns[0], ()),
            )
            for columns in found
        ]


def _row(
    found: dict[str, Any], pictures: Sequence[PictureRow], references: Sequence[str]
) -> TaskRow:
    return TaskRow(
        id=found["id"],
        state=found["state"],
        request=ImageRequest(
            found["prompt"],
            found["aspect_ratio"],
            found["output_format"],
            tuple(json.loads(found["image_urls"])),
        ),
        origin=found["origin"],
        price=Decimal(found["price"]),
        created=found["created"],
        task_id=found["task_id"],
        seconds=found["seconds"],
        pictures=tuple(pictures),
        account=found["account"],
        sent=found["sent"],
        error=found["error"] or "",
        fail_code=found["fail_code"] or "",
        cell=found["cell"],
        starred=bool(found["starred"]),
        note=found["note"],
        references=tuple(references),
    )


_COLUMNS: Final = (
    "id", "state", "prompt", "aspect_ratio", "output_format", "image_urls", "origin", "price",
    "created", "task_id", "seconds", "account", "sent", "error", "fail_code", "cell", "starred",
    "note",
)  # fmt: skip
_OURS: Final = "origin = ? AND account IN ('', ?)"
_OURS_NAMED: Final = "origin = :origin AND account IN ('', :mark)"
"""The tasks of an account; those from before accounts were noted are anybody's."""


_AT_ONCE: Final = 500
"""Values of one statement: SQLite before 3.32 takes 999."""


def _batched(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at a time as one statement takes."""
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _insert(db: sqlite3.Connection, row: TaskRow, **more: Any) -> None:
    columns = {
        "id": row.id,
        "state": row.state,
        "model": MODEL,
        "origin": row.origin,
        "account": row.account,
        "prompt": row.request.prompt,
        "aspect_ratio": row.request.aspect_ratio,
        "output_format": row.request.output_format,
        "image_urls": json.dumps(row.request.image_urls),
        "price": str(row.price),
        "created": row.created,
        "changed": row.created,
        "task_id": row.task_id,
        "seconds": row.seconds,
        **more,
    }
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    db.execute(f"INSERT INTO task ({names}) VALUES ({marks})", tuple(columns.values()))  # noqa: S608
    db.executemany(
        "INSERT INTO reference (task, position, content) VALUES (?, ?, ?)",
        [(row.id, position, content) for position, content in enumerate(row.references)],
    )


def _set(db: sqlite3.Connection, id: str, **columns: Any) -> None:  # noqa: A002
    settings = ", ".join(f"{name} = ?" for name in columns)
    db.execute(f"UPDATE task SET {settings} WHERE id = ?", (*columns.values(), id))  # noqa: S608


def _sum(db: sqlite3.Connection, where: str, values: Sequence[Any]) -> Decimal:
    """US dollars of these tasks; added up here, because SQLite has no decimal numbers."""
    prices = db.execute(f"SELECT price, COUNT(*) FROM task WHERE {where} GROUP BY price", values)  # noqa: S608
    return sum((Decimal(price) * count for price, count in prices), Decimal(0))


def _day(now: float) -> str:
    """The local date, by which budgets are counted."""
    return time.strftime("%Y-%m-%d", time.localtime(now))


def _listed(states: Sequence[State]) -> str:
    return "(" + ", ".join(f"'{state}'" for state in states) + ")"


def _only(rows: Sequence[TaskRow]) -> TaskRow | None:
    return rows[0] if rows else None


def _seen(written: asyncio.Future[Any]) -> None:
    """Who was stopped does not ask how it went, of which asyncio would complain at the console."""
    if not written.cancelled():
        written.exception()


def _remedy(error: sqlite3.Error) -> str:
    """What to do about it, in users' words."""
    if _is_damage(error):
        return "It is damaged; `nanobanana rebuild` keeps it and makes a new one from the pictures."
    return "Make room on the disk, or set NANOBANANA_HOME to another folder."


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken; not where it is locked, full, or of a newer version."""
    return not isinstance(error, sqlite3.OperationalError | sqlite3.NotSupportedError)
