"""When to look again: pure functions of what was observed, with time and chance passed in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

MAX_RETRY_AFTER: Final = 60.0
SUBMIT_TRIES: Final = 4
"""The first, and three more after 1, 2 and 4 s: the only schedule that APIXO's pages give."""
DOWNLOAD_TRIES: Final = 4


@dataclass(frozen=True)
class Schedule:
    """When to ask for a task's status, in seconds; the page asks for 10, then every 3."""

    first_poll: float = 10.0
    poll_interval: float = 3.0
    deadline: float = 900.0
    expected: float = 17.5
    """How long a picture usually takes (the page: 15-20 s); shown, never relied on."""
    backoff: float = 1.0

    def next_poll(self, polls: int, waited: float) -> float | None:
        """Seconds until the next poll after `polls` of them, or None at the deadline."""
        delay = self.first_poll if polls == 0 else self.poll_interval
        left = self.deadline - waited
        return min(delay, left) if left > 0 else None

    def retry(self, tries: int, retry_after: float | None, chance: float) -> float:
        """Seconds before another try: what the API asked for, else twice as long each time.

        `chance` (0 to 1) spreads the tries of several clients over a quarter of the wait.
        """
        if retry_after is not None:
            return retry_after
        return float(self.backoff * 2 ** (tries - 1) * (1 + 0.25 * chance))


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
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER) if math.isfinite(seconds) else None
