"""The chosen picture and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ipywidgets

from .. import display, tiles
from ..models import PRICE
from ..tiles import Details
from .brush import Brush
from .echo import Echo
from .parts import Parts


@dataclass(frozen=True)
class Doings:
    """What the action bar does; `note` and `save` get what was typed beside them."""

    large: Callable[[], None]
    use_prompt: Callable[[], None]
    use_all: Callable[[], None]
    edit: Callable[[], None]
    vary: Callable[[], None]
    star: Callable[[], None]
    compare: Callable[[], None]
    family: Callable[[], None]
    link: Callable[[], None]
    keep: Callable[[], None]
    let_go: Callable[[], None]
    again: Callable[[], None]
    note: Callable[[str], None]
    save: Callable[[str], None]


@dataclass(frozen=True)
class Actions:
    """Which of the actions make sense for what is chosen."""

    picture: bool = False
    starred: bool = False
    family: bool = False
    queued: bool = False
    in_doubt: bool = False


class Detail:
    """Above the gallery: the picture, its facts, its action bar."""

    def __init__(self, parts: Parts, brush: Brush, echo: Echo, doings: Doings) -> None:
        self._brush = brush
        self._picture = parts.html("shown")
        self._told = parts.html("told")
        self._said = parts.html("error off")
        large = parts.button("small", "Open large", doings.large)
        edit = parts.button("small main", "Edit this", doings.edit, "Go by this picture")
        compare = parts.button("small", "Compare", doings.compare, "With another, chosen next")
        link = parts.button("small", "Link and path", doings.link, "To copy, with its expiry")
        keep = parts.button("small", "Put into notebook", doings.keep, "As an output that stays")
        self._of_pictures = (large, edit, compare, link, keep)
        self._vary = parts.button(
            "small main", "Vary", lambda: echo.then(doings.vary), "The same request once more"
        )
        self._star = parts.button("small", "Star", doings.star)
        self._family = parts.button(
            "small", "Lineage", doings.family, "What it was made from, and what from it"
        )
        self._let_go = parts.button("small", "", doings.let_go)
        self._again = parts.button("small", f"Submit again, {display.money(PRICE)}", doings.again)
        self._note = parts.make(ipywidgets.Text, "note", description="Note")
        self._path = parts.make(ipywidgets.Text, "save", description="Save as")
        self._saving = parts.box(
            "add",
            self._path,
            parts.button("small", "Save", lambda: echo.then(lambda: doings.save(self._path.value))),
        )
        self.widget = parts.box(
            "detail off",
            self._picture,
            parts.box(
                "doings",
                self._told,
                parts.box(
                    "bar",
                    large,
                    parts.button("small", "Use prompt", doings.use_prompt),
                    parts.button("small", "Use all", doings.use_all, "Prompt and all settings"),
                    edit,
                    self._vary,
                    self._star,
                    compare,
                    self._family,
                    link,
                    keep,
                    self._let_go,
                    self._again,
                ),
                self._said,
                parts.box(
                    "add",
                    self._note,
                    parts.button(
                        "small",
                        "Keep note",
                        lambda: echo.then(lambda: doings.note(self._note.value)),
                    ),
                ),
                self._saving,
            ),
        )

    def show(self, details: Details, actions: Actions, price: str) -> None:
        """Show what is chosen; `price` is that of varying it."""
        self._brush.set(self._picture, value=tiles.shown(details.tile))
        self._brush.set(self._told, value=tiles.told(details))
        self._brush.set(self._star, description="Unstar" if actions.starred else "Star")
        self.price(price)
        words = "Drop it, free of charge" if actions.queued else "Dismiss it, it is settled"
        self._brush.set(self._let_go, description=words, tooltip=words)
        for button in (*self._of_pictures, self._saving, self._vary):
            self._brush.show(button, actions.picture)
        for button, on in (
            (self._family, actions.family),
            (self._let_go, actions.queued or actions.in_doubt),
            (self._again, actions.in_doubt),
        ):
            self._brush.show(button, on)
        self._brush.show(self.widget, True)

    def price(self, price: str) -> None:
        """What varying it costs."""
        self._brush.set(self._vary, description=f"Vary, {price}")

    def fill(self, note: str, path: str) -> None:
        """What stands in the fields of a picture that was just chosen."""
        self._brush.set(self._note, value=note)
        self._brush.set(self._path, value=path)
        self.say("")

    def say(self, text: str, *, bad: bool = False) -> None:
        """A line below the action bar."""
        self._brush.set(self._said, value=tiles.said(text, bad=bad))
        self._brush.show(self._said, bool(text))

    def clip(self, codes: Sequence[tuple[str, str]]) -> None:
        """Text to copy, each under its title."""
        self._brush.set(self._said, value=tiles.clip(codes))
        self._brush.show(self._said, True)
