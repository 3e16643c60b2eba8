"""What `Client.wait` learns from its looks: how long a task took, and how long a question takes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanobanana_nb import Client, Schedule, errors
from nanobanana_nb.forecast import Forecast, Sample
from nanobanana_nb.models import Succeeded
from nanobanana_nb.pacing import Learned

DAY = 86_400.0
LINK = "https://example.com/a.png"
EVERY_3 = Schedule(first_poll=10.0, poll_interval=3.0)


@dataclass
class Far:
    """An API whose answers are half of `trip` seconds away, each way, and its only task.

    The task is done at `done`; `answers` are the statuses of the first looks that are no answer.
    Time passes where somebody sleeps or waits for an answer.
    """

    done: float
    trip: float = 0.0
    stamps: dict[str, Any] = field(default_factory=dict)
    answers: list[int] = field(default_factory=list)
    now: float = 0.0
    asleep: float = 0.0
    looks: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(self.now)
        self.now += self.trip / 2
        self.looks.append(self.now)
        over = self.now >= self.done
        self.now += self.trip / 2
        if self.answers:
            return httpx.Response(self.answers.pop(0), headers={"Retry-After": "7"})
        result = {"resultJson": json.dumps({"resultUrls": [LINK]}), **self.stamps} if over else {}
        data = {"state": "success" if over else "processing", **result}
        return httpx.Response(200, json={"code": 200, "data": data})

    def client(self, schedule: Schedule = EVERY_3) -> Client:
        return Client(
            "test-key",
            schedule=schedule,
            transport=httpx.MockTransport(self.handle),
            sleep=self.sleep,
            clock=lambda: self.now,
            wall=lambda: 1.7e9 + self.now + self.asleep,
        )

    def wait(self, client: Client | None = None, **more: Any) -> Succeeded:
        """Wait for the task with the client, or with a new one."""
        return asyncio.run((client or self.client()).wait("t1", **more))


def sample(low: float, high: float) -> Sample:
    return Sample(pytest.approx(low), pytest.approx(high))


# How long it took.


def test_it_took_as_long_as_the_looks_say() -> None:
    """It was not done at the last look but one, and done at the last."""
    assert Far(done=17.5).wait().took == sample(16.0, 19.0)


def test_what_is_done_at_the_first_look_took_no_longer() -> None:
    """And may have taken no time at all."""
    assert Far(done=4.0).wait().took == sample(0.0, 10.0)


def test_the_moment_of_a_look_is_in_the_middle_of_its_trip() -> None:
    """That is when the API looked, where question and answer are equally long on their way."""
    far = Far(done=17.5, trip=2.0)
    took = far.wait().took
    assert took == sample(*far.looks[-2:])
    assert far.looks[-1] == far.asked[-1] + 1.0


@settings(max_examples=60, deadline=None)
@given(
    done=st.floats(0.0, 120.0),
    trip=st.floats(0.0, 4.0),
    age=st.floats(0.0, 300.0),
    failures=st.lists(st.sampled_from([429, 500, 502]), max_size=4),
)
def test_the_truth_lies_between(done: float, trip: float, age: float, failures: list[int]) -> None:
    """Whenever it is done, however far the API is, whatever looks fail, and however long the task
    had run before: never outside of what was noted."""
    took = Far(done=done, trip=trip, answers=failures).wait(age=age).took
    assert took is not None
    assert took.low - 1e-6 <= age + done <= took.high + 1e-6


def test_a_task_that_ran_before_is_older_than_the_wait() -> None:
    """One of an earlier kernel counts from its submit."""
    far = Far(done=5.0)
    assert far.wait(age=100.0).took == sample(103.0, 106.0)
    assert far.looks == [0.0, 3.0, 6.0]


def test_the_apis_own_figure_makes_it_exact() -> None:
    """Where it is among what we saw; whole seconds are right to a second only."""
    assert Far(done=17.5, stamps={"costTime": 17_400}).wait().took == sample(17.4, 17.4)
    whole = {"createTime": 1_000, "completeTime": 18_000}
    assert Far(done=17.5, stamps=whole).wait().took == sample(16.0, 18.0)
    queued = {"costTime": 3_000}  # without the time that it waited for its turn
    assert Far(done=17.5, stamps=queued).wait().took == sample(16.0, 19.0)


@pytest.mark.parametrize("hours", [-1, 8])
def test_a_machine_that_slept_teaches_nothing(hours: int) -> None:
    """The picture comes, but for how long it was ready nobody knows; nor where a clock was set."""
    far = Far(done=30.0)

    async def sleep(seconds: float) -> None:
        far.now += seconds
        if far.now == pytest.approx(12.0):
            far.asleep += hours * 3_600.0

    client = far.client()
    client._sleep = sleep
    done = far.wait(client)
    assert done.image_urls == (LINK,)
    assert done.took is None


def test_a_look_that_failed_says_nothing() -> None:
    """What was not seen was not unfinished either."""
    far = Far(done=5.0, answers=[502])
    assert far.wait().took == sample(0.0, 17.0)  # it asked for 7 s


# How long a question takes.


class Asked:
    """A rhythm that notes what it is told, and looks every 3 s."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.trips: list[float] = []
        self.bell = None

    def schedule(self) -> Schedule:
        self.heard.append("schedule")
        return Noting(self.trips)

    async def turn(self) -> None:
        self.heard.append("turn")

    async def busy(self, error: errors.RateLimited) -> None:
        self.heard.append(error.retry_after)


class Noting(Schedule):
    """The page's schedule, which notes for how long a trip it is asked."""

    def __init__(self, trips: list[float]) -> None:
        super().__init__()
        object.__setattr__(self, "trips", trips)

    def next_poll(self, polls: int, waited: float, *, trip: float = 0.0, **more: Any) -> Any:
        self.trips.append(trip)
        return super().next_poll(polls, waited, trip=trip, **more)


def test_the_trip_is_learned_from_the_answers() -> None:
    """Bit by bit, and for all tasks of the client; a look that failed says nothing of it."""
    far, asked = Far(done=40.0, trip=0.5, answers=[500, 429]), Asked()
    client = far.client()
    far.wait(client, rhythm=asked)
    failed, answered = asked.trips[:3], asked.trips[3:]
    assert failed == [0.0] * 3
    assert answered == pytest.approx([0.5 * (1 - 0.8**n) for n in range(1, len(answered) + 1)])
    assert len(answered) > 3
    far.wait(client, rhythm=asked)
    assert asked.trips[-1] > answered[-1]


def test_a_learned_question_is_sent_half_a_trip_early() -> None:
    """It arrives at the moment that was chosen, and the picture is seen that much sooner."""
    known = Forecast(tuple(Sample(14.9 + n / 20, 15.1 + n / 20) for n in range(20)), price=5.0)
    near, far = (Far(done=0.0, trip=trip) for trip in (0.0, 2.0))
    for api in (near, far):
        client = api.client(Learned(forecast=known))
        client._trip = api.trip
        api.wait(client)
    assert far.looks == pytest.approx(near.looks)
    assert far.asked[0] == pytest.approx(near.asked[0] - 1.0)


def test_a_rhythm_is_asked_before_every_look_and_told_of_every_429() -> None:
    """When, then whether it may; and what the API asked for is kept, too."""
    far, asked = Far(done=19.0, answers=[429, 500]), Asked()
    far.wait(rhythm=asked)
    look: list[object] = ["schedule", "turn"]
    assert asked.heard[:5] == [*look, 7.0, *look]
    assert asked.heard[5:] == look * (len(far.looks) - 2)
    assert far.looks[:3] == [10.0, 17.0, 24.0]


def test_looks_are_counted() -> None:
    """All of them, also those that failed: an account may count them."""
    far = Far(done=17.5, answers=[429])
    client = far.client()
    far.wait(client)
    assert client.looks == len(far.looks) > 1
