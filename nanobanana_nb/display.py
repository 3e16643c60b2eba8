"""Plain values to mimebundles: what a cell shows and what the notebook file keeps.

HTML is written here and beside `markup` only, and everything is escaped. Styles are inline and
take their colours from the page. Every bundle has a text form.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from .markup import (
    AMBER,
    EDGE,
    FAINT,
    ROOT,
    SMALL,
    add_slider,
    base64_of,
    capital,
    dotted,
    escape,
    fitted,
    image,
)
from .protocol import clean

Bundle = dict[str, Any]

_FRAME: Final = f"border:{EDGE};border-left:3px solid {AMBER};border-radius:6px"
_AT_RISK: Final = f"{_FRAME};background:rgba(217,154,0,.1)"
_FEW: Final = 20
"""Tasks of which each may have something to say."""
_LONG: Final = 90.0
"""Seconds from which on the time of day is told."""
_STRIP: Final = 720
_SIDE: Final = 196
"""Pixels of a picture in a gallery: four fit side by side beside Lab's file browser."""
_THUMB: Final = 96
"""Pixels of a picture in a list."""
_COMPARED: Final = 512
"""Pixels of a picture in a comparison, where there is room."""
_COLUMN: Final = 234
"""Pixels that each of two needs in order to stand beside the other."""


@dataclass(frozen=True)
class Card:
    """One picture, or the failure that stands in its place, as values to show.

    `preview` is a small JPEG, `width` and `height` are those of the full picture in pixels.
    `name` is what it is called in a batch, where that is not its number.
    `facts` may be shared by the pictures of a gallery; `price` and `file` are its own. `state` is
    the ledger's word; `attempt` is the id of a submit that may have been billed `price`.
    `remarks` are quiet lines below the rest. `task` is the API's id, where it may be needed once
    the file is gone.
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
    state: str = "stored"
    attempt: str = ""
    starred: bool = False
    remarks: tuple[str, ...] = ()
    name: str = ""
    task: str = ""

    @property
    def place(self) -> str:
        return f"{self.folder}/{self.file}" if self.folder else self.file

    @property
    def text(self) -> str:
        """The one-line form."""
        shown = f"“{clean(self.prompt, 60)}”"
        if self.attempt:
            why = clean(self.problem, 400)
            return dotted(shown, _title(self), *self.facts, why, *self.remarks, *_codes(self))
        if self.problem:
            what = "" if self.state == "failed" else standing(self.state)
            return f"{dotted(shown, what)}: {dotted(clean(self.problem, 400), *self.remarks)}"
        star = "★" if self.starred else ""
        task = tasks((self.task,))
        return dotted(shown, star, *self.facts, self.price, self.place, *self.remarks, task)


@dataclass(frozen=True)
class Item:
    """One task as a waiting cell sees it. `state` is the ledger's word, `file` its picture."""

    state: str = "queued"
    id: str = ""
    task_id: str = ""
    note: str = ""
    file: str = ""


@dataclass(frozen=True)
class Progress:
    """All tasks that a cell waits for, at one moment; `begun` and `sent`, the latest submit, are
    monotonic.

    `expected` is seconds for one picture; `price` is US dollars for all, `spent` what of it was
    billed so far, `money` is said behind them when it is not real money. `counts` is how many are
    in each state, `landed` are the numbers of the latest pictures, `accepted` the API's ids of the
    tasks that it has taken. `items` goes on changing.
    """

    items: Sequence[Item]
    begun: float
    expected: float
    price: Decimal
    money: str = ""
    spent: Decimal = Decimal(0)
    sent: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)
    landed: tuple[int, ...] = ()
    accepted: tuple[str, ...] = ()
    preview: Callable[[Path], bytes] | None = field(default=None, compare=False)

    def count(self, *states: str) -> int:
        """How many are in one of these states."""
        return sum(self.counts.get(state, 0) for state in states)


_DOING: Final = {
    "queued": "waiting its turn",
    "sending": "sending",
    "submitted": "being drawn",
    "ready": "fetching",
    "fetching": "fetching",
    "stored": "done",
}
_ENDED: Final = ("stored", "rejected", "failed", "unknown", "expired", "abandoned", "parked")
_STANDING: Final = {
    "stored": "not there any more",
    "parked": "still being drawn",
    "unknown": "may have been billed",
    "ready": "not fetched yet",
    "expired": "paid for, without a picture",
    "rejected": "refused, not billed",
    "abandoned": "dropped",
}
NOT_OVER: Final = ("queued", "sending", "submitted", "parked", "ready", "fetching")


@dataclass(frozen=True)
class Summary:
    """A progress at one moment, in words. `fraction` is 0 to 1, `accepted` are the API's ids."""

    what: str
    facts: tuple[str, ...] = field(default=())
    fraction: float = 0.0
    accepted: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return dotted(self.what, *self.facts)


def summarise(progress: Progress, now: float) -> Summary:
    """What is going on: how many are done, elapsed and expected time, price."""
    elapsed = max(0.0, now - progress.begun)
    left = _left(progress, now)
    ended = progress.count(*_ENDED)
    if len(progress.items) == 1:
        state = progress.items[0].state
        what = _DOING.get(state, state).capitalize()
        facts = [f"{elapsed:.0f} s of about {elapsed + left:.0f} s", money(progress.price)]
    else:
        drawing = progress.count("submitted", "ready", "fetching")
        failed = progress.count("rejected", "failed", "expired")
        doubtful = progress.count("unknown")
        told = ((drawing, "being drawn"), (failed, "failed"), (doubtful, "in doubt"))
        counted = [f"{number:,} {words}" for number, words in told if number]
        what = ", ".join((f"{ended:,} of {len(progress.items):,} done", *counted))
        spent = f"{money(progress.spent)} of {money(progress.price)}"
        facts = [f"{duration(elapsed)}, about {duration(left)} left{_until(left)}", spent]
    facts[-1] += progress.money
    if len(progress.items) <= _FEW:
        facts += dict.fromkeys(item.note for item in progress.items if item.note)
    # Time tells most of it; the last tenth is kept for what takes longer than expected.
    by_time = min(0.9, 0.9 * elapsed / (elapsed + left)) if elapsed + left else 0.9
    by_count = ended / len(progress.items) if progress.items else 1.0
    return Summary(what, tuple(facts), max(by_time, by_count), progress.accepted)


def _left(progress: Progress, now: float) -> float:
    """Seconds until all are done: what waits takes the places of what is being drawn."""
    waiting = progress.count("queued", "sending")
    drawing = progress.count("submitted", "ready", "fetching")
    if waiting:
        rounds = waiting / drawing if drawing else 0.0
        return progress.expected * (rounds + 1)
    latest = progress.sent or progress.begun
    return max(0.0, latest + progress.expected - now) if drawing else 0.0


def duration(seconds: float) -> str:
    """`45 s`, `4 min 10 s`, `1 h 12 min`"""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _until(seconds: float) -> str:
    """The time of day by then, where that is worth knowing."""
    if seconds < _LONG:
        return ""
    return time.strftime(", until %H:%M", time.localtime(time.time() + seconds))


def progress_card(summary: Summary, tiles: Sequence[tuple[int, bytes]] = ()) -> Bundle:
    """The progress of a waiting cell: a line, a bar, and the latest pictures by their numbers.

    The ids stand there from the first moment: a notebook keeps what it shows, and a machine that
    is lent may end before the pictures come.
    """
    percent = round(100 * summary.fraction)
    bar = (
        f'<div role="progressbar" aria-label="{escape(summary.what)}" aria-valuenow="{percent}" '
        'aria-valuemin="0" aria-valuemax="100" style="height:4px;border-radius:2px;'
        'background:rgba(128,128,128,.25);margin-top:6px">'
        f'<div style="height:4px;border-radius:2px;width:{percent}%;background:{AMBER}"></div>'
        "</div>"
    )
    line = f"<b>{escape(summary.what)}</b>" + "".join(
        f" · {escape(fact)}" for fact in summary.facts
    )
    landed = "".join(_tile(number, preview) for number, preview in tiles)
    strip = f'<div style="display:flex;flex-wrap:wrap;gap:6px;margin-top:8px">{landed}</div>'
    body = (
        f'<div {ROOT} style="max-width:{_STRIP if tiles else 512}px;{SMALL}">{line}{bar}'
        f"{strip if tiles else ''}{tasks_line(summary.accepted)}</div>"
    )
    text = " · ".join(filter(None, (summary.text, tasks(summary.accepted))))
    return {"text/html": body, "text/plain": text}


def tasks(ids: Sequence[str]) -> str:
    """`task a1b2`, or `tasks a1b2, c3d4`."""
    named = ", ".join(clean(id_, 200) for id_ in ids if id_)
    return f"task{'s' if len(ids) > 1 else ''} {named}" if named else ""


def tasks_line(ids: Sequence[str], margin: int = 6) -> str:
    """The ids of tasks, to copy, as HTML: several fold away."""
    size = f"font-family:monospace;font-size:11px;margin-top:{margin}px"
    mono = f"{FAINT};{size};overflow-wrap:anywhere"
    if len(ids) > 1:
        # The classic Notebook takes the triangle away that says that it opens.
        top = f'<summary style="display:list-item;cursor:pointer">{len(ids)} task ids</summary>'
        body = f"<details>{top}{escape(tasks(ids), 100_000)}</details>"
        return f'<div style="{mono}">{body}</div>'
    return f'<div style="{mono}">{escape(tasks(ids), 300)}</div>' if ids else ""


def _tile(number: int, preview: bytes) -> str:
    """A picture that has just come, with its place in the result."""
    frame = "width:84px;height:84px;object-fit:cover;border-radius:4px;display:block"
    return (
        '<figure style="margin:0;text-align:center">'
        f'<img src="data:image/jpeg;base64,{base64_of(preview)}" alt="picture {number}" '
        f'style="{frame}"><figcaption style="{FAINT};font-size:11px">[{number}]</figcaption>'
        "</figure>"
    )


NOTHING: Final[Bundle] = {"text/html": "", "text/plain": ""}
"""What takes the place of a progress that is over: a display cannot be taken away."""


def standing(state: str) -> str:
    """A state of the ledger in words, for a task without a picture."""
    return _STANDING.get(state) or _DOING.get(state) or state


def line(text: str) -> Bundle:
    """One quiet line."""
    return {
        "text/html": f'<div {ROOT} style="{FAINT}">{escape(text, 600)}</div>',
        "text/plain": clean(text, 600),
    }


def notice(text: str) -> Bundle:
    """A line that should be seen once."""
    style = f"{SMALL};border-left:3px solid {AMBER};padding:2px 10px;margin:4px 0;max-width:680px"
    return {
        "text/html": f'<div {ROOT} role="note" style="{style}">{escape(text, 600)}</div>',
        "text/plain": clean(text, 600),
    }


def picture_card(card: Card, fallback: bytes = b"") -> Bundle:
    """One picture with its prompt and facts below; the failure, where there is one.

    `fallback` is a smaller JPEG, for front ends that show no HTML.
    """
    text, width = card.text, 512
    if card.attempt:
        body, width = _in_doubt(card), 640
        ways = [f"  {clean(words)}: {code}" for words, code in _ways(card)]
        facts = dotted(_title(card), *card.facts)
        why = (card.problem, f"“{clean(card.prompt, 160)}”", *card.remarks)
        text = "\n".join((facts, *(f"  {clean(line, 400)}" for line in why), *ways))
    elif card.problem:
        body = _failure([card])
    else:
        mono = "font-family:monospace;font-size:11px;overflow-wrap:break-word"
        caption = (
            f"<div>{_star(card)}{escape(card.prompt, 160)}</div>"
            f'<div style="opacity:.72">{escape(dotted(*card.facts, card.price))}</div>'
            f'<div style="opacity:.72;{mono}">{escape(card.place)}</div>{_quiet(card.remarks)}'
            f"{tasks_line(list(filter(None, [card.task])), margin=0)}"
        )
        body = _figure(card, 512, caption)
    bundle: Bundle = {
        "text/html": f'<div {ROOT} style="max-width:{width}px">{body}</div>',
        "text/plain": text,
    }
    if fallback:
        bundle["image/jpeg"] = base64_of(fallback)
    return bundle


def gallery_card(
    cards: Sequence[tuple[int, Card]],
    headline: str,
    price: str,
    sheet: bytes,
    more: str = "",
    tasks: Sequence[str] = (),
) -> Bundle:
    """Several pictures in a grid that folds to the width there is; what they share is said once.

    Each comes with its index in Python. What gave no picture stands below the grid, and what
    failed for the same reason stands there once. `sheet` is one JPEG of them all, for front ends
    that show no HTML; `more` says what is left out, and `tasks` are the ids of that, too.
    """
    shared, folder = in_common(cards)
    cells = "".join(
        f'<div style="min-width:0;max-width:{_SIDE}px;overflow-wrap:anywhere">'
        f"{_cell(number, card, shared)}</div>"
        for number, card in cards
        if not card.problem
    )
    columns = "grid-template-columns:repeat(auto-fill,minmax(min(186px,45%),1fr))"
    grid = f'<div style="display:grid;{columns};gap:12px;align-items:start">{cells}</div>'
    top = top_line(headline, dotted(*shared, price, folder))
    left_out = _quiet([more] if more else [], margin=8)
    body = f"{top}{grid if cells else ''}{left_out}{notes(cards)}{task_ids(cards, tasks)}"
    bundle: Bundle = {
        "text/html": f"<div {ROOT}>{body}</div>",
        "text/plain": "\n".join((dotted(headline, price), *gallery_lines(cards, more))),
    }
    if sheet:
        bundle["image/jpeg"] = base64_of(sheet)
    return bundle


def in_common(cards: Sequence[tuple[int, Card]]) -> tuple[list[str], str]:
    """The facts and the folder that all pictures share; the folder is empty if they do not."""
    good = [card for _, card in cards if not card.problem]
    shared = [f for f in (good[0].facts if good else ()) if all(f in c.facts for c in good)]
    folders = {card.folder for card in good}
    return shared, folders.pop() if len(folders) == 1 else ""


def notes(cards: Sequence[tuple[int, Card]]) -> str:
    """What stands below several pictures, as HTML: why some are missing, each reason once."""
    return "".join(
        f'<div style="max-width:640px;margin-top:8px">{_gap(numbers, alike)}</div>'
        for numbers, alike in _alike(cards)
    )


def task_ids(cards: Sequence[tuple[int, Card]], more: Sequence[str] = ()) -> str:
    """What stands at the end of several pictures, as HTML: whose tasks they are, once each."""
    ids = (*(card.task for _, card in cards), *more)
    return tasks_line([*dict.fromkeys(filter(None, ids))])


def widget_view(model_id: str, without: str) -> Bundle:
    """A live widget; `without` is said where there is no kernel behind it, or no widgets at all."""
    view = {"version_major": 2, "version_minor": 0, "model_id": model_id}
    return {"application/vnd.jupyter.widget-view+json": view, **line(without)}


def stacked(bundles: Sequence[Bundle]) -> Bundle:
    """Several outputs as one, below each other; the picture is that of the first."""
    joined: Bundle = {
        kind: separator.join(bundle[kind] for bundle in bundles)
        for kind, separator in (
            ("text/html", '<div style="height:12px"></div>'),
            ("text/plain", "\n"),
        )
    }
    fallback = next((b["image/jpeg"] for b in bundles if "image/jpeg" in b), None)
    return joined if fallback is None else {**joined, "image/jpeg": fallback}


def gallery_lines(cards: Sequence[tuple[int, Card]], more: str = "") -> list[str]:
    """A line of text for each picture, and one for all that failed for the same reason."""
    good = ((number, card) for number, card in cards if not card.problem)
    texts = [(number, f"  {_label(number, card)} {card.text}") for number, card in good]
    for numbers, alike in _alike(cards):
        texts.append((numbers[0], f"  {_gap_text(numbers, alike)}"))
    lines = [text for _, text in sorted(texts, key=lambda pair: pair[0])]
    return [*lines, *([f"  {clean(more)}"] if more else [])]


def history_card(
    cards: Sequence[Card], headline: str, about: str, more: str, sheet: bytes
) -> Bundle:
    """A list with small pictures, each with its index; `more` says what is left out.

    The first fact of each is when it was drawn.
    """
    rows = "".join(_row(number, card) for number, card in enumerate(cards))
    bare = "list-style:none;margin:0;padding:0"
    body = (
        f'<div {ROOT} style="max-width:680px">{top_line(headline, about)}'
        f'<ul style="{bare}">{rows}</ul>{_quiet([more] if more else [], margin=6)}</div>'
    )
    bundle: Bundle = {
        "text/html": body,
        "text/plain": "\n".join(history_lines(cards, headline, about, more)),
    }
    if sheet:
        bundle["image/jpeg"] = base64_of(sheet)
    return bundle


def history_lines(cards: Sequence[Card], headline: str, about: str, more: str) -> list[str]:
    """The same list in text."""
    lines = [f"{f'[{number}]':>6} {_entry_text(card)}" for number, card in enumerate(cards)]
    return [dotted(headline, about), *lines, *([f"  {clean(more)}"] if more else [])]


def comparison_card(left: Card, right: Card, sheet: bytes = b"") -> Bundle:
    """Two pictures side by side, and one on top of the other with a slider between them.

    `sheet` is one JPEG of both, for front ends that show no HTML.
    """
    bundle: Bundle = {
        "text/html": comparison_html(left, right),
        "text/plain": comparison_text(left, right),
    }
    if sheet:
        bundle["image/jpeg"] = base64_of(sheet)
    return bundle


def comparison_html(left: Card, right: Card) -> str:
    """The same as HTML alone; where scripts do not run, only the two side by side are there."""
    both = bool(left.preview and right.preview)
    slider = add_slider(left.width, left.height, _COMPARED) if both else ""
    sides = _compared("A", left) + _compared("B", right, slider)
    fold = "display:flex;flex-wrap:wrap;gap:16px 12px;align-items:flex-start"
    return f'<div {ROOT}><div style="{fold}">{sides}</div></div>'


def comparison_text(left: Card, right: Card) -> str:
    """The same in text: a line for each."""
    return f"A {left.text}\nB {right.text}"


def account_card(rows: Sequence[tuple[str, str]], remarks: Sequence[str]) -> Bundle:
    """What there is and what was spent: labels and amounts, with remarks below."""
    cell = f"border:none;background:none;padding:3px 0;{SMALL}"
    figures = f"{cell};padding-left:32px;text-align:right;white-space:nowrap"
    table = "".join(
        f'<tr style="background:none"><th scope="row" style="{cell};text-align:left;'
        f'font-weight:normal">{escape(label)}</th><td style="{figures};font-weight:600;'
        f'font-variant-numeric:tabular-nums">{escape(amount)}</td></tr>'
        for label, amount in rows
    )
    clear = "border:none;border-collapse:collapse;table-layout:auto;width:auto;margin:0"
    plain = [(clean(label), clean(amount)) for label, amount in rows]
    left = max((len(label) for label, _ in plain), default=0)
    right = max((len(amount) for _, amount in plain), default=0)
    lines = [f"{label:<{left}}  {amount:>{right}}" for label, amount in plain]
    return {
        "text/html": f'<div {ROOT} style="max-width:512px"><table style="{clear}"><tbody>{table}'
        f"</tbody></table>{_quiet(remarks, margin=6)}</div>",
        "text/plain": "\n".join((*lines, *(clean(remark, 600) for remark in remarks))),
    }


def money(amount: Decimal) -> str:
    """US dollars."""
    return f"${amount:.2f}"


def _title(card: Card, count: int = 1) -> str:
    """What stands above a failure, or above several for one reason."""
    words = standing(card.state)
    if card.attempt:
        each = " each" if count > 1 else ""
        words = f"{words}: {card.price}{each}"
    elif card.state not in (*NOT_OVER, "expired"):
        return "No picture" if count == 1 else f"{count} not drawn"
    return capital(words) if count == 1 else f"{count} {words}"


def _ways(card: Card, attempt: str = "") -> tuple[tuple[str, str], ...]:
    """What can be done about a submit that may have been billed, with the code that does it."""
    name = attempt or clean(card.attempt, 60)
    return (
        ("Check the balance", "%nanobanana_balance"),
        (f"Submit it again, may cost another {card.price}", f"%nanobanana_again {name}"),
        ("Dismiss it, once that is settled", f"%nanobanana_dismiss {name}"),
    )


def _codes(card: Card, attempt: str = "") -> tuple[str, ...]:
    """What settles it, where there is room for code only."""
    return tuple(code for _, code in _ways(card, attempt)[1:]) if card.attempt else ()


def _in_doubt(card: Card) -> str:
    """The card for money at risk: what, when, why, and what can be done."""
    line = "display:flex;flex-wrap:wrap;column-gap:12px;align-items:baseline;margin-bottom:4px"
    ways = "".join(
        f'<div style="{line}"><span style="flex:0 1 260px">{escape(words)}</span>'
        f"{_code(code)}</div>"
        for words, code in _ways(card)
    )
    return (
        f'<div role="note" style="{SMALL};{_AT_RISK};padding:10px 14px;overflow-wrap:break-word">'
        f'<div style="font-size:14px"><b>{escape(_title(card))}</b></div>'
        f'<div style="opacity:.8">{escape(dotted(*card.facts))}</div>'
        f'<div style="margin-top:6px">{escape(card.problem, 400)}</div>'
        f'<div style="margin-top:6px">“{escape(card.prompt, 160)}”</div>{_quiet(card.remarks)}'
        f'<div style="margin-top:8px;padding-top:8px;border-top:{EDGE}">{ways}</div></div>'
    )


def _gap(numbers: Sequence[int], alike: Sequence[Card]) -> str:
    """What stands in a gallery for those without a picture, for one reason."""
    label, first = _labels(numbers, alike), alike[0]
    if not first.attempt:
        return _failure(alike, label)
    name = "" if len(alike) == 1 else "ID"
    _, *ways = _ways(first, name)
    codes = "".join(f"<div>{escape(words)}: {_code(code)}</div>" for words, code in ways)
    return (
        f'<div role="note" style="{SMALL};{_AT_RISK};padding:8px 12px;overflow-wrap:break-word">'
        f"<b>{escape(f'{label} {_title(first, len(alike))}')}</b><br>{escape(first.problem, 400)}"
        f'<div style="opacity:.8">{escape(_which(numbers, alike), 100_000)}</div>{codes}</div>'
    )


def _gap_text(numbers: Sequence[int], alike: Sequence[Card]) -> str:
    first, label = alike[0], _labels(numbers, alike)
    if len(alike) == 1:
        return f"{label} {first.text}"
    why = clean(first.problem, 400)
    told = dotted(f"{label} {_title(first, len(alike))}: {why}", *_common(alike))
    if not first.attempt:
        return told
    return " · ".join((told, _which(numbers, alike), *_codes(first, "ID")))


def _which(numbers: Sequence[int], alike: Sequence[Card]) -> str:
    """Every attempt that may have been billed, by name: its money is at risk."""
    if len(alike) == 1:
        return dotted(*alike[0].facts, f"“{clean(alike[0].prompt, 120)}”")
    named = zip(numbers, alike, strict=True)
    return ", ".join(f"{_label(*one)} {clean(one[1].attempt, 60)}" for one in named)


def _alike(cards: Sequence[tuple[int, Card]]) -> list[tuple[list[int], list[Card]]]:
    """Those without a picture, with their numbers, put together by what has happened."""
    found: dict[tuple[str, str], tuple[list[int], list[Card]]] = {}
    for number, card in cards:
        if card.problem:
            numbers, alike = found.setdefault((_title(card), card.problem), ([], []))
            numbers.append(number)
            alike.append(card)
    return list(found.values())


def _label(number: int, card: Card) -> str:
    """What stands in Python's brackets for it."""
    return f"[{clean(card.name, 60) or number}]"


def _labels(numbers: Sequence[int], cards: Sequence[Card], limit: int = 8) -> str:
    if not any(card.name for card in cards):
        return _ranges(numbers)
    named = [_label(*one) for one in zip(numbers, cards, strict=True)]
    return ", ".join(named[:limit]) + (", …" if len(named) > limit else "")


def _ranges(numbers: Sequence[int], limit: int = 8) -> str:
    """`[1], [3]-[5]` for 1, 3, 4, 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    named = [f"[{run[0]}]-[{run[-1]}]" if len(run) > 1 else f"[{run[0]}]" for run in runs]
    return ", ".join(named[:limit]) + (", …" if len(named) > limit else "")


def _common(cards: Sequence[Card]) -> list[str]:
    """The remarks that hold for all of them."""
    return [remark for remark in cards[0].remarks if all(remark in c.remarks for c in cards)]


def _row(number: int, card: Card) -> str:
    """One entry of a list: small picture, prompt, facts, and whatever else is to say."""
    clamp = (
        "display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:2;overflow:hidden;"
        "font-size:13px;line-height:1.45"
    )
    return (
        f'<li style="display:flex;gap:14px;margin:0;padding:10px 0;border-top:{EDGE}">'
        f'<div style="flex:0 0 {_THUMB}px">{_thumb(card)}</div>'
        '<div style="flex:1 1 0;min-width:0;overflow-wrap:break-word">'
        f'<div style="{clamp}" title="{escape(card.prompt)}"><b>[{number}]</b> {_star(card)}'
        f"{escape(card.prompt, 200)}</div>"
        f'<div style="{FAINT}">{escape(dotted(*card.facts, "" if card.attempt else card.price))}'
        f"</div>{_trouble(card)}{_quiet(card.remarks)}</div></li>"
    )


def _entry_text(card: Card) -> str:
    date, *facts = card.facts
    star = "★ " if card.starred else ""
    told = dotted(f"{date}  {star}“{clean(card.prompt, 60)}”", *facts)
    if not card.problem:
        return dotted(told, card.price, *card.remarks)
    why = clean(card.problem, 240)
    why = f"{_title(card)} · {why}" if card.attempt else f"{standing(card.state)}: {why}"
    return dotted(told, why, *card.remarks, *_codes(card))


def _trouble(card: Card) -> str:
    """Why an entry of a list has no picture, and what can be done."""
    if not card.problem:
        return ""
    colour = "rgba(128,128,128,.5)" if card.state in NOT_OVER else AMBER
    words = _title(card) if card.attempt else capital(standing(card.state))
    codes = ""
    if card.attempt:
        again, dismiss = map(_code, _codes(card))
        price = escape(card.price)
        codes = f"<div>{again} may cost another {price}</div><div>{dismiss}</div>"
    return (
        f'<div style="{SMALL};border-left:3px solid {colour};padding-left:8px;margin-top:4px">'
        f"<b>{escape(words)}.</b> {escape(card.problem, 240)}{codes}</div>"
    )


def _thumb(card: Card) -> str:
    """A small picture, or a word in a frame where there is none."""
    if card.preview:
        return _picture(card, _THUMB, radius=4)
    over = card.state not in NOT_OVER
    word = ("No picture" if card.problem else "File gone") if over else "Not yet"
    return (
        f'<div style="{FAINT};font-size:11px;border:1px dashed rgba(128,128,128,.5);'
        f'border-radius:4px;padding:20px 4px;text-align:center">{word}</div>'
    )


def _cell(number: int, card: Card, shared: Sequence[str]) -> str:
    """A picture of a gallery, with its index in Python and what is its own."""
    own = dotted(*(fact for fact in card.facts if fact not in shared))
    label = f"<b>{escape(_label(number, card))}</b>"
    caption = f'{label} {_star(card)}<span style="opacity:.72">{escape(own)}</span>'
    return _figure(card, _SIDE, caption + _quiet(card.remarks))


def _failure(alike: Sequence[Card], label: str = "") -> str:
    """Why there is no picture; said once for all that failed alike."""
    first = alike[0]
    prompts = list(dict.fromkeys(card.prompt for card in alike))
    more = f" and {len(prompts) - 2} more" if len(prompts) > 2 else ""
    shown = ", ".join(f"“{clean(prompt, 120)}”" for prompt in prompts[:2]) + more
    return (
        f'<div role="note" style="{SMALL};{_FRAME};padding:8px 12px;overflow-wrap:break-word">'
        f"<b>{escape(f'{label} {_title(first, len(alike))}')}</b><br>{escape(first.problem, 600)}"
        f'<div style="opacity:.72;margin-top:4px">{escape(shown)}</div>'
        f"{_quiet(_common(alike), margin=4)}</div>"
    )


def top_line(headline: str, about: str) -> str:
    """What stands above several pictures: how many there are, and what holds for all of them."""
    rest = f' <span style="opacity:.72">· {escape(about)}</span>' if about else ""
    return (
        f'<div style="{SMALL};margin-bottom:6px;overflow-wrap:break-word">'
        f"<b>{escape(headline)}</b>{rest}</div>"
    )


def _quiet(lines: Sequence[str], margin: int = 0) -> str:
    """Quiet lines below the rest, `margin` pixels away from it."""
    rows = "".join(f"<div>{escape(text, 600)}</div>" for text in lines)
    style = f"{FAINT};overflow-wrap:break-word;margin-top:{margin}px"
    return f'<div style="{style}">{rows}</div>' if lines else ""


def _compared(letter: str, card: Card, onload: str = "") -> str:
    """One of the two; where there is no room for two columns, one stands below the other."""
    width, _ = fitted(card.width, card.height, _COMPARED)
    caption = (
        f"<div><b>{letter}</b> {escape(card.prompt, 160)}</div>"
        f'<div style="opacity:.72">{escape(dotted(*card.facts))}</div>'
    )
    column = f"flex:1 1 {_COLUMN}px;min-width:0;max-width:{max(width, _COLUMN)}px"
    figure = _figure(card, _COMPARED, caption, onload)
    return f'<div style="{column};overflow-wrap:break-word">{figure}</div>'


def _star(card: Card) -> str:
    return '<span title="starred">★</span> ' if card.starred else ""


def _code(code: str) -> str:
    """Code to copy: one click takes it whole."""
    return f'<code style="font-size:12px;user-select:all">{escape(code)}</code>'


def _figure(card: Card, side: int, caption: str, onload: str = "") -> str:
    """The preview in its ratio, or a word where its file is gone; `caption` is HTML."""
    picture = (
        _picture(card, side, onload=onload)
        if card.preview
        else f'<div style="{FAINT};border:{EDGE};border-radius:6px;padding:24px 12px">'
        "The file is not there any more.</div>"
    )
    return (
        f'<figure style="margin:0">{picture}'
        f'<figcaption style="{SMALL};margin-top:4px">{caption}</figcaption></figure>'
    )


def _picture(card: Card, side: int, *, radius: int = 6, onload: str = "") -> str:
    return image(
        card.preview,
        card.prompt,
        card.width,
        card.height,
        side,
        title=card.place,
        radius=radius,
        onload=onload,
    )
