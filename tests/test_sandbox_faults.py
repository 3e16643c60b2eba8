"""The sandbox's plan of faults: the same seed gives the same ones, and each of them ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from nanobanana_nb.sandbox import Sandbox, directives
from nanobanana_nb.sandbox.contract import FAIL_MESSAGES
from nanobanana_nb.sandbox.faults import POOL, Fault, Plan

from .test_sandbox import SUBMIT, WEB, Clock
from .test_sandbox_callbacks import Api, Receiver, callback_body

BAD_FOR_ALL = ("401", "402", "403", "404", "insufficient", "INSUFFICIENT")
PASSING = {429, 500, 502, 503, 504}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receiver(clock: Clock) -> Iterator[Receiver]:
    with Receiver(clock) as running:
        yield running


def submitted(sandbox: Sandbox, prompts: list[str]) -> list[int | str]:
    """What each submit was answered: its HTTP status with the code in it, or ``cut``."""
    answers: list[int | str] = []
    for prompt in prompts:
        try:
            body = {"input": {"prompt": prompt}}
            answer = WEB.post(
                sandbox.url + SUBMIT, json=body, headers={"Authorization": "Bearer k"}
            )
        except httpx.RemoteProtocolError:
            answers.append("cut")
        else:
            told = answer.headers["content-type"] == "application/json"
            answers.append(answer.json()["code"] if told else answer.status_code)
    return answers


# -- the plan


def test_the_same_seed_picks_the_same_faults() -> None:
    """By the seed and the ordinal alone, in every process and version; another seed, others."""
    picks = [Plan(0.3, 7).pick(ordinal) for ordinal in range(1, 13)]
    assert picks == PICKED
    assert picks == [Plan(0.3, 7).pick(ordinal) for ordinal in range(1, 13)]
    assert picks != [Plan(0.3, 8).pick(ordinal) for ordinal in range(1, 13)]


PICKED = [None, "envelope-504", None, None, "503", *[None] * 6, "gateway-429"]
"""What seed 7 has for the first twelve; another pool may change it, and with it every old run."""


def test_the_rate_is_the_share_of_submits_that_are_hit() -> None:
    """Independently of each other: none, all, about one in twenty; every fault has its turn."""
    picks = {rate: [Plan(rate, 7).pick(n) for n in range(20_000)] for rate in (0, 0.05, 1)}
    assert set(picks[0]) == {None}
    assert None not in picks[1]
    hits = [pick for pick in picks[0.05] if pick]
    assert 900 < len(hits) < 1100
    often = Counter(picks[1])
    assert set(often) == set(POOL)
    assert max(often.values()) < 2 * min(often.values())


def test_a_higher_rate_adds_faults_and_takes_none_away() -> None:
    """A run with fewer faults is the same run: what stays is where it was."""
    low, high = ([Plan(rate, 7).pick(n) for n in range(2000)] for rate in (0.05, 0.2))
    assert all(fewer in (None, more) for fewer, more in zip(low, high, strict=True))


@pytest.mark.parametrize("rate", [-0.01, 1.01, float("nan"), float("inf"), True, "0.5", None])
def test_what_is_no_probability_is_refused(rate: object) -> None:
    """In one line that says what may be given."""
    with pytest.raises(
        ValueError, match=r"^faults is .*; give a share of the submits, from 0 to 1$"
    ):
        Plan(rate)  # type: ignore[arg-type]


# -- the pool


def test_the_pool_holds_directives_that_spare_the_account() -> None:
    """Each is a directive, none says that the key or the money is no good, none never ends."""
    assert set(POOL) <= set(directives.names())
    assert len(set(POOL)) == len(POOL)
    assert not [name for name in POOL if any(bad in name for bad in BAD_FOR_ALL) and name != EARLY]
    assert not {"forever", "slow", "cut", "expired", "not-image"} & set(POOL)


EARLY = "early-404"
"""A 404 of the first poll alone."""


@pytest.mark.parametrize("directive", POOL)
def test_every_fault_of_the_pool_ends(receiver: Receiver, clock: Clock, directive: str) -> None:
    """The submit is refused in a way that may be tried again, or the task is soon complete, its
    picture can be had if there is one, and its money is counted."""
    with Sandbox(latency=0, clock=clock) as sandbox:
        api = Api(sandbox, clock)
        body = callback_body(receiver.url, f"a fox [sandbox {directive}]")
        try:
            answer = api.http.post(SUBMIT, json=body, timeout=60)
        except httpx.RemoteProtocolError:
            assert directive in ("drop", "drop-unbilled")
        else:
            json = answer.headers["content-type"] == "application/json"
            assert (answer.json()["code"] if json else answer.status_code) in PASSING | {200}
        assert len(sandbox.tasks) == (sandbox.spent > 0)
        for task in sandbox.tasks:
            data = ended(api, task.id)
            if data["state"].lower() == "success":
                assert drawn(f"{sandbox.url}/results/{task.id}.jpg")
            else:
                assert data["failCode"] in FAIL_MESSAGES
        api.http.close()


def ended(api: Api, task_id: str) -> dict[str, str]:
    """The state of a task, by the third poll at the latest."""
    for _ in range(3):
        answer = api.poll(task_id)
        if answer.status_code == 200 and answer.json()["code"] == 200 and answer.json()["data"]:
            data = answer.json()["data"]
            if data["state"].lower() in ("success", "failed"):
                return data
    raise AssertionError("it does not end")


def drawn(link: str) -> bool:
    """Whether the picture can be had, with the second download at the latest."""
    for _ in range(2):
        try:
            return WEB.get(link).headers["content-type"] == "image/jpeg"
        except httpx.RemoteProtocolError:
            continue
    return False


# -- a sandbox with a plan


def test_a_run_can_be_had_again(clock: Clock) -> None:
    """Same seed, same order: the same answers, and the same explanation of each."""
    runs = []
    for _ in range(2):
        with Sandbox(latency=0, clock=clock, faults=0.4, seed=11) as sandbox:
            answers = submitted(sandbox, ["a fox"] * 40)
            faulted = {n: fault.directive for n, fault in sandbox.faulted.items()}
            runs.append((answers, faulted))
    assert runs[0] == runs[1]
    plan = Plan(0.4, 11)
    assert runs[0][1] == {n: pick for n in range(1, 41) if (pick := plan.pick(n))}
    assert {200, "cut"} < set(runs[0][0])


def test_what_was_hit_is_known(clock: Clock) -> None:
    """By ordinal: the directive, and the task where one was accepted; the submits that went well
    are not in it."""
    with Sandbox(latency=0, clock=clock, faults=0.5, seed=3) as sandbox:
        answers = submitted(sandbox, ["a fox"] * 30)
        ids = [task.id for task in sandbox.tasks]
        accepted = [n for n, answer in enumerate(answers, start=1) if answer == 200]
        for ordinal, fault in sandbox.faulted.items():
            assert isinstance(fault, Fault)
            billed = ordinal in accepted or fault.directive == "drop"
            assert (fault.task_id in ids) == billed
            assert (fault.task_id is None) == (not billed)
        account = WEB.get(sandbox.url + "/sandbox/account").json()["faults"]
    assert (account["rate"], account["seed"]) == (0.5, 3)
    assert {hit["ordinal"]: Fault(hit["directive"], hit["taskId"]) for hit in account["hit"]} == (
        dict(sandbox.faulted)
    )


def test_what_was_asked_for_goes_first(clock: Clock) -> None:
    """A directive in the prompt and a queued one are met instead of the plan's; the submit counts
    all the same, so that those after it meet what they would have met."""
    with Sandbox(latency=0, clock=clock, faults=1, seed=5) as sandbox:
        sandbox.fail_next("TIMEOUT")
        submitted(sandbox, ["a fox", "a fox [sandbox two]", "a fox"])
        assert {n: one.directive for n, one in sandbox.faulted.items()} == {3: Plan(1, 5).pick(3)}
        assert len(sandbox.tasks) >= 2


def test_what_is_no_valid_submit_is_not_counted(clock: Clock) -> None:
    """Nor is what a limit refuses: neither moves the plan on."""
    with Sandbox(latency=0, clock=clock, faults=1, seed=5) as sandbox:
        assert submitted(sandbox, ["", "a fox [sandbox nonsense]"]) == [400, 400]
        sandbox.at_once = 0
        assert submitted(sandbox, ["a fox"]) == [429]
        sandbox.at_once = None
        submitted(sandbox, ["a fox"])
        assert {n: one.directive for n, one in sandbox.faulted.items()} == {1: Plan(1, 5).pick(1)}


def test_without_a_plan_nothing_goes_wrong(clock: Clock) -> None:
    """The default: no faults at all."""
    with Sandbox(latency=0, clock=clock) as sandbox:
        assert submitted(sandbox, ["a fox"] * 50) == [200] * 50
        assert dict(sandbox.faulted) == {}
