"""FLOOD: the callback receiver under rubbish, and what it does to real callbacks meanwhile.

`python -m benchmarks.flood [--seconds 20] [--rate 1000]`. The receiver, the rubbish and the real
callbacks are a process each. Rubbish is a mix of GETs, wrong tokens, tokens of the right shape,
garbage and 100 kB at a real address, and connections that never get to a request. Memory is looked
at where the system tells (Linux), after a warm-up under the same flood.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import itertools
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from nanobanana_nb import ImageRequest, Settings, tokens
from nanobanana_nb.ledger import Ledger
from nanobanana_nb.rows import Account
from nanobanana_nb.webhook import serve

from .service import ROOT
from .table import plain, verdict

RATE: Final = 1000
"""Rubbish requests a second."""
EVERY: Final = 0.5
"""Seconds from one real callback to the next."""
WARM_UP: Final = 5
"""Seconds of flood before memory counts."""
CALM: Final = 10
"""Real callbacks without a flood."""
IN_FLIGHT: Final = 200
HALF_OPEN: Final = 300
"""Connections that the flood holds at a time."""
SLOWEST: Final = 1000.0
"""Milliseconds; the API waits 30 s."""
GROWTH: Final = 8.0
"""MB."""


@dataclass
class Usage:
    """What a process used while it was watched: MB, and seconds of processor."""

    before: float = 0.0
    highest: float = 0.0
    after: float = 0.0
    cpu: float = 0.0


@dataclass
class Calls:
    """Real callbacks: milliseconds each, and how many were not answered with 200."""

    took: list[float] = field(default_factory=list)
    refused: int = 0


def table(seconds: int) -> str:
    """So many seconds of flood."""
    return measured(seconds, RATE)


def measured(seconds: int, rate: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        attempts, spare, made = _home(Path(folder), CALM + int(seconds / EVERY))
        with _process("--serve", folder) as receiver:
            url = _line(receiver)
            calm = _called(url, attempts[:CALM], 0.05)
            _flooded(url, spare, WARM_UP, rate)
            with (
                _watched(receiver.pid) as usage,
                _process(*_flood(url, spare, seconds, rate)) as flood,
            ):
                begun = time.monotonic()
                under = _called(url, attempts[CALM:], EVERY)
                rubbish = json.loads(_line(flood))
                took = time.monotonic() - begun
        kept = _kept(Path(folder), made)
    return _shown(seconds, rate, took, rubbish, usage, calm, under, kept, len(attempts))


def _home(folder: Path, count: int) -> tuple[list[str], str, set[str]]:
    """A home with so many attempts: the tokens of these, another one, and their ids."""

    async def made() -> tuple[list[str], str, set[str]]:
        secret = await ledger.receiver_secret()
        rows = [
            await ledger.add(ImageRequest("a fox"), Account("https://api"))
            for _ in range(count + 1)
        ]
        minted = [tokens.mint(secret, row.id) for row in rows]
        return minted[1:], minted[0], {row.id for row in rows[1:]}

    ledger = Ledger(folder / "ledger.sqlite3")
    try:
        return asyncio.run(made())
    finally:
        ledger.close()


def _kept(folder: Path, ids: set[str]) -> int:
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite3")) as db:
        return sum(task in ids for (task,) in db.execute("SELECT task FROM callback"))


def _called(url: str, minted: Sequence[str], every: float) -> Calls:
    """Post a callback for each, on a new connection, as the API would."""
    calls = Calls()
    begun = time.monotonic()
    for number, token in enumerate(minted):
        time.sleep(max(0.0, begun + number * every - time.monotonic()))
        since = time.perf_counter()
        calls.refused += _post(url, token, f"task_{number}") != 200
        calls.took.append(1000 * (time.perf_counter() - since))
    return calls


def _post(url: str, token: str, task_id: str) -> int:
    told = {"code": 200, "message": "success", "data": {"taskId": task_id, "state": "success"}}
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        connection.request("POST", f"/{token}", json.dumps(told))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _flooded(url: str, spare: str, seconds: int, rate: int) -> None:
    with _process(*_flood(url, spare, seconds, rate)) as flood:
        _line(flood)


def _flood(url: str, spare: str, seconds: int, rate: int) -> tuple[str, ...]:
    return "--flood", url, spare, "--seconds", str(seconds), "--rate", str(rate)


@contextlib.contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", __spec__.name, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.terminate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError("a process of the benchmark has ended")
    return line


@contextlib.contextmanager
def _watched(pid: int) -> Iterator[Usage]:
    usage, done = Usage(), threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            usage.highest = max(usage.highest, _megabytes(pid))

    usage.before, begun = _megabytes(pid), _cpu(pid)
    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    yield usage
    done.set()
    looking.join()
    usage.after, usage.cpu = _megabytes(pid), _cpu(pid) - begun


def _megabytes(pid: int) -> float:
    """Resident; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _cpu(pid: int) -> float:
    """Seconds of processor by now; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _shown(
    seconds: int,
    rate: int,
    took: float,
    rubbish: dict[str, int],
    usage: Usage,
    calm: Calls,
    under: Calls,
    kept: int,
    expected: int,
) -> str:
    grown, slowest = usage.highest - usage.before, max(under.took)
    refused = calm.refused + under.refused
    answers = ", ".join(f"{count} {what}" for what, count in sorted(rubbish.items()))
    sent = sum(rubbish.values()) / seconds
    rows = [
        ["rubbish a second", f"{sent:.0f}", f">= {0.9 * rate:.0f}", verdict(sent >= 0.9 * rate)],
        ["processor of the receiver, %", f"{100 * usage.cpu / took:.0f}", "", ""],
        ["memory before, MB", f"{usage.before:.1f}", "", ""],
        ["  highest", f"{usage.highest:.1f}", "", ""],
        ["  after", f"{usage.after:.1f}", "", ""],
        ["  growth", f"{grown:.1f}", f"< {GROWTH:g}", verdict(grown < GROWTH)],
        ["callback in calm, median ms", f"{statistics.median(calm.took):.1f}", "", ""],
        ["callback in the flood, median ms", f"{statistics.median(under.took):.1f}", "", ""],
        ["  slowest", f"{slowest:.1f}", f"< {SLOWEST:g}", verdict(slowest < SLOWEST)],
        ["  not answered with 200", str(refused), "0", verdict(not refused)],
        ["  on disk", f"{kept} of {expected}", "all", verdict(kept == expected)],
    ]
    title = f"FLOOD of {rate} a second, {seconds} s ({answers})"
    return plain(title, ("", "", "goal", ""), rows)


class Flood:
    """Rubbish, at a steady rate, from new connections and kept ones."""

    def __init__(self, url: str, real: str) -> None:
        self._host, self._port = urlsplit(url).hostname, urlsplit(url).port
        self._answers: Counter[str] = Counter()
        self._kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._held: list[asyncio.StreamWriter] = []
        self._chance = random.Random(1)
        garbage, wrong = "{" + "x" * 500, f"{real[:-1]}{'0' if real[-1] != '0' else '1'}"
        self._requests = {
            "GET": b"GET /favicon.ico HTTP/1.1\r\nHost: a\r\n\r\n",
            "nowhere": _request("wp-login.php", garbage),
            "wrong": _request(wrong, garbage),
            "garbage": _request(real, garbage),
            "long": _request(wrong, "x" * 100_000),
            "long, real": _request(real, "x" * 100_000),
        }

    async def run(self, seconds: float, rate: float) -> dict[str, int]:
        """How many were answered how; `cut`: the connection was closed before an answer."""
        room = asyncio.Semaphore(IN_FLIGHT)
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                await room.acquire()
                due = begun + number / rate
                if due > begun + seconds or time.monotonic() > begun + seconds:
                    break
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                group.create_task(self._one(number)).add_done_callback(lambda _: room.release())
        return dict(self._answers)

    async def _one(self, number: int) -> None:
        kind = (*self._requests, "garbage", "wrong", "nowhere", "half-open")[number % 10]
        try:
            async with asyncio.timeout(30):
                what = await (self._half_open() if kind == "half-open" else self._ask(kind))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            what = "cut"
        self._answers[what] += 1

    async def _ask(self, kind: str) -> str:
        reader, writer = (
            self._kept.pop() if kind == "garbage" and self._kept else await self._open()
        )
        try:
            writer.write(self._requests[kind])
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
        except BaseException:
            writer.transport.abort()
            raise
        if b"connection: close" in head.lower():
            writer.close()
        else:
            self._kept.append((reader, writer))
        return head.split()[1].decode()

    async def _half_open(self) -> str:
        """Nothing, or half a head; the oldest of those that are held is let go."""
        _, writer = await self._open()
        writer.write(self._chance.choice((b"", b"POST /a HTTP/1.1\r\nHost: a\r\nX-Slow: ")))
        self._held.append(writer)
        if len(self._held) > HALF_OPEN:
            self._held.pop(0).transport.abort()
        return "half-open"

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port)


def _request(path: str, body: str) -> bytes:
    head = f"POST /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description=__doc__)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rate", type=int, default=RATE, help="rubbish requests a second")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--flood", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        home = Path(chosen.serve)
        serve(Settings(home=home, pictures=home / "pictures"), port=0, ready=_print)
    elif chosen.flood:
        print(json.dumps(asyncio.run(Flood(*chosen.flood).run(chosen.seconds, chosen.rate))))
    else:
        print(measured(chosen.seconds, chosen.rate))


def _print(url: str) -> None:
    print(url, flush=True)


if __name__ == "__main__":
    main()
