"""Small pictures for tiles, made once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Final

from .. import pictures
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
        first = one.cards()[0]
        if not first.preview:
            return first
        key = one.images[0].sha256
        if key not in self._made:
            self._made[key] = pictures.shrink(first.preview, SIDE, BYTES)
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
        return replace(first, preview=self._made[key])
