"""The tour of iterating as a person takes it: typed cells, grids, lineage, styles, in Lab."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from ..harness import accessibility, pages
from . import looking
from .quickstart import put_notebook

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from ..harness.servers import JupyterServer, Theme
    from .conftest import Watch

Shot = Callable[[str], Path]

REPOSITORY = Path(__file__).parents[2]
TOUR = REPOSITORY / "notebooks" / "iterate.ipynb"
IMAGES = REPOSITORY / "docs" / "images"
MINUTES = 4 * 60_000


def output_of(page: Page, code: str) -> Locator:
    """What the cell with this code shows."""
    return page.locator(".jp-CodeCell").filter(has_text=code).locator(".jp-OutputArea-output")


def document(output: Locator, name: str) -> None:
    """Keep a picture of an output for the README, if that is asked for."""
    with Image.open(BytesIO(output.screenshot())) as taken:
        small = taken.convert("RGB").quantize(256)
    if os.environ.get("DOCS_IMAGES"):
        small.save(IMAGES / f"{name}.png", "PNG", optimize=True)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("stack", "theme"), [("newest", "light"), ("newest", "dark"), ("colab", "light")]
)
def test_the_tour(
    page: Page,
    request: pytest.FixtureRequest,
    watch: Watch,
    shot: Shot,
    stack: str,
    theme: Theme,
) -> None:
    """Run All: no error, every grid has its headings, a picture of one opens large, all legible."""
    from playwright.sync_api import expect

    on_colab = stack == "colab"
    server: JupyterServer = request.getfixturevalue("colab_server" if on_colab else "server")
    kernel = "colab" if on_colab else "python3"
    notebook = put_notebook(server, TOUR, f"tour-{stack}-{theme}", kernel)
    pages.open_lab(page, server, notebook, theme)
    pages.run_all(page, MINUTES)
    page.set_viewport_size({"width": 1280, "height": 12_000})
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert "Traceback" not in page.locator("body").inner_text()
    grid = output_of(page, "{a fox|an owl|a cat}").locator(".nanobanana").last
    assert "variant" not in grid.locator("table").inner_text()
    expect(grid.locator("th[scope=row]")).to_have_text(["a fox", "an owl", "a cat"])
    assert grid.locator("table img").count() == 6
    assert output_of(page, "toy.lineage").locator("img").count() == 4
    assert output_of(page, "nanobanana_styles").locator("img").count() >= 2
    assert looking.overflowing(page) == []
    assert looking.lowest_contrast(page) >= 4.5
    assert accessibility.serious(accessibility.findings(page, ".nanobanana")) == []
    shot(f"tour-{stack}-{theme}")
    if not on_colab and theme == "light":
        document(grid.locator("table"), "grid")
        document(output_of(page, "toy.lineage").last, "lineage")
    page.set_viewport_size({"width": 1280, "height": 900})
    grid.locator("table img").first.click()
    expect(grid.locator("dialog img")).to_be_in_viewport(ratio=0.99)
    page.keyboard.press("Escape")
    expect(grid.locator("dialog")).to_be_hidden()
    assert watch.outside == []
