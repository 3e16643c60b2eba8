"""Which call goes next: what is finished is fetched before more is begun."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from nanobanana_nb.lanes import MOST, Lanes


class Calls:
    """Calls that stay on the wire until they are answered."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._answered: list[asyncio.Event] = []
        self.begun: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def make(self, *purposes: str) -> None:
        for purpose in purposes:
            self.tasks.append(asyncio.ensure_future(self._call(purpose)))

    async def _call(self, purpose: str) -> None:
        async with self._lanes.take(purpose):
            self.begun.append(purpose)
            self._answered.append(asyncio.Event())
            await self._answered[-1].wait()

    async def settle(self) -> None:
        for _ in range(8):
            await asyncio.sleep(0)

    async def answer(self, number: int) -> None:
        self._answered[number].set()
        await self.settle()


def begun(at_a_time: int, calls: Sequence[str], answers: int) -> list[str]:
    """In what order calls begin of which so many are answered, one by one."""

    async def main() -> list[str]:
        made = Calls(Lanes(at_a_time))
        made.make(*calls)
        await made.settle()
        for number in range(answers):
            await made.answer(number)
        for task in made.tasks:
            task.cancel()
        return made.begun

    return asyncio.run(main())


def test_downloads_go_first_then_looks_then_submits() -> None:
    """Whoever waits longer: a finished picture is worth more than one that is not begun."""
    waiting = ["ask", "submit", "ask", "fetch"]
    assert begun(1, ["submit", *waiting], 4) == ["submit", "fetch", "ask", "ask", "submit"]


def test_no_kind_keeps_out_the_others() -> None:
    """Many downloads leave a place for looks, and many looks one for a submit."""
    assert begun(16, ["fetch"] * 20, 0) == ["fetch"] * MOST["fetch"]
    many = begun(16, [*["ask"] * 40, "submit"], 0)
    assert (many.count("ask"), many.count("submit")) == (MOST["ask"], 1)


def test_no_more_than_so_many_at_a_time() -> None:
    """Of all kinds together."""
    assert len(begun(16, ["fetch", "ask", "submit"] * 20, 0)) == 16


@pytest.mark.parametrize("moment", ["waiting", "given"])
def test_who_gives_up_leaves_the_place_to_others(moment: str) -> None:
    """While it waits, and also at the very moment at which it is given its place."""

    async def main() -> list[str]:
        made = Calls(Lanes(1))
        made.make("submit", "ask", "fetch")
        await made.settle()
        if moment == "waiting":
            made.tasks[2].cancel()
            await made.settle()
            await made.answer(0)
        else:
            made._answered[0].set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            made.tasks[2].cancel()
            await made.settle()
        found = [*made.begun]
        for task in made.tasks:
            task.cancel()
        return found

    assert asyncio.run(main())[-1] == "ask"
