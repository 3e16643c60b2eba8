"""A batch before it is drawn: what of it is there already, and what the rest costs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from . import display
from .batches import Key
from .models import PRICE
from .ordering import Wanted
from .rows import TaskRow
from .tasks import Order

_WORDS = (
    ("there", "there already"),
    ("under way", "under way"),
    ("failed", "failed"),
    ("unknown", "in doubt"),
)


@dataclass(frozen=True)
class BatchPlan:
    """The requests of a batch by their keys, and what earlier runs got for each."""

    keys: tuple[Key, ...]
    wanted: tuple[Wanted, ...]
    orders: tuple[Order, ...]
    money: str = ""

    @property
    def missing(self) -> int:
        """How many are to be drawn."""
        return sum(order.earlier is None for order in self.orders)

    @property
    def text(self) -> str:
        """`12 of 500 pictures to draw, $0.36 · 488 there already`"""
        count = len(self.orders)
        pictures = "picture" if count == 1 else "pictures"
        cost = f"{display.money(PRICE * self.missing)}{self.money}"
        if self.missing == count:
            return f"{count:,} {pictures}, {cost}"
        found = Counter(_standing(one.earlier) for one in self.orders if one.earlier is not None)
        told = [f"{found[what]:,} {words}" for what, words in _WORDS if found[what]]
        to_draw = f"{self.missing:,} of {count:,} {pictures} to draw, {cost}"
        return " · ".join((to_draw, *told))


def _standing(row: TaskRow) -> str:
    match row.state:
        case "stored":
            return "there"
        case "failed" | "expired":
            return "failed"
        case "unknown":
            return "unknown"
        case _:
            return "under way"
