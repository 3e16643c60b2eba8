"""Kill this process with SIGKILL at a named point of a task's way, without a hook in the product.

`arm("after-link", 3)` wraps a public method or function and kills at its third passage. A name
that no longer exists in the product raises `AttributeError` here, so that no point goes quiet.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import signal
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from nanobanana_nb import client, ledger, pictures

IN_FLIGHT: Final = 0.002
"""Seconds after which a request has left and its answer has hardly come."""


class _Countdown:
    """Kills at the n-th passage."""

    def __init__(self, passage: int) -> None:
        self._left = passage

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


Arm = Callable[[_Countdown], None]


def _before(owner: Any, name: str) -> Arm:
    return functools.partial(_wrap, owner, name, lambda *_: True, False)


def _after(owner: Any, name: str) -> Arm:
    return functools.partial(_wrap, owner, name, lambda *_: True, True)


def _step(state: str, *, done: bool) -> Arm:
    """Before or after `Ledger.move(id, state)` is committed."""

    def fits(*arguments: Any) -> bool:
        return state in arguments

    return functools.partial(_wrap, ledger.Ledger, "move", fits, done)


def _wrap(owner: Any, name: str, fits: Callable[..., bool], late: bool, hit: _Countdown) -> None:
    """Put a passage before or after each call that fits; async methods are awaited."""
    original = getattr(owner, name)

    @functools.wraps(original)
    async def awaiting(*arguments: Any, **named: Any) -> Any:
        here = fits(*arguments, *named.values())
        if here and not late:
            hit()
        result = await original(*arguments, **named)
        if here and late:
            hit()
        return result

    @functools.wraps(original)
    def calling(*arguments: Any, **named: Any) -> Any:
        if not late:
            hit()
        result = original(*arguments, **named)
        if late:
            hit()
        return result

    setattr(owner, name, awaiting if inspect.iscoroutinefunction(original) else calling)


def _during_submit(hit: _Countdown) -> None:
    original = client.Client.submit

    @functools.wraps(original)
    async def submit(self: client.Client, *arguments: Any, **named: Any) -> Any:
        timer = asyncio.get_running_loop().call_later(IN_FLIGHT, hit)
        try:
            return await original(self, *arguments, **named)
        finally:
            timer.cancel()

    client.Client.submit = submit  # type: ignore[method-assign]


def _during_download(hit: _Countdown) -> None:
    original = client.Client.download

    @functools.wraps(original)
    async def download(
        self: client.Client, url: str, write: Callable[[bytes], object], *arguments: Any
    ) -> Any:
        def write_half(piece: bytes) -> object:
            write(piece[: len(piece) // 2])
            hit()
            return write(piece[len(piece) // 2 :])

        return await original(self, url, write_half, *arguments)

    client.Client.download = download  # type: ignore[method-assign]


def _commit(*, done: bool) -> Arm:
    """Before or after any COMMIT; what was written before it must vanish as a whole."""

    def arm_commit(hit: _Countdown) -> None:
        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
                ends = sql.lstrip().upper().startswith("COMMIT")
                if ends and not done:
                    hit()
                cursor = super().execute(sql, *values)
                if ends and done:
                    hit()
                return cursor

        ledger.sqlite3.connect = functools.partial(  # type: ignore[attr-defined]
            sqlite3.connect, factory=Connection
        )

    return arm_commit


AT_START: Final = frozenset({"before-recover", "after-recover"})
"""Points that a child surely passes only once."""

POINTS: Final[dict[str, Arm]] = {
    "before-recover": _before(ledger.Ledger, "recover"),
    "after-recover": _after(ledger.Ledger, "recover"),
    "before-intent": _before(ledger.Ledger, "claim"),
    "after-intent": _after(ledger.Ledger, "claim"),
    "before-sending-commit": _before(ledger.Ledger, "send_in_turn"),
    "after-sending-commit": _after(ledger.Ledger, "send_in_turn"),
    "before-submit": _before(client.Client, "submit"),
    "during-submit": _during_submit,
    "after-submit-answer": _after(client.Client, "submit"),
    "before-submitted-commit": _before(ledger.Ledger, "accepted"),
    "after-submitted-commit": _after(ledger.Ledger, "accepted"),
    "before-status": _before(client.Client, "status"),
    "after-status": _after(client.Client, "status"),
    "before-ready-commit": _before(ledger.Ledger, "ready"),
    "after-ready-commit": _after(ledger.Ledger, "ready"),
    "after-fetching-commit": _step("fetching", done=True),
    "before-download": _before(client.Client, "download"),
    "during-download": _during_download,
    "after-download": _after(client.Client, "download"),
    "before-keep": _before(pictures.PictureStore, "keep"),
    "before-fsync": _before(os, "fsync"),
    "after-fsync": _after(os, "fsync"),
    "before-link": _before(os, "link"),
    "after-link": _after(os, "link"),
    "after-keep-before-stored": _after(pictures.PictureStore, "keep"),
    "before-stored-commit": _before(ledger.Ledger, "stored"),
    "after-stored-commit": _after(ledger.Ledger, "stored"),
    "before-commit": _commit(done=False),
    "after-commit": _commit(done=True),
}


def arm(point: str, passage: int) -> None:
    """From now on, this process dies at the n-th passage of that point."""
    POINTS[point](_Countdown(passage))
