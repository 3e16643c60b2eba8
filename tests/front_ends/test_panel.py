"""The panel in JupyterLab, Notebook 7 and Voila, used by hand: everything is typed and clicked."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from nanobanana_nb import Sandbox

from ..harness import pages
from ..harness.servers import JupyterServer
from . import looking
from .panels import PANEL, File, PanelPage, expect, prepared, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from .conftest import Watch

Shot = Callable[[str], Path]

NIGHTLY = pytest.mark.nightly
EVERYWHERE = [
    pytest.param("lab", True, id="lab"),
    pytest.param("lab", False, id="lab-plain", marks=NIGHTLY),
    pytest.param("notebook7", True, id="notebook7", marks=NIGHTLY),
    pytest.param("notebook7", False, id="notebook7-plain", marks=NIGHTLY),
]
"""Front ends with the anywidget part, and plain, without it."""

# Said by the programs around the panel, in notebooks without one as well.
NOT_OURS = (
    "reading 'schema'",
    "filebrowser:open-path",
    "net::ERR_",
    "Failed to load resource",
    "MathJax",
    "shared.import",
)
LETTERS = "abddxzmy0 00khlrc"
NO_SUBSHELLS = {
    "@jupyterlab/apputils-extension:kernels-settings": {"commsOverSubshells": "disabled"}
}
"""As with kernels before ipykernel 7: a running cell holds up whatever a widget says."""
TYPED = [
    "a \"quoted\" fox and an 'owl'",
    "{braces}, {0} and {{more}}",
    "an owl 🦉 with a 🧑‍🎨 and 👍🏽",
    "one line\nand another\n\nand a last",
    "is this a fox?",
    "it's C:\\new\\table # no comment; !ls",
    "costs $10 and 100 %",
    "-n 3 --raw a fox",
    "<b>bold</b> &amp; <script>alert(1)</script>",
    "漢字とかな, עברית, é ü ß",
    "`ticks` and ${expressions}",
    "(parentheses) [brackets] <angles>",
    'he said: "draw',
    "trailing comma,",
    "a " + "very " * 40 + "long prompt",
    "%nanobanana a magic?",
    "dots ... and — dashes",
    "UPPER lower MiXeD",
    "1234567890",
    "really?",
]

_NOTEBOOK_STATE = """() => ({
    cells: [...document.querySelectorAll('.jp-Cell')].map(cell => cell.className
        .split(' ').filter(one => /^jp-(Code|Markdown|Raw)Cell$/.test(one)).join()),
    runs: [...document.querySelectorAll('.jp-InputPrompt')].map(one => one.innerText),
    dialogs: document.querySelectorAll('.jp-Dialog').length,
    numbers: document.querySelectorAll('.cm-lineNumbers').length,
})"""


@pytest.fixture
def api() -> Iterator[Sandbox]:
    """The imitation API in this process, slow enough to see a task under way."""
    with Sandbox(latency=0.6, balance=100.0) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_else_happens(watch: Watch) -> Iterator[None]:
    """The page asks nobody outside, and no error of ours is in its console."""
    yield
    assert watch.outside_except(*pages.VOILA_ASKS_FOR) == []
    assert errors(watch) == []


def errors(watch: Watch) -> list[str]:
    return [
        line
        for line in watch.console
        if line.startswith(("error:", "page error:")) and not any(one in line for one in NOT_OURS)
    ]


def open_panel(
    page: Page,
    server: JupyterServer,
    front_end: str,
    source: str,
    *cells: str,
    name: str = "panel",
) -> PanelPage:
    """A notebook whose first cell prepares the kernel and whose second one shows a panel.

    The further cells are there and have not run.
    """
    notebook = server.put(f"{name}-{front_end}.ipynb", source, PANEL, *cells)
    looking.OPENERS[front_end](page, server, notebook)
    if front_end != "voila":
        run(page, 0)
        run(page, 1)
    panel = PanelPage(page)
    panel.wait()
    if "anywidget" not in source:  # it was not taken away
        expect(panel.root).to_have_attribute("data-hands", "true")
    return panel


def run(page: Page, number: int) -> None:
    """Run one cell by its keys, and leave it running."""
    pages.code_cell(page, number).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")


def state(page: Page) -> Any:
    """What a shortcut of the notebook's would change: cells, runs, dialogs, line numbers."""
    return page.evaluate(_NOTEBOOK_STATE)


def prompts(api: Sandbox) -> list[str]:
    """What the API was asked for."""
    return [task.request["input"]["prompt"] for task in api.tasks]


def received(page: Page, api: Sandbox, count: int) -> None:
    """Wait until the API has been asked for so many pictures."""
    until(lambda: len(api.tasks) >= count, page)


def drawn(panel: PanelPage, count: int) -> None:
    expect(panel.pictures).to_have_count(count)


# ------------------------------------------------------------------ the main road


@pytest.mark.parametrize(
    ("front_end", "hands"),
    [("lab", True), ("notebook7", False), pytest.param("voila", True, marks=NIGHTLY)],
)
def test_an_afternoon(
    page: Page,
    server: JupyterServer,
    api: Sandbox,
    tmp_path: Path,
    shot: Shot,
    front_end: str,
    hands: bool,
) -> None:
    """Type, choose, generate, watch, edit the result, compare, star and search."""
    panel = open_panel(page, server, front_end, prepared(api.url, tmp_path, hands=hands))
    expect(panel.root.locator(".nbp-hands")).to_have_count(int(hands))
    panel.type_prompt("a fox\nin watercolor")
    panel.choose_option("ratio", "16:9")
    panel.choose_option("format", "jpeg")
    panel.generate.click()
    expect(panel.busy).to_have_count(1)
    expect(panel.busy.locator(".nbp-bar")).to_be_visible()
    drawn(panel, 1)
    panel.check_picture(panel.pictures.first.locator("img"))
    (asked,) = api.tasks
    assert (asked.prompt, asked.aspect_ratio) == ("a fox\nin watercolor", "16:9")
    assert asked.output_format in ("jpeg", "jpg")

    panel.button("Edit this").click()
    expect(panel.looks).to_have_count(1)
    panel.draw("make it sunrise")
    drawn(panel, 2)
    assert api.tasks[1].prompt == "make it sunrise"
    assert len(api.tasks[1].image_urls) == 1
    expect(panel.root.get_by_text("Made from")).to_be_visible()

    panel.button("Compare").click()
    expect(panel.line("choose the picture to compare")).to_be_visible()
    panel.choose(1)
    expect(panel.large).to_be_visible()
    expect(panel.large.get_by_role("slider")).to_be_visible()
    shot(f"panel-compared-{front_end}")
    panel.button("Close").click()
    expect(panel.large).to_have_count(0)

    panel.button("Star").click()
    expect(panel.button("Unstar")).to_be_visible()
    panel.button("★ Starred only").click()
    expect(panel.tiles).to_have_count(1)
    panel.button("All pictures").click()
    expect(panel.tiles).to_have_count(2)
    panel.type(panel.search, "watercolor", delay=20)
    expect(panel.tiles).to_have_count(1)
    assert panel.captions() == ["a fox in watercolor"]
    panel.type(panel.search, "no such thing")
    expect(panel.root.get_by_text("Nothing matches.")).to_be_visible()
    panel.type(panel.search, "")
    expect(panel.tiles).to_have_count(2)
    assert len(api.tasks) == 2


@pytest.mark.parametrize(
    ("front_end", "hands"), [("lab", True), pytest.param("notebook7", False, marks=NIGHTLY)]
)
def test_reload_and_restart_in_mid_task(
    page: Page,
    server: JupyterServer,
    api: Sandbox,
    tmp_path: Path,
    front_end: str,
    hands: bool,
) -> None:
    """After a reload the panel is alive and the picture comes; after a restart the gallery is the
    same and what was pending comes home, for no further money."""
    source = prepared(api.url, tmp_path, hands=hands)
    panel = open_panel(page, server, front_end, source, name="reload")
    panel.draw("[sandbox slow] an owl")
    expect(panel.busy).to_have_count(1)
    pages.save(page, server, f"reload-{front_end}.ipynb")
    page.reload()
    panel.wait()
    expect(panel.busy).to_have_count(1)
    drawn(panel, 1)
    panel.draw("a fox after the reload")
    drawn(panel, 2)
    panel.draw("[sandbox slow] a pending hare")
    expect(panel.tiles.filter(has_text="Being drawn")).to_have_count(1)
    before = panel.captions()
    pages.restart_and_run_all(page)
    panel.wait()
    expect(panel.tiles).to_have_count(3)
    assert panel.captions() == before
    expect(panel.busy).to_have_count(1)
    drawn(panel, 3)
    panel.draw("a fox after the restart")
    drawn(panel, 4)
    assert len(api.tasks) == 4


# ------------------------------------------------------------------ prompts arrive as typed


@pytest.mark.parametrize(("front_end", "hands"), EVERYWHERE)
def test_what_is_typed_is_drawn(
    page: Page, server: JupyterServer, tmp_path: Path, front_end: str, hands: bool
) -> None:
    """Typed and clicked as fast as it goes: each prompt arrives whole, once, in order."""
    with Sandbox(latency=0, balance=100.0) as api:
        panel = open_panel(
            page, server, front_end, prepared(api.url, tmp_path, hands=hands), name="typed"
        )
        for text in TYPED:
            panel.draw(text)
        received(page, api, len(TYPED))
        expect(panel.busy).to_have_count(0)
        assert prompts(api) == TYPED


@pytest.mark.parametrize(
    ("front_end", "hands", "seconds"),
    [
        pytest.param("lab", True, 5, id="lab"),
        pytest.param("lab", True, 20, id="lab-long", marks=NIGHTLY),
        pytest.param("lab", False, 20, id="lab-plain", marks=NIGHTLY),
        pytest.param("notebook7", True, 20, id="notebook7", marks=NIGHTLY),
        pytest.param("notebook7", False, 20, id="notebook7-plain", marks=NIGHTLY),
    ],
)
def test_while_a_cell_runs(
    page: Page,
    server: JupyterServer,
    api: Sandbox,
    tmp_path: Path,
    front_end: str,
    hands: bool,
    seconds: int,
) -> None:
    """Three tasks finish and are shown while a cell sleeps; what is clicked meanwhile is drawn as
    it was typed."""
    source = prepared(api.url, tmp_path, hands=hands)
    panel = open_panel(page, server, front_end, source, f"import time; time.sleep({seconds})")
    typed = ["one", "two", "three", "first {while} it runs?", "second\nwhile it runs"]
    for text in typed[:3]:
        panel.draw(text)
    received(page, api, 3)
    panel.watch_tiles()
    begun = page.evaluate("performance.now()")
    run(page, 2)
    expect(pages.code_cell(page, 2).locator(".jp-InputPrompt")).to_have_text("[*]:")
    panel.draw(typed[3])
    panel.draw(typed[4])
    until(lambda: panel.pictures.count() >= 3, page)
    expect(pages.code_cell(page, 2).locator(".jp-InputPrompt")).to_have_text("[*]:")
    for seen in panel.tiles_seen():
        print(f"{(seen['at'] - begun) / 1000:5.1f} s {seen['tiles']}")
    pages.wait_idle(page)
    drawn(panel, 5)
    assert sorted(prompts(api)) == sorted(typed)


@NIGHTLY
def test_typing_on_while_a_cell_runs(page: Page, api: Sandbox, tmp_path: Path) -> None:
    """Without anywidget and without subshells, what is typed after a click is not drawn for it."""
    with JupyterServer(tmp_path / "jupyter", settings=NO_SUBSHELLS) as server:
        source = prepared(api.url, tmp_path / "home", hands=False)
        panel = open_panel(page, server, "lab", source, "import time; time.sleep(5)")
        run(page, 2)
        expect(pages.code_cell(page, 2).locator(".jp-InputPrompt")).to_have_text("[*]:")
        panel.draw("a whole fox")
        panel.type_prompt("half an ow")
        pages.wait_idle(page)
        drawn(panel, 1)
        assert prompts(api) == ["a whole fox"]


# ------------------------------------------------------------------ keys and clicks


@pytest.mark.parametrize(("front_end", "hands"), EVERYWHERE)
def test_keys_stay_in_the_panel(
    page: Page, server: JupyterServer, api: Sandbox, tmp_path: Path, front_end: str, hands: bool
) -> None:
    """Tab reaches every control, each has a name, and no letter typed in a field is a shortcut.

    With the anywidget part that holds for the panel's buttons too, and Ctrl+Enter does not run
    the cell; Notebook's own keys, such as saving, work on.
    """
    source = prepared(api.url, tmp_path, hands=hands)
    panel = open_panel(page, server, front_end, source, "1 + 1", name="keys")
    panel.draw("a fox")
    drawn(panel, 1)
    expect(panel.button("Open large")).to_be_visible()
    reached = panel.tab_through()
    assert [one for one in reached if not one["name"]] == []
    names = [one["name"] for one in reached]
    order = [names.index(name) for name in TAB_ORDER]
    assert order == sorted(order)

    before = state(page)
    for field in panel.root.locator("input:visible, textarea:visible").all():
        field.click()
        page.keyboard.type(LETTERS)
        page.wait_for_timeout(50)
        assert state(page) == before
    assert LETTERS in panel.prompt.input_value()
    if not hands:
        return
    panel.type(panel.search, "")
    drawn(panel, 1)  # a tile that goes away takes the focus out of the panel
    for selector in ("button.nbp-generate", ".nbp-ratio button", "button.nbp-pick"):
        panel.root.locator(selector).first.focus()
        page.keyboard.type(LETTERS.replace(" ", ""))
        page.wait_for_timeout(100)
        assert state(page) == before
    panel.generate.focus()
    with page.expect_response(lambda answer: answer.request.method == "PUT"):
        page.keyboard.press("Control+s")
    panel.type(panel.root.locator(".nbp-count input"), "1")
    for number, key in enumerate(("Control+Enter", "Meta+Enter"), 2):
        panel.type_prompt(f"by {key}?")
        page.keyboard.press(key)
        drawn(panel, number)
    assert prompts(api)[1:] == ["by Control+Enter?", "by Meta+Enter?"]
    panel.type_prompt("a line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("and one more")
    assert panel.prompt.input_value() == "a line\nand one more"
    assert state(page) == before


TAB_ORDER = (
    "Prompt",
    "1:1",
    "auto",
    "png",
    "Pictures",
    "Reference pictures",
    "Generate",
    "Open large",
    "Star",
    "Note",
    "Search",
    "Choose: a fox",
)


@pytest.mark.parametrize(
    "front_end", ["voila", *(pytest.param(name, marks=NIGHTLY) for name in ("lab", "notebook7"))]
)
def test_keys_of_the_panel(
    page: Page, server: JupyterServer, api: Sandbox, tmp_path: Path, front_end: str
) -> None:
    """Escape closes the large view and the comparison, wherever the focus was; Alt and arrows go
    through earlier prompts and back to what was typed; a click on code copies it."""
    panel = open_panel(page, server, front_end, prepared(api.url, tmp_path), name="own-keys")
    for number, text in enumerate(("a fox", "an owl"), 1):
        panel.draw(text)
        drawn(panel, number)
    expect(panel.root.locator(".nbp-detail .nbp-words")).to_have_text("an owl")
    large = panel.button("Open large")
    large.focus()
    page.keyboard.press("Enter")
    expect(panel.button("Close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(panel.large).to_have_count(0)
    expect(large).to_be_focused()
    panel.button("Compare").click()
    expect(panel.line("choose the picture")).to_be_visible()
    panel.choose(1)
    expect(panel.large).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel.large).to_have_count(0)

    panel.type_prompt("not sent yet")
    for key, text in (
        ("Alt+ArrowUp", "an owl"),
        ("Alt+ArrowUp", "a fox"),
        ("Alt+ArrowDown", "an owl"),
        ("Alt+ArrowDown", "not sent yet"),
    ):
        page.keyboard.press(key)
        expect(panel.prompt).to_have_value(text)

    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel.button("Copy as cell").click()
    code = panel.root.locator(".nbp-code").first
    code.click()
    expect(code).to_have_attribute("data-copied", "true")
    assert page.evaluate("navigator.clipboard.readText()") == code.text_content()
    python = panel.root.locator(".nbp-code").last
    python.focus()
    page.keyboard.press("Enter")
    expect(python).to_have_attribute("data-copied", "true")
    assert "not sent yet" in page.evaluate("navigator.clipboard.readText()")
    assert len(api.tasks) == 2


@pytest.mark.parametrize(
    ("front_end", "hands"),
    [
        pytest.param("voila", False, id="voila-plain"),
        *(pytest.param(*one.values, id=one.id, marks=NIGHTLY) for one in EVERYWHERE),
    ],
)
def test_impatience_costs_nothing(
    page: Page, server: JupyterServer, api: Sandbox, tmp_path: Path, front_end: str, hands: bool
) -> None:
    """A held Enter, a double click and 20 fast clicks ask for one picture each, say so, and the
    price stands beside the button."""
    source = prepared(api.url, tmp_path, hands=hands)
    panel = open_panel(page, server, front_end, source, name="clicks")
    expect(panel.root.locator(".nbp-price")).to_have_text("$0.03")

    panel.type_prompt("held")
    panel.generate.focus()
    for _ in range(30):  # the first is a press, the others are the key's repeats
        page.keyboard.down("Enter")
        page.wait_for_timeout(30)
    page.keyboard.up("Enter")
    drawn(panel, 1)

    panel.type_prompt("double")
    panel.generate.dblclick()
    drawn(panel, 2)

    panel.type_prompt("twenty")
    for _ in range(20):
        panel.generate.click(no_wait_after=True)
    if hands:  # else the page itself holds most of them back
        expect(panel.line("count as one")).to_be_visible()
    expect(panel.root.locator(".nbp-price")).to_be_visible()
    drawn(panel, 3)
    assert prompts(api) == ["held", "double", "twenty"]


# ------------------------------------------------------------------ pictures from outside


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (300, 200), colour).save(file, "PNG")
    return file.getvalue()


def noise(width: int, height: int) -> bytes:
    """A picture that no compression makes smaller."""
    file = io.BytesIO()
    pixels = random.Random(1).randbytes(width * height * 3)
    Image.frombytes("RGB", (width, height), pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("front_end", ["lab", pytest.param("notebook7", marks=NIGHTLY)])
def test_drop_and_paste(page: Page, server: JupyterServer, tmp_path: Path, front_end: str) -> None:
    """Dropped and pasted pictures become references in their order, under their names; what
    cannot be one is told at the references; text goes into the prompt as always."""
    panel = open_panel(page, server, front_end, prepared(None, tmp_path), name="drop")
    panel.drop(File("fox.png", "image/png", png("red")))
    expect(panel.looks).to_have_count(1)
    expect(panel.looks.first).to_contain_text("fox.png")
    panel.check_picture(panel.looks.first.locator("img"))
    assert not panel.paste(File("owl.png", "image/png", png("blue")))
    expect(panel.looks).to_have_count(2)
    colours = ("green", "yellow", "pink")
    panel.drop(*(File(f"{colour}.png", "image/png", png(colour)) for colour in colours))
    expect(panel.looks).to_have_count(5)
    labels = [label.split()[-1] for label in panel.looks.all_inner_texts()]
    assert labels == ["fox.png", "owl.png", "green.png", "yellow.png", "pink.png"]
    panel.drop(File("sixth.png", "image/png", png("black")))
    expect(panel.line("6 reference pictures are too many")).to_be_visible()

    for left in (4, 3, 2):
        panel.button("Remove 1").click()
        expect(panel.looks).to_have_count(left)
    panel.drop(File("huge.png", "image/png", png("red"), blanks=10_000_000))
    expect(panel.line("'huge.png' is larger than the 10 MB")).to_be_visible()
    panel.drop(File("paper.pdf", "application/pdf", b"%PDF"))
    expect(panel.line("'paper.pdf' is not a picture")).to_be_visible()
    panel.drop(File("broken.png", "image/png", b"no picture"))
    expect(panel.line("is not a whole PNG, JPEG or WebP picture")).to_be_visible()
    panel.drop(uri_list="# from somewhere\r\nhttps://example.invalid/fox.png")
    expect(panel.looks).to_have_count(3)
    expect(panel.looks.last).to_contain_text("example.invalid/fox.png")

    assert panel.drop(onto=panel.prompt, plain="words")
    assert panel.paste(File("cells.png", "image/png", png("white")), plain="1\t2")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('a pasted \"fox\"?')")
    panel.type_prompt("")
    page.keyboard.press("Control+v")
    expect(panel.prompt).to_have_value('a pasted "fox"?')
    expect(panel.looks).to_have_count(3)


@NIGHTLY
def test_the_largest_picture(page: Page, server: JupyterServer, tmp_path: Path) -> None:
    """A dropped file just below the limit arrives, and the connection to the kernel holds."""
    panel = open_panel(page, server, "lab", prepared(None, tmp_path), name="largest")
    largest = noise(1850, 1760)
    assert 9_700_000 < len(largest) < 10_000_000
    panel.drop(File("largest.png", "image/png", largest))
    expect(panel.looks).to_have_count(1)
    panel.draw("still here")
    drawn(panel, 1)


# ------------------------------------------------------------------ what stays in the notebook


@NIGHTLY
@pytest.mark.parametrize(("front_end", "hands"), [("lab", True), ("notebook7", False)])
def test_put_into_the_notebook(
    page: Page,
    server: JupyterServer,
    api: Sandbox,
    tmp_path: Path,
    shot: Shot,
    front_end: str,
    hands: bool,
) -> None:
    """A picture and a comparison stay: saved, kernel stopped, reopened. After a reload of the page
    the message's advice puts the picture there too."""
    source = prepared(api.url, tmp_path, hands=hands)
    panel = open_panel(page, server, front_end, source, "", name="keep")
    notebook = f"keep-{front_end}.ipynb"
    below = pages.cell_outputs(page, 1).last
    for number, text in enumerate(("a fox to keep", "an owl beside it"), 1):
        panel.draw(text)
        drawn(panel, number)
    expect(panel.root.locator(".nbp-detail .nbp-words")).to_have_text("an owl beside it")
    panel.button("Put into notebook").click()
    advice = panel.line("stays in the notebook")
    expect(advice).to_contain_text("%nanobanana_resume")
    expect(below.get_by_alt_text("an owl beside it")).to_have_count(1)
    resume = advice.inner_text().split("?")[1].split(" in a cell")[0].strip()
    panel.button("Compare").click()
    expect(panel.line("choose the picture")).to_be_visible()
    panel.choose(1)
    panel.button("Put it into the notebook").click()
    expect(below.get_by_role("slider")).to_have_count(1)
    pages.save(page, server, notebook)

    page.reload()
    panel.wait()
    pages.code_cell(page, 2).locator(".cm-content").click()
    page.keyboard.type(f"%load_ext nanobanana_nb\n{resume}")
    page.keyboard.press("Control+Enter")
    expect(pages.cell_outputs(page, 2).get_by_alt_text("an owl beside it")).to_be_visible()
    pages.save(page, server, notebook)

    page.goto("about:blank")
    server.stop_kernels()
    looking.OPENERS[front_end](page, server, notebook)
    kept = pages.cell_outputs(page, 1).last
    panel.check_picture(kept.get_by_alt_text("an owl beside it").first)
    expect(kept.get_by_role("slider")).to_be_visible()
    panel.check_picture(pages.cell_outputs(page, 2).get_by_alt_text("an owl beside it").first)
    shot(f"panel-kept-{front_end}")
    assert len(api.tasks) == 2


# ------------------------------------------------------------------ several panels


@NIGHTLY
@pytest.mark.parametrize(("front_end", "hands"), EVERYWHERE)
def test_several_panels(
    page: Page, server: JupyterServer, api: Sandbox, tmp_path: Path, front_end: str, hands: bool
) -> None:
    """Two panels, one of them shown twice and its cell run again: all are alive, each click asks
    for one picture, and every panel shows it."""
    source = prepared(api.url, tmp_path, hands=hands)
    cells = ("other = nb.Panel(); other", "panel")
    panel = open_panel(page, server, front_end, source, *cells, name="several")
    run(page, 2)
    run(page, 3)
    other, twin = PanelPage(page, 1), PanelPage(page, 2)
    other.wait()
    twin.wait()
    for number, one in enumerate((panel, other, twin), 1):
        one.draw(f"from panel {number}")
        for shown in (panel, other, twin):
            drawn(shown, number)
    run(page, 1)
    pages.wait_idle(page)
    panel.wait()
    drawn(panel, 3)
    expect(panel.prompt).to_have_value("")
    panel.draw("from the new one")
    other.draw("from the old one")
    for shown in (panel, other, twin):
        drawn(shown, 5)
    assert prompts(api) == [
        *(f"from panel {number}" for number in (1, 2, 3)),
        "from the new one",
        "from the old one",
    ]
