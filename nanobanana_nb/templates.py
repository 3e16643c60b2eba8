"""Prompt templates: `{name}`, `{fox|owl}` and lists, as text with axes between.

Nothing is evaluated, a value is not looked at again, and every brace that is not surely meant stays
as typed. Pure text and values.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import deque
from collections.abc import KeysView, Mapping, Sequence, ValuesView
from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Real
from pathlib import PurePath
from typing import Any, Final

from . import links
from .errors import RequestError

MOST: Final = 10_000
"""Pictures that one grid may hold."""
# A pair of braces on one line, with none inside and not doubled: `{{name}}` is somebody's own.
_BRACES: Final = re.compile(r"(?<!\{)\{([^{}\n]*)\}(?!\})")
# The same with a pair of braces inside.
_NESTED: Final = re.compile(r"\{([^{}\n]*)(\{[^{}\n]*\})([^{}\n]*)\}")
_LINK: Final = re.compile(r"https?://\S+")
_NAME: Final = re.compile(r"[^\W\d_]\w*")
# What stands before the braces of shells, scripts and LaTeX: `${a|b}`, `x_{i|j}`, `\frac{a|b}`.
_BEFORE_CODE: Final = re.compile(r"(?:[$#@%\\_^]|\\[A-Za-z]+\*?(?:\{[^{}]*\}|\[[^\]]*\])*)$")
# Where JSON, CSS, code or markup have a bar between braces, they have one of these there too.
_CODE: Final = re.compile(r'[":;=<>\[\]\\`$]|\|\||^\s*\|')


@dataclass(frozen=True)
class Axis:
    """What varies along one side of a grid, and by which values.

    `name` is the variable's, one of `prompt`, `aspect_ratio`, `output_format`, `image_urls` or
    `style`, `variant` for choices typed in the prompt, or `picture` for several of one request.
    """

    name: str
    values: tuple[Any, ...]
    typed: bool = field(default=False, compare=False)
    """Whether they are choices typed in the prompt."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Its values as they are shown."""
        labels = [_label(value) for value in self.values]
        if len(set(labels)) < len(labels):
            labels = [f"{label} {number}" for number, label in enumerate(labels, 1)]
        return tuple(labels)

    @property
    def text(self) -> str:
        """How many there are of what: `3 animals`."""
        what = "variant" if self.typed else self.name.strip("_").replace("_", " ")
        if len(what) < 3:
            return f"{len(self.values)} values of {what}"
        return f"{len(self.values)} {what if len(self.values) == 1 else _plural(what)}"


@dataclass(frozen=True)
class Template:
    """A prompt as it was read: text, and between it the axes whose values go there.

    `filled` are the names that were replaced by one value each, `remarks` what was left as typed
    though it may have been meant.
    """

    pieces: tuple[str | Axis, ...]
    filled: Mapping[str, str] = field(default_factory=dict, compare=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """What varies, in the order of its first place, each once."""
        found = {piece.name: piece for piece in self.pieces if isinstance(piece, Axis)}
        return tuple(found.values())

    def prompt(self, at: Mapping[str, object] | None = None) -> str:
        """The prompt where each axis has the value that `at` has under its name."""
        values = at or {}
        return "".join(
            piece if isinstance(piece, str) else str(values[piece.name]) for piece in self.pieces
        )

    def __str__(self) -> str:
        return self.prompt({axis.name: f"{{{axis.name}}}" for axis in self.axes})


def read(text: str, names: Mapping[str, Any]) -> Template:
    """The prompt with `{name}` replaced by variables, and `{fox|owl}` and lists as axes.

    Only a plain, undoubled name of a text, a number or a list of those counts. Choices stand on
    one line, with a bar between them and nothing of code: no `"`, `:`, `;`, `=`, `<`, `>`, `[`,
    `]`, `$`, backtick, backslash or double bar, no bar in front, and before the braces none of
    `$`, `#`, `@`, `%`, `_`, `^` and no LaTeX command. Every other brace stays as typed.
    Raises `RequestError` for an empty list, and for choices inside of choices.
    """
    _check_nesting(text, names)
    reading = _Reading(names, names_in(text))
    end = 0
    for found in _BRACES.finditer(text):
        reading.add(text[end : found.start()])
        code = _BEFORE_CODE.search(text, max(0, found.start() - 80), found.start())
        meaning = reading.meaning(found.group(1), choices=code is None)
        reading.add(found.group() if meaning is None else meaning)
        end = found.end()
    reading.add(text[end:])
    return Template(tuple(reading.pieces), reading.filled, tuple(dict.fromkeys(reading.remarks)))


def has_fields(text: str) -> bool:
    """Whether some names of variables, or none, would change what is drawn."""
    template = read(text, dict.fromkeys(names_in(text), 0))
    return bool(template.axes or template.filled)


class _Reading:
    """A prompt on its way to a template."""

    def __init__(self, names: Mapping[str, Any], said: Sequence[str]) -> None:
        self._names = names
        self._said = said
        self._variants = 0
        self.pieces: list[str | Axis] = []
        self.filled: dict[str, str] = {}
        self.remarks: list[str] = []

    def add(self, piece: str | Axis) -> None:
        if piece:
            self.pieces.append(piece)

    def meaning(self, inside: str, *, choices: bool) -> str | Axis | None:
        """What stands between two braces, if it is ours."""
        if _NAME.fullmatch(inside):
            return self._value_of(inside)
        found = _choices(inside) if choices else None
        if found is None:
            return None
        self._variants += 1
        name = "variant" if self._variants == 1 else f"variant_{self._variants}"
        return Axis(free_name(name, self._said), found, typed=True)

    def _value_of(self, name: str) -> str | Axis | None:
        if name not in self._names:
            self._hint(name)
            return None
        value = listed(self._names[name])
        if is_plain(value):
            self.filled[name] = str(value)
            return str(value)
        values = values_of(name, value)
        if values is None or not all(map(is_plain, values)):
            kind = kind_of(value if values is None else next(v for v in values if not is_plain(v)))
            what = f"{name} {'is' if values is None else 'holds'} {kind}"
            self.remarks.append(
                f"{{{name}}} is sent as typed: {what}, not text, a number or a list of those."
            )
            return None
        return Axis(name, values)

    def _hint(self, name: str) -> None:
        alike = difflib.get_close_matches(name, list(self._names), 3, 0.75)
        if near := [one for one in alike if _can_fill(self._names[one])]:
            self.remarks.append(
                f"{{{name}}} is sent as typed: there is no {name}. Did you mean {{{near[0]}}}?"
            )


def _check_nesting(text: str, names: Mapping[str, Any]) -> None:
    """Choices inside of choices would be sent with their outer braces, several times."""
    for found in _NESTED.finditer(text):
        before, inner, after = found.groups()
        outer, name = before + after, inner[1:-1]
        ours = name in names or _choices(name) is not None
        if "|" in outer and not _CODE.search(outer) and ours:
            raise RequestError(
                f"“{found.group()}” has braces inside of choices, which is not understood, so "
                "nothing was sent. Write them side by side, or send all as typed (--raw)."
            )


def _choices(inside: str) -> tuple[str, ...] | None:
    """The choices between two braces, blanks around them left out; None if it is something else."""
    if "|" not in inside or _CODE.search(inside):
        return None
    found = tuple(choice.strip() for choice in inside.split("|"))
    return found if all(found[:-1]) else None


def names_in(text: str) -> list[str]:
    """The names that stand in a prompt between braces."""
    return [inside for inside in _BRACES.findall(text) if _NAME.fullmatch(inside)]


def values_of(name: str, value: object) -> tuple[Any, ...] | None:
    """The values of an axis; None for what is no list. Raises `RequestError` for an empty one."""
    if not isinstance(value, list | tuple | range):
        return None
    if not value:
        raise RequestError(f"{name} is an empty list, so there is nothing to draw; fill it.")
    check_most(len(value), f"{name} with {len(value):,} values")
    return tuple(value)


def listed(value: object) -> object:
    """An array, a column of a table or the keys of a dict as a list; all else as it is."""
    if isinstance(value, KeysView | ValuesView | deque):
        return list(value)
    to_list = getattr(value, "tolist", None)
    found = to_list() if callable(to_list) else value
    return found if isinstance(found, list) else value


def check_most(count: int, what: str = "") -> None:
    """Raises `RequestError` for more pictures than a grid holds, before anything is made of it."""
    if count > MOST:
        raise RequestError(
            f"{what or f'{count:,} pictures'} is too much at once; a grid takes {MOST:,} at most."
        )


def free_name(name: str, taken: Sequence[str]) -> str:
    """The name, or one like it that is not taken."""
    while name in taken:
        name += "_"
    return name


def is_plain(value: object) -> bool:
    """Whether it can stand in a prompt: a text or a number."""
    return isinstance(value, str | Real | Decimal) and not isinstance(value, bool)


def _can_fill(value: object) -> bool:
    if isinstance(value, list | tuple | range):
        return 0 < len(value) <= MOST and all(map(is_plain, value))
    return is_plain(value)


def kind_of(value: object) -> str:
    """`a Generation`, `an int`."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _label(value: object) -> str:
    """A value of an axis in a few words."""
    if isinstance(value, list | tuple):
        return " + ".join(map(_label, value)) or "none"
    if isinstance(value, os.PathLike):
        return str(PurePath(value).name)
    if isinstance(value, str | Real | Template):
        text = "data link" if str(value)[:5] == "data:" else str(value)
        return (links.name_of(text) if _LINK.fullmatch(text) else text) or "none"
    said = getattr(value, "prompt", None) or getattr(value, "path", None)
    if value is None or not said:
        return "none" if value is None else type(value).__name__
    return _label(said)


def _plural(word: str) -> str:
    if word.endswith("s"):
        return word
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"
