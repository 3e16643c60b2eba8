"""The ledger: states in order, durable, shared by kernels, and only the steps that exist."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from nanobanana_nb import ImageRequest, LedgerError
from nanobanana_nb.errors import BudgetReached, LeaseLost
from nanobanana_nb.ledger import LEASE, Ledger
from nanobanana_nb.rows import Account, PictureRow
from nanobanana_nb.schema import MIGRATIONS, anything_left

REQUEST = ImageRequest("a fox\nin “snow”", "16:9", "jpeg", ("https://e.com/a.png",))
API = Account("https://api", "me")


class Clock:
    """A wall clock that is put by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kernels(tmp_path: Path, clock: Clock):
    """Two ledgers on one file, as two kernels have."""
    made = [Ledger(tmp_path / "l.sqlite3", clock=clock) for _ in range(2)]
    yield made
    for ledger in made:
        ledger.close()


@pytest.fixture
def ledger(kernels) -> Ledger:
    return kernels[0]


async def accepted(ledger: Ledger, task_id: str = "t1", **more: str) -> str:
    """A task that was submitted; our id."""
    row = await ledger.add(REQUEST, API, **more)
    await ledger.send(row.id)
    await ledger.move(row.id, "submitted", task_id=task_id)
    return row.id


async def drawn(ledger: Ledger, task_id: str, file: Path, **more: str) -> str:
    """A task whose picture is on disk."""
    own_id = await accepted(ledger, task_id, **more)
    await ledger.ready(own_id, [f"https://r/{task_id}"], 15.0)
    await ledger.move(own_id, "fetching")
    await ledger.stored(own_id, [PictureRow(f"https://r/{task_id}", file, "ab", 4, 3)])
    return own_id


def test_a_task_goes_its_way(kernels, tmp_path: Path) -> None:
    """Intent, task own_id, links and file, each readable after its step by a second kernel."""

    async def main() -> None:
        ledger, other = kernels
        own_id = await accepted(ledger)
        seen = await other.find("t1")
        assert seen is not None
        assert (seen.state, seen.request, seen.created) == ("submitted", REQUEST, 1_700_000_000.0)
        await ledger.ready(own_id, ["https://r/1", "https://r/2"], 15.2)
        assert [p.url for p in (await other.find("t1")).pictures] == ["https://r/1", "https://r/2"]
        await ledger.move(own_id, "fetching")
        assert [r.id for r in await other.unfinished(API)] == [own_id]
        assert await other.unfinished(Account("https://elsewhere", "me")) == []
        assert await other.unfinished(Account("https://api", "another key")) == []
        files = [PictureRow(f"https://r/{n}", tmp_path / f"{n}.png", "ab", 4, 3) for n in (1, 2)]
        await ledger.stored(own_id, files)
        assert (await other.find("t1")).pictures == tuple(files)
        assert await other.unfinished(API) == []

    asyncio.run(main())


@pytest.mark.parametrize(
    "steps",
    [
        ["submitted"],
        ["sending", "stored"],
        ["sending", "submitted", "sending"],
        ["sending", "rejected", "sending"],
        ["sending", "unknown", "sending"],
        ["sending", "unknown", "queued"],
        ["abandoned", "sending"],
    ],
)
def test_a_step_that_does_not_exist_is_refused(ledger: Ledger, steps) -> None:
    """A task cannot be sent twice or lose a state that money depends on."""

    async def main() -> None:
        row = await ledger.add(REQUEST, API)
        for step in steps[:-1]:
            await ledger.move(row.id, step)
        with pytest.raises(LedgerError):
            await ledger.move(row.id, steps[-1])

    asyncio.run(main())


def test_a_cancelled_caller_does_not_cut_a_commit(ledger: Ledger) -> None:
    """The writer finishes what it was given, and the ledger stays usable."""

    async def main() -> None:
        row = await ledger.add(REQUEST, API)
        await ledger.send(row.id)
        task = asyncio.create_task(ledger.move(row.id, "submitted", task_id="t9"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await ledger.find("t9")).state == "submitted"

    asyncio.run(main())


def test_what_one_kernel_looks_after_another_leaves_alone(kernels, clock: Clock) -> None:
    """A lease keeps two kernels from fetching the same picture; it ends unless renewed."""

    async def main() -> None:
        ledger, other = kernels
        own_id = await accepted(ledger)
        assert await other.take(own_id) is None
        assert await other.recover(API) == []
        assert await other.others_at_work()
        with pytest.raises(LeaseLost):
            await other.ready(own_id, ["https://r/1"], 1.0)
        clock.now += LEASE - 1
        await ledger.renew()
        clock.now += LEASE - 1
        assert await other.take(own_id) is None
        clock.now += 2
        assert [row.id for row in await other.recover(API)] == [own_id]
        assert (await other.take(own_id)).id == own_id
        with pytest.raises(LeaseLost):
            await ledger.ready(own_id, ["https://r/1"], 1.0)
        await other.release(own_id)
        assert (await ledger.take(own_id)).id == own_id

    asyncio.run(main())


def test_a_clock_that_is_put_back_leaves_no_lease_for_ever(kernels, clock: Clock) -> None:
    """A lease that ends in an hour was given by a clock that was wrong."""

    async def main() -> None:
        ledger, other = kernels
        own_id = await accepted(ledger)
        clock.now -= 3600
        assert (await other.take(own_id)).id == own_id

    asyncio.run(main())


def test_what_a_killed_kernel_left_is_named(kernels, clock: Clock) -> None:
    """Its submit in flight is `unknown` and not sent again; what it had not sent is dropped."""

    async def main() -> None:
        killed, next_one = kernels
        queued = await killed.add(REQUEST, API)
        sending = await killed.add(REQUEST, API)
        await killed.send(sending.id)
        known = await accepted(killed)
        assert await next_one.recover(API) == []
        assert (await next_one.get(sending.id)).state == "sending"
        clock.now += LEASE + 1
        left = [(row.id, row.state) for row in await next_one.recover(API)]
        assert left == [(sending.id, "unknown"), (known, "submitted")]
        assert [row.id for row in await next_one.recover(API)] == [known]
        assert (await next_one.get(sending.id)).state == "unknown"
        assert (await next_one.get(queued.id)).state == "abandoned"
        assert (await next_one.spent()).at_risk == Decimal("0.03")
        # It was not dead after all: its answer still settles the matter.
        await killed.move(sending.id, "submitted", task_id="late")
        assert (await next_one.spent()).unknown == 0

    asyncio.run(main())


def test_the_budget_holds_across_kernels_and_days(kernels, clock: Clock) -> None:
    """Room for three: the fourth is refused wherever it comes from, until tomorrow."""

    async def main() -> None:
        budget = Decimal("0.10")
        for number in range(3):
            row = await kernels[number % 2].add(REQUEST, API)
            await kernels[number % 2].send(row.id, budget)
        rows = [await kernel.add(REQUEST, API) for kernel in kernels]
        for kernel, row in zip(kernels, rows, strict=True):
            with pytest.raises(BudgetReached, match=r"\$0\.10 .*\$0\.09 .*was not sent"):
                await kernel.send(row.id, budget)
        await kernels[0].send(rows[0].id, Decimal("0.12"))
        await kernels[0].move(rows[0].id, "rejected", day=None)  # not billed: there is room again
        await kernels[1].send(rows[1].id, Decimal("0.12"))
        clock.now += 24 * 3600
        tomorrow = await kernels[0].add(REQUEST, API)
        await kernels[0].send(tomorrow.id, Decimal("0.03"))
        spent = await kernels[0].spent()
        assert (spent.today, spent.ever) == (Decimal("0.03"), Decimal("0.15"))

    asyncio.run(main())


def test_the_latest_run_of_a_cell_is_found(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    """The newest that may have cost something; what was never sent does not count."""

    async def main() -> None:
        await drawn(ledger, "t1", tmp_path / "1.png", cell="k")
        clock.now += 10
        second = await drawn(ledger, "t2", tmp_path / "2.png", cell="k")
        clock.now += 10
        refused = await ledger.add(REQUEST, API, cell="k")
        await ledger.send(refused.id)
        await ledger.move(refused.id, "rejected")
        await ledger.add(REQUEST, API, cell="k")
        assert (await ledger.latest("k")).id == second
        assert await ledger.latest("another") is None

    asyncio.run(main())


def test_the_history_is_searched_in_every_language(ledger: Ledger, clock: Clock) -> None:
    """All words, anywhere in the prompt or the note, whatever their case and accents."""

    async def main() -> None:
        ids = []
        for prompt in ("A Fox in SNOW", "l'Étoile du Nord", "雪の中の狐", "100% _wild_"):
            clock.now += 1
            row = await ledger.add(ImageRequest(prompt), API)
            await ledger.send(row.id)
            ids.append(row.id)
        await ledger.annotate(ids[0], note="for the poster", starred=1)

        async def found(words: str, **more: object) -> list[int]:
            return [ids.index(row.id) for row in await ledger.history(words, **more)]

        assert await found("") == [3, 2, 1, 0]
        assert await found("snow fox") == [0]
        assert await found("fox owl") == []
        assert await found("etoile") == [1]
        assert await found("狐") == [2]
        assert await found("% _") == [3]
        assert await found("POSTER") == [0]
        assert await found("", starred=True) == [0]
        assert await found("", since=clock.now - 1) == [3, 2]
        assert await found("", states=["failed", "unknown"]) == []
        await ledger.move(ids[2], "rejected")
        assert 2 not in await found("")
        assert await found("", states=["rejected"]) == [2]

    asyncio.run(main())


def test_the_oldest_ledger_is_brought_up_to_date(tmp_path: Path) -> None:
    """A ledger of the first version keeps its tasks, and its spending counts."""
    file = tmp_path / "old.sqlite3"
    with sqlite3.connect(file) as old:
        for statement in MIGRATIONS[0].split(";"):
            old.execute(statement)
        old.execute("PRAGMA user_version = 1")
        for own_id, state, task_id in (("a", "submitted", "t1"), ("b", "rejected", None)):
            columns = (
                own_id,
                state,
                "nano-banana",
                "https://api",
                "a fox",
                "1:1",
                "png",
                "[]",
                "0.03",
            )
            old.execute(
                "INSERT INTO task (id, state, model, origin, prompt, aspect_ratio, output_format, "
                "image_urls, price, created, changed, task_id) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 5, 6, ?)",
                (*columns, task_id),
            )
    old.close()
    assert anything_left(file)

    async def main() -> None:
        ledger = Ledger(file)
        assert [row.id for row in await ledger.recover(API)] == ["a"]
        assert (await ledger.take("a")).task_id == "t1"
        assert (await ledger.spent()).ever == Decimal("0.03")
        assert [row.id for row in await ledger.history("fox")] == ["a"]
        ledger.close()

    asyncio.run(main())


def test_the_balance_is_compared_with_what_was_spent_since(ledger: Ledger, clock: Clock) -> None:
    """Only what was sent since the last look counts, and what of it is in doubt is said."""

    async def main() -> None:
        await accepted(ledger, "before")
        clock.now += 10
        assert await ledger.balance_seen(API, Decimal("5.00")) is None
        clock.now += 10
        await accepted(ledger, "since")
        row = await ledger.add(REQUEST, API)
        await ledger.send(row.id)
        await ledger.move(row.id, "unknown")
        seen = await ledger.balance_seen(API, Decimal("4.94"))
        assert seen is not None
        assert (seen.amount, seen.spent, seen.unknown) == (Decimal("5.00"), Decimal("0.06"), 1)
        assert await ledger.balance_seen(Account("https://api", "other"), Decimal(1)) is None
        clock.now += 10  # looking once more does not take the evidence away
        assert (await ledger.balance_seen(API, Decimal("4.94"))).amount == Decimal("5.00")
        await ledger.move(row.id, "abandoned")
        assert (await ledger.balance_seen(API, Decimal("4.94"))).amount == Decimal("4.94")

    asyncio.run(main())


def test_it_is_durable_by_construction(ledger: Ledger, tmp_path: Path) -> None:
    """Rollback journal and full sync; WAL has known bugs with two kernels on one home."""
    connection = ledger._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert (tmp_path / "l.sqlite3").stat().st_mode & 0o077 == 0


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
    with pytest.raises(LedgerError, match=r"cannot be opened.*nanobanana rebuild"):
        Ledger(broken)
    assert broken.read_bytes().startswith(b"not a database")


def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    """Work that comes too late gets an error, not an endless wait."""
    ledger = Ledger(tmp_path / "l.sqlite3")
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        asyncio.run(ledger.add(REQUEST, API))


_MANY_COMMITS = """
import asyncio, sys
from pathlib import Path
from nanobanana_nb import ImageRequest
from nanobanana_nb.ledger import Ledger
from nanobanana_nb.rows import Account

async def main():
    ledger = Ledger(Path(sys.argv[1]))
    for number in range(100):
        row = await ledger.add(ImageRequest(f"{sys.argv[2]} {number}"), Account("https://api"))
        await ledger.send(row.id)
    ledger.close()

asyncio.run(main())
"""


def test_four_processes_share_one_ledger(tmp_path: Path) -> None:
    """200 commits each, at once: no "database is locked", nothing lost, nobody waits for ever."""
    file = tmp_path / "l.sqlite3"
    command = [sys.executable, "-c", _MANY_COMMITS, str(file)]
    running = [subprocess.Popen([*command, str(number)]) for number in range(4)]
    assert [process.wait(timeout=120) for process in running] == [0] * 4
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT COUNT(*) FROM task WHERE state = 'sending'").fetchone() == (400,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
