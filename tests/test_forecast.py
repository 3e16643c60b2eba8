"""How long tasks take and when to look: pure arithmetic, on fixed seeds and on odd input."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanobanana_nb import forecast
from nanobanana_nb.forecast import Forecast, Sample, best_price, sample

DEADLINE = 900.0


def looks(plan: Forecast, age: float = 0.0) -> Iterator[float]:
    """The ages of all looks at a task that never ends."""
    while True:
        age = plan.next_look(age)
        yield age


def paid(plan: Forecast, seconds: list[float]) -> float:
    """What tasks that took so long really cost on average: delay, and looks at their price."""
    total = 0.0
    for one in seconds:
        for number, look in enumerate(looks(plan), 1):
            if look >= one:
                total += look - one + plan.price * number
                break
    return total / len(seconds)


def taught(seconds: list[float]) -> Forecast:
    """What is known after tasks that took exactly so long."""
    plan = Forecast()
    for one in seconds:
        plan = plan.learned(Sample(one, one))
    return plan


def normal(seed: int, middle: float, deviation: float, number: int) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(middle, deviation) for _ in range(number)]


USUAL = taught(normal(1, 17.5, 1.25, 48))
seconds = st.floats(0, 1e12) | st.sampled_from([0.0, 17.5, 86_400.0, 1e308])
odd_samples = st.lists(st.builds(Sample, seconds, seconds), min_size=1, max_size=60)
odd_forecasts = st.builds(
    lambda odd, price: Forecast(tuple(odd), price), odd_samples, st.floats(0.001, 10)
)


def test_without_a_sample_it_is_the_pages_schedule() -> None:
    """First after 10 s, then every 3 s, at any price, and 17.5 s are expected."""
    for plan in (Forecast(), Forecast().at_price(3.0)):
        assert list(itertools.islice(looks(plan), 5)) == [10, 13, 16, 19, 22]
        assert plan.expected == 17.5
        assert plan.next_look(4.0) == 10
        assert plan.next_look(11.0) == 14
    assert Forecast().cost() == pytest.approx((1.5, 4.0), rel=0.05)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param((10.0, 13.0), Sample(10, 13), id="our-looks"),
        pytest.param((0.0, 10.0, 6.25, 0.001), Sample(6.249, 6.251), id="milliseconds"),
        pytest.param((15.5, 16.5, 17.0, 1.0), Sample(16, 16.5), id="whole-seconds"),
        pytest.param((0.0, 10.0, 10.0), Sample(10, 10), id="seen-at-once"),
        pytest.param((13.0, 16.0, 9.0, 1.0), Sample(13, 16), id="without-queueing"),
        pytest.param((13.0, 16.0, math.nan, 1.0), Sample(13, 16), id="no-number"),
        pytest.param((-1.0, -0.5), Sample(0, 0), id="before-the-submit"),
        pytest.param((16.0, 13.0), Sample(16, 16), id="clocks-disagree"),
    ],
)
def test_a_sample_is_where_the_stamps_meet_our_looks(
    known: tuple[float, ...], expected: Sample
) -> None:
    """The API's figure narrows what we saw; it never contradicts it."""
    assert sample(*known) == expected


@settings(deadline=None, max_examples=50)
@given(odd_forecasts, st.floats(0, 1e6))
def test_the_next_look_is_later_but_not_much(plan: Forecast, age: float) -> None:
    """Whatever was learned: no two looks at once, and none more than a minute away."""
    gap = plan.next_look(age) - age
    assert forecast.LEAST_GAP - 1e-6 <= gap <= forecast.LONGEST_GAP + 1e-6


@settings(deadline=None, max_examples=50)
@given(odd_forecasts)
def test_any_deadline_is_reached_with_a_bounded_number_of_looks(plan: Forecast) -> None:
    """A wait ends, and neither it nor what it is expected to cost runs away."""
    until = list(itertools.takewhile(lambda look: look < DEADLINE, looks(plan)))
    assert len(until) <= DEADLINE / forecast.LEAST_GAP
    assert all(0 <= figure < math.inf for figure in (*plan.cost(), plan.expected))


@settings(deadline=None, max_examples=50)
@given(odd_forecasts, st.tuples(st.floats(0, 100), st.floats(0, 100)))
def test_a_later_look_does_not_bring_the_next_one_forward(
    plan: Forecast, ages: tuple[float, float]
) -> None:
    """A look that was put off continues from where it is, at any age."""
    early, late = sorted(ages)
    assert plan.next_look(early) <= plan.next_look(late) + 1e-6


def test_beyond_what_is_known_the_gaps_grow_to_five_seconds() -> None:
    """A task that takes very long is neither forgotten nor asked for all the time."""
    ages = list(itertools.takewhile(lambda look: look < DEADLINE, looks(USUAL, 30.0)))
    gaps = [after - before for before, after in itertools.pairwise(ages)]
    assert all(after >= before - 1e-6 for before, after in itertools.pairwise(gaps))
    assert 1 < gaps[0] < 2
    assert gaps[-1] == pytest.approx(5)


def test_no_other_price_plans_better_for_a_price() -> None:
    """The looks are the best ones by what is known; a higher price means fewer and later ones."""
    costs = {price: USUAL.at_price(price).cost() for price in forecast.PRICES}
    for price, (delay, number) in costs.items():
        others = [other_delay + price * other for other_delay, other in costs.values()]
        assert delay + price * number <= min(others) + 1e-9
    delays, numbers = zip(*costs.values(), strict=True)
    assert list(delays) == sorted(delays)
    assert list(numbers) == sorted(numbers, reverse=True)
    assert numbers[0] > 2 * numbers[-1]


def test_what_it_expects_to_cost_is_what_it_costs() -> None:
    """The figures that the price is chosen by are those of real tasks."""
    truth = normal(2, 17.5, 1.25, 2000)
    for price in (0.05, 0.1, 0.4):
        delay, number = USUAL.at_price(price).cost()
        assert delay + price * number == pytest.approx(paid(USUAL.at_price(price), truth), rel=0.2)


@pytest.mark.parametrize("middle", [6.0, 17.5, 35.0])
@pytest.mark.parametrize("seed", range(3))
def test_more_samples_do_not_make_it_worse(seed: int, middle: float) -> None:
    """Tasks cost less the more of them were seen, beyond noise, wherever the law lies."""
    truth = normal(99, middle, middle / 12, 500)
    known = normal(seed, middle, middle / 12, 48)
    costs = [paid(taught(known[:number]), truth) for number in (0, 4, 12, 48)]
    for fewer, more in itertools.pairwise(costs):
        assert more <= 1.1 * fewer
    assert costs[-1] <= 0.6 * costs[0]


@pytest.mark.parametrize(("before", "after"), [(17.5, 28.0), (28.0, 17.5)])
def test_it_follows_a_step(before: float, after: float) -> None:
    """Sixteen tasks after the service has become slower, or faster, the plan is nearer to one that
    never knew otherwise than to one that does not know yet."""
    now = normal(5, after, 1.5, 48)
    truth = normal(6, after, 1.5, 500)
    blind = paid(taught(normal(4, before, 1.5, 48)), truth)
    following = paid(taught(normal(4, before, 1.5, 48) + now[:16]), truth)
    settled = paid(taught(now), truth)
    assert following < (settled + blind) / 2 < blind / 1.3


@pytest.mark.parametrize("takes", [6.0, 24.0])
def test_it_learns_from_its_own_looks_alone(takes: float) -> None:
    """An API without a usable stamp: the looks bound the time, and draw near to it."""
    plan, chance = Forecast(), random.Random(3)
    for _ in range(60):
        one, age, before = chance.gauss(takes, takes / 12), 0.0, 0.0
        while age < one:
            before, age = age, plan.next_look(age)
        plan = plan.learned(sample(before, age))
    assert plan.expected == pytest.approx(takes, rel=0.1)
    assert paid(plan, normal(7, takes, takes / 12, 500)) < 0.6 * paid(
        Forecast(), normal(7, takes, takes / 12, 500)
    )


def test_tasks_that_were_seen_days_later_teach_next_to_nothing() -> None:
    """Resuming yesterday's tasks neither slows down today's, nor puts out what was learned."""
    resumed = Sample(0.0, 80_000.0)
    only_those = Forecast((resumed,) * 48)
    assert 10 <= only_those.expected <= 20
    assert 8 <= only_those.next_look(0.0) <= 15
    both = Forecast(USUAL.samples[-12:] + (resumed,) * 36)
    truth = normal(8, 17.5, 1.25, 500)
    assert paid(both, truth) <= 1.3 * paid(USUAL, truth)


def test_only_the_latest_samples_are_kept() -> None:
    """A notebook that runs for weeks does not grow, and planning does not slow down."""
    plan = taught([float(number) for number in range(200)])
    assert [one.low for one in plan.samples] == list(range(152, 200))
    assert plan.at_price(1.0).samples == plan.samples


def through(at_once: float, calls: float) -> Callable[[float], float]:
    """Pictures a second at a price, through an account that allows so much."""

    def rate(price: float) -> float:
        delay, number = USUAL.at_price(price).cost()
        return min(at_once / (17.6 + delay), calls / (1 + number))

    return rate


@pytest.mark.parametrize(
    ("at_once", "calls"), [(1, 10.0), (8, 3.0), (8, 2.0), (8, 1.0), (64, 10.0), (64, 5.0)]
)
def test_the_best_price_is_that_of_most_pictures(at_once: int, calls: float) -> None:
    """Neither limit is left unused for the other: no price lets more pictures through."""
    rate = through(at_once, calls)
    best = max(map(rate, forecast.PRICES))
    assert rate(best_price(USUAL, at_once, calls)) == pytest.approx(best, rel=0.002)


def test_the_best_price_with_a_limit_unknown() -> None:
    """Calls that are not known to be limited are used, tasks that are not bounded make them dear;
    knowing nothing changes nothing."""
    assert best_price(USUAL, 8, None) == best_price(USUAL, 8, 1000.0) == forecast.PRICES[0]
    assert best_price(USUAL, None, 1.0) == forecast.PRICES[-1]
    assert best_price(USUAL, None, None) == forecast.PRICE
    assert best_price(Forecast(), 8, 2.0) in forecast.PRICES
