"""What `nanobanana` says of itself, and to whom has mistyped."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from nanobanana_nb import Sandbox
from nanobanana_nb.arguments import COMMANDS, UsageError, parser_of, usage
from nanobanana_nb.exits import MEANINGS

from .test_cli import Command


@pytest.fixture
def nanobanana(tmp_path: Path, sandbox: Sandbox) -> Command:
    return Command(tmp_path / "home", sandbox.url, COLUMNS="80")


def test_alone_it_teaches(nanobanana: Command) -> None:
    """Commands, six examples, the exit codes; the same with --help."""
    told = nanobanana()
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == nanobanana("--help").stdout == usage()
    assert all(f"\n  {name} " in told.stdout for name in COMMANDS)
    _, _, examples = told.stdout.partition("examples:\n")
    assert len(examples.partition("\n\n")[0].splitlines()) == 6
    assert all(f"\n  {code:<5}{meaning}\n" in told.stdout for code, meaning in MEANINGS.items())


def test_the_version(nanobanana: Command) -> None:
    """Of the package, and of Python."""
    told = nanobanana("--version").stdout
    assert told.startswith(f"nanobanana-nb {version('nanobanana-nb')}, Python 3.")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_eighty_columns(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """And a command's has a paragraph, every option, examples, and where to go next."""
    monkeypatch.setenv("COLUMNS", "80")
    text = parser_of(command).format_help() if command else usage()
    assert [line for line in text.splitlines() if len(line) > 80] == []
    if command:
        for action in parser_of(command)._actions:
            names = action.option_strings or [str(action.metavar)]
            assert all(name in text for name in names)
            assert action.help
        assert "\nexamples:\n" in text
        assert "\nNext" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_printed_by_the_command(nanobanana: Command, command: str) -> None:
    """On standard output, as success; nothing else is done."""
    told = nanobanana(command, "--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith(f"usage: nanobanana {command} [options]")
    assert nanobanana(command, "-h").stdout == told.stdout


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["genrate", "a fox"], "Did you mean generate?"),
        (["gen", "a fox"], "Did you mean generate?"),
        (["a fox in watercolor"], "A prompt is drawn by nanobanana generate"),
        (["-n", "5"], "options come after the command"),
        (["generate", "a", "fox"], "put the prompt in quotes"),
        (["generate", "--aspect", "1:1", "x"], "--aspect is not an option here. Did you mean"),
        (["generate", "--fox"], "write -- before the prompt"),
        (["generate", "-a", "2:7", "x"], "'2:7' is not an aspect ratio; use one of 1:1,"),
        (["generate", "-f", "jpg", "x"], "Did you mean jpeg?"),
        (["generate", "-n", "0", "x"], "'0' is not a whole number, 1 or more."),
        (["generate", "-n", "many", "x"], "'many' is not a whole number, 1 or more."),
        (["generate", "--retries", "6", "x"], "'6' is not a whole number, from 0 to 5."),
        (["generate", "--deadline", "soon", "x"], "'soon' is not a number of seconds"),
        (["generate", "x", "-a"], "-a"),
        (["history", "--state", "stord"], "Did you mean stored?"),
        (["history", "--since", "yesterday"], "give one such as 2026-11-22"),
        (["resume", "one", "two"], "'two' is one word too many."),
        (["doctor", "--online"], "Did you mean --offline?"),
        (["sandbox", "--port", "x"], "--port"),
        (["sandbox", "--latency", "-1"], "'-1' is not a number of seconds"),
    ],
)
def test_what_cannot_be_read_is_one_line(typed: list[str], told: str) -> None:
    """It says what was probably meant."""
    with pytest.raises(UsageError) as caught:
        parser_of(typed[0]).read(typed[1:])
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_wrong_word_ends_with_two(nanobanana: Command, sandbox: Sandbox) -> None:
    """One line for people, a document for programs; nothing is sent."""
    told = nanobanana("generate", "a fox", "--ratio", "1:1")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("UsageError: --ratio is not an option here.")
    assert len(told.stderr.splitlines()) == 1
    document = nanobanana.json("generate", "a fox", "--ratio", "1:1", code=2)
    assert document["error"]["type"] == "UsageError"
    assert document["error"]["message"].startswith("--ratio is not an option here.")
    assert sandbox.counts["submit"] == 0


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ([], "There is no prompt; say"),
        ([""], "The prompt is empty"),
        (["  "], "The prompt is empty"),
    ],
)
def test_no_prompt_is_one_line(
    nanobanana: Command, sandbox: Sandbox, typed: list[str], told: str
) -> None:
    """It shows how one is given, and that a dash may stand before it."""
    done = nanobanana("generate", *typed)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"UsageError: {told}")
    assert "write --" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sandbox.counts["submit"] == 0
