"""Outputs in less than ideal places: a gallery with a gap, a narrow window, a distrusted file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbclient import NotebookClient

from ..harness import pages
from ..harness.environment import child_environment
from . import looking

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from ..harness.servers import JupyterServer

LOAD = "%load_ext nanobanana_nb"
FOUR = "foxes = %nanobanana -n 4 a fox in watercolor, sitting in a very long meadow of poppies"
GAP = """
import nanobanana_nb as nb
refused = nb.generate("[sandbox CONTENT_VIOLATION] a fox that is not allowed", count=2)
nb.Gallery([foxes[0], refused[0], foxes[1]])
"""
FAILING = "%nanobanana [sandbox 402] a fox that nobody can pay for"


def test_gallery_in_a_narrow_window(
    page: Page, server: JupyterServer, shot: Callable[[str], Path]
) -> None:
    """Progress tells of all four; the grid folds to the window, its failed picture included.

    A failing cell shows its one line and no traceback.
    """
    notebook = server.put("gallery.ipynb", LOAD, FOUR, GAP, FAILING)
    pages.open_lab(page, server, notebook)
    page.locator(".jp-SideBar [data-id=filebrowser]").click()  # fold the side bar away
    pages.start_all(page)
    progress = pages.cell_outputs(page, 1).get_by_role("progressbar")
    progress.wait_for()
    assert "of 4 done" in (progress.get_attribute("aria-label") or "")
    shot("progress")
    progress.wait_for(state="detached")
    pages.wait_idle(page)
    assert looking.rows_of_pictures(page) == [4, 2]
    failure = pages.cell_outputs(page, 3).last.inner_text().strip()
    assert failure.startswith("BalanceTooLow: The balance is too low (402).")
    assert "Traceback" not in failure
    assert failure.endswith("nothing was billed for this.")
    looking.shoot_whole(page, shot, "gallery-with-a-failure")
    page.set_viewport_size({"width": 400, "height": 900})
    for image in pages.images(page).all():
        pages.shown(page, image)
    looking.shoot_whole(page, shot, "gallery-narrow")
    assert max(looking.rows_of_pictures(page)) <= 2
    assert looking.overflowing(page) == []
    assert page.get_by_role("note").last.inner_text().startswith("[1] No picture")


def test_a_notebook_from_someone_else(
    page: Page, server: JupyterServer, tmp_path: Path, shot: Callable[[str], Path]
) -> None:
    """Lab distrusts a file that it has not run and strips its HTML; the pictures stay."""
    cells = [nbformat.v4.new_code_cell(code) for code in (LOAD, FOUR)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook).execute(env=child_environment(tmp_path), cwd=str(tmp_path))
    nbformat.write(notebook, server.root / "mailed.ipynb")
    contents = server.api("/api/contents/mailed.ipynb")["content"]
    assert not any(cell["metadata"]["trusted"] for cell in contents["cells"])
    pages.open_lab(page, server, "mailed.ipynb")
    assert pages.images(page).count() == 4
    for image in pages.images(page).all():
        pages.shown(page, image)
        assert (image.get_attribute("alt") or "").startswith("a fox in watercolor")
    looking.shoot_whole(page, shot, "untrusted")
    assert len(looking.rows_of_pictures(page)) < 4
    assert looking.overflowing(page) == []
