"""What a batch costs its client, beside other clients that do the same: CPU, and peak memory.

All draw pictures of 1.7 MB, so many waiting at a time, each held for 2 to 4 s. They end decoded,
hashed, with a preview, on disk; only "in memory" keeps what it downloads until all are there. Ours
are also checked, noted in the ledger and safe from a loss of power.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
from PIL import Image

from nanobanana_nb.keys import Secret
from nanobanana_nb.settings import Settings
from nanobanana_nb.studio import Studio

from . import by_hand
from .adapters import FAL_APP, REPLICATE_VERSION, service
from .service import ROOT
from .table import plain, verdict

CPU_GOAL: Final = 1.1
"""Our CPU time, in that of the loop written by hand; and with 256 waiting, in that with 64."""
MEMORY_SHARE: Final = 0.05
"""Our peak, in that of gathering in memory."""
MEMORY_GOAL: Final = 16.0
"""Megabytes above idle."""
GROWTH_GOAL: Final = 17.0
"""Kilobytes by which one picture more may lift our peak: 1 % of it, for its result and its task."""
NARROW: Final = 64
WIDE: Final = 256
"""Tasks waiting at a time."""
PICTURES: Final = {NARROW: 128, WIDE: 256}
FEW: Final = 250
MANY: Final = 1000
"""Pictures, from `FEW` to `MANY` of which our peak must not grow."""
PACKAGES: Final = {"replicate": "replicate", "fal": "fal_client"}
INTERVAL: Final = 1.0
"""Seconds between looks, for us and by hand; the packages have their own."""
PROMPT: Final = "a fox in the snow, held 3 s"
WARM_UP: Final = "a fox in the snow"

Draw = Callable[[str, int], Awaitable[object]]
"""Draws so many pictures of one prompt."""


class Cost(NamedTuple):
    """Milliseconds of CPU for a picture, megabytes above idle at the peak, pictures that came."""

    cpu: float
    peak: float
    came: float


def table(samples: int) -> str:
    """Medians of `samples` processes each, taken in turns."""
    return f"{_cpu(samples)}\n\n{_memory()}"


def _cpu(samples: int) -> str:
    peers = [way for way, package in PACKAGES.items() if find_spec(package)]
    narrow = _spent(NARROW, ("studio", "by hand", *peers), samples)
    wide = _spent(WIDE, ("studio", "by hand"), samples)
    flat = wide["studio"].cpu / narrow["studio"].cpu
    goal = f"<= {CPU_GOAL}"
    rows = [*_cpu_rows(NARROW, narrow), *_cpu_rows(WIDE, wide)]
    rows += [[f"{_NAMES[way]}: not installed", *[""] * 6] for way in PACKAGES if way not in narrow]
    rows += [[f"Studio, {WIDE} / {NARROW}", "", "", "", f"{flat:.2f}", goal, _met(flat)]]
    head = ("", "waiting", "came", "CPU ms", "/ by hand", "goal", "")
    return plain(f"BATCH, CPU per picture (medians of {samples})", head, rows)


def _spent(width: int, ways: Sequence[str], samples: int) -> dict[str, Cost]:
    """Medians of what each way costs."""
    taken: dict[str, list[Cost]] = {way: [] for way in ways}
    with service(width) as url:
        for number in range(samples):
            for way in ways if number % 2 == 0 else reversed(ways):
                taken[way].append(_cost(way, url, PICTURES[width], width))
    return {
        way: Cost(*map(statistics.median, zip(*of_it, strict=True))) for way, of_it in taken.items()
    }


def _cpu_rows(width: int, costs: dict[str, Cost]) -> list[list[str]]:
    rows = []
    for way, cost in costs.items():
        ratio = cost.cpu / costs["by hand"].cpu
        goal = [f"<= {CPU_GOAL}", _met(ratio)] if way == "studio" else ["", ""]
        came = f"{cost.came:.0f} of {PICTURES[width]}"
        figures = [str(width), came, f"{cost.cpu:.1f}", f"{ratio:.2f}"]
        rows.append([_NAMES[way], *figures, *goal])
    return rows


def _met(ratio: float) -> str:
    return verdict(ratio <= CPU_GOAL)


def _memory() -> str:
    with service(WIDE) as url:
        kept = _cost("in memory", url, MANY, WIDE).peak
        few, many = (_cost("studio", url, count, WIDE).peak for count in (FEW, MANY))
    growth = 1000 * (many - few) / (MANY - FEW)
    small = verdict(many <= MEMORY_SHARE * kept and many <= MEMORY_GOAL)
    goal = f"<= {MEMORY_SHARE}, <= {MEMORY_GOAL:.0f} MB"
    flat = [f"<= {GROWTH_GOAL:.0f} kB", verdict(growth <= GROWTH_GOAL)]
    rows = [
        [_NAMES["in memory"], f"{MANY}", f"{kept:.1f}", "1.000", "", ""],
        ["Studio", f"{FEW}", f"{few:.1f}", f"{few / kept:.3f}", "", ""],
        ["Studio", f"{MANY}", f"{many:.1f}", f"{many / kept:.3f}", goal, small],
        ["Studio, for one more", "", f"{growth / 1000:.4f}", "", *flat],
    ]
    head = ("", "pictures", "peak MB", "/ in memory", "goal", "")
    return plain(f"BATCH, peak memory above idle ({WIDE} waiting at a time)", head, rows)


def _cost(way: str, url: str, count: int, width: int) -> Cost:
    """What that many pictures cost, in a fresh process."""
    command = [sys.executable, "-m", __name__, way, url, str(count), str(width)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    return Cost(*json.loads(done.stdout))


# What follows runs in a process of its own.


async def _measured(draw: Draw, count: int) -> tuple[float, float]:
    """CPU milliseconds for a picture and peak megabytes above idle, once warmed up."""
    await draw(WARM_UP, 4)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    idle, cpu = _memory_line("VmRSS"), time.process_time()
    await draw(PROMPT, count)
    cpu = time.process_time() - cpu
    return 1000 * cpu / count, _memory_line("VmHWM") - idle


def _memory_line(name: str) -> float:
    """Megabytes of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1000


async def _studio(url: str, home: Path, count: int, width: int) -> tuple[float, float]:
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
        return await _measured(
            lambda prompt, count: studio.batch([prompt] * count, new=True, confirm=True), count
        )


async def _by_hand(url: str, folder: Path, count: int, width: int) -> tuple[float, float]:
    async with _http(url) as http:

        async def one(prompt: str) -> None:
            link = await _finished(http, prompt)
            await _downloaded(http, link, folder)

        return await _measured(_gathered(one, width), count)


async def _in_memory(url: str, folder: Path, count: int, width: int) -> tuple[float, float]:
    async with _http(url) as http:

        async def one(prompt: str) -> bytes:
            return (await http.get(await _finished(http, prompt))).raise_for_status().content

        return await _measured(_gathered(one, width), count)


async def _replicate(url: str, folder: Path, count: int, width: int) -> tuple[float, float]:
    from replicate.client import Client

    client = Client("sandbox", base_url=url, timeout=httpx.Timeout(60))
    async with _http(url) as http:

        async def one(prompt: str) -> None:
            asked = {"prompt": prompt}
            made = await client.predictions.async_create(version=REPLICATE_VERSION, input=asked)
            await made.async_wait()
            await _downloaded(http, made.output, folder)

        return await _measured(_gathered(one, width), count)


async def _fal(url: str, folder: Path, count: int, width: int) -> tuple[float, float]:
    import fal_client
    from fal_client import client as inner

    inner.QUEUE_URL_FORMAT = f"{url}/"  # its own setting is for https only
    client = fal_client.AsyncClient(key="sandbox")
    async with _http(url) as http:

        async def one(prompt: str) -> None:
            result = await client.subscribe(FAL_APP, {"prompt": prompt})
            await _downloaded(http, result["images"][0]["url"], folder)

        return await _measured(_gathered(one, width), count)


def _http(url: str) -> httpx.AsyncClient:
    """With the pool of 100 connections that httpx has by itself, and time to wait for them."""
    return httpx.AsyncClient(base_url=url, headers={"Authorization": "Bearer sandbox"}, timeout=60)


def _gathered(one: Callable[[str], Awaitable[Any]], width: int) -> Draw:
    """All at once, as far as the semaphore lets them."""
    gate = asyncio.Semaphore(width)

    async def in_turn(prompt: str) -> Any:
        async with gate:
            return await one(prompt)

    async def draw(prompt: str, count: int) -> object:
        return await asyncio.gather(*(in_turn(prompt) for _ in range(count)))

    return draw


async def _finished(http: httpx.AsyncClient, prompt: str) -> str:
    """Submit and poll; the link to the picture."""
    asked = {"mode": "text-to-image", "prompt": prompt, "aspect_ratio": "1:1"}
    body = {"request_type": "async", "input": {**asked, "output_format": "png"}}
    answer = await http.post("/api/v1/generateTask/nano-banana", json=body)
    task = {"taskId": answer.raise_for_status().json()["data"]["taskId"]}
    while True:
        answer = await http.get("/api/v1/statusTask/nano-banana", params=task)
        data = answer.raise_for_status().json()["data"]
        if data["state"] == "success":
            return str(json.loads(data["resultJson"])["resultUrls"][0])
        await asyncio.sleep(INTERVAL)


async def _downloaded(http: httpx.AsyncClient, link: str, folder: Path) -> None:
    """Stream a picture into the folder; then look at it in a thread."""
    file = folder / link.rpartition("/")[2]
    async with http.stream("GET", link) as response:
        response.raise_for_status()
        with file.open("wb") as target:
            async for piece in response.aiter_bytes():
                target.write(piece)
    await asyncio.to_thread(_looked_at, file)


def _looked_at(file: Path) -> str:
    with Image.open(file) as image:
        image.load()
        file.with_suffix(".jpg").write_bytes(by_hand.preview(image))
    return hashlib.sha256(file.read_bytes()).hexdigest()


_WAYS: Final = {
    "studio": _studio,
    "by hand": _by_hand,
    "replicate": _replicate,
    "fal": _fal,
    "in memory": _in_memory,
}
_NAMES: Final = {
    "studio": "Studio",
    "by hand": "by hand, httpx",
    "replicate": "replicate",
    "fal": "fal-client",
    "in memory": "by hand, all in memory",
}


def _main(way: str, url: str, count: str, width: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cpu, peak = asyncio.run(_WAYS[way](url, folder, int(count), int(width)))
        came = len(list(folder.rglob("*.png"))) - 4
    print(json.dumps([cpu, peak, came]))


if __name__ == "__main__":
    _main(*sys.argv[1:])
