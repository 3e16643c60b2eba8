"""`compare`: two pictures side by side and under a slider, as an output that needs no kernel."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from . import display, links, metadata, pictures, previews
from .errors import DownloadError, RequestError
from .results import Generation, Picture, short_path

Side = Generation | Picture | Path

_WANTED: Final = "give a result, one of its pictures, or a picture file"


@dataclass(frozen=True)
class Comparison:
    """Two pictures to look at together. `left` and `right` are what was compared.

    What is shown was read when it was made, so that it shows the same if a file changes later.
    """

    left: Side
    right: Side
    cards: tuple[display.Card, display.Card] = field(compare=False)

    @property
    def html(self) -> str:
        """Both as HTML alone, for a widget."""
        return display.comparison_html(*self.cards)

    def __repr__(self) -> str:
        return display.comparison_text(*self.cards)

    def _repr_mimebundle_(self, **_: object) -> display.Bundle:
        sheet = previews.contact_sheet(card.preview for card in self.cards)
        return display.comparison_card(*self.cards, sheet)


def compare(a: Side | str | os.PathLike[str], b: Side | str | os.PathLike[str]) -> Comparison:
    """Show two pictures side by side and under a slider: results, their pictures, or files.

    Of a result with several pictures it is the first. It costs nothing and is kept in the notebook
    (at most 512 pixels and 40 kB each). Raises `RequestError` where there is no picture.
    """
    left, right = _side(a), _side(b)
    return Comparison(left, right, (_card(left), _card(right)))


def _side(given: object) -> Side:
    if isinstance(given, Generation | Picture):
        return given
    if not isinstance(given, str | os.PathLike):
        raise RequestError(f"Cannot compare this {type(given).__name__}: {_WANTED}.")
    file = pictures.find_file(given)
    if file is None:
        raise RequestError(f"{links.shorten(str(given))!r} is not a file: {_WANTED}.")
    return file


def _card(side: Side) -> display.Card:
    match side:
        case Generation():
            return _card_of_result(side)
        case Picture():
            return _card_of_file(side.path)
    return _card_of_file(side)


def _card_of_result(one: Generation) -> display.Card:
    """As it was drawn, from the studio's own preview, where there is one."""
    card = one.cards()[0]
    if card.problem:
        raise RequestError(f"There is no picture to compare: {card.problem}")
    if not card.preview:
        card = replace(_card_of_file(one.path), prompt=one.prompt)
    size = _size(card.width, card.height, one.image.format)
    facts = _facts(one.request.aspect_ratio, size)
    return replace(card, facts=facts, price="", starred=False, remarks=())


def _card_of_file(file: Path) -> display.Card:
    """A file as it is seen, with the prompt that it was drawn from, if that is known."""
    if not file.is_file():
        raise RequestError(f"{file} is not there any more.")
    try:
        with pictures.decoded(file) as image:
            upright = pictures.upright(image)
            preview, (width, height) = previews.make_preview(upright), upright.size
            size = _size(width, height, str(image.format).lower())
    except DownloadError:
        raise RequestError(f"{file} is not a whole PNG, JPEG or WebP picture.") from None
    drawn = metadata.read_file(file)
    return display.Card(
        drawn.prompt if drawn else file.name,
        preview,
        width,
        height,
        _facts(drawn.aspect_ratio, size) if drawn else (size,),
        folder=short_path(file.parent),
        file=file.name,
    )


def _facts(ratio: str, size: str) -> tuple[str, ...]:
    """`auto` says nothing of the ratio that it became, and other tools may know none."""
    return (size,) if ratio in ("", "auto") else (ratio, size)


def _size(width: int, height: int, format_: str) -> str:
    return f"{width} × {height} {format_}"
