"""The ledger: states in order, durable, shared, and only the steps that exist."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from nanobanana_nb import ImageRequest, LedgerError
from nanobanana_nb.ledger import Ledger, PictureRow

REQUEST = ImageRequest("a fox\nin “snow”", "16:9", "jpeg", ("https://e.com/a.png",))


@pytest.fixture
def ledger(tmp_path: Path):
    made = Ledger(tmp_path / "l.sqlite3", clock=lambda: 1000.0)
    yield made
    made.close()


def test_a_task_goes_its_way(ledger: Ledger, tmp_path: Path) -> None:
    """Intent, task id, links and file, each readable after its step by a second ledger."""

    async def main() -> None:
        row = await ledger.add(REQUEST, "https://api")
        await ledger.move(row.id, "sending")
        await ledger.move(row.id, "submitted", task_id="t1")
        other = Ledger(tmp_path / "l.sqlite3")
        seen = await other.find("t1")
        assert seen is not None
        assert (seen.state, seen.request, seen.created) == ("submitted", REQUEST, 1000.0)
        await ledger.ready(row.id, ["https://r/1", "https://r/2"], 15.2)
        assert [p.url for p in (await other.find("t1")).pictures] == ["https://r/1", "https://r/2"]
        await ledger.move(row.id, "fetching")
        assert [r.id for r in await other.unfinished("https://api")] == [row.id]
        assert await other.unfinished("https://elsewhere") == []
        files = [PictureRow(f"https://r/{n}", tmp_path / f"{n}.png", "ab", 4, 3) for n in (1, 2)]
        await ledger.stored(row.id, files)
        assert (await other.find("t1")).pictures == tuple(files)
        assert await other.unfinished("https://api") == []
        other.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "steps",
    [
        ["submitted"],
        ["sending", "stored"],
        ["sending", "submitted", "sending"],
        ["sending", "rejected", "sending"],
        ["sending", "unknown", "sending"],
        ["abandoned", "sending"],
    ],
)
def test_a_step_that_does_not_exist_is_refused(ledger: Ledger, steps) -> None:
    """A task cannot be sent twice or lose a state that money depends on."""

    async def main() -> None:
        row = await ledger.add(REQUEST, "x")
        for step in steps[:-1]:
            await ledger.move(row.id, step)
        with pytest.raises(LedgerError):
            await ledger.move(row.id, steps[-1])

    asyncio.run(main())


def test_a_cancelled_caller_does_not_cut_a_commit(ledger: Ledger) -> None:
    """The writer finishes what it was given, and the ledger stays usable."""

    async def main() -> None:
        row = await ledger.add(REQUEST, "x")
        await ledger.move(row.id, "sending")
        task = asyncio.create_task(ledger.move(row.id, "submitted", task_id="t9"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await ledger.find("t9")).state == "submitted"

    asyncio.run(main())


def test_it_is_durable_by_construction(ledger: Ledger, tmp_path: Path) -> None:
    """Rollback journal and full sync; WAL has known bugs with two kernels on one home."""
    connection = ledger._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_newer_or_broken_ledger_is_not_touched(tmp_path: Path) -> None:
    """One clear line instead of damage."""
    newer = tmp_path / "newer.sqlite3"
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LedgerError, match="newer version"):
        Ledger(newer)
    broken = tmp_path / "broken.sqlite3"
    broken.write_bytes(b"not a database, really" * 100)
    with pytest.raises(LedgerError, match="cannot be opened"):
        Ledger(broken)
    assert broken.read_bytes().startswith(b"not a database")
