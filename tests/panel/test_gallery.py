"""The gallery and what can be done with the chosen picture."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from nanobanana_nb import Sandbox, Studio

from ..test_money import wait_for
from .hand import Hand, filled, opened, plain_picture, rows


def test_pages(gallery: Hand) -> None:
    """Twelve at a time, all of them once, with where one is; no further than there are any."""
    seen = gallery.prompts()
    assert "Newer" not in gallery.buttons()
    for first in (13, 25, 37, 49):
        gallery.press("Older")
        gallery.says(f"{first}–{min(first + 11, 53)} of 53", "range")
        seen += gallery.prompts()
    assert seen == [f"fox {number}" for number in range(52, -1, -1)]
    assert "Older" not in gallery.buttons()
    gallery.press("Newer")
    gallery.says("37–48 of 53", "range")


def test_search(gallery: Hand) -> None:
    """From the first page on; what matches nothing is told, and what is searched for is kept."""
    gallery.press("Older")
    gallery.says("13–24 of 53", "range")
    gallery.field("search").value = " FOX 5 "
    gallery.says("1–8 of 8", "range")
    assert gallery.prompts()[:3] == ["fox 52", "fox 51", "fox 50"]
    gallery.field("search").value = "wolf"
    gallery.says("Nothing matches")
    assert gallery.text("range") == ""
    gallery.field("search").value = ""
    gallery.says("1–12 of 53", "range")


def test_a_new_picture_is_shown_from_any_page(gallery: Hand) -> None:
    """Whoever asks for one wants to see it."""
    gallery.press("Older")
    gallery.says("13–24 of 53", "range")
    gallery.draw("an owl")
    gallery.says("1–12 of 54", "range")
    wait_for(lambda: gallery.prompts()[0] == "an owl" and not gallery.panel._view.jobs)


def test_the_last_page_goes_with_its_last_picture(busy: tuple[Sandbox, Studio], home: Path) -> None:
    """Dropped from under the eyes: the page before it is shown, not an empty one."""
    _, studio = busy
    filled(home, 12)
    hand = opened(studio)
    hand.says("1–12 of 12", "range")
    hand.draw("an owl")
    hand.says("1–12 of 13", "range")
    hand.press("Older")
    hand.says("13–13 of 13", "range")
    with closing(sqlite3.connect(home / "ledger.sqlite3")) as db, db:
        db.execute("UPDATE task SET state = 'abandoned' WHERE id = 'id0'")
    hand.says("1–12 of 12", "range")
    assert len(hand.tiles()) == 12


def test_a_star_lands_in_the_ledger(gallery: Hand, home: Path) -> None:
    """And is found again by it; taken back, the picture leaves that list."""
    gallery.choose(2)
    gallery.says("fox 50", "told")
    gallery.press("Star")
    gallery.says("★ fox 50", "told")
    assert rows(home, "prompt, starred")[50] == ("fox 50", 1)
    gallery.press("★ Starred only")
    gallery.says("1–1 of 1", "range")
    gallery.press("Unstar")
    gallery.says("Nothing matches")
    assert rows(home, "starred")[50] == (0,)
    gallery.press("All pictures")
    gallery.says("1–12 of 53", "range")


@pytest.mark.parametrize("away", ["Older", "★ Starred only"])
def test_a_star_can_be_taken_back_from_anywhere(gallery: Hand, home: Path, away: str) -> None:
    """The chosen picture need not be on the page: what its button says is what it does."""
    gallery.choose(2)
    gallery.says("fox 50", "told")
    gallery.press(away)
    wait_for(lambda: "1–12 of 53" not in gallery.text("range"))
    gallery.press("Star")
    wait_for(lambda: rows(home, "starred")[50] == (1,))
    wait_for(lambda: "Unstar" in gallery.buttons())
    gallery.press("Unstar")
    wait_for(lambda: rows(home, "starred")[50] == (0,))
    wait_for(lambda: "Star" in gallery.buttons())


def test_a_note_lands_in_the_ledger(gallery: Hand, home: Path) -> None:
    """It is found by its words, and shown in its field when the picture is chosen again."""
    gallery.choose(1)
    gallery.says("fox 51", "told")
    gallery.field("note").value = "  for the calendar "
    gallery.press("Keep note")
    gallery.says("The note is kept", "error")
    assert rows(home, "note")[51] == ("for the calendar",)
    gallery.field("search").value = "calendar"
    gallery.says("1–1 of 1", "range")
    gallery.field("search").value = ""
    gallery.says("1–12 of 53", "range")
    gallery.choose(0)
    gallery.says("fox 52", "told")
    assert gallery.field("note").value == ""
    gallery.choose(1)
    wait_for(lambda: gallery.field("note").value == "for the calendar")
    gallery.field("note").value = ""
    gallery.press("Keep note")
    gallery.says("The note is gone", "error")
    assert rows(home, "note")[51] == ("",)


def test_use_prompt(studio: Studio) -> None:
    """The words alone; the other settings stay."""
    hand = opened(studio)
    hand.draw("a fox", ratio="16:9")
    hand.shows(1)
    hand.field("prompt").value = "something else"
    hand.field("ratio").value = "3:4"
    hand.press("Use prompt")
    wait_for(lambda: hand.field("prompt").value == "a fox")
    assert hand.field("ratio").value == "3:4"


def test_use_all_settings(studio: Studio, sandbox: Sandbox, tmp_path: Path) -> None:
    """References included, in their order: what is drawn then is the same request."""
    fox = studio.wait(studio.generate("a fox"))
    owl = studio.wait(studio.generate("an owl"))
    link = sandbox.share(plain_picture(tmp_path / "red.png", "red"))
    studio.wait(studio.edit([owl, link, fox], "together", aspect_ratio="4:5", output_format="jpeg"))
    hand = opened(studio)
    hand.says("together", "told")
    hand.press("Use all")
    wait_for(lambda: len(hand.panel._form.looks) == 3)
    assert hand.field("prompt").value == "together"
    hand.press("Generate")
    hand.shows(4)
    *_, before, now = sandbox.tasks
    assert now.request == before.request


def test_use_all_settings_with_a_reference_that_is_gone(
    studio: Studio, sandbox: Sandbox, tmp_path: Path
) -> None:
    """What can be had is taken, of the rest it is said why not."""
    fox = studio.wait(studio.generate("a fox"))
    file = plain_picture(tmp_path / "red.png", "red")
    studio.wait(studio.edit([sandbox.share(file), fox], "together"))
    file.unlink()
    hand = opened(studio)
    hand.says("together", "told")
    hand.press("Use all")
    wait_for(lambda: bool(hand.text("error")))
    assert len(hand.panel._form.looks) == 1
    assert hand.field("prompt").value == "together"


def test_edit_this_and_lineage(studio: Studio, sandbox: Sandbox) -> None:
    """The chosen picture is gone by; later both know of each other."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.shows(1)
    hand.press("Edit this")
    hand.says("among the pictures to go by", "error")
    assert hand.field("ratio").value == "auto"
    hand.draw("at sunrise")
    hand.shows(2)
    assert sandbox.tasks[1].image_urls == (studio.wait(studio.history("fox"))[0].url,)
    hand.says("Made from", "told")
    studio.wait(studio.generate("an owl"))
    hand.shows(3)
    hand.press("Lineage")
    hand.says("What it was made from, itself")
    wait_for(lambda: hand.prompts() == ["a fox", "at sunrise"])
    hand.press("All pictures")
    hand.shows(3)
    hand.choose(2)
    hand.says("Made into", "told")


def test_compare(gallery: Hand) -> None:
    """Two pictures side by side, the second the one that is pressed next; closed, it is over."""
    gallery.choose(1)
    gallery.says("fox 51", "told")
    gallery.press("Compare")
    gallery.says("Now choose the picture to compare it with", "error")
    gallery.choose(3)
    wait_for(lambda: gallery.text("fullview") != "")
    assert "fox 51" in gallery.text("fullview")
    assert "fox 49" in gallery.text("fullview")
    gallery.press("Close")
    assert gallery.text("fullview") == ""
    gallery.choose(4)
    gallery.says("fox 48", "told")
    assert gallery.text("fullview") == ""


def test_open_large(gallery: Hand) -> None:
    """The picture itself, only while it is open: then nothing of it stays behind."""
    gallery.press("Open large")
    wait_for(lambda: "<img" in gallery.field("fullview").value)
    assert 'alt="fox 52"' in gallery.field("fullview").value
    gallery.press("Close")
    assert gallery.field("fullview").value == ""


def test_link_and_path(studio: Studio, home: Path) -> None:
    """With how long the link lives; a dead one says so, and where the file is."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.shows(1)
    hand.press("Link and path")
    hand.says("alive until", "error")
    assert studio.last.url in hand.text("error")
    assert str(studio.last.path) in hand.text("error")
    with closing(sqlite3.connect(home / "ledger.sqlite3")) as db, db:
        db.execute("UPDATE task SET created = created - 90000")
    other = opened(studio)
    other.says("a fox", "told")
    other.press("Link and path")
    other.says("dead since", "error")


def test_save(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its own name beside the notebook, or as it is told; converted by its ending."""
    monkeypatch.chdir(tmp_path)
    hand = opened(studio)
    hand.draw("a fox")
    hand.shows(1)
    wait_for(lambda: hand.field("save").value == studio.last.path.name)
    hand.press("Save")
    hand.says("Saved as", "error")
    assert (tmp_path / studio.last.path.name).read_bytes() == studio.last.path.read_bytes()
    hand.field("save").value = "fox.jpg"
    hand.press("Save")
    hand.says("fox.jpg", "error")
    assert Image.open(tmp_path / "fox.jpg").format == "JPEG"


@pytest.mark.parametrize("path", ["/nowhere/fox.png", "fox.bmp", "x" * 300 + ".png", "nul\0.png"])
def test_a_path_that_cannot_be_saved_to(
    gallery: Hand, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that says why, and none that calls it a defect of ours."""
    monkeypatch.chdir(tmp_path)
    gallery.field("save").value = path
    gallery.press("Save")
    wait_for(lambda: bool(gallery.text("error")))
    assert "Saved" not in gallery.text("error")
    assert "should not have happened" not in gallery.text("error")


def test_in_doubt(studio: Studio, sandbox: Sandbox, home: Path) -> None:
    """What may have been billed: dismissed, or sent again at its price, by a click of its own."""
    hand = opened(studio)
    for prompt in ("a fox", "an owl"):
        hand.draw(f"[sandbox drop] {prompt}")
        hand.says("May have been billed", "shown")
        wait_for(lambda: not hand.panel._view.jobs)
        hand.says(prompt, "told")
    hand.says("2 may have been billed ($0.06)", "money")
    hand.press("Dismiss it")
    hand.says("1 may have been billed ($0.03)", "money")
    hand.choose(0)
    hand.says("a fox", "told")
    sent = sandbox.counts["submit"]
    hand.press("Submit again, $0.03")
    wait_for(lambda: sandbox.counts["submit"] == sent + 1)
    assert [state for (state,) in rows(home)][:2] == ["unknown", "abandoned"]


def test_fast_clicks_submit_again_once(studio: Studio, sandbox: Sandbox) -> None:
    """A double click on what costs $0.03 costs $0.03."""
    hand = opened(studio)
    sandbox.fail_next("504")
    hand.draw("a fox")
    hand.says("May have been billed", "shown")
    wait_for(lambda: not hand.panel._view.jobs)
    for _ in range(5):
        if any(words.startswith("Submit again") for words in hand.buttons()):
            hand.press("Submit again, $0.03")
    hand.shows(1)
    assert sandbox.counts["submit"] == 2


def test_copy_as_cell(studio: Studio, sandbox: Sandbox, tmp_path: Path) -> None:
    """What stands in the form, as a line, a cell and Python; once more takes it away."""
    hand = opened(studio)
    hand.press("Copy as cell")
    assert "prompt is empty" in hand.text("error")
    link = sandbox.share(plain_picture(tmp_path / "red.png", "red"))
    hand.add(link)
    wait_for(lambda: len(hand.panel._form.looks) == 1)
    hand.field("prompt").value = "a <fox> & an owl"
    hand.field("ratio").value = "16:9"
    hand.field("count").value = 2
    hand.press("Copy as cell")
    told = hand.text("clip")
    assert "a <fox> & an owl" in told
    for words in ("%nanobanana", "%%nanobanana", "nb.generate(", link, "16:9"):
        assert words in told
    hand.press("Copy as cell")
    assert hand.text("clip") == ""


def test_put_into_the_notebook_needs_a_place(gallery: Hand) -> None:
    """A panel inside another layout has no output of its own: that is told."""
    gallery.press("Put into notebook")
    assert "not shown by itself" in gallery.text("error")
