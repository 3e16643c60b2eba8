"""What a command says: its results on standard output, all else on standard error.

A stream that is closed, that breaks off, or that cannot show a character is no reason to fail: the
pictures are drawn by then.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .protocol import clean

RESET: Final = "\x1b[0m"
_UNSAFE: Final = re.compile(
    "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
"""Characters of JSON that steer a terminal or turn its text around."""
_LINE: Final = 4_000
"""Characters of a line for people."""


class Voice:
    """Says things. With `as_json` results are one JSON document; with `quiet` people are told
    only what went wrong."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet

    def tell(self, text: str) -> None:
        """One line for the person who is looking; nothing when quiet."""
        if not self.quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """One line that is to be seen in any case."""
        _write(sys.stderr, f"{clean(text, _LINE)}\n")

    def line(self, text: str, colour: str = "") -> None:
        """One line of a result; its columns stay where they are. `colour` is a terminal's code."""
        indent = len(text) - len(text.lstrip(" "))
        parts = [clean(part, _LINE) for part in text.lstrip(" ").split("\t")]
        told = f"{' ' * indent}{chr(9).join(parts)}"
        _write(sys.stdout, f"{colour}{told}{RESET}\n" if colour else f"{told}\n")

    def text(self, text: str) -> None:
        """Several lines of our own, such as help."""
        _write(sys.stdout, text)

    def path(self, path: Path) -> None:
        """The path of a picture, in the very bytes by which the system knows it."""
        if not self.as_json:
            _write(sys.stdout, f"{path}\n", None if os.name == "nt" else os.fsencode(path) + b"\n")

    def document(self, value: Mapping[str, Any], *, readable: bool = False) -> None:
        """The result as JSON, in ASCII, so that it passes through any terminal and pipe; when it is
        `readable`, letters stay letters where the stream knows them."""
        utf8 = (getattr(sys.stdout, "encoding", None) or "").lower() in ("utf-8", "utf8")
        told = json.dumps(value, indent=2, ensure_ascii=not (readable and utf8))
        told = _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", told)
        _write(sys.stdout, f"{told}\n")


def prepare_streams() -> None:
    """Let no stream raise for a character that it does not know, nor be missing."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _write(stream: Any, text: str, raw: bytes | None = None) -> None:
    """Write and flush; a reader who has seen enough, such as `head`, is no error."""
    try:
        if raw is not None and hasattr(stream, "buffer"):
            stream.flush()
            stream.buffer.write(raw)
        else:
            stream.write(text)
        stream.flush()
    except OSError as error:
        _give_up(stream)
        if stream is sys.stdout and not isinstance(error, BrokenPipeError):
            raise OSError(
                f"The result cannot be written to standard output ({error.strerror}); nanobanana "
                "history shows what was drawn."
            ) from None


def _give_up(stream: Any) -> None:
    """Write to nowhere from now on: Python flushes once more at its end, and would fail again."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
