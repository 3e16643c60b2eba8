"""Whose turn it is to call the API, by what the ledger holds: SQL beside the ledger's own.

What is known of an account's limits is one row, and what of it is under way is counted from its
tasks, those of other kernels included. Both are read and written inside the ledger's transactions.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from .admission import Admission, Load

FORGOTTEN: Final = 900.0
"""Seconds after which an accepted task that nobody saw end no longer counts as under way."""

Whose = tuple[str, str]
"""An account: the address of its API and the mark of its key."""


def whose(db: sqlite3.Connection, id: str) -> Whose:  # noqa: A002
    """The account of a task."""
    found = db.execute("SELECT origin, account FROM task WHERE id = ?", (id,)).fetchone()
    return found or ("", "")


def sent(db: sqlite3.Connection, id: str, otherwise: float) -> float:  # noqa: A002
    """When a task was sent, in Unix time."""
    found = db.execute("SELECT sent FROM task WHERE id = ?", (id,)).fetchone()
    return float(found[0]) if found and found[0] is not None else otherwise


def load(db: sqlite3.Connection, whose: Whose, now: float, besides: str) -> Load:
    """How much of an account is under way in all kernels of this home, besides one task."""
    counted = dict(
        db.execute(
            "SELECT state, COUNT(*) FROM task WHERE state IN ('sending', 'submitted') "
            "AND origin = ? AND account = ? AND sent > ? AND id <> ? "
            "AND (state = 'submitted' OR lease > ?) GROUP BY state",
            (*whose, now - FORGOTTEN, besides, now),
        ).fetchall()
    )
    return Load(sending=counted.get("sending", 0), running=counted.get("submitted", 0))


def known(db: sqlite3.Connection, whose: Whose) -> Admission:
    """What is known of an account's limits."""
    found = db.execute(
        "SELECT state FROM admission WHERE origin = ? AND account = ?", whose
    ).fetchone()
    return Admission.from_json(found[0]) if found else Admission()


def note(db: sqlite3.Connection, whose: Whose, known: Admission) -> None:
    """Keep what is known of an account's limits."""
    db.execute("INSERT OR REPLACE INTO admission VALUES (?, ?, ?)", (*whose, known.to_json()))
