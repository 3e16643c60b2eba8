"""The quickstart as a newcomer meets it: Run All in each front end, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..harness import pages
from . import looking
from .quickstart import FAILURE, PICTURES, WAITING_CELLS, put_quickstart

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from ..harness.servers import JupyterServer, Theme
    from .conftest import Watch

Shot = Callable[[str], Path]

LEGIBLE = 4.5  # the contrast that WCAG asks for in small print


def run_all(page: Page, watch: Watch) -> None:
    """Run the open notebook and look at everything that it shows on the way and in the end."""
    looking.note_progress(page)
    pages.run_all(page)
    check_pictures(page)
    check_failure(page)
    check_nothing_else(page)
    assert looking.cells_with_progress(page) == WAITING_CELLS
    assert watch.outside == []


def check_pictures(page: Page) -> None:
    """Every picture can be seen, once, and its prompt read aloud."""
    from playwright.sync_api import expect

    expect(pages.images(page)).to_have_count(sum(map(len, PICTURES)))  # Voila draws them late
    outputs = [output for cell in pages.describe(page) for output in cell]
    assert [output["alts"] for output in outputs if output["alts"]] == PICTURES
    for image in pages.images(page).all():
        assert min(pages.shown(page, image)) >= 200


def check_failure(page: Page) -> None:
    """The failing cell prints one line."""
    failing = page.locator(".jp-CodeCell").filter(has_text="CONTENT_VIOLATION")
    assert failing.count() == 1
    words = failing.locator(".jp-OutputArea-output").all_inner_texts()
    assert [text.strip() for text in words if text.strip()] == [FAILURE]


def check_nothing_else(page: Page) -> None:
    """Progress is gone, no widget is missing, and small print can be read."""
    assert page.locator(".jp-OutputArea").get_by_role("progressbar").count() == 0
    words = page.locator("body").inner_text()
    assert "model not found" not in words
    assert "Traceback" not in words
    assert looking.lowest_contrast(page) >= LEGIBLE
    assert looking.overflowing(page) == []


@pytest.mark.parametrize("front_end", ["notebook7", pytest.param("lab", marks=pytest.mark.nightly)])
def test_run_all_in_the_dark(
    page: Page, server: JupyterServer, watch: Watch, shot: Shot, front_end: str
) -> None:
    """A newcomer runs all cells: progress, pictures, one line of failure; all can be read."""
    notebook = put_quickstart(server, f"dark-{front_end}")
    looking.OPENERS[front_end](page, server, notebook, "dark")
    run_all(page, watch)
    looking.shoot_whole(page, shot, f"quickstart-{front_end}-dark")


@pytest.mark.parametrize("front_end", ["lab", pytest.param("notebook7", marks=pytest.mark.nightly)])
def test_run_all_save_and_reopen(
    page: Page, server: JupyterServer, watch: Watch, shot: Shot, front_end: str
) -> None:
    """The same by day, and it still stands there when the kernel that drew it is gone."""
    notebook = put_quickstart(server, f"reopen-{front_end}")
    looking.OPENERS[front_end](page, server, notebook)
    run_all(page, watch)
    looking.shoot_whole(page, shot, f"quickstart-{front_end}-light")
    pages.save(page, server, notebook)
    page.goto("about:blank")
    server.stop_kernels()
    looking.OPENERS[front_end](page, server, notebook)
    check_pictures(page)
    check_failure(page)
    check_nothing_else(page)


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.nightly)])
def test_voila(page: Page, server: JupyterServer, watch: Watch, shot: Shot, theme: Theme) -> None:
    """Voila runs the notebook by itself and shows the same."""
    notebook = put_quickstart(server, f"voila-{theme}")
    pages.open_voila(page, server, notebook, theme)
    check_pictures(page)
    check_failure(page)
    check_nothing_else(page)
    looking.shoot_whole(page, shot, f"quickstart-voila-{theme}")
    assert watch.outside_except(*pages.VOILA_ASKS_FOR) == []


@pytest.mark.nightly
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_colabs_stack(
    page: Page, colab_server: JupyterServer, watch: Watch, shot: Shot, theme: Theme
) -> None:
    """IPython 7.34 and ipykernel 6.17 show what today's versions show."""
    notebook = put_quickstart(colab_server, f"colab-{theme}", kernel="colab")
    pages.open_lab(page, colab_server, notebook, theme)
    run_all(page, watch)
    looking.shoot_whole(page, shot, f"quickstart-colab-{theme}")
