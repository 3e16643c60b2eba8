"""The API's words: every documented answer, and the undocumented ones seen in the wild."""

from __future__ import annotations

import json

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


def test_code_and_status_may_disagree() -> None:
    """Whichever of the two reports an error counts."""
    with pytest.raises(errors.RateLimited):
        protocol.read_status(answer(200, envelope(429)))
    with pytest.raises(errors.TaskNotFound):
        protocol.read_status(answer(404, HTML))


def test_balance_is_a_bare_number() -> None:
    """Dollars as a decimal; anything else is an error of ours."""
    assert str(protocol.read_balance(answer(200, envelope(200, 74.87)))) == "74.87"
    for broken in (envelope(200, None), envelope(200, {"x": 1}), HTML):
        with pytest.raises(errors.APIError):
            protocol.read_balance(answer(200, broken))


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
