"""How long a finished picture waits to be seen, and how many looks that takes.

Simulated, as the API publishes no law of its times: 500 tasks, of which 8 are under way at any
time, so that each is planned with what was learned from all but the last 8. The first 50 are not
counted. The seeds are not those that the forecast's constants were chosen on, nor are the last two
laws; the 15-20 s are the API page's word.
"""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import fmean

from nanobanana_nb.forecast import PRICE, Forecast, Sample, sample

from .table import plain, verdict

TASKS = 500
UNDER_WAY = 8
UNCOUNTED = 50
DRAWS = 20_000
CELLS = 1500
SEED = 4321

LOOKS = {
    "the page: 10 s, then 3 s": (10.0, 3.0),
    "every 1 s (runware, openai)": (0.0, 1.0),
    "every 0.5 s (replicate)": (0.5, 0.5),
    "every 0.1 s (fal)": (0.0, 0.1),
}
STAMPS = ("milliseconds", "whole seconds", "none but our own looks")
Cost = tuple[float, float]
"""Seconds from finished to seen, and looks."""


@dataclass(frozen=True)
class Regime:
    """How long tasks take: a draw for the task of this number."""

    name: str
    draw: Callable[[random.Random, int], float]
    goal: float | None = None
    """Our cost, in costs of the best looks for whoever knows the law."""
    delays: tuple[float, float] | None = None
    """Our delay, in delays of the page's schedule, by the kind of stamps; at no more looks."""
    phases: tuple[int, ...] = (0,)
    """Tasks that stand for all, where the law moves."""


def _usual(chance: random.Random, _: int) -> float:
    if chance.random() < 0.01:
        return chance.uniform(20, 60)
    return min(max(chance.gauss(17.5, 1.25), 12), 23)


def _two(chance: random.Random, _: int) -> float:
    return max(5, chance.gauss(10, 1) if chance.random() < 0.6 else chance.gauss(24, 2))


def _three(chance: random.Random, _: int) -> float:
    return max(2, chance.choice((chance.gauss(5, 0.5), chance.gauss(12, 1), chance.gauss(30, 2))))


def _step(chance: random.Random, number: int) -> float:
    return max(8, chance.gauss(17.5, 1.25) if number < TASKS / 2 else chance.gauss(28, 2))


def _wave(chance: random.Random, number: int) -> float:
    load = 1 + 0.4 * math.sin(2 * math.pi * number / 250)
    return max(4, 17.5 * load * math.exp(0.07 * chance.gauss(0, 1)))


REGIMES = (
    Regime("15-20 s, now and then 60 s", _usual, 1.10, delays=(0.28, 0.33)),
    Regime("15-20 s, evenly", lambda chance, _: chance.uniform(15, 20)),
    Regime("really 6 s", lambda chance, _: max(3, chance.gauss(6, 0.6)), 1.10),
    Regime("really 35 s", lambda chance, _: max(20, chance.gauss(35, 3)), 1.10),
    Regime("10 s or 24 s", _two, 1.15),
    Regime("heavy tail", lambda chance, _: min(118, 16 * math.exp(0.4 * chance.gauss(0, 1))), 1.15),
    Regime("17.5 s, then 28 s", _step, 1.25, phases=(0, TASKS - 1)),
    Regime("a wave of +-40 %", _wave, phases=(0, 31, 62, 94, 125, 156, 187, 219)),
    Regime("lopsided, 8-20 s", lambda chance, _: 8 + chance.gammavariate(3, 1.5)),
    Regime("5 s, 12 s or 30 s", _three),
)


def table(seeds: int) -> str:
    """Means over `seeds` runs of each regime; a seed takes about 20 s."""
    head = ("", "delay s", "looks", "/ page's delay", "goal", "", "cost / best", "goal", "")
    title = f"POLLING, simulated; the cost is the delay and {PRICE} s a look"
    return plain(title, head, [row for regime in REGIMES for row in _rows(regime, seeds)])


def _rows(regime: Regime, seeds: int) -> list[list[str]]:
    runs = [_times(regime, SEED + seed) for seed in range(seeds)]
    best = _best(regime)
    costs = {
        name: _mean([_fixed(times, *looks) for times in runs]) for name, looks in LOOKS.items()
    }
    page = next(iter(costs.values()))
    rows = [[regime.name, *[""] * 8], _row("  whoever knows the law", best, page, best)]
    rows += [_row(f"  {name}", cost, page, best) for name, cost in costs.items()]
    delays = dict(zip(STAMPS, regime.delays or (), strict=False))
    for stamps in STAMPS:
        cost = _mean([_learned(times, stamps, seed) for seed, times in enumerate(runs)])
        goal = regime.goal if stamps == "milliseconds" else None
        rows.append(_row(f"  ours; stamps: {stamps}", cost, page, best, delays.get(stamps), goal))
    return rows


def _row(
    name: str,
    cost: Cost,
    page: Cost,
    best: Cost,
    delay_goal: float | None = None,
    goal: float | None = None,
) -> list[str]:
    delay, total = cost[0] / page[0], _total(cost) / _total(best)
    cells = [name, f"{cost[0]:.2f}", f"{cost[1]:.2f}", f"{delay:.2f}", "", "", f"{total:.2f}"]
    if delay_goal:
        cells[4:6] = [f"<= {delay_goal}", verdict(delay <= delay_goal and cost[1] <= page[1])]
    return [*cells, f"<= {goal:.2f}", verdict(total <= goal)] if goal else [*cells, "", ""]


def _total(cost: Cost) -> float:
    delay, looks = cost
    return delay + PRICE * looks


def _mean(costs: Sequence[Cost]) -> Cost:
    delays, looks = zip(*costs, strict=True)
    return fmean(delays), fmean(looks)


def _times(regime: Regime, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [regime.draw(chance, number) for number in range(TASKS)]


def _fixed(times: Sequence[float], first: float, interval: float) -> Cost:
    more = [max(0, math.ceil((time - first) / interval)) for time in times[UNCOUNTED:]]
    seen = [first + interval * number for number in more]
    delays = [at - time for at, time in zip(seen, times[UNCOUNTED:], strict=True)]
    return fmean(delays), 1 + fmean(more)


def _learned(times: Sequence[float], stamps: str, seed: int) -> Cost:
    """The forecast's looks, learning from these stamps as the tasks become done."""
    chance = random.Random(seed)
    forecast = Forecast()
    under_way: deque[Sample] = deque()
    costs = []
    for time in times:
        if len(under_way) == UNDER_WAY:
            forecast = forecast.learned(under_way.popleft())
        before = age = 0.0
        looks = 0
        while age < time:
            before, age = age, forecast.next_look(age)
            looks += 1
        under_way.append(sample(before, age, *_stamp(time, stamps, chance)))
        costs.append((age - time, looks))
    return _mean(costs[UNCOUNTED:])


def _stamp(time: float, stamps: str, chance: random.Random) -> tuple[float | None, float]:
    """What the API's stamps say of a task's time, and how exactly."""
    if stamps == "milliseconds":
        return time, 0.001
    if stamps == "whole seconds":
        created = chance.random()
        return float(math.floor(created + time) - math.floor(created)), 1.0
    return None, 0.0


def _best(regime: Regime) -> Cost:
    """The least cost that any looks can have under the law itself, by dynamic programming."""
    chance = random.Random(9)
    return _mean(
        [
            _best_for(sorted(regime.draw(chance, number) for _ in range(DRAWS)))
            for number in regime.phases
        ]
    )


def _best_for(times: Sequence[float]) -> Cost:
    cell = times[-1] / CELLS
    ages = [cell * number for number in range(CELLS)] + [times[-1]]
    done = [bisect(times, age) / len(times) for age in ages]
    area = [0.0, *accumulate((before + after) / 2 * cell for before, after in pairwise(done))]
    after, value = [CELLS] * (CELLS + 1), [area[-1]] * (CELLS + 1)
    for number in reversed(range(CELLS)):
        later = range(number + 1, after[number + 1] + 1)
        costs = [value[look] - done[number] * ages[look] for look in later]
        after[number] = later[costs.index(min(costs))]
        value[number] = PRICE * (1 - done[number]) + min(costs) + done[number] * ages[number]
    delay = looks = number = 0
    while done[number] < 1:
        look = after[number]
        delay += area[look] - area[number] - done[number] * (ages[look] - ages[number])
        looks += 1 - done[number]
        number = look
    return delay, looks
