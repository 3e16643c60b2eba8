"""One task's way from the intent to the file: where client, ledger and pictures meet.

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
from typing import Any, Final

from . import display
from .client import Client, chance
from .errors import (
    AccessDenied,
    APIError,
    DownloadError,
    KeyRefused,
    LedgerError,
    NanoBananaError,
    RequestError,
    SubmitUnknown,
    TaskNotFound,
    TransportError,
    WaitTimeout,
)
from .ledger import Ledger, PictureRow, State, TaskRow
from .models import PRICE, ImageRequest, Succeeded
from .pacing import DOWNLOAD_TRIES, SUBMIT_TRIES
from .pictures import PictureStore
from .portal import Job, current_job

AT_ONCE: Final = 8
"""Tasks under way at a time."""
PATIENCE: Final = 60.0
"""Seconds to wait for another studio that is fetching the same picture."""


@dataclass(frozen=True)
class Outcome:
    """How a task ended: its row, and the error if there is no picture."""

    row: TaskRow
    error: NanoBananaError | None = None

    @property
    def cost(self) -> Decimal:
        """US dollars that were surely billed."""
        return self.row.price if self.row.task_id else Decimal(0)


class TaskRunner:
    """Brings requests through their states; a failure is an `Outcome`, never an exception."""

    def __init__(
        self, client: Client, ledger: Ledger, store: PictureStore, origin: str, money: str = ""
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._store = store
        self._origin = origin
        self._money = money
        self._places = asyncio.Semaphore(AT_ONCE)
        self._under_way: dict[str, asyncio.Task[Outcome]] = {}

    async def draw(self, requests: Sequence[ImageRequest]) -> list[Outcome]:
        """Submit every request and bring its pictures home, side by side, in their order."""
        trackers = self._trackers(len(requests))
        return await asyncio.gather(
            *(self._draw_one(*pair) for pair in zip(requests, trackers, strict=True))
        )

    async def resume(self, rows: Sequence[TaskRow], *, only: bool = False) -> list[Outcome]:
        """Bring accepted tasks home; unless `only` these, with all else that is under way here."""
        trackers = self._trackers(len(rows))
        for row, track in zip(rows, trackers, strict=True):
            track(state=row.state, id=row.id, task_id=row.task_id or "")
            if row.id not in self._under_way:
                self._keep(row.id, asyncio.ensure_future(self._bring_home(row, track)))
        asked_for = [self._under_way[row.id] for row in rows]
        others = [task for task in self._under_way.values() if task not in asked_for]
        joined = asked_for if only else asked_for + others
        return await asyncio.gather(*map(asyncio.shield, joined))

    def _keep(self, id: str, task: asyncio.Task[Outcome]) -> None:  # noqa: A002
        self._under_way[id] = task
        task.add_done_callback(lambda _: self._under_way.pop(id, None))

    def _trackers(self, count: int) -> list[Tracker]:
        rounds = max(1, -(-count // AT_ONCE))
        progress = display.Progress(
            (display.Item(),) * count,
            time.monotonic(),
            self._client.schedule.expected * rounds,
            PRICE * count,
            self._money,
        )
        report = _Report(current_job(), progress)
        return [Tracker(report, number) for number in range(count)]

    async def _draw_one(self, request: ImageRequest, track: Tracker) -> Outcome:
        try:
            row = await self._ledger.add(request, self._origin)
        except LedgerError as error:
            return Outcome(_never_noted(request, self._origin), error)
        track(id=row.id)
        async with self._places:
            self._keep(row.id, asyncio.ensure_future(self._submit_and_bring_home(row, track)))
            return await self._under_way[row.id]

    async def _submit_and_bring_home(self, row: TaskRow, track: Tracker) -> Outcome:
        try:
            task_id = await self._submit(row, track)
        except NanoBananaError as error:
            return Outcome(row, error)
        return await self._bring_home(replace(row, state="submitted", task_id=task_id), track)

    async def _submit(self, row: TaskRow, track: Tracker) -> str:
        """Send a request; again only where the API surely took no task."""
        job = current_job()
        for tries in range(1, SUBMIT_TRIES + 1):
            if job.detached:
                await self._ledger.move(row.id, "abandoned")
                track(state="abandoned")
                raise RequestError("Stopped before it was sent; nothing was billed.")
            with job.hold():  # Stop waits for this: cut off, it would lose the id of a paid task
                track(state="sending", note="")
                failure = await self._submit_once(row, track)
                if isinstance(failure, str):
                    return failure
                if not _safe_to_repeat(failure) or tries == SUBMIT_TRIES:
                    state: State = "unknown" if isinstance(failure, SubmitUnknown) else "rejected"
                    await self._ledger.move(row.id, state, error=str(failure))
                    track(state=state)
                    raise failure
                await self._ledger.move(row.id, "queued")
            retry_after = getattr(failure, "retry_after", None)
            pause = self._client.schedule.retry(tries, retry_after, chance())
            away = isinstance(failure, TransportError)
            trouble = "the API cannot be reached" if away else "the API is busy"
            track(state="queued", note=f"{trouble}, trying again in {pause:.0f} s")
            await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _submit_once(self, row: TaskRow, track: Tracker) -> str | NanoBananaError:
        """One POST, noted before and after; its task id, or how it failed."""
        await self._ledger.move(row.id, "sending")
        try:
            task_id = await self._client.submit(row.request)
        except NanoBananaError as error:
            if isinstance(error, SubmitUnknown):
                error.attempt_id = row.id
            return error
        track(state="submitted", task_id=task_id)
        try:
            await self._ledger.move(row.id, "submitted", task_id=task_id)
        except LedgerError as error:
            raise LedgerError(f"Task {task_id} is paid for; keep this id. {error}") from None
        return task_id

    async def _bring_home(self, row: TaskRow, track: Tracker) -> Outcome:
        """Wait for an accepted task, then fetch its pictures."""
        if row.state == "stored":
            return Outcome(row)
        try:
            if row.state in ("submitted", "parked"):
                row = await self._finish(row)
            track(state="fetching")
            row = await self._fetch(row)
        except WaitTimeout as error:
            track(state="parked")
            return Outcome(row, error)
        except DownloadError as error:
            track(state="ready")
            return Outcome(row, error)
        except LedgerError as error:
            elsewhere = await self._brought_by_another(row)
            if elsewhere is None:
                track(state="failed")
                return Outcome(row, error)
            row = elsewhere
        except NanoBananaError as error:
            track(state="failed")
            return Outcome(row, error)
        track(state="stored")
        return Outcome(row)

    async def _brought_by_another(self, row: TaskRow) -> TaskRow | None:
        """The row as another studio or kernel of this home has stored it meanwhile, if one did.

        Both fetched it then; the second copy that this one may have made stays beside the first.
        """
        deadline = time.monotonic() + PATIENCE
        while (latest := await self._ledger.find(str(row.task_id))) is not None:
            if latest.state == "stored":
                return latest
            if latest.state not in ("ready", "fetching") or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.2)
        return None

    async def _finish(self, row: TaskRow) -> TaskRow:
        """Poll until the task has ended, and note how."""
        try:
            done = await self._client.wait(str(row.task_id))
        except WaitTimeout:
            await self._ledger.move(row.id, "parked")
            raise
        except (KeyRefused, AccessDenied, TaskNotFound):  # the task itself is not over
            raise
        except NanoBananaError as error:
            await self._ledger.move(row.id, "failed", error=str(error))
            raise
        await self._ledger.ready(row.id, done.image_urls, done.seconds)
        found = tuple(PictureRow(url) for url in done.image_urls)
        return replace(row, state="ready", seconds=done.seconds, pictures=found)

    async def _fetch(self, row: TaskRow) -> TaskRow:
        """Download every picture of a finished task; after a failure it is `ready` for later."""
        if row.state == "ready":
            await self._ledger.move(row.id, "fetching")
        try:
            stored = tuple([await self._fetch_one(row, found.url) for found in row.pictures])
        except (DownloadError, OSError) as error:
            await self._ledger.move(row.id, "ready")
            why = str(error) if isinstance(error, DownloadError) else f"{error.strerror}."
            raise DownloadError(
                f"Task {row.task_id} is done and paid for, but its picture is not on disk yet. "
                f"{why} nb.resume() tries again; the link lives a day at most.",
                url=row.pictures[0].url,
            ) from None
        await self._ledger.stored(row.id, stored)
        return replace(row, state="stored", pictures=stored)

    async def _fetch_one(self, row: TaskRow, url: str) -> PictureRow:
        for tries in range(1, DOWNLOAD_TRIES + 1):
            try:
                with self._store.incoming() as file:
                    await self._client.download(url, file.write)
                    kept = await asyncio.to_thread(
                        self._store.keep, file, row.request.prompt, row.id, row.created
                    )
                return PictureRow(url, kept.file, kept.sha256, kept.width, kept.height)
            except DownloadError as error:
                if tries == DOWNLOAD_TRIES:
                    raise
                if error.gone:
                    url = await self._fresh_link(row, url)
            await asyncio.sleep(self._client.schedule.retry(tries, None, chance()))
        raise AssertionError("the last try returns or raises")

    async def _fresh_link(self, row: TaskRow, url: str) -> str:
        """Ask for the task again: the API may hand out a new link for one that is dead."""
        old = [found.url for found in row.pictures]
        with contextlib.suppress(NanoBananaError):
            state = await self._client.status(str(row.task_id))
            if isinstance(state, Succeeded) and len(state.image_urls) == len(old) and url in old:
                return state.image_urls[old.index(url)]
        return url


class _Report:
    """The progress of one job, handed to whoever waits each time that it changes."""

    def __init__(self, job: Job[Any], progress: display.Progress) -> None:
        self._job = job
        self._progress = progress
        job.report(progress)

    def set(self, number: int, changes: dict[str, str]) -> None:
        items = list(self._progress.items)
        items[number] = replace(items[number], **changes)
        self._progress = replace(self._progress, items=tuple(items))
        self._job.report(self._progress)


@dataclass(frozen=True)
class Tracker:
    """Tells a report about one of its tasks: `track(state="sending")`."""

    report: _Report
    number: int

    def __call__(self, **changes: str) -> None:
        self.report.set(self.number, changes)


def what_goes_on(progress: display.Progress | None) -> str:
    """What a stopped waiter is told: which tasks go on, at what price, and how to get them."""
    items = progress.items if progress else ()
    running = [i for i in items if i.task_id and i.state in ("submitted", "ready", "fetching")]
    unclear = [i for i in items if i.state in ("sending", "unknown")]
    done = sum(item.state == "stored" for item in items)
    parts = []
    if done:
        parts.append(f"{done} {'picture is' if done == 1 else 'pictures are'} done and kept.")
    if running:
        parts.append(
            f"{_named('Task', [item.task_id for item in running])} at APIXO; "
            "%nanobanana_resume or nb.resume() shows the result."
        )
    if unclear:
        parts.append(
            f"{_named('Attempt', [item.id for item in unclear])}, its answer still on the way; "
            "%nanobanana_resume or nb.resume() shows what came of it."
        )
    return " ".join(parts or ["Nothing was sent, nothing was billed."])


def _named(what: str, names: Sequence[str]) -> str:
    """`Task a1b2 goes on ($0.03)`, or `Tasks a1b2, c3d4 go on ($0.06)`."""
    many = len(names) > 1
    price = display.money(PRICE * len(names))
    return f"{what}{'s' if many else ''} {', '.join(names)} {'go' if many else 'goes'} on ({price})"


def _safe_to_repeat(error: NanoBananaError) -> bool:
    return isinstance(error, TransportError) or (isinstance(error, APIError) and error.retryable)


def _never_noted(request: ImageRequest, origin: str) -> TaskRow:
    return TaskRow("", "abandoned", request, origin, PRICE, time.time(), None, None, ())
