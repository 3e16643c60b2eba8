"""What a grid draws: which axes, in which order, how many pictures and at what price."""

from __future__ import annotations

import itertools

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


def test_a_near_miss_is_remarked_on() -> None:
    """A name left open beside one that was given is told."""
    made = plan(
        ["a {animal} by {artst}", "a {animal} of {artst}"], {"animal": ["fox"], "style": ""}
    )
    assert made.remarks == ()
    made = plan("a {animal}, {animals}", {"animal": ["fox", "owl"]})
    assert made.remarks == (
        "{animals} is sent as typed: there is no animals. Did you mean {animal}?",
    )


@given(st.lists(st.lists(st.text(min_size=1), min_size=1, max_size=4), min_size=1, max_size=4))
def test_every_combination_is_asked_for_once(values) -> None:
    """As many pictures as combinations, the last axis fastest, each with its own values."""
    names = [f"n{number}" for number in range(len(values))]
    text = "\x00".join(f"{{{name}}}" for name in names)
    made = plan(text, dict(zip(names, values, strict=True)))
    assert prompts_of(made) == ["\x00".join(each) for each in itertools.product(*values)]
    assert made.count == len(prompts_of(made))
