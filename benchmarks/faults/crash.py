"""A series of children on one home, each killed with SIGKILL and followed by the next.

The children are forked from this process, which has everything imported: a start costs
milliseconds. Leases of the dead are waited for once, before the last and clean run, and their
temporary files are made to look as old as they would be by then.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import random
import shutil
import signal
import sqlite3
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from . import client, failpoints
from .checker import Account, Findings
from .kinds import AMBIGUOUS
from .running import Place

CLICKS: Final = 12
"""Clicks of one child."""
AT_ONCE: Final = 8
LATEST: Final = 0.4
"""Seconds after its start at which a child is killed at the latest."""
PATIENCE: Final = 60.0
"""Seconds that a child may take until its fail point or its end."""
LEASE: Final = 16.0
"""Seconds until the lease of a dead process has surely ended."""
CLEAN_RUNS: Final = 4
IMPORTED: Final = (
    "anyio._backends._asyncio",
    "httpcore",
    "httpx",
    "nanobanana_nb.studio",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.WebPImagePlugin",
)
"""What a child would otherwise import itself, half of its life."""


@dataclass
class Series:
    """What happened besides what the checker finds."""

    kills: int = 0
    early: int = 0
    """Children that had ended before they could be killed."""
    unreached: list[str] = field(default_factory=list)
    """Fail points at which no child died."""
    hot_journals: int = 0
    """Kills in the middle of a commit, which SQLite undoes at the next start."""
    in_flight: set[str] = field(default_factory=set)
    """Prompts whose submit was under way at a kill."""
    most_in_flight: int = 0
    unexplained: list[str] = field(default_factory=list)
    """Prompts that are unknown although neither a kill nor a fault made them so."""

    def ok(self, findings: Findings) -> bool:
        """Zeros, every point reached, every known task home, no doubt without a reason."""
        return (
            findings.ok
            and findings.settled
            and not self.unreached
            and not self.unexplained
            and self.most_in_flight <= AT_ONCE
        )


def series(
    url: str, place: Place, seed: int, kills: int, at_points: int, lease: float = LEASE
) -> tuple[Series, Findings]:
    """Kill at random moments and at every fail point, end with clean runs, and check."""
    for module in IMPORTED:
        importlib.import_module(module)
    happened = Series()
    chance = random.Random(seed)
    for number, (point, passage) in enumerate(_plan(chance, kills, at_points)):
        child = _fork(_drawing(url, place.home, f"k{number}", point, passage))
        if point:
            killed = _killed(child, PATIENCE)
            if not killed:
                happened.unreached.append(f"{point} {passage}")
        else:
            time.sleep(chance.uniform(0.01, LATEST))
            os.kill(child, signal.SIGKILL)
            killed = _killed(child, PATIENCE)
            happened.early += not killed
        happened.kills += killed
        journal = place.home / "ledger.sqlite3-journal"
        happened.hot_journals += journal.exists() and journal.stat().st_size > 0
        _note_in_flight(happened, place.home)
    time.sleep(lease)
    _age_parts(place.home)
    findings = place.check()
    for number in range(CLEAN_RUNS):
        child = _fork(_drawing(url, place.home, f"clean{number}"))
        if _killed(child, PATIENCE):
            raise RuntimeError("the clean run after the kills did not end")
        findings = place.check()
        if findings.settled:
            break
    _explain(happened, findings, Account.read(place.account))
    return happened, findings


def _plan(chance: random.Random, kills: int, at_points: int) -> Iterator[tuple[str, int]]:
    """Where the children die; an empty name stands for a random moment."""
    plan = [("", 0)] * kills
    for point in failpoints.POINTS:
        once = point in failpoints.AT_START
        plan += [(point, 1 if once else passage + 1) for passage in range(at_points)]
    chance.shuffle(plan)
    return iter(plan)


def _drawing(
    url: str, home: Path, name: str, point: str = "", passage: int = 0
) -> Callable[[], None]:
    def draw() -> None:
        if point:
            failpoints.arm(point, passage)
        asyncio.run(client.run(url, home, name, CLICKS, AT_ONCE))

    return draw


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    return child if child else _work(work)


def _work(work: Callable[[], None]) -> NoReturn:
    """The child's whole life; it must not return into the parent's."""
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - it is printed, and the exit code tells the parent
        traceback.print_exc()
    finally:
        os._exit(code)


def _killed(child: int, patience: float) -> bool:
    """Wait for a child: was it killed? Raises if it broke by itself or hangs."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if os.WIFSIGNALED(status):
                return True
            if os.waitstatus_to_exitcode(status) != 0:
                raise RuntimeError("a child broke; its traceback is above")
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise RuntimeError(f"a child hung for {patience:.0f} s")


def _note_in_flight(happened: Series, home: Path) -> None:
    """Which submits the kill has cut off, read from a copy: a read could repair the original."""
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        for file in home.glob("ledger.sqlite3*"):
            shutil.copy(file, folder)
        copy = Path(folder) / "ledger.sqlite3"
        if not copy.exists():
            return
        database = sqlite3.connect(copy)
        try:
            sending = {
                row[0]
                for row in database.execute("SELECT prompt FROM task WHERE state = 'sending'")
            }
        except sqlite3.OperationalError:  # killed before the tables were made
            sending = set()
        finally:
            database.close()
    new = sending - happened.in_flight
    happened.in_flight |= new
    happened.most_in_flight = max(happened.most_in_flight, len(new))


def _age_parts(home: Path) -> None:
    """Make temporary files look old: the next start must sweep away what the dead have left."""
    for part in home.rglob("*.part"):
        os.utime(part, (0, 0))


def _explain(happened: Series, findings: Findings, account: Account) -> None:
    explained = happened.in_flight | {
        prompt for prompt, kinds in account.faults_of.items() if kinds & AMBIGUOUS
    }
    happened.unexplained = [prompt for prompt in findings.unknown if prompt not in explained]
