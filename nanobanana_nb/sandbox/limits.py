"""How much the account takes: tasks under way at a time, and requests a minute.

The documents name both limits and give no numbers, nor do they say whether polls count or whether
``Retry-After`` is sent (section 9). So nothing is limited unless it is asked for.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

from .contract import HTTP_MESSAGES, Response, json_response

_SLACK = 1e-6
"""What a clock of Unix seconds is off by, so that a whole second makes a whole request."""


@dataclass(frozen=True)
class Limits:
    """What the account allows; None is no limit. Raises ValueError for what is no limit at all.

    ``at_once`` is in tasks, from acceptance until they are due; 0 takes none. ``rate`` is in
    requests a minute, ``burst`` how many of them may come in one moment (a minute's by default):
    submits, and status calls too with ``count_polls``. A refusal says which limit it was with
    ``reasons``, and when to come again with ``retry_after``.
    """

    at_once: int | None = None
    rate: float | None = None
    burst: float | None = None
    count_polls: bool = False
    reasons: bool = False
    retry_after: bool = False

    def __post_init__(self) -> None:
        at_once, rate, burst = self.at_once, self.rate, self.burst
        whole = isinstance(at_once, int) and not isinstance(at_once, bool)
        if at_once is not None and not (whole and at_once >= 0):
            raise ValueError(f"at_once is {at_once!r}; give a number of tasks, 0 or more, or None")
        if rate is not None and not (_is_number(rate) and rate > 0):
            raise ValueError(f"rate is {rate!r}; give requests a minute, more than 0, or None")
        if burst is not None and not (_is_number(burst) and burst >= 1):
            raise ValueError(f"burst is {burst!r}; give requests at one moment, 1 or more, or None")

    @property
    def allowance(self) -> float:
        """Requests that may come in one moment after a long silence."""
        return self.burst or max(self.rate or 0.0, 1.0)


class Gate:
    """Who may come in. Times are Unix seconds; one caller at a time."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._left = 0.0
        self._counted_at = -math.inf  # a silence before the first request, so that it finds all
        self._dues: list[float] = []

    def change(self, limits: Limits, now: float) -> None:
        """Other limits from now on; what is under way stays, and what the minute has left too."""
        if self.limits.rate is not None:
            self._refill(now, self.limits.rate)
        self.limits = limits

    def request(self, now: float, *, poll: bool) -> Response | None:
        """Count a request against the rate: the refusal, or None and it may pass."""
        rate = self.limits.rate
        if rate is None or (poll and not self.limits.count_polls):
            return None
        self._refill(now, rate)
        if self._left >= 1 - _SLACK:
            self._left -= 1
            return None
        why = f"Rate limit exceeded: {rate:g} requests per minute"
        return self._refusal(why, (1 - self._left) * 60 / rate)

    def full(self, now: float) -> Response | None:
        """The refusal where no further task may be under way, or None."""
        at_once, under_way = self.limits.at_once, self.under_way(now)
        if at_once is None or under_way < at_once:
            return None
        why = f"Concurrency limit reached: {at_once} {'task' if at_once == 1 else 'tasks'} at once"
        free = sorted(self._dues)[under_way - at_once] if at_once else math.inf
        return self._refusal(why, free - now)

    def enter(self, due: float) -> None:
        """A task is under way until it is due; infinity for one that never is."""
        heapq.heappush(self._dues, due)

    def under_way(self, now: float) -> int:
        """How many tasks are accepted and not due yet."""
        while self._dues and self._dues[0] <= now:
            heapq.heappop(self._dues)
        return len(self._dues)

    def _refill(self, now: float, rate: float) -> None:
        come = max(now - self._counted_at, 0.0) * rate / 60
        self._left = min(self._left + come, self.limits.allowance)
        self._counted_at = now

    def _refusal(self, why: str, wait: float) -> Response:
        message = why if self.limits.reasons else HTTP_MESSAGES[429]
        headers = {}
        if self.limits.retry_after and math.isfinite(wait):
            headers["Retry-After"] = str(max(1, math.ceil(wait - _SLACK)))
        return json_response(429, {"code": 429, "message": message, "data": None}, headers)


def _is_number(value: object) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and math.isfinite(value)  # type: ignore[arg-type]
