"""The accessibility check itself: it finds what is known to be bad, in every front end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..harness import pages
from ..harness.accessibility import Finding, findings, serious

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from ..harness.servers import ClassicServer, JupyterServer

# Added by script: Lab gives a picture in HTML that has no alt one of its own.
ADD = """([place, html]) => {
    const node = document.createElement('div');
    node.className = 'under-test';
    node.style.background = '#fff';
    node.innerHTML = html;
    document.querySelector(place).replaceChildren(node);
}"""
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
BAD = f"""
<p style="color: #bbb">faint words</p>
<button style="width: 40px; height: 40px"></button>
<img src="{PIXEL}">
<h3></h3>
"""
GOOD = f"""
<p style="color: #333">plain words</p>
<button style="color: #000; background: #fff">Draw</button>
<img src="{PIXEL}" alt="a fox">
<h3 style="color: #000">A fox</h3>
"""
TALL = '<div style="height: 2000px"></div>'
SERIOUS = [
    ("button-name", "critical", "<button"),
    ("color-contrast", "serious", "<p"),
    ("image-alt", "critical", "<img"),
]
MINOR = ("empty-heading", "minor", "<h3></h3>")
# So long that what is added below it is out of sight.
LONG = "print('fox\\n' * 80)"


def told(found: list[Finding]) -> list[tuple[str, str, str]]:
    return sorted((one.rule, one.impact, one.html.split()[0]) for one in found)


def check_both(page: Page, place: str) -> None:
    """What is bad is found in this place, and what is good is not."""
    page.evaluate(ADD, [place, BAD])
    found = findings(page, ".under-test")
    assert told(found) == sorted([*SERIOUS, MINOR])
    assert told(serious(found)) == SERIOUS
    page.evaluate(ADD, [place, GOOD])
    assert findings(page, ".under-test") == []


def test_what_is_bad_is_found_in_lab(page: Page, server: JupyterServer) -> None:
    """Faint words, a button without a name and a picture without words, in and out of sight.

    The faint words are the control: in a page of Lab as it is, axe does not look at them.
    """
    pages.open_lab(page, server, server.put("axe.ipynb", "print('fox')", LONG, "print('owl')"))
    pages.run_all(page)
    outputs = ".jp-CodeCell:nth-child({}) .jp-OutputArea-output"
    check_both(page, outputs.format(1))
    check_both(page, outputs.format(3))
    page.evaluate(ADD, [outputs.format(3), BAD + TALL + BAD])
    assert told(serious(findings(page, ".under-test"))) == sorted(SERIOUS * 2)


def test_what_is_bad_is_found_in_the_classic_notebook(
    page: Page, classic_server: ClassicServer
) -> None:
    """The same where widgets are drawn as on Colab."""
    pages.open_classic(page, classic_server, classic_server.put("axe.ipynb", "print('fox')"))
    pages.run_all_classic(page)
    check_both(page, ".output_subarea")


def test_only_what_is_selected_is_looked_at(page: Page) -> None:
    """Findings are those of our part, with their place; a selector without a match is no pass."""
    from playwright.sync_api import Error

    page.set_content(f'<div id="ours">{BAD}</div><div id="theirs">{BAD}</div>')
    found = findings(page, "#ours")
    assert told(found) == sorted([*SERIOUS, MINOR])
    assert all(page.locator(one.target).count() == 1 for one in found)
    assert page.locator("style").count() == 0
    with pytest.raises(Error, match="nothing on the page matches #nobodys"):
        findings(page, "#nobodys")
