"""Widgets as the panel uses them: named by a class for its style sheet, light on models.

Every widget of ipywidgets brings a Layout and a Style of its own, so that a button costs three
models. Here all widgets of a panel share one layout, and few styles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import ipywidgets

from .. import models

W = TypeVar("W", bound=ipywidgets.Widget)

_TOOLTIPS: Final = {"tooltip", "description_tooltip"}
"""As ipywidgets 8 and 7 call it."""


class Parts:
    """Makes the widgets of one panel."""

    def __init__(self) -> None:
        self._layout = ipywidgets.Layout()
        self._styles: list[ipywidgets.Widget] = []
        self._made: list[ipywidgets.Widget] = []

    def make(self, kind: type[W], name: str, **traits: Any) -> W:
        """A widget of that kind; `name` becomes its class in the page, `nbp-...`."""
        style = kind.class_traits().get("style")
        if style is not None:
            traits["style"] = self._style(style.klass)
        # Without one, some of them show the word "null" to a mouse.
        for tooltip in _TOOLTIPS & kind.class_traits().keys():
            traits.setdefault(tooltip, "")
        made: W = kind(layout=self._layout, _dom_classes=classes(name), **traits)
        self._made.append(made)
        _let_the_page_choose_the_shell(made)
        return made

    def _style(self, kind: type[ipywidgets.Widget]) -> ipywidgets.Widget:
        """One of that kind or of a narrower one: ours say nothing, so that any of them will do."""
        found = next((style for style in self._styles if isinstance(style, kind)), None)
        if found is None:
            found = kind()
            self._styles.append(found)
        return found

    def close(self) -> None:
        """Take all of them away, from the page and from the kernel."""
        for widget in (*self._made, *self._styles, self._layout):
            widget.close()

    def box(self, name: str, *children: ipywidgets.Widget) -> ipywidgets.Box:
        return self.make(ipywidgets.Box, name, children=children)

    def html(self, name: str, value: str = "") -> ipywidgets.HTML:
        return self.make(ipywidgets.HTML, name, value=value)

    def button(
        self, name: str, label: str, clicked: Callable[[], None], tooltip: str = ""
    ) -> ipywidgets.Button:
        """A button; `label` is its name for eyes and screen readers alike."""
        made = self.make(ipywidgets.Button, name, description=label, tooltip=tooltip or label)
        made.on_click(lambda _: clicked())
        return made

    def ratios(self) -> ipywidgets.ToggleButtons:
        """The ratios to choose from; the style sheet draws each as its shape."""
        options = [(ratio, ratio) for ratio in models.ASPECT_RATIOS]
        return self.make(
            ipywidgets.ToggleButtons,
            "ratio",
            options=options,
            value="1:1",
            description="Aspect ratio",
        )


def _let_the_page_choose_the_shell(widget: ipywidgets.Widget) -> None:
    """ipykernel 7.4 hands a click to the shell that wrote to the widget last, where it waits for
    the running cell; JupyterLab sends it to a subshell, which has time. Nothing happens where this
    private name does not exist."""
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = None


def classes(*names: str) -> tuple[str, ...]:
    """Names of the panel's own as classes of the page."""
    return tuple(f"nbp-{name}" for name in " ".join(names).split())
