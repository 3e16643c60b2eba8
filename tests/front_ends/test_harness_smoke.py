"""The browser harness itself: plain pictures in every front end, good, broken and reopened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..harness import pages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

    from ..harness.servers import JupyterServer, Theme
    from .conftest import Watch

PICTURE = """
import io, PIL.Image
from IPython.display import HTML, Image, display
file = io.BytesIO()
PIL.Image.new("RGB", (320, 200), "orange").save(file, "PNG")
display(Image(file.getvalue()))
"""
BROKEN = "HTML('<img src=\"data:image/png;base64,AAAA\" width=50 height=50>')"
OPENERS = {
    "lab": pages.open_lab,
    "notebook7": pages.open_notebook7,
    "voila": pages.open_voila,
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("front_end", OPENERS)
def test_picture(
    page: Page,
    server: JupyterServer,
    watch: Watch,
    shot: Callable[[str], Path],
    front_end: str,
    theme: Theme,
) -> None:
    notebook = server.put(f"{front_end}-{theme}.ipynb", PICTURE)
    OPENERS[front_end](page, server, notebook, theme)
    if front_end != "voila":
        pages.run_all(page)
    assert pages.shown(page, pages.images(page)) == (320, 200)
    assert pages.describe(page)[0][0]["images"] == [320]
    assert watch.outside_except(*pages.VOILA_ASKS_FOR) == []
    shot(f"smoke-{front_end}-{theme}")


@pytest.mark.parametrize("front_end", OPENERS)
def test_broken_picture_is_noticed(page: Page, server: JupyterServer, front_end: str) -> None:
    notebook = server.put(f"broken-{front_end}.ipynb", PICTURE, BROKEN)
    OPENERS[front_end](page, server, notebook)
    if front_end != "voila":
        pages.run_all(page)
    with pytest.raises(AssertionError, match="broken picture"):
        pages.shown(page, pages.images(page).nth(1))


@pytest.mark.parametrize("front_end", ["lab", "notebook7"])
def test_saved_and_reopened_without_kernel(
    page: Page, server: JupyterServer, front_end: str
) -> None:
    notebook = server.put(f"reopened-{front_end}.ipynb", PICTURE)
    OPENERS[front_end](page, server, notebook)
    pages.run_all(page)
    saved = pages.save(page, server, notebook)
    assert "image/png" in saved.cells[0].outputs[0].data
    page.goto("about:blank")
    server.stop_kernels()
    OPENERS[front_end](page, server, notebook)
    assert pages.shown(page, pages.images(page)) == (320, 200)
    pages.run_all(page)  # the prompt goes from [1] to [1] on the fresh kernel
    assert pages.shown(page, pages.images(page)) == (320, 200)


def test_requests_to_the_outside_are_stopped_and_listed(page: Page, watch: Watch) -> None:
    page.set_content('<img src="https://example.invalid/fox.png">')
    page.wait_for_timeout(200)
    assert watch.outside == ["https://example.invalid/fox.png"]


WIDGET = "import ipywidgets; ipywidgets.Button(description=f'v{ipywidgets.__version__}')"


@pytest.mark.parametrize("front_end", OPENERS)
def test_widget_of_colabs_stack(page: Page, colab_server: JupyterServer, front_end: str) -> None:
    notebook = colab_server.put(f"widget-{front_end}.ipynb", WIDGET, kernel="colab")
    OPENERS[front_end](page, colab_server, notebook)
    if front_end != "voila":
        pages.run_all(page)
    page.get_by_role("button", name="v7.7.1").wait_for()
