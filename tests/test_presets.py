"""Named styles: what a file may say, how a prompt is dressed, and what is said of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nanobanana_nb import ConfigError, ImageRequest, RequestError, Settings
from nanobanana_nb.presets import BUILT_IN, Style, chosen, dress, load, merged, read, sources

from .conftest import PROMPTS

INK = Style("ink", "in black ink")
CARD = Style("card", "A card of {prompt}, and {prompt} again", aspect_ratio="3:2")
NIGHT = Style("night", "at night", output_format="jpeg")


def book(folder: Path, text: str, name: str = "styles.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("prompt", "worn", "dressed"),
    [
        ("a fox", [INK], "a fox, in black ink"),
        ("a fox.", [INK], "a fox. in black ink"),
        ("一只狐狸。", [INK], "一只狐狸。 in black ink"),
        ("  a fox\n", [INK], "a fox, in black ink"),
        ("a fox", [CARD], "A card of a fox, and a fox again"),
        ("a fox", [INK, NIGHT], "a fox, in black ink, at night"),
        ("a fox", [NIGHT, CARD], "A card of a fox, at night, and a fox, at night again"),
        ("a fox", [CARD, NIGHT], "A card of a fox, and a fox again, at night"),
        ("a fox", [], "a fox"),
        ("a fox", [Style("wide", aspect_ratio="21:9")], "a fox"),
    ],
)
def test_a_prompt_is_dressed(prompt: str, worn: list[Style], dressed: str) -> None:
    """Behind the prompt or around it, one style after the other."""
    assert dress(prompt, worn) == dressed


def test_what_was_typed_is_not_looked_at() -> None:
    """A person's own `{prompt}`, braces and backslashes arrive, and those of a style stay too."""
    typed = r"the word {prompt} in {a|b}, \1 \g<0> {0} %s"
    assert dress(typed, [CARD]) == f"A card of {typed}, and {typed} again"
    braces = Style("x", "with {name} and {a|b} and {prompt!r}")
    assert dress(typed, [braces]) == f"{typed}, {braces.prompt}"
    assert dress(typed, [CARD, CARD]).count(typed) == 4


def test_real_prompts_are_inside_their_dress() -> None:
    """Every prompt of the collection stands in its dressed form, word for word."""
    for line in PROMPTS.read_text(encoding="utf-8").splitlines():
        typed = json.loads(line)["prompt"].strip()
        if 0 < len(typed) < 2400:
            for worn in (INK, CARD, *read([BUILT_IN]).values()):
                dressed = dress(typed, [worn])
                assert typed in dressed
                assert worn.is_worn_by(dressed)


def test_a_prompt_too_long_only_with_its_style() -> None:
    """The line names the style and how much to cut; one too long by itself is told as ever."""
    assert len(dress("x" * (5000 - len(", in black ink")), [INK])) == 5000
    with pytest.raises(RequestError, match=r"^With the style night .* 5,009 .* Cut 9, or leave"):
        dress("x" * (5000 - len(", in black ink") - 1), [INK, NIGHT])
    with pytest.raises(RequestError, match=r"^The prompt has 5,001 characters"):
        dress("x" * 5001, [INK])


def test_an_empty_prompt_is_not_dressed() -> None:
    """A style alone is no picture."""
    with pytest.raises(RequestError, match="prompt is empty"):
        dress("  \n", [INK])


def test_settings_of_several_styles() -> None:
    """Of ratio and format the last is taken, pictures come from all of them in order."""
    one = Style("one", aspect_ratio="1:1", image_urls=("https://a/1.png", "https://a/2.png"))
    two = Style("two", image_urls=("https://a/3.png",))
    assert merged([one, CARD, two, NIGHT]) == {
        "aspect_ratio": "3:2",
        "output_format": "jpeg",
        "image_urls": ["https://a/1.png", "https://a/2.png", "https://a/3.png"],
    }
    assert merged([INK]) == {}


def test_styles_are_chosen_by_name() -> None:
    """By a list or a text with commas, in that order, each once."""
    known = {one.name: one for one in (INK, CARD, NIGHT)}
    assert chosen(known, "night, ink,") == (NIGHT, INK)
    assert chosen(known, ["card", "ink", "card"]) == (CARD, INK)
    assert chosen(known, "") == chosen(known, []) == ()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("ink,nihgt", r"no style 'nihgt', so nothing was sent\. Did you mean night\? %nanobanana_"),
        ("INK", r"no style 'INK'.* Did you mean ink\?"),
        (["zebra"], r"no style 'zebra', so nothing was sent\. %nanobanana_styles"),
        (3, r"^style is 3; give a name"),
        (["ink", 3], r"^style is \['ink', 3\]"),
        (None, r"^style is None"),
    ],
)
def test_a_style_that_there_is_not(asked: object, said: str) -> None:
    """The nearest name, and how to see them all, in one line."""
    with pytest.raises(RequestError, match=said) as caught:
        chosen({one.name: one for one in (INK, CARD, NIGHT)}, asked)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_the_styles_that_come_with_us() -> None:
    """About a dozen, each of which the API would take, short enough for any prompt."""
    built_in = read([BUILT_IN])
    assert 10 <= len(built_in) <= 15
    assert {"ink", "watercolor", "photo", "night", "pixel", "poster"} <= built_in.keys()
    for style in built_in.values():
        assert len(style.prompt) <= 140
        ImageRequest(dress("a fox", [style]), **merged([style]))


def test_later_files_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours, those of the home, those of the folder; NANOBANANA_STYLES in place of the two."""
    monkeypatch.chdir(tmp_path)
    settings = Settings.load(home=tmp_path / "home")
    assert sources(settings) == [BUILT_IN]
    book(settings.home, '[ink]\nprompt = "of the home"\n[mine]\nprompt = "mine"')
    assert load(settings)["ink"].prompt == "of the home"
    book(tmp_path, '[ink]\nprompt = "of the folder"')
    found = load(settings)
    assert (found["ink"].prompt, found["mine"].prompt) == ("of the folder", "mine")
    assert "watercolor" in found
    monkeypatch.setenv("NANOBANANA_STYLES", str(tmp_path / "own.toml"))
    settings = Settings.load(home=tmp_path / "home")
    with pytest.raises(ConfigError, match=r"NANOBANANA_STYLES names .*own\.toml, which is not a"):
        sources(settings)
    book(tmp_path, '[owl]\nprompt = "owlish"', "own.toml")
    found = load(settings)
    assert "mine" not in found
    assert (found["owl"].prompt, found["ink"].prompt[:8]) == ("owlish", "in black")


def test_pictures_of_a_style_lie_beside_its_file(tmp_path: Path) -> None:
    """A link stays; a file is looked for beside the styles, wherever the notebook is."""
    text = '[us]\nimage_urls = ["https://x.example/a.png", "logo.png", "/abs/b.png"]'
    assert read([book(tmp_path, text)])["us"].image_urls == (
        "https://x.example/a.png",
        str(tmp_path / "logo.png"),
        "/abs/b.png",
    )


def test_a_file_as_editors_write_it(tmp_path: Path) -> None:
    """With a mark at its beginning and the line ends of Windows; blanks around are no part."""
    file = tmp_path / "styles.toml"
    file.write_bytes('\ufeff["水墨"]\r\nprompt = " 水墨画 "\r\nabout = "ink"\r\n'.encode())
    assert read([file]) == {"水墨": Style("水墨", "水墨画", about="ink")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[ink\nprompt = 1", r"is not sound TOML: .*line 1.*\[name\]"),
        ('[ink]\nprompt = "a"\n[ink]\nprompt = "b"', "is not sound TOML"),
        ("[" * 5000, "is not sound TOML"),
        ("[ink]\nprompt = " + "9" * 5000, "is not sound TOML"),
        ('prompt = "in ink"', r"'prompt' stands outside of a style; .*\[ink\]"),
        ('[ink]\npromt = "in ink"', r"\[ink\] has 'promt', .* Did you mean prompt\?"),
        ('[a.b]\nprompt = "in ink"', r"\[a\] has 'b', which is none of prompt, .*; take it out"),
        ('["a b"]\nprompt = "x"', r"\[a b\] is no name to type; use letters"),
        ('["a,b"]\nprompt = "x"', r"\[a,b\] is no name to type"),
        ('["a\\nb"]\nprompt = "x"', r"is no name to type"),
        ('["-a"]\nprompt = "x"', r"\[-a\] is no name to type"),
        ("[ink]", r"\[ink\] is empty; give it a prompt"),
        ('[ink]\nprompt = "  "\nabout = "x"', r"\[ink\] is empty"),
        ("[ink]\nprompt = 3", r'\[ink\] prompt is no text; put it in quotes: prompt = "'),
        ('[ink]\naspect_ratio = "16x9"', r"\[ink\] aspect_ratio is '16x9'; use one of 1:1, 4:3"),
        ('[ink]\noutput_format = "gif"', r"\[ink\] output_format is 'gif'; use one of png, jpeg"),
        ('[ink]\nimage_urls = "a.png"', r"\[ink\] image_urls is no list"),
        ("[ink]\nimage_urls = [1]", r"\[ink\] image_urls is no list"),
        ('[ink]\nimage_urls = ["a","b","c","d","e","f"]', r"\[ink\] has 6 image_urls"),
    ],
)
def test_a_file_that_says_something_wrong(tmp_path: Path, text: str, said: str) -> None:
    """One line that names the file, the style, and what to do."""
    file = book(tmp_path, text)
    with pytest.raises(ConfigError, match=said) as caught:
        read([file])
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(file)) + 320


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder in its place, another encoding: one line as well."""
    (tmp_path / "latin.toml").write_bytes('[ink]\nprompt = "bl\xe4ulich"'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.toml is not UTF-8 text; save it as UTF-8"):
        read([tmp_path / "latin.toml"])
    with pytest.raises(ConfigError, match="cannot be read"):
        read([tmp_path])


def test_which_prompts_wear_a_style() -> None:
    """Word for word, in the order of its pieces; what adds no words is worn by none."""
    assert INK.is_worn_by("a fox, in black ink, at night")
    assert not INK.is_worn_by("a fox, in Black Ink")
    assert CARD.is_worn_by("A card of an owl, and an owl again")
    assert not CARD.is_worn_by("again, and A card of")
    assert not Style("wide", aspect_ratio="21:9").is_worn_by("a fox")
    assert not Style("same", "{prompt}").is_worn_by("a fox")


@pytest.mark.parametrize("outside", ["~/me.png", "/etc/x.png", "../x.png"])
def test_a_folder_names_no_pictures_outside_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outside: str
) -> None:
    """A notebook that somebody sent cannot have one's own pictures published by a style."""
    monkeypatch.chdir(tmp_path)
    book(tmp_path, f'[ink]\nimage_urls = ["inside.png", "{outside}"]')
    with pytest.raises(ConfigError, match="outside of this folder"):
        read([Path("styles.toml")])
    assert read([tmp_path / "styles.toml"])["ink"].image_urls[0] == str(tmp_path / "inside.png")
