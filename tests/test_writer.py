"""The one thread that writes: put together, yet each piece as safe as if it were alone."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from decimal import Decimal
from pathlib import Path

import pytest

from nanobanana_nb import ImageRequest, LedgerError
from nanobanana_nb.errors import BudgetReached
from nanobanana_nb.ledger import Ledger
from nanobanana_nb.rows import Account
from nanobanana_nb.writer import TOGETHER, Writer

from .harness.disks import leave_free, mounted

ORPHAN = "FOREIGN KEY constraint failed"


def connected(file: Path) -> sqlite3.Connection:
    """A database like the ledger's; what refers to no note is found out by the commit only."""
    db = sqlite3.connect(file, timeout=0.05, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("CREATE TABLE IF NOT EXISTS note (name PRIMARY KEY, body)")
    db.execute(
        "CREATE TABLE IF NOT EXISTS remark "
        "(note REFERENCES note (name) DEFERRABLE INITIALLY DEFERRED)"
    )
    return db


class Notes:
    """A writer on a file, and what it has told the database."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.writer = Writer()
        self.said: list[str] = []
        connection = self.writer.open(lambda: connected(file))
        connection.set_trace_callback(self.said.append)

    def note(self, name: object, body: bytes = b"") -> object:
        """A piece of work that keeps a note."""
        with self.writer.transaction() as db:
            db.execute("INSERT INTO note VALUES (?, ?)", (name, body))
        return name

    def orphan(self) -> None:
        """A piece whose commit fails."""
        with self.writer.transaction() as db:
            db.execute("INSERT INTO remark VALUES ('nobody')")

    def fail(self, name: object, error: BaseException) -> None:
        """A piece that fails with half of its work done."""
        with self.writer.transaction() as db:
            db.execute("INSERT INTO note VALUES (?, '')", (name,))
            raise error

    def at_once(self, *pieces: Callable[[], object]) -> list[Future[object]]:
        """Have them done, all of which wait while the thread is busy."""
        begun, go_on = threading.Event(), threading.Event()
        self.writer.submit(lambda: begun.set() or go_on.wait())
        begun.wait()
        futures = [self.writer.submit(piece) for piece in pieces]
        go_on.set()
        return futures

    def names(self) -> list[object]:
        """The notes that are on disk, in the order in which they came."""
        with sqlite3.connect(self.file) as db:
            found = db.execute("SELECT name FROM note ORDER BY rowid").fetchall()
        db.close()
        return [name for (name,) in found]

    @property
    def commits(self) -> int:
        return self.said.count("COMMIT")


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Notes]:
    made = Notes(tmp_path / "notes.sqlite3")
    yield made
    made.writer.close()


def outcome(future: Future[object]) -> object:
    """What a piece gave, or the error that it told."""
    try:
        return future.result(10)
    except Exception as error:
        return str(error)


# Put together.


def test_what_waits_is_committed_together(notes: Notes) -> None:
    """Every commit waits for the disk: two hundred pieces are four of them."""
    futures = notes.at_once(*(functools.partial(notes.note, number) for number in range(200)))
    assert [future.result(10) for future in futures] == list(range(200))
    assert notes.names() == list(range(200))
    assert notes.commits == -(-200 // TOGETHER)


def test_a_piece_alone_waits_for_nothing(notes: Notes) -> None:
    """With nothing else to do, it is one transaction of its own."""
    assert notes.writer.submit(notes.note, "a").result(10) == "a"
    assert notes.said == ["BEGIN IMMEDIATE", "INSERT INTO note VALUES ('a', x'')", "COMMIT"]


def test_the_order_is_kept(notes: Notes) -> None:
    """A later piece sees what an earlier one did, and is told after it."""
    told: list[int] = []

    def look() -> int:
        return notes.writer._connection.execute("SELECT COUNT(*) FROM note").fetchone()[0]

    pieces = [functools.partial(notes.note, 1), look, functools.partial(notes.note, 2), look]
    futures = notes.at_once(*pieces)
    for number, future in enumerate(futures):
        future.add_done_callback(lambda _, number=number: told.append(number))
    assert [future.result(10) for future in futures] == [1, 1, 2, 2]
    assert told == [0, 1, 2, 3]


def test_nobody_is_told_before_it_is_on_disk(notes: Notes) -> None:
    """At the moment that a piece is told, another process can read it."""
    read: list[bool] = []
    for together in (1, 2, 100):
        names = [f"{together}-{number}" for number in range(together)]
        futures = notes.at_once(*(functools.partial(notes.note, name) for name in names))
        for future in futures:
            future.add_done_callback(lambda done: read.append(done.result() in notes.names()))
        assert [future.result(10) for future in futures] == names
    notes.writer.submit(int).result(10)  # behind the last callback
    assert read == [True] * 103


TELLING = """
import os, sys
from pathlib import Path
from tests.test_writer import Notes

notes = Notes(Path(sys.argv[1]))
for number in range(20_000):
    future = notes.writer.submit(notes.note, number)
    future.add_done_callback(lambda done: os.write(1, b"%d\\n" % done.result()))
notes.writer.close()
"""


def test_what_was_told_survives_a_kill(tmp_path: Path) -> None:
    """kill -9 in the middle of it: everything that somebody was told is there."""
    file = tmp_path / "notes.sqlite3"
    command = [sys.executable, "-c", TELLING, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        told = [child.stdout.readline() for _ in range(500)]
        child.kill()
        told += child.stdout.readlines()
    numbers = [int(line) for line in told if line.endswith(b"\n")]
    assert 500 <= len(numbers) < 20_000
    with sqlite3.connect(file) as db:
        kept = {number for (number,) in db.execute("SELECT name FROM note")}
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    assert set(numbers) <= kept


# What goes wrong.


def test_a_piece_that_fails_takes_nothing_with_it(notes: Notes) -> None:
    """Only its own half is undone, its own caller is told, and the rest is still one commit."""
    twice = functools.partial(notes.note, "a")
    futures = notes.at_once(
        functools.partial(notes.note, "a"),
        functools.partial(notes.fail, "half", ValueError("its own reason")),
        twice,
        functools.partial(notes.note, "b"),
    )
    assert [outcome(future) for future in futures] == [
        "a", "its own reason", "UNIQUE constraint failed: note.name", "b",
    ]  # fmt: skip
    assert notes.names() == ["a", "b"]
    assert notes.commits == 1


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with others"])
def test_what_one_piece_has_finished_stays(notes: Notes, alone: bool) -> None:
    """A piece of two transactions keeps the first when the second fails, as it does by itself."""

    def first_and_second() -> None:
        notes.note("first")
        notes.fail("second", ValueError("no"))

    pieces = [first_and_second] if alone else [first_and_second, functools.partial(notes.note, "b")]
    assert outcome(notes.at_once(*pieces)[0]) == "no"
    notes.writer.submit(int).result(10)
    assert notes.names() == (["first"] if alone else ["first", "b"])


def test_what_spoils_a_commit_for_all_is_done_again_one_by_one(notes: Notes) -> None:
    """Where it cannot be told which piece it was, each is tried by itself, and only the guilty
    ones are told; what is innocent is kept, once, even if it suffered from the others before."""

    def alone() -> str:
        if notes.writer._connection.execute("SELECT 1 FROM remark").fetchone():
            raise ValueError("somebody else's remark")
        return "alone"

    futures = notes.at_once(
        functools.partial(notes.note, "a"),
        notes.orphan,
        alone,
        functools.partial(notes.note, "b"),
        notes.orphan,
    )
    assert [outcome(future) for future in futures] == ["a", ORPHAN, "alone", "b", ORPHAN]
    assert notes.names() == ["a", "b"]


def test_a_database_that_is_locked_is_told_to_each(notes: Notes) -> None:
    """Another process holds it for longer than we wait: each is told, nothing is half done."""
    with sqlite3.connect(notes.file, isolation_level=None, check_same_thread=False) as other:
        other.execute("BEGIN IMMEDIATE")
        futures = notes.at_once(*(functools.partial(notes.note, number) for number in range(3)))
        assert [outcome(future) for future in futures] == ["database is locked"] * 3
        other.execute("ROLLBACK")
    other.close()
    assert notes.writer.submit(notes.note, "later").result(10) == "later"
    assert notes.names() == ["later"]


@pytest.mark.parametrize("size", [700_000, 4_000_000], ids=["at the commit", "in the middle"])
def test_a_full_disk_is_told_to_whom_it_concerns(tmp_path: Path, size: int) -> None:
    """SQLite then rolls back by itself, all of it: what has room is done again, and is kept."""
    with mounted(tmp_path / "disk") as disk:
        notes = Notes(disk / "notes.sqlite3")
        leave_free(disk, disk / "filler", 60)
        futures = notes.at_once(
            functools.partial(notes.note, "a"),
            functools.partial(notes.note, "big", bytes(size)),
            functools.partial(notes.note, "b"),
        )
        said = [outcome(future) for future in futures]
        assert said == ["a", "database or disk is full", "b"]
        assert notes.names() == ["a", "b"]
        (disk / "filler").unlink()
        assert notes.writer.submit(notes.note, "later").result(10) == "later"
        notes.writer.close()


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), KeyboardInterrupt()])
@pytest.mark.parametrize("more", [0, 2], ids=["alone", "with others"])
def test_no_error_ends_the_thread(notes: Notes, error: BaseException, more: int) -> None:
    """It is raised where the piece came from; what comes later is done."""
    others = [functools.partial(notes.note, number) for number in range(more)]
    (future, *rest) = notes.at_once(functools.partial(notes.fail, "half", error), *others)
    with pytest.raises(type(error)):
        future.result(10)
    assert [one.result(10) for one in rest] == list(range(more))
    assert notes.writer.submit(notes.note, "later").result(10) == "later"
    assert notes.names() == [*range(more), "later"]


def test_what_was_given_up_before_its_turn_is_not_done(notes: Notes) -> None:
    """A cancelled piece leaves nothing behind, and is no trouble to the others; nor are many."""
    begun, go_on = threading.Event(), threading.Event()
    notes.writer.submit(lambda: begun.set() or go_on.wait())
    begun.wait()
    futures = [notes.writer.submit(notes.note, number) for number in range(3 * TOGETHER)]
    kept = [0, TOGETHER + 1]
    assert all(one.cancel() for number, one in enumerate(futures) if number not in kept)
    go_on.set()
    assert [futures[number].result(10) for number in kept] == kept
    with pytest.raises(CancelledError):
        futures[1].result(10)
    assert notes.names() == kept


# The end of it.


def test_closing_finishes_what_waits(notes: Notes) -> None:
    """The id of a paid task may be among it; what comes later is told that it is too late."""
    begun, go_on = threading.Event(), threading.Event()
    notes.writer.submit(lambda: begun.set() or go_on.wait())
    begun.wait()
    futures = [notes.writer.submit(notes.note, number) for number in range(100)]
    closing = threading.Thread(target=notes.writer.close)
    closing.start()
    while not notes.writer._closed:
        closing.join(0.01)
    go_on.set()
    closing.join(10)
    assert [future.result(0) for future in futures] == list(range(100))
    assert notes.names() == list(range(100))
    with pytest.raises(LedgerError, match="closed"):
        notes.writer.submit(notes.note, "late").result(0)
    assert not notes.writer._thread.is_alive()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        notes.writer._connection.execute("SELECT 1")


def test_a_budget_holds_among_what_is_committed_together(tmp_path: Path) -> None:
    """Sixty sends in one commit, and money for ten: ten are sent, and each other one is told."""
    ledger, budget = Ledger(tmp_path / "l.sqlite3"), Decimal("0.30")

    async def main() -> list[object]:
        account = Account("https://api")
        adding = (ledger.add(ImageRequest(f"fox {n}"), account) for n in range(60))
        rows = await asyncio.gather(*adding)
        sending = (ledger.send(row.id, budget) for row in rows)
        sent = await asyncio.gather(*sending, return_exceptions=True)
        assert (await ledger.spent()).today == budget
        return [type(one) for one in sent]

    assert asyncio.run(main()) == [type(None)] * 10 + [BudgetReached] * 50
    ledger.close()
