"""The panel's pieces of HTML: tiles, thumbnails, details, prices, messages.

Plain values in, escaped HTML out; how it looks is in `panel/panel.css`. ipywidgets puts it into the
page as it is, with no sanitizer behind us, so that everything is escaped here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from .display import NOT_OVER, Card, money, standing
from .markup import base64_of, capital, dotted, escape
from .models import PRICE

_WORDS: Final = 'class="nbp-words" tabindex="0" role="region" aria-label="Prompt of the picture"'
"""A long prompt is scrolled, which the keyboard can do only where it can go."""
_DATED: Final = re.compile(r"^\d{8}-\d{6}-")
"""How the names of our own files begin; of a short label too little would be left."""


@dataclass(frozen=True)
class Tile:
    """One task of the gallery. `elapsed` and `expected` are seconds since it was sent; `note` is
    what is to say about one under way; `more` counts further pictures of the same task."""

    card: Card
    elapsed: float | None = None
    expected: float = 0.0
    note: str = ""
    more: int = 0


@dataclass(frozen=True)
class Details:
    """What is told about the chosen picture, beside its tile."""

    tile: Tile
    facts: Sequence[str] = ()
    parents: Sequence[Card] = field(default=())
    children: Sequence[Card] = field(default=())


def style_sheet(css: str) -> str:
    """The panel's style sheet; ours, so nothing in it is escaped."""
    return f"<style>{css}</style>"


def tile(one: Tile) -> str:
    """A picture, the progress of one that is being drawn, or why there is none."""
    marks = '<span class="nbp-star" title="starred">★</span>' if one.card.starred else ""
    marks += f'<span class="nbp-more">+{one.more}</span>' if one.more else ""
    return f'{shown(one)}{marks}<div class="nbp-caption">{escape(one.card.prompt, 120)}</div>'


def shown(one: Tile) -> str:
    """The picture itself, or what stands in its place."""
    card = one.card
    if card.preview:
        return _picture(card)
    return _under_way(one) if card.state in NOT_OVER else _gap(card)


def told(one: Details) -> str:
    """The chosen picture's prompt, its facts, and what it was made from and made into."""
    card = one.tile.card
    facts = "".join(f"<div>{escape(fact, 600)}</div>" for fact in one.facts if fact)
    place = f'<div class="nbp-place">{escape(card.place, 600)}</div>' if card.place else ""
    remarks = "".join(f"<div>{escape(remark, 600)}</div>" for remark in card.remarks)
    star = "★ " if card.starred else ""
    return (
        f"<div {_WORDS}>{star}{_lines(card.prompt)}</div>"
        f'<div class="nbp-quiet">{facts}{place}{remarks}</div>'
        f"{_family('Made from', one.parents)}{_family('Made into', one.children)}"
    )


def large(preview: bytes, prompt: str) -> str:
    """One picture as large as the panel allows."""
    return f'<img class="nbp-full" alt="{escape(prompt, 5000)}" src="{_data(preview)}">'


def references(looks: Sequence[tuple[bytes, str, str]]) -> str:
    """Pictures to go by, in their order: preview, label and warning of each."""
    figures, warnings = "", ""
    for number, (preview, label, warning) in enumerate(looks, 1):
        kind = "nbp-look nbp-warned" if warning else "nbp-look"
        figures += (
            f'<figure class="{kind}" title="{escape(dotted(label, warning), 600)}">'
            f"{_thumb(preview, label)}<figcaption>{number}. {escape(_DATED.sub('', label), 60)}"
            "</figcaption></figure>"
        )
        if warning:
            warnings += f'<div class="nbp-warning">{number}. {escape(warning, 300)}</div>'
    return figures + warnings


def price(count: int) -> str:
    """What a click on Generate costs, in US dollars."""
    sum_ = f"{count} × {money(PRICE)} = " if count > 1 else ""
    return f"{sum_}<b>{money(PRICE * count)}</b>"


def counter(length: int, most: int) -> str:
    """How long the prompt is, in characters, of how many."""
    if length > most:
        return f'<span class="nbp-bad">{length:,} of {most:,}: cut {length - most:,}</span>'
    return f"{length:,} of {most:,}"


def said(text: str, *, bad: bool = False) -> str:
    """One message at the control that it concerns."""
    if not text:
        return ""
    role, kind = ("alert", "bad") if bad else ("status", "good")
    return f'<div role="{role}" class="nbp-said nbp-{kind}">{escape(text, 600)}</div>'


def account(session: Decimal, balance: str, at_risk: Decimal, unknown: int, kind: str) -> str:
    """The money line: spent in this session, what is left, what is in doubt."""
    parts = [f"<span>Session <b>{money(session)}</b>{f' {escape(kind)}' if kind else ''}</span>"]
    if balance:
        parts.append(f"<span>Balance <b>{escape(balance)}</b></span>")
    if unknown:
        doubt = escape(f"{unknown} may have been billed ({money(at_risk)})")
        parts.append(f'<span class="nbp-doubt">{doubt}</span>')
    return "".join(parts)


def range_of(first: int, last: int, total: int) -> str:
    """Which of how many the gallery shows."""
    return f"{first}–{last} of {total:,}" if total else ""


def nothing(searching: bool) -> str:
    """What the gallery says while it is empty."""
    if searching:
        return '<div class="nbp-empty"><b>Nothing matches.</b>Other words find more.</div>'
    return (
        '<div class="nbp-empty"><b>No pictures yet</b>Describe one and press Generate. It appears '
        f"here in about 20 seconds, stays on your disk, and costs {money(PRICE)}.</div>"
    )


def clip(codes: Sequence[tuple[str, str]]) -> str:
    """Text to copy, each under its title: one click takes it whole."""
    return "".join(
        f'<div class="nbp-quiet">{escape(title)}</div>'
        f'<pre class="nbp-code" tabindex="0">{_code(text)}</pre>'
        for title, text in codes
    )


def heading(text: str) -> str:
    return f'<div class="nbp-heading">{escape(text)}</div>'


def _under_way(one: Tile) -> str:
    """State, elapsed and expected time of a task that is under way."""
    words = capital(standing(one.card.state))
    share, times, note = 0.0, "", ""
    if one.elapsed is not None:
        share = min(0.95, one.elapsed / one.expected) if one.expected else 0.5
        times = f'<span class="nbp-times">{_times(one.elapsed, one.expected)}</span>'
    if one.note:
        note = f'<span class="nbp-why">{escape(one.note, 200)}</span>'
    return (
        f'<div class="nbp-frame nbp-busy"><b>{escape(words)}</b>{times}'
        f'<div class="nbp-bar"><div style="width:{100 * share:.0f}%"></div></div>{note}</div>'
    )


def _times(elapsed: float, expected: float) -> str:
    """How long it has taken; what takes much longer than expected is told in minutes."""
    if elapsed < 100:
        return f"{elapsed:.0f} s of about {expected:.0f} s"
    return f"{elapsed / 60:.0f} min so far"


def _gap(card: Card) -> str:
    """Why there is no picture."""
    if not card.problem:
        return '<div class="nbp-frame"><b>The file is not there any more</b></div>'
    word = "May have been billed" if card.attempt else capital(standing(card.state))
    price = f" ({card.price})" if card.attempt else ""
    title = "No picture" if card.state == "failed" else f"{word}{price}"
    kind = "nbp-gap nbp-unsure" if card.attempt else "nbp-gap"
    return (
        f'<div class="nbp-frame {kind}"><b>{escape(title)}</b>'
        f'<span class="nbp-why">{escape(card.problem, 400)}</span></div>'
    )


def _family(title: str, cards: Sequence[Card]) -> str:
    if not cards:
        return ""
    thumbs = "".join(_thumb(card.preview, card.prompt) for card in cards)
    return f'<div class="nbp-family"><span>{escape(title)}</span>{thumbs}</div>'


def _picture(card: Card) -> str:
    return (
        f'<img alt="{escape(card.prompt, 5000)}" src="{_data(card.preview)}" '
        f'width="{card.width}" height="{card.height}">'
    )


def _thumb(preview: bytes, alt: str) -> str:
    if not preview:
        return f'<div class="nbp-thumb" role="img" aria-label="{escape(alt)}">?</div>'
    return f'<img class="nbp-thumb" alt="{escape(alt)}" src="{_data(preview)}">'


def _data(preview: bytes) -> str:
    return f"data:image/jpeg;base64,{base64_of(preview)}"


def _lines(text: str) -> str:
    """Text of several lines; the style sheet keeps them apart."""
    return "\n".join(escape(line, 5000) for line in text.splitlines())


def _code(text: str) -> str:
    """Code keeps its lines and blanks; no more of it is changed than HTML asks for.

    Half a surrogate pair becomes a question mark: with it, no message would leave the kernel.
    """
    sendable = text.encode("utf-8", "replace").decode()
    return sendable.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
