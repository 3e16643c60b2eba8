"""What a batch is given, row by row: from a file, a list, a dict or a table.

What a row means is for `batches` to say; here is where it stands, and whether it can be read.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import difflib
import json
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from .errors import RequestError
from .templates import kind_of

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "key": ("key", "id", "name"),
    "aspect_ratio": ("aspect_ratio", "ratio"),
    "output_format": ("output_format", "format"),
    "image_urls": ("image_urls", "image", "images", "references"),
    "style": ("style",),
}
"""What a row may say besides its prompt, and the names that this has in files."""
MAX_FILE: Final = 100_000_000
"""Bytes of a file that is read: more than a hundred thousand prompts need."""
_SHOWN: Final = 60
_LISTED: Final = 12
_UNORDERED: Final = (bytes, bytearray, set, frozenset)
_NO_DELIMITER: Final = "\x1f"


@dataclass(frozen=True, slots=True)
class Row:
    """What stands at a place such as `line 3`: a text, fields, a request, or the error that it is.

    `key` is the name that it has in a dict.
    """

    place: str
    item: Any
    key: str | None = None


def rows_of(given: Any, column: str) -> Generator[Row, None, None]:
    """The rows of whatever was given, read one by one; `column` holds the prompts of a table.

    Raises `RequestError` for what is not there, or can have no rows.
    """
    if isinstance(given, str | os.PathLike):
        yield from _of_file(_file(given), column)
    elif isinstance(given, Mapping):
        yield from (Row(shown(name), item, str(name)) for name, item in given.items())
    elif hasattr(given, "columns") and hasattr(given, "__getitem__"):
        yield from _of_table(given, column)
    elif isinstance(given, _UNORDERED) or not hasattr(given, "__iter__"):
        raise RequestError(f"Give a list, a dict, a table or a file, not {kind_of(given)}.")
    else:
        yield from (Row(f"number {number}", item) for number, item in enumerate(given))


def _of_table(table: Any, column: str) -> Iterator[Row]:
    """The rows of a pandas or polars table."""
    labels = list(table.columns)
    chosen = _columns([str(label) for label in labels], column)
    values = zip(*(table[labels[place]] for place in chosen), strict=True)
    for number, row in enumerate(values):
        yield Row(f"number {number}", dict(zip(chosen.values(), row, strict=True)))


def _columns(names: Sequence[str], column: str) -> dict[int, str]:
    """Which columns say something, by their places, and under which name it is known here."""
    written = [plain(name) for name in names]
    wanted = column or "prompt"
    places = [place for place, name in enumerate(names) if name == wanted]
    places = places or [place for place, name in enumerate(written) if name == plain(wanted)]
    if not places and not column and len(names) == 1:
        places = [0]
    if not places:
        near = difflib.get_close_matches(wanted, names, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        how = "" if column else ' column="..." names the one with the prompts.'
        raise RequestError(f"There is no column {wanted}.{meant} There are {listed(names)}.{how}")
    known = [name for names in FIELDS.values() for name in names]
    others = {place: name for place, name in enumerate(written) if name in known}
    chosen = others | {places[0]: plain(wanted)}
    if len(set(chosen.values())) < len(chosen):
        twice = next(name for name in chosen.values() if list(chosen.values()).count(name) > 1)
        raise RequestError(f"There are several columns {twice}; leave one.")
    return chosen


def _file(given: str | os.PathLike[str]) -> Path:
    """The file that is meant. Raises `RequestError` where there is none of a kind we read."""
    path = Path(given)
    with contextlib.suppress(RuntimeError):  # nobody of that name has a home here
        path = path.expanduser()
    if _is(path.is_dir):
        raise RequestError("It is a folder; name a file in it.")
    readable = path.suffix.lower() in _READERS
    if _is(path.is_file):
        if not readable:
            raise RequestError(f"Files of a batch end in {', '.join(_READERS)}.")
        return path
    if readable:
        raise RequestError(f"There is no such file.{_near(path)}")
    raise RequestError(
        "There is no such file. If it is a prompt, nb.generate draws it; nb.batch takes several, "
        f"as a list, a dict, a table or a file ({', '.join(_READERS)})."
    )


def _of_file(path: Path, column: str) -> Iterator[Row]:
    try:
        if (size := path.stat().st_size) > MAX_FILE:
            raise RequestError(f"It has {size / 1e6:,.0f} MB, too many for prompts; split it.")
        with path.open(encoding=_encoding(path), newline="") as file:
            yield from _READERS[path.suffix.lower()](file, column)
    except UnicodeError:
        raise RequestError("It is not UTF-8 text; save it as UTF-8.") from None
    except OSError as error:
        raise RequestError(f"It cannot be read ({error.strerror}).") from None


def _of_text(file: TextIO, column: str) -> Iterator[Row]:  # noqa: ARG001
    """A prompt on each line."""
    for number, line in enumerate(file, 1):
        if line.strip():
            yield Row(f"line {number}", line.rstrip("\r\n"))


def _of_json_lines(file: TextIO, column: str) -> Iterator[Row]:  # noqa: ARG001
    """A text or an object on each line."""
    for number, line in enumerate(file, 1):
        if line.strip():
            yield Row(f"line {number}", _loaded(line))


def _of_json(file: TextIO, column: str) -> Iterator[Row]:
    """One list of texts and objects, or one object with a name for each."""
    found = _loaded(file.read())
    if isinstance(found, RequestError):
        raise RequestError(f"It is {found} With an object on each line it is a .jsonl file.")
    if not isinstance(found, list | dict):
        raise RequestError(f"It holds {kind_of(found)}, not a list or an object.")
    yield from rows_of(found, column)


def _loaded(text: str) -> Any:
    """The JSON value, or the error that it is."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        return RequestError(f"no sound JSON: {error.msg} ({line}column {error.colno}).")
    except (ValueError, RecursionError) as error:
        return RequestError(f"no JSON that can be read: {str(error)[:80]}.")


def _of_csv(file: TextIO, column: str) -> Iterator[Row]:
    """A row for each prompt, below a row with the names of the columns."""
    delimiter = _delimiter(next((line for line in file if line.strip()), ""))
    file.seek(0)
    rows = csv.reader(file, delimiter=delimiter, strict=True)
    header: list[str] = []
    chosen: dict[int, str] = {}
    for place, cells in _cells(rows):
        if isinstance(cells, RequestError):
            yield Row(place, cells)
        elif not any(cell.strip() for cell in cells):
            continue
        elif not header:
            header, chosen = cells, _columns(cells, column)
        elif any(cells[len(header) :]):
            told = f"{len(cells)} cells below {len(header)} names; put the prompt in double quotes."
            yield Row(place, RequestError(told))
        else:
            said = {name: cells[at] for at, name in chosen.items() if at < len(cells)}
            yield Row(place, said)


def _cells(rows: Any) -> Iterator[tuple[str, list[str] | RequestError]]:
    """The rows of a `csv.reader`, and on which line of the file each begins."""
    while True:
        place = f"line {rows.line_num + 1}"
        try:
            yield place, next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            told = f"its quotes do not add up ({error}); inside of a cell each is written twice."
            yield place, RequestError(told)


def _delimiter(header: str) -> str:
    """What stands between the names of the columns; with one name, nothing that a prompt has."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(",;\t", key=bare.count) if re.search("[,;\t]", bare) else _NO_DELIMITER


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        raise RequestError("It is not a text file.")
    return "utf-8-sig"


_READERS: Final[Mapping[str, Callable[[TextIO, str], Iterator[Row]]]] = {
    ".jsonl": _of_json_lines,
    ".ndjson": _of_json_lines,
    ".json": _of_json,
    ".csv": _of_csv,
    ".tsv": _of_csv,
    ".txt": _of_text,
}


def plain(name: object) -> str:
    """A name however it was written: `Aspect Ratio` is `aspect_ratio`."""
    return str(name).strip().lower().replace(" ", "_").replace("-", "_")


def shown(name: object) -> str:
    """A name as a message has it."""
    text = " ".join(str(name).split())
    return f"“{text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}”"


def listed(names: Iterable[str]) -> str:
    """The first names of several."""
    found = [name[:_SHOWN] for name in names]
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return f"{', '.join(found[:_LISTED])}{more}"


def _near(path: Path) -> str:
    """The file of that folder whose name is most like it."""
    try:
        names = [one.name for one in path.parent.iterdir() if one.suffix.lower() in _READERS]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, 1)
    return f" Did you mean {near[0]}?" if near else ""


def _is(question: Callable[[], bool]) -> bool:
    """What a path says of itself; a text that can be no path is none."""
    try:
        return question()
    except (OSError, ValueError):
        return False
