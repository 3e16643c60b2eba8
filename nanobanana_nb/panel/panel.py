"""The panel: clicks to the studio's verbs, the ledger's tasks to tiles.

A click only starts work on the portal's loop and returns. Everything that is shown comes from the
ledger, so that tasks of other cells, kernels and panels stand here too, and nothing is lost with
the page or the kernel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from .. import comparing, copying, display, markup, models, pictures, previews, shell, tiles
from ..errors import NanoBananaError, RequestError
from ..models import PRICE
from ..portal import Job, current_job
from ..references import Look
from ..results import Gallery as Results
from ..results import Generation, Picture
from ..studio import Studio
from ..sync import current_studio, is_current
from . import detail, form, gallery, hands, variables, words
from .brush import Brush
from .clicks import Clicks
from .echo import Echo, asked_at
from .overlay import Overlay
from .parts import Parts
from .view import View

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
        self._living: Studio | None = None
        self._closed = False
        self._arriving = asyncio.Lock()
        self._dropped: set[str] = set()
        self._compared: Generation | None = None
        self._sent_again: set[str] = set()
        self._typed = ""
        self._recalled = ""
        self._kept: list[Any] = []
        self._album: Any = None
        self._build()
        self._act(self._nothing_more, self._view.notify)

    def _build(self) -> None:
        parts = self._parts = Parts()
        echo = self._echo = Echo(parts)
        notice = parts.html("notice off")
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
        self._view = View(
            self._brush, notice, self._form, self._gallery, self._detail, self._overlay
        )
        self._hands = hands.made(parts, self._received)
        self.widget = parts.box(
            "panel",
            parts.html("style", tiles.style_sheet(STYLE.read_text(encoding="utf-8"))),
            notice,
            parts.box(
                "body",
                self._form.widget,
                parts.box(
                    "right", self._detail.widget, self._overlay.widget, *self._gallery.widgets
                ),
            ),
        )
        for name in markup.NO_FORMULAS:
            self._brush.mark(self.widget, name, True)

    def _detail_doings(self) -> detail.Doings:
        def on_chosen(
            doing: Callable[[Studio, Generation], Coroutine[Any, Any, None]],
        ) -> Callable[[], None]:
            def clicked() -> None:
                if (chosen := self._view.chosen) is not None:
                    self._act(lambda studio: doing(studio, chosen), self._view.complain)

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
            keep=lambda: self._keep(self._view.chosen),
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
            studio.start(self._view.told(doing(studio), complain))
        except Exception as error:  # noqa: BLE001 - nobody sees what a callback raises
            complain(words.trouble(error))

    async def _nothing_more(self, studio: Studio) -> None:
        """The first thing asked of a studio: to be looked at."""

    def _generate(self, said: Mapping[str, Any] | None = None) -> None:
        wish = self._form.wish(said)
        made = self._echo.clicked if said is None else asked_at()
        if self._clicks.repeated(wish, made):
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
        chosen, count = self._view.chosen, self._form.wish().count
        if chosen is None:
            return
        if self._clicks.repeated((chosen.id, count), self._echo.clicked):
            self._detail.say(words.CLICKS)
            return
        self._act(
            lambda studio: self._draw(studio.vary(chosen, count, new=True), count),
            self._view.complain,
        )

    def _stop(self) -> None:
        self._act(self._stop_waiting, self._form.say)

    def _add(self, text: str) -> None:
        def meant(studio: Studio) -> Coroutine[Any, Any, None]:
            return self._go_by(
                studio, shell.meant(text.strip(), variables.all_names(), studio.last)
            )

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
        shown = self._view.shown()
        if place >= len(shown):
            return
        picked = shown[place]
        self._view.awaited = None  # who chooses by hand means it
        if self._compared is not None and picked.images:
            self._act(lambda _: self._show_comparison(picked), self._view.complain)
            return
        self._act(lambda studio: self._view.choose(studio, picked), self._view.complain)

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
            self._view.complain(words.trouble(error))
        else:
            self._detail.say(words.kept(one))

    def _look_again(self) -> None:
        """Have the gallery look at the ledger now."""

        async def look() -> None:
            self._view.look_again()

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
        if self._hands is None:
            return
        if self._hands in children:
            self.widget.send_state("children")  # the page may have missed it while it was loading
        else:
            self._brush.set(self.widget, children=(*children, self._hands))

    # What follows runs on the portal's loop.

    async def _live(self, studio: Studio) -> None:
        """Keep the view up, and go over to another default studio, as nb.login() makes one."""

        def goes_on() -> bool:
            current = self._given is not None or is_current(studio)
            return current and studio is self._living and not self._closed

        await self._view.keep_up(studio, goes_on)
        if studio is self._living and not self._closed:
            self._act(self._nothing_more, self._view.notify)

    async def _draw(self, drawing: Coroutine[Any, Any, Results], count: int) -> None:
        job = current_job()
        self._view.jobs.add(job)
        self._view.awaited = job
        self._gallery.to_the_newest()
        self._form.say(words.on_the_way(count), bad=False)
        self._view.look_again()
        try:
            found = await drawing
        finally:
            self._view.jobs.discard(job)
        refused = [one for one in found if one.error is not None and not self._let_go_of(one, job)]
        self._view.refuse([one for one in refused if one.standing in ("rejected", "abandoned")])
        if text := words.reasons(refused) or words.done(found):  # else who dropped it tells
            self._form.say(text, bad=bool(refused))

    def _let_go_of(self, one: Generation, job: Job[Any]) -> bool:
        """Whether a person had it dropped."""
        return one.standing == "abandoned" and (job.detached or one.id in self._dropped)

    async def _stop_waiting(self, studio: Studio) -> None:
        """Drop what was not sent yet; say what goes on."""
        dropped = going_on = 0
        for job in list(self._view.jobs):
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
        def check() -> None:
            with pictures.decoded(data):
                pass

        async with self._arriving:  # several at once keep their order
            await asyncio.to_thread(check)
            await self._go_by(studio, data, name)

    async def _open_large(self, _: Studio, one: Generation) -> None:
        preview = await asyncio.to_thread(_large, one.image)
        self._overlay.show(one, tiles.large(preview, one.prompt))

    async def _use_prompt(self, _: Studio, one: Generation) -> None:
        self._form.take_off()
        self._form.fill(prompt=one.prompt)

    async def _use_all(self, studio: Studio, one: Generation) -> None:
        looks, problems = await self._looks_of(studio, one)
        request = one.request
        self._form.take_off()
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


def _large(picture: Picture) -> bytes:
    with pictures.decoded(picture.path) as image:
        return previews.make_preview(image, 1024, 200_000)
