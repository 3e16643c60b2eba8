"""What takes the place of the chosen picture for a while: the same one large, or two compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets

from .brush import Brush
from .parts import Parts


class Overlay:
    """Holds the picture only while it is open, so that the panel stays light."""

    def __init__(
        self, parts: Parts, brush: Brush, beneath: ipywidgets.Widget, keep: Callable[[Any], None]
    ) -> None:
        self._brush = brush
        self._beneath = beneath
        self._shown: Any = None
        self._picture = parts.html("fullview")
        self.widget = parts.box(
            "large off",
            parts.button("small", "Put it into the notebook", lambda: keep(self._shown)),
            parts.button("small close", "Close", self.hide, "Close (Escape)"),
            self._picture,
        )

    def show(self, shown: Any, html: str) -> None:
        """Open it; `shown` is what `keep` gets."""
        self._shown = shown
        self._brush.set(self._picture, value=html)
        self._brush.show(self.widget, True)
        self._brush.mark(self._beneath, "nbp-beneath", True)

    def hide(self) -> None:
        """Close it."""
        self._shown = None
        self._brush.set(self._picture, value="")
        self._brush.mark(self._beneath, "nbp-beneath", False)  # first: the focus goes back to it
        self._brush.show(self.widget, False)
