"""A plan of faults: which submit meets which directive, decided by a seed and nothing else.

The same seed and the same order of submits give the same faults, so that a run that went wrong
can be had again. No state is kept here and no clock looked at.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

_PASSING = (429, 500, 502, 503, 504)

POOL = (
    # nothing was taken
    *(f"{face}{status}" for face in ("", "gateway-", "envelope-") for status in _PASSING),
    "drop-unbilled",
    # it was taken, and the answer is late or never comes
    "drop",
    "slow-submit",
    # the task fails
    "UPSTREAM_ERROR",
    "TIMEOUT",
    "PROCESSING_TIMEOUT",
    "MODEL_UNAVAILABLE",
    "GENERATION_FAILED",
    "CONTENT_VIOLATION",
    # its state is told badly at first
    *(f"poll-{face}{status}" for face in ("", "gateway-", "envelope-") for status in _PASSING),
    "poll-html",
    "null-data",
    "early-404",
    "processing_r2",
    # or oddly
    "upper",
    "object",
    "no-cost",
    "two",
    # its picture needs a second download
    "cut-once",
    # its callback does not do as documented; nothing happens to a task without one
    "callback-never",
    "callback-twice",
    "callback-early",
    "callback-lost",
    "callback-refused",
    "callback-forged",
    "callback-garbage",
    "callback-reordered",
)
"""The directives that a plan picks from. With each of them the task ends; none of them says that
the key or the money is no good, which would end all other tasks too; and none of them makes a
picture that was drawn impossible to get."""


@dataclass(frozen=True)
class Fault:
    """A directive that the plan picked."""

    directive: str
    task_id: str | None
    """The task that it befell; None where it kept the submit from becoming one."""


@dataclass(frozen=True)
class Plan:
    """Each submit, independently, meets a fault with the probability ``rate``, 0 to 1. With a
    higher rate the same submits are hit by the same faults, and more of them. ValueError for a
    rate that is no probability."""

    rate: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        rate = self.rate
        number = isinstance(rate, int | float) and not isinstance(rate, bool)
        if not (number and math.isfinite(rate) and 0 <= rate <= 1):
            raise ValueError(f"faults is {rate!r}; give a share of the submits, from 0 to 1")

    def pick(self, ordinal: int) -> str | None:
        """The directive for the so-many-th submit, or None for one that goes well."""
        lot = hashlib.sha256(f"{self.seed}/{ordinal}".encode()).digest()
        if int.from_bytes(lot[:8], "big") >= self.rate * 2**64:
            return None
        return POOL[int.from_bytes(lot[8:16], "big") % len(POOL)]
