"""A panel as a person has it, without a browser.

Outside a kernel a click acts at once and a change is made where it comes up, so that all but the
page itself is here. How it behaves in kernels is in `test_kernels.py`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import ipywidgets
from PIL import Image

from nanobanana_nb import Studio
from nanobanana_nb.panel import Panel
from nanobanana_nb.schema import connect

from ..test_money import wait_for
from .test_tiles import Shape


class Hand:
    """A panel as a person has it: fields by their names, buttons by their words, what is shown."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel

    def shown(self) -> Iterator[ipywidgets.Widget]:
        """Every widget that is not hidden, with what stands in it."""
        return visible(self.panel.widget)

    def field(self, name: str) -> Any:
        """The widget with this class of the panel's style sheet."""
        return next(one for one in every(self.panel.widget) if f"nbp-{name}" in one._dom_classes)

    def buttons(self) -> list[str]:
        """The words on all buttons that can be pressed."""
        return [one.description for one in self.shown() if _pressable(one)]

    def press(self, words: str) -> None:
        """Press the button whose words begin so."""

        def found() -> list[ipywidgets.Button | ipywidgets.ToggleButton]:
            buttons = [one for one in self.shown() if _pressable(one)]
            return [one for one in buttons if one.description.startswith(words)]

        wait_for(lambda: bool(found()))
        one = found()[0]
        if isinstance(one, ipywidgets.Button):
            one.click()
        else:
            one.value = True

    def choose(self, place: int) -> None:
        """Press a tile."""
        [one for one in every(self.panel.widget) if "nbp-pick" in one._dom_classes][place].click()

    def text(self, name: str = "") -> str:
        """What is shown and can be read, of everything or of one class."""
        found = [
            " ".join(Shape(one.value).values)
            for one in self.shown()
            if isinstance(one, ipywidgets.HTML)
            and "nbp-style" not in one._dom_classes
            and (not name or f"nbp-{name}" in one._dom_classes)
        ]
        return " ".join(" ".join(found).split())

    def tiles(self) -> list[str]:
        """The text of each tile on the page."""
        return [
            " ".join(Shape(box.children[0].value).values)
            for box in self.shown()
            if "nbp-tile" in box._dom_classes
        ]

    def prompts(self) -> list[str]:
        """The captions of the tiles."""
        boxes = [box for box in self.shown() if "nbp-tile" in box._dom_classes]
        return [Shape(box.children[0].value).values[-1] for box in boxes]

    def chosen(self) -> list[int]:
        """The places of the tiles that are marked as chosen."""
        boxes = [box for box in self.shown() if "nbp-tile" in box._dom_classes]
        return [place for place, box in enumerate(boxes) if "nbp-chosen" in box._dom_classes]

    def draw(self, prompt: str, **options: Any) -> None:
        """Type a prompt and press Generate."""
        self.field("prompt").value = prompt
        for name, value in options.items():
            self.field(name).value = value
        self.press("Generate")

    def add(self, reference: str) -> None:
        """Type a reference and press Add."""
        self.field("link").value = reference
        self.press("Add")

    def says(self, words: str, name: str = "", seconds: float = 60.0) -> None:
        """Wait until that can be read."""
        try:
            wait_for(lambda: words in self.text(name), seconds)
        except AssertionError:
            raise AssertionError(f"{words!r} is not in {self.text(name)!r}") from None

    def shows(self, count: int, seconds: float = 60.0) -> None:
        """Wait until there are so many pictures on the page, and nothing is under way."""

        def there() -> bool:
            done = [
                box
                for box in self.shown()
                if "nbp-tile" in box._dom_classes and box.children[0].value.startswith("<img")
            ]
            return len(done) == count and not self.panel._view.jobs

        wait_for(there, seconds)


def every(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from every(child)


def visible(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    if "nbp-off" not in widget._dom_classes:
        yield widget
        for child in getattr(widget, "children", ()):
            yield from visible(child)


def _pressable(one: ipywidgets.Widget) -> bool:
    return isinstance(one, ipywidgets.Button | ipywidgets.ToggleButton) and not one.disabled


OPENED: list[Panel] = []


def opened(studio: Studio | None) -> Hand:
    """A panel on that studio, closed after the test."""
    panel = Panel(studio)
    OPENED.append(panel)
    return Hand(panel)


def rows(home: Path, columns: str = "state") -> list[tuple[Any, ...]]:
    """The ledger's tasks, oldest first."""
    try:
        with closing(sqlite3.connect(home / "ledger.sqlite3")) as db:
            return db.execute(f"SELECT {columns} FROM task ORDER BY rowid").fetchall()
    except sqlite3.OperationalError:  # it is only just being made
        return []


def filled(home: Path, count: int, pictures: int = 3) -> None:
    """A home with so many stored pictures, "fox 0" the oldest, that share a few files."""
    folder = home / "pictures"
    folder.mkdir(parents=True)
    for number in range(pictures):
        Image.effect_noise((256, 256), 90).convert("RGB").save(folder / f"{number}.png")
    begin = time.time() - 2 * count
    with closing(connect(home / "ledger.sqlite3")) as db, db:
        db.execute("BEGIN")
        for number in range(count):
            moment = begin + number
            db.execute(
                "INSERT INTO task (id, state, model, origin, prompt, aspect_ratio, output_format, "
                "image_urls, price, created, changed, task_id, seconds, sent, day) VALUES "
                "(?, 'stored', 'nano-banana', 'http://x', ?, '1:1', 'png', '[]', '0.03', "
                "?, ?, ?, 9.5, ?, '2026-01-01')",
                (f"id{number}", f"fox {number}", moment, moment, f"task{number}", moment),
            )
            which = number % pictures
            db.execute(
                "INSERT INTO picture VALUES (?, 0, ?, ?, ?, 256, 256)",
                (
                    f"id{number}",
                    f"https://r.example/{number}",
                    str(folder / f"{which}.png"),
                    f"sha{which}",
                ),
            )
        db.execute("COMMIT")


def plain_picture(file: Path, colour: str) -> Path:
    Image.new("RGB", (40, 30), colour).save(file)
    return file
