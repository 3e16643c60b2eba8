"""A batch before it is drawn: what of it is there already, and what the rest costs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from . import display, outcomes
from .batches import Key
from .models import PRICE
from .ordering import Wanted
from .rows import TaskRow
from .tasks import Order, model_failed

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
    task_retries: int = 0
    money: str = ""

    @property
    def missing(self) -> int:
        """How many are to be drawn: those of which nothing is there, and with `task_retries` those
        that the model failed at."""
        return sum(one.earlier is None or self._is_redrawn(one.earlier) for one in self.orders)

    @property
    def text(self) -> str:
        """`12 of 500 pictures to draw, $0.36 · 488 there already`"""
        count = len(self.orders)
        pictures = "picture" if count == 1 else "pictures"
        cost = f"{display.money(PRICE * self.missing)}{self.money}"
        if (most := self._most()) > self.missing:
            cost += f", up to {display.money(PRICE * most)} with retries"
        if self.missing == count:
            return f"{count:,} {pictures}, {cost}"
        rows = [one.earlier for one in self.orders if one.earlier is not None]
        found = Counter(_standing(row) for row in rows if not self._is_redrawn(row))
        told = [f"{found[what]:,} {words}" for what, words in _WORDS if found[what]]
        to_draw = f"{self.missing:,} of {count:,} {pictures} to draw, {cost}"
        return " · ".join((to_draw, *told))

    def _most(self) -> int:
        """Pictures that are paid at most: a retry that was asked for begins with those failed."""
        new = sum(order.earlier is None for order in self.orders)
        return new * (1 + self.task_retries) + (self.missing - new) * self.task_retries

    def _is_redrawn(self, row: TaskRow) -> bool:
        return self.task_retries > 0 and model_failed(outcomes.of(row).error)


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
