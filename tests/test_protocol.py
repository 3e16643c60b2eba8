"""The API's words: every documented answer, and the undocumented ones seen in the wild."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import pytest

from nanobanana_nb import errors, protocol
from nanobanana_nb.models import Failed, ImageRequest, Running, Succeeded
from nanobanana_nb.protocol import Answer

HTML = b"<html><head><title>502 Bad Gateway</title></head></html>"


def answer(http: int, body: object) -> Answer:
    return Answer(http, body if isinstance(body, bytes) else json.dumps(body).encode())


def envelope(code: int, data: object = None, message: str = "success") -> dict[str, object]:
    return {"code": code, "message": message, "data": data}


def submitted(http: int, body: object) -> Exception:
    with pytest.raises(errors.NanoBananaError) as caught:
        protocol.read_submit(answer(http, body))
    return caught.value


# The page's eight statuses and six fail codes, with the words of its remedy.
STATUSES = [
    (400, errors.APIError, "Fix"),
    (401, errors.KeyRefused, "key"),
    (402, errors.BalanceTooLow, "Top up"),
    (403, errors.AccessDenied, "permissions"),
    (429, errors.RateLimited, "Slow down"),
    (500, errors.ServerError, "Try again"),
    (502, errors.ServerError, "Try again"),
    (504, errors.SubmitUnknown, "callback mode"),
]
FAIL_CODES = [
    ("CONTENT_VIOLATION", errors.ContentRefused, "Change the prompt or the picture"),
    ("INVALID_IMAGE_URL", errors.TaskFailed, "public, direct link"),
    ("INVALID_PARAMETER", errors.TaskFailed, "Check the ratio"),
    ("INSUFFICIENT_BALANCE", errors.BalanceTooLow, "Top up"),
    ("UPSTREAM_ERROR", errors.TaskFailed, "again"),
    ("TIMEOUT", errors.TaskFailed, "callback mode"),
]


@pytest.mark.parametrize(("status", "kind", "remedy"), STATUSES)
def test_each_status_of_the_page_has_its_remedy(status, kind, remedy) -> None:
    """Eight statuses: the right error, the page's own advice, the API's own words, one line."""
    error = submitted(status, envelope(status, message="its own words"))
    assert type(error) is kind
    assert remedy in str(error)
    assert str(status) in str(error)
    assert "\n" not in str(error)
    if kind is not errors.SubmitUnknown:
        assert "its own words" in str(error)


@pytest.mark.parametrize(("code", "kind", "remedy"), FAIL_CODES)
def test_each_fail_code_of_the_page_has_its_remedy(code, kind, remedy) -> None:
    """Six fail codes: the right error, the page's own advice, the API's own words, one line."""
    error = protocol.task_failed(Failed(code, "its own words"), "t1")
    assert type(error) is kind
    assert remedy in str(error)
    assert code in str(error)
    assert "its own words" in str(error)
    assert "\n" not in str(error)


def test_all_fourteen_messages_differ() -> None:
    """Each status and each fail code has a message of its own."""
    messages = {str(submitted(status, envelope(status))) for status, *_ in STATUSES}
    messages |= {str(protocol.task_failed(Failed(code, ""))) for code, *_ in FAIL_CODES}
    assert len(messages) == 14


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("NSFW_DETECTED", errors.ContentRefused),
        ("InputImageSensitiveContentDetected", errors.ContentRefused),
        ("ProhibitedContentDetected", errors.ContentRefused),
        ("INSUFFICIENT_CREDITS", errors.BalanceTooLow),
        ("IMAGE_DOWNLOAD_FAILED", errors.TaskFailed),
        ("MODEL_UNAVAILABLE", errors.TaskFailed),
        ("SOMETHING_NEW", errors.TaskFailed),
        ("<b>\u202ex", errors.TaskFailed),
    ],
)
def test_unknown_fail_codes_are_named_and_sorted(code, kind) -> None:
    """The list is open: an unknown code is shown, sorted by its name, and never crashes."""
    error = protocol.task_failed(Failed(code, ""))
    assert type(error) is kind
    assert protocol.clean(code, 60) in str(error)
    assert "\u202e" not in str(error)


def test_an_unknown_status_is_named() -> None:
    """418 is an error of ours too."""
    assert "418" in str(submitted(418, envelope(418)))


def test_money_is_short_in_three_ways() -> None:
    """HTTP 402, HTTP 400 in the older words, and fail codes are the same error."""
    for http, code, message in ((402, 402, "x"), (400, 400, "Insufficient credits")):
        assert isinstance(submitted(http, envelope(code, message=message)), errors.BalanceTooLow)
    assert isinstance(
        protocol.task_failed(Failed("INSUFFICIENT_CREDITS", "")), errors.BalanceTooLow
    )


@pytest.mark.parametrize(
    ("http", "body", "ambiguous"),
    [
        (200, HTML, True),
        (200, b"", True),
        (200, b'{"code":200,"data":{"taskI', True),
        (200, envelope(200, None), True),
        (200, envelope(200, {"taskId": "../x"}), True),
        (200, envelope(429), False),
        (200, envelope(402), False),
        (502, HTML, True),
        (503, HTML, True),
        (500, b"", True),
        (504, HTML, True),
        (504, envelope(504), True),
        (500, envelope(500), False),
        (502, envelope(502), False),
        (503, envelope(503), False),
        (400, HTML, False),
        (429, HTML, False),
    ],
)
def test_which_submits_are_ambiguous(http, body, ambiguous) -> None:
    """The API's own envelope says that it took no task; a gateway's page says nothing."""
    assert isinstance(submitted(http, body), errors.SubmitUnknown) is ambiguous


@pytest.mark.parametrize(
    "body",
    [
        envelope(200, {"taskId": "task_12345678"}),
        {"data": {"taskId": "task_12345678"}},
        b'{"code":200,"message":"success","data":{"taskId":"task_12345678"}, ...cut',
    ],
)
def test_a_task_id_is_found_even_in_a_broken_answer(body) -> None:
    """The id of a paid task is taken wherever it stands whole."""
    assert protocol.read_submit(answer(200, body)) == "task_12345678"


RESULT = '{"resultUrls":["https://r2.example/a.png"]}'
ONE = Succeeded(("https://r2.example/a.png",))


@pytest.mark.parametrize(
    ("data", "state"),
    [
        ({"state": "pending"}, Running("pending")),
        ({"state": "processing_r2"}, Running("processing_r2")),
        ({"state": "anything new"}, Running("anything new")),
        (None, Running("unknown")),
        ([], Running("unknown")),
        ({"state": "success", "resultJson": RESULT}, ONE),
        ({"state": "SUCCESS", "resultJson": RESULT}, ONE),
        ({"state": "success", "resultJson": json.loads(RESULT)}, ONE),
        (
            {"state": "success", "resultJson": RESULT, "costTime": 15200},
            Succeeded(ONE.image_urls, 15.2),
        ),
        (
            {"state": "success", "resultJson": RESULT, "createTime": 1000, "completeTime": 3500},
            Succeeded(ONE.image_urls, 2.5),
        ),
        (
            {"state": "success", "resultJson": '{"resultUrls":["b","b",null,"c"],"x":1}'},
            Succeeded(("b", "c")),
        ),
        ({"state": "success", "resultJson": "{cut"}, Running("success without a readable result")),
        (
            {"state": "success", "resultJson": '{"resultUrls":[]}'},
            Running("success without a link"),
        ),
        ({"state": "success"}, Running("success without a link")),
        ({"state": "failed", "failCode": "X", "failMsg": "y"}, Failed("X", "y")),
        ({"state": "Failed"}, Failed("UNKNOWN", "")),
    ],
)
def test_states_are_read_leniently(data, state) -> None:
    """Every quirk of the answers: case, double encoding, nulls, new states, missing times."""
    assert protocol.read_status(answer(200, envelope(200, data))) == state


@pytest.mark.parametrize(
    "more",
    [
        {"costTime": 10**400},
        {"costTime": float("nan")},
        {"costTime": -1},
        {"costTime": 1e300},
        {"createTime": 10**400, "completeTime": 1},
        {"createTime": 2000, "completeTime": 1000},
        {"createTime": "1000", "completeTime": None},
    ],
)
def test_absurd_times_do_not_lose_a_picture(more) -> None:
    """They are left out; the link is what was paid for."""
    data = {"state": "success", "resultJson": RESULT, **more}
    assert protocol.read_status(answer(200, envelope(200, data))) == ONE


def test_a_link_that_cannot_be_kept_does_not_hide_the_others() -> None:
    """Half a surrogate pair would not go into the ledger."""
    data = {"state": "success", "resultJson": {"resultUrls": ["\ud800", "", *ONE.image_urls]}}
    assert protocol.read_status(answer(200, envelope(200, data))) == ONE


def test_code_and_status_may_disagree() -> None:
    """Whichever of the two reports an error counts."""
    with pytest.raises(errors.RateLimited):
        protocol.read_status(answer(200, envelope(429)))
    with pytest.raises(errors.TaskNotFound):
        protocol.read_status(answer(404, HTML))


@pytest.mark.parametrize(
    "body",
    [
        {"code": 400, "message": "m", "data": {"error": "its own words"}},
        {"code": 400, "error": "its own words"},
        {"code": 400, "error": {"message": "its own words", "type": "x"}},
        {"code": 400, "detail": "its own words"},
        {"code": 400, "msg": "its own words"},
        b"its own words",
        b"<html><head><style>p{}</style></head><body><h1>its\n own</h1> words</body></html>",
    ],
)
def test_a_refusal_is_shown_in_its_own_words(body) -> None:
    """Wherever they stand, and as one plain line."""
    error = submitted(400, body)
    assert type(error) is errors.APIError
    assert "It says: “its own words" in str(error) or error.detail == "m"
    assert "<" not in str(error)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Insufficient credits", errors.BalanceTooLow),
        ("insufficient account balance", errors.BalanceTooLow),
        ("INSUFFICIENT_QUOTA", errors.BalanceTooLow),
        ("Insufficient image resolution", errors.APIError),
    ],
)
def test_what_speaks_of_money(message, kind) -> None:
    """Only missing money stops the queue, not everything that is insufficient."""
    assert type(submitted(400, envelope(400, message=message))) is kind


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Content violates policy", errors.ContentRefused),
        ("NSFW prompt", errors.ContentRefused),
        ("Blocked by your IP policy", errors.AccessDenied),
        ("Content-Type not allowed", errors.AccessDenied),
    ],
)
def test_what_speaks_of_content(message, kind) -> None:
    """A 403 about one prompt concerns that prompt; any other concerns the key."""
    assert type(submitted(403, envelope(403, message=message))) is kind


@pytest.mark.parametrize(
    ("status", "again"),
    [(400, False), (404, False), (409, False), (422, False), (302, True), (402, True), (408, True),
     (429, True), (500, True), (504, True), (1001, True)],
)  # fmt: skip
def test_which_questions_may_be_asked_again(status: int, again: bool) -> None:
    """Looking costs nothing, so only a refusal of the question itself is not repeated."""
    with pytest.raises(errors.APIError) as caught:
        protocol.read_status(answer(200, envelope(status)))
    assert caught.value.retryable is again
    assert "billed" not in str(caught.value)  # the task is


def test_how_often_a_submit_may_be_sent() -> None:
    """Four times where it is safe, twice after a 408, once for all else."""
    tries = {
        error: protocol.submit_tries(error)
        for error in (
            submitted(429, envelope(429)),
            submitted(408, HTML),
            submitted(400, HTML),
            submitted(504, HTML),
            errors.TransportError("away"),
            errors.TransportError("not trusted", retryable=False),
            errors.LedgerError("x"),
            errors.TaskFailed("x", code="UPSTREAM_ERROR"),
        )
    }
    assert list(tries.values()) == [4, 2, 1, 1, 4, 1, 1, 1]


def test_a_number_is_a_task_id_too() -> None:
    """An id is opaque; that it is a number one day must not lose it."""
    assert protocol.read_submit(answer(200, envelope(200, {"taskId": 12345}))) == "12345"


def test_balance_is_a_bare_number() -> None:
    """Dollars as a decimal; anything else is an error of ours."""
    assert str(protocol.read_balance(answer(200, envelope(200, 74.87)))) == "74.87"
    broken = (None, {"x": 1}, [], "", "NaN", "Infinity", "1e999999", float("nan"), "-1e10")
    for body in (*(envelope(200, data) for data in broken), HTML, b"", b"{}", b"[]"):
        with pytest.raises(errors.APIError):
            protocol.read_balance(answer(200, body))


STATUSES_OF_THE_WORLD = [
    *(0, 100, 101, 199, 200, 201, 204, 206, 299, 300, 301, 302, 304, 399, 400, 401, 402, 403, 404),
    *(405, 408, 409, 410, 413, 414, 415, 418, 422, 425, 429, 451, 499, 500, 501, 502, 503, 504),
    *(505, 507, 511, 520, 521, 522, 523, 524, 525, 529, 599, 600, 999),
]
FIELDS = [
    *("code", "message", "data", "error", "detail", "msg", "taskId", "state", "resultJson"),
    *("resultUrls", "failCode", "failMsg", "costTime", "createTime", "completeTime"),
]
ODDITIES: list[Any] = [
    *(None, True, False, 0, 1, -1, 200, 429, 502, 1001, 10**18, 10**400, -(10**30), 1e308, -0.0),
    *(
        float("nan"),
        float("inf"),
        "",
        "success",
        "failed",
        "pending",
        "SUCCESS",
        "../x",
        "x" * 5000,
    ),
    *("\ud800", "\udfff\ud800", "\u202e<script>", "a\nb\x00\x1b[31m", "INSUFFICIENT_CREDITS"),
    *("content", "https://e.com/a.png", "{cut", "[[", '{"resultUrls":["https://e.com/a.png"]}'),
    *('{"resultUrls":["\\ud800", null, 1]}', "task_1", "NaN", "1e400", "502", [], {}, [[]], [{}]),
]


def odd_value(chance: random.Random, depth: int) -> Any:
    """A JSON value with names that the API uses, in places where it does not."""
    if not depth or chance.random() < 0.45:
        return chance.choice(ODDITIES)
    if chance.random() < 0.8:
        names = chance.sample(FIELDS, chance.randint(0, 5))
        return {name: odd_value(chance, depth - 1) for name in names}
    return [odd_value(chance, depth - 1) for _ in range(chance.randint(0, 3))]


def odd_object(chance: random.Random) -> Any:
    """Anything, an envelope with anything in it, or a good answer with something wrong."""
    dice = chance.random()
    if dice < 0.3:
        return odd_value(chance, 4)
    if dice < 0.7:
        code = chance.choice([*STATUSES_OF_THE_WORLD, None, "200", 429.0, 10**4299])
        return {"code": code, "message": odd_value(chance, 1), "data": odd_value(chance, 3)}
    result = '{"resultUrls":["https://e.com/a.png"]}'
    state = chance.choice(["success", "failed", "pending"])
    good = {"taskId": "task_1", "state": state, "resultJson": result, "costTime": 15200}
    good |= {name: odd_value(chance, 1) for name in chance.sample(FIELDS, chance.randint(0, 2))}
    return {"code": chance.choice([200, 200, 200, 429, 502]), "data": good}


def odd_body(chance: random.Random) -> bytes:
    """A body that a server might send on a bad day."""
    ascii_only = chance.random() < 0.5
    raw = json.dumps(odd_object(chance), ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    at = chance.randint(0, len(raw))
    match chance.randrange(12):
        case 0:
            return raw[:at]
        case 1:
            return raw[:at] + chance.randbytes(3) + raw[at:]
        case 2:
            return raw.decode("utf-8", "replace").encode(chance.choice(["utf-16", "utf-32"]))
        case 3:
            return chance.randbytes(chance.randint(0, 200))
        case 4:
            deep = [b"[" * 100_000, b'{"data":' * 9000]
            return chance.choice([b"\xef\xbb\xbf" + raw, HTML + raw, *deep])
        case _:
            return raw


def test_no_answer_raises_what_is_not_ours() -> None:
    """20,000 odd answers: an error of ours in one line, or a value that can be kept and sent.

    And never both: where an answer says that the same submit may be sent again, it holds no task
    id, and its status is one of the five for which that is true.
    """
    chance = random.Random(20_261_122)
    kinds: dict[str, int] = {}
    for _ in range(20_000):
        body = odd_body(chance)
        http = chance.choice([200, chance.choice(STATUSES_OF_THE_WORLD)])
        come = Answer(http, body, chance.choice([None, 0.0, 60.0]))
        for read in (protocol.read_submit, protocol.read_status, protocol.read_balance):
            name = read.__name__
            try:
                value = read(come)
            except errors.NanoBananaError as error:
                assert_one_line(str(error))
                assert_small(getattr(error, "status", 0))
                if name == "read_submit" and protocol.submit_tries(error) > 1:
                    assert_safe(error, come)
                kind = f"{name} {type(error).__name__}"
            else:
                assert_kept(value)
                kind = f"{name} {type(value).__name__}"
            kinds[kind] = kinds.get(kind, 0) + 1
    assert sum(kinds.values()) == 60_000
    assert {"read_submit str", "read_submit SubmitUnknown", "read_status Succeeded"} <= set(kinds)
    assert {"read_status Failed", "read_balance Decimal", "read_submit BalanceTooLow"} <= set(kinds)


def assert_one_line(text: str) -> None:
    text.encode()
    assert "\n" not in text
    assert len(text) < 1000


def assert_safe(error: Any, come: Answer) -> None:
    """What may be sent again is one of the five, and holds no id of a task that was made."""
    assert error.code in ("408", "429", "500", "502", "503"), come
    assert not protocol._TASK_ID_IN_BYTES.search(come.body)
    if error.code in ("500", "502", "503"):
        assert error.code == str(json.loads(come.body)["code"])


def assert_small(number: int) -> None:
    assert abs(number) < 10**6


def assert_kept(value: object) -> None:
    """It can go into the ledger, a message and a URL."""
    match value:
        case str():
            assert protocol._TASK_ID.fullmatch(value)
        case Succeeded(urls, seconds):
            "".join(urls).encode()
            assert 1 <= len(urls) <= 16
            assert seconds is None or 0 <= seconds < 10**6
        case Failed(code, message):
            assert_one_line(code + message)
        case Running(state):
            assert_one_line(state)
        case _:
            assert isinstance(value, Decimal)
            assert len(f"{value:.2f}") < 20


def test_the_submit_is_what_the_page_shows() -> None:
    """Method, path, fields and words of the API's page, UTF-8 without escapes."""
    call = protocol.submit(
        ImageRequest("ein Füchslein 🦊", "16:9", "jpeg", ("https://e.com/a.png",))
    )
    assert (call.method, call.path) == ("POST", "/api/v1/generateTask/nano-banana")
    assert "Füchslein 🦊".encode() in call.body
    assert json.loads(call.body) == {
        "request_type": "async",
        "input": {
            "mode": "image-to-image",
            "prompt": "ein Füchslein 🦊",
            "aspect_ratio": "16:9",
            "output_format": "jpeg",
            "image_urls": ["https://e.com/a.png"],
        },
    }


def test_task_ids_are_opaque_in_the_path() -> None:
    """An odd id cannot change the call."""
    assert protocol.status("a/b&c=d").path.endswith("?taskId=a%2Fb%26c%3Dd")


def test_foreign_text_becomes_one_plain_line() -> None:
    """Control and direction characters go, length is capped."""
    assert protocol.clean("a\x1b[31m\nb\u202ec\u2066d") == "a [31m b c d"
    assert len(protocol.clean("x" * 10_000)) == 300


@pytest.mark.parametrize(
    ("body", "task_id"),
    [
        (b'{"code":200,"message":"success","data":{"taskId":"abc","state":"success"}}', "abc"),
        (b'{"code":200,"data":{"taskId":"abc","state":"failed","failCode":"TIMEOUT"}}', "abc"),
        (b'{"code":500,"data":{"taskId":"abc"}}', "abc"),
        (b'{"data":{"taskId":"abc"}, and then it breaks', "abc"),
        (b"", None),
        (b"null", None),
        (b"[]", None),
        (b'{"data":null}', None),
        (b'{"data":{"taskId":"../etc"}}', None),
        (b'{"data":{"taskId":true}}', None),
        (b'{"data":{"taskId":"' + b"a" * 201 + b'"}}', None),
        (b"[" * 60_000, None),
        (b"\xff\xfe", None),
    ],
)
def test_of_a_callback_only_the_task_id_is_read(body: bytes, task_id: str | None) -> None:
    """Anybody may have written it: a name to ask the API about, or nothing; never an exception."""
    assert protocol.read_callback(body) == task_id


def test_a_submit_in_callback_mode_says_where_to_call() -> None:
    """As the model page shows it; without an address it asks for no call."""
    request = ImageRequest("a fox", "1:1", "png")
    told = protocol.submit_body(request, "https://hooks.example.com/t")
    assert told["request_type"] == "callback"
    assert told["callback_url"] == "https://hooks.example.com/t"
    assert "callback_url" not in protocol.submit_body(request)


def test_joiners_are_part_of_words() -> None:
    """Without them a family falls into three people, and a Persian word is misspelt; what turns a
    line around goes all the same."""
    family, word, path = "👨\u200d👩\u200d👧", "می\u200cخواهم", "Foto 2026\u202f14.png"
    for text in (family, word, path):
        assert protocol.clean(text) == text
        assert str(errors.RequestError(text)) == text
    assert protocol.clean("a\u202eb\u200fc") == "a b c"
    assert str(errors.RequestError("a\u202eb\x1bc\nd")) == "a b c\nd"
