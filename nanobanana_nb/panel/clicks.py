"""Which clicks are meant: a double click, a held key and impatience ask for one picture."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

ANSWERED: Final = 0.75
"""Seconds in which what a click brought about can be seen; longer than a key takes to repeat."""


class Clicks:
    """Tells a new click from the one before, said once more.

    When a click is handled counts as well as when it was made: those that a busy kernel has kept
    waiting arrive together, and were made before the first could be answered; a kernel that is slow
    handles a double click late.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wish: object = None
        self._handled = float("-inf")
        self._made: float | None = None

    def repeated(self, wish: object, made: float | None = None) -> bool:
        """Whether this click asks for the same as the one before it, too soon to be meant.

        `made` is when the page sent it, in seconds by a clock of its own.
        """
        now = self._clock()
        soon = now - self._handled < ANSWERED
        if made is not None and self._made is not None:
            soon = soon or 0 <= made - self._made < ANSWERED
        same = soon and wish == self._wish
        self._wish, self._handled, self._made = wish, now, made
        return same
