"""What a home costs that holds 100,000 pictures, beside an empty one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nanobanana_nb.keys import Secret
from nanobanana_nb.ledger import Ledger
from nanobanana_nb.settings import Settings
from nanobanana_nb.studio import Studio

from .service import ROOT
from .table import plain

ROWS: Final = 100_000
SUBJECTS: Final = ("fox", "owl", "lighthouse", "castle", "boat", "robot", "cat", "tree", "cup")
RARE: Final = "axolotl"
"""Stands in one of a thousand prompts."""
MEASURED: Final = ("open", "first page", "history, a rare word", "history, one in ten")


def table(samples: int) -> str:
    """Medians of `samples` processes each, taken in turns."""
    taken: dict[str, list[list[float]]] = {"empty": [], "full": []}
    with tempfile.TemporaryDirectory() as folder:
        for home in taken:
            _make(Path(folder, home), ROWS if home == "full" else 0)
        for _ in range(samples):
            for home, of_it in taken.items():
                of_it.append(_sample(Path(folder, home)))
    empty, full = (list(map(statistics.median, zip(*t, strict=True))) for t in taken.values())
    rows = [
        [name, f"{little:.1f}", f"{much:.1f}", f"{much / little:.1f}"]
        for name, little, much in zip(MEASURED, empty, full, strict=True)
    ]
    head = ("", "empty, ms", f"{ROWS:,} rows, ms", "/ empty")
    return plain(f"HOMES, CPU time of a fresh process (medians of {samples})", head, rows)


def _sample(home: Path) -> list[float]:
    command = [sys.executable, "-m", __name__, str(home)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    return [float(each) for each in json.loads(done.stdout)]


def _make(home: Path, rows: int) -> None:
    """A home whose ledger holds so many stored pictures, one a minute."""
    home.mkdir()
    file = home / "ledger.sqlite3"
    Ledger(file).close()
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        first = time.time() - 60 * rows
        db.executemany(
            "INSERT INTO task (id, state, model, origin, prompt, aspect_ratio, output_format, "
            "image_urls, price, created, changed, task_id, seconds, sent, day) VALUES (?, 'stored',"
            " 'nano-banana', 'https://api.apixo.ai', ?, '1:1', 'png', '[]', '0.03', ?, ?, ?, 17.5,"
            " ?, date(?, 'unixepoch', 'localtime'))",
            (
                (f"{n:08x}", _prompt(n), *[first + 60 * n] * 2, f"{n:032x}", *[first + 60 * n] * 2)
                for n in range(rows)
            ),
        )
        db.executemany(
            "INSERT INTO picture (task, position, url, file, sha256, width, height) "
            "VALUES (?, 0, ?, ?, ?, 1024, 1024)",
            (
                (f"{n:08x}", f"https://files/{n:032x}.png", f"{home}/{n:08x}.png", f"{n:064x}")
                for n in range(rows)
            ),
        )


def _prompt(number: int) -> str:
    """As long as prompts are."""
    subject = RARE if number % 1000 == 0 else SUBJECTS[number % 10 % len(SUBJECTS)]
    return f"a {subject} in the snow at dusk, number {number}, in watercolor, soft light from above"


# What follows runs in a process of its own.


async def _measured(home: Path) -> list[float]:
    """Milliseconds of CPU for each of `MEASURED`."""
    spent: list[float] = []
    settings = Settings(
        api_key=Secret("sandbox"), home=home, pictures=home / "pictures", sandbox="never"
    )
    with _noted(spent):
        studio = Studio(settings)
        await studio.spending()
    with _noted(spent):
        await studio.page()
    for word in (RARE, SUBJECTS[-1]):
        with _noted(spent):
            await studio.history(word)
    await asyncio.to_thread(studio.close)
    return spent


@contextlib.contextmanager
def _noted(spent: list[float]) -> Iterator[None]:
    begun = time.process_time()
    yield
    spent.append(1000 * (time.process_time() - begun))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measured(Path(sys.argv[1])))))
