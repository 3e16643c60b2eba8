"""The bridge: one loop on one thread, waited for from anywhere, left without breaking anything."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from nanobanana_nb.portal import Portal, current_job


@pytest.fixture
def portal():
    made = Portal()
    yield made
    made.close()


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def boom() -> None:
    raise ValueError("boom")


def test_wait_blocks_for_a_coroutine(portal: Portal) -> None:
    """From a plain thread, results and errors alike."""
    assert portal.wait(double(4)) == 8
    with pytest.raises(ValueError, match="boom"):
        portal.wait(boom())


def test_await_from_any_loop(portal: Portal) -> None:
    """Twice through asyncio.run, and from two loops at once: no resource belongs to their loop."""
    for _ in range(2):
        assert asyncio.run(portal.awaitable(double(3))) == 6
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(asyncio.run(portal.awaitable(double(1)))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [2] * 4


def test_everything_runs_on_one_thread(portal: Portal) -> None:
    """Whoever asks, the work runs on the portal's own loop and thread."""

    async def where() -> tuple[str, int]:
        return threading.current_thread().name, id(asyncio.get_running_loop())

    assert portal.wait(where()) == asyncio.run(portal.awaitable(where()))
    assert portal.wait(where())[0] == "nanobanana_nb"


def test_nested_awaiting_stays_in_the_job(portal: Portal) -> None:
    """A coroutine of ours that awaits another through the portal does not deadlock."""

    async def outer() -> bool:
        job = current_job()
        return await portal.awaitable(inner(job))

    async def inner(job: object) -> bool:
        return current_job() is job

    assert portal.wait(outer()) is True


def test_waiting_on_the_own_thread_is_refused(portal: Portal) -> None:
    """It would wait for itself for ever."""

    async def wrong() -> None:
        coroutine = double(1)
        try:
            portal.wait(coroutine)
        finally:
            coroutine.close()

    with pytest.raises(RuntimeError, match="own loop"):
        portal.wait(wrong())


def test_progress_is_told_in_the_waiting_thread(portal: Portal) -> None:
    """The last report is always seen, and never on the portal's thread."""
    seen: list[tuple[object, str]] = []

    async def work() -> None:
        current_job().report("first")
        await asyncio.sleep(0.25)
        current_job().report("last")

    portal.wait(work(), lambda item: seen.append((item, threading.current_thread().name)))
    assert seen[-1] == ("last", threading.current_thread().name)
    assert ("first", threading.current_thread().name) in seen


def interrupt_when(condition: threading.Event) -> None:
    """Press Ctrl-C in this process once the work says so."""

    def press() -> None:
        condition.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()


def test_stop_detaches_and_the_work_goes_on(portal: Portal) -> None:
    """The waiter leaves with KeyboardInterrupt; what was begun is finished."""
    running, finish, done = threading.Event(), threading.Event(), threading.Event()

    async def work() -> None:
        running.set()
        await asyncio.to_thread(finish.wait, 10)
        if current_job().detached:
            done.set()

    interrupt_when(running)
    with pytest.raises(KeyboardInterrupt):
        portal.wait(work())
    assert not done.is_set()
    finish.set()
    assert done.wait(10)
    assert portal.wait(double(2)) == 4


def test_stop_waits_for_what_is_held(portal: Portal) -> None:
    """With a submit in flight the waiter stays until its outcome is known, and sees it."""
    held, seen = threading.Event(), []

    async def work() -> None:
        with current_job().hold():
            held.set()
            while not current_job().detached:
                await asyncio.sleep(0.01)
            current_job().report("task-1")
        await asyncio.sleep(30)

    interrupt_when(held)
    with pytest.raises(KeyboardInterrupt):
        portal.wait(work(), seen.append)
    assert seen[-1] == "task-1"


def test_a_cancelled_await_detaches(portal: Portal) -> None:
    """`await` in a cell that is stopped leaves as a blocking wait does."""
    finish, done = threading.Event(), threading.Event()

    async def work() -> None:
        await asyncio.to_thread(finish.wait, 10)
        if current_job().detached:
            done.set()

    async def main() -> None:
        task = asyncio.ensure_future(portal.awaitable(work()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    finish.set()
    assert done.wait(10)


def test_the_handler_of_an_async_cell_is_replaced_while_we_block(portal: Portal) -> None:
    """ipykernel's handler only schedules a callback on the loop that we block."""
    presses: list[int] = []
    before = signal.signal(signal.SIGINT, lambda *_: presses.append(1))
    running = threading.Event()

    async def work() -> None:
        running.set()
        await asyncio.sleep(30)

    try:
        interrupt_when(running)
        with pytest.raises(KeyboardInterrupt):
            portal.wait(work())
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        assert presses == []
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_begins_anew(portal: Portal) -> None:
    """Threads do not survive a fork; the child gets its own loop instead of a hang."""
    assert portal.wait(double(1)) == 2
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        os._exit(0 if portal.wait(double(5)) == 10 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_interpreter_ends_with_work_in_flight() -> None:
    """Nothing hangs and nothing is printed at exit."""
    code = (
        "import asyncio\nfrom nanobanana_nb.portal import Portal\n"
        "Portal().start(asyncio.sleep(60))\nimport time; time.sleep(0.1)"
    )
    begun = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=30, check=True
    )
    assert (ended.stdout, ended.stderr) == (b"", b"")
    assert time.monotonic() - begun < 20


CONNECTING = """
import asyncio, threading, time, anyio
from nanobanana_nb.portal import Portal

portal, ending = Portal(), threading.Event()

async def connect():
    async with anyio.create_task_group() as group:
        ending.set()
        time.sleep(0.5)  # the closing waits for this loop, and comes just when the child begins
        await asyncio.sleep(0)
        group.start_soon(anyio.sleep_forever)

portal.start(connect())
ending.wait()
"""


def test_the_interpreter_ends_just_when_a_connection_begins() -> None:
    """anyio opens connections in children of a task group; one that is cancelled before its first
    step is never awaited, and Python says so. Found by the matrix, on a busy machine."""
    ended = subprocess.run(
        [sys.executable, "-c", CONNECTING], capture_output=True, timeout=30, check=True
    )
    assert (ended.stdout, ended.stderr) == (b"", b"")
