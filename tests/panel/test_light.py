"""The panel stays light, whatever the size of the home."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from nanobanana_nb import Generation, Studio
from nanobanana_nb import ledger as ledger_module
from nanobanana_nb.panel import Panel
from nanobanana_nb.panel.gallery import PAGE

from ..test_money import wait_for
from .hand import OPENED, every, filled, opened, rows


def opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are opened from now on, by their paths."""
    seen: list[str] = []
    sys.addaudithook(
        lambda event, arguments: seen.append(str(arguments[0])) if event == "open" else None
    )
    return seen


@pytest.mark.parametrize("count", [50, 5000])
def test_opening_reads_one_page(
    studio: Studio, home: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """However much there is: twelve previews, twelve rows of tasks."""
    filled(home, count, pictures=30)
    studio.wait(studio.version())
    read, asked = opens(monkeypatch), []
    given = ledger_module._row

    def counted(found: dict[str, object], *more: object) -> object:
        asked.append(found["id"])
        return given(found, *more)

    monkeypatch.setattr(ledger_module, "_row", counted)
    hand = opened(studio)
    hand.shows(12)
    wait_for(lambda: "Balance" in hand.text("money"))
    pictures = [path for path in read if path.endswith((".png", ".jpg"))]
    assert 0 < len(set(pictures)) <= 2 * 12 + 2
    assert 12 <= len(asked) <= 40
    read.clear()
    hand.press("Older")
    hand.says(f"13–24 of {count:,}", "range")
    assert len({path for path in read if path.endswith(".png")}) <= 13


def test_looking_again_reads_no_picture(
    studio: Studio, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice a second while something is drawn: what was shown once is not read and shrunk anew."""
    filled(home, 50, pictures=30)
    hand = opened(studio)
    hand.shows(12)
    hand.says("Balance", "money")
    read = opens(monkeypatch)
    for number in range(3):
        studio.wait(studio.star(f"id{number}", True))
        wait_for(lambda number=number: rows(home, "starred")[number] == (1,))
        seen = hand.panel._view._seen
        hand.panel._look_again()
        wait_for(lambda seen=seen: hand.panel._view._seen != seen)
    studio.wait(studio.version())
    assert [path for path in read if path.endswith((".png", ".jpg"))] == []


def state_bytes(panel: Panel) -> tuple[int, int]:
    """Of all widgets of a panel together, and of its largest trait."""
    sizes = [
        len(json.dumps(value, default=str).encode())
        for one in every(panel.widget)
        for value in one.get_state().values()
    ]
    return sum(sizes), max(sizes)


def test_widgets_hold_small_previews_only(studio: Studio, home: Path) -> None:
    """A page reload sends all of it: twelve tiles, the chosen picture, a large one while open."""
    filled(home, 53, pictures=20)
    hand = opened(studio)
    hand.shows(12)
    hand.says("fox 52", "told")
    total, largest = state_bytes(hand.panel)
    assert total < 400_000
    hand.press("Open large")
    wait_for(lambda: "<img" in hand.field("fullview").value)
    assert state_bytes(hand.panel)[1] <= 270_000
    hand.press("Close")
    assert state_bytes(hand.panel)[0] <= total + 1000
    assert largest < 100_000


@pytest.mark.nightly
def test_memory_is_flat(studio: Studio) -> None:
    """Five hundred pictures in one panel hold no more objects and bytes than a hundred did."""
    import gc
    import tracemalloc

    hand = opened(studio)
    tracemalloc.start()
    seen = {}
    for number in range(1, 26):
        hand.draw(f"a fox {number}", count=20)
        hand.shows(12, seconds=120)
        if number in (5, 25):
            gc.collect()
            seen[number * 20] = (tracemalloc.get_traced_memory()[0], len(gc.get_objects()))
    tracemalloc.stop()
    print(f"bytes and objects: {seen}")
    assert seen[500][0] < seen[100][0] + 4_000_000
    assert seen[500][1] < seen[100][1] * 1.1


def test_the_money_line(studio: Studio) -> None:
    """What this session has spent, and what is left."""
    hand = opened(studio)
    hand.draw("a fox", count=2)
    hand.says("Session $0.06", "money")
    hand.says("Balance $9.94", "money")
    assert studio.wait(studio.spending()).session == Decimal("0.06")


def test_a_closed_panel_rests(studio: Studio) -> None:
    """It looks no more, and its tasks go on."""
    hand = opened(studio)
    hand.draw("a fox")
    wait_for(lambda: bool(hand.panel._view.jobs))
    hand.panel.close()
    OPENED.remove(hand.panel)
    wait_for(lambda: not hand.panel._view.jobs)
    last = studio.last
    assert isinstance(last, Generation)
    assert last.path.exists()


def test_a_page_is_as_large_as_the_gallery() -> None:
    """The tests above count in twelves."""
    assert PAGE == 12
