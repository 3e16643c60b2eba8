"""The panel's list of styles in a page: chosen with mouse or keys, drawn as it is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nanobanana_nb import Sandbox
from nanobanana_nb.presets import BUILT_IN, dress, read

from ..harness.accessibility import findings, serious
from . import looking
from .panels import PanelPage, exactly, expect, prepared, until
from .test_panel_looks import faults, in_the_dark, opened

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from ..harness.servers import JupyterServer

INK, POSTER = (read([BUILT_IN])[name] for name in ("ink", "poster"))


def styles(panel: PanelPage) -> Locator:
    return panel.root.get_by_label("Style", exact=True)


def ratio(panel: PanelPage) -> Locator:
    return panel.root.locator(".nbp-ratio button.mod-active")


@pytest.mark.parametrize("hands", [True, False], ids=["with hands", "without"])
def test_a_style_is_chosen_and_drawn(
    page: Page, server: JupyterServer, sandbox: Sandbox, tmp_path: Path, hands: bool
) -> None:
    """However soon Generate is clicked after the choice: the style with its ratio is sent, and the
    prompt stays as it was typed."""
    panel = opened(page, server, prepared(sandbox.url, tmp_path / "home", hands=hands))
    expect(styles(panel)).to_be_visible()
    panel.type_prompt("a fox")
    styles(panel).select_option("poster")
    panel.generate.click()
    until(lambda: len(sandbox.tasks) == 1, page)
    given = sandbox.tasks[0].request["input"]
    assert (given["prompt"], given["aspect_ratio"]) == (dress("a fox", [POSTER]), "2:3")
    expect(ratio(panel)).to_have_text(exactly("2:3"))
    expect(panel.prompt).to_have_value("a fox")
    if hands:  # else letters are the notebook's shortcuts, as in every list of ipywidgets
        styles(panel).focus()
        page.keyboard.press("i")
    else:
        styles(panel).select_option("ink")
    expect(styles(panel)).to_have_value("ink")
    expect(ratio(panel)).to_have_text(exactly("1:1"))
    panel.generate.click()
    until(lambda: len(sandbox.tasks) == 2, page)
    given = sandbox.tasks[1].request["input"]
    assert (given["prompt"], given["aspect_ratio"]) == (dress("a fox", [INK]), "1:1")
    until(lambda: panel.pictures.count() == 2, page)
    panel.button("Use prompt").click()
    expect(styles(panel).locator("option:checked")).to_have_text("No\xa0style")
    expect(panel.prompt).to_have_value(dress("a fox", [INK]))


def test_the_list_looks_right(
    page: Page,
    server: JupyterServer,
    sandbox: Sandbox,
    tmp_path: Path,
    shot: Callable[[str], Path],
) -> None:
    """Wide and narrow, light and dark: nothing cut or too small, nothing serious for axe-core."""
    panel = opened(page, server, prepared(sandbox.url, tmp_path / "home"))
    panel.type_prompt("a fox in a very long meadow")
    styles(panel).select_option("watercolor")
    panel.button("Copy as cell").click()
    expect(panel.root.get_by_text('style="watercolor"')).to_be_visible()
    for theme in ("Light", "Dark"):
        page.set_viewport_size({"width": 1280, "height": 1000})
        in_the_dark(page, theme)
        for width in (1280, 600):
            page.set_viewport_size({"width": width, "height": 1000})
            looking.shoot_whole(page, shot, f"panel-styles-{theme.lower()}-{width}")
            assert faults(panel) == []
        assert serious(findings(page, ".nbp-panel")) == []
