"""What a batch is given: prompts in a file, a list, a dict or a table, as one entry after another.

All that is wrong with them is told at once. Reads the file, and nothing else.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .errors import RequestError
from .models import ImageRequest, check_image_count
from .sources import FIELDS, Row, listed, plain, rows_of, shown
from .templates import is_plain, kind_of

MOST: Final = 100_000
"""Pictures that one batch may hold."""
_TOLD: Final = 8
_LONGEST: Final = 240
_PATH: Final = 40
"""Characters of a path, the last ones, by which its file is told."""
_ASKED: Final = ("prompt", "aspect_ratio", "output_format", "image_urls")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a batch: its key, its prompt, and its own settings.

    The key is a name, or its number from 0. Settings are of `aspect_ratio`, `output_format`,
    `image_urls` and `style` those that it says itself. `place` is where it stands: `line 3`.
    """

    key: str | int
    prompt: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    place: str = field(default="", compare=False)


def read(given: Any, *, column: str = "", what: str = "") -> list[Entry]:
    """The entries of a file, or of a list, dict, table or column of prompts, fields or results.

    `column` names the field that holds the prompts, `what` is what was given, for messages.
    Raises one `RequestError` for all that is wrong.
    """
    try:
        with contextlib.closing(rows_of(given, column)) as rows:
            return _entries(rows, column)
    except RequestError as error:
        raise RequestError(f"{what or _name_of(given)}: nothing was sent. {error}") from None


def named(entries: Iterable[Entry]) -> bool:
    """Whether they have keys of their own."""
    return any(isinstance(entry.key, str) for entry in entries)


def raise_for(problems: Sequence[tuple[Entry, str]]) -> None:
    """Raises one `RequestError` for what is wrong with entries that could be read, if anything."""
    if problems:
        told = _told([f"{entry.place or shown(entry.key)}: {text}" for entry, text in problems])
        raise RequestError(f"Nothing was sent. {told}")


def _entries(rows: Iterable[Row], column: str) -> list[Entry]:
    entries: list[Entry] = []
    problems: list[str] = []
    places: dict[str | int, str] = {}
    for number, row in enumerate(rows):
        if number == MOST:
            raise RequestError(f"There are more than {MOST:,} prompts; split them.")
        try:
            entry = _entry(number, row, column)
            if first := places.get(entry.key):
                raise RequestError(f"the key {shown(entry.key)} is that of {first} already.")
        except RequestError as error:
            problems.append(f"{row.place}: {error}")
        else:
            places[entry.key] = row.place
            entries.append(entry)
    if problems:
        raise RequestError(_told(problems))
    if not entries:
        raise RequestError("There is no prompt in it.")
    return entries


def _entry(number: int, row: Row, column: str) -> Entry:
    found = _found(row.item, column)
    prompt, own = found.pop("prompt"), found.pop("key", None)
    key = own if row.key is None else row.key
    if key is not None and not is_plain(key):
        raise RequestError(f"the key is {kind_of(key)}; give text or a number.")
    if "image_urls" in found:
        found["image_urls"] = _as_tuple(found["image_urls"])
        check_image_count(len(found["image_urls"]))
    # Without the pictures to go by: they may be files or results, which get their links later.
    ImageRequest(prompt, found.get("aspect_ratio", ""), found.get("output_format", "png"))
    return Entry(number if key is None else str(key), prompt, found, row.place)


def _found(item: Any, column: str) -> dict[str, Any]:
    """What an item says, under our names: its prompt, perhaps a key, and its settings."""
    if isinstance(item, RequestError):
        raise item
    if isinstance(item, str):
        return {"prompt": item}
    if isinstance(item, Mapping):
        return _fields(item, column)
    request = getattr(item, "request", item)
    if isinstance(request, ImageRequest):
        found = {name: getattr(request, name) for name in _ASKED}
        return {name: value for name, value in found.items() if value}
    if _is_missing(item):
        raise RequestError("there is no prompt.")
    raise RequestError(f"{kind_of(item)} is no prompt; give text, or a dict with a prompt.")


def _fields(item: Mapping[Any, Any], column: str) -> dict[str, Any]:
    said = {plain(name): value for name, value in item.items() if not _is_missing(value)}
    wanted = column or "prompt"
    if plain(wanted) not in said:
        instead = f"; there is {listed(said)}" if said else ""
        raise RequestError(f"there is no {wanted}{instead}.")
    found = {"prompt": said.pop(plain(wanted))}
    for ours, names in FIELDS.items():
        values = [said[name] for name in names if name in said and not _is_blank(said[name])]
        if values:
            word = isinstance(values[0], str) and ours != "key"
            found[ours] = values[0].strip() if word else values[0]
    return found


def _told(problems: Sequence[str]) -> str:
    """One problem as a sentence, several as lines."""
    first = [" ".join(problem.split())[:_LONGEST] for problem in problems[:_TOLD]]
    if len(problems) == 1:
        return first[0][0].upper() + first[0][1:]
    more = [f"and {len(problems) - _TOLD:,} more"] if len(problems) > _TOLD else []
    return "\n  ".join([f"{len(problems):,} are wrong:", *first, *more])


def _name_of(given: Any) -> str:
    if isinstance(given, str | os.PathLike):
        path = os.fspath(given)
        return shown(path if len(path) <= _PATH else f"…{path[-_PATH:]}")
    return f"The {type(given).__name__}"


def _as_tuple(references: Any) -> tuple[Any, ...]:
    """One picture to go by, or several, as several."""
    several = isinstance(references, Sequence) and not isinstance(references, str | bytes)
    return tuple(references) if several else (references,)


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _is_missing(value: object) -> bool:
    """What stands in a table where nothing does: None, NaN, pandas.NA."""
    nothing = type(value).__name__ in ("NAType", "NaTType")
    return value is None or nothing or (isinstance(value, float) and math.isnan(value))
