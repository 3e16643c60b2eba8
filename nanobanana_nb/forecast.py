"""How long tasks take, learned from those that are done, and when it is best to look again.

A look costs a call, and a late one costs the seconds that a finished picture waited. What is
learned is a law: how likely a task is done at which age. The looks are planned so that delay and
calls together, at a price of so many seconds a look, come to the least that the law allows.
"""

from __future__ import annotations

import math
from bisect import bisect, bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Final

PRICE: Final = 0.1
"""Seconds of delay that one look is worth: no more looks than the page's schedule makes."""
PRICES: Final = tuple(0.025 * 1.5**step for step in range(12))
"""What `best_price` chooses from: from many looks for little delay, to hardly more than one."""

FIRST_LOOK: Final = 10.0
INTERVAL: Final = 3.0
EXPECTED: Final = 17.5
"""The API page's schedule, and the middle of its 15-20 s: all there is before the first sample."""

LEAST_GAP: Final = 0.2
MOST_GAP: Final = 5.0
"""Seconds between looks at a task that takes longer than any we know of."""
LONGEST_GAP: Final = 60.0
"""Seconds between any two looks: what a law that holds no longer can cost at most."""
GROWTH: Final = 0.05
"""Such a task's next look is that much of its age away."""

LATEST: Final = 48
FADING: Final = 0.95
"""What a sample weighs beside the one that came after it."""
WIDE: Final = 10.0
"""Seconds; a sample that is less sure than that weighs less, and so does a task seen days later."""
NEIGHBOURS: Final = 0.25
"""A sample is spread as far as to that share of the others: narrow where they are dense."""
LEAST_SPREAD: Final = 0.1
OUTLIERS: Final = 0.02
"""That share of what is known, at the slow end, the law leaves to the looks beyond it."""
SURPRISES: Final = 0.04
"""How much of the law is kept for what no sample has shown: half within its range, half beyond."""
A_DAY: Final = 86_400.0
"""Seconds; a task is not believed to have taken longer, as its pictures' links live no longer."""
LOOKS_BEYOND: Final = 4.0
"""Looks that a task takes beyond the law, by experience."""
CELLS: Final = 128


@dataclass(frozen=True, slots=True)
class Sample:
    """How long one task took: it was done between `low` and `high` seconds after its submit."""

    low: float
    high: float


_PAGE: Final = ((Sample(15.0, 20.0), 3.0), (Sample(10.0, 25.0), 1.0))
"""The page's word and some doubt, in tasks that they are worth at first."""
_PAGE_FADES: Final = 0.1
"""How much of the page's word each task of our own replaces."""


def sample(
    not_before: float, not_after: float, stamped: float | None = None, within: float = 0.0
) -> Sample:
    """What is known of a task's time, from our own looks and the API's stamps, all in seconds.

    It was not done at our last look but one (`not_before`) and done at our last (`not_after`).
    `stamped` is the API's figure, exact to `within` either way. Where the two do not meet, our own
    looks count, as the API's figure may leave out queueing.
    """
    low = max(0.0, not_before)
    high = max(low, not_after)
    if stamped is not None:
        first, last = max(low, stamped - within), min(high, stamped + within)
        if first <= last:
            return Sample(first, last)
    return Sample(low, high)


@dataclass(frozen=True)
class _Law:
    """How likely a task is done at which age, on a grid; and the area under that, in seconds."""

    ages: Sequence[float]
    done: Sequence[float]
    area: Sequence[float]

    @property
    def end(self) -> float:
        return self.ages[-1]

    @property
    def mean(self) -> float:
        return self.end - self.area[-1]

    @property
    def beyond(self) -> float:
        """How likely a task takes longer."""
        return 1.0 - self.done[-1]

    def at(self, age: float) -> tuple[float, float]:
        """How likely a task is done at `age`, and the area until then."""
        if age <= self.ages[0]:
            return 0.0, 0.0
        if age >= self.end:
            return self.done[-1], self.area[-1]
        after = bisect(self.ages, age)
        before = after - 1
        part = (age - self.ages[before]) / (self.ages[after] - self.ages[before])
        return (
            self.done[before] + part * (self.done[after] - self.done[before]),
            self.area[before] + part * (self.area[after] - self.area[before]),
        )


@dataclass(frozen=True)
class _Plan:
    """The best looks under a law, for a task of any age.

    Whoever looks at the ages s and t, and not between, has to expect a delay of
    area(t) - area(s) - done(s) (t - s) seconds from what becomes done meanwhile, and pays for the
    look at t unless the task was done at s. With value(t) for all that follows t, and area(t) added
    to it, the best t after s has the least value(t) - done(s) t, and the values follow from the
    last age to the first.
    """

    law: _Law
    price: float

    @cached_property
    def values(self) -> Sequence[float]:
        law = self.law
        values = [law.area[-1]] * len(law.ages)
        best = CELLS
        for number in reversed(range(CELLS)):
            done, age = law.done[number], law.ages[number]
            # The best look after an earlier one is never later than that after a later one.
            first = bisect_left(law.ages, age + LEAST_GAP)
            later = range(min(first, CELLS), best + 1)
            costs = [values[look] - done * law.ages[look] for look in later]
            least = min(costs)
            best = later[costs.index(least)]
            values[number] = self.price * (1.0 - done) + least + done * age
        return values

    def next_look(self, age: float) -> float:
        ages = self.law.ages
        first = bisect_left(ages, age + LEAST_GAP)
        if first > CELLS:
            return age + _gap_beyond(age)
        done, _ = self.law.at(age)
        best = min(range(first, CELLS + 1), key=lambda look: self.values[look] - done * ages[look])
        return min(ages[best], age + LONGEST_GAP)


@dataclass(frozen=True)
class Forecast:
    """What is known of how long tasks take, and the looks that follow from it."""

    samples: tuple[Sample, ...] = ()
    """The latest ones, oldest first."""
    price: float = PRICE

    def learned(self, sample: Sample) -> Forecast:
        """The forecast after one more task."""
        return replace(self, samples=(*self.samples, sample)[-LATEST:])

    def at_price(self, price: float) -> Forecast:
        """The same knowledge, planned at `price` seconds of delay a look."""
        return replace(self, price=price)

    def next_look(self, age: float) -> float:
        """The age of a task, in seconds after its submit, at which to look after a look at `age`.

        `age` is 0 where there was no look yet. Without any sample it is the page's schedule.
        """
        return self._plan.next_look(age) if self.samples else _page_look(age)

    @property
    def expected(self) -> float:
        """Seconds that half of the tasks take at most."""
        if not self.samples:
            return EXPECTED
        return self._law.ages[bisect_left(self._law.done, 0.5)]

    def cost(self) -> tuple[float, float]:
        """Seconds from finished to seen, and looks, that a task costs on average by this law."""
        return _cost(self._law, self.next_look)

    @cached_property
    def _law(self) -> _Law:
        return _law_behind(self.samples)

    @cached_property
    def _plan(self) -> _Plan:
        return _Plan(self._law, self.price)


def best_price(forecast: Forecast, at_once: int | None, calls_per_second: float | None) -> float:
    """The price of a look at which most pictures an hour come through the account.

    It allows so many tasks at once, and so many calls a second for submits and looks together;
    None where that is not known. Of equals it is the one with the smaller delay.
    """
    if at_once is None and calls_per_second is None:
        return PRICE

    def rates(price: float) -> tuple[float, float]:
        """Pictures a second that the tasks and the calls would let through."""
        delay, looks = _cost(forecast._law, _Plan(forecast._law, price).next_look)
        return (
            at_once / (forecast._law.mean + delay) if at_once is not None else math.inf,
            calls_per_second / (1.0 + looks) if calls_per_second is not None else math.inf,
        )

    def calls_suffice(price: float) -> bool:
        by_tasks, by_calls = rates(price)
        return by_tasks <= by_calls

    # A higher price lets fewer pictures through by the tasks and more by the calls.
    first = bisect_left(PRICES, True, key=calls_suffice)
    return max(PRICES[max(first - 1, 0) : first + 1], key=lambda price: min(rates(price)))


def _page_look(age: float) -> float:
    return FIRST_LOOK if age + LEAST_GAP <= FIRST_LOOK else age + INTERVAL


def _gap_beyond(age: float) -> float:
    """Seconds until the next look at a task that is older than the law reaches."""
    return min(max(GROWTH * age, LEAST_GAP), MOST_GAP)


def _cost(law: _Law, next_look: Callable[[float], float]) -> tuple[float, float]:
    delay = looks = age = done = area = 0.0
    while age < law.end:
        look = min(next_look(age), law.end)
        done_then, area_then = law.at(look)
        looks += 1.0 - done
        delay += area_then - area - done * (look - age)
        age, done, area = look, done_then, area_then
    return delay + law.beyond * _gap_beyond(age) / 2, looks + law.beyond * LOOKS_BEYOND


def _law_behind(samples: Sequence[Sample]) -> _Law:
    """The law behind these samples: each of them spread evenly over where it may have been."""
    spread = _spread(_weighted(samples))
    total = sum(weight for _, _, weight in spread)
    start = min(low for low, _, _ in spread)
    end = max(_quantile([(high, weight) for _, high, weight in spread], 1 - OUTLIERS), start + 0.5)
    cell = (end - start) / CELLS
    change = [0.0] * (CELLS + 1)
    for low, high, weight in spread:
        if low < end:
            first = min(int((low - start) / cell), CELLS - 1)
            last = max(first + 1, round((min(high, end) - start) / cell))
            share = weight / total / (last - first)
            change[first] += share
            change[last] -= share
    likely = [
        (1 - SURPRISES) * density + SURPRISES / 2 / CELLS for density in accumulate(change[:-1])
    ]
    done = list(accumulate(likely, initial=0.0))
    middles = [(before + after) / 2 * cell for before, after in pairwise(done)]
    return _Law(
        [start + cell * number for number in range(CELLS + 1)],
        done,
        list(accumulate(middles, initial=0.0)),
    )


def _weighted(samples: Sequence[Sample]) -> list[tuple[Sample, float]]:
    """The samples and what each of them counts; the page's word fades as ours grows."""
    recent = [FADING**later for later in reversed(range(len(samples)))]
    ours = [(one, _sure(one) * weight) for one, weight in zip(samples, recent, strict=True)]
    left = max(0.0, 1.0 - _PAGE_FADES * sum(map(_sure, samples)))
    return ours + [(one, left * weight) for one, weight in _PAGE if left]


def _sure(one: Sample) -> float:
    return WIDE / max(one.high - one.low, WIDE)


def _spread(weighted: Sequence[tuple[Sample, float]]) -> list[tuple[float, float, float]]:
    """From where to where each sample is spread, and what it counts."""
    middles = [min(max(0.0, (one.low + one.high) / 2), A_DAY) for one, _ in weighted]
    # Old ones are neighbours like new ones, so that a law that moves is spread along its way.
    sure = [_sure(one) for one, _ in weighted]
    ranges = []
    for middle, (one, weight) in zip(middles, weighted, strict=True):
        distances = [abs(other - middle) for other in middles]
        near = _quantile(zip(distances, sure, strict=True), NEIGHBOURS)
        reach = max(near, (one.high - one.low) / 2, LEAST_SPREAD)
        ranges.append((max(0.0, middle - reach), middle + reach, weight))
    return ranges


def _quantile(weighted: Iterable[tuple[float, float]], share: float) -> float:
    ordered = sorted(weighted)
    sums = list(accumulate(weight for _, weight in ordered))
    return ordered[bisect_left(sums, share * sums[-1])][0]
