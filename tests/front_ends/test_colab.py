"""The notebook for Colab on Colab's versions, seen in pages that draw widgets as those do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from nanobanana_nb import Sandbox

from ..harness import pages
from ..harness.colab import PACKAGE
from . import looking
from .panels import PanelPage, expect, prepared

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from ..harness.servers import ClassicServer, JupyterServer
    from .conftest import Watch

Shot = Callable[[str], Path]

COLAB = Path(__file__).parents[2] / "notebooks" / "colab.ipynb"
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
PROMPTS = ("a fox in watercolor", "the same fox at night", "an owl at night")


def put(server: JupyterServer | ClassicServer, api: Sandbox, home: Path, kernel: str) -> str:
    """The notebook, behind a first cell that makes this kernel Colab's, with a key and a Drive."""
    drive = home / "drive" / "MyDrive"
    drive.mkdir(parents=True)
    mirror = f"os.environ['NANOBANANA_MIRROR'] = {str(drive / 'nanobanana')!r}"
    colab = f"sys.path.insert(0, {str(PACKAGE)!r})\nimport google.colab"
    notebook = nbformat.read(COLAB, as_version=4)
    first = nbformat.v4.new_code_cell(f"{prepared(api.url, home)}\n{mirror}\n{colab}")
    notebook.cells.insert(0, first)
    notebook.metadata["kernelspec"]["name"] = kernel
    name = f"colab-{home.parent.name}.ipynb"
    nbformat.write(notebook, server.root / name)
    return name


def check(page: Page, watch: Watch, home: Path) -> None:
    """Every picture is seen with its words, the panel has them all, copies are in the Drive, no
    error anywhere, and nothing is asked for outside but the badge."""
    panel = PanelPage(page)
    panel.wait()
    expect(panel.pictures).to_have_count(6)
    words = page.locator("body").inner_text()
    assert [prompt in words for prompt in PROMPTS] == [True] * len(PROMPTS)
    assert "Traceback" not in words
    assert "Error displaying widget" not in words
    assert "4 task ids" in words
    assert len(list((home / "drive" / "MyDrive" / "nanobanana").glob("*.json"))) == 6
    assert watch.outside_except(BADGE) == []


def test_in_lab(
    page: Page, colab_server: JupyterServer, watch: Watch, shot: Shot, tmp_path: Path
) -> None:
    """JupyterLab with the widgets of ipywidgets 7: Run All, then draw by hand."""
    with Sandbox(latency=0.5) as api:
        notebook = put(colab_server, api, tmp_path / "home", "colab")
        pages.open_lab(page, colab_server, notebook)
        pages.run_all(page)
        check(page, watch, tmp_path / "home")
        looking.shoot_whole(page, shot, "colab-lab")
        assert looking.lowest_contrast(page) >= 4.5
        assert looking.overflowing(page) == []
        panel = PanelPage(page)
        panel.draw("a cat by hand")
        expect(panel.pictures).to_have_count(7)


@pytest.mark.nightly
def test_in_the_classic_notebook(
    page: Page, classic_server: ClassicServer, watch: Watch, shot: Shot, tmp_path: Path
) -> None:
    """The same in the front end of Colab's own versions."""
    with Sandbox(latency=0.5) as api:
        notebook = put(classic_server, api, tmp_path / "home", "python3")
        pages.open_classic(page, classic_server, notebook)
        pages.run_all_classic(page)
        check(page, watch, tmp_path / "home")
        page.set_viewport_size({"width": 1280, "height": 6000})
        shot("colab-classic")
        panel = PanelPage(page)
        panel.draw("a cat by hand")
        expect(panel.pictures).to_have_count(7)
