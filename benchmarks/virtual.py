"""An asyncio loop in virtual time: a sleep of 17 s takes microseconds, and every order is exact.

It runs ordinary asyncio code, without sockets, threads or signals.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")

TICK = 1e-6
"""Seconds. No timer may come due at once, or rounding would let time stand still for ever."""


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_NoWaiting(self._pass))

    def time(self) -> float:
        return self._now

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return super().call_at(max(when, self._now + TICK), callback, *args, context=context)

    def _pass(self, seconds: float) -> None:
        self._now += max(seconds, TICK)


class _NoWaiting(selectors.SelectSelector):
    """Where a loop would wait, it lets the time pass."""

    def __init__(self, let_pass: Callable[[float], None]) -> None:
        super().__init__()
        self._let_pass = let_pass

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout is None:
            raise RuntimeError("Nothing will ever happen: all tasks wait for each other.")
        if not found and timeout:
            self._let_pass(timeout)
        return found


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, in no time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
