"""Copies of pictures and their sidecars in another folder, such as one of a mounted drive.

A drive may be full, slow, or not mounted yet, and a machine that is lent may end at any moment. So
all of it is done on a thread of its own, which nobody waits for: what is missing is copied when a
picture has come, and tried again while it cannot be. From what lies there, a new machine knows
again what the one before has drawn.
"""

from __future__ import annotations

import concurrent.futures
import re
import threading
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, Protocol

from .incoming import sweep, written
from .protocol import clean
from .settings import DRIVE
from .sidecars import Sidecar, read_sidecar

RETRY: Final = 60.0
"""Seconds after which what could not be copied is tried again."""
AT_A_TIME: Final = 20
"""Tasks that are read back before they are noted."""
_NAME: Final = re.compile(r"[^.].*-(?P<id>[0-9a-f]{8,32})(-\d{1,4})?\.json")


class Memory(Protocol):
    """The ledger, as far as what lies in the mirror is noted in it. Both block."""

    def knows(self, id: str) -> bool: ...  # noqa: A002

    def note(self, found: Sequence[Sidecar]) -> int: ...


class Mirror:
    """Keeps copies of what lies in `pictures` in `folder`.

    The folder is made if it is not there; the one that it lies in is not: it stands for the drive.
    """

    def __init__(self, folder: Path, pictures: Path, *, retry: float = RETRY) -> None:
        self._folder = folder
        self._pictures = pictures
        self._retry = retry
        self._memory: Memory | None = None
        self._there: set[str] | None = None
        self._told = ""
        self._news: list[str] = []
        self._wanted = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self.looked: concurrent.futures.Future[None] = concurrent.futures.Future()
        """Done once it was seen what lies in the mirror, and noted, or that it is not there."""
        self.ended: concurrent.futures.Future[None] = concurrent.futures.Future()

    def begin(self, memory: Memory | None = None) -> None:
        """Start to look and to copy; what lies there and is not known is noted in `memory`."""
        self._memory = memory
        # Not of a pool: a drive that hangs must not keep the interpreter from ending.
        self._thread = threading.Thread(target=self._work, name="nanobanana_nb-mirror", daemon=True)
        self._wanted.set()
        self._thread.start()

    def catch_up(self) -> None:
        """Copy what is not there yet; returns at once."""
        self._wanted.set()

    def close(self) -> None:
        """Have it end once it has copied what it was given; `ended` is done then."""
        self._closing = True
        self._wanted.set()
        if self._thread is None:
            self.ended.set_result(None)

    def take_news(self) -> str:
        """What went wrong, or was found, since this was last asked, in one line, or nothing."""
        news, self._news = self._news, []
        return " ".join(news)

    def _work(self) -> None:
        behind = False
        while True:
            self._wanted.wait(self._retry if behind else None)
            self._wanted.clear()
            closing = self._closing
            behind = not self._round()
            if not self.looked.done():
                self.looked.set_result(None)
            if closing:
                self.ended.set_result(None)
                return

    def _round(self) -> bool:
        """Copy what is missing; whether all of it is there now."""
        try:
            if self._there is None:
                self._there = self._look()
            for name in sorted(_notes(self._pictures) - self._there):
                self._copy(name)
        except OSError as error:
            self._there = None  # another drive may be mounted next
            if _notes(self._pictures):
                self._tell(self._trouble(error))
            return False
        self._told = ""
        return True

    def _look(self) -> set[str]:
        """The sidecars that lie in the mirror; those of other machines are noted."""
        if not self._folder.parent.is_dir():
            raise _NotThereError(f"{self._folder.parent} is not there")
        self._folder.mkdir(exist_ok=True)
        sweep((self._folder,), time.time())
        there = _notes(self._folder)
        memory, self._memory = self._memory, None
        if memory is not None:
            self._read_back(sorted(there - _notes(self._pictures), reverse=True), memory)
        return there

    def _read_back(self, names: Sequence[str], memory: Memory) -> None:
        """Note what lies there and is not known, the latest first."""
        noted = 0
        found: list[Sidecar] = []
        try:
            for number, (id_, of_task) in enumerate(groupby(names, _id), 1):
                if not memory.knows(id_):
                    # The picture itself is not read: over a drive that would take a second each.
                    read = [read_sidecar(self._folder / name, whole=False) for name in of_task]
                    found += [one for one in read if isinstance(one, Sidecar)]
                if number % AT_A_TIME == 0:
                    noted += memory.note(found)
                    found = []
            noted += memory.note(found)
        except Exception as error:  # noqa: BLE001 - whatever it is, the copies matter more
            self._tell(f"What lies in {self._folder} could not be noted: {clean(error, 200)}")
        if noted:
            earlier = "1 earlier picture is" if noted == 1 else f"{noted:,} earlier pictures are"
            self._news.append(f"{earlier} in {self._folder}: %nanobanana_history shows what.")

    def _copy(self, name: str) -> None:
        """Copy a picture and then its sidecar: where that lies, the picture is whole."""
        note = self._pictures / name
        sidecar = read_sidecar(note)
        if not isinstance(sidecar, Sidecar):  # somebody else's, or only just being stored
            return
        for file, mode in ((sidecar.file, 0o666), (note, 0o600)):
            with written(self._folder, file.read_bytes(), mode) as part:
                part.replace(self._folder / file.name)
        if self._there is not None:
            self._there.add(name)

    def _tell(self, trouble: str) -> None:
        """Say it once, until something works again."""
        if trouble != self._told:
            self._told = trouble
            self._news.append(trouble)

    def _trouble(self, error: OSError) -> str:
        drive = self._folder.parent
        if isinstance(error, _NotThereError) and self._folder == DRIVE:
            return (
                "Colab deletes this machine with its pictures; "
                f"google.colab.drive.mount({str(drive.parent)!r}) has copies of them kept in your "
                "Drive."
            )
        why = str(error) if isinstance(error, _NotThereError) else error.strerror or str(error)
        return (
            f"Copies of the pictures cannot be kept in {self._folder} ({why}); the pictures are in "
            f"{self._pictures}, and copying is tried again."
        )


class _NotThereError(OSError):
    pass


def _notes(folder: Path) -> set[str]:
    """The names of what may be sidecars of ours."""
    try:
        return {file.name for file in folder.iterdir() if _NAME.fullmatch(file.name)}
    except FileNotFoundError:
        return set()


def _id(name: str) -> str:
    found = _NAME.fullmatch(name)
    return found["id"] if found else ""
