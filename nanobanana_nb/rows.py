"""What the ledger holds, as values: the states of a task, and its row."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal

from .models import ImageRequest

State = Literal[
    "queued",  # wanted, not sent
    "sending",  # may be billed from here on
    "submitted",  # billed; the task id is known
    "ready",  # finished; the links are known
    "fetching",  # being downloaded
    "stored",  # on disk
    "parked",  # still running at the deadline; looked after now and then
    "unknown",  # maybe billed, and no task id
    "rejected",  # the API took no task
    "failed",  # the task ended without a picture
    "expired",  # billed, and the links are dead
    "abandoned",  # dropped, by us before it was sent, or by a person
]
UNFINISHED: Final[tuple[State, ...]] = ("submitted", "ready", "fetching", "parked")


@dataclass(frozen=True, slots=True)
class PictureRow:
    """One result: its link, and its file once it is stored."""

    url: str
    file: Path | None = None
    sha256: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task as the ledger knows it. Times are Unix time; `seconds` is the API's own figure.

    `references` says by their content what it was drawn from: a sha256 each, or a link.
    """

    id: str
    state: State
    request: ImageRequest
    origin: str
    price: Decimal
    created: float
    task_id: str | None = None
    seconds: float | None = None
    pictures: tuple[PictureRow, ...] = ()
    account: str = ""
    sent: float | None = None
    error: str = ""
    fail_code: str = ""
    cell: str | None = None
    starred: bool = False
    note: str = ""
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback that came for the attempt `id` and named `task_id`: a hint, and no more.

    `state` and `known` are those of the attempt: known is its task id, if there is one. `number`
    tells the callback from all others, and those before it are smaller.
    """

    number: int
    id: str
    task_id: str
    state: State
    known: str | None

    @property
    def is_news(self) -> bool:
        """Whether it names a task that we do not know, and no answer is on its way that may."""
        return self.task_id != self.known and self.state not in ("queued", "sending")


@dataclass(frozen=True)
class Intent:
    """One request to draw, before it is noted. `cell` is its replay key, `follows` the task that it
    stands in for; `references` are the contents of what it is drawn from. `once`: not where another
    task than that has its key already."""

    request: ImageRequest
    cell: str | None = None
    follows: str | None = None
    references: tuple[str, ...] = ()
    once: bool = False


@dataclass(frozen=True)
class Account:
    """Whose tasks: the address of the API and a mark of the key."""

    origin: str
    mark: str = ""


@dataclass(frozen=True)
class Spent:
    """US dollars that this home has spent, surely or maybe, and how much of it is in doubt."""

    today: Decimal
    session: Decimal
    ever: Decimal
    unknown: int
    at_risk: Decimal


@dataclass(frozen=True)
class Earlier:
    """A balance noted earlier (Unix time, US dollars), what this home has spent since then, and
    how many of these tasks are `unknown`."""

    seen: float
    amount: Decimal
    spent: Decimal
    unknown: int
