"""What comes of callbacks: whoever waits for a task is woken, and lost submits are found again.

The receiver (`webhook`) only notes in the ledger that a callback came, and anybody may have sent
it. So nothing is believed here either before the API has said the same to a call of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from . import tokens
from .client import Client
from .errors import LedgerError, NanoBananaError, TaskNotFound
from .ledger import Ledger
from .rhythm import Bell, Rhythms
from .rows import Account, Callback, TaskRow

EVERY: Final = 0.25
"""Seconds between two looks for callbacks."""
AGAIN: Final = 2.0
"""Seconds until a callback is asked about again that could not be."""
PATIENCE: Final = 10.0
"""Seconds for which the callback of a lost submit is waited for, beyond three usual tasks."""
TRIES: Final = 8
"""How often the API is asked about a task id that a callback names and it does not know."""


@dataclass(frozen=True)
class _Doubt:
    """A callback that could not be confirmed: how often, and when to ask again."""

    tries: int = 0
    again: float = 0.0

    def next(self, now: float) -> _Doubt:
        return _Doubt(self.tries + 1, now + 2.0**self.tries)


class Callbacks:
    """The callbacks of one account. Belongs to the portal's loop.

    `url` is where the API reaches our receiver; empty where it is not asked to call.
    """

    def __init__(
        self,
        url: str,
        client: Client,
        ledger: Ledger,
        rhythms: Rhythms,
        account: Account,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._client = client
        self._ledger = ledger
        self._rhythms = rhythms
        self._account = account
        self._clock = clock
        self._secret = ""
        self._bells: dict[str, Bell] = {}
        self._heard: set[int] = set()
        self._doubts: dict[int, _Doubt] = {}
        self._lost: dict[str, asyncio.Event] = {}
        self._watching: asyncio.Task[None] | None = None

    async def address(self, id: str) -> str:  # noqa: A002
        """Where the API is to call about an attempt; empty where it is not asked to."""
        if not self._url:
            return ""
        if not self._secret:
            self._secret = await self._ledger.receiver_secret()
        return f"{self._url}/{tokens.mint(self._secret, id)}"

    @contextlib.contextmanager
    def bell(self, id: str) -> Iterator[Bell | None]:  # noqa: A002
        """What rings when a callback for this attempt has come; None where none is expected."""
        if not self._url:
            yield None
            return
        bell = self._bells[id] = Bell()
        try:
            yield bell
        finally:
            self._bells.pop(id, None)

    async def found_again(self, id: str) -> TaskRow | None:  # noqa: A002
        """The task of a submit whose answer was lost, once its callback has come; None if none
        has in the time in which it should have."""
        if not self._url or not self._rhythms.callbacks_come:
            return None
        found = self._lost[id] = asyncio.Event()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3 * self._rhythms.expected("text-to-image") + PATIENCE):
                    await found.wait()
            row = await self._ledger.get(id)
        except LedgerError:
            return None
        finally:
            self._lost.pop(id, None)
        return row if row is not None and row.task_id else None

    def watch(self, found: Callable[[TaskRow], None]) -> None:
        """Look for callbacks from now on; `found` is told of lost submits for which nobody waits
        any more."""
        if self._url and (self._watching is None or self._watching.done()):
            self._watching = asyncio.ensure_future(self._watch(found))

    async def _watch(self, found: Callable[[TaskRow], None]) -> None:
        while True:
            with contextlib.suppress(LedgerError):  # the next round tries again
                for row in await self.look():
                    found(row)
            await asyncio.sleep(EVERY)

    async def look(self) -> list[TaskRow]:
        """See what callbacks have come; the submits found again for which nobody waits."""
        came = await self._ledger.callbacks(self._account)
        self._heard &= {one.number for one in came}
        for one in came:
            if one.number not in self._heard and one.id in self._bells:
                self._heard.add(one.number)
                self._rhythms.callbacks_come = True
                self._bells[one.id].ring()
        found = [await self._confirmed(one) for one in came if one.state == "unknown"]
        for id_ in [*self._lost]:
            row = await self._ledger.get(id_)
            if row is None or row.state != "unknown":
                self._lost[id_].set()
        return [row for row in found if row is not None and row.id not in self._lost]

    async def _confirmed(self, callback: Callback) -> TaskRow | None:
        """The attempt as an accepted task, if the API knows the task that its callback names."""
        doubt = self._doubts.get(callback.number, _Doubt())
        if doubt.tries >= TRIES or self._clock() < doubt.again:
            return None
        self._doubts[callback.number] = doubt.next(self._clock())
        if await self._ledger.belongs_elsewhere(callback):
            return None
        try:
            await self._client.status(callback.task_id)
            await self._ledger.move(callback.id, "submitted", task_id=callback.task_id, error=None)
        except TaskNotFound:
            return None
        except NanoBananaError:  # no answer, or another kernel was faster: neither says anything
            self._doubts[callback.number] = _Doubt(doubt.tries, self._clock() + AGAIN)
            return None
        self._rhythms.callbacks_come = True
        return await self._ledger.get(callback.id)
