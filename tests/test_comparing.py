"""Comparing: two of whatever stands for a picture, as an output that stays."""

from __future__ import annotations

import base64
import io
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nanobanana_nb import Studio
from nanobanana_nb.comparing import Comparison, compare
from nanobanana_nb.errors import RequestError
from nanobanana_nb.results import Generation

from .test_preparing import ODD_EXIF, odd

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
HOSTILE = "</div><img src=x onerror=alert(1)> ` ${alert(2)} \"' \u202e"


def file(folder: Path, name: str, size: tuple[int, int] = (640, 360), **more: Any) -> Path:
    path = folder / name
    Image.new("RGB", size, "red").save(path, **more)
    return path


def drawn(studio: Studio, prompt: str, **options: Any) -> Generation:
    return studio.wait(studio.generate(prompt, **options))


def test_two_results(studio: Studio) -> None:
    """Prompts, ratios, sizes and files are named; prices and stars are not compared."""
    fox = drawn(studio, "a fox", aspect_ratio="16:9", output_format="jpeg")
    owl = replace(drawn(studio, "an owl"), starred=True, remark="dull")
    shown = compare(fox, owl)
    assert (shown.left, shown.right) == (fox, owl)
    first, second = repr(shown).splitlines()
    assert first.startswith("A “a fox” · 16:9 · 1344 × 756 jpeg · ")
    assert first.endswith(fox.path.name)
    assert second.startswith("B “an owl” · 1:1 · 1024 × 1024 png · ")
    assert second.endswith(owl.path.name)


def test_the_bundle_has_all_forms_and_stays_small(studio: Studio, tmp_path: Path) -> None:
    """HTML with both previews once, both in one JPEG, and text; noise is the worst case."""
    noise = tmp_path / "noise.png"
    Image.effect_noise((1500, 1500), 200).convert("RGB").save(noise)
    shown = compare(noise, noise)
    bundle = shown._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain", "image/jpeg"}
    assert bundle["text/html"] == shown.html
    assert bundle["text/html"].count("data:image/jpeg;base64,") == 2
    assert all(len(card.preview) <= 40_000 for card in shown.cards)
    assert sum(map(len, bundle.values())) < 170_000
    with Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"]))) as sheet:
        assert sheet.width == 512


def test_a_result_without_a_studio(studio: Studio) -> None:
    """A result that was loaded or unpickled shows the same."""
    fox = drawn(studio, "a fox", aspect_ratio="3:2")
    alone = replace(fox, maker=None)
    assert compare(alone, alone).cards == compare(fox, fox).cards


def test_a_picture_and_a_file_of_ours_name_their_prompt(studio: Studio) -> None:
    """A picture's prompt is known from the file beside it, so that both are named."""
    fox = drawn(studio, "a fox in a hurry", aspect_ratio="auto")
    shown = compare(fox.image, str(fox.path))
    assert shown.right == fox.path
    assert [card.prompt for card in shown.cards] == ["a fox in a hurry"] * 2
    assert [card.facts for card in shown.cards] == [("1024 × 1024 png",)] * 2


def test_a_file_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a prompt the name stands for it; relative paths and ~ work."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    file(tmp_path, "photo.jpg")
    (tmp_path / "photo.json").write_text("{}")
    shown = compare("photo.jpg", "~/photo.jpg")
    assert shown.left == shown.right == tmp_path / "photo.jpg"
    assert repr(shown).splitlines()[0] == "A “photo.jpg” · 640 × 360 jpeg · ~/photo.jpg"


def test_a_photo_of_a_phone_stands_upright(tmp_path: Path) -> None:
    """Cameras note how they were held; a comparison shows what any viewer shows."""
    exif = Image.Exif()
    exif[0x0112] = 6
    card, _ = compare(*[file(tmp_path, "photo.jpg", exif=exif)] * 2).cards
    assert (card.width, card.height) == (360, 640)
    with Image.open(io.BytesIO(card.preview)) as preview:
        assert preview.height > preview.width


@pytest.mark.parametrize("kind", ODD_EXIF)
def test_malformed_exif_is_passed_over(tmp_path: Path, kind: str) -> None:
    """Of strangers' files: the picture is shown as it stands."""
    (tmp_path / "x.png").write_bytes(odd(kind))
    card, _ = compare(tmp_path / "x.png", tmp_path / "x.png").cards
    assert (card.width, card.height) == (64, 32)


def test_it_shows_what_was_there_when_it_was_made(tmp_path: Path) -> None:
    """A file that is drawn over or taken away later changes nothing, and it cannot be changed."""
    picture = file(tmp_path, "a.png")
    shown = compare(picture, picture)
    before = shown._repr_mimebundle_()
    picture.unlink()
    assert shown._repr_mimebundle_() == before
    with pytest.raises(FrozenInstanceError):
        shown.left = picture  # type: ignore[misc]


def test_hostile_words_are_inert(tmp_path: Path) -> None:
    """A file name that is markup stays a name."""
    try:
        picture = file(tmp_path, f"{HOSTILE.replace('/', '')}.png")
    except OSError:
        pytest.skip("this system has no such file names")
    page = compare(picture, picture).html
    assert "<img src=x" not in page
    assert page.count("<img ") == 2
    assert "\u202e" not in page


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("gone.png", "'gone.png' is not a file: give a result, one of its pictures"),
        (".", "'.' is not a file"),
        ("", "'' is not a file"),
        ("https://example.com/fox.png", "'https://example.com/fox.png' is not a file"),
        ("~nobody-at-all/fox.png", "'~nobody-at-all/fox.png' is not a file"),
        ("a fox " * 200, "is not a file"),
        ("a\0b", "is not a file"),
        (3, "Cannot compare this int: give a result"),
        (None, "Cannot compare this NoneType"),
        (b"fox.png", "Cannot compare this bytes"),
        (["fox.png"], "Cannot compare this list"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any, said: str
) -> None:
    """On either side, and saying what to give instead."""
    monkeypatch.chdir(tmp_path)
    good = file(tmp_path, "good.png")
    for pair in ((given, good), (good, given)):
        with pytest.raises(RequestError) as refused:
            compare(*pair)
        assert said in str(refused.value)
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 200


@pytest.mark.parametrize("content", [b"", b"words", SVG, "cut"])
def test_a_file_that_is_no_whole_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any
) -> None:
    """It is named, also by a path relative to the folder."""
    monkeypatch.chdir(tmp_path)
    good = file(tmp_path, "good.png", (300, 300))
    (tmp_path / "bad.png").write_bytes(good.read_bytes()[:-20] if content == "cut" else content)
    with pytest.raises(RequestError, match=r"bad\.png is not a whole PNG, JPEG or WebP picture\."):
        compare(good, "bad.png")


def test_a_failed_result(studio: Studio) -> None:
    """There is nothing to look at, and the reason is said."""
    good = drawn(studio, "a fox")
    (failed, _) = drawn(studio, "[sandbox CONTENT_VIOLATION] a fox", count=2)
    with pytest.raises(RequestError, match=r"^There is no picture to compare: .*refused"):
        compare(good, failed)


def test_a_result_whose_file_is_gone(studio: Studio) -> None:
    """The studio still has its preview; without a studio it is said."""
    fox = drawn(studio, "a fox")
    fox.path.unlink()
    assert isinstance(compare(fox, fox), Comparison)
    with pytest.raises(RequestError, match=r"\.png is not there any more\."):
        compare(fox, replace(fox, maker=None))
