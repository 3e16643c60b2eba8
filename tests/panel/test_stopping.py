"""Stop waiting, and another panel of the same home."""

from __future__ import annotations

import time
from pathlib import Path

from nanobanana_nb import Sandbox, Studio

from ..conftest import settings_for
from ..test_money import wait_for
from .hand import opened, rows


def wait_until_full(api: Sandbox, home: Path, waiting: int) -> None:
    """Eight are drawn, and it is known by now that no more can be: for a second none was tried."""
    posts, since = -1, 0.0

    def settled() -> bool:
        nonlocal posts, since
        states = rows(home)
        full = states.count(("submitted",)) == 8 and states.count(("queued",)) == waiting
        if not full or posts != api.counts["submit"]:
            posts, since = api.counts["submit"], time.monotonic()
        return time.monotonic() - since > 1

    wait_for(settled)


def test_stop_drops_what_was_not_sent(busy: tuple[Sandbox, Studio], home: Path) -> None:
    """Eight go at a time: the others are dropped for free and never sent; the numbers are said,
    and stay to be read."""
    api, studio = busy
    hand = opened(studio)
    hand.draw("a fox", count=11)
    wait_until_full(api, home, waiting=3)
    hand.press("Stop waiting")
    hand.says("3 dropped before sending, nothing billed for that.", "error")
    hand.says("8 sent already: what was sent cannot be cancelled, is paid for ($0.24)", "error")
    wait_for(lambda: "Stop waiting" not in hand.buttons())
    assert api.counts["accepted"] == 8
    states = [state for (state,) in rows(home)]
    assert (states.count("submitted"), states.count("abandoned")) == (8, 3)
    wait_for(lambda: len(hand.tiles()) == 8)


def test_what_was_sent_appears(slow: Studio, slow_sandbox: Sandbox) -> None:
    """Nobody waits for it any more, and it comes home all the same."""
    hand = opened(slow)
    hand.draw("a fox", count=2)
    wait_for(lambda: slow_sandbox.counts["accepted"] == 2)
    hand.press("Stop waiting")
    hand.says("2 sent already", "error")
    hand.shows(2)


def test_stop_says_what_it_dropped_of_several_clicks(
    busy: tuple[Sandbox, Studio], home: Path
) -> None:
    """The second click was only waiting its turn: the message stays when its work has ended."""
    api, studio = busy
    hand = opened(studio)
    hand.draw("a fox", count=8)
    wait_for(lambda: api.counts["accepted"] == 8)
    hand.draw("an owl", count=2)
    wait_until_full(api, home, waiting=2)
    hand.press("Stop waiting")
    wait_for(lambda: len(hand.panel._view.jobs) == 1)
    hand.says("2 dropped before sending", "error")
    assert "8 sent already" in hand.text("error")
    assert api.counts["accepted"] == 8


def test_a_single_tile_is_dropped(busy: tuple[Sandbox, Studio], home: Path) -> None:
    """The chosen one and no other, while it waits its turn; once sent, it cannot be."""
    api, studio = busy
    hand = opened(studio)
    hand.draw("a fox", count=8)
    wait_for(lambda: api.counts["accepted"] == 8)
    hand.choose(0)
    hand.says("a fox", "told")
    wait_for(lambda: not any(words.startswith("Drop it") for words in hand.buttons()))
    for prompt in ("an owl", "a lynx"):
        hand.draw(prompt, count=1)
        hand.says(prompt, "told")
    hand.press("Drop it, free of charge")
    wait_for(lambda: len(hand.panel._view.jobs) == 2)
    hand.says("1 dropped before sending", "error")
    assert rows(home, "prompt, state")[-2:] == [("an owl", "queued"), ("a lynx", "abandoned")]
    wait_for(lambda: len(hand.tiles()) == 9)


def test_nothing_to_stop(studio: Studio) -> None:
    """The button is there only while it does something."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.shows(1)
    wait_for(lambda: "Stop waiting" not in hand.buttons())


def test_another_panel_shows_the_same(studio: Studio, sandbox: Sandbox, home: Path) -> None:
    """After a restart of the kernel: the same pictures, stars and notes."""
    hand = opened(studio)
    for prompt in ("a fox", "an owl"):
        hand.draw(prompt)
        hand.says(prompt, "told")
    hand.shows(2)
    hand.press("Star")
    hand.says("★", "told")
    before = hand.tiles()
    studio.close()
    again = Studio(settings_for(sandbox.url, home))
    other = opened(again)
    other.shows(2)
    assert other.tiles() == before
    assert "an owl" in other.text("told")
    again.close()


def test_another_panel_brings_home_what_was_pending(
    slow: Studio, slow_sandbox: Sandbox, home: Path
) -> None:
    """It was paid for; the studio that sent it has ended."""
    hand = opened(slow)
    hand.draw("a fox")
    wait_for(lambda: slow_sandbox.counts["accepted"] == 1)
    slow.close()
    again = Studio(settings_for(slow_sandbox.url, home))
    other = opened(again)
    other.shows(1)
    assert slow_sandbox.counts["submit"] == 1
    again.close()


def test_two_panels_show_each_others_pictures(studio: Studio) -> None:
    """And what a cell draws."""
    here, there = opened(studio), opened(studio)
    here.draw("a fox")
    there.shows(1)
    studio.wait(studio.generate("an owl"))
    for hand in (here, there):
        hand.shows(2)
