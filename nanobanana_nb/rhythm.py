"""When to look at the tasks of one account, and who may send next: learned, within its limits."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import Final

from . import forecast
from .admission import Admission
from .client import Client
from .errors import LedgerError, RateLimited
from .forecast import Forecast, Sample
from .ledger import Ledger
from .models import Mode
from .pacing import Learned, Schedule
from .rows import Account

REMEMBERED: Final = 48
"""Tasks of an account that a new kernel learns from."""
BACKLOG_PRICE: Final = 0.05
"""Seconds that a look is worth while others wait: a late look then idles a place that is paid."""
AGAIN: Final = 1.0
"""Seconds; how often at least the first in the queue asks whether there is room."""
PRICED_EVERY: Final = 10
"""Tasks after which the best price is reckoned anew, where calls are limited."""
WIDEST: Final = 10.0
"""Seconds; what is known no better than that teaches nothing."""


NET_FIRST: Final = 60.0
"""Seconds until the first look at a task whose end a callback will tell,"""
NET_EVERY: Final = 30.0
"""and between any further ones: a safety net, as slow as a lost callback may cost."""


class Bell:
    """Rings when a callback says that a task has ended. `relied_on`: looking can wait for it."""

    def __init__(self, *, relied_on: bool) -> None:
        self._ringing = asyncio.Event()
        self.relied_on = relied_on

    def ring(self) -> None:
        """Let whoever waits look at once, and from then on as if there were no bell: it may have
        been too early, or false."""
        self.relied_on = False
        self._ringing.set()

    async def wait(self, seconds: float) -> bool:
        """Wait so long, or until it rings; whether it has rung since the last wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ringing.wait()
        rang = self._ringing.is_set()
        self._ringing.clear()
        return rang


class Turns:
    """Who may send next: first come, first served, and only the first asks."""

    def __init__(self) -> None:
        self.first = asyncio.Lock()
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """A task has ended or an answer has come, so that asking again is worth it."""
        self._changed.set()

    def ask(self) -> None:
        """From now on changes count: to be called before it is asked whether there is room."""
        self._changed.clear()

    async def rest(self, seconds: float) -> None:
        """Wait so long, or until something has changed; never long, as other kernels may do it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, AGAIN)):
                await self._changed.wait()


class Rhythms:
    """The rhythm of each mode, and what the account allows. Belongs to the portal's loop.

    `fixed` is a schedule that was asked for: then nothing that is learned changes it.
    """

    def __init__(
        self, client: Client, ledger: Ledger, account: Account, *, fixed: bool = False
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._account = account
        self._fixed = fixed
        self._told = 0
        self._learned = 0
        self._price_at = 0
        self._best_price = forecast.PRICE
        self._forecasts: dict[Mode, Forecast] = {}
        self.turns = Turns()
        self.admission = Admission()
        self.backlog = 0
        """Requests that wait to be sent."""
        self.callbacks_come = True
        """Whether callbacks can be relied on: the last one that was due has come."""

    async def remember(self, mode: Mode) -> None:
        """Learn from what the ledger holds, once."""
        if mode in self._forecasts:
            return
        self._forecasts[mode] = Forecast()
        with contextlib.suppress(LedgerError):  # a task is waited for without it, too
            self.admission = await self._ledger.admission(self._account)
            for sample in await self._ledger.durations(self._account, mode, REMEMBERED):
                self.learn(mode, sample)

    def learn(self, mode: Mode, sample: Sample) -> None:
        """Note how long a task took."""
        self._learned += 1
        if sample.high - sample.low <= WIDEST:
            self._forecasts[mode] = self._forecast(mode).learned(sample)

    def of(self, mode: Mode, bell: Bell | None = None) -> Rhythm:
        """When to look at a task of this mode; `bell` is for one whose end a callback will tell."""
        return Rhythm(self, mode, bell)

    def expected(self, mode: Mode) -> float:
        """Seconds that a picture usually takes."""
        known = self._forecast(mode)
        return known.expected if known.samples else self._client.schedule.expected

    def schedule(self, mode: Mode) -> Schedule:
        """When to look by now."""
        page, known = self._client.schedule, self._forecast(mode)
        if self._fixed or not known.samples:
            return page
        if (price := self._price(known)) != known.price:
            known = self._forecasts[mode] = known.at_price(price)  # kept, as its plan is
        return Learned(
            page.first_poll, page.poll_interval, page.deadline, page.expected, page.backoff, known
        )

    def net(self, mode: Mode) -> Schedule:
        """When to look though no callback has come."""
        page = self._client.schedule
        if self._fixed:
            return page
        first = max(NET_FIRST, 2 * self.expected(mode))
        return replace(page, first_poll=first, poll_interval=NET_EVERY)

    async def turn(self) -> None:
        """Wait until a status call is allowed, where the account counts them."""
        with contextlib.suppress(LedgerError):
            while self.admission.polls_count:
                pause = await self._ledger.look_in_turn(self._account)
                if pause <= 0:
                    return
                await asyncio.sleep(min(pause, AGAIN))

    async def busy(self, error: RateLimited, asked: float) -> None:
        """A status call was answered with 429: they count, and the account's rate is used up."""
        with contextlib.suppress(LedgerError):
            self.admission = await self._ledger.look_refused(
                self._account, error.retry_after, self.looks_since(), asked
            )

    def looks_since(self) -> int:
        """Status calls of this process of which the ledger does not know yet."""
        before, self._told = self._told, self._client.looks
        return 0 if self.admission.polls_count else self._told - before

    def _forecast(self, mode: Mode) -> Forecast:
        return self._forecasts.get(mode, Forecast())

    def _price(self, known: Forecast) -> float:
        """What a look is worth: much where it takes the place of a picture."""
        if not (self.admission.polls_count and self.admission.rate):
            return BACKLOG_PRICE if self.backlog else forecast.PRICE
        if self._learned >= self._price_at:  # it takes a few milliseconds
            self._price_at = self._learned + PRICED_EVERY
            limit, rate = self.admission.limit, self.admission.rate
            self._best_price = forecast.best_price(known, limit, rate)
        return self._best_price


class Rhythm:
    """When to look at a task of one mode; what `Client.wait` asks."""

    def __init__(self, rhythms: Rhythms, mode: Mode, bell: Bell | None = None) -> None:
        self._rhythms = rhythms
        self._mode = mode
        self._asked = 0.0
        self.bell = bell

    def schedule(self) -> Schedule:
        """The schedule as it is by now."""
        if self.bell and self.bell.relied_on and self._rhythms.callbacks_come:
            return self._rhythms.net(self._mode)
        return self._rhythms.schedule(self._mode)

    def ended(self) -> None:
        """The task was seen to have ended: by its callback, or although none came."""
        if self.bell and self.bell.relied_on:
            self._rhythms.callbacks_come = False

    async def turn(self) -> None:
        """Wait until a look is allowed."""
        await self._rhythms.turn()
        self._asked = time.time()

    async def busy(self, error: RateLimited) -> None:
        """A look was answered with 429."""
        await self._rhythms.busy(error, self._asked)
