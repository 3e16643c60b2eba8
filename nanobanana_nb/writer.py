"""The one thread that touches the ledger's database."""

from __future__ import annotations

import concurrent.futures
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from .errors import LedgerError

T = TypeVar("T")


class Writer:
    """The one thread that touches the database.

    Not an executor's: those take no more work while the interpreter ends, and just then the id of
    a task that is paid for may still have to be noted.
    """

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="nanobanana_nb-ledger", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., T], *arguments: Any) -> concurrent.futures.Future[T]:
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        if self._closed:
            future.set_exception(LedgerError("The ledger is closed; the studio has ended."))
            return future

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function(*arguments))
            except BaseException as error:  # noqa: BLE001 - it is raised again in the caller
                future.set_exception(error)

        self._work.put(work)
        return future

    def close(self) -> None:
        self._closed = True
        self._work.put(None)
        self._thread.join(10)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
