"""The HTML of a grid: pictures in rows and columns that say what is what, and a page to keep.

Plain values in, escaped HTML out. Everything is there without scripts; where they run, a picture
opens large, with no kernel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from . import display
from .display import Card
from .markup import AMBER, FAINT, ROOT, SMALL, base64_of, capital, dotted, escape, image
from .protocol import clean
from .templates import Axis

_PAGE: Final = (
    "var(--jp-layout-color0,var(--vscode-editor-background,"
    "var(--colab-primary-surface-color,Canvas)))"
)
"""The colour of the page, for what stays in its place while pictures move below it."""
_LEAST: Final = 84
"""Pixels of a picture, below which the table is scrolled instead."""
_GAP: Final = 8
"""Pixels between two pictures."""
_TALL: Final = 1000
"""Pixels of height above which many rows are scrolled in a window of their own."""
_WINDOW: Final = 760
_CLEAR: Final = "border:none;background:none;font-weight:normal;text-align:left;vertical-align:top"
_CLAMP: Final = (
    "display:-webkit-box;-webkit-box-orient:vertical;overflow:hidden;overflow-wrap:break-word;"
    "white-space:normal"
)
_PRINT: Final = (
    "<style>@media print{.nanobanana-window{max-height:none!important;overflow:visible!important}"
    ".nanobanana-window table{min-width:0!important}.nanobanana-window tr{break-inside:avoid}"
    "}</style>"
)


@dataclass(frozen=True)
class Block:
    """One table of a grid: the results of its rows by their numbers, under a heading if need be."""

    heading: str
    rows: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Layout:
    """Where each result of a grid stands.

    Without `rows` there is one row, which folds. `fixed` says what is the same for all of them,
    `places` what is each one's own, such as `animal: fox · style: ink`.
    """

    rows: Axis | None
    columns: Axis | None
    blocks: tuple[Block, ...]
    fixed: tuple[str, ...]
    places: tuple[str, ...]


def arranged(axes: Sequence[Axis]) -> Layout:
    """The first axis down, the second across, a table for each combination of the others.

    An axis with one value takes no room. The results are numbered as `itertools.product` goes
    through the axes.
    """
    varying = [axis for axis in axes if len(axis.values) > 1]
    spots = list(product(*(range(len(axis.values)) for axis in varying)))
    number = {spot: n for n, spot in enumerate(spots)}
    rows, columns = (varying[0], varying[1]) if len(varying) > 1 else (None, None)
    if rows is None or columns is None:
        blocks: tuple[Block, ...] = (Block("", (tuple(range(len(spots))),)),)
        columns = varying[0] if varying else None
    else:
        down, across = range(len(rows.values)), range(len(columns.values))
        blocks = tuple(
            Block(
                _named(varying[2:], rest),
                tuple(tuple(number[(r, c, *rest)] for c in across) for r in down),
            )
            for rest in product(*(range(len(axis.values)) for axis in varying[2:]))
        )
    return Layout(
        rows,
        columns,
        blocks,
        tuple(_named([axis], (0,)) for axis in axes if len(axis.values) == 1),
        tuple(_named(varying, spot) for spot in spots),
    )


def _named(axes: Sequence[Axis], spot: Sequence[int]) -> str:
    return dotted(*(_valued(axis, at) for axis, at in zip(axes, spot, strict=True)))


def _valued(axis: Axis, at: int) -> str:
    label = clean(axis.labels[at], 80)
    return f"{axis_title(axis)}: {label}" if axis_title(axis) else label


def title(axis: Axis) -> str:
    """The name of an axis as it is shown."""
    return axis.name.replace("_", " ")


def axis_title(axis: Axis) -> str:
    """What stands above its values: nothing for choices typed in the prompt, which have no name."""
    return "" if axis.typed else title(axis)


def grid_card(
    layout: Layout, cells: Sequence[Sequence[Card]], headline: str, price: str, sheet: bytes
) -> display.Bundle:
    """A grid as an output. `cells` has the cards of each result; the first of them is shown.

    `sheet` is one JPEG of it all, for front ends that show no HTML.
    """
    cards = _numbered(cells)
    shared, folder = display.in_common(cards)
    top = display.top_line(headline, dotted(*layout.fixed, *shared, price, folder))
    text = (dotted(headline, *layout.fixed, price), *display.gallery_lines(cards))
    body = f"{top}{_tables(layout, cells)}{display.notes(cards)}{display.task_ids(cards)}"
    bundle: display.Bundle = {
        "text/html": f"<div {ROOT}>{_PRINT}{body}</div>",
        "text/plain": "\n".join(text),
    }
    if sheet:
        bundle["image/jpeg"] = base64_of(sheet)
    return bundle


def grid_page(
    layout: Layout,
    cells: Sequence[Sequence[Card]],
    heading: str,
    facts: Sequence[tuple[str, str]],
) -> str:
    """The same as a page that needs nothing else: it can be kept, sent and printed.

    `heading` stands on top, `facts` are labels and what is to say of each.
    """
    rows = "".join(
        f'<dt>{escape(label)}</dt><dd dir="auto">{escape(text, 2000)}</dd>' for label, text in facts
    )
    body = f"{_tables(layout, cells, wide=True)}{display.notes(_numbered(cells))}"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta name="generator" content="nanobanana_nb">'
        f"<title>{escape(heading, 120)}</title><style>{_STYLE}</style></head>\n"
        f'<body><main {ROOT}><h1 dir="auto">{escape(heading, 1000)}</h1><dl>{rows}</dl>'
        f"{_PRINT}{body}</main></body></html>\n"
    )


_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{margin:0;background:Canvas;color:CanvasText;"
    "font:14px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}"
    "main{display:block;max-width:1600px;margin:0 auto;padding:28px 24px 40px}"
    "h1{font-size:22px;line-height:1.3;font-weight:600;margin:0 0 12px;overflow-wrap:break-word;"
    "max-width:60em}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:0 0 24px;"
    "font-size:13px}dt{opacity:.72}dd{margin:0;overflow-wrap:break-word}"
    "table{font-size:13px}"
    "@media print{main{padding:0;max-width:none}@page{margin:14mm}}"
)


def _numbered(cells: Sequence[Sequence[Card]]) -> list[tuple[int, Card]]:
    return [(number, card) for number, cards in enumerate(cells) for card in cards]


class _Drawing:
    """What the cells of one grid share: the room that each has, and which comes last."""

    def __init__(self, layout: Layout, cells: Sequence[Sequence[Card]], wide: bool) -> None:
        self.layout = layout
        self.cells = cells
        columns = len(layout.blocks[0].rows[0])
        room, most = (1360, 420) if wide else (860, 256)
        self.side = max(120, min(most, room // max(1, columns) - _GAP))
        good = [number for number, cards in enumerate(cells) if cards and cards[0].preview]
        self.last = next((n for n in reversed(_in_order(layout)) if n in set(good)), -1)
        first = cells[good[0]][0] if good else Card("")
        self.ratio = (first.width or 1, first.height or 1)

    def cell(self, number: int) -> str:
        """A picture with its index in Python, or what stands in its place."""
        first, *others = self.cells[number]
        place = self.layout.places[number] or first.prompt
        if first.problem or not first.preview:
            picture = _gap(first, place, self.ratio)
        else:
            picture = image(
                first.preview,
                place,
                first.width,
                first.height,
                self.side,
                title=dotted(clean(first.prompt, 200), first.file),
                onload=_viewer() if number == self.last else "",
            )
        star = '<span title="starred">★</span> ' if first.starred else ""
        more = f" +{len(others)} more" if others else ""
        return f'{picture}<div style="{FAINT};font-size:11px">{star}[{number}]{more}</div>'

    @property
    def height(self) -> int:
        """About how high a row is, in pixels."""
        width, height = self.ratio
        return round(min(self.side, self.side * height / width)) + 26


def _in_order(layout: Layout) -> list[int]:
    """The numbers of the results in the order in which they stand on the page."""
    return [number for block in layout.blocks for row in block.rows for number in row]


def _tables(layout: Layout, cells: Sequence[Sequence[Card]], *, wide: bool = False) -> str:
    drawing = _Drawing(layout, cells, wide)
    if layout.rows is None or layout.columns is None:
        return _row(drawing, layout.columns)
    return "".join(
        _table(drawing, block, layout.rows, layout.columns, wide) for block in layout.blocks
    )


def _row(drawing: _Drawing, axis: Axis | None) -> str:
    """One axis: side by side, folding to the width there is, each under its label."""
    named = axis_title(axis) if axis else ""
    name = f'<div style="{FAINT};margin-bottom:2px">{escape(named)}</div>' if named else ""
    cells = "".join(
        f'<figure style="flex:1 1 {drawing.side * 3 // 4}px;max-width:{drawing.side}px;margin:0">'
        f"{_figcaption(axis, number)}{drawing.cell(number)}</figure>"
        for number in drawing.layout.blocks[0].rows[0]
    )
    fold = f"display:flex;flex-wrap:wrap;gap:12px {_GAP}px;align-items:flex-end"
    return f'{name}<div style="{fold}">{cells}</div>'


def _figcaption(axis: Axis | None, number: int) -> str:
    if axis is None:
        return ""
    style = f"{SMALL};font-weight:600;margin:0 0 4px"
    return f'<figcaption style="{style}">{_label(axis.labels[number])}</figcaption>'


def _table(drawing: _Drawing, block: Block, rows: Axis, columns: Axis, wide: bool) -> str:
    """One table; its headings stay in their place where it has to be scrolled."""
    count, head = len(columns.values), _heading_width(rows.labels)
    least = head + count * (_LEAST + _GAP)
    most = head + count * (drawing.side + _GAP)
    heading = dotted(block.heading)
    tall = not wide and len(block.rows) > 5 and len(block.rows) * drawing.height > _TALL
    window = f"overflow:auto;max-height:{_WINDOW}px" if tall else "overflow-x:auto"
    caption = (
        f'<caption style="caption-side:top;text-align:left;padding:0 0 6px;color:inherit">'
        f'<span style="position:sticky;left:0;{SMALL};font-size:13px;font-weight:600">'
        f"{escape(heading)}</span></caption>"
        if heading
        else ""
    )
    label = dotted(f"{capital(title(rows))} by {title(columns)}", heading)
    body = "".join(
        f'<tr style="background:none">{_row_head(text)}'
        + "".join(f'<td style="{_cell_style()}">{drawing.cell(number)}</td>' for number in row)
        + "</tr>"
        for text, row in zip(rows.labels, block.rows, strict=True)
    )
    style = (
        f"table-layout:fixed;width:100%;min-width:{least}px;margin:0;border:none;"
        "border-collapse:separate;border-spacing:0"
    )
    return (
        f'<div class="nanobanana-window" role="region" tabindex="0" aria-label="{escape(label)}" '
        f'data-lm-suppress-shortcuts="true" style="{window};max-width:{most}px;margin:0 0 12px">'
        f'<table style="{style}">{caption}<colgroup><col style="width:{head}px">'
        f'<col span="{count}"></colgroup>{_thead(rows, columns)}<tbody>{body}</tbody></table></div>'
    )


def _thead(rows: Axis, columns: Axis) -> str:
    """What varies across, and below it each of its values."""
    corner = f"{_CLEAR};{SMALL};{_stuck()};z-index:2;padding:0 {_GAP}px 6px 0;vertical-align:bottom"
    name = f"{_CLEAR};{SMALL};padding:0"
    label = f"{_CLEAR};{SMALL};font-weight:600;padding:0 {_GAP}px 6px 0;vertical-align:bottom"
    cells = "".join(
        f'<th scope="col" style="{label}">{_label(text)}</th>' for text in columns.labels
    )
    across, down = escape(axis_title(columns)), escape(axis_title(rows))
    above = (
        f'<tr style="background:none"><td style="{corner}"></td>'
        f'<th scope="colgroup" colspan="{len(columns.values)}" style="{name}">'
        f'<span style="position:sticky;left:{_heading_width(rows.labels)}px;opacity:.72">'
        f"{across}</span></th></tr>"
    )
    beside = (
        f'<th scope="col" style="{corner}"><span style="opacity:.72">{down}</span></th>'
        if down
        else f'<td style="{corner}"></td>'
    )
    return (
        f'<thead style="position:sticky;top:0;z-index:2;border:none;background:{_PAGE}">'
        f'{above if across else ""}<tr style="background:none">{beside}{cells}</tr></thead>'
    )


def _row_head(text: str) -> str:
    style = f"{_CLEAR};{SMALL};font-weight:600;{_stuck()};z-index:1;padding:0 {_GAP}px {_GAP}px 0"
    return f'<th scope="row" style="{style}">{_label(text, 4)}</th>'


def _cell_style() -> str:
    return f"{_CLEAR};padding:0 {_GAP}px {_GAP}px 0"


def _stuck() -> str:
    """At the left edge, over what is scrolled."""
    return f"position:sticky;left:0;background:{_PAGE}"


def _label(text: str, lines: int = 3) -> str:
    """A heading of a few lines at most; the whole of it is its title."""
    style = f"{_CLAMP};-webkit-line-clamp:{lines};max-height:{lines * 1.6:.1f}em"
    return f'<div dir="auto" title="{escape(text, 1000)}" style="{style}">{escape(text, 400)}</div>'


def _heading_width(labels: Sequence[str]) -> int:
    """Pixels for the headings of the rows: what the longest needs on two lines."""
    longest = max((_ems(clean(label)) for label in labels), default=0)
    word = max((_ems(word) for label in labels for word in clean(label).split()), default=0)
    return round(max(64, min(144, max(longest / 2, word) * 7.5 + 2 * _GAP)))


def _ems(text: str) -> int:
    """How wide it is, in letters; those of East Asia are twice as wide."""
    return sum(2 if ord(letter) > 0x2E7F else 1 for letter in text)


def _gap(card: Card, place: str, ratio: tuple[int, int]) -> str:
    """What stands in the place of a picture; money in doubt is named."""
    why = card.problem or "The file is not there any more."
    about = escape(dotted(place, why), 700)
    width, height = ratio
    room = f"aspect-ratio:{width}/{height};box-sizing:border-box;padding:8px"
    words, edge = "No picture", "1px dashed rgba(128,128,128,.55)"
    clamp = f"{_CLAMP};-webkit-line-clamp:4;max-height:5.6em;opacity:.8"
    more = f'<div style="{clamp}">{escape(_first_sentence(why))}</div>'
    if card.attempt:
        words = capital(f"{display.standing(card.state)}: {card.price}")
        edge = f"1px solid {AMBER};background:rgba(217,154,0,.1)"
        more = f'<code style="display:block;{_ID}">{escape(card.attempt, 60)}</code>'
    elif card.state in display.NOT_OVER:
        words = capital(display.standing(card.state))
    elif not card.problem:
        words = "File gone"
    return (
        f'<div title="{about}" style="{room};border:{edge};border-radius:6px;font-size:11px;'
        f'line-height:1.4;overflow-wrap:break-word"><b>{escape(words)}</b>{more}</div>'
    )


_ID: Final = "font-size:11px;margin-top:2px;padding:0;background:none;color:inherit;user-select:all"


def _first_sentence(text: str) -> str:
    """Enough for a cell; the whole is its title and stands below the grid."""
    return re.split(r"(?<=[.!?:;])\s", clean(text), maxsplit=1)[0]


_DARK: Final = "#1c1c1c"
_BUTTON: Final = (
    "border:1px solid rgba(255,255,255,.35);border-radius:6px;background:transparent;color:#fff;"
    "min-width:36px;height:32px;padding:0 8px;font:16px/1 system-ui,sans-serif;cursor:pointer"
)
_DIALOG: Final = (
    f'<dialog tabindex="-1" aria-label="Large picture" data-lm-suppress-shortcuts="true" '
    'style="outline:none;border:none;'
    f"border-radius:10px;padding:0;max-width:96vw;max-height:96vh;overflow:hidden;color:#fff;"
    f'background:{_DARK};box-shadow:0 0 0 100vmax rgba(0,0,0,.6)">'
    '<div style="padding:12px;display:flex;flex-direction:column;gap:10px">'
    '<img alt="" style="display:block;max-width:100%;height:auto;margin:0 auto;border-radius:4px;'
    'cursor:zoom-out"><div style="display:flex;gap:8px;align-items:flex-start">'
    f'<div aria-live="polite" style="flex:1 1 0;min-width:0;{SMALL};overflow-wrap:break-word">'
    '<b dir="auto"></b><div dir="auto" style="opacity:.8"></div></div>'
    f'<button type="button" aria-label="Previous picture" style="{_BUTTON}">‹</button>'
    f'<button type="button" aria-label="Next picture" style="{_BUTTON}">›</button>'
    f'<button type="button" aria-label="Close" style="{_BUTTON}">×</button></div></div></dialog>'
)


def _viewer() -> str:
    """Code for the `onload` of the last picture: each opens large by mouse, Enter or Space.

    Arrow keys go to a neighbour, Escape closes. In a frame of a page, whose height is not what a
    reader sees of it, the picture opens where it was clicked. Words come from the pictures' own
    attributes, so that nothing foreign stands in the code.
    """
    return f"const box = `{_DIALOG}`;{_SCRIPT}"


_SCRIPT: Final = """
const root = this.closest('.nanobanana');
if (!root.querySelector('dialog')) {
const all = [...root.querySelectorAll('img')];
root.insertAdjacentHTML('beforeend', box);
const dialog = root.lastElementChild;
const large = dialog.querySelector('img');
const [back, on, close] = dialog.querySelectorAll('button');
const framed = window.self !== window.top;
let shown = 0;
const next = (from, key) => {
  if (key === 'ArrowLeft') return Math.max(0, from - 1);
  if (key === 'ArrowRight') return Math.min(all.length - 1, from + 1);
  if (key !== 'ArrowUp' && key !== 'ArrowDown') return -1;
  const way = key === 'ArrowDown' ? 1 : -1;
  const here = all[from].getBoundingClientRect();
  let best = from, least = Infinity;
  all.forEach((one, n) => {
    const there = one.getBoundingClientRect();
    const down = (there.bottom - here.bottom) * way;
    const far = down + 4 * Math.abs(there.left - here.left);
    if (down > 8 && far < least) { best = n; least = far; }
  });
  return best;
};
const focus = n => {
  all.forEach(one => { one.tabIndex = -1; });
  all[n].tabIndex = 0;
  all[n].focus();
};
const show = n => {
  shown = n;
  const one = all[n], ratio = one.naturalWidth / one.naturalHeight;
  const most = Math.max(one.naturalWidth, 768 * Math.min(1, ratio));
  large.src = one.src;
  large.alt = one.alt;
  large.style.width = framed ? `${most}px` : `min(92vw, (92vh - 90px) * ${ratio}, ${most}px)`;
  dialog.querySelector('b').textContent = one.alt;
  dialog.querySelector('b + div').textContent = one.title;
  [[back, n === 0], [on, n === all.length - 1]].forEach(([button, end]) => {
    button.setAttribute('aria-disabled', end);
    button.style.opacity = end ? 0.55 : 1;
  });
};
const open = n => {
  show(n);
  if (!framed) { dialog.showModal(); dialog.focus(); return; }
  const top = all[n].getBoundingClientRect().top - root.getBoundingClientRect().top;
  root.style.position = 'relative';
  Object.assign(dialog.style, {position: 'absolute', inset: '', margin: 0, left: 0, zIndex: 9,
    top: `${top}px`, maxWidth: '100%', maxHeight: 'none', boxShadow: '0 4px 24px rgba(0,0,0,.5)'});
  dialog.show();
  dialog.focus();
  root.style.minHeight = `${top + dialog.offsetHeight + 8}px`;
};
all.forEach((one, n) => {
  one.tabIndex = n ? -1 : 0;
  one.setAttribute('role', 'button');
  one.dataset.lmSuppressShortcuts = 'true';
  one.style.cursor = 'zoom-in';
  one.onmousedown = event => event.preventDefault();
  one.onclick = () => open(n);
  one.onkeydown = event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const to = next(n, event.key);
    if (event.key === 'Enter' || event.key === ' ') open(n);
    else if (to >= 0) focus(to);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
});
back.onclick = () => show(next(shown, 'ArrowLeft'));
on.onclick = () => show(next(shown, 'ArrowRight'));
close.onclick = large.onclick = () => dialog.close();
dialog.onclick = event => { if (event.target === dialog) dialog.close(); };
dialog.onkeydown = event => {
  event.stopPropagation();
  const to = next(shown, event.key);
  if (event.key === 'Escape') dialog.close();
  else if (to >= 0) show(to);
  else return;
  event.preventDefault();
};
dialog.onclose = () => {
  root.style.minHeight = '';
  if (all.includes(document.activeElement)) focus(shown);
};
}
"""
