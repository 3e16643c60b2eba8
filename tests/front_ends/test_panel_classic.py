"""The panel on Colab's versions: in the classic Notebook, and in JupyterLab with that kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from nanobanana_nb import Sandbox

from ..harness import accessibility, pages
from .panels import PANEL, PanelPage, expect, prepared, until
from .test_panel import LETTERS, TYPED, drawn, prompts

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from ..harness.servers import ClassicServer
    from .conftest import Watch

NIGHTLY = pytest.mark.nightly
CLASSIC = pytest.param("classic", True, id="classic")
PLAIN = pytest.param("classic", False, id="classic-plain", marks=NIGHTLY)
LAB = pytest.param("lab", False, id="lab-plain", marks=NIGHTLY)
"""With the anywidget part, and without it; the Lab that draws Colab's widgets has none.

That Lab's own text areas take no line break: Enter does nothing in them, with or without a panel.
"""

# Said by the programs around the panel, in notebooks without one as well.
NOT_OURS = (
    "reading 'addEventListener'",
    "reading 'Queue'",
    "ipyevents",
    "widgets/notebook/js/extension",
    "Failed to load resource",
    "net::ERR_",
)
BUSY = """
import time
print(time.time(), flush=True)
time.sleep({seconds})
print(time.time())
"""
# As slow to answer as one far away.
SLOW_KERNEL = """
import asyncio, time

async def be_slow():
    while True:
        time.sleep(0.15)
        await asyncio.sleep(0.01)

slow = asyncio.ensure_future(be_slow())
"""
# Colab as the panel meets it: no secret of the name of the key, and no widget manager of its own.
COLAB_USERDATA = """
class SecretNotFoundError(Exception):
    pass

def get(key):
    raise SecretNotFoundError(key)
"""
IMPORT_COLAB = "sys.path.insert(0, {folder!r})\nimport google.colab.userdata"

_STATE = """() => ({
    cells: Jupyter.notebook.get_cells().map(cell => [cell.cell_type, cell.input_prompt_number]),
    selected: Jupyter.notebook.get_selected_index(),
    mode: Jupyter.notebook.mode,
    dialogs: document.querySelectorAll('.modal.in').length,
    numbers: document.querySelectorAll('.CodeMirror-linenumber').length,
})"""
_TOO_WIDE = """() => [...document.querySelectorAll('.nbp-panel, .nbp-panel *')]
    .filter(node => node.clientWidth && node.scrollWidth > node.clientWidth + 1
        && !['ellipsis'].includes(getComputedStyle(node).textOverflow)
        && !node.matches('input, textarea, pre, .nbp-pick'))
    .map(node => node.className)"""


@dataclass(frozen=True)
class FrontEnd:
    """A page on Colab's versions, and how a person works it."""

    page: Page
    server: Any
    kernel: str
    editor: str
    open: Callable[..., None]
    wait_idle: Callable[..., None]

    def put(self, name: str, *cells: str) -> str:
        return str(self.server.put(name, *cells, kernel=self.kernel))

    def panel(self, source: str, *cells: str) -> PanelPage:
        """A panel in a notebook; the cells below it are there and have not run."""
        self.open(self.page, self.server, self.put("colab-panel.ipynb", source, PANEL, *cells))
        for number in (0, 1):
            self.run(number)
            self.wait_idle(self.page)
        panel = PanelPage(self.page)
        panel.wait()
        return panel

    def run(self, number: int) -> None:
        """Run one cell by its keys, and leave it running."""
        pages.code_cell(self.page, number).locator(self.editor).click()
        self.page.keyboard.press("Control+Enter")


@pytest.fixture
def front_ends(page: Page, request: pytest.FixtureRequest) -> Callable[[str], FrontEnd]:
    """Both pages, by name; a server starts for the one that is asked for."""

    def made(name: str) -> FrontEnd:
        if name == "classic":
            server = request.getfixturevalue("classic_server")
            opened, idle = pages.open_classic, pages.wait_classic_idle
            return FrontEnd(page, server, "python3", ".CodeMirror", opened, idle)
        server = request.getfixturevalue("colab_server")
        return FrontEnd(page, server, "colab", ".cm-content", pages.open_lab, pages.wait_idle)

    return made


@pytest.fixture
def api() -> Iterator[Sandbox]:
    """The imitation API in this process, slow enough to see a task under way."""
    with Sandbox(latency=1.5, balance=100.0) as running:
        yield running


@pytest.fixture
def expected_errors() -> list[str]:
    """What a test itself brings about in the console."""
    return []


@pytest.fixture(autouse=True)
def nothing_else_happens(watch: Watch, expected_errors: list[str]) -> Iterator[None]:
    """The page asks nobody outside, and no error of ours is in its console."""
    yield
    assert watch.outside == []
    others = (*NOT_OURS, *expected_errors)
    errors = [line for line in watch.console if line.startswith(("error:", "page error:"))]
    assert [line for line in errors if not any(part in line for part in others)] == []


def notebook_state(page: Page) -> Any:
    """What a shortcut of the classic Notebook's would change."""
    return page.evaluate(_STATE)


# ------------------------------------------------------------------ the main road


@pytest.mark.parametrize(("front_end", "hands"), [CLASSIC, PLAIN, LAB])
def test_an_afternoon(
    front_ends: Callable[[str], FrontEnd],
    api: Sandbox,
    tmp_path: Path,
    front_end: str,
    hands: bool,
) -> None:
    """Type, choose, generate, watch, edit the result, compare, star and search."""
    panel = front_ends(front_end).panel(prepared(api.url, tmp_path, hands=hands))
    expect(panel.root.locator(".nbp-hands")).to_have_count(int(hands))
    text = "a fox\nin watercolor" if front_end == "classic" else "a fox in watercolor"
    panel.type_prompt(text)
    panel.choose_option("ratio", "16:9")
    panel.choose_option("format", "jpeg")
    panel.generate.click()
    expect(panel.busy).to_have_count(1)
    expect(panel.busy.locator(".nbp-bar")).to_be_visible()
    drawn(panel, 1)
    panel.check_picture(panel.pictures.first.locator("img"))
    (asked,) = api.tasks
    assert (asked.prompt, asked.aspect_ratio) == (text, "16:9")
    assert asked.output_format in ("jpeg", "jpg")

    panel.button("Edit this").click()
    expect(panel.looks).to_have_count(1)
    panel.draw("make it sunrise")
    drawn(panel, 2)
    assert (api.tasks[1].prompt, len(api.tasks[1].image_urls)) == ("make it sunrise", 1)
    expect(panel.root.get_by_text("Made from")).to_be_visible()

    panel.button("Compare").click()
    expect(panel.line("choose the picture to compare")).to_be_visible()
    panel.choose(1)
    slider = panel.large.get_by_role("slider")
    expect(slider).to_be_visible()
    before = slider.input_value()
    slider.focus()
    for _ in range(5):
        panel.page.keyboard.press("ArrowRight")
    assert slider.input_value() != before
    panel.button("Close").click()
    expect(panel.large).to_have_count(0)

    panel.button("Star").click()
    expect(panel.button("Unstar")).to_be_visible()
    panel.button("★ Starred only").click()
    expect(panel.tiles).to_have_count(1)
    panel.button("All pictures").click()
    expect(panel.tiles).to_have_count(2)
    panel.type(panel.search, "watercolor")
    expect(panel.tiles).to_have_count(1)
    assert panel.captions() == ["a fox in watercolor"]


@NIGHTLY
@pytest.mark.parametrize("hands", [True, False])
def test_reload_and_restart_in_mid_task(
    page: Page, classic_server: ClassicServer, api: Sandbox, tmp_path: Path, hands: bool
) -> None:
    """After a reload the panel is alive and the picture comes; after a restart the gallery is the
    same and what was pending comes home, for no further money."""
    source = prepared(api.url, tmp_path, hands=hands)
    notebook = classic_server.put("reload.ipynb", source, PANEL)
    pages.open_classic(page, classic_server, notebook)
    pages.run_all_classic(page)
    panel = PanelPage(page)
    panel.wait()
    panel.draw("[sandbox slow] an owl")
    expect(panel.busy).to_have_count(1)
    pages.save_classic(page, classic_server, notebook)
    pages.reload_classic(page)
    panel.wait()
    expect(panel.busy).to_have_count(1)
    drawn(panel, 1)
    expect(panel.root.locator(".nbp-hands")).to_have_count(int(hands))
    panel.draw("a fox after the reload")
    drawn(panel, 2)
    panel.draw("[sandbox slow] a pending hare")
    expect(panel.tiles.filter(has_text="Being drawn")).to_have_count(1)
    before = panel.captions()
    pages.restart_classic(page)
    pages.run_all_classic(page)
    panel.wait()
    expect(panel.tiles).to_have_count(3)
    assert panel.captions() == before
    expect(panel.busy).to_have_count(1)
    drawn(panel, 3)
    panel.draw("a fox after the restart")
    drawn(panel, 4)
    assert len(api.tasks) == 4


# ------------------------------------------------------------------ while a cell runs


@pytest.mark.parametrize(
    ("front_end", "hands", "seconds"),
    [
        pytest.param("classic", True, 5, id="classic"),
        pytest.param("classic", True, 20, id="classic-long", marks=NIGHTLY),
        pytest.param("classic", False, 20, id="classic-plain-long", marks=NIGHTLY),
        pytest.param("lab", False, 20, id="lab-plain-long", marks=NIGHTLY),
    ],
)
def test_while_a_cell_runs(
    front_ends: Callable[[str], FrontEnd],
    api: Sandbox,
    tmp_path: Path,
    front_end: str,
    hands: bool,
    seconds: int,
) -> None:
    """Three tasks finish and are shown while a cell sleeps; clicks wait for it to end, and twenty
    of them are one task, of the prompt that stood there when they were made.

    With the anywidget part that is so whatever is typed afterwards. Plain ipywidgets hold what is
    typed back until the cell has ended, so that the last of it is drawn.
    """
    browser = front_ends(front_end)
    page = browser.page
    panel = browser.panel(prepared(api.url, tmp_path, hands=hands), BUSY.format(seconds=seconds))
    expect(panel.root.locator(".nbp-hands")).to_have_count(int(hands))
    panel.watch_tiles()
    for text in ("one", "two", "three"):
        panel.draw(text)
    until(lambda: len(api.tasks) == 3, page)
    browser.run(2)
    expect(pages.cell_outputs(page, 2)).to_have_count(1)
    panel.type_prompt("clicked {while} it runs?")
    for _ in range(20):
        panel.generate.click()
    if hands:
        panel.type_prompt("something else, not asked for")
    drawn(panel, 3)
    assert len(pages.cell_outputs(page, 2).inner_text().split()) == 1  # it still sleeps
    browser.wait_idle(page)
    drawn(panel, 4)
    assert prompts(api)[3:] == ["clicked {while} it runs?"]
    begun, ended = (float(text) for text in pages.cell_outputs(page, 2).inner_text().split())
    origin = page.evaluate("performance.timeOrigin / 1000")
    print(f"the cell slept from 0 to {ended - begun:.1f} s; its tiles:")
    for seen in panel.tiles_seen():
        print(f"{origin + seen['at'] / 1000 - begun:6.1f} s", *seen["tiles"], sep="  ")


@pytest.mark.parametrize(
    ("front_end", "hands"), [pytest.param("classic", True, id="classic", marks=NIGHTLY), PLAIN, LAB]
)
def test_what_is_typed_is_drawn(
    front_ends: Callable[[str], FrontEnd], tmp_path: Path, front_end: str, hands: bool
) -> None:
    """Typed and clicked as fast as it goes, into a slow kernel: each prompt arrives whole, once,
    in order.

    Plain ipywidgets say what stands in a field, not what stood there at a click: without the
    anywidget part, the next prompt is begun when the one before has been sent.
    """
    with Sandbox(latency=0, balance=100.0) as api:
        source = prepared(api.url, tmp_path, hands=hands) + SLOW_KERNEL
        panel = front_ends(front_end).panel(source)
        expect(panel.root.locator(".nbp-hands")).to_have_count(int(hands))
        texts = [text for text in TYPED if front_end == "classic" or "\n" not in text]
        for number, text in enumerate(texts, 1):
            panel.draw(text)
            if not hands:
                until(lambda number=number: len(api.tasks) == number, panel.page)
        until(lambda: len(api.tasks) >= len(texts), panel.page)
        expect(panel.busy).to_have_count(0)
        assert prompts(api) == texts


# ------------------------------------------------------------------ where anywidget is not drawn


@pytest.mark.parametrize("front_end", ["classic", pytest.param("lab", marks=NIGHTLY)])
def test_a_page_without_anywidgets_extension(
    front_ends: Callable[[str], FrontEnd],
    api: Sandbox,
    tmp_path: Path,
    expected_errors: list[str],
    front_end: str,
) -> None:
    """A kernel with anywidget and a page that cannot draw it, as where each has an environment of
    its own: the panel is whole, says nothing of it, draws, and is there after a reload."""
    expected_errors += ["anywidget", "Could not create a model", "Could not instantiate widget"]
    expected_errors += ["Exception opening new comm"]
    browser = front_ends(front_end)
    page = browser.page
    page.route("**/nbextensions/anywidget/**", lambda route: route.fulfill(status=404))
    panel = browser.panel(prepared(api.url, tmp_path))
    expect(panel.root.locator(".nbp-hands")).to_have_count(0)
    said = " ".join(pages.cell_outputs(page, 1).all_inner_texts()).lower()
    assert [word for word in ("error", "anywidget", "loading widget") if word in said] == []
    panel.draw("a fox")
    drawn(panel, 1)
    if front_end == "classic":
        pages.save_classic(page, browser.server, "colab-panel.ipynb")
        pages.reload_classic(page)
    else:
        pages.save(page, browser.server, "colab-panel.ipynb")
        browser.open(page, browser.server, "colab-panel.ipynb")
    panel.wait()
    drawn(panel, 1)
    panel.draw("an owl")
    drawn(panel, 2)
    assert prompts(api) == ["a fox", "an owl"]


def test_in_colab(page: Page, classic_server: ClassicServer, api: Sandbox, tmp_path: Path) -> None:
    """Where `google.colab` is there and has no secret for us, the panel does without anywidget,
    which Colab draws only if it is told to."""
    package = classic_server.root / "stubs" / "google" / "colab"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "userdata.py").write_text(COLAB_USERDATA, encoding="utf-8")
    colab = IMPORT_COLAB.format(folder=str(package.parents[1]))
    source = "\n".join([prepared(None, tmp_path), colab])
    notebook = classic_server.put("in-colab.ipynb", source, PANEL)
    pages.open_classic(page, classic_server, notebook)
    pages.run_all_classic(page)
    panel = PanelPage(page)
    panel.wait()
    expect(panel.line("in Colab: a Secret of that name")).to_be_visible()
    panel.draw("a fox in Colab")
    drawn(panel, 1)
    panel.check_picture(panel.pictures.first.locator("img"))
    assert panel.root.locator(".nbp-hands").count() == 0
    expect(panel.root.locator(".nbp-money")).to_contain_text("Session $0.03 of sandbox money")
    assert api.tasks == ()  # no key: the sandbox inside the kernel has drawn it


# ------------------------------------------------------------------ keys


@pytest.mark.parametrize(("front_end", "hands"), [CLASSIC, PLAIN])
def test_keys_stay_in_the_panel(
    front_ends: Callable[[str], FrontEnd],
    api: Sandbox,
    tmp_path: Path,
    front_end: str,
    hands: bool,
) -> None:
    """No letter typed into the panel is a shortcut, and Escape, Shift+Enter and the others that
    mean a cell elsewhere do nothing to it; with the anywidget part Ctrl+Enter draws."""
    panel = front_ends(front_end).panel(prepared(api.url, tmp_path, hands=hands), "1 + 1")
    page = panel.page
    expect(panel.root.locator(".nbp-hands")).to_have_count(int(hands))
    panel.draw("a fox")
    drawn(panel, 1)
    expect(panel.button("Open large")).to_be_visible()
    before = notebook_state(page)
    fields = panel.root.locator("input:visible, textarea:visible")
    for field in fields.all():
        for key in ("", "Escape", "Shift+Enter", "Alt+Enter"):
            field.click()
            if key:
                page.keyboard.press(key)
            page.keyboard.type(LETTERS)
            page.wait_for_timeout(50)
            assert notebook_state(page) == before
    assert LETTERS in panel.prompt.input_value()
    for selector in ("button.nbp-generate", ".nbp-ratio button", "button.nbp-small"):
        panel.root.locator(selector).first.focus()
        page.keyboard.type(LETTERS.replace(" ", ""))
        assert notebook_state(page) == before
    panel.type(panel.search, "")
    panel.type(panel.root.locator(".nbp-count input"), "1")
    panel.type_prompt("by key?")
    page.keyboard.press("Control+Enter")
    drawn(panel, 1 + hands)
    assert prompts(api)[1:] == ["by key?"] * hands
    assert notebook_state(page) == before


# ------------------------------------------------------------------ what stays


def test_put_into_notebook_stays(
    page: Page, classic_server: ClassicServer, api: Sandbox, tmp_path: Path
) -> None:
    """A picture put into the notebook is there after saving, ending the kernel and reopening."""
    notebook = classic_server.put("kept.ipynb", prepared(api.url, tmp_path), PANEL)
    pages.open_classic(page, classic_server, notebook)
    pages.run_all_classic(page)
    panel = PanelPage(page)
    panel.wait()
    panel.draw("a fox to keep")
    drawn(panel, 1)
    panel.button("Put into notebook").click()
    kept = page.locator(".output_subarea:not(:has(.nbp-panel)) img")
    expect(kept).to_have_count(1)
    pages.save_classic(page, classic_server, notebook)
    page.goto("about:blank")  # a page that sees its kernel die asks what to do
    classic_server.stop_kernels()
    pages.open_classic(page, classic_server, notebook)
    expect(kept).to_have_count(1)
    width, height = pages.shown(page, kept)
    assert min(width, height) > 50
    assert kept.get_attribute("alt") == "a fox to keep"


# ------------------------------------------------------------------ looks


@pytest.mark.parametrize("width", [480, 1100, 1600])
def test_looks(
    page: Page,
    classic_server: ClassicServer,
    api: Sandbox,
    tmp_path: Path,
    shot: Callable[[str], Path],
    width: int,
) -> None:
    """Empty, busy, chosen, compared and with errors: nothing is wider than its place, and axe has
    nothing serious to say."""

    def check(state: str) -> None:
        panel.root.evaluate("panel => panel.scrollIntoView()")
        shot(f"panel-classic-{state}-{width}")
        assert page.evaluate(_TOO_WIDE) == []
        if width == 1100:
            found = accessibility.findings(page, ".nbp-panel")
            assert accessibility.serious(found) == []

    notebook = classic_server.put(f"looks-{width}.ipynb", prepared(api.url, tmp_path), PANEL)
    pages.open_classic(page, classic_server, notebook)
    pages.run_all_classic(page)
    page.set_viewport_size({"width": width, "height": 1000})  # now: a narrow page folds its menus
    panel = PanelPage(page)
    panel.wait()
    expect(panel.root.get_by_text("No pictures yet")).to_be_visible()
    if width == 480:
        assert panel.root.evaluate("panel => panel.offsetWidth") > 400
    check("empty")
    panel.draw("a fox in watercolor")
    panel.draw("an owl, in ink")
    expect(panel.busy).to_have_count(2)
    check("busy")
    drawn(panel, 2)
    panel.choose(1)
    expect(panel.root.locator(".nbp-detail .nbp-words")).to_have_text("a fox in watercolor")
    panel.button("Copy as cell").click()
    expect(panel.root.locator(".nbp-code").first).to_be_visible()
    check("chosen")
    panel.button("Copy as cell").click()
    panel.button("Compare").click()
    expect(panel.line("choose the picture")).to_be_visible()
    panel.choose(0)
    expect(panel.large).to_be_visible()
    check("compare")
    panel.button("Close").click()
    panel.draw("[sandbox CONTENT_VIOLATION] a fox")
    expect(panel.tiles.filter(has_text="No picture")).to_have_count(1)
    panel.type_prompt(" ")
    panel.generate.click()
    expect(panel.line("The prompt is empty")).to_be_visible()
    panel.type(panel.link, "nonsense")
    panel.button("Add").click()
    expect(panel.line("nonsense")).to_be_visible()
    check("error")
