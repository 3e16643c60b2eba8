"""VS Code, Voila's buttons and paper: places that show our outputs in their own way.

VS Code itself is not here. Its pages are: the rules by which it shows an output, and the colours
and attributes of its themes, as they were found in a running one.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbconvert import HTMLExporter

import nanobanana_nb as nb
from nanobanana_nb import Sandbox, Studio

from ..conftest import settings_for
from ..harness import pages
from ..test_hosts import notebook
from . import looking
from .panels import PANEL, PanelPage, expect, prepared, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from ..harness.servers import JupyterServer
    from .conftest import Watch

LEGIBLE = 4.5
RICHEST = ("text/html", "image/png", "image/jpeg", "text/plain")
"""What VS Code takes of a bundle, in its order; a widget without a kernel is not among it."""

# kind of theme: text, ground, field; from VS Code's own themes.
THEMES = {
    "vscode-dark": ("#cccccc", "#1f1f1f", "#313131"),
    "vscode-light": ("#3b3b3b", "#ffffff", "#ffffff"),
    "vscode-high-contrast": ("#ffffff", "#000000", "#000000"),
    "vscode-high-contrast-light": ("#292929", "#ffffff", "#ffffff"),
}
# As in VS Code's frame for outputs, but without the network; and, for a folder that is not
# trusted, without scripts.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {scripts}"
SHEET = {"width": 718, "height": 1047}  # A4 at 96 dots an inch, less its margins
DRAWN = 1 + 4 + 2 * 2 + 2 + 2 + 10  # one, four, a grid, compared, related, in the history
PICTURES = "figure img, td img, li img"
OVERHANG = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
OUTPUT = '<div class="output" style="margin:0 0 24px">{}</div>'

# What VS Code's Jupyter extension puts around widgets: white, in a dark theme as well.
AROUND_WIDGETS = ".cell-output-ipywidget-background { background: white !important; }"
BECOME_VSCODE = """([kind, variables]) => {
    document.body.dataset.vscodeThemeKind = kind;
    delete document.body.dataset.jpThemeLight;
    for (const [name, value] of Object.entries(variables)) {
        document.documentElement.style.setProperty(name, value);
    }
    document.querySelector('.nbp-panel').parentElement
        .classList.add('cell-output-ipywidget-background');
}"""
PANEL_CONTRAST = looking._CONTRAST.replace(
    "document.querySelectorAll('.nanobanana, .nanobanana *')",
    "[...document.querySelectorAll('.nbp-panel, .nbp-panel *')]"
    ".filter(node => node.checkVisibility() && !node.closest('.nbp-pick, style'))",
)


def variables(kind: str) -> dict[str, str]:
    """The colours that VS Code gives its pages."""
    text, ground, field = THEMES[kind]
    return {
        "--vscode-editor-foreground": text,
        "--vscode-editor-background": ground,
        "--vscode-input-background": field,
        "--vscode-font-family": "system-ui, sans-serif",
    }


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """Every kind of output: pictures, failures, doubt, comparison, history, lineage, styles."""
    with Sandbox(latency=0) as api:
        studio = Studio(settings_for(api.url, tmp_path_factory.mktemp("bundles")))
        yield [one._repr_mimebundle_() for one in studio.wait(everything(studio))]
        studio.close()


async def everything(studio: Studio) -> list[Any]:
    """What can be shown, drawn by this studio."""
    fox = await studio.generate("a fox in watercolor, with a <b>bold</b> $x^2$ tail")
    four = await studio.generate("an owl", count=4)
    refused = await studio.generate("[sandbox CONTENT_VIOLATION] a fox not allowed", count=2)
    lost = await studio.generate("[sandbox drop] a lost fox", count=2)
    grid = await studio.grid("{a} {b}", a=["a fox", "an owl"], b=["in snow", "at night"])
    night = await studio.edit(fox, "at night")
    found = [
        fox,
        four,
        refused,
        lost,
        grid,
        nb.compare(fox, four[0]),
        await studio.lineage(night.id),
    ]
    return [*found, await studio.history(""), await studio.styles()]


def as_vscode_shows(bundles: list[dict[str, Any]], kind: str, scripts: str) -> str:
    """A page with a frame in which VS Code would show these outputs."""
    colours = ";".join(f"{name}:{value}" for name, value in variables(kind).items())
    outputs = "".join(OUTPUT.format(in_html(bundle)) for bundle in bundles)
    frame = (
        f'<html style="{html.escape(colours)}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY.format(scripts=scripts)}">'
        "<style>body{margin:8px;font:13px var(--vscode-font-family);"
        "color:var(--vscode-editor-foreground);background:var(--vscode-editor-background)}"
        f'</style></head><body class="{kind}" data-vscode-theme-kind="{kind}">{outputs}</body>'
    )
    sandbox = "allow-scripts allow-same-origin allow-forms allow-downloads"
    return (
        f'<body style="margin:0"><iframe sandbox="{sandbox}" srcdoc="{html.escape(frame)}" '
        'style="border:0;width:100vw;height:100vh"></iframe></body>'
    )


def in_html(bundle: dict[str, Any]) -> str:
    """The richest form that VS Code knows, as it puts it into the page."""
    kind = next(kind for kind in RICHEST if kind in bundle)
    if kind == "text/html":
        return str(bundle[kind])
    if kind == "text/plain":
        return f"<pre>{html.escape(bundle[kind])}</pre>"
    return f'<img src="data:{kind};base64,{bundle[kind]}">'


def test_outputs_in_vscode(
    page: Page, watch: Watch, bundles: list[dict[str, Any]], shot: Callable[[str], Path]
) -> None:
    """In its frame, with none of JupyterLab's variables and nothing from the network: every
    picture is there, every word can be read, in each of its themes, wide and narrow; and without
    scripts too."""
    shown = [(kind, "'unsafe-inline'", 1000) for kind in THEMES]
    for kind, scripts, width in (*shown, ("vscode-light", "'none'", 360)):
        page.set_viewport_size({"width": width, "height": 900})
        page.set_content(as_vscode_shows(bundles, kind, scripts))
        page.frame_locator("iframe").locator(".output").nth(len(bundles) - 1).wait_for()
        frame = page.frames[1]
        images = frame.locator(PICTURES).all()
        assert len(images) == DRAWN, kind
        for image in images:
            image.evaluate("image => image.decode()")
        shot(f"{kind}-{width}")
        assert float(frame.evaluate(looking._CONTRAST)) >= LEGIBLE, kind
        assert frame.evaluate(OVERHANG) <= 0, kind
    assert watch.outside == []


@pytest.fixture
def without_anywidget(page: Page) -> None:
    """As where a firewall, or a person who was asked, keeps its part from the page."""
    page.context.route("**/*anywidget*/**", lambda route: route.abort())
    page.context.route("**/anywidget*", lambda route: route.abort())


@pytest.mark.usefixtures("without_anywidget")
def test_the_panel_in_vscode(
    page: Page, server: JupyterServer, tmp_path: Path, shot: Callable[[str], Path]
) -> None:
    """Without anywidget's part in the page it is whole and says of nothing that it is missing, and
    it takes VS Code's colours where that hands it Jupyter's light ones in every theme."""
    cells = (prepared(None, tmp_path / "home"), PANEL)
    pages.open_voila(page, server, server.put("vscode-panel.ipynb", *cells))
    panel = PanelPage(page)
    panel.wait()
    panel.draw("a fox in watercolor")
    expect(panel.pictures).to_have_count(1)
    panel.draw("[sandbox CONTENT_VIOLATION] an owl")
    expect(panel.tiles.filter(has_text="No picture")).to_have_count(1)
    panel.choose(1)
    assert page.locator(".nbp-hands").count() == 0
    assert "rror" not in page.locator("body").inner_text()
    page.add_style_tag(content=AROUND_WIDGETS)
    for kind, (text, ground, _) in THEMES.items():
        page.evaluate(BECOME_VSCODE, [kind, variables(kind)])
        style = "getComputedStyle(document.querySelector('.nbp-panel'))"
        names = ("color", "backgroundColor", "colorScheme")
        *colours, scheme = [page.evaluate(f"{style}.{name}") for name in names]
        assert [to_hex(colour) for colour in colours] == [text, ground]
        assert scheme == ("dark" if ground < text else "light")
        around = "getComputedStyle(document.querySelector('.cell-output-ipywidget-background'))"
        assert page.evaluate(f"{around}.backgroundColor") == "rgba(0, 0, 0, 0)"
        shot(f"panel-{kind}")
        assert float(page.evaluate(PANEL_CONTRAST)) >= LEGIBLE, kind


def to_hex(colour: str) -> str:
    """`rgb(1, 2, 3)` as `#010203`."""
    numbers = colour[colour.index("(") + 1 : -1].split(",")[:3]
    return "#" + "".join(f"{int(number):02x}" for number in numbers)


BUTTONS = """
import ipywidgets as widgets
from IPython.display import display
def button(name, doing):
    out, clicked = widgets.Output(), widgets.Button(description=name)
    def work(_):
        with out:
            doing()
    clicked.on_click(work)
    display(clicked, out)
button("magic", lambda: get_ipython().run_line_magic("nanobanana", "a fox"))
button("verb", lambda: display(nb.generate("an owl", count=2)))
button("refused", lambda: nb.generate("[sandbox 402] a cat"))
"""


@pytest.mark.parametrize("front_end", ["voila", pytest.param("lab", marks=pytest.mark.nightly)])
def test_a_button_of_ones_own(
    page: Page, server: JupyterServer, tmp_path: Path, front_end: str, shot: Callable[[str], Path]
) -> None:
    """In an app, what a button has drawn goes into an Output widget, which never replaces what it
    was given: the picture comes, and no progress stands beside it for ever."""
    first = prepared(None, tmp_path / "home") + "\nimport nanobanana_nb as nb"
    cells = (f"{first}\n%load_ext nanobanana_nb", BUTTONS)
    looking.OPENERS[front_end](page, server, server.put(f"buttons-{front_end}.ipynb", *cells))
    if front_end == "lab":
        pages.run_all(page)
    for name, pictures in (("magic", 1), ("verb", 3)):
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.locator("figure img")).to_have_count(pictures)
    page.get_by_role("button", name="refused", exact=True).click()
    until(lambda: "BalanceTooLow: " in page.locator("body").inner_text(), page)
    shot(f"buttons-{front_end}")
    assert page.locator(".jp-OutputArea [role=progressbar]").count() == 0


def test_on_paper(page: Page, watch: Watch, bundles: list[dict[str, Any]], tmp_path: Path) -> None:
    """A page of nbconvert's prints: dark on white, nothing wider than the sheet, and no picture so
    high that it would be cut in two between one sheet and the next."""
    made = notebook("foxes")
    shown = [nbformat.v4.new_output("display_data", data=bundle) for bundle in bundles]
    made.cells[0].outputs = shown
    for template in ("lab", "basic"):
        body, _ = HTMLExporter(template_name=template).from_notebook_node(made)
        file = tmp_path / f"{template}.html"
        file.write_text(body, encoding="utf-8")
        page.emulate_media(media="print", color_scheme="dark")
        page.set_viewport_size(SHEET)
        page.goto(file.as_uri())
        for image in page.locator(PICTURES).all():
            image.evaluate("image => image.decode()")
            box = image.bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= SHEET["width"]
            assert box["height"] <= SHEET["height"]
        assert looking.lowest_contrast(page) >= LEGIBLE
        assert page.pdf(format="A4").startswith(b"%PDF")
    assert watch.outside_except("cdnjs") == []  # what nbconvert itself asks for
