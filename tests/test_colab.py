"""Google Colab: its stack in a real kernel, with `google.colab` imitated from its public source."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nanobanana_nb import Sandbox, Studio, display, keys, results
from nanobanana_nb.portal import Job, _current
from nanobanana_nb.reporting import Report

from .conftest import drawing_at
from .harness.colab import LOCKED, ColabKernel
from .harness.kernels import Reply
from .harness.outputs import Message, Output
from .harness.stacks import colab_stack
from .panel.test_kernels import Page

REPOSITORY = Path(__file__).parents[1]
ASK = """
import time
from google.colab import errors, userdata
begun = time.monotonic()
try:
    print(userdata.get("{name}"))
except Exception as error:
    print(type(error).__name__, isinstance(error, errors.Error), time.monotonic() - begun < 3)
"""
LOAD = "%load_ext nanobanana_nb\nimport nanobanana_nb as nb"

# Says with each message to the page whether the kernel's main thread has sent it.
TELL_THREADS = """
import threading
from ipykernel.comm import Comm
def send(self, data=None, metadata=None, buffers=None, _send=Comm.send):
    main = threading.current_thread() is threading.main_thread()
    return _send(self, data, {**(metadata or {}), "main": main}, buffers)
Comm.send = send
"""


@pytest.fixture(scope="module")
def colab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of Colab's stack."""
    return colab_stack(REPOSITORY)


class Machine(ColabKernel):
    """A machine that Colab lends: a new one has nothing of the one before but the Drive, which is
    `drive` once it is mounted."""

    def __init__(self, python: Path, folder: Path, api: Sandbox, drive: Path) -> None:
        content = folder / "content"
        content.mkdir(exist_ok=True)
        mirror = {"NANOBANANA_MIRROR": str(drive / "MyDrive" / "nanobanana")}
        super().__init__(python, folder, drawing_at(api.url) | mirror, cwd=content)
        self._drive = drive

    def mount(self) -> None:
        """Run the cell that people run."""
        reply = self.run(f"from google.colab import drive\ndrive.mount({str(self._drive)!r})")
        assert "ounted at" in reply.text, reply.traceback
        assert self.asked[-1] == "request_auth"

    def load(self) -> None:
        reply = self.run(LOAD)
        assert reply.status == "ok", reply.traceback


def shown(reply: Reply) -> str:
    """All that a cell shows, as text."""
    plain = [display.get("text/plain", "") for display in reply.displays]
    return "\n".join((*plain, reply.text))


def test_the_imitation_behaves_as_colab(colab: Path, tmp_path: Path) -> None:
    """What the other tests stand on: loaded before user code, secrets by way of the page, and
    errors of which one has no common base; no page, no answer."""
    secrets = {"OPEN": "a value", "LOCKED": LOCKED}
    with ColabKernel(colab, tmp_path, {"COLAB_SECONDS": "0.5"}, secrets=secrets) as kernel:
        assert kernel.run("import sys; print('google.colab' in sys.modules)").text == "True\n"
        assert kernel.run(ASK.format(name="OPEN")).text == "a value\n"
        assert kernel.run(ASK.format(name="LOCKED")).text == "NotebookAccessError False True\n"
        assert kernel.run(ASK.format(name="NONE")).text == "SecretNotFoundError True True\n"
        kernel.attached = False
        assert kernel.run(ASK.format(name="OPEN")).text == "TimeoutException True True\n"
        assert kernel.asked == ["OPEN", "LOCKED", "NONE", "OPEN"]


def test_a_new_machine_goes_on_from_the_drive(
    colab: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Mounted after the first picture, the Drive gets both; the next machine shows the same cell
    again for nothing, has the history, and edits what lies there."""
    drive = tmp_path / "drive"
    (tmp_path / "one").mkdir()
    with Machine(colab, tmp_path / "one", sandbox, drive) as first:
        first.load()
        assert first.run("%nanobanana a fox").status == "ok"
        assert "Copies of the pictures cannot be kept in" in shown(first.run("%nanobanana an owl"))
        first.mount()
        assert first.run("%nanobanana a cat").status == "ok"
        mirror = drive / "MyDrive" / "nanobanana"
        first.wait_until(lambda: len(list(mirror.glob("[!.]*"))) == 6)
    shutil.rmtree(drive / "MyDrive" / "nothing", ignore_errors=True)
    shutil.rmtree(tmp_path / "one")
    (tmp_path / "one").mkdir()
    posts = sandbox.counts["submit"]
    with Machine(colab, tmp_path / "one", sandbox, drive) as second:
        second.mount()
        second.load()
        again = shown(second.run("%nanobanana a fox"))
        assert "shown again, $0.00" in again
        assert str(mirror) in again
        history = shown(second.run("nb.history()"))
        assert "3 earlier pictures are in" in history
        assert [word in history for word in ("a fox", "an owl", "a cat")] == [True] * 3
        assert sandbox.counts["submit"] == posts
        edit = second.run("night = nb.history('fox')[0].edit('at night'); night.path.exists()")
        assert edit.text == "True", edit.traceback
        assert not list(mirror.glob("*.sqlite*"))


def test_the_tasks_of_a_machine_that_died_come_back(colab: Path, tmp_path: Path) -> None:
    """What its cell shows is what Colab saves: the ids stand there while the pictures are drawn,
    in the page and as text; with them a new machine with the same key gets each, and pays
    nothing."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    clock = Clock()
    with Sandbox(latency=60, clock=clock) as api:
        with Machine(colab, tmp_path / "one", api, tmp_path / "no") as first:
            first.load()
            cell = first.send("nb.batch(['a fox', 'an owl', 'a cat'])")
            first.wait_until(lambda: len(api.tasks) == 3)
            ids = [task.id for task in api.tasks]
            first.wait_until(lambda: named(first.area(cell).rich(), ids))
            (saved,) = (one.data for one in first.area(cell).rich() if named([one], ids))
            first.kill()
        assert [id_ in saved["text/plain"] for id_ in ids] == [True] * 3
        assert ">3 task ids</summary>" in saved["text/html"]
        clock.ahead = 60.0
        with Machine(colab, tmp_path / "two", api, tmp_path / "no") as second:
            second.load()
            for id_ in ids:
                reply = second.run(f"found = nb.resume({id_!r}); print(found[0].pil().size)")
                assert reply.text == "(1024, 1024)\n", reply.traceback
            assert second.run("print(len(nb.history()))").text == "3\n"
        assert api.counts["submit"] == 3


class Clock:
    """The API's time, which can be put forward."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def named(outputs: list[Output], ids: list[str]) -> bool:
    """Whether all of these tasks are named in there."""
    return all(id_ in str([output.data for output in outputs]) for id_ in ids)


def test_a_result_names_its_task_where_files_do_not_last(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Colab, in the page and as text, one as several; elsewhere it would be noise."""
    fox, owls = studio.wait(studio.generate("a fox")), studio.wait(studio.gallery("owls", count=2))
    for one in (fox, owls):
        assert f"task {fox.task_id}" not in str(one._repr_mimebundle_())
        assert "task ids" not in str(one._repr_mimebundle_())
    monkeypatch.setitem(sys.modules, "google.colab", keys)
    for ids, one in (([fox.task_id], fox), ([owl.task_id for owl in owls], owls)):
        bundle = one._repr_mimebundle_()
        for id_ in ids:
            assert id_ in bundle["text/plain"]
            assert id_ in bundle["text/html"]
            assert id_ in repr(one)
    monkeypatch.setattr(results, "SHOWN", 1)
    assert all(owl.task_id in owls._repr_mimebundle_()["text/html"] for owl in owls)


def reported(count: int, *states: str) -> display.Bundle:
    """The progress of so many tasks, of which these are accepted; t0 is the first."""
    job: Job[Any] = Job()
    token = _current.set(job)
    try:
        report = Report(count, lambda: 20.0)
        for number, state in enumerate(states):
            report.set(number, {"state": "submitted", "task_id": f"t{number}"})
            report.set(number, {"state": state})
    finally:
        _current.reset(token)
    return display.progress_card(display.summarise(job.latest, time.monotonic()))


def test_a_waiting_cell_names_what_was_accepted() -> None:
    """One in a line of its own; several folded away; nothing before anything was accepted."""
    assert "task" not in str(reported(1))
    assert reported(1, "submitted")["text/plain"].endswith(" · task t0")
    assert "task t0</div>" in reported(1, "submitted")["text/html"]
    three = reported(4, "submitted", "stored", "failed")
    assert three["text/plain"].endswith(" · tasks t0, t1, t2")
    assert ">3 task ids</summary>tasks t0, t1, t2</details>" in three["text/html"]


def test_of_very_many_those_are_named_that_are_not_over() -> None:
    """A notebook is not filled with the ids of what is there already."""
    text = reported(1000, *["stored"] * 500, *["submitted"] * 500)["text/plain"]
    assert "t199, t500, t501" in text
    assert "t999" in text


def test_an_id_is_never_markup() -> None:
    """It is text of a server."""
    summary = display.Summary("Being drawn", accepted=("<script>", "<img src=x onerror=alert(1)>"))
    for ids in (summary.accepted, summary.accepted[:1]):
        page = display.progress_card(replace(summary, accepted=ids))["text/html"]
        assert "<script" not in page
        assert "<img" not in page


# The panel.


class ColabPage(Machine, Page):
    """The page of Colab as it is reported to be: what another thread sends is not drawn.

    Of every message it is noted here whether the kernel's main thread has sent it.
    """

    def _reset(self) -> None:
        super()._reset()
        self.threads: list[bool] = []
        self.made: list[dict[str, Any]] = []

    def _follow(self, message: Message) -> None:
        main = message["metadata"].get("main", True)
        if message["header"]["msg_type"] == "comm_msg":
            self.threads.append(main)
        if message["header"]["msg_type"] == "comm_open":
            self.made.append(message["content"]["data"]["state"])
        if main:
            super()._follow(message)


@pytest.fixture
def page(colab: Path, tmp_path: Path) -> Iterator[ColabPage]:
    """A kernel with that page, whose pictures take a second."""
    with (
        Sandbox(latency=1) as api,
        ColabPage(colab, tmp_path, api, tmp_path / "no") as running,
    ):
        assert running.run(TELL_THREADS).status == "ok"
        yield running


def test_the_panel_draws_though_only_the_main_thread_is_seen(page: ColabPage) -> None:
    """While the kernel is idle it changes its widgets itself; while a cell runs another thread
    does, and what that sent is sent again by the kernel as soon as it is free."""
    page.opened()
    page.draw("a fox")
    page.shows(1)
    page.wait_until(lambda: "a fox" in page.value("told"))
    page.draw("an owl")
    page.wait_until(lambda: "an owl" in str(page.tiles()))
    seen = len(page.threads)
    page.reply(page.begin("import time; time.sleep(3)"))
    assert False in page.threads[seen:]
    page.shows(2)
    assert page.run(LOAD).status == "ok"
    assert page.reply(page.begin("%nanobanana a cat")).status == "ok"
    page.shows(3)


def test_the_panel_is_made_of_what_colab_has(page: ColabPage) -> None:
    """Of ipywidgets' own widgets of 7.7.1 only, also where a manager for others is switched on."""
    page.run("from google.colab import output; output.enable_custom_widget_manager()")
    reply = page.opened()
    made = {(state["_model_module"], state["_model_module_version"]) for state in page.made}
    assert made == {("@jupyter-widgets/base", "1.2.0"), ("@jupyter-widgets/controls", "1.5.0")}
    assert "custom_widget_manager" in str([output.metadata for output in reply.outputs])
