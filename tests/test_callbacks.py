"""Callback mode in the client: callbacks are hints that wake, bring back what was lost, and can
change nothing else. What the receiver would note is noted here in a ledger of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from nanobanana_nb import Client, Sandbox, Studio, callbacks, errors, rhythm, webhook
from nanobanana_nb.callbacks import Callbacks
from nanobanana_nb.hints import KEPT
from nanobanana_nb.ledger import Ledger
from nanobanana_nb.models import ImageRequest
from nanobanana_nb.rhythm import Rhythms
from nanobanana_nb.rows import Account, TaskRow
from nanobanana_nb.tokens import CHECK, mint, read

from .conftest import settings_for
from .test_client import reply, serving
from .test_money import states, wait_for

HERE = "http://127.0.0.1:9"
"""A receiver's address at which nobody listens: the tests note the callbacks themselves."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def called(sandbox: Sandbox, home: Path) -> Iterator[Studio]:
    """A studio in callback mode; what looks at its tasks without a callback is the net."""
    made = in_callback_mode(sandbox.url, home)
    yield made
    made.close()


def in_callback_mode(url: str, home: Path, **more: Any) -> Studio:
    unfixed = {"first_poll": None, "poll_interval": None, "callback_url": HERE}
    return Studio(settings_for(url, home, **(unfixed | more)))


def note(home: Path, id_: str, task_id: str) -> bool:
    """What the receiver does with a callback."""
    ledger = Ledger(home / "ledger.sqlite3")
    try:
        return asyncio.run(ledger.called(id_, task_id))
    finally:
        ledger.close()


def attempts(home: Path) -> list[tuple[str, str]]:
    """Id and state of all attempts, oldest first."""
    with sqlite3.connect(home / "ledger.sqlite3") as db:
        found = db.execute("SELECT id, state FROM task ORDER BY rowid").fetchall()
    db.close()
    return found


def start(studio: Studio, prompt: str) -> Any:
    return studio.start(studio.generate(prompt))


def sent(home: Path, sandbox: Sandbox, state: str = "submitted", number: int = 1) -> str:
    """The id of the latest attempt, once the API has its task and we know that it is so."""
    wait_for(lambda: sandbox.counts["accepted"] == number)
    wait_for(lambda: [s for _, s in attempts(home)][number - 1 :] == [state])
    return attempts(home)[-1][0]


# Tokens.


@pytest.mark.parametrize("attempt", ["a1b2c3d4", CHECK])
def test_a_token_is_read_only_with_the_secret_that_made_it(attempt: str) -> None:
    """Whoever does not know the home's secret cannot make an address that is listened to."""
    token = mint("secret", attempt)
    assert read("secret", token) == attempt
    wrong = [token[:-1], token + "0", token.upper(), mint("other", attempt), "b" + token[1:]]
    wrong += ["", "-", attempt, f"{attempt}-", "é-" + token[9:], "\ud800", "-" * 5000]
    assert [read("secret", one) for one in wrong] == [None] * len(wrong)


def test_each_home_has_a_secret_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    """Otherwise the addresses of one home would be listened to by all, or by none tomorrow."""

    def secret(name: str) -> str:
        ledger = Ledger(tmp_path / name)
        try:
            return asyncio.run(ledger.receiver_secret())
        finally:
            ledger.close()

    assert secret("a") == secret("a") != secret("b")
    assert len(secret("a")) == 64


# What the ledger notes.


def test_of_many_callbacks_for_an_attempt_the_first_few_are_kept(tmp_path: Path) -> None:
    """The same one again adds nothing, a flood of different ones little, and a stranger nothing."""

    async def flooded() -> list[str]:
        ledger, account = Ledger(tmp_path / "ledger"), Account("https://api.example.com")
        row = await ledger.add(ImageRequest("a fox", "1:1", "png"), account)
        await ledger.send(row.id)
        for task_id in ["true", *["true"] * 100, *(f"forged{n}" for n in range(50))]:
            assert await ledger.called(row.id, task_id)
        assert not await ledger.called("nobody", "true")
        kept = [one.task_id for one in await ledger.callbacks(account)]
        ledger.close()
        return kept

    assert asyncio.run(flooded()) == ["true", *(f"forged{n}" for n in range(KEPT - 1))]


# A callback wakes who waits.


def test_the_api_is_asked_to_call_at_an_address_of_the_attempt(
    called: Studio, sandbox: Sandbox, home: Path
) -> None:
    """Its token is what ties a billed task to our attempt, whatever becomes of the answer."""
    job = start(called, "a fox")
    id_ = sent(home, sandbox)
    body = sandbox.tasks[0].request
    assert body["request_type"] == "callback"
    base, _, token = body["callback_url"].rpartition("/")
    assert base == HERE
    assert token.startswith(f"{id_}-")
    assert len(token) == len(id_) + 65
    note(home, id_, sandbox.tasks[0].id)
    assert job.future.result(30).path.exists()


def test_a_task_is_looked_at_when_its_callback_comes(
    called: Studio, sandbox: Sandbox, home: Path
) -> None:
    """Once, and not before: that is what the mode is for."""
    for number in (1, 2):
        job = start(called, f"fox {number}")
        note(home, sent(home, sandbox, number=number), sandbox.tasks[-1].id)
        assert job.future.result(30).error is None
    assert sandbox.counts["status"] == sandbox.counts["submit"] == 2


def test_a_callback_before_the_answer_to_the_submit_counts(
    called: Studio, sandbox: Sandbox, home: Path
) -> None:
    """The API may be quicker to call than to answer."""
    job = start(called, "[sandbox slow-submit=1] a fox")
    note(home, sent(home, sandbox, "sending"), sandbox.tasks[0].id)
    assert job.future.result(30).task_id == sandbox.tasks[0].id
    assert (sandbox.counts["submit"], sandbox.counts["status"]) == (1, 1)


def test_a_callback_too_early_or_forged_ends_nothing(
    slow_sandbox: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task is asked about, is found to be running, and is waited for as ever."""
    studio = in_callback_mode(slow_sandbox.url, home)
    job = start(studio, "a fox")
    id_ = sent(home, slow_sandbox)
    assert note(home, id_, "forged")
    wait_for(lambda: slow_sandbox.counts["status"] >= 1)
    assert not job.future.done()
    wait_for(lambda: note(home, id_, slow_sandbox.tasks[0].id))
    assert job.future.result(60).task_id == slow_sandbox.tasks[0].id
    assert states(home) == ["stored"]
    studio.close()


def test_without_a_callback_the_net_finds_the_picture(
    slow_sandbox: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that is down delays a picture, loses none, and is not relied on until the next
    callback comes."""
    monkeypatch.setattr(rhythm, "NET_FIRST", 0.3)
    monkeypatch.setattr(rhythm, "NET_EVERY", 0.1)
    monkeypatch.setattr(rhythm.Rhythms, "expected", lambda *_: 0.1)
    studio = in_callback_mode(slow_sandbox.url, home)
    assert studio.wait(studio.generate("a fox")).path.exists()
    assert studio._workshop is not None
    rhythms = studio._workshop.rhythms
    assert not rhythms.callbacks_come
    job = start(studio, "[sandbox slow] an owl")
    note(home, sent(home, slow_sandbox, number=2), slow_sandbox.tasks[-1].id)
    wait_for(lambda: rhythms.callbacks_come)
    assert job.future.result(60).path.exists()
    studio.close()


def test_a_schedule_that_was_asked_for_is_kept(sandbox: Sandbox, home: Path) -> None:
    """`NANOBANANA_FIRST_POLL` says when to look, callbacks or not."""
    studio = Studio(settings_for(sandbox.url, home, callback_url=HERE))
    assert studio.wait(studio.generate("a fox")).path.exists()
    studio.close()


def test_the_offline_sandbox_is_not_asked_to_call(home: Path) -> None:
    """It is in the same process, and the address is for the API alone."""
    from nanobanana_nb import Settings

    url = "https://hooks.example.com"
    studio = Studio(Settings(home=home, pictures=home, sandbox="always", callback_url=url))
    assert studio.wait(studio.generate("a fox")).path.exists()
    assert studio._workshop is not None
    assert studio._workshop._sandbox is not None
    assert studio._workshop._sandbox.tasks[0].request["request_type"] == "async"
    studio.close()


# A callback brings back what was lost.


@pytest.mark.parametrize("fault", ["drop", "slow-submit=30"])
def test_a_lost_answer_is_made_up_for_by_the_callback(
    sandbox: Sandbox, home: Path, fault: str
) -> None:
    """Whoever waits gets an ordinary picture; it was paid for once."""
    studio = in_callback_mode(sandbox.url, home, timeout=0.5)
    job = start(studio, f"[sandbox {fault}] a fox")
    note(home, sent(home, sandbox, "unknown"), sandbox.tasks[0].id)
    fox = job.future.result(30)
    assert (fox.error, fox.task_id) == (None, sandbox.tasks[0].id)
    assert fox.path.exists()
    assert sandbox.counts["submit"] == 1
    spent = studio.wait(studio.spending())
    assert (spent.unknown, str(spent.today)) == (0, "0.03")
    studio.close()


def in_doubt(sandbox: Sandbox, home: Path) -> str:
    """The id of an attempt that was billed, and whose answer an ended studio has lost."""
    studio = Studio(settings_for(sandbox.url, home))
    with pytest.raises(errors.SubmitUnknown):
        studio.wait(studio.generate("[sandbox drop] a fox"))
    studio.close()
    return attempts(home)[-1][0]


def test_a_callback_that_comes_later_is_news(sandbox: Sandbox, home: Path) -> None:
    """Nobody waits any more: the picture comes home in the background, and is told of."""
    id_ = in_doubt(sandbox, home)
    studio = in_callback_mode(sandbox.url, home)
    studio.recover()
    note(home, id_, sandbox.tasks[0].id)
    wait_for(lambda: states(home) == ["stored"])
    wait_for(lambda: "1 picture that was sent earlier came back" in studio.news())
    assert sandbox.counts["submit"] == 1
    studio.close()


def test_resume_shows_what_a_callback_has_found_again(sandbox: Sandbox, home: Path) -> None:
    """Also in a kernel that knows nothing of callbacks."""
    note(home, in_doubt(sandbox, home), sandbox.tasks[0].id)
    studio = Studio(settings_for(sandbox.url, home))
    [fox] = studio.wait(studio.resume())
    assert (fox.error, fox.task_id) == (None, sandbox.tasks[0].id)
    assert sandbox.counts["submit"] == 1
    studio.close()


def test_a_callback_that_the_api_does_not_confirm_settles_nothing(
    sandbox: Sandbox, home: Path
) -> None:
    """A forged id is asked about and not believed; nor is that of a task of another attempt."""
    studio = Studio(settings_for(sandbox.url, home))
    owl = studio.wait(studio.generate("an owl"))
    studio.close()
    id_ = in_doubt(sandbox, home)
    note(home, id_, "forged")
    note(home, id_, owl.task_id)
    studio = Studio(settings_for(sandbox.url, home))
    asked = sandbox.counts["status"]
    assert not studio.wait(studio.resume())
    assert sandbox.counts["status"] > asked
    assert states(home) == ["stored", "unknown"]
    studio.close()


def test_a_task_that_two_callbacks_claim_is_that_of_the_first(sandbox: Sandbox, home: Path) -> None:
    """Whoever forges a callback knows a task's id only once its own has come: it neither gets the
    task nor keeps it from whom it belongs to."""
    mine, other = in_doubt(sandbox, home), in_doubt(sandbox, home)
    note(home, mine, sandbox.tasks[0].id)
    note(home, other, sandbox.tasks[0].id)
    studio = Studio(settings_for(sandbox.url, home))
    [fox] = studio.wait(studio.resume())
    assert fox.id == mine
    owl = studio.wait(studio.generate("an owl"))
    note(home, owl.id, sandbox.tasks[1].id)
    note(home, other, sandbox.tasks[1].id)
    [fox] = studio.wait(studio.resume())
    assert (fox.id, fox.task_id) == (other, sandbox.tasks[1].id)
    assert states(home) == ["stored"] * 3
    studio.close()


def test_where_looks_are_quicker_than_callbacks_a_lost_submit_is_waited_for(
    sandbox: Sandbox, home: Path
) -> None:
    """With a schedule that was asked for, that no callback was needed says nothing of them."""
    studio = Studio(settings_for(sandbox.url, home, callback_url=HERE))
    studio.wait(studio.generate("an owl"))
    job = start(studio, "[sandbox drop] a fox")
    note(home, sent(home, sandbox, "unknown", number=2), sandbox.tasks[1].id)
    assert job.future.result(30).path.exists()
    studio.close()


def test_a_task_that_the_api_said_it_had_not_taken_is_found(sandbox: Sandbox, home: Path) -> None:
    """It answered 502 and yet billed: its callback says so, and the picture comes home like any
    other, counted as spent."""
    studio = in_callback_mode(sandbox.url, home, first_poll=0.0, poll_interval=0.02)
    for refused in ("[sandbox 400] a fox", "a fox"):
        with contextlib.suppress(errors.APIError):
            studio.wait(studio.generate(refused))
    assert states(home) == ["rejected", "stored"]
    first, second = (id_ for id_, _ in attempts(home))
    billed = [posted(sandbox, prompt) for prompt in ("a fox", "an owl")]
    note(home, first, billed[0])  # of an attempt that counts as refused
    note(home, second, billed[1])  # of one that has its picture: a second one was made
    wait_for(lambda: states(home) == ["stored"] * 3)
    assert sandbox.counts["submit"] == 4
    drawn = studio.wait(studio.history())
    assert {one.task_id for one in drawn} >= set(billed)
    assert str(studio.wait(studio.spending()).today) == "0.09"
    assert "2 pictures that were sent earlier came back" in studio.news()
    studio.close()


def posted(sandbox: Sandbox, prompt: str) -> str:
    """The id of a task that was made without our knowing."""

    async def main() -> str:
        async with Client("key", base_url=sandbox.url) as api:
            return await api.submit(ImageRequest(prompt, "1:1", "png"))

    return asyncio.run(main())


def test_a_dismissed_attempt_that_was_billed_comes_home(sandbox: Sandbox, home: Path) -> None:
    """Whoever dismissed it took it for lost; it was paid for, and here it is."""
    id_ = in_doubt(sandbox, home)
    studio = in_callback_mode(sandbox.url, home)
    studio.wait(studio.dismiss(id_))
    note(home, id_, sandbox.tasks[0].id)
    wait_for(lambda: states(home) == ["stored"])
    studio.close()


def test_an_attempt_is_not_paid_again_while_its_callback_may_come(
    sandbox: Sandbox, home: Path
) -> None:
    """Nor once it has come: a person who presses "submit again" would pay for two."""
    studio = in_callback_mode(sandbox.url, home)
    job = start(studio, "[sandbox drop] a fox")
    id_ = sent(home, sandbox, "unknown")
    wait_for(lambda: studio._workshop is not None and studio._workshop.callbacks.awaits(id_))
    [item] = job.latest.items  # it is still waited for, and the cell says what for
    assert (item.state, item.note) == (
        "sending",
        "its answer was lost; its callback may bring it",
    )
    with pytest.raises(errors.RequestError, match="waits for its callback"):
        studio.wait(studio.submit_again(id_))
    note(home, id_, sandbox.tasks[0].id)
    assert job.future.result(30).path.exists()
    with pytest.raises(errors.RequestError, match="no attempt"):
        studio.wait(studio.submit_again(id_))
    assert sandbox.counts["submit"] == 1
    studio.close()


def test_a_lost_task_that_is_asked_for_by_its_id_is_that_attempt(
    sandbox: Sandbox, home: Path
) -> None:
    """With its prompt, and no longer in doubt; not a stranger's."""
    id_ = in_doubt(sandbox, home)
    note(home, id_, sandbox.tasks[0].id)
    studio = Studio(settings_for(sandbox.url, home))
    [fox] = studio.wait(studio.resume(sandbox.tasks[0].id))
    assert (fox.id, fox.prompt) == (id_, "[sandbox drop] a fox")
    assert states(home) == ["stored"]
    studio.close()


@pytest.mark.parametrize("answer", ["null-data", "another"])
def test_only_an_answer_about_the_very_task_confirms_it(home: Path, answer: str) -> None:
    """An API that answers 200 to anything does not make a forged callback true."""
    told = {"taskId": "another", "state": "success"} if answer == "another" else None
    body = json.dumps({"code": 200, "message": "success", "data": told}).encode()

    async def main() -> bool:
        async with Client("key", base_url=url) as api:
            return await api.knows("forged")

    with serving(lambda handler: reply(handler, 200, body, {})) as url:
        assert not asyncio.run(main())


def test_what_was_sent_before_callbacks_is_looked_at_as_ever(
    slow_sandbox: Sandbox, home: Path
) -> None:
    """No callback will come for it: neither does it wait for one, nor does that say anything."""
    before = Studio(settings_for(slow_sandbox.url, home))
    start(before, "[sandbox slow] a fox")
    sent(home, slow_sandbox)
    before.close()
    studio = in_callback_mode(slow_sandbox.url, home)
    studio.wait(studio.spending())
    assert studio._workshop is not None
    workshop = studio._workshop
    wait_for(lambda: bool(workshop.callbacks._bells))
    assert not any(bell.relied_on for bell in workshop.callbacks._bells.values())
    assert workshop.rhythms.callbacks_come
    studio.close()


def test_an_id_that_the_api_cannot_take_is_settled(sandbox: Sandbox, home: Path) -> None:
    """It says 400, or 404 every time: a forger's id is asked about a few times and no more."""
    id_ = in_doubt(sandbox, home)
    note(home, id_, "forged")
    ledger, account = Ledger(home / "ledger.sqlite3"), Account(sandbox.url, "any")

    async def settled() -> list[str]:
        async with Client("key", base_url=sandbox.url) as api:
            asking = Callbacks("", api, ledger, Rhythms(api, ledger, account), account)
            await asking.look()
            while asking.awaits(id_):
                await asyncio.sleep(0.05)
            return [one.task_id for one in await ledger.callbacks(account)]

    with sqlite3.connect(home / "ledger.sqlite3") as db:
        db.execute("UPDATE task SET account = 'any'")
    db.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "TRIES", 3)
        assert asyncio.run(settled()) == []
    ledger.close()


async def found_by_its_callback(ledger: Ledger, account: Account) -> TaskRow:
    """An attempt that was in doubt until a callback named its task, "true"."""
    row = await ledger.add(ImageRequest("a fox", "1:1", "png"), account)
    await ledger.send(row.id)
    await ledger.move(row.id, "unknown")
    await ledger.called(row.id, "true")
    [callback] = await ledger.callbacks(account)
    found = await ledger.found(callback)
    assert found is not None
    return found


def test_what_was_found_meanwhile_is_not_dismissed(tmp_path: Path) -> None:
    """A person dismisses an attempt in the very moment in which its callback is confirmed."""

    async def main() -> str:
        ledger, account = Ledger(tmp_path / "ledger"), Account("https://api.example.com")
        row = await found_by_its_callback(ledger, account)
        assert not await ledger.dismiss(row.id)
        assert (await ledger.adopt("true", ImageRequest("?"), account)).id == row.id
        found = await ledger.get(row.id)
        ledger.close()
        assert found is not None
        return found.state

    assert asyncio.run(main()) == "submitted"


def test_the_answer_to_a_submit_that_its_callback_overtook_is_no_error(tmp_path: Path) -> None:
    """Another kernel took us for dead, a callback told of the task, and then the answer comes."""

    async def main() -> str:
        ledger, account = Ledger(tmp_path / "ledger"), Account("https://api.example.com")
        row = await found_by_its_callback(ledger, account)
        await ledger.accepted(row.id, "true")
        with pytest.raises(errors.LedgerError):
            await ledger.accepted(row.id, "another")
        found = await ledger.get(row.id)
        ledger.close()
        assert found is not None
        return f"{found.state} {found.task_id}"

    assert asyncio.run(main()) == "submitted true"


def test_what_is_looked_after_here_and_by_nobody_is_begun(studio: Studio, sandbox: Sandbox) -> None:
    """A ledger that was locked at the wrong moment must not strand a paid task."""
    studio.wait(studio.generate("an owl"))
    assert studio._workshop is not None
    ledger, account = studio._workshop.ledger, studio._workshop.account

    async def stranded() -> str:
        row = await ledger.adopt(posted_id, ImageRequest("a fox", "1:1", "png"), account)
        assert await ledger.take(row.id) is not None
        return row.id

    posted_id = posted(sandbox, "a fox")
    id_ = studio._portal.wait(stranded())
    start(studio, "another that starts the watch")
    wait_for(lambda: studio.wait(studio.get(id_)).state == "stored")


def test_what_nobody_calls_about_stays_in_doubt(
    sandbox: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for within limits, and then it is named and priced as ever."""
    monkeypatch.setattr(callbacks, "PATIENCE", 0.2)
    monkeypatch.setattr(rhythm.Rhythms, "expected", lambda *_: 0.1)
    studio = in_callback_mode(sandbox.url, home)
    with pytest.raises(errors.SubmitUnknown, match=r"\$0\.03"):
        studio.wait(studio.generate("[sandbox drop] a fox"))
    assert states(home) == ["unknown"]
    studio.close()


def test_two_kernels_find_a_lost_submit_again_once(sandbox: Sandbox, home: Path) -> None:
    """Both see its callback; one of them brings the picture home, both may wait for it."""
    here, there = (in_callback_mode(sandbox.url, home) for _ in range(2))
    there.recover()
    there.wait(there.spending())  # it is open, and looks for callbacks
    job = start(here, "[sandbox drop] a fox")
    note(home, sent(home, sandbox, "unknown"), sandbox.tasks[0].id)
    assert job.future.result(30).path.exists()
    assert states(home) == ["stored"]
    assert sandbox.counts["download"] == 1
    for studio in (here, there):
        studio.close()


# Through the receiver.


@pytest.fixture
def caller() -> Iterator[Sandbox]:
    """An API that calls, and calls again soon where it was not answered well."""
    with Sandbox(latency=0.5, callback_retry=0.2) as running:
        yield running


@pytest.fixture
def listening(caller: Sandbox, home: Path) -> str:
    """The address of a receiver of this home."""
    told: Queue[str] = Queue()
    settings = settings_for(caller.url, home)
    serve = functools.partial(webhook.serve, settings, port=0, ready=told.put)
    threading.Thread(target=serve, daemon=True).start()
    return told.get(timeout=60)


@pytest.mark.parametrize(
    "fault",
    ["", "drop", "callback-early", "callback-twice", "callback-lost", "callback-refused",
     "callback-forged", "callback-garbage", "callback-reordered"],
)  # fmt: skip
def test_whatever_is_delivered_the_picture_comes_once(
    caller: Sandbox, home: Path, listening: str, fault: str
) -> None:
    """API, receiver, ledger, studio: one submit, one picture, and no looking on suspicion."""
    studio = in_callback_mode(caller.url, home, callback_url=listening)
    prompt = f"[sandbox {fault}] a fox" if fault else "a fox"
    fox = studio.wait(studio.generate(prompt))
    assert fox.path.exists()
    assert (caller.counts["submit"], caller.counts["download"]) == (1, 1)
    assert caller.counts["status"] <= (3 if fault == "callback-forged" else 2)
    assert states(home) == ["stored"]
    studio.close()


def test_a_failure_is_told_as_if_it_had_been_looked_for(
    caller: Sandbox, home: Path, listening: str
) -> None:
    """What the callback says of it is not what is believed."""
    studio = in_callback_mode(caller.url, home, callback_url=listening)
    with pytest.raises(errors.ContentRefused):
        studio.wait(studio.generate("[sandbox CONTENT_VIOLATION] a fox"))
    assert states(home) == ["failed"]
    studio.close()


# Ending in the midst of it.


def test_a_studio_that_is_closed_lets_its_submit_end(home: Path) -> None:
    """The answer is on its way: cut off, a picture would be paid for and be in doubt."""
    with Sandbox(latency=60) as api:
        studio = Studio(settings_for(api.url, home))
        start(studio, "[sandbox slow-submit=1] a fox")
        wait_for(lambda: api.counts["accepted"] == 1)
        studio.close()
        assert states(home) == ["submitted"]


def test_a_studio_that_is_closed_sends_nothing_more(home: Path) -> None:
    """What waits for its turn meanwhile has cost nothing, and is not sent either."""
    with Sandbox(latency=30, at_once=1, reasons=True) as api:
        studio = Studio(settings_for(api.url, home))
        studio.start(studio.gallery("[sandbox slow-submit=1] a fox", count=5))
        wait_for(lambda: api.counts["accepted"] == 1)
        studio.close()
        assert api.counts["submit"] <= 3  # no more than were on their way together
        assert states(home).count("submitted") == 1
        assert "sending" not in states(home)
        assert "unknown" not in states(home)
