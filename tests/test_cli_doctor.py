"""`nanobanana doctor`, as a process of its own: every line marked, nothing made, no key told."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanobanana_nb import Sandbox

from .test_cli import CANARY, Command
from .test_cli_serving import listening


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def nanobanana(home: Path, sandbox: Sandbox) -> Command:
    return Command(home, sandbox.url)


def checks(nanobanana: Command, *words: str, code: int = 0) -> dict[str, Any]:
    """The report by the names of its lines; money is last, where a name is there twice."""
    told = nanobanana.json("doctor", *words, code=code)
    assert told["wrong"] == sum(one["mark"] == "wrong" for one in told["checks"])
    assert all(one["mark"] in ("ok", "note", "wrong") for one in told["checks"])
    return {one["name"]: one for one in told["checks"]}


def test_it_says_all_of_it_and_makes_nothing(nanobanana: Command, home: Path) -> None:
    """Four sections, each line marked in words; a home that is not there is not made."""
    told = nanobanana("doctor")
    assert told.returncode == 0, told.stdout
    lines = told.stdout.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert heads == [
        "What is configured", "What is reachable", "What is pending", "What it would cost",
    ]  # fmt: skip
    marks = {line.split()[0] for line in lines if line.startswith(" ")}
    assert marks <= {"ok", "note", "wrong"}
    assert "\x1b" not in told.stdout
    assert f"{home} (made with the first picture)" in told.stdout
    assert not home.exists()


def test_money_is_told_in_pictures(home: Path, sandbox: Sandbox) -> None:
    """As many as the balance, or what is left of the day's budget, has room for."""
    rich = Command(home, sandbox.url)
    assert rich("generate", "a fox").returncode == 0
    found = checks(rich)
    assert (found["balance"]["value"], found["pictures"]["value"]) == ("9.97", 332)
    assert found["a picture"]["value"] == "0.03"
    thrifty = checks(Command(home, sandbox.url, NANOBANANA_BUDGET="0.10"))
    assert thrifty["pictures"]["value"] == 2
    assert "by the budget" in thrifty["pictures"]["text"]
    spent = checks(Command(home, sandbox.url, NANOBANANA_BUDGET="0.03"), code=1)
    assert (spent["pictures"]["mark"], spent["pictures"]["value"]) == ("wrong", 0)
    assert "NANOBANANA_BUDGET" in spent["pictures"]["text"]


def test_what_is_pending_and_in_doubt(nanobanana: Command, sandbox: Sandbox) -> None:
    """By state, with the money at risk; what is under way costs nothing more."""
    assert nanobanana("generate", "a fox").returncode == 0
    sandbox.fail_next("drop")
    assert nanobanana("generate", "lost").returncode == 3
    sandbox.fail_next("forever")
    assert nanobanana("generate", "late", "--deadline", "0.05").returncode == 3
    told = nanobanana("doctor")
    assert told.returncode == 0, told.stdout
    assert "sound; 1 parked, 1 stored, 1 unknown" in told.stdout
    assert "1; nanobanana resume waits for them" in told.stdout
    assert "$0.09 today" in told.stdout
    assert "1 attempt may have been billed ($0.03)" in told.stdout
    assert "nothing more to pay" in told.stdout
    found = checks(nanobanana)
    assert found["ledger"]["value"] == {"parked": 1, "stored": 1, "unknown": 1}
    assert (found["in doubt"]["mark"], found["at risk"]["value"]) == ("note", "0.03")


def test_the_key_is_told_by_its_place_alone(nanobanana: Command) -> None:
    """Where it comes from, and nothing of it. (Each run looks for it in all that is said.)"""
    key = checks(nanobanana)["key"]
    assert (key["mark"], key["value"]) == ("ok", "environment")
    assert CANARY[:6] not in str(key)


def test_without_a_key(home: Path) -> None:
    """That is wrong, and nobody is asked."""
    bare = Command(home, "", APIXO_API_KEY=None, APIXO_BASE_URL=None)
    found = checks(bare, code=1)
    assert (found["key"]["mark"], found["key"]["value"]) == ("wrong", None)
    assert "APIXO_API_KEY" in found["key"]["text"]
    assert "balance" not in found


def test_a_wrong_key_and_an_api_that_is_not_there(home: Path) -> None:
    """Each is one line, which says why."""
    with Sandbox(api_key="another", latency=0) as strict:
        found = checks(Command(home, strict.url), code=1)
        assert found["balance"]["mark"] == "wrong"
        assert "does not accept this key (401)" in found["balance"]["text"]
    found = checks(Command(home, "http://127.0.0.1:9"), code=1)
    assert found["balance"]["mark"] == "wrong"


@pytest.fixture
def silent() -> Iterator[str]:
    """An API that takes every connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_an_api_that_says_nothing_is_waited_for_in_vain_but_not_for_ever(
    home: Path, silent: str
) -> None:
    """The report comes all the same."""
    found = checks(Command(home, silent), code=1)
    assert found["balance"]["mark"] == "wrong"
    assert "ledger" in found


def test_offline_nobody_is_asked(home: Path, silent: str) -> None:
    """And nothing is wrong for that."""
    found = checks(Command(home, silent), "--offline")
    assert found["network"]["mark"] == "note"
    assert "balance" not in found


def test_a_damaged_ledger_is_wrong_and_the_rest_is_told(nanobanana: Command, home: Path) -> None:
    """With what mends it."""
    home.mkdir()
    (home / "ledger.sqlite3").write_bytes(b"garbage" * 5000)
    found = checks(nanobanana, code=1)
    assert found["ledger"]["mark"] == "wrong"
    assert "nanobanana rebuild" in found["ledger"]["text"]
    assert found["balance"]["mark"] == "ok"


def test_a_home_that_cannot_be_written(tmp_path: Path, sandbox: Sandbox) -> None:
    """Behind a file there is no folder to be."""
    (tmp_path / "file").touch()
    found = checks(Command(tmp_path, sandbox.url, NANOBANANA_HOME=f"{tmp_path}/file/x"), code=1)
    assert found["home"]["mark"] == "wrong"
    assert "NANOBANANA_HOME" in found["home"]["text"]


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("NANOBANANA_BUDGET", "much", "settings"),
        ("NANOBANANA_SANDBOX", "perhaps", "settings"),
        ("APIXO_BASE_URL", "http://api.example.com", "settings"),
        ("NANOBANANA_CALLBACK_URL", "http://api.example.com", "settings"),
        ("NANOBANANA_STYLES", "/no/such/file.toml", "styles"),
    ],
)
def test_a_setting_that_is_wrong(
    home: Path, sandbox: Sandbox, variable: str, value: str, line: str
) -> None:
    """It is a line of the report, by its name."""
    found = checks(Command(home, sandbox.url, **{variable: value}), code=1)
    assert found[line]["mark"] == "wrong"


def test_the_receiver_is_knocked_at(home: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    """Ours answers; that of another home does not know us; where nobody is, that is said."""
    pytest.importorskip("uvicorn")
    other = Command(tmp_path / "other", sandbox.url)
    assert other("generate", "a fox").returncode == 0
    with listening(Command(home, sandbox.url)) as url:
        ours = checks(Command(home, sandbox.url, NANOBANANA_CALLBACK_URL=url))
        assert (ours["callbacks"]["mark"], ours["callbacks"]["value"]) == ("ok", 200)
        other.environment["NANOBANANA_CALLBACK_URL"] = url
        theirs = checks(other, code=1)
        assert (theirs["callbacks"]["mark"], theirs["callbacks"]["value"]) == ("wrong", 404)
        assert "of another home" in theirs["callbacks"]["text"]
    gone = checks(Command(home, sandbox.url, NANOBANANA_CALLBACK_URL=url), code=1)
    assert gone["callbacks"]["mark"] == "wrong"
    assert "check-" not in gone["callbacks"]["text"]


def test_colour_is_for_terminals_that_want_it(nanobanana: Command) -> None:
    """And the marks are words in any case."""
    pexpect = pytest.importorskip("pexpect")
    command, *words = nanobanana.line("doctor")
    seen = {}
    for name in ("", "NO_COLOR"):
        environment = {**nanobanana.environment, **({name: "1"} if name else {})}
        running = pexpect.spawn(command, words, env=environment, encoding="utf-8", timeout=60)
        running.expect(pexpect.EOF)
        seen[name] = running.before
    assert "\x1b[32m" in seen[""]
    assert "\x1b" not in seen["NO_COLOR"]
    assert all("  ok " in text for text in seen.values())
