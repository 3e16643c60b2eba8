"""The processes of one run: a home, the service, and clients side by side."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ..service import serving
from .checker import Findings, check
from .receiving import ROOT, receiving

MEMORY: Final = Path("/dev/shm")  # faults and kills are tested here, not the loss of power

Who = Literal["ours", "naive"]


@dataclass(frozen=True)
class Place:
    """Where one run keeps what it writes."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def account(self) -> Path:
        return self.folder / "account.jsonl"

    def check(self) -> Findings:
        """What the checker says of this run."""
        return check(self.account, self.home / "ledger.sqlite3", self.home / "pictures")


@contextlib.contextmanager
def place() -> Iterator[Place]:
    """A folder for one run, in memory where the system offers that; gone afterwards."""
    base = MEMORY if os.access(MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="nanobanana-faults-", dir=base))
    try:
        made = Place(folder)
        made.home.mkdir()
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def service(
    account: Path, seed: int, rate: float, without: Sequence[str] = ()
) -> contextlib.AbstractContextManager[str]:
    """The URL of a misbehaving API in a process of its own."""
    how = ["--account", str(account), "--seed", str(seed), "--rate", str(rate)]
    return serving("benchmarks.faults.service", *how, "--without", *without)


def clients(
    who: Who, url: str, home: Path, clicks: int, processes: int, callback: str = ""
) -> None:
    """Make that many clicks by processes on one home; raises if one of them breaks.

    With a `callback` address the tasks are called back about.
    """
    module = f"benchmarks.faults.{'client' if who == 'ours' else 'naive'}"
    shares = [clicks // processes + (one < clicks % processes) for one in range(processes)]
    command = [sys.executable, "-m", module, "--url", url, "--home", str(home)]
    command += ["--callback", callback]
    running = [
        subprocess.Popen([*command, "--clicks", str(share), "--name", f"p{one}"], cwd=ROOT)
        for one, share in enumerate(shares)
    ]
    codes = [process.wait() for process in running]
    if any(codes):
        raise RuntimeError(f"a client broke (exit codes {codes})")


def called_back(url: str, home: Path, clicks: int, processes: int, kills: int) -> int:
    """Make the clicks with callbacks, killing the receiver; how often it was killed.

    At the end the last callbacks are waited for, and one more process looks what they have left.
    """
    with receiving(home, url, kills, clicks) as receiver:
        clients("ours", url, home, clicks, processes, receiver.url)
        receiver.idle()
        clients("ours", url, home, 0, 1, receiver.url)
        return receiver.kills
