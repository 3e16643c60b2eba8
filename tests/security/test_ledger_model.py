"""Y20: the real ledger on a real file beside a model of it, for as many steps as there is time.

Two kernels share the file, end in order or do not, and their clock is put on and back; callbacks
come true and forged, texts are hostile. After every step the file is read by a third connection and
compared with the model, and nothing but errors of ours ever comes out.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from nanobanana_nb import ImageRequest, RequestError, Studio
from nanobanana_nb.errors import BudgetReached, LedgerError
from nanobanana_nb.forecast import Sample
from nanobanana_nb.ledger import Ledger
from nanobanana_nb.rows import Account, Intent, PictureRow, TaskRow

from .ledger_model import FOLLOWING, Model

MEMORY = Path("/dev/shm")
"""Where a file is no disk's: what is proved here is not that it survives a power cut."""
ACCOUNTS = (Account("https://api", "me"), Account("https://api", "you"), Account("https://api"))
ENDED = {"stored", "failed", "expired"}
HOSTILE = (
    "a fox", "A FOX in Ink", "fox",
    "a' OR '1'='1", '"; DROP TABLE task; --', "%", "_", "\\", "*", "100% fox_1", "\x00",
    "fo\x00x", "Ünïcödé", "ﬀ", "İstanbul", "straße STRASSE", "שועל \u202e fox", "🦊", "\ud83d",
    "NULL", "[1, 2]", '"a"', "é e\u0301", " ", "\n\t", "x" * 4000, "{0.__class__}", "%s", "?",
)  # fmt: skip
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12))
STATES = sorted({*FOLLOWING, *(state for states in FOLLOWING.values() for state in states)})
WHICH = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 1, 2, 4, 9])
"""A task: first those that the rule is meant for, then the others, the newest first; then one of
which the ledger knows nothing."""
KERNEL = st.integers(0, 1)
KERNELS = st.sampled_from([2, 2, 2, 0, 1])
"""Of two, by number; 2 is that which looks after the task."""
WAYS = {
    "queued": ("sending", "rejected", "abandoned"),
    "sending": ("submitted", "unknown", "queued", "rejected"),
    "submitted": ("ready", "parked", "failed", "expired", "abandoned"),
    "parked": ("ready", "parked", "failed", "expired", "abandoned"),
    "ready": ("fetching", "expired", "abandoned"),
    "fetching": ("stored", "ready", "expired", "abandoned"),
    "unknown": ("submitted", "abandoned"),
}
"""Where a task may go, the best first."""
WAY = st.lists(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3, 4]), min_size=1, max_size=7)
NAMES = st.sampled_from([f"task_{number}" for number in range(12)])
MOMENTS = (0.25, 5.0, 14.0, 15.5, 61.0, 3600.0, 86_400.0, -1.0, -50.0, -7200.0)

Pair = tuple[Callable[[Ledger], Coroutine[Any, Any, Any]], Callable[[Any], Any]]
"""A call of the ledger, and what the model has to say to its result."""


class Machine(RuleBasedStateMachine):
    """Rules are what kernels do; each is done to both, and the answers are compared."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        place = MEMORY if MEMORY.is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-", dir=place))
        self.file = self.folder / "ledger.sqlite3"
        self.loop = asyncio.Runner()
        self.kernels = [self.kernel(), self.kernel()]
        self.reader = sqlite3.connect(f"{self.file.as_uri()}?mode=ro", uri=True)
        self.ever: dict[str, str] = {}
        self.ended: dict[str, str] = {}

    def teardown(self) -> None:
        for ledger in self.kernels:
            ledger.close()
        assert self.reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert self.reader.execute("PRAGMA foreign_key_check").fetchall() == []
        self.reader.close()
        self.loop.close()
        shutil.rmtree(self.folder)

    def kernel(self) -> Ledger:
        return Ledger(self.file, clock=lambda: self.model.now, chance=lambda: 0.5)

    def me(self, kernel: int) -> str:
        return self.kernels[kernel]._me

    def task(self, which: int, *states: str) -> str:
        """The id of a task, those in these states first; the last is nobody's."""
        newest = [*self.model.tasks.values()][::-1]
        meant = [task.id for task in newest if task.state in states]
        ids = [*meant, *(task.id for task in newest if task.state not in states)]
        return ids[which] if which < min(len(ids), 9) else "nobody"

    def who(self, kernel: int, id_: str) -> int:
        """One of the two kernels."""
        task = self.model.tasks.get(id_)
        if kernel == 2 and task is not None and task.owner == self.me(1):
            return 1
        return kernel % 2

    def do(self, kernel: int, *pairs: Pair, cut: bool = False) -> None:
        """Have the ledger do it, all at once, and compare with the model, one after the other."""
        ledger = self.kernels[kernel]
        calls = [call(ledger) for call, _ in pairs]
        results = self.loop.run(_outcomes(calls, cut))
        self.loop.run(ledger.counts())  # by then all that was asked before is done
        for result, (_, expected) in zip(results, pairs, strict=True):
            failure = result if isinstance(result, Exception) else None
            try:
                answer = expected(None if failure or cut else result)
                refused: type[Exception] | None = None
            except (LedgerError, BudgetReached) as error:
                answer, refused = ..., type(error)
            if not cut:
                assert (type(failure) if failure else None) is refused, failure
                assert answer is ... or answer == result, (answer, result)
            assert "did not take a change" not in str(failure), failure

    # The way of a task

    @initialize(prompts=st.lists(st.just("a fox"), min_size=1, max_size=3))
    def begin(self, prompts: list[str]) -> None:
        self.do(0, *(self._added(0, prompt, ACCOUNTS[0], None) for prompt in prompts))

    @precondition(lambda self: len(self.model.tasks) < 40)
    @rule(
        kernel=KERNEL, prompt=TEXTS, account=st.sampled_from(ACCOUNTS), cell=st.sampled_from("abc")
    )
    def add(self, kernel: int, prompt: str, account: Account, cell: str) -> None:
        with contextlib.suppress(RequestError):
            self.do(kernel, self._added(kernel, prompt, account, cell))

    def _added(self, kernel: int, prompt: str, account: Account, cell: str | None) -> Pair:
        request = ImageRequest(prompt)

        def expected(row: TaskRow) -> Any:
            assert row.id not in self.model.tasks
            assert (row.state, row.request, row.cell) == ("queued", request, cell)
            self.model.queued(self.me(kernel), row.id, request.prompt, account, cell)
            return ...

        return lambda ledger: ledger.add(request, account, cell), expected

    @precondition(lambda self: len(self.model.tasks) < 40)
    @rule(kernel=KERNEL, cells=st.lists(st.sampled_from("abc"), max_size=4), once=st.booleans())
    def claim(self, kernel: int, cells: list[str], once: bool) -> None:
        intents = [Intent(ImageRequest("claimed"), cell, once=once) for cell in cells]
        before = dict(self.model.tasks)

        def expected(claimed: list[tuple[TaskRow, bool]]) -> Any:
            assert len(claimed) == len(cells)
            for cell, (row, new) in zip(cells, claimed, strict=True):
                alive = [t for t in self.model.tasks.values() if t.cell == cell and self._lives(t)]
                assert new is not (once and bool(alive)), (cell, new, alive)
                assert new is (row.id not in self.model.tasks)
                assert row.cell == cell
                if new:
                    self.model.queued(self.me(kernel), row.id, "claimed", ACCOUNTS[0], cell)
                else:
                    assert row.id == self.model.newest_first(alive)[0] or row.id not in before
            return ...

        self.do(kernel, (lambda ledger: ledger.claim(intents, ACCOUNTS[0]), expected))

    def _lives(self, task: Any) -> bool:
        queued = task.state == "queued" and task.lease is not None and task.lease > self.model.now
        return queued or task.state not in ("queued", "rejected", "abandoned")

    def _sent(self, kernel: int, id_: str, budget: Decimal | None, in_turn: bool) -> Pair:
        def expected(wait: float | None) -> Any:
            if wait:  # by what is known of the account, which is another test's
                return ...
            self.model.send(self.me(kernel), id_, budget)
            assert budget is None or self.model.spent_on(self.model.today()) <= budget
            return ...

        if in_turn:
            return lambda ledger: ledger.send_in_turn(id_, budget), expected
        return lambda ledger: ledger.send(id_, budget), expected

    @rule(
        kernel=KERNELS,
        which=WHICH,
        room=st.sampled_from([None, -1, 0, 2, 3, 5]),
        in_turn=st.booleans(),
    )
    def send(self, kernel: int, which: int, room: int | None, in_turn: bool) -> None:
        """With so many cents left in the day's budget, or without one."""
        spent = self.model.spent_on(self.model.today())
        budget = None if room is None else spent + Decimal(room) / 100
        id_ = self.task(which, "queued")
        kernel = self.who(kernel, id_)
        self.do(kernel, self._sent(kernel, id_, budget, in_turn))

    @rule(kernel=KERNELS, which=WHICH, name=NAMES, cut=st.booleans(), late=st.booleans())
    def accept(self, kernel: int, which: int, name: str, cut: bool, late: bool) -> None:
        """Also where a callback has been quicker than the answer, and has told the same."""
        id_ = self.task(which, *(("submitted", "ready") if late else ("sending", "unknown")))
        kernel = self.who(kernel, id_)
        if late and id_ in self.model.tasks:
            name = self.model.tasks[id_].task_id or name
        self.do(kernel, self._accepted(kernel, id_, name), cut=cut)

    def _accepted(self, kernel: int, id_: str, name: str) -> Pair:
        def expected(_: object) -> Any:
            self.model.accepted(self.me(kernel), id_, name)
            return ...

        return lambda ledger: ledger.accepted(id_, name), expected

    @rule(
        kernel=KERNELS,
        which=WHICH,
        reason=st.sampled_from(["", "rate", "concurrency"]),
        after=st.sampled_from([None, 0.0, 3.0, float("inf")]),
    )
    def refuse(self, kernel: int, which: int, reason: str, after: float | None) -> None:
        id_ = self.task(which, "sending")
        kernel = self.who(kernel, id_)

        def expected(_: object) -> Any:
            self.model.step(self.me(kernel), id_, "queued", day=None, sent=None)
            return ...

        self.do(kernel, (lambda ledger: ledger.refused(id_, reason, after), expected))

    @rule(kernel=KERNELS, which=WHICH, state=st.sampled_from(STATES), cut=st.booleans())
    def move(self, kernel: int, which: int, state: str, cut: bool) -> None:
        id_ = self.task(which, *(old for old, new in FOLLOWING.items() if state in new))
        kernel = self.who(kernel, id_)
        self.do(kernel, self._moved(kernel, id_, state), cut=cut)

    def _moved(self, kernel: int, id_: str, state: str) -> Pair:
        columns = {"queued": {"day": None, "sent": None}, "rejected": {"day": None}}.get(state, {})
        columns |= {"task_id": f"moved_{id_}"} if state == "submitted" else {}

        def expected(_: object) -> Any:
            self.model.step(self.me(kernel), id_, state, **columns)

        return lambda ledger: ledger.move(id_, state, **columns), expected  # type: ignore[arg-type]

    @rule(kernel=KERNELS, way=WAY, prompt=TEXTS)
    def draw(self, kernel: int, way: list[int], prompt: str) -> None:
        """A new task, and some of its way."""
        if len(self.model.tasks) < 40 and _is_text(prompt) and prompt.strip():
            self.do(kernel % 2, self._added(kernel % 2, prompt, ACCOUNTS[0], None))
            self.go_on(kernel, 0, way)

    @rule(kernel=KERNELS, which=WHICH, way=WAY)
    def go_on(self, kernel: int, which: int, way: list[int]) -> None:
        """Steps that the state allows, so that tasks come to all their ends."""
        id_ = self.task(which, *WAYS)
        for choice in way:
            task = self.model.tasks.get(id_)
            following = WAYS.get(task.state, ()) if task else ()
            if choice >= len(following):
                return
            state, doer = following[choice], self.who(kernel, id_)
            if state == "sending":
                self.do(doer, self._sent(doer, id_, None, in_turn=False))
            elif state == "ready":
                self.do(doer, self._ready(doer, id_, 2))
            elif state == "stored":
                self.do(doer, self._stored(doer, id_, 2))
            else:
                self.do(doer, self._moved(doer, id_, state))

    @rule(kernel=KERNELS, which=WHICH, count=st.integers(0, 3))
    def ready(self, kernel: int, which: int, count: int) -> None:
        id_ = self.task(which, "submitted", "parked", "fetching")
        kernel = self.who(kernel, id_)
        self.do(kernel, self._ready(kernel, id_, count))

    def _ready(self, kernel: int, id_: str, count: int) -> Pair:
        urls = [f"https://r/{id_}/{number}" for number in range(count)]

        def expected(_: object) -> Any:
            self.model.ready(self.me(kernel), id_, urls)

        return lambda ledger: ledger.ready(id_, urls, 15.0, Sample(1.0, 2.0)), expected

    @rule(kernel=KERNELS, which=WHICH, count=st.integers(0, 3), fetching=st.booleans())
    def store(self, kernel: int, which: int, count: int, fetching: bool) -> None:
        id_ = self.task(which, "ready" if fetching else "fetching")
        kernel = self.who(kernel, id_)
        before = [self._moved(kernel, id_, "fetching")] if fetching else []
        self.do(kernel, *before, self._stored(kernel, id_, count))

    def _stored(self, kernel: int, id_: str, count: int) -> Pair:
        files = [f"{number}.png" for number in range(count)]
        rows = [
            PictureRow(f"https://r/{id_}/{n}", Path(f), "ab", 4, 3) for n, f in enumerate(files)
        ]

        def expected(_: object) -> Any:
            self.model.stored(self.me(kernel), id_, files)

        return lambda ledger: ledger.stored(id_, rows), expected

    # Several at once: the writer does them in one transaction

    @rule(kernel=KERNEL, steps=st.lists(st.tuples(WHICH, st.integers(0, 3), NAMES), max_size=6))
    def together(self, kernel: int, steps: list[tuple[int, int, str]]) -> None:
        pairs = []
        for which, kind, name in steps:
            id_ = self.task(which, ("queued", "sending", "sending", "")[kind])
            if kind == 0:
                pairs.append(self._sent(kernel, id_, Decimal("0.30"), in_turn=False))
            elif kind == 1:
                pairs.append(self._accepted(kernel, id_, name))
            elif kind == 2:
                pairs.append(self._moved(kernel, id_, "unknown"))
            else:
                pairs.append(self._added(kernel, name, ACCOUNTS[0], None))
        self.do(kernel, *pairs)

    # Who looks after what

    @rule(kernel=KERNELS, which=WHICH)
    def take(self, kernel: int, which: int) -> None:
        id_ = self.task(which, "submitted", "parked", "ready", "fetching")
        kernel = self.who(kernel, id_)

        def expected(row: TaskRow | None) -> Any:
            taken = self.model.take(self.me(kernel), id_)
            assert (row is not None and row.id == id_) is taken
            return ...

        self.do(kernel, (lambda ledger: ledger.take(id_), expected))

    @rule(kernel=KERNEL)
    def renew(self, kernel: int) -> None:
        me = self.me(kernel)
        self.do(kernel, (lambda ledger: ledger.renew(), lambda _: self.model.renew(me)))

    @rule(seconds=st.sampled_from(MOMENTS))
    def wait(self, seconds: float) -> None:
        self.model.now += seconds

    @rule(kernel=KERNEL, account=st.sampled_from(ACCOUNTS), crash=st.booleans())
    def recover(self, kernel: int, account: Account, crash: bool) -> None:
        """Also right after the other kernel has died in the middle of a submit."""
        if crash:
            self.go_on(1 - kernel, 0, [0])
            self.end(1 - kernel, orderly=False)
            self.model.now += 15.5

        def expected(rows: list[TaskRow]) -> Any:
            assert {(r.id, r.state) for r in rows} == self.model.recover(self.me(kernel), account)
            return ...

        self.do(kernel, (lambda ledger: ledger.recover(account), expected))

    @rule(kernel=KERNEL, alive=st.sets(WHICH, max_size=3), unbilled=st.sets(WHICH, max_size=2))
    def settle(self, kernel: int, alive: set[int], unbilled: set[int]) -> None:
        living, free = ([self.task(which) for which in some] for some in (alive, unbilled))
        self.do(
            kernel,
            (
                lambda ledger: ledger.settle(living, free),
                lambda _: self.model.settle(self.me(kernel), living, free),
            ),
        )

    @rule(kernel=KERNELS, which=WHICH, kind=st.integers(0, 3), also=WHICH)
    def give_up(self, kernel: int, which: int, kind: int, also: int) -> None:
        id_ = self.task(which, "unknown" if kind == 3 else "queued" if kind else "ready")
        kernel, ids = self.who(kernel, id_), [id_, self.task(also, "queued")]
        me, model = self.me(kernel), self.model
        pairs: list[Pair] = [
            (lambda ledger: ledger.release(id_), lambda _: model.release(me, id_)),
            (lambda ledger: ledger.drop(id_, "x"), lambda _: model.drop(me, id_)),
            (lambda ledger: ledger.drop_all(ids, "x"), lambda _: model.drop_all(me, ids)),
            (lambda ledger: ledger.dismiss(id_), lambda _: model.dismiss(id_)),
        ]
        self.do(kernel, pairs[kind])

    @rule(kernel=KERNEL, orderly=st.booleans())
    def end(self, kernel: int, orderly: bool) -> None:
        """And another kernel opens the file. One that is killed leaves its leases behind."""
        if orderly:
            self.model.closed(self.me(kernel))
            self.kernels[kernel].close()
        else:
            self.kernels[kernel]._writer.close()
        self.kernels[kernel] = self.kernel()

    # Callbacks, which anybody may send

    @rule(kernel=KERNEL, which=WHICH, names=st.lists(NAMES, max_size=9), true=st.booleans())
    def call(self, kernel: int, which: int, names: list[str], true: bool) -> None:
        id_ = self.task(which, "unknown", "abandoned", "submitted")
        if true and id_ in self.model.tasks:
            names = [*names, self.model.tasks[id_].task_id or "early"]

        def called(name: str) -> Pair:
            return lambda ledger: ledger.called(id_, name), lambda _: self.model.called(id_, name)

        self.do(kernel, *map(called, names))

    @precondition(lambda self: self.model.calls)
    @rule(kernel=KERNEL, which=st.integers(0, 30), stale=st.booleans())
    def find(self, kernel: int, which: int, stale: bool) -> None:
        one = self.model.seen(self.model.calls[which % len(self.model.calls)])
        if stale:  # as of a moment ago, before its task was known
            one = type(one)(one.number, one.id, one.task_id, "unknown", None)

        def elsewhere(_: object) -> Any:
            return self.model.belongs_elsewhere(one)

        def expected(row: TaskRow | None) -> Any:
            id_ = self.model.found(self.me(kernel), one, lambda: row.id if row else "")
            assert (row.id if row else None) == id_
            return ...

        self.do(
            kernel,
            (lambda ledger: ledger.belongs_elsewhere(one), elsewhere),
            (lambda ledger: ledger.found(one), expected),
        )

    @precondition(lambda self: self.model.calls)
    @rule(kernel=KERNEL, which=st.integers(0, 30))
    def ignore(self, kernel: int, which: int) -> None:
        one = self.model.seen(self.model.calls[which % len(self.model.calls)])
        self.do(kernel, (lambda ledger: ledger.ignore(one), lambda _: self.model.ignore(one)))

    @precondition(lambda self: len(self.model.tasks) < 40)
    @rule(kernel=KERNEL, name=NAMES, account=st.sampled_from(ACCOUNTS))
    def adopt(self, kernel: int, name: str, account: Account) -> None:
        request = ImageRequest("from another machine")

        def expected(row: TaskRow) -> Any:
            known = self.model.known_as(name)
            if known:
                assert row.id in known
                return ...
            self.model.queued("", row.id, request.prompt, account, None)
            task = self.model.tasks[row.id]
            task.state, task.task_id, task.lease = "submitted", name, None
            return ...

        self.do(kernel, (lambda ledger: ledger.adopt(name, request, account), expected))

    # What is asked and noted

    @rule(kernel=KERNEL, which=WHICH, note=TEXTS, starred=st.booleans())
    def annotate(self, kernel: int, which: int, note: str, starred: bool) -> None:
        id_ = self.task(which)

        def expected(_: object) -> Any:
            if id_ not in self.model.tasks or not _is_text(note):
                raise LedgerError("")
            self.model.tasks[id_].note, self.model.tasks[id_].starred = note, int(starred)
            return ...

        self.do(
            kernel, (lambda ledger: ledger.annotate(id_, note=note, starred=int(starred)), expected)
        )

    @rule(
        kernel=KERNEL,
        words=TEXTS,
        states=st.lists(st.sampled_from(STATES), max_size=2),
        starred=st.sampled_from([None, True, False]),
        place=st.tuples(st.integers(0, 5), st.integers(0, 12)),
        own=st.booleans(),
    )
    def search(
        self,
        kernel: int,
        words: str,
        states: list[str],
        starred: bool | None,
        place: tuple[int, int],
        own: bool,
    ) -> None:
        async def found(ledger: Ledger) -> list[str]:
            return [row.id for row in await ledger.history(words, None, states, starred)]

        async def paged(ledger: Ledger) -> tuple[list[str], int]:
            rows, total = await ledger.page(words, None, also, *place)
            return [row.id for row in rows], total

        if own and self.model.tasks:
            words = self.model.tasks[self.task(0)].prompt.swapcase()
        also = [self.task(0), words if _is_text(words) else "nobody"]
        self.do(
            kernel,
            (found, lambda _: self.model.history(words, states, starred)),
            (paged, lambda _: self.model.page(words, also, *place)),
            (lambda ledger: ledger.prompts(), lambda _: self.model.prompts()),
        )

    @rule(
        kernel=KERNEL,
        account=st.sampled_from(ACCOUNTS),
        name=st.one_of(NAMES, TEXTS),
        cell=st.sampled_from("abcd"),
        alive=st.lists(WHICH, max_size=3),
    )
    def ask(self, kernel: int, account: Account, name: str, cell: str, alive: list[int]) -> None:
        me, model, living = self.me(kernel), self.model, [self.task(which) for which in alive]
        self.model.now += 0.001  # of two balances in one moment nobody can tell the earlier
        amount = Decimal(len(name))

        async def ids(rows: Awaitable[Sequence[TaskRow]]) -> set[str]:
            return {row.id for row in await rows}

        async def latest(ledger: Ledger) -> str | None:
            row = await ledger.latest(cell)
            return row.id if row else None

        def known(row: TaskRow | None) -> Any:
            if not _is_text(name):
                raise LedgerError("")
            ids = model.known_as(name)
            assert row.id in ids if row else not ids
            return ...

        self.do(
            kernel,
            (lambda ledger: ledger.find(name), known),
            (latest, lambda _: model.latest(cell)),
            (lambda ledger: ids(ledger.unfinished(account)), lambda _: model.unfinished(account)),
            (lambda ledger: ids(ledger.stranded(living)), lambda _: model.stranded(me, living)),
            (lambda ledger: ledger.others_at_work(), lambda _: model.others_at_work(me)),
            (lambda ledger: ledger.spent(), lambda _: model.spent(me)),
            (lambda ledger: ledger.callbacks(account), lambda _: model.callbacks(account)),
            (
                lambda ledger: ledger.balance_seen(account, amount),
                lambda _: model.balance_seen(account, amount),
            ),
        )

    # What holds after every step

    @invariant()
    def the_file_is_what_the_model_says(self) -> None:
        Machine.steps += 1
        found = self.reader.execute(
            "SELECT id, state, prompt, account, created, owner, lease, task_id, day, sent, "
            "session, cell, starred, note FROM task ORDER BY rowid"
        ).fetchall()
        expected = [
            (t.id, t.state, t.prompt, t.account.mark, t.created, t.owner, t.lease, t.task_id, t.day,
             t.sent, t.session, t.cell, t.starred, t.note)
            for t in self.model.tasks.values()
        ]  # fmt: skip
        assert found == expected

    @invariant()
    def pictures_and_callbacks_are_too(self) -> None:
        pictures = self.reader.execute("SELECT task, position, url, file FROM picture").fetchall()
        assert set(pictures) == {
            (task.id, place, url, task.files.get(place))
            for task in self.model.tasks.values()
            for place, url in enumerate(task.urls)
        }
        calls = self.reader.execute(
            "SELECT number, task, task_id, settled FROM callback ORDER BY 1"
        )
        assert calls.fetchall() == [
            (one.number, one.id, one.task_id, int(one.settled)) for one in self.model.calls
        ]

    @invariant()
    def nothing_paid_for_is_forgotten(self) -> None:
        """By the file alone: a task id stays for ever, and what has ended does not begin again."""
        found = self.reader.execute("SELECT id, state, task_id FROM task").fetchall()
        assert {id_ for id_, _, _ in found} >= {*self.ever, *self.ended}
        for id_, state, task_id in found:
            assert (
                self.ever.setdefault(id_, task_id) == task_id if task_id else id_ not in self.ever
            )
            assert (
                self.ended.setdefault(id_, state) == state
                if state in ENDED
                else (id_ not in self.ended)
            )


def _is_text(text: str) -> bool:
    """Whether SQLite can hold it."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


async def _outcomes(calls: Sequence[Coroutine[Any, Any, Any]], cut: bool) -> list[Any]:
    """What becomes of each; it is done all the same where the caller is cut off."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    if cut:
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    foreign = [one for one in results if isinstance(one, BaseException)]
    for one in foreign:
        if not isinstance(one, LedgerError | BudgetReached | asyncio.CancelledError):
            raise one
    return [None if isinstance(one, asyncio.CancelledError) else one for one in results]


def explore(steps: int) -> None:
    """Walk about until so many calls have been made; each walk is given by its number."""
    Machine.steps = 0
    number = 0
    while Machine.steps < steps:
        number += 1
        run_state_machine_as_test(
            seed(number)(Machine),
            settings=settings(
                max_examples=20,
                stateful_step_count=60,
                deadline=None,
                database=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_y20_the_ledger_does_what_its_model_says() -> None:
    """2,000 calls, the same ones every time."""
    explore(2_000)


@pytest.mark.nightly
def test_y20_for_50_000_steps() -> None:
    """The same for as long as the yardstick asks."""
    explore(50_000)
    assert Machine.steps >= 50_000


def test_y20_a_caller_that_is_cut_off_is_not_complained_of(tmp_path: Path) -> None:
    """Stop while the ledger refuses a step: the cell is done, and no traceback of asyncio's appears
    in it later."""
    complaints: list[Any] = []

    async def stopped() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        ledger = Ledger(tmp_path / "ledger.sqlite3")
        waiting = asyncio.ensure_future(ledger.move("nobody", "sending"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await ledger.counts()
        await asyncio.sleep(0)
        gc.collect()
        ledger.close()

    asyncio.run(stopped())
    assert complaints == []


def test_y20_text_that_no_file_can_hold_is_an_error_of_ours(studio: Studio) -> None:
    """Half a surrogate pair, as a page may send one: in a note, a search, an id; and a picture that
    does not exist. Each is one line that says what to do."""
    fox = studio.wait(studio.generate("a fox"))
    for asked in (
        studio.note(fox.id, "\ud83d"),
        studio.star("\ud83d", True),
        studio.star("nobody", True),
        studio.history(state="\ud83d"),
    ):
        with pytest.raises(LedgerError) as error:
            studio.wait(asked)
        assert len(str(error.value).splitlines()) == 1
    assert len(studio.wait(studio.history("\ud83d"))) == 0
    assert len(studio.wait(studio.history(""))) == 1
