"""The sandbox against the documents it imitates, over real sockets.

Time is a clock that the tests turn, so nothing here sleeps. The documented bodies are written out
below as the API's pages print them (contract.md, sections 3, 4, 6 and 8), not taken from the code.
"""

from __future__ import annotations

import io
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image, ImageChops, ImageStat

from nanobanana_nb.sandbox import Sandbox, directives, drawing, references
from nanobanana_nb.sandbox.contract import FAIL_MESSAGES

SUBMIT = "/generateTask/nano-banana"
STATUS = "/statusTask/nano-banana"
BALANCE = "/apikeys/current-balance"
WEB = httpx.Client(verify=False)  # one for all: making a TLS context takes 50 ms
KEY = {"Authorization": "Bearer a-key"}
RATIOS = ["1:1", "4:3", "3:4", "3:2", "2:3", "4:5", "5:4", "9:16", "16:9", "21:9", "auto"]


class Clock:
    """Unix seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_780_000_000.25

    def __call__(self) -> float:
        return self.now


class Api:
    """What a client of the API would do, in one line each."""

    def __init__(self, sandbox: Sandbox, clock: Clock) -> None:
        self.sandbox, self.clock = sandbox, clock
        self.http = httpx.Client(base_url=sandbox.url + "/api/v1", headers=KEY, verify=False)

    def submit(self, prompt: str = "a fox", **options: Any) -> httpx.Response:
        body = {"request_type": "async", "input": {"prompt": prompt, **options}}
        return self.http.post(SUBMIT, json=body)

    def accepted(self, prompt: str = "a fox", **options: Any) -> str:
        answer = self.submit(prompt, **options)
        assert answer.json()["code"] == 200, answer.text
        return answer.json()["data"]["taskId"]

    def poll(self, task_id: str) -> httpx.Response:
        return self.http.get(STATUS, params={"taskId": task_id})

    def data(self, task_id: str) -> dict[str, Any]:
        return self.poll(task_id).json()["data"]

    def links(self, task_id: str) -> list[str]:
        return json.loads(self.data(task_id)["resultJson"])["resultUrls"]

    def picture(self, task_id: str) -> Image.Image:
        answer = WEB.get(self.links(task_id)[0])
        return Image.open(io.BytesIO(answer.content))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(latency=0, clock=clock) as running:
        yield running


@pytest.fixture
def api(sandbox: Sandbox, clock: Clock) -> Iterator[Api]:
    api = Api(sandbox, clock)
    yield api
    api.http.close()


@pytest.fixture
def slow(clock: Clock) -> Iterator[Api]:
    with Sandbox(latency=10, clock=clock) as running:
        api = Api(running, clock)
        yield api
        api.http.close()


def shape(value: object) -> object:
    """A JSON value with its leaves replaced by their types."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return type(value)


def red_square(folder: Path, name: str = "red.png", size: tuple[int, int] = (300, 200)) -> Path:
    path = folder / name
    Image.new("RGB", size, (220, 20, 20)).save(path)
    return path


# -- the documented bodies


def test_a_submit_is_answered_as_documented(api: Api) -> None:
    """Section 3: the submit answer; section 3 again: a real task id is 32 hex digits."""
    answer = api.submit()
    documented = {"code": 200, "message": "success", "data": {"taskId": "task_12345678"}}
    assert answer.status_code == 200
    assert shape(answer.json()) == shape(documented)
    assert answer.headers["content-type"] == "application/json"
    assert re.fullmatch("[0-9a-f]{32}", answer.json()["data"]["taskId"])


def test_a_success_is_told_as_documented(api: Api) -> None:
    """Section 3: key set and types, with resultJson a string that holds JSON."""
    body = api.poll(api.accepted()).json()
    documented = {
        "code": 200,
        "message": "success",
        "data": {
            "taskId": "task_12345678",
            "state": "success",
            "resultJson": '{"resultUrls":["https://r2.apixo.ai/x.png"]}',
            "costTime": 17000,
            "createTime": 1767965610929,
            "completeTime": 1767965652317,
        },
    }
    assert shape(body) == shape(documented)
    assert body["data"]["state"] == "success"
    assert shape(json.loads(body["data"]["resultJson"])) == {"resultUrls": list}


def test_a_failure_is_told_as_documented(api: Api) -> None:
    """Section 3: a failed task is HTTP 200, code 200, "success", and has no costTime."""
    answer = api.poll(api.accepted("[sandbox CONTENT_VIOLATION]"))
    assert answer.status_code == 200
    assert answer.json() == {
        "code": 200,
        "message": "success",
        "data": {
            "taskId": api.sandbox.tasks[0].id,
            "state": "failed",
            "failCode": "CONTENT_VIOLATION",
            "failMsg": "Content does not meet safety guidelines",
            "createTime": 1_780_000_000_250,
            "completeTime": 1_780_000_000_250,
        },
    }


def test_a_task_goes_from_pending_through_processing_to_success(slow: Api) -> None:
    """Sections 3 and 9: honest states by the clock; the latency spreads by 10 % at most."""
    task_id = slow.accepted()
    assert slow.data(task_id) == {
        "taskId": task_id,
        "state": "pending",
        "createTime": 1_780_000_000_250,
    }
    slow.clock.now += 5
    assert slow.data(task_id)["state"] == "processing"
    slow.clock.now += 6.1
    done = slow.data(task_id)
    assert done["state"] == "success"
    assert 9_000 <= done["costTime"] <= 11_000
    assert done["completeTime"] - done["createTime"] == done["costTime"]


def test_the_three_error_bodies(api: Api) -> None:
    """Section 4: 401 without data, 400 with data.error, money with data null; word for word."""
    anonymous = WEB.get(api.sandbox.url + "/api/v1" + BALANCE)
    assert (anonymous.status_code, anonymous.json()) == (
        401,
        {"code": 401, "message": "Invalid or missing API key"},
    )
    invalid = api.http.post(SUBMIT, json={"input": {}})
    assert (invalid.status_code, invalid.json()) == (
        400,
        {
            "code": 400,
            "message": "Invalid request",
            "data": {"error": "Missing required field: input.prompt"},
        },
    )
    money = api.submit("[sandbox insufficient]")
    assert (money.status_code, money.json()) == (
        400,
        {"code": 400, "message": "Insufficient credits", "data": None},
    )


def test_the_balance_is_a_bare_number_with_four_decimals(api: Api) -> None:
    """Section 8: a JSON number, to be read as a Decimal."""
    assert api.http.get(BALANCE).text == '{"code":200,"message":"success","data":10.0000}'
    api.accepted()
    assert json.loads(api.http.get(BALANCE).text, parse_float=Decimal)["data"] == Decimal("9.97")


def test_the_api_answers_at_the_root_too(api: Api) -> None:
    """A base URL with and without /api/v1 leads to the same API."""
    for prefix in ("", "/api/v1"):
        answer = WEB.get(api.sandbox.url + prefix + BALANCE, headers=KEY)
        assert answer.json()["data"] == 10


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", SUBMIT, 405),
        ("POST", STATUS, 405),
        ("DELETE", BALANCE, 405),
        ("POST", "/results/x.png", 405),
        ("POST", "/generateTask/nano-banana-2", 404),
        ("GET", "/statusTask/other?taskId=1", 404),
        ("GET", STATUS + "?taskId=unknown", 404),
        ("GET", STATUS, 400),
        ("GET", "/nothing", 404),
        ("GET", "/results/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/generateTask/nano-banana/extra", 404),
    ],
)
def test_what_is_not_there_says_so_in_an_envelope(
    api: Api, method: str, path: str, status: int
) -> None:
    """Every refusal is an envelope whose code is the HTTP status (section 4)."""
    answer = api.http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["code"] == status


# -- strict on values


@pytest.mark.parametrize("value", [None, "", "Bearer", "Basic abc", "a-key", "Bearer a b"])
@pytest.mark.parametrize("path", [SUBMIT, STATUS, BALANCE])
def test_every_api_route_wants_a_bearer_key(sandbox: Sandbox, value: str | None, path: str) -> None:
    """Section 1: Authorization on every call; nothing is accepted without."""
    headers = {} if value is None else {"Authorization": value}
    method = "POST" if path == SUBMIT else "GET"
    answer = WEB.request(method, sandbox.url + path, headers=headers)
    assert answer.status_code == 401
    assert sandbox.tasks == ()


def test_a_given_key_is_the_only_one(clock: Clock) -> None:
    """With api_key the sandbox refuses every other key."""
    with Sandbox(api_key="right", clock=clock) as sandbox:
        for key, status in (("right", 200), ("wrong", 401), ("righ", 401)):
            headers = {"Authorization": f"Bearer {key}"}
            assert WEB.get(sandbox.url + BALANCE, headers=headers).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b'{"input":{"prompt":"\xff"}}',
        b'{"input":{"prompt":"a"},"x":NaN}',
        b"[" * 100_000,
        {"input": "a fox"},
        {"input": {"prompt": ""}},
        {"input": {"prompt": " \n "}},
        {"input": {"prompt": 7}},
        {"input": {"prompt": "x" * 5001}},
        {"input": {"prompt": "a", "mode": "draw"}},
        {"input": {"prompt": "a", "mode": None}},
        {"input": {"prompt": "a", "mode": ["text-to-image"]}},
        {"input": {"prompt": "a", "aspect_ratio": "2:1"}},
        {"input": {"prompt": "a", "aspect_ratio": 1}},
        {"input": {"prompt": "a", "output_format": "jpg"}},
        {"input": {"prompt": "a", "output_format": "webp"}},
        {"input": {"prompt": "a", "mode": "image-to-image"}},
        {"input": {"prompt": "a", "mode": "image-to-image", "image_urls": []}},
        {"input": {"prompt": "a", "mode": "text-to-image", "image_urls": ["https://a.b/c"]}},
        {"input": {"prompt": "a", "image_urls": ["https://a.b/c"]}},
        {"input": {"prompt": "a", "mode": "image-to-image", "image_urls": "https://a.b/c"}},
        {"input": {"prompt": "a", "mode": "image-to-image", "image_urls": ["https://a.b/c"] * 6}},
        {"input": {"prompt": "a", "mode": "image-to-image", "image_urls": [None]}},
        {"input": {"prompt": "a", "mode": "image-to-image", "image_urls": ["data:image/png,x"]}},
        {"input": {"prompt": "a", "mode": "image-to-image", "image_urls": ["file:///etc/passwd"]}},
        {"input": {"prompt": "a", "mode": "image-to-image", "image_urls": ["https://"]}},
        {"request_type": "sync", "input": {"prompt": "a"}},
        {"request_type": "callback", "input": {"prompt": "a"}},
        {"request_type": "callback", "callback_url": "http://a.b/c", "input": {"prompt": "a"}},
        {"request_type": "callback", "callback_url": 7, "input": {"prompt": "a"}},
        {"request_type": "callback", "callback_url": "https://a.b/c d", "input": {"prompt": "a"}},
        {
            "request_type": "callback",
            "callback_url": "https://a.b/\r\nX: y",
            "input": {"prompt": "a"},
        },
        {"request_type": "callback", "callback_url": "https://ü.de/", "input": {"prompt": "a"}},
        {"input": {"prompt": "[sandbox nonsense]"}},
        {"input": {"prompt": "[sandbox expired=x]"}},
        {"input": {"prompt": "[sandbox callback-lost=5]"}},
        {"input": {"prompt": "[sandbox callback-refused=0]"}},
    ],
)
def test_a_body_that_breaks_a_rule_is_refused_and_costs_nothing(api: Api, body: object) -> None:
    """Section 2, rule by rule: HTTP 400 with data.error, nothing billed."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = api.http.post(SUBMIT, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert shape(answer.json()) == {"code": int, "message": str, "data": {"error": str}}
    assert (api.sandbox.spent, api.sandbox.tasks) == (0, ())


@pytest.mark.parametrize(
    "body",
    [
        {"input": {"prompt": "a"}},
        {"input": {"prompt": " " + "🦊" * 5000 + "\n"}},
        {"input": {"prompt": "a", "mode": "text-to-image", "image_urls": []}},
        {"provider": "auto", "webhook": "x", "input": {"prompt": "a", "seed": 1}},
        {"request_type": "callback", "callback_url": "https://a.b/c", "input": {"prompt": "a"}},
        {"request_type": "callback", "callback_url": "http://[::1]:9/c", "input": {"prompt": "a"}},
    ],
)
def test_a_body_that_keeps_the_rules_is_accepted(api: Api, body: dict[str, Any]) -> None:
    """Section 2: defaults, unknown keys ignored, 5000 code points after trimming, callbacks."""
    assert api.http.post(SUBMIT, json=body).status_code == 200
    task = api.sandbox.tasks[0]
    assert task.request == body
    assert (task.mode, task.aspect_ratio, task.output_format) == ("text-to-image", "1:1", "jpeg")


def test_a_submit_without_its_content_type_is_refused(api: Api) -> None:
    """Section 1: Content-Type: application/json belongs to a submit."""
    answer = api.http.post(SUBMIT, content=b'{"input":{"prompt":"a"}}')
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "prompt",
    [
        "🦊👩‍👩‍👧 emoji",
        "line\u2028break\u2029",
        "狐の絵",
        "\"quotes\" 'and' \\ back",
        " \t padded\r\n ",
        "{name} <b>&amp;",
        "\ufeff\u202e\x01odd",
    ],
)  # fmt: skip
def test_a_prompt_arrives_exactly_as_sent(api: Api, prompt: str) -> None:
    """Prompts are sacred: the account and the account page hold the same characters."""
    api.picture(api.accepted(prompt))
    task = api.sandbox.tasks[0]
    assert task.prompt == task.request["input"]["prompt"] == prompt
    account = WEB.get(api.sandbox.url + "/sandbox/account").json()
    assert account["tasks"][0]["prompt"] == prompt


def test_a_lone_surrogate_does_not_break_the_drawing(api: Api) -> None:
    """JSON can carry half a character; the sandbox still answers and draws."""
    body = b'{"input":{"prompt":"half \\ud83e"}}'
    answer = api.http.post(SUBMIT, content=body, headers={"Content-Type": "application/json"})
    assert api.picture(answer.json()["data"]["taskId"]).size == (1024, 1024)


# -- the account


def test_the_account_counts_what_was_accepted_and_nothing_else(api: Api) -> None:
    """Section 11: $0.03 for an accepted task, failed ones included; refusals are free."""
    paid = [api.accepted(), api.accepted("[sandbox TIMEOUT]")]
    api.submit("[sandbox 500]")
    api.links(paid[0])
    WEB.get(api.links(paid[0])[0])
    assert api.sandbox.spent == Decimal("0.06")
    assert api.sandbox.balance == Decimal("9.94")
    assert dict(api.sandbox.counts) == {
        "submit": 3, "accepted": 2, "status": 2, "download": 1, "balance": 0, "refused": 0,
        "callback": 0,
    }  # fmt: skip
    assert [task.id for task in api.sandbox.tasks] == paid
    account = WEB.get(api.sandbox.url + "/sandbox/account").json()
    assert (account["spent"], account["balance"]) == (0.06, 9.94)
    assert [(task["state"], task["billed"]) for task in account["tasks"]] == [
        ("success", 0.03),
        ("failed", 0.03),
    ]


def test_money_runs_out(clock: Clock) -> None:
    """Section 5: HTTP 402 as soon as the balance is below the price, exactly."""
    with Sandbox(balance=0.06, latency=0, clock=clock) as sandbox:
        api = Api(sandbox, clock)
        assert [api.submit().status_code for _ in range(3)] == [200, 200, 402]
        assert (sandbox.balance, len(sandbox.tasks)) == (0, 2)
        api.http.close()


def test_many_at_once_are_all_counted(api: Api) -> None:
    """Concurrent connections neither lose a task nor a cent."""

    def one(_: int) -> int:
        body = {"input": {"prompt": "a fox"}}
        return WEB.post(api.sandbox.url + SUBMIT, json=body, headers=KEY).status_code

    with ThreadPoolExecutor(64) as pool:
        assert set(pool.map(one, range(200))) == {200}
    assert api.sandbox.spent == Decimal("6.00")
    assert len({task.id for task in api.sandbox.tasks}) == 200


# -- failures on demand

STATUSES = (400, 401, 402, 403, 404, 429, 500, 502, 503, 504)


@pytest.mark.parametrize("status", STATUSES)
def test_an_http_status_on_demand(api: Api, status: int) -> None:
    """[sandbox 429] and its kin: the status, the same code in the envelope or a proxy's page,
    nothing billed."""
    for prompt, http in (
        (f"x [sandbox {status}] y", status),
        (f"[sandbox envelope-{status}]", 200),
    ):
        answer = api.submit(prompt)
        assert (answer.status_code, answer.json()["code"]) == (http, status)
        assert "retry-after" not in answer.headers
    assert is_proxys_page(api.submit(f"[sandbox gateway-{status}]"), status)
    assert api.sandbox.spent == 0


def is_proxys_page(answer: httpx.Response, status: int) -> bool:
    told = answer.status_code, answer.headers["content-type"], answer.text[:6]
    return told == (status, "text/html", "<html>")


@pytest.mark.parametrize("status", STATUSES)
def test_an_http_status_of_polls_on_demand(api: Api, status: int) -> None:
    """The same three faces for the first two polls, and then the truth; the task stays billed."""
    for face, http in (("", status), ("envelope-", 200)):
        task_id = api.accepted(f"[sandbox poll-{face}{status}]")
        first = [api.poll(task_id) for _ in range(2)]
        assert [(one.status_code, one.json()["code"]) for one in first] == [(http, status)] * 2
        assert api.data(task_id)["state"] == "success"
    task_id = api.accepted(f"[sandbox poll-gateway-{status}]")
    assert all(is_proxys_page(api.poll(task_id), status) for _ in range(2))
    assert api.data(task_id)["state"] == "success"
    assert api.sandbox.spent == Decimal("0.09")


@pytest.mark.parametrize("code", sorted(FAIL_MESSAGES))
def test_a_fail_code_on_demand(api: Api, code: str) -> None:
    """All three vocabularies of section 6 fail late, and stay billed."""
    data = api.data(api.accepted(f"[sandbox {code}]"))
    assert (data["state"], data["failCode"]) == ("failed", code)
    assert data["failMsg"]
    assert "resultJson" not in data
    assert api.sandbox.spent == Decimal("0.03")


def check_429_header(api: Api) -> None:
    answer = api.submit("[sandbox 429 retry-after=3]")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


def check_insufficient(api: Api) -> None:
    assert api.submit("[sandbox insufficient]").json()["message"] == "Insufficient credits"


def check_content(api: Api) -> None:
    answer = api.submit("[sandbox content-403]")
    assert (answer.status_code, answer.json()["message"]) == (403, "Content violates policy")


def check_drop(api: Api) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        api.submit("[sandbox drop]")
    assert api.sandbox.spent == Decimal("0.03")


def check_drop_unbilled(api: Api) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        api.submit("[sandbox drop-unbilled]")
    assert (api.sandbox.spent, api.sandbox.tasks) == (0, ())


def check_slow_submit(api: Api) -> None:
    with pytest.raises(httpx.ReadTimeout):
        api.http.post(SUBMIT, json={"input": {"prompt": "[sandbox slow-submit]"}}, timeout=0.2)
    assert len(api.sandbox.tasks) == 1
    assert api.submit("[sandbox slow-submit=0.01]").status_code == 200


def check_null_data(api: Api) -> None:
    task_id = api.accepted("[sandbox null-data]")
    assert api.poll(task_id).json() == {"code": 200, "message": "success", "data": None}
    assert api.data(task_id)["state"] == "success"


def check_early_404(api: Api) -> None:
    task_id = api.accepted("[sandbox early-404]")
    assert [api.poll(task_id).status_code for _ in range(2)] == [404, 200]


def check_poll_html(api: Api) -> None:
    task_id = api.accepted("[sandbox poll-html]")
    assert [api.poll(task_id).headers["content-type"] for _ in range(3)] == [
        "text/html",
        "text/html",
        "application/json",
    ]


def check_unknown_state(api: Api) -> None:
    task_id = api.accepted("[sandbox processing_r2]")
    first = api.data(task_id)
    assert set(first) == {"taskId", "state", "createTime"}
    assert first["state"] == "processing_r2"
    assert [api.data(task_id)["state"] for _ in range(2)] == ["processing_r2", "success"]


def check_upper(api: Api) -> None:
    assert api.data(api.accepted("[sandbox upper]"))["state"] == "SUCCESS"


def check_object(api: Api) -> None:
    assert shape(api.data(api.accepted("[sandbox object]"))["resultJson"]) == {"resultUrls": list}


def check_no_cost(api: Api) -> None:
    data = api.data(api.accepted("[sandbox no-cost]"))
    assert set(data) == {"taskId", "state", "resultJson", "createTime"}


def check_two(api: Api) -> None:
    links = api.links(api.accepted("[sandbox two]"))
    pictures = {WEB.get(link).content for link in links}
    assert len(links) == len(pictures) == 2


def check_expired(api: Api) -> None:
    for directive, status in (("expired", 410), ("expired=403", 403)):
        link = api.links(api.accepted(f"[sandbox {directive}]"))[0]
        assert [WEB.get(link).status_code for _ in range(2)] == [status, status]


def check_cut(api: Api) -> None:
    link = api.links(api.accepted("[sandbox cut]"))[0]
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            WEB.get(link)


def check_cut_once(api: Api) -> None:
    link = api.links(api.accepted("[sandbox cut-once]"))[0]
    with pytest.raises(httpx.RemoteProtocolError):
        WEB.get(link)
    assert Image.open(io.BytesIO(WEB.get(link).content)).size == (1024, 1024)


def check_not_image(api: Api) -> None:
    answer = WEB.get(api.links(api.accepted("[sandbox not-image]"))[0])
    assert answer.headers["content-type"] == "image/png"
    assert answer.text.startswith("<html>")


QUIRKS = {
    "429": check_429_header,
    "insufficient": check_insufficient,
    "content-403": check_content,
    "drop": check_drop,
    "drop-unbilled": check_drop_unbilled,
    "slow-submit": check_slow_submit,
    "null-data": check_null_data,
    "early-404": check_early_404,
    "poll-html": check_poll_html,
    "processing_r2": check_unknown_state,
    "upper": check_upper,
    "object": check_object,
    "no-cost": check_no_cost,
    "two": check_two,
    "expired": check_expired,
    "cut": check_cut,
    "cut-once": check_cut_once,
    "not-image": check_not_image,
}


@pytest.mark.parametrize("name", sorted(QUIRKS))
def test_a_quirk_on_demand(api: Api, name: str) -> None:
    """Each quirk of section 12 and each broken link, as its directive says."""
    QUIRKS[name](api)


def test_slow_and_forever(slow: Api) -> None:
    """Ten latencies of pending, and a task that never completes."""
    late, never = slow.accepted("[sandbox slow]"), slow.accepted("[sandbox forever]")
    slow.clock.now += 80
    assert (slow.data(late)["state"], slow.data(never)["state"]) == ("pending", "processing")
    slow.clock.now += 40
    assert slow.data(late)["state"] == "success"
    slow.clock.now += 1e9
    assert slow.data(never)["state"] == "processing"


CALLBACK_DIRECTIVES = {
    f"callback-{habit}"
    for habit in (
        "never", "twice", "early", "lost", "refused", "forged", "garbage", "reordered",
    )
}  # fmt: skip
"""Tested in test_sandbox_callbacks.py."""


def test_every_directive_is_tested_and_documented() -> None:
    """A directive that is added without a line here, or in the module's table, is noticed."""
    covered = (
        set(QUIRKS)
        | {"slow", "forever"}
        | set(FAIL_MESSAGES)
        | {str(status) for status in STATUSES}
    )
    covered |= {
        f"{call}{face}-{status}"
        for call in ("", "poll-")
        for face in ("envelope", "gateway")
        for status in STATUSES
    }
    covered |= {f"poll-{status}" for status in STATUSES}
    assert set(directives.names()) == covered | CALLBACK_DIRECTIVES
    for name in set(QUIRKS) - {"429"} | {"slow", "forever"} | CALLBACK_DIRECTIVES:
        assert re.search(rf"\b{name}\b", directives.__doc__ or ""), name


def test_fail_next_applies_to_one_submit_whatever_its_prompt(api: Api) -> None:
    """Queued directives are used up in order, one a submit; unknown ones are refused at once."""
    with pytest.raises(ValueError, match="unknown sandbox directive"):
        api.sandbox.fail_next("nonsense")
    api.sandbox.fail_next("429 retry-after=1")
    api.sandbox.fail_next("TIMEOUT")
    first = api.submit("[sandbox 500]")
    assert (first.status_code, first.headers["retry-after"]) == (429, "1")
    assert api.data(api.accepted())["failCode"] == "TIMEOUT"
    assert api.data(api.accepted())["state"] == "success"


# -- who may ask


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
def test_its_own_names_are_welcome(sandbox: Sandbox, host: str) -> None:
    """The three names of this machine, with the port."""
    port = urlsplit(sandbox.url).port
    answer = WEB.get(sandbox.url + "/sandbox/account", headers={"Host": f"{host}:{port}"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:PORT", "127.0.0.1", "127.0.0.1:1"])
def test_a_rebound_name_is_refused(sandbox: Sandbox, host: str) -> None:
    """DNS rebinding: a page whose name leads to 127.0.0.1 gets nothing, results included."""
    host = host.replace("PORT", str(urlsplit(sandbox.url).port))
    for path in ("/sandbox/account", BALANCE, "/results/x.png"):
        answer = WEB.get(sandbox.url + path, headers={"Host": host, **KEY})
        assert (answer.status_code, answer.json()["code"]) == (421, 421)


def test_a_page_of_another_origin_is_refused(sandbox: Sandbox) -> None:
    """A browser names the page that sends a request; only our own may."""
    for origin, status in (
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:1", 403),
        (sandbox.url.replace("http", "https"), 403),
        (sandbox.url, 200),
    ):
        body = {"input": {"prompt": "a"}}
        answer = WEB.post(sandbox.url + SUBMIT, json=body, headers={**KEY, "Origin": origin})
        assert answer.status_code == status
    assert len(sandbox.tasks) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com", ""])
def test_it_binds_to_this_machine_only(host: str) -> None:
    """The sandbox never listens where others could reach it."""
    with pytest.raises(ValueError, match="this machine only"):
        Sandbox(host=host)


# -- the socket


def test_start_and_close_can_be_repeated(clock: Clock) -> None:
    """start is idempotent, close is too and cuts kept-alive connections; the account remains."""
    sandbox = Sandbox(latency=0, clock=clock)
    with pytest.raises(RuntimeError):
        _ = sandbox.url
    assert sandbox.start().start() is sandbox
    api = Api(sandbox, clock)
    api.accepted()
    sandbox.close()
    sandbox.close()
    with pytest.raises(httpx.TransportError):
        api.submit()
    assert (len(sandbox.tasks), sandbox.spent) == (1, Decimal("0.03"))


def test_a_large_body_is_refused_and_the_answer_arrives(api: Api) -> None:
    """1 MiB of body is the limit; 413 can be read even by a client that is still sending."""
    answer = api.http.post(SUBMIT, content=b"x" * 5_000_000)
    assert (answer.status_code, answer.json()["code"]) == (413, 413)
    assert api.submit().status_code == 200


def raw(sandbox: Sandbox, request: bytes) -> bytes:
    parts = urlsplit(sandbox.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
        connection.sendall(request.replace(b"HOST", parts.netloc.encode()))
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: -1\r\n\r\n", b"411"),
        (b"BREW / HTTP/1.1\r\nHost: HOST\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\n\r\n", b"421"),
    ],
)
def test_what_is_hardly_http_gets_an_envelope(
    sandbox: Sandbox, request_bytes: bytes, status: bytes
) -> None:
    """A malformed request is answered and the connection closed, never a traceback."""
    answer = raw(sandbox, request_bytes)
    assert status in answer.split(b"\r\n")[0]
    assert b'"code": ' + status in answer


def test_nothing_is_printed(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    """No request line, no key, no traceback of a client that left."""
    raw_parts = urlsplit(api.sandbox.url)
    for _ in range(5):
        socket.create_connection((raw_parts.hostname, raw_parts.port)).close()
    check_drop(api)
    check_cut(api)
    assert capfd.readouterr() == ("", "")


def test_importing_it_brings_nothing_of_ours() -> None:
    """The sandbox restates the API; nothing of the client comes with it."""
    code = (
        "import sys, nanobanana_nb.sandbox;"
        "print(*[name for name in sys.modules if 'nanobanana' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    strangers = [
        name
        for name in done.stdout.split()
        if name != "nanobanana_nb" and not name.startswith("nanobanana_nb.sandbox")
    ]
    assert strangers == []


# -- pictures


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_picture_has_its_ratio_and_format(api: Api, ratio: str, kind: str) -> None:
    """Section 2: exact ratio, about a megapixel; section 10: .jpg for jpeg; no key needed."""
    link = api.links(api.accepted("zzz", aspect_ratio=ratio, output_format=kind))[0]
    answer = WEB.get(link)
    picture = Image.open(io.BytesIO(answer.content))
    wide, high = (int(part) for part in ("1:1" if ratio == "auto" else ratio).split(":"))
    assert picture.width * high == picture.height * wide
    assert 0.9e6 < picture.width * picture.height < 1.1e6
    assert picture.format == {"png": "PNG", "jpeg": "JPEG"}[kind]
    assert answer.headers["content-type"] == f"image/{kind}"
    assert link.endswith({"png": ".png", "jpeg": ".jpg"}[kind])
    assert answer.headers["etag"] == WEB.head(link).headers["etag"]


def test_a_link_works_from_success_until_a_day_later(slow: Api) -> None:
    """Section 10: not before the task is done, and for 24 hours."""
    task_id = slow.accepted()
    link = f"{slow.sandbox.url}/results/{task_id}.jpg"
    assert WEB.get(link).status_code == 404
    slow.clock.now += 12
    assert WEB.get(link).status_code == 200
    assert WEB.get(link.replace(".jpg", ".png")).status_code == 404
    slow.clock.now += 24 * 3600
    assert WEB.get(link).status_code == 410


def test_a_link_may_live_shorter(clock: Clock) -> None:
    """link_lifetime seconds from the completion, whatever the documents say."""
    with Sandbox(latency=0, clock=clock, link_lifetime=60) as sandbox:
        api = Api(sandbox, clock)
        link = api.links(api.accepted())[0]
        clock.now += 60
        assert WEB.get(link).status_code == 200
        clock.now += 0.1
        assert WEB.get(link).status_code == 410
        api.http.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("link_lifetime", -1),
        ("link_lifetime", float("nan")),
        ("callback_retry", -1),
        ("callback_retry", float("inf")),
        ("callback_timeout", 0),
        ("callback_timeout", float("nan")),
        ("faults", 1.5),
        ("faults", -0.1),
        ("faults", float("nan")),
        ("faults", True),
        ("faults", "0.5"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_in_one_line(name: str, value: Any) -> None:
    """By name and value, and with what may be given."""
    with pytest.raises(ValueError, match=rf"^{name} is {value!r}; give [^\n]+$"):
        Sandbox(**{name: value})


@pytest.mark.parametrize("style", ["", "watercolor", "ink", "oil", "pixel"])
def test_drawing_repeats_itself_and_varies_by_seed(style: str) -> None:
    """The same task gives the same picture; another task with the same prompt a sister of it."""
    prompt = f"a fox and an owl at night {style}"
    one, again, other = (drawing.draw(prompt, 256, 256, seed=seed) for seed in "aab")
    assert one.tobytes() == again.tobytes() != other.tobytes()


def test_every_picture_is_stamped() -> None:
    """Whatever is drawn, the red stamp is in the lower right corner."""
    pale = Image.new("RGB", (300, 300), "white")
    for prompt, shown in (("a fox", []), ("雪", []), ("zzz", [pale]), ("ink pixel", [pale, pale])):
        picture = drawing.draw(prompt, 1024, 1024, references=shown)
        assert picture.getpixel((1024 - 30, 1024 - 26)) == (214, 69, 56)


def test_the_caption_drops_what_the_font_cannot_draw() -> None:
    """No tofu boxes, and no directives, among the prompt's words."""
    assert drawing._drawable("狐 a fox 🦊 [sandbox two] café") == "a fox cafe"


def test_the_prompt_chooses_the_picture() -> None:
    """Colours, subjects and light come from the words, in more than one language."""

    def brightness(prompt: str) -> float:
        return sum(ImageStat.Stat(drawing.draw(prompt, 256, 256)).mean)

    assert brightness("a fox at night") < brightness("a fox in the snow") - 150
    fox, cat = (drawing.draw(f"a {word}", 256, 256) for word in ("fox", "cat"))
    assert ImageChops.difference(fox, cat).getbbox()
    assert drawing.found_in(drawing.words_of("雪の中の猫")) == drawing.found_in(["cat"])


# -- references


def edit(api: Api, *urls: str, **options: Any) -> str:
    return api.accepted("zzz", mode="image-to-image", image_urls=list(urls), **options)


def test_a_reference_is_fetched_and_shown(api: Api, tmp_path: Path) -> None:
    """An edit is painted on its reference; auto takes the reference's ratio (3:2 here)."""
    link = api.sandbox.share(red_square(tmp_path))
    picture = api.picture(edit(api, link, aspect_ratio="auto")).convert("RGB")
    assert picture.size == (1248, 832)
    red, green, blue = ImageStat.Stat(picture.crop((100, 100, 1100, 700))).mean
    assert red > 200
    assert max(green, blue) < 60


def test_several_references_are_shown_in_their_order(api: Api, tmp_path: Path) -> None:
    """The second thumbnail is the second reference."""
    links = []
    for name, colour in (("one", "#00ff00"), ("two", "#0000ff")):
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (90, 90), colour).save(path)
        links.append(api.sandbox.share(path))
    green, blue = links
    for order, second in (((green, blue), (0, 0, 255)), ((blue, green), (0, 255, 0))):
        picture = api.picture(edit(api, *order, output_format="png")).convert("RGB")
        seen = picture.getpixel((270, 860))
        assert isinstance(seen, tuple)
        assert all(abs(a - b) < 12 for a, b in zip(seen, second, strict=True)), seen


def test_a_result_can_be_edited(api: Api) -> None:
    """The sandbox's own result is a reference like any other."""
    first = api.links(api.accepted("a fox"))[0]
    assert api.data(edit(api, first))["state"] == "success"


@pytest.mark.parametrize(
    "url",
    [
        "SANDBOX/nothing.png",
        "SANDBOX/sandbox/account",
        "http://127.0.0.1:1/x.png",
        "http://10.0.0.1/x.png",
        "http://example.com/x.png",
        "https://127.0.0.1:1/x.png",
        "https://[::ffff:10.0.0.1]/x.png",
        "https://169.254.169.254/latest/meta-data",
    ],
)
def test_a_reference_that_cannot_be_had_fails_the_task(api: Api, url: str) -> None:
    """Section 6: INVALID_IMAGE_URL, after acceptance; private addresses are not even tried."""
    data = api.data(edit(api, url.replace("SANDBOX", api.sandbox.url)))
    assert (data["state"], data["failCode"]) == ("failed", "INVALID_IMAGE_URL")


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/x", "http://8.8.8.8/x", "https://10.0.0.1/x", "https://169.254.169.254/x"],
)
def test_addresses_that_are_not_public_are_not_even_tried(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request leaves for the local network, and none leaves without TLS."""
    tried: list[object] = []
    monkeypatch.setattr(socket, "create_connection", lambda *where, **_: tried.append(where))
    with pytest.raises(references.Unusable, match=r"public address|only for this machine"):
        references.load(url)
    assert tried == []


def test_references_have_limits(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are capped while reading, pixels before decoding, formats by decoding."""
    link = api.sandbox.share(red_square(tmp_path))
    for limit, value in (("MAX_IMAGE_BYTES", 100), ("MAX_PIXELS", 59_999), ("FORMATS", ("WEBP",))):
        with monkeypatch.context() as patch:
            if limit == "FORMATS":
                data = (tmp_path / "red.png").read_bytes()
                patch.setattr(references, limit, value)
                with pytest.raises(OSError, match="cannot identify"):
                    references.opened(data)
            else:
                patch.setattr(references, limit, value)
                with pytest.raises(references.Unusable):
                    references.load(link)
    assert references.load(link)


def test_a_shared_file_is_served_under_an_unguessable_address(api: Api, tmp_path: Path) -> None:
    """Outside /api/v1, without a key, read when asked for, with its true type."""
    path = red_square(tmp_path, "my photo ü.png")
    link = api.sandbox.share(path)
    assert re.fullmatch(r".*/files/[\w-]{22}/my%20photo%20%C3%BC\.png", link)
    assert link != api.sandbox.share(path)
    answer = WEB.get(link)
    assert (answer.headers["content-type"], answer.content) == ("image/png", path.read_bytes())
    Image.new("RGB", (9, 9)).save(path, "JPEG")
    assert WEB.get(link).headers["content-type"] == "image/jpeg"
    path.write_text("no longer a picture")
    assert WEB.get(link).status_code == 404
    path.unlink()
    assert WEB.get(link).status_code == 404


def test_nothing_but_shared_files_can_be_reached(api: Api, tmp_path: Path) -> None:
    """No traversal: an address leads to the shared file itself or nowhere."""
    link = api.sandbox.share(red_square(tmp_path))
    red_square(tmp_path, "other.png")
    base, name = link.rsplit("/", 1)
    for wrong in (
        f"{base}/other.png",
        f"{base}/..%2fother.png",
        f"{base}/%2e%2e/{name}",
        f"{base}/../{name}",
        f"{base}x/{name}",
        f"{api.sandbox.url}/files/{name}",
        f"{api.sandbox.url}/files//{tmp_path}/{name}",
        link.replace("/files", "/api/v1/files"),
    ):
        assert raw_get(api.sandbox, wrong) == 404, wrong


def raw_get(sandbox: Sandbox, url: str) -> int:
    """GET an address as it is written, without the tidying of an HTTP client."""
    target = url.removeprefix(sandbox.url).encode()
    request = b"GET " + target + b" HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
    return int(raw(sandbox, request).split()[1])


def test_only_pictures_can_be_shared(api: Api, tmp_path: Path) -> None:
    """A key file, a folder or nothing at all is refused when it is shared."""
    text = tmp_path / "secret.png"
    text.write_text("not a picture")
    with pytest.raises(ValueError, match="not a JPEG, PNG or WebP picture"):
        api.sandbox.share(text)
    for path in (tmp_path, tmp_path / "missing.png"):
        with pytest.raises((OSError, ValueError)):
            api.sandbox.share(path)
