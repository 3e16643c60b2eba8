"""Cells run in a fresh kernel of this interpreter."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from nbclient import NotebookClient
from nbformat import NotebookNode, v4


def notebook(cells: Sequence[str]) -> NotebookNode:
    """A notebook of code cells, not run yet."""
    return v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])


def run(cells: Sequence[str], env: Mapping[str, str] | None = None) -> NotebookNode:
    """The same, run from top to bottom; raises what a cell raises."""
    executed = notebook(cells)
    client = NotebookClient(
        executed,
        timeout=120,
        kernel_name="python3",
        record_timing=False,
        shutdown_kernel="immediate",
        extra_arguments=["--Application.log_level=ERROR"],
    )
    client.execute(env={**os.environ, **(env or {})})
    return executed
