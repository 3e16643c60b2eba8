"""A grid as one labelled picture: the contact sheet, drawn with Pillow.

Black on white, so that it can be printed, sent and put into a document. Pillow is imported on
first use.
"""

from __future__ import annotations

import contextlib
import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, cast

from .gridpage import Block, Layout, axis_title
from .protocol import clean
from .templates import Axis

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

SIDE: Final = 384
"""Pixels of the longer side of a picture, where there is room."""
MAX_PIXELS: Final = 36_000_000
MAX_SIDE: Final = 16_000
"""Pixels; WebP ends at 16,383."""
_LEAST: Final = 24
_INK: Final = (32, 33, 36)
_FAINT: Final = (95, 99, 104)
_EDGE: Final = (189, 193, 198)
_BACK: Final = (248, 249, 250)
_AMBER: Final = (217, 154, 0)
_DOUBT: Final = (255, 248, 230)
_FONTS: Final = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "Arial.ttf",
    "arial.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "msyh.ttc",
    "YuGothM.ttc",
    "malgun.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "AppleSDGothicNeo.ttc",
    "Arial Unicode.ttf",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "Nirmala.ttc",
    "NotoEmoji-Regular.ttf",
    "seguiemj.ttf",
    "seguisym.ttf",
    "Symbola.ttf",
)
"""Fonts by the names under which systems have them, for what Pillow's own cannot write."""


@dataclass(frozen=True)
class Cell:
    """One place of a sheet. `width` and `height` are the full picture's, in pixels.

    `open` loads the picture when its turn comes; None, or nothing loaded, shows `words` in its
    place. `doubt` is for money that may have been billed.
    """

    width: int = 0
    height: int = 0
    open: Callable[[], Image.Image | None] | None = None
    words: str = ""
    doubt: bool = False


def sheet(
    layout: Layout, cells: Sequence[Cell], heading: str, about: str, side: int = SIDE
) -> Image.Image:
    """All pictures in rows and columns under their labels, at most `side` pixels wide and high.

    They are smaller where it would have more than 36 million pixels, or 16,000 on a side.
    """
    plan = _Plan(layout, cells, heading, about, side)
    while not plan.fits and plan.side > _LEAST:
        plan = _Plan(layout, cells, heading, about, max(_LEAST, plan.side * 9 // 10))
    return plan.drawn()


@dataclass(frozen=True)
class _Line:
    """A line of text and where it goes."""

    at: tuple[int, int]
    text: str
    font: _Font
    colour: tuple[int, int, int]


class _Plan:
    """Where everything goes, for pictures of one size."""

    def __init__(
        self, layout: Layout, cells: Sequence[Cell], heading: str, about: str, side: int
    ) -> None:
        self.side = side
        self._layout = layout
        self._cells = cells
        self._text = _Font(max(11, min(22, side // 16)))
        self._name = _Font(max(10, min(18, side // 20)))
        self._gap = max(4, side // 24)
        self._margin = max(10, side // 12)
        self._wide, self._high = _largest(cells, side)
        self._row_labels = self._wrapped_rows()
        self._left = self._margin + self._heading_width()
        self._lines: list[_Line] = []
        self._places: list[tuple[tuple[int, int], Cell]] = []
        tables = [(block, self._folded(block)) for block in layout.blocks]
        columns = max(len(row) for _, rows in tables for row in rows)
        right = self._left + columns * (self._wide + self._gap) - self._gap
        self.width = max(right, self._margin + 240) + self._margin
        self._y = self._margin
        self._add_top(heading, about)
        for block, rows in tables:
            self._add_table(block, rows)
        self.height = self._y + self._margin - 2 * self._gap

    @property
    def fits(self) -> bool:
        return self.width * self.height <= MAX_PIXELS and max(self.width, self.height) <= MAX_SIDE

    def drawn(self) -> Image.Image:
        from PIL import Image, ImageDraw

        image = Image.new("RGB", (self.width, self.height), "white")
        pen = ImageDraw.Draw(image)
        for line in self._lines:
            line.font.write(pen, line.at, line.text, line.colour)
        for at, cell in self._places:
            picture = cell.open() if cell.open else None
            if picture is None:
                self._draw_gap(pen, at, cell)
            else:
                image.paste(_fitted(picture, (self._wide, self._high)), at)
        return image

    def _draw_gap(self, pen: ImageDraw.ImageDraw, at: tuple[int, int], cell: Cell) -> None:
        """A frame, and in it as much of the reason as it has room for."""
        (x, y), pad, font = at, max(3, self._gap * 3 // 4), self._name
        fill, edge = (_DOUBT, _AMBER) if cell.doubt else (_BACK, _EDGE)
        corner = (x + self._wide - 1, y + self._high - 1)
        pen.rectangle((at, corner), fill, edge, width=max(1, self.side // 190))
        words = cell.words or "The file is not there any more."
        most = max(1, (self._high - 2 * pad) // font.line)
        for number, line in enumerate(font.wrapped(words, self._wide - 2 * pad, most)):
            font.write(pen, (x + pad, y + pad + number * font.line), line, _FAINT)

    def _add_top(self, heading: str, about: str) -> None:
        room = self.width - 2 * self._margin
        self._add(_Font(max(13, min(30, self.side // 12))), heading, _INK, room, 4)
        self._add(self._name, about, _FAINT, room, 3)
        if heading or about:
            self._y += self._gap

    def _add_table(self, block: Block, rows: Sequence[Sequence[int]]) -> None:
        """A heading, the labels of the columns, and row by row its pictures."""
        columns = self._layout.columns
        self._add(self._text, block.heading, _INK, self.width - 2 * self._margin, 1)
        if block.heading:
            self._y += self._gap // 2
        if columns and axis_title(columns):
            self._put(self._left, self._y, self._name, axis_title(columns), _FAINT)
            self._y += self._name.line
        for number, row in enumerate(rows):
            if columns and (number == 0 or not self._layout.rows):
                self._add_columns(columns, row)
            for place, line in enumerate(self._row_labels[number] if self._row_labels else ()):
                y = self._y + place * self._text.line
                self._put(self._margin, y, self._text, line, _INK)
            for column, which in enumerate(row):
                self._places.append(((self._column(column), self._y), self._cells[which]))
            self._y += self._high + self._gap
        self._y += self._gap

    def _add_columns(self, axis: Axis, row: Sequence[int]) -> None:
        """The labels above one row of pictures, their last lines on one height."""
        shown = row if self._layout.rows is None else range(len(row))
        labels = [
            self._text.wrapped(_legible(axis.labels[which], which + 1), self._wide, 3)
            for which in shown
        ]
        most = max(map(len, labels))
        for column, lines in enumerate(labels):
            for place, line in enumerate(lines, most - len(lines)):
                y = self._y + place * self._text.line
                self._put(self._column(column), y, self._text, line, _INK)
        if self._layout.rows:
            y = self._y + most * self._text.line - self._name.line
            self._put(self._margin, y, self._name, axis_title(self._layout.rows), _FAINT)
        self._y += most * self._text.line + self._gap // 2

    def _add(
        self, font: _Font, text: str, colour: tuple[int, int, int], room: int, most: int
    ) -> None:
        """A paragraph at the left edge, of so many lines at most."""
        for line in font.wrapped(text, room, most):
            self._put(self._margin, self._y, font, line, colour)
            self._y += font.line

    def _put(self, x: int, y: int, font: _Font, text: str, colour: tuple[int, int, int]) -> None:
        self._lines.append(_Line((x, y), text, font, colour))

    def _column(self, number: int) -> int:
        return self._left + number * (self._wide + self._gap)

    def _wrapped_rows(self) -> list[list[str]]:
        """The labels of the rows, within the height of a picture."""
        if self._layout.rows is None:
            return []
        most = max(1, min(8, self._high // self._text.line))
        return [
            self._text.wrapped(_legible(label, number), max(90, round(self._wide * 0.8)), most)
            for number, label in enumerate(self._layout.rows.labels, 1)
        ]

    def _heading_width(self) -> int:
        lines = [line for label in self._row_labels for line in label]
        if self._layout.rows is None:
            return 0
        name = self._name.width(axis_title(self._layout.rows))
        return round(max(name, *map(self._text.width, lines))) + self._gap

    def _folded(self, block: Block) -> list[tuple[int, ...]]:
        """The rows of a table; a single one is folded to about a square."""
        if self._layout.rows is not None:
            return list(block.rows)
        (row,) = block.rows
        columns = len(row) if len(row) <= 6 else math.ceil(math.sqrt(len(row)))
        return [row[start : start + columns] for start in range(0, len(row), columns)]


def _largest(cells: Sequence[Cell], side: int) -> tuple[int, int]:
    """The box that holds each picture, in its ratio and at most `side` on the longer side."""
    sizes = {(c.width, c.height) for c in cells if c.width and c.height} or {(1, 1)}
    wide = max(round(side * width / max(width, height)) for width, height in sizes)
    high = max(round(side * height / max(width, height)) for width, height in sizes)
    return max(_LEAST, wide), max(_LEAST, high)


def _fitted(picture: Image.Image, box: tuple[int, int]) -> Image.Image:
    """As large as the box allows, on white."""
    from PIL import Image, ImageOps

    clear = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    plain = picture.convert("RGBA" if clear else "RGB")
    small = ImageOps.contain(plain, box, Image.Resampling.LANCZOS)
    if not clear:
        return small
    white = Image.new("RGBA", small.size, "white")
    return Image.alpha_composite(white, small).convert("RGB")


class _Font:
    """Pillow's own font in one size, with those of the system for what it cannot write."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.line = round(size * 1.35)

    def width(self, text: str) -> float:
        return sum(font.getlength(run) for font, run in self._runs(text))

    def write(
        self,
        pen: ImageDraw.ImageDraw,
        at: tuple[int, int],
        text: str,
        colour: tuple[int, int, int],
    ) -> None:
        """One line, with `at` as the left upper corner of its row."""
        x, base = float(at[0]), at[1] + round(self._size * 1.05)
        for font, run in self._runs(text):
            pen.text((x, base), run, fill=colour, font=font, anchor="ls")
            x += font.getlength(run)

    def wrapped(self, text: str, room: float, most: int) -> list[str]:
        """The text on at most so many lines; where it does not fit, it ends in an ellipsis."""
        lines: list[str] = []
        rest = clean(text, 600)
        while rest:
            line = self._first_line(rest, room)
            rest = rest[len(line) :].lstrip()
            if rest and len(lines) == most - 1:
                return [*lines, self._cut(line.rstrip(), room)]
            lines.append(line.rstrip())
        return lines

    def _first_line(self, text: str, room: float) -> str:
        """As many words as fit, or as many letters of a word that is too long."""
        if self.width(text) <= room:
            return text
        count = next(n for n in range(len(text), -1, -1) if n <= 1 or self.width(text[:n]) <= room)
        if text[count : count + 1].isspace():
            return text[:count]
        space = text.rfind(" ", 0, count)
        return text[: space + 1] if space > 0 else text[: max(1, count)]

    def _cut(self, line: str, room: float) -> str:
        while line and self.width(f"{line}…") > room:
            line = line[:-1]
        return f"{line.rstrip()}…"

    def _runs(self, text: str) -> list[tuple[ImageFont.FreeTypeFont, str]]:
        """The text cut where another font has to go on.

        Words that run from right to left stay whole: their order is that of the whole line.
        """
        if any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text):
            best = max(_names(), key=lambda name: sum(_has(name, letter) for letter in text))
            return [(_font(best, self._size), text)]
        runs: list[tuple[str, str]] = []
        for letter in text:
            name = next((name for name in _names() if _has(name, letter)), "")
            if runs and (runs[-1][0] == name or _goes_along(letter)):
                runs[-1] = (runs[-1][0], runs[-1][1] + letter)
            else:
                runs.append((name, letter))
        return [(_font(name, self._size), run) for name, run in runs]


def _legible(label: str, number: int) -> str:
    """A label with its number before it, where some of it can be written in no font."""
    text = clean(label)
    known = all(any(_has(name, letter) for name in _names()) for letter in text)
    return text if known else f"{number}. {text}"


@cache
def _names() -> tuple[str, ...]:
    """The fonts that there are: Pillow's own, which has no name, and then the system's."""
    from PIL import ImageFont

    found = [""]
    for name in _FONTS:
        with contextlib.suppress(OSError):
            ImageFont.truetype(name, 12)
            found.append(name)
    return tuple(found)


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    font = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    return cast("ImageFont.FreeTypeFont", font)


def _goes_along(letter: str) -> bool:
    """Spaces, accents and joiners are written with what stands before them."""
    return letter.isspace() or unicodedata.category(letter) in ("Cf", "Mn")


@cache
def _has(name: str, letter: str) -> bool:
    """Whether a font can write a letter; what is not seen needs no font."""
    if _goes_along(letter):
        return True
    font = _font(name, 24)
    return bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))
