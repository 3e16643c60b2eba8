"""The list of styles: what is chosen is drawn, is seen, is copied, and is put on only once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nanobanana_nb import Sandbox, Studio
from nanobanana_nb.panel.form import NO_STYLE
from nanobanana_nb.presets import BUILT_IN, dress, read

from ..test_money import wait_for
from .hand import Hand, opened, rows

INK, POSTER = (read([BUILT_IN])[name] for name in ("ink", "poster"))


def names(hand: Hand) -> list[str]:
    """The words in the list."""
    return [label for label, _ in hand.field("styles").options]


def write(file: Path, text: str) -> None:
    """Save the styles, at a moment that is surely another one."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    written = file.stat().st_mtime_ns + 1_000_000 * len(text)
    os.utime(file, ns=(written, written))


@pytest.fixture
def hand(studio: Studio) -> Hand:
    """A panel that has its list."""
    made = opened(studio)
    wait_for(lambda: len(names(made)) > 1)
    return made


def sent(home: Path) -> list[tuple[str, str, str]]:
    return rows(home, "prompt, aspect_ratio, output_format")


def test_the_list(hand: Hand) -> None:
    """Ours are always there, none is chosen, and it is shown."""
    assert names(hand) == [NO_STYLE, *read([BUILT_IN])]
    assert hand.field("styles").value == ""
    assert hand.field("styles") in list(hand.shown())
    assert hand.field("styles").description == "Style"


def test_a_style_is_drawn_and_the_prompt_stays(hand: Hand, home: Path) -> None:
    """What was typed stands as it was typed; what is sent is dressed; the price is as ever."""
    hand.draw("a fox", styles="ink", count=2)
    hand.shows(2)
    assert hand.field("prompt").value == "a fox"
    assert sent(home) == [(dress("a fox", [INK]), "1:1", "png")] * 2
    assert "$0.06" in hand.text("price")
    hand.field("styles").value = ""
    hand.draw("an owl", count=1)
    hand.shows(3)
    assert sent(home)[-1] == ("an owl", "1:1", "png")


def test_the_settings_of_a_style_are_seen_before_they_are_drawn(hand: Hand, home: Path) -> None:
    """The ratio of a poster shows in the form, can be changed, and goes with the style."""
    ratio, styles = hand.field("ratio"), hand.field("styles")
    ratio.value = "16:9"
    styles.value = "poster"
    assert ratio.value == "2:3"
    hand.draw("a fox")
    hand.shows(1)
    assert sent(home) == [(dress("a fox", [POSTER]), "2:3", "png")]
    styles.value = "ink"
    assert ratio.value == "16:9"
    styles.value = "poster"
    ratio.value = "1:1"
    styles.value = ""
    assert ratio.value == "1:1"


def test_what_the_page_still_shows_is_not_believed(hand: Hand) -> None:
    """A click that comes before the page has the style's ratio: the style's ratio is meant."""
    form = hand.panel._form
    form._echo.then = lambda act: None  # the page has not answered yet
    hand.field("styles").value = "poster"
    said = {"prompt": "a fox", "aspect_ratio": "1:1", "style": "poster", "count": "1"}
    assert form.wish(said).aspect_ratio == "2:3"
    form._still_on_the_page.clear()
    assert form.wish(said).aspect_ratio == "1:1"


@pytest.mark.parametrize(
    ("said", "meant"), [("ink", "ink"), ("No\xa0style", ""), ("", ""), ("gone", "gone")]
)
def test_the_style_that_the_page_says(hand: Hand, said: str, meant: str) -> None:
    """It comes with the click, as the list shows it; what is not known is told later."""
    hand.field("styles").value = "oil"
    wish = hand.panel._form.wish({"prompt": "a fox", "style": said})
    assert (wish.style.name if wish.style else "") == meant
    assert wish.options.get("style", "") == meant
    assert hand.panel._form.wish({"prompt": "a fox"}).options["style"] == "oil"


def test_copy_as_cell(hand: Hand) -> None:
    """The style by its name, the prompt as it was typed."""
    hand.field("prompt").value = "a fox"
    hand.field("styles").value = "poster"
    hand.press("Copy as cell")
    hand.says("%nanobanana --style poster a fox", "clip")
    assert 'nb.generate("a fox", style="poster")' in hand.text("clip")


@pytest.mark.parametrize("chosen", ["poster", "oil"])
@pytest.mark.parametrize("words", ["Use prompt", "Use all"])
def test_a_style_is_not_put_on_twice(hand: Hand, home: Path, words: str, chosen: str) -> None:
    """The prompt of a picture has its style in it, whichever is chosen now; what the chosen one
    has set stays."""
    hand.draw("a fox", styles="poster")
    hand.shows(1)
    hand.says("as a screen-printed", "told")
    hand.field("styles").value = chosen
    hand.press(words)
    wait_for(lambda: hand.field("prompt").value == dress("a fox", [POSTER]))
    assert hand.field("styles").value == ""
    ratio = "1:1" if (words, chosen) == ("Use prompt", "oil") else "2:3"
    wait_for(lambda: hand.field("ratio").value == ratio)
    hand.press("Generate")
    hand.shows(2)
    assert [prompt for prompt, *_ in sent(home)] == [dress("a fox", [POSTER])] * 2


def test_an_earlier_prompt_that_has_the_style(hand: Hand, home: Path) -> None:
    """Fetched back, it takes the style off; one without it leaves the choice."""
    hand.draw("an owl")
    hand.shows(1)
    hand.draw("a fox", styles="ink")
    hand.shows(2)
    hand.field("prompt").value = ""
    hand.press("‹ Earlier")
    wait_for(lambda: hand.field("prompt").value == dress("a fox", [INK]))
    assert hand.field("styles").value == ""
    hand.field("styles").value = "ink"
    hand.press("‹ Earlier")
    wait_for(lambda: hand.field("prompt").value == "an owl")
    assert hand.field("styles").value == "ink"


def test_vary_leaves_the_list_alone(hand: Hand, home: Path, sandbox: Sandbox) -> None:
    """It asks for the same once more, whatever is chosen now."""
    hand.draw("a fox", styles="ink")
    hand.shows(1)
    hand.says("in black ink", "told")
    hand.field("styles").value = "oil"
    hand.press("Vary")
    hand.shows(2)
    assert {task.prompt for task in sandbox.tasks} == {dress("a fox", [INK])}
    assert hand.field("styles").value == "oil"


def test_a_file_that_changes(hand: Hand, home: Path, sandbox: Sandbox) -> None:
    """A new style is in the list soon; one that has gone is told, and not drawn without."""
    file = home / "styles.toml"
    write(file, '[mine]\nprompt = "as mine"\n')
    wait_for(lambda: "mine" in names(hand))
    hand.field("styles").value = "mine"
    write(file, '[other]\nprompt = "as other"\n')
    hand.says("not in its file any more")
    assert "mine" not in names(hand)
    assert hand.field("styles").value == ""
    assert sandbox.counts["submit"] == 0


def test_a_click_faster_than_the_list(hand: Hand, sandbox: Sandbox) -> None:
    """A style that has gone meanwhile: one line, and nothing is sent."""
    hand.panel._generate({"prompt": "a fox", "style": "inc", "count": "1"})
    hand.says("There is no style 'inc', so nothing was sent. Did you mean ink?")
    assert sandbox.counts["submit"] == 0


def test_a_wrong_file(studio: Studio, home: Path) -> None:
    """Its line is told, ours can be chosen, and the panel works."""
    write(home / "styles.toml", "[ink")
    hand = opened(studio)
    hand.says("is not sound TOML")
    assert names(hand) == [NO_STYLE, *read([BUILT_IN])]
    hand.draw("a fox")
    hand.shows(1)
