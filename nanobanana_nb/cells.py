"""Which cell asks: what makes two requests "the same cell run again", in this kernel and the next.

IPython says when a cell begins and ends. What it is called is in the message the kernel works on:
its source, the front end's id of the cell, and whether the front end can be asked questions.
(Neither `execution_count` nor `displayhook.exec_result` tells whether a cell is running: IPython 9
counts at the start, and a `run_cell` within a cell, as in `%%capture`, clears the other.)
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

_LOCK: Final = threading.RLock()
_ATTRIBUTE: Final = "_nanobanana_cells"


@dataclass(frozen=True)
class Cell:
    """One execution of one cell. `folder`, `source` and `twin` name the cell across kernels."""

    folder: str
    """Where the kernel was started; `%cd` does not move it."""
    source: str
    """The SHA-256 of what stands in the cell."""
    twin: int
    """0 for the first cell with this source in this kernel, 1 for the second, and so on."""
    first: bool
    """Whether this cell asks for the first time in this kernel."""
    execution: int
    """Counts the executions in this kernel that asked."""
    _asked: Counter[str] = field(default_factory=Counter, repr=False, compare=False)


def running() -> Cell | None:
    """The cell the caller works for, the same object throughout one execution.

    None outside IPython, between cells, and in a widget's callback, also while a cell runs. Ask
    where the request is made: another thread is taken to work for the cell that runs.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return Cells.of(shell).running() if shell is not None else None


def next_ordinal(cell: Cell, key: str) -> int:
    """How many requests of this key this execution made before; asking counts as making one."""
    with _LOCK:
        cell._asked[key] += 1
        return cell._asked[key] - 1


@dataclass
class _Execution:
    """What IPython was asked to run, and whether it still runs."""

    request: str
    """The id of the message that asked; empty in a terminal."""
    code: str
    identity: str
    """The cell it belongs to, among those with the same source."""
    runs: bool = True
    cell: Cell | None = None


class Cells:
    """The cells that have asked in one kernel: one instance for each shell."""

    @classmethod
    def of(cls, shell: Any) -> Cells:
        """The one of this shell, watching."""
        with _LOCK:
            found: Cells | None = getattr(shell, _ATTRIBUTE, None)
            if found is None:
                found = cls(shell)
                setattr(shell, _ATTRIBUTE, found)
            found.watch()
            return found

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._twins: dict[str, dict[str, int]] = {}
        self._count = 0
        self._watching = False
        self._latest: _Execution | None = None

    def watch(self) -> None:
        """Have IPython tell when cells begin and end, if it does not do so yet."""
        if not self._watching:
            self._watching = True
            self._latest = self._already_running()
            self._shell.events.register("pre_run_cell", self._begins)
            self._shell.events.register("post_run_cell", self._ended)

    def rest(self) -> None:
        """Leave IPython's events as they were; which cells have asked stays known."""
        if self._watching:
            self._watching = False
            self._shell.events.unregister("pre_run_cell", self._begins)
            self._shell.events.unregister("post_run_cell", self._ended)

    def running(self) -> Cell | None:
        """The cell that the caller works for, if any."""
        with _LOCK:
            latest = self._latest
            if latest is None or not latest.runs:
                return None
            if _request_here(self._shell) not in ("", latest.request):
                return None
            if latest.cell is None:
                latest.cell = self._name(latest)
            return latest.cell

    def _name(self, execution: _Execution) -> Cell:
        source = _hash(execution.code)
        twins = self._twins.setdefault(source, {})
        first = execution.identity not in twins
        twin = twins.setdefault(execution.identity, len(twins))
        self._count += 1
        return Cell(str(self._shell.starting_dir), source, twin, first, self._count)

    def _begins(self, info: Any) -> None:
        asked = _asked(self._shell, info)
        with _LOCK:
            latest = self._latest
            if asked and not (latest and asked.request and asked.request == latest.request):
                self._latest = asked  # else `run_cell` was called within the cell

    def _ended(self, result: Any) -> None:
        with _LOCK:
            latest = self._latest
            if latest and (result is None or result.info.raw_cell == latest.code):
                latest.runs = False  # else only a `run_cell` within it ended

    def _already_running(self) -> _Execution | None:
        """The cell that imports us, which began before we could watch."""
        doing, done = self._shell.displayhook.exec_result, self._shell.last_execution_result
        asked = _asked(self._shell, getattr(doing, "info", None))
        if asked and doing is None and done is not None and done.info.raw_cell == asked.code:
            return None  # a task that the cell has left behind
        return asked


def _asked(shell: Any, info: Any) -> _Execution | None:
    """What a front end wants run; None for what is no cell of a person's.

    Runners (nbclient and all that is built on it, nbval) send no id and cannot be asked
    questions; they run each cell once, so that each execution is a cell of its own. Voila does so
    without history. Where there is no id, a source run again is the same cell again.
    """
    if getattr(shell, "kernel", None) is None:
        if not getattr(info, "store_history", False):  # a startup file, `ipython -c`, `%%capture`
            return None
        return _Execution("", info.raw_cell, "")
    message = shell.get_parent() or {}
    header, content = message.get("header", {}), message.get("content", {})
    if header.get("msg_type") != "execute_request" or content.get("silent"):
        return None
    if header.get("subshell_id"):  # beside the cell that runs
        return None
    metadata = message.get("metadata") or {}
    cell_id = metadata.get("cellId") or (metadata.get("colab") or {}).get("cell_id")
    alone = "" if content.get("allow_stdin") else header["msg_id"]
    return _Execution(header["msg_id"], content["code"], str(cell_id or alone))


def _request_here(shell: Any) -> str:
    """The id of the message that this thread or task works for; empty if that is not known."""
    if getattr(shell, "kernel", None) is None:
        return ""
    # ipykernel 7 answers in a thread that has no message with the latest one of any thread, which
    # a click may have sent while the cell runs.
    own = getattr(shell, "_parent_header", None)
    message = own.get(None) if isinstance(own, ContextVar) else shell.get_parent()
    return str(((message or {}).get("header") or {}).get("msg_id", ""))


def _hash(code: str) -> str:
    lines = re.split(r"\r\n?|\n", code)
    filled = [number for number, line in enumerate(lines) if line.strip()]
    kept = lines[filled[0] : filled[-1] + 1] if filled else []
    return hashlib.sha256("\n".join(kept).encode("utf-8", "surrogatepass")).hexdigest()
