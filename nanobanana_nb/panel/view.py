"""What the panel shows: kept up with the ledger, for as long as it is open.

All of it runs on the portal's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import ipywidgets

from .. import display, tiles
from ..archive import Page
from ..errors import ConfigError, NanoBananaError, RequestError
from ..models import PRICE
from ..portal import Job
from ..presets import BUILT_IN, load, read, stamp
from ..results import Gallery as Results
from ..results import Generation
from ..studio import Studio
from ..tiles import Details, Tile
from . import detail, gallery, variables, words
from .brush import Brush
from .form import Form
from .overlay import Overlay
from .thumbs import Thumbs

BUSY: Final = 0.5
"""Seconds between looks at the ledger while something is under way."""
IDLE: Final = 2.0
"""The same while nothing is; another kernel may draw as well."""
REFUSED: Final = 50
"""Requests of this panel that were not sent and are still shown."""


class View:
    """Shows a page of the ledger, the chosen picture, and the money.

    `jobs` are the drawings of this panel that are under way, `chosen` is the picture that is shown
    large, `awaited` the drawing whose picture will be.
    """

    def __init__(
        self,
        brush: Brush,
        notice: ipywidgets.HTML,
        form: Form,
        gallery: gallery.Gallery,
        detail: detail.Detail,
        overlay: Overlay,
    ) -> None:
        self._brush = brush
        self._notice = notice
        self._form = form
        self._gallery = gallery
        self._detail = detail
        self._overlay = overlay
        self._thumbs = Thumbs()
        self._changed = asyncio.Event()
        self._seen: object = None
        self._page: Page | None = None
        self._refused: tuple[str, ...] = ()
        self._balance = ""
        self._reckoned: object = None
        self._styles_seen: object = None
        self.jobs: set[Job[Any]] = set()
        self.chosen: Generation | None = None
        self.awaited: Job[Any] | None = None

    async def keep_up(self, studio: Studio, goes_on: Callable[[], bool]) -> None:
        """Show what this studio's ledger holds, for as long as `goes_on` says so."""
        self._seen, self._styles_seen, self._changed = None, None, asyncio.Event()
        while goes_on():
            try:
                await self._offer_styles(studio)
                await self._look(studio)
                self._sandbox_notice(studio)
            except Exception as error:  # noqa: BLE001 - shown, and tried again
                self.notify(words.trouble(error))
            try:
                async with asyncio.timeout(BUSY if self._busy() else IDLE):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()

    def look_again(self) -> None:
        """Look at the ledger now."""
        self._changed.set()

    async def told(self, work: Coroutine[Any, Any, None], complain: Callable[[str], None]) -> None:
        """Do it; whatever goes wrong is told where `complain` tells it."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - nobody sees what a job raises
            complain(words.trouble(error))
        self._changed.set()

    async def choose(self, studio: Studio, one: Generation) -> None:
        """Show this one large."""
        self.chosen = one
        self._overlay.hide()
        self._detail.fill(one.remark, one.images[0].path.name if one.images else "")
        await self._show_details(studio, one, await self._tile(studio, one, self._notes()))

    def notify(self, text: str) -> None:
        """A line above everything."""
        self._brush.set(self._notice, value=tiles.said(text, bad=True))
        self._brush.show(self._notice, bool(text))

    def complain(self, text: str) -> None:
        """A line at the chosen picture."""
        self._detail.say(text, bad=True)

    def shown(self) -> Sequence[Generation]:
        """The page, newest first."""
        return self._page.generations if self._page is not None else ()

    def refuse(self, unsent: Sequence[Generation]) -> None:
        """Show requests of this panel that were not sent among the others."""
        self._refused = (*self._refused, *(one.id for one in unsent))[-REFUSED:]

    def _sandbox_notice(self, studio: Studio) -> None:
        notice = studio.sandbox_notice
        self._brush.set(self._notice, value=tiles.said(notice))
        self._brush.show(self._notice, bool(notice))

    def _busy(self) -> bool:
        waiting = (one.standing for one in self.shown())
        return bool(self.jobs) or any(s in display.NOT_OVER and s != "parked" for s in waiting)

    async def _look(self, studio: Studio) -> None:
        query, also = self._gallery.query, self._refused
        wanted = (await studio.version(), query, also, self._busy())
        if wanted != self._seen:
            self._page = await self._found(studio, query, also)
            self._seen = wanted
            await self._follow_the_chosen(studio)
            await self._tell_money(studio)
            self._form.suggest(variables.of_pictures())
        await self._paint(studio, query)

    async def _offer_styles(self, studio: Studio) -> None:
        """Let the styles be chosen that there are now; only ours where another file is wrong."""
        there = studio, await asyncio.to_thread(stamp, studio.settings)
        if there == self._styles_seen:
            return
        self._styles_seen = there
        try:
            found = await asyncio.to_thread(load, studio.settings)
        except ConfigError as error:
            self._form.say(str(error))
            found = await asyncio.to_thread(read, [BUILT_IN])
        if not self._form.offer(found):
            self._form.say(words.STYLE_GONE)

    async def _follow_the_chosen(self, studio: Studio) -> None:
        """Show what became of the chosen one, where it is not on the page any more."""
        chosen = self.chosen
        if chosen is None or any(one.id == chosen.id for one in self.shown()):
            return
        with contextlib.suppress(RequestError):  # it is not in this ledger
            latest = await studio.get(chosen.id)
            if latest != chosen and self.chosen is chosen:
                self.chosen = latest
                tile = await self._tile(studio, latest, self._notes())
                await self._show_details(studio, latest, tile)

    async def _found(self, studio: Studio, query: gallery.Query, also: tuple[str, ...]) -> Page:
        if query.family:
            itself, family = await studio.get(query.family), await studio.lineage(query.family)
            members = [*family.parents, itself, *family.children]
            shown = members[query.offset : query.offset + gallery.PAGE]
            return Page(Results(shown), len(members))
        return await studio.page(
            query.words,
            starred=query.starred or None,
            also=also,
            offset=query.offset,
            limit=gallery.PAGE,
        )

    async def _paint(self, studio: Studio, query: gallery.Query) -> None:
        notes, shown = self._notes(), self.shown()
        found = [await self._tile(studio, one, notes) for one in shown]
        ids = [one.id for one in shown]
        if (newest := self._to_choose(shown)) is not None:
            await self.told(self.choose(studio, newest), self.complain)
        chosen = self.chosen.id if self.chosen is not None else ""
        place = ids.index(chosen) if chosen in ids else None
        total = self._page.total if self._page is not None else 0
        self._gallery.show(query, found, total, place)
        self._form.under_way(sum(not job.detached for job in self.jobs))
        if place is not None:
            latest = shown[place]
            if latest != self.chosen or _under_way(latest):
                if latest.images and self.chosen is not None and not self.chosen.images:
                    self._detail.fill(latest.remark, latest.path.name)
                self.chosen = latest
                await self._show_details(studio, latest, found[place])

    def _to_choose(self, shown: Sequence[Generation]) -> Generation | None:
        """What is chosen by itself: the first picture there is, and what was just asked for."""
        if self.chosen is None and shown:
            return shown[0]
        report = self.awaited.latest if self.awaited is not None else None
        ids = [item.id for item in report.items if item.id] if report is not None else []
        found = next((one for one in shown if one.id in ids), None)
        if found is not None:
            self.awaited = None
        return found

    def _notes(self) -> dict[str, str]:
        """What is to say about tasks of this panel, by their ids."""
        reports = [job.latest for job in self.jobs if job.latest is not None]
        return {item.id: item.note for report in reports for item in report.items if item.note}

    async def _tile(self, studio: Studio, one: Generation, notes: Mapping[str, str]) -> Tile:
        card = await asyncio.to_thread(self._thumbs.card, one)
        sent = one.sent if _under_way(one) else None
        elapsed = (datetime.now(UTC) - sent).total_seconds() if sent is not None else None
        more = max(0, len(one.images) - 1)
        return Tile(card, elapsed, studio.expected, notes.get(one.id, ""), more)

    async def _show_details(self, studio: Studio, one: Generation, tile: Tile) -> None:
        """Show all about it, unless another one was chosen while that was gathered."""
        family = await studio.lineage(one.id)
        card = (await asyncio.to_thread(one.cards))[0]
        parents = [await asyncio.to_thread(self._thumbs.card, each) for each in family.parents]
        children = [await asyncio.to_thread(self._thumbs.card, each) for each in family.children]
        details = Details(replace(tile, card=card), words.facts(one), parents[:5], children[:8])
        actions = detail.Actions(
            picture=bool(one.images),
            starred=one.starred,
            family=bool(parents or children),
            queued=one.standing == "queued",
            in_doubt=one.standing == "unknown",
        )
        if self.chosen is not None and self.chosen.id == one.id:
            self._detail.show(details, actions, display.money(PRICE * self._form.wish().count))

    async def _tell_money(self, studio: Studio) -> None:
        """What was spent and what is left; the latter is asked for once after each spending, and
        not waited for."""
        spent = await studio.spending()
        if spent != self._reckoned and not (self._balance and self._busy()):
            self._reckoned = spent
            studio.start(self.told(self._ask_for_balance(studio), self.notify))
        kind = "of sandbox money" if studio.sandboxed else ""
        line = tiles.account(spent.session, self._balance, spent.at_risk, spent.unknown, kind)
        self._brush.set(self._form.money, value=line)

    async def _ask_for_balance(self, studio: Studio) -> None:
        self._balance = await _balance(studio)
        await self._tell_money(studio)


def _under_way(one: Generation) -> bool:
    return one.standing in display.NOT_OVER


async def _balance(studio: Studio) -> str:
    """What is left, or why that is not known; not worth an error of its own."""
    try:
        return display.money(await studio.balance())
    except NanoBananaError:
        return "not known at the moment"
