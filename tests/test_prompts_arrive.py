"""Real prompts arrive as they were typed: through line magic, cell magic and the Python call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from nanobanana_nb import Sandbox

from .conftest import PROMPTS

WAYS = ("line", "cell", "call")

# Runs in an interpreter of its own, inside a real IPython shell: one picture asked for per prompt.
DRIVER = textwrap.dedent("""
    import contextlib, io, json, sys
    from IPython.core.interactiveshell import InteractiveShell
    way, options = sys.argv[1], sys.argv[2]
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "nanobanana_nb")
    shell.run_cell("import nanobanana_nb as nb")
    refused = 0
    for prompt in json.load(sys.stdin):
        shell.user_ns["prompt"] = prompt
        cell = {
            "line": f"%nanobanana {options}{prompt}",
            "cell": f"%%nanobanana {options}\\n{prompt}",
            "call": "nb.generate(prompt)",
        }[way]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            ended = shell.run_cell(cell, store_history=False)
        error = ended.error_before_exec or ended.error_in_exec
        assert type(error).__name__ in ("ContentRefused", "RequestError"), (prompt, error)
        refused += type(error).__name__ == "RequestError"
    print(json.dumps(refused))
""")


def prompts(way: str, *, everything: bool) -> list[str]:
    if not PROMPTS.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{PROMPTS} is missing")
        pytest.skip("the collection of real prompts is not on this machine")
    lines = [json.loads(line) for line in PROMPTS.read_text(encoding="utf-8").splitlines()]
    chosen = [row["prompt"] for row in lines if everything or row["nasty"]]
    if way == "line":
        return [prompt.strip("\r\n") for prompt in chosen if "\n" not in prompt.strip()]
    return chosen


def drive(python: str | Path, way: str, options: str, home: Path, typed: list[str]) -> list[str]:
    """Type every prompt; what the sandbox received, and how many were refused as too long."""
    with Sandbox(latency=0, balance=100.0) as sandbox:
        for _ in typed:
            sandbox.fail_next("CONTENT_VIOLATION")  # accepted and recorded, and nothing to draw
        env = os.environ | {
            "APIXO_BASE_URL": sandbox.url,
            "APIXO_API_KEY": "test-key",
            "NANOBANANA_HOME": str(home),
            "NANOBANANA_FIRST_POLL": "0",
            "NANOBANANA_POLL_INTERVAL": "0.01",
            "IPYTHONDIR": str(home / "ipython"),
        }
        ended = subprocess.run(
            [str(python), "-c", DRIVER, way, options],
            input=json.dumps(typed), text=True, env=env, capture_output=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr[-3000:]
        too_long = [prompt for prompt in typed if len(prompt.strip()) > 5000]
        assert json.loads(ended.stdout.splitlines()[-1]) == len(too_long)
        return [task.request["input"]["prompt"] for task in sandbox.tasks]


def check(python: str | Path, way: str, options: str, home: Path, typed: list[str]) -> None:
    expected = [prompt.strip() for prompt in typed if len(prompt.strip()) <= 5000]
    received = drive(python, way, options, home, typed)
    assert len(received) == len(expected)
    assert [pair for pair in zip(received, expected, strict=True) if pair[0] != pair[1]] == []


@pytest.mark.parametrize("way", WAYS)
def test_awkward_prompts_arrive(python: str | Path, way: str, tmp_path: Path) -> None:
    """222 prompts that hold every awkward feature seen in thousands."""
    check(python, way, "", tmp_path, prompts(way, everything=False))


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("way", "options"),
    [("line", ""), ("line", "--raw "), ("cell", ""), ("cell", "--raw "), ("call", "")],
)
def test_all_prompts_arrive(python: str | Path, way: str, options: str, tmp_path: Path) -> None:
    """All of them, with and without --raw (the call has no options)."""
    check(python, way, options, tmp_path, prompts(way, everything=True))


def test_the_checks_can_see(tmp_path: Path) -> None:
    """A prompt that did not arrive as typed turns the check red."""
    with pytest.raises(AssertionError):
        check(sys.executable, "line", "-- x ", tmp_path, ["a fox"])


@pytest.mark.parametrize(
    ("typed", "arrives"),
    [
        ("is this a fox?", "is this a fox?"),
        ("这是什么?", "这是什么?"),
        ("a\u2028b", "a b"),
        ("a\x0bb\x0cc\x85d", "a b c d"),
        ("costs $10,000 and {1+1} {x}", "costs $10,000 and {1+1} {x}"),
        ("it's \"half quoted", "it's \"half quoted"),
        ("C:\\new\\table # not a comment; !ls", "C:\\new\\table # not a comment; !ls"),
    ],
)
def test_what_ipython_would_do_to_a_line(python, tmp_path: Path, typed: str, arrives: str) -> None:
    """A final ? still calls the magic; pasted separators never run as code; no evaluation."""
    assert drive(python, "line", "", tmp_path, [typed]) == [arrives]


@pytest.mark.parametrize(
    "typed",
    [
        "a\n   \nb",
        ">>> a snake\n... that prints",
        "In [1]: a list",
        "    deep\n  and less",
        "is it?",
    ],
)
def test_what_ipython_would_do_to_a_cell(python: str | Path, tmp_path: Path, typed: str) -> None:
    """Lines of blanks, Python's own prompts and indents are part of a picture's prompt."""
    assert drive(python, "cell", "", tmp_path, [typed]) == [typed.strip()]
