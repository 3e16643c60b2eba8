"""Many requests at once: by key, in order, within the account's limits, gone on with later."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

import nanobanana_nb as nb
from nanobanana_nb import Sandbox, Studio, errors
from nanobanana_nb.models import MAX_PROMPT

from .conftest import PROMPTS, settings_for

RETRYABLE = "[sandbox UPSTREAM_ERROR]"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the `studio` fixture, which a batch of this folder goes by."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return tmp_path / "home"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The imitation API, with a while from the submit to the picture, so that tasks run at once."""
    with Sandbox(latency=0.3, balance=100) as running:
        yield running


@pytest.fixture
def another(sandbox: Sandbox, home: Path) -> Iterator[Studio]:
    """A second studio of the same home, as in another kernel."""
    made = Studio(settings_for(sandbox.url, home))
    yield made
    made.close()


def batch(studio: Studio, requests: object, **options: object) -> nb.Batch:
    return studio.wait(studio.batch(requests, confirm=True, **options))


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait for something that happens in the background."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def states(home: Path) -> list[str]:
    with sqlite3.connect(home / "ledger.sqlite3", timeout=1) as db:
        return [state for (state,) in db.execute("SELECT state FROM task ORDER BY rowid")]


# What comes of it.


@pytest.mark.usefixtures("home")
def test_results_stand_by_key_and_in_order(studio: Studio) -> None:
    """However the answers come in; a name finds its own, and so does a place."""
    asked = {"late": "[sandbox poll-500] a fox", "owl": "an owl", "cat": {"prompt": "a cat"}}
    drawn = batch(studio, asked)
    assert drawn.keys == ("late", "owl", "cat")
    assert [one.prompt for one in drawn] == ["[sandbox poll-500] a fox", "an owl", "a cat"]
    assert drawn["owl"] is drawn[1]
    assert drawn[1:].keys == ("owl", "cat")
    assert dict(drawn.items())["cat"].path.exists()
    with pytest.raises(errors.RequestError, match="Did you mean 'owl'"):
        drawn["owls"]


@pytest.mark.usefixtures("home")
def test_each_line_says_what_it_wants(studio: Studio, sandbox: Sandbox) -> None:
    """What a line says itself counts more than what is said for all of them."""
    lines = [{"prompt": "a fox", "aspect_ratio": "16:9"}, "an owl", {"prompt": "a", "ratio": "1:1"}]
    batch(studio, lines, aspect_ratio="3:4", output_format="jpeg")
    asked = {task.prompt: (task.aspect_ratio, task.output_format) for task in sandbox.tasks}
    assert asked == {"a fox": ("16:9", "jpeg"), "an owl": ("3:4", "jpeg"), "a": ("1:1", "jpeg")}


@pytest.mark.usefixtures("home")
def test_a_failure_stops_nothing_else(studio: Studio, sandbox: Sandbox) -> None:
    """It stands in its place, by its key, with its own reason."""
    asked = {"good": "a fox", "bad": "[sandbox CONTENT_VIOLATION] x", "refused": "[sandbox 400]"}
    drawn = batch(studio, asked)
    assert [type(one.error) for one in drawn] == [
        type(None), errors.ContentRefused, errors.APIError,
    ]  # fmt: skip
    assert drawn.failed.keys == ("bad", "refused")
    assert "[bad]" in repr(drawn)
    assert sandbox.counts["accepted"] == 2


def test_pictures_are_saved_under_their_keys(studio: Studio, home: Path, tmp_path: Path) -> None:
    """A key is no path: it cannot lead out of the folder."""
    drawn = batch(studio, {"a fox": "a fox", "../../owl": "an owl", "a-fox": "a fox again"})
    saved = drawn.save(tmp_path / "out")
    assert [path.name for path in saved] == ["a-fox.png", "owl.png", "a-fox-2.png"]
    assert {path.parent for path in saved} == {tmp_path / "out"}


@pytest.mark.usefixtures("home")
def test_many_pictures_are_a_short_output(studio: Studio) -> None:
    """Sixty of them are shown, what failed all the same, and the rest is a slice away."""
    fox = studio.wait(studio.generate("a fox"))
    lost = nb.Generation(**{**vars(fox), "images": (), "error": errors.RequestError("lost")})
    shown = nb.Batch([fox] * 199 + [lost], range(200))
    html = shown._repr_mimebundle_()["text/html"]
    assert html.count("<img") == 60
    assert "139 more" in html
    assert "lost" in html
    assert len(html) < 1_600_000
    assert len(repr(shown).splitlines()) == 63


# Going on where it stopped.


@pytest.mark.usefixtures("home")
def test_asked_again_only_what_is_missing_is_sent(
    studio: Studio, another: Studio, sandbox: Sandbox
) -> None:
    """In this kernel and in another; a new line is drawn, the old ones are shown for $0.00."""
    first = batch(studio, ["a fox", "an owl", "a fox"])
    assert sandbox.counts["accepted"] == 3
    again = batch(another, ["a fox", "a cat", "a fox", "an owl"])
    assert sandbox.counts["accepted"] == 4
    assert [one.replayed for one in again] == [True, False, True, True]
    assert [one.id for one in again if one.replayed] == [first[0].id, first[2].id, first[1].id]
    assert "$0.03, 3 shown again" in repr(again)


def test_a_key_counts_anywhere_and_a_folder_for_itself(
    studio: Studio, sandbox: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key another folder is another batch; with one it is the same everywhere."""
    batch(studio, ["a fox"])
    batch(studio, ["a fox"], key="foxes")
    elsewhere = home.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    batch(studio, ["a fox"], key="foxes")
    assert sandbox.counts["accepted"] == 2
    batch(studio, ["a fox"])
    assert sandbox.counts["accepted"] == 3


@pytest.mark.usefixtures("home")
def test_new_draws_all_of_it_anew(studio: Studio, sandbox: Sandbox) -> None:
    """And then that is what is there."""
    batch(studio, ["a fox"])
    latest = batch(studio, ["a fox"], new=True)
    assert sandbox.counts["accepted"] == 2
    assert batch(studio, ["a fox"])[0].id == latest[0].id


@pytest.mark.usefixtures("home")
def test_failures_are_shown_again_and_drawn_again_when_asked(
    studio: Studio, sandbox: Sandbox
) -> None:
    """A failed task was paid for: only `task_retries` draws it anew, and only what the model
    failed at, not what would be refused again."""
    asked = [f"{RETRYABLE} a fox", "[sandbox CONTENT_VIOLATION] x"]
    batch(studio, asked)
    shown = batch(studio, asked)
    assert sandbox.counts["accepted"] == 2
    assert [one.replayed for one in shown] == [True, True]
    plan = studio.wait(studio.planned(asked, task_retries=2))
    assert plan.text == ("1 of 2 pictures to draw, $0.03, up to $0.06 with retries · 1 failed")
    batch(studio, asked, task_retries=1)
    assert sandbox.counts["accepted"] == 3


@pytest.mark.usefixtures("home")
def test_an_api_that_loses_answers_does_not_bill_a_whole_batch(
    studio: Studio, sandbox: Sandbox
) -> None:
    """After a few in a row nothing more is sent, with one line that says why."""
    for _ in range(40):
        sandbox.fail_next("drop")
    drawn = batch(studio, [f"fox {number}" for number in range(40)])
    lost = [one for one in drawn if isinstance(one.error, errors.SubmitUnknown)]
    assert len(lost) == sandbox.counts["accepted"] < 12
    (said,) = {str(one.error) for one in drawn if one not in lost}
    assert "in a row got no answer" in said


@pytest.mark.usefixtures("home")
def test_what_a_stopped_call_gave_up_is_not_paid_by_who_was_told_nothing(
    studio: Studio, another: Studio, sandbox: Sandbox
) -> None:
    """A second kernel was told $0.00 and waits: it does not draw what the first one dropped."""
    sandbox.at_once, sandbox.reasons = 2, True
    asked = [f"fox {number}" for number in range(12)]
    job = studio.start(studio.batch(asked, confirm=True))
    until(lambda: sandbox.counts["accepted"] >= 2)
    plan = another.wait(another.planned(asked))
    assert plan.missing == 0
    waiting = another.start(another.batch(plan))
    job.detached = True
    stopped, waited = job.future.result(60), waiting.future.result(60)
    assert len(stopped.images) == len(waited.images) == sandbox.counts["accepted"] < 12


@pytest.mark.usefixtures("home")
def test_a_reference_that_changes_meanwhile_is_told(
    studio: Studio, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Between the price and the drawing: the picture would stand under the wrong key."""
    photo = tmp_path / "photo.png"
    Image.new("RGB", (64, 64), "red").save(photo)
    plan = studio.wait(studio.planned([{"prompt": "a fox", "image": str(photo)}]))
    Image.new("RGB", (64, 64), "blue").save(photo)
    with pytest.raises(errors.RequestError, match="has changed since"):
        studio.wait(studio.batch(plan))
    assert sandbox.counts["submit"] == 0


def test_what_may_have_been_billed_is_not_sent_again(
    studio: Studio, sandbox: Sandbox, home: Path
) -> None:
    """It is shown as what it is, each time."""
    sandbox.fail_next("drop")
    for _ in range(3):
        drawn = batch(studio, ["a fox"])
        assert isinstance(drawn[0].error, errors.SubmitUnknown)
    assert sandbox.counts["submit"] == 1
    assert states(home) == ["unknown"]


@pytest.mark.usefixtures("home")
def test_the_same_batch_twice_at_once_is_paid_once(
    studio: Studio, another: Studio, sandbox: Sandbox
) -> None:
    """Whoever notes a request first draws it, and the other one waits for that, also while it is
    only waiting to be sent; in one kernel as in two."""
    sandbox.at_once = 2
    asked = [f"fox {number}" for number in range(12)]
    jobs = [one.start(one.batch(asked, confirm=True)) for one in (studio, studio, another)]
    drawn = [job.future.result(60) for job in jobs]
    assert sandbox.counts["accepted"] == 12
    assert len({tuple(one.id for one in each) for each in drawn}) == 1
    assert not any(each.failed for each in drawn)


def test_a_stopped_batch_goes_on(sandbox: Sandbox, home: Path) -> None:
    """What was sent comes home, what was not is dropped for free, and the next call draws that."""
    studio = Studio(settings_for(sandbox.url, home))
    sandbox.at_once = 4
    asked = [f"fox {number}" for number in range(24)]
    job = studio.start(studio.batch(asked, confirm=True))
    until(lambda: sandbox.counts["accepted"] >= 8)
    job.detached = True
    stopped = job.future.result(60)
    assert {str(one.error) for one in stopped.failed} == {
        "Stopped before it was sent; nothing was billed."
    }
    assert len(stopped.images) == sandbox.counts["accepted"] < 24
    drawn = batch(studio, asked)
    studio.close()
    assert len(drawn.images) == sandbox.counts["accepted"] == 24


RUN = """
import json, sys
import nanobanana_nb as nb
prompts = [json.loads(line)["prompt"] for line in open(sys.argv[1], encoding="utf-8")]
drawn = nb.batch(prompts, key="proof", confirm=True)
print(json.dumps([[one.prompt, one.state, str(one.error or "")] for one in drawn]))
"""


def drawing(file: Path, url: str, home: Path) -> subprocess.Popen[str]:
    """A script that draws the batch, as a process of its own."""
    env = os.environ | {
        "APIXO_BASE_URL": url, "APIXO_API_KEY": "key", "NANOBANANA_HOME": str(home),
        "NANOBANANA_FIRST_POLL": "0.1", "NANOBANANA_POLL_INTERVAL": "0.05",
    }  # fmt: skip
    command = [sys.executable, "-c", RUN, str(file)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


def kill_between_submits(process: subprocess.Popen[str], home: Path) -> None:
    """kill -9 at a moment when no submit is on the wire: what one would be, nobody can know."""
    sending = True
    while sending:
        process.send_signal(signal.SIGCONT)
        time.sleep(0.02)
        process.send_signal(signal.SIGSTOP)
        with contextlib.suppress(sqlite3.OperationalError):  # stopped in mid-transaction
            sending = "sending" in states(home)
    process.kill()
    process.wait()


def check_killed_and_resumed(count: int, home: Path, tmp_path: Path) -> None:
    every = PROMPTS.read_text(encoding="utf-8").splitlines()
    lines = [one for one in every if len(json.loads(one)["prompt"].strip()) <= MAX_PROMPT][:count]
    prompts = [json.loads(line)["prompt"] for line in lines]
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    with Sandbox(latency=1.0, balance=1000, at_once=8) as api:
        first = drawing(file, api.url, home)
        until(lambda: api.counts["accepted"] >= count // 3 or first.poll() is not None, seconds=300)
        api.at_once = 0  # so that it does not end while the moment is waited for
        kill_between_submits(first, home)
        assert api.counts["accepted"] < count
        api.at_once = 8
        with drawing(file, api.url, home) as second:
            drawn = json.loads(second.stdout.read())
        sent = [task.prompt for task in api.tasks]
    assert [prompt for prompt, _, _ in drawn] == [prompt.strip() for prompt in prompts]
    assert {(state, error) for _, state, error in drawn} == {("stored", "")}
    assert len(drawn) == len(sent) == count
    assert sorted(sent) == sorted(prompt.strip() for prompt in prompts)
    assert states(home).count("stored") == count


@pytest.mark.skipif(
    not PROMPTS.exists() and "CI" not in os.environ, reason="the shared prompts are not here"
)
@pytest.mark.parametrize("count", [60, pytest.param(500, marks=pytest.mark.nightly)])
def test_killed_in_the_middle_and_resumed(count: int, home: Path, tmp_path: Path) -> None:
    """Real prompts against a hidden limit of 8, kill -9, and again: a picture for each, each
    exactly as it stands in the file and each billed once."""
    check_killed_and_resumed(count, home, tmp_path)


# The account's limits.


@pytest.mark.parametrize("reasons", [True, False], ids=["stated", "hidden"])
def test_a_hidden_limit_is_found_and_kept(home: Path, reasons: bool) -> None:
    """One refusal or a few tell it, and it holds for all kernels of the home; nothing is lost."""
    with Sandbox(latency=1.5, balance=100, at_once=3, reasons=reasons) as api:
        one, two = (Studio(settings_for(api.url, home)) for _ in range(2))
        drawn = batch(one, [f"fox {number}" for number in range(15)])
        assert len(drawn.images) == api.counts["accepted"] == 15
        assert one.wait(limits_of(one)).limit == 3
        assert (refused := api.counts["refused"]) <= 6
        assert len(batch(two, [f"owl {number}" for number in range(6)]).images) == 6
        assert api.counts["refused"] == refused
        one.close()
        two.close()


async def limits_of(studio: Studio) -> object:
    workshop = await studio._open()
    return await workshop.ledger.admission(workshop.account)


@pytest.mark.usefixtures("home")
def test_a_limit_that_drops_to_one_loses_nothing(studio: Studio, sandbox: Sandbox) -> None:
    """In mid-batch; every request waits its turn, and each is billed once."""
    sandbox.at_once = 8
    asked = [f"fox {number}" for number in range(30)]
    job = studio.start(studio.batch(asked, confirm=True))
    until(lambda: sandbox.counts["accepted"] >= 8)
    sandbox.at_once = 1
    drawn = job.future.result(120)
    assert len(drawn.images) == sandbox.counts["accepted"] == 30


def test_an_account_that_takes_nothing_is_told_once(
    studio: Studio, sandbox: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of zero: a few tries, one clear line for all, nothing billed, and all of it is drawn
    by the same call once the account takes tasks again."""
    monkeypatch.setattr("nanobanana_nb.submitting.IMPATIENT", 5.0)
    sandbox.at_once = 0
    asked = [f"fox {number}" for number in range(30)]
    drawn = batch(studio, asked)
    (said,) = {str(one.error) for one in drawn}
    assert said.startswith("Too many requests or tasks at once (429)")
    assert sandbox.counts["accepted"] == 0
    assert sandbox.counts["submit"] < 12
    assert set(states(home)) == {"abandoned", "rejected"}
    sandbox.at_once = None
    assert len(batch(studio, asked).images) == 30


def test_a_budget_stops_the_rest_with_one_line(sandbox: Sandbox, home: Path) -> None:
    """What it has room for is drawn; a new one goes on where it stopped."""
    studio = Studio(settings_for(sandbox.url, home, budget="0.30"))
    asked = [f"fox {number}" for number in range(25)]
    drawn = batch(studio, asked)
    assert (len(drawn.images), sandbox.counts["accepted"]) == (10, 10)
    (said,) = {str(one.error) for one in drawn.failed}
    assert said.startswith("Today's budget is $0.30")
    studio.budget = "10"
    assert len(batch(studio, asked).images) == sandbox.counts["accepted"] == 25
    studio.close()


@pytest.mark.usefixtures("home")
def test_a_single_picture_does_not_wait_behind_a_batch(studio: Studio, sandbox: Sandbox) -> None:
    """The calls take turns: what is asked for meanwhile is sent as the next but one."""
    sandbox.at_once, sandbox.reasons = 2, True
    asked = [f"fox {number}" for number in range(20)]
    job = studio.start(studio.batch(asked, confirm=True))
    until(lambda: sandbox.counts["accepted"] == 2 and sandbox.counts["refused"])
    assert studio.wait(studio.generate("an owl")).images
    order = [task.prompt for task in sandbox.tasks]
    assert order.index("an owl") <= 5
    assert len(job.future.result(60).images) == 20


# What is asked before, and told meanwhile.


@pytest.mark.usefixtures("home")
def test_the_price_of_what_is_missing_comes_first(studio: Studio, sandbox: Sandbox) -> None:
    """More than twenty are confirmed first; what is there already costs and asks nothing."""
    asked = [f"fox {number}" for number in range(30)]
    said = r"30 pictures, \$0.90, and nothing was sent yet"
    with pytest.raises(errors.RequestError, match=said):
        studio.wait(studio.batch(asked))
    batch(studio, asked[:12])
    plan = studio.wait(studio.planned(asked))
    assert plan.text == "18 of 30 pictures to draw, $0.54 · 12 there already"
    assert len(studio.wait(studio.batch(plan)).images) == 30
    assert studio.wait(studio.planned(asked)).text == (
        "0 of 30 pictures to draw, $0.00 · 30 there already"
    )
    assert sandbox.counts["accepted"] == 30


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("asked", "options", "said"),
    [
        (["a fox", "", "an owl"], {}, "The prompt is empty"),
        ([{"key": "a", "prompt": "x"}, {"key": "a", "prompt": "y"}], {}, "already"),
        ([{"text": "a fox"}], {}, "there is no prompt"),
        (["a fox"], {"aspect_ratio": "5:9"}, "is not an aspect ratio"),
        (["a fox"], {"style": "no such style"}, "style"),
        ("no-such-file.jsonl", {}, "no-such-file.jsonl"),
        ([], {}, "no prompt"),
        (("fox" for _ in range(100_001)), {}, "more than 100,000"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_told_before_anything_is(
    studio: Studio, sandbox: Sandbox, asked: object, options: dict[str, str], said: str
) -> None:
    """One error that names the place; nothing is sent, and nothing is noted."""
    with pytest.raises(errors.RequestError, match=said) as caught:
        batch(studio, asked, **options)
    assert "othing was sent" in str(caught.value)
    assert sandbox.counts["submit"] == 0


@pytest.mark.usefixtures("home")
def test_progress_tells_what_is_going_on(studio: Studio, sandbox: Sandbox) -> None:
    """Done, being drawn, failed, what was spent of what, and the latest pictures by their place."""
    asked = ["a fox", "[sandbox CONTENT_VIOLATION] x", *["[sandbox forever] y"] * 3]
    job = studio.start(studio.batch(asked))
    until(lambda: job.latest and job.latest.count("stored", "failed") == 2)
    until(lambda: job.latest.count("submitted") == 3)
    summary = nb.display.summarise(job.latest, job.latest.begun + 200)
    assert summary.what == "2 of 5 done, 3 being drawn, 1 failed"
    assert summary.facts[1] == "$0.15 of $0.15"
    assert job.latest.landed == (0,)
    assert studio.preview(Path(job.latest.items[0].file))
    job.detached = True


def test_a_batch_can_be_awaited(sandbox: Sandbox, home: Path) -> None:
    """On any event loop, as all verbs."""

    async def main() -> nb.Batch:
        async with Studio(settings_for(sandbox.url, home)) as studio:
            return await studio.batch(["a fox", "an owl"])

    assert len(asyncio.run(main()).images) == 2
