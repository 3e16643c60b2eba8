"""The one thread that touches the ledger's database, and how it puts work together."""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from .errors import LedgerError

T = TypeVar("T")

TOGETHER: Final = 64
"""Pieces of work that are committed at once, at most."""


class _Lost(Exception):
    """The database has rolled everything back by itself, as where the disk is full."""


class _Work:
    """A function to run in the thread, and the future of its result."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._result: Any = None
        self._error: BaseException | None = None
        self.future: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def run(self) -> None:
        """Do it; nobody is told yet."""
        self._result = self._error = None
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller
            self._error = error

    def tell(self) -> None:
        """Tell who waits how it went."""
        if self._error is None:
            self.future.set_result(self._result)
        else:
            self.future.set_exception(self._error)


class Writer:
    """The one thread that touches the database.

    Work that waits while other work is done is committed with it, because every commit waits for
    the disk; nobody is told of a change before it is there. What spoils a commit for all is done
    again piece by piece.

    Not an executor's: those take no more work while the interpreter ends, and just then the id of
    a task that is paid for may still have to be noted.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._closed = False
        self._connection: Any = None
        self._grouped = False
        self._thread = threading.Thread(target=self._run, name="nanobanana_nb-ledger", daemon=True)
        self._thread.start()

    def open(self, connect: Callable[[], Any]) -> Any:
        """The connection, made in the thread."""
        self._connection = self.submit(connect).result()
        return self._connection

    def submit(self, function: Callable[..., T], *arguments: Any) -> concurrent.futures.Future[T]:
        """Have it done; what it does to the database is kept once the future is done."""
        work = _Work(lambda: function(*arguments))
        if self._closed:
            work.future.set_exception(LedgerError("The ledger is closed; the studio has ended."))
        else:
            self._queue.put(work)
        return work.future

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Any]:
        """Within, changes are kept all or not at all; for the thread's own work."""
        begin, end, back = (
            ("SAVEPOINT work", "RELEASE work", ("ROLLBACK TO work", "RELEASE work"))
            if self._grouped
            else ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))
        )
        self._connection.execute(begin)
        try:
            yield self._connection
            self._connection.execute(end)
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                for step in back:
                    self._connection.execute(step)
            raise

    def close(self) -> None:
        """Finish what waits, close the connection and end the thread."""
        self._closed = True
        self._queue.put(None)
        self._thread.join(10)

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            together: list[_Work] = []
            goes_on = self._gather(together)
            if len(together) < 2 or not self._done_together(together):
                for work in together:
                    work.run()
                    work.tell()
        if self._connection is not None:
            self._connection.close()

    def _gather(self, together: list[_Work]) -> bool:
        """Take what waits, one piece at least; whether there may be more."""
        try:
            work = self._queue.get()
            while work is not None:
                if work.future.set_running_or_notify_cancel():
                    together.append(work)
                if len(together) == TOGETHER or self._connection is None:
                    return True
                work = self._queue.get_nowait()
        except queue.Empty:
            return True
        return False

    def _done_together(self, together: list[_Work]) -> bool:
        """Do all of it in one transaction; False, and nothing is changed, if that fails."""
        try:
            with self.transaction() as connection:
                self._grouped = True
                for work in together:
                    work.run()
                    if not connection.in_transaction:
                        raise _Lost
        except Exception:  # noqa: BLE001 - each piece meets the same trouble by itself, and tells it
            return False
        finally:
            self._grouped = False
        for work in together:
            work.tell()
        return True
