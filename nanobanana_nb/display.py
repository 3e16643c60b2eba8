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


@dataclass(frozen=True)
class Card:
    """One picture, or the failure that stands in its place, as values to show.

    `preview` is a small JPEG, `width` and `height` are those of the full picture in pixels.
    """

    prompt: str
    preview: bytes = b""
    width: int = 0
    height: int = 0
    facts: tuple[str, ...] = ()
    place: str = ""
    problem: str = ""

    @property
    def text(self) -> str:
        """The one-line form."""
        shown = f"“{clean(self.prompt, 60)}”"
        if self.problem:
            return f"{shown}: {clean(self.problem, 400)}"
        return " · ".join((shown, *self.facts, *([self.place] if self.place else [])))


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
        what = f"{ended} of {len(items)} done, {drawing} being drawn"
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
    """One quiet line, for what is over."""
    return {
        "text/html": f'<div {_ROOT} style="{_FAINT}">{_e(text)}</div>',
        "text/plain": clean(text, 600),
    }


def picture_card(card: Card, fallback: bytes = b"") -> Bundle:
    """One picture with its facts below; the failure, where there is one.

    `fallback` is a smaller JPEG, for front ends that show no HTML.
    """
    bundle: Bundle = {
        "text/html": f'<div {_ROOT} style="max-width:512px">{_figure(card, 512)}</div>',
        "text/plain": card.text,
    }
    if fallback:
        bundle["image/jpeg"] = _base64(fallback)
    return bundle


def gallery_card(cards: Sequence[Card], sheet: bytes, headline: str) -> Bundle:
    """Several pictures in a grid that folds to the width there is, with a line of totals."""
    side = 512 if len(cards) == 1 else 240
    cells = "".join(
        f'<div style="flex:0 1 {side}px;min-width:120px">{_figure(card, side)}</div>'
        for card in cards
    )
    body = (
        f'<div {_ROOT}><div style="{_SMALL};margin-bottom:8px">{_e(headline)}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:14px;align-items:flex-start">{cells}</div>'
        "</div>"
    )
    text = "\n".join((headline, *(f"  {n}. {card.text}" for n, card in enumerate(cards, 1))))
    bundle: Bundle = {"text/html": body, "text/plain": text}
    if sheet:
        bundle["image/jpeg"] = _base64(sheet)
    return bundle


def money(amount: Decimal) -> str:
    """US dollars."""
    return f"${amount:.2f}"


def _figure(card: Card, side: int) -> str:
    if card.problem:
        return (
            f'<div role="note" style="{_SMALL};border:{_EDGE};border-left:3px solid {_AMBER};'
            f'border-radius:6px;padding:8px 12px;overflow-wrap:anywhere">'
            f"<b>No picture</b><br>{_e(card.problem, 600)}"
            f'<div style="opacity:.72">{_e(card.prompt, 120)}</div></div>'
        )
    scale = min(1.0, side / max(card.width, card.height, 1))
    width, height = round(card.width * scale), round(card.height * scale)
    picture = (
        f'<img src="data:image/jpeg;base64,{_base64(card.preview)}" alt="{_e(card.prompt)}" '
        f'width="{width}" height="{height}" '
        'style="display:block;max-width:100%;height:auto;margin:0;border-radius:6px">'
        if card.preview
        else f'<div style="{_FAINT};border:{_EDGE};border-radius:6px;padding:24px 12px">'
        f"The file is not there any more.</div>"
    )
    facts = " · ".join(_e(fact) for fact in card.facts)
    place = (
        f'<div style="font-family:monospace;font-size:11px;overflow-wrap:anywhere">'
        f"{_e(card.place)}</div>"
        if card.place
        else ""
    )
    return (
        f'<figure style="margin:0">{picture}'
        f'<figcaption style="{_FAINT};margin-top:6px">{facts}{place}</figcaption></figure>'
    )


def _e(text: object, length: int = 300) -> str:
    return html.escape(clean(text, length), quote=True)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
