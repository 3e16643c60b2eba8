"""The strip of a lineage and the list of styles in JupyterLab: readable, also without a kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from ..harness import pages
from ..harness.accessibility import findings, serious
from . import looking
from .panels import prepared

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from ..harness.servers import JupyterServer, Theme

Shot = Callable[[str], Path]

CHAIN = """
from nanobanana_nb import Studio
studio = Studio()
def draw(prompt, *references, **options):
    options |= {"image_urls": list(references)} if references else {}
    return studio.wait(studio.generate(prompt, **options))
fox = draw("a fox in watercolor, sitting in a very long meadow of poppies", aspect_ratio="16:9")
owl = draw("an owl in ink", aspect_ratio="9:16")
dawn = draw("at dawn", fox)
both = draw("the owl sits on the fox's head", dawn, owl, "mine.png")
hats = draw("with hats", both)
stamp = draw("as a stamp, perforated, 20 cents, Donaudampfschifffahrtsgesellschaft", hats)
for style in ("ink", "poster", "night,oil", "ink"):
    draw("a fox", style=style)
boots = draw("with boots", hats)
red = draw("with red boots", hats)
"""
FAIL = "draws = studio.wait(studio.gallery('[sandbox CONTENT_VIOLATION]', image_urls=[hats]))"
STYLES = "studio.wait(studio.styles())"


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.nightly)])
def test_a_lineage_in_lab(
    page: Page, server: JupyterServer, shot: Shot, tmp_path: Path, theme: Theme
) -> None:
    """Wide: one row, arrows between, this one marked. Narrow: it wraps, and nothing is cut. Saved
    and opened again without a kernel it is the same. axe-core finds nothing serious."""
    Image.effect_noise((64, 64), 90).convert("RGB").save(server.root / "mine.png")
    first = prepared(None, tmp_path / "home") + "\nos.environ['NANOBANANA_SANDBOX'] = 'always'"
    notebook = server.put(f"lineage-{theme}.ipynb", first, CHAIN, FAIL, "hats.lineage", STYLES)
    pages.open_lab(page, server, notebook, theme)
    page.locator(".jp-SideBar [data-id=filebrowser]").click()
    pages.run_all(page)
    strip = pages.cell_outputs(page, 3).get_by_role("list", name="Lineage")
    assert strip.get_by_role("listitem").count() == 5
    assert strip.locator("img").evaluate_all("all => all.map(image => image.alt)")[-4:] == [
        "with hats", "with red boots", "with boots",
        "as a stamp, perforated, 20 cents, Donaudampfschifffahrtsgesellschaft",
    ]  # fmt: skip
    assert strip.get_by_text("This one").count() == 1
    assert strip.get_by_text("From elsewhere").count() == 1
    assert strip.get_by_text("No picture", exact=True).count() == 1
    styles = pages.cell_outputs(page, 4).get_by_role("list", name="Styles")
    assert styles.locator("img").count() == 5
    for width in (1280, 600):
        page.set_viewport_size({"width": width, "height": 900})
        for image in strip.locator("img").all():
            pages.shown(page, image)
        looking.shoot_whole(page, shot, f"lineage-{theme}-{width}")
        assert looking.overflowing(page) == []
    assert looking.lowest_contrast(page) >= 4.5
    assert serious(findings(page, ".nanobanana")) == []
    pages.save(page, server, notebook)
    page.goto("about:blank")
    page.set_viewport_size({"width": 1280, "height": 900})
    server.stop_kernels()
    looking.OPENERS["lab"](page, server, notebook, theme)
    strip = pages.cell_outputs(page, 3).get_by_role("list", name="Lineage")
    assert strip.get_by_role("listitem").count() == 5
    assert looking.overflowing(page) == []
