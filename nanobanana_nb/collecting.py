"""From the task id to the file: waiting, links, download. All of it may be repeated at no cost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from . import metadata, outcomes
from .callbacks import Callbacks
from .client import Client, chance
from .errors import (
    AccessDenied,
    BalanceTooLow,
    DownloadError,
    KeyRefused,
    LeaseLost,
    LedgerError,
    NanoBananaError,
    TaskFailed,
    TaskNotFound,
    WaitTimeout,
)
from .incoming import Incoming
from .ledger import Ledger
from .metadata import MAX_LINEAGE, Drawn
from .mirror import Mirror
from .models import MODEL, Succeeded
from .outcomes import Outcome
from .pacing import DOWNLOAD_TRIES
from .pictures import PictureStore, StoredPicture, begins_as_picture
from .reporting import Tracker
from .rhythm import Rhythms
from .rows import UNFINISHED, PictureRow, TaskRow

WATCH: Final = 0.5
"""Seconds between two looks at a task that another kernel looks after."""
REFUSALS: Final = 2
"""Of one picture, in one go: what came whole and is none may have been broken on its way, once."""
LINK_LIFE: Final = 24 * 3600.0
"""Seconds; the API's pages say that links live a day."""
FORGOTTEN: Final = 7 * LINK_LIFE
"""Seconds after which a task that the API does not know is given up."""


@dataclass(frozen=True)
class Collector:
    """Brings accepted tasks home. `wall` is Unix time.

    `forgetful` says that the API forgets its tasks when we end: it is our own sandbox. `embed` says
    that pictures are stored with what they were drawn from in them. `mirror` is told of each one.
    """

    client: Client
    ledger: Ledger
    store: PictureStore
    rhythms: Rhythms
    callbacks: Callbacks
    forgetful: bool = False
    embed: bool = False
    mirror: Mirror | None = None
    wall: Callable[[], float] = time.time

    async def bring_home(self, row: TaskRow, track: Tracker, *, mine: bool = False) -> Outcome:
        """The pictures of a task, or what stands in their way. `mine`: its lease is held here.

        While another kernel looks after the task, this waits for what comes of it there.
        """
        while True:
            if not mine:
                try:
                    taken = await self._take_or_wait(row)
                except LedgerError as error:
                    return Outcome(row, error)
                if taken.state not in UNFINISHED:
                    return outcomes.of(taken)
                row = taken
                if self.forgetful and row.state in ("submitted", "parked"):
                    return await self._forgotten(row)
            try:
                return await self._bring(row, track, begun_here=mine)
            except LeaseLost:
                mine = False

    async def _take_or_wait(self, row: TaskRow) -> TaskRow:
        """The task, taken, or as it ended elsewhere."""
        while True:
            if (taken := await self.ledger.take(row.id)) is not None:
                return taken
            latest = await self.ledger.get(row.id)
            if latest is None or latest.state not in (*UNFINISHED, "queued", "sending"):
                return latest or row
            await asyncio.sleep(WATCH)

    async def _forgotten(self, row: TaskRow) -> Outcome:
        why = "The sandbox that was drawing it has ended; nothing was lost but time."
        await self.ledger.move(row.id, "abandoned", error=why)
        return outcomes.of(replace(row, state="abandoned", error=why))

    async def _bring(self, row: TaskRow, track: Tracker, *, begun_here: bool) -> Outcome:
        try:
            if row.state in ("submitted", "parked"):
                track(state="submitted", id=row.id, task_id=row.task_id or "")
                row = await self._finish(row, begun_here=begun_here)
            track(state="fetching")
            kept = {} if begun_here else await asyncio.to_thread(self._on_disk, row)
            outcome = await self._fetch(row, kept)
        except LeaseLost:
            raise
        except NanoBananaError as error:
            latest = await self._left(row)
            track(state=latest.state)
            return Outcome(latest, error)
        track(state=outcome.row.state)
        return outcome

    def _on_disk(self, row: TaskRow) -> dict[int, StoredPicture]:
        """What an earlier kernel has put on disk without having come to note it."""
        found = self.store.find(row.id)
        return {
            one.position: StoredPicture(
                one.file, one.sha256, one.width, one.height, self._out_of_place(one.file)
            )
            for one in found
        }

    def _out_of_place(self, file: Path) -> str:
        if self.store.in_place(file):
            return ""
        return f"For now the picture is {file}; nb.resume() puts it in its place once it can."

    async def _left(self, row: TaskRow) -> TaskRow:
        """The task as it is now, no longer looked after here."""
        with contextlib.suppress(LedgerError):
            await self.ledger.release(row.id)
            return await self.ledger.get(row.id) or row
        return row

    async def _finish(self, row: TaskRow, *, begun_here: bool) -> TaskRow:
        """Poll until the task has ended, and note how."""
        age, mode = self._age(row), row.request.mode
        await self.rhythms.remember(mode)
        try:
            with self.callbacks.bell(row.id, relied_on=begun_here) as bell:
                rhythm = self.rhythms.of(mode, bell)
                done = await self.client.wait(str(row.task_id), age=age, rhythm=rhythm)
                rhythm.ended()
        except WaitTimeout:
            await self.ledger.move(row.id, "parked")
            raise
        except TaskNotFound as error:
            forgotten = age > FORGOTTEN
            await self.ledger.move(row.id, "expired" if forgotten else "parked", error=str(error))
            raise
        except (KeyRefused, AccessDenied):  # the task itself is not over
            raise
        except (TaskFailed, BalanceTooLow) as error:
            # What was not drawn for want of money was not paid for either.
            unpaid = {"day": None} if isinstance(error, BalanceTooLow) else {}
            facts = {"error": error.detail, "fail_code": error.code, **unpaid}
            await self.ledger.move(row.id, "failed", **facts)
            self.rhythms.turns.changed()
            raise
        await self.ledger.ready(row.id, done.image_urls, done.seconds, done.took)
        self.rhythms.turns.changed()
        if done.took is not None:
            self.rhythms.learn(mode, done.took)
        found = tuple(PictureRow(url) for url in done.image_urls)
        return replace(row, state="ready", seconds=done.seconds, pictures=found)

    async def _fetch(self, row: TaskRow, kept: Mapping[int, StoredPicture]) -> Outcome:
        """Every picture of a finished task; after a failure it is `ready` for later."""
        if row.state == "ready":
            await self.ledger.move(row.id, "fetching")
        pictures = []
        drawn = await self._drawn(row) if self.embed else None
        try:
            for position in range(len(row.pictures)):
                there = kept.get(position) or await self._download(row, position, drawn)
                pictures.append(there)
        except DownloadError as error:
            raise await self._not_fetched(row, error) from None
        stored = tuple(
            replace(old, file=new.file, sha256=new.sha256, width=new.width, height=new.height)
            for old, new in zip(row.pictures, pictures, strict=True)
        )
        row = replace(row, pictures=stored)
        if trouble := next((one.trouble for one in pictures if one.trouble), ""):
            await self.ledger.move(row.id, "ready", lease=None)
            return Outcome(replace(row, state="ready"), warning=trouble)
        await self.ledger.stored(row.id, stored)
        if self.mirror is not None:
            self.mirror.catch_up()
        return Outcome(replace(row, state="stored"))

    async def _not_fetched(self, row: TaskRow, error: DownloadError) -> DownloadError:
        """Note that a picture is not on disk: for now, or for good, where its links have died or
        what they lead to cannot be used."""
        kept = error.kept or (self.store.kept_aside(row.id) if error.gone else None)
        if final := self._final(row, error, kept):
            paid = f"Task {row.task_id} was done and paid for ({row.price} US dollars), but {final}"
            await self.ledger.move(row.id, "expired", error=paid)
            return DownloadError(paid, url=error.url, gone=True, kept=kept)
        await self.ledger.move(row.id, "ready", lease=None)
        return DownloadError(
            f"Task {row.task_id} is done and paid for, but its picture is not on disk yet. "
            f"{error} nb.resume() tries again; the link lives a day at most.",
            url=error.url,
            gone=error.gone,
            kept=error.kept,
        )

    def _final(self, row: TaskRow, error: DownloadError, kept: Path | None) -> str:
        """Why a picture is not fetched again; empty if that may help."""
        late = self._age(row) > LINK_LIFE
        if error.kept and (late or begins_as_picture(error.kept)):
            return f"what came cannot be used here, and is not fetched again. {error}"
        if error.gone and late and kept:
            return (
                f"its links are dead. What came earlier cannot be used here; it is kept as {kept}."
            )
        if error.gone and late:
            return (
                "its links lived a day and are dead, and the API gives no others: its picture is "
                "gone."
            )
        return ""

    async def _drawn(self, row: TaskRow) -> Drawn:
        """What is put into the pictures of a task: its settings, and from whom it descends."""
        ancestors: dict[str, Drawn] = {}
        contents: dict[str, str] = {}
        generation = [row]
        with contextlib.suppress(LedgerError):  # the picture is more than its family
            while generation and len(ancestors) < MAX_LINEAGE:
                parents = [(one, await self.ledger.parents(one.id)) for one in generation]
                generation = []
                for child, parent in ((one, old) for one, found in parents for old in found):
                    contents |= {one.url: one.sha256 for one in parent.pictures}
                    if parent.id not in (row.id, *ancestors):
                        ancestors[parent.id] = _ancestor(parent, child)
                        generation.append(parent)
        known = [_by_content(one, contents) for one in (_of_row(row), *ancestors.values())]
        return replace(known[0], lineage=tuple(known[1 : MAX_LINEAGE + 1]))

    async def _download(self, row: TaskRow, position: int, drawn: Drawn | None) -> StoredPicture:
        url = row.pictures[position].url
        refusals = 0
        for tries in range(1, DOWNLOAD_TRIES + 1):
            try:
                note = _sidecar(row, position, url)
                async with self.store.room:
                    incoming = await self._fetched(url)
                    return await self.store.keep_aside(
                        incoming, row.request.prompt, row.id, row.created, note, drawn
                    )
            except DownloadError as error:
                refusals += error.kept is not None
                if refusals == REFUSALS or tries == DOWNLOAD_TRIES:
                    raise
                if error.gone:
                    url = await self._fresh_link(row, position)
            await asyncio.sleep(self.client.schedule.retry(tries, None, chance()))
        raise AssertionError("the last try returns or raises")

    async def _fetched(self, url: str) -> Incoming:
        """What a link leads to, whole; nothing of it is left where it does not come whole."""
        incoming = self.store.incoming()
        try:
            await self.client.download(url, incoming.write)
        except BaseException:
            incoming.close()
            raise
        return incoming

    async def _fresh_link(self, row: TaskRow, position: int) -> str:
        """Ask for the task again: the API may hand out a new link for one that is dead."""
        with contextlib.suppress(NanoBananaError):
            state = await self.client.status(str(row.task_id))
            if isinstance(state, Succeeded) and len(state.image_urls) == len(row.pictures):
                return state.image_urls[position]
        return row.pictures[position].url

    def _age(self, row: TaskRow) -> float:
        """Seconds since the task was sent."""
        return max(0.0, self.wall() - (row.sent or row.created))


def _of_row(row: TaskRow) -> Drawn:
    return Drawn(
        row.request.prompt,
        row.request.aspect_ratio,
        row.request.output_format,
        row.references,
        row.created,
        row.task_id or "",
        model=metadata.SANDBOX if row.origin == "sandbox" else MODEL,
    )


def _ancestor(parent: TaskRow, child: TaskRow) -> Drawn:
    """A task as an ancestor, with that of its pictures from which the child was drawn."""
    wanted = {*child.references}
    used = [one for one in parent.pictures if {one.sha256, one.url} & wanted]
    picture = next(iter((*used, *parent.pictures)), PictureRow(""))
    return replace(
        _of_row(parent),
        task_id="",
        width=picture.width,
        height=picture.height,
        sha256=picture.sha256,
    )


def _by_content(drawn: Drawn, contents: Mapping[str, str]) -> Drawn:
    """The same with the content of pictures of ours in place of links to them."""
    return replace(drawn, references=tuple(contents.get(one, one) for one in drawn.references))


def _sidecar(row: TaskRow, position: int, url: str) -> dict[str, Any]:
    """What stands beside a picture, so that the ledger can be made anew from it."""
    return {
        "id": row.id,
        "task_id": row.task_id,
        "position": position,
        "of": len(row.pictures),
        "prompt": row.request.prompt,
        "aspect_ratio": row.request.aspect_ratio,
        "output_format": row.request.output_format,
        "image_urls": row.request.image_urls,
        "origin": row.origin,
        "account": row.account,
        "price": str(row.price),
        "created": row.created,
        "seconds": row.seconds,
        "url": url,
        "cell": row.cell,
        "references": row.references,
    }
