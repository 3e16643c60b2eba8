"""The pages of the ledger: what a panel shows of it, quickly, and what it is told has changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nanobanana_nb import ImageRequest
from nanobanana_nb.ledger import Ledger
from nanobanana_nb.rows import Account

from .test_ledger import Clock, clock, drawn, kernels, ledger

__all__ = ["clock", "kernels", "ledger"]

API = Account("https://api", "me")


async def noted(ledger: Ledger, prompt: str, *states: str) -> str:
    """A task that has come as far as that; our id."""
    row = await ledger.add(ImageRequest(prompt), API)
    for state in states:
        await (ledger.send(row.id) if state == "sending" else ledger.move(row.id, state))
    return row.id


def test_a_page_is_cut_from_all_that_is_shown(ledger: Ledger, clock: Clock) -> None:
    """Newest first, each task on one page only, also those of one moment; and how many in all."""

    async def main() -> None:
        ids = []
        for number in range(30):
            clock.now += number % 3
            ids.append(await noted(ledger, f"fox {number}", "sending", "unknown"))
        seen: list[str] = []
        for offset in range(0, 36, 12):
            rows, total = await ledger.page(offset=offset)
            assert total == 30
            seen += [row.id for row in rows]
        assert seen == ids[::-1]
        assert await ledger.page(offset=30) == ([], 30)
        assert [row.id for row in (await ledger.page(limit=2))[0]] == ids[:-3:-1]

    asyncio.run(main())


def test_what_was_refused_or_dropped_is_left_out(ledger: Ledger, clock: Clock) -> None:
    """Unless it is asked for by its id; what waits its turn is on the page."""

    async def main() -> None:
        async def shown(words: str = "", **more: object) -> list[str]:
            rows, total = await ledger.page(words, **more)
            assert total == len(rows)
            return [row.request.prompt for row in rows]

        await noted(ledger, "waiting")
        clock.now += 1
        refused = await noted(ledger, "refused", "sending", "rejected")
        clock.now += 1
        dropped = await noted(ledger, "dropped", "abandoned")
        clock.now += 1
        await noted(ledger, "in doubt", "sending", "unknown")
        assert await shown() == ["in doubt", "waiting"]
        assert await shown(also=[refused, "nobody"]) == ["in doubt", "refused", "waiting"]
        assert await shown("ed", also=[refused, dropped]) == ["dropped", "refused"]
        await ledger.annotate(refused, starred=1)
        assert await shown(starred=True) == []
        assert await shown(starred=True, also=[refused]) == ["refused"]
        assert await shown(starred=False) == ["in doubt", "waiting"]

    asyncio.run(main())


def test_a_page_is_searched_as_the_history_is(ledger: Ledger, clock: Clock) -> None:
    """All words, in prompt or note, whatever their case and accents; % and _ are only letters."""

    async def main() -> None:
        ids = []
        for prompt in ("A Fox in SNOW", "l'Étoile du Nord", "雪の中の狐", "100% _wild_"):
            clock.now += 1
            ids.append(await noted(ledger, prompt, "sending"))
        await ledger.annotate(ids[0], note="für den ZOÉ-Kalender")
        for words in ("", " ", "snow fox", "fox owl", "etoile", "狐", "% _", "zoe", "fur", "_x_"):
            rows, total = await ledger.page(words)
            assert rows == await ledger.history(words)
            assert total == len(rows)
        assert (await ledger.page("etoile"))[1] == 1

    asyncio.run(main())


def test_a_page_reads_no_more_than_it_shows(ledger: Ledger, tmp_path: Path) -> None:
    """Thousands of tasks cost milliseconds: an index counts and chooses, twelve rows are read."""

    async def main() -> None:
        for number in range(3):
            await drawn(ledger, f"t{number}", tmp_path / "x.png", references=["aa"])
        asked: list[str] = []
        ledger._connection.set_trace_callback(asked.append)
        await ledger.page(starred=False, also=["a"], offset=1)
        ledger._connection.set_trace_callback(None)
        plans = [
            plan
            for statement in asked
            for *_, plan in ledger._connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
        assert "SCAN task USING COVERING INDEX task_by_page" in plans
        scans = [plan for plan in plans if plan.startswith("SCAN") and "COVERING" not in plan]
        assert {scan.split()[1] for scan in scans} == {"json_each"}
        assert any("picture" in plan for plan in plans)
        assert any("reference" in plan for plan in plans)

    asyncio.run(main())


@pytest.mark.parametrize("which", [0, 1])
def test_every_change_is_another_version(kernels, clock: Clock, which: int) -> None:
    """Through this connection and another one's; looking on changes nothing."""

    async def main() -> None:
        watching, working = kernels[0], kernels[which]
        seen = {await watching.version()}

        async def changed() -> None:
            version = await watching.version()
            assert version not in seen
            assert version == await watching.version()
            seen.add(version)

        row = await working.add(ImageRequest("a fox"), API)
        await changed()
        await working.send(row.id)
        await changed()
        await working.move(row.id, "submitted", task_id="t1")
        await changed()
        await working.ready(row.id, ["https://r/1"], 1.0)
        await changed()
        await working.annotate(row.id, note="mine")
        await changed()
        await working.page()
        await working.history()
        await working.spent()
        await working.drop(row.id, "not queued any more")
        assert await watching.version() in seen

    asyncio.run(main())


def test_prompts_come_once_and_the_latest_first(ledger: Ledger, clock: Clock) -> None:
    """Whatever became of them, as they were typed."""

    async def main() -> None:
        used = (
            ("a fox", ["abandoned"]),
            ("an\nowl ", ["sending", "rejected"]),
            ("A fox", []),
            ("a fox", ["sending"]),
        )
        for prompt, states in used:
            await noted(ledger, prompt, *states)  # all at one moment of the clock
        assert await ledger.prompts() == ["a fox", "A fox", "an\nowl"]
        clock.now += 1
        await noted(ledger, "A fox")
        assert await ledger.prompts(limit=2) == ["A fox", "a fox"]

    asyncio.run(main())


def test_only_what_waits_can_be_dropped(kernels, clock: Clock) -> None:
    """By the kernel that looks after it; nothing else is changed, and nothing dropped is sent."""

    async def main() -> None:
        ledger, other = kernels
        for states in (["sending"], ["sending", "unknown"], ["sending", "rejected"], ["abandoned"]):
            own_id = await noted(ledger, "a fox", *states)
            before = await ledger.get(own_id)
            assert not await ledger.drop(own_id, "dropped")
            assert await ledger.get(own_id) == before
        assert not await ledger.drop("nobody", "dropped")
        waiting = await noted(ledger, "a fox")
        assert not await other.drop(waiting, "dropped")
        assert await ledger.drop(waiting, "dropped")
        row = await ledger.get(waiting)
        assert (row.state, row.error) == ("abandoned", "dropped")
        with pytest.raises(Exception, match="cannot become 'sending'"):
            await ledger.send(waiting)
        again = await noted(ledger, "a fox", "sending", "queued")  # between two tries
        assert await ledger.drop(again, "dropped")

    asyncio.run(main())
