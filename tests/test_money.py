"""Money: nothing is paid twice, nothing paid for is lost, and what is in doubt is named."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from nanobanana_nb import RequestError, Sandbox, Settings, Studio, errors
from nanobanana_nb.submitting import Pace

from .conftest import settings_for


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of the `studio` fixture."""
    return tmp_path / "home"


def states(home: Path) -> list[str]:
    """The states of all tasks, oldest first."""
    with sqlite3.connect(home / "ledger.sqlite3") as db:
        found = [state for (state,) in db.execute("SELECT state FROM task ORDER BY rowid")]
    db.close()
    return found


def change(home: Path, sql: str) -> None:
    """Turn the ledger's hands, as time does."""
    with sqlite3.connect(home / "ledger.sqlite3") as db:
        db.execute(sql)
    db.close()


def wait_for(what: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


# What is under way is looked after.


def test_the_first_task_of_an_idle_studio_keeps_its_lease(home: Path) -> None:
    """Otherwise another kernel would take it over, or a submit of it for dead."""
    with Sandbox(latency=60) as api:
        studio = Studio(settings_for(api.url, home))
        studio.wait(studio.spending())  # it is open, and has nothing to look after
        studio.start(studio.generate("a fox"))
        wait_for(lambda: api.counts["status"] > 20)
        assert studio._workshop is not None
        watching = studio._workshop.runner._watching
        assert watching is not None
        assert not watching.done()
        studio.close()


# The queue stops with one message.

REFUSALS = {
    "401": errors.KeyRefused,
    "402": errors.BalanceTooLow,
    "envelope-402": errors.BalanceTooLow,
    "insufficient": errors.BalanceTooLow,
    "403": errors.AccessDenied,
    "INSUFFICIENT_BALANCE": errors.BalanceTooLow,
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_for_all_stops_the_queue(
    studio: Studio, sandbox: Sandbox, refusal: str, home: Path
) -> None:
    """No key, no money or no access: at most those under way are sent, and one message tells it."""
    for _ in range(60):
        sandbox.fail_next(refusal)
    gallery = studio.wait(studio.generate("a fox", count=60, confirm=True))
    assert len(gallery.failed) == 60
    assert all(isinstance(one.error, REFUSALS[refusal]) for one in gallery)
    assert sandbox.counts["submit"] <= 16
    assert repr(gallery).count(str(gallery[0].error)[:40]) == 1
    assert set(states(home)) <= {"rejected", "abandoned", "failed"}
    assert studio.wait(studio.account()).rows[2] == ("Spent today", "$0.00")


def test_the_next_order_is_tried_again(studio: Studio, sandbox: Sandbox) -> None:
    """The balance was topped up, the key exchanged: nobody restarts a kernel for that."""
    sandbox.fail_next("402")
    with pytest.raises(errors.BalanceTooLow):
        studio.wait(studio.generate("a fox"))
    assert studio.wait(studio.generate("a fox")).path.exists()


def test_a_refused_content_stops_only_itself(studio: Studio, sandbox: Sandbox) -> None:
    """403 about content is about one prompt."""
    sandbox.fail_next("content-403")
    gallery = studio.wait(studio.generate("a fox", count=12))
    assert len(gallery.failed) == 1
    assert isinstance(gallery.failed[0].error, errors.ContentRefused)


def test_what_the_api_asks_of_one_submit_it_asks_of_all() -> None:
    """After a 429 nobody sends until it is over, also where the pause grows while one waits."""
    now, slept = [100.0], []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds
        if len(slept) == 1:
            pace.pause(3.0)  # another submit was refused meanwhile

    async def main() -> None:
        await pace.turn()
        pace.pause(2.0)
        pace.pause(1.0)
        await pace.turn()
        await pace.turn()

    pace = Pace(lambda: now[0], sleep)
    asyncio.run(main())
    assert slept == [2.0, 3.0]


def test_a_busy_api_gets_every_request_in_the_end(studio: Studio, sandbox: Sandbox) -> None:
    """Three of sixteen are put off; all are drawn, each billed once."""
    for _ in range(3):
        sandbox.fail_next("429 retry-after=0")
    gallery = studio.wait(studio.generate("a fox", count=16))
    assert len(gallery.images) == sandbox.counts["accepted"] == 16
    assert sandbox.counts["submit"] == 19


# What may have been billed.


def test_what_is_in_doubt_is_shown_counted_and_never_sent_by_itself(
    studio: Studio, sandbox: Sandbox, home: Path
) -> None:
    """An answer that got lost: one POST, a card with price and ways out, in history and account."""
    sandbox.fail_next("drop")
    with pytest.raises(errors.SubmitUnknown, match=r"\$0\.03"):
        studio.wait(studio.generate("a fox"))
    assert sandbox.counts["submit"] == 1
    (doubt,) = studio.wait(studio.history(state="unknown"))
    text = doubt._repr_mimebundle_()["text/plain"]
    assert doubt.id in text
    assert "$0.03" in text
    for way in ("%nanobanana_balance", "%nanobanana_again", "%nanobanana_dismiss"):
        assert way in text
    account = studio.wait(studio.account())
    assert ("In doubt, counted as spent", "$0.03") in account.rows
    studio.close()
    again = Studio(settings_for(sandbox.url, home))
    assert len(again.wait(again.resume())) == 0
    assert sandbox.counts["submit"] == 1
    again.close()


def test_a_person_may_submit_it_again_or_dismiss_it(
    studio: Studio, sandbox: Sandbox, home: Path
) -> None:
    """Only a person does, once; what was dismissed is gone from the doubts, not from the budget."""
    for _ in range(2):
        sandbox.fail_next("drop")
        with pytest.raises(errors.SubmitUnknown):
            studio.wait(studio.generate("a fox"))
    second, first = studio.wait(studio.history(state="unknown"))
    assert first.submit_again().path.exists()
    second.dismiss()
    assert states(home) == ["abandoned", "abandoned", "stored"]
    assert len(studio.wait(studio.history(state="unknown"))) == 0
    assert studio.wait(studio.account()).rows[2] == ("Spent today", "$0.09")
    with pytest.raises(RequestError, match="in doubt"):
        second.dismiss()
    with pytest.raises(RequestError, match="in doubt"):
        first.submit_again()
    assert sandbox.counts["submit"] == 3


def test_what_fails_when_submitted_again_stays_in_doubt(studio: Studio, sandbox: Sandbox) -> None:
    """The first $0.03 are still at risk when the second attempt is refused."""
    sandbox.fail_next("drop")
    with pytest.raises(errors.SubmitUnknown):
        studio.wait(studio.generate("a fox"))
    (doubt,) = studio.wait(studio.history(state="unknown"))
    sandbox.fail_next("402")
    with pytest.raises(errors.BalanceTooLow):
        doubt.submit_again()
    assert [one.id for one in studio.wait(studio.history(state="unknown"))] == [doubt.id]


def test_a_studio_that_ends_while_it_submits_leaves_no_riddle(
    studio: Studio, sandbox: Sandbox, home: Path
) -> None:
    """The interpreter ends while the POST is out: the attempt is `unknown`, not forgotten."""
    sandbox.fail_next("slow-submit=5")
    job = studio._portal.start(studio.generate("a fox"))
    wait_for(lambda: sandbox.counts["submit"] == 1)
    studio.close()
    assert job.future.done()
    assert states(home) == ["unknown"]


def test_an_unexpected_exception_leaves_the_attempt_in_doubt(
    studio: Studio, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of ours while the POST may be out must not look like "nothing was sent"."""
    from nanobanana_nb import client

    def breaks(*_: object, **__: object) -> None:
        raise MemoryError("out of memory")

    monkeypatch.setattr(client.protocol, "read_submit", breaks)
    gallery = studio.wait(studio.generate("a fox", count=2))
    assert [type(one.error) for one in gallery] == [errors.SubmitUnknown] * 2
    assert [one.error.attempt_id for one in gallery] == [one.id for one in gallery]
    assert states(home) == ["unknown", "unknown"]


# Tries again that cost.


def test_a_failed_task_is_drawn_again_only_when_asked_to(
    studio: Studio, sandbox: Sandbox, home: Path
) -> None:
    """UPSTREAM_ERROR is not repeated by itself; `task_retries` opts in, and its price is told."""
    sandbox.fail_next("UPSTREAM_ERROR")
    with pytest.raises(errors.TaskFailed, match=r"UPSTREAM_ERROR.*\$0\.03"):
        studio.wait(studio.generate("a fox"))
    assert sandbox.counts["submit"] == 1
    sandbox.fail_next("TIMEOUT")
    drawn = studio.wait(studio.generate("a fox", task_retries=1))
    assert (drawn.path.exists(), drawn.cost) == (True, Decimal("0.06"))
    for _ in range(3):
        sandbox.fail_next("UPSTREAM_ERROR")
    with pytest.raises(errors.TaskFailed):
        studio.wait(studio.generate("a fox", task_retries=2))
    assert sandbox.counts["submit"] == 6
    sandbox.fail_next("CONTENT_VIOLATION")
    with pytest.raises(errors.ContentRefused):
        studio.wait(studio.generate("a fox", task_retries=5))
    assert sandbox.counts["submit"] == 7


# The budget.


def test_no_more_than_the_budget_is_sent(sandbox: Sandbox, home: Path) -> None:
    """Room for ten of fifty: ten are drawn, the rest say why not; `confirm` does not lift it."""
    studio = Studio(settings_for(sandbox.url, home, budget="0.30"))
    gallery = studio.wait(studio.generate("a fox", count=50, confirm=True))
    assert len(gallery.images) == sandbox.counts["submit"] == 10
    assert all(isinstance(one.error, errors.BudgetReached) for one in gallery.failed)
    assert "40 not drawn" in repr(gallery)
    assert "of $0.30" in dict(studio.wait(studio.account()).rows)["Spent today"]
    studio.budget = "0.33"
    assert studio.wait(studio.generate("one more")).path.exists()
    studio.close()


_CLICKS = """
import asyncio, sys
from pathlib import Path
import nanobanana_nb as nb

async def main():
    home = Path(sys.argv[2])
    settings = nb.Settings.load(base_url=sys.argv[1], api_key="test-key", home=home,
        pictures=home / "pictures", first_poll=0.0, poll_interval=0.02, budget="0.30")
    async with nb.Studio(settings) as studio:
        drawing = (studio.generate(f"{sys.argv[3]} {number}") for number in range(25))
        for result in await asyncio.gather(*drawing, return_exceptions=True):
            print(type(result).__name__)

asyncio.run(main())
"""


def test_the_budget_holds_across_kernels(sandbox: Sandbox, home: Path) -> None:
    """Fifty clicks from two processes at once, with room for ten: exactly ten are sent."""
    command = [sys.executable, "-c", _CLICKS, sandbox.url, str(home)]
    running = [
        subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "ab"
    ]
    said = "".join(process.communicate(timeout=120)[0] for process in running).split()
    assert (said.count("Generation"), said.count("BudgetReached")) == (10, 40)
    assert sandbox.counts["submit"] == sandbox.counts["accepted"] == 10


@pytest.mark.parametrize("budget", ["lots", "-1", "nan"])
def test_a_budget_that_is_none_is_refused(budget: str) -> None:
    """A cap that was misread would not be one."""
    with pytest.raises(errors.ConfigError, match="NANOBANANA_BUDGET"):
        Settings(budget=budget)


def test_the_budget_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As people write it."""
    monkeypatch.setenv("NANOBANANA_BUDGET", "$2.50")
    assert Settings.load().budget == Decimal("2.50")


# The way home.


def test_two_studios_fetch_a_picture_once(slow_sandbox: Sandbox, home: Path) -> None:
    """Two kernels of one home resume the same task: one download, one file, both show it."""
    settings = settings_for(slow_sandbox.url, home, deadline=0.05)
    left = Studio(settings)
    with pytest.raises(errors.WaitTimeout):
        left.wait(left.generate("a fox"))
    left.close()
    studios = [Studio(settings_for(slow_sandbox.url, home)) for _ in range(2)]
    jobs = [studio._portal.start(studio.resume()) for studio in studios]
    found = [job.future.result(30)[0] for job in jobs]
    assert found[0].path == found[1].path
    assert len(list((home / "pictures").glob("*.png"))) == 1
    assert slow_sandbox.counts["download"] == 1
    for studio in studios:
        studio.close()


def test_what_an_ended_kernel_left_comes_home_by_itself(slow_sandbox: Sandbox, home: Path) -> None:
    """A studio that starts looks after it in the background, and says so once when asked."""
    left = Studio(settings_for(slow_sandbox.url, home))
    left._portal.start(left.generate("a fox"))
    wait_for(lambda: slow_sandbox.counts["accepted"] == 1 and "submitted" in states(home))
    left.close()
    next_one = Studio(settings_for(slow_sandbox.url, home))
    next_one.recover()
    wait_for(lambda: states(home) == ["stored"])
    wait_for(lambda: "1 picture" in (told := next_one.news()) and "came back" in told)
    assert next_one.news() == ""
    next_one.close()
    assert slow_sandbox.counts["submit"] == 1


def test_a_task_of_another_machine_is_collected_by_its_id(
    sandbox: Sandbox, studio: Studio, tmp_path: Path
) -> None:
    """The id from a cell's output, the same key, an empty home: the picture comes, unpaid anew."""
    fox = studio.wait(studio.generate("a fox"))
    elsewhere = Studio(settings_for(sandbox.url, tmp_path / "elsewhere"))
    (same,) = elsewhere.wait(elsewhere.resume(fox.task_id))
    assert same.image.sha256 == fox.image.sha256
    assert elsewhere.wait(elsewhere.account()).rows[3] == ("Spent by this home", "$0.00")
    elsewhere.close()


def test_a_task_past_its_deadline_is_parked_and_still_looked_after(
    slow_sandbox: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waiting ends; the task does not, nor our looking after it."""
    monkeypatch.setattr("nanobanana_nb.tasks.PARKED_CHECKS", (0.1,) * 50)
    studio = Studio(settings_for(slow_sandbox.url, home, deadline=0.05))
    with pytest.raises(errors.WaitTimeout):
        studio.wait(studio.generate("a fox"))
    wait_for(lambda: states(home) == ["stored"])
    studio.close()


def test_dead_links_are_asked_for_anew_and_then_called_gone(
    studio: Studio, sandbox: Sandbox, home: Path
) -> None:
    """Within a day the row waits for a fresh link; after it, it is said plainly what is gone."""
    with pytest.raises(errors.DownloadError, match="not on disk yet"):
        studio.wait(studio.generate("[sandbox expired] a fox"))
    assert states(home) == ["ready"]
    change(home, "UPDATE task SET sent = sent - 90000, created = created - 90000")
    (gone,) = studio.wait(studio.resume())
    assert isinstance(gone.error, errors.DownloadError)
    assert "gone" in str(gone.error)
    assert states(home) == ["expired"]
    assert len(studio.wait(studio.resume())) == 0
    assert sandbox.counts["submit"] == 1


def test_a_picture_that_was_put_on_disk_is_not_fetched_again(
    studio: Studio, sandbox: Sandbox, home: Path
) -> None:
    """Killed between the file and the ledger: the next start notes the file that is there."""
    fox = studio.wait(studio.generate("a fox"))
    studio.close()
    change(home, "UPDATE task SET state = 'fetching', lease = NULL")
    change(home, "UPDATE picture SET file = NULL, sha256 = NULL")
    again = Studio(settings_for(sandbox.url, home))
    (same,) = again.wait(again.resume())
    assert same.path == fox.path
    assert sandbox.counts["download"] == 1
    assert len(list((home / "pictures").glob("*.png"))) == 1
    again.close()


# The disk.


def test_a_picture_that_has_no_place_is_shown_all_the_same(
    studio: Studio, sandbox: Sandbox, home: Path
) -> None:
    """The folder takes no more: kept elsewhere, shown with a warning, put in place later."""
    studio.wait(studio.generate("first"))
    (home / "pictures").rename(home / "away")
    (home / "pictures").write_text("in the way")
    fox = studio.wait(studio.generate("a fox"))
    assert fox.pil().size == (1024, 1024)
    assert "for now" in fox.warning
    assert fox.warning.split(";")[0] in repr(fox) or "for now" in str(fox._repr_mimebundle_())
    assert states(home) == ["stored", "ready"]
    (home / "pictures").unlink()
    (home / "away").rename(home / "pictures")
    (moved,) = studio.wait(studio.resume())
    assert moved.path.parent == home / "pictures"
    assert states(home) == ["stored", "stored"]
    assert sandbox.counts["download"] == 2


def test_without_room_nothing_is_sent(
    studio: Studio, sandbox: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk costs a line, not $0.03."""
    studio.wait(studio.generate("first"))
    monkeypatch.setattr("nanobanana_nb.pictures.MIN_FREE", 1 << 60)
    monkeypatch.setattr("nanobanana_nb.pictures.check_room.__defaults__", (1 << 60,))
    with pytest.raises(errors.ConfigError, match="nothing was sent"):
        studio.wait(studio.generate("a fox"))
    assert sandbox.counts["submit"] == 1
    assert states(home) == ["stored", "abandoned"]


def test_a_ledger_that_takes_nothing_lets_nothing_be_sent(
    studio: Studio, sandbox: Sandbox, home: Path
) -> None:
    """The intent must be on disk before the POST; here the disk refuses it."""
    studio.wait(studio.generate("first"))
    change(home, "CREATE TRIGGER full BEFORE INSERT ON task BEGIN SELECT RAISE(FAIL, 'full'); END")
    with pytest.raises(errors.LedgerError, match="nothing is sent"):
        studio.wait(studio.generate("a fox"))
    change(home, "DROP TRIGGER full")
    sql = "CREATE TRIGGER full BEFORE UPDATE ON task WHEN new.state = 'sending' "
    change(home, sql + "BEGIN SELECT RAISE(FAIL, 'full'); END")
    with pytest.raises(errors.LedgerError, match="nothing is sent"):
        studio.wait(studio.generate("a fox"))
    assert sandbox.counts["submit"] == 1


def test_an_id_that_cannot_be_noted_is_told(studio: Studio, sandbox: Sandbox, home: Path) -> None:
    """Paid for, and the disk is full just then: the person gets the id, and it works later."""
    studio.wait(studio.generate("first"))
    sql = "CREATE TRIGGER full BEFORE UPDATE ON task WHEN new.state = 'submitted' "
    change(home, sql + "BEGIN SELECT RAISE(FAIL, 'full'); END")
    with pytest.raises(errors.LedgerError, match=r"is paid for; keep this id") as caught:
        studio.wait(studio.generate("a fox"))
    change(home, "DROP TRIGGER full")
    task_id = str(caught.value).split()[1]
    (fox,) = studio.wait(studio.resume(task_id))
    assert fox.path.exists()
    assert sandbox.counts["submit"] == 2


# The history.


def test_the_history_can_be_searched_and_gone_on_from(studio: Studio, sandbox: Sandbox) -> None:
    """What was drawn is found by its words, starred, noted, edited and varied."""
    for prompt in ("a red fox", "an owl", "a fox at night"):
        studio.wait(studio.generate(prompt))
    found = studio.wait(studio.history("fox"))
    assert [one.prompt for one in found] == ["a fox at night", "a red fox"]
    found[1].star().note("for the poster")
    (starred,) = studio.wait(studio.history(starred=True))
    assert (starred.prompt, starred.remark) == ("a red fox", "for the poster")
    assert len(studio.wait(studio.history("poster"))) == 1
    assert len(studio.wait(studio.history(since="2999-01-01"))) == 0
    with pytest.raises(RequestError, match="since"):
        studio.wait(studio.history(since="yesterday"))
    assert starred.edit("in snow").path.exists()
    assert len(starred.vary(2).images) == 2
    table = studio.wait(studio.history()).to_pandas()
    assert len(table) == 6
    assert set(table["state"]) == {"stored"}


def test_the_account_tells_where_the_money_went(studio: Studio, sandbox: Sandbox) -> None:
    """Balance, spending, and whether they agree, also when somebody else spends."""
    assert "compares" in studio.wait(studio.account()).remarks[-1]
    studio.wait(studio.generate("a fox"))
    account = studio.wait(studio.account())
    assert account.balance == Decimal("9.97")
    assert dict(account.rows)["Spent in this session"] == "$0.03"
    assert "agrees" in account.remarks[-1]
    sandbox.fail_next("drop")
    with pytest.raises(errors.SubmitUnknown):
        studio.wait(studio.generate("in doubt"))
    assert "1 of the 1 in doubt" in studio.wait(studio.account()).remarks[-1]


@pytest.mark.parametrize(("fault", "billed"), [("drop", 1), ("gateway-502", 0)])
def test_a_doubt_can_be_settled_by_the_balance(
    studio: Studio, sandbox: Sandbox, home: Path, fault: str, billed: int
) -> None:
    """The balance was noted once, after the first picture, so that the first look already tells,
    and the second tells the same."""
    studio.wait(studio.generate("a fox"))
    wait_for(lambda: sandbox.counts["balance"] == 1)
    studio.wait(studio.generate("another fox"))
    sandbox.fail_next(fault)
    with pytest.raises(errors.SubmitUnknown):
        studio.wait(studio.generate("lost"))
    for _ in range(2):
        told = studio.wait(studio.account()).remarks[-1]
        assert f"accounts for {billed} of the 1 in doubt as billed" in told
    assert sandbox.counts["balance"] == 3


def test_a_task_that_waited_its_turn_is_not_old_when_it_is_sent(home: Path) -> None:
    """Its age counts from the submit: one look each, at the time when it is done."""
    with Sandbox(latency=0.3, at_once=1, reasons=True) as api:
        studio = Studio(settings_for(api.url, home, first_poll=0.8, poll_interval=0.05))
        assert not studio.wait(studio.generate("a fox", count=3)).failed
        studio.close()
        assert api.counts["status"] == 3


def test_a_new_sandbox_is_not_a_top_up(home: Path) -> None:
    """Each embedded sandbox begins anew with $10; that is no disagreement to worry about."""
    settings = Settings.load(home=home, pictures=home / "pictures", sandbox="always")
    for _ in range(2):
        studio = Studio(settings)
        studio.wait(studio.generate("a fox"))
        account = studio.wait(studio.account())
        studio.close()
    assert account.balance == Decimal("9.97")
    assert not [said for said in account.remarks if "top-up" in said]
