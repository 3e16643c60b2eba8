"""The panel in real kernels, with a page that is imitated message by message.

The newest stack and Colab's. What a front end does by itself is done here by hand: it presses
buttons, sends what was typed, and follows the link that answers the panel's sign.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nanobanana_nb import Sandbox

from ..conftest import drawing_at
from ..harness.kernels import Kernel, Reply
from ..harness.outputs import Message
from ..test_money import wait_for
from .hand import filled

OPEN = "import nanobanana_nb as nb\npanel = nb.Panel()\npanel"
MOST_MODELS = 120


class Page(Kernel):
    """A kernel and the widgets of its page, as the kernel's messages have told of them.

    `signs` is whether the page follows links between traits, as every front end does.
    """

    def _reset(self) -> None:
        super()._reset()
        self.models: dict[str, dict[str, Any]] = {}
        self.updates: list[tuple[str, str, Any, bool]] = []
        self.running = ""
        self.signs = True

    def _handle(self, channel: str, message: Message) -> None:
        if channel == "iopub":
            self._follow(message)
        super()._handle(channel, message)

    def _follow(self, message: Message) -> None:
        content = message["content"]
        data = content.get("data", {})
        match message["header"]["msg_type"]:
            case "comm_open" if "state" in data:
                self.models[content["comm_id"]] = dict(data["state"])
            case "comm_msg" if data.get("method") == "update":
                self._update(content["comm_id"], data["state"])

    def _update(self, model: str, state: dict[str, Any]) -> None:
        self.models.setdefault(model, {}).update(state)
        busy = bool(self.running) and not self.area(self.running).idle
        for name, value in state.items():
            self.updates.append((model, name, value, busy))
        if self.signs and "value" in state:
            self.follow_links(model, state["value"])

    def follow_links(self, model: str, value: object) -> None:
        """Do what the page does with a link from this model's value."""
        for one in list(self.models.values()):
            if one.get("source") == [f"IPY_MODEL_{model}", "value"]:
                target, name = one["target"]
                self.change(target.removeprefix("IPY_MODEL_"), **{name: value})

    def named(self, name: str) -> list[str]:
        """The models with this class of the panel, in the order in which they were made."""
        return [
            model
            for model, state in list(self.models.items())
            if f"nbp-{name}" in (state.get("_dom_classes") or ())
        ]

    def value(self, name: str) -> str:
        """What the first model of that name shows."""
        return str(self.models[self.named(name)[0]]["value"])

    def tiles(self) -> list[str]:
        """What the places of the gallery show, those not in use included."""
        return [str(self.models[model]["value"]) for model in self.named("picture")]

    def change(self, model: str, **state: object) -> None:
        """Send a change that was made in the page."""
        self.models[model].update(state)
        self.send_comm(model, {"method": "update", "state": state, "buffer_paths": []})

    def type(self, text: str) -> None:
        """Type a prompt."""
        self.change(self.named("prompt")[0], value=text)

    def press(self, words: str) -> None:
        """Press the button with these words; one that stays down comes up at the next press."""
        kinds = ("ButtonModel", "ToggleButtonModel")
        model, state = next(
            (model, state)
            for model, state in list(self.models.items())
            if state.get("_model_name") in kinds and state["description"] == words
        )
        if state["_model_name"] == "ButtonModel":
            self.click(model)
        else:
            down = not state["value"]
            self.change(model, value=down)
            self.follow_links(model, down)

    def draw(self, prompt: str) -> None:
        """Type a prompt and press Generate."""
        self.type(prompt)
        self.press("Generate")

    def begin(self, code: str) -> str:
        """Run a cell that takes a while; updates are marked as made while it runs."""
        self.running = self.send(code)
        return self.running

    def opened(self, code: str = OPEN) -> Reply:
        """Open a panel and wait for its gallery."""
        reply = self.run(code)
        assert reply.status == "ok", reply.traceback
        self.wait_until(lambda: "Opening" not in self.value("message"))
        return reply

    def shows(self, count: int, timeout: float = 30) -> None:
        """Wait until so many pictures are in the gallery."""
        self.wait_until(
            lambda: sum(tile.startswith("<img") for tile in self.tiles()) == count, timeout
        )


@pytest.fixture
def api() -> Iterator[Sandbox]:
    """An API whose pictures take a second."""
    with Sandbox(latency=1) as running:
        yield running


@pytest.fixture
def page(python: Path, api: Sandbox) -> Iterator[Page]:
    """A kernel of either stack, before a panel is opened."""
    with Page(python, env=drawing_at(api.url)) as running:
        yield running


def prompts(api: Sandbox) -> list[str]:
    """What the API was asked to draw."""
    return [task.prompt for task in api.tasks]


# A click, and what was typed before it.


def test_a_click_draws_and_shows(page: Page, api: Sandbox) -> None:
    """From the prompt to the picture, through messages alone, with no noise in the cell."""
    reply = page.opened()
    page.draw("a fox")
    page.shows(1)
    assert prompts(api) == ["a fox"]
    page.wait_until(lambda: "a fox" in page.value("told"))
    assert reply.stderr == ""
    assert "rror" not in page.log


def test_what_arrives_after_the_click_is_drawn_whole(page: Page, api: Sandbox) -> None:
    """The page holds changes back, but not clicks: a cut-off prompt would be paid for."""
    page.opened()
    page.signs = False
    asked = page.named("echo")[0]
    page.draw("a fo")
    page.wait_until(lambda: page.models[asked]["value"] == "1")
    page.type("a fox in the snow")
    page.follow_links(asked, "1")
    page.shows(1)
    assert prompts(api) == ["a fox in the snow"]


def test_a_page_that_gives_no_sign(page: Page, api: Sandbox) -> None:
    """After a moment it is taken at its word: an old page must not make the button dead."""
    page.opened()
    page.signs = False
    page.draw("a fox")
    page.shows(1)
    assert prompts(api) == ["a fox"]


def test_a_double_click_is_one_picture(page: Page, api: Sandbox) -> None:
    """Twenty messages in a row, as a held key sends them, and as a busy kernel gets them."""
    page.opened()
    page.type("a fox")
    cell = page.begin("import time; time.sleep(1)")
    for _ in range(20):
        page.press("Generate")
    page.reply(cell)
    page.shows(1)
    assert prompts(api) == ["a fox"]
    assert "count as one" in str([value for _, _, value, _ in page.updates])


# The panel always draws.


@pytest.mark.parametrize(
    "cell", ["import time; time.sleep(2)", "import asyncio; await asyncio.sleep(2)"]
)
def test_a_click_during_a_cell_draws(page: Page, api: Sandbox, cell: str) -> None:
    """And draws anew when the notebook is run again in a new kernel, with the same clicks."""
    for count in (1, 2):
        page.opened()
        running = page.begin(cell)
        page.draw("a fox")
        page.reply(running)
        page.shows(count)
        page.restart()
    assert prompts(api) == ["a fox"] * 2


def test_a_click_just_before_a_cell_draws(page: Page, api: Sandbox) -> None:
    """Its sign never comes, so that it acts in the midst of a cell: it is no part of that cell."""
    for count in (1, 2):
        page.opened()
        page.signs = False
        page.type("a fox")
        page.press("Generate")
        running = page.begin("import asyncio; await asyncio.sleep(5)")
        page.wait_until(lambda count=count: len(api.tasks) == count)
        assert not page.area(running).idle
        page.reply(running)
        page.shows(count)
        page.restart()
    assert prompts(api) == ["a fox"] * 2


# Which thread changes the widgets.


def test_pictures_appear_while_a_cell_runs(page: Page, api: Sandbox) -> None:
    """From the portal's thread, since the kernel's own is busy; and once more after the cell, for
    pages that draw nothing which another thread has sent."""
    page.opened()
    page.draw("a fox")
    page.wait_until(lambda: len(api.tasks) == 1)
    page.reply(page.begin("import time; time.sleep(4)"))
    page.shows(1)
    tile = page.named("picture")[0]

    def sent(busy: bool) -> list[str]:
        return [
            value
            for model, name, value, during in page.updates
            if (model, name, during) == (tile, "value", busy) and value.startswith("<img")
        ]

    assert sent(busy=True)
    page.wait_until(lambda: bool(sent(busy=False)))
    assert sent(busy=False)[0] == sent(busy=True)[-1]


def test_an_idle_kernel_changes_its_widgets_itself(page: Page) -> None:
    """Colab is reported to draw nothing that comes from another thread."""
    page.opened()
    page.run(
        "import threading\nseen = []\n"
        "def note(change):\n"
        "    seen.append(threading.current_thread() is threading.main_thread())\n"
        "for picture in panel._gallery._pictures:\n"
        "    picture.observe(note, 'value')"
    )
    page.draw("a fox")
    page.shows(1)
    reply = page.run("print(seen.count(True), len(seen))")
    ours, all_ = map(int, reply.text.split())
    assert ours > all_ / 2


def test_the_latest_value_wins(page: Page) -> None:
    """Whichever threads set it, while a cell runs and after it, and none is left behind."""
    page.opened()
    page.run(
        "import asyncio, threading, time\n"
        "import ipywidgets\n"
        "from nanobanana_nb.panel.brush import Brush\n"
        "brush, line = Brush(), ipywidgets.HTML('')\n"
        "async def count(first, last):\n"
        "    for number in range(first, last):\n"
        "        brush.set(line, value=str(number))\n"
        "        await asyncio.sleep(0.002)\n"
    )
    line = page.run("print(line.model_id)").text.strip()
    page.run("job = panel._living.start(count(0, 600)); time.sleep(1); job.future.result()")
    page.wait_until(lambda: page.models[line]["value"] == "599")
    page.run("job = panel._living.start(count(600, 900)); await asyncio.sleep(1)")
    page.wait_until(lambda: page.models[line]["value"] == "899")
    assert page.run("job.future.result(); print(line.value)").text == "899\n"
    values = [int(value) for model, name, value, _ in page.updates if model == line and value]
    assert values == sorted(values)
    page.run("brush.set(line, value='from the cell')")
    assert page.models[line]["value"] == "from the cell"


def test_no_class_is_lost(page: Page) -> None:
    """Several marks at one widget before the kernel has time for any of them."""
    page.opened()
    reply = page.run(
        "import ipywidgets, time\n"
        "from nanobanana_nb.panel.brush import Brush\n"
        "brush, line = Brush(), ipywidgets.HTML('')\n"
        "line._dom_classes = ('nbp-a', 'nbp-b')\n"
        "async def marks():\n"
        "    brush.mark(line, 'nbp-c', True)\n"
        "    brush.show(line, False)\n"
        "    brush.mark(line, 'nbp-a', False)\n"
        "    brush.mark(line, 'nbp-c', True)\n"
        "    brush.show(line, True)\n"
        "    brush.mark(line, 'nbp-d', True)\n"
        "panel._living.start(marks()).future.result()\n"
        "print(line._dom_classes, line.model_id)\n"
        "time.sleep(0.5)\n"
        "print(line._dom_classes)"
    )
    before, after = reply.text.splitlines()
    assert before.startswith("('nbp-a', 'nbp-b')")  # nothing was changed behind the cell's back
    assert after == "('nbp-b', 'nbp-c', 'nbp-d')"


# After a restart.


def test_after_a_restart_in_mid_task(page: Page, api: Sandbox) -> None:
    """The same gallery, and what was pending comes home, at no further cost."""
    page.opened()
    page.draw("a fox")
    page.shows(1)
    page.draw("an owl")
    page.wait_until(lambda: len(api.tasks) == 2)
    page.restart()
    page.opened()
    page.shows(2)
    assert page.named("picture")
    assert 'alt="an owl"' in page.tiles()[0]
    assert 'alt="a fox"' in page.tiles()[1]
    assert api.counts["submit"] == 2


def test_after_the_kernel_was_killed_in_mid_task(page: Page, api: Sandbox) -> None:
    """As the out-of-memory killer does it: the lease of the dead runs out, and the panel that
    stands there shows the picture without a click."""
    page.opened()
    page.draw("a fox")
    page.wait_until(lambda: len(api.tasks) == 1)
    wait_for(lambda: api.counts["status"] > 0)  # its id is on disk
    page.kill()
    page.restart()
    page.opened()
    page.shows(1, timeout=60)
    assert api.counts["submit"] == 1


# What stays in the notebook.


def test_pictures_put_into_the_notebook(page: Page) -> None:
    """Below the panel, in the output of its own cell, one under the other; nothing else there."""
    reply = page.opened()
    assert len(reply.displays) == 2
    assert reply.displays[1]["text/html"] == ""
    for prompt in ("a fox", "an owl"):
        page.draw(prompt)
        page.wait_until(lambda prompt=prompt: f'alt="{prompt}"' in page.value("shown"))
        page.press("Put into notebook")
        page.wait_until(lambda prompt=prompt: prompt in reply.displays[1]["text/plain"])
    album = reply.displays[1]
    assert album["text/html"].count("<img") == 2
    assert album["text/html"].index('alt="a fox"') < album["text/html"].index('alt="an owl"')
    assert album["image/jpeg"]
    assert len(reply.displays) == 2


# Light.


@pytest.mark.parametrize("count", [0, 50, 5000])
def test_how_much_the_page_holds(python: Path, api: Sandbox, tmp_path: Path, count: int) -> None:
    """As many models whatever is in the home, and previews that are small."""
    home = tmp_path / "home"
    if count:
        filled(home, count, pictures=20)
    with Page(python, env=drawing_at(api.url) | {"NANOBANANA_HOME": str(home)}) as page:
        page.opened()
        page.shows(min(count, 12))
        page.wait_until(lambda: "Balance" in page.value("money"))
        assert len(page.models) <= MOST_MODELS
        sizes = [
            len(json.dumps(value).encode())
            for state in page.models.values()
            for value in state.values()
        ]
        assert sum(sizes) < 400_000
        assert max(sizes) <= 250_000
        sent = sum(len(json.dumps(value).encode()) for _, _, value, _ in page.updates)
        print(f"{count} pictures: {len(page.models)} models, {sum(sizes)} bytes, {sent} sent")
        assert sent < 400_000
        with closing(sqlite3.connect(home / "ledger.sqlite3")) as db:
            assert db.execute("SELECT COUNT(*) FROM task").fetchone() == (count,)


def test_an_idle_panel_sends_nothing(page: Page) -> None:
    """Looking again, twice a second, is no reason to talk to the page."""
    page.opened()
    page.draw("a fox")
    page.shows(1)
    page.wait_until(lambda: "1 picture done" in str(page.updates[-200:]))
    page.wait_until(lambda: "$9.97" in page.value("money"))
    look = (
        "import time\nfor _ in range(4):\n    panel._look_again()\n    {}\n"
        "panel._living.wait(panel._living.version())"
    )
    page.run(look.format("time.sleep(0.3)"))
    page.run("pass")  # by its end, all is sent that the cell before it kept waiting
    before = len(page.updates)
    for pause in ("time.sleep(0.3)", "await asyncio.sleep(0.3)"):
        page.run("import asyncio\n" + look.format(pause))
    assert page.updates[before:] == []
