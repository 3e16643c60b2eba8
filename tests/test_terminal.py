"""The terminal's IPython, in a real pseudo-terminal: one line of text instead of a picture."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import wcwidth

from nanobanana_nb import Sandbox, screen
from nanobanana_nb.display import Item, Progress
from nanobanana_nb.models import PRICE
from nanobanana_nb.screen import Screen

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


# One line of progress, wherever it goes.

PROGRESS = """
import time
from collections import Counter
from decimal import Decimal
from nanobanana_nb.display import Item, Progress
from nanobanana_nb.screen import Screen

notes = ("", "the API is busy", "服务器很忙，请稍后再试" * 9, "🦊 étude e\\u0301" * 20)
screen = Screen()
for note in notes:
    items = [Item("submitted", note=note)]
    told = Progress(items, time.monotonic(), 20.0, Decimal("0.03"), counts=Counter(submitted=1))
    screen.tick(told)
screen.clear()
"""
SCRIPT = """
import nanobanana_nb as nb
print(nb.generate("a fox"))
"""


def in_terminal(
    folder: Path, code: str, columns: int, environment: dict[str, str], *, to_file: bool = False
) -> str:
    """What a program writes to a terminal of that width; `to_file` takes its stdout away."""
    (folder / "program.py").write_text(code, encoding="utf-8")
    shell = f"{sys.executable} program.py" + (" > stdout.txt" if to_file else "")
    env = child_environment(folder, {"COLUMNS": None, "TERM": "xterm", **environment})
    process = pexpect.spawn(
        "/bin/sh", ["-c", shell], env=env, cwd=str(folder), encoding="utf-8",
        timeout=60, dimensions=(24, columns),
    )  # fmt: skip
    process.expect(pexpect.EOF)
    process.close()
    assert process.exitstatus == 0, process.before
    return str(process.before)


@pytest.mark.parametrize("columns", [40, 80])
def test_progress_stays_on_its_row(tmp_path: Path, columns: int) -> None:
    """Letters that take two columns do not push it to a second row, where it could not be written
    over; nor does the ^C that the terminal puts behind it. The width is that of the terminal it
    is written to, also where stdout is a file. No colours, no control but the carriage return."""
    text = in_terminal(tmp_path, PROGRESS, columns, {}, to_file=True)
    rows = text.split("\r")
    assert len([row for row in rows if row.startswith("Being drawn · ")]) == 4
    assert max(wcwidth.wcswidth(row) for row in rows) in (columns - 3, columns - 4)
    assert min(wcwidth.wcswidth(row) for row in rows) == 0
    assert on_screen(text) == []


def test_a_dumb_terminal_gets_no_progress(tmp_path: Path) -> None:
    """It may not know how to go back, and would show twice a second a line more."""
    assert in_terminal(tmp_path, PROGRESS, 80, {"TERM": "dumb"}) == ""


def test_a_script_prints_what_it_prints(tmp_path: Path, api: Sandbox) -> None:
    """In a pipe nothing else comes out, on stderr neither; in a terminal the progress is gone in
    the end, and the lines are the same."""
    environment = {
        "APIXO_BASE_URL": api.url,
        "APIXO_API_KEY": "test-key",
        "NANOBANANA_FIRST_POLL": "0",
        "NANOBANANA_POLL_INTERVAL": "0.05",
    }
    lines = on_screen(in_terminal(tmp_path, SCRIPT, 250, environment))
    assert pictures(lines) == lines
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=child_environment(tmp_path, environment), check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert len(pictures(done.stdout.splitlines())) == len(done.stdout.splitlines()) == 1
    assert "\r" not in done.stdout


def test_a_program_without_a_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has no stderr there at all."""
    monkeypatch.setattr(sys, "stderr", None)
    screen.say("nobody hears it")
    live = Screen()
    live.tick(Progress([Item("submitted")], 0.0, 20.0, PRICE, counts=Counter(submitted=1)))
    live.clear()
