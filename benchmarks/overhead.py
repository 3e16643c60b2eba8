"""What drawing one picture after another costs, beside a loop written by hand."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from nanobanana_nb.keys import Secret
from nanobanana_nb.settings import Settings
from nanobanana_nb.studio import Studio

from . import by_hand
from .service import CONTENTS, PROMPTS, ROOT, service
from .table import plain, verdict

GOAL = 1.3
"""Our cost, in costs of the loop written by hand."""
INTERVAL = 0.02
BLOCK = PROMPTS[:5]


def table(blocks: int) -> str:
    """Medians of `blocks` processes each, taken in turns; each draws a block of pictures twice."""
    rows = [row for content in CONTENTS for row in _rows(content, blocks)]
    head = ("", "CPU ms", "/ by hand", "goal", "", "wall ms", "/ by hand", "goal", "")
    title = f"OVERHEAD, per picture, {blocks * len(BLOCK)} drawn one after another"
    return plain(title, head, rows)


def _rows(content: str, blocks: int) -> list[list[str]]:
    taken: dict[str, list[list[float]]] = {"studio": [], "by hand": []}
    with service(content) as url:
        for number in range(blocks):
            for way in sorted(taken, reverse=number % 2 == 1):
                taken[way].append(_block(way, url))
    ours, theirs = (list(map(statistics.median, zip(*t, strict=True))) for t in taken.values())
    rows = [[CONTENTS[content], *[""] * 8], ["  Studio"], ["  by hand"]]
    for mine, its in zip(ours, theirs, strict=True):
        ratio = mine / its
        rows[1] += [f"{mine:.1f}", f"{ratio:.2f}", f"<= {GOAL}", verdict(ratio <= GOAL)]
        rows[2] += [f"{its:.1f}", "1.00", "", ""]
    return rows


def _block(way: str, url: str) -> list[float]:
    """Milliseconds of CPU and wall time for one picture, in a fresh process."""
    command = [sys.executable, "-m", __name__, way, url]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    return [1000 * seconds / len(BLOCK) for seconds in json.loads(done.stdout)]


async def _measured(draw: Callable[[str], Awaitable[object]]) -> tuple[float, float]:
    """Seconds of CPU and wall time for a block, drawn for the second time."""
    cpu = wall = 0.0
    for _ in range(2):
        cpu, wall = time.process_time(), time.perf_counter()
        for prompt in BLOCK:
            await draw(prompt)
    return time.process_time() - cpu, time.perf_counter() - wall


async def _studio(url: str, home: Path) -> tuple[float, float]:
    settings = Settings(
        api_key=Secret("sandbox"),
        base_url=url,
        home=home,
        pictures=home / "pictures",
        first_poll=0,
        poll_interval=INTERVAL,
        sandbox="never",
    )
    async with Studio(settings) as studio:
        return await _measured(studio.generate)


async def _by_hand(url: str, home: Path) -> tuple[float, float]:
    headers = {"Authorization": "Bearer sandbox"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as http:
        return await _measured(lambda prompt: by_hand.picture(http, prompt, home, INTERVAL))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        run = _studio if sys.argv[1] == "studio" else _by_hand
        print(json.dumps(asyncio.run(run(sys.argv[2], Path(folder)))))
