"""The receiver's process, killed now and then, with its successor loaded and waiting."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .service import PORTS

ROOT: Final = Path(__file__).parents[2]
DOWN: Final = 0.3
"""Seconds for which nobody listens after a kill; callbacks are repeated for longer."""
LOOK: Final = 0.05
"""Seconds between two looks at how far a run has got."""
PATIENCE: Final = 120.0
"""Seconds until the last callback has surely come or failed."""


class Receiver:
    """A receiver on one port, whichever process listens there. `kills` counts those so far."""

    def __init__(self, home: Path, url: str) -> None:
        how = ["--home", str(home), "--url", url]
        self._command = [sys.executable, "-m", "benchmarks.faults.receiver", *how]
        self._api = url
        self._successor = self._loading()
        self._listening: subprocess.Popen[str] | None = None
        self._port = 0
        self.kills = 0
        self.url = self._listen_anywhere()

    def close(self) -> None:
        """End it, and whoever waits to follow it."""
        for process in (self._listening, self._successor):
            if process is not None:
                process.kill()
                process.communicate()

    def kill(self) -> None:
        """kill -9, and a moment later another process on the same port, loaded by then."""
        assert self._listening is not None
        assert self._successor.stdout is not None
        self._successor.stdout.readline()
        self._listening.kill()
        self._listening.communicate()
        self.kills += 1
        time.sleep(DOWN)
        if not self._listen(self._port):
            raise RuntimeError(f"the receiver did not come back on port {self._port}")

    def idle(self) -> None:
        """Wait until no callback is on its way any more."""
        deadline = time.monotonic() + PATIENCE
        while progress(self._api)["callbacks"]:
            if time.monotonic() > deadline:
                raise RuntimeError("callbacks are still on their way")
            time.sleep(LOOK)

    def _listen_anywhere(self) -> str:
        for port in random.sample(PORTS, 20):
            if url := self._listen(port):
                self._port = port
                return url
        raise RuntimeError("the receiver does not listen; its traceback is above")

    def _listen(self, port: int) -> str:
        """The URL of the successor once it listens; empty if it cannot."""
        self._listening, self._successor = self._successor, self._loading()
        assert self._listening.stdin is not None
        assert self._listening.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._listening.stdin.write(f"{port}\n")
            self._listening.stdin.flush()
        lines = iter(self._listening.stdout.readline, "")
        return next((line.strip() for line in lines if line.startswith("http")), "")

    def _loading(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)


@contextlib.contextmanager
def receiving(home: Path, url: str, kills: int, clicks: int) -> Iterator[Receiver]:
    """A receiver for the home of clients of that API, killed so often while they click."""
    receiver, over = Receiver(home, url), threading.Event()
    killing = threading.Thread(target=_kill, args=(receiver, url, kills, clicks, over))
    killing.start()
    try:
        yield receiver
    finally:
        over.set()
        killing.join()
        receiver.close()


def _kill(receiver: Receiver, url: str, kills: int, clicks: int, over: threading.Event) -> None:
    """Kill it each time that another share of the clicks has been sent."""
    while receiver.kills < kills and not over.wait(LOOK):
        if progress(url)["posts"] > clicks * (receiver.kills + 1) // (kills + 1):
            receiver.kill()


def progress(url: str) -> dict[str, int]:
    """What the service says of its progress; it may be shut for a moment."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"{url}/progress", timeout=PATIENCE) as answer:
                found: dict[str, int] = json.load(answer)["data"]
                return found
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK)
