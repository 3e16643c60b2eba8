"""Small pictures for tiles, made once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Final

from .. import previews
from ..display import Card
from ..results import Generation

SIDE: Final = 288
"""Pixels: what a tile is wide at most."""
BYTES: Final = 14_000
KEPT: Final = 60
"""Five pages of them."""


class Thumbs:
    """The cards of tiles, with a preview small enough to be held by a widget."""

    def __init__(self) -> None:
        self._made: OrderedDict[str, bytes] = OrderedDict()

    def card(self, one: Generation) -> Card:
        """The first card of a generation; blocks while it reads and shrinks a new preview."""
        if not one.images:
            return one.cards()[0]
        key = one.images[0].sha256 or str(one.images[0].path)
        if key not in self._made:
            first = one.cards()[0]
            if not (small := _shrunk(first.preview)):
                return replace(first, preview=b"")
            self._made[key] = small
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
        without_reading = replace(one, maker=None)  # it is the maker that reads previews
        return replace(without_reading.cards()[0], preview=self._made[key])


def _shrunk(preview: bytes) -> bytes:
    """A small one of it; nothing where its file is broken, so that the others are still shown."""
    try:
        return previews.shrink(preview, SIDE, BYTES)
    except (OSError, ValueError, SyntaxError):
        return b""
