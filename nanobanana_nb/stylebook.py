"""`StyleBook`: the named styles, each with the latest pictures that were drawn in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from . import display, previews, strips
from .presets import Style
from .results import Gallery, Generation, short_path
from .strips import Sample

SHOWN: Final = 4
"""Pictures for each style."""
EXAMPLE: Final = ("[linocut]", 'prompt = "as a linocut in two colors"')
_PREVIEW: Final = 160
"""Pixels: about twice those on the page, for fine screens."""
_PREVIEW_BYTES: Final = 3_000
_SHEET: Final = 16
"""Pictures on the one that stands for all, where no HTML is shown."""


class StyleBook(Mapping[str, Style]):
    """The styles by name: `nb.styles()["ink"].prompt`.

    `pictures` holds for each name the latest results drawn in it, and `file` is where more styles
    are added.
    """

    def __init__(
        self, styles: Mapping[str, Style], pictures: Mapping[str, Gallery], file: Path
    ) -> None:
        self._styles = dict(styles)
        self.pictures = dict(pictures)
        self.file = file

    def __getitem__(self, name: str) -> Style:
        return self._styles[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._styles)

    def __len__(self) -> int:
        return len(self._styles)

    def __repr__(self) -> str:
        return strips.style_text(self._samples(), short_path(self.file), EXAMPLE)

    def _repr_mimebundle_(self, **_: object) -> display.Bundle:
        samples = self._samples()
        firsts = [sample.cards[0].preview for sample in samples if sample.cards]
        sheet = previews.contact_sheet(firsts[:_SHEET])
        return strips.style_card(samples, short_path(self.file), EXAMPLE, sheet)

    def _samples(self) -> list[Sample]:
        return [self._sample(style) for style in self.values()]

    def _sample(self, style: Style) -> Sample:
        drawn = self.pictures.get(style.name, Gallery(()))[:SHOWN]
        cards = [card for one in drawn if (card := _small(one)).preview]
        return Sample(style.name, style.prompt, _facts(style), style.about, cards)


def _facts(style: Style) -> tuple[str, ...]:
    """Its settings in words."""
    count = len(style.image_urls)
    images = f"goes by {count} {'picture' if count == 1 else 'pictures'}" if count else ""
    facts = (style.aspect_ratio, style.output_format, images)
    return tuple(fact for fact in facts if fact)


def _small(one: Generation) -> display.Card:
    """The first picture of a result, small; without a preview where its file is gone."""
    card = one.cards()[0]
    return replace(card, preview=previews.shrink(card.preview, _PREVIEW, _PREVIEW_BYTES))
