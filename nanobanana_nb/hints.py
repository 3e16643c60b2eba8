"""What callbacks have named, by attempts: SQL beside the ledger's own, inside its transactions."""

from __future__ import annotations

import sqlite3
from typing import Final

from .rows import Account, Callback, State

KEPT: Final = 8
"""Task ids that are noted for one attempt: one is true, and whoever knows the address may lie."""
AWAITED: Final[tuple[State, ...]] = ("queued", "sending", "submitted", "parked", "unknown")
"""While an attempt is in one of these, a callback for it is worth something."""


def note(db: sqlite3.Connection, id: str, task_id: str, now: float) -> None:  # noqa: A002
    """Keep that a callback named a task for an attempt; the same again changes nothing."""
    marks = ", ".join("?" * len(AWAITED))
    settled = f"task_id IS ? AND state NOT IN ({marks})"
    db.execute(
        "INSERT OR IGNORE INTO callback (task, task_id, seen, settled) "  # noqa: S608
        f"SELECT id, ?, ?, {settled} FROM task WHERE id = ? "
        "AND (SELECT COUNT(*) FROM callback WHERE task = ?) < ?",
        (task_id, now, task_id, *AWAITED, id, id, KEPT),
    )


def unsettled(db: sqlite3.Connection, account: Account) -> list[Callback]:
    """The callbacks of an account of which something may come yet, in their order."""
    found = db.execute(
        "SELECT number, task, callback.task_id, state, task.task_id FROM callback "
        "JOIN task ON task.id = task WHERE settled = 0 AND origin = ? AND account IN ('', ?) "
        "ORDER BY number",
        (account.origin, account.mark),
    )
    return [Callback(*columns) for columns in found]


def belongs_elsewhere(db: sqlite3.Connection, callback: Callback) -> bool:
    """Whether the task that a callback names is that of another attempt, as far as is known.

    An attempt that has a task has no claim to a second one that is named for others too; of those
    that have none, the one for which it was named first: a forger learns of it late.
    """
    found = db.execute(
        "SELECT 1 FROM task WHERE task_id = :task_id AND id <> :id UNION ALL "
        "SELECT 1 FROM callback JOIN task ON task.id = task WHERE callback.task_id = :task_id "
        "AND task <> :id AND (:known IS NOT NULL "
        "OR (state IN ('sending', 'unknown') AND number < :number)) LIMIT 1",
        {
            "task_id": callback.task_id,
            "id": callback.id,
            "known": callback.known,
            "number": callback.number,
        },
    )
    return found.fetchone() is not None


def settle(db: sqlite3.Connection, callback: Callback) -> None:
    """Nothing more can come of it."""
    db.execute("UPDATE callback SET settled = 1 WHERE number = ?", (callback.number,))


def settle_true(db: sqlite3.Connection, id: str) -> None:  # noqa: A002
    """The same for the true one of an attempt, of which the end has been seen."""
    db.execute(
        "UPDATE callback SET settled = 1 WHERE task = :id AND settled = 0 "
        "AND task_id = (SELECT task_id FROM task WHERE id = :id)",
        {"id": id},
    )
