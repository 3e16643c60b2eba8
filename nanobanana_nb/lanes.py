"""Which call goes next where many wait: what is finished is fetched before more is begun."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Final

AT_A_TIME: Final = 16
"""Calls on the wire. An HTTP client's own queue costs more with every call in it."""
MOST: Final[Mapping[str, int]] = {"fetch": 6, "ask": 12, "submit": 8}
"""Of each kind, the most urgent first: downloads fill memory, and none may keep out the others."""


class Lanes:
    """Room for so many calls at a time, given to downloads first, then looks, then submits."""

    def __init__(self, at_a_time: int = AT_A_TIME) -> None:
        self._free = at_a_time
        self._busy = dict.fromkeys(MOST, 0)
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {kind: deque() for kind in MOST}

    @contextlib.asynccontextmanager
    async def take(self, purpose: str) -> AsyncIterator[None]:
        """Wait for a place, and keep it within."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[purpose].append(place)
        self._give()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # given at the moment of the cancelling
                self._leave(purpose)
            raise
        try:
            yield
        finally:
            self._leave(purpose)

    def _leave(self, purpose: str) -> None:
        self._free += 1
        self._busy[purpose] -= 1
        self._give()

    def _give(self) -> None:
        """Give out the places that are free."""
        for purpose, waiting in self._waiting.items():
            while waiting and self._free and self._busy[purpose] < MOST[purpose]:
                place = waiting.popleft()
                if not place.done():
                    self._free -= 1
                    self._busy[purpose] += 1
                    place.set_result(None)
