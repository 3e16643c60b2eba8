"""The sandbox's limits: tasks at once and requests a minute, over real sockets.

Time is a clock that the tests turn, so nothing here sleeps.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from nanobanana_nb.sandbox import Sandbox

from .test_cli import Command
from .test_sandbox import BALANCE, WEB, Api, Clock

PLAIN = "Rate or concurrency limit reached, please slow down"
LATENCY = 10.0
OVER = LATENCY * 1.1 + 0.01
"""Seconds after which every task is due."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api(clock: Clock) -> Iterator[Api]:
    with Sandbox(latency=LATENCY, clock=clock) as running:
        api = Api(running, clock)
        yield api
        api.http.close()


def told(answer: httpx.Response) -> tuple[int, str, str | None]:
    return answer.status_code, answer.json()["message"], answer.headers.get("Retry-After")


def statuses(api: Api, submits: int) -> list[int]:
    return [api.submit().status_code for _ in range(submits)]


# -- tasks at once


def test_tasks_at_once_are_counted_from_acceptance_until_they_are_due(api: Api) -> None:
    """A place is taken by a task that is under way, whether polled or not, and then is free."""
    api.sandbox.at_once = 2
    assert statuses(api, 3) == [200, 200, 429]
    api.clock.now += LATENCY * 0.8
    assert statuses(api, 1) == [429]
    api.clock.now += OVER
    assert statuses(api, 3) == [200, 200, 429]


def test_a_failed_task_gives_its_place_back_and_a_stuck_one_keeps_it(api: Api) -> None:
    """What counts is when a task is due, not how it ends; one that never ends holds its place."""
    api.sandbox.at_once = 2
    api.accepted("[sandbox TIMEOUT]")
    api.accepted("[sandbox forever]")
    api.clock.now += OVER
    assert statuses(api, 2) == [200, 429]


def test_a_refused_submit_costs_nothing_and_uses_up_no_directive(api: Api) -> None:
    """Section 5: a 429 took no task; what was to fail next still does, once there is room."""
    api.sandbox.at_once = 1
    api.accepted()
    api.sandbox.fail_next("503")
    assert statuses(api, 1) == [429]
    assert (str(api.sandbox.spent), len(api.sandbox.tasks)) == ("0.03", 1)
    assert (api.sandbox.counts["submit"], api.sandbox.counts["refused"]) == (2, 1)
    api.clock.now += OVER
    assert statuses(api, 2) == [503, 200]


def test_an_account_may_take_nothing_and_then_something(api: Api) -> None:
    """at_once=0 refuses every task; limits change while the sandbox runs, both ways."""
    api.sandbox.at_once = 0
    assert statuses(api, 1) == [429]
    api.sandbox.at_once = 3
    assert statuses(api, 3) == [200, 200, 200]
    api.sandbox.at_once = 1
    assert statuses(api, 1) == [429]
    api.sandbox.at_once = None
    assert statuses(api, 5) == [200] * 5


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_many_clients_get_no_more_than_there_is_room_for(api: Api, restless: None) -> None:
    """A place is taken in the moment it is looked for: of four that want the last, one has it."""
    with ThreadPoolExecutor(4) as pool:
        for room in range(1, 41):
            api.sandbox.at_once = room
            answers = list(pool.map(lambda _: api.submit().status_code, range(4)))
            assert (answers.count(200), answers.count(429)) == (1, 3)
    assert api.sandbox.counts["refused"] == 120


# -- requests a minute


def test_the_rate_is_a_bucket_of_a_minutes_requests(api: Api) -> None:
    """60 a minute: 60 at one moment, then one a second, and a pause saves up no more than 60."""
    api.sandbox.rate = 60
    assert statuses(api, 61) == [200] * 60 + [429]
    for _ in range(16):
        api.clock.now += 0.125
        statuses(api, 1)
    assert api.sandbox.counts["accepted"] == 62
    api.clock.now += 3600
    assert statuses(api, 61) == [200] * 60 + [429]


def test_a_burst_is_what_comes_in_one_moment(api: Api) -> None:
    """With a burst of 2 the third request waits, though the minute has many left."""
    api.sandbox.rate, api.sandbox.burst = 60, 2
    assert statuses(api, 3) == [200, 200, 429]
    api.clock.now += 1
    assert statuses(api, 2) == [200, 429]


def test_less_than_one_request_a_minute_lets_one_through(api: Api) -> None:
    """A slow rate is slow, not shut: the first passes, the next in two minutes."""
    api.sandbox.rate = 0.5
    assert statuses(api, 2) == [200, 429]
    api.clock.now += 120
    assert statuses(api, 2) == [200, 429]


def test_another_rate_does_not_give_back_what_was_used(api: Api) -> None:
    """Changing the rate in mid-run keeps the bucket as full as it is, and fills it faster."""
    api.sandbox.rate = 6
    assert statuses(api, 7) == [200] * 6 + [429]
    api.sandbox.rate = 60
    assert statuses(api, 1) == [429]
    api.clock.now += 1
    assert statuses(api, 2) == [200, 429]


@pytest.mark.parametrize("count_polls", [False, True])
def test_polls_count_if_asked_for(api: Api, count_polls: bool) -> None:
    """The documents do not say whether polls count; both can be had, and the balance is free."""
    api.sandbox.rate, api.sandbox.count_polls = 3, count_polls
    task = api.accepted()
    polls = [api.poll(task).status_code for _ in range(3)]
    assert polls == ([200, 200, 429] if count_polls else [200, 200, 200])
    assert api.http.get(BALANCE).status_code == 200
    assert api.sandbox.counts["refused"] == polls.count(429)


def test_nobody_without_a_key_uses_up_the_rate(api: Api) -> None:
    """A limit is the account's: a request that names no account is a 401 and counts for none."""
    api.sandbox.rate = 1
    answers = [WEB.post(f"{api.sandbox.url}/generateTask/nano-banana") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert statuses(api, 1) == [200]


# -- what a refusal says


def test_a_refusal_says_no_more_than_the_documents(api: Api) -> None:
    """Section 9: one message for both limits, and no Retry-After, unless it is asked for."""
    api.sandbox.at_once = 0
    answer = api.submit()
    assert told(answer) == (429, PLAIN, None)
    assert answer.json() == {"code": 429, "message": PLAIN, "data": None}
    api.sandbox.at_once, api.sandbox.rate = None, 1
    api.submit()
    assert told(api.submit()) == (429, PLAIN, None)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"at_once": 1}, "Concurrency limit reached: 1 task at once"),
        ({"at_once": 8}, "Concurrency limit reached: 8 tasks at once"),
        ({"rate": 60}, "Rate limit exceeded: 60 requests per minute"),
        ({"rate": 2.5}, "Rate limit exceeded: 2.5 requests per minute"),
    ],
)
def test_a_refusal_may_say_which_limit_it_was(
    clock: Clock, limits: dict[str, Any], message: str
) -> None:
    """With reasons=True the message names the limit and its number."""
    with Sandbox(latency=LATENCY, clock=clock, balance=100, reasons=True, **limits) as sandbox:
        api = Api(sandbox, clock)
        while (answer := api.submit()).status_code == 200:
            pass
        assert told(answer) == (429, message, None)
        api.http.close()


def test_retry_after_is_when_there_is_room_again(api: Api) -> None:
    """Whole seconds until enough tasks are due (none where too many are stuck), or until the next
    request of the rate."""
    api.sandbox.retry_after, api.sandbox.at_once = True, 2
    api.accepted("[sandbox forever]")
    api.accepted()
    due = api.sandbox.tasks[1].due - api.clock.now
    wait = float(api.submit().headers["Retry-After"])
    assert due <= wait < due + 1
    api.clock.now += wait
    assert statuses(api, 1) == [200]
    api.sandbox.at_once = 1
    assert told(api.submit()) == (429, PLAIN, None)
    api.sandbox.at_once, api.sandbox.rate = None, 12
    assert statuses(api, 12) == [200] * 12
    assert told(api.submit()) == (429, PLAIN, "5")
    api.clock.now += 5
    assert statuses(api, 1) == [200]


def test_retry_after_is_left_out_where_nobody_knows(api: Api) -> None:
    """An account that takes nothing, or is full of stuck tasks, names no time."""
    api.sandbox.retry_after, api.sandbox.at_once = True, 0
    assert told(api.submit()) == (429, PLAIN, None)
    api.sandbox.at_once = 1
    api.accepted("[sandbox forever]")
    assert told(api.submit()) == (429, PLAIN, None)


# -- the account, and what is no limit


def test_the_account_shows_its_limits(clock: Clock) -> None:
    """Another process sees what is allowed, what is under way, and how many were refused."""
    with Sandbox(latency=LATENCY, clock=clock, at_once=1, rate=60, count_polls=True) as sandbox:
        api = Api(sandbox, clock)
        statuses(api, 3)
        api.http.close()
        account = WEB.get(sandbox.url + "/sandbox/account").json()
    assert (account["underWay"], account["refused"]) == (1, 2)
    assert account["limits"] == {
        "at_once": 1, "rate": 60, "burst": None,
        "count_polls": True, "reasons": False, "retry_after": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("at_once", -1),
        ("at_once", 1.5),
        ("at_once", True),
        ("at_once", "8"),
        ("rate", 0),
        ("rate", -60),
        ("rate", float("inf")),
        ("rate", float("nan")),
        ("rate", "60"),
        ("burst", 0),
        ("burst", 0.5),
    ],
)
def test_what_is_no_limit_is_refused_in_one_line(api: Api, name: str, value: Any) -> None:
    """At the start and later alike, by name and value; the limit stays as it was."""
    for attempt in (lambda: Sandbox(**{name: value}), lambda: setattr(api.sandbox, name, value)):
        with pytest.raises(ValueError, match=rf"^{name} is {value!r}; give [^\n]+$"):
            attempt()
    assert getattr(api.sandbox, name) is None


def test_the_command_knows_the_limits(tmp_path: Any) -> None:
    """`nanobanana sandbox` takes the flags, and says in one line which number it cannot take."""
    nanobanana = Command(tmp_path, "http://127.0.0.1:9")
    answer = nanobanana("sandbox", "--port", "0", "--count-polls", "--at-once", "2", "--rate", "0")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.strip() == (
        "ConfigError: rate is 0.0; give requests a minute, more than 0, or None."
    )
