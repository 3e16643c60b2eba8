"""The prompt language: what between braces is meant, and what stays as typed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanobanana_nb import RequestError
from nanobanana_nb.templates import read

from .test_prompts_arrive import prompts

ANY = st.text(st.characters(codec=None), max_size=80)
"""Any text at all, halves of surrogate pairs included."""
WITHOUT_BRACES = st.text(st.characters(exclude_characters="{}\\"), max_size=40)
CHOICE = st.text(st.characters(categories=["L", "N"], include_characters=" ,.'-()!?"), min_size=1)
CHOICES = st.lists(CHOICE.filter(str.strip), min_size=2, max_size=5)
JSON = st.recursive(
    WITHOUT_BRACES | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WITHOUT_BRACES, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("prompt", "filled"),
    [
        ("a {animal} in {style}", "a fox in {style}"),
        ("{{animal}} {animal}}", "{{animal}} {animal}}"),
        ("{n} foxes, {share} of them red", "3 foxes, 0.5 of them red"),
        ("a{nothing}fox", "afox"),
        ('{"animal": 1} {animal!r} {animal.x} {animal:>9} {n*3}', None),
        ("{_private} {flag} {mixed} $animal ${animal}x", "{_private} {flag} {mixed} $animal $foxx"),
        ("{tricky}", "{animal} {a|b}"),
        ('{"subject": "{animal}"}', '{"subject": "fox"}'),
    ],
)
def test_only_plain_names_are_filled_in(prompt, filled) -> None:
    """No evaluation, one pass; JSON, CSS and templates in real prompts stay as typed."""
    names = {
        "animal": "fox", "n": 3, "share": 0.5, "nothing": "", "_private": "p", "flag": True,
        "mixed": [1, None], "tricky": "{animal} {a|b}",
    }  # fmt: skip
    template = read(prompt, names)
    assert not template.axes
    assert template.prompt() == (prompt if filled is None else filled)


def test_what_was_filled_in_is_told() -> None:
    """The cell can show what was replaced by what."""
    assert read("{a} {a} {b}", {"a": 1}).filled == {"a": "1"}


def test_lists_and_choices_make_axes() -> None:
    """A list, a tuple and choices each vary; the same name is one axis, two choices are two."""
    template = read(
        "a {animal} and a {animal} in {ink | oil}, {day|night|}, {n}",
        {"animal": ["fox", "owl"], "n": (1, 2)},
    )
    assert [(axis.name, axis.values) for axis in template.axes] == [
        ("animal", ("fox", "owl")),
        ("variant", ("ink", "oil")),
        ("variant_2", ("day", "night", "")),
        ("n", (1, 2)),
    ]
    at = {"animal": "owl", "variant": "ink", "variant_2": "", "n": 2}
    assert template.prompt(at) == "a owl and a owl in ink, , 2"
    assert str(template).startswith("a {animal} and a {animal} in {variant}")


@pytest.mark.parametrize(
    "prompt",
    [
        '{"style": "ink|oil"}',
        '{argument name="a" default="x|y"}',
        "a:hover{color:red|blue}",
        "{a: string | number}",
        "if (a||b) {a||b}",
        '{"fox"|"owl"}',
        "{{fox|owl}}",
        "{{fox|owl}",
        "{fox|owl}}",
        "{{{fox|owl}}}",
        "${fox|owl",
        "{| class=wikitable |}",
        "{|x| x + 1}",
        "$\\{x|y\\}$",
        "{x | x > 0}",
        "{fox\n|owl}",
        "{fox, owl}",
        "{fox||owl}",
        "hi ${a|b}",
        "x_{i|j} x^{i|j} #{a|b} @{a|b}",
        r"\frac{a|b}{c|d} \begin{tabular}{l|c|r} \big[2]{a|b}",
        "{fox||}",
        "{|}",
        "{fox} | {owl}",
        "fox|owl",
        "[fox|owl]",
    ],
)
def test_what_only_looks_like_choices_stays_as_typed(prompt) -> None:
    """JSON, CSS, code, templates of others and markup never become pictures to pay for."""
    template = read(prompt, {})
    assert template.axes == ()
    assert template.prompt() == prompt


def test_real_prompts_hold_no_choices() -> None:
    """No real prompt is taken for variants or changed, in this language."""
    for prompt in prompts("cell", everything=True):
        assert read(prompt, {}) == read(prompt, {"unused": ["a", "b"]})
        assert read(prompt, {}).axes == ()
        assert read(prompt, {}).prompt() == prompt


def test_a_near_name_is_hinted_at() -> None:
    """A slip of the pen is told before it costs a picture; a wrong kind of value as well."""
    names = {"animal": "fox", "foxes": [object()], "picture": object()}
    assert read("a {animl}", names).remarks == (
        "{animl} is sent as typed: there is no animl. Did you mean {animal}?",
    )
    assert read("{picture}", names).remarks == (
        "{picture} is sent as typed: picture is an object, not text, a number or a list of those.",
    )
    assert "foxes holds an object" in read("{foxes}", names).remarks[0]
    assert read("{city_name} {OBJECT}", names).remarks == ()


def test_an_empty_list_is_refused() -> None:
    """Nothing to draw is an error, not an empty prompt that is paid for."""
    with pytest.raises(RequestError, match="animals is an empty list"):
        read("a {animals}", {"animals": []})


@pytest.mark.parametrize("prompt", ["{fox|{red|blue} owl}", "{a {animal}|an owl}"])
def test_choices_inside_of_choices_are_refused(prompt) -> None:
    """They would be sent with braces left in, several times; told before they are paid."""
    with pytest.raises(RequestError, match="braces inside of choices"):
        read(prompt, {"animal": "fox"})


def test_names_in_any_script() -> None:
    """A variable may be called what Python lets it be called, but for a leading underscore."""
    assert read("{größe} {变量}", {"größe": "big", "变量": "x"}).prompt() == "big x"


@given(ANY)
def test_text_without_bars_and_names_arrives_as_typed(text) -> None:
    """Whatever is typed, however odd, is sent as typed where nothing can be meant."""
    plain = text.replace("|", "/")
    assert read(plain, {}).prompt() == plain


@given(ANY, st.dictionaries(st.sampled_from(["a", "b", "name"]), ANY))
def test_reading_never_fails_and_never_looks_twice(text, names) -> None:
    """A value is put in as it is, whatever braces it holds."""
    try:
        template = read(text, names)
    except RequestError:  # choices inside of choices
        return
    at = {axis.name: axis.values[0] for axis in template.axes}
    assert isinstance(template.prompt(at), str)
    assert read("<{name}>", names).prompt() == f"<{names.get('name', '{name}')}>"


@given(WITHOUT_BRACES, CHOICES, WITHOUT_BRACES)
def test_choices_are_drawn_one_by_one(before, choices, after) -> None:
    """Every choice makes a prompt with the text around it untouched."""
    text = f"{before}x{{{'|'.join(choices)}}}{after}"
    [axis] = read(text, {}).axes
    assert axis.values == tuple(choice.strip() for choice in choices)
    drawn = [read(text, {}).prompt({axis.name: value}) for value in axis.values]
    assert drawn == [f"{before}x{value}{after}" for value in axis.values]


@given(JSON)
def test_json_is_left_alone(value) -> None:
    """A structured prompt arrives byte for byte, bars and all."""
    for text in (
        json.dumps(value),
        json.dumps(value, indent=2),
        json.dumps(value, separators=",:"),
    ):
        assert read(text, {}).prompt() == text
        assert read(text, {}).axes == ()
