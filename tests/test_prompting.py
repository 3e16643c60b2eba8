"""What is typed after `%nanobanana`: options and the prompt, word for word."""

from __future__ import annotations

import pytest

from nanobanana_nb import RequestError
from nanobanana_nb.prompting import OPTIONS, foreign_flag, parse, parse_cell, usage


@pytest.mark.parametrize(
    ("line", "options", "prompt"),
    [
        ("a fox", {}, "a fox"),
        ("-a 16:9 a fox", {"aspect_ratio": "16:9"}, "a fox"),
        ("--aspect-ratio=16:9 a fox", {"aspect_ratio": "16:9"}, "a fox"),
        ("--aspect 16:9 a fox", {"aspect_ratio": "16:9"}, "a fox"),
        ('-a "16:9" a fox', {"aspect_ratio": "16:9"}, "a fox"),
        ("-i x -i 'a b.png' go", {"image": ["x", "a b.png"]}, "go"),
        ("-q --raw a  b ", {"quiet": True, "raw": True}, "a  b"),
        ("-- --ar 3:2 fox", {}, "--ar 3:2 fox"),
        ("a fox -a 16:9", {}, "a fox -a 16:9"),
        ('"a fox"', {}, '"a fox"'),
        ("a cat's eye", {}, "a cat's eye"),
        ("-early-2000s digicam", {}, "-early-2000s digicam"),
        ("-Ultra-realistic", {}, "-Ultra-realistic"),
        ("- bullet", {}, "- bullet"),
        ("-20°C outside", {}, "-20°C outside"),
        ("-- - - x", {}, "- - x"),
        ("", {}, ""),
    ],
)
def test_options_stand_first_and_the_rest_is_the_prompt(line, options, prompt) -> None:
    """Options are read from the start only; the prompt is the raw rest, quotes and all."""
    parsed = parse(line)
    assert (dict(parsed.options), parsed.prompt) == (options, prompt)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-z fox", "-z is not an option"),
        ("--ar 3:4 fox", "Did you mean --aspect-ratio?"),
        ("-a16:9 fox", "Did you mean -a?"),
        ("--quit fox", "Did you mean --quiet?"),
        ("--q 2 fox", "--q is not an option"),
        ("--raw=yes fox", "--raw=yes is not an option"),
        ("-a", "-a needs a value"),
        ("-n", "-n needs a value"),
    ],
)
def test_a_wrong_option_is_one_clear_line(line, said) -> None:
    """An option that does not exist must not become part of a paid prompt."""
    with pytest.raises(RequestError) as caught:
        parse(line)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cell_joins_its_first_line_and_keeps_its_inside() -> None:
    """Text on the %% line is the prompt's first line; blank lines and indents stay."""
    parsed = parse_cell("-a 1:1 a fox", "\n  in snow\r\n\n    deep\n")
    assert parsed.prompt == "a fox\n  in snow\n\n    deep"
    assert parse_cell("", "\n  in snow  \n").prompt == "in snow"


def test_midjourney_flags_are_noticed_not_converted() -> None:
    """`--ar 3:4` in a prompt is sent as text, with a hint."""
    assert foreign_flag("a fox --ar 3:4 --v 6") == "--ar 3:4"
    assert foreign_flag("a fox -- art") is None


def test_help_names_every_option() -> None:
    """`-h` is complete."""
    for option in OPTIONS:
        assert option.long in usage()
        assert option.help in usage()
