"""STALLS: for how long the event loop stands still while pictures are stored, and at first.

A timer of one millisecond runs beside the work; what it is late by is a stall. Where the system
tells (Linux), the time is left out for which other work had all processors: that is no stall of
ours. "with all" has it in.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from nanobanana_nb.client import Client
from nanobanana_nb.pictures import PictureStore

from .previews import photo
from .service import ROOT
from .table import plain, verdict

KINDS = ("1024 PNG", "4K PNG")
LONGEST, P99 = 10.0, 5.0
"""Milliseconds."""
OF_INLINE, OF_CLIENT = 0.06, 0.2
PIECE = 1 << 16
CLIENTS = 9
SCHEDULE = Path("/proc/thread-self/schedstat")


@dataclass(frozen=True)
class Stall:
    """Milliseconds; `late` has in it what other work on the machine took."""

    longest: float
    p99: float
    late: float


def table(pictures: int) -> str:
    """So many pictures of each kind, and a few inline; the client in fresh processes, in turns."""
    rows = [row for kind in KINDS for row in _kept(kind, pictures)]
    head = ("", "longest ms", "goal", "", "p99 ms", "goal", "", "/ inline", "goal", "", "with all")
    return plain(f"STALLS of the loop ({pictures} pictures)", head, [*rows, *_first_call()])


def _kept(kind: str, pictures: int) -> list[list[str]]:
    data, few = photo(kind), max(3, pictures // 8)
    idle = asyncio.run(_stall(asyncio.sleep(1)))
    inline = asyncio.run(_storing(data, few, _inline))
    aside = asyncio.run(_storing(data, pictures, _aside))
    ratio = aside.longest / inline.longest
    # One small picture inline takes only a few times as long as a timer is late by itself.
    of_inline = ("", "") if kind.startswith("1024") else _goal(ratio, OF_INLINE)
    return [
        [kind, *[""] * 10],
        ["  idle", f"{idle.longest:.1f}", "", "", f"{idle.p99:.1f}", *[""] * 5, f"{idle.late:.1f}"],
        [
            "  aside",
            f"{aside.longest:.1f}",
            *_goal(aside.longest, LONGEST),
            f"{aside.p99:.1f}",
            *_goal(aside.p99, P99),
            f"{ratio:.2f}",
            *of_inline,
            f"{aside.late:.1f}",
        ],
        [
            "  inline",
            f"{inline.longest:.1f}",
            "",
            "",
            f"{inline.p99:.1f}",
            "",
            "",
            "1.00",
            "",
            "",
            f"{inline.late:.1f}",
        ],
    ]


def _goal(figure: float, goal: float) -> tuple[str, str]:
    return f"<= {goal:g}", verdict(figure <= goal)


async def _stall(work: Awaitable[object]) -> Stall:
    """By how much a timer of one millisecond is late while the work is done."""
    gaps: list[tuple[float, float]] = []

    async def tick() -> None:
        last, waited = time.perf_counter(), _waited()
        while True:
            await asyncio.sleep(0.001)
            now, by_now = time.perf_counter(), _waited()
            late = 1000 * (now - last)
            gaps.append((late - (by_now - waited), late))
            last, waited = now, by_now

    ticking = asyncio.ensure_future(tick())
    await asyncio.sleep(0.05)
    gaps.clear()
    await work
    await asyncio.sleep(0.01)
    ticking.cancel()
    own, late = (sorted(column) for column in zip(*gaps, strict=True))
    return Stall(own[-1], own[len(own) * 99 // 100], late[-1])


def _waited() -> float:
    """Milliseconds for which this thread was ready and got no processor."""
    try:
        return int(SCHEDULE.read_text().split()[1]) / 1e6
    except OSError:
        return 0.0


Keep = Callable[[PictureStore, bytes, Sequence[str]], Awaitable[object]]


async def _storing(data: bytes, pictures: int, keep: Keep) -> Stall:
    with tempfile.TemporaryDirectory() as folder:
        store = PictureStore(Path(folder, "pictures"), Path(folder, "previews"))
        ids = [f"{number:08}" for number in range(pictures)]
        try:
            return await _stall(keep(store, data, ids))
        finally:
            store.close()


async def _aside(store: PictureStore, data: bytes, ids: Sequence[str]) -> None:
    """As pictures come from the network: in pieces, between which the loop does other work."""

    async def one(id_: str) -> None:
        async with store.room:
            incoming = store.incoming()
            for at in range(0, len(data), PIECE):
                incoming.write(data[at : at + PIECE])
                await asyncio.sleep(0)
            await store.keep_aside(incoming, "a fox", id_, 0.0, {})

    await asyncio.gather(*map(one, ids))


async def _inline(store: PictureStore, data: bytes, ids: Sequence[str]) -> None:
    """On the loop itself, which has a chance to run between two pictures."""
    for id_ in ids:
        with store.incoming() as incoming:
            incoming.write(data)
            store.keep(incoming, "a fox", id_, 0.0, {})
        await asyncio.sleep(0.002)


def _first_call() -> list[list[str]]:
    taken: dict[str, list[Stall]] = {"ours": [], "httpx": []}
    for number in range(CLIENTS):
        for way in sorted(taken, reverse=number % 2 == 1):
            command = [sys.executable, "-m", __name__, way]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
            taken[way].append(Stall(*json.loads(done.stdout)))
    ours, theirs = (statistics.median(one.longest for one in t) for t in taken.values())
    lates = [statistics.median(one.late for one in t) for t in taken.values()]
    ratio = ours / theirs
    return [
        [f"the HTTP client (medians of {CLIENTS})", *[""] * 10],
        [
            "  ours",
            f"{ours:.1f}",
            *[""] * 5,
            f"{ratio:.2f}",
            *_goal(ratio, OF_CLIENT),
            f"{lates[0]:.1f}",
        ],
        ["  AsyncClient()", f"{theirs:.1f}", *[""] * 5, "1.00", "", "", f"{lates[1]:.1f}"],
    ]


async def _ours() -> None:
    async with await asyncio.to_thread(Client, "key") as client:  # on a thread, as the workshop
        for purpose in ("submit", "ask", "fetch"):
            await client._http(purpose)


async def _theirs() -> None:
    async with httpx.AsyncClient():
        pass


if __name__ == "__main__":
    with contextlib.closing(_ours() if sys.argv[1] == "ours" else _theirs()) as made:
        stall = asyncio.run(_stall(made))
    print(json.dumps([stall.longest, stall.p99, stall.late]))
