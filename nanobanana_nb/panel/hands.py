"""Keyboard, clipboard, drop and paste, with anywidget where it is installed (the extra `lab`).

Without it nothing is missing that a click cannot do.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import ipywidgets

from ..keys import in_colab
from .parts import Parts

SCRIPT: Final = Path(__file__).with_name("hands.js")

Received = Callable[[Mapping[str, Any], Sequence[Any]], None]


def made(parts: Parts, received: Received) -> ipywidgets.Widget | None:
    """The widget that listens to the page around it; None where it cannot be drawn.

    Colab draws it only with a widget manager of its own, which not everybody switches on.
    """
    if in_colab() or importlib.util.find_spec("anywidget") is None:
        return None
    anywidget = importlib.import_module("anywidget")
    kind = type("Hands", (anywidget.AnyWidget,), {"_esm": SCRIPT.read_text(encoding="utf-8")})
    hands: ipywidgets.Widget = parts.make(kind, "hands")
    hands.on_msg(lambda _, message, buffers: received(message, buffers))
    return hands
