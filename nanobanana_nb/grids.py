"""`Grid`: what was drawn from a prompt with axes, in rows and columns that say what is what."""

from __future__ import annotations

import difflib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import display, gridpage, gridsheet, pictures, previews, tables
from .errors import DownloadError, RequestError
from .gridsheet import Cell
from .markup import dotted
from .protocol import clean
from .results import Gallery, Generation, PathLike, when
from .templates import Axis

if TYPE_CHECKING:
    from PIL import Image

_IN_NOTEBOOK: Final = 1_100_000
"""Bytes of all pictures of a grid that the notebook keeps, as long as `_LEAST` allows it."""
_IN_PAGE: Final = 4_200_000
"""Bytes of all pictures of a page."""
_LEAST: Final = 4_000
"""Bytes without which a picture is none."""
_SHEET_BYTES: Final = 44_000
_SHEET_WIDTH: Final = 760
"""Pixels of the sheet for front ends that show no HTML."""
PAGES: Final = (".html", ".htm")
"""The endings of a page, beside those of a picture."""


class Grid(Gallery):
    """The results for all combinations of some axes, failed ones included as such.

    They stand in the order of `itertools.product(*axes)`: the last axis changes first. `template`
    is the prompt that they were drawn from, for a title. Raises `RequestError` where there is not
    one result for each combination.
    """

    def __init__(
        self, generations: Iterable[Generation], axes: Sequence[Axis], template: str = ""
    ) -> None:
        super().__init__(generations)
        self.axes = tuple(axes)
        self.template = template
        places = math.prod(len(axis.values) for axis in self.axes)
        if len(self) != places:
            raise RequestError(
                f"{len(self)} results do not make a grid of {places}: it needs one for each "
                "combination of its axes."
            )

    def at(self, **coordinates: Any) -> Any:
        """What stands where: `grid.at(animal="fox", style="ink")`.

        A `Generation` where every axis with more than one value is named, else a smaller `Grid`.
        Values may be given as they are or as they are shown. Raises `RequestError` for an axis or
        a value that is not here.
        """
        for name in coordinates:
            if name not in [axis.name for axis in self.axes]:
                raise RequestError(_unknown_axis(name, self.axes))
        kept = [
            [_place(axis, coordinates[axis.name])]
            if axis.name in coordinates
            else list(range(len(axis.values)))
            for axis in self.axes
        ]
        spots = product(*(range(len(axis.values)) for axis in self.axes))
        found = [
            one
            for one, spot in zip(self, spots, strict=True)
            if all(at in places for at, places in zip(spot, kept, strict=True))
        ]
        if all(len(places) == 1 for places in kept):
            return found[0]
        axes = [
            replace(axis, values=tuple(axis.values[at] for at in places))
            for axis, places in zip(self.axes, kept, strict=True)
        ]
        return Grid(found, axes, self.template)

    def pil(self) -> Image.Image:
        """One picture of it all with its labels, from the full pictures, at most 36 megapixels."""
        if not self:
            raise RequestError("There is nothing in this grid to draw.")
        cells = [self._sheet_cell(one) for one in self]
        return gridsheet.sheet(self._layout(), cells, self._title(), self._about())

    def save(self, target: PathLike) -> list[Path]:
        """Save it; the paths of what was written.

        As one labelled picture (`grid.png`, `.jpg` or `.webp`), as a page that needs nothing else
        (`grid.html`), or a copy of every picture into a folder.
        """
        if not Path(target).suffix or Path(target).expanduser().is_dir():
            return super().save(target)
        path = pictures.check_target(target, PAGES)
        kind = path.suffix.lower()
        if kind in PAGES:
            pictures.put(path, self._page().encode())
        else:
            data = io.BytesIO()
            self.pil().save(data, "JPEG" if kind in (".jpg", ".jpeg") else kind[1:], quality=92)
            pictures.put(path, data.getvalue())
        return [path]

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row for each: a column for each axis, then as the history's."""
        spots = list(product(*(_cells_of(axis) for axis in self.axes)))
        first = {
            axis.name: [spot[number] for spot in spots] for number, axis in enumerate(self.axes)
        }
        return tables.frame(self, first)

    def _repr_mimebundle_(self, **_: object) -> display.Bundle:
        if not self:
            return super()._repr_mimebundle_()
        cells = [one.cards() for one in self]
        count = sum(bool(cards[0].preview) for cards in cells)
        side, limit = _size(_IN_NOTEBOOK, count, previews.PREVIEW_SIDE, previews.PREVIEW_BYTES)
        small = [
            [replace(first, preview=_shrunk(first.preview, side, limit)), *others]
            for first, *others in cells
        ]
        return gridpage.grid_card(self._layout(), small, *self._headline(), self._small_sheet())

    def _layout(self) -> gridpage.Layout:
        return gridpage.arranged(self.axes)

    def _headline(self) -> tuple[str, str]:
        """The axes, what there is, and its price."""
        headline, price = super()._headline()
        told = " × ".join(axis.text for axis in self.axes if len(axis.values) > 1)
        return dotted("" if self._only_pictures() else told, headline), price

    def _only_pictures(self) -> bool:
        return [axis.name for axis in self.axes if len(axis.values) > 1] == ["picture"]

    def _title(self) -> str:
        """The prompt that all of them were drawn from, if that is known."""
        prompts = {one.prompt for one in self}
        return self.template or (prompts.pop() if len(prompts) == 1 else "")

    def _about(self) -> str:
        return dotted(*self._layout().fixed, *self._headline(), _drawn(self))

    def _sheet_cell(self, one: Generation) -> Cell:
        """Its place on the contact sheet, from the full picture."""
        card = one.cards()[0]
        open_ = None if card.problem else (lambda: _full(one, card))
        return replace(_cell(card), open=open_)

    def _small_sheet(self) -> bytes:
        """The contact sheet from the previews, for front ends that show no HTML."""
        layout = self._layout()
        columns = len(layout.blocks[0].rows[0]) if layout.rows else 4
        side = max(72, min(256, _SHEET_WIDTH // (columns + 1)))
        sheet = gridsheet.sheet(layout, [_cell(one.cards()[0]) for one in self], "", "", side)
        return previews.make_preview(sheet, max(sheet.size), _SHEET_BYTES)

    def _page(self) -> str:
        count = sum(bool(one.images) for one in self)
        side, limit = _size(_IN_PAGE, count, 1024, 150_000)
        cells = [_page_cards(one, side, limit) for one in self]
        headline, price = self._headline()
        axes = [(gridpage.title(axis), ", ".join(axis.labels)) for axis in self.axes]
        facts = [*axes, ("drawn", _drawn(self)), ("pictures", headline), ("cost", price)]
        return gridpage.grid_page(self._layout(), cells, self._title() or headline, facts)


def _cell(card: display.Card) -> Cell:
    """A place of the contact sheet, from the small preview."""
    return Cell(
        card.width,
        card.height,
        (lambda: _decoded(card.preview)) if card.preview else None,
        _short(card),
        bool(card.attempt),
    )


def _short(card: display.Card) -> str:
    """Why there is no picture, in a few words first."""
    if card.attempt:
        return f"May have been billed: {card.price}. Attempt {card.attempt}. {card.problem}"
    over = card.state not in display.NOT_OVER
    return f"{'No picture' if over else 'Not there yet'}: {card.problem}" if card.problem else ""


def _full(one: Generation, card: display.Card) -> Image.Image | None:
    """The picture of a result; its preview, or nothing, where the file is gone."""
    try:
        return one.image.pil()
    except DownloadError:
        return _decoded(card.preview) if card.preview else None


def _decoded(picture: bytes) -> Image.Image:
    with pictures.decoded(picture) as image:
        return image


def _page_cards(one: Generation, side: int, limit: int) -> list[display.Card]:
    """Its cards with a larger picture than an output has."""
    first, *others = one.cards()
    picture = None if first.problem else _full(one, first)
    if picture is None:
        return [first, *others]
    preview = previews.make_preview(picture, side, limit)
    return [replace(first, preview=preview, folder="", file=one.path.name), *others]


def _size(budget: int, count: int, side: int, limit: int) -> tuple[int, int]:
    """Pixels and bytes of each picture, so that so many stay within a budget: a bit a pixel."""
    most = max(_LEAST, min(limit, budget // max(1, count)))
    return min(side, math.isqrt(8 * most)), most


def _shrunk(preview: bytes, side: int, limit: int) -> bytes:
    """The preview itself where it is small enough: saved anew it would lose some of its looks."""
    return preview if len(preview) <= limit else previews.shrink(preview, side, limit)


def _cells_of(axis: Axis) -> Sequence[Any]:
    """The values of an axis where a table can hold them, else how they are shown."""
    plain = all(isinstance(value, str | int | float | bool | None) for value in axis.values)
    return axis.values if plain else axis.labels


def _drawn(generations: Sequence[Generation]) -> str:
    """When the first and the last of them were drawn."""
    moments = [one.created for one in generations]
    first, last = when(min(moments)), when(max(moments))
    return first if first == last else f"{first} to {last}"


def _place(axis: Axis, given: Any) -> int:
    """Which value of an axis is meant; raises `RequestError` if none is."""
    for number, value in enumerate(axis.values):
        if value is given or (value == given) is True:  # an array answers with an array
            return number
    shown = given if isinstance(given, str) else str(given)
    if shown in axis.labels:
        return axis.labels.index(shown)
    raise RequestError(
        f"{_quoted(shown)} is not a value of {axis.name}{_meant(shown, axis.labels)}"
    )


def _unknown_axis(name: str, axes: Sequence[Axis]) -> str:
    return f"This grid has no axis {_quoted(name)}{_meant(name, [axis.name for axis in axes])}"


def _meant(given: str, known: Sequence[str]) -> str:
    """The nearest name, or all that there are."""
    near = difflib.get_close_matches(given, known, 1)
    if near:
        return f"; did you mean {_quoted(near[0])}?"
    shown = ", ".join(map(_quoted, known[:8])) + (", …" if len(known) > 8 else "")
    return f"; it is one of {shown}." if known else "; it has none."


def _quoted(text: str) -> str:
    return repr(clean(text, 60))
