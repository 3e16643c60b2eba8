"""What was drawn and what is being drawn, newest first, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import ipywidgets

from .. import tiles
from ..protocol import clean
from ..tiles import Tile
from .brush import Brush
from .parts import Parts

PAGE: Final = 12


@dataclass(frozen=True)
class Query:
    """Which pictures are wanted; `offset` counts from the newest, `family` is a picture's id."""

    words: str = ""
    starred: bool = False
    offset: int = 0
    family: str = ""

    @property
    def filtered(self) -> bool:
        return bool(self.words or self.starred)


@dataclass(frozen=True)
class Doings:
    """What happens in the gallery: `pick` gets the place of a tile on the page."""

    pick: Callable[[int], None]
    look: Callable[[], None]


class Gallery:
    """The right side of the panel: search, tiles, pages."""

    def __init__(self, parts: Parts, brush: Brush, doings: Doings) -> None:
        self._brush = brush
        self._doings = doings
        self._starred = False
        self._family = ""
        self._offset = 0
        self._last = 0
        self._words = parts.make(
            ipywidgets.Text, "search", description="Search", placeholder="Prompts and notes"
        )
        self._words.observe(lambda _: self._turn_to(0), "value")
        self._filter = parts.button("small", "★ Starred only", self._change_filter)
        self._newer = parts.button("small", "Newer", lambda: self._turn(-PAGE))
        self._older = parts.button("small", "Older", lambda: self._turn(PAGE))
        self._range = parts.html("range")
        self._message = parts.html("message", tiles.said("Opening the gallery …"))
        self._pictures = [parts.html("picture") for _ in range(PAGE)]
        self._picks = [parts.button("pick", "", self._picker(place)) for place in range(PAGE)]
        self._places = [
            parts.box("tile off", *pair) for pair in zip(self._pictures, self._picks, strict=True)
        ]
        self.widgets = (
            parts.box("toolbar", self._words, self._filter),
            self._message,
            parts.box("grid", *self._places),
            parts.box("pager", self._newer, self._range, self._older),
        )

    @property
    def query(self) -> Query:
        """What is looked for now."""
        return Query(self._words.value.strip(), self._starred, self._offset, self._family)

    def show(self, query: Query, found: Sequence[Tile], total: int, chosen: int | None) -> None:
        """Show what was found for a query; `total` counts all that match, `chosen` is a place on
        this page."""
        for place, box in enumerate(self._places):
            there = place < len(found)
            if there:
                one = found[place]
                self._brush.set(self._pictures[place], value=tiles.tile(one))
                words = clean(" ".join(one.card.prompt.split()), 300)
                self._brush.set(self._picks[place], description=_name(one), tooltip=words)
            self._brush.show(box, there)
            self._brush.mark(box, "nbp-chosen", place == chosen)
        self._last = max(0, (total - 1) // PAGE * PAGE)
        if query.offset > self._last:  # what stood there was dropped, or is not found any more
            self._turn_to(self._last)
        first = min(query.offset + 1, total)
        self._brush.set(self._range, value=tiles.range_of(first, first + len(found) - 1, total))
        self._brush.set(self._newer, disabled=query.offset == 0)
        self._brush.set(self._older, disabled=query.offset + PAGE >= total)
        self._say(query, empty=not found)

    def show_family(self, of: str) -> None:
        """Look for what this picture was made from, itself, and what was made from it."""
        self._family = of
        self._turn_to(0)

    def to_the_newest(self) -> None:
        """Look for everything, from the newest on."""
        if not self.query.filtered:
            self._family = ""
            self._turn_to(0)

    def _say(self, query: Query, *, empty: bool) -> None:
        """What the gallery is for now, where that is not plain."""
        text = ""
        if query.family:
            text = tiles.heading("What it was made from, itself, and what was made from it")
        elif empty:
            text = tiles.nothing(query.filtered)
        self._brush.set(self._message, value=text)
        self._brush.show(self._message, bool(text))
        everything = query.starred or query.family
        self._brush.set(
            self._filter, description="All pictures" if everything else "★ Starred only"
        )

    def _change_filter(self) -> None:
        self._starred = not (self._starred or self._family)
        self._family = ""
        self._turn_to(0)

    def _turn(self, by: int) -> None:
        self._turn_to(min(self._last, max(0, self._offset + by)))

    def _turn_to(self, offset: int) -> None:
        self._offset = offset
        self._doings.look()

    def _picker(self, place: int) -> Callable[[], None]:
        return lambda: self._doings.pick(place)


def _name(one: Tile) -> str:
    """A tile's name for a screen reader."""
    star = "starred, " if one.card.starred else ""
    return f"Choose: {star}{clean(' '.join(one.card.prompt.split()), 120)}"
