"""The `nanobanana` command, as a process of its own: resume, doctor, rebuild."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from nanobanana_nb import Sandbox, Studio, errors

from .conftest import drawing_at, settings_for
from .harness.environment import child_environment


class Command:
    """`nanobanana` with one home and one API."""

    def __init__(self, home: Path, url: str) -> None:
        self.environment = child_environment(
            home, {**drawing_at(url), "NANOBANANA_HOME": str(home)}
        )

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "import sys; from nanobanana_nb.cli import main; "]
        command[-1] += "sys.exit(main())"
        return subprocess.run(
            [*command, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def nanobanana(home: Path, sandbox: Sandbox) -> Command:
    return Command(home, sandbox.url)


def test_resume_collects_what_was_sent(slow_sandbox: Sandbox, home: Path, tmp_path: Path) -> None:
    """All that is under way, or one task by its id, also in an empty home; nothing is sent."""
    studio = Studio(settings_for(slow_sandbox.url, home, deadline=0.05))
    with pytest.raises(errors.WaitTimeout) as caught:
        studio.wait(studio.generate("a fox"))
    studio.close()
    here, elsewhere = Command(home, slow_sandbox.url), Command(tmp_path / "b", slow_sandbox.url)
    done = here("resume")
    assert (done.returncode, "a fox" in done.stdout) == (0, True), done.stderr
    assert "every accepted task is on disk" in here("resume").stdout
    assert elsewhere("resume", caught.value.task_id).stdout.count(".png") == 1
    wrong = elsewhere("resume", "no-such-task")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("RequestError: Task no-such-task is not in the ledger")
    assert slow_sandbox.counts["submit"] == 1


def test_the_doctor_counts_what_is_in_doubt(
    nanobanana: Command, studio: Studio, sandbox: Sandbox
) -> None:
    """States, spending, money at risk; never the key."""
    studio.wait(studio.generate("a fox"))
    sandbox.fail_next("drop")
    with pytest.raises(errors.SubmitUnknown):
        studio.wait(studio.generate("lost"))
    studio.close()
    told = nanobanana("doctor")
    assert told.returncode == 0, told.stderr
    assert "sound; 1 stored, 1 unknown" in told.stdout
    assert "$0.06 today" in told.stdout
    assert "1 attempt may have been billed ($0.03)" in told.stdout
    assert "test-key" not in told.stdout


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
        assert "nanobanana rebuild" in nanobanana("doctor").stderr
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
