"""A notebook really saved by JupyterLab, with the key typed in and the panel open: no key in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nanobanana_nb import Sandbox

from ..conftest import drawing_at
from ..harness import pages
from ..security.searching import CANARY, files, hits
from .panels import PANEL, PanelPage, expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from ..harness.servers import JupyterServer

WIDGETS_PLUGIN = "/lab/api/settings/@jupyter-widgets/jupyterlab-manager:plugin"
SETTINGS = "import os, logging; os.environ.update({!r}); logging.basicConfig(level=0)"
LOGIN = "import nanobanana_nb as nb\nnb.login()"
DRAW = "%load_ext nanobanana_nb\nfox = %nanobanana a fox\nfox"


@pytest.fixture
def saving_widgets(server: JupyterServer) -> Iterator[JupyterServer]:
    """Lab's "Save Widget State Automatically", which is off unless a user has chosen it."""
    server.api(WIDGETS_PLUGIN, "PUT", {"raw": json.dumps({"saveState": True})})
    yield server
    server.api(WIDGETS_PLUGIN, "PUT", {"raw": "{}"})


def test_k3_a_notebook_saved_by_jupyterlab(
    page: Page, saving_widgets: JupyterServer, tmp_path: Path
) -> None:
    """The key is typed into Lab's own prompt and used by a cell and by the panel, whose widgets are
    saved too: neither the notebook nor the page, nor anything that the server keeps, has it."""
    server = saving_widgets
    with Sandbox(api_key=CANARY, latency=0) as api:
        env = {**drawing_at(api.url), "NANOBANANA_HOME": str(tmp_path / "home")}
        del env["APIXO_API_KEY"]
        cells = (SETTINGS.format(env), LOGIN, DRAW, PANEL)
        notebook = server.put("canary.ipynb", *cells)
        pages.open_lab(page, server, notebook)
        pages.start_all(page)
        asked = page.locator(".jp-Stdin-input")
        asked.fill(CANARY)
        asked.press("Enter")
        pages.wait_idle(page)
        panel = PanelPage(page)
        panel.wait()
        expect(panel.pictures).to_have_count(1)
        panel.draw("an owl")
        expect(panel.pictures).to_have_count(2)
        saved = pages.save(page, server, notebook)
        assert api.counts["submit"] == 2
    state = saved.metadata.widgets["application/vnd.jupyter.widget-state+json"].state
    assert len(state) > 20
    assert "an owl" in json.dumps(state)
    assert "kept for this kernel" in json.dumps(saved.cells[1].outputs)
    stores = "[localStorage, sessionStorage].map(one => JSON.stringify({...one})).join()"
    sinks = {
        "the notebook": (server.root / notebook).read_bytes(),
        "the page": page.content().encode(),
        "what the page keeps": page.evaluate(stores).encode(),
        "what the server keeps": files(server.folder, "*"),
        "the server's log": server.log.encode() or b"(empty)",
        "the home": files(tmp_path, "*"),
    }
    assert {name: held for name, data in sinks.items() if (held := hits(data))} == {}
