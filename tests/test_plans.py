"""What a grid draws: which axes, in which order, how many pictures and at what price."""

from __future__ import annotations

import itertools
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanobanana_nb import RequestError
from nanobanana_nb.plans import plan, repeated
from nanobanana_nb.templates import read


def prompts_of(made) -> list[str]:
    return [prompt for prompt, _ in made.requests()]


def test_two_lists_make_a_grid() -> None:
    """Rows are the first axis of the call, columns the second, and the price is said."""
    made = plan("a {animal} in {style}", {"style": ["ink", "oil"], "animal": ["fox", "owl", "cat"]})
    assert made.text == "2 styles x 3 animals = 6 pictures, $0.18"
    assert [axis.name for axis in made.axes] == ["style", "animal"]
    assert prompts_of(made)[:4] == [
        "a fox in ink", "a owl in ink", "a cat in ink", "a fox in oil",
    ]  # fmt: skip


def test_settings_and_prompts_can_be_axes() -> None:
    """Ratio, format, references, style and whole prompts vary like words do."""
    made = plan(
        ["a {animal}", "two {animal}s, {day|night}"],
        {
            "animal": "fox",
            "aspect_ratio": ["1:1", "16:9"],
            "output_format": "jpeg",
            "image_urls": [
                "https://a.example/x.png?secret=1",
                ["https://a.example/y.png", "z.png"],
            ],
            "style": ("ink", "ink,night"),
        },
        count=2,
    )
    assert made.text == (
        "3 prompts x 2 aspect ratios x 2 image urls x 2 styles x 2 pictures = 48 pictures, $1.44"
    )
    assert made.axes[0].labels == ("a fox", "two foxs, day", "two foxs, night")
    assert made.axes[2].labels == ("x.png", "y.png + z.png")
    first, *_, last = made.requests()
    assert first == (
        "a fox",
        {
            "aspect_ratio": "1:1",
            "output_format": "jpeg",
            "image_urls": ["https://a.example/x.png?secret=1"],
            "style": "ink",
        },
    )
    assert last[0] == "two foxs, night"
    assert last[1]["image_urls"] == ["https://a.example/y.png", "z.png"]


def test_a_name_of_the_prompt_is_text_whatever_it_is_called() -> None:
    """`{style}` in the prompt takes the words of `style`; it is no named style then."""
    made = plan("a fox in {style}", {"style": ["ink", "oil"]})
    assert list(made.requests()) == [("a fox in ink", {}), ("a fox in oil", {})]
    made = plan("{aspect_ratio} {picture}", {"aspect_ratio": "wide", "picture": [1, 2]}, count=2)
    assert [axis.name for axis in made.axes] == ["picture", "picture_"]
    assert prompts_of(made) == ["wide 1", "wide 1", "wide 2", "wide 2"]


def test_a_repeated_template_counts_its_pictures() -> None:
    """`-n 3` beside an axis draws each of its values three times."""
    made = repeated(read("a {fox|owl}", {}), 3)
    assert made.text == "2 variants x 3 pictures = 6 pictures, $0.18"
    assert prompts_of(made) == ["a fox"] * 3 + ["a owl"] * 3
    assert repeated(read("a fox", {}), 1).count == 1


@pytest.mark.parametrize(
    ("prompts", "given", "said"),
    [
        ("a {animal}", {"animal": []}, "animal is an empty list"),
        ([], {}, "prompt is an empty list"),
        ("a {animal}", {"animal": {"fox"}}, "animal holds a set; give text, a number, or a list"),
        ("a {animal}", {"animal": ["fox", None]}, "animal holds a NoneType"),
        ("a {animal}", {"animal": True}, "animal holds a bool"),
        ("a {animal}", {"animl": ["fox"]}, "no {animl}, so nothing was sent. Did you mean animal?"),
        ("a fox", {"aspect": ["1:1"]}, "Did you mean aspect_ratio?"),
        (["a {animal}", "a cat"], {"animal": ["fox", "owl"]}, "“a cat” does not say {animal}"),
        ("a {n}", {"n": ["x", "y", "x"]}, "n has 'x' twice, so it would be drawn twice alike"),
        ("a {b|b}", {}, "variant has 'b' twice"),
        (["a", "a"], {}, "prompt has 'a' twice"),
        ("{n}", {"n": range(10**9)}, "n with 1,000,000,000 values is too much at once"),
        ("{a|b}" * 20, {}, "a grid takes 10,000 at most"),
        (["{a|b}" * 20, "c"], {}, "a grid takes 10,000 at most"),
        ([1, 2], {}, "A grid takes a prompt, or a list of prompts"),
        ("{a} {b}", {"a": range(1000), "b": range(1000)}, "a grid takes 10,000 at most"),
    ],
)
def test_what_cannot_be_drawn_is_said(prompts, given, said) -> None:
    """Each mistake is one line that names it, before anything is made of the plan."""
    with pytest.raises(RequestError) as caught:
        plan(prompts, given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", [0, -3, True, 2.5, [1, 2], "3", 10**12])
def test_a_count_is_a_whole_number(count) -> None:
    """Nothing is drawn for a number of pictures that is none, or for far too many."""
    with pytest.raises(RequestError, match=r"count is|too much at once"):
        plan("a {fox|owl}", {}, count)


def test_a_plan_of_one_axis_says_no_more_than_needed() -> None:
    """The line before sending reads like a price, also without axes."""
    assert plan("a fox", {}).text == "1 picture, $0.03"
    assert plan("a fox", {}, 4).text == "4 pictures, $0.12"
    assert plan("{n}", {"n": [1, 2]}).text == "2 values of n = 2 pictures, $0.06"


def test_what_is_left_open_is_remarked_on() -> None:
    """A name without a value is told, with the nearest one that has been given."""
    made = plan(["a {animal} by {artist}", "a {animal} of {artist}"], {"animal": ["fox"]})
    assert made.remarks == ("{artist} is sent as typed; artist=... would fill it.",)
    made = plan("a {animal}, {animals}", {"animal": ["fox", "owl"]})
    assert made.remarks == (
        "{animals} is sent as typed: there is no animals. Did you mean {animal}?",
    )


def test_columns_of_tables_are_lists() -> None:
    """Arrays, series and the keys of a dict are several values, as people expect."""
    for several in (np.array(["a", "b"]), pd.Series(["a", "b"]), {"a": 1, "b": 2}.keys()):
        assert prompts_of(plan("x {v}", {"v": several})) == ["x a", "x b"]
    assert prompts_of(plan("x {v}", {"v": np.int64(3)})) == ["x 3"]
    assert prompts_of(plan("x {v}", {"v": Decimal("1.50")})) == ["x 1.50"]


@given(
    st.lists(
        st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True), min_size=1, max_size=4
    )
)
def test_every_combination_is_asked_for_once(values) -> None:
    """As many pictures as combinations, the last axis fastest, each with its own values."""
    names = [f"n{number}" for number in range(len(values))]
    text = "\x00".join(f"{{{name}}}" for name in names)
    made = plan(text, dict(zip(names, values, strict=True)))
    assert prompts_of(made) == ["\x00".join(each) for each in itertools.product(*values)]
    assert made.count == len(prompts_of(made))
