"""Plain values to mimebundles: what a cell shows and what the notebook file keeps.

The only place that writes HTML, and it escapes everything. Styles are inline and take their
colours from the page, so that a card looks right in light and dark, and in front ends that strip
style sheets. Every bundle has a text form.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from .protocol import clean

Bundle = dict[str, Any]

_ROOT: Final = 'class="nanobanana tex2jax_ignore mathjax_ignore"'
_SMALL: Final = "font-size:12px;line-height:1.6"
_FAINT: Final = f"{_SMALL};opacity:.72"
_EDGE: Final = "1px solid rgba(128,128,128,.35)"
_AMBER: Final = "#d99a00"
_SIDE: Final = 196
"""Pixels of a picture in a gallery: four fit side by side beside Lab's file browser."""


@dataclass(frozen=True)
class Card:
    """One picture, or the failure that stands in its place, as values to show.

    `preview` is a small JPEG, `width` and `height` are those of the full picture in pixels.
    `facts` may be shared by the pictures of a gallery; `price` and `file` are its own.
    """

    prompt: str
    preview: bytes = b""
    width: int = 0
    height: int = 0
    facts: tuple[str, ...] = ()
    price: str = ""
    folder: str = ""
    file: str = ""
    problem: str = ""

    @property
    def place(self) -> str:
        return f"{self.folder}/{self.file}" if self.folder else self.file

    @property
    def text(self) -> str:
        """The one-line form."""
        shown = f"“{clean(self.prompt, 60)}”"
        if self.problem:
            return f"{shown}: {clean(self.problem, 400)}"
        return _dotted(shown, *self.facts, self.price, self.place)


@dataclass(frozen=True)
class Item:
    """One task as a waiting cell sees it. `state` is the ledger's word."""

    state: str = "queued"
    id: str = ""
    task_id: str = ""
    note: str = ""


@dataclass(frozen=True)
class Progress:
    """All tasks that a cell waits for. `begun` is monotonic, `expected` in seconds."""

    items: tuple[Item, ...]
    begun: float
    expected: float
    price: Decimal
    money: str = ""
    """Said behind the price when it is not real money."""


_DOING: Final = {
    "queued": "waiting its turn",
    "sending": "sending",
    "submitted": "being drawn",
    "ready": "fetching",
    "fetching": "fetching",
    "stored": "done",
}
_ENDED: Final = ("stored", "rejected", "failed", "unknown", "expired", "abandoned", "parked")


@dataclass(frozen=True)
class Summary:
    """A progress at one moment, in words. `fraction` is 0 to 1."""

    what: str
    facts: tuple[str, ...] = field(default=())
    fraction: float = 0.0

    @property
    def text(self) -> str:
        return " · ".join((self.what, *self.facts))


def summarise(progress: Progress, now: float) -> Summary:
    """What is going on: state, elapsed and expected time, price."""
    elapsed = max(0.0, now - progress.begun)
    items = progress.items
    states = [item.state for item in items]
    if len(items) == 1:
        what = _DOING.get(states[0], states[0]).capitalize()
    else:
        ended = sum(state in _ENDED for state in states)
        drawing = sum(state in ("submitted", "ready", "fetching") for state in states)
        what = f"{ended} of {len(items)} done" + (f", {drawing} being drawn" if drawing else "")
    notes = dict.fromkeys(item.note for item in items if item.note)
    facts = (
        f"{elapsed:.0f} s of about {progress.expected:.0f} s",
        f"{money(progress.price)}{progress.money}",
        *notes,
    )
    # Time tells most of it; the last tenth is kept for what takes longer than expected.
    by_time = min(0.9, 0.9 * elapsed / progress.expected) if progress.expected else 0.9
    by_count = sum(state in _ENDED for state in states) / len(items) if items else 1.0
    return Summary(what, facts, max(by_time, by_count))


def progress_card(summary: Summary) -> Bundle:
    """The progress of a waiting cell: a line and a bar."""
    percent = round(100 * summary.fraction)
    bar = (
        f'<div role="progressbar" aria-label="{_e(summary.what)}" aria-valuenow="{percent}" '
        'aria-valuemin="0" aria-valuemax="100" style="height:4px;border-radius:2px;'
        'background:rgba(128,128,128,.25);margin-top:6px">'
        f'<div style="height:4px;border-radius:2px;width:{percent}%;background:{_AMBER}"></div>'
        "</div>"
    )
    line = f"<b>{_e(summary.what)}</b>" + "".join(f" · {_e(fact)}" for fact in summary.facts)
    body = f'<div {_ROOT} style="max-width:512px;{_SMALL}">{line}{bar}</div>'
    return {"text/html": body, "text/plain": summary.text}


NOTHING: Final[Bundle] = {"text/html": "", "text/plain": ""}
"""What takes the place of a progress that is over: a display cannot be taken away."""


def line(text: str) -> Bundle:
    """One quiet line."""
    return {
        "text/html": f'<div {_ROOT} style="{_FAINT}">{_e(text, 600)}</div>',
        "text/plain": clean(text, 600),
    }


def notice(text: str) -> Bundle:
    """A line that should be seen once."""
    style = f"{_SMALL};border-left:3px solid {_AMBER};padding:2px 10px;margin:4px 0;max-width:680px"
    return {
        "text/html": f'<div {_ROOT} role="note" style="{style}">{_e(text, 600)}</div>',
        "text/plain": clean(text, 600),
    }


def picture_card(card: Card, fallback: bytes = b"") -> Bundle:
    """One picture with its prompt and facts below; the failure, where there is one.

    `fallback` is a smaller JPEG, for front ends that show no HTML.
    """
    if card.problem:
        body = _failure(card)
    else:
        mono = "font-family:monospace;font-size:11px;overflow-wrap:break-word"
        caption = (
            f"<div>{_e(card.prompt, 160)}</div>"
            f'<div style="opacity:.72">{_e(_dotted(*card.facts, card.price))}</div>'
            f'<div style="opacity:.72;{mono}">{_e(card.place)}</div>'
        )
        body = _figure(card, 512, caption)
    bundle: Bundle = {
        "text/html": f'<div {_ROOT} style="max-width:512px">{body}</div>',
        "text/plain": card.text,
    }
    if fallback:
        bundle["image/jpeg"] = _base64(fallback)
    return bundle


def gallery_card(cards: Sequence[Card], headline: str, price: str, sheet: bytes) -> Bundle:
    """Several pictures in a grid that folds to the width there is; what they share is said once.

    `sheet` is one JPEG of them all, for front ends that show no HTML.
    """
    good = [card for card in cards if not card.problem]
    shared = [f for f in (good[0].facts if good else ()) if all(f in c.facts for c in good)]
    folders = {card.folder for card in good}
    folder = folders.pop() if len(folders) == 1 else ""
    cells = "".join(
        f'<div style="flex:0 1 {_SIDE}px;min-width:120px">{_cell(number, card, shared)}</div>'
        for number, card in enumerate(cards)
    )
    about = _e(_dotted(*shared, price, folder))
    body = (
        f'<div {_ROOT}><div style="{_SMALL};margin-bottom:6px;overflow-wrap:break-word">'
        f'<b>{_e(headline)}</b> <span style="opacity:.72">· {about}</span></div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start">{cells}</div>'
        "</div>"
    )
    lines = (f"  [{number}] {card.text}" for number, card in enumerate(cards))
    bundle: Bundle = {
        "text/html": body,
        "text/plain": "\n".join((_dotted(headline, price), *lines)),
    }
    if sheet:
        bundle["image/jpeg"] = _base64(sheet)
    return bundle


def money(amount: Decimal) -> str:
    """US dollars."""
    return f"${amount:.2f}"


def _cell(number: int, card: Card, shared: Sequence[str]) -> str:
    """A picture of a gallery, with its index in Python and what is its own."""
    if card.problem:
        return _failure(card, f"[{number}] ")
    own = _dotted(*(fact for fact in card.facts if fact not in shared))
    return _figure(card, _SIDE, f'<b>[{number}]</b> <span style="opacity:.72">{_e(own)}</span>')


def _failure(card: Card, index: str = "") -> str:
    return (
        f'<div role="note" style="{_SMALL};border:{_EDGE};border-left:3px solid {_AMBER};'
        f'border-radius:6px;padding:8px 12px;overflow-wrap:break-word">'
        f"<b>{index}No picture</b><br>{_e(card.problem, 600)}"
        f'<div style="opacity:.72">{_e(card.prompt, 120)}</div></div>'
    )


def _figure(card: Card, side: int, caption: str) -> str:
    """The preview in its ratio, or a word where its file is gone; `caption` is HTML."""
    scale = min(1.0, side / max(card.width, card.height, 1))
    width, height = round(card.width * scale), round(card.height * scale)
    picture = (
        f'<img src="data:image/jpeg;base64,{_base64(card.preview)}" alt="{_e(card.prompt)}" '
        f'title="{_e(card.place)}" width="{width}" height="{height}" '
        'style="display:block;max-width:100%;height:auto;margin:0;border-radius:6px">'
        if card.preview
        else f'<div style="{_FAINT};border:{_EDGE};border-radius:6px;padding:24px 12px">'
        "The file is not there any more.</div>"
    )
    return (
        f'<figure style="margin:0">{picture}'
        f'<figcaption style="{_SMALL};margin-top:4px">{caption}</figcaption></figure>'
    )


def _dotted(*parts: str) -> str:
    """The parts that are not empty, with dots between them."""
    return " · ".join(part for part in parts if part)


def _e(text: object, length: int = 300) -> str:
    return html.escape(clean(text, length), quote=True)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
