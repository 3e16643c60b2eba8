"""The panel without a browser: real buttons pressed, a real studio behind them, a real ledger.

Outside a kernel a click acts at once and a change is made where it comes up, so that all but the
page itself is here. How it behaves in kernels is in `test_panel_kernels.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from PIL import Image

import nanobanana_nb as nb
from nanobanana_nb import Generation, Sandbox, Settings, Studio
from nanobanana_nb.panel import Panel
from nanobanana_nb.panel.clicks import ANSWERED, Clicks
from nanobanana_nb.panel.gallery import PAGE
from nanobanana_nb.schema import connect
from nanobanana_nb.sync import current_studio

from .conftest import settings_for
from .test_money import wait_for
from .test_tiles import Shape


class Hand:
    """A panel as a person has it: fields by their names, buttons by their words, what is shown."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel

    def shown(self) -> Iterator[ipywidgets.Widget]:
        """Every widget that is not hidden, with what stands in it."""
        return _shown(self.panel.widget)

    def field(self, name: str) -> Any:
        """The widget with this class of the panel's style sheet."""
        return next(one for one in _all(self.panel.widget) if f"nbp-{name}" in one._dom_classes)

    def buttons(self) -> list[str]:
        """The words on all buttons that can be pressed."""
        return [one.description for one in self.shown() if _pressable(one)]

    def press(self, words: str) -> None:
        """Press the button whose words begin so."""

        def found() -> list[ipywidgets.Button | ipywidgets.ToggleButton]:
            buttons = [one for one in self.shown() if _pressable(one)]
            return [one for one in buttons if one.description.startswith(words)]

        wait_for(lambda: bool(found()))
        one = found()[0]
        if isinstance(one, ipywidgets.Button):
            one.click()
        else:
            one.value = True

    def choose(self, place: int) -> None:
        """Press a tile."""
        [one for one in _all(self.panel.widget) if "nbp-pick" in one._dom_classes][place].click()

    def text(self, name: str = "") -> str:
        """What is shown and can be read, of everything or of one class."""
        found = [
            " ".join(Shape(one.value).values)
            for one in self.shown()
            if isinstance(one, ipywidgets.HTML)
            and "nbp-style" not in one._dom_classes
            and (not name or f"nbp-{name}" in one._dom_classes)
        ]
        return " ".join(" ".join(found).split())

    def tiles(self) -> list[str]:
        """The text of each tile on the page."""
        return [
            " ".join(Shape(box.children[0].value).values)
            for box in self.shown()
            if "nbp-tile" in box._dom_classes
        ]

    def prompts(self) -> list[str]:
        """The captions of the tiles."""
        boxes = [box for box in self.shown() if "nbp-tile" in box._dom_classes]
        return [Shape(box.children[0].value).values[-1] for box in boxes]

    def chosen(self) -> list[int]:
        """The places of the tiles that are marked as chosen."""
        boxes = [box for box in self.shown() if "nbp-tile" in box._dom_classes]
        return [place for place, box in enumerate(boxes) if "nbp-chosen" in box._dom_classes]

    def draw(self, prompt: str, **options: Any) -> None:
        """Type a prompt and press Generate."""
        self.field("prompt").value = prompt
        for name, value in options.items():
            self.field(name).value = value
        self.press("Generate")

    def add(self, reference: str) -> None:
        """Type a reference and press Add."""
        self.field("link").value = reference
        self.press("Add")

    def says(self, words: str, name: str = "", seconds: float = 20.0) -> None:
        """Wait until that can be read."""
        try:
            wait_for(lambda: words in self.text(name), seconds)
        except AssertionError:
            raise AssertionError(f"{words!r} is not in {self.text(name)!r}") from None

    def shows(self, count: int, seconds: float = 20.0) -> None:
        """Wait until there are so many pictures on the page, and nothing is under way."""

        def there() -> bool:
            done = [
                box
                for box in self.shown()
                if "nbp-tile" in box._dom_classes and box.children[0].value.startswith("<img")
            ]
            return len(done) == count and not self.panel._view.jobs

        wait_for(there, seconds)


def _all(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _all(child)


def _shown(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    if "nbp-off" not in widget._dom_classes:
        yield widget
        for child in getattr(widget, "children", ()):
            yield from _shown(child)


def _pressable(one: ipywidgets.Widget) -> bool:
    return isinstance(one, ipywidgets.Button | ipywidgets.ToggleButton) and not one.disabled


OPENED: list[Panel] = []


def opened(studio: Studio | None) -> Hand:
    """A panel on that studio, closed after the test."""
    panel = Panel(studio)
    OPENED.append(panel)
    return Hand(panel)


@pytest.fixture(autouse=True)
def close_panels() -> Iterator[None]:
    """No panel lives on into the next test."""
    yield
    while OPENED:
        OPENED.pop().close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of the `studio` fixture."""
    return tmp_path / "home"


@pytest.fixture
def slow(slow_sandbox: Sandbox, tmp_path: Path) -> Iterator[Studio]:
    """A studio whose pictures take a second."""
    made = Studio(settings_for(slow_sandbox.url, tmp_path / "home"))
    yield made
    made.close()


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[tuple[Sandbox, Studio]]:
    """An API whose pictures take longer than any test here, and a studio on it."""
    with Sandbox(latency=60) as api:
        made = Studio(settings_for(api.url, tmp_path / "home"))
        yield api, made
        made.close()


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    """The user's variables, in a real IPython."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    yield shell.user_ns
    InteractiveShell.clear_instance()


def rows(home: Path, columns: str = "state") -> list[tuple[Any, ...]]:
    """The ledger's tasks, oldest first."""
    try:
        with closing(sqlite3.connect(home / "ledger.sqlite3")) as db:
            return db.execute(f"SELECT {columns} FROM task ORDER BY rowid").fetchall()
    except sqlite3.OperationalError:  # it is only just being made
        return []


def filled(home: Path, count: int, pictures: int = 3) -> None:
    """A home with so many stored pictures, "fox 0" the oldest, that share a few files."""
    folder = home / "pictures"
    folder.mkdir(parents=True)
    for number in range(pictures):
        Image.effect_noise((256, 256), 90).convert("RGB").save(folder / f"{number}.png")
    begin = time.time() - 2 * count
    with closing(connect(home / "ledger.sqlite3")) as db, db:
        db.execute("BEGIN")
        for number in range(count):
            moment = begin + number
            db.execute(
                "INSERT INTO task (id, state, model, origin, prompt, aspect_ratio, output_format, "
                "image_urls, price, created, changed, task_id, seconds, sent, day) VALUES "
                "(?, 'stored', 'nano-banana', 'http://x', ?, '1:1', 'png', '[]', '0.03', "
                "?, ?, ?, 9.5, ?, '2026-01-01')",
                (f"id{number}", f"fox {number}", moment, moment, f"task{number}", moment),
            )
            which = number % pictures
            db.execute(
                "INSERT INTO picture VALUES (?, 0, ?, ?, ?, 256, 256)",
                (
                    f"id{number}",
                    f"https://r.example/{number}",
                    str(folder / f"{which}.png"),
                    f"sha{which}",
                ),
            )
        db.execute("COMMIT")


# 1. Generate: as many tasks as were meant, at a price that is seen before.


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_which_clicks_are_meant() -> None:
    """The same again before its answer can be seen is no new wish, however long a key is held."""
    clock = Clock()
    clicks = Clicks(clock)
    assert not clicks.repeated("a fox")
    for _ in range(100):
        clock.now += ANSWERED * 0.9
        assert clicks.repeated("a fox")
    assert not clicks.repeated("an owl")
    assert not clicks.repeated("a fox")
    clock.now += ANSWERED
    assert not clicks.repeated("a fox")


@pytest.mark.parametrize("presses", [2, 20])
def test_fast_clicks_ask_for_one_picture(slow: Studio, slow_sandbox: Sandbox, presses: int) -> None:
    """A double click, a held key, impatience: one task, and a line that says so."""
    hand = opened(slow)
    hand.field("prompt").value = "a fox"
    for _ in range(presses):
        hand.press("Generate")
    assert "count as one" in hand.text("error")
    hand.shows(1)
    assert slow_sandbox.counts["submit"] == 1


def test_a_click_with_another_wish_is_meant(studio: Studio, sandbox: Sandbox) -> None:
    """Whatever was changed in between, even at once."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.draw("an owl")
    hand.draw("an owl", ratio="16:9")
    hand.draw("an owl", format="jpeg")
    hand.draw("an owl", count=2)
    hand.shows(6)
    asked = [(one.prompt, one.aspect_ratio, one.output_format) for one in sandbox.tasks]
    assert sorted(asked) == sorted(
        [
            ("a fox", "1:1", "png"),
            ("an owl", "1:1", "png"),
            ("an owl", "16:9", "png"),
            *[("an owl", "16:9", "jpeg")] * 3,
        ]
    )


def test_a_click_after_a_while_is_meant(studio: Studio, sandbox: Sandbox) -> None:
    """Nothing was changed, but the answer to the first could be seen."""
    hand, clock = opened(studio), Clock()
    hand.panel._clicks = Clicks(clock)
    hand.draw("a fox")
    clock.now += ANSWERED
    hand.press("Generate")
    hand.shows(2)
    assert sandbox.counts["submit"] == 2


def test_fast_clicks_on_vary_ask_once(studio: Studio, sandbox: Sandbox) -> None:
    """As many variations as the form says, at the price on the button, and no more."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.shows(1)
    hand.field("count").value = 3
    hand.choose(0)
    hand.says("a fox", "told")
    wait_for(lambda: "Vary, $0.09" in hand.buttons())
    hand.press("Vary")
    hand.press("Vary")
    hand.shows(4)
    assert sandbox.counts["submit"] == 4
    assert {one.prompt for one in sandbox.tasks} == {"a fox"}


def test_the_price_stands_beside_the_button(studio: Studio) -> None:
    """Before the click, for one and for several."""
    hand = opened(studio)
    assert hand.text("price") == "$0.03"
    hand.field("count").value = 4
    assert "".join(hand.text("price").split()) == "4×$0.03=$0.12"


def test_the_price_of_varying_follows_the_number(studio: Studio) -> None:
    """The button beside the picture names what a click on it costs, at once."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.shows(1)
    hand.field("count").value = 4
    wait_for(lambda: "Vary, $0.12" in hand.buttons(), 5)


def test_several_at_once_the_newest_first(slow: Studio, slow_sandbox: Sandbox) -> None:
    """Nothing is cleared by a new click: those under way and those done stand side by side."""
    hand = opened(slow)
    for number, prompt in enumerate(("a fox", "an owl", "a lynx"), 1):
        hand.draw(prompt)
        wait_for(lambda number=number: len(hand.tiles()) == number)
    assert "s of about" in " ".join(hand.tiles())
    assert slow_sandbox.counts["accepted"] >= 2
    hand.shows(3)
    assert hand.prompts() == ["a lynx", "an owl", "a fox"]
    hand.draw("a wolf")
    wait_for(lambda: len(hand.tiles()) == 4)
    assert hand.prompts()[1:] == ["a lynx", "an owl", "a fox"]
    assert hand.field("prompt").value == "a wolf"
    hand.shows(4)


def test_what_was_asked_for_is_chosen(slow: Studio) -> None:
    """By itself, from its first moment on."""
    hand = opened(slow)
    for prompt in ("a fox", "an owl"):
        hand.draw(prompt)
        hand.says(prompt, "told")
        assert hand.chosen() == [0]
    hand.shows(2)


def test_what_was_chosen_by_hand_stays_chosen(slow: Studio) -> None:
    """Whatever lands meanwhile."""
    hand = opened(slow)
    hand.draw("a fox")
    hand.shows(1)
    hand.draw("an owl", count=3)
    hand.says("an owl", "told")
    wait_for(lambda: len(hand.tiles()) == 4)
    hand.choose(3)
    hand.says("a fox", "told")
    hand.shows(4)
    assert "a fox" in hand.text("told")
    assert hand.chosen() == [3]


def test_a_choice_by_hand_outlasts_what_was_asked_for(slow: Studio) -> None:
    """A new picture that a search keeps from being shown is not chosen later, against a click."""
    hand = opened(slow)
    hand.draw("a fox")
    hand.shows(1)
    hand.field("search").value = "fox"
    hand.draw("an owl")
    hand.says("on the way", "error")
    hand.choose(0)
    hand.says("1 picture done", "error")
    hand.field("search").value = ""
    hand.shows(2)
    wait_for(lambda: hand.chosen() == [1])
    assert "a fox" in hand.text("told")


# 2. Bad input: told at its control, nothing sent, nothing lost.


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
    below = next(one for one in _all(hand.panel.widget) if "nbp-error" in one._dom_classes)
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
    files = [sandbox.share(_plain_picture(tmp_path / f"{one}.png", one)) for one in colours]
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


def _plain_picture(file: Path, colour: str) -> Path:
    Image.new("RGB", (40, 30), colour).save(file)
    return file


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
    def save(self) -> None:
        raise ZeroDivisionError("rotten")


class Mute(Exception):
    """An error that cannot even be told."""

    def __str__(self) -> str:
        raise ZeroDivisionError("mute")


class Rude:
    """An object that raises such an error."""

    @property
    def save(self) -> None:
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
        sandbox.fail_next("429")
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


# 3. Stop waiting.


def test_stop_drops_what_was_not_sent(busy: tuple[Sandbox, Studio], home: Path) -> None:
    """Eight go at a time: the others are dropped for free and never sent; the numbers are said,
    and stay to be read."""
    api, studio = busy
    hand = opened(studio)
    hand.draw("a fox", count=11)
    wait_for(lambda: rows(home).count(("submitted",)) == 8)
    hand.press("Stop waiting")
    hand.says("3 dropped before sending, nothing billed for that.", "error")
    hand.says("8 sent already: what was sent cannot be cancelled, is paid for ($0.24)", "error")
    wait_for(lambda: "Stop waiting" not in hand.buttons())
    assert api.counts["submit"] == 8
    states = [state for (state,) in rows(home)]
    assert (states.count("submitted"), states.count("abandoned")) == (8, 3)
    wait_for(lambda: len(hand.tiles()) == 8)


def test_what_was_sent_appears(slow: Studio, slow_sandbox: Sandbox) -> None:
    """Nobody waits for it any more, and it comes home all the same."""
    hand = opened(slow)
    hand.draw("a fox", count=2)
    wait_for(lambda: slow_sandbox.counts["accepted"] == 2)
    hand.press("Stop waiting")
    hand.says("2 sent already", "error")
    hand.shows(2)


def test_stop_says_what_it_dropped_of_several_clicks(
    busy: tuple[Sandbox, Studio], home: Path
) -> None:
    """The second click was only waiting its turn: the message stays when its work has ended."""
    api, studio = busy
    hand = opened(studio)
    hand.draw("a fox", count=8)
    wait_for(lambda: api.counts["accepted"] == 8)
    hand.draw("an owl", count=2)
    wait_for(lambda: len(rows(home)) == 10)
    hand.press("Stop waiting")
    wait_for(lambda: len(hand.panel._view.jobs) == 1)
    hand.says("2 dropped before sending", "error")
    assert "8 sent already" in hand.text("error")
    assert api.counts["submit"] == 8


def test_a_single_tile_is_dropped(busy: tuple[Sandbox, Studio], home: Path) -> None:
    """The chosen one and no other, while it waits its turn; once sent, it cannot be."""
    api, studio = busy
    hand = opened(studio)
    hand.draw("a fox", count=8)
    wait_for(lambda: api.counts["accepted"] == 8)
    hand.choose(0)
    hand.says("a fox", "told")
    wait_for(lambda: not any(words.startswith("Drop it") for words in hand.buttons()))
    for prompt in ("an owl", "a lynx"):
        hand.draw(prompt, count=1)
        hand.says(prompt, "told")
    hand.press("Drop it, free of charge")
    wait_for(lambda: len(hand.panel._view.jobs) == 2)
    hand.says("1 dropped before sending", "error")
    assert rows(home, "prompt, state")[-2:] == [("an owl", "queued"), ("a lynx", "abandoned")]
    wait_for(lambda: len(hand.tiles()) == 9)


def test_nothing_to_stop(studio: Studio) -> None:
    """The button is there only while it does something."""
    hand = opened(studio)
    hand.draw("a fox")
    hand.shows(1)
    wait_for(lambda: "Stop waiting" not in hand.buttons())


# 4. Another panel of the same home.


def test_another_panel_shows_the_same(studio: Studio, sandbox: Sandbox, home: Path) -> None:
    """After a restart of the kernel: the same pictures, stars and notes."""
    hand = opened(studio)
    for prompt in ("a fox", "an owl"):
        hand.draw(prompt)
        hand.says(prompt, "told")
    hand.shows(2)
    hand.press("Star")
    hand.says("★", "told")
    before = hand.tiles()
    studio.close()
    again = Studio(settings_for(sandbox.url, home))
    other = opened(again)
    other.shows(2)
    assert other.tiles() == before
    assert "an owl" in other.text("told")
    again.close()


def test_another_panel_brings_home_what_was_pending(
    slow: Studio, slow_sandbox: Sandbox, home: Path
) -> None:
    """It was paid for; the studio that sent it has ended."""
    hand = opened(slow)
    hand.draw("a fox")
    wait_for(lambda: slow_sandbox.counts["accepted"] == 1)
    slow.close()
    again = Studio(settings_for(slow_sandbox.url, home))
    other = opened(again)
    other.shows(1)
    assert slow_sandbox.counts["submit"] == 1
    again.close()


def test_two_panels_show_each_others_pictures(studio: Studio) -> None:
    """And what a cell draws."""
    here, there = opened(studio), opened(studio)
    here.draw("a fox")
    there.shows(1)
    studio.wait(studio.generate("an owl"))
    for hand in (here, there):
        hand.shows(2)


# 5. The gallery.


@pytest.fixture
def gallery(studio: Studio, home: Path) -> Hand:
    """A panel over 53 pictures, "fox 52" the newest."""
    filled(home, 53)
    hand = opened(studio)
    hand.says("1–12 of 53", "range")
    return hand


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
    link = sandbox.share(_plain_picture(tmp_path / "red.png", "red"))
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
    file = _plain_picture(tmp_path / "red.png", "red")
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
    link = sandbox.share(_plain_picture(tmp_path / "red.png", "red"))
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


# 6. Prompts of before.


def test_earlier_and_later_prompts(studio: Studio) -> None:
    """Each once, the latest first; back at the end stands what was typed."""
    hand = opened(studio)
    for prompt in ("a fox", "an owl", "a fox", "a lynx"):
        studio.wait(studio.generate(prompt))
    hand.field("prompt").value = "half a thou"
    for words, prompt in (
        ("‹ Earlier", "a lynx"),
        ("‹ Earlier", "a fox"),
        ("‹ Earlier", "an owl"),
        ("‹ Earlier", "an owl"),
        ("Later ›", "a fox"),
        ("Later ›", "a lynx"),
        ("Later ›", "half a thou"),
        ("Later ›", "half a thou"),
    ):
        hand.press(words)
        wait_for(lambda prompt=prompt: hand.field("prompt").value == prompt)
        hand.panel._living.wait(studio.version())
    hand.press("‹ Earlier")
    wait_for(lambda: hand.field("prompt").value == "a lynx")
    hand.field("prompt").value = "a lynx in snow"
    hand.press("‹ Earlier")
    wait_for(lambda: hand.field("prompt").value == "a lynx")
    hand.press("Later ›")
    wait_for(lambda: hand.field("prompt").value == "a lynx in snow")


def test_fast_clicks_go_back_as_far(studio: Studio) -> None:
    """Three presses of Earlier are three prompts back."""
    hand = opened(studio)
    for prompt in ("a fox", "an owl", "a lynx"):
        studio.wait(studio.generate(prompt))
    for _ in range(3):
        hand.press("‹ Earlier")
    wait_for(lambda: hand.field("prompt").value == "a fox")


# What keyboard, clipboard and dropped files ask for.


def test_what_the_page_sends(tmp_path: Path) -> None:
    """Keys, a dropped link, a pasted picture and one that is too large: each acts or is told."""
    studio = Studio(Settings.load(sandbox="always", home=tmp_path, pictures=tmp_path / "p"))
    hand = opened(studio)
    said = {"do": "generate", "prompt": "an owl at", "count": "2", "aspect_ratio": "16:9"}
    hand.panel._received({**said, "output_format": "jpeg"}, [])
    hand.shows(2)
    assert "an owl at" in hand.text("told")
    hand.press("Open large")
    wait_for(lambda: hand.field("fullview").value != "")
    hand.panel._received({"do": "escape"}, [])
    assert hand.field("fullview").value == ""
    hand.panel._received({"do": "older"}, [])
    wait_for(lambda: hand.field("prompt").value == "an owl at")
    file = _plain_picture(tmp_path / "red.png", "red")
    hand.panel._received({"do": "picture"}, [memoryview(file.read_bytes())])
    wait_for(lambda: len(hand.panel._form.looks) == 1)
    hand.panel._received({"do": "picture"}, [memoryview(b"not a picture")])
    hand.says("picture", "error")
    hand.panel._received({"do": "link", "text": "http://example.com/x.png"}, [])
    hand.says("not https", "error")
    hand.panel._received({"do": "too-large", "name": "huge.tif"}, [])
    hand.says("huge.tif", "error")
    hand.panel._received({"do": "nonsense"}, [])
    studio.close()


# 9. Light.


def opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are opened from now on, by their paths."""
    seen: list[str] = []
    sys.addaudithook(
        lambda event, arguments: seen.append(str(arguments[0])) if event == "open" else None
    )
    return seen


@pytest.mark.parametrize("count", [50, 5000])
def test_opening_reads_one_page(
    studio: Studio, home: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """However much there is: twelve previews, twelve rows of tasks."""
    filled(home, count, pictures=30)
    studio.wait(studio.version())
    read, asked = opens(monkeypatch), []
    ledger = studio._workshop.ledger
    given = ledger._row
    monkeypatch.setattr(ledger, "_row", lambda found: asked.append(found["id"]) or given(found))
    hand = opened(studio)
    hand.shows(12)
    wait_for(lambda: "Balance" in hand.text("money"))
    pictures = [path for path in read if path.endswith((".png", ".jpg"))]
    assert 0 < len(set(pictures)) <= 2 * 12 + 2
    assert 12 <= len(asked) <= 40
    read.clear()
    hand.press("Older")
    hand.says(f"13–24 of {count:,}", "range")
    assert len({path for path in read if path.endswith(".png")}) <= 13


def test_looking_again_reads_no_picture(
    studio: Studio, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice a second while something is drawn: what was shown once is not read and shrunk anew."""
    filled(home, 50, pictures=30)
    hand = opened(studio)
    hand.shows(12)
    hand.says("Balance", "money")
    read = opens(monkeypatch)
    for number in range(3):
        studio.wait(studio.star(f"id{number}", True))
        wait_for(lambda number=number: rows(home, "starred")[number] == (1,))
        seen = hand.panel._view._seen
        hand.panel._look_again()
        wait_for(lambda seen=seen: hand.panel._view._seen != seen)
    studio.wait(studio.version())
    assert [path for path in read if path.endswith((".png", ".jpg"))] == []


def state_bytes(panel: Panel) -> tuple[int, int]:
    """Of all widgets of a panel together, and of its largest trait."""
    sizes = [
        len(json.dumps(value, default=str).encode())
        for one in _all(panel.widget)
        for value in one.get_state().values()
    ]
    return sum(sizes), max(sizes)


def test_widgets_hold_small_previews_only(studio: Studio, home: Path) -> None:
    """A page reload sends all of it: twelve tiles, the chosen picture, a large one while open."""
    filled(home, 53, pictures=20)
    hand = opened(studio)
    hand.shows(12)
    hand.says("fox 52", "told")
    total, largest = state_bytes(hand.panel)
    assert total < 400_000
    hand.press("Open large")
    wait_for(lambda: "<img" in hand.field("fullview").value)
    assert state_bytes(hand.panel)[1] <= 270_000
    hand.press("Close")
    assert state_bytes(hand.panel)[0] <= total + 1000
    assert largest < 100_000


@pytest.mark.nightly
def test_memory_is_flat(studio: Studio) -> None:
    """Five hundred pictures in one panel hold no more objects and bytes than a hundred did."""
    import gc
    import tracemalloc

    hand = opened(studio)
    tracemalloc.start()
    seen = {}
    for number in range(1, 26):
        hand.draw(f"a fox {number}", count=20)
        hand.shows(12, seconds=120)
        if number in (5, 25):
            gc.collect()
            seen[number * 20] = (tracemalloc.get_traced_memory()[0], len(gc.get_objects()))
    tracemalloc.stop()
    print(f"bytes and objects: {seen}")
    assert seen[500][0] < seen[100][0] + 4_000_000
    assert seen[500][1] < seen[100][1] * 1.1


def test_the_money_line(studio: Studio) -> None:
    """What this session has spent, and what is left."""
    hand = opened(studio)
    hand.draw("a fox", count=2)
    hand.says("Session $0.06", "money")
    hand.says("Balance $9.94", "money")
    assert studio.wait(studio.spending()).session == Decimal("0.06")


def test_a_closed_panel_rests(studio: Studio) -> None:
    """It looks no more, and its tasks go on."""
    hand = opened(studio)
    hand.draw("a fox")
    wait_for(lambda: bool(hand.panel._view.jobs))
    hand.panel.close()
    OPENED.remove(hand.panel)
    wait_for(lambda: not hand.panel._view.jobs)
    last = studio.last
    assert isinstance(last, Generation)
    assert last.path.exists()


def test_a_page_is_as_large_as_the_gallery() -> None:
    """The tests above count in twelves."""
    assert PAGE == 12
