"""With which code a command ends: what a script has to tell apart, and no more."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from . import display, outcomes
from .errors import ConfigError, NanoBananaError, Stopped, SubmitUnknown, WaitTimeout
from .results import Gallery, Generation


class Exit(IntEnum):
    """The exit codes of `nanobanana`."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    OWED = 3
    REFUSED = 4
    STOPPED = 130


MEANINGS: Final[dict[Exit, str]] = {
    Exit.DONE: "done",
    Exit.FAILED: "failed, and nothing is owed; the error says why",
    Exit.USAGE: "the command line could not be read; nothing was sent",
    Exit.OWED: "paid for, or perhaps, and not on disk yet; nanobanana resume brings it",
    Exit.REFUSED: "key, money, budget or a setting: every further call would fail too",
    Exit.STOPPED: "stopped with Ctrl-C; what was sent goes on, and is named",
}
"""What each of them says. Where several pictures end differently, the worst for the purse counts:
3 before 4 before 1."""


def of_error(error: BaseException) -> Exit:
    """The code for an error that ends a command."""
    if isinstance(error, Stopped | KeyboardInterrupt):
        return Exit.STOPPED
    if isinstance(error, SubmitUnknown | WaitTimeout):
        return Exit.OWED
    if isinstance(error, ConfigError):
        return Exit.REFUSED
    if isinstance(error, NanoBananaError) and outcomes.stops_the_queue(error):
        return Exit.REFUSED
    return Exit.FAILED


def of_all(drawn: Gallery) -> Exit:
    """The code for what became of several pictures."""
    found = {_of_one(one) for one in drawn}
    worst = (Exit.OWED, Exit.REFUSED, Exit.FAILED)
    return next((code for code in worst if code in found), Exit.DONE)


def _of_one(one: Generation) -> Exit:
    if one.error is None:
        return Exit.DONE
    if one.standing in ("unknown", *display.NOT_OVER):
        return Exit.OWED
    return of_error(one.error)
