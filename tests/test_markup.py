"""The building blocks of HTML: foreign text stays text, pictures keep their ratio."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest

from nanobanana_nb import markup

HOSTILE = "<b a=\"1\" b='2'>&amp;\u202e\x00\n</b> onload=alert(1)"


class Tags(HTMLParser):
    """The tags of a piece of HTML with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_foreign_text_stays_text() -> None:
    """No tag, no quote that ends an attribute, nothing that turns the line around."""
    safe = markup.escape(HOSTILE)
    assert not set("<>\"'\u202e\x00\n") & set(safe)
    assert html.unescape(safe).startswith("<b a=\"1\" b='2'>&amp;")


def test_long_text_is_cut_before_it_is_escaped() -> None:
    """A cut never leaves half of an escape."""
    assert markup.escape("&" * 50, 10) == "&amp;" * 9 + "…"


def test_dots_stand_between_what_is_there() -> None:
    """What is empty leaves no dot behind."""
    assert markup.dotted("", "a", "", "b\n", "") == "a · b"


def test_only_the_first_letter_is_made_capital() -> None:
    """Names in the rest of the words keep their letters."""
    assert markup.capital("being drawn by APIXO") == "Being drawn by APIXO"
    assert markup.capital("") == ""


def test_an_image_is_one_tag_with_its_words_as_text() -> None:
    """Whatever its alt text and title say, they are values, and there is no handler."""
    ((tag, has),) = Tags(markup.image(b"jpeg", HOSTILE, 10, 10, 10, title=HOSTILE)).found
    assert tag == "img"
    assert set(has) == {"src", "alt", "title", "width", "height", "style"}
    assert has["alt"] == has["title"] != ""
    assert has["src"] == "data:image/jpeg;base64,anBlZw=="


@pytest.mark.parametrize(
    ("full", "shown"),
    [
        ((1344, 756), (512, 288)),
        ((756, 1344), (288, 512)),
        ((100, 50), (100, 50)),
        ((0, 0), (0, 0)),
    ],
)
def test_a_picture_is_fitted_not_distorted(full: tuple[int, int], shown: tuple[int, int]) -> None:
    """The longer side is what there is room for; a small picture is not blown up."""
    assert markup.fitted(*full, 512) == shown
    ((_, has),) = Tags(markup.image(b"", "", *full, 512)).found
    assert (has["width"], has["height"]) == tuple(map(str, shown))


@pytest.mark.parametrize(
    ("full", "ratio"),
    [((1344, 756), "512/288"), ((10, 5), "512/256"), ((9000, 1), "512/1"), ((0, 0), "1/1")],
)
def test_the_slider_has_the_ratio_of_the_first(full: tuple[int, int], ratio: str) -> None:
    """Its box is as large as there is room for, also for a small picture, and never flat."""
    assert f"aspect-ratio:{ratio};" in markup.add_slider(*full, 512)


def test_the_slider_is_well_formed_inside_of_its_script() -> None:
    """The HTML in the script cannot end the script's text, and each of its tags is closed."""
    before, box, after = markup.add_slider(16, 9, 512).split("`")
    assert "${" not in box
    assert "<" not in before + after
    opened = [tag for tag, _ in Tags(box).found if tag not in ("img", "input", "path")]
    assert sorted(opened) == sorted(re.findall(r"</(\w+)>", box))


def test_the_slider_can_be_used_without_a_mouse() -> None:
    """Its input has a name and a value in words, and keeps its keys in Lab."""
    box = markup.add_slider(16, 9, 512).split("`")[1]
    (has,) = [attributes for tag, attributes in Tags(box).found if tag == "input"]
    assert has["type"] == "range"
    assert has["aria-label"]
    assert has["aria-valuetext"] == "50 % of A"
    assert has["data-lm-suppress-shortcuts"] == "true"
