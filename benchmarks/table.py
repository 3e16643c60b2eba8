"""Plain tables, and the words for a goal."""

from __future__ import annotations

from collections.abc import Sequence


def plain(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A title over columns; the first is flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [title, *(_line(row, widths) for row in (head, ["-" * width for width in widths]))]
    return "\n".join([*lines, *(_line(row, widths) for row in rows)])


def verdict(met: bool) -> str:
    return "met" if met else "NOT MET"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) if number else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()
