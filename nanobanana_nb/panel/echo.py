"""Waits until what was typed before a click has arrived.

ipywidgets sends one change of a field at a time and holds the next back until the kernel has dealt
with the first, but it sends clicks at once. So with a fast typist, a slow line or a busy kernel the
click comes first, and a cut-off prompt would be paid for. The page is therefore asked for a sign,
through a link between two traits that it follows by itself; the sign comes after all that was held
back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import ipywidgets

from .brush import kernel_loop
from .parts import Parts

PATIENCE: Final = 3.0
"""Seconds after which a page that gives no sign is taken to have said everything."""


class Echo:
    """Puts off what a click does until all that was typed before it is here.

    `clicked` is when the click that is being dealt with was made, as `asked_at` tells it.
    """

    def __init__(self, parts: Parts) -> None:
        self._asked = parts.make(ipywidgets.HTML, "echo")
        self._answer = parts.make(ipywidgets.HTML, "echo")
        self._link = ipywidgets.jsdlink((self._asked, "value"), (self._answer, "value"))
        self._answer.observe(lambda change: self._answered(change["new"]), "value")
        self._kernel = kernel_loop()
        self._count = 0
        self._waiting: dict[int, tuple[Callable[[], None], float | None]] = {}
        self.clicked: float | None = None

    def then(self, act: Callable[[], None]) -> None:
        """Call `act` once the page has said everything; at once where there is no page."""
        if self._kernel is None:
            act()
            return
        self._count += 1
        number = self._count
        self._waiting[number] = act, asked_at()
        self._kernel.call_soon_threadsafe(
            self._kernel.call_later, PATIENCE, lambda: self._act_up_to(number)
        )
        self._asked.value = str(number)

    def _answered(self, sign: str) -> None:
        if sign.isdecimal():
            self._act_up_to(int(sign))

    def _act_up_to(self, number: int) -> None:
        for due in sorted(key for key in self._waiting if key <= number):
            waiting = self._waiting.pop(due, None)
            if waiting is not None:
                act, self.clicked = waiting
                act()


def asked_at() -> float | None:
    """When the page sent the message that is being worked on, in Unix time by the page's own
    clock; None where it does not say."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is None:
        return None
    date: Any = ((shell.get_parent() or {}).get("header") or {}).get("date")
    try:
        return (date if isinstance(date, datetime) else datetime.fromisoformat(date)).timestamp()
    except (TypeError, ValueError):
        return None
