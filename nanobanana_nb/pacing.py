"""When to look again: pure functions of what was observed, with time and chance passed in."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from .forecast import Forecast

MAX_RETRY_AFTER: Final = 60.0
SUBMIT_TRIES: Final = 4
"""The first, and three more after 1, 2 and 4 s: the only schedule that APIXO's pages give."""
DOWNLOAD_TRIES: Final = 4
JUMP: Final = 5.0
"""Seconds by which two clocks must differ before we believe that the machine was asleep."""


@dataclass(frozen=True)
class Schedule:
    """When to ask for a task's status, in seconds; the page asks for 10, then every 3."""

    first_poll: float = 10.0
    poll_interval: float = 3.0
    deadline: float = 900.0
    expected: float = 17.5
    """How long a picture usually takes (the page: 15-20 s); shown, never relied on."""
    backoff: float = 1.0

    def next_poll(
        self,
        polls: int,
        waited: float,
        *,
        age: float = 0.0,
        at_least: float = 0.0,
        trip: float = 0.0,
    ) -> float | None:
        """Seconds until the next poll after `polls` of them, or None at the deadline.

        `age` is for how long the task had been running before the waiting began; `at_least` is
        what the API asked for, `trip` how long a question and its answer are on their way.
        """
        left = self.deadline - waited
        delay = self._delay(polls, waited, age, trip)
        return min(max(delay, at_least), left) if left > 0 else None

    def _delay(self, polls: int, waited: float, age: float, trip: float) -> float:  # noqa: ARG002
        """Seconds until the next poll; neither time nor trip changes the page's."""
        return max(0.0, self.first_poll - age) if polls == 0 else self.poll_interval

    def retry(self, tries: int, retry_after: float | None, chance: float) -> float:
        """Seconds before another try: what the API asked for, else twice as long each time.

        `chance` (0 to 1) spreads the tries of several clients over a quarter of the wait.
        """
        if retry_after is not None:
            return retry_after
        return float(self.backoff * 2 ** (tries - 1) * (1 + 0.25 * chance))


@dataclass(frozen=True)
class Learned(Schedule):
    """The same, with the polls where the tasks before this one say that they are worth it."""

    forecast: Forecast = field(default_factory=Forecast)

    def _delay(self, polls: int, waited: float, age: float, trip: float) -> float:
        """Seconds until the next poll; without any task to learn from, as the page asks."""
        if not self.forecast.samples:
            return super()._delay(polls, waited, age, trip)
        # The question arrives half a trip later, and is about that moment.
        there = age + waited + trip / 2
        return max(0.0, self.forecast.next_look(there if polls else 0.0) - there)


def time_asleep(asked: float, monotonic: float, wall: float) -> float | None:
    """How long the machine slept or stood still during a pause; None if it did not.

    The pause should have lasted `asked` seconds, and lasted `monotonic` and `wall` seconds by the
    two clocks. What is returned is what the monotonic clock has counted of the sleep: much where
    it runs on, nothing where it stands still and only the other clock has jumped.
    """
    overslept = monotonic - asked
    if overslept > JUMP:
        return overslept
    return 0.0 if abs(wall - monotonic) > JUMP else None


def read_retry_after(value: str | None, now: float) -> float | None:
    """Seconds from a Retry-After header (seconds or an HTTP date), 0 to a minute; None if absurd.

    `now` is Unix time in seconds.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
            # A date whose zone is "-0000" comes without one, and is UTC, not local time.
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, TypeError, LookupError, ArithmeticError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER) if math.isfinite(seconds) else None
