"""Bad input and bad days: told at the control concerned, nothing sent, nothing lost."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import nanobanana_nb as nb
from nanobanana_nb import Sandbox, Settings, Studio
from nanobanana_nb.schema import connect
from nanobanana_nb.sync import current_studio

from ..conftest import settings_for
from ..test_money import wait_for
from .hand import Hand, every, filled, opened, plain_picture, rows
from .test_tiles import Shape


def untouched(hand: Hand, sandbox: Sandbox, prompt: str) -> None:
    """Nothing was sent, and the prompt is still there."""
    assert sandbox.counts["submit"] == 0
    assert hand.field("prompt").value == prompt


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("", "prompt is empty"),
        (" \n ", "prompt is empty"),
        ("x" * 5001, "5,001"),
        ("a \ud83d fox", "prompt"),
    ],
    ids=["empty", "blank", "long", "half a pair"],
)
def test_a_prompt_that_cannot_be_sent(
    studio: Studio, sandbox: Sandbox, prompt: str, words: str
) -> None:
    """Told below the prompt, and gone with the next letter."""
    hand = opened(studio)
    below = next(one for one in every(hand.panel.widget) if "nbp-error" in one._dom_classes)
    hand.draw(prompt)
    assert words in hand.text("error")
    assert words in " ".join(Shape(below.value).values)
    untouched(hand, sandbox, prompt)
    hand.field("prompt").value = "a fox"
    assert hand.text("error") == ""


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("", "Give a link"),
        ("http://example.com/fox.png", "not https"),
        ("https://192.168.1.1/fox.png", "private network"),
        ("https://", "not a link"),
        ("SANDBOX/nothing.png", "404"),
        ("FILE", "on this machine"),
        ("/nowhere/fox.png", "neither a link"),
        ("last", "no last picture"),
        ("nobody", "no variable of that name"),
    ],
)
def test_a_reference_that_cannot_be_used(
    studio: Studio, sandbox: Sandbox, tmp_path: Path, reference: str, words: str
) -> None:
    """Told below the references, before anything is paid; what was typed is still there."""
    file = tmp_path / "red.png"
    Image.new("RGB", (40, 30), "red").save(file)
    reference = reference.replace("SANDBOX", sandbox.url).replace("FILE", str(file))
    hand = opened(studio)
    hand.field("prompt").value = "a fox"
    hand.add(reference)
    hand.says(words, "error")
    assert hand.field("link").value == reference
    assert hand.panel._form.looks == ()
    untouched(hand, sandbox, "a fox")


def test_a_link_that_is_no_picture(studio: Studio, sandbox: Sandbox, tmp_path: Path) -> None:
    """It was one when it was shared, and something else by now."""
    file = tmp_path / "red.png"
    Image.new("RGB", (40, 30), "red").save(file)
    link = sandbox.share(file)
    file.write_bytes(b"<html>not a picture</html>")
    hand = opened(studio)
    hand.add(link)
    wait_for(lambda: bool(hand.text("error")))
    assert "picture" in hand.text("error")
    assert hand.panel._form.looks == ()


def test_five_references_and_a_sixth(studio: Studio, sandbox: Sandbox, tmp_path: Path) -> None:
    """They stand in their order with a button each; a sixth is refused, one removed makes room."""
    colours = ("red", "green", "blue", "white", "black", "gray")
    files = [sandbox.share(plain_picture(tmp_path / f"{one}.png", one)) for one in colours]
    hand = opened(studio)
    for count, link in enumerate(files[:5], 1):
        hand.add(link)
        wait_for(lambda count=count: len(hand.panel._form.looks) == count)
    assert [words for words in hand.buttons() if words.startswith("Remove")] == [
        f"Remove {number}" for number in range(1, 6)
    ]
    hand.add(files[5])
    hand.says("5", "error")
    assert len(hand.panel._form.looks) == 5
    hand.press("Remove 2")
    assert hand.text("error") == ""
    hand.add(files[5])
    wait_for(lambda: len(hand.panel._form.looks) == 5)
    hand.draw("together")
    hand.shows(1)
    assert sandbox.tasks[0].image_urls == (files[0], *files[2:])
    assert sandbox.tasks[0].aspect_ratio == "auto"


def test_a_variable_can_be_a_reference(
    studio: Studio, sandbox: Sandbox, names: dict[str, Any]
) -> None:
    """A result by the name it has in the notebook, which the field proposes; and the last one."""
    names["fox"] = studio.wait(studio.generate("a fox"))
    names["number"] = 3
    hand = opened(studio)
    wait_for(lambda: hand.field("link").options == ("last", "fox"))
    hand.add("number")
    hand.says("int is not a picture", "error")
    hand.add("fox")
    wait_for(lambda: len(hand.panel._form.looks) == 1)
    hand.add("last")
    wait_for(lambda: len(hand.panel._form.looks) == 2)
    hand.draw("at sunrise")
    hand.shows(2)
    assert sandbox.tasks[-1].image_urls == (names["fox"].url,) * 2


class Rotten:
    """An object of somebody's that raises where nobody expects it."""

    @property
    def savefig(self) -> None:
        raise ZeroDivisionError("rotten")


class Mute(Exception):
    """An error that cannot even be told."""

    def __str__(self) -> str:
        raise ZeroDivisionError("mute")


class Rude:
    """An object that raises such an error."""

    @property
    def savefig(self) -> None:
        raise Mute


@pytest.mark.parametrize("thing", [Rotten(), Rude()])
def test_a_bug_is_told(
    studio: Studio, sandbox: Sandbox, names: dict[str, Any], thing: object
) -> None:
    """Not only our own errors: nothing that is raised behind a click vanishes."""
    names["thing"] = thing
    hand = opened(studio)
    hand.field("prompt").value = "a fox"
    hand.add("thing")
    hand.says("should not have happened", "error")
    untouched(hand, sandbox, "a fox")
    hand.press("Generate")
    hand.shows(1)


def test_a_bug_at_a_picture_stays_told(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong where a tile was pressed is still there when the gallery has looked again."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.shows(1)

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("no family")

    monkeypatch.setattr(studio, "lineage", broken)
    hand.choose(0)
    hand.says("no family")
    seen = hand.panel._view._seen
    studio.wait(studio.star(studio.last.id, True))
    wait_for(lambda: hand.panel._view._seen != seen)
    assert "no family" in hand.text()


def test_no_key(tmp_path: Path) -> None:
    """Told as soon as the panel opens, and again at Generate, with how to set one."""
    never = Settings.load(sandbox="never", home=tmp_path, pictures=tmp_path / "p")
    studio = Studio(never)
    hand = opened(studio)
    hand.says("APIXO_API_KEY", "notice")
    hand.draw("a fox")
    hand.says("APIXO_API_KEY", "error")
    assert hand.field("prompt").value == "a fox"
    studio.close()


def test_a_key_given_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """nb.login() in a cell: the panel goes over to the account, without a click."""
    monkeypatch.setenv("NANOBANANA_SANDBOX", "always")
    monkeypatch.setattr("getpass.getpass", lambda _: "a-key")
    hand = opened(None)
    wait_for(lambda: "No pictures yet" in hand.text("message"))
    before = hand.panel._living
    nb.login()
    wait_for(lambda: hand.panel._living is not before)
    assert hand.panel._living is current_studio()
    current_studio().close()


def test_a_setting_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default studio cannot be made: the panel opens all the same, and says why."""
    monkeypatch.setattr("nanobanana_nb.sync._default", None)
    monkeypatch.setenv("NANOBANANA_BUDGET", "much")
    hand = opened(None)
    assert "NANOBANANA_BUDGET" in hand.text("notice")
    hand.draw("a fox")
    assert "NANOBANANA_BUDGET" in hand.text("error")


@pytest.mark.parametrize(
    ("directive", "words"),
    [
        ("401", "key"),
        ("402", "balance"),
        ("envelope-402", "balance"),
        ("insufficient", "balance"),
        ("INSUFFICIENT_BALANCE", "balance"),
        ("403", "403"),
        ("400", "Refused on demand"),
        ("content-403", "policy"),
        ("CONTENT_VIOLATION", "safety"),
    ],
)
def test_a_refusal_is_told(
    studio: Studio, sandbox: Sandbox, directive: str, words: str, home: Path
) -> None:
    """Once, below Generate, with the prompt kept; what was not sent stands in a tile as well."""
    prompt = f"[sandbox {directive}] a fox"
    hand = opened(studio)
    hand.draw(prompt, count=3)
    wait_for(lambda: words.lower() in hand.text("error").lower())
    told = hand.text("error")
    assert hand.field("prompt").value == prompt
    wait_for(lambda: len(hand.tiles()) == 3)
    assert hand.text("error") == told
    assert {state for (state,) in rows(home)} <= {"rejected", "abandoned", "failed"}


def test_a_key_that_is_refused(tmp_path: Path, home: Path) -> None:
    """By an API that knows its keys: nothing is accepted, the prompt stays."""
    with Sandbox(latency=0, api_key="another") as api:
        studio = Studio(settings_for(api.url, home))
        hand = opened(studio)
        hand.draw("a fox")
        hand.says("key", "error")
        assert api.counts["accepted"] == 0
        assert hand.field("prompt").value == "a fox"
        studio.close()


def test_the_budget_is_reached(sandbox: Sandbox, home: Path) -> None:
    """One picture fits; of the second it is said why it was not sent."""
    studio = Studio(settings_for(sandbox.url, home, budget="0.05"))
    hand = opened(studio)
    hand.draw("a fox", count=2)
    hand.says("budget is $0.05", "error")
    hand.says("Session $0.03", "money")
    assert sandbox.counts["submit"] == 1
    studio.close()


def test_an_api_that_cannot_be_reached(home: Path) -> None:
    """The gallery opens all the same; a click is answered, and can be taken back for free."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        filled(home, 3)
        studio = Studio(settings_for(address, home, backoff=30.0))
        hand = opened(studio)
        hand.shows(3)
        hand.draw("an owl")
        hand.says("cannot be reached", "picture")
        hand.press("Stop waiting")
        hand.says("1 dropped before sending", "error")
        assert hand.field("prompt").value == "an owl"
        studio.close()


def test_an_api_that_never_answers(home: Path) -> None:
    """What the gallery shows is on this machine: it does not wait for a balance."""
    filled(home, 3)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(50)
        address = f"http://127.0.0.1:{mute.getsockname()[1]}"
        studio = Studio(settings_for(address, home))
        hand = opened(studio)
        hand.shows(3)
        hand.press("Star")
        hand.says("★", "told")
        assert "Balance" not in hand.text("money")
        studio.close()


def test_an_api_that_is_busy_for_long(sandbox: Sandbox, home: Path) -> None:
    """The tile says what it waits for, and it can be dropped by itself, free of charge."""
    studio = Studio(settings_for(sandbox.url, home, backoff=30.0))
    hand = opened(studio)
    for _ in range(9):
        sandbox.fail_next("429 retry-after=30")
    hand.draw("a fox")
    hand.says("the API is busy, trying again in", "picture")
    hand.says("the API is busy", "shown")
    posts = sandbox.counts["submit"]
    hand.press("Drop it, free of charge")
    hand.says("1 dropped before sending, nothing billed", "error")
    wait_for(lambda: not hand.panel._view.jobs)
    wait_for(lambda: rows(home) == [("abandoned",)])
    assert "1 dropped before sending" in hand.text("error")
    assert sandbox.counts["submit"] == posts
    assert hand.field("prompt").value == "a fox"
    studio.close()


def test_the_balance_is_asked_for_when_it_changes(studio: Studio, sandbox: Sandbox) -> None:
    """Once, and once after each spending: looking at a panel is no traffic, and no writing."""
    hand = opened(studio)
    hand.says("Balance $10.00", "money")
    hand.draw("a fox")
    hand.says("Balance $9.97", "money")
    asked = sandbox.counts["balance"]
    for count in range(5):  # the answer is noted in the ledger, which is what is looked at
        studio.wait(studio.star(studio.last.id, on=count % 2 == 0))
        seen = hand.panel._view._seen
        hand.panel._look_again()
        wait_for(lambda seen=seen: hand.panel._view._seen != seen)
    assert sandbox.counts["balance"] <= asked + 1


def test_a_home_that_is_not_there(sandbox: Sandbox, tmp_path: Path) -> None:
    """The panel opens and says so; once there is a place, it goes on by itself."""
    (tmp_path / "file").write_text("in the way")
    studio = Studio(settings_for(sandbox.url, tmp_path / "file" / "home"))
    hand = opened(studio)
    hand.says("cannot be kept in", "notice")
    hand.draw("a fox")
    hand.says("cannot be kept in", "error")
    untouched(hand, sandbox, "a fox")
    (tmp_path / "file").unlink()
    wait_for(lambda: hand.text("notice") == "")
    hand.draw("an owl")
    hand.shows(1)
    studio.close()


def test_a_home_that_goes_away(studio: Studio, sandbox: Sandbox, home: Path) -> None:
    """While the panel is open: nothing is sent that could not be noted, and nothing is lost."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.shows(1)
    home.rename(home.with_name("elsewhere"))
    hand.draw("an owl")
    wait_for(lambda: "ledger" in hand.text("error"))
    assert sandbox.counts["submit"] == 1
    assert hand.field("prompt").value == "an owl"
    home.with_name("elsewhere").rename(home)
    hand.draw("a lynx")
    hand.shows(2)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_is_read_only(studio: Studio, sandbox: Sandbox, home: Path) -> None:
    """While the panel is open: told at Generate, nothing sent."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.shows(1)
    home.chmod(0o500)
    try:
        hand.draw("an owl")
        wait_for(lambda: "ledger" in hand.text("error"))
        assert sandbox.counts["submit"] == 1
    finally:
        home.chmod(0o700)


def _damage(file: Path) -> str:
    file.write_bytes(b"not a database, but long enough to be looked at " * 100)
    return "nanobanana rebuild"


def _make_newer(file: Path) -> str:
    with closing(connect(file)) as db:
        db.execute("PRAGMA user_version = 99")
    return "newer version"


@pytest.mark.parametrize("hurt", [_damage, _make_newer])
def test_a_ledger_that_cannot_be_read(
    studio: Studio, sandbox: Sandbox, home: Path, hurt: Callable[[Path], str]
) -> None:
    """Told at the top and at Generate; nothing is sent; it goes on once the ledger is back."""
    home.mkdir()
    file = home / "ledger.sqlite3"
    words = hurt(file)
    hand = opened(studio)
    hand.says(words, "notice")
    hand.draw("a fox")
    hand.says(words, "error")
    untouched(hand, sandbox, "a fox")
    file.unlink()
    wait_for(lambda: hand.text("notice") == "")
    hand.draw("an owl")
    hand.shows(1)


def test_a_picture_that_was_deleted(studio: Studio, home: Path) -> None:
    """Its preview is shown while there is one; then its tile says so. The others stay."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.shows(1)
    hand.draw("an owl")
    hand.shows(2)
    studio.last.path.unlink()
    shutil.rmtree(home / "previews")
    again = opened(studio)
    again.says("The file is not there any more", "picture")
    assert again.prompts()[1] == "a fox"
    again.choose(0)
    again.says("The file is not there any more", "shown")
    again.press("Open large")
    wait_for(lambda: bool(again.text("error")))
    again.press("Put into notebook")
    again.press("Save")
    wait_for(lambda: "should not have happened" not in again.text())
    assert "should not have happened" not in again.text()


def test_a_preview_that_is_broken(studio: Studio, home: Path) -> None:
    """One bad file does not take the gallery away."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.shows(1)
    hand.draw("an owl")
    hand.shows(2)
    (home / "previews" / f"{studio.last.path.stem}.jpg").write_bytes(b"not a picture")
    again = opened(studio)
    wait_for(lambda: len(again.tiles()) == 2)
    assert again.prompts()[1] == "a fox"
