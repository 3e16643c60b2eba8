"""Where widgets are changed: on the kernel's own loop while that is free, else at once from here.

A trait set from another thread reaches JupyterLab, Notebook and Voila at once, also while a cell
runs; Colab is reported not to draw it (colabtools#3373). So the kernel's loop comes first. If a
cell keeps it busy, the change is made from the portal's thread, and sent once more from the
kernel's own loop as soon as that is free.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any, Final

import ipywidgets

PATIENCE: Final = 0.2
"""Seconds that the kernel's loop has before a change is made without it."""

OFF: Final = "nbp-off"
"""The class of what is not shown."""

Changes = dict[ipywidgets.Widget, dict[str, Any]]


class Brush:
    """Changes widgets from any thread; the latest value of a trait wins."""

    def __init__(self) -> None:
        self._kernel = kernel_loop()
        self._home = threading.get_ident()
        self._lock = threading.RLock()
        self._wanted: Changes = {}
        self._made_without_the_kernel: Changes = {}
        self._asked = False

    def set(self, widget: ipywidgets.Widget, **traits: Any) -> None:
        """Make these the traits of the widget."""
        with self._lock:
            self._wanted.setdefault(widget, {}).update(traits)
        if self._kernel is None or threading.get_ident() == self._home:
            self._apply()
        else:
            self._ask_the_kernel()

    def mark(self, widget: ipywidgets.Widget, name: str, on: bool) -> None:
        """Give the widget a class of the page, or take it away."""
        with self._lock:
            wanted = self._wanted.get(widget, {})
            others = [c for c in wanted.get("_dom_classes", widget._dom_classes) if c != name]
            self.set(widget, _dom_classes=(*others, name) if on else tuple(others))

    def show(self, widget: ipywidgets.Widget, on: bool) -> None:
        """Show the widget, or hide it."""
        self.mark(widget, OFF, not on)

    def _ask_the_kernel(self) -> None:
        with self._lock:
            asked, self._asked = self._asked, True
        if not asked and self._kernel is not None:
            try:
                self._kernel.call_soon_threadsafe(self._in_kernel)
            except RuntimeError:  # the kernel is ending
                return
        try:
            asyncio.get_running_loop().call_later(PATIENCE, self._if_still_wanted)
        except RuntimeError:  # a click on a subshell, whose loop is not running here
            self._apply()

    def _in_kernel(self) -> None:
        with self._lock:
            self._asked = False
            late, self._made_without_the_kernel = self._made_without_the_kernel, {}
        self._apply()
        for widget, traits in late.items():
            if widget.comm is not None:
                widget.send_state(list(traits))

    def _if_still_wanted(self) -> None:
        with self._lock:
            for widget, traits in self._wanted.items():
                changed = {n: value for n, value in traits.items() if getattr(widget, n) != value}
                if changed:  # sent once more, all of a gallery is a quarter of a megabyte
                    self._made_without_the_kernel.setdefault(widget, {}).update(changed)
        self._apply()

    def _apply(self) -> None:
        with self._lock:
            wanted, self._wanted = self._wanted, {}
            for widget, traits in wanted.items():
                for name, value in traits.items():
                    setattr(widget, name, value)


def kernel_loop() -> asyncio.AbstractEventLoop | None:
    """The loop on which the kernel runs its cells; None outside a kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    io_loop = getattr(getattr(shell, "kernel", None), "io_loop", None)
    return getattr(io_loop, "asyncio_loop", None)
