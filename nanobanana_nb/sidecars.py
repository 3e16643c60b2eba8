"""Sidecars: beside each picture a JSON file with all that the ledger knows of it.

Should the ledger be lost, it is rebuilt from them. They lie in a folder where anyone may put
anything, so they are read as text of strangers: what is wrong is named, and nothing raises.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from .errors import RequestError
from .models import ImageRequest

FORMAT: Final = 1
MAX_BYTES: Final = 1_000_000
"""Bytes; of a larger file nothing is read."""
MAX_PICTURE: Final = 100_000_000
"""Bytes; a file that is said to be larger is none of ours, and is not read to the end."""
PICTURES: Final = (".png", ".jpg", ".webp")
_YEAR_9999: Final = 253_370_764_800
_DEAREST: Final = 10
"""US dollars; a picture that is said to have cost more is none of ours, and would fill a budget."""

Why = Literal[
    "unreadable",  # no permission, or no plain file
    "too large",
    "not JSON",  # cut short, or of another kind
    "foreign",  # JSON of somebody else
    "newer",  # of a later version than this one
    "wrong",  # a field is missing or not what it should be
    "outside",  # it is a symlink, or leads out of its folder
    "no picture",  # the picture is gone
    "changed",  # the picture is not the one that was stored
]


@dataclass(frozen=True)
class Sidecar:
    """One picture and its task. `position` (from 0) and `of`: which of the task's pictures it is.

    `size` is in bytes, `created` Unix time, `seconds` the API's own figure, `price` US dollars for
    the task, `cell` its replay key, `references` the contents of what it was drawn from.
    """

    file: Path
    sha256: str
    size: int
    width: int
    height: int
    id: str
    task_id: str
    position: int
    of: int
    request: ImageRequest
    origin: str
    account: str
    price: Decimal
    created: float
    seconds: float | None
    url: str
    cell: str | None
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class BrokenSidecar:
    """A JSON file that stands for no picture, and why; what it says, as far as it can be read."""

    file: Path
    why: Why
    sidecar: Sidecar | None = None


class _BrokenError(Exception):
    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why: Why = why


def encode(fields: Mapping[str, Any]) -> bytes:
    """The JSON of a sidecar. Half a surrogate pair becomes its JSON escape."""
    known = {"nanobanana_nb": FORMAT, **fields}
    text = json.dumps(known, ensure_ascii=False, indent=1, default=str)
    return text.encode("utf-8", "backslashreplace")


def same(file: Path, text: bytes) -> bool:
    """Whether a sidecar on disk is of the same picture of the same task as `text`."""
    try:
        one, other = _loads(_text(file)), _loads(text)
    except _BrokenError:
        return False
    return all(one.get(key) == other.get(key) for key in ("id", "position", "file", "sha256"))


def read_sidecars(folder: Path, id: str = "") -> Iterator[Sidecar | BrokenSidecar]:  # noqa: A002
    """Every sidecar of a folder, or those named for one task, in the order of their names."""
    wanted = re.compile(rf"-{re.escape(id)}(-\d+)?\.json\Z" if id else r"\A[^.].*\.json\Z")
    try:
        with os.scandir(folder) as there:
            names = sorted(one.name for one in there if wanted.search(one.name))
    except OSError:
        return
    for name in names:
        yield read_sidecar(folder / name)


def read_sidecar(file: Path, *, whole: bool = True) -> Sidecar | BrokenSidecar:
    """One sidecar, if its picture is there as it was stored; unless `whole`, as large as that."""
    sidecar = None
    try:
        sidecar = _sidecar(_loads(_text(file)), file.parent)
        _check_picture(sidecar, whole=whole)
    except _BrokenError as broken:
        return BrokenSidecar(file, broken.why, sidecar)
    return sidecar


def _text(file: Path) -> bytes:
    try:
        if _plain_size(file) > MAX_BYTES:
            raise _BrokenError("too large")
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES)
    except OSError:
        raise _BrokenError("unreadable") from None


def _plain_size(file: Path) -> int:
    """Bytes of a plain file; links are not followed and pipes not opened."""
    found = file.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise _BrokenError("outside")
    if not stat.S_ISREG(found.st_mode):
        raise _BrokenError("unreadable")
    return found.st_size


def _loads(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise _BrokenError("not JSON") from None
    if not isinstance(found, dict) or "nanobanana_nb" not in found:
        raise _BrokenError("foreign")
    version = found["nanobanana_nb"]
    if type(version) is not int or version < FORMAT:
        raise _BrokenError("wrong")
    if version > FORMAT:
        raise _BrokenError("newer")
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _sidecar(found: Mapping[str, Any], folder: Path) -> Sidecar:
    name = _text_of(found, "file")
    if not re.fullmatch(r"[\w-]+\.\w+", name) or Path(name).suffix not in PICTURES:
        raise _BrokenError("outside")
    try:
        request = ImageRequest(
            _text_of(found, "prompt"),
            _text_of(found, "aspect_ratio"),
            _text_of(found, "output_format"),
            _texts_of(found, "image_urls"),
        )
        price = Decimal(_text_of(found, "price"))
    except (RequestError, InvalidOperation):
        raise _BrokenError("wrong") from None
    of = _whole(found, "of", 1, 1000)
    sidecar = Sidecar(
        file=folder / name,
        sha256=_text_of(found, "sha256"),
        size=_whole(found, "size", 1, MAX_PICTURE),
        width=_whole(found, "width", 1, 10**6),
        height=_whole(found, "height", 1, 10**6),
        id=_text_of(found, "id"),
        task_id=_text_of(found, "task_id"),
        position=_whole(found, "position", 0, of - 1),
        of=of,
        request=request,
        origin=_text_of(found, "origin"),
        account=_text_of(found, "account"),
        price=price,
        created=_number(found, "created", _YEAR_9999),
        seconds=None if found.get("seconds") is None else _number(found, "seconds", 10**9),
        url=_text_of(found, "url"),
        cell=None if found.get("cell") is None else _text_of(found, "cell"),
        references=_texts_of(found, "references") if "references" in found else (),
    )
    if not sidecar.id or not price.is_finite() or not 0 <= price < _DEAREST:
        raise _BrokenError("wrong")
    return sidecar


def _check_picture(sidecar: Sidecar, *, whole: bool) -> None:
    try:
        same_size = _plain_size(sidecar.file) == sidecar.size
        if same_size and (not whole or _sha256(sidecar.file) == sidecar.sha256):
            return
    except FileNotFoundError:
        raise _BrokenError("no picture") from None
    except OSError:
        raise _BrokenError("unreadable") from None
    raise _BrokenError("changed")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _text_of(found: Mapping[str, Any], name: str) -> str:
    return _checked_text(found.get(name))


def _texts_of(found: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = found.get(name)
    if not isinstance(value, list):
        raise _BrokenError("wrong")
    return tuple(_checked_text(one) for one in value)


def _checked_text(value: object) -> str:
    """Text that SQLite takes as well: no half of a surrogate pair."""
    if not isinstance(value, str) or re.search("[\ud800-\udfff]", value):
        raise _BrokenError("wrong")
    return value


def _whole(found: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = found.get(name)
    if type(value) is not int or not least <= value <= most:
        raise _BrokenError("wrong")
    return value


def _number(found: Mapping[str, Any], name: str, below: float) -> float:
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < below:
        raise _BrokenError("wrong")
    return float(value)
