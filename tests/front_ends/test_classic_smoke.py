"""The harness for the classic Notebook, and what its widgets can do on Colab's versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..harness import pages

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from ..harness.servers import ClassicServer
    from .conftest import Watch

PANEL = """
import io, threading, time
from pathlib import Path
import ipywidgets as W
import PIL.Image
from IPython.display import HTML, display

def png(width):
    file = io.BytesIO()
    PIL.Image.new("RGB", (width, 80), "orange").save(file, "PNG")
    return file.getvalue()

words = W.Textarea(description="Words")
size = W.ToggleButtons(options=["small", "large"])
go = W.Button(description="Draw")
heard = W.Label()
status = W.HTML("nothing yet")
picture = W.Image(value=png(1), width=160)
named = {"t-words": words, "t-heard": heard, "t-size": size, "t-status": status}
named["t-picture"] = picture
for name, widget in named.items():
    widget.add_class(name)

def draw(_):
    picture.value = png({"small": 120, "large": 240}[size.value])
    status.value = f"<b>{size.value}: {words.value}</b>"

go.on_click(draw)
words.observe(lambda change: setattr(heard, "value", change.new), "value")
W.VBox([words, heard, size, go, status, picture])
"""
# The cell sleeps until the test has seen what a thread has set meanwhile, and says so.
SLEEPING = """
threading.Thread(target=lambda: setattr(status, "value", "from a thread")).start()
while not Path("seen").exists():
    time.sleep(0.05)
"""
UPDATING = """
handle = display(HTML("<i>first</i>"), display_id=True)
update = W.Button(description="Update")
update.on_click(lambda _: handle.update(HTML("<b>second</b>")))
update
"""
SAID = "print(repr(words.value))"
BROKEN = "HTML('<img src=\"data:image/png;base64,AAAA\" width=50 height=50>')"
SLOW = "import os, time; time.sleep(0.5); print(os.getpid())"
HOMES = "import os; print(os.environ['NANOBANANA_HOME'], os.environ['IPYTHONDIR'])"


def draw(page: Page, typed: str, size: str, width: int) -> None:
    """Work the panel with the keyboard and the mouse, and look at what it shows.

    What is typed is sent piece by piece, and a click may overtake the last one.
    """
    from playwright.sync_api import expect

    page.locator(".t-words textarea").click()
    page.keyboard.press("Control+A")
    page.keyboard.type(typed)
    expect(page.locator(".t-heard")).to_have_text(typed)
    page.locator(".t-size").get_by_role("button", name=size).click()
    page.get_by_role("button", name="Draw").click()
    expect(page.locator(".t-status b")).to_have_text(f"{size}: {typed}")
    expect(page.locator("img.t-picture")).to_have_js_property("naturalWidth", width)
    assert pages.shown(page, page.locator("img.t-picture")) == (width, 80)


def test_widgets_live_and_outlive_a_reload(
    page: Page, watch: Watch, classic_server: ClassicServer
) -> None:
    """Typing, choosing and clicking reach the kernel and come back, after a reload too."""
    from playwright.sync_api import expect

    notebook = classic_server.put("widgets.ipynb", PANEL, SAID)
    pages.open_classic(page, classic_server, notebook)
    pages.run_all_classic(page)
    draw(page, "a fox & an owl", "large", 240)
    pages.save_classic(page, classic_server, notebook)
    pages.reload_classic(page)
    expect(page.locator(".t-words textarea")).to_have_value("a fox & an owl")
    draw(page, "two cranes", "small", 120)
    pages.code_cell(page, 1).locator(".CodeMirror").click()
    page.keyboard.press("Control+Enter")
    pages.wait_classic_idle(page)
    assert pages.cell_outputs(page, 1).all_inner_texts() == ["'two cranes'\n"]
    assert watch.outside == []


def test_a_thread_draws_while_a_cell_sleeps(page: Page, classic_server: ClassicServer) -> None:
    """A trait that a background thread sets is shown though the kernel is busy."""
    from playwright.sync_api import expect

    (classic_server.root / "seen").unlink(missing_ok=True)
    notebook = classic_server.put("thread.ipynb", PANEL, SLEEPING)
    pages.open_classic(page, classic_server, notebook)
    pages.start_all_classic(page)
    expect(page.locator(".t-status")).to_have_text("from a thread")
    expect(pages.code_cell(page, 1).locator(".input_prompt")).to_contain_text("*")
    (classic_server.root / "seen").touch()
    pages.wait_classic_idle(page)


def test_a_click_updates_a_display(page: Page, classic_server: ClassicServer) -> None:
    """An update through a display handle, sent by a callback, is shown and saved."""
    from playwright.sync_api import expect

    notebook = classic_server.put("update.ipynb", PANEL, UPDATING)
    pages.open_classic(page, classic_server, notebook)
    pages.run_all_classic(page)
    expect(pages.cell_outputs(page, 1).first.locator("i")).to_have_text("first")
    page.get_by_role("button", name="Update").click()
    expect(pages.cell_outputs(page, 1).first.locator("b")).to_have_text("second")
    saved = pages.save_classic(page, classic_server, notebook)
    assert saved.cells[1].outputs[0].data["text/html"] == "<b>second</b>"


def test_restarting_is_waited_for(page: Page, classic_server: ClassicServer) -> None:
    """After a restart there is a new kernel, in the server's own folders, ready to run all."""
    notebook = classic_server.put("restart.ipynb", SLOW, HOMES)
    pages.open_classic(page, classic_server, notebook)
    pages.run_all_classic(page)
    first = pages.cell_outputs(page, 0).all_inner_texts()
    pages.restart_classic(page)
    assert pages.cell_outputs(page, 0).all_inner_texts() == first
    pages.run_all_classic(page)
    second = pages.cell_outputs(page, 0).all_inner_texts()
    assert len(second) == 1
    assert second != first
    homes = pages.cell_outputs(page, 1).inner_text().split()
    assert [str(classic_server.folder) in home for home in homes] == [True, True]


def test_broken_picture_is_noticed(page: Page, classic_server: ClassicServer) -> None:
    """A picture that the browser cannot decode is not taken for one, though it has a box."""
    from playwright.sync_api import expect

    notebook = classic_server.put("broken.ipynb", PANEL, BROKEN)
    pages.open_classic(page, classic_server, notebook)
    pages.run_all_classic(page)
    expect(pages.images(page)).to_have_count(2)
    with pytest.raises(AssertionError, match="broken picture"):
        pages.shown(page, pages.cell_outputs(page, 1).locator("img"))
