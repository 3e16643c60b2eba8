"""Whatever event loop there is: a notebook's, a script's, a thread's, a patched one, uvloop.

Every other way than a loop on a thread of our own was measured to lose cells in some kernel; these
tests hold on to what that way gives.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanobanana_nb import Sandbox

from .conftest import drawing_at
from .harness.environment import child_environment
from .harness.kernels import Kernel, Reply

IMPORTS = "%load_ext nanobanana_nb\nimport asyncio, threading, nanobanana_nb as nb"
NEST = """
try:
    import nest_asyncio2 as nest
except ImportError:
    import nest_asyncio as nest
nest.apply()
"""


@pytest.fixture(scope="module")
def api() -> Iterator[Sandbox]:
    """An API that takes a moment."""
    with Sandbox(latency=0.1) as running:
        yield running


@pytest.fixture(scope="module")
def kernel(python: Path, api: Sandbox) -> Iterator[Kernel]:
    """A kernel whose loop nobody has touched."""
    with Kernel(python, env=drawing_at(api.url)) as running:
        assert running.run(IMPORTS).status == "ok"
        running.run("studio = nb.Studio()")
        yield running


def shows(reply: Reply, *prompts: str) -> None:
    """The cell worked, and shows one picture for each prompt, nothing else, and no noise."""
    assert reply.status == "ok", reply.traceback
    found = [output for output in reply.displays if output["text/plain"]]
    assert len(found) == len(prompts)
    for output, prompt in zip(found, prompts, strict=True):
        assert output["text/plain"].startswith(f"“{prompt}”")
        assert "image/jpeg" in output
    assert reply.stderr == ""


def needs(python: Path, *any_of: str) -> None:
    """Skip where none of these modules is installed; on CI nest-asyncio has to be."""
    code = "import sys, importlib.util as u; sys.exit(not any(map(u.find_spec, sys.argv[1:])))"
    if subprocess.run([python, "-c", code, *any_of], check=False).returncode:
        if os.environ.get("CI") and any_of != ("uvloop",):
            pytest.fail(f"none of {any_of} is installed")
        pytest.skip(f"none of {any_of} is installed")


def test_a_call_in_a_cell(kernel: Kernel) -> None:
    """Blocking, inside a running loop, with no patch."""
    shows(kernel.run("nb.generate('a fox')"), "a fox")


def test_an_await_in_a_cell(kernel: Kernel) -> None:
    """The kernel's own loop only waits for ours; two at once are fine."""
    shows(kernel.run("await studio.generate('a fox')"), "a fox")
    both = "await asyncio.gather(studio.generate('a fox'), studio.generate('an owl'))"
    reply = kernel.run(f"fox, owl = {both}\ndisplay(fox, owl)")
    shows(reply, "a fox", "an owl")


def test_a_thread_with_a_loop_of_its_own(kernel: Kernel) -> None:
    """One studio, three loops: the kernel's, a thread's, and again the kernel's."""
    code = "drawn = []\ndef draw():\n    drawn.append(asyncio.run(studio.generate('an owl')))\n"
    run = "thread = threading.Thread(target=draw); thread.start(); thread.join(20); drawn[0]"
    shows(kernel.run("await studio.generate('a fox')"), "a fox")
    shows(kernel.run(code + run), "an owl")
    shows(kernel.run("await studio.generate('a fox')"), "a fox")


def run_all(kernel: Kernel, api: Sandbox) -> None:
    """Four queued cells, each with its own picture; then one more."""
    posts = api.counts["submit"]
    cells = [
        "%nanobanana a fox",
        "nb.generate('an owl')",
        "await studio.generate('a crab')",
        "x = %nanobanana a whale",
    ]
    requests = [kernel.send(cell, stop_on_error=True) for cell in cells]
    replies = [kernel.reply(request) for request in requests]
    for reply, prompt in zip(replies, ("a fox", "an owl", "a crab", "a whale"), strict=True):
        shows(reply, prompt)
    assert kernel.run("6 * 7").text == "42"
    assert api.counts["submit"] - posts == 4


def test_run_all(kernel: Kernel, api: Sandbox) -> None:
    """A nested loop would start the next cell inside this one, and lose it."""
    run_all(kernel, api)


def test_beside_nest_asyncio_applied_before(python: Path, api: Sandbox) -> None:
    """People patch the loop for their own code, long before they load us."""
    needs(python, "nest_asyncio2", "nest_asyncio")
    with Kernel(python, env=drawing_at(api.url)) as kernel:
        assert kernel.run(NEST).status == "ok"
        assert kernel.run(IMPORTS).status == "ok"
        kernel.run("studio = nb.Studio()")
        patched(kernel, api)


def test_beside_nest_asyncio_applied_after(python: Path, kernel: Kernel, api: Sandbox) -> None:
    """Or in the middle, when our loop already runs; the last test of the shared kernel."""
    needs(python, "nest_asyncio2", "nest_asyncio")
    shows(kernel.run("%nanobanana a fox"), "a fox")
    assert kernel.run(NEST).status == "ok"
    patched(kernel, api)


def patched(kernel: Kernel, api: Sandbox) -> None:
    """All that works in a kernel as it comes, and what the patch is for."""
    run_all(kernel, api)
    shows(kernel.run("asyncio.run(studio.generate('a fox'))"), "a fox")
    assert kernel.run("await asyncio.sleep(0, 'awaited')").text == "'awaited'"


SCRIPT = """
import asyncio, threading
import nanobanana_nb as nb

SET_UP

async def two():
    async with nb.Studio() as studio:
        return await asyncio.gather(studio.generate("a fox"), studio.generate("an owl"))

def draw(prompt):
    drawn.append(asyncio.run(studio.generate(prompt)))

drawn = [nb.generate("a fox"), *asyncio.run(two())]
studio = nb.Studio()
for prompt in ("a crab", "a whale"):
    draw(prompt)
thread = threading.Thread(target=draw, args=("a bee",))
thread.start()
thread.join(20)
print(*(one.prompt for one in drawn if one.path.exists()), sep=", ")
"""
LEAVING = """
import asyncio
import nanobanana_nb as nb

async def leave_once_it_is_sent():
    studio = nb.Studio()
    drawing = asyncio.ensure_future(studio.generate("[sandbox slow] a fox"))
    while not any(one.task_id for one in (await studio.page()).generations):
        await asyncio.sleep(0.02)
    drawing.cancel()
    try:
        await drawing
    except asyncio.CancelledError:
        print("left")

asyncio.run(leave_once_it_is_sent())
"""


def run_script(python: Path, api: Sandbox, folder: Path, text: str) -> str:
    """Run it in a strict interpreter; it ends well and without a word on stderr."""
    ended = subprocess.run(
        [python, "-W", "always::ResourceWarning", "-c", text],
        env=child_environment(folder, drawing_at(api.url)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.strip()


def test_a_script(python: Path, api: Sandbox, tmp_path: Path) -> None:
    """A call, `asyncio.run` again and again, a thread's loop; and no noise at the end."""
    text = SCRIPT.replace("SET_UP", "")
    assert run_script(python, api, tmp_path, text) == "a fox, a fox, an owl, a crab, a whale, a bee"


def test_a_script_that_leaves_before_the_picture(
    python: Path, api: Sandbox, tmp_path: Path
) -> None:
    """It ends at once and in peace; what was sent stays in the ledger, for the next one."""
    posts = api.counts["submit"]
    assert run_script(python, api, tmp_path, LEAVING) == "left"
    collect = "import nanobanana_nb as nb; print(*(one.prompt for one in nb.resume()))"
    assert run_script(python, api, tmp_path, collect) == "[sandbox slow] a fox"
    assert api.counts["submit"] - posts == 1


def test_a_script_on_uvloop(python: Path, api: Sandbox, tmp_path: Path) -> None:
    """Its policy is set for the whole process."""
    needs(python, "uvloop")
    text = SCRIPT.replace(
        "SET_UP",
        "import uvloop; uvloop.install(); loop = asyncio.new_event_loop(); loop.close()\n"
        "assert type(loop).__module__.startswith('uvloop')",
    )
    assert run_script(python, api, tmp_path, text) == "a fox, a fox, an owl, a crab, a whale, a bee"


@pytest.mark.nightly
def test_a_kernel_on_uvloop(python: Path, api: Sandbox, tmp_path: Path) -> None:
    """The kernel's own loop is one of uvloop's, which no patch can nest."""
    needs(python, "uvloop")
    (tmp_path / "sitecustomize.py").write_text("import uvloop; uvloop.install()\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    with Kernel(python, env=drawing_at(api.url) | {"PYTHONPATH": path}) as kernel:
        assert kernel.run(IMPORTS).status == "ok"
        kernel.run("studio = nb.Studio()")
        assert "uvloop" in kernel.run("print(asyncio.get_running_loop())").text
        run_all(kernel, api)
