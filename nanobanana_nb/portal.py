"""One event loop on one daemon thread: the only place where our coroutines run.

    portal.start(coroutine)            -> Job      goes on by itself           (the panel)
    portal.wait(coroutine)             -> result   blocks the calling thread   (magics, scripts)
    await portal.awaitable(coroutine)  -> result   from any event loop         (`await` in a cell)

Stop (Ctrl-C, the notebook's button, a cancelled `await`) *detaches* the waiter: the job is told so
and goes on, because what was sent to a paid API cannot be unsent. Why it is built this way, with
no patched loop: every other way was measured to lose cells, clicks or money in some kernel.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import ContextVar
from types import FrameType
from typing import Any, Final, Generic, TypeVar

from .errors import ConfigError

T = TypeVar("T")
Tick = Callable[[Any], None]

HEARTBEAT: Final = 0.1
"""Seconds between looks at the job: on Windows, and in async cells, a longer wait misses Stop."""
GRACE: Final = 4.5
"""Seconds that a stopped waiter stays for a submit in flight, so that it can name the task."""
DOUBLE_PRESS: Final = 0.3
"""Seconds in which a second press of Stop is the same press; later it would hit the kernel's own
code between two cells, which loses replies."""
NO_THREADS: Final = (
    "nanobanana_nb cannot draw here: this Python runs in the browser (JupyterLite, Pyodide), which "
    "has neither the threads nor the sockets that looking after paid tasks takes. Use a notebook "
    "with a Python of its own: JupyterLab, Notebook, VS Code or Colab."
)


class Job(Generic[T]):
    """Work on the portal's loop. `future` is done when the work, clean-up included, has ended."""

    def __init__(self) -> None:
        self.future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self.latest: Any = None
        self.detached = False
        self.ending = False
        self._held = 0

    def report(self, progress: Any) -> None:
        """Make `progress` what the waiter sees at its next look."""
        self.latest = progress

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """While held, a stopped waiter or a closing portal stays for up to `GRACE` seconds: a
        submit is in flight. None begins any more once the portal is closing."""
        if self.ending:
            raise asyncio.CancelledError
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    @property
    def held(self) -> bool:
        return self._held > 0

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> None:
        """Run it to its end and settle `future`; a failed job never raises on the loop."""
        _current.set(self)
        try:
            result = await coroutine
        except asyncio.CancelledError:
            self.future.cancel()
            self.future.set_running_or_notify_cancel()
            raise
        except BaseException as error:  # noqa: BLE001 - it is raised again in the waiter
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


_current: ContextVar[Job[Any]] = ContextVar("nanobanana_nb.job")


def current_job() -> Job[Any]:
    """The job that the running coroutine belongs to."""
    return _current.get()


class Portal:
    """The loop and its thread, started on first use, renewed in a forked child."""

    def __init__(self) -> None:
        if sys.platform == "emscripten":
            raise ConfigError(NO_THREADS)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._jobs: set[Job[Any]] = set()
        self._ending = False
        self._closers: list[Callable[[], Awaitable[None]]] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.close)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Job[T]:
        """Begin it on the portal's loop and return at once."""
        job: Job[T] = Job()
        self._launch(job, coroutine)
        return job

    def wait(self, coroutine: Coroutine[Any, Any, T], tick: Tick | None = None) -> T:
        """Block until it is done. `tick(job.latest)` runs here, ten times a second."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("portal.wait() was called on the portal's own loop; await it there")
        job: Job[T] = Job()
        with _interruptible():
            try:
                self._launch(job, coroutine)
                while not _ended(job, HEARTBEAT):
                    if tick is not None:
                        tick(job.latest)
            except BaseException:
                self._leave(job)
                raise
            finally:
                if tick is not None:
                    tick(job.latest)
        return job.future.result()

    async def awaitable(self, coroutine: Coroutine[Any, Any, T], tick: Tick | None = None) -> T:
        """Await it from any loop. A cancelled `await` detaches, as Stop does."""
        if threading.current_thread() is self._thread:
            return await coroutine
        job = self.start(coroutine)
        done = _mirror(job)
        with _guard.watching(job):
            try:
                while not done.done():
                    # One long await would be deaf: ipykernel's own SIGINT handler for async cells
                    # does not wake a sleeping loop (ipykernel#881).
                    await asyncio.wait([done], timeout=HEARTBEAT)
                    if tick is not None:
                        tick(job.latest)
            except BaseException:
                job.detached = True
                deadline = time.monotonic() + GRACE
                while job.held and time.monotonic() < deadline:
                    await asyncio.wait([done], timeout=HEARTBEAT)
                if tick is not None:
                    tick(job.latest)
                raise
        return job.future.result()

    def on_close(self, closer: Callable[[], Awaitable[None]]) -> None:
        """Run `closer` on the loop when the interpreter ends."""
        self._closers.append(closer)

    def close(self) -> None:
        """Let submits in flight end, cancel what else runs, close what was opened, end the thread.

        Runs at exit.
        """
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or not thread.is_alive():
            return
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._begin, loop, self._shut_down())
        thread.join(GRACE + 5)

    async def _shut_down(self) -> None:
        await self._submits_in_flight()
        begun = time.monotonic()
        # Again and again, because a task may start another one while it is cancelled.
        while others := self._others():
            for task in others:
                if _has_begun(task):
                    task.cancel()
            await asyncio.wait(others, timeout=0.5)
            if time.monotonic() - begun > 2:
                break
        for closer in self._closers:
            with contextlib.suppress(Exception):
                await closer()
        asyncio.get_running_loop().stop()

    async def _submits_in_flight(self) -> None:
        """Wait for them, within limits: cut off, one may be paid for without our knowing its task.

        No other begins meanwhile.
        """
        deadline = time.monotonic() + GRACE
        self._ending = True
        for job in self._jobs:
            job.ending = True
        while any(job.held for job in self._jobs) and (others := self._others()):
            if time.monotonic() > deadline:
                return
            await asyncio.wait(others, timeout=HEARTBEAT / 2)

    def _others(self) -> set[asyncio.Task[Any]]:
        """All tasks of the running loop but this one."""
        return asyncio.all_tasks() - {asyncio.current_task()}

    def _begin(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> None:
        task = loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _begin_job(
        self, loop: asyncio.AbstractEventLoop, job: Job[T], work: Coroutine[Any, Any, T]
    ) -> None:
        job.ending = self._ending
        self._jobs = {one for one in self._jobs if one.held or not one.future.done()} | {job}
        self._begin(loop, job.run(work))

    def _leave(self, job: Job[Any]) -> None:
        """Detach from the job: stay while a submit is in flight, and outlast a double press."""
        job.detached = True
        with _counting_interrupts() as presses:
            begun = time.monotonic()
            while job.held and time.monotonic() - begun < GRACE:
                _ended(job, HEARTBEAT)
                if presses and presses[-1] - begun > 1.0:
                    break
            time.sleep(max(0.0, begun + DOUBLE_PRESS - time.monotonic()))

    def _launch(self, job: Job[T], coroutine: Coroutine[Any, Any, T]) -> None:
        loop = self._running_loop()
        loop.call_soon_threadsafe(self._begin_job, loop, job, coroutine)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                # A plain loop, whatever policy (uvloop) the application has set, with the C task
                # class, whatever nest_asyncio has put in its place.
                self._loop = (
                    asyncio.new_event_loop() if os.name == "nt" else asyncio.SelectorEventLoop()
                )
                self._loop.set_task_factory(_c_task)
                self._ending = False
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="nanobanana_nb", daemon=True
                )
                self._thread.start()
            return self._loop

    def _forget(self) -> None:
        """In a forked child the thread is gone: begin anew."""
        self._lock = threading.Lock()
        self._loop = self._thread = None
        self._tasks = set()
        self._jobs = set()
        self._ending = False
        self._closers = []


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


def _c_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Future[Any]:
    from _asyncio import Task

    return Task(coroutine, loop=loop, **options)


def _has_begun(task: asyncio.Task[Any]) -> bool:
    """Cancelled before its first step, a task leaves a coroutine that is never awaited: what anyio
    wraps in it. Whoever started it is cancelled too, and takes it along."""
    coroutine: Any = task.get_coro()
    return inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED


def _ended(job: Job[Any], seconds: float) -> bool:
    try:
        concurrent.futures.wait([job.future], timeout=seconds)
    except RuntimeError as error:
        # Stop at an unlucky moment: Python's Condition lets go of a lock that it does not hold yet.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    return job.future.done()


def _mirror(job: Job[Any]) -> asyncio.Future[None]:
    """A future of the running loop that is done when the job is."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def wake(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the awaiting loop may be closed by now
            loop.call_soon_threadsafe(_set, done)

    job.future.add_done_callback(wake)
    return done


def _set(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """While we block the main thread, SIGINT raises KeyboardInterrupt here.

    In an async cell ipykernel (and asyncio.run) put in handlers that only schedule a callback on
    the loop that we block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is None or before is signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _counting_interrupts() -> Iterator[list[float]]:
    """Within, SIGINT only notes its time: leaving must not itself be interrupted."""
    presses: list[float] = []
    if threading.current_thread() is not threading.main_thread():
        yield presses
        return
    before = signal.signal(signal.SIGINT, lambda *_: presses.append(time.monotonic()))
    try:
        yield presses
    finally:
        signal.signal(signal.SIGINT, before)


class _AwaitGuard:
    """Ctrl-C at the prompt of terminal IPython abandons an awaited coroutine without cancelling it
    (ipython#14248), so that nobody would tell the job. This handler tells it first. It stays out
    where a handler that does cancel is installed (ipykernel, asyncio.run)."""

    def __init__(self) -> None:
        self._jobs: set[Job[Any]] = set()

    @contextlib.contextmanager
    def watching(self, job: Job[Any]) -> Iterator[None]:
        if not self._enter(job):
            yield
            return
        try:
            yield
        finally:
            self._jobs.discard(job)
            if not self._jobs and signal.getsignal(signal.SIGINT) == self._handle:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def _enter(self, job: Job[Any]) -> bool:
        if threading.current_thread() is not threading.main_thread():
            return False
        current = signal.getsignal(signal.SIGINT)
        if current is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
        elif current != self._handle:
            return False
        self._jobs.add(job)
        return True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        for job in self._jobs:
            job.detached = True
        self._jobs.clear()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.default_int_handler(number, frame)


_guard = _AwaitGuard()
