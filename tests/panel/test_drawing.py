"""Generate: as many tasks as were meant, at a price that is seen before."""

from __future__ import annotations

import pytest

from nanobanana_nb import Sandbox, Studio
from nanobanana_nb.panel.clicks import ANSWERED, Clicks

from ..test_money import wait_for
from .hand import opened


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_which_clicks_are_meant() -> None:
    """The same again before its answer can be seen is no new wish, however long a key is held."""
    clock = Clock()
    clicks = Clicks(clock)
    assert not clicks.repeated("a fox")
    for _ in range(100):
        clock.now += ANSWERED * 0.9
        assert clicks.repeated("a fox")
    assert not clicks.repeated("an owl")
    assert not clicks.repeated("a fox")
    clock.now += ANSWERED
    assert not clicks.repeated("a fox")


def test_a_slow_kernel_is_no_reason_to_pay_twice() -> None:
    """A double click that a slow kernel handles late is told by when the page made it."""
    clock = Clock()
    clicks = Clicks(clock)
    assert not clicks.repeated("a fox", 5.0)
    clock.now += 60
    assert clicks.repeated("a fox", 5.0 + ANSWERED * 0.9)
    clock.now += 60
    assert not clicks.repeated("a fox", 5.0 + ANSWERED * 2)
    assert clicks.repeated("a fox", 1e9)  # handled at once, whatever the page's clock says


@pytest.mark.parametrize("presses", [2, 20])
def test_fast_clicks_ask_for_one_picture(slow: Studio, slow_sandbox: Sandbox, presses: int) -> None:
    """A double click, a held key, impatience: one task, and a line that says so."""
    hand = opened(slow)
    hand.field("prompt").value = "a fox"
    for _ in range(presses):
        hand.press("Generate")
    assert "count as one" in hand.text("error")
    hand.shows(1)
    assert slow_sandbox.counts["submit"] == 1


def test_a_click_with_another_wish_is_meant(studio: Studio, sandbox: Sandbox) -> None:
    """Whatever was changed in between, even at once."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.draw("an owl")
    hand.draw("an owl", ratio="16:9")
    hand.draw("an owl", format="jpeg")
    hand.draw("an owl", count=2)
    hand.shows(6)
    asked = [(one.prompt, one.aspect_ratio, one.output_format) for one in sandbox.tasks]
    assert sorted(asked) == sorted(
        [
            ("a fox", "1:1", "png"),
            ("an owl", "1:1", "png"),
            ("an owl", "16:9", "png"),
            *[("an owl", "16:9", "jpeg")] * 3,
        ]
    )


def test_a_click_after_a_while_is_meant(studio: Studio, sandbox: Sandbox) -> None:
    """Nothing was changed, but the answer to the first could be seen."""
    hand, clock = opened(studio), Clock()
    hand.panel._clicks = Clicks(clock)
    hand.draw("a fox")
    clock.now += ANSWERED
    hand.press("Generate")
    hand.shows(2)
    assert sandbox.counts["submit"] == 2


def test_fast_clicks_on_vary_ask_once(studio: Studio, sandbox: Sandbox) -> None:
    """As many variations as the form says, at the price on the button, and no more."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.shows(1)
    hand.field("count").value = 3
    hand.choose(0)
    hand.says("a fox", "told")
    wait_for(lambda: "Vary, $0.09" in hand.buttons())
    hand.press("Vary")
    hand.press("Vary")
    hand.shows(4)
    assert sandbox.counts["submit"] == 4
    assert {one.prompt for one in sandbox.tasks} == {"a fox"}


def test_the_price_stands_beside_the_button(studio: Studio) -> None:
    """Before the click, for one and for several."""
    hand = opened(studio)
    assert hand.text("price") == "$0.03"
    hand.field("count").value = 4
    assert "".join(hand.text("price").split()) == "4×$0.03=$0.12"


def test_the_price_of_varying_follows_the_number(studio: Studio) -> None:
    """The button beside the picture names what a click on it costs, at once."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.shows(1)
    hand.field("count").value = 4
    wait_for(lambda: "Vary, $0.12" in hand.buttons(), 5)


def test_several_at_once_the_newest_first(slow: Studio, slow_sandbox: Sandbox) -> None:
    """Nothing is cleared by a new click: those under way and those done stand side by side."""
    hand = opened(slow)
    for number, prompt in enumerate(("a fox", "an owl", "a lynx"), 1):
        hand.draw(prompt)
        wait_for(lambda number=number: len(hand.tiles()) == number)
    assert "s of about" in " ".join(hand.tiles())
    assert slow_sandbox.counts["accepted"] >= 2
    hand.shows(3)
    assert hand.prompts() == ["a lynx", "an owl", "a fox"]
    hand.draw("a wolf")
    wait_for(lambda: len(hand.tiles()) == 4)
    assert hand.prompts()[1:] == ["a lynx", "an owl", "a fox"]
    assert hand.field("prompt").value == "a wolf"
    hand.shows(4)


def test_what_was_asked_for_is_chosen(slow: Studio) -> None:
    """By itself, from its first moment on."""
    hand = opened(slow)
    for prompt in ("a fox", "an owl"):
        hand.draw(prompt)
        hand.says(prompt, "told")
        assert hand.chosen() == [0]
    hand.shows(2)


def test_what_was_chosen_by_hand_stays_chosen(slow: Studio) -> None:
    """Whatever lands meanwhile."""
    hand = opened(slow)
    hand.draw("a fox")
    hand.shows(1)
    hand.draw("an owl", count=3)
    hand.says("an owl", "told")
    wait_for(lambda: len(hand.tiles()) == 4)
    hand.choose(3)
    hand.says("a fox", "told")
    hand.shows(4)
    assert "a fox" in hand.text("told")
    assert hand.chosen() == [3]


def test_a_choice_by_hand_outlasts_what_was_asked_for(slow: Studio) -> None:
    """A new picture that a search keeps from being shown is not chosen later, against a click."""
    hand = opened(slow)
    hand.draw("a fox")
    hand.shows(1)
    hand.field("search").value = "fox"
    hand.draw("an owl")
    hand.says("on the way", "error")
    hand.choose(0)
    hand.says("1 picture done", "error")
    hand.field("search").value = ""
    hand.shows(2)
    wait_for(lambda: hand.chosen() == [1])
    assert "a fox" in hand.text("told")
