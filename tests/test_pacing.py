"""When to look again: pure arithmetic."""

from __future__ import annotations

from nanobanana_nb.pacing import Schedule, read_retry_after


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
    for nonsense in (None, "", "soon", "nan", "1e309", "inf"):
        assert read_retry_after(nonsense, now) is None
