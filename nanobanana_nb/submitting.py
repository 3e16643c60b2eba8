"""From the intent to the task id: the part that costs money and happens at most once.

A request is sent again only where the API surely took no task. Whatever else goes wrong on the way
leaves the attempt `unknown`: named, priced, counted, and never sent again by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, TypeVar

from . import outcomes, protocol
from .admission import Load
from .callbacks import Callbacks
from .client import Client, chance
from .errors import (
    LedgerError,
    NanoBananaError,
    RateLimited,
    RequestError,
    SubmitUnknown,
    TransportError,
)
from .ledger import Ledger
from .pacing import SUBMIT_TRIES
from .portal import Job
from .reporting import Tracker
from .rhythm import Rhythms
from .rows import State, TaskRow

T = TypeVar("T")

DROPPED: Final = "Dropped before it was sent; nothing was billed."
IMPATIENT: Final = 20.0
"""Seconds for which an API is asked that is busy without any task of ours,"""
PATIENT: Final = 150.0
"""and for which it is asked if it took one lately."""
LOST: Final = 4
"""Answers in a row that got lost."""
LATELY: Final = 600.0
"""Seconds."""
NOTE_TRIES: Final = 5
"""How often the id of a paid task is put before a ledger that does not take it."""


class Breaker:
    """Stops what is queued when every request would be refused alike: no key, money or access.

    One message then speaks for all. A later order is tried again: the key or the balance may be
    another one by then.
    """

    def __init__(self) -> None:
        self._orders = 0
        self._lost = 0
        self._stopped_until = 0
        self._reason: NanoBananaError | None = None

    def order(self) -> int:
        """A number for a new order."""
        self._orders += 1
        return self._orders

    def note(self, error: NanoBananaError) -> None:
        """Stop all orders so far, if the error is of that kind."""
        if outcomes.stops_the_queue(error):
            self.stop(error)

    def lost_one(self) -> None:
        """An answer got lost: what goes on like that may bill a whole queue for nothing."""
        self._lost += 1
        if self._lost >= LOST and self.reason(self._orders) is None:
            self.stop(
                RequestError(
                    f"{self._lost} submits in a row got no answer and may have been billed, so no "
                    "more are sent; nothing was billed for this one. %nanobanana_balance tells "
                    "what was billed."
                )
            )

    def accepted(self) -> None:
        """The API has taken a task, and said so."""
        self._lost = 0

    def stop(self, error: NanoBananaError) -> None:
        """Stop all orders so far."""
        self._reason = error
        self._stopped_until = self._orders

    def reason(self, order: int) -> NanoBananaError | None:
        """Why an order must not be sent any more."""
        return self._reason if order <= self._stopped_until else None


class Pace:
    """One pause for all: what the API asks of one submit, it asks of every other."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._until = 0.0

    def pause(self, seconds: float) -> None:
        """Let nobody send for so long."""
        self._until = max(self._until, self._clock() + seconds)

    async def turn(self) -> None:
        """Wait until one may send."""
        while (left := self._until - self._clock()) > 0:
            await self._sleep(left)


class Ticket:
    """A task's claim to be sent, which a person may give up while it waits.

    To be dropped only once the ledger says that it is: whatever waits then has sent nothing.
    """

    def __init__(self) -> None:
        self.sent = False
        self._dropped = False
        self._limit: asyncio.Timeout | None = None

    def drop(self) -> None:
        """End what is waited for, now or next."""
        self._dropped = True
        if self._limit is not None:
            self._limit.reschedule(0)

    async def wait(self, waiting: Awaitable[T]) -> T:
        """Await it; raises `RequestError` as soon as the ticket is dropped."""
        limit = asyncio.timeout(0 if self._dropped else None)
        try:
            async with limit:
                self._limit = limit
                return await waiting
        except TimeoutError:
            if not limit.expired():
                raise
            raise RequestError(DROPPED) from None
        finally:
            self._limit = None


@dataclass(frozen=True)
class Errand:
    """What all requests of one call share: who waits for it, its number and its budget.

    One of them at a time stands in the queue, so that a long batch lets others in between.
    """

    number: int
    job: Job[Any]
    budget: Decimal | None = None
    line: asyncio.Lock = field(default_factory=asyncio.Lock)


class Standstill:
    """For how long the API has said "too many" though nothing of ours was under way.

    That is no crowd of ours: something else uses the account up, or it takes nothing. Who was
    served a while ago is patient.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._served = -math.inf

    def accepted(self) -> None:
        """The API has taken a task."""
        self._since, self._served = None, self._clock()

    def lasts(self, under_way: int, tries: int) -> bool:
        """Note a refusal with so many tasks under way; whether it is enough.

        `tries` is how often in a row the same request was refused like that.
        """
        now = self._clock()
        if under_way:
            self._since = None
            return False
        self._since = now if self._since is None else self._since
        if now - self._served < LATELY:
            return now - self._since >= PATIENT
        return tries >= SUBMIT_TRIES or now - self._since >= IMPATIENT


@dataclass(frozen=True)
class Submitter:
    """Sends requests. `before` is called first and may refuse: there is no room on the disk."""

    client: Client
    ledger: Ledger
    rhythms: Rhythms
    callbacks: Callbacks
    before: Callable[[], None]
    breaker: Breaker = field(default_factory=Breaker)
    pace: Pace = field(default_factory=Pace)
    standstill: Standstill = field(default_factory=Standstill)
    unbilled: set[str] = field(default_factory=set)
    """Tasks that the API surely did not take, though the ledger would not note that."""

    def stopped(self, errand: Errand) -> NanoBananaError | None:
        """Why nothing more of an errand may be sent, if so."""
        if errand.job.detached:
            return RequestError("Stopped before it was sent; nothing was billed.")
        return self.breaker.reason(errand.number)

    async def submit(self, row: TaskRow, errand: Errand, ticket: Ticket, track: Tracker) -> str:
        """The id of the new task; raises what stands in its way, with the row in an end state."""
        tries = refusals = 0
        while True:
            with contextlib.ExitStack() as held:
                async with errand.line, self.rhythms.turns.first:
                    await self._turn(row, errand, track, held)
                ticket.sent = True
                try:
                    answer = await self._once(row, track)
                finally:
                    self.rhythms.turns.changed()
                if isinstance(answer, str):
                    return answer
                ticket.sent = False
                self.breaker.note(answer)
                if isinstance(answer, RateLimited):
                    refusals = await self._put_off(row, answer, refusals + 1, track)
                    continue
                tries += 1
                if tries >= protocol.submit_tries(answer):
                    await self._end(row, "rejected", str(answer), track)
                    raise answer
                try:
                    await self.ledger.move(row.id, "queued", day=None, sent=None)
                except LedgerError:
                    self.unbilled.add(row.id)
                    raise
            self._pause(answer, tries, track)

    async def _turn(
        self, row: TaskRow, errand: Errand, track: Tracker, held: contextlib.ExitStack
    ) -> None:
        """Wait until the account's limits have room for one more; then it is `sending`.

        `held` then holds the job: Stop waits, because cut off it would lose the id of a paid task.
        """
        while True:
            await self.pace.turn()
            if (reason := self.stopped(errand)) is not None:
                raise await self._dropped(row, reason, track)
            with contextlib.ExitStack() as hold:
                hold.enter_context(errand.job.hold())
                try:
                    self.before()
                    self.rhythms.turns.ask()
                    wait = await self.ledger.send_in_turn(row.id, errand.budget)
                except NanoBananaError as error:
                    self.breaker.note(error)
                    raise await self._dropped(row, error, track) from None
                if wait <= 0:
                    held.push(hold.pop_all())
                    return track(state="sending", note="")
            await self.rhythms.turns.rest(wait)

    async def _put_off(
        self, row: TaskRow, refusal: RateLimited, refusals: int, track: Tracker
    ) -> int:
        """Too many at once or a minute: no failure, its turn comes again.

        How often in a row it was refused with nothing under way; raises where that is enough.
        """
        reason, looks = protocol.reason_of(refusal), self.rhythms.looks_since()
        try:
            known, under_way = await self.ledger.refused(row.id, reason, refusal.retry_after, looks)
        except LedgerError:
            self.unbilled.add(row.id)
            raise
        self.rhythms.admission = known
        self.rhythms.turns.changed()
        if self.standstill.lasts(under_way, refusals):
            self.breaker.stop(refusal)
            await self._end(row, "rejected", str(refusal), track)
            raise refusal
        pause = known.wait(Load(), time.time())
        busy = f"the API is busy, trying again in {pause:.0f} s" if not under_way else ""
        track(state="queued", note=busy)
        return 0 if under_way else refusals

    async def _once(self, row: TaskRow, track: Tracker) -> str | NanoBananaError:
        """One POST, noted before and after: its task id, or why it may be tried again."""
        try:
            callback_url = await self.callbacks.address(row.id)
            task_id = await self.client.submit(row.request, callback_url)
        except asyncio.CancelledError:
            ended = protocol.maybe_billed("we had to end while it was being sent")
            await self._end(row, "unknown", str(ended), track)
            raise
        except SubmitUnknown as error:
            error.attempt_id = row.id
            self.breaker.lost_one()
            await self._end(row, "unknown", str(error), track)
            raise
        except NanoBananaError as error:
            return error
        except Exception as error:
            broken = protocol.maybe_billed(f"{type(error).__name__}: {error}")
            broken.attempt_id = row.id
            await self._end(row, "unknown", str(broken), track)
            raise broken from error
        track(state="submitted", task_id=task_id)
        await self._note(row, task_id)
        self.standstill.accepted()
        self.breaker.accepted()
        return task_id

    async def _note(self, row: TaskRow, task_id: str) -> None:
        """Put the id on disk, whatever the disk is like at the moment."""
        for tries in range(1, NOTE_TRIES + 1):
            try:
                looks = self.rhythms.looks_since()
                self.rhythms.admission = await self.ledger.accepted(row.id, task_id, looks)
                return
            except LedgerError as error:
                if tries == NOTE_TRIES:
                    raise LedgerError(
                        f"Task {task_id} is paid for; keep this id, with which "
                        f"nb.resume('{task_id}') shows the picture. {error}"
                    ) from None
            await asyncio.sleep(self.client.schedule.retry(tries, None, chance()))

    async def _end(self, row: TaskRow, state: State, why: str, track: Tracker) -> None:
        """Note how it ended; where even that fails, the next start finds the attempt `sending`."""
        track(state=state)
        day = {} if state == "unknown" else {"day": None}
        with contextlib.suppress(LedgerError):
            await self.ledger.move(row.id, state, error=why, **day)

    async def _dropped(self, row: TaskRow, why: NanoBananaError, track: Tracker) -> NanoBananaError:
        track(state="abandoned")
        with contextlib.suppress(LedgerError):
            await self.ledger.move(row.id, "abandoned", error=protocol.clean(why))
        return why

    def _pause(self, failure: NanoBananaError, tries: int, track: Tracker) -> None:
        retry_after = getattr(failure, "retry_after", None)
        pause = self.client.schedule.retry(tries, retry_after, chance())
        away = isinstance(failure, TransportError)
        trouble = "the API cannot be reached" if away else "the API is busy"
        track(state="queued", note=f"{trouble}, trying again in {pause:.0f} s")
        self.pace.pause(pause)
