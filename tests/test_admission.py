"""Finding an account's limits: what follows from each answer, without a clock or a network."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanobanana_nb.admission import FORGIVEN, LONGEST, LONGEST_PROBE, MOST_AT_ONCE, Admission, Load

NOW = 1.7e9
DAY = 86_400.0
BOUND = 1.5 * LONGEST


def test_tasks_are_sent_until_one_is_refused_and_what_runs_is_the_limit() -> None:
    """A few on the wire at a time, and one refusal is enough to know."""
    known = Admission()
    for running in range(8):
        assert known.wait(Load(0, running), NOW) == 0
        known = accepted(known, running)
    assert known.wait(Load(3, 8), NOW) == math.inf
    known = refused(known, 8, "concurrency")
    assert known.limit == 8
    assert known.wait(Load(0, 7), NOW) == 0
    assert known.wait(Load(1, 7), NOW) == math.inf


def test_one_more_than_the_limit_is_tried_in_a_while_and_one_only() -> None:
    """A limit that is raised is found, at the price of a refusal a minute at most."""
    known = refused(Admission(), 4, "concurrency")
    wait = known.wait(Load(0, 4), NOW)
    assert 45 <= wait <= 60
    later = NOW + wait
    assert known.wait(Load(0, 4), later) == 0
    known = known.sent(Load(0, 4), later)
    assert known.wait(Load(1, 4), later) == math.inf
    higher = known.accepted(Load(0, 4), later + 0.2, later, 0.5)
    assert higher.limit == 5
    assert higher.wait(Load(0, 5), later + 0.2) == 0, "it climbs while it is accepted"
    same = known.refused(Load(0, 4), later + 0.2, later, 0.5, "concurrency")
    assert same.limit == 4
    assert same.wait(Load(0, 4), later + 0.2) > 45


def test_a_limit_that_falls_is_followed_and_looked_for_again_soon() -> None:
    """From 16 to 1 in fewer refusals than tasks; then a try in seconds, for it fell in the dark."""
    known, refusals = refused(Admission(), 16, "concurrency"), 0
    for running in range(15, 0, -1):
        now = NOW + 60 - running
        if known.wait(Load(0, running), now) == 0:
            known = refused(known, running, "concurrency", now)
            refusals += 1
    assert known.limit == 1
    assert refusals <= 8
    assert known.wait(Load(0, 1), NOW + 60) < 5


def test_a_limit_that_was_higher_is_tried_more_often() -> None:
    """What fell for a while is found again sooner than what always was so."""
    always = refused(Admission(), 4, "concurrency")
    fell = refused(accepted(refused(Admission(), 8, "concurrency"), 3), 4, "concurrency")
    assert always.limit == fell.limit == 4
    assert fell.wait(Load(0, 4), NOW) <= 50 < always.wait(Load(0, 4), NOW)
    for _ in range(40):
        fell = refused(fell, 4, "concurrency")
    assert fell.wait(Load(0, 4), NOW) > 50, "but not for ever"


def test_one_more_is_not_tried_while_it_would_tell_nothing() -> None:
    """Not while more runs than the limit, and not while looks take all that the rate allows."""
    known, later = refused(Admission(), 4, "concurrency"), NOW + 100
    assert known.wait(Load(0, 4), later) == 0
    assert known.wait(Load(0, 6), later) == math.inf
    known = replace(known, polls_count=True, pace=1.0)
    assert replace(known, next_at=later - 0.5).wait(Load(0, 4), later) == math.inf
    assert replace(known, next_at=later - 1.5).wait(Load(0, 4), later) == 0


def test_refusals_of_what_was_on_the_wire_tell_nothing_new() -> None:
    """Four refusals at one moment are one event, and slow nothing down four times."""
    known = refused(Admission(), 5, "rate")
    for _ in range(3):
        again = known.refused(Load(0, 5), NOW + 0.1, NOW - 0.1, 0.5, "rate")
        assert again.pace == known.pace
        assert again.next_at == known.next_at
    later = known.refused(Load(0, 5), NOW + 1, NOW + 0.8, 0.5, "rate")
    assert later.pace is not None
    assert known.pace is not None
    assert later.pace > known.pace


def test_what_was_on_the_wire_and_is_accepted_raises_the_limit_again() -> None:
    """Answers come in any order; the limit is not too low for a minute because of it."""
    known = Admission().refused(Load(2, 6), NOW, NOW - 0.2, 0.5, "concurrency")
    known = known.accepted(Load(1, 6), NOW + 0.1, NOW - 0.2, 0.5)
    known = known.accepted(Load(0, 7), NOW + 0.1, NOW - 0.2, 0.5)
    assert known.limit == 8
    assert known.wait(Load(0, 8), NOW + 0.1) > 45


def test_the_rate_is_what_was_called_between_two_refusals() -> None:
    """Twenty calls in ten seconds from empty to empty: two a second, and a little less is used."""
    known, now = refused(Admission(), 5, "rate"), NOW
    for running in range(5, 25):
        now += 0.5
        known = accepted(replace(known, next_at=now), running, now)
    known = known.refused(Load(0, 25), now, now, 0.5, "rate")
    assert known.rate == pytest.approx(1.96, abs=0.01)
    assert known.limit is None
    assert 0 < known.wait(Load(0, 25), now) <= 0.6


def test_without_a_reason_it_was_the_rate_if_time_alone_helps() -> None:
    """The same again after a second, with nothing ended, is accepted: not too many at once."""
    known = refused(Admission(), 5, "")
    assert known.wait(Load(0, 5), NOW) == pytest.approx(1.1)
    known = accepted(known, 5, NOW + 1.2)
    assert known.limit is None
    assert known.rate is not None


def test_what_was_on_the_wire_settles_no_doubt() -> None:
    """It was accepted before the refusal, not because time has helped."""
    known = Admission().refused(Load(1, 5), NOW, NOW - 0.2, 0.5)
    known = known.accepted(Load(0, 5), NOW + 0.1, NOW - 0.2, 0.5)
    assert known.rate is None
    ended = accepted(known, 5, NOW + 1.2)
    assert ended.rate is None
    assert ended.limit == 6
    assert accepted(known, 6, NOW + 1.2).rate is not None


def test_a_pause_for_doubt_is_no_idleness() -> None:
    """What was called until the refusal still tells the rate, here two a second."""
    known, now = refused(Admission(), 5, "rate"), NOW
    for running in range(5, 25):
        now += 0.5
        known = accepted(replace(known, next_at=now), running, now)
    known = accepted(refused(known, 25, "", now), 25, now + 1.2)
    assert known.rate == pytest.approx(1.96, abs=0.01)


def test_without_a_reason_it_was_the_limit_if_time_alone_does_not_help() -> None:
    """Refused again after one second, and after three."""
    known = refused(Admission(), 5, "")
    assert known.wait(Load(1, 5), NOW + 1.2) == math.inf, "one at a time, while it is unclear"
    known = refused(known, 5, "", NOW + 1.2)
    assert known.limit is None
    assert known.wait(Load(0, 5), NOW + 1.2) > 3
    known = refused(known, 5, "", NOW + 4.5)
    assert known.limit == 5
    assert known.rate is None


def test_a_guessed_limit_is_given_up_when_a_look_is_refused() -> None:
    """A status call is never too many at once: so it was the rate all along."""
    known = Admission()
    for later in (0.0, 1.2, 4.5):
        known = refused(known, 1, "", NOW + later)
    assert known.limit == 1
    assert known.look_wait(NOW + 10) == 0
    known = known.look_refused(NOW + 10, 0.5)
    assert known.polls_count
    assert known.limit is None
    assert 0 < known.look_wait(NOW + 10) <= 1
    stated = refused(Admission(), 1, "concurrency").look_refused(NOW + 10, 0.5)
    assert stated.limit == 1, "what the API said stands"


def test_a_rate_that_was_counted_without_looks_is_counted_anew() -> None:
    """And a look that was refused is no call that the rate allowed."""
    known = refused(accepted(refused(Admission(), 5, "rate"), 5, NOW + 5), 6, "rate", NOW + 10)
    known = known.look_refused(NOW + 11, 0.5)
    assert known.counted_from == NOW + 11
    assert known.pace is not None
    assert known.pace < 6
    assert known.looked(NOW + 12).counted == 1
    assert known.looked(NOW + 12).look_refused(NOW + 12.1, 0.5, sent_at=NOW + 12).counted == 0


def test_where_looks_count_a_doubt_is_one_of_the_rate() -> None:
    """Looks of tasks that end free places while time helps; a limit guessed from it would stay."""
    known = replace(Admission(), polls_count=True, pace=1.0)
    known = accepted(refused(known, 3, "", NOW), 1, NOW + 2)
    assert known.limit is None
    assert known.counted_from == NOW
    assert known.counted == 1, "the call that was accepted after the refusal"


def test_where_looks_count_they_are_paced_and_take_turns_with_submits() -> None:
    """After a submit a look may go first, after a look a submit."""
    known, later = Admission().look_refused(NOW, 0.0), NOW + 100
    assert known.look_wait(NOW) > 0
    assert known.wait(Load(), NOW) > 0
    looked = known.looked(later).looked(later).looked(later).looked(later)
    assert 0 < looked.wait(Load(), later) < looked.look_wait(later)
    submitted = known
    for running in range(4):
        submitted = submitted.sent(Load(0, running), later)
    assert 0 < submitted.look_wait(later) < submitted.wait(Load(), later)


def test_looks_that_do_not_count_are_free() -> None:
    """They neither wait nor shift the rate of submits."""
    known = refused(Admission(), 5, "rate")
    assert known.looked(NOW) == known
    assert known.look_wait(NOW) == 0
    told = known.accepted(Load(), NOW + 1, NOW + 1, 0.5, polls=50)
    assert told.counted == 1


def test_with_nothing_under_way_it_is_tried_again_ever_later() -> None:
    """1, 2, 4 ... 30 s: an account that allows nothing for a while is not hammered."""
    known, now, waits = Admission(), NOW, []
    for _ in range(8):
        known = known.refused(Load(), now, now, 0.0)
        waits.append(round(known.wait(Load(), now)))
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    known = accepted(known, 0, now)
    assert known.wait(Load(0, 1), now) == 0
    assert known.refused(Load(), now + 1, now + 1, 0.0).wait(Load(), now + 1) == 1


@pytest.mark.parametrize("reason", ["concurrency", "rate", ""])
def test_retry_after_is_obeyed(reason: str) -> None:
    """Whatever was refused for whatever reason; up to a minute."""
    known = Admission().refused(Load(0, 3), NOW, NOW, 0.5, reason, retry_after=20.0)
    assert known.wait(Load(0, 0), NOW) >= 20
    assert known.wait(Load(0, 0), NOW + 19) > 0
    later = known.refused(Load(0, 3), NOW + 1, NOW - 1, 0.5, reason, retry_after=30.0)
    assert later.wait(Load(0, 0), NOW + 30) > 0, "also that of what was on the wire"
    absurd = Admission().refused(Load(0, 3), NOW, NOW, 0.5, reason, retry_after=1e9)
    assert 50 <= absurd.wait(Load(0, 0), NOW) <= LONGEST
    look = Admission().look_refused(NOW, 0.5, retry_after=20.0)
    assert look.look_wait(NOW + 19) > 0


def test_no_more_than_so_many_where_nothing_is_ever_refused() -> None:
    """A server that queues would otherwise be sent everything at once."""
    assert Admission().wait(Load(0, MOST_AT_ONCE), NOW) == math.inf
    assert Admission(limit=1000).wait(Load(0, MOST_AT_ONCE), NOW) == math.inf


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "{}", '{"limit": 3}', "1" * 5000, "[" * 100_000, "\x00"],
)
def test_what_is_not_ours_is_a_fresh_account(text: str) -> None:
    """Another version's state, or a damaged one, costs a refusal and no error."""
    assert Admission.from_json(text) == Admission()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", 0), ("limit", "8"), ("limit", True), ("pace", 0), ("pace", math.inf)),
        *(("doubts", 3), ("counted", None), ("next_at", math.nan), ("hold_until", 10**400)),
        *(("polls_count", 1), ("counted_from", -1.0)),
    ],
)
def test_a_value_that_cannot_be_is_a_fresh_account(name: str, value: object) -> None:
    """Nothing that is read can block a batch or end in a division by zero."""
    text = json.dumps({**json.loads(Admission(limit=5).to_json()), name: value})
    assert Admission.from_json(text) == Admission()


ANSWERS = ("accepted", "concurrency", "rate", "", "look", "look refused", "ended", "lost")
Step = tuple[str, float, float, float]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(ANSWERS),
        st.floats(-DAY, DAY) | st.floats(0, 5) | st.just(0.2),
        st.floats(0, 1),
        st.floats(0, 100) | st.just(0.0),
    ),
    max_size=40,
)


def played(steps: list[Step]) -> list[tuple[Admission, Load, float]]:
    """Every state on the way: a client that sends when it may, under clocks of any kind."""
    known, sending, running, now = Admission(), 0, 0, NOW
    states = [(known, Load(), now)]
    for answer, passed, chance, retry_after in steps:
        now = max(1.0, now + passed)
        if known.wait(Load(sending, running), now) == 0:
            known = known.sent(Load(sending, running), now)
            sending += 1
        if answer == "look":
            known = known.looked(now)
        elif answer == "look refused":
            known = known.look_refused(now, chance, retry_after or None, sent_at=now - 0.2)
        elif answer == "ended":
            running = max(0, running - 1)
        elif sending:
            sending -= 1
            load = Load(sending, running)
            if answer == "accepted":
                known = known.accepted(load, now, now - 0.2, chance, polls=3)
                running += 1
            elif answer != "lost":
                known = known.refused(load, now, now - 0.2, chance, answer, retry_after or None)
        states.append((known, Load(sending, running), now))
    return states


@settings(max_examples=100, deadline=None)
@given(STEPS, st.floats(-2 * DAY, 2 * DAY))
def test_nothing_blocks_for_ever(steps: list[Step], jump: float) -> None:
    """After any history and under any clock: with nothing under way the next call is at most a
    minute and a half away, and a limit is never below one."""
    for known, _, now in played(steps):
        assert known.limit is None or known.limit >= 1
        for then in (now, max(1.0, now + jump)):
            assert 0 <= known.wait(Load(), then) <= BOUND
            assert 0 <= known.look_wait(then) <= BOUND
        assert known.wait(Load(), now + BOUND) == 0


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_the_state_survives_the_ledger(steps: list[Step]) -> None:
    """What is written is read back the same, whatever has happened."""
    for known, _, _ in played(steps):
        assert Admission.from_json(known.to_json()) == known


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 300), st.integers(0, 300))
def test_never_more_than_the_limit_and_one_try(
    steps: list[Step], sending: int, running: int
) -> None:
    """Whatever is under way, also of other kernels."""
    known, _, now = played(steps)[-1]
    load = Load(sending, running)
    wait = known.wait(load, now)
    assert wait >= 0
    if wait == 0:
        assert load.total < MOST_AT_ONCE
        if known.limit is not None and load.total >= known.limit:
            assert load == Load(0, known.limit)
            assert known.sent(load, now).wait(Load(1, running), now) > 0
    else:
        assert wait == math.inf or wait <= LONGEST_PROBE


def test_a_clock_put_back_a_day_costs_a_minute_at_most() -> None:
    """Nor does it make the refusals after it those of an event to come."""
    known = Admission().refused(Load(0, 3), NOW, NOW, 0.5, "rate", retry_after=50.0)
    known = known.refused(Load(0, 3), NOW + 60, NOW + 59, 0.5, "concurrency", retry_after=50.0)
    then = NOW - DAY
    assert known.wait(Load(0, 2), then) == 0
    unheld = refused(Admission(), 3, "concurrency")
    assert unheld.wait(Load(0, 2), NOW - 30) == 0, "where nothing was put off, nothing waits"
    again = accepted(known, 1, then).refused(Load(0, 2), then + 1, then + 0.5, 0.5, "concurrency")
    assert again.limit == 2


def test_idleness_is_not_counted_as_a_slow_rate() -> None:
    """Ten calls in a minute of which most was idle do not make it ten a minute."""
    known, now = refused(Admission(), 5, "rate"), NOW
    for _ in range(10):
        now += 6
        known = accepted(known, 5, now)
    known = known.refused(Load(0, 5), now + 1, now + 1, 0.5, "rate")
    assert known.pace is not None
    assert known.pace < 1


def test_a_sleeping_machine_does_not_slow_the_rate() -> None:
    """The hours between two refusals are no time in which calls were counted."""
    known = refused(Admission(), 5, "rate")
    known = replace(known.sent(Load(0, 5), NOW + 0.1), counted=10)
    known = known.refused(Load(0, 5), NOW + DAY, NOW + 0.1, 0.5, "rate")
    assert known.pace is not None
    assert known.pace < 1


def accepted(known: Admission, running: int, now: float = NOW, **more: Any) -> Admission:
    """One is sent beside so many, and accepted."""
    load = Load(0, running)
    return known.sent(load, now).accepted(load, now, now, 0.5, **more)


def refused(known: Admission, running: int, reason: str, now: float = NOW) -> Admission:
    """One is sent beside so many, and refused."""
    load = Load(0, running)
    return known.sent(load, now).refused(load, now, now, 0.5, reason)


def test_a_rate_that_is_never_met_again_is_forgotten() -> None:
    """A stray refusal does not slow an account, or pace its looks, for good."""
    known = Admission().look_refused(NOW, 0.5)
    known = refused(known, 3, "rate", NOW + 1)
    assert known.polls_count
    for call in range(FORGIVEN + 1):
        known = accepted(known, 3)
        assert (known.pace is None) == (not known.polls_count) == (call == FORGIVEN)
