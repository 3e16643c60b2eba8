"""Many tasks side by side: each from its intent to its file, joined, repeated and recovered.

Money's order of events: the intent on disk, then the submit; its task id on disk, then the
waiting; the links on disk, then the download; the file on disk, and only then "stored".
All of it runs on the portal's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from . import outcomes
from .collecting import Collector
from .errors import (
    LedgerError,
    NanoBananaError,
    RequestError,
    SubmitUnknown,
    TaskFailed,
    WaitTimeout,
)
from .ledger import LEASE
from .models import PRICE, ImageRequest
from .outcomes import Outcome
from .portal import current_job
from .protocol import FAIL_CODES
from .reporting import Report, Tracker
from .rows import UNFINISHED, Account, TaskRow
from .submitting import DROPPED, Submitter, Ticket

AT_ONCE: Final = 8
"""Tasks under way at a time."""
COLLECTED_AT_ONCE: Final = 8
"""Tasks of earlier runs and kernels that are looked after at a time, beside those."""
PARKED_CHECKS: Final = (300.0,) * 288
"""Seconds between looks at a task that runs past its deadline: for a day."""


@dataclass(frozen=True)
class Order:
    """One request to draw. `cell` is its replay key, `earlier` what an earlier run of that cell
    got for it, which is shown again instead; `follows` the task that it stands in for;
    `references` are the contents of what it is drawn from."""

    request: ImageRequest
    cell: str | None = None
    earlier: TaskRow | None = None
    follows: str | None = None
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Terms:
    """What may be spent: `budget` in US dollars a day, and tries again after the model failed."""

    budget: Decimal | None = None
    task_retries: int = 0


class TaskRunner:
    """Brings requests through their states; a failure is an `Outcome`, never an exception."""

    def __init__(
        self, submitter: Submitter, collector: Collector, account: Account, money: str = ""
    ) -> None:
        self._submitter = submitter
        self._collector = collector
        self._ledger = collector.ledger
        self._account = account
        self._money = money
        self._places = asyncio.Semaphore(AT_ONCE)
        self._collecting = asyncio.Semaphore(COLLECTED_AT_ONCE)
        self._under_way: dict[str, asyncio.Task[Outcome]] = {}
        self._tickets: dict[str, Ticket] = {}
        self._watching: asyncio.Task[None] | None = None
        self._looking_in: set[asyncio.Task[None]] = set()
        self._came_back: list[Outcome] = []

    @property
    def idle(self) -> bool:
        """Whether nothing is under way here."""
        return not self._under_way

    async def draw(self, orders: Sequence[Order], terms: Terms) -> list[Outcome]:
        """Submit every request and bring its pictures home, side by side, in their order."""
        number = self._submitter.breaker.order()
        trackers = self._report(len(orders))
        self.watch()
        return await asyncio.gather(
            *(self._one(*pair, number, terms) for pair in zip(orders, trackers, strict=True))
        )

    async def resume(self, rows: Sequence[TaskRow], *, only: bool = False) -> list[Outcome]:
        """Bring accepted tasks home; unless `only` these, with all else that is under way here or
        came back meanwhile."""
        trackers = self._report(len(rows))
        for row, track in zip(rows, trackers, strict=True):
            track(state=row.state, id=row.id, task_id=row.task_id or "")
            self._begin(row, track)
        ids = {row.id for row in rows} if only else set(self._under_way)
        waited = [task for id_, task in self._under_way.items() if id_ in ids]
        if waited:  # not gather: whoever is stopped here must not stop the tasks
            await asyncio.wait(waited)
        found = [] if only else self.take_news()
        found += [task.result() for task in waited]
        by_id = {outcome.row.id: outcome for outcome in found}
        return sorted(by_id.values(), key=lambda outcome: outcome.row.created)

    async def drop(self, id_: str) -> bool:
        """Take a task back that waits to be sent; False, and no change, if it no longer does.

        The ledger decides: what it has dropped can never be sent, whatever goes on here.
        """
        if not await self._ledger.drop(id_, DROPPED):
            return False
        if (ticket := self._tickets.get(id_)) is not None:
            ticket.drop()
        return True

    def take_news(self) -> list[Outcome]:
        """What was brought home in the background since somebody asked."""
        news, self._came_back = self._came_back, []
        return news

    def watch(self) -> None:
        """Keep the leases of what goes on here, and take over what ended kernels left behind,
        for as long as there is any of it."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(LedgerError):  # a full disk: the next round tries again
                if self._under_way:
                    await self._ledger.renew()
                for row in await self._ledger.recover(self._account):
                    if row.state == "unknown":
                        self._came_back.append(outcomes.of(row))
                    else:
                        self._begin(row, Tracker(), in_background=True)
                if not self._under_way and not await self._ledger.others_at_work():
                    return
            await asyncio.sleep(LEASE / 3)

    def _report(self, count: int) -> list[Tracker]:
        rounds = max(1, -(-count // AT_ONCE))
        expected = self._collector.client.schedule.expected * rounds
        return Report(count, expected, self._money).trackers()

    async def _one(self, order: Order, track: Tracker, number: int, terms: Terms) -> Outcome:
        """One order, and again where the model failed and the terms allow it."""
        if order.earlier is not None:
            outcome = await self._again(order.earlier, track)
            if outcome.row.state != "abandoned":
                return outcome
        outcome = await self._draw(order, track, number, terms)
        job = current_job()
        for _ in range(terms.task_retries):
            if not _model_failed(outcome.error) or job.detached:
                break
            track(state="queued", note=f"the model failed; drawing it again, ${PRICE} more")
            follower = replace(order, follows=outcome.row.id)
            again = await self._draw(follower, track, number, terms)
            outcome = replace(again, before=outcome.cost)
        return outcome

    async def _again(self, row: TaskRow, track: Tracker) -> Outcome:
        """What an earlier run of the cell got; a task that still runs is joined."""
        track(state=row.state, id=row.id, task_id=row.task_id or "")
        if row.state == "sending" or row.state in UNFINISHED:
            self._begin(row, track)
            outcome = await asyncio.shield(self._under_way[row.id])
        else:
            outcome = outcomes.shown_again(row)
        track(state=outcome.row.state)
        return replace(outcome, replayed=True)

    async def _draw(self, order: Order, track: Tracker, number: int, terms: Terms) -> Outcome:
        try:
            row = await self._ledger.add(
                order.request, self._account, order.cell, order.follows, order.references
            )
        except LedgerError as error:
            return Outcome(_never_noted(order.request, self._account), error)
        ticket = self._tickets[row.id] = Ticket()
        track(id=row.id)
        try:
            return await self._in_its_turn(row, ticket, track, number, terms.budget)
        finally:
            del self._tickets[row.id]

    async def _in_its_turn(
        self, row: TaskRow, ticket: Ticket, track: Tracker, number: int, budget: Decimal | None
    ) -> Outcome:
        try:
            await ticket.wait(self._places.acquire())
        except RequestError as error:
            return await self._not_accepted(row, error, track)
        try:
            work = self._submit_and_bring_home(row, ticket, track, number, budget)
            self._keep(row.id, asyncio.ensure_future(work))
            return await self._under_way[row.id]
        finally:
            self._places.release()

    async def _submit_and_bring_home(
        self, row: TaskRow, ticket: Ticket, track: Tracker, number: int, budget: Decimal | None
    ) -> Outcome:
        try:
            submit = self._submitter.submit(row, number, budget, track)
            task_id = await ticket.wait(submit)
        except NanoBananaError as error:
            return await self._not_accepted(row, error, track)
        now = self._collector.wall()
        accepted = replace(row, state="submitted", task_id=task_id, sent=now)
        outcome = await self._collector.bring_home(accepted, track, mine=True)
        if outcome.error is not None:
            self._submitter.breaker.note(outcome.error)
        if isinstance(outcome.error, WaitTimeout):
            looking = asyncio.ensure_future(self._look_in(outcome.row))
            self._looking_in.add(looking)
            looking.add_done_callback(self._looking_in.discard)
        return outcome

    async def _not_accepted(self, row: TaskRow, error: NanoBananaError, track: Tracker) -> Outcome:
        """A task that the API did not surely take, as the ledger knows it."""
        with contextlib.suppress(LedgerError):
            row = await self._ledger.get(row.id) or row
        if isinstance(error, SubmitUnknown):
            return Outcome(replace(row, state="unknown", error=str(error)), error)
        if row.error == DROPPED:
            track(state="abandoned")
            return outcomes.of(row)
        return Outcome(row, error)

    async def _look_in(self, row: TaskRow) -> None:
        """Look now and then at a task that ran past its deadline."""
        for pause in PARKED_CHECKS:
            await asyncio.sleep(pause)
            if row.id not in self._under_way:
                self._begin(row, Tracker(), in_background=True)
            outcome = await asyncio.shield(self._under_way[row.id])
            if outcome.row.state != "parked":
                return

    def _begin(self, row: TaskRow, track: Tracker, *, in_background: bool = False) -> None:
        """Bring an accepted task home, unless that is under way already."""
        if row.id in self._under_way:
            return
        self._keep(row.id, asyncio.ensure_future(self._collect(row, track, in_background)))

    async def _collect(self, row: TaskRow, track: Tracker, in_background: bool) -> Outcome:
        async with self._collecting:
            outcome = await self._collector.bring_home(row, track)
        if in_background and outcome.row.state != "abandoned":
            self._came_back.append(outcome)
        return outcome

    def _keep(self, id_: str, task: asyncio.Task[Outcome]) -> None:
        """Remember what is under way, so that a resume joins it instead of doing it twice."""
        self._under_way[id_] = task
        self.watch()
        task.add_done_callback(lambda _: self._under_way.pop(id_, None))


def _model_failed(error: NanoBananaError | None) -> bool:
    """Whether the same request may well succeed as a new, paid task."""
    remedy = FAIL_CODES.get(getattr(error, "code", ""))
    return isinstance(error, TaskFailed) and remedy is not None and remedy.retryable


def _never_noted(request: ImageRequest, account: Account) -> TaskRow:
    return TaskRow("", "abandoned", request, account.origin, PRICE, time.time())
