"""What a waiting cell is told about its tasks, while they go on and when it stops waiting."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import display
from .models import PRICE
from .portal import Job, current_job


class Report:
    """The progress of one job, handed to whoever waits each time that it changes."""

    def __init__(self, count: int, expected: float, money: str = "") -> None:
        self._job: Job[Any] = current_job()
        self._progress = display.Progress(
            (display.Item(),) * count, time.monotonic(), expected, PRICE * count, money
        )
        self._job.report(self._progress)

    def trackers(self) -> list[Tracker]:
        """One for each task, in their order."""
        return [Tracker(self, number) for number in range(len(self._progress.items))]

    def set(self, number: int, changes: dict[str, str]) -> None:
        """Change one task's item."""
        items = list(self._progress.items)
        items[number] = replace(items[number], **changes)
        self._progress = replace(self._progress, items=tuple(items))
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
    return " ".join(parts or ["Nothing was sent, nothing was billed."])


def _going_on(what: str, names: Sequence[str]) -> str:
    """`Task a1b2 goes on ($0.03)`, or `Tasks a1b2, c3d4 go on ($0.06)`."""
    goes = "go" if len(names) > 1 else "goes"
    return f"{_named(what, names)} {goes} on ({display.money(PRICE * len(names))})"


def _named(what: str, names: Sequence[str]) -> str:
    return f"{what}{'s' if len(names) > 1 else ''} {', '.join(names)}"
