"""A request as code to copy into a cell, which asks for exactly the same when it runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from . import prompting, templates
from .errors import RequestError
from .presets import Style
from .prompting import Line

_WIDTH: Final = 88
_PIECE: Final = re.compile(r"[^\n]{0,74}(?:[ \n]|\Z)|[^\n]{1,75}")
# Control characters but tab and line feed, and halves of surrogate pairs: clipboards, editors and
# files change or refuse them.
_FRAGILE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Draft:
    """What is asked for. `references` are links or paths of files; ratio and format are what the
    `style` has where they are not given."""

    prompt: str
    aspect_ratio: str = ""
    output_format: str = "png"
    references: tuple[str, ...] = ()
    count: int = 1
    style: Style | None = None


def magic_line(draft: Draft) -> str | None:
    """One line `%nanobanana ...`; None where a line cannot carry it, such as one of two lines."""
    prompt = draft.prompt.strip()
    for end in ((), ("--",)):
        typed = " ".join([*_options(draft), *end, prompt])
        if _is_one_line(typed) and not typed.endswith("\\") and _arrives(draft, typed):
            return f"%nanobanana {typed}".rstrip()
    return None


def magic_cell(draft: Draft) -> str:
    """A cell `%%nanobanana ...` with the prompt below.

    The Python call instead, where the magic would not receive exactly this (a carriage return in
    the prompt, both kinds of quotes in a path).
    """
    typed, prompt = " ".join(_options(draft)), draft.prompt.strip()
    if not _is_one_line(typed) or _FRAGILE.search(prompt) or not _arrives(draft, typed, prompt):
        return python(draft)
    return f"{f'%%nanobanana {typed}'.rstrip()}\n{prompt}"


def python(draft: Draft) -> str:
    """The import and the call of `generate`, with what differs from the defaults."""
    return f"import nanobanana_nb as nb\n\n{_call(draft)}"


def _call(draft: Draft) -> str:
    prompt, keywords = draft.prompt.strip(), _keywords(draft)
    call = f"nb.generate({', '.join([_literal(prompt), *keywords])})"
    if "\n" not in prompt and len(call) <= _WIDTH:
        return call
    pieces = [_literal(piece) for piece in _PIECE.findall(prompt) if piece]
    arguments = ["\n    ".join(pieces), *keywords]
    return "nb.generate(\n" + "".join(f"    {argument},\n" for argument in arguments) + ")"


def _keywords(draft: Draft) -> list[str]:
    keywords = []
    if ratio := _ratio(draft):
        keywords.append(f"aspect_ratio={_literal(ratio)}")
    if format_ := _format(draft):
        keywords.append(f"output_format={_literal(format_)}")
    if draft.references:
        keywords.append(f"image_urls=[{', '.join(map(_literal, draft.references))}]")
    if draft.count != 1:
        keywords.append(f"count={draft.count}")
    if draft.style:
        keywords.append(f"style={_literal(draft.style.name)}")
    return keywords


def _literal(text: str) -> str:
    """The text as Python writes it, in double quotes where these need no backslash."""
    shown = repr(text)
    return shown if '"' in text else f'"{shown[1:-1]}"'


def _options(draft: Draft) -> list[str]:
    options = []
    if ratio := _ratio(draft):
        options.append(f"-a {_quoted(ratio)}")
    if format_ := _format(draft):
        options.append(f"-f {_quoted(format_)}")
    options += [f"-i {_quoted(_reference(text))}" for text in draft.references]
    if draft.count != 1:
        options.append(f"-n {draft.count}")
    if draft.style:
        options.append(f"--style {_quoted(draft.style.name)}")
    if templates.has_fields(draft.prompt):
        options.append("--raw")
    return options


def _ratio(draft: Draft) -> str:
    """The ratio, empty where it is the one drawn without being told."""
    default = "auto" if draft.references else "1:1"
    if draft.style:
        default = draft.style.own_ratio or default
    return "" if draft.aspect_ratio == default else draft.aspect_ratio


def _format(draft: Draft) -> str:
    """The format, empty where it is the one drawn without being told."""
    default = (draft.style.output_format if draft.style else "") or "png"
    return "" if draft.output_format == default else draft.output_format


def _reference(text: str) -> str:
    """A path that cannot be taken for a variable, or for the word `last`."""
    return f"./{text}" if text.isidentifier() else text


def _quoted(value: str) -> str:
    """An option's value, in quotes where it needs them; the caller reads it back."""
    if re.fullmatch(r"[^\s\"']\S*", value):
        return value
    return f"'{value}'" if '"' in value else f'"{value}"'


def _is_one_line(typed: str) -> bool:
    """Whether IPython and the editors see one line in it; they know more than line feeds."""
    return not _FRAGILE.search(typed) and len(typed.splitlines()) <= 1


def _arrives(draft: Draft, line: str, cell: str | None = None) -> bool:
    """Whether the magic reads out of it what the draft says."""
    try:
        read = prompting.parse(line) if cell is None else prompting.parse_cell(line, cell)
    except RequestError:
        return False
    return read == Line(_meant(draft), draft.prompt.strip())


def _meant(draft: Draft) -> dict[str, object]:
    """The options as they should be read."""
    options = {
        "aspect_ratio": _ratio(draft),
        "format": _format(draft),
        "image": [_reference(text) for text in draft.references],
        "count": str(draft.count) if draft.count != 1 else "",
        "style": draft.style.name if draft.style else "",
        "raw": templates.has_fields(draft.prompt),
    }
    return {name: value for name, value in options.items() if value}
