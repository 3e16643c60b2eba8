"""Hostile text in real Chromium: in every view and field, in JupyterLab, Notebook 7, exported and
saved pages, the panel and the sandbox's page, nothing of it runs, loads or becomes an element.

The texts say of themselves whether they have worked (`tests/security/hostile_strings.py`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.sign import NotebookNotary

from nanobanana_nb.errors import RequestError
from nanobanana_nb.sandbox import Sandbox

from ..harness import pages
from ..security import views
from ..security.hostile_strings import AUDIT, HOSTILE, MARK, MARKUP, UNSEEN, storable
from .panels import PanelPage, expect, prepared, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from ..harness.servers import JupyterServer
    from .conftest import Watch

REPOSITORY = Path(__file__).parents[2]
WEB = httpx.Client(trust_env=False)
EXPORTS = ("cdnjs.cloudflare.com", "cdn.jsdelivr.net", "unpkg.com")
"""Where the pages of nbconvert ask for MathJax and require.js; we ask nobody."""
CONTROL = '<div id="control">$x^2$</div>'
"""A formula that nobody has kept from becoming one."""

_TYPESET = (
    "() => document.querySelectorAll('.nanobanana mjx-container, .nanobanana .MathJax').length"
)
_CONTROL = "() => document.querySelector('#control mjx-container, #control .MathJax') !== null"
_LOADED = """() => {
    const all = [...document.querySelectorAll('.nanobanana img[src]')];
    return all.length > 500 && all.every(image => image.complete && image.naturalWidth > 0);
}"""
_LABS_LINKS = ('<a href="https://', '<a href="data:')
"""Lab itself makes links of addresses in plain text, by which a page cannot be left for data."""
_ODD_LINKS = """() => [...document.querySelectorAll('a[href*=pwned]')].filter(a =>
    !/^(https|data):/.test(a.getAttribute('href')) || !a.closest('pre') ||
    !a.relList.contains('noopener') || a.target !== '_blank'
).map(a => a.outerHTML)"""
_WORDS = """selector => [...document.querySelectorAll(selector)].map(
    node => node.textContent).join('\\n')"""
_RAW = """raw => {
    window.__pwned = undefined;
    document.title = 'control';
    const places = [`<p>${raw}</p>`];
    for (const quote of ['"', "'", '']) places.push(`<b title=${quote}${raw}${quote}>`);
    document.body.innerHTML = places.map(place => `<div>${place}</div>`).join('');
    for (const old of document.querySelectorAll('script')) {
        const fresh = document.createElement('script');
        for (const {name, value} of old.attributes) fresh.setAttribute(name, value);
        fresh.textContent = old.textContent;
        old.replaceWith(fresh);
    }
}"""
_RAW_AND_AUDIT = f"""texts => {{
    const put = {_RAW}, audit = {AUDIT};
    return Object.fromEntries(Object.entries(texts).map(([kind, raw]) => {{
        put(raw);
        return [kind, audit()];
    }}));
}}"""


HALF = tuple(HOSTILE.values())[::2]
"""Sixty of them, which is enough for each time; all of them at night."""
ALL = tuple(HOSTILE.values())
HALF_AND_ALL = pytest.mark.parametrize(
    "texts", [HALF, pytest.param(ALL, marks=pytest.mark.nightly)], ids=["half", "all"]
)


@cache
def written(texts: tuple[str, ...]) -> str:
    """A notebook whose outputs are all views of these texts, as JSON."""
    crowd = views.crowd(texts)
    plain = [crowd[name]["text/plain"] for name in ("card, failed", "card, in doubt", "gallery")]
    errors = [RequestError(text[:300])._render_traceback_()[0] for text in texts]
    control = {"text/html": CONTROL, "text/plain": "x"}
    cells = [
        cell(display(control)),
        cell(*(display(bundle) for bundle in crowd.values())),
        cell(*(display({"text/plain": text}) for text in plain)),
        cell({"output_type": "error", "ename": "E", "evalue": "x", "traceback": errors}),
    ]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook)


def cell(*outputs: dict[str, Any]) -> dict[str, Any]:
    """A code cell that has run."""
    more = {"metadata": {}, "outputs": [*outputs], "execution_count": 1}
    return {"cell_type": "code", "id": secrets.token_hex(4), "source": "1", **more}


def display(data: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": {}}


def put(server: JupyterServer, name: str, texts: tuple[str, ...], *, trusted: bool) -> str:
    """The notebook as a file of the server; trusted, as if its own user had run it."""
    notebook = json.loads(written(texts))
    notebook["metadata"]["title"] = name  # trust is in what a notebook holds, not in its name
    (server.root / name).write_text(json.dumps(notebook), encoding="utf-8")
    if trusted:
        notary = NotebookNotary(data_dir=str(server.folder / "data"))
        notary.sign(server.read(name))
        notary.store.close()
    return name


def check(page: Page, watch: Watch, *allowed: str, title: str = "") -> None:
    """Nothing of a hostile text has worked in this page, nor wanted to load anything. `title` is
    what the page is called, where that is such a text."""
    page.mouse.move(400, 400)
    found = [one for one in page.evaluate(AUDIT) if not one.startswith(_LABS_LINKS)]
    assert found == ([f"title: {title}"] if title else [])
    assert page.evaluate(_ODD_LINKS) == []
    assert not [url for url in watch.outside if MARK in url]
    assert watch.outside_except(*allowed) == []
    broken = [line for line in watch.console if line.startswith("page error")]
    assert not [line for line in broken if "[anywidget]" not in line]  # loaded late, by a busy page


def check_words(page: Page, selector: str, texts: Sequence[str] = ALL) -> None:
    """What can be read there is the words, with nothing computed, turned around or hidden."""
    words = page.evaluate(_WORDS, selector)
    found = [text for text in texts if text[:30] in words]
    assert len(found) > len(texts) * 0.8  # the others have something in them that is not passed on
    assert "1337" not in words
    assert not set(words) & UNSEEN - {"\n", "\t"}


def test_what_is_not_escaped_is_seen(page: Page, watch: Watch) -> None:
    """The control: put into a page as they are, all texts of markup leave their traces; what runs
    is seen to have run, and what loads something to have asked for it."""
    page.goto("about:blank")
    found = page.evaluate(_RAW_AND_AUDIT, HOSTILE)
    assert [kind for kind in MARKUP if not found[kind]] == []
    until(lambda: [url for url in watch.outside if MARK in url], page)
    for kind in ("script", "image", "out of double quotes", "out of single quotes"):
        page.goto("about:blank")
        page.evaluate(_RAW, HOSTILE[kind])
        page.wait_for_function("() => window.__pwned === 1")
        assert "code has run" in page.evaluate(AUDIT)


@HALF_AND_ALL
def test_h1_to_h6_in_lab_and_notebook_7(
    page: Page,
    server: JupyterServer,
    watch: Watch,
    alerts: list[str],
    texts: tuple[str, ...],
) -> None:
    """A trusted notebook, whose HTML is drawn as it is. MathJax is there and sets other people's
    formulas, but none of ours. Our pictures are there, and open large with their words as text."""
    pages.open_lab(page, server, put(server, "trusted.ipynb", texts, trusted=True))
    page.set_viewport_size({"width": 1280, "height": 4000})
    page.wait_for_function(_CONTROL)
    page.wait_for_function(_LOADED)
    check(page, watch)
    check_words(page, ".jp-OutputArea-output", texts)
    assert page.evaluate(_TYPESET) == 0
    assert page.locator(".nanobanana dialog").count() == 2  # of the two grids
    grid = page.locator(".nanobanana-window").first
    grid.locator("img").nth(3).click()
    shown = page.locator("dialog[open]")
    shown.wait_for()
    assert MARK in (shown.inner_text())
    page.keyboard.press("Escape")
    check(page, watch)
    other = page.context.new_page()  # Lab would ask whether to leave it
    pages.open_notebook7(other, server, "trusted.ipynb")
    other.set_viewport_size({"width": 1280, "height": 4000})
    other.wait_for_function(_CONTROL)
    check(other, watch)
    check_words(other, ".jp-OutputArea-output", texts)
    assert other.evaluate(_TYPESET) == 0
    assert alerts == []


def test_h8_in_a_notebook_that_is_not_trusted(
    page: Page, server: JupyterServer, watch: Watch, alerts: list[str]
) -> None:
    """Sent by somebody else: without any code, the pictures and the words are still there."""
    pages.open_lab(page, server, put(server, "mailed.ipynb", HALF, trusted=False))
    page.set_viewport_size({"width": 1280, "height": 4000})
    page.wait_for_function(_LOADED)
    check(page, watch)
    check_words(page, ".jp-OutputArea-output", HALF)
    assert page.locator("[onload], [onclick], [oninput]").count() == 0
    assert page.locator(".nanobanana dialog, .nanobanana input").count() == 0
    assert page.evaluate(_TYPESET) == 0
    assert alerts == []


@pytest.mark.parametrize(
    "template", ["lab", "classic", pytest.param("basic", marks=pytest.mark.nightly)]
)
def test_h1_to_h6_in_an_exported_page(
    page: Page, watch: Watch, alerts: list[str], tmp_path: Path, template: str
) -> None:
    """`jupyter nbconvert --to html`, with both looks and as a fragment: opened from the disk."""
    notebook = nbformat.reads(written(HALF), as_version=4)
    body, _ = HTMLExporter(template_name=template).from_notebook_node(notebook)
    (tmp_path / "page.html").write_text(body, encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_function(_LOADED)
    check(page, watch, *EXPORTS)
    check_words(page, "body", HALF)
    # MathJax itself is asked for elsewhere; what it goes by is on all of it.
    left_alone = page.locator(".nanobanana:not(.tex2jax_ignore.mathjax_ignore)").count()
    assert left_alone == 0
    assert page.locator(".nanobanana").count() > 500
    assert alerts == []


def test_h1_to_h4_in_a_saved_page(
    page: Page, watch: Watch, alerts: list[str], tmp_path: Path
) -> None:
    """A grid as a page that needs nothing else, with every text as a label, a title and a fact;
    its pictures open large."""
    (tmp_path / "grid.html").write_bytes(views.page(ALL).encode())
    page.goto((tmp_path / "grid.html").as_uri())
    page.wait_for_function("() => document.querySelector('dialog') !== null")
    check(page, watch, title=ALL[0])
    check_words(page, "main")
    for number in (0, 1, 40):
        page.locator(".nanobanana-window img").nth(number).click()
        expect(page.locator("dialog[open]")).to_be_visible()
        check(page, watch, title=ALL[0])
        page.keyboard.press("Escape")
    assert alerts == []


def test_h1_to_h4_in_the_page_of_the_sandbox(page: Page, watch: Watch, alerts: list[str]) -> None:
    """Prompts, references, fail codes and addresses of callbacks, drawn and drawn anew."""
    with Sandbox(latency=0, balance=1000) as sandbox:
        sent = [text for text in storable().values() if len(text) < 4900]
        for begin in range(0, len(sent), 55):
            for text in sent[begin : begin + 55]:
                submit(sandbox, text)
                submit(sandbox, f"{text} [sandbox CONTENT_VIOLATION]")
                submit(sandbox, text, image_urls=[f"https://r.example/{text}"])
            page.goto(f"{sandbox.url.removesuffix('/api/v1')}/")
            page.locator("#tasks > li").first.wait_for()
            page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
            check(page, watch)
            words = page.evaluate(_WORDS, "main")
            assert "1337" not in words
            submit(sandbox, f"one more, {sent[begin]}")
            page.get_by_text("one more, ").first.wait_for()
            check(page, watch)
    assert alerts == []


def submit(sandbox: Sandbox, prompt: str, **more: Any) -> None:
    WEB.post(
        f"{sandbox.url}/generateTask/nano-banana",
        headers={"Authorization": "Bearer a-key"},
        json={"input": {"prompt": prompt, **more}},
    )


WIDGETS = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
import ipywidgets
from tests.security import views
from tests.security.hostile_strings import HOSTILE
pieces = views.panel_crowd(tuple(HOSTILE.values()))
boxes = [f'<div class="piece">{{piece}}</div>' for piece in pieces.values()]
ipywidgets.VBox([ipywidgets.HTML(box) for box in boxes])
"""
PANEL = "import nanobanana_nb as nb\npanel = nb.Panel()\npanel"


def test_h1_to_h7_in_the_panel(
    page: Page, server: JupyterServer, watch: Watch, alerts: list[str], tmp_path: Path
) -> None:
    """All its pieces with all texts, as widgets put HTML into a page; and the panel itself over a
    ledger of strangers: looked through, chosen from, asked and answered. Saved and exported with
    the widgets in it, it is as harmless."""
    home = tmp_path / "home"
    views.fill(home, list(storable().values()))
    with Sandbox(latency=0) as api:
        first = prepared(api.url, home)
        notebook = server.put("panel.ipynb", first, WIDGETS, PANEL)
        pages.open_lab(page, server, notebook)
        page.set_viewport_size({"width": 1280, "height": 3000})
        pages.run_all(page)
        page.locator(".piece").last.wait_for(state="attached")
        check(page, watch)
        check_words(page, ".piece:not(:has(.nbp-code))")
        panel = PanelPage(page)
        panel.wait()
        use(panel, watch)
        pages.save(page, server, notebook)
    saved = server.read("panel.ipynb")
    body, _ = HTMLExporter().from_notebook_node(saved)
    (tmp_path / "panel.html").write_text(body, encoding="utf-8")
    exported = page.context.new_page()  # the other would ask whether to leave it
    exported.goto((tmp_path / "panel.html").as_uri())
    exported.locator("body").wait_for()
    check(exported, watch, *EXPORTS)
    assert alerts == []


def use(panel: PanelPage, watch: Watch) -> None:
    """What a person does with it, on some of its pages."""
    for _ in range(3):
        panel.pictures.first.locator("button.nbp-pick").click()
        panel.button("Link and path").click()
        panel.root.locator(".nbp-code").first.wait_for()
        panel.button("Open large").click()
        panel.large.locator("img").wait_for()
        panel.button("Close").click()
        check(panel.page, watch)
        first = panel.captions()[0]
        panel.button("Older").click()
        until(lambda first=first: panel.captions()[0] != first, panel.page)
    panel.search.fill(HOSTILE["image"])
    panel.root.locator(".nbp-empty, .nbp-tile:not(.nbp-off)").first.wait_for()
    for text in (HOSTILE["image"], HOSTILE["a handler, double"]):
        panel.link.fill(text)
        panel.button("Add").click()
        panel.line("is neither a link").wait_for()
        panel.prompt.fill(text)
        panel.button("Copy as cell").click()
        panel.root.locator(".nbp-clip .nbp-code").first.wait_for()
        check(panel.page, watch)
        panel.button("Copy as cell").click()
    panel.search.fill("")
    panel.prompt.fill(HOSTILE["svg"])
    panel.generate.click()
    panel.line("picture done").wait_for()
    check(panel.page, watch)
