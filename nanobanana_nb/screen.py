"""What a waiting cell or terminal shows: one place, written only by the thread that waits.

In a kernel that is one display, updated in place and at last replaced by the result; in a
terminal a line on stderr that is rewritten; elsewhere nothing. (Output from other threads lands
in the wrong cell: async.md, "background thread".)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any, Final

from . import display, previews

REDRAW: Final = 0.5
"""Seconds between two drawings."""
TILE: Final = 168
"""Pixels of a picture that is shown while others are awaited: sharp on a fine screen."""
TILE_BYTES: Final = 6_000


class Screen:
    """The live output of one wait. `quiet` shows nothing at all."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._handle: Any = None
        self._drawn = 0.0
        self._words = ""
        self._tiles: dict[int, bytes] = {}
        self.latest: display.Progress | None = None

    def tick(self, progress: display.Progress | None) -> None:
        """Called ten times a second; draws twice a second, and at once what a single task does."""
        if progress is None or self._quiet:
            self.latest = progress or self.latest
            return
        changed = progress is not self.latest and len(progress.items) == 1
        self.latest = progress
        now = time.monotonic()
        if changed or now - self._drawn >= REDRAW:
            self._drawn = now
            summary = display.summarise(progress, now)
            if summary.text != self._words:
                self._words = summary.text
                self._draw(summary, progress)

    def show(self, bundle: display.Bundle) -> None:
        """Put the result where the progress was."""
        if self._quiet:
            return
        if in_kernel():
            self._put(bundle)
        else:
            self.clear()
            print(bundle["text/plain"])  # noqa: T201

    def clear(self) -> None:
        """Take the progress away."""
        if self._handle is not None:
            self._handle.update(display.NOTHING, raw=True)
        elif self._words and _rewritable():
            _rewrite("")
        self._words = ""

    def _draw(self, summary: display.Summary, progress: display.Progress) -> None:
        if in_kernel():
            if not _kept_as_it_is():
                self._put(display.progress_card(summary, self._landed(progress)))
        elif _rewritable():
            _rewrite(summary.text)

    def _landed(self, progress: display.Progress) -> list[tuple[int, bytes]]:
        """The latest pictures of several, small, in their order; each is made small once."""
        if progress.preview is None or len(progress.items) == 1:
            return []
        known, self._tiles = self._tiles, {}
        for number in sorted(progress.landed):
            if number not in known:
                known[number] = b""
                with contextlib.suppress(OSError, ValueError, SyntaxError):  # a broken file
                    preview = progress.preview(Path(progress.items[number].file))
                    known[number] = previews.shrink(preview, TILE, TILE_BYTES)
            self._tiles[number] = known[number]
        return [(number, tile) for number, tile in self._tiles.items() if tile]

    def _put(self, bundle: display.Bundle) -> None:
        from IPython.display import display as show

        if self._handle is None:
            self._handle = show(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def in_ipython() -> bool:
    """Whether we run in IPython, in a kernel or a terminal."""
    return _shell() is not None


def in_kernel() -> bool:
    """Whether we run in a kernel, whose front end can replace what it shows."""
    return getattr(_shell(), "kernel", None) is not None


def say(text: str, *, notice: bool = False) -> None:
    """One line for the person who is looking; a `notice` stands out."""
    if in_kernel():
        from IPython.display import display as show

        show(display.notice(text) if notice else display.line(text), raw=True)
    elif in_ipython() or _terminal():
        print(display.line(text)["text/plain"], file=sys.stderr)  # noqa: T201


def _kept_as_it_is() -> bool:
    """Whether a widget takes what is shown here, `with widgets.Output():` or within `interact`: it
    never replaces anything in JupyterLab, Notebook or Voila, so that a progress would stand there
    for ever, and the picture that came after it would not be seen."""
    if (widgets := sys.modules.get("ipywidgets")) is None:
        return False
    known = getattr(widgets.widgets.widget, "_instances", None)  # ipywidgets 8
    takers = known if known is not None else widgets.Widget.widgets
    asked = ((_shell().kernel.get_parent() or {}).get("header") or {}).get("msg_id")
    return any(
        isinstance(one, widgets.Output) and one.msg_id == asked for one in list(takers.values())
    )


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def _terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()  # None: a program without a console


def _rewritable() -> bool:
    """Whether a line can be written over; a dumb terminal may show each of them below the last."""
    return _terminal() and os.environ.get("TERM") != "dumb"


def _rewrite(text: str) -> None:
    """Put `text` in place of the line: without colours, on one row, with room for an echoed ^C."""
    room = max(0, _columns() - 1 - len("^C"))
    sys.stderr.write(f"\r{' ' * room}\r{_cut(text, room)}")
    sys.stderr.flush()


def _columns() -> int:
    """The width of the terminal that the progress goes to; stdout may be a file."""
    with contextlib.suppress(OSError, ValueError):
        if columns := os.get_terminal_size(sys.stderr.fileno()).columns:
            return columns
    return shutil.get_terminal_size().columns


def _cut(text: str, room: int) -> str:
    """As much of it as fits: letters of East Asia and emoji take two columns, accents none."""
    taken = 0
    for place, letter in enumerate(text):
        if unicodedata.east_asian_width(letter) in "WF":
            taken += 2
        elif unicodedata.category(letter) not in ("Mn", "Me", "Cf"):
            taken += 1
        if taken > room:
            return text[:place]
    return text
