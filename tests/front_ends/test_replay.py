"""Restart Kernel and Run All Cells, pressed in JupyterLab: it costs nothing and looks the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..harness import pages

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from ..harness.servers import JupyterServer

LOAD = "%load_ext nanobanana_nb\nimport nanobanana_nb as nb"
TWIN = "%nanobanana a fox with a twin"
MANY = "%nanobanana -n 3 an owl"
LOST = "%nanobanana [sandbox drop] a lost fox"


def files(page: Page) -> list[str]:
    """The picture files that the page names, in order."""
    titles = [image.get_attribute("title") or "" for image in pages.images(page).all()]
    return [re.findall(r"[^/]+$", title)[0] for title in titles]


def test_restart_and_run_all_shows_the_same_pictures(
    page: Page, server: JupyterServer, shot: Callable[[str], Path]
) -> None:
    """Two cells with the same text keep their own pictures, and what is in doubt stays so."""
    notebook = server.put("replay.ipynb", LOAD, TWIN, TWIN, MANY, LOST)
    pages.open_lab(page, server, notebook)
    pages.run_all(page)
    drawn = files(page)
    assert len(set(drawn)) == 5
    doubt = pages.cell_outputs(page, 4).first.inner_text()
    assert "May have been billed" in doubt
    pages.restart_and_run_all(page)
    assert files(page) == drawn
    for cell in (1, 2, 3):
        assert "shown again, $0.00" in pages.cell_outputs(page, cell).last.inner_text()
    assert pages.cell_outputs(page, 4).first.inner_text() == doubt
    shot("replay")
