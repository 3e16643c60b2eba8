"""`nanobanana sandbox` and `nanobanana listen`: what they say once they are there, how they end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanobanana_nb import Sandbox

from .test_cli import Command

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is no signal there")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def nanobanana(home: Path) -> Command:
    return Command(home, "http://127.0.0.1:9")


@contextlib.contextmanager
def serving(nanobanana: Command, *words: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """A server with --json: its process, and the document that it prints once it is there."""
    running = nanobanana.begin(*words, "--json", "--port", "0")
    try:
        assert running.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            line = running.stdout.readline()
            assert line, running.communicate()[1]
            text += line
        yield running, json.loads(text)
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate(timeout=60)


@contextlib.contextmanager
def listening(nanobanana: Command) -> Iterator[str]:
    """A receiver of a home; its address."""
    with serving(nanobanana, "listen") as (_, told):
        yield told["url"]


def account_of(url: str) -> Any:
    with urllib.request.urlopen(f"{url}/sandbox/account", timeout=30) as answer:
        return json.load(answer)


def test_the_sandbox_draws_for_whoever_is_pointed_at_it(nanobanana: Command, home: Path) -> None:
    """With the flags that it was given, until Ctrl-C, which is no failure."""
    words = ("sandbox", "--latency", "0", "--balance", "0.05", "--link-lifetime", "60")
    with serving(nanobanana, *words, "--callback-retry", "1") as (running, told):
        assert set(told) == {"url"}
        told = Command(home, told["url"])("generate", "-n", "2", "a fox")
        assert (told.returncode, len(told.stdout.splitlines())) == (4, 1)
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 0


def test_the_sandbox_fails_by_plan(nanobanana: Command) -> None:
    """The share of faults and the seed reach it."""
    with serving(nanobanana, "sandbox", "--faults", "0.25", "--seed", "7") as (_, told):
        account = json.dumps(account_of(told["url"]))
    assert "0.25" in account
    assert "7" in account


def test_the_sandbox_says_what_to_set(nanobanana: Command) -> None:
    """A line to paste into another terminal."""
    running = nanobanana.begin("sandbox", "--port", "0")
    assert running.stdout is not None
    lines = [running.stdout.readline() for _ in range(3)]
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    url = lines[0].split()[4]
    assert lines[2].strip() == f"export APIXO_BASE_URL={url} APIXO_API_KEY=sandbox"


@pytest.mark.parametrize("words", [("--faults", "2"), ("--rate", "0"), ("--port", "99999")])
def test_what_the_sandbox_cannot_take_is_one_line(
    nanobanana: Command, words: tuple[str, str]
) -> None:
    """It says what it would take."""
    told = nanobanana("sandbox", *words)
    assert (told.returncode, told.stdout) == (1, "")
    assert len(told.stderr.splitlines()) == 1
    assert told.stderr.startswith("ConfigError: ")


@pytest.mark.parametrize(("command", "code"), [("sandbox", 1), ("listen", 4)])
def test_a_port_that_is_taken_is_one_line(nanobanana: Command, command: str, code: int) -> None:
    """It names the port."""
    if command == "listen":
        pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = nanobanana(command, "--port", str(port))
    assert (told.returncode, told.stdout) == (code, "")
    assert str(port) in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_listen_says_where_for_whom_and_what_to_set(nanobanana: Command, home: Path) -> None:
    """Also how to get a public address, and that a sandbox needs none; Ctrl-C is no failure."""
    pytest.importorskip("uvicorn")
    running = nanobanana.begin("listen", "--port", "0")
    assert running.stdout is not None
    lines = [running.stdout.readline().strip() for _ in range(7)]
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "")
    url = lines[0].split()[2]
    assert lines[0] == f"Listening at {url} for {home} (Ctrl-C ends it)."
    assert f"cloudflared tunnel --url {url}" in lines
    assert f"export NANOBANANA_CALLBACK_URL={url}" in lines


def test_listen_with_its_public_address(nanobanana: Command, home: Path) -> None:
    """As JSON, too; SIGTERM ends it."""
    pytest.importorskip("uvicorn")
    words = ("listen", "--public-url", "https://fox.example.com/")
    with serving(nanobanana, *words) as (running, told):
        assert told["callback_url"] == "https://fox.example.com"
        assert told["home"] == str(home)
        running.terminate()
        assert running.wait(timeout=60) == 0


@pytest.mark.parametrize(
    "url", ["http://fox.example.com", "https://10.0.0.1", "fox", "http://127.0.0.1"]
)
def test_an_address_that_the_api_cannot_call_is_refused_at_once(home: Path, url: str) -> None:
    """Before anything listens."""
    real = Command(home, "", APIXO_BASE_URL=None)
    told = real("listen", "--public-url", url)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("UsageError: --public-url cannot be used: ")
    assert not home.exists()


def test_listen_warns_where_others_can_reach_it(nanobanana: Command) -> None:
    """It is said before it listens."""
    pytest.importorskip("uvicorn")
    with serving(nanobanana, "listen", "--host", "0.0.0.0") as (running, _):
        running.terminate()
        assert running.wait(timeout=60) == 0
        assert running.stderr is not None
        assert "can be reached by anybody on that network" in running.stderr.read()


def test_what_was_called_back_is_found_again(home: Path) -> None:
    """A submit whose answer got lost, with a receiver: the picture comes all the same."""
    pytest.importorskip("uvicorn")
    with Sandbox(latency=0.2) as sandbox, listening(Command(home, sandbox.url)) as url:
        nanobanana = Command(home, sandbox.url, NANOBANANA_CALLBACK_URL=url)
        told = nanobanana("generate", "[sandbox drop] a fox")
        assert told.returncode in (0, 3), told.stderr
        assert sandbox.counts["accepted"] == 1
