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
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

from . import errors
from .models import MODEL, Failed, ImageRequest, Running, Succeeded, TaskState

PREFIX: Final = "/api/v1"
MAX_ANSWER: Final = 1 << 20
"""Bytes; no answer of the API comes near."""
MAX_PICTURES: Final = 16
_TASK_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
_TASK_ID_IN_BYTES: Final = re.compile(rb'"taskId"\s*:\s*"([A-Za-z0-9_.:-]{1,200})"')


@dataclass(frozen=True)
class Call:
    """One HTTP call: `path` begins with `/api/v1`; `body` is UTF-8 JSON or empty."""

    method: Literal["GET", "POST"]
    path: str
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, as it came. `retry_after` is in seconds."""

    status: int
    body: bytes
    retry_after: float | None = None


def submit_body(request: ImageRequest) -> dict[str, Any]:
    """The JSON that is posted for a request."""
    fields: dict[str, Any] = {
        "mode": request.mode,
        "prompt": request.prompt,
        "aspect_ratio": request.aspect_ratio,
        "output_format": request.output_format,
    }
    if request.image_urls:
        fields["image_urls"] = list(request.image_urls)
    return {"request_type": "async", "input": fields}


def submit(request: ImageRequest) -> Call:
    """The call that makes a task, and is billed when it is accepted."""
    body = json.dumps(submit_body(request), ensure_ascii=False).encode()
    return Call("POST", f"{PREFIX}/generateTask/{MODEL}", body)


def status(task_id: str) -> Call:
    """The call that asks how a task is."""
    return Call("GET", f"{PREFIX}/statusTask/{MODEL}?taskId={quote(task_id, safe='')}")


def balance() -> Call:
    """The call that asks for the key's remaining balance."""
    return Call("GET", f"{PREFIX}/apikeys/current-balance")


def read_submit(answer: Answer) -> str:
    """The id of the new task.

    Raises an `APIError` where the API took no task, `SubmitUnknown` where it may have.
    """
    envelope = _envelope(answer)
    code = _effective_status(answer, envelope)
    if code < 300:
        task_id = _data(envelope).get("taskId")
        if isinstance(task_id, str) and _TASK_ID.fullmatch(task_id):
            return task_id
        if salvaged := _TASK_ID_IN_BYTES.search(answer.body):
            return salvaged.group(1).decode()
        raise maybe_billed("the API's answer held no task id")
    if code == 504 or (code >= 500 and not envelope):
        remedy = HTTP_STATUS.get(code)
        raise maybe_billed(f"{remedy.what if remedy else f'HTTP {code}.'} {CALLBACK_MODE}", code)
    raise _api_error(code, answer, envelope)


def read_status(answer: Answer) -> TaskState:
    """What the task is now. Raises an `APIError`; a broken answer is a retryable `ServerError`."""
    envelope = _envelope(answer)
    code = _effective_status(answer, envelope)
    if code != 200:
        raise _api_error(code, answer, envelope)
    data = _data(envelope)
    state = str(data.get("state") or "unknown")
    match state.lower():
        case "success":
            return _succeeded(data)
        case "failed":
            return Failed(str(data.get("failCode") or "UNKNOWN"), str(data.get("failMsg") or ""))
        case _:  # also states that the page does not list, such as processing_r2
            return Running(state)


def read_balance(answer: Answer) -> Decimal:
    """US dollars left for this key."""
    envelope = _envelope(answer)
    code = _effective_status(answer, envelope)
    if code != 200:
        raise _api_error(code, answer, envelope)
    try:
        return Decimal(str(envelope.get("data")))
    except InvalidOperation:
        raise errors.ServerError("The API's answer held no balance; try again later.") from None


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


CALLBACK_MODE: Final = "For many or long tasks use callback mode."
TOP_UP: Final = "Top up in the APIXO dashboard; nothing was billed for this."

HTTP_STATUS: Final[dict[int, Remedy]] = {
    400: Remedy(
        errors.APIError,
        "The API refused the request (400).",
        "Fix what it names and send it again; nothing was billed.",
    ),
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


def _api_error(code: int, answer: Answer, envelope: Mapping[str, Any]) -> errors.NanoBananaError:
    detail = _detail(envelope)
    remedy = HTTP_STATUS.get(code) or Remedy(
        errors.ServerError if code >= 500 else errors.APIError,
        f"The API answered with an undocumented status ({code}).",
        "Try again later.",
        retryable=code >= 500,
    )
    if code == 400 and "insufficient" in detail.lower():
        remedy = Remedy(errors.BalanceTooLow, "The balance is too low (400).", TOP_UP)
    if code == 403 and re.search("content|policy|safety", detail.lower()):
        refused = "The prompt or a reference picture was refused for its content (403)."
        message = f"{refused}{_quoted(detail)} Change the prompt or the picture."
        return errors.ContentRefused(message, code="403", detail=detail)
    kind: type[errors.APIError] = remedy.error
    return kind(
        f"{remedy.what}{_quoted(detail)} {remedy.next_step}",
        code=str(code),
        detail=detail,
        retry_after=answer.retry_after,
        retryable=remedy.retryable,
    )


def _envelope(answer: Answer) -> Mapping[str, Any]:
    """The API's envelope, or an empty one where the body is something else (a gateway's HTML)."""
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _effective_status(answer: Answer, envelope: Mapping[str, Any]) -> int:
    """HTTP status and the body's `code` may disagree: the one that reports an error counts."""
    code = envelope.get("code")
    if isinstance(code, int) and not isinstance(code, bool) and code != 200:
        return code
    if answer.status == 200 and not envelope:
        return 204  # an answer without an envelope says nothing
    return answer.status


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
            return Running("success without a readable result")
    urls = result.get("resultUrls") if isinstance(result, dict) else None
    found = [url for url in urls if isinstance(url, str)] if isinstance(urls, list) else []
    unique = tuple(dict.fromkeys(found))[:MAX_PICTURES]
    return Succeeded(unique, _seconds(data)) if unique else Running("success without a link")


def _seconds(data: Mapping[str, Any]) -> float | None:
    cost_time, created, completed = (
        data.get(name) for name in ("costTime", "createTime", "completeTime")
    )
    if isinstance(cost_time, int | float):
        return cost_time / 1000
    if isinstance(created, int | float) and isinstance(completed, int | float):
        return max(0.0, (completed - created) / 1000)
    return None


def _detail(envelope: Mapping[str, Any]) -> str:
    """The API's own words about an error, from wherever it has put them."""
    inner = _data(envelope).get("error") or envelope.get("error") or envelope.get("message")
    return clean(inner) if isinstance(inner, str) else ""


def _quoted(text: str) -> str:
    text = clean(text).rstrip(".")
    return f" It says: “{text}”." if text else ""


_UNSEEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+"
)


def clean(text: object, length: int = 300) -> str:
    """Foreign text made safe for one line: no control or direction characters, not too long."""
    line = _UNSEEN.sub(" ", str(text)).strip()
    return line if len(line) <= length else line[: length - 1] + "…"
