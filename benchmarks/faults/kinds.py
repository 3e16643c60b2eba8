"""The one table of everything that goes wrong, each kind by name.

A fault turns the good answer to a request, or the good delivery of a callback, into what is sent
instead. Faults of a submit also say whether the task is billed and whether the answer leaves that
open; those of a callback may add what a broken or a hostile sender posts beside the true one.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

Stage = Literal["submit", "poll", "download", "callback"]

STALL: Final = 1.0
"""Seconds; longer than the clients here wait for an answer."""
SLOW: Final = 2.5
"""Seconds; longer than the clients here wait for the answer to a submit."""
LATE: Final = 1.0
"""Seconds by which a callback may come late."""
SHUT: Final = 0.1
"""Seconds in which the service takes no connections."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer and how it is sent: how late, how much of it, and what happens then.

    Also a callback, where `end` says: wait for its answer, close without it, or reset."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    """Content-Length, if it is not that of the body."""
    delay: float = 0.0
    part: float = 1.0
    """How much of the body is sent."""
    pause: float = 0.0
    """Seconds between the first half of the body and the second."""
    silent: bool = False
    """Nothing is sent at all."""
    end: Literal["keep", "close", "reset"] = "keep"


@dataclass(frozen=True)
class Notice:
    """What a callback is about: the true envelope, and what a forger would like to say instead."""

    true: bytes
    another: str
    """The id of another task of the account that was called back about; of none before that."""
    lure: str
    """A link of an attacker."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault. `ambiguous`: who sees it cannot know whether the task was taken."""

    name: str
    spoil: Callable[[Answer], Answer]
    billed: bool = False
    ambiguous: bool = False
    ends_link: bool = False
    """The link is dead from then on; the next status holds a fresh one."""
    shuts: bool = False
    """The answer is good, but for a moment new connections are refused."""
    legible: bool = False
    """The whole task id stands in what is sent, even so."""
    before: Callable[[Notice], bytes] | None = None
    """A body that is posted first,"""
    after: Callable[[Notice], bytes] | None = None
    """and one that is posted last."""
    twice: bool = False
    """The callback is posted twice at the same time."""


def envelope(code: int, message: str, data: object = None, status: int | None = None) -> Answer:
    """What the API itself says."""
    body = {"code": code, "message": message, "data": data}
    return Answer(code if status is None else status, json.dumps(body).encode())


def _said(code: int, message: str, **how: object) -> Callable[[Answer], Answer]:
    answer = replace(envelope(code, message), **how)  # type: ignore[arg-type]
    return lambda _: answer


def _gateway(code: int) -> Callable[[Answer], Answer]:
    page = f"<html><head><title>{code}</title></head><body><h1>{code}</h1>nginx</body></html>"
    return lambda _: Answer(code, page.encode(), "text/html", end="close")


def _reset(good: Answer) -> Answer:
    return replace(good, silent=True, end="reset")


def _closed(good: Answer) -> Answer:
    return replace(good, silent=True, end="close")


def _cut_after(mark: bytes, more: int) -> Callable[[Answer], Answer]:
    """The body up to `more` bytes after a mark, with the length that it then has."""

    def spoil(good: Answer) -> Answer:
        return replace(good, body=good.body[: good.body.find(mark) + len(mark) + more])

    return spoil


def _slow(good: Answer) -> Answer:
    return replace(good, delay=SLOW)


def _stalled(good: Answer) -> Answer:
    return replace(good, delay=STALL)


def _paused(good: Answer) -> Answer:
    return replace(good, pause=STALL)


def _unspoilt(good: Answer) -> Answer:
    return good


def _redirect(_: Answer) -> Answer:
    return Answer(307, b"", headers={"Location": "/api/v1/generateTask/elsewhere"})


def _changed(**changes: object) -> Callable[[Answer], Answer]:
    """The API's answer with other values in its `data`."""

    def spoil(good: Answer) -> Answer:
        body = json.loads(good.body)
        body["data"] = {**body["data"], **changes}
        return replace(good, body=json.dumps(body).encode())

    return spoil


def _data_null(_: Answer) -> Answer:
    return envelope(200, "success", None)


def _without_task_id(_: Answer) -> Answer:
    return envelope(200, "success", {})


def _half(good: Answer) -> Answer:
    return replace(good, part=0.5, end="close")


def _half_reset(good: Answer) -> Answer:
    return replace(good, part=0.5, end="reset")


def _wrong_length(good: Answer) -> Answer:
    return replace(good, length=len(good.body) * 2 // 3, end="close")


def _cut_to(share: float) -> Callable[[Answer], Answer]:
    """A body that ends early and a length that agrees with it: HTTP sees nothing wrong."""
    return lambda good: replace(good, body=good.body[: int(len(good.body) * share)])


def _without_its_end(good: Answer) -> Answer:
    """Only the last bytes are missing: every pixel is there, and yet it is not the picture."""
    return replace(good, body=good.body[:-2])


def _html_as_picture(good: Answer) -> Answer:
    return replace(good, body=b"<html><body>Please wait while we check your browser</body></html>")


def _empty(good: Answer) -> Answer:
    return replace(good, body=b"")


def _zipped(good: Answer) -> Answer:
    body = gzip.compress(good.body, 1)
    return replace(good, body=body, headers={"Content-Encoding": "gzip"})


def _dead(code: int) -> Callable[[Answer], Answer]:
    body = b"<Error><Code>ExpiredToken</Code></Error>"
    return lambda _: Answer(code, body, "application/xml")


def _unheard(good: Answer) -> Answer:
    return replace(good, end="close")


def _late(good: Answer) -> Answer:
    return replace(good, delay=LATE)


def _garbage(_: Notice) -> bytes:
    return b'\x00\xff{"code": 200, "data": [[[['


def _forged(notice: Notice, **changes: object) -> bytes:
    """The true envelope with other values in its `data`."""
    body = json.loads(notice.true)
    return json.dumps({**body, "data": {**body["data"], **changes}}).encode()


def _strangers(notice: Notice) -> bytes:
    """A task that nobody has made, drawn where an attacker would like us to look."""
    links = json.dumps({"resultUrls": [notice.lure]})
    return _forged(notice, taskId="f" * 32, state="success", resultJson=links)


def _anothers(notice: Notice) -> bytes:
    return _forged(notice, taskId=notice.another)


def _lured(notice: Notice) -> bytes:
    return _forged(notice, resultJson=json.dumps({"resultUrls": [notice.lure]}))


def _failure(notice: Notice) -> bytes:
    return _forged(notice, state="failed", failCode="UPSTREAM_ERROR", failMsg="Forged")


def _processing(notice: Notice) -> bytes:
    return _forged(notice, state="processing", resultJson=None)


_AT_ONCE: Final = {"Retry-After": "0"}

TABLE: Final[dict[Stage, tuple[Fault, ...]]] = {
    "submit": (
        Fault("reset-not-billed", _reset, ambiguous=True),
        Fault("reset-billed", _reset, billed=True, ambiguous=True),
        Fault("answer-lost-billed", _closed, billed=True, ambiguous=True),
        Fault("429", _said(429, "Too many requests")),
        Fault("429-retry-after-0", _said(429, "Too many requests", headers=_AT_ONCE)),
        Fault("429-in-a-200", _said(429, "Too many requests", status=200)),
        Fault("500-envelope", _said(500, "Internal error")),
        Fault("502-envelope", _said(502, "Upstream provider error")),
        Fault("503-envelope", _said(503, "Service unavailable")),
        Fault("504-envelope-billed", _said(504, "Upstream timeout"), billed=True, ambiguous=True),
        Fault("502-html-billed", _gateway(502), billed=True, ambiguous=True),
        Fault("502-html-not-billed", _gateway(502), ambiguous=True),
        Fault("503-html-billed", _gateway(503), billed=True, ambiguous=True),
        Fault("503-html-not-billed", _gateway(503), ambiguous=True),
        Fault("504-html-billed", _gateway(504), billed=True, ambiguous=True),
        Fault("504-html-not-billed", _gateway(504), ambiguous=True),
        Fault("json-cut-in-id-billed", _cut_after(b'"taskId": "', 9), True, True),
        Fault("json-cut-after-id-billed", _cut_after(b'"taskId": "', 33), True, True, legible=True),
        Fault("no-task-id-billed", _without_task_id, billed=True, ambiguous=True),
        Fault("slow-billed", _slow, billed=True, ambiguous=True),
        Fault("redirect-not-billed", _redirect),
        Fault("then-refused", _unspoilt, billed=True, shuts=True),
    ),
    "poll": (
        Fault("429", _said(429, "Too many requests")),
        Fault("429-retry-after-0", _said(429, "Too many requests", headers=_AT_ONCE)),
        Fault("500", _said(500, "Internal error")),
        Fault("502-html", _gateway(502)),
        Fault("json-cut", _cut_after(b'"state": "', 3)),
        Fault("reset", _reset),
        Fault("closed", _closed),
        Fault("stall", _stalled),
        Fault("404-early", _said(404, "Task not found")),
        Fault("state-unheard-of", _changed(state="processing_r2")),
        Fault("data-null", _data_null),
        Fault("success-without-links", _changed(state="success", resultJson='{"resultUrls":[]}')),
        Fault("result-json-cut", _changed(state="success", resultJson='{"resultUrls":["http')),
    ),
    "download": (
        Fault("reset", _half_reset),
        Fault("cut", _half),
        Fault("wrong-length", _wrong_length),
        Fault("html-as-picture", _html_as_picture),
        Fault("empty", _empty),
        Fault("403-link-dead", _dead(403), ends_link=True),
        Fault("404-link-dead", _dead(404), ends_link=True),
        Fault("410-link-dead", _dead(410), ends_link=True),
        Fault("500", _said(500, "Internal error")),
        Fault("stall", _paused),
        Fault("truncated-at-60", _cut_to(0.6)),
        Fault("truncated-at-97", _cut_to(0.97)),
        Fault("without-its-end", _without_its_end),
        Fault("zipped", _zipped),
    ),
    "callback": (
        Fault("not-delivered", _closed),
        Fault("reset-in-body", _half_reset),
        Fault("answer-not-awaited", _unheard),
        Fault("twice-at-once", _unspoilt, twice=True),
        Fault("slow-body", _paused),
        Fault("late", _late),
        Fault("garbage-first", _unspoilt, before=_garbage),
        Fault("forged-unknown-task-first", _unspoilt, before=_strangers),
        Fault("forged-other-task-first", _unspoilt, before=_anothers),
        Fault("forged-link-first", _unspoilt, before=_lured),
        Fault("forged-failure-first", _unspoilt, before=_failure),
        Fault("processing-after", _unspoilt, after=_processing),
    ),
}

AMBIGUOUS: Final = frozenset(f"submit {fault.name}" for fault in TABLE["submit"] if fault.ambiguous)
LOST: Final = frozenset(
    f"submit {fault.name}"
    for fault in TABLE["submit"]
    if fault.billed and fault.ambiguous and not fault.legible
)
"""After these a task is billed and its id is in no answer."""
