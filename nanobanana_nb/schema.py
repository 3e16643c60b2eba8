"""The ledger's file: its tables, numbered migrations, and how it is opened.

Rollback journal and full sync, because what it holds was paid for; WAL is not used, because SQLite
before 3.51.3 can corrupt it when two kernels share one file.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
import unicodedata
from pathlib import Path
from typing import Final

MIGRATIONS: Final = (
    """
    CREATE TABLE task (
        id TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        model TEXT NOT NULL,
        origin TEXT NOT NULL,
        prompt TEXT NOT NULL,
        aspect_ratio TEXT NOT NULL,
        output_format TEXT NOT NULL,
        image_urls TEXT NOT NULL,
        price TEXT NOT NULL,
        created REAL NOT NULL,
        changed REAL NOT NULL,
        task_id TEXT,
        seconds REAL,
        error TEXT
    ) STRICT;
    CREATE INDEX task_by_task_id ON task (task_id);
    CREATE INDEX task_by_state ON task (state);
    CREATE TABLE picture (
        task TEXT NOT NULL REFERENCES task (id),
        position INTEGER NOT NULL,
        url TEXT NOT NULL,
        file TEXT,
        sha256 TEXT,
        width INTEGER,
        height INTEGER,
        PRIMARY KEY (task, position)
    ) STRICT;
    """,
    # Leases, replay, budget, history. `day` is the local date whose budget the task counts
    # against, NULL while it is surely not billed; `cell` is the replay key; `follows` is the
    # earlier task that a person or `task_retries` had drawn again.
    """
    ALTER TABLE task ADD COLUMN account TEXT NOT NULL DEFAULT '';
    ALTER TABLE task ADD COLUMN owner TEXT NOT NULL DEFAULT '';
    ALTER TABLE task ADD COLUMN lease REAL;
    ALTER TABLE task ADD COLUMN session TEXT NOT NULL DEFAULT '';
    ALTER TABLE task ADD COLUMN sent REAL;
    ALTER TABLE task ADD COLUMN day TEXT;
    ALTER TABLE task ADD COLUMN cell TEXT;
    ALTER TABLE task ADD COLUMN follows TEXT;
    ALTER TABLE task ADD COLUMN fail_code TEXT;
    ALTER TABLE task ADD COLUMN starred INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE task ADD COLUMN note TEXT NOT NULL DEFAULT '';
    UPDATE task SET sent = created, day = date(created, 'unixepoch', 'localtime')
        WHERE task_id IS NOT NULL OR state IN ('sending', 'unknown');
    CREATE INDEX task_by_cell ON task (cell, created);
    CREATE INDEX task_by_day ON task (day, price);
    CREATE INDEX task_by_created ON task (created);
    CREATE TABLE balance (
        seen REAL NOT NULL,
        origin TEXT NOT NULL,
        account TEXT NOT NULL,
        amount TEXT NOT NULL
    ) STRICT;
    """,
    # Lineage: `content` is the sha256 of the reference's bytes, or its link. `task_by_page` holds
    # all that a page is chosen and counted by.
    """
    CREATE TABLE reference (
        task TEXT NOT NULL REFERENCES task (id),
        position INTEGER NOT NULL,
        content TEXT NOT NULL,
        PRIMARY KEY (task, position)
    ) STRICT;
    CREATE INDEX reference_by_content ON reference (content);
    CREATE INDEX picture_by_sha256 ON picture (sha256);
    CREATE INDEX picture_by_url ON picture (url);
    CREATE INDEX task_by_page ON task (created, state, starred, id);
    DROP INDEX task_by_created;
    """,
    # What batches go by: between which seconds after its submit a task was done, as we saw it, and
    # what is known of an account's limits (`admission.Admission`).
    """
    ALTER TABLE task ADD COLUMN done_after REAL;
    ALTER TABLE task ADD COLUMN done_before REAL;
    CREATE INDEX task_by_duration ON task (created) WHERE done_before IS NOT NULL;
    CREATE INDEX task_by_owner ON task (owner) WHERE lease IS NOT NULL;
    CREATE TABLE admission (
        origin TEXT NOT NULL,
        account TEXT NOT NULL,
        state TEXT NOT NULL,
        PRIMARY KEY (origin, account)
    ) STRICT;
    """,
    # Callbacks: what the tokens of this home are made with, and which task ids came for an attempt.
    # One is settled when nothing can come of it any more.
    """
    CREATE TABLE receiver (secret TEXT NOT NULL) STRICT;
    INSERT INTO receiver VALUES (lower(hex(randomblob(32))));
    CREATE TABLE callback (
        number INTEGER PRIMARY KEY,
        task TEXT NOT NULL REFERENCES task (id),
        task_id TEXT NOT NULL,
        seen REAL NOT NULL,
        settled INTEGER NOT NULL,
        UNIQUE (task, task_id)
    ) STRICT;
    CREATE INDEX callback_by_task_id ON callback (task_id);
    CREATE INDEX callback_open ON callback (number) WHERE settled = 0;
    """,
)


def connect(file: Path) -> sqlite3.Connection:
    """A connection to the ledger, made or brought up to date first."""
    with contextlib.suppress(OSError):  # a new file is for this user only; opening tells the rest
        file.touch(mode=0o600, exist_ok=True)
    connection = sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.create_function("holds", 2, _holds, deterministic=True)
        _check(connection)
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def anything_left(file: Path) -> bool:
    """Whether some task of an earlier kernel may want looking after; looks without opening more."""
    if not file.is_file():
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as db:
            ended = "('stored', 'rejected', 'failed', 'expired', 'abandoned')"
            sql = f"SELECT 1 FROM task WHERE state NOT IN {ended} LIMIT 1"  # noqa: S608
            return db.execute(sql).fetchone() is not None
    except sqlite3.Error:
        return True  # opening it in earnest will tell what is wrong


def plain(text: str) -> str:
    """The text as a search sees it: without case and accents."""
    if text.isascii():  # most are, and a search reads thousands
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _holds(text: str, words: str) -> bool:
    """Whether each of the words (a JSON list of plain ones) stands somewhere in the text."""
    searched = plain(text)
    return all(word in searched for word in _read(words))


@functools.lru_cache(maxsize=8)
def _read(words: str) -> tuple[str, ...]:
    return tuple(json.loads(words))


def _check(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        connection.execute("ROLLBACK")
        raise sqlite3.NotSupportedError("it was written by a newer version of nanobanana-nb")
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        for statement in script.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute("COMMIT")
