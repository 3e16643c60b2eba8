"""Stop, pressed in real kernels while a picture is being paid for.

No longer waiting is not cancelled: the cell comes back at once and says which task goes on, what
it costs and how to get it; what was sent is sent once, and its picture arrives.
"""

from __future__ import annotations

import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nanobanana_nb import Sandbox

from .harness.kernels import Kernel, Reply

AT_ONCE = 1.5
"""Seconds in which a stopped cell is back, and"""
IN_FLIGHT = 5.0
"""when a submit is in flight, which is never cut."""
TASK = re.compile(
    r"Stopped: No longer waiting\. Task ([0-9a-f]{32}) "
    r"(?:goes on \(\$0\.03\).*%nanobanana_resume.*|is done and kept; %nanobanana_history.*)"
)
ATTEMPT = re.compile(
    r"Stopped: No longer waiting\. Attempt \w+ goes on \(\$0\.03\).*%nanobanana_resume.*"
)


@pytest.fixture(scope="module")
def api(python: Path) -> Iterator[Sandbox]:
    """An API that takes a good second for a picture."""
    with Sandbox(latency=1.3) as running:
        yield running


@pytest.fixture(scope="module")
def kernel(python: Path, api: Sandbox) -> Iterator[Kernel]:
    """A kernel that draws there, with everything imported."""
    env = {
        "APIXO_BASE_URL": api.url,
        "APIXO_API_KEY": "test-key",
        "NANOBANANA_FIRST_POLL": "0",
        "NANOBANANA_POLL_INTERVAL": "0.05",
    }
    with Kernel(python, env=env) as running:
        running.run("%load_ext nanobanana_nb\nimport asyncio, nanobanana_nb as nb")
        running.run("studio = nb.Studio()")
        assert running.run("%nanobanana a first fox").status == "ok"
        yield running


class Pressed:
    """A cell that was stopped: its reply, how long that took, and what its API saw."""

    def __init__(
        self, kernel: Kernel, api: Sandbox, code: str, after: float, presses: tuple[float, ...] = ()
    ) -> None:
        """Run the cell; press Stop `after` seconds from its first POST, and again after pauses."""
        posts, accepted = api.counts["submit"], len(api.tasks)
        started = time.monotonic()
        request = kernel.send(code)
        wait_for(lambda: api.counts["submit"] > posts)
        time.sleep(after)
        kernel.interrupt()
        pressed = time.monotonic()
        for pause in presses:
            time.sleep(pause)
            kernel.interrupt()
        self.reply: Reply = kernel.reply(request, timeout=20)
        self.seconds = self.reply.seconds - (pressed - started)
        self.posts = api.counts["submit"] - posts
        self.tasks = api.tasks[accepted:]

    def task_id(self, said: re.Pattern[str] = TASK) -> str:
        """The task that the only line of the error names."""
        assert (self.reply.status, self.reply.ename) == ("error", "Stopped"), self.reply.traceback
        found = said.fullmatch(self.reply.traceback)
        assert found, self.reply.traceback
        return found.group(found.lastindex or 0)

    def named_its_task(self) -> None:
        """One POST, one task, and the id is that of the task."""
        assert self.task_id() == self.tasks[0].id
        assert (self.posts, len(self.tasks)) == (1, 1)


def wait_for(condition: Callable[[], bool], timeout: float = 20) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def still_works(kernel: Kernel) -> None:
    """The next cell runs, in a kernel that lost nothing."""
    reply = kernel.run("6 * 7")
    assert (reply.status, reply.text) == ("ok", "42")


def states(kernel: Kernel) -> dict[str, str]:
    """The ledger: the state of every task by its id, or by the row's where there is none."""
    ledger = sqlite3.connect(kernel.folder / "nanobanana" / "ledger.sqlite3")
    rows = ledger.execute("SELECT coalesce(task_id, id), state FROM task").fetchall()
    ledger.close()
    return dict(rows)


def arrives(kernel: Kernel, *task_ids: str) -> None:
    """The pictures of stopped cells come without being asked for, while the kernel lives."""
    wait_for(lambda: {states(kernel)[task_id] for task_id in task_ids} == {"stored"})


def stop_at_random_moments(
    kernel: Kernel, api: Sandbox, *, count: int, seed: int, prompt: str, up_to: float, limit: float
) -> None:
    """Each time: back in time, the right task named, the next cell works; all pictures arrive."""
    chance = random.Random(seed)
    took, ids = [], []
    for number in range(count):
        after = chance.uniform(0.05, up_to)
        pressed = Pressed(kernel, api, f"%nanobanana {prompt} {number}", after)
        pressed.named_its_task()
        still_works(kernel)
        took.append(round(pressed.seconds, 2))
        ids.append(pressed.tasks[0].id)
    print(f"Stop, {prompt}: {took} s")
    assert max(took) < limit, took
    arrives(kernel, *ids)


def test_stop_at_ten_moments(kernel: Kernel, api: Sandbox) -> None:
    """While it is being drawn."""
    stop_at_random_moments(kernel, api, count=10, seed=7, prompt="a fox", up_to=1.0, limit=AT_ONCE)


def test_stop_while_a_submit_is_in_flight(kernel: Kernel, api: Sandbox) -> None:
    """The waiter stays until it can name the task that is being paid for."""
    prompt = "[sandbox slow-submit=2] an owl"
    stop_at_random_moments(kernel, api, count=2, seed=8, prompt=prompt, up_to=1.8, limit=IN_FLIGHT)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(3))
def test_stop_at_a_hundred_moments(kernel: Kernel, api: Sandbox, seed: int) -> None:
    """Both, more often."""
    for prompt, count, up_to, limit in (
        ("a fox", 25, 1.0, AT_ONCE),
        ("[sandbox slow-submit=2] an owl", 10, 1.8, IN_FLIGHT),
    ):
        stop_at_random_moments(
            kernel, api, count=count, seed=100 + seed, prompt=prompt, up_to=up_to, limit=limit
        )


def test_resume_shows_the_picture_of_a_stopped_cell(kernel: Kernel, api: Sandbox) -> None:
    """What the line says works: the task is joined, nothing is sent again."""
    pressed = Pressed(kernel, api, "%nanobanana a fox to be shown later", 0.3)
    pressed.named_its_task()
    posts = api.counts["submit"]
    reply = kernel.run("%nanobanana_resume")
    assert "“a fox to be shown later”" in str(reply.displays[-1]["text/plain"])
    assert "image/jpeg" in reply.displays[-1]
    assert states(kernel)[pressed.tasks[0].id] == "stored"
    assert api.counts["submit"] == posts


def test_resume_shows_what_another_studio_still_brings_home(kernel: Kernel, api: Sandbox) -> None:
    """`%nanobanana_resume` after a stopped await: the user's own studio is fetching the same
    pictures, and the one that comes second must not call a paid one failed."""
    code = "await asyncio.gather(*(studio.generate('a shared fox') for _ in range(4)))"
    pressed = Pressed(kernel, api, code, 0.3)
    assert pressed.reply.status == "error"
    reply = kernel.run("found = %nanobanana_resume")
    assert reply.status == "ok"
    assert kernel.run("[str(one.error) for one in found.failed]").text == "[]"
    arrives(kernel, *(task.id for task in pressed.tasks))


@pytest.mark.nightly
def test_a_submit_that_takes_longer_is_named_as_an_attempt(kernel: Kernel, api: Sandbox) -> None:
    """The cell is back before the answer is, and the picture arrives."""
    pressed = Pressed(kernel, api, "%nanobanana [sandbox slow-submit=6] a slow fox", 0.2)
    pressed.task_id(ATTEMPT)
    assert pressed.seconds < IN_FLIGHT
    still_works(kernel)
    wait_for(lambda: pressed.tasks[0].id in states(kernel))
    arrives(kernel, pressed.tasks[0].id)
    assert pressed.posts == 1


def test_a_second_press_does_not_wait_for_the_submit(kernel: Kernel, api: Sandbox) -> None:
    """Who insists gets the cell back, with the attempt named; what came of it can be asked for at
    once, as the line says, although its answer is still on the way."""
    code = "%nanobanana [sandbox slow-submit=2.5] a hurried fox"
    pressed = Pressed(kernel, api, code, 0.2, presses=(1.3,))
    pressed.task_id(ATTEMPT)
    assert pressed.seconds < 2.0
    still_works(kernel)
    reply = kernel.run("%nanobanana_resume")
    assert "a hurried fox" in str(reply.displays[-1]["text/plain"])
    assert "image/jpeg" in reply.displays[-1]
    assert states(kernel)[pressed.tasks[0].id] == "stored"
    assert pressed.posts == 1


@pytest.mark.parametrize("pause", [0.003, 0.012, 0.05])
def test_three_presses_are_one(kernel: Kernel, api: Sandbox, pause: float) -> None:
    """A second press must not hit the kernel's own code, which loses replies."""
    pressed = Pressed(kernel, api, "%nanobanana a fox", 0.2, presses=(pause, pause))
    pressed.named_its_task()
    assert pressed.seconds < AT_ONCE
    still_works(kernel)


def test_three_presses_do_not_cut_a_submit(kernel: Kernel, api: Sandbox) -> None:
    """Nor do they keep the waiter from naming what is being paid for."""
    code = "%nanobanana [sandbox slow-submit=0.9] a fox"
    pressed = Pressed(kernel, api, code, 0.1, presses=(0.05, 0.05))
    pressed.named_its_task()
    assert pressed.seconds < AT_ONCE
    still_works(kernel)


def test_stop_in_an_async_cell_with_a_magic(kernel: Kernel, api: Sandbox) -> None:
    """ipykernel puts another handler in there, which does not reach a blocked loop."""
    pressed = Pressed(kernel, api, "await asyncio.sleep(0)\n%nanobanana a fox", 0.5)
    pressed.named_its_task()
    assert pressed.seconds < AT_ONCE
    still_works(kernel)
    assert kernel.run("await asyncio.sleep(0, 'awaited')").text == "'awaited'"


@pytest.mark.parametrize(
    ("prompt", "limit"),
    [
        ("a fox", AT_ONCE),
        pytest.param("[sandbox slow-submit=2] a fox", IN_FLIGHT, marks=pytest.mark.nightly),
    ],
)
def test_stop_of_an_await_detaches(kernel: Kernel, api: Sandbox, prompt: str, limit: float) -> None:
    """The kernel is as before, also for the next await, and the picture arrives."""
    pressed = Pressed(kernel, api, f"await studio.generate('{prompt}')", 0.5)
    assert pressed.reply.status == "error"
    assert pressed.seconds < limit
    still_works(kernel)
    assert kernel.run("await asyncio.sleep(0, 'awaited')").text == "'awaited'"
    arrives(kernel, pressed.tasks[0].id)
    assert pressed.posts == 1


def test_stop_of_an_await_names_the_task(kernel: Kernel, api: Sandbox) -> None:
    """The same line as for a magic: the money is spent in either case."""
    pressed = Pressed(kernel, api, "await studio.generate('a fox')", 0.5)
    assert pressed.reply.status == "error"
    assert "\n" not in pressed.reply.traceback
    assert f"Task {pressed.tasks[0].id} goes on ($0.03)" in pressed.reply.traceback


def test_stop_of_a_call_names_the_task(kernel: Kernel, api: Sandbox) -> None:
    """`nb.generate` is the magic without the magic."""
    pressed = Pressed(kernel, api, "nb.generate('a fox')", 0.5)
    pressed.named_its_task()
    assert pressed.seconds < AT_ONCE


def test_stop_drops_what_was_not_sent(
    kernel: Kernel, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of twenty, those in the queue are never sent, and cost nothing."""
    monkeypatch.setattr(api, "at_once", 8)
    before = set(states(kernel))
    pressed = Pressed(kernel, api, "%nanobanana -n 20 a fox", 0.5)
    assert pressed.reply.ename == "Stopped"
    assert "\n" not in pressed.reply.traceback
    assert pressed.seconds < AT_ONCE
    still_works(kernel)

    def ended() -> bool:
        mine = [state for key, state in states(kernel).items() if key not in before]
        return set(mine) <= {"stored", "abandoned"} and len(mine) == 20

    wait_for(ended)
    accepted = api.tasks[api.tasks.index(pressed.tasks[0]) :]
    assert len(accepted) < 20
    assert accepted == pressed.tasks  # none was sent after the cell was back
    assert all(task.id in pressed.reply.traceback for task in accepted)
    mine = [state for key, state in states(kernel).items() if key not in before]
    assert mine.count("stored") == len(accepted)
