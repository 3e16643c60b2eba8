"""What people hold: its verbs, what its cards say, and the history as a list and as a table."""

from __future__ import annotations

import base64
import importlib
import io
import os
import sys
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nanobanana_nb import errors, previews, protocol
from nanobanana_nb.archive import History
from nanobanana_nb.models import Failed, ImageRequest
from nanobanana_nb.results import Gallery, Generation, Picture, short_path

NOON = datetime(2026, 11, 5, 12, 0, tzinfo=UTC)
HERE = f"{NOON.astimezone():%Y-%m-%d %H:%M}"
COLUMNS = [
    *("created", "prompt", "aspect_ratio", "output_format", "image_urls", "state", "cost"),
    *("seconds", "width", "height", "path", "url", "task_id", "id", "starred", "note", "error"),
]
HOSTILE = '<img src=x onerror=alert(1)> "</div>\u202e'
NOISE = previews.make_preview(Image.effect_noise((512, 512), 90))
REFUSED = protocol.task_failed(Failed("CONTENT_VIOLATION", "Not allowed"))


class Maker:
    """Stands for the studio: notes what it is asked for, and has a preview of every picture."""

    edit = vary = None

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            coroutine.send(None)
        except StopIteration as ended:
            return ended.value
        raise AssertionError("it did not end")

    async def star(self, id: str, on: bool) -> None:  # noqa: A002
        self.asked.append(("star", id, on))

    async def note(self, id: str, text: str) -> None:  # noqa: A002
        self.asked.append(("note", id, text))

    async def submit_again(self, attempt_id: str) -> Generation:
        self.asked.append(("submit_again", attempt_id))
        return drawn(99)

    async def dismiss(self, attempt_id: str) -> None:
        self.asked.append(("dismiss", attempt_id))

    def preview(self, path: Path) -> bytes:
        assert path.stem.startswith("fox")
        return NOISE


def drawn(number: int = 0, prompt: str = "a fox", **more: Any) -> Generation:
    """A generation as the studio makes them."""
    file = Path(f"/pictures/fox-{number}.png")
    picture = Picture(file, f"https://r/{number}", NOON, 1024, 1024, "0" * 64)
    given = {
        "request": ImageRequest(prompt, "16:9", "jpeg", ("https://r/ref.png",)),
        "id": f"{number:08x}",
        "task_id": f"task-{number}",
        "images": () if "error" in more else (picture,),
        "cost": Decimal("0.00" if "error" in more else "0.03"),
        "seconds": 17.3,
        "created": NOON - timedelta(hours=number),
        "maker": Maker(),
    }
    return Generation(**(given | more))


def in_doubt(number: int = 0, why: str = "the API's answer held no task id") -> Generation:
    error = protocol.maybe_billed(why)
    error.attempt_id = f"{number:08x}"
    return drawn(number, "a lighthouse", error=error, state="unknown", task_id="")


def asked(one: Generation) -> list[tuple[object, ...]]:
    assert isinstance(one.maker, Maker)
    return one.maker.asked


def text(shown: Generation | Gallery) -> str:
    return str(shown._repr_mimebundle_()["text/plain"])


def html(shown: Generation | Gallery) -> str:
    return str(shown._repr_mimebundle_()["text/html"])


# ------------------------------------------------------------------ verbs


def test_a_star_and_a_note_are_written_down_and_shown() -> None:
    """Both reach the ledger, and the value that comes back has them; the old one is as it was."""
    fox = drawn(7)
    starred = fox.star().note("  for the <poster> ")
    assert asked(fox) == [("star", "00000007", True), ("note", "00000007", "for the <poster>")]
    assert (starred.starred, starred.remark) == (True, "for the <poster>")
    assert (fox.starred, fox.remark) == (False, "")
    assert "★" in text(starred)
    assert "★" in html(starred)
    assert "Note: for the &lt;poster&gt;" in html(starred)
    assert starred.star(False).starred is False
    assert asked(fox)[-1] == ("star", "00000007", False)


def test_an_attempt_in_doubt_is_settled_by_its_own_id() -> None:
    """Submitting again and dismissing reach the maker with the attempt's id."""
    doubtful = in_doubt(5)
    assert doubtful.submit_again().id == f"{99:08x}"
    assert doubtful.dismiss() is None  # type: ignore[func-returns-value]
    assert asked(doubtful) == [("submit_again", "00000005"), ("dismiss", "00000005")]


@pytest.mark.parametrize("one", [drawn(), drawn(error=REFUSED, state="failed")])
@pytest.mark.parametrize("verb", ["submit_again", "dismiss"])
def test_what_is_settled_cannot_be_submitted_again(one: Generation, verb: str) -> None:
    """A picture or a plain failure is never sent or forgotten by mistake: it would cost money."""
    with pytest.raises(errors.RequestError, match="nothing to"):
        getattr(one, verb)()
    assert asked(one) == []


def test_a_result_without_a_studio_says_so() -> None:
    """A value that was copied out of its studio has no verbs, in one line."""
    with pytest.raises(errors.RequestError, match="without a studio"):
        replace(drawn(), maker=None).star()


# ------------------------------------------------------------------ cards


def test_the_card_of_an_attempt_in_doubt() -> None:
    """Price, local time, id, cause and prompt; nothing of the error is told twice."""
    for words in (text(in_doubt(5)), html(in_doubt(5))):
        when = f"{(NOON - timedelta(hours=5)).astimezone():%Y-%m-%d %H:%M}"
        for fact in ("May have been billed: $0.03", f"{when} · attempt 00000005", "a lighthouse"):
            assert fact in words
        assert "held no task id." in words
        assert "%nanobanana_again 00000005" in words
        assert "%nanobanana_dismiss 00000005" in words
        assert "It is not known" not in words
        assert words.count("$0.03") == 2  # what may have been billed, what again may cost
    assert "The API's answer held" in text(in_doubt(5))
    assert "of sandbox money" in text(replace(in_doubt(), sandbox=True))


def test_an_attempt_in_doubt_from_an_older_ledger() -> None:
    """Words that `protocol` did not write are shown whole, and the row's id stands for its own."""
    old = replace(in_doubt(5), error=errors.SubmitUnknown("The line went dead."))
    assert "The line went dead." in text(old)
    twice = replace(old, error=protocol.maybe_billed(str(protocol.maybe_billed("no answer"))))
    assert "\n  No answer.\n" in text(twice)
    assert "%nanobanana_again 00000005" in text(old)


@pytest.mark.parametrize("state", ["failed", "expired", "rejected"])
def test_a_failure_shown_again_says_so(state: str) -> None:
    """After Restart and Run All an old failure is not taken for a new one, nor for a charge."""
    again = drawn(error=REFUSED, state=state, replayed=True)
    for words in (text(again), html(again)):
        assert f"This was the answer of {HERE}, shown again for $0.00." in words
        assert "Run the cell again, or say --new, to draw it anew." in words
    told = errors.TaskFailed("No. This is the answer of then, shown again for $0.00.")
    assert text(replace(again, error=told)).count("shown again") == 1
    for other in (replace(again, replayed=False), replace(in_doubt(), replayed=True)):
        assert "This was the answer" not in text(other)


def test_a_folder_is_written_as_people_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ~ for their home, also the home itself; a folder elsewhere in full."""
    monkeypatch.setattr(Path, "home", lambda: Path("/pictures"))
    assert "~/fox-0.png" in text(drawn())
    assert [short_path(Path(name)) for name in ("/pictures", "/pictures/a/b", "/elsewhere")] == [
        "~",
        f"~{os.sep}a{os.sep}b",
        f"{os.sep}elsewhere",
    ]


def test_a_warning_is_shown() -> None:
    """A picture kept elsewhere says where, wherever it is shown."""
    full = drawn(warning="The disk is full: kept in /tmp/x for now.")
    for shown in (full, Gallery([full, drawn()]), History([full])):
        assert "kept in /tmp/x" in text(shown)
        assert "kept in /tmp/x" in html(shown)


def test_a_task_under_way_is_no_empty_card() -> None:
    """A row without a picture and without an error shows what it waits for, and has no image."""
    waiting = drawn(images=(), state="submitted")
    assert "being drawn: nb.resume() brings it here." in text(waiting)
    assert "Being drawn" in html(waiting)
    with pytest.raises(errors.RequestError, match=r"nb\.resume"):
        _ = waiting.image


@pytest.mark.parametrize(
    ("error", "standing"),
    [
        (REFUSED, "failed"),
        (protocol.maybe_billed("x"), "unknown"),
        (errors.WaitTimeout("x", task_id="t", waited=1), "parked"),
        (errors.DownloadError("x", url="u"), "ready"),
        (errors.DownloadError("x", url="u", gone=True), "expired"),
        (None, "stored"),
    ],
)
def test_an_error_tells_where_a_task_stands(error: Any, standing: str) -> None:
    """A task that goes on or was paid for is not called a failure."""
    assert replace(drawn(), error=error).standing == standing
    if standing == "parked":
        assert replace(drawn(), error=error, state="submitted").standing == "submitted"


# ------------------------------------------------------------------ galleries


def test_a_gallery_counts_what_it_has() -> None:
    """Failed, at risk and under way are told apart, and only what was surely billed is summed."""
    late = errors.WaitTimeout("It goes on.", task_id="t", waited=900)
    one_late = drawn(4, error=late, state="parked", cost=Decimal("0.03"))
    some = Gallery([drawn(), drawn(1), drawn(2, error=REFUSED), in_doubt(3), one_late])
    headline = "2 pictures, 1 failed, 1 may have been billed ($0.03), 1 under way · $0.09"
    assert text(some).splitlines()[0] == repr(some).splitlines()[0] == headline
    assert (some.cost, some.at_risk) == (Decimal("0.09"), Decimal("0.03"))
    assert len(some.failed) == 3
    assert [one.at_risk for one in some][3] == Decimal("0.03")


def test_a_gallery_shown_again_costs_nothing() -> None:
    """After Restart and Run All the headline does not claim money that was not spent."""
    old = [drawn(n, replayed=True) for n in range(2)]
    assert text(Gallery(old)).splitlines()[0] == "2 pictures · shown again, $0.00"
    assert text(Gallery([*old, drawn(3)])).splitlines()[0] == "3 pictures · $0.03, 2 shown again"
    assert text(Gallery([])).splitlines()[0] == "0 pictures · $0.00"


def test_the_index_is_that_of_python() -> None:
    """Also behind a task with two pictures and behind failures that were folded."""
    two = replace(drawn(), images=drawn().images * 2)
    poor = [drawn(n, error=REFUSED) for n in (1, 2)]
    some = Gallery([two, *poor, drawn(3)])
    lines = [line.strip() for line in text(some).splitlines()[1:]]
    assert [line.split(" ")[0] for line in lines] == ["[0]", "[0]", "[1]-[2]", "[3]"]
    assert "images[0]" in lines[0]
    assert "images[1]" in lines[1]
    assert "fox-3.png" in lines[3]
    assert "<b>[3]</b>" in html(some)


def test_fifty_failures_are_one_card() -> None:
    """A breaker that stopped 47 tasks says so once, in the notebook and in a terminal."""
    stop = errors.BalanceTooLow("The balance is used up.")
    many = Gallery(drawn(n, f"fox {n}", error=stop, state="rejected") for n in range(47))
    for words in (html(many), text(many), repr(many)):
        assert words.count("The balance is used up.") == 1
        assert "[0]-[46] 47 not drawn" in words


def test_slices_and_failed_stay_galleries() -> None:
    """A part of a gallery is a gallery, a part of a history a history with its words."""
    assert type(Gallery([drawn()])[:1]) is Gallery
    part = History([drawn(n) for n in range(5)], asked="fox")[1:3]
    assert (type(part), len(part), part.asked) == (History, 2, "fox")
    assert part[0].id == f"{1:08x}"


# ------------------------------------------------------------------ history


def test_a_history_shows_the_newest_and_says_where_the_rest_is() -> None:
    """Twenty entries, small; headline with everything, failures and money at risk counted."""
    entries = [drawn(n) for n in range(50)]
    entries[3] = drawn(3, error=REFUSED, state="failed")
    entries[4] = in_doubt(4)
    entries[45] = in_doubt(45)
    shown = History(entries)
    first = "47 pictures, $1.41 · 1 failed · 2 may have been billed ($0.06)"
    assert text(shown).splitlines()[0] == first
    assert text(shown).splitlines()[-1].strip() == "30 more: history[20:40]"
    assert text(shown) == repr(shown)
    assert html(shown).count("<li ") == 20
    assert html(shown).count("<img ") == 18
    assert "30 more: history[20:40]" in html(shown)
    assert "more:" not in text(shown[20:40])
    assert "3 more: history[20:23]" in text(shown[:23])


def test_an_entry_tells_what_was_asked_for() -> None:
    """Local date and time, ratio, format, price, star and note."""
    one = History([drawn(starred=True, remark="for the poster")])
    assert f"{HERE} · 16:9 · jpeg · $0.03" in html(one)
    assert text(one).splitlines()[1] == (
        f"   [0] {HERE}  ★ “a fox” · 16:9 · jpeg · $0.03 · Note: for the poster"
    )
    two = replace(drawn(), images=drawn().images * 2)
    assert "2 pictures" in text(History([two])).splitlines()[1]


def test_a_history_is_small() -> None:
    """A list of twenty does not swell the notebook, though its pictures be all noise."""
    bundle = History([drawn(n) for n in range(20)])._repr_mimebundle_()
    sources = bundle["text/html"].split("base64,")[1:]
    previews = [base64.b64decode(source.split('"')[0]) for source in sources]
    assert len(previews) == 20
    assert max(map(len, previews)) <= 6_000
    assert {Image.open(io.BytesIO(preview)).format for preview in previews} == {"JPEG"}
    assert len(base64.b64decode(bundle["image/jpeg"])) <= 40_000


def test_an_empty_history_says_what_to_do() -> None:
    """One line: how to draw, or what was looked for in vain."""
    assert text(History([])) == "Nothing was drawn yet. Try: %nanobanana a fox in watercolor"
    nothing = History([], asked=HOSTILE)
    assert repr(nothing).startswith("Nothing in the history matches “<img")
    assert "<img" not in html(nothing)


def test_a_hostile_history_stays_text() -> None:
    """Prompts, notes, warnings, errors and ids of the ledger are words in every kind of display."""
    bad = {"remark": HOSTILE, "warning": HOSTILE, "starred": True}
    doubtful = replace(in_doubt(why=HOSTILE), id=HOSTILE, **bad)
    entries = [
        drawn(0, HOSTILE + "x" * 4000, **bad),
        drawn(1, HOSTILE, error=errors.TaskFailed(HOSTILE), replayed=True, **bad),
        doubtful,
    ]
    for shown in (*entries, Gallery(entries), History(entries)):
        assert "&lt;img" in html(shown)
        assert "<img src=x" not in html(shown)
        assert "\u202e" not in html(shown) + text(shown) + repr(shown)


def test_the_history_as_a_table() -> None:
    """Every column with its type, gaps included, so that sums and groups work at once."""
    pytest.importorskip("pandas")
    entries = [drawn(0, starred=True, remark="best"), in_doubt(1), drawn(2, error=REFUSED)]
    table = History(entries).to_pandas()
    assert list(table.columns) == COLUMNS
    assert str(table.created.dt.tz) == "UTC"
    assert table.created[0] == NOON
    assert list(table.state) == ["stored", "unknown", "failed"]
    assert table.cost.sum() == pytest.approx(0.03)
    assert str(table.width.dtype) == "Int64"
    assert table.width.sum() == 1024
    assert table.iloc[0].path == str(Path("/pictures/fox-0.png"))
    assert table.iloc[0].image_urls == ["https://r/ref.png"]
    assert list(table[table.starred].note) == ["best"]
    assert "CONTENT_VIOLATION" in table.error[2]
    empty = History([]).to_pandas()
    assert list(empty.columns) == COLUMNS
    assert empty.cost.sum() == 0
    assert empty.created.dt.tz is not None


def test_without_pandas_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pandas is no dependency: only `to_pandas` needs it, and says what to do."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(errors.RequestError, match="pip install pandas"):
        importlib.import_module("nanobanana_nb.archive").History([]).to_pandas()
