"""How a task ended, as a value: its row, and the error where there is no picture."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal

from . import protocol
from .errors import (
    AccessDenied,
    BalanceTooLow,
    BudgetReached,
    DownloadError,
    KeyRefused,
    NanoBananaError,
    RequestError,
    SubmitUnknown,
    TaskFailed,
    WaitTimeout,
)
from .models import Failed
from .rows import TaskRow


@dataclass(frozen=True)
class Outcome:
    """How a task ended. `replayed`: it was sent by an earlier run, so this one cost nothing.

    `before` is what earlier tries of the same request cost, in US dollars; `warning` says what is
    not quite right with a picture that is there.
    """

    row: TaskRow
    error: NanoBananaError | None = None
    replayed: bool = False
    before: Decimal = Decimal(0)
    warning: str = ""

    @property
    def cost(self) -> Decimal:
        """US dollars that were surely billed; what was not drawn for want of money was not."""
        billed = self.row.task_id and not isinstance(self.error, BalanceTooLow)
        return self.before + (self.row.price if billed else Decimal(0))


def of(row: TaskRow) -> Outcome:
    """The outcome that the ledger remembers."""
    return Outcome(row, _error(row))


def shown_again(row: TaskRow) -> Outcome:
    """The same for a cell that runs once more; a failure says that it is an old one."""
    outcome = Outcome(row, _error(row), replayed=True)
    if row.state in ("failed", "expired"):
        assert outcome.error is not None  # noqa: S101 - for the reader and the type checker
        again = (
            f"This is the answer of {_when(row)}, shown again for $0.00; run the cell once more, "
            "or say --new (new=True), to draw it anew."
        )
        outcome.error.args = (f"{outcome.error} {again}",)
    return outcome


def unknown(row: TaskRow) -> SubmitUnknown:
    """The error of an attempt that may have been billed."""
    lost = protocol.maybe_billed(f"the answer to the attempt of {_when(row)} never arrived")
    error = SubmitUnknown(row.error) if row.error else lost
    error.attempt_id = row.id
    return error


def _when(row: TaskRow) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(row.sent or row.created))


def _error(row: TaskRow) -> NanoBananaError | None:
    match row.state:
        case "stored":
            return None
        case "unknown":
            return unknown(row)
        case "failed" if row.fail_code:
            return protocol.task_failed(Failed(row.fail_code, row.error), row.task_id or "")
        case "failed":
            return TaskFailed(row.error or "The task failed.", task_id=row.task_id or "")
        case "expired":
            url = row.pictures[0].url if row.pictures else ""
            return DownloadError(row.error or "The picture is gone.", url=url, gone=True)
        case "queued":
            return RequestError("It waits to be sent; nothing was billed yet.")
        case "rejected" | "abandoned":
            return RequestError(row.error or "It was never sent; nothing was billed.")
        case _:
            return WaitTimeout(
                f"Task {row.task_id or row.id} is under way; %nanobanana_resume or nb.resume() "
                "waits for it.",
                task_id=row.task_id or "",
                waited=0.0,
            )


def stops_the_queue(error: NanoBananaError) -> bool:
    """Whether every other request would be answered the same: no key, money, access or budget."""
    return isinstance(error, KeyRefused | BalanceTooLow | AccessDenied | BudgetReached)
