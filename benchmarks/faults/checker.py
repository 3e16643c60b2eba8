"""Joins three witnesses: the service's account, the client's ledger, and the files.

It trusts none of the client's code: the ledger is read as plain SQLite, files are hashed here.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .kinds import AMBIGUOUS, LOST

VISIBLE: Final = ("stored", "failed", "expired", "parked", "submitted", "ready", "fetching")
"""States in which a person sees a task whose id is known."""
OPEN: Final = ("unknown", "sending")
"""States in which a person sees that a task may have been billed."""


@dataclass(frozen=True)
class Billed:
    task: str
    prompt: str
    sha256: str
    callback: bool = False
    """Whether it was to be called back about."""


@dataclass
class Account:
    """What the service wrote down."""

    billed: list[Billed] = field(default_factory=list)
    posts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    faults_of: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    """Every attempt at a delivery: task, which attempt, whether early, and what it came to."""
    undelivered: set[str] = field(default_factory=set)
    """Tasks of which no delivery was answered with 200."""
    lured: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path) -> Account:
        account = cls()
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            match entry["event"]:
                case "post":
                    account.posts[entry["prompt"]] += 1
                case "billed":
                    account.billed.append(_billed(entry))
                case "fault":
                    account.faults[entry["kind"]] += 1
                    account.faults_of[entry["prompt"]].add(entry["kind"])
                case "callback":
                    account.callbacks.append(entry)
                case "undelivered":
                    account.undelivered.add(entry["task"])
                case "lured":
                    account.lured.append(entry["task"])
        return account


def _billed(entry: dict[str, Any]) -> Billed:
    callback = entry.get("callback", False)
    return Billed(entry["task"], entry["prompt"], entry["sha256"], callback)


@dataclass(frozen=True)
class Row:
    """A task of the ledger. `files` are its pictures' paths and the hashes noted for them."""

    id: str
    state: str
    prompt: str
    task_id: str | None
    lease: float | None
    files: tuple[tuple[Path | None, str | None], ...]


@dataclass
class Findings:
    """What is wrong, as lists to look at, and what there is to count."""

    double: list[str] = field(default_factory=list)
    """Prompts that were billed more than once."""
    silent: list[str] = field(default_factory=list)
    """Tasks that were billed, and nothing on disk tells of it."""
    corrupt: list[str] = field(default_factory=list)
    """Files under a final name that are no billed picture."""
    wrong: list[str] = field(default_factory=list)
    """Rows called stored whose file is not the task's picture, or whose task is another's."""
    missing: list[str] = field(default_factory=list)
    """Rows called stored whose file is not there."""
    locks: list[str] = field(default_factory=list)
    """Leases still held, temporary files, journals."""
    orphans: list[str] = field(default_factory=list)
    """Pictures that no row names: whole, but a second copy or unknown to the ledger."""
    waiting: list[str] = field(default_factory=list)
    """Rows with a task id whose picture is not on disk."""
    unsettled: list[str] = field(default_factory=list)
    """Rows still queued or being sent, though nobody is there to do it."""
    unknown: list[str] = field(default_factory=list)
    """Prompts of rows that are, to the client, perhaps billed."""
    lost: list[str] = field(default_factory=list)
    """Tasks that were called back about and whose picture is nevertheless not on disk,"""
    doubted: list[str] = field(default_factory=list)
    """and those that the ledger still calls perhaps billed."""
    undelivered: list[str] = field(default_factory=list)
    """Tasks whose picture is not on disk, and no callback about them ever arrived."""
    lured: list[str] = field(default_factory=list)
    """Forged links that were fetched."""
    unknown_billed: int = 0
    clicks: int = 0
    posts: int = 0
    billed: int = 0
    stored: int = 0
    states: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    callbacks: dict[str, int] = field(default_factory=dict)
    """What became of the callbacks; empty where there were none."""
    integrity: str = "ok"

    @property
    def ok(self) -> bool:
        """Nothing lost, nothing twice, nothing broken, nothing left behind."""
        found = (self.double, self.silent, self.corrupt, self.wrong, self.missing, self.locks)
        called = (self.lost, self.doubted, self.lured)
        return not any(found + called) and self.integrity == "ok"

    @property
    def settled(self) -> bool:
        """Every known task is home and no row was left half way; true after a clean run."""
        return not self.waiting and not self.unsettled

    @property
    def undisturbed(self) -> bool:
        """After a run that nobody killed: each click has its picture, was refused, or is in doubt
        because of a fault of its submit (a door that shuts may reset one that waits at it)."""
        doubtful = sum(self.faults.get(kind, 0) for kind in AMBIGUOUS | {"submit then-refused"})
        ended = set(self.states) <= {"stored", "unknown", "rejected"}
        return self.settled and ended and len(self.unknown) <= doubtful


def check(account_file: Path, ledger: Path, pictures: Path, now: float | None = None) -> Findings:
    """Compare the three; a ledger that cannot be read has no rows and a broken integrity."""
    account = Account.read(account_file)
    integrity, rows = _read_ledger(ledger)
    hashes = {file: _sha256(file) for file in _visible_files(pictures) if file.suffix != ".json"}
    billed_prompts = Counter(task.prompt for task in account.billed)
    open_rows = [row for row in rows if row.task_id is None and row.state in OPEN]
    states = Counter(row.state for row in rows)
    findings = Findings(
        double=[prompt for prompt, count in billed_prompts.items() if count > 1],
        silent=_silent(account, rows, set(hashes.values())),
        corrupt=_corrupt(account, hashes) + _broken_sidecars(pictures),
        locks=_locks(rows, ledger, pictures, time.time() if now is None else now),
        orphans=_orphans(rows, hashes),
        waiting=[row.id for row in rows if row.task_id and row.state != "stored"],
        unsettled=[row.id for row in rows if row.state in ("queued", "sending")],
        unknown=[row.prompt for row in open_rows],
        unknown_billed=sum(row.prompt in billed_prompts for row in open_rows),
        clicks=len(rows),
        posts=account.posts.total(),
        billed=len(account.billed),
        stored=states["stored"],
        states=dict(states),
        faults=dict(account.faults),
        integrity=integrity,
        lured=account.lured,
    )
    _compare_stored(findings, account, rows)
    if any(task.callback for task in account.billed):
        _compare_callbacks(findings, account, rows, set(hashes.values()))
    return findings


def _silent(account: Account, rows: list[Row], on_disk: Collection[str]) -> list[str]:
    named = {row.task_id for row in rows if row.task_id and row.state in VISIBLE}
    open_prompts = {row.prompt for row in rows if row.task_id is None and row.state in OPEN}
    return [
        f"{task.task} {task.prompt}"
        for task in account.billed
        if task.task not in named and task.prompt not in open_prompts and task.sha256 not in on_disk
    ]


def _corrupt(account: Account, hashes: dict[Path, str]) -> list[str]:
    true = {task.sha256 for task in account.billed}
    return [str(file) for file, sha256 in hashes.items() if sha256 not in true]


def _broken_sidecars(pictures: Path) -> list[str]:
    broken = []
    for file in _visible_files(pictures):
        if file.suffix == ".json":
            try:
                json.loads(file.read_bytes())
            except ValueError:
                broken.append(str(file))
    return broken


def _compare_stored(findings: Findings, account: Account, rows: list[Row]) -> None:
    """Each stored row against its own task's picture; fills in `wrong` and `missing`."""
    true = {task.task: task.sha256 for task in account.billed}
    asked = {task.task: task.prompt for task in account.billed}
    for row in rows:
        if row.state != "stored":
            continue
        if asked.get(str(row.task_id), row.prompt) != row.prompt:
            findings.wrong.append(f"{row.id} has the task of {asked[str(row.task_id)]}")
        if not row.files:
            findings.missing.append(row.id)
        for file, noted in row.files:
            if file is None or not file.is_file():
                findings.missing.append(f"{row.id} {file}")
            elif not _sha256(file) == noted == true.get(str(row.task_id)):
                findings.wrong.append(f"{row.id} {file}")


def _compare_callbacks(
    findings: Findings, account: Account, rows: list[Row], on_disk: Collection[str]
) -> None:
    """Whether all that was called back about is on disk; fills in what has to do with callbacks.

    Without a callback there is no saving a task whose id is in no answer; with its id there is.
    """
    named = {row.task_id for row in rows}
    doubtful = {row.prompt for row in rows if row.task_id is None and row.state in OPEN}
    for task in account.billed:
        what, beyond = f"{task.task} {task.prompt}", task.task in account.undelivered - named
        if not task.callback:
            continue
        if task.sha256 not in on_disk:
            (findings.undelivered if beyond else findings.lost).append(what)
        if task.prompt in doubtful and not beyond:
            findings.doubted.append(what)
    results = Counter(one["result"] for one in account.callbacks)
    at_home = [task for task in account.billed if task.sha256 in on_disk]
    findings.callbacks = {
        "tried": len(account.callbacks),
        "delivered": results["200"],
        "early": sum(one["early"] and one["result"] == "200" for one in account.callbacks),
        "repeated": sum(one["attempt"] > 0 for one in account.callbacks),
        "failed for good": len(account.undelivered),
        "answers lost": sum(bool(account.faults_of[one.prompt] & LOST) for one in account.billed),
        "rescued": sum(bool(account.faults_of[one.prompt] & LOST) for one in at_home),
        "unknown, not billed": len(findings.unknown) - findings.unknown_billed,
        **{name: count for name, count in sorted(results.items()) if name != "200"},
    }


def _orphans(rows: list[Row], hashes: dict[Path, str]) -> list[str]:
    named = {file.resolve() for row in rows for file, _ in row.files if file}
    return [str(file) for file in hashes if file.resolve() not in named]


def _locks(rows: list[Row], ledger: Path, pictures: Path, now: float) -> list[str]:
    leases = [f"lease {row.id}" for row in rows if row.lease is not None and row.lease > now]
    folders = (pictures, ledger.parent)
    parts = sorted({str(file) for folder in folders for file in folder.rglob("*.part")})
    journals = [
        str(file)
        for ending in ("-journal", "-wal", "-shm")
        if (file := ledger.with_name(ledger.name + ending)).exists()
    ]
    return leases + parts + journals


def _visible_files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder).parts
        if file.is_file() and not any(part.startswith(".") for part in inside):
            yield file


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _read_ledger(file: Path) -> tuple[str, list[Row]]:
    try:
        database = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
        try:
            database.row_factory = sqlite3.Row
            integrity = "; ".join(row[0] for row in database.execute("PRAGMA integrity_check"))
            return integrity, _rows(database)
        finally:
            database.close()
    except sqlite3.Error as error:
        return f"unreadable: {error}", []


def _rows(database: sqlite3.Connection) -> list[Row]:
    files: defaultdict[str, list[tuple[Path | None, str | None]]] = defaultdict(list)
    for found in database.execute("SELECT task, file, sha256 FROM picture ORDER BY position"):
        path = Path(found["file"]) if found["file"] else None
        files[found["task"]].append((path, found["sha256"]))
    tasks = [dict(found) for found in database.execute("SELECT * FROM task")]
    return [_row(task, tuple(files[task["id"]])) for task in tasks]


def _row(task: dict[str, Any], files: tuple[tuple[Path | None, str | None], ...]) -> Row:
    return Row(task["id"], task["state"], task["prompt"], task["task_id"], task.get("lease"), files)
