"""The terminal's IPython, in a real pseudo-terminal: one line of text instead of a picture."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanobanana_nb import Sandbox

from .harness.environment import child_environment

if os.name == "nt":
    pytest.skip("pseudo-terminals are not for Windows", allow_module_level=True)
pexpect = pytest.importorskip("pexpect")

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x07")


class Terminal:
    """IPython as it is typed into; every line waits for the next prompt."""

    def __init__(self, python: Path, folder: Path, api: Sandbox) -> None:
        self._api = api
        environment = {
            "APIXO_BASE_URL": api.url,
            "APIXO_API_KEY": "test-key",
            "NANOBANANA_FIRST_POLL": "0",
            "NANOBANANA_POLL_INTERVAL": "0.05",
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "TERM": "xterm",
        }
        self._process = pexpect.spawn(
            str(python),
            ["-m", "IPython", "--no-banner", "--no-confirm-exit", "--colors=NoColor"],
            env=child_environment(folder, environment),
            cwd=str(folder),
            encoding="utf-8",
            timeout=30,
            dimensions=(40, 250),
        )
        self._number = 0
        self._prompt()

    def _prompt(self) -> str:
        """Wait for the next prompt; what came before it."""
        self._number += 1
        self._process.expect(rf"In \[{self._number}\]:")
        return str(self._process.before)

    def run(self, line: str) -> list[str]:
        """Type a line; what is on the screen below it, line by line."""
        self._process.send(f"{line}\r")
        return on_screen(self._prompt())

    def stop(self, line: str, after: float) -> tuple[list[str], float]:
        """Type a line and press Ctrl-C that long after its POST; the screen, and how long the
        prompt took to come back."""
        posts = self._api.counts["submit"]
        self._process.send(f"{line}\r")
        deadline = time.monotonic() + 20
        while self._api.counts["submit"] == posts:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(after)
        pressed = time.monotonic()
        self._process.sendintr()
        text = self._prompt()
        return on_screen(text), time.monotonic() - pressed

    def close(self) -> str:
        """Leave; what is said on the way out."""
        self._process.send("exit\r")
        self._process.expect(pexpect.EOF)
        self._process.close()
        return str(self._process.before)


def on_screen(text: str) -> list[str]:
    """The lines that stay, after what carriage returns write over; the echo comes first."""
    lines = []
    for row in _CONTROL.sub("", text).replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in row.split("\r"):
            shown = part + shown[len(part) :]
        if shown.strip():
            lines.append(shown.rstrip())
    return lines


@pytest.fixture(scope="module")
def api() -> Iterator[Sandbox]:
    """An API that takes a second."""
    with Sandbox(latency=1) as running:
        yield running


@pytest.fixture(scope="module")
def terminal(
    python: Path, api: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Terminal]:
    """One terminal, with the extension loaded."""
    running = Terminal(python, tmp_path_factory.mktemp("terminal"), api)
    running.run("%load_ext nanobanana_nb")
    yield running
    running.close()


def pictures(lines: list[str]) -> list[str]:
    """The lines that tell of a picture."""
    return [
        line
        for line in lines
        if re.search(r"“.*” · 1024 × 1024 png · .* · \$0\.03 · .*\.png", line)
    ]


def test_a_line_prints_the_text_form_once(terminal: Terminal) -> None:
    """As `Out`, under its number, with no rest of the progress on that line."""
    lines = terminal.run("%nanobanana a fox")
    (line,) = pictures(lines)
    assert re.match(r"Out\[\d+\]: “a fox” · ", line)
    assert not [line for line in lines if "Being drawn" in line or "Done" in line]


def test_an_assigned_one_is_printed_once(terminal: Terminal) -> None:
    """And again, as `Out`, when it is asked for."""
    (line,) = pictures(terminal.run("x = %nanobanana an owl"))
    assert line.startswith("“an owl” · ")
    (again,) = pictures(terminal.run("x"))
    assert again.endswith(line)


def test_control_c_names_the_task_and_gives_the_prompt_back(
    terminal: Terminal, api: Sandbox
) -> None:
    """One line; then the picture can be had."""
    lines, seconds = terminal.stop("%nanobanana a crab", after=0.4)
    stopped = [line for line in lines if line.startswith("Stopped: ")]
    assert len(stopped) == 1
    assert f"Task {api.tasks[-1].id} goes on ($0.03)" in stopped[0]
    assert not [line for line in lines if "Traceback" in line]
    assert seconds < 1.5
    assert any("42" in line for line in terminal.run("6 * 7"))
    posts = api.counts["submit"]
    assert "“a crab”" in str(pictures(terminal.run("%nanobanana_resume")))
    assert api.counts["submit"] == posts


def test_an_error_is_one_line(terminal: Terminal) -> None:
    """As in a notebook."""
    lines = terminal.run("%nanobanana -a 2:7 a fox")
    assert [line for line in lines if line.startswith("RequestError: '2:7' is not an aspect ratio")]
    assert not [line for line in lines if "Traceback" in line]


@pytest.mark.nightly
def test_it_leaves_in_peace(python: Path, api: Sandbox, tmp_path: Path) -> None:
    """After one picture, with one more under way."""
    running = Terminal(python, tmp_path, api)
    running.run("%load_ext nanobanana_nb")
    running.run("%nanobanana -q a fox")
    running.stop("%nanobanana [sandbox slow] a fox", after=0.2)
    said = on_screen(running.close())
    assert [line for line in said if not line.endswith("exit")] == []
