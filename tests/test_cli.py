"""The `nanobanana` command, as a process of its own: resume, balance, rebuild."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nanobanana_nb import Sandbox, Studio

from .conftest import drawing_at, settings_for
from .harness.environment import child_environment

CANARY = "canary-0123456789abcdef"
"""A key that must never be seen in any output."""


class Command:
    """`nanobanana` with one home and one API."""

    def __init__(self, home: Path, url: str, **environment: str | None) -> None:
        own = {**drawing_at(url), "APIXO_API_KEY": CANARY, "NANOBANANA_HOME": str(home)}
        self.environment = child_environment(home, {**own, **environment})

    def __call__(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end, which is no traceback, and never tells the key."""
        done = subprocess.run(
            self.line(*arguments),
            env=self.environment,
            input=stdin.encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        told = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
        assert CANARY not in told.stdout + told.stderr
        assert "Traceback" not in told.stderr, told.stderr
        return told

    def json(self, *arguments: str, code: int = 0) -> Any:
        """What it prints with --json; the code it is to end with."""
        told = self(*arguments, "--json")
        assert told.returncode == code, told.stderr
        return json.loads(told.stdout)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it, and go on."""
        return subprocess.Popen(
            self.line(*arguments),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def line(*arguments: str) -> list[str]:
        program = "import sys; from nanobanana_nb.cli import main; sys.exit(main())"
        return [sys.executable, "-c", program, *arguments]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def nanobanana(home: Path, sandbox: Sandbox) -> Command:
    return Command(home, sandbox.url)


def test_resume_collects_what_was_sent(slow_sandbox: Sandbox, home: Path, tmp_path: Path) -> None:
    """All that is under way, or one task by its id, also in an empty home; nothing is sent."""
    here, elsewhere = Command(home, slow_sandbox.url), Command(tmp_path / "b", slow_sandbox.url)
    late = here("generate", "a fox", "--deadline", "0.05")
    assert late.returncode == 3
    task = slow_sandbox.tasks[-1].id
    done = here("resume")
    assert (done.returncode, done.stdout.count("a-fox")) == (0, 1), done.stderr
    assert Path(done.stdout.strip()).is_file()
    again = here("resume")
    assert (again.returncode, again.stdout) == (0, "")
    assert "every accepted task is on disk" in again.stderr
    [found] = elsewhere.json("resume", task)["generations"]
    assert (found["task_id"], found["state"]) == (task, "stored")
    wrong = elsewhere("resume", "no-such-task")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("RequestError: Task no-such-task is not in the ledger")
    assert slow_sandbox.counts["submit"] == 1


def test_resume_tells_what_is_in_doubt(nanobanana: Command, sandbox: Sandbox) -> None:
    """It cannot be resumed, but it is money."""
    sandbox.fail_next("drop")
    assert nanobanana("generate", "lost").returncode == 3
    told = nanobanana("resume")
    assert (told.returncode, told.stdout) == (0, "")
    assert "1 attempt may have been billed ($0.03)" in told.stderr
    assert "nanobanana history --state unknown" in told.stderr


def test_resume_waits_no_longer_than_it_is_told(slow_sandbox: Sandbox, home: Path) -> None:
    """The task goes on, and the code says that it is paid for."""
    nanobanana = Command(home, slow_sandbox.url)
    slow_sandbox.fail_next("forever")
    assert nanobanana("generate", "a fox", "--deadline", "0.05").returncode == 3
    told = nanobanana.json("resume", "--deadline", "0.05", code=3)
    assert told["error"]["type"] == "WaitTimeout"
    assert told["generations"][0]["state"] == "parked"


def test_the_balance_is_told_beside_what_was_spent(nanobanana: Command, sandbox: Sandbox) -> None:
    """As text and as JSON, in exact dollars; whether they agree is said."""
    nanobanana("generate", "a fox")
    first = nanobanana("balance")
    assert first.returncode == 0, first.stderr
    assert [line.split()[-1] for line in first.stdout.splitlines()[:1]] == ["$9.97"]
    assert "Spent today" in first.stdout
    told = nanobanana.json("balance")
    assert told["balance"] == "9.97"
    assert (told["spent_today"], told["spent"], told["budget"]) == ("0.03", "0.03", None)
    assert (told["in_doubt"], told["at_risk"]) == (0, "0.00")
    assert told["remarks"][0].startswith("It agrees with what this home has spent")


def test_the_balance_of_a_wrong_key_and_of_no_api(home: Path) -> None:
    """The first is final; the second may go better later."""
    with Sandbox(api_key="another", latency=0) as strict:
        refused = Command(home, strict.url)
        told = refused("balance")
        assert (told.returncode, told.stdout) == (4, "")
        assert told.stderr.startswith("KeyRefused: ")
        assert refused.json("balance", code=4)["error"]["type"] == "KeyRefused"
    gone = Command(home, "http://127.0.0.1:9")("balance")
    assert (gone.returncode, gone.stderr.split(":")[0]) == (1, "TransportError")


@pytest.mark.parametrize("damage", ["gone", "cut", "garbage"])
def test_rebuild_makes_the_ledger_from_what_lies_with_the_pictures(
    nanobanana: Command, studio: Studio, sandbox: Sandbox, home: Path, damage: str
) -> None:
    """Every stored picture is back in the history, and a damaged ledger is kept beside it."""
    foxes = [studio.wait(studio.generate(f"fox “{number}”")) for number in range(3)]
    two = studio.wait(studio.generate("[sandbox two] an owl", aspect_ratio="16:9"))
    studio.close()
    ledger = home / "ledger.sqlite3"
    if damage == "gone":
        ledger.unlink()
    elif damage == "cut":
        ledger.write_bytes(ledger.read_bytes()[:9000])
    else:
        ledger.write_bytes(b"garbage" * 5000)
    if damage != "gone":
        assert "nanobanana rebuild" in nanobanana("history").stderr
    rebuilt = nanobanana("rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert "4 tasks added, 0 known" in rebuilt.stdout
    assert "0 tasks added, 4 known" in nanobanana("rebuild").stdout
    kept = list(home.glob("ledger.sqlite3.damaged-*"))
    assert len(kept) == (damage != "gone")
    again = Studio(settings_for(sandbox.url, home))
    found = again.wait(again.history())
    assert [one.path for one in found] == [one.path for one in (two, *reversed(foxes))]
    assert found[0].request == two.request
    assert len(found[0].images) == 2
    assert found[-1].task_id == foxes[0].task_id
    again.close()


def test_rebuild_names_what_it_cannot_use(nanobanana: Command, studio: Studio, home: Path) -> None:
    """A changed picture and a broken note are said; a file that is not ours is left in peace."""
    fox, owl = (studio.wait(studio.generate(prompt)) for prompt in ("a fox", "an owl"))
    studio.close()
    fox.path.write_bytes(owl.path.read_bytes())
    owl.path.with_suffix(".json").write_text("{")
    (home / "pictures" / "mine.json").write_text(json.dumps({"not": "yours"}))
    (home / "ledger.sqlite3").unlink()
    told = nanobanana("rebuild").stdout
    assert "0 tasks added" in told
    assert f"{fox.path.with_suffix('.json')} (changed)" in told
    assert f"{owl.path.with_suffix('.json')} (not JSON)" in told
    assert "mine.json" not in told
    found = nanobanana.json("rebuild")
    assert (found["added"], found["known"], found["damaged"]) == (0, 0, None)
    assert {one["why"] for one in found["broken"]} == {"changed", "not JSON"}


def test_a_sound_ledger_is_not_touched_by_rebuild(
    nanobanana: Command, studio: Studio, home: Path
) -> None:
    """What is only in the ledger (a task under way, a note) stays."""
    fox = studio.wait(studio.generate("a fox"))
    fox.note("mine")
    studio.close()
    assert "0 tasks added, 1 known" in nanobanana("rebuild").stdout
    with sqlite3.connect(home / "ledger.sqlite3") as db:
        assert db.execute("SELECT note FROM task").fetchall() == [("mine",)]
    db.close()


def test_rebuild_leaves_a_ledger_that_is_not_damaged_where_it_is(
    nanobanana: Command, studio: Studio, home: Path
) -> None:
    """A newer version's ledger would be moved away under a kernel that still writes to it."""
    studio.wait(studio.generate("a fox"))
    studio.close()
    with sqlite3.connect(home / "ledger.sqlite3") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    told = nanobanana("rebuild")
    assert (told.returncode, "newer version" in told.stderr) == (1, True)
    assert not list(home.glob("*.damaged-*"))
