"""A batch as it is seen: pictures while they land, and what is there in the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nanobanana_nb import Sandbox

from ..harness import accessibility, pages
from . import looking

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from ..harness.servers import JupyterServer, Theme
    from .conftest import Watch

Shot = Callable[[str], Path]

ANIMALS = ("fox", "owl", "cat", "whale", "castle", "tree", "fish", "boat")
STYLES = ("ink", "watercolor", "pixel art")
SETUP = """
import os
os.environ |= {{"APIXO_BASE_URL": {url!r}, "APIXO_API_KEY": "k", "NANOBANANA_HOME": {home!r},
                "NANOBANANA_FIRST_POLL": "0.2", "NANOBANANA_POLL_INTERVAL": "0.1"}}
%load_ext nanobanana_nb
"""


@pytest.fixture
def api() -> Iterator[Sandbox]:
    """An API that draws four at a time."""
    with Sandbox(latency=1.5, at_once=4, balance=100) as running:
        yield running


def put(server: JupyterServer, api: Sandbox, name: str, *, named: bool) -> str:
    """A notebook that draws a file of prompts, two of which fail."""
    prompts = [f"a {animal} in {style}" for style in STYLES for animal in ANIMALS]
    prompts[5] += " [sandbox CONTENT_VIOLATION]"
    prompts[11] += " [sandbox drop]"
    lines = [
        json.dumps({"prompt": prompt} | ({"key": prompt[2:24]} if named else {}))
        for prompt in prompts
    ]
    file = server.root / f"{name}.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    setup = SETUP.format(url=api.url, home=str(server.root / f"{name}-home"))
    return server.put(f"{name}.ipynb", setup, f"%nanobanana_batch --yes {file.name}")


@pytest.mark.parametrize(
    ("front_end", "theme", "width"),
    [
        ("lab", "light", 1280),
        pytest.param("lab", "dark", 700, marks=pytest.mark.nightly),
        pytest.param("notebook7", "dark", 1280, marks=pytest.mark.nightly),
    ],
)
def test_pictures_land_while_others_are_drawn(
    page: Page,
    server: JupyterServer,
    api: Sandbox,
    watch: Watch,
    shot: Shot,
    front_end: str,
    theme: Theme,
    width: int,
) -> None:
    """The bar says how far it is and the latest pictures are there; then all of them by their
    keys, what failed with its reason, nothing of the bar, and nothing from outside."""
    from playwright.sync_api import expect

    name = f"batch-{front_end}-{theme}"
    looking.OPENERS[front_end](page, server, put(server, api, name, named=theme == "dark"), theme)
    pages.start_all(page)
    bar = page.locator(".jp-OutputArea").get_by_role("progressbar")
    expect(pages.images(page)).to_have_count(16, timeout=60_000)
    expect(bar).to_be_visible()
    looking.shoot_whole(page, shot, f"{name}-progress")
    pages.wait_idle(page)
    page.set_viewport_size({"width": width, "height": 900})
    expect(pages.images(page)).to_have_count(22)
    assert bar.count() == 0
    assert looking.lowest_contrast(page) >= 4.5
    assert looking.overflowing(page) == []
    assert "22 pictures, 1 failed, 1 may have been billed" in page.locator("body").inner_text()
    looking.shoot_whole(page, shot, f"{name}-result")
    assert accessibility.serious(accessibility.findings(page, ".nanobanana")) == []
    assert watch.outside == []
