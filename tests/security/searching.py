"""One key, and the search for it in everything that could have kept it."""

from __future__ import annotations

import base64
import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from PIL import Image

CANARY = "sk-canary-5f3c9e2b7a10-never-shown"
"""A key that must be seen nowhere."""

_ENCODED = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}")


def _forms(key: str) -> dict[str, bytes]:
    """The key as bytes may hold it: in base64 it looks otherwise at each of three places."""
    plain = key.encode()
    encoded = {
        f"base64, {shift} bytes on": base64.b64encode(bytes(shift) + plain)[4 if shift else 0 : -4]
        for shift in range(3)
    }
    return {
        "as it is": plain,
        "reversed": plain[::-1],
        "UTF-16": key.encode("utf-16-le"),
        "UTF-16, the other way": key.encode("utf-16-be"),
        "hex": plain.hex().encode(),
        "its middle": plain[9:-9],
        **encoded,
    }


FORMS = _forms(CANARY)


def hits(data: bytes) -> list[str]:
    """In which forms the key stands in the data, pictures within and their texts included."""
    found = [name for name, form in FORMS.items() if form in data]
    for part in _within(data):
        found += [f"{name}, in a picture" for name, form in FORMS.items() if form in part]
    return found


def _within(data: bytes) -> Iterator[bytes]:
    """The bytes and the texts, unpacked, of the picture that this is, or of those it holds."""
    yield from _texts(data)
    for match in _ENCODED.finditer(data):
        with contextlib.suppress(ValueError):
            picture = base64.b64decode(match.group())
            yield picture
            yield from _texts(picture)


def _texts(data: bytes) -> Iterator[bytes]:
    with contextlib.suppress(OSError, SyntaxError, ValueError), Image.open(io.BytesIO(data)) as one:
        one.load()
        for name, value in one.info.items():
            yield f"{name}: {value!r}".encode()


def files(folder: Path, pattern: str) -> bytes:
    """All that stands in the files of a folder; there must be some."""
    found = sorted(file for file in folder.rglob(pattern) if file.is_file())
    assert found, f"no {pattern} in {folder}: {sorted(folder.rglob('*'))}"
    parts = []
    for file in found:
        data = file.read_bytes()
        parts += [str(file).encode(), data, *_within(data)]
    return b"\n".join(parts)


def variables_with_key(error: BaseException) -> list[str]:
    """Every variable of every frame that an error came through, and those before it, hidden or
    not, whose repr shows the key."""
    found, seen, waiting = [], set[int](), [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        trace = one.__traceback__
        while trace is not None:
            found += _variables(trace.tb_frame)
            trace = trace.tb_next
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
        waiting += getattr(one, "exceptions", ())
    return found


def _variables(frame: FrameType) -> list[str]:
    place = f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}"
    found = []
    for name, value in frame.f_locals.items():
        with contextlib.suppress(Exception):  # what has no repr shows nothing
            if CANARY in repr(value):
                found.append(f"{place}: {name}")
    return found
