"""No paid picture is lost and none is paid for twice: under faults, under kills, and seen to fail.

The full proofs are `python -m benchmarks.faults`; here stand short runs of each, and the checker's
own tests, because a checker that sees nothing proves nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.account import Account
from benchmarks.faults.checker import Findings, check
from benchmarks.faults.deliveries import REPEATED, Callback, Deliveries
from benchmarks.faults.failpoints import POINTS
from benchmarks.faults.kinds import TABLE, Fault, Notice
from benchmarks.faults.naive import TABLES
from benchmarks.faults.receiving import progress
from benchmarks.faults.running import service

ROOT = Path(__file__).parents[1]
LEASE = 15.0
TOO_MANY = ("429", "429-retry-after-0", "429-in-a-200")
"""Without these a short run is a quick one: an account that refuses is approached slowly."""
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the children to kill are forked")


def run(tmp_path: Path, *options: object) -> dict[str, Any]:
    """The report of `python -m benchmarks.faults`; its table is shown when the test fails."""
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks.faults", "--json", report, *options]
    done = subprocess.run(
        [str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(done.stdout, done.stderr)
    assert report.exists(), "it broke before there was a report"
    found: dict[str, Any] = json.loads(report.read_text())
    assert done.returncode == (0 if found["ok"] else 1)
    return found


def test_a_thousand_clicks_under_faults(tmp_path: Path) -> None:
    """Two processes on one home: nothing twice, nothing lost, no broken file, no lock left."""
    report = run(tmp_path, "--clicks", 1000)
    assert report["ok"]
    findings = report["findings"]
    assert findings["clicks"] == 1000
    assert findings["stored"] >= 900
    assert len(findings["faults"]) >= 25


def test_called_back(tmp_path: Path) -> None:
    """With callbacks every billed picture is on disk, also where the submit's answer was lost and
    though the receiver is killed."""
    how = ("--clicks", 160, "--receiver-kills", 1, "--rate", 0.1, "--seed", 158)
    report = run(tmp_path, "--callbacks", *how, "--without", *TOO_MANY)
    assert report["ok"]
    assert report["receiver_kills"] == 1
    findings = report["findings"]
    assert findings["clicks"] == 160
    assert findings["unknown_billed"] == len(findings["undelivered"])
    callbacks = findings["callbacks"]
    assert callbacks["delivered"] >= 140
    assert callbacks["rescued"] >= 10  # by this seed; one of each forged kind is among them
    assert callbacks["early"]


def test_the_naive_client_fails(tmp_path: Path) -> None:
    """The checker sees what the vendor's samples do to money and pictures."""
    report = run(tmp_path, "--clicks", 1000, "--client", "naive")
    assert not report["ok"]
    findings = report["findings"]
    assert findings["double"]
    assert findings["silent"]
    assert findings["corrupt"]


@forks
def test_kill_at_every_point(tmp_path: Path) -> None:
    """kill -9 at each fail point and at ten random moments: the same zeros, every task home."""
    report = run(tmp_path, "--kills", 10, "--at-points", 1, "--rate", 0.02)
    assert report["ok"]
    assert report["series"]["kills"] >= len(POINTS)


@pytest.mark.nightly
def test_ten_thousand_clicks(tmp_path: Path) -> None:
    """The full proof of the first test."""
    report = run(tmp_path, "--clicks", 10_000)
    assert report["ok"]
    answers = [faults for stage, faults in TABLE.items() if stage != "callback"]
    assert len(report["findings"]["faults"]) == sum(map(len, answers))


@pytest.mark.nightly
def test_two_thousand_called_back(tmp_path: Path) -> None:
    """The full proof of the second."""
    report = run(tmp_path, "--callbacks", "--clicks", 2000)
    assert report["ok"]
    findings = report["findings"]
    assert report["receiver_kills"] == 3
    assert findings["callbacks"]["rescued"] >= 20
    met = {kind.removeprefix("callback ") for kind in findings["faults"] if "callback " in kind}
    assert len(met) >= 8


@forks
@pytest.mark.nightly
def test_two_hundred_kills(tmp_path: Path) -> None:
    """The full proof of the third."""
    report = run(tmp_path, "--kills", 200, "--at-points", 4, "--rate", 0.02)
    assert report["ok"]


def test_enough_kinds() -> None:
    """The issue asks for 25 kinds of fault on all ways, each under a name of its own."""
    names = [f"{stage} {fault.name}" for stage, faults in TABLE.items() for fault in faults]
    assert len(set(names)) == len(names) >= 25
    assert all(len(faults) >= 8 for faults in TABLE.values())


class World:
    """An account, a ledger and files, made by hand: one click that went well, until it is hurt."""

    def __init__(self, folder: Path) -> None:
        self.account = folder / "account.jsonl"
        self.ledger = folder / "ledger.sqlite3"
        self.pictures = folder / "pictures"
        self.pictures.mkdir()
        with sqlite3.connect(self.ledger) as database:
            database.executescript(TABLES)
            database.execute("ALTER TABLE task ADD COLUMN lease REAL")
        database.close()
        self.bill("task1", "a fox", b"fox")
        self.row("row1", "stored", "a fox", "task1")
        self.file = self.picture("row1", "fox.png", b"fox")

    def bill(self, task: str, prompt: str, data: bytes, *, callback: bool = False) -> None:
        self.write("post", prompt=prompt)
        sha256 = hashlib.sha256(data).hexdigest()
        self.write("billed", task=task, prompt=prompt, sha256=sha256, callback=callback)

    def write(self, event: str, **what: object) -> None:
        with self.account.open("a") as account:
            account.write(json.dumps({"event": event, **what}) + "\n")

    def call_back(self, task: str, *, attempt: int = 0, result: str = "200") -> None:
        self.write("callback", task=task, attempt=attempt, early=False, result=result)

    def row(self, id_: str, state: str, prompt: str, task_id: str | None) -> None:
        values = (id_, state, prompt, task_id, "0.03", 0.0)
        self.sql(
            "INSERT INTO task (id, state, prompt, task_id, price, created) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            *values,
        )

    def picture(self, row: str, name: str, data: bytes) -> Path:
        file = self.pictures / name
        file.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        self.sql("INSERT INTO picture VALUES (?, 0, '', ?, ?)", row, str(file), sha256)
        return file

    def sql(self, statement: str, *values: object) -> None:
        with sqlite3.connect(self.ledger) as database:
            database.execute(statement, values)
        database.close()

    def check(self) -> Findings:
        return check(self.account, self.ledger, self.pictures)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_checker_is_content(world: World) -> None:
    """Without damage it finds none, or every finding below would mean nothing."""
    (world.pictures / "fox.json").write_text("{}")
    (world.pictures / ".hidden").write_bytes(b"not yet a picture")
    world.sql("UPDATE task SET lease = ?", time.time() - 1)
    found = world.check()
    assert found.ok
    assert found.settled
    assert not found.orphans
    assert (found.posts, found.billed, found.stored) == (1, 1, 1)


def _billed_twice(world: World) -> None:
    world.bill("task2", "a fox", b"fox 2")


def _row_lost(world: World) -> None:
    world.bill("task2", "a lynx", b"lynx")


def _id_lost(world: World) -> None:
    world.bill("task2", "a lynx", b"lynx")
    world.row("row2", "submitted", "a lynx", None)


def _called_rejected(world: World) -> None:
    world.bill("task2", "a lynx", b"lynx")
    world.row("row2", "rejected", "a lynx", None)


def _not_a_picture(world: World) -> None:
    (world.pictures / "page.png").write_bytes(b"<html>")


def _cut_sidecar(world: World) -> None:
    (world.pictures / "fox.json").write_text('{"prompt": "a f')


def _flipped_bit(world: World) -> None:
    world.file.write_bytes(b"fix")


def _anothers_picture(world: World) -> None:
    world.bill("task2", "a lynx", b"lynx")
    world.row("row2", "stored", "a lynx", "task2")
    world.picture("row2", "lynx.png", b"fox")


def _anothers_task(world: World) -> None:
    world.bill("task2", "a lynx", b"lynx")
    world.row("row2", "stored", "a wolf", "task2")
    world.picture("row2", "wolf.png", b"lynx")


def _deleted(world: World) -> None:
    world.file.unlink()


def _never_written(world: World) -> None:
    world.sql("DELETE FROM picture")


def _lease_held(world: World) -> None:
    world.sql("UPDATE task SET lease = ?", time.time() + LEASE)


def _temporary_file(world: World) -> None:
    (world.pictures / ".0123.part").touch()


def _journal(world: World) -> None:
    world.ledger.with_name("ledger.sqlite3-journal").touch()


def _rescued(world: World) -> Path:
    """A task whose submit's answer was lost, brought home by its callback."""
    world.bill("task2", "a lynx", b"lynx", callback=True)
    world.write("fault", kind="submit reset-billed", prompt="a lynx")
    world.call_back("task2", result="refused")
    world.call_back("task2", attempt=1)
    world.row("row2", "stored", "a lynx", "task2")
    return world.picture("row2", "lynx.png", b"lynx")


def _rescued_and_deleted(world: World) -> None:
    _rescued(world).unlink()


def _called_in_vain(world: World) -> None:
    world.bill("task2", "a lynx", b"lynx", callback=True)
    world.call_back("task2")
    world.row("row2", "unknown", "a lynx", None)


def _id_known_and_lost(world: World) -> None:
    world.bill("task2", "a lynx", b"lynx", callback=True)
    world.write("undelivered", task="task2")
    world.row("row2", "parked", "a lynx", "task2")


def _lured(world: World) -> None:
    world.write("lured", task="task1")


@pytest.mark.parametrize(
    ("hurt", "finding"),
    [
        (_billed_twice, "double"),
        (_row_lost, "silent"),
        (_id_lost, "silent"),
        (_called_rejected, "silent"),
        (_not_a_picture, "corrupt"),
        (_cut_sidecar, "corrupt"),
        (_flipped_bit, "wrong"),
        (_anothers_picture, "wrong"),
        (_anothers_task, "wrong"),
        (_deleted, "missing"),
        (_never_written, "missing"),
        (_lease_held, "locks"),
        (_temporary_file, "locks"),
        (_journal, "locks"),
        (_rescued_and_deleted, "lost"),
        (_called_in_vain, "lost"),
        (_called_in_vain, "doubted"),
        (_id_known_and_lost, "lost"),
        (_lured, "lured"),
    ],
)
def test_the_checker_sees(world: World, hurt: Callable[[World], None], finding: str) -> None:
    """Each kind of damage, planted by hand, turns it red under its own name."""
    hurt(world)
    found = world.check()
    assert not found.ok
    assert getattr(found, finding)


def test_the_checker_counts_callbacks(world: World) -> None:
    """What a callback has saved is told from what it could not: nobody may be proud of nothing."""
    _rescued(world)
    world.bill("task3", "a wolf", b"wolf", callback=True)
    world.write("fault", kind="submit reset-billed", prompt="a wolf")
    for attempt in range(4):
        world.call_back("task3", attempt=attempt, result="refused")
    world.write("undelivered", task="task3")
    world.row("row3", "unknown", "a wolf", None)
    world.row("row4", "unknown", "a bear", None)
    found = world.check()
    assert found.ok
    assert found.undelivered == ["task3 a wolf"]
    assert found.callbacks == {
        "tried": 6,
        "delivered": 1,
        "early": 0,
        "repeated": 4,
        "failed for good": 1,
        "answers lost": 2,
        "rescued": 1,
        "unknown, not billed": 1,
        "refused": 5,
    }


def test_the_checker_sees_a_broken_ledger(world: World) -> None:
    """A ledger that lost a page is not "no findings"."""
    whole = world.ledger.read_bytes()
    world.ledger.write_bytes(whole[: len(whole) // 2])
    found = world.check()
    assert not found.ok
    assert found.integrity != "ok"


@pytest.mark.parametrize("state", ["unknown", "sending"])
def test_the_checker_counts_doubt(world: World, state: str) -> None:
    """A submit in doubt is visible, hence not lost, and counted with whether it was billed."""
    world.bill("task2", "a lynx", b"lynx")
    world.row("row2", state, "a lynx", None)
    world.row("row3", state, "a wolf", None)
    found = world.check()
    assert found.ok
    assert found.unknown == ["a lynx", "a wolf"]
    assert found.unknown_billed == 1


@pytest.mark.parametrize("state", ["submitted", "ready", "fetching", "parked", "failed", "expired"])
def test_the_checker_lists_what_is_waiting(world: World, state: str) -> None:
    """A known task without its picture is not lost, but after a clean run it must not be left."""
    world.bill("task2", "a lynx", b"lynx")
    world.row("row2", state, "a lynx", "task2")
    found = world.check()
    assert found.ok
    assert not found.settled
    assert found.waiting == ["row2"]


@pytest.mark.parametrize("state", ["queued", "sending"])
def test_the_checker_lists_what_is_half_way(world: World, state: str) -> None:
    """When all processes have ended, no row may still promise to be sent."""
    world.row("row2", state, "a lynx", None)
    found = world.check()
    assert found.ok
    assert not found.settled
    assert found.unsettled == ["row2"]


@pytest.mark.parametrize("state", ["unknown", "abandoned"])
def test_the_checker_wants_a_reason(world: World, state: str) -> None:
    """A click that is in doubt or was dropped without a fault or a kill is a mistake of ours."""
    assert world.check().undisturbed
    world.row("row2", state, "a lynx", None)
    assert not world.check().undisturbed


def test_the_checker_names_orphans(world: World) -> None:
    """A second copy of a picture is no damage to money, but it is named."""
    (world.pictures / "fox-2.png").write_bytes(b"fox")
    found = world.check()
    assert found.ok
    assert len(found.orphans) == 1


class Heard:
    """A receiver of callbacks on loopback that answers as it is told, and then with 200."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.answers: list[int] = []
        self.came = threading.Condition()

    def wait_for(self, true: Callable[[], bool]) -> None:
        with self.came:
            assert self.came.wait_for(true, timeout=60), self.bodies


@pytest.fixture
def heard() -> Iterator[tuple[Heard, str]]:
    record = Heard()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            try:
                body = self.rfile.read(length)
            except ConnectionError:
                body = b""
            with record.came:
                answer = record.answers.pop(0) if record.answers else 200
                if len(body) == length:
                    record.bodies.append(body)
                record.came.notify_all()
            try:
                self.send_response(answer)
                self.end_headers()
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield record, f"http://127.0.0.1:{server.server_port}/token"
        server.shutdown()


def submit(url: str, callback_url: str) -> dict[str, Any]:
    """What the service answers to a submit in callback mode."""
    wanted = {"mode": "text-to-image", "prompt": "a fox"}
    body = {"request_type": "callback", "callback_url": callback_url, "input": wanted}
    return ask(f"{url}/api/v1/generateTask/nano-banana", json.dumps(body).encode())


def ask(url: str, body: bytes | None = None) -> dict[str, Any]:
    request = urllib.request.Request(url, body, {"Authorization": "Bearer test-key"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def events(account: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, account.read_text().splitlines())
    return [line for line in lines if line["event"] == kind]


def until_delivered(url: str) -> None:
    """Wait until no callback is on its way."""
    deadline = time.monotonic() + 60
    while progress(url)["callbacks"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_service_calls_back(tmp_path: Path, heard: tuple[Heard, str]) -> None:
    """It posts exactly what the status says, again until the answer is exactly 200, and no more."""
    record, callback_url = heard
    record.answers = [500, 204]
    with service(tmp_path / "account", 1, 0) as url:
        task_id = submit(url, callback_url)["data"]["taskId"]
        record.wait_for(lambda: len(record.bodies) == 3)
        until_delivered(url)
        said = ask(f"{url}/api/v1/statusTask/nano-banana?taskId={task_id}")
    assert [json.loads(body) for body in record.bodies] == [said] * 3
    assert said["data"]["state"] == "success"
    tries = events(tmp_path / "account", "callback")
    assert [one["result"] for one in tries] == ["500", "204", "200"]
    assert not events(tmp_path / "account", "undelivered")


def test_the_service_gives_a_callback_up(tmp_path: Path, heard: tuple[Heard, str]) -> None:
    """After three repetitions that fail it says so in its account, for the checker to excuse."""
    record, callback_url = heard
    record.answers = [503] * (1 + REPEATED)
    with service(tmp_path / "account", 1, 0) as url:
        task_id = submit(url, callback_url)["data"]["taskId"]
        until_delivered(url)
    assert len(events(tmp_path / "account", "callback")) == 1 + REPEATED
    assert [one["task"] for one in events(tmp_path / "account", "undelivered")] == [task_id]


def test_the_service_calls_back_after_a_lost_answer(
    tmp_path: Path, heard: tuple[Heard, str]
) -> None:
    """A task that was billed is delivered though its submit got no answer: the proof's premise."""
    record, callback_url = heard
    names = {fault.name for faults in TABLE.values() for fault in faults}
    with service(tmp_path / "account", 1, 1, [*names - {"reset-billed", "stall", "late"}]) as url:
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            submit(url, callback_url)
        record.wait_for(lambda: bool(record.bodies))
    [billed] = events(tmp_path / "account", "billed")
    assert json.loads(record.bodies[0])["data"]["taskId"] == billed["task"]


@pytest.mark.parametrize("fault", TABLE["callback"], ids=lambda fault: fault.name)
def test_every_fault_of_a_callback(tmp_path: Path, heard: tuple[Heard, str], fault: Fault) -> None:
    """Whatever goes wrong with a delivery, the true callback comes in the end, and what was not
    answered with 200 comes again."""
    record, callback_url = heard
    true = json.dumps({"data": {"taskId": "1" * 32, "state": "success"}}).encode()
    notice = Notice(true, "2" * 32, "http://127.0.0.1:9/lure.png")
    faults = iter([fault])
    callback = Callback(callback_url, "1" * 32, 0, lambda: notice, lambda: next(faults, None))

    async def deliver() -> None:
        async with asyncio.timeout(60):
            await Deliveries(Account(tmp_path / "account")).begin(callback)

    asyncio.run(deliver())
    [*failed, last] = [one["result"] for one in events(tmp_path / "account", "callback")]
    assert last == "200"
    assert len(failed) == (fault.name in ("not-delivered", "reset-in-body", "answer-not-awaited"))
    expected = 1 + fault.twice + (fault.name == "answer-not-awaited")
    record.wait_for(lambda: record.bodies.count(true) == expected)
    others = [body for body in record.bodies if body != true]
    assert len(others) == (fault.before is not None) + (fault.after is not None)
    if fault.before:
        assert record.bodies[0] != true
    if fault.after:
        assert record.bodies[-1] != true
