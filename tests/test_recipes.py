"""`load`: a picture's prompt, settings and lineage, from the file, from beside it, or a stranger's;
and how they come into the file."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sqlite3
import urllib.request
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nanobanana_nb import (
    Generation,
    ImageRequest,
    RequestError,
    Sandbox,
    Settings,
    Studio,
    metadata,
    pictures,
)
from nanobanana_nb.comparing import compare
from nanobanana_nb.ledger import Ledger
from nanobanana_nb.metadata import Drawn
from nanobanana_nb.models import ASPECT_RATIOS
from nanobanana_nb.pictures import PictureStore
from nanobanana_nb.recipes import Recipe, load
from nanobanana_nb.sidecars import Sidecar, read_sidecar

from .conftest import settings_for
from .test_metadata import A1111, CJK, EMOJI, FOX, PROMPTS, SMALL, STRANGERS, opened, png_text
from .test_pictures import TASK, encoded, files, noisy
from .test_preparing import ODD_EXIF, odd


@pytest.fixture
def embedding(sandbox: Sandbox, tmp_path: Path) -> Iterator[Studio]:
    """A studio that puts the settings into its pictures."""
    made = Studio(settings_for(sandbox.url, tmp_path / "home", embed=True))
    yield made
    made.close()


def one(studio: Studio, prompt: str, **options: Any) -> Generation:
    return studio.wait(studio.generate(prompt, **options))


def edited(studio: Studio, *arguments: Any, **options: Any) -> Generation:
    return studio.wait(studio.edit(*arguments, **options))


def downloaded(drawn: Generation) -> bytes:
    """The picture as the API gives it."""
    with urllib.request.urlopen(drawn.url) as answer:
        return answer.read()


# From the studio into the file and back.


@pytest.mark.parametrize("kind", ["png", "jpeg"])
@pytest.mark.parametrize("ratio", ASPECT_RATIOS)
def test_what_is_drawn_can_be_loaded(embedding: Studio, kind: str, ratio: str) -> None:
    """The file alone, moved elsewhere: prompt and settings draw the same request again."""
    fox = one(embedding, f"a fox, {CJK} {EMOJI}", aspect_ratio=ratio, output_format=kind)
    alone = fox.path.parent.parent / f"alone{fox.path.suffix}"
    shutil.copy(fox.path, alone)
    recipe = load(alone)
    assert (recipe.source, recipe.path) == ("file", alone)
    assert recipe.request == fox.request
    assert ImageRequest(recipe.prompt, **recipe.options) == fox.request
    assert (recipe.task_id, recipe.created) == (fox.task_id, fox.created)
    assert (recipe.references, recipe.lineage) == ((), ())
    assert opened(fox.path.read_bytes()).tobytes() == opened(downloaded(fox)).tobytes()


def test_lineage_travels_in_the_file(embedding: Studio, tmp_path: Path) -> None:
    """Two edits on: both ancestors with their prompts, ratios and contents, nearest first."""
    fox = one(embedding, "a fox", aspect_ratio="16:9")
    owl = one(embedding, "an owl", output_format="jpeg")
    dawn = edited(embedding, [owl, fox], "both at dawn")
    night = edited(embedding, dawn, "at night", output_format="jpeg")
    alone = tmp_path / "alone.jpg"
    shutil.copy(night.path, alone)
    recipe = load(alone)
    assert [step.prompt for step in recipe.lineage] == ["both at dawn", "an owl", "a fox"]
    assert [step.aspect_ratio for step in recipe.lineage] == ["auto", "1:1", "16:9"]
    assert [step.sha256 for step in recipe.lineage] == [
        drawn.image.sha256 for drawn in (dawn, owl, fox)
    ]
    assert recipe.references == (dawn.image.sha256,)
    assert recipe.lineage[0].references == (owl.image.sha256, fox.image.sha256)
    assert recipe.lineage[0].created == dawn.created


def test_links_to_our_own_pictures_become_contents(embedding: Studio) -> None:
    """An edit of a link that was ours has a lineage too; the link itself stays out of the file."""
    fox = one(embedding, "a fox")
    dawn = edited(embedding, fox.url, "at dawn")
    recipe = load(dawn)
    assert recipe.references == (fox.image.sha256,)
    assert [step.prompt for step in recipe.lineage] == ["a fox"]
    assert fox.url.encode() not in dawn.path.read_bytes()


def test_neither_key_nor_account_nor_path_is_in_the_file(
    embedding: Studio, sandbox: Sandbox
) -> None:
    """What is written may be shown to anybody."""
    fox = one(embedding, "a fox", output_format="jpeg")
    dawn = edited(embedding, fox, "at dawn")
    for drawn in (fox, dawn):
        data = drawn.path.read_bytes()
        beside = json.loads(drawn.path.with_suffix(".json").read_text())
        for secret in ("test-key", beside["account"], beside["url"], sandbox.url, "0.03", "home"):
            for encoding in ("utf-8", "utf-16-be"):
                assert secret.encode(encoding) not in data, secret


def test_the_stored_file_is_as_it_is_described(embedding: Studio) -> None:
    """Content and size in ledger and sidecar are those of the file with its settings."""
    fox = one(embedding, "a fox")
    beside = read_sidecar(fox.path.with_suffix(".json"))
    assert isinstance(beside, Sidecar)
    assert beside.sha256 == fox.image.sha256
    assert beside.size == fox.path.stat().st_size > len(downloaded(fox))


def test_without_asking_nothing_is_put_into_the_file(studio: Studio) -> None:
    """The stored bytes are those of the API."""
    assert Settings().embed is False
    for kind in ("png", "jpeg"):
        fox = one(studio, "a fox", output_format=kind)
        assert fox.path.read_bytes() == downloaded(fox)
        assert metadata.read(fox.path.read_bytes()) is None


def test_the_environment_can_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """NANOBANANA_EMBED=1."""
    monkeypatch.setenv("NANOBANANA_EMBED", "1")
    assert Settings.load().embed is True
    monkeypatch.setenv("NANOBANANA_EMBED", "off")
    assert Settings.load().embed is False


def test_the_sandbox_does_not_claim_to_be_the_model(tmp_path: Path) -> None:
    """Its pictures say so."""
    home = tmp_path / "home"
    studio = Studio(Settings(home=home, pictures=home, sandbox="always", embed=True))
    try:
        fox = one(studio, "a fox")
        saved = fox.save(tmp_path / "saved.jpg", embed=True)
    finally:
        studio.close()
    for file in (fox.path, saved):
        data = file.read_bytes()
        found = metadata.read_ours(data)
        assert found is not None
        assert found.model == "sandbox"
        assert b"nano-banana" not in data


# Nothing is lost for a label.


def test_a_kill_before_the_ledger_knows_gives_no_second_file(
    embedding: Studio, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Fetched again, an edit gets the same bytes, and so the same name."""
    fox = one(embedding, "a fox")
    dawn = edited(embedding, fox, "at dawn")
    embedding.close()
    dawn.path.with_suffix(".json").unlink()  # else it would not be fetched again
    with sqlite3.connect(tmp_path / "home" / "ledger.sqlite3") as ledger:
        ledger.execute("UPDATE task SET state = 'fetching', lease = 0 WHERE id = ?", (dawn.id,))
        ledger.execute("UPDATE picture SET file = NULL, sha256 = NULL WHERE task = ?", (dawn.id,))
    ledger.close()
    again = Studio(settings_for(sandbox.url, tmp_path / "home", embed=True))
    try:
        (found,) = again.wait(again.resume())
    finally:
        again.close()
    assert (found.path, found.image.sha256) == (dawn.path, dawn.image.sha256)
    assert len(files(dawn.path.parent)) == 4


def keep(store: PictureStore, data: bytes, drawn: Drawn) -> pictures.StoredPicture:
    with store.incoming() as file:
        file.write(data)
        return store.keep(file, "a fox", "abcd1234", 0.0, TASK, drawn)


@pytest.mark.parametrize("kind", SMALL)
def test_kept_twice_it_is_one_file(tmp_path: Path, kind: str) -> None:
    """The same picture with the same settings; without them it is another."""
    store = PictureStore(tmp_path / "pictures", tmp_path / "previews")
    first = keep(store, SMALL[kind], FOX)
    assert keep(store, SMALL[kind], FOX) == first
    assert metadata.read(first.file.read_bytes()) == FOX
    assert len(files(tmp_path / "pictures")) == 2


def test_a_label_that_does_harm_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that would not decode any more, or not to the same pixels, is kept as it came."""
    store = PictureStore(tmp_path / "pictures", tmp_path / "previews")

    def failing(*_: object) -> bytes:
        raise RecursionError

    harms = (
        failing,
        lambda data, _: data[:-30],
        lambda *_: encoded(noisy(24, 17), "PNG"),
        lambda *_: encoded(Image.new("RGB", (24, 16)), "PNG"),
    )
    for harm in harms:
        monkeypatch.setattr(metadata, "embed", harm)
        kept = keep(store, SMALL["PNG"], FOX)
        assert kept.file.read_bytes() == SMALL["PNG"]
    assert len(files(tmp_path / "pictures")) == 2


def test_a_family_that_cannot_be_asked_costs_only_the_lineage(
    embedding: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger's answer is worth less than the picture."""
    fox = one(embedding, "a fox")

    async def refuse(*_: object) -> list[object]:
        from nanobanana_nb.errors import LedgerError

        await asyncio.sleep(0)
        raise LedgerError("busy")

    monkeypatch.setattr(Ledger, "parents", refuse)
    dawn = edited(embedding, fox, "at dawn")
    recipe = load(dawn)
    assert (recipe.prompt, recipe.lineage) == ("at dawn", ())
    assert recipe.references == (fox.image.sha256,)


# Copies.


def test_a_copy_can_have_the_settings(studio: Studio, tmp_path: Path) -> None:
    """One copy, asked for; the stored file stays as it is."""
    fox = one(studio, "a fox", aspect_ratio="4:3")
    dawn = edited(studio, fox, "at dawn")
    before = dawn.path.read_bytes()
    for name in ("copy.png", "copy.jpg", "copy.webp"):
        recipe = load(dawn.save(tmp_path / name, embed=True))
        assert (recipe.prompt, recipe.source) == ("at dawn", "file")
        assert (recipe.task_id, recipe.created) == (dawn.task_id, dawn.created)
        assert recipe.references == (fox.image.sha256,)
        assert [step.prompt for step in recipe.lineage] == ["a fox"]
        assert recipe.lineage[0].sha256 == fox.image.sha256
    assert dawn.path.read_bytes() == before
    assert dawn.save(tmp_path / "plain.png").read_bytes() == before
    lonely = replace(dawn, maker=None).save(tmp_path / "lonely.png", embed=True)
    assert (load(lonely).prompt, load(lonely).lineage) == ("at dawn", ())


def test_settings_are_carried_over_from_kind_to_kind(embedding: Studio, tmp_path: Path) -> None:
    """PNG to JPEG to WebP and back, by result and by picture."""
    fox = one(embedding, "🦊" * 5000)
    first = fox.image.save(tmp_path / "a.jpg")
    second = pictures.save_copy(first, tmp_path / "b.webp")
    third = pictures.save_copy(second, tmp_path / "c.png")
    for file, kind in ((first, "JPEG"), (second, "WEBP"), (third, "PNG")):
        assert opened(file.read_bytes()).format == kind
        assert load(file).request == fox.request
        assert load(file).source == "file"


def test_a_copy_without_settings_gets_none(studio: Studio, tmp_path: Path) -> None:
    """What stands beside the file is private, and stays there."""
    fox = one(studio, "a fox")
    for name in ("a.png", "a.jpg", "a.webp"):
        assert metadata.read(fox.save(tmp_path / name).read_bytes()) is None


def test_the_stored_file_is_not_written_over(studio: Studio) -> None:
    """It would not be what ledger and sidecar say any more."""
    fox = one(studio, "a fox")
    before = fox.path.read_bytes()
    for target in (fox.path, fox.path.parent):
        for embed in (True, False):
            with pytest.raises(RequestError, match="is the stored picture itself"):
                fox.save(target, embed=embed)
    assert fox.path.read_bytes() == before


@pytest.mark.parametrize(
    "target", ["a\0b.png", "x" * 300 + ".png", "a.png/b.png", "~nobody-at-all/x.png", 3, None]
)
def test_a_name_that_cannot_be_is_one_clear_line(tmp_path: Path, target: Any) -> None:
    """Whatever the system says of it, before anything is paid for and when it is saved."""
    source = tmp_path / "a.png"
    source.write_bytes(SMALL["PNG"])
    given = tmp_path / target if isinstance(target, str) and target[0] != "~" else target
    for check in (pictures.check_target, lambda path: pictures.save_copy(source, path)):
        with pytest.raises(RequestError, match=r"^Cannot save to ") as refused:
            check(given)
        assert "\n" not in str(refused.value)
        assert "\0" not in str(refused.value)
        assert len(str(refused.value)) < 400


# Where it is read.


def test_beside_the_file(studio: Studio, tmp_path: Path) -> None:
    """Without settings in the file the sidecar is read, as long as both are together."""
    fox = one(studio, "a fox", aspect_ratio="21:9", output_format="jpeg")
    for source in (fox, fox.image, fox.path, str(fox.path)):
        recipe = load(source)
        assert (recipe.source, recipe.request, recipe.path) == ("sidecar", fox.request, fox.path)
        assert (recipe.task_id, recipe.created) == (fox.task_id, fox.created)
    shutil.copy(fox.path, tmp_path / "alone.jpg")
    with pytest.raises(RequestError, match=r"'alone\.jpg' carries no settings"):
        load(tmp_path / "alone.jpg")


def test_the_file_itself_comes_first(tmp_path: Path, studio: Studio) -> None:
    """Then what is beside it, then another tool's text."""
    fox = one(studio, "a fox")
    theirs = png_text(("parameters", A1111))
    fox.path.write_bytes(theirs)
    beside = fox.path.with_suffix(".json")
    fields = json.loads(beside.read_text())
    fields |= {"size": len(theirs), "sha256": hashlib.sha256(theirs).hexdigest()}
    beside.write_text(json.dumps(fields))
    assert load(fox.path).source == "sidecar"
    beside.unlink()
    assert load(fox.path).source == "parameters"
    fox.path.write_bytes(metadata.embed(theirs, FOX))
    assert load(fox.path).source == "file"


@pytest.mark.parametrize(("data", "prompt", "ratio"), STRANGERS.values(), ids=STRANGERS)
def test_another_tools_picture(tmp_path: Path, data: bytes, prompt: str, ratio: str) -> None:
    """Its prompt and what we share of its settings, from a file and from bytes."""
    file = tmp_path / "theirs"
    file.write_bytes(data)
    for recipe in (load(file), load(data)):
        assert recipe.prompt == prompt
        assert recipe.options == ({"aspect_ratio": ratio} if ratio else {})
        assert recipe.request == ImageRequest(prompt, ratio or "1:1")
        assert recipe.source == "parameters"
    assert load(data).path is None


def test_a_strangers_prompt_may_be_more_than_the_api_takes() -> None:
    """It is read whole; only asking for it is refused."""
    recipe = load(png_text(("parameters", "fox " * 2000)))
    assert len(recipe.prompt) == 7999
    with pytest.raises(RequestError, match="7,999 characters"):
        _ = recipe.request


def test_a_picture_that_cannot_be_read_is_told_so(tmp_path: Path) -> None:
    """It may well be a picture; what is in the way is said."""
    with (tmp_path / "large.png").open("wb") as file:
        file.write(SMALL["PNG"])
        file.truncate(metadata.MAX_FILE + 1_000_000)
    with pytest.raises(RequestError, match=r"large\.png' has 101 MB, .* up to 100 MB\."):
        load(tmp_path / "large.png")
    unreadable = Path("/proc/self/mem")  # no rights are needed for it to fail, nor help root
    if not unreadable.is_file():
        pytest.skip("this system has no such file")
    with pytest.raises(RequestError, match=r"^/proc/self/mem cannot be read: Input/output error"):
        load(unreadable)


@pytest.mark.parametrize("kind", ODD_EXIF)
def test_malformed_exif_is_passed_over(tmp_path: Path, kind: str) -> None:
    """What a picture was drawn from can be loaded, with its preview, whatever a camera wrote."""
    data = metadata.embed(odd(kind), FOX)
    recipe = load(data)
    assert recipe.prompt == FOX.prompt
    assert recipe.card is not None
    assert (recipe.card.width, recipe.card.height) == (64, 32)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("gone.png", "'gone.png' is not a file: give a picture file"),
        (".", "'.' is not a file"),
        ("https://example.com/fox.png", "'https://example.com/fox.png' is not a file"),
        ("a\0b", "is not a file"),
        ("x" * 5000, "is not a file"),
        ("words.png", "'words.png' is not a PNG, JPEG or WebP picture."),
        ("empty.png", "'empty.png' is not a PNG, JPEG or WebP picture."),
        ("plain.png", "'plain.png' carries no settings;"),
        ("a\x1b[31m\nb.png", "carries no settings;"),
        (SMALL["JPEG"], "The picture carries no settings;"),
        (b"", "The picture is not a PNG, JPEG or WebP picture."),
        (3, "Cannot load this int: give a picture file"),
        (None, "Cannot load this NoneType"),
        (["fox.png"], "Cannot load this list"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any, said: str
) -> None:
    """What it was, and what to give instead."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.png").write_text("words")
    (tmp_path / "empty.png").touch()
    (tmp_path / "plain.png").write_bytes(SMALL["PNG"])
    (tmp_path / "a\x1b[31m\nb.png").write_bytes(SMALL["PNG"])
    with pytest.raises(RequestError) as refused:
        load(given)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_result_without_a_picture(studio: Studio) -> None:
    """A file that is gone is named; a failed result says why."""
    fox = one(studio, "a fox")
    fox.path.unlink()
    with pytest.raises(RequestError, match=r"\.png is not there any more\."):
        load(fox)
    failed, _ = one(studio, "[sandbox CONTENT_VIOLATION] a fox", count=2)
    with pytest.raises(Exception, match="refused") as refused:
        load(failed)
    assert refused.value is failed.error


# How it looks.


def test_a_recipe_shows_itself(embedding: Studio) -> None:
    """The picture with its prompt, settings, and what it came from; in text, one line."""
    fox = one(embedding, "a fox", aspect_ratio="16:9")
    dawn = edited(embedding, fox, "at dawn", output_format="jpeg")
    recipe = load(dawn)
    bundle = recipe._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain", "image/jpeg"}
    assert bundle["text/plain"] == repr(recipe)
    assert repr(recipe).startswith("“at dawn” · auto · jpeg · 1344 × 756 · ")
    for words in ("Read from the file itself.", "It went on from a picture", "Before it: “a fox”"):
        assert words in repr(recipe)
        assert words in bundle["text/html"]
    with pytest.raises(FrozenInstanceError):
        recipe.prompt = "an owl"  # type: ignore[misc]
    assert recipe == load(dawn)


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_hostile_words_are_inert(prompt: str) -> None:
    """Markup and control characters of a file reach neither page nor terminal."""
    hostile = f"</div><img src=x onerror=alert(1)>\x1b[31m\u202e {prompt}"[:5000]
    ancestor = replace(FOX, prompt=hostile, lineage=())
    recipe = load(metadata.embed(SMALL["PNG"], replace(FOX, prompt=hostile, lineage=(ancestor,))))
    assert recipe.prompt == hostile
    for text in (recipe._repr_mimebundle_()["text/html"], repr(recipe)):
        assert not set("\x1b\u202e\x00\x07\n") & set(text.replace("\n", "", 1))
    page = recipe._repr_mimebundle_()["text/html"]
    assert "<img src=x" not in page
    assert page.count("<img ") == 1


def test_a_picture_that_is_cut_short_still_tells_its_prompt() -> None:
    """The settings stand at the front; there is no picture to show."""
    labelled = metadata.embed(SMALL["PNG"], FOX)
    recipe = load(labelled[:-100])
    assert recipe.prompt == FOX.prompt
    assert set(recipe._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_compare_names_the_prompt_of_a_file_that_stands_alone(
    embedding: Studio, tmp_path: Path
) -> None:
    """By the same reading, also where there is no JSON file beside it."""
    fox = one(embedding, "a fox", aspect_ratio="16:9")
    alone = fox.save(tmp_path / "alone.jpg")
    theirs = tmp_path / "theirs.png"
    theirs.write_bytes(png_text(("parameters", "a stranger's owl\nSteps: 20")))
    shown = compare(alone, theirs)
    assert [card.prompt for card in shown.cards] == ["a fox", "a stranger's owl"]
    assert [card.facts for card in shown.cards] == [("16:9", "1344 × 756 jpeg"), ("8 × 8 png",)]


def test_recipes_are_values() -> None:
    """Made by hand as well, with what is known."""
    recipe = Recipe("a fox", references=("ab" * 32,), lineage=(Recipe("an owl"),))
    assert recipe.options == {}
    assert recipe.request == ImageRequest("a fox")
    assert isinstance(hash(recipe), int)
    assert repr(recipe) == "“a fox”"
    assert repr(recipe.lineage) == "(“an owl”,)"
