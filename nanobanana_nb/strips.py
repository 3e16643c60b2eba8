"""Strips of small pictures: what a picture was drawn from and led to, and what styles look like.

Plain values to mimebundles, as in `display`; everything is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .display import NOT_OVER, Bundle, Card, standing
from .markup import AMBER, EDGE, FAINT, ROOT, SMALL, base64_of, capital, dotted, escape, image
from .protocol import clean

ELSEWHERE: Final = "elsewhere"
"""The state of a card that stands for a picture which is not of this home; its prompt is a name."""
_FRAME: Final = 112
"""Pixels that a picture of a lineage has."""
_SAMPLE: Final = 84
"""The same of a style."""
_CLAMP: Final = "display:-webkit-box;-webkit-box-orient:vertical;overflow:hidden"
_BARE: Final = "list-style:none;margin:0;padding:0"
_MONO: Final = "font-family:monospace;font-size:12px"


@dataclass(frozen=True)
class Group:
    """Pictures that one picture was drawn from, in order; `into` is its prompt, where that has to
    be said because several were drawn in that step."""

    cards: Sequence[Card]
    into: str = ""


@dataclass(frozen=True)
class Sample:
    """A style as it is shown: its name, what it says, and pictures drawn in it."""

    name: str
    fragment: str
    facts: tuple[str, ...] = ()
    about: str = ""
    cards: Sequence[Card] = ()


def lineage_card(
    steps: Sequence[Sequence[Group]],
    itself: Card,
    children: Sequence[Card],
    sheet: bytes = b"",
    *,
    before: bool = False,
    more: int = 0,
) -> Bundle:
    """From the first pictures to this one, which is marked, and on to what was drawn from it.

    `before` says that there are still earlier ones, `more` how many children are left out; `sheet`
    is one JPEG of all, for front ends that show no HTML.
    """
    items = [_beginning()] if before else []
    items += [_step("".join(map(_group, step)), bool(number)) for number, step in enumerate(steps)]
    items.append(_step(_figure(itself, marked=True), bool(items)))
    if children:
        left_out = f'<div style="{FAINT}">and {more} more</div>' if more else ""
        items.append(_step("".join(map(_figure, children)) + left_out, arrow=True))
    fold = "display:flex;flex-wrap:wrap;gap:12px 8px;align-items:flex-start"
    bundle: Bundle = {
        "text/html": f'<div {ROOT}><ol role="list" aria-label="Lineage" style="{_BARE};{fold}">'
        f"{''.join(items)}</ol></div>",
        "text/plain": lineage_text(steps, itself, children, before=before, more=more),
    }
    if sheet:
        bundle["image/jpeg"] = base64_of(sheet)
    return bundle


def lineage_text(
    steps: Sequence[Sequence[Group]],
    itself: Card,
    children: Sequence[Card],
    *,
    before: bool = False,
    more: int = 0,
) -> str:
    """The same as one line, this one in brackets: `“a fox” -> [“at sunrise”] -> “with an owl”`."""
    parts = ["…"] if before else []
    parts += ["; ".join(map(_group_text, step)) for step in steps]
    parts.append(f"[{_words(itself)}]")
    if children:
        left_out = [f"and {more} more"] if more else []
        parts.append(", ".join([*map(_words, children), *left_out]))
    return " -> ".join(parts)


def style_card(
    samples: Sequence[Sample], place: str, example: Sequence[str], sheet: bytes = b""
) -> Bundle:
    """A list of styles with what was drawn in them; `place` is the file for more of them, and
    `example` the lines of one."""
    rows = "".join(map(_row, samples))
    lines = "".join(f'<div style="{_MONO}">{escape(line)}</div>' for line in example)
    bundle: Bundle = {
        "text/html": f'<div {ROOT} style="max-width:760px">'
        f'<ul role="list" aria-label="Styles" style="{_BARE}">{rows}</ul>'
        f'<div style="{SMALL};border-top:{EDGE};padding-top:8px;overflow-wrap:anywhere">'
        f'Add your own in <span style="{_MONO}">{escape(place, 600)}</span>'
        f'<div style="margin-top:4px;user-select:all">{lines}</div></div></div>',
        "text/plain": style_text(samples, place, example),
    }
    if sheet:
        bundle["image/jpeg"] = base64_of(sheet)
    return bundle


def style_text(samples: Sequence[Sample], place: str, example: Sequence[str]) -> str:
    """The same in text."""
    width = max((len(clean(sample.name)) for sample in samples), default=0)
    lines = [f"{clean(one.name):<{width}}  {_sample_text(one)}" for one in samples]
    return "\n".join(
        (*lines, f"Add your own in {clean(place, 600)}", *(f"  {clean(e)}" for e in example))
    )


def _beginning() -> str:
    """What stands in the place of still earlier ones."""
    return f'<li style="margin:0;line-height:{_FRAME}px" title="still earlier ones">…</li>'


def _step(inner: str, arrow: bool) -> str:
    """One step, with an arrow before it, unless it is the first."""
    pointer = (
        f'<span aria-hidden="true" style="line-height:{_FRAME}px;opacity:.72">→</span>'
        if arrow
        else ""
    )
    inside = "display:flex;flex-wrap:wrap;gap:8px;min-width:0"
    return (
        f'<li style="display:flex;gap:8px;margin:0;max-width:100%">{pointer}'
        f'<div style="{inside}">{inner}</div></li>'
    )


def _group(group: Group) -> str:
    """The pictures that one was drawn from, with a plus between them."""
    plus = f'<span style="line-height:{_FRAME}px;opacity:.72">+</span>'
    shown = plus.join(map(_figure, group.cards))
    if not group.into:
        return shown
    row = f'<div style="display:flex;flex-wrap:wrap;gap:8px">{shown}</div>'
    note = f'<div style="{FAINT};max-width:240px">for “{escape(group.into, 40)}”</div>'
    return f"<div>{row}{note}</div>"


def _figure(card: Card, marked: bool = False) -> str:
    """A picture of a lineage in a frame of its own, its prompt below."""
    ring = f";outline:3px solid {AMBER};outline-offset:-3px" if marked else ""
    box = (
        f"display:flex;align-items:center;justify-content:center;width:{_FRAME}px;"
        f"height:{_FRAME}px;overflow:hidden;border-radius:6px;background:rgba(128,128,128,.12)"
    )
    here = '<b style="display:block">This one</b>' if marked else ""
    clamp = f"{SMALL};line-height:1.4;margin-top:6px;overflow-wrap:anywhere"
    return (
        f'<figure style="margin:0;width:{_FRAME}px"><div style="{box}{ring}">'
        f'{_inside(card)}</div><figcaption style="{clamp}">{here}'
        f'<span style="{_CLAMP};-webkit-line-clamp:3" title="{escape(card.prompt)}">'
        f"{escape(card.prompt, 160)}</span></figcaption></figure>"
    )


def _inside(card: Card) -> str:
    """The picture, or in words why there is none."""
    if card.preview:
        return image(card.preview, card.prompt, card.width, card.height, _FRAME, radius=0)
    why = escape(card.problem, 160)
    words = "font-size:11px;line-height:1.3;padding:4px;text-align:center;overflow-wrap:anywhere"
    note = f'<span style="{_CLAMP};-webkit-line-clamp:4">{why}</span>' if why else ""
    return f'<div style="{words}" title="{why}"><b>{escape(_state(card))}</b>{note}</div>'


def _state(card: Card) -> str:
    """Why there is no picture, in few words."""
    if card.state == ELSEWHERE:
        return "From elsewhere"
    if card.attempt or card.state in NOT_OVER:
        return capital(standing(card.state))
    return "No picture" if card.problem else "File gone"


def _group_text(group: Group) -> str:
    shown = " + ".join(map(_words, group.cards))
    return f"{shown} (for “{clean(group.into, 40)}”)" if group.into else shown


def _words(card: Card) -> str:
    """A picture of a lineage in text."""
    if card.state == ELSEWHERE:
        return clean(card.prompt, 60)
    state = _state(card).lower() if card.problem else ""
    return f"“{clean(card.prompt, 60)}”{f' ({state})' if state else ''}"


def _row(sample: Sample) -> str:
    """A style: name, what it says, its settings, and beside it its pictures."""
    pictures = "".join(
        f'<div style="width:{_SAMPLE}px;display:flex;align-items:center">'
        f"{image(card.preview, card.prompt, card.width, card.height, _SAMPLE, radius=4)}</div>"
        for card in sample.cards
    )
    about = f'<span style="{FAINT}"> {escape(sample.about, 160)}</span>' if sample.about else ""
    facts = escape(dotted(*sample.facts))
    return (
        f'<li style="display:flex;flex-wrap:wrap;gap:6px 16px;margin:0;padding:9px 0;'
        f'border-top:{EDGE}"><div style="flex:1 1 300px;min-width:0;overflow-wrap:anywhere">'
        f'<div><b style="font-size:13px">{escape(sample.name, 60)}</b>{about}</div>'
        f'<div style="{SMALL}">{escape(sample.fragment, 400)}</div>'
        f'{f"""<div style="{FAINT}">{facts}</div>""" if facts else ""}'
        f"{'' if pictures else _try(sample.name)}</div>"
        f'{f"""<div style="display:flex;gap:6px">{pictures}</div>""" if pictures else ""}</li>'
    )


def _try(name: str) -> str:
    """What is said where there is no picture yet."""
    code = f'<code style="font-size:12px;user-select:all">{escape(_how(name))}</code>'
    return f'<div style="{FAINT}">No picture yet: {code}</div>'


def _how(name: str) -> str:
    return f"%nanobanana --style {name} a fox"


def _sample_text(sample: Sample) -> str:
    count = len(sample.cards)
    drawn = f"{count} {'picture' if count == 1 else 'pictures'}" if count else ""
    return dotted(sample.fragment, *sample.facts, sample.about, drawn)
