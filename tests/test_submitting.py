"""From the intent to the task id: who waits, for how long, and when it is enough."""

from __future__ import annotations

import asyncio

import pytest

from nanobanana_nb import submitting
from nanobanana_nb.errors import BalanceTooLow, KeyRefused, RequestError, ServerError
from nanobanana_nb.pacing import SUBMIT_TRIES
from nanobanana_nb.submitting import IMPATIENT, LATELY, PATIENT, Breaker, Standstill, Ticket


class Clock:
    """A monotonic clock that is put by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def standstill(clock: Clock) -> Standstill:
    return Standstill(clock)


# An API that takes nothing.


def test_an_account_that_takes_nothing_is_asked_a_few_times(standstill: Standstill) -> None:
    """The same request again and again, with nothing under way: as often as any submit."""
    asked = [standstill.lasts(0, tries) for tries in range(1, SUBMIT_TRIES + 1)]
    assert asked == [False] * (SUBMIT_TRIES - 1) + [True]


def test_or_for_a_while(standstill: Standstill, clock: Clock) -> None:
    """However many requests take turns at it, each of them refused only once."""
    assert not standstill.lasts(0, 1)
    clock.now += IMPATIENT - 0.1
    assert not standstill.lasts(0, 1)
    clock.now += 0.1
    assert standstill.lasts(0, 1)


def test_a_crowd_of_our_own_is_no_standstill(standstill: Standstill, clock: Clock) -> None:
    """While a task of ours runs, waiting helps, however long it lasts; and then it begins anew."""
    for _ in range(100):
        clock.now += 60.0
        assert not standstill.lasts(1, 1_000)
    assert not standstill.lasts(0, 1)
    clock.now += IMPATIENT - 0.1
    assert not standstill.lasts(1, 1)
    clock.now += IMPATIENT - 0.1
    assert not standstill.lasts(0, 1)


def test_who_was_served_lately_is_patient(standstill: Standstill, clock: Clock) -> None:
    """A batch in the middle of its work is not given up because others use the account for two
    minutes, however often it was refused."""
    standstill.accepted()
    clock.now += LATELY - 1.0 - PATIENT
    begun = clock.now
    while clock.now < begun + PATIENT:
        assert not standstill.lasts(0, 1_000)
        clock.now += 10.0
    assert standstill.lasts(0, 1_000)


def test_patience_ends(standstill: Standstill, clock: Clock) -> None:
    """What was served ten minutes ago was served by another account, or another day."""
    standstill.accepted()
    clock.now += LATELY
    assert standstill.lasts(0, SUBMIT_TRIES)


def test_a_task_that_is_taken_ends_a_standstill(standstill: Standstill, clock: Clock) -> None:
    """The time until then does not count any more."""
    standstill.lasts(0, 1)
    clock.now += IMPATIENT - 0.1
    standstill.accepted()
    clock.now += LATELY + 1.0
    assert not standstill.lasts(0, 1)
    clock.now += IMPATIENT - 0.1
    assert not standstill.lasts(0, 1)


# What stops all that is queued.


def test_one_refusal_speaks_for_all_orders_so_far() -> None:
    """A refused key or no money, but nothing that another request may not meet; a later order is
    tried again."""
    breaker = Breaker()
    first, second = breaker.order(), breaker.order()
    breaker.note(ServerError("busy", code="500", detail="", retry_after=None))
    assert breaker.reason(first) is None
    refused = KeyRefused("no", code="401", detail="", retry_after=None)
    breaker.note(refused)
    later = breaker.order()
    assert [breaker.reason(one) for one in (first, second, later)] == [refused, refused, None]
    empty = BalanceTooLow("no", code="402", detail="", retry_after=None)
    breaker.stop(empty)
    assert breaker.reason(later) is empty


# A claim that is given up.


def test_what_waits_is_ended_when_its_ticket_is_dropped() -> None:
    """Now or next, also before it has begun to wait; and it says that nothing was billed."""

    async def main() -> None:
        ticket = Ticket()
        waiting = asyncio.ensure_future(ticket.wait(asyncio.Event().wait()))
        await asyncio.sleep(0)
        ticket.drop()
        with pytest.raises(RequestError, match="nothing was billed"):
            await waiting
        with pytest.raises(RequestError, match=submitting.DROPPED):
            await ticket.wait(asyncio.Event().wait())
        assert await Ticket().wait(asyncio.sleep(0, "done")) == "done"

    asyncio.run(asyncio.wait_for(main(), 30))
