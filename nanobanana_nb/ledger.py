"""The ledger: every task's state in SQLite, written before the act that depends on it.

All SQL is here. One thread writes; its callers await it shielded, so that a commit neither stalls
a loop nor is cut short. Rollback journal and full sync, because what it holds was paid for.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from .errors import LedgerError
from .models import MODEL, PRICE, ImageRequest

T = TypeVar("T")

State = Literal[
    "queued",  # wanted, not sent
    "sending",  # may be billed from here on
    "submitted",  # billed; the task id is known
    "ready",  # finished; the links are known
    "fetching",  # being downloaded
    "stored",  # on disk
    "parked",  # still running when we stopped waiting
    "unknown",  # maybe billed, and no task id
    "rejected",  # the API took no task
    "failed",  # the task ended without a picture
    "expired",  # billed, and the links are dead
    "abandoned",  # dropped before it was sent
]
UNFINISHED: Final[tuple[State, ...]] = ("submitted", "ready", "fetching", "parked")

_NEXT: Final[dict[State, tuple[State, ...]]] = {
    "queued": ("sending", "abandoned"),
    "sending": ("submitted", "queued", "unknown", "rejected"),
    "submitted": ("ready", "failed", "parked"),
    "parked": ("ready", "failed", "parked"),
    "ready": ("fetching", "expired"),
    "fetching": ("stored", "ready", "expired"),
    "unknown": ("submitted", "abandoned"),
}

_MIGRATIONS: Final = (
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
)


@dataclass(frozen=True)
class PictureRow:
    """One result: its link, and its file once it is stored."""

    url: str
    file: Path | None = None
    sha256: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class TaskRow:
    """One task as the ledger knows it. `created` is Unix time; `seconds` the API's own figure."""

    id: str
    state: State
    request: ImageRequest
    origin: str
    price: Decimal
    created: float
    task_id: str | None
    seconds: float | None
    pictures: tuple[PictureRow, ...]


class Ledger:
    """The tasks of one home. Every method is atomic and durable when it returns."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="nanobanana_nb-ledger")
        try:
            self._connection = self._writer.submit(_open, file).result()
        except sqlite3.Error as error:
            self._writer.shutdown()
            raise LedgerError(
                f"The ledger {file} cannot be opened ({error}), so nothing was sent; set "
                "NANOBANANA_HOME to another folder, or move that file away."
            ) from None

    async def add(self, request: ImageRequest, origin: str) -> TaskRow:
        """Note the intent: a new task, `queued`."""
        return await self._do(self._add, request, origin)

    async def move(self, id: str, state: State, **columns: Any) -> None:  # noqa: A002
        """Move a task on. Raises `LedgerError` for a step that its state does not allow."""
        await self._do(self._move, id, state, columns)

    async def ready(self, id: str, urls: Sequence[str], seconds: float | None) -> None:  # noqa: A002
        """Note the links, the moment that they are seen."""
        await self._do(self._ready, id, urls, seconds)

    async def stored(self, id: str, pictures: Sequence[PictureRow]) -> None:  # noqa: A002
        """Note the files of a task, which are on disk by now."""
        await self._do(self._stored, id, pictures)

    async def find(self, task_id: str) -> TaskRow | None:
        """The task that the API knows by this id."""
        rows = await self._do(self._select, "WHERE task_id = ?", (task_id,))
        return rows[0] if rows else None

    async def unfinished(self, origin: str) -> list[TaskRow]:
        """Tasks that were accepted by this API and are not on disk yet, oldest first."""
        marks = ", ".join("?" * len(UNFINISHED))
        where = f"WHERE state IN ({marks}) AND origin = ? ORDER BY created"
        return await self._do(self._select, where, (*UNFINISHED, origin))

    def close(self) -> None:
        """End the writer thread once all is written."""
        self._writer.submit(self._connection.close)
        self._writer.shutdown()

    async def _do(self, function: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.shield(loop.run_in_executor(self._writer, function, *arguments))
        except sqlite3.Error as error:
            raise LedgerError(
                f"The ledger did not take a change ({error}); nothing is sent until it does. "
                "Make room on the disk, or set NANOBANANA_HOME to another folder."
            ) from None

    # What follows runs in the writer thread.

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _add(self, request: ImageRequest, origin: str) -> TaskRow:
        now = self._clock()
        row = TaskRow(secrets.token_hex(4), "queued", request, origin, PRICE, now, None, None, ())
        columns = {
            "id": row.id,
            "state": row.state,
            "model": MODEL,
            "origin": origin,
            "prompt": request.prompt,
            "aspect_ratio": request.aspect_ratio,
            "output_format": request.output_format,
            "image_urls": json.dumps(request.image_urls),
            "price": str(row.price),
            "created": now,
            "changed": now,
        }
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        with self._transaction() as db:
            db.execute(f"INSERT INTO task ({names}) VALUES ({marks})", tuple(columns.values()))  # noqa: S608
        return row

    def _move(self, id: str, state: State, columns: dict[str, Any]) -> None:  # noqa: A002
        with self._transaction() as db:
            self._step(db, id, state, columns)

    def _ready(self, id: str, urls: Sequence[str], seconds: float | None) -> None:  # noqa: A002
        with self._transaction() as db:
            self._step(db, id, "ready", {"seconds": seconds})
            db.execute("DELETE FROM picture WHERE task = ?", (id,))
            db.executemany(
                "INSERT INTO picture (task, position, url) VALUES (?, ?, ?)",
                [(id, position, url) for position, url in enumerate(urls)],
            )

    def _stored(self, id: str, pictures: Sequence[PictureRow]) -> None:  # noqa: A002
        with self._transaction() as db:
            self._step(db, id, "stored", {})
            db.executemany(
                "UPDATE picture SET file = ?, sha256 = ?, width = ?, height = ? "
                "WHERE task = ? AND position = ?",
                [
                    (str(picture.file), picture.sha256, picture.width, picture.height, id, position)
                    for position, picture in enumerate(pictures)
                ],
            )

    def _step(self, db: sqlite3.Connection, id: str, state: State, columns: dict[str, Any]) -> None:  # noqa: A002
        before = tuple(old for old, following in _NEXT.items() if state in following)
        values = {"state": state, "changed": self._clock(), **columns}
        settings = ", ".join(f"{name} = ?" for name in values)
        marks = ", ".join("?" * len(before))
        changed = db.execute(
            f"UPDATE task SET {settings} WHERE id = ? AND state IN ({marks})",  # noqa: S608
            (*values.values(), id, *before),
        ).rowcount
        if changed != 1:
            raise LedgerError(f"Task {id} cannot become {state!r} from where it is.")

    def _select(self, where: str, values: Sequence[Any]) -> list[TaskRow]:
        names = (
            "id, state, prompt, aspect_ratio, output_format, image_urls, origin, price, created, "
            "task_id, seconds"
        )
        found = self._connection.execute(f"SELECT {names} FROM task {where}", values)  # noqa: S608
        return [self._row(columns) for columns in found.fetchall()]

    def _row(self, columns: Sequence[Any]) -> TaskRow:
        id_, state, prompt, ratio, output_format, urls, origin, price, created, *rest = columns
        task_id, seconds = rest
        pictures = self._connection.execute(
            "SELECT url, file, sha256, width, height FROM picture WHERE task = ? ORDER BY position",
            (id_,),
        )
        return TaskRow(
            id=id_,
            state=state,
            request=ImageRequest(prompt, ratio, output_format, tuple(json.loads(urls))),
            origin=origin,
            price=Decimal(price),
            created=created,
            task_id=task_id,
            seconds=seconds,
            pictures=tuple(
                PictureRow(url, Path(file) if file else None, sha256 or "", width or 0, height or 0)
                for url, file, sha256, width, height in pictures
            ),
        )


def _open(file: Path) -> sqlite3.Connection:
    """A connection to the ledger, made or brought up to date first."""
    connection = sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(_MIGRATIONS):
        connection.execute("ROLLBACK")
        raise sqlite3.DatabaseError("it was written by a newer version of nanobanana-nb")
    for number, script in enumerate(_MIGRATIONS[version:], version + 1):
        for statement in script.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute("COMMIT")
