"""Whose turn it is, by the ledger: limits that kernels share, and intents that are noted once."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from nanobanana_nb import ImageRequest, Sandbox, Studio
from nanobanana_nb.admission import LONGEST, Load
from nanobanana_nb.errors import LedgerError
from nanobanana_nb.forecast import Sample
from nanobanana_nb.ledger import LEASE, Ledger
from nanobanana_nb.rows import Account, Intent
from nanobanana_nb.turns import FORGOTTEN
from nanobanana_nb.workshop import Workshop

from .conftest import settings_for
from .test_batch import until

REQUEST = ImageRequest("a fox")
API = Account("https://api", "me")
NOW = 1_700_000_000.0
DAY = 86_400.0
BOUND = 1.5 * LONGEST


class Clock:
    """A wall clock that is put by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kernels(tmp_path: Path, clock: Clock) -> Iterator[tuple[Ledger, Ledger]]:
    """Two ledgers on one file, as two kernels have."""
    file = tmp_path / "l.sqlite3"
    one, two = (Ledger(file, clock=clock, chance=lambda: 0.5) for _ in range(2))
    yield one, two
    one.close()
    two.close()


async def claimed(ledger: Ledger, count: int, account: Account = API) -> list[str]:
    """So many intents; our ids."""
    found = await ledger.claim([Intent(REQUEST)] * count, account)
    return [row.id for row, _ in found]


async def accepted(ledger: Ledger, id_: str) -> None:
    """Send it in its turn, and have it accepted."""
    assert await ledger.send_in_turn(id_) == 0
    await ledger.accepted(id_, f"task {id_}")


async def found_limit(ledger: Ledger, limit: int, account: Account = API) -> list[str]:
    """Tasks that run up to a limit, which the API has just named; our ids."""
    *running, refused = await claimed(ledger, limit + 1, account)
    for id_ in running:
        await accepted(ledger, id_)
    assert await ledger.send_in_turn(refused) == 0
    known, under_way = await ledger.refused(refused, "concurrency")
    assert (known.limit, under_way) == (limit, limit)
    return running


# Limits that kernels share.


def test_two_kernels_share_a_limit_exactly(kernels: tuple[Ledger, Ledger]) -> None:
    """Both ask at once, with twenty requests each: as many may go as there are places."""

    async def main() -> None:
        one, two = kernels
        running = await found_limit(one, 5)
        queued = [(ledger, id_) for ledger in kernels for id_ in await claimed(ledger, 20)]
        for free in (0, 2, 3):
            for id_ in running[:free]:
                await one.move(id_, "failed")
            running = running[free:]
            asked = await asyncio.gather(*(kernel.send_in_turn(id_) for kernel, id_ in queued))
            sent = [pair for pair, wait in zip(queued, asked, strict=True) if wait == 0]
            assert len(sent) == free
            for kernel, id_ in sent:
                await kernel.accepted(id_, f"task {id_}")
                queued.remove((kernel, id_))
        assert (await two.counts())["submitted"] == 5

    asyncio.run(main())


def test_what_one_kernel_learns_the_other_knows(kernels: tuple[Ledger, Ledger]) -> None:
    """A limit, a rate and a pause; but each account has its own, and so has each API."""

    async def main() -> None:
        one, two = kernels
        await found_limit(one, 3)
        (waiting,) = await claimed(two, 1)
        assert await two.send_in_turn(waiting) > 0
        for other in (Account("https://api", "another key"), Account("https://other", "me")):
            assert len(await found_limit(two, 4, other)) == 4
            (waiting,) = await claimed(one, 1, other)
            assert await one.send_in_turn(waiting) > 0
        assert (await two.admission(API)).limit == 3

    asyncio.run(main())


def test_a_refusal_gives_its_price_and_its_place_back(kernels: tuple[Ledger, Ledger]) -> None:
    """What was refused for too many waits again, and no longer counts as sent or as spent."""

    async def main() -> None:
        ledger, _ = kernels
        running = await found_limit(ledger, 2)
        assert (await ledger.spent()).today == Decimal("0.06")
        (waiting,) = (row.id for row in await ledger.history(states=["queued"]))
        assert await ledger.send_in_turn(waiting) > 0
        await ledger.move(running[0], "failed")
        assert await ledger.send_in_turn(waiting) == 0

    asyncio.run(main())


def test_looks_are_paced_for_all_kernels(kernels: tuple[Ledger, Ledger], clock: Clock) -> None:
    """Once one look was refused, they count: of two kernels that want to look at the same moment,
    one may, and the other one waits for the next."""

    async def main() -> None:
        one, two = kernels
        assert [await one.look_in_turn(API) for _ in range(9)] == [0.0] * 9  # nothing is known
        assert (await one.look_refused(API)).polls_count
        for _ in range(20):
            clock.now += await two.look_in_turn(API)
            asked = await asyncio.gather(*(kernel.look_in_turn(API) for kernel in kernels))
            assert [wait > 0 for wait in sorted(asked)] == [False, True]

    asyncio.run(main())


# A killed kernel, and clocks that are set.


def test_a_dead_submit_takes_a_place_for_as_long_as_its_lease(
    kernels: tuple[Ledger, Ledger], clock: Clock
) -> None:
    """What is on the wire counts, whoever has sent it; what a kernel ended in does not for long,
    and is in doubt once it is taken over."""

    async def main() -> None:
        dead, alive = kernels
        (running,) = await found_limit(alive, 1)
        await alive.move(running, "failed")
        (sending,), (waiting,) = await claimed(dead, 1), await claimed(alive, 1)
        assert await dead.send_in_turn(sending) == 0
        assert await alive.send_in_turn(waiting) == math.inf
        clock.now += LEASE + 1
        await alive.renew()
        assert await alive.send_in_turn(waiting) == 0
        assert [(row.id, row.state) for row in await alive.recover(API)] == [(sending, "unknown")]

    asyncio.run(main())


def test_a_task_that_nobody_saw_end_is_forgotten(
    kernels: tuple[Ledger, Ledger], clock: Clock
) -> None:
    """Those of another machine, or of a kernel that never came back, take no place for ever."""

    async def main() -> None:
        ledger, _ = kernels
        await found_limit(ledger, 2)
        waiting = await claimed(ledger, 2)
        clock.now += FORGOTTEN + 1
        assert [await ledger.send_in_turn(id_) for id_ in waiting] == [0, 0]

    asyncio.run(main())


class Four:
    """An API for four tasks of 12 s each, with a clock of its own; it refuses without a word,
    and keeps what it was sent."""

    def __init__(self) -> None:
        self.now = 0.0
        self.accepted: list[str] = []
        self._dues: dict[str, float] = {}

    @property
    def running(self) -> int:
        return sum(due > self.now for due in self._dues.values())

    def take(self, id_: str) -> bool:
        if self.running >= 4:
            return False
        self.accepted.append(id_)
        self._dues[id_] = self.now + 12.0
        return True

    def ended(self) -> list[str]:
        over = [id_ for id_, due in self._dues.items() if due <= self.now]
        for id_ in over:
            del self._dues[id_]
        return over


@pytest.mark.parametrize("days", [0, 1, -1])
def test_a_clock_that_is_set_in_mid_batch_stops_nothing(
    kernels: tuple[Ledger, Ledger], clock: Clock, days: int
) -> None:
    """By a day, forwards or back: nothing waits for that day, and nothing is sent twice."""
    api = Four()

    async def step(kernel: Ledger, waiting: list[str]) -> None:
        """One kernel's turn: what a call of its own would do in a fifth of a second."""
        wait = await kernel.send_in_turn(waiting[0])
        assert wait <= BOUND or api.running, "nothing would wake it"
        if wait:
            return
        if api.take(waiting[0]):
            await kernel.accepted(waiting[0], f"task {waiting[0]}")
            waiting.pop(0)
        else:
            await kernel.refused(waiting[0])

    async def main() -> float:
        queues = [(kernel, await claimed(kernel, 15)) for kernel in kernels]
        owners = {id_: kernel for kernel, ids in queues for id_ in ids}
        while any(waiting for _, waiting in queues):
            api.now += 0.2
            clock.now += 0.2
            if api.now == pytest.approx(30.0):
                clock.now += days * DAY
            for id_ in api.ended():
                await owners[id_].move(id_, "failed")
            for kernel, waiting in queues:
                await kernel.renew()
                if waiting:
                    await step(kernel, waiting)
            assert api.now < 600
        assert sorted(api.accepted) == sorted(owners)
        return api.now

    seconds = asyncio.run(main())
    assert seconds < 30 / 4 * 12 + (20 if days == 0 else BOUND)


@pytest.mark.parametrize("days", [1, -1])
def test_a_pause_that_was_noted_before_the_clock_was_set_is_short(
    kernels: tuple[Ledger, Ledger], clock: Clock, days: int
) -> None:
    """What the API asked for, what a rate allows and when more is tried again: none of these
    lasts for a day, whatever the clock says."""

    async def main() -> None:
        ledger, _ = kernels
        running = await found_limit(ledger, 2)
        (waiting,) = await claimed(ledger, 1)
        await ledger.move(running[0], "failed")
        assert await ledger.send_in_turn(waiting) == 0
        known, _ = await ledger.refused(waiting, "rate", 60.0)
        assert known.wait(Load(running=1), clock.now) > 50
        await ledger.look_refused(API, 60.0)
        clock.now += days * DAY
        assert await ledger.look_in_turn(API) <= BOUND
        begun = clock.now
        while (wait := await ledger.send_in_turn(waiting)) > 0:
            clock.now += wait
            assert clock.now - begun <= BOUND

    asyncio.run(main())


def test_a_clock_that_is_put_forward_costs_no_batch(tmp_path: Path) -> None:
    """As where the machine was asleep: another kernel of the home, if it is the first to look,
    sees leases that are long over. What waits here is drawn all the same, each once."""
    home, foxes = tmp_path / "home", [f"fox {number}" for number in range(20)]
    with Sandbox(latency=0.5, balance=100, at_once=2, reasons=True) as api:
        first, second = (Studio(settings_for(api.url, home)) for _ in range(2))
        ledger = opened(first).ledger
        ledger._clock = lambda: time.time() - DAY
        job = first.start(first.batch(foxes))
        until(lambda: api.counts["accepted"] >= 4)
        ledger._clock = time.time
        second.wait(second.generate("an owl"))
        drawn = job.future.result(60)
        first.close()
        second.close()
        sent = sorted(task.prompt for task in api.tasks)
    assert {str(one.error) for one in drawn.failed} == set()
    assert sent == sorted([*foxes, "an owl"])


def opened(studio: Studio) -> Workshop:
    """Its parts, at work."""
    studio.wait(studio.history())
    assert studio._workshop is not None
    return studio._workshop


# Intents that are noted once.


def wanted(*keys: str) -> list[Intent]:
    """Intents that are wanted once, by their keys."""
    return [Intent(ImageRequest(f"a fox for {key}"), cell=key, once=True) for key in keys]


async def noted(ledger: Ledger, *keys: str) -> list[tuple[str, bool]]:
    """The id of each, and whether it is new."""
    return [(row.id, is_new) for row, is_new in await ledger.claim(wanted(*keys), API)]


def test_two_kernels_claim_the_same_once(kernels: tuple[Ledger, Ledger]) -> None:
    """At the same moment, with the same batch: the second one gets the rows of the first."""

    async def main() -> None:
        keys = [f"key {number}" for number in range(600)]  # more than one statement takes
        found = await asyncio.gather(*(noted(kernel, *keys) for kernel in kernels))
        (ids, new), (same, new_here) = (zip(*pairs, strict=True) for pairs in found)
        assert ids == same
        assert sorted([set(new), set(new_here)], key=str) == [{False}, {True}]
        assert (await kernels[0].counts()) == {"queued": 600}

    asyncio.run(main())


def test_the_same_key_twice_in_one_call_is_claimed_once(kernels: tuple[Ledger, Ledger]) -> None:
    """As if it came in two calls; what is not wanted once comes as often as it is asked for."""

    async def main() -> None:
        ledger, _ = kernels
        (first, new), (second, new_again) = await noted(ledger, "a", "a")
        assert (first == second, new, new_again) == (True, True, False)
        again = await ledger.claim([Intent(REQUEST, cell="a")] * 2, API)
        assert [is_new for _, is_new in again] == [True, True]
        assert len({row.id for row, _ in again} - {first}) == 2

    asyncio.run(main())


def test_a_claim_of_a_kernel_that_ended_holds_nobody_up(
    kernels: tuple[Ledger, Ledger], clock: Clock
) -> None:
    """Another kernel's intent stands for ours for as long as its lease; then ours is new. What
    was dropped or refused never counts, and what may have cost something always does."""

    async def main() -> None:
        dead, alive = kernels
        (theirs, _), (failed, _), (refused, _) = await noted(dead, "waits", "failed", "refused")
        for id_, state in ((failed, "failed"), (refused, "rejected")):
            await dead.send(id_)
            if state == "failed":
                await dead.accepted(id_, "t1")
            await dead.move(id_, state)
        *known, (_, is_new) = await noted(alive, "waits", "failed", "refused")
        assert (known, is_new) == ([(theirs, False), (failed, False)], True)
        mixed = await alive.claim([*wanted("failed"), Intent(REQUEST, cell="failed")], API)
        assert [is_new for _, is_new in mixed] == [False, True]
        clock.now += LEASE + 1
        again = await noted(alive, "waits", "failed")
        assert [is_new for _, is_new in again] == [True, False]
        clock.now += LEASE + 1
        await alive.renew()
        (ours, is_new) = (await noted(dead, "waits"))[0]
        assert (ours, is_new) == (again[0][0], False)

    asyncio.run(main())


def test_the_latest_of_each_key_is_found(kernels: tuple[Ledger, Ledger], clock: Clock) -> None:
    """Of more keys than one statement takes: the newest that may have cost something, or that is
    about to be sent by a kernel that is alive."""

    async def main() -> None:
        ledger, other = kernels
        keys = [f"key {number}" for number in range(1_200)]
        await noted(ledger, *keys)
        clock.now += 1
        [(sent, _), (waits, _)] = await ledger.claim(
            [Intent(REQUEST, cell=key) for key in ("key 0", "key 1199")], API
        )
        await ledger.send(sent.id)
        await ledger.move(sent.id, "unknown")
        found = await other.latest_of([*keys, "no such key"])
        assert set(found) == set(keys)
        assert (found["key 0"].id, found["key 0"].state) == (sent.id, "unknown")
        assert found["key 1199"].id == waits.id
        clock.now += LEASE + 1
        assert list(await other.latest_of(keys)) == ["key 0"]

    asyncio.run(main())


def test_what_is_dropped_at_once_is_queued_and_ours(kernels: tuple[Ledger, Ledger]) -> None:
    """A stopped batch gives up what waits: not what was sent meanwhile, not what another kernel
    looks after, and nothing of it can be sent any more."""

    async def main() -> None:
        ledger, other = kernels
        ours, (theirs,) = await claimed(ledger, 4), await claimed(other, 1)
        await ledger.send(ours[0])
        await accepted(ledger, ours[1])
        await ledger.drop_all([*ours, theirs, "no such task"], "stopped")
        rows = [await other.get(id_) for id_ in [*ours, theirs]]
        assert [row.state for row in rows] == [
            "sending", "submitted", "abandoned", "abandoned", "queued",
        ]  # fmt: skip
        assert [row.error for row in rows] == ["", "", "stopped", "stopped", ""]
        with pytest.raises(LedgerError):
            await ledger.send_in_turn(ours[2])
        assert await other.send_in_turn(theirs) == 0

    asyncio.run(main())


def test_how_long_tasks_took_is_kept(kernels: tuple[Ledger, Ledger], clock: Clock) -> None:
    """The latest, oldest first, by account and by whether there was a picture to go by; a task of
    which nobody knows it is left out."""

    async def main() -> None:
        ledger, other = kernels
        edit = ImageRequest("a fox", image_urls=("https://e.com/a.png",))
        for number, (request, account) in enumerate(
            [(REQUEST, API)] * 4 + [(edit, API), (REQUEST, Account("https://api", "another key"))]
        ):
            clock.now += 1
            [(row, _)] = await ledger.claim([Intent(request)], account)
            await accepted(ledger, row.id)
            took = None if number == 1 else Sample(number, number + 0.5)
            await ledger.ready(row.id, ["https://r/1"], 15.0, took=took)
        drawn = await other.durations(API, "text-to-image", 10)
        assert drawn == [Sample(number, number + 0.5) for number in (0, 2, 3)]
        assert await other.durations(API, "text-to-image", 2) == drawn[1:]
        assert await other.durations(API, "image-to-image", 10) == [Sample(4, 4.5)]

    asyncio.run(main())
