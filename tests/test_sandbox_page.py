"""The sandbox's page, as it comes over HTTP: what it tells, and that it changes nothing.

How it looks and lives in a browser is in ``front_ends/test_sandbox_page.py``.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from PIL import Image

from nanobanana_nb.sandbox import Sandbox, page

from .test_sandbox import Clock

KEY = {"Authorization": "Bearer a-key"}
WEB = httpx.Client(verify=False)
HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    '"><svg onload=alert(3)> & \'quoted\' "twice"',
    "</p></li></ul></main><h1>over</h1>",
    "&lt;b&gt; &amp;amp; &#60;i&#62;",
    "لوحة ثعلب \u202eabc\u202c 狐狸 🦊",
]


class Seen(HTMLParser):
    """What a browser makes of the page: its elements, and the text of those of a class."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.prompts: list[str] = []
        self._in_prompt = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_prompt = dict(attrs).get("class") == "prompt"
        if self._in_prompt:
            self.prompts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_prompt = self._in_prompt and tag != "p"

    def handle_data(self, data: str) -> None:
        if self._in_prompt:
            self.prompts[-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(latency=10, clock=clock, balance=100) as running:
        yield running


def submit(sandbox: Sandbox, prompt: str = "a fox", **more: Any) -> httpx.Response:
    body = {"input": {"prompt": prompt}, **more}
    return WEB.post(f"{sandbox.url}/generateTask/nano-banana", headers=KEY, json=body)


def accepted(sandbox: Sandbox, prompt: str = "a fox", **more: Any) -> str:
    return str(submit(sandbox, prompt, **more).json()["data"]["taskId"])


def text_of(sandbox: Sandbox) -> str:
    answer = WEB.get(sandbox.url)
    assert answer.status_code == 200
    return answer.text


def card_of(sandbox: Sandbox, task_id: str) -> str:
    return text_of(sandbox).split(f'<li id="task-{task_id}">')[1].split("</details>")[0]


def figures(sandbox: Sandbox) -> dict[str, str]:
    return dict(re.findall(r"<div><dt>([\w ]+)</dt><dd[^>]*>(.*?)</dd></div>", text_of(sandbox)))


def preview(sandbox: Sandbox, task_id: str, size: str = "previews") -> httpx.Response:
    return WEB.get(f"{sandbox.url}/sandbox/{size}/{task_id}")


def test_an_empty_page_says_how_to_begin(sandbox: Sandbox) -> None:
    """What it is, the line that points a client at it, and a first request that works as it
    stands; a reader needs nothing else."""
    text = text_of(sandbox)
    assert "imitation of APIXO’s API on this machine" in text
    assert f"export APIXO_BASE_URL={sandbox.url} APIXO_API_KEY=sandbox" in text
    assert f"curl {sandbox.url}/api/v1/generateTask/nano-banana" in text
    assert "Nothing has been drawn yet" in text
    assert figures(sandbox)["Balance"] == "$100.00"


def test_a_key_of_its_own_is_not_shown() -> None:
    """Whoever may look at the page may not yet spend with the key."""
    with Sandbox(api_key="canary-key") as sandbox:
        text = text_of(sandbox)
    assert "canary-key" not in text
    assert "APIXO_API_KEY" not in text
    assert "It takes only the key it was given." in text


def test_it_tells_the_figures(sandbox: Sandbox, clock: Clock) -> None:
    """Money, tasks and refusals as the account has them, failed and refused ones told apart."""
    accepted(sandbox)
    accepted(sandbox, "[sandbox TIMEOUT] an owl")
    clock.now += 20
    accepted(sandbox)
    submit(sandbox, "[sandbox 429] a whale")
    submit(sandbox, "")
    told = {
        "Balance": "$99.91",
        "Billed": "$0.09",
        "Tasks": "3",
        "Under way": "1",
        "Failed": "1",
        "Refused": "2",
        "A picture takes": "10 s",
        "Limits": "none",
        "Faults": "none planned",
    }
    assert told.items() <= figures(sandbox).items()


def test_it_tells_limits_and_faults() -> None:
    """Why a request is refused or a task misbehaves can be read off the page."""
    with Sandbox(at_once=4, rate=60, burst=2, count_polls=True, faults=0.25, seed=7) as sandbox:
        for _ in range(3):
            submit(sandbox)
        told = figures(sandbox)
    limits = "4 at once; 60 requests a minute, 2 in one moment, polls count; 1 refused"
    assert told["Limits"] == limits
    assert told["Faults"] == f"25 % of the submits, seed 7; {len(sandbox.faulted)} so far"


def test_a_card_tells_its_task(sandbox: Sandbox, clock: Clock) -> None:
    """State, ratio, format, price and id, and in the details when it was and from what."""
    body = {"prompt": "a red fox", "aspect_ratio": "21:9", "output_format": "png"}
    task_id = accepted(sandbox, input=body)
    card = card_of(sandbox, task_id)
    assert ">pending</b>" in card
    assert "<span>21:9</span><span>png</span><span>$0.03</span>" in card
    assert f">{task_id}</code>" in card
    clock.now += 5
    assert ">processing</b>" in card_of(sandbox, task_id)
    clock.now += 10
    card = card_of(sandbox, task_id)
    assert re.search(r">success in \d+\.\d s</b>", card)
    assert f'src="/sandbox/previews/{task_id}"' in card
    assert 'loading="lazy"' in card
    assert 'width="320" height="137"' in card


def test_a_failed_card_tells_why(sandbox: Sandbox, clock: Clock) -> None:
    """The fail code, its message, and the directive that was behind it; no picture."""
    task_id = accepted(sandbox, "[sandbox CONTENT_VIOLATION] a fox")
    clock.now += 20
    card = card_of(sandbox, task_id)
    assert "<code>CONTENT_VIOLATION</code>" in card
    assert "Content does not meet safety guidelines" in card
    assert '<li dir="auto">[sandbox CONTENT_VIOLATION]</li>' in card
    assert "<img" not in card


def test_a_planned_fault_is_named_on_its_card() -> None:
    """A task that misbehaves though nobody asked for it is explained."""
    with Sandbox(latency=0, faults=1, seed=3, callback_retry=0.01) as sandbox:
        for _ in range(12):
            with suppress(httpx.HTTPError):  # a fault of the plan closes the connection
                submit(sandbox)
        hit = [fault for fault in sandbox.faulted.values() if fault.task_id]
        assert hit
        for fault in hit:
            mark = f'<li dir="auto">[sandbox {fault.directive}]</li>'
            assert mark in card_of(sandbox, str(fault.task_id))


def test_what_became_of_the_callbacks_is_on_the_card(sandbox: Sandbox) -> None:
    """Somebody who waits for a callback in vain sees that it was tried, and what came back."""
    nobody = {"request_type": "callback", "callback_url": "http://127.0.0.1:9/"}
    assert "callback: not sent yet" in card_of(sandbox, accepted(sandbox, **nobody))
    with Sandbox(latency=0, callback_retry=0.01) as other:
        task_id = accepted(other, **nobody)
        deadline = time.monotonic() + 60
        while other.counts["callback"] < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        card = card_of(other, task_id)
        why = other.deliveries[-1].why
    assert f"callback: {why}, 4 tries" in card
    assert f"<dt>Callbacks</dt><dd>{'<br>'.join([why] * 4)}</dd>" in card


@pytest.mark.parametrize("prompt", HOSTILE)
def test_a_prompt_stays_text(sandbox: Sandbox, clock: Clock, prompt: str) -> None:
    """Markup in a prompt is shown and does nothing: no element, no attribute, no handler of it."""
    before = [tag for tag, _ in Seen(text_of(sandbox)).tags]
    accepted(sandbox, "plain")
    plain = [tag for tag, _ in Seen(text_of(sandbox)).tags]
    with Sandbox(latency=10, clock=clock) as other:
        accepted(other, prompt)
        clock.now += 20
        seen = Seen(text_of(other))
    assert seen.prompts == [prompt]
    assert len(seen.named("script")) == 1
    assert len(seen.named("h1")) == 1
    assert all(not name.startswith("on") for _, its in seen.tags for name in its)
    assert set(dict.fromkeys(tag for tag, _ in seen.tags)) <= {*before, *plain, "a", "img"}


def test_text_that_is_no_text_breaks_nothing(sandbox: Sandbox) -> None:
    """A lone surrogate and control characters come as JSON may hold them."""
    body = b'{"input": {"prompt": "a \\ud800 b \\u0000 c \\u001b[31m d"}}'
    headers = KEY | {"Content-Type": "application/json"}
    WEB.post(f"{sandbox.url}/generateTask/nano-banana", headers=headers, content=body)
    assert Seen(text_of(sandbox)).prompts == ["a ? b \ufffd c \ufffd[31m d"]


def test_of_many_tasks_the_newest_are_shown(sandbox: Sandbox) -> None:
    """Sixty cards, newest first, and how many more there are: the page stays quick."""
    for number in range(100):
        accepted(sandbox, f"fox {number}")
    text = text_of(sandbox)
    assert Seen(text).prompts == [f"fox {number}" for number in range(99, 39, -1)]
    assert "40 older tasks are not shown" in text
    assert figures(sandbox)["Tasks"] == "100"


def test_a_preview_is_small(sandbox: Sandbox, clock: Clock) -> None:
    """A grid of sixty costs the browser little; the whole picture is one click away."""
    body = {"prompt": "a fox", "aspect_ratio": "16:9", "output_format": "png"}
    task_id = accepted(sandbox, input=body)
    clock.now += 20
    small, whole = preview(sandbox, task_id), preview(sandbox, task_id, "pictures")
    assert small.headers["Content-Type"] == "image/jpeg"
    assert Image.open(io.BytesIO(small.content)).size == (320, 180)
    assert len(small.content) < 40_000
    assert whole.headers["Content-Type"] == "image/png"
    assert Image.open(io.BytesIO(whole.content)).size == (1344, 756)


@pytest.mark.parametrize("directive", ["cut-once", "not-image", "expired"])
def test_looking_changes_nothing_for_the_client(
    sandbox: Sandbox, clock: Clock, directive: str
) -> None:
    """The page shows what was drawn, and the client still meets the fault it was to meet: looks
    are neither counted as downloads nor as polls."""
    task_id = accepted(sandbox, f"[sandbox {directive}] a fox")
    clock.now += 20
    for _ in range(2):
        text_of(sandbox)
        for size in ("previews", "pictures"):
            assert Image.open(io.BytesIO(preview(sandbox, task_id, size).content)).size
    assert (sandbox.counts["download"], sandbox.counts["status"]) == (0, 0)
    link = f"{sandbox.url}/results/{task_id}.jpg"
    if directive == "cut-once":
        with pytest.raises(httpx.RemoteProtocolError):
            WEB.get(link)
        assert WEB.get(link).status_code == 200
    else:
        answer = WEB.get(link)
        assert answer.status_code == 410 or b"Not a picture" in answer.content


def test_what_is_not_drawn_has_no_preview(sandbox: Sandbox, clock: Clock) -> None:
    """Running, failed and unknown tasks answer 404, and nothing is drawn before its time."""
    running = accepted(sandbox)
    failed = accepted(sandbox, "[sandbox TIMEOUT] x")
    assert preview(sandbox, running).status_code == 404
    clock.now += 20
    assert preview(sandbox, failed).status_code == 404
    assert preview(sandbox, "no-such-task").status_code == 404
    assert preview(sandbox, "..%2f..%2fetc").status_code == 404


def test_the_page_may_load_nothing_but_its_own(sandbox: Sandbox) -> None:
    """The policy allows exactly the style and the script that are on the page, by their hashes;
    it may not be framed, kept, or tell another site where it was."""
    answer = WEB.get(sandbox.url)
    for tag in ("style", "script"):
        (text,) = re.findall(f"(?s)<{tag}>(.*?)</{tag}>", answer.text)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in answer.headers["Content-Security-Policy"]
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src 'self' data:; connect-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "style=" not in answer.text
    assert not re.findall(r'(?:src|href)="(?!/|data:image/svg)', answer.text)


def test_a_head_has_the_headers_alone(sandbox: Sandbox) -> None:
    """As every read of the sandbox."""
    answer = WEB.head(sandbox.url)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


def test_it_needs_no_more_than_its_files() -> None:
    """The style and the script are read once and are part of the package."""
    style, script = page._texts()
    assert "prefers-color-scheme: dark" in style
    assert "prefers-reduced-motion" in style
    assert "</script" not in script
    assert "</style" not in style
