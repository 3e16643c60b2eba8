"""What a waiting cell is told: in words that are true, and cheap however many are waited for."""

from __future__ import annotations

import io
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nanobanana_nb import display
from nanobanana_nb.display import Item, Progress
from nanobanana_nb.models import PRICE
from nanobanana_nb.portal import Job, _current
from nanobanana_nb.reporting import LANDED, Report, Tracker, what_goes_on
from nanobanana_nb.screen import TILE, TILE_BYTES, Screen

from .test_display import HOSTILE, Page

BEGUN = 1_000.0


def progress(*states: str, price: str = "", **more: Any) -> Progress:
    """Tasks in these states, of which a picture takes 20 s."""
    known = {"counts": Counter(states), "expected": 20.0} | more
    total = Decimal(price) if price else PRICE * len(states)
    return Progress([Item(state) for state in states], BEGUN, price=total, **known)


def facts(told: Progress, seconds: float) -> tuple[str, tuple[str, ...]]:
    """What is said of it so many seconds after its begin."""
    summary = display.summarise(told, BEGUN + seconds)
    return summary.what, summary.facts


# In words.


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("queued", "Waiting its turn"),
        ("sending", "Sending"),
        ("submitted", "Being drawn"),
        ("ready", "Fetching"),
        ("fetching", "Fetching"),
        ("stored", "Done"),
    ],
)
def test_one_picture_in_words(state: str, words: str) -> None:
    """What is done with it just now, for how long, and what it costs."""
    what, (elapsed, cost) = facts(progress(state), 5.0)
    assert what == words
    assert elapsed.startswith("5 s of about ")
    assert cost == "$0.03"


def test_many_pictures_in_words() -> None:
    """How many are done and being drawn, what failed and what is in doubt, each where there is
    any; and what was billed by now of what all may cost."""
    many = ["stored"] * 1_200 + ["submitted", "ready", "fetching"] + ["queued"] * 797
    what, (_, spent) = facts(progress(*many, spent=Decimal("36.09")), 60.0)
    assert what == "1,200 of 2,000 done, 3 being drawn"
    assert spent == "$36.09 of $60.00"
    ended = ["failed", "rejected", "expired", "unknown", "unknown", "abandoned", "parked"]
    what, _ = facts(progress(*ended, "sending"), 60.0)
    assert what == "7 of 8 done, 3 failed, 2 in doubt"


def test_money_that_is_none_is_told_so() -> None:
    """With one picture as with many."""
    for states in (["queued"], ["queued"] * 2):
        _, told = facts(progress(*states, money=" of sandbox money"), 1.0)
        assert told[1].endswith(" of sandbox money")


def test_a_note_is_told_of_a_few() -> None:
    """Why it waits, each reason once; of hundreds nobody could read it, and it costs to look."""
    told = progress(*["queued"] * 20)
    for number, note in enumerate(["the API is busy", "the API is busy", "too many"]):
        told.items[number] = replace(told.items[number], note=note)
    assert facts(told, 1.0)[1][2:] == ("the API is busy", "too many")
    more = replace(told, items=[*told.items, Item()], counts=Counter(queued=21))
    assert len(facts(more, 1.0)[1]) == 2


# How long it still takes.


def left(told: Progress, seconds: float) -> str:
    """What is said of the rest of it."""
    found = re.search("about (.+) left", facts(told, seconds)[1][0])
    assert found
    return found.group(1)


def test_what_waits_takes_the_places_of_what_is_being_drawn() -> None:
    """100 that wait for 10 places are ten rounds more; nothing is known before the first."""
    told = progress(*["submitted"] * 10, *["queued"] * 98, *["sending"] * 2)
    assert left(told, 5.0) == "3 min 40 s"
    assert left(replace(told, expected=30.0), 5.0) == "5 min 30 s"
    assert left(progress(*["queued"] * 100), 0.0) == "20 s"


def test_the_last_round_ends_when_its_latest_was_sent() -> None:
    """With nothing left to send, it is the latest submit that counts; it is never less than none,
    and nothing is left when nothing is under way."""
    told = progress("stored", "submitted", "submitted", sent=BEGUN + 30.0)
    assert left(told, 32.0) == "18 s"
    assert left(told, 80.0) == "0 s"
    assert left(progress("submitted", "submitted"), 5.0) == "15 s"
    assert left(progress("stored", "failed"), 90.0) == "0 s"


def test_a_single_picture_is_about_as_long_as_expected() -> None:
    """From its submit on; while it waits to be sent, that has not begun."""
    assert facts(progress("submitted", sent=BEGUN + 4.0), 10.0)[1][0] == "10 s of about 24 s"
    assert facts(progress("queued"), 10.0)[1][0] == "10 s of about 30 s"


def test_the_time_of_day_is_told_of_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a minute and a half on; below that nobody goes away."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)  # 22:13:20
    try:
        long = progress("submitted", *["queued"] * 200)
        assert facts(long, 5.0)[1][0] == "5 s, about 1 h 7 min left, until 23:20"
        assert "until" not in facts(progress("submitted", *["queued"] * 3), 5.0)[1][0]
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (250.0, "4 min 10 s"),
        (3_599.6, "1 h 0 min"),
        (4_320.0, "1 h 12 min"),
        (9_000_000.0, "2,500 h 0 min"),
    ],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    """Never 60 s, nor 60 min."""
    assert display.duration(seconds) == words


def test_the_bar_never_goes_beyond_what_is_true() -> None:
    """From 0 to 1; by time up to nine tenths only, by what is done up to all of it."""
    steps = [display.summarise(progress("submitted"), BEGUN + t).fraction for t in range(100)]
    assert steps[1:] == [pytest.approx(max(before, after)) for before, after in pairwise(steps)]
    assert (steps[0], max(steps)) == (0.0, 0.9)
    done = ["stored", "failed", "unknown", "rejected", "expired", "abandoned", "parked"]
    assert display.summarise(progress(*done), BEGUN + 1).fraction == 1.0
    assert display.summarise(progress(*done, *["queued"] * 7), BEGUN).fraction == 0.5
    assert display.summarise(progress(), BEGUN).fraction == 1.0


# The card.


def test_the_card_says_all_of_it_twice() -> None:
    """In HTML and in text; a bar that a screen reader can read, and a name for each picture."""
    summary = display.summarise(progress("stored", "submitted"), BEGUN + 10)
    bundle = display.progress_card(summary, [(3, b"jpeg"), (17, b"jpeg")])
    page = Page(bundle)
    assert page.open == []
    assert bundle["text/plain"] == summary.text
    for part in (summary.what, *summary.facts, "[3]", "[17]"):
        assert part in page.words
    found = dict(page.attributes)
    assert (found["role"], found["aria-label"]) == ("progressbar", summary.what)
    assert found["aria-valuenow"] == "50"
    assert [value for name, value in page.attributes if name == "alt"] == [
        "picture 3", "picture 17",
    ]  # fmt: skip
    assert page.tags.count("img") == 2
    assert "figure" not in Page(display.progress_card(summary)).tags


def test_nothing_foreign_becomes_markup() -> None:
    """A note is text of a server, and so may a state be."""
    told = progress("queued", "queued")
    told.items[0] = replace(told.items[0], note=HOSTILE)
    for one in (told, progress(HOSTILE)):
        page = Page(display.progress_card(display.summarise(one, BEGUN)))
        assert page.open == []
        assert set(page.tags) <= {"div", "b"}
        assert {name for name, _ in page.attributes} <= {
            "class", "style", "role", "aria-label", "aria-valuenow", "aria-valuemin",
            "aria-valuemax",
        }  # fmt: skip


# What is told to whoever waits.


class Counted(list):
    """A list that counts how often something is read from it."""

    reads = 0

    def __getitem__(self, place: Any) -> Any:
        self.reads += 1
        return super().__getitem__(place)

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            self.reads += 1
            yield item


@pytest.fixture
def job() -> Iterator[Job[Any]]:
    """The job that is reported on."""
    made: Job[Any] = Job()
    token = _current.set(made)
    yield made
    _current.reset(token)


def test_what_one_task_does_is_told_at_once(job: Job[Any]) -> None:
    """Its state, its picture and its price: once billed, and once only."""
    report = Report(3, lambda: 20.0)
    track = Tracker(report, 1)
    assert (job.latest.count("queued"), job.latest.price) == (3, Decimal("0.09"))
    track(id="own", state="sending")
    assert job.latest.spent == 0
    track(state="submitted", task_id="t1")
    track(state="submitted", id="own")
    assert (job.latest.spent, job.latest.count("submitted", "queued")) == (PRICE, 3)
    track(state="stored", file="/fox.png")
    track(note="still there")
    assert job.latest.items[1] == Item("stored", "own", "t1", "still there", "/fox.png")
    assert (job.latest.landed, job.latest.count("stored")) == ((1,), 1)
    Report(3, lambda: 20.0, new=0)
    assert job.latest.price == 0


def test_the_latest_pictures_are_kept(job: Job[Any]) -> None:
    """The last twelve, in the order in which they came."""
    report = Report(30, lambda: 20.0)
    for number in range(29, -1, -1):
        report.set(number, {"state": "stored", "file": f"/{number}.png"})
    assert job.latest.landed == tuple(range(LANDED - 1, -1, -1))


def test_how_long_a_picture_takes_is_told_as_it_is_learned(job: Job[Any]) -> None:
    """Not as it was when the batch began."""
    seconds = iter(range(20, 100))
    report = Report(2, lambda: float(next(seconds)))
    before = job.latest.expected
    report.set(0, {"state": "sending"})
    assert job.latest.expected > before


def test_ten_thousand_are_as_cheap_as_ten(job: Job[Any]) -> None:
    """A change reads one item, and a drawing those that it shows: never all of them."""
    reads = {}
    for count in (50, 10_000):
        report = Report(count, lambda: 20.0, preview=lambda path: b"")
        items = report._items = Counted(report._items)
        report._progress = replace(report._progress, items=items)
        report.name({number: f"id {number}" for number in range(50)})
        for number in range(50):
            for change in ({"state": "sending"}, {"state": "submitted"}, {"state": "stored"}):
                report.set(number, {**change, "file": "/fox.png"})
                assert job.latest.items is items
        summary = display.summarise(job.latest, job.latest.begun + 60)
        display.progress_card(summary, Screen()._landed(job.latest))
        reads[count] = items.reads
        assert job.latest.count("stored") == 50
    assert reads[10_000] == reads[50] <= 4 * 50 + LANDED


def test_stopping_a_large_batch_is_told_in_a_few_words() -> None:
    """An error is one line that a person can read, however many tasks it speaks of."""
    items = [Item("stored", f"id{n}", f"task{n}") for n in range(5_000)]
    items += [Item("submitted", f"id{n}", f"task{n}") for n in range(5_000, 5_050)]
    said = what_goes_on(Progress(items, BEGUN, 20.0, PRICE * 5_050))
    assert "%nanobanana_resume" in said
    assert len(said) < 2_000


# The small pictures.


def picture() -> bytes:
    made = io.BytesIO()
    Image.effect_noise((512, 512), 100).convert("RGB").save(made, "JPEG", quality=95)
    return made.getvalue()


def test_each_tile_is_made_once(tmp_path: Path) -> None:
    """However often the cell is drawn while it waits: small, by its place, and forgotten once it
    is no longer among the latest."""
    made: list[str] = []

    def preview(path: Path) -> bytes:
        made.append(path.name)
        return picture()

    items = [Item("stored", file=str(tmp_path / f"{number}.png")) for number in range(20)]
    told = Progress(items, BEGUN, 20.0, PRICE, preview=preview)
    screen = Screen()
    for landed in ((7, 2), (7, 2), (7, 2, 11), (2, 11, 0), (2, 11, 0)):
        tiles = screen._landed(replace(told, landed=landed))
        assert [number for number, _ in tiles] == sorted(landed)
    assert sorted(made) == ["0.png", "11.png", "2.png", "7.png"]
    for _, tile in tiles:
        assert len(tile) <= TILE_BYTES
        assert max(Image.open(io.BytesIO(tile)).size) <= TILE
    screen._landed(replace(told, landed=(7,)))
    assert made.count("7.png") == 2


def test_no_tiles_of_one_picture_nor_of_what_is_gone() -> None:
    """A single one is shown itself in a moment; a file that is lost leaves no hole."""
    stored = Item("stored", file="/fox.png")
    one = Progress([stored], BEGUN, 20.0, PRICE, landed=(0,), preview=lambda path: picture())
    assert Screen()._landed(one) == []
    lost = Progress([stored] * 2, BEGUN, 20.0, PRICE, landed=(0,), preview=lambda path: b"")
    assert Screen()._landed(lost) == []
    assert Screen()._landed(replace(lost, preview=None)) == []
