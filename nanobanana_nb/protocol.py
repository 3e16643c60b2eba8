"""The API's words, without I/O: requests to calls, answers to values or to errors.

Follows the API's model page for nano-banana; lenient in what it accepts, because the page, the
other pages and the answers seen in the wild do not agree in every detail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, NamedTuple, TypeGuard
from urllib.parse import quote

from . import errors
from .models import MODEL, Failed, ImageRequest, Running, Succeeded, TaskState
from .pacing import SUBMIT_TRIES

PREFIX: Final = "/api/v1"
MAX_ANSWER: Final = 1 << 20
"""Bytes; no answer of the API comes near."""
MAX_PICTURES: Final = 16
MAX_BALANCE: Final = 10**9
UNREADABLE: Final = Running("success without a readable result")
NO_LINK: Final = Running("success without a link")
WITHOUT_PICTURE: Final = (UNREADABLE, NO_LINK)
"""Looked at again, but not for ever: the picture is drawn and cannot be seen."""
TROUBLE: Final = frozenset({500, 502, 503})
"""Statuses with which the API itself, in its own envelope, says that it took no task."""
_TASK_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
_MONEY: Final = re.compile(
    r"(?i)insufficient_|insufficient\b.{0,20}(credit|balance|fund|quota|money)"
)
_CONTENT: Final = re.compile("(?i)content(?!.type)|safety|nsfw|sensitive|moderat")
_CONCURRENCY: Final = re.compile(
    "(?i)concurren|simultaneous|parallel|in.?flight|at (?:once|a time)"
)
_RATE: Final = re.compile(r"(?i)rate|quota|(?:per|/) ?(?:second|minute|hour|sec|min)\b|rpm|frequen")
_TASK_ID_IN_BYTES: Final = re.compile(rb'"taskId"\s*:\s*"([A-Za-z0-9_.:-]{1,200})"')


@dataclass(frozen=True)
class Call:
    """One HTTP call: `path` begins with `/api/v1`; `body` is UTF-8 JSON or empty."""

    method: Literal["GET", "POST"]
    path: str
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, as it came; the body may be cut. `retry_after` is in seconds."""

    status: int
    body: bytes
    retry_after: float | None = None


def submit_body(request: ImageRequest, callback_url: str = "") -> dict[str, Any]:
    """The JSON that is posted for a request; with a `callback_url` the API also calls that."""
    fields: dict[str, Any] = {
        "mode": request.mode,
        "prompt": request.prompt,
        "aspect_ratio": request.aspect_ratio,
        "output_format": request.output_format,
    }
    if request.image_urls:
        fields["image_urls"] = list(request.image_urls)
    if callback_url:
        return {"request_type": "callback", "callback_url": callback_url, "input": fields}
    return {"request_type": "async", "input": fields}


def submit(request: ImageRequest, callback_url: str = "") -> Call:
    """The call that makes a task, and is billed when it is accepted."""
    body = json.dumps(submit_body(request, callback_url), ensure_ascii=False).encode()
    return Call("POST", f"{PREFIX}/generateTask/{MODEL}", body)


def status(task_id: str) -> Call:
    """The call that asks how a task is."""
    return Call("GET", f"{PREFIX}/statusTask/{MODEL}?taskId={quote(task_id, '', errors='replace')}")


def balance() -> Call:
    """The call that asks for the key's remaining balance."""
    return Call("GET", f"{PREFIX}/apikeys/current-balance")


def read_submit(answer: Answer, *, resend: bool = True) -> str:
    """The id of the new task.

    Raises an `APIError` where the API took no task, `SubmitUnknown` where it may have. With
    `resend=False` the API's own 500, 502 and 503 are not believed to have taken none.
    """
    envelope = _envelope(answer)
    said = _code(envelope)
    status = _status(answer.status, said)
    refused = 400 <= status < 500 and status not in (408, 429)
    if not refused and (task_id := _task_id(answer, envelope)):
        return task_id  # whatever else it says: what has an id has been made
    if _may_be_billed(answer.status, said, resend):
        words = _quoted(_words(answer, envelope))
        if status < 300:
            odd = _text(_data(envelope).get("taskId"), 80)
            held = f"a task id that cannot be one, “{odd}”" if odd else "no task id"
            raise maybe_billed(f"the API's answer held {held}.{words}", answer.status)
        remedy = HTTP_STATUS.get(status)
        what = remedy.what if remedy else f"HTTP {status}."
        raise maybe_billed(f"{what}{words} {CALLBACK_MODE}", status)
    raise _refusal_of_submit(status, answer, envelope)


def submit_tries(error: errors.NanoBananaError) -> int:
    """How often in all a submit that ended like this may be sent by itself; 1: never again.

    A 408 says that the request did not arrive whole, but some gateways say it in place of 504:
    it is believed once.
    """
    if not isinstance(error, errors.APIError | errors.TransportError) or not error.retryable:
        return 1
    return 2 if isinstance(error, errors.APIError) and error.code == "408" else SUBMIT_TRIES


def reason_of(error: errors.RateLimited) -> str:
    """Which limit a 429 speaks of: concurrency or rate; empty where it does not say."""
    if _CONCURRENCY.search(error.detail):
        return "concurrency"
    return "rate" if _RATE.search(error.detail) else ""


def read_callback(body: bytes) -> str | None:
    """The task id that a callback names; None if it names none.

    The rest is not read: anybody may have written it, and what is true the API says when asked.
    """
    answer = Answer(200, body)
    return _task_id(answer, _envelope(answer)) or None


def read_status(answer: Answer) -> TaskState:
    """What the task is now.

    Raises an `APIError`, which is `retryable` unless it is the question that is refused; a broken
    answer is a retryable `ServerError`.
    """
    data = _data(_read(answer))
    state = _text(data.get("state"), 60) or "unknown"
    match state.lower():
        case "success":
            return _succeeded(data)
        case "failed":
            return Failed(_text(data.get("failCode"), 60) or "UNKNOWN", _text(data.get("failMsg")))
        case _:  # also states that the page does not list, such as processing_r2
            return Running(state)


def read_balance(answer: Answer) -> Decimal:
    """US dollars left for this key."""
    data = _read(answer).get("data")
    try:
        balance = Decimal(str(data)) if isinstance(data, int | float | str) else Decimal("NaN")
    except InvalidOperation:
        balance = Decimal("NaN")
    if not balance.is_finite() or abs(balance) > MAX_BALANCE:
        raise errors.ServerError(
            "The API's answer held no balance; try again later.", retryable=True
        )
    return balance


def maybe_billed(why: str, status: int = 0) -> errors.SubmitUnknown:
    """The error for a submit whose outcome nobody can know."""
    return errors.SubmitUnknown(
        f"It is not known whether the task was made and billed ($0.03): {why.rstrip('.')}. It is "
        "not sent again by itself; compare nb.balance() before you draw it again.",
        status=status,
    )


def task_failed(failed: Failed, task_id: str = "") -> errors.NanoBananaError:
    """The error for a task that ended without a picture, with the page's own remedy."""
    remedy = FAIL_CODES.get(failed.code) or _fail_code_by_its_name(failed.code)
    message = f"{remedy.what}{_quoted(failed.message)} {remedy.next_step}"
    detail = clean(failed.message)
    if remedy.error is errors.BalanceTooLow:
        return errors.BalanceTooLow(message, code=failed.code, detail=detail)
    kind = errors.ContentRefused if remedy.error is errors.ContentRefused else errors.TaskFailed
    return kind(message, code=failed.code, detail=detail, task_id=task_id)


class Remedy(NamedTuple):
    """What a status or a fail code means and what its page says to do about it."""

    error: type[Any]
    what: str
    next_step: str
    retryable: bool = False


CALLBACK_MODE: Final = "For many or long tasks use callback mode (NANOBANANA_CALLBACK_URL)."
TOP_UP: Final = "Top up in the APIXO dashboard; nothing was billed for this."

HTTP_STATUS: Final[dict[int, Remedy]] = {
    401: Remedy(
        errors.KeyRefused,
        "The API does not accept this key (401).",
        "Set a valid APIXO_API_KEY, or call nb.login().",
    ),
    402: Remedy(errors.BalanceTooLow, "The balance or quota is used up (402).", TOP_UP),
    403: Remedy(
        errors.AccessDenied,
        "This key may not use the model (403).",
        "Check the key's permissions and IP list in the APIXO dashboard.",
    ),
    404: Remedy(
        errors.TaskNotFound,
        "The API does not know this task or model (404).",
        "Check the id, and that the key is the one that made the task.",
    ),
    408: Remedy(
        errors.APIError,
        "The request did not reach the API in time (408).",
        "Check the network and try again; nothing was billed.",
        retryable=True,
    ),
    429: Remedy(
        errors.RateLimited,
        "Too many requests or tasks at once (429).",
        f"Slow down: wait a little and send fewer at a time; nothing was billed. {CALLBACK_MODE}",
        retryable=True,
    ),
    500: Remedy(
        errors.ServerError,
        "The API has trouble (500).",
        "Try again in a while.",
        retryable=True,
    ),
    502: Remedy(
        errors.ServerError,
        "The model behind the API has trouble (502).",
        "Try again in a while.",
        retryable=True,
    ),
    503: Remedy(
        errors.ServerError,
        "The API is not available for now (503).",
        "Try again later.",
        retryable=True,
    ),
    504: Remedy(
        errors.ServerError,
        "The model behind the API did not answer in time (504).",
        f"Try again later. {CALLBACK_MODE}",
        retryable=True,
    ),
}

SUBMIT_404: Final = Remedy(
    errors.TaskNotFound,
    "The API has no such model or address (404).",
    "Check APIXO_BASE_URL; nothing was billed.",
)

FAIL_CODES: Final[dict[str, Remedy]] = {
    "CONTENT_VIOLATION": Remedy(
        errors.ContentRefused,
        "The prompt or a reference picture was refused for its content (CONTENT_VIOLATION).",
        "Change the prompt or the picture.",
    ),
    "INVALID_IMAGE_URL": Remedy(
        errors.TaskFailed,
        "A reference picture could not be fetched or read (INVALID_IMAGE_URL).",
        "Give a public, direct link to a PNG, JPEG or WebP under 10 MB.",
    ),
    "INVALID_PARAMETER": Remedy(
        errors.TaskFailed,
        "The API refused a parameter (INVALID_PARAMETER).",
        "Check the ratio, the format and the number of pictures.",
    ),
    "INSUFFICIENT_BALANCE": Remedy(
        errors.BalanceTooLow, "The balance is too low (INSUFFICIENT_BALANCE).", TOP_UP
    ),
    "UPSTREAM_ERROR": Remedy(
        errors.TaskFailed,
        "The model failed (UPSTREAM_ERROR).",
        "Draw it again in a while; that is a new task at $0.03.",
        retryable=True,
    ),
    "TIMEOUT": Remedy(
        errors.TaskFailed,
        "The model took too long (TIMEOUT).",
        f"Draw it again; that is a new task at $0.03. {CALLBACK_MODE}",
        retryable=True,
    ),
}


def _fail_code_by_its_name(code: str) -> Remedy:
    """A remedy for a code that the current page does not list; the list is open."""
    shown = clean(code, 60)
    name = code.lower()
    if re.search("violation|sensitive|nsfw|prohibited", name):
        return FAIL_CODES["CONTENT_VIOLATION"]._replace(
            what=f"The prompt or a reference picture was refused for its content ({shown})."
        )
    if name.startswith("insufficient"):
        return FAIL_CODES["INSUFFICIENT_BALANCE"]._replace(
            what=f"The balance is too low ({shown})."
        )
    if "image" in name or name == "unsupported_format":
        return FAIL_CODES["INVALID_IMAGE_URL"]._replace(
            what=f"A reference picture could not be used ({shown})."
        )
    if name in ("processing_timeout", "model_unavailable", "generation_failed"):
        return FAIL_CODES["UPSTREAM_ERROR"]._replace(what=f"The model failed ({shown}).")
    return Remedy(
        errors.TaskFailed,
        f"The task failed with a code that is not documented ({shown}).",
        "Change the prompt or try again later.",
    )


def _may_be_billed(http: int, said: int | None, resend: bool) -> bool:
    """Whether an answer without a task id leaves open if a task was made.

    `http` is the status, `said` the code in the API's own envelope, if it is one.
    """
    if 300 <= http < 500:
        return False
    if http >= 500 and http not in TROUBLE:  # 504 and 52x: a gateway gave up, a task may run
        return True
    refused = said is not None and 400 <= said < 500
    return not (refused or (resend and said in TROUBLE))


def _refusal_of_submit(
    status: int, answer: Answer, envelope: Mapping[str, Any]
) -> errors.NanoBananaError:
    """The error for a submit of which the API took no task."""
    own = " ".join(_said(envelope))
    remedy = SUBMIT_404 if status == 404 else HTTP_STATUS.get(status) or _unlisted(status)
    if status not in (401, 429) and _MONEY.search(own):
        remedy = Remedy(errors.BalanceTooLow, f"The balance is too low ({status}).", TOP_UP)
    elif status == 403 and _CONTENT.search(own):
        refused = "The prompt or a reference picture was refused for its content (403)."
        detail = _detail(envelope)
        message = f"{refused}{_quoted(detail)} Change the prompt or the picture."
        return errors.ContentRefused(message, code="403", detail=detail)
    return _api_error(remedy, status, answer, envelope, retryable=remedy.retryable)


def _read(answer: Answer) -> Mapping[str, Any]:
    """The envelope of an answer to a question, which costs nothing and may be asked again."""
    envelope = _envelope(answer)
    status = _status(answer.status, _code(envelope))
    if 200 <= status < 300 and envelope:
        return envelope
    if 200 <= status < 300:
        remedy = Remedy(errors.ServerError, "The API's answer could not be read.", "")
    else:
        remedy = HTTP_STATUS.get(status) or _unlisted(status)
    if status not in (401, 403, 404):  # their remedies are about a submit
        remedy = remedy._replace(next_step="Try again later.")
    final = 400 <= status < 500 and status not in (402, 408, 429)
    raise _api_error(remedy, status, answer, envelope, retryable=not final)


def _unlisted(status: int) -> Remedy:
    """A remedy for a status that the table does not list."""
    if 300 <= status < 400:
        what = f"The API redirects elsewhere, which is not followed ({status})."
        return Remedy(errors.APIError, what, "Check APIXO_BASE_URL; nothing was billed.")
    if 400 <= status < 500:
        what = f"The API refused the request ({status})."
        step = "Fix what it names and send it again; nothing was billed."
        return Remedy(errors.APIError, what, step)
    what = f"The API answered with an undocumented status ({status})."
    return Remedy(errors.ServerError, what, "Try again later.")


def _api_error(
    remedy: Remedy, status: int, answer: Answer, envelope: Mapping[str, Any], *, retryable: bool
) -> errors.APIError:
    words = _words(answer, envelope)
    kind: type[errors.APIError] = remedy.error
    return kind(
        f"{remedy.what}{_quoted(words)} {remedy.next_step}",
        code=str(status),
        detail=words,
        retry_after=answer.retry_after,
        retryable=retryable,
    )


def _envelope(answer: Answer) -> Mapping[str, Any]:
    """The JSON object of an answer, or an empty one where the body is something else."""
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _code(envelope: Mapping[str, Any]) -> int | None:
    """The `code` by which the API's own envelope is told from a gateway's JSON."""
    code = envelope.get("code")
    return code if isinstance(code, int) and not isinstance(code, bool) and _sane(code) else None


def _status(http: int, said: int | None) -> int:
    """HTTP status and the body's `code` may disagree: the one that reports an error counts."""
    if said is None or said == 0 or 200 <= said < 300:
        return http
    return http if 300 <= http < 500 and not 400 <= said < 500 else said


def _sane(code: int) -> bool:
    return abs(code) < 10**6


def _task_id(answer: Answer, envelope: Mapping[str, Any]) -> str:
    """The id of the task, wherever it stands whole; else nothing."""
    task_id = _data(envelope).get("taskId")
    if isinstance(task_id, str | int) and not isinstance(task_id, bool):
        text = str(task_id)
        if _TASK_ID.fullmatch(text):
            return text
    found = _TASK_ID_IN_BYTES.search(answer.body)
    return found.group(1).decode() if found else ""


def _data(envelope: Mapping[str, Any]) -> Mapping[str, Any]:
    data = envelope.get("data")
    return data if isinstance(data, dict) else {}


def _succeeded(data: Mapping[str, Any]) -> TaskState:
    """Success needs a link; without a readable one the task is looked at again."""
    result = data.get("resultJson")
    if isinstance(result, str):
        try:
            result = json.loads(result)
        except (ValueError, RecursionError):
            return UNREADABLE
    urls = result.get("resultUrls") if isinstance(result, dict) else None
    found = [url for url in urls if _is_text(url)] if isinstance(urls, list) else []
    unique = tuple(dict.fromkeys(found))[:MAX_PICTURES]
    return Succeeded(unique, *_seconds(data)) if unique else NO_LINK


def _seconds(data: Mapping[str, Any]) -> tuple[float | None, float]:
    """How long the task took, and within how many seconds that is right.

    Answers seen in the wild have no costTime, and their other two times are whole seconds.
    """
    cost_time, created, completed = (
        data.get(name) for name in ("costTime", "createTime", "completeTime")
    )
    if _is_number(cost_time):
        return _not_absurd(cost_time / 1000), 0.0
    if _is_number(created) and _is_number(completed):
        whole = created % 1000 == 0 and completed % 1000 == 0
        return _not_absurd((completed - created) / 1000), 1.0 if whole else 0.0
    return None, 0.0


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and abs(value) < 10**18  # false for nan


def _not_absurd(seconds: float) -> float | None:
    return float(seconds) if 0 <= seconds < 10**6 else None


def _is_text(value: object) -> bool:
    """Whether it is text that can be stored and sent, which half a surrogate pair cannot."""
    return isinstance(value, str) and value != "" and not re.search("[\ud800-\udfff]", value)


def _text(value: object, length: int = 300) -> str:
    return clean(value, length) if isinstance(value, str | int) else ""


def _words(answer: Answer, envelope: Mapping[str, Any]) -> str:
    """What an answer says in its own words: the API's, else those of whatever page came."""
    if envelope:
        return _detail(envelope)
    page = re.sub(r"(?is)<(style|script)\b.*?</\1\s*>|<[^>]*>", " ", _beginning(answer.body))
    return clean(" ".join(page.split()))


def _beginning(body: bytes) -> str:
    return body[:4096].decode("utf-8", "replace").replace("\ufffd", "")


def _detail(envelope: Mapping[str, Any]) -> str:
    """The API's own words about an error, from wherever it has put them."""
    return next(iter(_said(envelope)), "")


def _said(envelope: Mapping[str, Any]) -> list[str]:
    """All that an envelope says about an error, in words and in identifiers, best first."""
    data = _data(envelope)
    places = [data.get("error"), envelope.get("error"), envelope.get("message")]
    places += [data.get("message"), envelope.get("detail"), envelope.get("msg")]
    places += [data.get("failMsg"), data.get("failCode"), envelope.get("code")]
    words = [place.get("message") if isinstance(place, dict) else place for place in places]
    return [clean(word) for word in words if isinstance(word, str) and word]


def _quoted(text: str) -> str:
    text = clean(text).rstrip(".")
    return f" It says: “{text}”." if text else ""


_UNSEEN: Final = re.compile(f"(?:{errors.UNSEEN.pattern}|\n)+")


def clean(text: object, length: int = 300) -> str:
    """Foreign text made safe for one line: no control or direction characters, not too long."""
    line = _UNSEEN.sub(" ", str(text)).strip()
    return line if len(line) <= length else line[: length - 1] + "…"
