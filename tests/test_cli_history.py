"""`nanobanana history`, as a process of its own: rows for programs, two lines for people."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from nanobanana_nb import Sandbox, Studio
from nanobanana_nb.ledger import Ledger
from nanobanana_nb.models import ImageRequest
from nanobanana_nb.rows import PictureRow, TaskRow
from nanobanana_nb.telling import fitted

from .test_cli import Command

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def offline(home: Path) -> Command:
    """Without a key, and with an API that cannot be reached."""
    return Command(home, NOWHERE, APIXO_API_KEY=None)


def fill(home: Path, prompts: list[str]) -> None:
    """Give a home a history, the last prompt being the newest."""
    home.mkdir(exist_ok=True)
    ledger = Ledger(home / "ledger.sqlite3")

    async def add() -> None:
        for number, prompt in enumerate(prompts):
            moment = time.time() - len(prompts) + number
            picture = PictureRow(
                "https://example.com/x.png", home / f"{number}.png", "0" * 64, 8, 8
            )
            row = TaskRow(
                f"{number:08x}", "stored", ImageRequest(prompt), "https://example.com",
                Decimal("0.03"), moment, f"task-{number}", 1.0, (picture,),
            )  # fmt: skip
            assert await ledger.restore([row]) == [True]

    asyncio.run(add())
    ledger.close()


def test_of_nothing_it_says_how_to_begin(offline: Command, home: Path) -> None:
    """And makes nothing."""
    told = offline("history")
    assert (told.returncode, told.stdout) == (0, "")
    assert told.stderr.startswith("Nothing was drawn yet. Try: nanobanana generate ")
    assert "Nothing in the history matches" in offline("history", "owl").stderr
    assert offline.json("history") == {"generations": [], "total": 0}
    assert not home.exists()


def test_each_entry_is_a_row_of_columns(
    studio: Studio, sandbox: Sandbox, offline: Command, home: Path
) -> None:
    """Newest first, with nothing cut; what has no picture has its state. Asks nobody."""
    fox = studio.wait(studio.generate("a fox\tin\n" + "very deep snow " * 20, aspect_ratio="16:9"))
    sandbox.fail_next("drop")
    lost = studio.wait(studio.gallery("lost"))[0]
    studio.close()
    told = offline("history")
    assert told.returncode == 0, told.stderr
    second, first = (line.split("\t") for line in told.stdout.splitlines())
    assert second[1:] == ["unknown", lost.id, "1:1", "lost", ""]
    assert first[1:4] == ["stored", fox.id, "16:9"]
    assert first[4].startswith("a fox in very deep snow")
    assert first[4].endswith("snow")
    assert first[5] == str(fox.path)
    assert first[0][:10] == f"{fox.created:%Y-%m-%d}"


def test_it_can_be_searched(studio: Studio, sandbox: Sandbox, offline: Command) -> None:
    """By words, day, state and star; a JSON document says how many there are."""
    studio.wait(studio.generate("a red fox"))
    studio.wait(studio.generate("a red owl")).star()
    sandbox.fail_next("CONTENT_VIOLATION")
    studio.wait(studio.gallery("a red cat"))
    studio.close()

    def found(*words: str) -> list[str]:
        return [one["prompt"] for one in offline.json("history", *words)["generations"]]

    assert found() == ["a red cat", "a red owl", "a red fox"]
    assert found("red", "FOX") == ["a red fox"]
    assert found("--state", "failed") == ["a red cat"]
    assert found("--starred") == ["a red owl"]
    assert found("--since", str(date.today() + timedelta(days=1))) == []
    assert len(found("--since", str(date.today() - timedelta(days=1)))) == 3
    some = offline.json("history", "-n", "1")
    assert (len(some["generations"]), some["total"]) == (1, 3)
    assert some["generations"][0]["error"]["code"] == "CONTENT_VIOLATION"
    assert "1 of 3" in offline("history", "-n", "1").stderr


def test_twenty_are_shown_unless_more_are_asked_for(offline: Command, home: Path) -> None:
    """`-n 0` shows all."""
    fill(home, [f"fox {number}" for number in range(25)])
    told = offline("history")
    assert len(told.stdout.splitlines()) == 20
    assert told.stdout.splitlines()[0].split("\t")[4] == "fox 24"
    assert told.stderr == "20 of 25; -n 0 shows all.\n"
    assert len(offline("history", "-n", "0").stdout.splitlines()) == 25


def test_what_steers_a_terminal_is_made_harmless(offline: Command, home: Path) -> None:
    """A prompt is a text of others; as JSON it is whole, in escapes."""
    evil = "a \x1b[31mred\x1b]0;title\x07 \x9b2J fox \u202egnp.exe"
    fill(home, [evil])
    told = offline("history").stdout
    assert not set(told) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert "red" in told
    raw = offline("history", "--json").stdout
    assert raw.isascii()
    assert "\x1b" not in raw
    assert offline.json("history")["generations"][0]["prompt"] == evil


@pytest.mark.parametrize("variable", ["LC_ALL=C", "PYTHONIOENCODING=ascii", "PYTHONUTF8=0"])
def test_a_stream_that_knows_few_letters_is_no_error(home: Path, variable: str) -> None:
    """They are escaped, and the code is that of success."""
    fill(home, ["狐狸 é \U0001f98a"])
    name, _, value = variable.partition("=")
    told = Command(home, NOWHERE, LANG="C", **{name: value})("history")
    assert (told.returncode, told.stderr) == (0, "")
    assert len(told.stdout.splitlines()) == 1


def test_a_reader_who_has_seen_enough_is_no_error(offline: Command, home: Path) -> None:
    """`nanobanana history | head`."""
    fill(home, [f"{number} " + "snow " * 200 for number in range(400)])
    running = offline.begin("history", "-n", "0")
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.readline()
    running.stdout.close()
    assert running.wait(timeout=60) == 0
    assert running.stderr.read() == ""
    running.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_an_output_that_takes_nothing_is_one_line(offline: Command, home: Path) -> None:
    """A full disk behind `>`."""
    fill(home, ["a fox"])
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            offline.line("history"),
            env=offline.environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "cannot be written to standard output" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals are not for Windows")
def test_a_terminal_gets_two_lines_that_fit(offline: Command, home: Path) -> None:
    """The prompt is cut to the width, in which some letters take two columns."""
    pexpect = pytest.importorskip("pexpect")
    fill(home, ["a fox in the snow " * 10, "狐狸" * 60])
    environment = {name: one for name, one in offline.environment.items() if name != "COLUMNS"}
    command, *words = offline.line("history")
    running = pexpect.spawn(
        command, words, env=environment, encoding="utf-8", timeout=60, dimensions=(40, 80)
    )
    running.expect(pexpect.EOF)
    second, file, first, _ = running.before.splitlines()
    for line in (second, first):
        assert line == fitted(line, 80)
        assert line.endswith("…")
    assert len(first) == 80
    assert file.strip().endswith("1.png")


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("a fox", 5, "a fox"),
        ("a foxy", 5, "a fo…"),
        ("狐狸", 4, "狐狸"),
        ("狐狸a", 4, "狐…"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
    ],
)
def test_a_text_is_fitted_to_columns(text: str, columns: int, shown: str) -> None:
    """Wide letters take two of them, combining ones none."""
    assert fitted(text, columns) == shown


def test_a_damaged_ledger_is_one_line(offline: Command, home: Path) -> None:
    """It says what mends it."""
    home.mkdir()
    (home / "ledger.sqlite3").write_bytes(b"garbage" * 5000)
    told = offline("history")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("LedgerError: ")
    assert "nanobanana rebuild" in told.stderr
    assert offline.json("history", code=1)["error"]["type"] == "LedgerError"
