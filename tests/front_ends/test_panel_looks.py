"""How the panel looks: nothing cut or out of place, no accessibility finding, no text that acts.

`DOCS_IMAGES=1` makes the nightly test of the images write those of the documentation anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from PIL import Image

from nanobanana_nb import Sandbox, Studio
from nanobanana_nb.errors import NanoBananaError

from ..conftest import settings_for
from ..harness import pages
from ..harness.accessibility import findings, serious
from ..panel.test_tiles import HOSTILE
from .conftest import REPOSITORY
from .panels import PANEL, PanelPage, expect, prepared, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from ..harness.servers import ClassicServer, JupyterServer, Theme
    from .conftest import Watch

IMAGES = REPOSITORY / "docs" / "images"
IMAGE_BYTES = 250_000
CHOSEN = re.compile(r"\bnbp-chosen\b")
WINDOW = {"width": 1280, "height": 1000}

LONG = "a city with " + "a baker, a cat and a blue door; " * 155
WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
SCENES = [
    ("a tall birch in winter", "9:16"),
    ("a lighthouse at sunrise, as wide as the sea", "21:9"),
    ("a fox in watercolor", "1:1"),
    (LONG, "3:2"),
    (WORD * 3, "4:5"),
    ("قطة تنام على كتاب قديم في ضوء الصباح", "1:1"),
    ("雪の中の狐、提灯を持って橋を渡る、浮世絵風", "16:9"),
    ("a map of an island\nwith a legend\nand a compass rose", "2:3"),
]

# What lies outside the panel, what is cut, and what is too small to be hit.
_FAULTS = """panel => {
    const faults = [];
    const seen = node => node.checkVisibility({opacityProperty: false}) && node.getClientRects()[0];
    const name = node => `${node.tagName.toLowerCase()}.${node.className} `
        + `"${(node.innerText || '').slice(0, 40)}"`;
    const {left, right} = panel.getBoundingClientRect();
    const ends = '.nbp-caption, .nbp-look figcaption, .nbp-why, .nbp-words, .nbp-code, .nbp-pick';
    for (const node of panel.querySelectorAll('*')) {
        if (!seen(node) || node.matches('option, datalist, style')) continue;
        const box = node.getBoundingClientRect();
        if (box.left < left - 1 || box.right > right + 1) faults.push(`outside: ${name(node)}`);
        const cuts = getComputedStyle(node).overflow !== 'visible' || node.matches('button, label');
        const over = node.scrollWidth > node.clientWidth + 1
            || node.scrollHeight > node.clientHeight + 1;
        if (node.clientWidth && cuts && over && !node.matches('input, textarea')
            && !node.closest(ends)) faults.push(`cut: ${name(node)}`);
        if (node.matches('button, input, select') && (box.width < 24 || box.height < 24))
            faults.push(`small: ${name(node)}`);
    }
    for (const image of panel.querySelectorAll('.nbp-tile img, .nbp-shown img')) {
        if (!seen(image)) continue;
        const inner = image.getBoundingClientRect();
        const outer = image.closest('.nbp-tile, .nbp-shown').getBoundingClientRect();
        if (inner.left < outer.left - 1 || inner.right > outer.right + 1
            || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1)
            faults.push(`picture outside its place: ${image.alt.slice(0, 40)}`);
    }
    return faults;
}"""

# Elements and attributes of the panel that no text of ours or of ipywidgets' brings.
_STRANGE = """() => {
    const ours = new Set(['div', 'span', 'b', 'i', 'img', 'button', 'input', 'label', 'textarea',
        'datalist', 'option', 'select', 'figure', 'figcaption', 'pre', 'style']);
    const found = [];
    for (const root of document.querySelectorAll('.nbp-panel, .nanobanana')) {
        for (const node of root.querySelectorAll('*')) {
            if (node.closest('.nanobanana svg, .nanobanana [type=range]')) continue;
            const tag = node.tagName.toLowerCase();
            const plain = root.matches('.nbp-panel') && !node.closest('.nanobanana');
            if (plain && !ours.has(tag)) found.push(tag);
            if (/^(script|iframe|object|embed|base|meta|link|form|a|video)$/.test(tag))
                found.push(tag);
            for (const {name, value} of node.attributes) {
                const slider = value.startsWith('const root = this.closest');
                const text = ['alt', 'title', 'value'].includes(name);
                if (name.startsWith('on') && !slider || /^\\s*javascript:/i.test(value) && !text)
                    found.push(`${tag} ${name}=${value.slice(0, 60)}`);
            }
        }
        if (root.matches('.nbp-panel') && root.querySelectorAll('style').length !== 1)
            found.push('style');
    }
    return found;
}"""


def filled(home: Path, url: str, pictures: Sequence[tuple[str, str]]) -> None:
    """Draw these in a home, with one that is lost, one that fails and one that never ends."""

    async def draw() -> None:
        async with Studio(settings_for(url, home)) as studio:
            first = None
            for prompt, ratio in pictures:
                drawn = await studio.generate(prompt, aspect_ratio=ratio, output_format="jpeg")
                first = first or drawn
            await studio.star(first.id, True)
            for failing in ("[sandbox CONTENT_VIOLATION] a fox", "[sandbox drop] an owl"):
                with contextlib.suppress(NanoBananaError):
                    await studio.generate(failing)
            studio.start(studio.generate("[sandbox forever] a hare"))
            while not any("forever" in one.prompt for one in await _shown(studio)):
                await asyncio.sleep(0.05)

    _apart(draw)


async def _shown(studio: Studio) -> list[Any]:
    return [one for one in (await studio.page()).generations if one.standing == "submitted"]


def _apart(work: Callable[[], Any]) -> None:
    """Run it in a thread: Playwright's loop counts as running in this one."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def opened(page: Page, server: JupyterServer, first: str, theme: Theme = "light") -> PanelPage:
    """A panel in Lab, with the side bar folded away."""
    page.set_viewport_size(WINDOW)
    pages.open_lab(page, server, server.put("looks.ipynb", first, PANEL), theme)
    page.locator(".jp-SideBar [data-id=filebrowser]").click()
    pages.run_all(page)
    panel = PanelPage(page)
    panel.wait()
    until(lambda: panel.tiles.count() or panel.root.get_by_text("No pictures yet").count(), page)
    return panel


def fit(page: Page, panel: PanelPage, width: int) -> None:
    """Make the window so wide that the panel has this width."""

    def fits() -> bool:
        now = panel.root.evaluate("node => node.getBoundingClientRect().width")
        size = page.viewport_size
        wanted = round(size["width"] + width - now)
        if wanted != size["width"]:
            page.set_viewport_size({"width": wanted, "height": size["height"]})
        return abs(now - width) < 1

    until(fits, page)


def faults(panel: PanelPage) -> list[str]:
    found: list[str] = panel.root.evaluate(_FAULTS)
    return found


def box(panel: PanelPage, selector: str) -> dict[str, float]:
    found = panel.root.locator(selector).first.bounding_box()
    assert found, selector
    return found


def columns(panel: PanelPage) -> int:
    """How many tiles stand side by side."""
    return len({round(tile.bounding_box()["x"]) for tile in panel.tiles.all()})


def in_the_dark(page: Page, theme: str) -> None:
    """Choose the theme in Lab's menu; nothing is loaded again."""
    page.get_by_role("menubar").get_by_text("Settings", exact=True).click()
    page.locator(".lm-Menu-item").filter(has_text="Theme").first.hover()
    page.locator(".lm-Menu-item").get_by_text(f"JupyterLab {theme}", exact=True).click()
    light = "true" if theme == "Light" else "false"
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", light)
    expect(page.locator("#jupyterlab-splash")).to_have_count(0)  # it covers the page meanwhile


def test_the_layout(page: Page, server: JupyterServer, sandbox: Sandbox, tmp_path: Path) -> None:
    """At each width nothing is cut or outside, and the tiles fill whole rows.

    Narrow: all in one column. Wide: the form beside the rest. Very wide: the chosen picture between
    the form and the gallery. On a usual screen, picture and gallery are seen together.
    """
    filled(tmp_path / "home", sandbox.url, (SCENES * 2)[:10])
    panel = opened(page, server, prepared(sandbox.url, tmp_path / "home"))
    expect(panel.root.locator(".nbp-money")).to_contain_text("Balance $")  # while one is drawn
    expect(panel.root.locator(".nbp-money .nbp-doubt")).to_have_text(
        "1 may have been billed ($0.03)"
    )
    expect(panel.root.locator("[title=null]")).to_have_count(0)
    tall, wide = (panel.captions().index(SCENES[n][0]) for n in (0, 1))
    for width, side_by_side in ((480, 4), (820, 4), (1100, 6), (1600, 4)):
        fit(page, panel, width)
        stages = []
        for place in (tall, wide, 0):
            panel.choose(place)
            chosen = panel.tiles.nth(place)
            expect(chosen).to_have_class(CHOSEN)
            stages.append(box(panel, ".nbp-shown")["height"])
            assert faults(panel) == [], width
        assert len(set(stages)) == 1, "what lies below the picture jumps"
        assert panel.tiles.count() == 12
        assert columns(panel) == side_by_side
        form, detail, grid = (box(panel, f".nbp-{n}") for n in ("form", "detail", "grid"))
        assert (form["x"] + form["width"] <= grid["x"]) == (width >= 820)
        assert (detail["x"] + detail["width"] <= grid["x"]) == (width >= 1360)
        if width >= 1100:
            top, pager = box(panel, ".nbp-shown"), box(panel, ".nbp-pager")
            assert pager["y"] + pager["height"] - top["y"] < 860
    before = box(panel, ".nbp-generate")
    panel.generate.click()
    expect(panel.line("The prompt is empty")).to_be_visible()
    after = box(panel, ".nbp-generate")
    assert abs(after["y"] - before["y"]) < before["height"] / 2, "the button leaves the mouse"


def test_accessibility(page: Page, server: JupyterServer, sandbox: Sandbox, tmp_path: Path) -> None:
    """axe-core has no serious finding, light or dark, with pictures and errors and empty; and it
    does find faint words."""
    panel = opened(page, server, prepared(sandbox.url, tmp_path / "home"))
    assert serious(findings(page, ".nbp-panel")) == []
    panel.generate.click()
    expect(panel.line("The prompt is empty")).to_be_visible()
    filled(tmp_path / "home", sandbox.url, SCENES[:4])
    until(lambda: panel.tiles.count() == 7, page)
    panel.choose(next(n for n, text in enumerate(panel.captions()) if text.startswith("a city")))
    for theme in ("Light", "Dark"):
        in_the_dark(page, theme)
        assert serious(findings(page, ".nbp-panel")) == []
    panel.root.locator(".nbp-money").evaluate("node => { node.style.color = '#666' }")
    assert "color-contrast" in {one.rule for one in findings(page, ".nbp-panel")}


# ------------------------------------------------------------------ hostile text

MORE = [
    "<img src=x onerror=window.__hacked=1>",
    "</textarea><script>window.__hacked=1</script>",
    '</option></datalist><svg onload="window.__hacked=1">',
]
TEXTS = [*MORE, *(text for text in HOSTILE if len(text) < 1000 and "\udc00" not in text)]
GROUPS = [" ".join(TEXTS[start : start + 6]) for start in range(0, len(TEXTS), 6)]


class HostileApi(ThreadingHTTPServer):
    """An API that answers in the prompt's own words: with a refusal where it begins with "refuse",
    with a failed task where it begins with "fail", else with a picture."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HostileAnswers)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.prompts: dict[str, str] = {}
        picture = BytesIO()
        Image.new("RGB", (320, 240), "teal").save(picture, "PNG")
        self.picture = picture.getvalue()


class _HostileAnswers(BaseHTTPRequestHandler):
    server: HostileApi

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["input"]["prompt"]
        if prompt.startswith("refuse"):
            self._answer({"code": 400, "message": prompt, "data": {"error": prompt}}, 400)
            return
        task = uuid4().hex
        self.server.prompts[task] = prompt
        self._succeed({"taskId": task})

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.endswith(".png"):
            self._write(self.server.picture, "image/png")
        elif "taskId" in parts.query:
            self._succeed(self._task(parse_qs(parts.query)["taskId"][0]))
        else:
            self._succeed(10.0)

    def _task(self, task: str) -> dict[str, Any]:
        prompt = self.server.prompts[task]
        if prompt.startswith("fail"):
            return {"taskId": task, "state": "failed", "failCode": prompt, "failMsg": prompt}
        links = {"resultUrls": [f"{self.server.url}/{task}.png?onload=alert(1)"]}
        return {"taskId": task, "state": "success", "resultJson": json.dumps(links)}

    def _succeed(self, data: Any) -> None:
        self._answer({"code": 200, "message": "success", "data": data})

    def _answer(self, body: Any, status: int = 200) -> None:
        self._write(json.dumps(body).encode(), "application/json", status)

    def _write(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hostile_api() -> Iterator[HostileApi]:
    with HostileApi() as api:
        threading.Thread(target=api.serve_forever, daemon=True).start()
        yield api
        api.shutdown()


def infest(home: Path, url: str) -> None:
    """A home with each text as a prompt and a note, all of them as failures too, and as lineage."""

    async def draw() -> None:
        async with Studio(settings_for(url, home)) as studio:
            drawn = await asyncio.gather(*map(studio.generate, TEXTS))
            for one in drawn:
                await studio.note(one.id, one.prompt)
            last = drawn[0]
            for group in GROUPS:
                with contextlib.suppress(NanoBananaError):
                    await studio.generate(f"fail {group}")
                last = await studio.generate(group, image_urls=[last])
                await studio.note(last.id, group)

    _apart(draw)


class Guard:
    """What would show that a text has acted, and whether the panel is still whole."""

    def __init__(self, page: Page, watch: Watch, panel: PanelPage) -> None:
        self.page, self.watch, self.panel = page, watch, panel
        self.acted: list[str] = []
        page.on("dialog", lambda dialog: (self.acted.append(dialog.message), dialog.dismiss()))
        page.on("request", self._note)

    def _note(self, request: Any) -> None:
        if urlsplit(request.url).path.endswith("/x"):
            self.acted.append(request.url)

    def check(self, where: str) -> None:
        assert self.page.evaluate(_STRANGE) == [], where
        assert faults(self.panel) == [], where
        self.check_nothing_acted(where)

    def check_nothing_acted(self, where: str) -> None:
        assert self.page.evaluate("window.__hacked") is None, where
        assert self.acted == [], where
        assert self.watch.outside == [], where


def test_hostile_texts(
    page: Page, server: JupyterServer, hostile_api: HostileApi, watch: Watch, tmp_path: Path
) -> None:
    """Markup, scripts, style breakers and templates stay text, and break nothing, wherever they
    come from: prompt, note, file, link, search words, variable names and the API's own words."""
    infest(tmp_path / "home", hostile_api.url)
    names = "for name in {!r}: globals()[name] = nb.history()[0]\n"
    files = [f"{n}{text.replace('/', '-')[:80]}.png" for n, text in enumerate(MORE)]
    for file in files:
        Image.new("RGB", (40, 30), "teal").save(server.root / file)
    first = prepared(hostile_api.url, tmp_path / "home") + (
        "\nimport nanobanana_nb as nb\n" + names.format(TEXTS)
    )
    panel = opened(page, server, first)
    guard = Guard(page, watch, panel)
    fit(page, panel, 1100)

    expect(panel.root.locator("datalist option")).to_have_count(1 + len(_public(TEXTS)))
    shown, older = panel.root.locator(".nbp-range"), panel.button("Older")
    count = len(TEXTS) + 2 * len(GROUPS)
    for start in range(1, count + 1, 12):  # every tile
        expect(shown).to_have_text(f"{start}–{min(start + 11, count)} of {count}")
        guard.check(f"the tiles from {start} on")
        if start + 11 < count:
            older.click()
    panel.search.fill(GROUPS[0])
    expect(shown).not_to_contain_text(f"of {count}")
    guard.check("search words")
    panel.search.fill("")
    expect(shown).to_have_text(f"1–12 of {count}")
    for place in (0, 1, 2, 3, 5):  # viewer, details, lineage; pictures and failures
        panel.choose(place)
        expect(panel.tiles.nth(place)).to_have_class(CHOSEN)
        guard.check(f"chosen {place}")

    panel.choose(2)
    expect(panel.tiles.nth(2)).to_have_class(CHOSEN)
    panel.button("Link and path").click()
    panel.root.locator(".nbp-detail .nbp-code").first.wait_for()
    panel.button("Use prompt").click()
    panel.button("Copy as cell").click()
    panel.root.locator(".nbp-clip .nbp-code").first.wait_for()
    panel.button("Lineage").click()
    expect(panel.root.locator(".nbp-heading")).to_be_visible()
    guard.check("code to copy, lineage")
    panel.button("All pictures").click()
    expect(panel.root.locator(".nbp-heading")).to_be_hidden()
    panel.button("Open large").click()
    panel.large.wait_for()
    guard.check("large")
    panel.button("Close").click()
    panel.button("Compare").click()
    panel.line("Now choose").wait_for()
    panel.choose(0)
    panel.large.get_by_role("slider").wait_for()
    guard.check("compared")
    panel.button("Put it into the notebook").click()
    panel.button("Close").click()
    page.locator(".nanobanana").last.get_by_role("slider").wait_for()
    guard.check("album")

    for text in GROUPS[:3]:  # what is taken for a link
        panel.link.fill(f"https://{text}")
        panel.button("Add").click()
        panel.line(re.compile("is not|no picture|could not")).first.wait_for()
        guard.check("links")
    for file in files:
        panel.link.fill(file)
        panel.button("Add").click()
        panel.line(file[:12]).wait_for()
        guard.check("references")
    for number, group in enumerate(GROUPS[:3]):
        panel.prompt.fill(f"refuse {number} {group}")
        panel.generate.click()
        panel.line(f"refuse {number}").first.wait_for()
        guard.check("refused")

    shown.evaluate("(node, html) => { node.innerHTML = html }", MORE[0])
    with pytest.raises(AssertionError, match="the control"):
        guard.check("the control")
    page.wait_for_function("window.__hacked")
    with pytest.raises(AssertionError, match="the control"):
        guard.check_nothing_acted("the control")


def _public(names: Sequence[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


# ------------------------------------------------------------------ nightly: everywhere, and images


@pytest.mark.nightly
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessibility_of_all_states(
    page: Page, server: JupyterServer, slow_sandbox: Sandbox, tmp_path: Path, theme: Theme
) -> None:
    """axe-core finds nothing serious while pictures are drawn, with references, lineage, code to
    copy, compared and large; and nothing is cut at any width."""
    home = tmp_path / "home"
    filled(home, slow_sandbox.url, SCENES)
    panel = opened(page, server, prepared(slow_sandbox.url, home), theme)

    def check(state: str) -> None:
        for width in (480, 620, 820, 1100, 1600):
            fit(page, panel, width)
            assert faults(panel) == [], (state, width)
        assert serious(findings(page, ".nbp-panel")) == [], state

    check("filled")
    panel.choose(4)
    expect(panel.tiles.nth(4)).to_have_class(CHOSEN)
    panel.button("Edit this").click()
    expect(panel.looks).to_have_count(1)
    panel.draw("the same at sunrise")
    panel.tiles.first.locator(".nbp-busy").wait_for()
    check("busy")
    panel.tiles.first.locator("img").wait_for()
    panel.button("Link and path").click()
    panel.button("Copy as cell").click()
    panel.root.locator(".nbp-clip .nbp-code").first.wait_for()
    check("code to copy")
    panel.link.fill("https://127.0.0.1:1/none.png")
    panel.button("Add").click()
    expect(panel.looks).to_have_count(2)
    check("a link that does not answer")
    panel.button("Compare").click()
    panel.line("Now choose").wait_for()
    panel.choose(5)
    panel.large.get_by_role("slider").wait_for()
    check("compared")
    panel.button("Close").click()
    panel.button("Open large").click()
    panel.large.locator("img").wait_for()
    check("large")


@pytest.mark.nightly
def test_the_layout_with_ipywidgets_7(
    page: Page, colab_server: JupyterServer, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The older ipywidgets, which Colab has, are dressed in the same way: the ratios as shapes, the
    names above their fields."""
    filled(tmp_path / "home", sandbox.url, SCENES)
    first = prepared(sandbox.url, tmp_path / "home", hands=False)
    page.set_viewport_size(WINDOW)
    notebook = colab_server.put("looks.ipynb", first, PANEL, kernel="colab")
    pages.open_lab(page, colab_server, notebook)
    pages.run_all(page)
    panel = PanelPage(page)
    panel.wait()
    check_shapes(panel)
    for width in (480, 1100, 1600):
        fit(page, panel, width)
        assert faults(panel) == [], width
    assert serious(findings(page, ".nbp-panel")) == []


@pytest.mark.nightly
def test_the_layout_in_the_classic_notebook(
    page: Page, classic_server: ClassicServer, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Where the page has no colours of JupyterLab's, those of the browser serve."""
    filled(tmp_path / "home", sandbox.url, SCENES)
    first = prepared(sandbox.url, tmp_path / "home", hands=False)
    page.set_viewport_size(WINDOW)
    pages.open_classic(page, classic_server, classic_server.put("looks.ipynb", first, PANEL))
    pages.run_all_classic(page)
    panel = PanelPage(page)
    panel.wait()
    check_shapes(panel)
    assert faults(panel) == []
    assert serious(findings(page, ".nbp-panel")) == []
    page.emulate_media(color_scheme="dark")  # the page itself stays light
    assert serious(findings(page, ".nbp-panel")) == []


def check_shapes(panel: PanelPage) -> None:
    """Each ratio is drawn about as wide and as high as it is."""
    ratios = panel.root.locator(".nbp-ratio button")
    expect(ratios).to_have_count(11)
    for number, words in enumerate(ratios.all_inner_texts()[:-1]):
        size = ratios.nth(number).evaluate(
            "node => { const shape = getComputedStyle(node, '::before');"
            " return parseFloat(shape.width) / parseFloat(shape.height) }"
        )
        wide, high = map(int, words.strip().split(":"))
        assert size == pytest.approx(wide / high, rel=0.15), words


@pytest.mark.nightly
def test_images_for_the_documentation(
    page: Page, server: JupyterServer, slow_sandbox: Sandbox, tmp_path: Path
) -> None:
    """The panel at work, light and dark, and two pictures compared; written only where it is
    asked for, so that a run of the tests changes no file."""
    home = tmp_path / "home"
    pictures = [
        ("a red bicycle against a yellow wall", "3:4"),
        ("an owl in ink", "2:3"),
        ("a map of an island", "1:1"),
        ("cats playing cards", "4:3"),
        ("a lighthouse at night", "16:9"),
        ("a fox in watercolor", "1:1"),
        ("a tall birch in winter", "9:16"),
        ("a sunflower on a boat", "1:1"),
        ("a lighthouse at sunrise", "16:9"),
    ]

    async def draw() -> None:
        async with Studio(settings_for(slow_sandbox.url, home)) as studio:
            drawn = [
                await studio.generate(prompt, aspect_ratio=ratio) for prompt, ratio in pictures
            ]
            for one in drawn[3:6:2]:
                await studio.star(one.id, True)

    _apart(draw)
    panel = opened(page, server, prepared(slow_sandbox.url, home))
    fit(page, panel, 1180)
    panel.choose(0)
    expect(panel.tiles.first).to_have_class(CHOSEN)
    panel.button("Edit this").click()
    expect(panel.looks).to_have_count(1)
    panel.draw("the same in fog")
    panel.tiles.first.locator("img").wait_for()
    panel.line("1 picture done").wait_for()
    for later in ("a hare on a hill", "an astronaut with a kite"):
        panel.draw(f"[sandbox forever] {later}")
        expect(panel.tiles.first).to_contain_text(later)
        expect(panel.tiles.first).to_have_class(CHOSEN)
        panel.tiles.first.locator(".nbp-times").wait_for()
    page.evaluate(_FOR_READERS)
    panel.choose(2)
    expect(panel.tiles.nth(2)).to_have_class(CHOSEN)
    panel.type_prompt("a hare on a hill, in gouache")
    document(panel, "panel-light")
    in_the_dark(page, "Dark")
    document(panel, "panel-dark")
    in_the_dark(page, "Light")
    panel.button("Compare").click()
    panel.line("Now choose").wait_for()
    panel.choose(3)
    panel.large.get_by_role("slider").wait_for()
    document(panel, "panel-compare")


# Names of failures on demand and of a test's folder would tell readers nothing.
_FOR_READERS = """() => {
    const put = (selector, pattern, text) => {
        for (const node of document.querySelectorAll(selector))
            if (pattern.test(node.textContent))
                node.textContent = node.textContent.replace(pattern, text);
    };
    const clean = () => {
        put('.nbp-caption', /^\\[sandbox .*?\\] /, '');
        put('.nbp-place', /^\\/.*\\//, '~/Pictures/nanobanana/');
    };
    clean();
    new MutationObserver(clean).observe(document.querySelector('.nbp-right'),
        {childList: true, subtree: true});
}"""


def document(panel: PanelPage, name: str) -> None:
    """Look at the panel as the documentation shows it, and keep that if it is asked for."""
    panel.page.mouse.move(0, 0)
    panel.page.set_viewport_size({"width": panel.page.viewport_size["width"], "height": 1400})
    with Image.open(BytesIO(panel.root.screenshot())) as taken:
        small = taken.convert("RGB").quantize(256)
    data = BytesIO()
    small.save(data, "PNG", optimize=True)
    assert len(data.getvalue()) < IMAGE_BYTES
    if os.environ.get("DOCS_IMAGES"):
        IMAGES.mkdir(parents=True, exist_ok=True)
        (IMAGES / f"{name}.png").write_bytes(data.getvalue())
