"""What axe-core, the common accessibility checker, says of a part of a page; no network needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

_SERIOUS = ("serious", "critical")

# The body of Lab and Notebook 7 is 0 px high and hides what overflows: axe takes everything on
# the page for hidden, and skips colour contrast without a word.
_BODY_WITH_HEIGHT = "body { height: 100vh !important }"
_AROUND = 300  # pixels for the menus and bars around a notebook

_TALLEST = """selector => Math.max(0, ...[...document.querySelectorAll(selector)]
    .map(node => Math.ceil(node.getBoundingClientRect().height)))"""

# Each element by itself, scrolled into view: what is out of sight is skipped in the same way.
_RUN = """async selector => {
    const chosen = [...document.querySelectorAll(selector)];
    if (!chosen.length) throw new Error(`nothing on the page matches ${selector}`);
    const found = [];
    for (const node of chosen) {
        node.scrollIntoView({block: 'end'});
        for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
        const {violations} = await axe.run(node, {resultTypes: ['violations']});
        found.push(...violations.flatMap(rule => rule.nodes.map(where => ({
            impact: where.impact || rule.impact,
            rule: rule.id,
            target: where.target.flat(Infinity).join(' '),
            html: where.html,
        }))));
    }
    return found;
}"""


@dataclass(frozen=True)
class Finding:
    """One element that breaks one rule of axe-core.

    ``impact`` is minor, moderate, serious or critical; ``target`` is a CSS selector.
    """

    impact: str
    rule: str
    target: str
    html: str


def findings(page: Page, selector: str) -> list[Finding]:
    """Return what axe-core finds in the elements that match; where none matches, it raises.

    Whole pages of Lab have findings of Lab's own: select what is ours. Lab gives pictures in
    HTML outputs that have no ``alt`` one that says "Image": look at the text itself. What axe
    cannot decide, such as words over a picture, is not among the findings.
    """
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(_axe())
    with _body_with_height(page), _window_for(page, selector):
        found: list[dict[str, str]] = page.evaluate(_RUN, selector)
    return list(dict.fromkeys(Finding(**finding) for finding in found))


def serious(found: list[Finding]) -> list[Finding]:
    """Return those that keep some people from using the page, or make it hard."""
    return [finding for finding in found if finding.impact in _SERIOUS]


@contextlib.contextmanager
def _body_with_height(page: Page) -> Iterator[None]:
    style = page.add_style_tag(content=_BODY_WITH_HEIGHT)
    try:
        yield
    finally:
        style.evaluate("style => style.remove()")


@contextlib.contextmanager
def _window_for(page: Page, selector: str) -> Iterator[None]:
    """Make the window so high that each of the elements can be seen as a whole."""
    before = page.viewport_size or {"width": 1280, "height": 900}
    height = max(before["height"], page.evaluate(_TALLEST, selector) + _AROUND)
    page.set_viewport_size({"width": before["width"], "height": height})
    try:
        yield
    finally:
        page.set_viewport_size(before)


def _axe() -> str:
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
