"""Everything that shows something, with one text in every field of it.

In-memory values go in and what a front end gets comes out, so that the same views serve the tests
with and without a browser.
"""

from __future__ import annotations

import io
import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from functools import cache
from pathlib import Path

from PIL import Image

from nanobanana_nb import display, gridpage, strips, tiles
from nanobanana_nb.display import Bundle, Card
from nanobanana_nb.schema import connect
from nanobanana_nb.strips import Group, Sample
from nanobanana_nb.templates import Axis
from nanobanana_nb.tiles import Details, Tile


@cache
def jpeg() -> bytes:
    """The smallest picture that a browser loads."""
    data = io.BytesIO()
    Image.new("L", (8, 8), 90).save(data, "JPEG", quality=1)
    return data.getvalue()


def cards(text: str) -> dict[str, Card]:
    """A card of each kind with that text wherever it takes text."""
    more = {"facts": (text, text), "folder": text, "file": text, "remarks": (text, text)}
    more |= {"price": text, "starred": True, "name": text, "task": text}
    return {
        "picture": Card(text, jpeg(), 8, 8, **more),
        "gone": Card(text, **more),
        "failed": Card(text, problem=text, state="failed", **more),
        "in doubt": Card(text, problem=text, state="unknown", attempt=text, **more),
        "under way": Card(text, problem=text, state="submitted", **more),
        "some state": Card(text, problem=text, state=text or "failed", **more),
    }


def numbered(text: str) -> list[tuple[int, Card]]:
    """Several of a batch: with pictures, without, some for one reason."""
    kinds = cards(text)
    order = ("picture", "gone", "failed", "failed", "in doubt", "in doubt", "under way")
    return list(enumerate(kinds[name] for name in order))


def grid(text: str, shape: str) -> tuple[gridpage.Layout, list[list[Card]]]:
    """A grid in whose labels, titles and gaps the text stands."""
    kinds = cards(text)
    one, two, three = (Axis(name, (text or "-", "b")) for name in (text, f"{text} ", "third"))
    axes = {"row": [one], "table": [one, two], "tables": [one, two, three]}[shape]
    count = 2 ** len(axes)
    filling = (["picture", "in doubt", "failed", "under way", "gone"] * 2)[:count]
    return gridpage.arranged(axes), [[kinds[name]] for name in filling]


def lineage(text: str) -> Bundle:
    kinds = cards(text)
    shown = [*kinds.values(), Card(text, state=strips.ELSEWHERE)]
    steps = [[Group(shown, text), Group(shown[:1], text)], [Group(shown[:2])]]
    return strips.lineage_card(steps, kinds["picture"], shown, jpeg(), before=True, more=3)


def styles(text: str) -> Bundle:
    picture = cards(text)["picture"]
    book = [Sample(text, text, (text, text), text, shown) for shown in ([], [picture])]
    return strips.style_card(book, text, (text, text), jpeg())


BUNDLES: Mapping[str, Callable[[str], Bundle]] = {
    **{
        f"card, {kind}": lambda text, kind=kind: display.picture_card(cards(text)[kind], jpeg())
        for kind in cards("")
    },
    "gallery": lambda text: display.gallery_card(numbered(text), text, text, jpeg(), text),
    "history": lambda text: display.history_card(
        [card for _, card in numbered(text)], text, text, text, jpeg()
    ),
    "comparison": lambda text: display.comparison_card(
        cards(text)["picture"], cards(text)["picture"], jpeg()
    ),
    "comparison without": lambda text: display.comparison_card(
        cards(text)["picture"], cards(text)["gone"]
    ),
    "account": lambda text: display.account_card([(text, text)] * 2, [text, text]),
    "line": display.line,
    "notice": display.notice,
    "progress": lambda text: display.progress_card(
        display.Summary(text, (text, text), 0.5, (text, text)), [(3, jpeg())]
    ),
    "widget": lambda text: display.widget_view("0", text),
    **{
        f"grid, {shape}": lambda text, shape=shape: gridpage.grid_card(
            *grid(text, shape), text, text, jpeg()
        )
        for shape in ("row", "table", "tables")
    },
    "lineage": lineage,
    "styles": styles,
}
"""Outputs of cells by what they show."""


def page(texts: Sequence[str]) -> str:
    """A grid saved as a page, whose every label is one of these."""
    kinds = [list(cards(text).values()) for text in texts]
    axes = [Axis(f"axis {texts[0]}", tuple(texts)), Axis(texts[-1] or "-", ("a", "b"))]
    cells = [each[:1] for each in kinds for each in (each, each[3:])]
    return gridpage.grid_page(
        gridpage.arranged(axes), cells, texts[0], [(text, text) for text in texts]
    )


def _tile(card: Card, text: str) -> Tile:
    return Tile(card, 3.0, 20.0, note=text, more=2)


PANEL: Mapping[str, Callable[[str], str]] = {
    "tiles": lambda text: "".join(tiles.tile(_tile(card, text)) for card in cards(text).values()),
    "details": lambda text: "".join(
        tiles.shown(_tile(card, text))
        + tiles.told(Details(_tile(card, text), (text, text), [card, card], [card]))
        for card in cards(text).values()
    ),
    "large": lambda text: tiles.large(jpeg(), text),
    "compared": lambda text: display.comparison_html(
        cards(text)["picture"], cards(text)["picture"]
    ),
    "references": lambda text: tiles.references([(jpeg(), text, text), (b"", text, text)]),
    "messages": lambda text: tiles.said(text) + tiles.said(text, bad=True),
    "money": lambda text: tiles.account(Decimal(1), text, Decimal(1), 1, text),
    "heading": tiles.heading,
    "code to copy": lambda text: tiles.clip([(text, text), (text, text)]),
}
"""Pieces of the panel by what they show."""


def crowd(texts: Sequence[str]) -> dict[str, Bundle]:
    """All views of all texts as few outputs that a notebook can hold: a list has a row for each
    text, and what is one for each text stands below each other."""
    kinds = [cards(text) for text in texts]
    some = ("picture", "failed", "in doubt")
    rows = [kind[name] for kind in kinds for name in some]

    def each(make: Callable[[str], Bundle]) -> Bundle:
        return display.stacked([make(text) for text in texts])

    found = {f"card, {name}": each(BUNDLES[f"card, {name}"]) for name in kinds[0]}
    found |= {
        name: each(BUNDLES[name])
        for name in ("account", "line", "notice", "progress", "comparison without")
    }
    found["gallery"] = display.gallery_card(list(enumerate(rows)), "all", "", b"")
    found["history"] = display.history_card(rows, "all", "", "", b"")
    found["headlines"] = each(lambda text: display.gallery_card([], text, text, b"", text))
    found["comparison"] = display.stacked([BUNDLES["comparison"](text) for text in texts[::4]])
    found["rows"] = gridpage.grid_card(
        gridpage.arranged([Axis("text", tuple(texts)), Axis("column", ("a", "b"))]),
        [[kind[name]] for kind in kinds for name in ("picture", "in doubt")],
        "all",
        "",
        b"",
    )
    found["one axis"] = gridpage.grid_card(
        gridpage.arranged([Axis("text", tuple(texts))]),
        [[kind["picture"]] for kind in kinds],
        "all",
        "",
        b"",
    )
    found["axes"] = each(
        lambda text: gridpage.grid_card(
            gridpage.arranged([Axis(text, (text, "b")), Axis(f"{text} ", ("a", text))]),
            [[cards(text)["failed"]]] * 4,
            text,
            text,
            b"",
        )
    )
    groups = [[Group([kind["picture"], kind["failed"]], kind["gone"].prompt) for kind in kinds]]
    found["lineage"] = strips.lineage_card(groups, rows[0], rows)
    found["styles"] = strips.style_card(
        [Sample(text, text, (text,), text, [kinds[0]["picture"]]) for text in texts], "x", texts
    )
    return found


def panel_crowd(texts: Sequence[str]) -> dict[str, str]:
    """The same of the panel."""
    found = {
        name: "".join(PANEL[name](text) for text in texts)
        for name in ("tiles", "large", "references", "messages", "money", "heading", "code to copy")
    }
    found["compared"] = "".join(PANEL["compared"](text) for text in texts[::8])
    found["details"] = "".join(
        tiles.shown(_tile(cards(text)["in doubt"], text))
        + tiles.told(Details(_tile(cards(text)["gone"], text), (text,), [cards(text)["gone"]]))
        for text in texts
    )
    return found


def fill(home: Path, texts: Sequence[str]) -> int:
    """Make a home whose ledger has each text in all its fields, in a task of each kind; how many
    tasks that are.

    Written by hand: whoever has put it there may not have asked us.
    """
    folder = home / "pictures"
    folder.mkdir(parents=True)
    Image.effect_noise((64, 64), 90).convert("RGB").save(folder / "x.png")
    states = ("stored", "failed", "unknown", "submitted", "expired", "rejected")
    count = 0
    with closing(connect(home / "ledger.sqlite3")) as db, db:
        db.execute("BEGIN")
        for text in texts:
            for state in states:
                _note(db, count, text, state, str(folder / "x.png"))
                count += 1
        db.execute("COMMIT")
    return count


def _note(db: sqlite3.Connection, number: int, text: str, state: str, file: str) -> None:
    moment = time.time() - 10_000 + number
    task = {
        "id": f"{number:08x}",
        "state": state,
        "model": text,
        "origin": text,
        "prompt": text,
        "aspect_ratio": "1:1",
        "output_format": "png",
        "image_urls": json.dumps(["https://r.example/a.png"]),
        "price": "0.03",
        "created": moment,
        "changed": moment,
        "task_id": None if state in ("unknown", "rejected") else f"task-{number}",
        "seconds": 9.5,
        "sent": moment,
        "day": "2026-01-01",
        "error": text,
        "fail_code": text,
        "note": text,
        "starred": number % 2,
    }
    names = ", ".join(task)
    marks = ", ".join("?" * len(task))
    db.execute(f"INSERT INTO task ({names}) VALUES ({marks})", tuple(task.values()))
    db.execute("INSERT INTO reference VALUES (?, 0, ?)", (task["id"], text))
    if state == "stored":
        row = (task["id"], f"https://r.example/{text}", file, f"sha{number}")
        db.execute("INSERT INTO picture VALUES (?, 0, ?, ?, ?, 64, 64)", row)
