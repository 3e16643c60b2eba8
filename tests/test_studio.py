"""The use cases end to end: a studio, the sandbox on a socket, real files and a real ledger."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image

import nanobanana_nb as nb
from nanobanana_nb import Gallery, Generation, RequestError, Sandbox, Studio, errors
from nanobanana_nb.display import Progress
from nanobanana_nb.studio import ASK_ABOVE
from nanobanana_nb.submitting import DROPPED, Ticket

from .conftest import settings_for

AT_ONCE = 8
"""What an account takes, where it is limited."""
FOX = Generation(
    nb.ImageRequest("a fox"), "", "", (), Decimal(0), None, datetime(2026, 1, 1, tzinfo=UTC)
)


def rows(home: Path, columns: str = "state") -> list[tuple[object, ...]]:
    with sqlite3.connect(home / "ledger.sqlite3") as connection:
        found = connection.execute(f"SELECT {columns} FROM task ORDER BY created").fetchall()
    connection.close()
    return found


def test_a_prompt_becomes_a_picture(studio: Studio, sandbox: Sandbox, tmp_path: Path) -> None:
    """Everything that a result promises: file, link, size, price, time, request."""
    fox = studio.wait(studio.generate("  a fox in watercolor\n", aspect_ratio="16:9"))
    assert isinstance(fox, Generation)
    assert sandbox.tasks[0].prompt == fox.prompt == "a fox in watercolor"
    assert fox.task_id == sandbox.tasks[0].id
    assert fox.path.parent == tmp_path / "home" / "pictures"
    assert fox.pil().size == (fox.image.width, fox.image.height) == (1344, 756)
    assert fox.url.startswith(sandbox.url)
    assert fox.cost == Decimal("0.03")
    assert fox.image.format == "png"
    assert fox.image.sha256
    assert fox.error is None
    assert fox.save(tmp_path / "x.jpg").exists()
    assert rows(tmp_path / "home", "state, task_id") == [("stored", fox.task_id)]


def test_it_can_be_awaited_on_any_loop(studio: Studio) -> None:
    """The same studio in two event loops, one after the other."""
    for _ in range(2):
        assert asyncio.run(studio.generate("a fox")).path.exists()


def test_a_studio_is_a_context(sandbox: Sandbox, tmp_path: Path) -> None:
    """`async with nb.Studio() as studio`, as the design shows it."""

    async def main() -> Generation:
        async with Studio(settings_for(sandbox.url, tmp_path)) as studio:
            return await studio.generate("a fox")

    assert asyncio.run(main()).path.exists()


def test_four_at_once_with_a_failure_inside(studio: Studio, sandbox: Sandbox) -> None:
    """A gallery in order; one failure does not stop the rest, and is shown as such."""
    sandbox.fail_next("CONTENT_VIOLATION")
    four = studio.wait(studio.generate("a fox", count=4))
    assert isinstance(four, Gallery)
    assert len(four) == 4
    assert len(four.images) == 3
    (failed,) = four.failed
    assert isinstance(failed.error, errors.ContentRefused)
    assert failed.images == ()
    with pytest.raises(errors.ContentRefused):
        _ = failed.image
    assert len({picture.path for picture in four.images}) == 3
    assert four.cost == Decimal("0.12")  # a failed task was accepted, and so was billed
    assert "1 failed" in repr(four)


def test_one_failure_alone_is_raised(studio: Studio, tmp_path: Path) -> None:
    """So that papermill and scripts stop."""
    with pytest.raises(errors.ContentRefused):
        studio.wait(studio.generate("[sandbox NSFW] x"))
    assert rows(tmp_path / "home") == [("failed",)]


def test_an_edit_sends_the_picture(studio: Studio, sandbox: Sandbox, tmp_path: Path) -> None:
    """From a result, and from several in their order; a link goes as it is."""
    fox = studio.wait(studio.generate("a fox"))
    owl = studio.wait(studio.generate("an owl"))
    fox.edit("at sunrise")
    assert sandbox.tasks[-1].request["input"]["image_urls"] == [fox.url]
    assert sandbox.tasks[-1].request["input"]["aspect_ratio"] == "auto"
    studio.wait(studio.edit([owl, fox.image, fox.url], "together"))
    assert sandbox.tasks[-1].request["input"]["image_urls"] == [owl.url, fox.url, fox.url]


def test_variations_repeat_the_request(studio: Studio, sandbox: Sandbox) -> None:
    """The same prompt and settings, several times."""
    fox = studio.wait(studio.generate("a fox", output_format="jpeg"))
    assert len(fox.vary(2)) == 2
    assert len({str(task.request) for task in sandbox.tasks}) == 1


def test_local_pictures_reach_the_embedded_sandbox(tmp_path: Path) -> None:
    """Files and Pillow images, as a user's own host would serve them."""
    studio = Studio(nb.Settings.load(sandbox="always", home=tmp_path, pictures=tmp_path / "p"))
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    try:
        for reference in (tmp_path / "red.png", str(tmp_path / "red.png"), Image.new("L", (9, 9))):
            made = studio.wait(studio.edit(reference, "brighter"))
            assert made.sandbox
            assert made.path.parent == tmp_path / "p" / "sandbox"
        assert studio.last == made
    finally:
        studio.close()


def bad_requests(tmp_path: Path) -> list[tuple[dict[str, object], str]]:
    (tmp_path / "text.png").write_text("no picture")
    return [
        ({"prompt": ""}, "empty"),
        ({"prompt": "x" * 5001}, "5,001"),
        ({"prompt": "x", "aspect_ratio": "2:7"}, "21:9"),
        ({"prompt": "x", "output_format": "gif"}, "png, jpeg"),
        ({"prompt": "x", "count": 0}, "count is 0"),
        ({"prompt": "x", "count": ASK_ABOVE + 1}, "$0.63"),
        ({"prompt": "x", "image_urls": ["https://e.com/a.png"] * 6}, "1 to 5"),
        ({"prompt": "x", "image_urls": "https://e.com/a.png"}, "list"),
        ({"prompt": "x", "image_urls": ["nowhere.png"]}, "neither a link"),
        ({"prompt": "x", "image_urls": [3]}, "A int is not a picture"),
        ({"prompt": "x", "image_urls": [tmp_path / "text.png"]}, "on this machine"),
    ]


def test_bad_input_is_refused_before_anything_is_sent(
    studio: Studio, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Each in one line; no POST, no row, no file."""
    for arguments, said in bad_requests(tmp_path):
        with pytest.raises(RequestError) as caught:
            studio.wait(studio.generate(**arguments))
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
    assert sandbox.counts["submit"] == 0
    ledger = tmp_path / "home" / "ledger.sqlite3"
    assert not ledger.exists() or rows(tmp_path / "home") == []


def test_a_home_that_cannot_be_written_stops_before_the_post(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """A picture that could not be kept is not bought."""
    (tmp_path / "file").write_text("")
    studio = Studio(settings_for(sandbox.url, tmp_path / "file" / "home"))
    with pytest.raises(errors.ConfigError, match="NANOBANANA_HOME"):
        studio.wait(studio.generate("a fox"))
    assert sandbox.counts["submit"] == 0
    studio.close()


def test_a_script_without_a_key_is_told_how_to_set_one() -> None:
    """Outside IPython nothing falls back to the sandbox by itself."""
    code = "import nanobanana_nb as nb; nb.generate('a fox')"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (
        ended.stderr.strip()
        .splitlines()[-1]
        .startswith(
            "nanobanana_nb.errors.ConfigError: There is no API key. Set the environment variable"
        )
    )


@pytest.mark.parametrize(
    ("fault", "posts", "state"),
    [
        ("429 retry-after=0", 2, "stored"),
        ("502", 2, "stored"),
        ("503", 2, "stored"),
        ("402", 1, "rejected"),
        ("401", 1, "rejected"),
        ("400", 1, "rejected"),
        ("504", 1, "unknown"),
        ("gateway-502", 1, "unknown"),
        ("drop", 1, "unknown"),
    ],
)
def test_a_submit_is_repeated_only_where_it_is_safe(
    studio: Studio, sandbox: Sandbox, tmp_path: Path, fault, posts, state
) -> None:
    """The API's own "I did not take it" is repeated; what may be billed is named and left."""
    sandbox.fail_next(fault)
    (drawn,) = studio.wait(studio.vary(FOX, 1))
    if state == "unknown":
        assert isinstance(drawn.error, errors.SubmitUnknown)
        assert drawn.error.attempt_id == rows(tmp_path / "home", "id")[0][0]
        assert "$0.03" in str(drawn.error)
    assert sandbox.counts["submit"] == posts
    assert rows(tmp_path / "home") == [(state,)]


def test_a_busy_api_is_asked_four_times_and_then_left(studio: Studio, sandbox: Sandbox) -> None:
    """1, 2, 4 s between tries in earnest; then one clear error and nothing billed."""
    for _ in range(9):
        sandbox.fail_next("429 retry-after=0")
    with pytest.raises(errors.RateLimited, match="Slow down"):
        studio.wait(studio.generate("a fox"))
    assert sandbox.counts["submit"] == 4


def test_a_cut_download_is_fetched_again(studio: Studio, sandbox: Sandbox) -> None:
    """The first body is short; the file that is kept is whole."""
    assert studio.wait(studio.generate("[sandbox cut-once] a fox")).pil().size == (1024, 1024)
    assert sandbox.counts["download"] == 2


@pytest.mark.parametrize("fault", ["expired", "cut", "not-image"])
def test_a_paid_picture_that_cannot_be_fetched_stays_known(
    studio: Studio, tmp_path: Path, fault
) -> None:
    """The error names the task and the way to it; the row stays `ready`; no half file."""
    with pytest.raises(errors.DownloadError, match=r"paid for.*nb\.resume\(\)") as caught:
        studio.wait(studio.generate(f"[sandbox {fault}] a fox"))
    ((state, task_id),) = rows(tmp_path / "home", "state, task_id")
    assert state == "ready"
    assert task_id in str(caught.value)
    assert os.listdir(tmp_path / "home" / "pictures") == []


def test_two_results_of_one_task_are_two_pictures(studio: Studio) -> None:
    """Several `resultUrls`: several files, one price."""
    two = studio.wait(studio.generate("[sandbox two] a fox"))
    assert len(two.images) == 2
    assert two.cost == Decimal("0.03")
    assert "2 pictures from one task" in two._repr_mimebundle_()["text/plain"]


def test_resume_brings_home_what_another_studio_left(slow_sandbox: Sandbox, tmp_path: Path) -> None:
    """Nothing is submitted again; the picture of a known task arrives, by name or with the rest."""
    settings = settings_for(slow_sandbox.url, tmp_path / "home", deadline=0.05)
    left = Studio(settings)
    with pytest.raises(errors.WaitTimeout, match=r"nb\.resume\(\)") as caught:
        left.wait(left.generate("a fox"))
    left.close()
    assert rows(tmp_path / "home") == [("parked",)]
    again = Studio(settings_for(slow_sandbox.url, tmp_path / "home"))
    (found,) = again.wait(again.resume())
    assert found.path.exists()
    assert found.task_id == caught.value.task_id
    assert len(again.wait(again.resume())) == 0
    (same,) = again.wait(again.resume(found.task_id))
    assert same.path == found.path
    with pytest.raises(RequestError, match="not in the ledger"):
        again.wait(again.resume("no-such-task"))
    again.close()
    assert slow_sandbox.counts["submit"] == 1


def press_stop_when(sandbox: Sandbox, count: str) -> None:
    """Ctrl-C in this process once the sandbox has seen something."""
    import signal

    def press() -> None:
        deadline = time.monotonic() + 10
        while not sandbox.counts[count] and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()


def test_stop_names_the_task_and_the_picture_arrives_later(
    slow_sandbox: Sandbox, tmp_path: Path
) -> None:
    """No longer waiting is not cancelled: the task goes on and `resume` joins it."""
    studio = Studio(settings_for(slow_sandbox.url, tmp_path / "home"))
    press_stop_when(slow_sandbox, "status")
    with pytest.raises(errors.Stopped, match=r"Task [0-9a-f]{32} goes on \(\$0\.03\).*nb\.resume"):
        studio.wait(studio.generate("a fox"))
    (joined,) = studio.wait(studio.resume())
    assert joined.path.exists()
    assert rows(tmp_path / "home") == [("stored",)]
    assert (slow_sandbox.counts["submit"], slow_sandbox.counts["download"]) == (1, 1)
    studio.close()


def test_stop_never_cuts_a_submit(studio: Studio, sandbox: Sandbox, tmp_path: Path) -> None:
    """The waiter stays until the id of the task that is being paid for is known, and names it."""
    press_stop_when(sandbox, "submit")
    with pytest.raises(errors.Stopped) as caught:
        studio.wait(studio.generate("[sandbox slow-submit=1] a fox"))
    assert sandbox.tasks[0].id in str(caught.value)
    assert rows(tmp_path / "home", "task_id") == [(sandbox.tasks[0].id,)]


def test_stop_drops_what_was_not_sent_yet(slow_sandbox: Sandbox, tmp_path: Path) -> None:
    """Of twenty, those in the queue are dropped for free."""
    slow_sandbox.at_once = AT_ONCE
    studio = Studio(settings_for(slow_sandbox.url, tmp_path / "home"))
    press_stop_when(slow_sandbox, "status")
    with pytest.raises(errors.Stopped):
        studio.wait(studio.generate("a fox", count=20))
    deadline = time.monotonic() + 20
    while {state for (state,) in rows(tmp_path / "home")} - {"stored", "abandoned"}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    states = [state for (state,) in rows(tmp_path / "home")]
    assert states.count("stored") == slow_sandbox.counts["accepted"] < 20
    assert states.count("abandoned") == 20 - slow_sandbox.counts["accepted"]
    studio.close()


def until(condition: Callable[[], object]) -> None:
    """Wait for something that happens in the background."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def waiting(studio: Studio) -> list[str]:
    """The ids of what waits to be sent."""
    page = studio.wait(studio.page(limit=100))
    return [one.id for one in page.generations if one.state == "queued"]


def check_dropped(studio: Studio, own_id: str) -> None:
    """It is `abandoned`, was never accepted, and is said to have cost nothing."""
    row = studio.wait(studio.get(own_id))
    assert (row.state, row.task_id, row.cost) == ("abandoned", "", Decimal(0))
    assert (type(row.error), str(row.error)) == (RequestError, DROPPED)


def test_what_waits_for_a_place_can_be_dropped(tmp_path: Path) -> None:
    """At once, while all places are taken; what is under way is not; no place is lost."""
    with Sandbox(latency=600, at_once=AT_ONCE, reasons=True) as sandbox:
        studio = Studio(settings_for(sandbox.url, tmp_path / "home"))
        under_way = studio.start(studio.gallery("first", count=AT_ONCE))
        until(lambda: sandbox.counts["accepted"] == AT_ONCE)
        one = studio.start(studio.gallery("then"))
        until(lambda: sandbox.counts["refused"] and len(waiting(studio)) == 1)
        two = studio.start(studio.gallery("then", count=2))
        until(lambda: len(waiting(studio)) == 3)
        for own_id in waiting(studio):
            assert studio.wait(studio.drop(own_id)) is True
            assert studio.wait(studio.drop(own_id)) is False
            check_dropped(studio, own_id)
        for gallery in (one.future.result(20), two.future.result(20)):
            assert {str(dropped.error) for dropped in gallery} == {DROPPED}
            assert {dropped.state for dropped in gallery} == {"abandoned"}
        assert not under_way.future.done()
        sent = studio.wait(studio.page()).generations
        assert [studio.wait(studio.drop(one.id)) for one in sent] == [False] * AT_ONCE
        assert not studio.wait(studio.drop("nobody"))
        assert {state for (state,) in rows(tmp_path / "home")} == {"submitted", "abandoned"}
        assert sandbox.counts["accepted"] == AT_ONCE
        studio.close()


def test_what_waits_for_another_try_can_be_dropped(
    studio: Studio, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The API was busy: it is not asked again, and the place is free at once."""
    for _ in range(AT_ONCE):
        sandbox.fail_next("429 retry-after=60")
    job = studio.start(studio.gallery("a fox", count=AT_ONCE))
    until(lambda: sandbox.counts["submit"] and len(waiting(studio)) == AT_ONCE)
    assert isinstance(job.latest, Progress)
    asked = sandbox.counts["submit"]
    for own_id in waiting(studio):
        assert studio.wait(studio.drop(own_id))
        check_dropped(studio, own_id)
    assert {str(one.error) for one in job.future.result(20)} == {DROPPED}
    assert {item.state for item in job.latest.items} == {"abandoned"}
    assert studio._workshop.runner._requests == {}
    assert studio.wait(studio.spending()).ever == 0
    assert sandbox.counts["submit"] == asked


@pytest.mark.parametrize("seed", range(4))
def test_what_is_dropped_is_never_sent(
    studio: Studio, sandbox: Sandbox, tmp_path: Path, seed: int
) -> None:
    """Whenever the drop comes: either it is refused and the picture drawn, or nobody hears of it.

    Every fifth request is told to come again, so that drops also come between two tries.
    """
    chance = random.Random(seed)
    for number in range(40):
        if number % 5 == 0:
            sandbox.fail_next("429 retry-after=0")
    jobs = [studio.start(studio.gallery(f"fox {number}")) for number in range(40)]
    told: dict[str, bool] = {}

    async def drop_some() -> None:
        while not all(job.future.done() for job in jobs):
            page = await studio.page(limit=100)
            ids = [one.id for one in page.generations if one.id not in told]
            for own_id in chance.sample(ids, min(len(ids), 3)):
                told[own_id] = await studio.drop(own_id)
            await asyncio.sleep(chance.random() * 0.02)

    studio.start(drop_some()).future.result(60)
    accepted = {task.prompt for task in sandbox.tasks}
    outcomes = [job.future.result(20)[0] for job in jobs]
    for one in outcomes:
        dropped = told.get(one.id, False)
        assert (str(one.error) == DROPPED) == dropped
        assert (one.prompt in accepted) != dropped
        assert studio.wait(studio.get(one.id)).state == ("abandoned" if dropped else "stored")
    assert 0 < sum(told.values()) < 40
    assert sandbox.counts["accepted"] == 40 - sum(told.values())
    assert studio._workshop.runner._requests == {}


def test_a_ticket_stays_dropped() -> None:
    """Also where nothing was waited for at that moment; a timeout of others is not taken for it."""

    async def main() -> None:
        ticket = Ticket()
        assert await ticket.wait(asyncio.sleep(0, "done")) == "done"
        with pytest.raises(TimeoutError):
            await ticket.wait(asyncio.wait_for(asyncio.sleep(600), 0.001))
        ticket.drop()
        for _ in range(2):
            with pytest.raises(RequestError, match="nothing was billed"):
                await ticket.wait(asyncio.sleep(5))

    asyncio.run(main())


def test_a_job_that_is_let_go_sends_no_more(slow_sandbox: Sandbox, tmp_path: Path) -> None:
    """`start` returns at once; what was sent comes home, what was not is dropped."""
    slow_sandbox.at_once = AT_ONCE
    studio = Studio(settings_for(slow_sandbox.url, tmp_path / "home"))
    job = studio.start(studio.gallery("a fox", count=12))
    until(lambda: slow_sandbox.counts["accepted"] == AT_ONCE)
    job.detached = True
    gallery = job.future.result(20)
    assert len(gallery.images) == slow_sandbox.counts["accepted"] == AT_ONCE
    assert len(gallery.failed) == 4
    studio.close()


def test_the_verbs_work_on_the_studios_own_loop(studio: Studio) -> None:
    """There the coroutines of a panel run: nothing blocks, and one job reports on its drawing."""

    async def panel() -> None:
        before = await studio.version()
        (fox,) = await studio.gallery("a fox")
        dawn = await studio.edit(fox, "at sunrise")
        assert await studio.version() != before
        page = await studio.page("sunrise", limit=1)
        assert ([one.id for one in page.generations], page.total) == ([dawn.id], 1)
        assert await studio.prompts() == ["at sunrise", "a fox"]
        assert (await studio.get(dawn.id)).path == dawn.path
        assert [one.id for one in (await studio.lineage(dawn.id)).parents] == [fox.id]
        assert (await studio.look_at(dawn)).source == dawn.image
        assert (await studio.spending()).today == Decimal("0.06")
        assert await studio.drop(dawn.id) is False
        assert fox.created <= fox.sent <= dawn.sent <= datetime.now(UTC)
        assert fox.sent.tzinfo is not None

    job = studio.start(panel())
    job.future.result(20)
    assert [item.state for item in job.latest.items] == ["stored"]


def test_an_unknown_id_is_told(studio: Studio) -> None:
    """In one line, with where it was looked for."""
    for coroutine in (studio.get("no-such\nid"), studio.lineage("no-such\nid")):
        with pytest.raises(RequestError, match=r"no-such id is not in the ledger of this home"):
            studio.wait(coroutine)


def test_how_long_a_picture_takes_is_known_before_the_first(studio: Studio, tmp_path: Path) -> None:
    """The page's 15 to 20 seconds, and less for the sandbox; asking opens nothing."""
    embedded = Studio(nb.Settings.load(sandbox="always", home=tmp_path / "e"))
    assert (studio.expected, embedded.expected) == (17.5, 2.0)
    assert not (tmp_path / "home").exists()
    embedded.wait(embedded.page())
    assert embedded.expected == 2.0
    embedded.close()


def test_what_waits_is_on_the_page_as_such(tmp_path: Path) -> None:
    """Not as a failure: it says that nothing was billed yet, and has not been sent."""
    with Sandbox(latency=600, at_once=AT_ONCE, reasons=True) as sandbox:
        studio = Studio(settings_for(sandbox.url, tmp_path / "home"))
        studio.start(studio.gallery("a fox", count=AT_ONCE + 1))
        until(lambda: sandbox.counts["refused"] and len(waiting(studio)) == 1)
        (one,) = [g for g in studio.wait(studio.page()).generations if g.state == "queued"]
        assert (one.standing, one.sent, one.cost) == ("queued", None, Decimal(0))
        assert "nothing was billed yet" in repr(one)
        studio.close()


def test_balance_is_told(studio: Studio) -> None:
    """US dollars, after one picture."""
    studio.wait(studio.generate("a fox"))
    assert studio.wait(studio.balance()) == Decimal("9.97")
