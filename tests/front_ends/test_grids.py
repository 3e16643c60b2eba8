"""Grids as they are seen: headings that stay, failed cells, and pictures that open large."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbconvert import HTMLExporter

from nanobanana_nb import Studio
from nanobanana_nb.grids import Grid
from nanobanana_nb.results import Generation
from nanobanana_nb.templates import Axis

from ..harness import accessibility, pages
from . import looking

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from ..harness.servers import JupyterServer, Theme
    from .conftest import Watch

Shot = Callable[[str], Path]

SHOW = "import json\nfrom IPython.display import display\ndisplay(json.load(open('{}')), raw=True)"
HOSTILE = "</table><script>alert(1)</script><img src=x onerror=alert(2)> ` ${alert(3)} \"'"
LONG = "a wide palace garden with peacocks, seen from above, at the end of a long summer's day"
SHAPES: dict[str, list[Axis]] = {
    "2x2": [Axis("animal", ("fox", "owl")), Axis("style", ("ink", "oil"))],
    "3x4": [
        Axis("animal", ("fox", "owl", "cat")),
        Axis("style", ("ink", "oil", "watercolor", "pixel")),
    ],
    "6x8": [
        Axis("style", ("ink", "oil", "watercolor", "pixel", "flat", "photo")),
        Axis("animal", ("fox", "owl", "cat", "whale", "castle", "tree", "fish", "boat")),
    ],
    "8x6": [
        Axis("animal", ("fox", "owl", "cat", "whale", "castle", "tree", "fish", "boat")),
        Axis("style", ("ink", "oil", "watercolor", "pixel", "flat", "photo")),
    ],
    "five": [Axis("animal", ("fox", "owl", "cat", LONG, "fish"))],
    "blocks": [
        Axis("animal", ("fox", "owl")),
        Axis("aspect_ratio", ("1:1", "16:9", "9:16")),
        Axis("weather", ("rain", "sun")),
    ],
    "hostile": [
        Axis("animal", (HOSTILE, "x" * 80, "ثعلب في المطر", "😀 fox שועל")),
        Axis("style", ("狐狸在雪中奔跑的水彩画", LONG, "a&amp;b <b>c</b>")),
    ],
}


def grid_of(studio: Studio, shape: str, failed: Callable[[int], str] = lambda _: "") -> Grid:
    """A grid of that shape; `failed` gives the directive with which one of them fails."""
    axes, found = SHAPES[shape], list[Generation]()
    for number, spot in enumerate(product(*(axis.values for axis in axes))):
        values = dict(zip([axis.name for axis in axes], spot, strict=True))
        prompt = " ".join(str(value) for value in spot) + failed(number)
        found += studio.wait(studio.gallery(prompt, aspect_ratio=values.get("aspect_ratio", "1:1")))
    return Grid(found, axes, " ".join(f"{{{axis.name}}}" for axis in axes))


def half(number: int) -> str:
    """Every second one fails, refused or in doubt by turns."""
    return ("", " [sandbox CONTENT_VIOLATION]", "", " [sandbox drop]")[number % 4]


def put(server: JupyterServer, name: str, *grids: Grid) -> str:
    """A notebook with a cell for each grid, which shows its own bundle."""
    cells = []
    for number, grid in enumerate(grids):
        file = server.root / f"{name}-{number}.json"
        file.write_text(json.dumps(grid._repr_mimebundle_()), encoding="utf-8")
        cells.append(SHOW.format(file.name))
    return server.put(f"{name}.ipynb", *cells)


def mailed(grid: Grid) -> Any:
    """A notebook as another person sent it: with its output, and trusted by nobody."""
    output = nbformat.v4.new_output("display_data", grid._repr_mimebundle_())
    cell = nbformat.v4.new_code_cell("grid", outputs=[output], execution_count=1)
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})


def viewer(page: Page) -> Locator:
    return page.locator(".nanobanana dialog").first


def picture(page: Page, alt: str) -> Locator:
    return page.locator(f".nanobanana img[alt='{alt}']").first


def check_viewer(page: Page, first: str, right: str, below: str) -> None:
    """By mouse and by keys: large, to its neighbours, closed, and the focus where it was."""
    from playwright.sync_api import expect

    box, large = viewer(page), viewer(page).locator("img")
    picture(page, first).scroll_into_view_if_needed()
    size = picture(page, first).bounding_box()
    picture(page, first).click()
    expect(large).to_have_attribute("alt", first)
    expect(large).to_be_in_viewport(ratio=0.99)
    opened = large.bounding_box()
    assert size
    assert opened
    assert opened["width"] > 1.5 * size["width"]
    assert opened["width"] / opened["height"] == pytest.approx(size["width"] / size["height"], 0.03)
    page.keyboard.press("ArrowRight")
    expect(large).to_have_attribute("alt", right)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    expect(large).to_have_attribute("alt", below)
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    picture(page, first).focus()
    page.keyboard.press("Enter")
    expect(large).to_have_attribute("alt", first)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(picture(page, right)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press(" ")
    expect(large).to_have_attribute("alt", first)
    box.get_by_label("Next picture").click()
    expect(large).to_have_attribute("alt", right)
    box.get_by_label("Close").click()
    expect(box).to_be_hidden()


FOX, OWL, OIL = "animal: fox · style: ink", "animal: owl · style: ink", "animal: fox · style: oil"


@pytest.mark.parametrize(
    ("front_end", "theme"),
    [
        ("lab", "light"),
        pytest.param("lab", "dark", marks=pytest.mark.nightly),
        pytest.param("notebook7", "light", marks=pytest.mark.nightly),
        pytest.param("notebook7", "dark", marks=pytest.mark.nightly),
    ],
)
def test_it_lives_without_a_kernel(
    page: Page, server: JupyterServer, studio: Studio, shot: Shot, front_end: str, theme: Theme
) -> None:
    """Saved and reopened without a kernel: pictures open large, arrows and Escape are ours, and
    the notebook's own shortcuts do not act on them."""
    notebook = put(server, f"grid-{front_end}-{theme}", grid_of(studio, "2x2"))
    looking.OPENERS[front_end](page, server, notebook, theme)
    pages.run_all(page)
    pages.save(page, server, notebook)
    page.goto("about:blank")
    server.stop_kernels()
    looking.OPENERS[front_end](page, server, notebook, theme)
    picture(page, FOX).wait_for()
    cells = page.locator(".jp-Cell").count()
    check_viewer(page, FOX, OIL, OWL)
    assert page.locator(".jp-Cell").count() == cells
    picture(page, FOX).click()
    shot(f"grid-open-{front_end}-{theme}")
    page.keyboard.press("Escape")
    assert accessibility.serious(accessibility.findings(page, ".nanobanana")) == []
    assert looking.lowest_contrast(page) >= 4.5
    looking.shoot_whole(page, shot, f"grid-2x2-{front_end}-{theme}")


def test_an_exported_page(
    page: Page, studio: Studio, tmp_path: Path, shot: Shot, alerts: list[str]
) -> None:
    """The same in nbconvert's HTML, with failed cells; and printed, nothing is cut off."""
    grid = grid_of(studio, "8x6", lambda number: half(number) if number > 16 else "")
    exported, _ = HTMLExporter().from_notebook_node(mailed(grid))
    (tmp_path / "page.html").write_text(exported, encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri(), wait_until="domcontentloaded")
    check_viewer(page, FOX, OIL, OWL)
    table = page.locator(".nanobanana table")
    window = page.locator(".nanobanana-window")
    assert window.evaluate("node => node.scrollHeight > node.clientHeight")
    window.evaluate("node => { node.scrollTop = 400 }")
    head, frame = table.locator("thead").bounding_box(), window.bounding_box()
    assert head
    assert frame
    assert head["y"] == pytest.approx(frame["y"], abs=2)
    corner = table.locator("thead tr").last.locator("th").first
    assert corner.evaluate(
        """node => { const {left, top, height} = node.getBoundingClientRect();
        return node.contains(document.elementFromPoint(left + 4, top + height / 2)); }"""
    )
    shot("grid-exported-scrolled")
    page.emulate_media(media="print")
    assert window.evaluate("node => node.scrollHeight <= node.clientHeight + 1")
    looking.shoot_whole(page, shot, "grid-exported-print")


@pytest.mark.nightly
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("front_end", ["lab", "notebook7", "voila"])
def test_all_shapes(
    page: Page,
    server: JupyterServer,
    studio: Studio,
    shot: Shot,
    alerts: list[str],
    watch: Watch,
    front_end: str,
    theme: Theme,
) -> None:
    """Every shape, half of some failed, hostile labels, wide and narrow: words can be read, no
    output is wider than its place, and a checker finds nothing serious."""
    grids = [grid_of(studio, shape) for shape in ("3x4", "five", "blocks", "hostile")]
    grids += [grid_of(studio, "6x8", half), grid_of(studio, "five", half)]
    notebook = put(server, f"shapes-{front_end}-{theme}", *grids)
    looking.OPENERS[front_end](page, server, notebook, theme)
    if front_end != "voila":
        pages.run_all(page)
    for number, grid in enumerate(grids):
        root = page.locator(".nanobanana").nth(number)
        root.scroll_into_view_if_needed()
        assert root.locator("img:not(dialog img)").count() == len(grid.images)
    assert page.locator(".nanobanana script, .nanobanana [onerror]").count() == 0
    assert accessibility.serious(accessibility.findings(page, ".nanobanana")) == []
    assert looking.lowest_contrast(page) >= 4.5
    looking.shoot_whole(page, shot, f"grid-shapes-{front_end}-{theme}")
    if front_end == "lab":
        page.locator(".jp-SideBar [data-id=filebrowser]").click()  # fold the side bar away
    page.set_viewport_size({"width": 600, "height": 900})
    for window in page.locator(".nanobanana-window").all():
        check_row_headings(window)
    assert outside(page) == []
    looking.shoot_whole(page, shot, f"grid-shapes-{front_end}-{theme}-narrow")


def check_row_headings(window: Locator) -> None:
    """Scrolled to its end, the headings of the rows are still at its left edge, over pictures."""
    window.evaluate("node => { node.scrollLeft = 10000 }")
    frame, head = window.bounding_box(), window.locator("th[scope=row]").first.bounding_box()
    assert frame
    assert head
    assert head["x"] == pytest.approx(frame["x"], abs=2)
    colour = window.locator("th[scope=row]").first.evaluate(
        "node => getComputedStyle(node).backgroundColor"
    )
    assert colour.startswith("rgb(")


def outside(page: Page) -> Sequence[str]:
    """The grids that are wider than their output; a table scrolls within its own window."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('.nanobanana')]
        .filter(node => node.scrollWidth > node.clientWidth + 1)
        .map(node => node.innerText.slice(0, 80))"""
    )
    return found


@pytest.mark.nightly
def test_trusted_by_nobody(
    page: Page, server: JupyterServer, studio: Studio, shot: Shot, alerts: list[str]
) -> None:
    """Lab takes the code away, and the table, its headings and failed cells are whole."""
    grid = grid_of(studio, "hostile", lambda number: half(number) if number > 7 else "")
    nbformat.write(mailed(grid), server.root / "mailed.ipynb")
    pages.open_lab(page, server, "mailed.ipynb")
    output = pages.cell_outputs(page, 0)
    assert output.locator("th[scope=row]").count() == 4
    assert output.locator("th[scope=col]").count() == 4
    assert output.locator("dialog, button, script, [onload], [role=button]").count() == 0
    assert "zoom-in" not in output.inner_html()
    assert "<script>alert(1)</script>" in output.inner_text()
    assert "May have been billed: $0.03" in output.inner_text()
    looking.shoot_whole(page, shot, "grid-untrusted")
    page.locator(".jp-SideBar [data-id=filebrowser]").click()
    page.set_viewport_size({"width": 600, "height": 900})
    looking.shoot_whole(page, shot, "grid-untrusted-narrow")


@pytest.mark.nightly
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_saved_page(
    page: Page, studio: Studio, tmp_path: Path, shot: Shot, watch: Watch, theme: Theme
) -> None:
    """By itself, in light and dark, wide, narrow and printed; it asks for nothing."""
    grid = grid_of(studio, "3x4", lambda number: half(number) if number > 5 else "")
    (file,) = grid.save(tmp_path / "grid.html")
    page.emulate_media(color_scheme=theme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    check_viewer(page, FOX, OIL, OWL)
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert accessibility.serious(accessibility.findings(page, "main")) == []
    assert looking.lowest_contrast(page) >= 4.5
    looking.shoot_whole(page, shot, f"grid-page-{theme}")
    picture(page, FOX).click()
    shot(f"grid-page-open-{theme}")
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 400, "height": 800})
    check_row_headings(page.locator(".nanobanana-window"))
    shot(f"grid-page-narrow-{theme}")
    page.set_viewport_size({"width": 700, "height": 1000})
    page.emulate_media(media="print")
    assert page.locator(".nanobanana-window").evaluate(
        "node => node.scrollWidth <= node.clientWidth"
    )
    shot(f"grid-page-print-{theme}")


@pytest.mark.nightly
def test_in_a_frame(browser: Browser, studio: Studio, tmp_path: Path, shot: Shot) -> None:
    """In the frame of an output, as high as its content and scrolled by the page around it, a
    picture opens where it was clicked."""
    html = grid_of(studio, "2x2")._repr_mimebundle_()["text/html"]
    (tmp_path / "output.html").write_text(f"<!DOCTYPE html><body>{html}", encoding="utf-8")
    (tmp_path / "page.html").write_text(
        "<!DOCTYPE html><div style='height:500px'></div>"
        "<iframe src=output.html width=900 height=700></iframe><div style='height:2000px'></div>",
        encoding="utf-8",
    )
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.goto((tmp_path / "page.html").as_uri())
    frame = page.frame_locator("iframe")
    owl = frame.locator(f"img[alt='{OWL}']").first
    owl.click()
    large = frame.locator("dialog img")
    small, opened = owl.bounding_box(), large.bounding_box()
    assert small
    assert opened
    assert 0 <= opened["y"] - small["y"] < 40
    page.screenshot(path=tmp_path / "frame.png")
    page.keyboard.press("Escape")
    large.wait_for(state="hidden")
    page.close()
