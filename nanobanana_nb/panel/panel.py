"""The panel: clicks to the studio's verbs, the ledger's tasks to tiles.

A click only starts work on the portal's loop and returns. Everything that is shown comes from the
ledger, so that tasks of other cells, kernels and panels stand here too, and nothing is lost with
the page or the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from .. import comparing, copying, display, models, pictures, shell, tiles
from ..archive import Page
from ..errors import NanoBananaError, RequestError
from ..models import PRICE
from ..portal import Job, current_job
from ..references import Look
from ..results import Gallery as Results
from ..results import Generation, Picture
from ..studio import SANDBOX_NOTICE, Studio
from ..sync import current_studio, is_current
from ..tiles import Details, Tile
from . import detail, form, gallery, hands, words
from .brush import Brush
from .clicks import Clicks
from .echo import Echo
from .overlay import Overlay
from .parts import Parts
from .thumbs import Thumbs

BUSY: Final = 0.5
"""Seconds between looks at the ledger while something is under way."""
IDLE: Final = 2.0
"""The same while nothing is; another kernel may draw as well."""
REFUSED: Final = 50
"""Requests of this panel that were not sent and are still shown."""
STYLE: Final = Path(__file__).with_name("panel.css")


class Panel:
    """A panel to draw with by hand: `nb.Panel()`, or `%nanobanana_panel`.

    It works on the default studio unless it is given one, never blocks the kernel, and shows what
    was drawn here by any notebook. `widget` is its ipywidgets tree, to put into another layout.
    """

    def __init__(self, studio: Studio | None = None) -> None:
        self._given = studio
        self._brush = Brush()
        self._clicks = Clicks()
        self._thumbs = Thumbs()
        self._jobs: set[Job[Any]] = set()
        self._living: Studio | None = None
        self._closed = False
        self._changed = asyncio.Event()
        self._arriving = asyncio.Lock()
        self._seen: object = None
        self._page: Page | None = None
        self._refused: tuple[str, ...] = ()
        self._dropped: set[str] = set()
        self._chosen: Generation | None = None
        self._awaited: Job[Any] | None = None
        self._compared: Generation | None = None
        self._balance = ""
        self._reckoned: object = None
        self._sent_again: set[str] = set()
        self._typed = ""
        self._recalled = ""
        self._kept: list[Any] = []
        self._album: Any = None
        self._build()
        self._act(self._nothing_more, self._notify)

    def _build(self) -> None:
        parts = self._parts = Parts()
        echo = Echo(parts)
        self._notice = parts.html("notice off")
        self._form = form.Form(
            parts,
            self._brush,
            echo,
            form.Doings(
                generate=self._generate,
                stop=self._stop,
                add=self._add,
                older=lambda: self._act(lambda s: self._recall(s, 1), self._form.say),
                newer=lambda: self._act(lambda s: self._recall(s, -1), self._form.say),
                copy=self._copy,
            ),
        )
        self._gallery = gallery.Gallery(
            parts,
            self._brush,
            gallery.Doings(self._pick, self._look_again),
        )
        self._detail = detail.Detail(parts, self._brush, echo, self._detail_doings())
        self._form.when_counted(lambda count: self._detail.price(display.money(PRICE * count)))
        self._overlay = Overlay(parts, self._brush, self._detail.widget, self._keep)
        self._hands = hands.made(parts, self._received)
        self.widget = parts.box(
            "panel",
            parts.html("style", tiles.style_sheet(STYLE.read_text(encoding="utf-8"))),
            self._notice,
            parts.box(
                "body",
                self._form.widget,
                parts.box(
                    "right", self._detail.widget, self._overlay.widget, *self._gallery.widgets
                ),
            ),
        )

    def _detail_doings(self) -> detail.Doings:
        def on_chosen(
            doing: Callable[[Studio, Generation], Coroutine[Any, Any, None]],
        ) -> Callable[[], None]:
            def clicked() -> None:
                if (chosen := self._chosen) is not None:
                    self._act(lambda studio: doing(studio, chosen), self._complain)

            return clicked

        return detail.Doings(
            large=on_chosen(self._open_large),
            use_prompt=on_chosen(self._use_prompt),
            use_all=on_chosen(self._use_all),
            edit=on_chosen(self._edit),
            vary=self._vary,
            star=on_chosen(self._star),
            compare=on_chosen(self._compare_with_next),
            family=on_chosen(self._show_family),
            link=on_chosen(self._copy_link),
            keep=lambda: self._keep(self._chosen),
            let_go=on_chosen(self._let_go),
            again=on_chosen(self._submit_again),
            note=lambda text: on_chosen(lambda s, one: self._note(s, one, text))(),
            save=lambda path: on_chosen(lambda _, one: self._save(one, path))(),
        )

    def _ipython_display_(self) -> None:
        """The panel, and below it a place for what is put into the notebook."""
        from IPython.display import display as show

        show(display.widget_view(self.widget.model_id, words.WITHOUT_KERNEL), raw=True)
        self._album = show(display.NOTHING, raw=True, display_id=True)

    def __repr__(self) -> str:
        return words.WITHOUT_KERNEL

    def close(self) -> None:
        """End the panel. Its tasks go on."""
        self._closed = True
        self._look_again()
        self._parts.close()

    # Clicks: each starts work on the portal's loop and returns.

    def _act(
        self,
        doing: Callable[[Studio], Coroutine[Any, Any, None]],
        complain: Callable[[str], None],
    ) -> None:
        """Begin it in the background; whatever goes wrong is told where `complain` tells it."""
        try:
            studio = self._given or current_studio()
            if studio is not self._living:
                self._living = studio
                studio.start(self._live(studio))
            studio.start(self._told(doing(studio), complain))
        except Exception as error:  # noqa: BLE001 - nobody sees what a callback raises
            complain(words.trouble(error))

    async def _told(self, work: Coroutine[Any, Any, None], complain: Callable[[str], None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - nobody sees what a job raises
            complain(words.trouble(error))
        self._changed.set()

    async def _nothing_more(self, studio: Studio) -> None:
        """The first thing asked of a studio: to be looked at."""

    def _generate(self, said: Mapping[str, Any] | None = None) -> None:
        wish = self._form.wish(said)
        if self._clicks.repeated(wish):
            self._form.say(words.CLICKS, bad=False)
            return
        try:
            models.check_prompt(wish.prompt)
        except RequestError as error:
            self._form.say_of_prompt(str(error))
            return
        # The studio is asked here, where it can tell that this is a click and no cell.
        self._act(
            lambda studio: self._draw(studio.gallery(wish.prompt, **wish.options), wish.count),
            self._form.say,
        )

    def _vary(self) -> None:
        chosen, count = self._chosen, self._form.wish().count
        if chosen is None:
            return
        if self._clicks.repeated((chosen.id, count)):
            self._detail.say(words.CLICKS)
            return
        self._act(
            lambda studio: self._draw(studio.vary(chosen, count, new=True), count), self._complain
        )

    def _stop(self) -> None:
        self._act(self._stop_waiting, self._form.say)

    def _add(self, text: str) -> None:
        def meant(studio: Studio) -> Coroutine[Any, Any, None]:
            return self._go_by(studio, shell.meant(text.strip(), _names(), studio.last))

        if text.strip():
            self._act(meant, self._form.say_of_references)
        else:
            self._form.say_of_references("Give a link (https://...), a file, a variable or last.")

    def _copy(self) -> None:
        draft = self._form.wish().draft
        codes = [("One line", copying.magic_line(draft))] if draft.prompt else []
        codes += [("A cell", copying.magic_cell(draft)), ("Python", copying.python(draft))]
        if draft.prompt:
            self._form.clip([(title, code) for title, code in codes if code])
        else:
            self._form.say_of_prompt("The prompt is empty; say what to draw first.")

    def _pick(self, place: int) -> None:
        if self._page is None or place >= len(self._page.generations):
            return
        picked = self._page.generations[place]
        self._awaited = None  # who chooses by hand means it
        if self._compared is not None and picked.images:
            self._act(lambda _: self._show_comparison(picked), self._complain)
            return
        self._act(lambda studio: self._choose(studio, picked), self._complain)

    def _keep(self, one: Any) -> None:
        """Put it into the notebook, from here: an update of a display knows its place by itself."""
        try:
            if self._album is None:
                raise RequestError("The panel is not shown by itself, so there is no place below.")
            kept = [*self._kept, one]
            self._album.update(
                display.stacked([each._repr_mimebundle_() for each in kept]), raw=True
            )
            self._kept = kept
        except Exception as error:  # noqa: BLE001 - nobody sees what a callback raises
            self._complain(words.trouble(error))
        else:
            self._detail.say(words.kept(one))

    def _look_again(self) -> None:
        """Have the gallery look at the ledger now."""

        async def look() -> None:
            self._changed.set()

        if self._living is not None:
            self._living.start(look())

    def _received(self, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        """What the keyboard, the clipboard and dropped files ask for."""
        match message.get("do"):
            case "generate":
                self._generate(message)
                if self._hands is not None:
                    self._hands.send({"answer": "generate"})
            case "older":
                self._form.older()
            case "newer":
                self._form.newer()
            case "escape":
                self._overlay.hide()
            case "here":
                self._join_hands()
            case "link":
                self._add(str(message.get("text", "")))
            case "picture" if buffers:
                data, name = bytes(buffers[0]), str(message.get("name", ""))
                self._act(
                    lambda studio: self._go_by_bytes(studio, data, name),
                    self._form.say_of_references,
                )
            case "too-large" | "not-a-picture" as why:
                self._form.say_of_references(words.not_taken(why, str(message.get("name", ""))))

    def _join_hands(self) -> None:
        """Put them into the panel: the page can draw them. One that cannot, for want of anywidget's
        extension, would draw nothing of a box that holds them."""
        children = self.widget.children
        if self._hands is not None and self._hands not in children:
            self._brush.set(self.widget, children=(*children, self._hands))

    def _notify(self, text: str) -> None:
        self._brush.set(self._notice, value=tiles.said(text, bad=True))
        self._brush.show(self._notice, bool(text))

    def _complain(self, text: str) -> None:
        self._detail.say(text, bad=True)

    # What follows runs on the portal's loop.

    async def _live(self, studio: Studio) -> None:
        """Show what the ledger holds, for as long as the panel and this studio are used."""
        self._seen, self._changed = None, asyncio.Event()
        while studio is self._living and not self._closed:
            if self._given is None and not is_current(studio):  # nb.login() made another
                self._act(self._nothing_more, self._notify)
                return
            try:
                await self._look(studio)
                self._sandbox_notice(studio)
            except Exception as error:  # noqa: BLE001 - shown, and tried again
                self._notify(words.trouble(error))
            try:
                async with asyncio.timeout(BUSY if self._busy() else IDLE):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()

    def _sandbox_notice(self, studio: Studio) -> None:
        notice = SANDBOX_NOTICE if studio.sandboxed else ""
        self._brush.set(self._notice, value=tiles.said(notice))
        self._brush.show(self._notice, bool(notice))

    def _busy(self) -> bool:
        waiting = (one.standing for one in self._shown())
        return bool(self._jobs) or any(s in display.NOT_OVER and s != "parked" for s in waiting)

    def _shown(self) -> Sequence[Generation]:
        return self._page.generations if self._page is not None else ()

    async def _look(self, studio: Studio) -> None:
        query, also = self._gallery.query, self._refused
        wanted = (await studio.version(), query, also, self._busy())
        if wanted != self._seen:
            self._page = await self._found(studio, query, also)
            self._seen = wanted
            await self._keep_up(studio)
            await self._tell_money(studio)
            self._form.suggest(_picture_names())
        await self._paint(studio, query)

    async def _keep_up(self, studio: Studio) -> None:
        """Show what became of the chosen one, where it is not on the page any more."""
        chosen = self._chosen
        if chosen is None or any(one.id == chosen.id for one in self._shown()):
            return
        with contextlib.suppress(RequestError):  # it is not in this ledger
            latest = await studio.get(chosen.id)
            if latest != chosen and self._chosen is chosen:
                self._chosen = latest
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
        notes, shown = self._notes(), self._shown()
        found = [await self._tile(studio, one, notes) for one in shown]
        ids = [one.id for one in shown]
        if (newest := self._to_choose(shown)) is not None:
            await self._told(self._choose(studio, newest), self._complain)
        chosen = self._chosen.id if self._chosen is not None else ""
        place = ids.index(chosen) if chosen in ids else None
        total = self._page.total if self._page is not None else 0
        self._gallery.show(query, found, total, place)
        self._form.under_way(sum(not job.detached for job in self._jobs))
        if place is not None:
            latest = shown[place]
            if latest != self._chosen or _under_way(latest):
                if latest.images and self._chosen is not None and not self._chosen.images:
                    self._detail.fill(latest.remark, latest.path.name)
                self._chosen = latest
                await self._show_details(studio, latest, found[place])

    def _to_choose(self, shown: Sequence[Generation]) -> Generation | None:
        """What is chosen by itself: the first picture there is, and what was just asked for."""
        if self._chosen is None and shown:
            return shown[0]
        report = self._awaited.latest if self._awaited is not None else None
        ids = [item.id for item in report.items if item.id] if report is not None else []
        found = next((one for one in shown if one.id in ids), None)
        if found is not None:
            self._awaited = None
        return found

    def _notes(self) -> dict[str, str]:
        """What is to say about tasks of this panel, by their ids."""
        reports = [job.latest for job in self._jobs if job.latest is not None]
        return {item.id: item.note for report in reports for item in report.items if item.note}

    async def _tile(self, studio: Studio, one: Generation, notes: Mapping[str, str]) -> Tile:
        card = await asyncio.to_thread(self._thumbs.card, one)
        sent = one.sent if _under_way(one) else None
        elapsed = (datetime.now(UTC) - sent).total_seconds() if sent is not None else None
        more = max(0, len(one.images) - 1)
        return Tile(card, elapsed, studio.expected, notes.get(one.id, ""), more)

    async def _tell_money(self, studio: Studio) -> None:
        """What was spent and what is left; the latter is asked for once after each spending, and
        not waited for."""
        spent = await studio.spending()
        if spent != self._reckoned and not (self._balance and self._busy()):
            self._reckoned = spent
            studio.start(self._told(self._ask_for_balance(studio), self._notify))
        kind = "of sandbox money" if studio.sandboxed else ""
        line = tiles.account(spent.session, self._balance, spent.at_risk, spent.unknown, kind)
        self._brush.set(self._form.money, value=line)

    async def _ask_for_balance(self, studio: Studio) -> None:
        self._balance = await _balance(studio)
        await self._tell_money(studio)

    async def _draw(self, drawing: Coroutine[Any, Any, Results], count: int) -> None:
        job = current_job()
        self._jobs.add(job)
        self._awaited = job
        self._gallery.to_the_newest()
        pictures_ = "1 picture is" if count == 1 else f"{count} pictures are"
        self._form.say(f"{pictures_} on the way, {display.money(PRICE * count)}.", bad=False)
        self._changed.set()
        try:
            found = await drawing
        finally:
            self._jobs.discard(job)
        refused = [one for one in found if one.error is not None and not self._let_go_of(one, job)]
        unsent = tuple(one.id for one in refused if one.standing in ("rejected", "abandoned"))
        self._refused = (*self._refused, *unsent)[-REFUSED:]
        if text := words.reasons(refused) or words.done(found):  # else who dropped it tells
            self._form.say(text, bad=bool(refused))

    def _let_go_of(self, one: Generation, job: Job[Any]) -> bool:
        """Whether a person had it dropped."""
        return one.standing == "abandoned" and (job.detached or one.id in self._dropped)

    async def _stop_waiting(self, studio: Studio) -> None:
        """Drop what was not sent yet; say what goes on."""
        dropped = going_on = 0
        for job in list(self._jobs):
            job.detached = True
            for item in job.latest.items if job.latest is not None else ():
                if item.state == "queued" and await self._drop(studio, item.id):
                    dropped += 1
                elif item.state in display.NOT_OVER:
                    going_on += 1
        self._form.say(words.stopped(dropped, going_on), bad=False)

    async def _drop(self, studio: Studio, id: str) -> bool:  # noqa: A002
        self._dropped.add(id)
        return await studio.drop(id)

    async def _recall(self, studio: Studio, by: int) -> None:
        """An earlier prompt (`by` 1) or a later one (-1); the last is what was typed."""
        used = await studio.prompts()
        typed = self._form.prompt.value  # after the wait: of two clicks, each goes a step
        if typed != self._recalled:
            self._typed = typed
        known = [self._typed, *(p for p in used if p != self._typed.strip())]
        now = known.index(typed) if typed in known else 0
        self._recalled = known[min(max(0, now + by), len(known) - 1)]
        self._form.fill(prompt=self._recalled)

    async def _go_by(self, studio: Studio, reference: Any, label: str = "") -> None:
        look = await studio.look_at(reference)
        self._form.go_by(replace(look, label=label or look.label))
        self._form.say_of_references("")

    async def _go_by_bytes(self, studio: Studio, data: bytes, name: str) -> None:
        def opened() -> Any:
            with pictures.decoded(data) as image:
                return image

        async with self._arriving:  # several at once keep their order
            await self._go_by(studio, await asyncio.to_thread(opened), name)

    async def _choose(self, studio: Studio, one: Generation) -> None:
        self._chosen = one
        self._overlay.hide()
        self._detail.fill(one.remark, one.images[0].path.name if one.images else "")
        await self._show_details(studio, one, await self._tile(studio, one, self._notes()))

    async def _show_details(self, studio: Studio, one: Generation, tile: Tile) -> None:
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
        self._detail.show(details, actions, display.money(PRICE * self._form.wish().count))

    async def _open_large(self, _: Studio, one: Generation) -> None:
        preview = await asyncio.to_thread(_large, one.image)
        self._overlay.show(one, tiles.large(preview, one.prompt))

    async def _use_prompt(self, _: Studio, one: Generation) -> None:
        self._form.fill(prompt=one.prompt)

    async def _use_all(self, studio: Studio, one: Generation) -> None:
        looks, problems = await self._looks_of(studio, one)
        request = one.request
        self._form.fill(request.prompt, request.aspect_ratio, request.output_format, looks)
        self._form.say_of_references(" ".join(problems))

    async def _looks_of(self, studio: Studio, one: Generation) -> tuple[list[Look], list[str]]:
        """The pictures that it went by, as far as they can be had again."""
        known = {
            p.sha256: p for each in (await studio.lineage(one.id)).parents for p in each.images
        }
        looks, problems = [], []
        links = one.request.image_urls
        for position, content in enumerate(one.references or links):
            try:
                looks.append(await studio.look_at(known.get(content, links[position])))
            except NanoBananaError as error:
                problems.append(str(error))
        return looks, problems

    async def _edit(self, studio: Studio, one: Generation) -> None:
        await self._go_by(studio, one)
        self._detail.say("It is among the pictures to go by; say what to change, then Generate.")

    async def _star(self, studio: Studio, one: Generation) -> None:
        await studio.star(one.id, not one.starred)

    async def _note(self, studio: Studio, one: Generation, text: str) -> None:
        await studio.note(one.id, text.strip())
        self._detail.say("The note is kept." if text.strip() else "The note is gone.")

    async def _save(self, one: Generation, path: str) -> None:
        try:
            saved = await asyncio.to_thread(one.save, path.strip() or ".")
        except (OSError, ValueError) as error:
            raise RequestError(f"It cannot be saved there: {error}.") from None
        self._detail.say(f"Saved as {saved.resolve()}")

    async def _compare_with_next(self, _: Studio, one: Generation) -> None:
        self._compared = one
        self._detail.say("Now choose the picture to compare it with.")

    async def _show_comparison(self, other: Generation) -> None:
        first, self._compared = self._compared, None
        if first is not None:
            compared = await asyncio.to_thread(comparing.compare, first, other)
            self._overlay.show(compared, compared.html)
            self._detail.say("")

    async def _show_family(self, _: Studio, one: Generation) -> None:
        self._gallery.show_family(one.id)

    async def _copy_link(self, _: Studio, one: Generation) -> None:
        picture = one.image
        codes = [("The file", str(picture.path))]
        if picture.url:
            codes.insert(0, (f"The API's link, {words.expiry(picture)}", picture.url))
        self._detail.clip(codes)

    async def _let_go(self, studio: Studio, one: Generation) -> None:
        """Drop what was not sent yet, or take as settled what may have been billed."""
        if one.standing == "unknown":
            await studio.dismiss(one.id)
        else:
            dropped = await self._drop(studio, one.id)
            self._form.say(words.stopped(int(dropped), int(not dropped)), bad=False)

    async def _submit_again(self, studio: Studio, one: Generation) -> None:
        if one.id in self._sent_again:
            return  # said once more: until its answer is here, it can still be seen in doubt
        self._sent_again.add(one.id)
        try:
            self._detail.say(f"It is on the way once more, {display.money(PRICE)}.")
            await studio.submit_again(one.id)
        finally:
            self._sent_again.discard(one.id)


def _under_way(one: Generation) -> bool:
    return one.standing in display.NOT_OVER


def _large(picture: Picture) -> bytes:
    with pictures.decoded(picture.path) as image:
        return pictures.make_preview(image, 1024, 200_000)


async def _balance(studio: Studio) -> str:
    """What is left, or why that is not known; not worth an error of its own."""
    try:
        return display.money(await studio.balance())
    except NanoBananaError:
        return "not known at the moment"


def _names() -> Mapping[str, Any]:
    """The user's variables."""
    ipython = sys.modules.get("IPython")
    found = ipython.get_ipython() if ipython is not None else None
    return found.user_ns if found is not None else {}


def _picture_names() -> list[str]:
    """The user's variables that are pictures."""
    kinds = (Generation, Picture)
    named = [name for name, value in list(_names().items()) if isinstance(value, kinds)]
    return ["last", *(name for name in named if not name.startswith("_"))]
