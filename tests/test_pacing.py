"""When to look again: pure arithmetic."""

from __future__ import annotations

import pytest

from nanobanana_nb.pacing import Schedule, read_retry_after, time_asleep


def test_the_schedule_is_the_pages() -> None:
    """First after 10 s, then every 3 s, until the deadline."""
    schedule, waited, delays = Schedule(deadline=20), 0.0, []
    while (delay := schedule.next_poll(len(delays), waited)) is not None:
        delays.append(delay)
        waited += delay
    assert delays == [10, 3, 3, 3, 1]


def test_retries_double_and_spread_and_obey() -> None:
    """1, 2, 4 s, up to a quarter more; what the API asks for comes first."""
    schedule = Schedule()
    assert [schedule.retry(n, None, 0.0) for n in (1, 2, 3)] == [1, 2, 4]
    assert schedule.retry(1, None, 1.0) == 1.25
    assert schedule.retry(3, 0.5, 1.0) == 0.5


def test_retry_after_is_read_in_every_form() -> None:
    """Seconds, dates and nonsense; never more than a minute, never negative."""
    now = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT
    assert read_retry_after("3", now) == 3
    assert read_retry_after("2.5", now) == 2.5
    assert read_retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now) == 10
    assert read_retry_after("Sun, 06 Nov 1994 08:40:00 GMT", now) == 0
    assert read_retry_after("3600", now) == 60
    assert read_retry_after("-1", now) == 0
    assert read_retry_after("0", now) == 0
    assert read_retry_after("Sun, 06 Nov 1994 08:49:47 -0000", now) == 10  # UTC, not local time
    for nonsense in (
        *(None, "", " ", "soon", "nan", "1e309", "-1e309", "inf", "0x10", "3;q=1", "\ud800"),
        *("Sun, 06 Nov 99999 08:49:37 GMT", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov", ","),
        *("Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359"),
    ):
        assert read_retry_after(nonsense, now) in (None, 0.0, 60.0)
    for nonsense in (None, "", "soon", "nan", "1e309", "inf"):
        assert read_retry_after(nonsense, now) is None


def test_a_pause_that_was_asked_for_is_kept_and_cut() -> None:
    """The longer of the schedule's pause and the API's, but never past the deadline."""
    schedule = Schedule(deadline=20)
    assert schedule.next_poll(1, 5.0, at_least=7.0) == 7
    assert schedule.next_poll(1, 5.0, at_least=1.0) == 3
    assert schedule.next_poll(1, 5.0, at_least=60.0) == 15
    assert schedule.next_poll(1, 20.0, at_least=60.0) is None


def test_a_task_that_has_run_for_a_while_is_looked_at_sooner() -> None:
    """A task of yesterday is asked for at once, as its links live a day at most."""
    schedule = Schedule()
    assert [schedule.next_poll(0, 0.0, age=age) for age in (0, 4, 10, 80_000)] == [10, 6, 0, 0]
    assert schedule.next_poll(1, 0.0, age=80_000) == 3


HOURS = 8 * 3600.0


@pytest.mark.parametrize(
    ("monotonic", "wall", "asleep"),
    [
        pytest.param(1.0, 1.0, None, id="awake"),
        pytest.param(1.004, 1.0, None, id="a-little-late"),
        pytest.param(5.9, 5.9, None, id="a-busy-loop"),
        pytest.param(1.0, 4.0, None, id="the-clock-is-set-a-little"),
        pytest.param(1.0, HOURS, 0.0, id="lid-closed-where-the-clock-stands"),
        pytest.param(HOURS + 1, HOURS + 1, HOURS, id="lid-closed-where-the-clock-runs"),
        pytest.param(HOURS + 1, 1.0, HOURS, id="virtual-machine-paused"),
        pytest.param(1.0, -3600.0, 0.0, id="the-clock-is-set-back"),
        pytest.param(7.0, 7.0, 6.0, id="more-than-five-seconds-late"),
    ],
)
def test_what_counts_as_sleep(monotonic: float, wall: float, asleep: float | None) -> None:
    """Either clock may tell it; only what the monotonic one has counted is taken off."""
    assert time_asleep(1.0, monotonic, wall) == asleep
