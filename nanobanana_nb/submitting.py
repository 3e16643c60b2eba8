"""From the intent to the task id: the part that costs money and happens at most once.

A request is sent again only where the API surely took no task. Whatever else goes wrong on the way
leaves the attempt `unknown`: named, priced, counted, and never sent again by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, TypeVar

from . import outcomes, protocol
from .client import Client, chance
from .errors import LedgerError, NanoBananaError, RequestError, SubmitUnknown, TransportError
from .ledger import Ledger
from .pacing import SUBMIT_TRIES
from .portal import current_job
from .reporting import Tracker
from .rows import State, TaskRow

T = TypeVar("T")

DROPPED: Final = "Dropped before it was sent; nothing was billed."
NOTE_TRIES = 5
"""How often the id of a paid task is put before a ledger that does not take it."""


class Breaker:
    """Stops what is queued when every request would be refused alike: no key, money or access.

    One message then speaks for all. A later order is tried again: the key or the balance may be
    another one by then.
    """

    def __init__(self) -> None:
        self._orders = 0
        self._stopped_until = 0
        self._reason: NanoBananaError | None = None

    def order(self) -> int:
        """A number for a new order."""
        self._orders += 1
        return self._orders

    def note(self, error: NanoBananaError) -> None:
        """Stop all orders so far, if the error is of that kind."""
        if outcomes.stops_the_queue(error):
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
class Submitter:
    """Sends requests. `before` is called first and may refuse: there is no room on the disk."""

    client: Client
    ledger: Ledger
    before: Callable[[], None]
    breaker: Breaker = field(default_factory=Breaker)
    pace: Pace = field(default_factory=Pace)

    async def submit(self, row: TaskRow, order: int, budget: Decimal | None, track: Tracker) -> str:
        """The id of the new task; raises what stands in its way, with the row in an end state."""
        job = current_job()
        for tries in range(1, SUBMIT_TRIES + 1):
            await self.pace.turn()
            if (reason := self.breaker.reason(order)) is not None:
                raise await self._dropped(row, reason, track)
            if job.detached:
                stopped = RequestError("Stopped before it was sent; nothing was billed.")
                raise await self._dropped(row, stopped, track)
            with job.hold():  # Stop waits for this: cut off, it would lose the id of a paid task
                track(state="sending", note="")
                answer = await self._once(row, budget, track)
                if isinstance(answer, str):
                    return answer
                self.breaker.note(answer)
                if tries >= protocol.submit_tries(answer):
                    await self._end(row, "rejected", str(answer), track)
                    raise answer
                await self.ledger.move(row.id, "queued", day=None)
            self._pause(answer, tries, track)
        raise AssertionError("the last try returns or raises")

    async def _once(
        self, row: TaskRow, budget: Decimal | None, track: Tracker
    ) -> str | NanoBananaError:
        """One POST, noted before and after: its task id, or why it may be tried again."""
        try:
            self.before()
            await self.ledger.send(row.id, budget)
        except NanoBananaError as error:
            raise await self._dropped(row, error, track) from None
        try:
            task_id = await self.client.submit(row.request)
        except asyncio.CancelledError:
            ended = protocol.maybe_billed("we had to end while it was being sent")
            await self._end(row, "unknown", str(ended), track)
            raise
        except SubmitUnknown as error:
            error.attempt_id = row.id
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
        return task_id

    async def _note(self, row: TaskRow, task_id: str) -> None:
        """Put the id on disk, whatever the disk is like at the moment."""
        for tries in range(1, NOTE_TRIES + 1):
            try:
                return await self.ledger.move(row.id, "submitted", task_id=task_id)
            except LedgerError as error:
                if tries == NOTE_TRIES:
                    raise LedgerError(
                        f"Task {task_id} is paid for; keep this id, with which "
                        f"nb.resume('{task_id}') shows the picture. {error}"
                    ) from None
            await asyncio.sleep(self.client.schedule.retry(tries, None, chance()))
        return None

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
