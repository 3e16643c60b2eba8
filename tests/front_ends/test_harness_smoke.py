"""The browser harness itself: it sees what is broken, and who asks the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..harness import pages
from . import looking

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from ..harness.servers import JupyterServer
    from .conftest import Watch

PICTURE = """
import io, PIL.Image
from IPython.display import HTML, Image, display
file = io.BytesIO()
PIL.Image.new("RGB", (320, 200), "orange").save(file, "PNG")
display(Image(file.getvalue()))
"""
BROKEN = "HTML('<img src=\"data:image/png;base64,AAAA\" width=50 height=50>')"


WIDGET = "import ipywidgets; ipywidgets.Button(description=f'v{ipywidgets.__version__}')"


@pytest.mark.parametrize(
    "front_end",
    ["voila", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("lab", "notebook7"))],
)
def test_broken_picture_is_noticed(page: Page, server: JupyterServer, front_end: str) -> None:
    """A picture that the browser cannot decode is not taken for one, though it has a box."""
    notebook = server.put(f"broken-{front_end}.ipynb", PICTURE, BROKEN)
    looking.OPENERS[front_end](page, server, notebook)
    if front_end != "voila":
        pages.run_all(page)
    assert pages.shown(page, pages.images(page).first) == (320, 200)
    with pytest.raises(AssertionError, match="broken picture"):
        pages.shown(page, pages.images(page).nth(1))


def test_requests_to_the_outside_are_stopped_and_listed(page: Page, watch: Watch) -> None:
    """A page that asks the network is found out."""
    with page.expect_event("requestfailed"):
        page.set_content('<img src="https://example.invalid/fox.png">')
    assert watch.outside == ["https://example.invalid/fox.png"]


@pytest.mark.parametrize(
    ("back", "front", "contrast"), [("#fff", "#000", 21.0), ("#111", "#777", 4.2)]
)
def test_contrast(page: Page, back: str, front: str, contrast: float) -> None:
    """Our reckoning gives the figures that the common contrast checkers give."""
    words = f'<p class="nanobanana" style="color:{front}">words</p>'
    page.set_content(f'<body style="background:{back}">{words}</body>')
    assert looking.lowest_contrast(page) == pytest.approx(contrast, abs=0.05)


def test_faint_words_have_less_contrast(page: Page) -> None:
    """Opacity counts, wherever on the way up it was set."""
    words = '<div class="nanobanana"><p style="opacity:.5">words</p></div>'
    page.set_content(f'<body style="background:#fff;color:#000">{words}</body>')
    assert looking.lowest_contrast(page) == pytest.approx(3.98, abs=0.05)


@pytest.mark.parametrize(("width", "found"), [(50, ["verylongword"]), (500, [])])
def test_what_does_not_fit_is_noticed(page: Page, width: int, found: list[str]) -> None:
    """A word that runs out of its box is found, also where it shows no scroll bar."""
    words = f'<div class="nanobanana"><p style="width:{width}px">verylongword</p></div>'
    page.set_content(f'<div class="jp-OutputArea-output">{words}</div>')
    assert looking.overflowing(page) == found


def test_a_short_progress_is_noticed(page: Page) -> None:
    """A bar that is gone again before anyone looks has been noted, and in which cell."""
    page.set_content('<div class="jp-CodeCell"></div>' * 2)
    looking.note_progress(page)
    page.evaluate(
        """async () => {
            const cell = document.querySelectorAll('.jp-CodeCell')[1];
            cell.innerHTML = '<div role="progressbar"></div>';
            await new Promise(requestAnimationFrame);
            cell.innerHTML = '';
        }"""
    )
    assert looking.cells_with_progress(page) == [1]


@pytest.mark.nightly
@pytest.mark.parametrize("front_end", looking.OPENERS)
def test_widget_of_colabs_stack(page: Page, colab_server: JupyterServer, front_end: str) -> None:
    """The second server draws widgets as Colab's versions do."""
    notebook = colab_server.put(f"widget-{front_end}.ipynb", WIDGET, kernel="colab")
    looking.OPENERS[front_end](page, colab_server, notebook)
    if front_end != "voila":
        pages.run_all(page)
    page.get_by_role("button", name="v7.7.1").wait_for()
