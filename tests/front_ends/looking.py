"""How a page looks: what can be measured of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..harness import pages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

OPENERS = {
    "lab": pages.open_lab,
    "notebook7": pages.open_notebook7,
    "voila": pages.open_voila,
}

_NOTE_PROGRESS = """() => {
    window.cellsWithProgress = new Set();
    const look = () => document.querySelectorAll('.jp-CodeCell').forEach((cell, number) => {
        if (cell.querySelector('[role=progressbar]')) window.cellsWithProgress.add(number);
    });
    new MutationObserver(look).observe(document.body, {childList: true, subtree: true});
}"""

# As WCAG reckons it, between the colour of each of our words and what lies behind it.
_CONTRAST = """() => {
    const parse = color => color.match(/[\\d.]+/g).map(Number);
    const over = (top, alpha, below) => top.map((c, i) => alpha * c + (1 - alpha) * below[i]);
    const luminance = rgb => rgb.map(c => c / 255)
        .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = node => {
        if (!node) return [255, 255, 255];
        const [r, g, b, alpha = 1] = parse(getComputedStyle(node).backgroundColor);
        return alpha === 1 ? [r, g, b] : over([r, g, b], alpha, behind(node.parentElement));
    };
    const opacity = node =>
        node ? getComputedStyle(node).opacity * opacity(node.parentElement) : 1;
    const contrast = node => {
        const back = behind(node);
        const front = over(parse(getComputedStyle(node).color).slice(0, 3), opacity(node), back);
        const [low, high] = [luminance(back), luminance(front)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const words = [...document.querySelectorAll('.nanobanana, .nanobanana *')].filter(node =>
        [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim()));
    return Math.min(...words.map(contrast));
}"""

_OVERFLOWING = """() => [...document.querySelectorAll('.jp-OutputArea-output')]
    .filter(output => [output, ...output.querySelectorAll('.nanobanana, .nanobanana *')]
        .some(node => node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0
            && getComputedStyle(node).textOverflow !== 'ellipsis'))
    .map(output => output.innerText.slice(0, 80))"""

_SCROLL_TO_TOP = """() => {
    const all = [...document.querySelectorAll('*')];
    all.forEach(node => { if (node.scrollTop) node.scrollTop = 0; });
    const tall = all.filter(node => getComputedStyle(node).overflowY !== 'visible');
    return Math.max(...tall.map(node => node.scrollHeight));
}"""


def note_progress(page: Page) -> None:
    """From now on, note the code cells in which a progress bar appears."""
    page.evaluate(_NOTE_PROGRESS)


def cells_with_progress(page: Page) -> list[int]:
    """Return the numbers of the code cells that have shown a progress bar."""
    numbers: list[int] = page.evaluate("[...window.cellsWithProgress]")
    return numbers


def lowest_contrast(page: Page) -> float:
    """Return the contrast of the words of ours that are hardest to read."""
    return float(page.evaluate(_CONTRAST))


def overflowing(page: Page) -> list[str]:
    """Return the outputs that are wider than their place, by their first words.

    A line that was told to end in an ellipsis is no fault.
    """
    found: list[str] = page.evaluate(_OVERFLOWING)
    return found


def rows_of_pictures(page: Page) -> list[int]:
    """Return how many pictures stand side by side, row by row."""
    tops = [box["y"] for image in pages.images(page).all() if (box := image.bounding_box())]
    return [tops.count(top) for top in sorted(set(tops))]


def shoot_whole(page: Page, shot: Callable[[str], Path], name: str) -> None:
    """Take a screenshot of the notebook from its first line to its last."""
    size = page.viewport_size or {"width": 1280, "height": 900}
    height = page.evaluate(_SCROLL_TO_TOP)
    page.set_viewport_size({"width": size["width"], "height": height + 100})
    page.evaluate(_SCROLL_TO_TOP)
    shot(name)
    page.set_viewport_size(size)
