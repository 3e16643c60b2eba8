"""`History`: what was drawn, newest first, as a list to look through or a table to reckon with."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, Self

from . import display, pictures
from .errors import RequestError
from .results import Gallery, Generation, when

SHOWN: Final = 20
"""Entries that a cell shows; the others are a slice away."""
_PREVIEW: Final = 192
"""Pixels: twice those on the page, for fine screens."""
_PREVIEW_BYTES: Final = 6_000


@dataclass(frozen=True)
class Page:
    """Some of what was drawn, newest first; `total` is how many there are of it on all pages."""

    generations: Gallery
    total: int


@dataclass(frozen=True)
class Lineage:
    """What a result was drawn from, in the order of its references, and what was drawn from it,
    newest first."""

    parents: Gallery
    children: Gallery


class History(Gallery):
    """Generations of this home, newest first; a slice of it is a `History`.

    `asked` is what was looked for, in words, and is named when nothing was found.
    """

    def __init__(self, generations: Iterable[Generation], asked: str = "") -> None:
        super().__init__(generations)
        self.asked = asked

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row for each; `created` in UTC, `cost` in US dollars."""
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise RequestError("to_pandas() needs pandas; run %pip install pandas.") from None
        table = pandas.DataFrame([_columns(one) for one in self], columns=list(_TYPES))
        table["created"] = pandas.to_datetime(table["created"], utc=True)
        return table.astype({name: kind for name, kind in _TYPES.items() if kind})

    def __repr__(self) -> str:
        if not self:
            return self._nothing()
        return "\n".join(display.history_lines(self._entries(), *self._headline(), self._more()))

    def _repr_mimebundle_(self, **_: object) -> display.Bundle:
        if not self:
            return display.line(self._nothing())
        entries = self._entries()
        sheet = pictures.contact_sheet([entry.preview for entry in entries])
        small = [
            replace(entry, preview=pictures.shrink(entry.preview, _PREVIEW, _PREVIEW_BYTES))
            for entry in entries
        ]
        return display.history_card(small, *self._headline(), self._more(), sheet)

    def _with(self, generations: Iterable[Generation]) -> Self:
        return type(self)(generations, self.asked)

    def _headline(self) -> tuple[str, str]:
        """What there is with its price, and how many have no picture."""
        return f"{self._there_is()}, {self._spent()}", " · ".join(self._missing())

    def _entries(self) -> list[display.Card]:
        return [_entry(one) for one in self._generations[:SHOWN]]

    def _more(self) -> str:
        left = len(self) - SHOWN
        return f"{left} more: history[{SHOWN}:{min(2 * SHOWN, len(self))}]" if left > 0 else ""

    def _nothing(self) -> str:
        if self.asked:
            return f"Nothing in the history matches “{self.asked}”."
        return "Nothing was drawn yet. Try: %nanobanana a fox in watercolor"


_TYPES: Final = {
    "created": "",
    "prompt": "str",
    "aspect_ratio": "str",
    "output_format": "str",
    "image_urls": "object",
    "state": "str",
    "cost": "float64",
    "seconds": "float64",
    "width": "Int64",
    "height": "Int64",
    "path": "object",
    "url": "object",
    "task_id": "str",
    "id": "str",
    "starred": "bool",
    "note": "str",
    "error": "str",
}


def _columns(one: Generation) -> dict[str, Any]:
    picture = one.images[0] if one.images else None
    return {
        "created": one.created,
        "prompt": one.prompt,
        "aspect_ratio": one.request.aspect_ratio,
        "output_format": one.request.output_format,
        "image_urls": list(one.request.image_urls),
        "state": one.standing,
        "cost": float(one.cost),
        "seconds": one.seconds,
        "width": picture.width if picture else None,
        "height": picture.height if picture else None,
        "path": str(picture.path) if picture else None,
        "url": picture.url if picture else None,
        "task_id": one.task_id,
        "id": one.id,
        "starred": one.starred,
        "note": one.remark,
        "error": str(one.error or ""),
    }


def _entry(one: Generation) -> display.Card:
    """An entry of the list: the first of its pictures, and what was asked for."""
    first, *others = one.cards()
    facts = [when(one.created), one.request.aspect_ratio, one.request.output_format]
    if others:
        facts.append(f"{1 + len(others)} pictures")
    if first.attempt:
        facts.append(f"attempt {first.attempt}")
    elif not first.price and one.cost > Decimal(0):
        first = replace(first, price=display.money(one.cost))
    return replace(first, facts=tuple(facts))
