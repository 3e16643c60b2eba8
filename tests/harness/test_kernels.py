"""The kernel harness itself, on this interpreter and on Colab's stack."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .kernels import Kernel, KernelDiedError, KernelTimeoutError
from .stacks import colab_stack

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["here", "colab"])
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    """One kernel per interpreter."""
    python = colab_stack(REPOSITORY) if request.param == "colab" else Path(sys.executable)
    with Kernel(python) as running:
        yield running


def test_text_and_result(kernel: Kernel) -> None:
    reply = kernel.run("import sys; print('a'); print('b', file=sys.stderr); 6 * 7")
    assert (reply.status, reply.text, reply.stderr) == ("ok", "a\n42", "b\n")
    assert reply.displays == [{"text/plain": "42"}]


def test_error(kernel: Kernel) -> None:
    reply = kernel.run("1 / 0")
    assert (reply.status, reply.ename) == ("error", "ZeroDivisionError")
    assert reply.evalue == "division by zero"
    assert "1 / 0" in reply.traceback


def test_display_updated_later_and_cleared(kernel: Kernel) -> None:
    kernel.run("from IPython.display import clear_output, display")
    first = kernel.run("h = display({'text/plain': 'one'}, raw=True, display_id=True)")
    assert first.displays == [{"text/plain": "one"}]
    kernel.run("h.update({'text/plain': 'two'}, raw=True)")
    assert first.displays == [{"text/plain": "two"}]
    cleared = kernel.run("print('x'); clear_output(wait=True); print('y')")
    assert cleared.text == "y\n"


def test_interrupt(kernel: Kernel) -> None:
    request = kernel.send("import time; print('on', flush=True); time.sleep(30)")
    kernel.wait_until(lambda: kernel.area(request).text() == "on\n")
    time.sleep(0.2)  # from the print into the sleep; see Kernel.interrupt
    kernel.interrupt()
    reply = kernel.reply(request, timeout=5)
    assert reply.ename == "KeyboardInterrupt"
    assert reply.seconds < 5


def test_run_all_stops_at_an_error(kernel: Kernel) -> None:
    cells = ("import time; time.sleep(0.3)", "1 / 0", "print('not reached')")
    requests = [kernel.send(cell, stop_on_error=True) for cell in cells]
    replies = [kernel.reply(request) for request in requests]
    assert [reply.status for reply in replies][:2] == ["ok", "error"]
    assert replies[2].status in ("aborted", "error")
    assert replies[2].text == ""


def test_answers(kernel: Kernel) -> None:
    kernel.answers.append("fox")
    assert kernel.run("print(input('? '))").text == "fox\n"


def test_timeout_names_what_was_shown(kernel: Kernel) -> None:
    request = kernel.send("import time; print('busy', flush=True); time.sleep(1)")
    with pytest.raises(KernelTimeoutError, match="busy"):
        kernel.reply(request, timeout=0.5)
    kernel.reply(request)


def test_restart_kill_and_log() -> None:
    with Kernel(env={"FOX": "red"}) as kernel:
        kernel.run("import os; x = 1; os.write(2, b'to the log')")
        first = kernel.pid
        kernel.restart()
        assert kernel.pid != first
        assert kernel.run("import os; ('x' in dir(), os.environ['FOX'])").text == "(False, 'red')"
        assert "to the log" in kernel.log
        request = kernel.send("import time; time.sleep(30)")
        kernel.kill()
        started = time.monotonic()
        with pytest.raises(KernelDiedError):
            kernel.reply(request)
        assert time.monotonic() - started < 2
