"""What a waiting cell is told about its tasks, while they go on and when it stops waiting."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from . import display
from .models import PRICE
from .portal import Job, current_job

_NAMED: Final = 12
"""Tasks that are called by their ids."""
MANY: Final = 200
"""Accepted tasks from which on those that are over are not named any more."""
LANDED: Final = 16
"""Pictures that are shown while others are awaited: the latest."""


class Report:
    """The progress of one job, handed to whoever waits each time that it changes.

    `expected` says how many seconds a picture takes, `new` how many are drawn anew, and `preview`
    gives the small JPEG of a stored picture.
    """

    def __init__(
        self,
        count: int,
        expected: Callable[[], float],
        money: str = "",
        *,
        new: int | None = None,
        preview: Callable[[Path], bytes] | None = None,
    ) -> None:
        self._job: Job[Any] = current_job()
        self._items = [display.Item()] * count
        self._counts = Counter(queued=count)
        self._landed: deque[int] = deque(maxlen=LANDED)
        self._accepted: dict[int, str] = {}
        price = PRICE * (count if new is None else new)
        self._expected = expected
        self._progress = display.Progress(
            self._items, time.monotonic(), expected(), price, money, preview=preview
        )
        self._tell()

    def name(self, ids: Mapping[int, str]) -> None:
        """What some of the tasks are called."""
        for number, id_ in ids.items():
            self._items[number] = replace(self._items[number], id=id_)
        self._tell()

    def set(self, number: int, changes: dict[str, str]) -> None:
        """Change one task's item."""
        before = self._items[number]
        after = self._items[number] = replace(before, **changes)
        self._counts[before.state] -= 1
        self._counts[after.state] += 1
        more: dict[str, Any] = {}
        if (before.state, after.state) == ("sending", "submitted"):
            more = {"sent": time.monotonic(), "spent": self._progress.spent + PRICE}
        if after.file and not before.file:
            self._landed.append(number)
        if after.task_id:
            self._accepted[number] = after.task_id
            if len(self._accepted) > MANY and after.state not in display.NOT_OVER:
                del self._accepted[number]
        self._tell(**more)

    def _tell(self, **more: Any) -> None:
        """The items are not copied: of ten thousand, that would cost more than all else."""
        more |= {"counts": dict(self._counts), "landed": tuple(self._landed)}
        more |= {"accepted": tuple(self._accepted.values()), "expected": self._expected()}
        self._progress = replace(self._progress, **more)
        self._job.report(self._progress)


@dataclass(frozen=True)
class Tracker:
    """Tells a report about one of its tasks: `track(state="sending")`. Without one, nobody."""

    report: Report | None = None
    number: int = 0

    def __call__(self, **changes: str) -> None:
        if self.report is not None:
            self.report.set(self.number, changes)


def what_goes_on(progress: display.Progress | None) -> str:
    """What a stopped waiter is told: which tasks go on, at what price, and how to get them."""
    items = progress.items if progress else ()
    running = [i for i in items if i.task_id and i.state in ("submitted", "ready", "fetching")]
    unclear = [i for i in items if i.state in ("sending", "unknown")]
    done = [item.task_id for item in items if item.state == "stored"]
    parts = []
    if done:
        are = f"{_named('Task', done)} {'are' if len(done) > 1 else 'is'}"
        parts.append(f"{are} done and kept; %nanobanana_history or nb.history() shows it.")
    if running:
        parts.append(
            f"{_going_on('Task', [item.task_id for item in running])} at APIXO; "
            "%nanobanana_resume or nb.resume() shows the result."
        )
    if unclear:
        parts.append(
            f"{_going_on('Attempt', [item.id for item in unclear])}, its answer still on the way; "
            "%nanobanana_resume or nb.resume() shows what came of it."
        )
    waiting = sum(item.state in ("queued", "abandoned") for item in items)
    if parts and waiting:
        were = f"{waiting:,} {'was' if waiting == 1 else 'were'}"
        parts.append(f"{were} not sent and not billed.")
    return " ".join(parts or ["Nothing was sent, nothing was billed."])


def _going_on(what: str, names: Sequence[str]) -> str:
    """`Task a1b2 goes on ($0.03)`, or `Tasks a1b2, c3d4 go on ($0.06)`."""
    goes = "go" if len(names) > 1 else "goes"
    return f"{_named(what, names)} {goes} on ({display.money(PRICE * len(names))})"


def _named(what: str, names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"{what}{'s' if len(names) > 1 else ''} {shown}{more}"
