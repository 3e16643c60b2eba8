"""Two pictures compared: a slider where scripts run, two pictures side by side everywhere."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbconvert import HTMLExporter
from PIL import Image

from nanobanana_nb.comparing import compare

from ..harness import pages
from . import looking

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from ..harness.servers import JupyterServer, Theme

Shot = Callable[[str], Path]

RED, BLUE = (200, 30, 30), (30, 30, 200)
WIDE, TALL = (640, 360), (360, 640)
HOSTILE = "<img src=x onerror=alert(1)> ` ${alert(2)} ' \" onload=alert(3) .png"
WIDGET = "import ipywidgets\nipywidgets.HTML(compare('red.png', 'blue.png').html)"
COMPARE = "from nanobanana_nb.comparing import compare\ncompare('red.png', 'blue.png')"


def draw(folder: Path, *, right: tuple[int, int] = WIDE) -> tuple[Path, Path]:
    """A red and a blue picture; the blue one may have another ratio."""
    red, blue = folder / "red.png", folder / "blue.png"
    Image.new("RGB", WIDE, RED).save(red)
    Image.new("RGB", right, BLUE).save(blue)
    return red, blue


def mailed(a: Path, b: Path) -> nbformat.NotebookNode:
    """A notebook as it is saved after a comparison, and signed by nobody."""
    output = nbformat.v4.new_output("display_data", compare(a, b)._repr_mimebundle_())
    cell = nbformat.v4.new_code_cell(COMPARE, outputs=[output], execution_count=1)
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="Line between A")


def colours(page: Page) -> str:
    """What is seen at ten places from left to right in the upper part of the slider's box."""
    box = slider(page).locator("..")
    box.scroll_into_view_if_needed()
    with Image.open(io.BytesIO(box.screenshot())) as shown:
        columns = [shown.width * (2 * number + 1) // 20 for number in range(10)]
        return "".join(_name(shown.getpixel((column, shown.height // 4))) for column in columns)


def _name(pixel: object) -> str:
    red, _, blue = pixel[:3]  # type: ignore[index]
    return "R" if red > blue + 100 else "B" if blue > red + 100 else "."


def drag(page: Page, to: float) -> None:
    """Take the line with the mouse and leave it at a place between 0, left, and 1, right."""
    slider(page).scroll_into_view_if_needed()
    box = slider(page).bounding_box()
    assert box
    at = float(slider(page).input_value()) / 100
    page.mouse.move(box["x"] + 8 + at * (box["width"] - 16), box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + to * box["width"], box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()


def check_slider(page: Page) -> None:
    """The line starts in the middle, follows mouse and arrow keys, and can reach both ends."""
    slider(page).wait_for()
    assert colours(page) == "RRRRRBBBBB"
    drag(page, 0.2)
    assert colours(page) == "RRBBBBBBBB"
    before = float(slider(page).input_value())
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert colours(page) == "RRRRBBBBBB"
    assert float(slider(page).input_value()) == pytest.approx(before + 20)
    assert slider(page).get_attribute("aria-valuetext") == f"{before + 20:.0f} % of A"
    page.keyboard.press("End")
    assert colours(page) == "RRRRRRRRRR"
    page.keyboard.press("Home")
    assert colours(page) == "BBBBBBBBBB"


@pytest.mark.parametrize(
    ("front_end", "theme"),
    [
        ("lab", "light"),
        pytest.param("lab", "dark", marks=pytest.mark.nightly),
        pytest.param("notebook7", "dark", marks=pytest.mark.nightly),
    ],
)
def test_the_slider_lives_without_a_kernel(
    page: Page, server: JupyterServer, shot: Shot, front_end: str, theme: Theme
) -> None:
    """Run, then saved, its kernel stopped and reopened: mouse and arrow keys move the line."""
    draw(server.root)
    notebook = server.put(f"compare-{front_end}-{theme}.ipynb", COMPARE)
    looking.OPENERS[front_end](page, server, notebook, theme)
    pages.run_all(page)
    check_slider(page)
    pages.save(page, server, notebook)
    page.goto("about:blank")
    server.stop_kernels()
    looking.OPENERS[front_end](page, server, notebook, theme)
    check_slider(page)
    drag(page, 0.4)
    looking.shoot_whole(page, shot, f"compare-{front_end}-{theme}")
    assert pages.images(page).count() == 4
    assert looking.overflowing(page) == []
    assert looking.lowest_contrast(page) >= 4.5


def test_a_comparison_from_someone_else(
    page: Page, server: JupyterServer, shot: Shot, alerts: list[str]
) -> None:
    """In a file that Lab distrusts the two stand side by side, and nothing is there that is dead.

    In a narrow window they stand one below the other.
    """
    red, blue = draw(server.root, right=TALL)
    blue = blue.rename(server.root / HOSTILE)
    nbformat.write(mailed(red, blue), server.root / "mailed-compare.ipynb")
    pages.open_lab(page, server, "mailed-compare.ipynb")
    output = pages.cell_outputs(page, 0)
    assert looking.rows_of_pictures(page) == [2]
    assert [pages.shown(page, image) for image in pages.images(page).all()] == [
        (512, 288),
        (288, 512),
    ]
    assert output.locator("input, button, svg, [onload]").count() == 0
    assert "Drag" not in output.inner_text()
    assert HOSTILE in output.inner_text()
    page.locator(".jp-SideBar [data-id=filebrowser]").click()  # fold the side bar away
    page.set_viewport_size({"width": 400, "height": 900})
    assert looking.rows_of_pictures(page) == [1, 1]
    assert looking.overflowing(page) == []
    looking.shoot_whole(page, shot, "compare-untrusted-narrow")


def test_an_exported_page(page: Page, tmp_path: Path, shot: Shot, alerts: list[str]) -> None:
    """The slider works in nbconvert's HTML, and leaves a picture of another ratio as it is."""
    red, blue = draw(tmp_path, right=TALL)
    blue = blue.rename(tmp_path / HOSTILE)
    exported, _ = HTMLExporter().from_notebook_node(mailed(red, blue))
    (tmp_path / "page.html").write_text(exported, encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri(), wait_until="domcontentloaded")
    assert colours(page) == "RRRRRBB..."
    drag(page, 0.0)
    assert colours(page) == "...BBBB..."
    shot("compare-exported")
    page.set_viewport_size({"width": 400, "height": 900})
    shot("compare-exported-narrow")


@pytest.mark.nightly
def test_voila(page: Page, server: JupyterServer, shot: Shot) -> None:
    """Voila runs the cell by itself and shows the slider."""
    draw(server.root)
    pages.open_voila(page, server, server.put("compare-voila.ipynb", COMPARE))
    check_slider(page)
    shot("compare-voila")


@pytest.mark.nightly
def test_in_a_widget(page: Page, server: JupyterServer) -> None:
    """The same HTML works inside an ipywidgets HTML widget, as the panel shows it."""
    draw(server.root)
    notebook = server.put("compare-widget.ipynb", COMPARE, WIDGET)
    pages.open_lab(page, server, notebook)
    pages.run_all(page)
    page.evaluate("() => document.querySelector('.jp-CodeCell').remove()")
    check_slider(page)


@pytest.mark.nightly
def test_touch(browser: Browser, tmp_path: Path) -> None:
    """A tap moves the line, in a window as narrow as a phone's."""
    context = browser.new_context(viewport={"width": 400, "height": 800}, has_touch=True)
    page = context.new_page()
    page.set_content(compare(*draw(tmp_path)).html)
    box = slider(page).bounding_box()
    assert box
    assert box["width"] <= 400
    slider(page).tap(position={"x": box["width"] * 0.7, "y": 40})
    assert colours(page) == "RRRRRRRBBB"
    context.close()
