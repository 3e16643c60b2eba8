"""`nb.allow_asyncio_run()`: sound where it is applied, one clear sentence where it is not.

And ours beside a patched loop: what people press and type all day. The whole kernel suite is run
that way by `make matrix`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nanobanana_nb as nb
from nanobanana_nb import ConfigError, Sandbox

from .conftest import drawing_at
from .harness import nesting
from .harness.kernels import Kernel
from .test_loops import IMPORTS, needs, run_all, shows
from .test_stop import AT_ONCE, Pressed, arrives, still_works

STAND_IN = """
import asyncio

def apply():
    asyncio.run = lambda coroutine: "run by a stand-in"
"""
KEEP = """
import sys
studio = nb.Studio()
path, run = list(sys.path), asyncio.run
"""
PUT_BACK = """
sys.path[:], asyncio.run = path, run
vars(asyncio).pop("_nest_patched", None)
for name in ("nest_asyncio", "nest_asyncio2"):
    sys.modules.pop(name, None)
"""


@pytest.fixture(autouse=True)
def unpatched(request: pytest.FixtureRequest) -> None:
    """These tests patch their kernels themselves."""
    if request.config.getoption("--nest"):
        pytest.skip("with --nest, every kernel is patched already")


@pytest.fixture(scope="module")
def api() -> Iterator[Sandbox]:
    """An API that takes a moment."""
    with Sandbox(latency=0.5) as running:
        yield running


@pytest.fixture(scope="module")
def shared(python: Path, api: Sandbox) -> Iterator[Kernel]:
    """A kernel with us loaded, whose loop nobody patches until the last test that uses it."""
    with Kernel(python, env=drawing_at(api.url)) as running:
        assert running.run(IMPORTS + KEEP).status == "ok"
        yield running


@pytest.fixture
def kernel(shared: Kernel) -> Iterator[Kernel]:
    """The same; what a test put on its path and in place of a package is taken away again."""
    yield shared
    shared.run(PUT_BACK)


def installed(folder: Path, package: str, version: str) -> str:
    """A cell that puts a package of that version first on the path; its patch is a stand-in."""
    module = package.replace("-", "_")
    about = folder / f"{module}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n", encoding="utf-8"
    )
    (folder / f"{module}.py").write_text(STAND_IN, encoding="utf-8")
    return f"sys.path.insert(0, {str(folder)!r})"


def major(kernel: Kernel) -> int:
    """Of its ipykernel."""
    return int(kernel.run("import ipykernel; print(ipykernel.version_info[0])").text)


def test_nobody_is_patched_unasked(kernel: Kernel) -> None:
    """Neither by loading us nor by drawing."""
    shows(kernel.run("%nanobanana a fox"), "a fox")
    assert kernel.run("print(hasattr(asyncio, '_nest_patched'))").text.strip() == "False"
    assert kernel.run("print('nanobanana_nb.nest' in sys.modules)").text.strip() == "False"


def test_the_first_nest_asyncio_only_where_it_is_sound(kernel: Kernel, tmp_path: Path) -> None:
    """On Python 3.14 it breaks httpx, on ipykernel 7 it loses cells; there, what helps is said."""
    kernel.run(installed(tmp_path, "nest-asyncio", "1.6.0"))
    kernel.run("sys.modules['nest_asyncio2'] = None  # as if it were not installed")
    reply = kernel.run("nb.allow_asyncio_run()")
    if kernel.run("print(sys.version_info >= (3, 14))").text.strip() == "True":
        why = "nest-asyncio 1.6.0 breaks httpx and anyio on Python 3.14 and newer"
    elif major(kernel) >= 7:
        why = f"nest-asyncio 1.6.0 loses queued cells on ipykernel {major(kernel)}"
    else:
        assert "works in cells now, by nest-asyncio 1.6.0" in reply.displays[0]["text/plain"]
        assert kernel.run("asyncio.run(None)").text == "'run by a stand-in'"
        return
    refused(reply.traceback, why, '%pip install "nanobanana-nb[nest]"', "or: use `await`")
    assert "stand-in" not in kernel.run("asyncio.run(None)").text


def test_an_early_nest_asyncio2_only_where_it_is_sound(kernel: Kernel, tmp_path: Path) -> None:
    """1.7.2 loses cells on ipykernel 7, which asks for no newer one."""
    kernel.run(installed(tmp_path, "nest-asyncio2", "1.7.2"))
    reply = kernel.run("nb.allow_asyncio_run()")
    if major(kernel) < 7:
        assert "works in cells now, by nest-asyncio2 1.7.2" in reply.displays[0]["text/plain"]
        return
    why = f"nest-asyncio2 1.7.2 loses queued cells on ipykernel {major(kernel)}"
    refused(reply.traceback, why, '%pip install "nanobanana-nb[nest]"', "or: use `await`")
    assert "stand-in" not in kernel.run("asyncio.run(None)").text


def test_what_was_applied_before_is_judged_too(kernel: Kernel, tmp_path: Path) -> None:
    """A better one beside it does not help: the first to patch wins."""
    if major(kernel) < 7:
        pytest.skip("sound with ipykernel 6")
    kernel.run(installed(tmp_path, "nest-asyncio", "1.6.0"))
    kernel.run("asyncio._nest_patched = True  # what nest-asyncio leaves behind")
    said = kernel.run("nb.allow_asyncio_run()").traceback
    refused(said, "nest-asyncio 1.6.0", "applied before: restart the kernel", "or: use `await`")


def test_where_neither_is_installed_it_says_how_to_get_one(kernel: Kernel) -> None:
    """The extra's name, as it is typed into a cell."""
    kernel.run("sys.modules['nest_asyncio'] = sys.modules['nest_asyncio2'] = None")
    said = kernel.run("nb.allow_asyncio_run()").traceback
    refused(said, "not installed", '%pip install "nanobanana-nb[nest]"', "or: use `await`")


def test_your_own_asyncio_run_works_in_a_cell(python: Path, shared: Kernel, api: Sandbox) -> None:
    """With what is installed; it says which and what to beware of, and all of ours goes on."""
    needs(python, "nest_asyncio2", "nest_asyncio")
    before = shared.run("asyncio.run(asyncio.sleep(0, 'run'))")
    assert before.ename == "RuntimeError"
    said = shared.run("nb.allow_asyncio_run()").displays[0]["text/plain"]
    assert said.startswith("asyncio.run(...) works in cells now, by nest-asyncio")
    assert "Keep it out of cells that also `await`" in said
    assert shared.run("asyncio.run(asyncio.sleep(0, 'run'))").text == "'run'"
    again = shared.run("nb.allow_asyncio_run()").displays[0]["text/plain"]
    assert again.startswith("asyncio.run(...) was allowed already, by nest-asyncio")
    queued = ["asyncio.run(asyncio.sleep(0.5, 0))", "1", "2", "3"]
    requests = [shared.send(cell) for cell in queued]
    assert [shared.reply(request).text for request in requests] == ["0", "1", "2", "3"]
    run_all(shared, api)
    shows(shared.run("asyncio.run(studio.generate('a fox'))"), "a fox")
    assert shared.run("await asyncio.sleep(0, 'awaited')").text == "'awaited'"


def refused(said: str, *words: str) -> None:
    """One line, with all these words, whatever their case."""
    assert said.startswith("ConfigError: ")
    assert "\n" not in said
    for word in words:
        assert word.lower() in said.lower(), said


def test_uvloop_cannot_be_nested() -> None:
    """Its loop is no Python class; the sentence says whose loop it is, and what works there."""
    uvloop = pytest.importorskip("uvloop")

    async def ask() -> None:
        nb.allow_asyncio_run()

    refusal = pytest.raises(ConfigError, match=r"uvloop's, which cannot be nested\. Use `await`")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, refusal:
        runner.run(ask())


def test_without_a_loop_nothing_is_changed() -> None:
    """A notebook turned into a script: `asyncio.run(...)` works there by itself."""
    code = (
        "import asyncio, sys, nanobanana_nb as nb; before = asyncio.run; nb.allow_asyncio_run();"
        "print(asyncio.run is before, asyncio.run(asyncio.sleep(0, 'run')))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["True", "run"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_stop_beside_a_patch(
    python: Path, api: Sandbox, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patch that comes with this stack's ipykernel, before or after loading us: Stop in a magic
    and in an await names and keeps what is paid, and no cell is lost after it."""
    code = "import importlib.util as u, sys; sys.exit(not u.find_spec('nest_asyncio2'))"
    patch = "v1" if subprocess.run([python, "-c", code], check=False).returncode else "v2"
    monkeypatch.setattr(Kernel, "start_up", nesting.start_up(f"{patch}-{when}"))
    with Kernel(python, env=drawing_at(api.url)) as kernel:
        assert kernel.run(IMPORTS).status == "ok"
        assert kernel.run("print(hasattr(asyncio, '_nest_patched'))").text.strip() == "True"
        kernel.run("studio = nb.Studio()")
        in_a_magic = Pressed(kernel, api, "%nanobanana a fox", 0.3)
        in_a_magic.named_its_task()
        assert in_a_magic.seconds < AT_ONCE
        still_works(kernel)
        in_an_await = Pressed(kernel, api, "await studio.generate('an owl')", 0.3)
        assert in_an_await.reply.status == "error"
        assert in_an_await.seconds < AT_ONCE
        still_works(kernel)
        arrives(kernel, *(one.tasks[0].id for one in (in_a_magic, in_an_await)))
