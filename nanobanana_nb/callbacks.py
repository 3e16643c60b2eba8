"""What comes of callbacks: whoever waits for a task is woken, and paid tasks that nobody knows of,
because the answer to their submit was lost, are found.

The receiver (`webhook`) only notes in the ledger that a callback came, and anybody may have sent
it. So nothing is believed here before the API has said the same to a call of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Final

from . import tokens
from .client import Client
from .errors import (
    AccessDenied,
    APIError,
    BalanceTooLow,
    KeyRefused,
    LedgerError,
    NanoBananaError,
    RateLimited,
)
from .ledger import Ledger
from .rhythm import Bell, Rhythms
from .rows import Account, Callback, TaskRow

EVERY: Final = 0.25
"""Seconds between two looks for callbacks."""
PATIENCE: Final = 10.0
"""Seconds for which the callback of a lost submit is waited for, beyond three usual tasks."""
TRIES: Final = 8
"""How often the API is asked about a task that it does not know: after 1, 2, 4, ... seconds."""
GLANCE: Final = 3.0
"""Seconds that a person waits for what the API says of callbacks that have come."""
AT_ONCE: Final = 8
"""Questions to the API at a time."""


class _Question:
    """What the API is asked about an attempt, again and again until it is settled; `answered` when
    it has said something once."""

    def __init__(self, attempt_id: str) -> None:
        self.attempt_id = attempt_id
        self.answered = asyncio.Event()
        self.work: asyncio.Task[None] | None = None


class Callbacks:
    """The callbacks of one account. Belongs to the portal's loop.

    `url` is where the API reaches our receiver; empty where it is not asked to call.
    """

    def __init__(
        self, url: str, client: Client, ledger: Ledger, rhythms: Rhythms, account: Account
    ) -> None:
        self._url = url
        self._client = client
        self._ledger = ledger
        self._rhythms = rhythms
        self._account = account
        self._secret = ""
        self._bells: dict[str, Bell] = {}
        self._lost: dict[str, asyncio.Event] = {}
        self._rung: set[int] = set()
        self._asking: dict[int, _Question] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._watching: asyncio.Task[None] | None = None
        self._take: Callable[[TaskRow], None] | None = None

    async def address(self, id: str) -> str:  # noqa: A002
        """Where the API is to call about an attempt; empty where it is not asked to."""
        if not self._url:
            return ""
        if not self._secret:
            self._secret = await self._ledger.receiver_secret()
        return f"{self._url}/{tokens.mint(self._secret, id)}"

    @contextlib.contextmanager
    def bell(self, id: str, *, relied_on: bool) -> Iterator[Bell | None]:  # noqa: A002
        """What rings when a callback for this attempt has come; None where none is expected.

        It is relied on where this kernel has asked the API to call.
        """
        if not self._url:
            yield None
            return
        bell = self._bells[id] = Bell(relied_on=relied_on)
        try:
            yield bell
        finally:
            del self._bells[id]

    def awaits(self, id: str) -> bool:  # noqa: A002
        """Whether it may still turn out what became of a lost submit."""
        return id in self._lost or any(one.attempt_id == id for one in self._asking.values())

    async def found_again(self, id: str) -> TaskRow | None:  # noqa: A002
        """The task of a submit whose answer was lost, once its callback has come; None if none
        has in the time in which it should have."""
        if not self._url:
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
            del self._lost[id]
        return row if row is not None and row.task_id else None

    def watch(self, take: Callable[[TaskRow], None]) -> None:
        """Look for callbacks from now on; `take` is given the tasks that nobody looks after."""
        self._take = take
        if self._url and (self._watching is None or self._watching.done()):
            self._watching = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(LedgerError):  # the next round tries again
                await self._hear()
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """See what has come, and wait for a moment for what the API says of it."""
        await self._hear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GLANCE):
                for question in [*self._asking.values()]:
                    await question.answered.wait()

    async def _hear(self) -> None:
        """Wake whoever waits, and begin to ask about tasks that only a callback knows of."""
        came = await self._ledger.callbacks(self._account)
        self._rung &= {one.number for one in came}
        for one in came:
            if one.number not in self._rung:
                await self._ring(one)
            if one.is_news and one.number not in self._asking:
                question = self._asking[one.number] = _Question(one.id)
                question.work = asyncio.ensure_future(self._ask(question, one))
                question.work.add_done_callback(functools.partial(self._asked, one.number))
        for id_ in [*self._lost]:
            row = await self._ledger.get(id_)
            if row is not None and row.state == "sending":  # that it is lost could not be noted
                await self._ledger.move(id_, "unknown")
            if id_ in self._lost and (row is None or row.state not in ("sending", "unknown")):
                self._lost[id_].set()

    async def _ring(self, one: Callback) -> None:
        """Have the task looked at, once for each callback."""
        if one.id in self._bells:
            self._rung.add(one.number)
            self._rhythms.callbacks_come = True
            self._bells[one.id].ring()
        elif one.state == "parked" and self._take is not None:
            self._rung.add(one.number)
            if (row := await self._ledger.get(one.id)) is not None:
                self._take(row)

    def _asked(self, number: int, _: asyncio.Task[None]) -> None:
        self._asking.pop(number).answered.set()

    async def _ask(self, question: _Question, one: Callback) -> None:
        """Ask the API about a task until it says whether there is such; then the task is ours."""
        with contextlib.suppress(LedgerError):  # it is begun anew in the next round
            for tries in range(TRIES):
                if not await self._ledger.belongs_elsewhere(one) and await self._exists(one):
                    self._found(await self._ledger.found(one))
                    return
                question.answered.set()
                await asyncio.sleep(2.0**tries)
            await self._ledger.ignore(one)

    async def _exists(self, one: Callback) -> bool:
        """Whether the API knows the task; asked until it says so or not."""
        pause = 1.0
        while True:
            await self._rhythms.turn()
            asked = time.time()
            try:
                async with self._room:
                    return await self._client.knows(one.task_id)
            except RateLimited as error:
                await self._rhythms.busy(error, asked)
            except NanoBananaError as error:
                if _denies(error):
                    return False
            await asyncio.sleep(pause)
            pause = min(2 * pause, 60.0)

    def _found(self, row: TaskRow | None) -> None:
        """Give a task to who waits for it, else to who looks after what nobody waits for."""
        if row is None:
            return
        if row.id in self._lost:
            self._lost[row.id].set()
        elif self._take is not None:
            self._take(row)


def _denies(error: NanoBananaError) -> bool:
    """Whether the API says that there is no such task, rather than nothing about it."""
    about_us = KeyRefused | AccessDenied | BalanceTooLow
    return isinstance(error, APIError) and not error.retryable and not isinstance(error, about_us)
