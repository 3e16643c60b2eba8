"""What a job costs that waits to be sent, beside one that waits in httpx's own pool.

Ours are those of a batch for an account that takes one task at a time. Their rows in the ledger are
counted apart: memory is that of Python's objects, and CPU time that of all threads but its own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import httpx

from nanobanana_nb.keys import Secret
from nanobanana_nb.settings import Settings
from nanobanana_nb.studio import Studio

from .adapters import service
from .service import ROOT
from .table import plain, verdict

COUNTS: Final = (1_000, 4_000, 10_000)
POOLED: Final = 1_000
"""With 4,000 the pool takes most of a minute."""
MEMORY_GOAL: Final = 3.0
"""Kilobytes for a job."""
TIME_GOAL: Final = 30.0
"""Microseconds of CPU for a job."""
LINEAR: Final = 1.5
"""What the most may cost, each, in costs of the fewest."""
PROMPT: Final = "a lighthouse at dusk, held 3600 s"
WARM_UP: Final = "a lighthouse at dusk"
PATIENCE: Final = 120.0
SETTLED: Final = 1.0
"""Seconds after which nothing more goes on."""


def table(samples: int) -> str:
    """Medians of `samples` processes each, taken in turns; memory hardly differs, so once."""
    memory = {count: _figure("memory", "studio", count) for count in COUNTS}
    taken: dict[int, list[float]] = {count: [] for count in COUNTS}
    for _ in range(samples):
        for count, of_it in taken.items():
            of_it.append(_figure("time", "studio", count))
    spent = {count: statistics.median(of_it) for count, of_it in taken.items()}
    rows = [_row(count, memory[count], spent[count]) for count in COUNTS]
    rows += [_linear(memory, spent), _pooled()]
    head = ("", "jobs", "KB each", "goal", "", "CPU us each", "goal", "")
    return plain(f"WAITING to be sent, a job (medians of {samples})", head, rows)


def _row(count: int, memory: float, spent: float) -> list[str]:
    light = [f"<= {MEMORY_GOAL:.0f}", verdict(memory <= MEMORY_GOAL)]
    quick = [f"<= {TIME_GOAL:.0f}", verdict(spent <= TIME_GOAL)]
    return ["Studio", f"{count:,}", f"{memory:.2f}", *light, f"{spent:.0f}", *quick]


def _linear(memory: dict[int, float], spent: dict[int, float]) -> list[str]:
    few, many = COUNTS[0], COUNTS[-1]
    row = [f"Studio, {many:,} / {few:,}", ""]
    for each in (memory, spent):
        growth = each[many] / each[few]
        row += [f"{growth:.2f}", f"<= {LINEAR}", verdict(growth <= LINEAR)]
    return row


def _pooled() -> list[str]:
    memory, spent = (_figure(what, "httpx", POOLED) for what in ("memory", "time"))
    return ["in httpx's pool", f"{POOLED:,}", f"{memory:.2f}", "", "", f"{spent:.0f}", "", ""]


def _figure(what: str, way: str, count: int) -> float:
    """Kilobytes or microseconds for one of so many jobs, in a fresh process, of a fresh account."""
    with tempfile.TemporaryDirectory() as home, service(at_once=1) as url:
        command = [sys.executable, "-m", __name__, what, way, str(count), home, url]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    return float(json.loads(done.stdout)) / count


# What follows runs in a process of its own, which ends in the midst of it.


def _kilobytes() -> float:
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1000


def _microseconds() -> float:
    """CPU time of all threads but the ledger's."""
    writers = (one for one in threading.enumerate() if one.name == "nanobanana_nb-ledger")
    clocks = (time.pthread_getcpuclockid(one.ident) for one in writers if one.ident)
    return 1e6 * (time.process_time() - sum(map(time.clock_gettime, clocks)))


async def _studio(count: int, measure: Callable[[], float], home: Path, url: str) -> float:
    settings = Settings(
        api_key=Secret("sandbox"),
        base_url=url,
        home=home,
        pictures=home / "pictures",
        first_poll=0,
        poll_interval=5,
        sandbox="never",
    )
    studio = Studio(settings)
    await studio.generate(WARM_UP)
    before = measure()
    studio.start(studio.batch([PROMPT] * count, new=True, confirm=True))
    until = time.monotonic() + PATIENCE
    while (await studio.page(limit=1)).total <= count:
        assert time.monotonic() < until, "not all of them were noted in the ledger"
        await asyncio.sleep(SETTLED / 2)
    await asyncio.sleep(SETTLED)
    return measure() - before


async def _httpx(count: int, measure: Callable[[], float], home: Path, url: str) -> float:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(PATIENCE)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    address = "http://{}:{}".format(*server.sockets[0].getsockname())
    http = httpx.AsyncClient(limits=httpx.Limits(max_connections=1), timeout=None)
    before = measure()
    waiting = [asyncio.ensure_future(http.get(address)) for _ in range(count)]
    await asyncio.sleep(SETTLED)
    assert not any(one.done() for one in waiting)
    return measure() - before


def _main(what: str, way: str, count: str, home: str, url: str) -> None:
    if what == "memory":
        tracemalloc.start()
    measure = _kilobytes if what == "memory" else _microseconds
    wait = _studio if way == "studio" else _httpx
    asyncio.run(_told(wait(int(count), measure, Path(home), url)))


async def _told(figure: Awaitable[float]) -> None:
    """Print the figure, and end: to take back what waits would take longer than all the rest."""
    print(json.dumps(await figure), flush=True)
    os._exit(0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
