"""`nanobanana generate`, as a process of its own: what it sends, prints, saves, and ends with."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nanobanana_nb import Sandbox

from .conftest import PROMPTS
from .test_cli import CANARY, Command

SAMPLE = 40
WAYS = ("argument", "standard input")
NOTEBOOK = re.compile(r"%\w*nanobanana|\bnb\.(?!styles\(\) in Python)")
"""Words that help nobody in a terminal."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def nanobanana(home: Path, sandbox: Sandbox) -> Command:
    return Command(home, sandbox.url)


def paths(told: subprocess.CompletedProcess[str]) -> list[Path]:
    """What stands on standard output: a path on every line, of a file that is there."""
    found = [Path(line) for line in told.stdout.splitlines()]
    assert all(path.is_file() for path in found), told.stdout
    return found


def asked(sandbox: Sandbox) -> dict[str, Any]:
    """What the API was last asked for."""
    wanted: dict[str, Any] = sandbox.tasks[-1].request["input"]
    return wanted


def wait_for(happened: Callable[[], bool]) -> None:
    """Until something has happened, a minute at most."""
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_path_is_all_that_standard_output_gets(nanobanana: Command, home: Path) -> None:
    """So that `open $(nanobanana generate ...)` works; price and time are told beside it."""
    told = nanobanana("generate", "a fox in watercolor")
    assert told.returncode == 0, told.stderr
    [path] = paths(told)
    assert path.parent == home / "pictures"
    assert re.fullmatch(r"1 picture, \$0\.03, [\d.]+ s\n", told.stderr)
    quiet = nanobanana("generate", "-q", "a fox in watercolor")
    assert (len(paths(quiet)), quiet.stderr) == (1, "")


def test_it_always_draws(nanobanana: Command, sandbox: Sandbox) -> None:
    """Nothing is replayed outside of a notebook."""
    first, second = (paths(nanobanana("generate", "a fox")) for _ in range(2))
    assert first != second
    assert sandbox.counts["submit"] == 2


def test_the_options_arrive(nanobanana: Command, sandbox: Sandbox, tmp_path: Path) -> None:
    """Ratio, format, references in their order, style; on either side of the prompt."""
    first = nanobanana.json("generate", "-a", "16:9", "a fox", "-f", "jpeg")
    assert (asked(sandbox)["aspect_ratio"], asked(sandbox)["output_format"]) == ("16:9", "jpeg")
    url = first["generations"][0]["url"]
    assert nanobanana("generate", "-i", url, "-i", "last", "at night").returncode == 0
    assert asked(sandbox)["image_urls"] == [url, url]
    assert (asked(sandbox)["mode"], asked(sandbox)["aspect_ratio"]) == ("image-to-image", "auto")
    assert nanobanana("generate", "--style", "ink", "a fox").returncode == 0
    assert asked(sandbox)["prompt"].startswith("a fox")
    assert len(asked(sandbox)["prompt"]) > len("a fox")


def test_there_is_no_last_picture_at_first(nanobanana: Command, sandbox: Sandbox) -> None:
    """It says so, and nothing is sent."""
    told = nanobanana("generate", "-i", "last", "at night")
    assert (told.returncode, told.stderr.split(":")[0]) == (1, "RequestError")
    assert sandbox.counts["submit"] == 0


def test_several_pictures_have_a_line_each(nanobanana: Command) -> None:
    """Of several tasks, and of one task that gave two."""
    told = nanobanana("generate", "-n", "3", "a fox")
    assert len(set(paths(told))) == 3
    assert told.stderr.startswith("3 pictures, $0.09")
    assert len(paths(nanobanana("generate", "[sandbox two] a fox"))) == 2


def test_copies_are_saved_and_printed(nanobanana: Command, tmp_path: Path) -> None:
    """A file, numbered ones for several, a folder, one that is made; another ending converts."""
    one = nanobanana("generate", "a fox", "-s", str(tmp_path / "fox.jpg"))
    assert paths(one) == [tmp_path / "fox.jpg"]
    with Image.open(tmp_path / "fox.jpg") as image:
        assert image.format == "JPEG"
    two = nanobanana.json("generate", "a fox", "-n", "2", "-s", str(tmp_path / "fox.png"))
    saved = [one["images"][0]["saved"] for one in two["generations"]]
    assert saved == [str(tmp_path / "fox-1.png"), str(tmp_path / "fox-2.png")]
    assert all(Path(one["path"]).is_file() for one in two["generations"])
    made = paths(nanobanana("generate", "a fox", "-s", f"{tmp_path / 'foxes'}/"))
    assert [path.parent for path in made] == [tmp_path / "foxes"]


@pytest.mark.parametrize("target", ["no/such/folder/fox.png", "fox.gif", "fox"])
def test_a_place_that_cannot_be_written_costs_nothing(
    nanobanana: Command, sandbox: Sandbox, tmp_path: Path, target: str
) -> None:
    """It is looked at before anything is sent."""
    told = nanobanana("generate", "a fox", "-s", str(tmp_path / target))
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("RequestError: Cannot save to ")
    assert sandbox.counts["submit"] == 0


def test_a_copy_that_fails_at_last_does_not_hide_the_picture(
    sandbox: Sandbox, nanobanana: Command, tmp_path: Path
) -> None:
    """The folder goes away meanwhile: the picture that was paid for is told all the same."""
    folder = tmp_path / "away"
    folder.mkdir()
    sandbox.fail_next("slow-submit=2")
    running = nanobanana.begin("generate", "a fox", "-s", str(folder / "fox.png"))
    wait_for(lambda: sandbox.counts["submit"] == 1)
    folder.rmdir()
    out, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert Path(out.strip()).is_file()
    assert "Cannot save to" in err


def test_the_document_has_these_names(nanobanana: Command, home: Path) -> None:
    """Programs rely on them."""
    told = nanobanana.json("generate", "a fox")
    assert set(told) == {"generations", "cost", "at_risk", "error"}
    [one] = told["generations"]
    assert set(one) == {
        "id", "task_id", "state", "prompt", "mode", "aspect_ratio", "output_format", "image_urls",
        "path", "url", "images", "cost", "at_risk", "seconds", "created", "starred", "note",
        "sandbox", "warning", "error",
    }  # fmt: skip
    [image] = one["images"]
    assert set(image) == {"path", "saved", "url", "expires", "width", "height", "sha256"}
    assert (one["prompt"], one["state"], one["cost"], told["cost"]) == (
        "a fox", "stored", "0.03", "0.03",
    )  # fmt: skip
    assert one["path"] == image["path"]
    assert (one["error"], told["error"]) == (None, None)
    assert isinstance(one["seconds"], float)


ENDS = {
    "CONTENT_VIOLATION": (1, "failed", "ContentRefused"),
    "UPSTREAM_ERROR": (1, "failed", "TaskFailed"),
    "400": (1, "rejected", "APIError"),
    "content-403": (1, "rejected", "ContentRefused"),
    "401": (4, "rejected", "KeyRefused"),
    "402": (4, "rejected", "BalanceTooLow"),
    "403": (4, "rejected", "AccessDenied"),
    "insufficient": (4, "rejected", "BalanceTooLow"),
    "drop": (3, "unknown", "SubmitUnknown"),
    "504": (3, "unknown", "SubmitUnknown"),
    "gateway-502": (3, "unknown", "SubmitUnknown"),
    "poll-401": (3, "submitted", "KeyRefused"),
    "expired": (1, "expired", "DownloadError"),
}
"""What may happen: the code, what stands in the ledger, and the error."""


@pytest.mark.parametrize("name", ENDS)
def test_the_code_says_what_a_script_has_to_know(
    nanobanana: Command, sandbox: Sandbox, name: str
) -> None:
    """In JSON the document says the same, and the line for people speaks of this command."""
    code, state, error = ENDS[name]
    sandbox.fail_next(name)
    told = nanobanana("generate", "--json", "a fox")
    assert told.returncode == code, told.stderr
    document = json.loads(told.stdout)
    [one] = document["generations"]
    assert (one["state"], one["error"]["type"], one["path"]) == (state, error, None)
    assert document["error"] == one["error"]
    assert one["at_risk"] == ("0.03" if state == "unknown" else "0.00")
    assert told.stderr.startswith(f"{error}: ")
    owed = {"unknown": f"attempt {one['id']}", "submitted": f"Task {one['task_id']} is paid for"}
    assert owed.get(state, "") in told.stderr
    assert not NOTEBOOK.search(told.stderr + told.stdout), told.stderr


def test_what_comes_late_is_named_and_can_be_had(slow_sandbox: Sandbox, home: Path) -> None:
    """The code says that it is paid for, and the line how it is brought."""
    nanobanana = Command(home, slow_sandbox.url)
    told = nanobanana("generate", "a fox", "--deadline", "0.05")
    assert (told.returncode, told.stdout) == (3, "")
    assert slow_sandbox.tasks[-1].id in told.stderr
    assert "nanobanana resume" in told.stderr
    assert not NOTEBOOK.search(told.stderr)
    assert len(paths(nanobanana("resume"))) == 1


def test_one_that_fails_hides_no_other(nanobanana: Command, sandbox: Sandbox) -> None:
    """The pictures that are there are printed; the code says that not all are."""
    sandbox.fail_next("CONTENT_VIOLATION")
    told = nanobanana("generate", "-n", "3", "a fox")
    assert (told.returncode, len(paths(told))) == (1, 2)
    assert "ContentRefused: " in told.stderr
    assert "2 pictures, 1 of 3 without one, $0.09" in told.stderr


def test_what_is_owed_counts_most(nanobanana: Command, sandbox: Sandbox) -> None:
    """Of a failure and a doubt, the script has to see to the doubt."""
    sandbox.fail_next("CONTENT_VIOLATION")
    sandbox.fail_next("drop")
    told = nanobanana("generate", "-n", "3", "a fox")
    assert (told.returncode, len(paths(told))) == (3, 1)


def test_the_same_reason_is_told_once(home: Path) -> None:
    """An account without money refuses them all."""
    with Sandbox(latency=0, balance=0.0) as poor:
        told = Command(home, poor.url)("generate", "-n", "4", "a fox")
        assert (told.returncode, told.stdout) == (4, "")
        assert len(told.stderr.splitlines()) == 1
        assert told.stderr.startswith("4 times: BalanceTooLow: ")


def test_the_budget_holds(home: Path, sandbox: Sandbox) -> None:
    """What it has room for is drawn and printed."""
    told = Command(home, sandbox.url, NANOBANANA_BUDGET="0.05")("generate", "-n", "3", "a fox")
    assert (told.returncode, len(paths(told))) == (4, 1)
    assert "BudgetReached: " in told.stderr
    assert not NOTEBOOK.search(told.stderr)
    assert sandbox.counts["submit"] == 1


def test_the_model_may_be_asked_again(nanobanana: Command, sandbox: Sandbox) -> None:
    """Each time at its price."""
    sandbox.fail_next("UPSTREAM_ERROR")
    told = nanobanana("generate", "--retries", "1", "a fox")
    assert (told.returncode, len(paths(told))) == (0, 1)
    assert told.stderr.startswith("1 picture, $0.06")


def test_more_than_twenty_want_a_yes(nanobanana: Command, sandbox: Sandbox) -> None:
    """Without it, count and price are told and nothing is sent."""
    told = nanobanana("generate", "-n", "21", "a fox")
    assert (told.returncode, told.stdout) == (1, "")
    assert "21 pictures cost $0.63" in told.stderr
    assert "--yes" in told.stderr
    assert not NOTEBOOK.search(told.stderr)
    assert sandbox.counts["submit"] == 0
    assert len(paths(nanobanana("generate", "-n", "21", "--yes", "a fox"))) == 21


def test_without_a_key_it_says_what_to_do(home: Path) -> None:
    """A key, or the sandbox: which draws offline in a home of its own, and says so."""
    bare = {"APIXO_API_KEY": None, "APIXO_BASE_URL": None}
    for command in ("generate", "resume", "balance"):
        words = (command, "a fox") if command == "generate" else (command,)
        told = Command(home, "", **bare)(*words)
        assert (told.returncode, told.stdout) == (4, "")
        assert told.stderr.startswith("ConfigError: There is no API key. Set the environment")
        assert "NANOBANANA_SANDBOX=always" in told.stderr
    offline = Command(home, "", NANOBANANA_SANDBOX="always", **bare)
    told = offline("generate", "a fox")
    assert [path.parent for path in paths(told)] == [home / "pictures" / "sandbox"]
    assert "of sandbox money" in told.stderr


def test_a_wrong_key_is_final_and_never_told(home: Path) -> None:
    """In no output, and in no file of the home."""
    with Sandbox(api_key="another", latency=0) as strict:
        told = Command(home, strict.url)("generate", "-n", "2", "a fox")
        assert told.returncode == 4
        assert "KeyRefused: The API does not accept this key (401)." in told.stderr
        assert not NOTEBOOK.search(told.stderr)
    files = [file for file in home.rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if CANARY.encode() in file.read_bytes()]


def test_a_dry_run_sends_nothing(home: Path, sandbox: Sandbox) -> None:
    """It shows what would be sent, word for word, and its price; no key is needed."""
    nanobanana = Command(home, sandbox.url, APIXO_API_KEY=None)
    told = nanobanana("generate", "--dry-run", "-a", "4:5", "-n", "2", "a “fox” 狐狸\n  below")
    assert told.returncode == 0, told.stderr
    assert "a “fox” 狐狸" in told.stdout
    assert json.loads(told.stdout) == {
        "request_type": "async",
        "input": {
            "mode": "text-to-image",
            "prompt": "a “fox” 狐狸\n  below",
            "aspect_ratio": "4:5",
            "output_format": "png",
        },
    }
    assert told.stderr == "2 x $0.03 = $0.06; nothing was sent.\n"
    document = nanobanana.json("generate", "--dry-run", "-n", "2", "a fox")
    assert (document["count"], document["cost"]) == (2, "0.06")
    assert document["request"]["input"]["prompt"] == "a fox"
    assert sandbox.counts["submit"] == 0
    assert not home.exists()


@pytest.mark.parametrize("prompt", ["-a fox", "--fox", "-", "-5 degrees", "-q"])
def test_a_prompt_may_begin_with_a_dash(nanobanana: Command, sandbox: Sandbox, prompt: str) -> None:
    """Behind `--` it arrives as it is; without that nothing is sent but what is clear."""
    told = nanobanana("generate", "-q", "--", prompt, stdin="from standard input")
    assert told.returncode == 0, told.stderr
    assert asked(sandbox)["prompt"] == ("from standard input" if prompt == "-" else prompt)
    if prompt in ("-a fox", "--fox", "-q"):
        refused = nanobanana("generate", prompt)
        assert refused.returncode == 2
        assert "--" in refused.stderr
        assert sandbox.counts["submit"] == 1


@pytest.mark.parametrize(
    ("piped", "arrives"),
    [
        ("a fox\n", "a fox"),
        ("a fox\r\n", "a fox"),
        ("two\n\n  lines\n", "two\n\n  lines"),
        ("-a fox --yes", "-a fox --yes"),
        ("{name} $HOME `id` \\n 'q\" 狐狸\U0001f98a", "{name} $HOME `id` \\n 'q\" 狐狸\U0001f98a"),
    ],
)
def test_standard_input_arrives(
    nanobanana: Command, sandbox: Sandbox, piped: str, arrives: str
) -> None:
    """To the letter, but for the newline that ends it."""
    told = nanobanana("generate", "-q", "-", stdin=piped)
    assert told.returncode == 0, told.stderr
    assert asked(sandbox)["prompt"] == arrives


@pytest.mark.parametrize("piped", [b"", b"\n", b"  \n", b"\xff\xfe"])
def test_standard_input_without_a_prompt_costs_nothing(
    nanobanana: Command, sandbox: Sandbox, piped: bytes
) -> None:
    """Empty, or no text at all: one line, and nothing sent."""
    done = subprocess.run(
        nanobanana.line("generate", "-"),
        env=nanobanana.environment, input=piped, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, b"")
    assert len(done.stderr.splitlines()) == 1
    assert sandbox.counts["submit"] == 0


def real_prompts() -> list[str]:
    """Those that people have written and that hold something awkward."""
    if not PROMPTS.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{PROMPTS} is missing")
        pytest.skip("the collection of real prompts is not on this machine")
    rows = [json.loads(line) for line in PROMPTS.read_text(encoding="utf-8").splitlines()]
    return [
        row["prompt"] for row in rows if row["nasty"] and 0 < len(row["prompt"].strip()) <= 5000
    ]


def arrive(home: Path, way: str, typed: list[str]) -> None:
    """Each is drawn by a process of its own; they arrive to the letter."""
    with Sandbox(latency=0, balance=100.0) as sandbox:
        nanobanana = Command(home, sandbox.url)
        for _ in typed:
            sandbox.fail_next("CONTENT_VIOLATION")  # accepted and recorded, and nothing to draw

        def draw(prompt: str) -> int:
            if way == "argument":
                return nanobanana("generate", "--", prompt).returncode
            return nanobanana("generate", "-", stdin=f"{prompt}\n").returncode

        with ThreadPoolExecutor(2) as pool:
            assert set(pool.map(draw, typed)) == {1}
        received = Counter(task.request["input"]["prompt"] for task in sandbox.tasks)
    assert received == Counter(prompt.strip() for prompt in typed)


@pytest.mark.parametrize("way", WAYS)
def test_real_prompts_arrive(home: Path, way: str) -> None:
    """A sample, half of it as an argument, half through a pipe."""
    sample = random.Random(4).sample(real_prompts(), SAMPLE)
    arrive(home, way, sample[WAYS.index(way) :: len(WAYS)])


@pytest.mark.nightly
@pytest.mark.parametrize("way", WAYS)
def test_all_awkward_prompts_arrive(home: Path, way: str) -> None:
    """All of them, both ways."""
    arrive(home, way, real_prompts())


def stopped(nanobanana: Command, sandbox: Sandbox, *words: str) -> tuple[int, str, str]:
    """Ctrl-C once the API has got the request, or has taken it: how it ended, and what it said."""
    running = nanobanana.begin("generate", *words)
    wait_for(lambda: bool(sandbox.tasks))
    if "slow-submit" not in words[0]:
        wait_for(lambda: sandbox.counts["status"] > 0)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    return running.returncode, out, err


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is no signal there")
def test_control_c_ends_the_waiting_and_names_the_task(home: Path) -> None:
    """The picture can be had afterwards; it was sent once."""
    with Sandbox(latency=2) as sandbox:
        nanobanana = Command(home, sandbox.url)
        code, out, err = stopped(nanobanana, sandbox, "a fox", "--json")
        [task] = sandbox.tasks
        assert code == 130, err
        assert f"Stopped: Task {task.id} goes on at APIXO ($0.03); nanobanana resume" in err
        assert json.loads(out)["error"]["type"] == "Stopped"
        assert "Traceback" not in err
        assert len(paths(nanobanana("resume", task.id))) == 1
        assert sandbox.counts["submit"] == 1


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is no signal there")
def test_control_c_while_it_is_sent_says_that_it_is_in_doubt(home: Path) -> None:
    """Nobody waits for the answer any more when the command has ended."""
    with Sandbox(latency=0) as sandbox:
        nanobanana = Command(home, sandbox.url)
        code, out, err = stopped(nanobanana, sandbox, "[sandbox slow-submit=60] a fox")
        assert (code, out) == (130, ""), err
        [one] = nanobanana.json("history", "--state", "unknown")["generations"]
        assert f"Stopped: It is not known whether attempt {one['id']} reached the API" in err
