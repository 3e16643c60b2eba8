"""What is asked for: prompt, ratio, format, pictures to go by, how many, and the price of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ipywidgets

from .. import models, tiles
from ..copying import Draft
from ..presets import Style
from ..references import Look
from ..results import Generation, Picture
from .brush import Brush
from .echo import Echo
from .parts import Parts

MOST: Final = 20
"""Pictures at a time; more are asked for in code, where they are confirmed."""
NO_STYLE: Final = "No style"
_GROUND: Final = "1:1"


@dataclass(frozen=True)
class Wish:
    """What the form says at one moment."""

    prompt: str
    aspect_ratio: str
    output_format: str
    looks: tuple[Look, ...]
    count: int
    style: Style | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The options of `Studio.gallery`."""
        style = {"style": self.style.name} if self.style else {}
        return style | {
            "aspect_ratio": self.aspect_ratio,
            "output_format": self.output_format,
            "image_urls": [look.source for look in self.looks],
            "count": self.count,
            "new": True,
        }

    @property
    def draft(self) -> Draft:
        """The same to copy."""
        references = tuple(_as_text(look.source) for look in self.looks)
        return Draft(
            self.prompt,
            self.aspect_ratio,
            self.output_format,
            references,
            self.count,
            self.style,
        )


@dataclass(frozen=True)
class Doings:
    """What the buttons of the form do."""

    generate: Callable[[], None]
    stop: Callable[[], None]
    add: Callable[[str], None]
    older: Callable[[], None]
    newer: Callable[[], None]
    copy: Callable[[], None]


class Form:
    """The left side of the panel. Its values are read where a click arrives."""

    def __init__(self, parts: Parts, brush: Brush, echo: Echo, doings: Doings) -> None:
        self._brush = brush
        self._echo = echo
        self.looks: tuple[Look, ...] = ()
        self._styles: Mapping[str, Style] = {}
        self._before_style: dict[str, str] = {}
        self._still_on_the_page: dict[str, str] = {}
        self._prompt(parts, doings)
        self._choices(parts)
        self._references(parts, doings)
        self._actions(parts, doings)
        self.widget = parts.box(
            "form",
            self.prompt,
            parts.box("under", self._older, self._newer, self._counter),
            self._prompt_error,
            self._style,
            self._ratio,
            parts.box("pair", self._format, self._count),
            parts.box("add", self._link, self._add),
            self._reference_error,
            self._strip,
            parts.box("go", self._generate, self._price, self._stop),
            self._said,
            self.money,
            self._copy,
            self._clip,
        )
        self.reckon()

    def _prompt(self, parts: Parts, doings: Doings) -> None:
        self.prompt = parts.make(
            ipywidgets.Textarea,
            "prompt",
            description="Prompt",
            placeholder="Describe a picture, e.g. a fox in watercolor",
            rows=5,
        )
        self.prompt.observe(lambda _: self._count_characters(), "value")
        self.older, self.newer = self._after(doings.older), self._after(doings.newer)
        self._older = parts.button(
            "small older", "‹ Earlier", self.older, "The prompt before this one"
        )
        self._newer = parts.button(
            "small newer", "Later ›", self.newer, "The prompt after this one"
        )
        self._counter = parts.html("counter")
        self._prompt_error = parts.html("error off")

    def _choices(self, parts: Parts) -> None:
        self._style = parts.make(
            ipywidgets.Dropdown, "styles off", options=[(NO_STYLE, "")], description="Style"
        )
        self._worn = Style("")
        self._style.observe(lambda change: self._wear(change["new"]), "value")
        self._ratio = parts.ratios()
        self._ratio.observe(lambda _: self.reckon(), "value")
        formats = list(models.OUTPUT_FORMATS)
        self._format = parts.make(
            ipywidgets.ToggleButtons, "format", options=formats, description="Format"
        )
        self._count = parts.make(
            ipywidgets.BoundedIntText,
            "count",
            min=1,
            max=MOST,
            value=1,
            description="Pictures",
            continuous_update=True,
        )
        self._count.observe(lambda _: self.reckon(), "value")

    def _references(self, parts: Parts, doings: Doings) -> None:
        self._thumbs = parts.html("thumbs")
        self._removes = [
            parts.button("small remove", f"Remove {position + 1}", self._remover(position))
            for position in range(models.MAX_IMAGES)
        ]
        self._strip = parts.box("strip off", self._thumbs, *self._removes)
        self._link = parts.make(
            ipywidgets.Combobox,
            "link",
            description="Reference pictures",
            placeholder="Link, file, variable or last",
        )
        self._add = parts.button(
            "small plus",
            "Add",
            self._after(lambda: doings.add(self._link.value)),
            "Add it to the references",
        )
        self._reference_error = parts.html("error off")

    def _actions(self, parts: Parts, doings: Doings) -> None:
        self._generate = parts.make(
            ipywidgets.ToggleButton, "generate", description="Generate", tooltip="Draw it"
        )
        # Pressed, it locks the prompt in the page itself until the click is dealt with: what is
        # typed on belongs to the next one.
        self._lock = ipywidgets.jsdlink((self._generate, "value"), (self.prompt, "disabled"))
        self._generate.observe(lambda change: self._pressed(change["new"], doings), "value")
        self._price = parts.html("price")
        self.money = parts.html("money")
        self._said = parts.html("error off")
        self._stop = parts.button(
            "small stop off",
            "Stop waiting",
            doings.stop,
            "Drops what was not sent yet, free of charge. What was sent cannot be cancelled: "
            "it goes on, is paid for, and appears here.",
        )
        self._copy = parts.button(
            "small copy",
            "Copy as cell",
            self._after(doings.copy),
            "What stands here, as a cell to keep",
        )
        self._clip = parts.html("clip off")

    def _pressed(self, down: bool, doings: Doings) -> None:
        def deal() -> None:
            try:
                doings.generate()
            finally:
                self._brush.set(self._generate, value=False)

        if down:
            self._echo.then(deal)

    def _after(self, act: Callable[[], None]) -> Callable[[], None]:
        """The same, once what was typed before the click is here."""
        return lambda: self._echo.then(act)

    def clip(self, codes: Sequence[tuple[str, str]]) -> None:
        """Show code to copy, each under its title; the same once more takes it away."""
        value = tiles.clip(codes)
        value = "" if value == self._clip.value else value
        self._brush.set(self._clip, value=value)
        self._brush.show(self._clip, bool(value))

    def wish(self, said: Mapping[str, Any] | None = None) -> Wish:
        """What the form says now; `said` is what the page itself has read from it."""
        known = {name: text for name, text in (said or {}).items() if not self._is_old(name, text)}
        ratio, format_ = known.get("aspect_ratio"), known.get("output_format")
        count = str(known.get("count", ""))
        style = str(known.get("style", self._style.value)).replace("\xa0", " ")
        return Wish(
            str(known.get("prompt", self.prompt.value)).strip(),
            ratio if ratio in models.ASPECT_RATIOS else self._ratio.value,
            format_ if format_ in models.OUTPUT_FORMATS else self._format.value,
            self.looks,
            min(max(int(count), 1), MOST) if count.isdecimal() else self._count.value,
            self._styles.get(style, Style(style)) if style not in ("", NO_STYLE) else None,
        )

    def fill(
        self,
        prompt: str | None = None,
        aspect_ratio: str = "",
        output_format: str = "",
        looks: Sequence[Look] | None = None,
    ) -> None:
        """Put these into the form; what is not given stays as it is.

        A prompt that was drawn in the chosen style has it already, so that the choice is undone.
        """
        if prompt is not None:
            self._brush.set(self.prompt, value=prompt)
            worn = self._styles.get(self._style.value)
            if worn is not None and worn.is_worn_by(prompt):
                self.take_off()
        if aspect_ratio:
            self._brush.set(self._ratio, value=aspect_ratio)
        if output_format:
            self._brush.set(self._format, value=output_format)
        if looks is not None:
            self._show_looks(tuple(looks))

    def take_off(self) -> None:
        """Choose no style; what it had changed stays."""
        self._before_style.clear()
        self._brush.set(self._style, value="")

    def offer(self, styles: Mapping[str, Style]) -> bool:
        """Let these styles be chosen; False if the chosen one is not among them any more."""
        chosen: str = self._style.value
        kept, self._styles = chosen if chosen in styles else "", styles
        options = [(NO_STYLE, ""), *((name, name) for name in styles)]
        if list(self._style.options) != options:
            self._brush.set(self._style, options=options, value=kept)
        self._brush.show(self._style, bool(styles))
        return kept == chosen

    def go_by(self, look: Look) -> None:
        """Add a picture to go by. Raises `RequestError` for one too many."""
        models.check_image_count(len(self.looks) + 1)
        if not self.looks and self._ratio.value == _GROUND:
            self._brush.set(self._ratio, value="auto")
        self._show_looks((*self.looks, look))
        self._brush.set(self._link, value="")

    def suggest(self, names: Sequence[str]) -> None:
        """Names that stand for pictures."""
        self._brush.set(self._link, options=tuple(names))

    def say(self, text: str, *, bad: bool = True) -> None:
        """A line below the Generate button."""
        self._tell(self._said, text, bad=bad)

    def say_of_prompt(self, text: str) -> None:
        self._tell(self._prompt_error, text)

    def say_of_references(self, text: str) -> None:
        self._tell(self._reference_error, text)

    def under_way(self, count: int) -> None:
        """Whether there is something to stop waiting for."""
        self._brush.show(self._stop, count > 0)

    def when_counted(self, tell: Callable[[int], None]) -> None:
        """Have it told how many pictures are asked for, whenever that changes."""
        self._count.observe(lambda change: tell(change["new"]), "value")

    def reckon(self) -> None:
        """The price of what the form says."""
        count = self._count.value
        self._brush.set(self._price, value=tiles.price(count))
        self._count_characters()

    def _wear(self, name: str) -> None:
        """Show the settings of a style, in place of those of the style before."""
        old, new = self._worn, self._styles.get(name, Style(name))
        self._worn = new
        self._show_setting("aspect_ratio", self._ratio, old.own_ratio, new.own_ratio)
        self._show_setting("output_format", self._format, old.output_format, new.output_format)
        self._echo.then(self._still_on_the_page.clear)

    def _show_setting(
        self, field: str, chooser: ipywidgets.ToggleButtons, old: str, new: str
    ) -> None:
        """Show what the new style says; where it says nothing, what was there before the old."""
        shown = chooser.value
        before = self._before_style.pop(field, shown)
        own = before if shown == old else shown
        if new:
            self._before_style[field] = own
        if (new or own) != shown:
            self._still_on_the_page[field] = shown
            self._brush.set(chooser, value=new or own)

    def _is_old(self, field: str, text: object) -> bool:
        """Whether the page has said this because it does not know better yet."""
        return field in self._still_on_the_page and self._still_on_the_page[field] == text

    def _count_characters(self) -> None:
        length = len(self.prompt.value.strip())
        self._brush.set(self._counter, value=tiles.counter(length, models.MAX_PROMPT))
        if length:
            self.say_of_prompt("")

    def _tell(self, line: ipywidgets.HTML, text: str, *, bad: bool = True) -> None:
        self._brush.set(line, value=tiles.said(text, bad=bad))
        self._brush.show(line, bool(text))

    def _remover(self, position: int) -> Callable[[], None]:
        def remove() -> None:
            self._show_looks(self.looks[:position] + self.looks[position + 1 :])
            self.say_of_references("")

        return remove

    def _show_looks(self, looks: tuple[Look, ...]) -> None:
        self.looks = looks
        self._brush.set(
            self._thumbs,
            value=tiles.references([(look.preview, look.label, look.warning) for look in looks]),
        )
        for position, button in enumerate(self._removes):
            self._brush.show(button, position < len(looks))
        self._brush.show(self._strip, bool(looks))


def _as_text(source: Any) -> str:
    """A reference as it can be typed: a link, or the path of its file."""
    return str(source.path) if isinstance(source, Generation | Picture) else str(source)
