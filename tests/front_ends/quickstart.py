"""What the quickstart shows when all its cells have run."""

from __future__ import annotations

from pathlib import Path

import nbformat

from ..harness.servers import JupyterServer

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"

_OWL = "a wise owl under the moon, ink on paper"
PICTURES = [
    ["a fox in watercolor"],
    ["a lighthouse at sunrise, is anybody home?"],
    [_OWL, _OWL, _OWL, _OWL],
    ["the same, on a starry night"],
    ["a red boat on a calm sea"],
    ["by night, with a full moon"],
]
"""The prompts of the pictures in each output that has some, in order."""

FAILURE = (
    "The prompt or a reference picture was refused for its content "
    "(CONTENT_VIOLATION). It says: “Content does not meet safety guidelines”. "
    "Change the prompt or the picture."
)
"""What happened, why, and what to do next: all that the failing cell prints."""

WAITING_CELLS = [1, 2, 5, 6, 7, 8]
"""The code cells that show progress; the one with an `await` goes on without."""


def put_quickstart(server: JupyterServer, folder: str, kernel: str = "python3") -> str:
    """Copy the quickstart into a new folder of the server and return its name there."""
    return put_notebook(server, QUICKSTART, folder, kernel)


def put_notebook(server: JupyterServer, file: Path, folder: str, kernel: str = "python3") -> str:
    """Copy a notebook of ours into a new folder of the server and return its name there."""
    notebook = nbformat.read(file, as_version=4)
    notebook.metadata["kernelspec"]["name"] = kernel
    (server.root / folder).mkdir()
    nbformat.write(notebook, server.root / folder / file.name)
    return f"{folder}/{file.name}"
