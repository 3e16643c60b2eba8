"""The ledger made anew from what stands beside the pictures, when it is lost or damaged."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from .errors import LedgerError
from .ledger import Ledger
from .rows import PictureRow, TaskRow
from .sidecars import BrokenSidecar, Sidecar, read_sidecars

T = TypeVar("T")

PATIENCE: Final = 30.0
"""Seconds that another thread waits for the ledger."""


@dataclass(frozen=True)
class Rebuilt:
    """What was found: tasks added and known, what cannot be used, and where the old ledger is."""

    added: int
    known: int
    broken: tuple[BrokenSidecar, ...]
    damaged: Path | None


async def rebuild(file: Path, folders: Iterable[Path]) -> Rebuilt:
    """Add every task whose pictures lie in `folders` to the ledger `file`.

    A ledger that cannot be opened is kept beside the new one. What was under way in it, and what
    was never stored, is not known any more; `resume` finds such a task by its id.
    """
    damaged = _set_aside(file)
    found = [one for folder in folders for one in read_sidecars(folder)]
    ledger = Ledger(file)
    try:
        added = await restore(ledger, [one for one in found if isinstance(one, Sidecar)])
    finally:
        ledger.close()
    broken = tuple(one for one in found if isinstance(one, BrokenSidecar) and one.why != "foreign")
    return Rebuilt(sum(added), len(added) - sum(added), broken, damaged)


async def restore(ledger: Ledger, found: Iterable[Sidecar]) -> list[bool]:
    """Note the tasks that these are of; for each, whether it was not known yet."""
    tasks: dict[str, dict[int, Sidecar]] = defaultdict(dict)
    for one in found:
        tasks[one.id].setdefault(one.position, one)
    return await ledger.restore([_row(list(of.values())) for of in tasks.values()])


class Memory:
    """A ledger as another thread sees it; `loop` is the one that it is used on."""

    def __init__(self, ledger: Ledger, loop: asyncio.AbstractEventLoop) -> None:
        self._ledger = ledger
        self._loop = loop

    def known(self, ids: Sequence[str]) -> set[str]:
        """Those of which there is a task."""
        return self._done(self._known(ids))

    def note(self, found: Sequence[Sidecar]) -> int:
        """Note the tasks that these are of; how many were not known yet.

        One that no ledger can hold is left out; `LedgerError` if this one takes none now.
        """
        try:
            return sum(self._done(restore(self._ledger, found)))
        except TimeoutError:
            raise
        except (ValueError, OverflowError, OSError):  # such as a date of which there is no day
            if len({one.id for one in found}) < 2:
                return 0
        tasks: dict[str, list[Sidecar]] = defaultdict(list)
        for one in found:
            tasks[one.id].append(one)
        return sum(map(self.note, tasks.values()))

    async def _known(self, ids: Sequence[str]) -> set[str]:
        rows = await asyncio.gather(*map(self._ledger.get, ids))
        return {row.id for row in rows if row is not None}

    def _done(self, asked: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(asked, self._loop).result(PATIENCE)
        finally:
            # Where the loop has ended, nobody else does.
            if inspect.getcoroutinestate(asked) == inspect.CORO_CREATED:
                asked.close()


def _set_aside(file: Path) -> Path | None:
    """Move a damaged ledger away, with its journal; where to, if so.

    One that is only locked, or of a newer version, is in somebody's hands: `LedgerError`.
    """
    if not file.exists():
        return None
    try:
        Ledger(file).close()
    except LedgerError as error:
        if not error.damaged:
            raise
    else:
        return None
    mark = time.strftime("%Y%m%d-%H%M%S")
    aside = file.with_name(f"{file.name}.damaged-{mark}")
    file.rename(aside)
    journal = file.with_name(f"{file.name}-journal")
    if journal.exists():
        journal.rename(aside.with_name(f"{aside.name}-journal"))
    return aside


def _row(pictures: list[Sidecar]) -> TaskRow:
    pictures.sort(key=lambda one: one.position)
    first = pictures[0]
    return TaskRow(
        first.id,
        "stored",
        first.request,
        first.origin,
        first.price,
        first.created,
        first.task_id or None,
        first.seconds,
        tuple(PictureRow(p.url, p.file, p.sha256, p.width, p.height) for p in pictures),
        account=first.account,
        cell=first.cell,
        references=first.references,
    )
