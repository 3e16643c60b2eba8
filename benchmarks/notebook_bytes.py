"""What a picture adds to the notebook file."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import nbformat

from .kernel import notebook, run
from .service import CONTENTS, PROMPTS, service
from .table import plain, verdict

GOAL = 20
"""How many times smaller than the picture itself in the notebook."""
TEN = 1.5
"""Megabytes that ten pictures may add."""


def table(pictures: int) -> str:
    """Notebooks of `pictures` cells each, run by nbclient: ours, and the same pictures shown."""
    rows, ours = [], 0.0
    for content, name in CONTENTS.items():
        png, ours, shown, pil = _measured(content, PROMPTS[:pictures])
        rows += [
            [name, f"{png / 1000:.0f}", "", "", "", ""],
            _row("  %nanobanana", ours, ours, f"ten <= {TEN} MB", ours * 10 <= TEN * 1e6),
            _row("  IPython.display.Image", shown, ours, f">= {GOAL}", shown / ours >= GOAL),
            _row("  PIL image", pil, ours, f">= {GOAL}", pil / ours >= GOAL),
        ]
    title = f"BYTES, per picture in the .ipynb (means of {pictures} pictures of 1024 x 1024)"
    least = ours * GOAL * 3 / 4 / 1e6  # base64 makes four bytes of three
    note = f"{GOAL} times is met for photo-like pictures whose PNG is larger than {least:.2f} MB."
    return f"{plain(title, ('', 'PNG kB', 'added kB', '/ ours', 'goal', ''), rows)}\n{note}"


def _measured(content: str, prompts: tuple[str, ...]) -> tuple[float, float, float, float]:
    """Bytes of a PNG, and what it adds shown by us, by `Image`, and as the value of a cell."""
    with tempfile.TemporaryDirectory() as folder, service(content) as url:
        env = {
            "APIXO_BASE_URL": url,
            "APIXO_API_KEY": "sandbox",
            "NANOBANANA_SANDBOX": "never",
            "NANOBANANA_HOME": folder,
            "NANOBANANA_FIRST_POLL": "0",
            "NANOBANANA_POLL_INTERVAL": "0.05",
        }
        ours = _added("%load_ext nanobanana_nb", [f"%nanobanana {p}" for p in prompts], env)
        files = sorted(Path(folder, "pictures").glob("*.png"))
        assert len(files) == len(prompts)
        png = statistics.mean(file.stat().st_size for file in files)
        shown = _added("from IPython.display import Image", [f"Image({str(f)!r})" for f in files])
        pil = _added("from PIL import Image", [f"Image.open({str(f)!r})" for f in files])
    return png, ours, shown, pil


def _added(first: str, cells: list[str], env: dict[str, str] | None = None) -> float:
    """Bytes that running them adds to the notebook file, for each cell but the first."""
    ran, empty = run([first, *cells], env), notebook([first, *cells])
    return (len(nbformat.writes(ran).encode()) - len(nbformat.writes(empty).encode())) / len(cells)


def _row(name: str, added: float, ours: float, goal: str, met: bool) -> list[str]:
    return [name, "", f"{added / 1000:.0f}", f"{added / ours:.1f}", goal, verdict(met)]
