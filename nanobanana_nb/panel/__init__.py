"""The panel: drawing by hand in a notebook, with plain ipywidgets (7.7 and 8)."""

from .panel import Panel as Panel
