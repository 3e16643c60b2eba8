"""What people type after `%nanobanana`: options at the start, then the prompt, word for word.

No shell-like splitting and no argparse over the prompt: measured on thousands of real prompts,
each of them loses quotes, blanks or the prompt itself. Pure text in, values out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .errors import RequestError
from .keys import HOW_TO_SET_THE_KEY, KEY_OPTIONS


@dataclass(frozen=True)
class Option:
    """One option of the magic. A `flag` takes no value; `repeat` may be given several times."""

    short: str
    long: str
    value: str
    help: str
    repeat: bool = False

    @property
    def flag(self) -> bool:
        return not self.value

    @property
    def name(self) -> str:
        return self.long[2:].replace("-", "_")


OPTIONS: Final = (
    Option("-a", "--aspect-ratio", "RATIO", "1:1, 16:9, 9:16, ..., or auto"),
    Option("-f", "--format", "FORMAT", "png or jpeg"),
    Option("-i", "--image", "IMAGE", "a picture to go by: link, file, variable, last", repeat=True),
    Option("-n", "--count", "N", "how many pictures; each costs $0.03"),
    Option("", "--style", "NAMES", "draw in styles, such as ink or ink,night"),
    Option("-o", "--output", "NAME", "also put the result into this variable"),
    Option("-s", "--save", "PATH", "also save a copy: a file name, or a folder"),
    Option("-q", "--quiet", "", "show neither progress nor picture"),
    Option("", "--raw", "", "leave {names} and {this|that} in the prompt as they are"),
    Option("", "--new", "", "draw anew where an earlier run of the cell would be shown again"),
    Option("", "--retries", "N", "draw again, at its price, up to N times if the model fails"),
    Option("", "--dry-run", "", "show what would be sent, and send nothing"),
    Option("", "--yes", "", "send more than 20 at once"),
    Option("-h", "--help", "", "show this help"),
)
HISTORY_OPTIONS: Final = (
    Option("", "--since", "DATE", "from this day on, such as 2026-11-22"),
    Option("", "--state", "STATE", "only stored, failed, unknown, ..."),
    Option("", "--starred", "", "only what was starred"),
    Option("-h", "--help", "", "show this help"),
)
BATCH_OPTIONS: Final = (
    *(option for option in OPTIONS if option.name in ("aspect_ratio", "format", "image", "style")),
    Option("", "--column", "NAME", "the column with the prompts, where it is not called prompt"),
    Option("", "--key", "NAME", "what was drawn under this name counts as there, in any folder"),
    *(option for option in OPTIONS if option.name in ("output", "save", "quiet")),
    Option("", "--new", "", "draw all of it anew"),
    Option("", "--retries", "N", "draw again, at its price, what the model failed at"),
    *(option for option in OPTIONS if option.name in ("dry_run", "yes", "help")),
)
_WORD: Final = re.compile(r"\S+")
_LOOKS_LIKE_AN_OPTION: Final = re.compile(r"--[A-Za-z]|-[A-Za-z](?![^\W\d_])")
_VALUE: Final = re.compile(r"""\s*("[^"]*"|'[^']*'|\S+)""")
_MIDJOURNEY: Final = re.compile(r"(?<!\S)--(ar|aspect|v|q|s|no|style|stylize|seed|niji)\b(?: \S+)?")

_BEHIND: Final = re.compile(r"(?<!\S)(--(?:dry-run|yes|new))\s*$")


@dataclass(frozen=True)
class Line:
    """A line as it was meant: the options by name, and the rest untouched."""

    options: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = ""


def parse(line: str, options: Sequence[Option] = OPTIONS) -> Line:
    """Read the options at the start of the line; the first other word begins the prompt.

    `--` ends the options. Raises `RequestError` for an unknown option, naming the nearest one.
    """
    found: dict[str, Any] = {}
    value: str | bool
    rest = line
    while word := _WORD.match(rest := rest.lstrip(" \t")):
        text = word.group()
        if text == "--":
            rest = rest[2:]
            break
        name, equals, _ = text.partition("=")
        option = _option(name, options)
        if option is None:
            if _LOOKS_LIKE_AN_OPTION.match(text):
                raise _unknown(name, options)
            break
        if equals and name.startswith("--") and not option.flag:
            rest = rest[len(name) + 1 :]
            value, rest = _take_value(option, rest)
        elif text != name:
            raise _unknown(text, options)
        elif option.flag:
            value, rest = True, rest[len(name) :]
        else:
            value, rest = _take_value(option, rest[len(name) :])
        if option.repeat:
            found.setdefault(option.name, []).append(value)
        else:
            found[option.name] = value
    return Line(found, rest.strip())


def parse_cell(line: str, cell: str) -> Line:
    """A cell magic: options and perhaps the prompt's first line above, the prompt below."""
    head = parse(line)
    body = cell.replace("\r\n", "\n").strip("\r\n")
    prompt = f"{head.prompt}\n{body}" if head.prompt else body
    return Line(head.options, prompt.strip())


def foreign_flag(prompt: str) -> str | None:
    """The first Midjourney flag in the prompt, such as `--ar 3:4`: it is sent as text."""
    match = _MIDJOURNEY.search(prompt)
    return match.group() if match else None


def option_behind(prompt: str) -> str | None:
    """One of our own flags at the end of the prompt, where only text is expected."""
    match = _BEHIND.search(prompt)
    return match.group(1) if match else None


def usage() -> str:
    """The help text of the magics."""
    lines = [
        "%nanobanana [options] PROMPT        one line",
        "%%nanobanana [options]              a prompt of several lines, or pasted, below",
        "",
    ]
    lines += _listed(OPTIONS)
    lines += [
        "",
        "Options come first; the prompt is sent exactly as typed. -- ends the options.",
        "{name} in the prompt is replaced by your variable of that name; a list draws a picture",
        "for each of its values, and so does {fox|owl}. Two of them make a grid.",
    ]
    return "\n".join(lines)


def batch_usage() -> str:
    """The help text of the batch."""
    head = [
        "%nanobanana_batch [options] FILE        a picture for each line of a file, or for each",
        "%nanobanana_batch [options] VARIABLE    entry of a list, a dict or a pandas column",
        "",
    ]
    tail = [
        "",
        "A file is JSONL (each line a prompt, or an object with prompt, key, aspect_ratio, ...),",
        "CSV with a column of prompts, or text with a prompt in each line. Run again, it goes on",
        "where it stopped and draws only what is missing.",
    ]
    return "\n".join([*head, *_listed(BATCH_OPTIONS), *tail])


def history_usage() -> str:
    """The help text of the history."""
    head = "%nanobanana_history [options] [words]   what was drawn, newest first"
    return "\n".join([head, "", *_listed(HISTORY_OPTIONS)])


def _listed(options: Sequence[Option]) -> list[str]:
    lines = []
    for option in options:
        names = ", ".join(name for name in (option.short, option.long) if name)
        lines.append(f"  {names + ' ' + option.value:<28}{option.help}")
    return lines


def _take_value(option: Option, rest: str) -> tuple[str, str]:
    match = _VALUE.match(rest)
    if match is None:
        raise RequestError(
            f"{option.short or option.long} needs a value: {option.help}. Then the prompt."
        )
    value = match.group(1)
    if value[0] in "\"'" and len(value) > 1 and value[-1] == value[0]:
        value = value[1:-1]
    return value, rest[match.end() :]


def _by_name(options: Sequence[Option]) -> dict[str, Option]:
    return {name: option for option in options for name in (option.short, option.long) if name}


def _option(name: str, options: Sequence[Option]) -> Option | None:
    """The option of that name; a long one may be cut short where it stays clear (`--aspect`)."""
    by_name = _by_name(options)
    if name in by_name or len(name) < 6:
        return by_name.get(name)
    starting = [option for option in options if option.long.startswith(name)]
    return starting[0] if len(starting) == 1 else None


def _unknown(name: str, options: Sequence[Option]) -> RequestError:
    if name.lower() in KEY_OPTIONS:
        return RequestError(
            f"{name} is not an option, for a cell is saved with all that is typed into it; nothing "
            f"was sent. {HOW_TO_SET_THE_KEY}, and take the key out of this cell."
        )
    known = list(_by_name(options))
    beginning = name[:3] if name.startswith("--") else name[:2]
    near = [o for o in known if o.startswith(beginning)] or difflib.get_close_matches(name, known)
    meant = f" Did you mean {near[0]}?" if near else ""
    return RequestError(
        f"{name} is not an option here, so nothing was sent.{meant} "
        "If it is part of the prompt, put -- before the prompt; -h lists the options."
    )
