"""Which clicks are meant: a double click, a held key and impatience ask for one picture."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

ANSWERED: Final = 0.75
"""Seconds in which what a click brought about can be seen; longer than a key takes to repeat."""


class Clicks:
    """Tells a new click from the one before, said once more.

    What counts is when a click is handled, not when it was made: those that a busy kernel has kept
    waiting arrive together, and were made before the first could be answered.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wish: object = None
        self._handled = float("-inf")

    def repeated(self, wish: object) -> bool:
        """Whether this click asks for the same as the one before it, too soon to be meant."""
        now = self._clock()
        same = wish == self._wish and now - self._handled < ANSWERED
        self._wish, self._handled = wish, now
        return same
