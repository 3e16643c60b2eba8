"""Everything that can go wrong, as one tree. Ground floor: imports nothing of ours.

    NanoBananaError            everything that we raise on purpose
    ├── ConfigError            no key, a bad setting, a folder that cannot be written
    ├── RequestError           refused by us before anything was sent; nothing was spent
    │   └── BudgetReached      the day's budget has no room for it
    ├── LedgerError            the ledger would not take a change; nothing was sent after it
    │   └── LeaseLost          another studio or kernel looks after this task now
    ├── TransportError         the API could not be reached; no task was made
    ├── SubmitUnknown          a task may have been made and billed, but no id came back
    ├── APIError               the API said no
    │   ├── KeyRefused         401: the key is missing or invalid
    │   ├── BalanceTooLow      402, "Insufficient credits", INSUFFICIENT_*
    │   ├── AccessDenied       403: the key may not use this model
    │   ├── TaskNotFound       404: the API does not know this task
    │   ├── RateLimited        429
    │   └── ServerError        500, 502, 503, 504
    ├── TaskFailed             the task was accepted and ended without a picture
    │   └── ContentRefused     because of what the prompt or a picture shows
    ├── WaitTimeout            still running when we stopped waiting; the task goes on
    └── DownloadError          the picture is ready but could not be fetched or read
    Stopped                    Stop was pressed (a KeyboardInterrupt); the task goes on

Each error says in one line what happened, why, and what to do next, and carries its evidence as
plain values. In a notebook that line is all that is shown.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

UNSEEN: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
"""What steers a terminal, turns a line around, or cannot be seen or sent; but not the end of a
line, nor the joiners U+200C and U+200D: without them emoji fall apart and Persian is misspelt."""


class OneLine:
    """An exception that a notebook shows as one line instead of a traceback.

    It may name what strangers have written, such as a file or the keys of a batch: of that, nothing
    steers a terminal or turns the line around.
    """

    def __str__(self) -> str:
        return UNSEEN.sub(" ", super().__str__())

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class NanoBananaError(OneLine, Exception):
    """The root of the tree."""


class ConfigError(NanoBananaError):
    """A setting is missing or wrong; nothing was sent."""


class RequestError(NanoBananaError, ValueError):
    """The request was refused before it was sent; nothing was spent."""


class BudgetReached(RequestError):
    """The day's budget (`NANOBANANA_BUDGET`) has no room for the picture; it was not sent."""


class LedgerError(NanoBananaError):
    """The ledger did not accept a change. `damaged`: its file is no sound database any more."""

    def __init__(self, message: str, *, damaged: bool = False) -> None:
        super().__init__(message)
        self.damaged = damaged


class LeaseLost(LedgerError):
    """Another studio or kernel of this home looks after the task; nothing is wrong with it."""


class TransportError(NanoBananaError):
    """The API could not be reached. No task was made; trying again is safe.

    `retryable` says whether it can help: not where the server's certificate is refused.
    """

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class SubmitUnknown(NanoBananaError):
    """The submit may have been accepted and billed, but its answer never arrived.

    `attempt_id` is the ledger's own id of the attempt. It is never sent again by itself.
    """

    def __init__(self, message: str, *, attempt_id: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.attempt_id = attempt_id
        self.status = status


class APIError(NanoBananaError):
    """The API answered with an error. `code` is its own word for it, `detail` its own text."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        detail: str = "",
        retry_after: float | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        """Seconds that the API asked us to wait, where it said so."""
        self.retryable = retryable
        """The API says that it took no task, and that the same request may be sent again."""


class KeyRefused(APIError):
    """401: the key is missing or invalid."""


class BalanceTooLow(APIError):
    """The account has too little money for this task."""


class AccessDenied(APIError):
    """403: the key may not use this model."""


class TaskNotFound(APIError):
    """404: the API does not know the task or the model."""


class RateLimited(APIError):
    """429: too many requests, or too many tasks at once."""


class ServerError(APIError):
    """500, 502, 503, 504: trouble at the API or behind it."""


class TaskFailed(NanoBananaError):
    """The task was accepted and ended without a picture."""

    def __init__(
        self, message: str, *, code: str = "", detail: str = "", task_id: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail
        self.task_id = task_id


class ContentRefused(TaskFailed):
    """The prompt, a reference or the result was refused for what it shows."""


class WaitTimeout(NanoBananaError):
    """The task was still running at the deadline. It goes on, and may be collected later."""

    def __init__(self, message: str, *, task_id: str, waited: float) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.waited = waited


class DownloadError(NanoBananaError):
    """The picture exists but could not be fetched or read. `gone`: the link no longer leads to one;
    `unreached`: the network or the server was in trouble, which says nothing of the link. `kept` is
    the file of what came and cannot be used."""

    def __init__(
        self,
        message: str,
        *,
        url: str,
        gone: bool = False,
        unreached: bool = False,
        kept: Path | None = None,
    ) -> None:
        super().__init__(message)
        self.url = url
        self.gone = gone
        self.unreached = unreached
        self.kept = kept


class Stopped(OneLine, KeyboardInterrupt):
    """Stop was pressed: the cell no longer waits, and what was sent goes on."""
