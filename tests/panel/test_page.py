"""Prompts of before, and what keyboard, clipboard and dropped files ask for."""

from __future__ import annotations

from pathlib import Path

from nanobanana_nb import Settings, Studio

from ..test_money import wait_for
from .hand import opened, plain_picture


def test_earlier_and_later_prompts(studio: Studio) -> None:
    """Each once, the latest first; back at the end stands what was typed."""
    hand = opened(studio)
    for prompt in ("a fox", "an owl", "a fox", "a lynx"):
        studio.wait(studio.generate(prompt))
    hand.field("prompt").value = "half a thou"
    for words, prompt in (
        ("‹ Earlier", "a lynx"),
        ("‹ Earlier", "a fox"),
        ("‹ Earlier", "an owl"),
        ("‹ Earlier", "an owl"),
        ("Later ›", "a fox"),
        ("Later ›", "a lynx"),
        ("Later ›", "half a thou"),
        ("Later ›", "half a thou"),
    ):
        hand.press(words)
        wait_for(lambda prompt=prompt: hand.field("prompt").value == prompt)
        hand.panel._living.wait(studio.version())
    hand.press("‹ Earlier")
    wait_for(lambda: hand.field("prompt").value == "a lynx")
    hand.field("prompt").value = "a lynx in snow"
    hand.press("‹ Earlier")
    wait_for(lambda: hand.field("prompt").value == "a lynx")
    hand.press("Later ›")
    wait_for(lambda: hand.field("prompt").value == "a lynx in snow")


def test_fast_clicks_go_back_as_far(studio: Studio) -> None:
    """Three presses of Earlier are three prompts back."""
    hand = opened(studio)
    for prompt in ("a fox", "an owl", "a lynx"):
        studio.wait(studio.generate(prompt))
    for _ in range(3):
        hand.press("‹ Earlier")
    wait_for(lambda: hand.field("prompt").value == "a fox")


def test_what_the_page_sends(tmp_path: Path) -> None:
    """Keys, a dropped link, a pasted picture and one that is too large: each acts or is told."""
    studio = Studio(Settings.load(sandbox="always", home=tmp_path, pictures=tmp_path / "p"))
    hand = opened(studio)
    said = {"do": "generate", "prompt": "an owl at", "count": "2", "aspect_ratio": "16:9"}
    hand.panel._received({**said, "output_format": "jpeg"}, [])
    hand.shows(2)
    assert "an owl at" in hand.text("told")
    hand.press("Open large")
    wait_for(lambda: hand.field("fullview").value != "")
    hand.panel._received({"do": "escape"}, [])
    assert hand.field("fullview").value == ""
    hand.panel._received({"do": "older"}, [])
    wait_for(lambda: hand.field("prompt").value == "an owl at")
    file = plain_picture(tmp_path / "red.png", "red")
    hand.panel._received({"do": "picture"}, [memoryview(file.read_bytes())])
    wait_for(lambda: len(hand.panel._form.looks) == 1)
    hand.panel._received({"do": "picture"}, [memoryview(b"not a picture")])
    hand.says("picture", "error")
    hand.panel._received({"do": "link", "text": "http://example.com/x.png"}, [])
    hand.says("not https", "error")
    hand.panel._received({"do": "too-large", "name": "huge.tif"}, [])
    hand.says("huge.tif", "error")
    hand.panel._received({"do": "nonsense"}, [])
    studio.close()
