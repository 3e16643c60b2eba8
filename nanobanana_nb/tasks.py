"""Many tasks side by side: each from its intent to its file, joined, repeated and recovered.

Money's order of events: the intent on disk, then the submit; its task id on disk, then the
waiting; the links on disk, then the download; the file on disk, and only then "stored".
All of it runs on the portal's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from . import outcomes, protocol
from .collecting import Collector
from .errors import (
    LedgerError,
    NanoBananaError,
    SubmitUnknown,
    TaskFailed,
    WaitTimeout,
)
from .ledger import LEASE
from .models import PRICE
from .outcomes import Outcome
from .portal import current_job
from .protocol import FAIL_CODES
from .reporting import Report, Tracker
from .rows import UNFINISHED, Account, Intent, TaskRow
from .submitting import DROPPED, Errand, Submitter, Ticket

INTENTS: Final = 3
"""How often a request that was not sent is noted anew."""
AHEAD: Final = 8
"""Requests of one call that wait to be sent next; how many are under way the API decides."""
CLAIMED: Final = 500
"""Intents that are noted in one transaction."""
COLLECTED_AT_ONCE: Final = 8
"""Tasks of earlier runs and kernels that are looked after at a time, beside those."""
PARKED_CHECKS: Final = (300.0,) * 288
"""Seconds between looks at a task that runs past its deadline: for a day."""


@dataclass(frozen=True)
class Order(Intent):
    """One request to draw. `earlier` is what an earlier run got for its replay key, which is shown
    again instead."""

    earlier: TaskRow | None = None


@dataclass(frozen=True)
class Terms:
    """What may be spent: `budget` in US dollars a day, and tries again after the model failed."""

    budget: Decimal | None = None
    task_retries: int = 0


class _Request:
    """An order that waits or is under way, and `done`: how it ended, for whoever joins it.

    `row` is its intent, once that is noted; `ticket` its claim to be sent, once that is its turn;
    `priced` says whether its price was told and so may be spent.
    """

    __slots__ = ("_leave", "done", "number", "order", "priced", "row", "ticket")

    def __init__(self, number: int, order: Order) -> None:
        self.number = number
        self.order = order
        self.priced = order.earlier is None
        self.row: TaskRow | None = None
        self.ticket: Ticket | None = None
        self._leave: Callable[[], None] | None = None
        self.done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def has_place(self, leave: Callable[[], None]) -> None:
        """It is among those that are sent next."""
        self._leave = leave

    def leave_place(self) -> None:
        """Let the next one be sent, if that has not been done yet."""
        if self._leave is not None:
            self._leave()
            self._leave = None

    @property
    def waits(self) -> bool:
        """Whether it has not been sent yet."""
        return self.ticket is None or not self.ticket.sent


class TaskRunner:
    """Brings requests through their states; a failure is an `Outcome`, never an exception."""

    def __init__(
        self,
        submitter: Submitter,
        collector: Collector,
        account: Account,
        money: str = "",
    ) -> None:
        self._submitter = submitter
        self._collector = collector
        self._ledger = collector.ledger
        self._account = account
        self._money = money
        self._rhythms = collector.rhythms
        self._preview = collector.store.preview
        self._requests: dict[str, _Request] = {}
        self._claiming = 0
        self._collecting = asyncio.Semaphore(COLLECTED_AT_ONCE)
        self._under_way: dict[str, asyncio.Task[Outcome]] = {}
        self._watching: asyncio.Task[None] | None = None
        self._working: set[asyncio.Task[None]] = set()
        self._looking_in: set[asyncio.Task[None]] = set()
        self._came_back: list[Outcome] = []

    @property
    def idle(self) -> bool:
        """Whether nothing is under way here."""
        return not self._under_way

    async def draw(self, orders: Sequence[Order], terms: Terms) -> list[Outcome]:
        """Submit every request and bring its pictures home, side by side, in their order."""
        errand = Errand(self._submitter.breaker.order(), current_job(), terms.budget)
        with contextlib.suppress(LedgerError):
            await self._settle()
        for mode in {order.request.mode for order in orders}:
            await self._rhythms.remember(mode)
        report = self._report(orders)
        self.watch()
        requests = await self._claimed(orders, report)
        waiting = deque(one for one in requests if not one.done.done())
        self._rhythms.backlog += len(waiting)
        try:
            await self._begin_all(waiting, errand, terms, report)
        finally:
            self._rhythms.backlog -= len(waiting)
        await asyncio.gather(*(one.done for one in requests))
        return [one.done.result() for one in requests]

    async def _begin_all(
        self, waiting: deque[_Request], errand: Errand, terms: Terms, report: Report
    ) -> None:
        """Begin one request after the other, a few ahead of those that are sent: what waits is a
        line in a list, and nothing that costs memory or time."""
        places = asyncio.Semaphore(AHEAD)
        while waiting:
            await places.acquire()
            if (reason := self._submitter.stopped(errand)) is not None:
                return await self._drop_rest(waiting, reason, report)
            request = waiting.popleft()
            self._rhythms.backlog -= 1
            request.has_place(places.release)
            track = Tracker(report, request.number)
            work = asyncio.ensure_future(self._work(request, track, errand, terms))
            self._working.add(work)
            work.add_done_callback(self._working.discard)
        return None

    async def _claimed(self, orders: Sequence[Order], report: Report) -> list[_Request]:
        """A request for each order, its intent on disk. One whose key another task has by now is
        to wait for that task instead."""
        requests = [_Request(number, order) for number, order in enumerate(orders)]
        new = [one for one in requests if one.order.earlier is None]
        for start in range(0, len(new), CLAIMED):
            some = new[start : start + CLAIMED]
            try:
                rows = await self._claim([one.order for one in some])
            except LedgerError as error:
                for one in some:
                    one.done.set_result(self._not_noted(one.order, error))
                continue
            for one, (row, is_new) in zip(some, rows, strict=True):
                if is_new:
                    self._expect(one, row)
                else:
                    one.order, one.priced = replace(one.order, earlier=row), True
            report.name({one.number: one.row.id for one in some if one.row is not None})
        return requests

    def _expect(self, request: _Request, row: TaskRow) -> None:
        """The request has this intent from now on."""
        request.row, request.ticket = row, None
        self._requests[row.id] = request

    async def _work(self, request: _Request, track: Tracker, errand: Errand, terms: Terms) -> None:
        """Look after one request to its end."""
        try:
            outcome = await self._one(request, track, errand, terms)
            if not request.done.done():  # else nobody waits for it any more
                request.done.set_result(outcome)
        except Exception as error:
            if request.done.done():
                raise
            request.done.set_exception(error)
        finally:
            request.leave_place()
            request.done.cancel()

    async def _drop_rest(
        self, waiting: deque[_Request], reason: NanoBananaError, report: Report
    ) -> None:
        """Give up all that waits, at once: each would be told the same."""
        rest = list(waiting)
        waiting.clear()
        self._rhythms.backlog -= len(rest)
        with contextlib.suppress(LedgerError):
            ids = [one.row.id for one in rest if one.row is not None]
            await self._ledger.drop_all(ids, protocol.clean(reason))
        for one in rest:
            if one.order.earlier is not None:
                one.done.set_result(outcomes.shown_again(one.order.earlier))
            elif one.row is not None:
                del self._requests[one.row.id]
                report.set(one.number, {"state": "abandoned"})
                dropped = replace(one.row, state="abandoned", error=str(reason))
                one.done.set_result(Outcome(dropped, reason))

    async def resume(self, rows: Sequence[TaskRow], *, only: bool = False) -> list[Outcome]:
        """Bring accepted tasks home; unless `only` these, with all else that is under way here or
        came back meanwhile."""
        report = self._report(rows)
        for number, row in enumerate(rows):
            track = Tracker(report, number)
            track(state=row.state, id=row.id, task_id=row.task_id or "")
            self._begin(row, track)
        waiting = {id_ for id_, one in self._requests.items() if one.waits}
        ids = {row.id for row in rows} if only else set(self._under_way) - waiting
        waited = [task for id_, task in self._under_way.items() if id_ in ids]
        if waited:  # not gather: whoever is stopped here must not stop the tasks
            await asyncio.wait(waited)
        found = [] if only else self.take_news()
        found += [task.result() for task in waited]
        by_id = {outcome.row.id: outcome for outcome in found}
        self._came_back = [one for one in self._came_back if one.row.id not in by_id]
        return sorted(by_id.values(), key=lambda outcome: outcome.row.created)

    async def drop(self, id_: str) -> bool:
        """Take a task back that waits to be sent; False, and no change, if it no longer does.

        The ledger decides: what it has dropped can never be sent, whatever goes on here.
        """
        if not await self._ledger.drop(id_, DROPPED):
            return False
        if (request := self._requests.get(id_)) is not None:
            request.ticket = request.ticket or Ticket()
            request.ticket.drop()
        return True

    def take_news(self) -> list[Outcome]:
        """What was brought home in the background since somebody asked."""
        news, self._came_back = self._came_back, []
        return [*{outcome.row.id: outcome for outcome in news}.values()]

    def watch(self) -> None:
        """Keep the leases of what goes on here, and take over what ended kernels left behind,
        for as long as there is any of it; and look for callbacks, where any may come."""
        self._collector.callbacks.watch(self._begin_unwatched)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        looked = self._collector.wall()
        while True:
            with contextlib.suppress(LedgerError):  # a full disk: the next round tries again
                await self._settle()
                if self._under_way:
                    await self._ledger.renew()
                before, looked = looked, self._collector.wall()
                if abs(looked - before) > LEASE:  # asleep: others may wake up a little later
                    await asyncio.sleep(LEASE / 3)
                for row in await self._ledger.recover(self._account):
                    if row.state == "unknown":
                        self._came_back.append(outcomes.of(row))
                    else:
                        self._begin_unwatched(row)
                for row in await self._ledger.stranded({*self._requests, *self._under_way}):
                    self._begin_unwatched(row)
                # In this order: what is begun while others are asked about is seen.
                if not await self._ledger.others_at_work() and not self._under_way:
                    return
            await asyncio.sleep(LEASE / 3)

    def _report(self, orders: Sequence[Order | TaskRow]) -> Report:
        mode = orders[0].request.mode if orders else "text-to-image"
        new = sum(isinstance(one, Order) and one.earlier is None for one in orders)
        expected = functools.partial(self._rhythms.expected, mode)
        return Report(len(orders), expected, self._money, new=new, preview=self._preview)

    async def _one(
        self, request: _Request, track: Tracker, errand: Errand, terms: Terms
    ) -> Outcome:
        """What an earlier run got for a request, or a picture; and again where the model failed
        and the terms allow it, or where whoever was to send it has not."""
        order, left, before = request.order, terms.task_retries, Decimal(0)
        outcome = await self._begun(request, order, track, errand)
        for _ in range(INTENTS + left):
            if errand.job.detached:
                break
            if left and model_failed(outcome.error) and (order.once or not outcome.replayed):
                track(state="queued", note=f"the model failed; drawing it again, ${PRICE} more")
                left -= 1
                before += Decimal(0) if outcome.replayed else outcome.row.price
                order = replace(order, follows=outcome.row.id)
            elif not _given_up(outcome, request.priced or self._collector.forgetful):
                break
            outcome = await self._begun(request, replace(order, earlier=None), track, errand)
        return replace(outcome, before=before)

    async def _begun(
        self, request: _Request, order: Order, track: Tracker, errand: Errand
    ) -> Outcome:
        """A request sent and brought home, its intent noted first; or what another task with its
        key comes to."""
        row, is_new = request.row, True
        if order.earlier is not None:
            row, is_new = order.earlier, False
        elif row is None or row.id not in self._requests:
            try:
                row, is_new = await self._claim_one(order)
            except LedgerError as error:
                return self._not_noted(order, error)
            if is_new:
                self._expect(request, row)
        if not is_new:
            request.leave_place()
            return await self._again(row, track)
        return await self._draw(request, row, track, errand)

    async def _again(self, row: TaskRow, track: Tracker) -> Outcome:
        """What an earlier run got; a task that still runs, or is about to be sent, is joined."""
        track(state=row.state, id=row.id, task_id=row.task_id or "")
        if row.id in self._requests:
            outcome = await asyncio.shield(self._requests[row.id].done)
        elif row.state in ("queued", "sending", *UNFINISHED):
            self._begin(row, track)
            outcome = await asyncio.shield(self._under_way[row.id])
        else:
            outcome = outcomes.shown_again(row)
        track(state=outcome.row.state, **_landed(outcome))
        return replace(outcome, replayed=True)

    async def _draw(
        self, request: _Request, row: TaskRow, track: Tracker, errand: Errand
    ) -> Outcome:
        """Send it and bring its picture home."""
        request.ticket = request.ticket or Ticket()
        track(id=row.id)
        try:
            work = self._submit_and_bring_home(request, row, request.ticket, track, errand)
            self._keep(row.id, asyncio.ensure_future(work))
            return await self._under_way[row.id]
        finally:
            del self._requests[row.id]

    async def _claim(self, orders: Sequence[Order]) -> list[tuple[TaskRow, bool]]:
        """The intents of orders, noted; while that goes on, nothing here is taken for left over."""
        self._claiming += 1
        try:
            return await self._ledger.claim(orders, self._account)
        finally:
            # Once the rows are known here: after the step that this is awaited in.
            asyncio.get_running_loop().call_soon(self._claimed_now)

    def _claimed_now(self) -> None:
        self._claiming -= 1

    async def _claim_one(self, order: Order) -> tuple[TaskRow, bool]:
        [claimed] = await self._claim([order])
        return claimed

    async def _settle(self) -> None:
        """Put an end to what a full disk or a locked ledger has left behind here."""
        if not self._claiming:
            alive = {*self._requests, *self._under_way}
            await self._ledger.settle(alive, self._submitter.unbilled)

    def _not_noted(self, order: Order, error: LedgerError) -> Outcome:
        """The ledger would not take the intent, so that nothing is sent."""
        account, now = self._account, time.time()
        row = TaskRow("", "abandoned", order.request, account.origin, PRICE, now)
        return Outcome(row, error)

    async def _submit_and_bring_home(
        self, request: _Request, row: TaskRow, ticket: Ticket, track: Tracker, errand: Errand
    ) -> Outcome:
        try:
            task_id = await ticket.wait(self._submitter.submit(row, errand, ticket, track))
        except SubmitUnknown as error:
            request.leave_place()
            found = await self._found_again(row, track)
            if found is None:
                return await self._not_accepted(row, error, track)
            outcome = await self._collector.bring_home(found, track)
        except NanoBananaError as error:
            return await self._not_accepted(row, error, track)
        else:
            request.leave_place()
            now = self._collector.wall()
            accepted = replace(row, state="submitted", task_id=task_id, sent=now)
            outcome = await self._collector.bring_home(accepted, track, mine=True)
        track(**_landed(outcome))
        if outcome.error is not None:
            self._submitter.breaker.note(outcome.error)
        if isinstance(outcome.error, WaitTimeout):
            looking = asyncio.ensure_future(self._look_in(outcome.row))
            self._looking_in.add(looking)
            looking.add_done_callback(self._looking_in.discard)
        return outcome

    async def _found_again(self, row: TaskRow, track: Tracker) -> TaskRow | None:
        """The task of a submit whose answer was lost, if its callback comes."""
        track(state="sending", note="its answer was lost; its callback may bring it")
        found = await self._collector.callbacks.found_again(row.id)
        if found is None:
            track(state="unknown", note="")
        else:
            track(note="")
            self._submitter.breaker.accepted()
        return found

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

    def _begin_unwatched(self, row: TaskRow) -> None:
        """Bring home what nobody here looks after or waits for."""
        self._begin(row, Tracker(), in_background=True)

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


def _given_up(outcome: Outcome, priced: bool) -> bool:
    """Whether a request was not sent by who was to send it, and is to be sent after all: a kernel
    that has ended or took us for dead, or, where its price was told here or it has none, a call
    that was stopped or a sandbox that has ended.
    """
    row, lost = outcome.row, isinstance(outcome.error, LedgerError)
    if row.state != "abandoned" or not (outcome.replayed or lost):
        return False
    return not row.error or (outcome.replayed and priced)


def model_failed(error: NanoBananaError | None) -> bool:
    """Whether the same request may well succeed as a new, paid task."""
    remedy = FAIL_CODES.get(getattr(error, "code", ""))
    return isinstance(error, TaskFailed) and remedy is not None and remedy.retryable


def _landed(outcome: Outcome) -> dict[str, str]:
    """Where its first picture is, for who waits for it."""
    files = [str(one.file) for one in outcome.row.pictures if one.file is not None]
    return {"file": files[0]} if files and outcome.error is None else {}
