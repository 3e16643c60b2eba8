"""Drive a real Jupyter kernel, of this interpreter or of another one.

All sockets live on one thread, that of ``ThreadedKernelClient``: ZeroMQ sockets must not be
shared between threads. Whoever waits sleeps on a condition, which that thread notifies.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager
from jupyter_client.threaded import ThreadedKernelClient, ThreadedZMQSocketChannel
from traitlets import Type

from .environment import child_environment
from .outputs import Message, MimeBundle, Output, OutputArea, Screen

START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
_PULSE = 0.5  # how often a waiting caller looks whether the process is still there
_LOG_TAIL = 3000
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class KernelTimeoutError(TimeoutError):
    """Something did not happen in the kernel in time."""


class KernelDiedError(RuntimeError):
    """The kernel's process ended while an answer was awaited."""


@dataclass(frozen=True)
class Reply:
    """The answer to one execute request, and what its cell shows.

    ``text``, ``stderr``, ``displays`` and ``outputs`` are read when asked for, so they follow
    what a background thread adds or updates after the reply.
    """

    id: str
    status: str
    ename: str
    evalue: str
    seconds: float
    area: OutputArea

    @property
    def text(self) -> str:
        """Stdout and the text form of results, in order."""
        return self.area.text()

    @property
    def stderr(self) -> str:
        """Everything written to stderr."""
        return self.area.stream_text("stderr")

    @property
    def outputs(self) -> list[Output]:
        """The displays and results with their metadata, as now shown."""
        return self.area.rich()

    @property
    def displays(self) -> list[MimeBundle]:
        """The mime bundles of the displays and results, as now shown."""
        return [output.data for output in self.area.rich()]

    @property
    def traceback(self) -> str:
        """The error as shown, without colours; empty when there was none."""
        return _ANSI.sub("", "\n".join(self.area.traceback))


class Kernel:
    """A running kernel; use it as a context manager.

    ``env`` is added to a clean environment (see :func:`child_environment`), and ``answers``
    holds what is typed at the next ``input()`` or ``getpass()`` prompts. ``start_up`` is run in
    every kernel before its first cell, unseen.
    """

    start_up: ClassVar[str] = ""

    def __init__(
        self,
        python: str | Path = sys.executable,
        env: Mapping[str, str | None] | None = None,
        cwd: str | Path | None = None,
    ) -> None:
        """Describe the kernel; it starts on entering the context."""
        self._python = str(python)
        self._extra_env = dict(env or {})
        self._cwd = cwd
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._news = threading.Condition()
        self._log_path: Path | None = None
        self._last_log = ""
        self._manager = KernelManager()
        self._client = _Client()
        self._reset()

    def _reset(self) -> None:
        self._screen = Screen()
        self._replies: dict[str, Message] = {}
        self._arrived: dict[str, float] = {}
        self._sent: dict[str, float] = {}
        self.answers: deque[str] = deque()

    # ------------------------------------------------------------------ life

    def __enter__(self) -> Kernel:
        """Start the kernel and wait until it answers."""
        self._scratch = tempfile.TemporaryDirectory(prefix="kernel-", ignore_cleanup_errors=True)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Shut the kernel down, politely first."""
        self.close()

    @property
    def folder(self) -> Path:
        """The kernel's own temporary folder, which holds its default NANOBANANA_HOME."""
        if self._scratch is None:
            raise RuntimeError("the kernel has not been started")
        return Path(self._scratch.name)

    def _start(self) -> None:
        self._reset()
        self._log_path = self.folder / "kernel.log"
        self._manager = KernelManager(
            kernel_name="under-test",
            kernel_spec_manager=_OneSpec(self._python),
            connection_file=str(self.folder / f"connection-{time.monotonic_ns()}.json"),
        )
        with self._log_path.open("ab") as log:
            self._manager.start_kernel(
                env=child_environment(self.folder, self._extra_env),
                cwd=str(self._cwd or self.folder),
                stdout=log,
                stderr=log,
            )
        self._client = _Client()
        self._client.load_connection_info(self._manager.get_connection_info())
        self._client.listen(self._handle)
        self._wait_ready()
        if self.start_up:
            ran = self.run(self.start_up, silent=True, store_history=False)
            if ran.status != "ok":
                raise RuntimeError(f"the start-up failed\n{ran.ename}: {ran.evalue}")

    def _wait_ready(self) -> None:
        """Ask for kernel info until both the answer and its iopub traffic get through."""
        end = time.monotonic() + START_TIMEOUT
        while time.monotonic() < end:
            request = self._client.kernel_info()
            if self._wait(partial(self._finished, request), timeout=1):
                self.info: dict[str, Any] = self._replies[request]["content"]
                return
        raise KernelTimeoutError(f"no kernel in {START_TIMEOUT} s\n{self.log[-_LOG_TAIL:]}")

    def close(self) -> None:
        """Stop the process, the channels and the temporary folder; safe to call twice."""
        self._stop()
        if self._scratch is not None:
            self._last_log = self.log
            self._log_path = None
            self._scratch.cleanup()
            self._scratch = None

    def _stop(self) -> None:
        if self._manager.has_kernel:
            self._manager.shutdown_kernel(now=not self.alive)
        if self._client.channels_running:
            self._client.stop_channels()

    def restart(self) -> None:
        """Do what "Restart Kernel" does: a new process, the same folder and environment."""
        self._stop()
        self._start()

    def interrupt(self) -> None:
        """Press Stop.

        Within a few milliseconds of an output, IPython 7.34 on Python 3.11 can lose the whole
        reply: its traceback printer fails on a frame without a line number. Let the cell reach
        the place where it waits first.
        """
        self._manager.interrupt_kernel()

    def kill(self) -> None:
        """End the process at once, as the out-of-memory killer would."""
        os.kill(self.pid, signal.SIGKILL)
        end = time.monotonic() + STOP_TIMEOUT
        while self.alive and time.monotonic() < end:
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """The process id of the kernel."""
        process: Any = self._manager.provisioner
        return int(process.pid)

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return bool(self._manager.is_alive())

    @property
    def log(self) -> str:
        """What the process itself wrote to its stdout and stderr."""
        if self._log_path is None or not self._log_path.exists():
            return self._last_log
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    # --------------------------------------------------------------- talking

    def run(self, code: str, timeout: float = 60, **how: Any) -> Reply:
        """Run one cell and wait for its end; ``how`` is as for ``send``."""
        return self.reply(self.send(code, **how), timeout)

    def send(
        self,
        code: str,
        *,
        stop_on_error: bool = False,
        store_history: bool = True,
        silent: bool = False,
        allow_stdin: bool | None = None,
        cell_id: str = "",
    ) -> str:
        """Queue one cell and return the id of the request.

        With ``stop_on_error``, as in "Run All Cells", an error drops the cells queued behind.
        Notebooks send a ``cell_id`` and allow stdin; runners do neither, as here by default.
        """
        started = time.monotonic()
        content = {
            "code": code,
            "silent": silent,
            "store_history": store_history,
            "user_expressions": {},
            "allow_stdin": bool(self.answers) if allow_stdin is None else allow_stdin,
            "stop_on_error": stop_on_error,
        }
        metadata = {"cellId": cell_id} if cell_id else {}
        message = self._client.session.msg("execute_request", content, metadata=metadata)
        request = str(message["header"]["msg_id"])
        self._sent[request] = started
        self._client.shell_channel.send(message)
        return request

    def reply(self, request: str, timeout: float = 60) -> Reply:
        """Wait for the end of a cell that was sent."""
        if not self._wait(lambda: self._finished(request), timeout):
            raise KernelTimeoutError(
                f"no reply in {timeout} s; shown so far: {self.area(request).text()[-_LOG_TAIL:]!r}"
                f"\nlog: {self.log[-_LOG_TAIL:]}"
            )
        content = self._replies[request]["content"]
        area = self.area(request)
        if not area.traceback:
            area.traceback = list(content.get("traceback", []))
        return Reply(
            id=request,
            status=content["status"],
            ename=content.get("ename", ""),
            evalue=content.get("evalue", ""),
            seconds=self._arrived[request] - self._sent[request],
            area=area,
        )

    def area(self, request: str) -> OutputArea:
        """Return what a cell shows now, also while it runs."""
        return self._screen.area(request)

    def wait_until(self, condition: Callable[[], bool], timeout: float = 20) -> None:
        """Wait until ``condition`` holds; it is looked at after every message."""
        if not self._wait(condition, timeout):
            raise KernelTimeoutError(f"not true within {timeout} s\n{self.log[-_LOG_TAIL:]}")

    def send_comm(self, comm_id: str, data: dict[str, Any]) -> str:
        """Send a message to a widget, as the front end does."""
        message = self._client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        self._client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def click(self, model_id: str) -> str:
        """Press a ``widgets.Button``."""
        click = {"method": "custom", "content": {"event": "click"}}
        return self.send_comm(model_id, click)

    # --------------------------------------------------------------- waiting

    def _finished(self, request: str) -> bool:
        return request in self._replies and self._screen.area(request).idle

    def _wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            with self._news:
                if self._news.wait_for(condition, timeout=max(0.0, min(left, _PULSE))):
                    return True
            if left <= 0:
                return False
            if not self.alive:
                raise KernelDiedError(f"the kernel died\n{self.log[-_LOG_TAIL:]}")

    def _handle(self, channel: str, message: Message) -> None:
        """Take one message in; called on the thread of the sockets."""
        with self._news:
            if channel == "iopub":
                self._screen.handle(message)
            elif channel == "stdin":
                self._client.input(self.answers.popleft() if self.answers else "")
            else:
                request = message["parent_header"].get("msg_id", "")
                self._replies[request] = message
                self._arrived[request] = time.monotonic()
            self._news.notify_all()


class _Channel(ThreadedZMQSocketChannel):
    """Passes what arrives to ``sink``, on the thread of the sockets."""

    sink: Callable[[Message], None] | None = None

    def call_handlers(self, msg: Message) -> None:
        """Take one message in."""
        if self.sink is not None:
            self.sink(msg)


class _Client(ThreadedKernelClient):
    """A client made of those channels."""

    iopub_channel_class = Type(_Channel)
    shell_channel_class = Type(_Channel)
    stdin_channel_class = Type(_Channel)
    control_channel_class = Type(_Channel)

    def listen(self, handle: Callable[[str, Message], None]) -> None:
        """Open the channels; ``handle`` gets the name of the channel and the message."""
        self.start_channels(hb=False)
        self.shell_channel.sink = partial(handle, "shell")
        self.iopub_channel.sink = partial(handle, "iopub")
        self.stdin_channel.sink = partial(handle, "stdin")
        self.control_channel.sink = partial(handle, "control")


class _OneSpec(KernelSpecManager):
    """Knows one kernel: ipykernel under the interpreter it was given."""

    def __init__(self, python: str) -> None:
        super().__init__()
        self._python = python

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the only specification, whatever the name."""
        argv = [self._python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name=kernel_name, language="python")
