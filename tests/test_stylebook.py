"""The styles as they are shown: with the pictures of this home, in any front end, harmless."""

from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from nanobanana_nb import ConfigError, Generation, Settings, Studio
from nanobanana_nb.presets import BUILT_IN, Style, dress, read
from nanobanana_nb.results import Gallery
from nanobanana_nb.stylebook import StyleBook

from .panel.hand import filled
from .panel.test_tiles import HOSTILE, Shape

INK = read([BUILT_IN])["ink"]


def draw(studio: Studio, prompt: str, *worn: Style, count: int = 1) -> Gallery:
    return studio.wait(studio.gallery(dress(prompt, worn), count=count))


def page_of(book: StyleBook) -> str:
    text: str = book._repr_mimebundle_()["text/html"]
    return text


def row(book: StyleBook, name: str) -> str:
    """The HTML of one style."""
    rows = re.findall(r"<li.*?</li>", page_of(book), re.DOTALL)
    return next(one for one in rows if f">{html.escape(name)}</b>" in one)


def test_each_style_with_its_pictures(studio: Studio) -> None:
    """The latest four of this home that were drawn in it, whatever else was asked for."""
    draw(studio, "an owl", INK, count=3)
    draw(studio, "a fox")
    foxes = draw(studio, "a fox", INK, read([BUILT_IN])["sticker"], count=2)
    book = studio.wait(studio.styles())
    assert isinstance(book["ink"], Style)
    drawn = book.pictures["ink"]
    assert {one.id for one in drawn[:2]} == {one.id for one in foxes}
    assert [one.prompt.startswith("an owl") for one in drawn] == [False, False, True, True]
    assert len(book.pictures["sticker"]) == 2
    assert len(book.pictures["oil"]) == 0
    assert row(book, "ink").count("<img") == 4
    assert row(book, "ink").count('alt="an owl, in black ink') == 2
    assert "No picture yet" not in row(book, "ink")
    assert "No picture yet: " in row(book, "oil")
    assert "%nanobanana --style oil a fox" in row(book, "oil")


def test_only_what_wears_the_style_counts(studio: Studio, tmp_path: Path) -> None:
    """Not the same words in another order; not what failed; not everything for a style without
    words; and not the file that was deleted."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "styles.toml").write_text('[wide]\naspect_ratio = "21:9"\n')
    draw(studio, "ink black in, with loose brush strokes and grey washes, on white paper")
    draw(studio, "a fox [sandbox CONTENT_VIOLATION]", INK)
    book = studio.wait(studio.styles())
    assert len(book.pictures["ink"]) == 0
    assert len(book.pictures["wide"]) == 0
    (fox,) = draw(studio, "a fox", INK)
    assert isinstance(fox, Generation)
    assert [one.id for one in studio.wait(studio.styles()).pictures["ink"]] == [fox.id]


def test_a_picture_far_back_is_found(studio: Studio, tmp_path: Path) -> None:
    """Among fifty others that hold all the words of the style, in another order."""
    filled(tmp_path / "home", 60)
    draw(studio, "a fox", INK)
    scrambled = " ".join(reversed(INK.prompt.split()))
    for _ in range(3):
        draw(studio, scrambled, count=10)
    assert len(studio.wait(studio.styles()).pictures["ink"]) == 1


def test_the_forms_of_a_style_book(studio: Studio, tmp_path: Path) -> None:
    """A list in HTML, one line each in text, a picture for the rest; where to add more."""
    draw(studio, "a fox", INK)
    book = studio.wait(studio.styles())
    bundle = book._repr_mimebundle_()
    text = bundle["text/plain"]
    assert text == repr(book)
    assert text.splitlines()[0].startswith("ink         in black ink, with loose brush strokes")
    assert text.splitlines()[0].endswith("1 picture")
    assert re.search(r"\nposter .*paper grain · 2:3 · ", text)
    assert text.endswith(
        f"Add your own in {tmp_path}/home/styles.toml\n  [linocut]\n"
        '  prompt = "as a linocut in two colors"'
    )
    assert str(tmp_path / "home" / "styles.toml") in bundle["text/html"]
    assert "[linocut]" in bundle["text/html"]
    with Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"]))) as sheet:
        assert sheet.format == "JPEG"


def test_the_example_is_a_style(studio: Studio, tmp_path: Path) -> None:
    """Copied into the file that is named, it works."""
    from nanobanana_nb.stylebook import EXAMPLE

    book = studio.wait(studio.styles())
    book.file.write_text("\n".join(EXAMPLE), encoding="utf-8")
    again = studio.wait(studio.styles())
    assert again["linocut"].prompt == "as a linocut in two colors"
    assert set(again) == {*book, "linocut"}


def test_a_book_without_pictures_has_none(studio: Studio) -> None:
    """Nothing for those who show no HTML but the text."""
    assert "image/jpeg" not in studio.wait(studio.styles())._repr_mimebundle_()


def test_hostile_styles_are_harmless(tmp_path: Path) -> None:
    """Whatever stands in a styles.toml from somewhere: it is text."""

    def tags(*texts: str) -> list[object]:
        made = {f"s{n}": Style(f"s{n}", text, about=text) for n, text in enumerate(texts)}
        return Shape(page_of(StyleBook(made, {}, tmp_path))).tags

    assert tags(*HOSTILE) == tags(*["a fox"] * len(HOSTILE))


def test_it_stays_light(studio: Studio) -> None:
    """A page of styles full of pictures adds little to the notebook."""
    for style in read([BUILT_IN]).values():
        draw(studio, "a fox", style, count=4)
    book = studio.wait(studio.styles())
    assert page_of(book).count("<img") == 4 * len(book)
    assert len(page_of(book)) < 250_000


def test_a_wrong_file_is_told(studio: Studio, tmp_path: Path) -> None:
    """In its one line, whoever asks."""
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "styles.toml").write_text("[ink")
    with pytest.raises(ConfigError, match="is not sound TOML"):
        studio.wait(studio.styles())


def test_the_sandbox_has_the_styles_of_its_user(tmp_path: Path) -> None:
    """Its tasks have a home of their own; the styles are those of the home itself."""
    (tmp_path / "styles.toml").write_text('[mine]\nprompt = "as mine"\n')
    settings = Settings.load(sandbox="always", home=tmp_path, pictures=tmp_path / "p")
    studio = Studio(settings)
    book = studio.wait(studio.styles())
    assert book["mine"].prompt == "as mine"
    assert book.file == tmp_path / "styles.toml"
    studio.close()
