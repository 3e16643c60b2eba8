"""What is not whole yet: a download on its way, in a temporary file beside its final place.

Temporary files have names of their own, so that what a kill leaves can be told and swept.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from .errors import DownloadError

PART_LIVES: Final = 3600.0
"""Seconds after which a temporary file is surely nobody's any more."""
_PART: Final = re.compile(r"\.nanobanana-[0-9a-f]{16}\.part")


class Incoming:
    """A download on its way: in a temporary file of `folder`, made with its first bytes.

    From where the disk takes no more it goes on in memory: a picture that is paid for may still
    find room elsewhere.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._part: Path | None = None
        self._file: io.FileIO | None = None
        self._memory = io.BytesIO()
        self._length = 0

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, piece: bytes) -> None:
        """Take the next bytes. Raises `DownloadError` if the disk has lost what came before."""
        if not self._length:
            self._begin()
        if self._file is not None:
            try:
                _write(self._file, piece)
            except OSError:
                self._go_on_in_memory(self._file)
        if self._file is None:
            self._memory.write(piece)
        self._length += len(piece)

    def content(self) -> bytes:
        """All that came, before it is settled. Raises `DownloadError` if the disk lost it."""
        return self._memory.getvalue() if self._file is None else self._read_back(self._file)

    def settle(self, folder: Path) -> Path | None:
        """The file that it came in, safe on the disk; None if there is none in that folder."""
        if self._part is None or self._folder != folder or not self._part.exists():
            return None
        if self._file is not None:
            _sync(self._file)
            self._file.close()  # Windows renames no open file
            self._file = None
        return self._part

    def close(self) -> None:
        """Let go of it; what has its final name by now keeps it."""
        file, self._file = self._file, None
        part, self._part = self._part, None
        with contextlib.suppress(OSError):
            if file is not None:
                file.close()
        with contextlib.suppress(OSError):
            if part is not None:
                part.unlink()

    def _begin(self) -> None:
        part = _part_in(self._folder)
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = _made(part, 0o666)
            self._part = part

    def _go_on_in_memory(self, file: io.FileIO) -> None:
        self._memory.write(self._read_back(file))
        self.close()

    def _read_back(self, file: io.FileIO) -> bytes:
        """What was written whole: the last piece may be there in part."""
        with contextlib.suppress(OSError):
            file.seek(0)
            data = file.read(self._length)
            if len(data) == self._length:
                return data
        raise DownloadError("The disk does not give back what was downloaded.", url="")


@contextlib.contextmanager
def written(folder: Path, data: bytes, mode: int = 0o666) -> Iterator[Path]:
    """A temporary file whose content is safe on the disk; gone afterwards, unless renamed."""
    part = _part_in(folder)
    try:
        with _made(part, mode) as file:
            _write(file, data)
            _sync(file)
        yield part
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def sweep(folders: Iterable[Path], now: float) -> int:
    """Delete the temporary files that kills left more than an hour ago; how many."""
    parts: list[Path] = []
    for folder in folders:
        with contextlib.suppress(OSError):
            parts += [file for file in folder.iterdir() if _PART.fullmatch(file.name)]
    swept = 0
    for part in parts:
        with contextlib.suppress(OSError):  # somebody else's, or just finished
            found = part.lstat()
            if stat.S_ISREG(found.st_mode) and found.st_mtime < now - PART_LIVES:
                part.unlink()
                swept += 1
    return swept


def _part_in(folder: Path) -> Path:
    return folder / f".nanobanana-{secrets.token_hex(8)}.part"


def _made(part: Path, mode: int) -> io.FileIO:
    """A new file, never through a link; unbuffered, so that a full disk is noticed at once."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(part, flags, mode), "w+b", buffering=0)


def _sync(file: io.FileIO) -> None:
    """Have it on the disk, where the file system knows of that; some mounted ones do not."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise


def _write(file: io.FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
