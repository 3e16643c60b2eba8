"""When to look, learned from the ledger; and who may call next, where calls are limited."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nanobanana_nb import Client, ImageRequest, Sandbox, Schedule, Studio, forecast, rhythm
from nanobanana_nb.errors import RateLimited
from nanobanana_nb.forecast import Sample
from nanobanana_nb.ledger import Ledger
from nanobanana_nb.models import Mode
from nanobanana_nb.pacing import Learned
from nanobanana_nb.rhythm import BACKLOG_PRICE, PRICED_EVERY, REMEMBERED, WIDEST, Rhythms, Turns
from nanobanana_nb.rows import Account, Intent

from .conftest import settings_for
from .test_turns import Clock

API = Account("https://api", "me")
PAGE = Schedule()
DRAW: Mode = "text-to-image"
EDIT: Mode = "image-to-image"
REQUESTS = {DRAW: ImageRequest("a fox"), EDIT: ImageRequest("x", image_urls=("https://e.com/a",))}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "l.sqlite3", clock=clock, chance=lambda: 0.5)
    yield made
    made.close()


def rhythms(ledger: Ledger, account: Account = API, *, fixed: bool = False) -> Rhythms:
    """Those of a new kernel; its client never calls."""
    client = Client("test-key", base_url="http://127.0.0.1:1", schedule=PAGE)
    return Rhythms(client, ledger, account, fixed=fixed)


async def drawn(ledger: Ledger, took: Sample, mode: Mode = DRAW, account: Account = API) -> None:
    """A task of another kernel that is done."""
    [(row, _)] = await ledger.claim([Intent(REQUESTS[mode])], account)
    await ledger.send(row.id)
    await ledger.accepted(row.id, f"task {row.id}")
    await ledger.ready(row.id, ["https://r/1"], None, took)


def about(seconds: float) -> Sample:
    """A task whose time is known well."""
    return Sample(seconds - 0.2, seconds + 0.2)


def first_look(learned: Rhythms) -> float:
    """Seconds after its submit at which a new task is looked at first."""
    delay = learned.of(DRAW).schedule().next_poll(0, 0.0)
    assert delay is not None
    return delay


# What is learned.


def test_a_new_kernel_learns_from_the_ledger(ledger: Ledger) -> None:
    """What earlier kernels saw: pictures that take 30 s are not looked at after 10."""

    async def main() -> None:
        learned = rhythms(ledger)
        assert learned.of(DRAW).schedule() == PAGE
        assert learned.expected(DRAW) == PAGE.expected
        for number in range(20):
            await drawn(ledger, about(30 + number / 20))
        await learned.remember(DRAW)
        assert isinstance(learned.of(DRAW).schedule(), Learned)
        assert 28 < first_look(learned) < 31.5
        assert 29 < learned.expected(DRAW) < 31.5

    asyncio.run(main())


def test_it_is_remembered_once(ledger: Ledger) -> None:
    """Each call asks for it, and what was learned since is neither lost nor learned twice."""

    async def main() -> None:
        await drawn(ledger, about(30))
        learned = rhythms(ledger)
        await learned.remember(DRAW)
        learned.learn(DRAW, about(5))
        await learned.remember(DRAW)
        assert learned.of(DRAW).schedule().forecast.samples == (about(30), about(5))

    asyncio.run(main())


def test_the_latest_tasks_count(ledger: Ledger, clock: Clock) -> None:
    """An API that has become slower is known as it is now, and no more is read than that takes."""

    async def main() -> None:
        for number in range(REMEMBERED + 10):
            clock.now += 1
            await drawn(ledger, about(10 if number < 10 else 40))
        learned = rhythms(ledger)
        await learned.remember(DRAW)
        samples = learned.of(DRAW).schedule().forecast.samples
        assert samples == (about(40),) * REMEMBERED

    asyncio.run(main())


def test_what_is_learned_here_counts_at_once(ledger: Ledger) -> None:
    """For tasks that are waited for already, too."""

    async def main() -> None:
        learned = rhythms(ledger)
        waiting = learned.of(DRAW)
        await learned.remember(DRAW)
        for _ in range(8):
            learned.learn(DRAW, about(5))
        assert 4 < waiting.schedule().next_poll(0, 0.0) < 6

    asyncio.run(main())


def test_drawing_and_editing_are_learned_apart(ledger: Ledger) -> None:
    """And so is each account: what takes long there says nothing of here."""

    async def main() -> None:
        for _ in range(8):
            await drawn(ledger, about(5))
            await drawn(ledger, about(40), EDIT)
            await drawn(ledger, about(80), account=Account("https://api", "another key"))
        learned = rhythms(ledger)
        await learned.remember(DRAW)
        assert learned.of(EDIT).schedule() == PAGE
        await learned.remember(EDIT)
        assert learned.expected(DRAW) < 7
        assert 35 < learned.expected(EDIT) < 41

    asyncio.run(main())


def test_a_schedule_that_was_asked_for_stays(ledger: Ledger) -> None:
    """Whatever is learned; but how long a picture takes is told by what they took."""

    async def main() -> None:
        for _ in range(20):
            await drawn(ledger, about(30))
        learned = rhythms(ledger, fixed=True)
        await learned.remember(DRAW)
        assert learned.of(DRAW).schedule() == PAGE
        assert 29 < learned.expected(DRAW) < 31

    asyncio.run(main())


def test_what_is_hardly_known_teaches_nothing(ledger: Ledger) -> None:
    """A task that was seen an hour after it was done must not stretch the schedule of the next."""

    async def main() -> None:
        await drawn(ledger, Sample(0.0, 3_600.0))
        learned = rhythms(ledger)
        await learned.remember(DRAW)
        learned.learn(DRAW, Sample(5.0, 5.1 + WIDEST))
        assert learned.of(DRAW).schedule() == PAGE
        learned.learn(DRAW, Sample(5.0, 4.9 + WIDEST))
        assert learned.of(DRAW).schedule() != PAGE

    asyncio.run(main())


# What a look is worth.


def price(learned: Rhythms) -> float:
    return learned.of(DRAW).schedule().forecast.price


def test_a_look_is_worth_more_while_others_wait(ledger: Ledger) -> None:
    """A finished picture that nobody has seen keeps a place that the next one could have; the
    rest of the schedule is as it was asked for."""

    async def main() -> None:
        learned = rhythms(ledger)
        await learned.remember(DRAW)
        learned.learn(DRAW, about(15))
        assert price(learned) == forecast.PRICE
        learned.backlog = 1
        assert price(learned) == BACKLOG_PRICE
        learned.backlog = 0
        assert price(learned) == forecast.PRICE
        schedule = learned.of(DRAW).schedule()
        assert (schedule.deadline, schedule.backoff) == (PAGE.deadline, PAGE.backoff)

    asyncio.run(main())


def test_where_calls_are_short_a_look_has_its_price(ledger: Ledger) -> None:
    """The one at which most pictures come through, and fewer looks than where they are free;
    reckoned now and then, as it takes a while."""

    async def main() -> None:
        learned = rhythms(ledger)
        await learned.remember(DRAW)
        for number in range(12):
            learned.learn(DRAW, about(14 + number / 2))
        free = learned.of(DRAW).schedule().forecast
        known = learned.admission = replace(await ledger.look_refused(API), limit=12)
        paced = learned.of(DRAW).schedule().forecast
        assert paced.price == forecast.best_price(paced, 12, known.rate) > free.price
        assert paced.cost()[1] < free.cost()[1]
        for _ in range(PRICED_EVERY - 1):
            learned.learn(DRAW, about(60))
            assert price(learned) == paced.price
        learned.learn(DRAW, about(60))
        now = learned.of(DRAW).schedule().forecast
        assert now.price == forecast.best_price(now, 12, known.rate) != paced.price

    asyncio.run(main())


# Calls that are counted.


def test_looks_are_told_of_once(ledger: Ledger) -> None:
    """Those since the last time, while the ledger does not count them itself."""

    async def main() -> None:
        learned = rhythms(ledger)
        client = learned._client
        client.looks = 7
        assert (learned.looks_since(), learned.looks_since()) == (7, 0)
        client.looks = 9
        learned.admission = await ledger.look_refused(API)
        assert learned.looks_since() == 0
        client.looks = 12
        learned.admission = rhythm.Admission()
        assert learned.looks_since() == 3

    asyncio.run(main())


def test_a_look_waits_only_where_looks_count(ledger: Ledger, clock: Clock) -> None:
    """Where they do not, none is noted; where they do, each takes its place in the rate, and
    another kernel's turn comes after it."""

    async def main() -> None:
        learned = rhythms(ledger)
        before = await ledger.version()
        await learned.turn()
        assert await ledger.version() == before
        refused = RateLimited("too many", code="429", detail="", retry_after=None)
        look = learned.of(DRAW)
        await look.turn()
        await look.busy(refused)
        assert learned.admission.polls_count
        clock.now += await ledger.look_in_turn(API)
        await learned.turn()
        assert await ledger.look_in_turn(API) > 0
        waiting = asyncio.ensure_future(learned.turn())
        for _ in range(5):
            await ledger.admission(API)
        assert not waiting.done()
        waiting.cancel()

    asyncio.run(main())


def test_polls_are_paced_once_they_count(tmp_path: Path) -> None:
    """Against an account of twenty calls a second for all, and a schedule of fifty looks a second:
    a few are refused, then they keep to what is allowed, and every picture comes."""
    with Sandbox(latency=0.3, balance=100, rate=1200, burst=10, count_polls=True) as api:
        studio = Studio(settings_for(api.url, tmp_path / "home"))
        drawn = studio.wait(studio.batch([f"fox {number}" for number in range(8)]))
        known = studio.wait(limits_of(studio))
        studio.close()
        calls = api.counts["submit"] + api.counts["status"]
    assert len(drawn.images) == api.counts["accepted"] == 8
    assert known.polls_count
    assert known.rate < 30
    assert api.counts["refused"] < calls / 2


async def limits_of(studio: Studio) -> rhythm.Admission:
    workshop = await studio._open()
    return await workshop.ledger.admission(workshop.account)


# Who is next.


def test_who_waits_is_woken_by_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by one that came between the question and the rest; and from time to time without any,
    because other kernels change things unheard."""

    async def main() -> None:
        turns = Turns()
        monkeypatch.setattr(rhythm, "AGAIN", 3_600.0)
        resting = asyncio.ensure_future(turns.rest(3_600.0))
        await asyncio.sleep(0)
        assert not resting.done()
        turns.changed()
        await resting
        turns.ask()
        turns.changed()
        await turns.rest(3_600.0)
        turns.ask()
        resting = asyncio.ensure_future(turns.rest(3_600.0))
        await asyncio.sleep(0)
        assert not resting.done()
        resting.cancel()
        monkeypatch.setattr(rhythm, "AGAIN", 0.01)
        turns.ask()
        await turns.rest(float("inf"))

    asyncio.run(asyncio.wait_for(main(), 30))
