"""Copies of pictures and their sidecars in another folder, such as one of a mounted drive.

A drive may be full, slow, or not mounted yet, and a machine that is lent may end at any moment. So
all of it is done on a thread of its own, which nobody waits for: what is missing is copied when a
picture has come, and tried again while it cannot be. From what lies there, a machine knows what
others have drawn.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import math
import os
import queue
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, Protocol

from .incoming import sweep, written
from .protocol import clean
from .settings import DRIVE
from .sidecars import BrokenSidecar, Sidecar, read_sidecar

RETRY: Final = 60.0
"""Seconds after which what could not be copied is tried again."""
AT_A_TIME: Final = 500
"""Tasks that are read back before they are noted, and new pictures copied, at most."""
AT_LEAST_EVERY: Final = 1.0
"""Seconds after which what was read is noted: a slow drive may not be there for long."""
ENOUGH: Final = 10
"""Files that the drive refuses in a row before the others wait for the next time."""
_NAME: Final = re.compile(r"[^.].*-(?P<id>[0-9a-f]{8,32})(-\d{1,4})?\.json")


class Memory(Protocol):
    """The ledger, as far as what lies in the mirror is noted in it. Both block."""

    def known(self, ids: Sequence[str]) -> set[str]: ...

    def note(self, found: Sequence[Sidecar]) -> int: ...


class Mirror:
    """Keeps copies of what lies in `pictures` in `folder`.

    The folder is made if it is not there, unless it was: then the drive is gone, and the folder
    would be made on the disk beneath. The one that it lies in is never made: it stands for the
    drive.
    """

    def __init__(self, folder: Path, pictures: Path, *, retry: float = RETRY) -> None:
        self._folder = folder
        self._pictures = pictures
        self._retry = retry
        self._memory: Memory | None = None
        self._was_there = False
        self._there: set[str] | None = None
        self._read: set[str] = set()
        self._refused: set[str] = set()
        self._told: set[str] = set()
        self._news: list[str] = []
        self._wanted = threading.Event()
        self._asked: queue.SimpleQueue[concurrent.futures.Future[None]] = queue.SimpleQueue()
        self._closing = False
        self._until = math.inf
        self._thread: threading.Thread | None = None
        self.seen = False
        """Whether all that lies in the mirror is known."""
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

    def look(self) -> concurrent.futures.Future[None]:
        """See now what lies there: done once that is noted, or could not be; see `seen`."""
        looked: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._asked.put(looked)
        self._wanted.set()
        if self.ended.done():
            _answer(self._questions())
        return looked

    def close(self, patience: float = math.inf) -> None:
        """Have it end once it has copied what it was given, or after some seconds; `ended` is done
        then."""
        self._until = time.monotonic() + patience
        self._closing = True
        self._wanted.set()
        if self._thread is None:
            self.ended.set_result(None)

    def take_news(self) -> str:
        """What went wrong, or was found, since this was last asked, in one line, or nothing."""
        news, self._news = self._news, []
        return " ".join(news)

    def tell_of_slowness(self) -> None:
        """Say that somebody no longer waits for `look`."""
        self._news.append(
            f"Still reading what lies in {self._folder}; what is asked for now may be drawn anew."
        )

    def _work(self) -> None:
        behind = False
        while True:
            self._wanted.wait(self._retry if behind else None)
            self._wanted.clear()
            closing = self._closing
            behind = not self._round(self._questions())
            if closing:
                self.ended.set_result(None)
                _answer(self._questions())
                return

    def _questions(self) -> list[concurrent.futures.Future[None]]:
        """Who asked for a look since the last one began."""
        asked = []
        with contextlib.suppress(queue.Empty):
            while True:
                asked.append(self._asked.get_nowait())
        return asked

    def _round(self, asked: Iterable[concurrent.futures.Future[None]]) -> bool:
        """Read what is new there and copy what is missing; whether nothing is left to do."""
        try:
            try:
                there = self._there = self._look() if self._there is None else self._there
                self._read_back(there)
            finally:
                _answer(asked)
            self._copy_missing(there)
        except Exception as error:  # noqa: BLE001 - the thread must live to try again
            self._there = None  # another drive may be mounted next
            self._tell(self._trouble(error), only_if=self._has_pictures)
            return False
        if self.seen:
            self._told.clear()
        else:
            self._there = None
        return self.seen

    def _look(self) -> set[str]:
        """The names of the sidecars that lie in the mirror."""
        if not self._folder.parent.is_dir():
            raise _NotThereError(f"{self._folder.parent} is not there")
        if self._was_there and not self._folder.is_dir():
            raise _NotThereError("it is gone; make it anew if this is another drive")
        self._folder.mkdir(exist_ok=True)
        self._was_there = True
        sweep((self._folder,), time.time())
        return _notes(self._folder)

    def _read_back(self, there: set[str]) -> None:
        """Note what lies there and is not known, the latest first; copy in between."""
        memory = self._memory
        if memory is None or there <= self._read:
            self.seen = True
            return
        self._read |= there & _notes(self._pictures)
        names = sorted(there - self._read, reverse=True)
        tasks = [list(of_task) for _, of_task in groupby(names, _id)]
        noted = 0
        for start in range(0, len(tasks), AT_A_TIME):
            try:
                noted += self._note(tasks[start : start + AT_A_TIME], memory)
            except Exception as error:  # noqa: BLE001 - whatever it is, the copies matter more
                self._tell(f"What lies in {self._folder} could not be noted: {clean(error, 200)}")
            with contextlib.suppress(OSError):  # it is met again once all is read, and told
                self._copy_missing(there)
        self.seen = there <= self._read
        if noted:
            earlier = "1 earlier picture is" if noted == 1 else f"{noted:,} earlier pictures are"
            self._news.append(f"{earlier} in {self._folder}: %nanobanana_history shows what.")

    def _note(self, tasks: Sequence[Sequence[str]], memory: Memory) -> int:
        """Note these tasks, each by the names of its sidecars; how many were not known.

        What the drive does not give now is left for the next time.
        """
        if self._closing:
            return 0
        known = memory.known([_id(names[0]) for names in tasks])
        self._read |= {name for names in tasks if _id(names[0]) in known for name in names}
        noted, found, since = 0, [], time.monotonic()
        of_found: list[str] = []
        for names in tasks:
            if self._closing:
                break
            if _id(names[0]) in known:
                continue
            # The picture itself is not read: over a drive that would take a second each.
            read = [read_sidecar(self._folder / name, whole=False) for name in names]
            if any(map(_is_withheld, read)):
                continue
            found += [one for one in read if isinstance(one, Sidecar)]
            of_found += names
            if time.monotonic() - since > AT_LEAST_EVERY:
                noted += memory.note(found)
                self._read.update(of_found)
                found, of_found, since = [], [], time.monotonic()
        noted += memory.note(found) if found else 0
        self._read.update(of_found)
        return noted

    def _copy_missing(self, there: set[str]) -> None:
        """Copy what can be; then raises the first `OSError` that was met."""
        troubles: list[OSError] = []
        missing = _notes(self._pictures) - there
        for name in sorted(missing, key=lambda name: (name in self._refused, name)):
            if time.monotonic() > self._until or len(troubles) == ENOUGH:
                break
            try:
                self._copy(name, there)
            except OSError as error:
                self._refused.add(name)
                troubles.append(error)
        if troubles:
            raise troubles[0]

    def _copy(self, name: str, there: set[str]) -> None:
        """Copy a picture and then its sidecar: where that lies, the picture is whole."""
        if os.path.lexists(self._folder / name):  # another kernel was quicker
            there.add(name)
            return
        note = self._pictures / name
        sidecar = read_sidecar(note)
        if not isinstance(sidecar, Sidecar):  # somebody else's, or only just being stored
            return
        for file, mode in ((sidecar.file, 0o666), (note, 0o600)):
            with written(self._folder, file.read_bytes(), mode) as part:
                part.replace(self._folder / file.name)
        there.add(name)
        self._read.add(name)

    def _has_pictures(self) -> bool:
        try:
            return bool(_notes(self._pictures))
        except OSError:
            return True

    def _tell(self, trouble: str, only_if: Callable[[], bool] = lambda: True) -> None:
        """Say it once, until all is well again."""
        if trouble not in self._told and only_if():
            self._told.add(trouble)
            self._news.append(trouble)

    def _trouble(self, error: Exception) -> str:
        drive = self._folder.parent
        if isinstance(error, _NotThereError) and self._folder == DRIVE and not self._was_there:
            return (
                "Colab deletes this machine with its pictures; "
                f"google.colab.drive.mount({str(drive.parent)!r}) has copies of them kept in your "
                "Drive."
            )
        why = (error.strerror if isinstance(error, OSError) else "") or clean(error, 200)
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


def _is_withheld(read: Sidecar | BrokenSidecar) -> bool:
    """Whether a sidecar could not be read just now; what is no plain file never can be."""
    if isinstance(read, Sidecar) or read.why != "unreadable":
        return False
    try:
        return stat.S_ISREG(read.file.lstat().st_mode)
    except OSError:
        return True


def _answer(asked: Iterable[concurrent.futures.Future[None]]) -> None:
    for looked in asked:
        if looked.set_running_or_notify_cancel():
            looked.set_result(None)
