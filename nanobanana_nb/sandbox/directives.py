"""Failures on demand: ``[sandbox NAME]`` in a prompt, or ``sandbox.fail_next("NAME")``.

One table says what each name does. A directive is a `Script`: the ways in which one request
departs from a request that goes well. To add one, add a line to one of the four tables below.

===================  ==================================================================
400 ... 504          the submit answers this HTTP status in the API's envelope; nothing
                     is billed; ``[sandbox 429 retry-after=3]`` adds the header
insufficient         the submit answers HTTP 400 "Insufficient credits"
content-403          the submit answers 403 "Content violates policy"
envelope-402 ...     the submit answers HTTP 200 with this ``code``
gateway-502 ...      the submit answers this HTTP status with a proxy's HTML page
slow-submit          the submit is accepted and answered late (``slow-submit=5``: seconds)
drop                 the submit is accepted and billed, and the connection just closes
drop-unbilled        the connection just closes; nothing was accepted or billed
CONTENT_VIOLATION    and every other fail code: the task fails after its acceptance
slow, forever        pending for ten times the latency; never complete
null-data            the first status answer has ``data: null``
early-404            the first status answer is a 404
poll-400 ...         the first two status answers are this HTTP status in the envelope
poll-envelope-429 .. the first two status answers are HTTP 200 with this ``code``
poll-gateway-503 ... the first two status answers are this status with a proxy's HTML page
poll-html            the same as poll-gateway-502
processing_r2        the first two status answers have this undocumented state
upper                states in capitals
object               ``resultJson`` is an object, not a string
no-cost              ``costTime`` and ``completeTime`` are missing
two                  two pictures in ``resultUrls``
expired              the result link answers 410 (``expired=403``: 403)
cut, cut-once        the picture ends before its Content-Length: always; the first time
not-image            the result link answers HTML that says it is a picture
callback-never       no callback is ever sent
callback-twice       each callback is sent twice
callback-early       the task is complete at once, and the submit is not answered until the
                     first delivery of its callback has been tried
callback-lost        the callback arrives, but its answer does not: it is sent again
                     (``callback-lost=4``: the first four answers, which are all)
callback-refused     the first delivery makes no connection: it is sent later
                     (``callback-refused=4``: the first four, which are all)
callback-forged      before the true callback comes one that tells of the success of another
                     task, with a link to a stranger's address
callback-garbage     before the true callback comes one that is not JSON
callback-reordered   after the true callback comes one that says ``processing``
===================  ==================================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from .contract import (
    CALLBACK_PACE,
    FAIL_MESSAGES,
    Response,
    json_response,
    refusal,
    success,
)

StatusData = dict[str, Any]
"""The ``data`` of a status answer (section 3)."""


Notices = tuple[tuple[str, Callable[[StatusData], bytes]], ...]
"""What is sent beside a true callback: a name for its kind, and the body."""


@dataclass(frozen=True)
class Habit:
    """How the callbacks of one task depart from the documents; the defaults do not."""

    never: bool = False
    early: bool = False
    """The task is complete at once and told of before its submit is answered."""
    times: int = 1
    """How often each delivery is sent."""
    unmade: int = 0
    """How many deliveries, from the first, make no connection."""
    unread: int = 0
    """How many answers, from the first, are lost."""
    before: Notices = ()
    after: Notices = ()


@dataclass(frozen=True)
class Script:
    """How one request departs from the ordinary; the defaults are the ordinary."""

    refuse: Response | None = None
    """Answer the submit with this and accept nothing."""
    fail_code: str | None = None
    patience: float = 0.3
    """How long the task is pending, in latencies."""
    forever: bool = False
    submit_delay: float = 0.0
    """Seconds until the accepted submit is answered."""
    drop: bool = False
    first_polls: tuple[Callable[[StatusData], Response], ...] = ()
    """What the first status answers are instead of the truth."""
    reshape: Callable[[StatusData], StatusData] = lambda data: data
    pictures: int = 1
    download: Callable[[Response, int], Response] = lambda response, _attempt: response
    """What becomes of the answer to the n-th download (from 0)."""
    callback: Habit = Habit()


ORDINARY = Script()

_DIRECTIVE = re.compile(r"\[sandbox\s+([^\s\]=]+)(?:=([^\s\]]+))?((?:\s+[^\s\]=]+=[^\s\]]+)*)\s*\]")
_STATUSES = (400, 401, 402, 403, 404, 429, 500, 502, 503, 504)


def find_directive(prompt: str) -> str | None:
    """The first directive in a prompt, without its brackets."""
    found = _DIRECTIVE.search(prompt)
    return found[0].strip("[]").removeprefix("sandbox").strip() if found else None


def read_directive(text: str) -> Script:
    """The script of one directive such as ``429 retry-after=3``; ValueError for an unknown one."""
    name, *options = text.split()
    name, _, value = name.partition("=")
    settings = {"": value} | dict(option.split("=", 1) for option in options)
    try:
        return _named()[name](settings)
    except KeyError:
        raise ValueError(f"unknown sandbox directive: {text}") from None


def names() -> tuple[str, ...]:
    """Every directive there is."""
    return tuple(_named())


@cache
def _named() -> Mapping[str, Callable[[Mapping[str, str]], Script]]:
    scripts = _submits() | _polls() | _pictures() | _callbacks()
    table: dict[str, Callable[[Mapping[str, str]], Script]] = {
        name: partial(_always, script) for name, script in scripts.items()
    }
    table["429"] = _busy
    table["slow-submit"] = _late
    table["expired"] = _expired
    table["callback-lost"] = _lost
    table["callback-refused"] = _unconnected
    return MappingProxyType(table)


def _always(script: Script, _settings: Mapping[str, str]) -> Script:
    return script


def _submits() -> dict[str, Script]:
    scripts = {
        "insufficient": Script(refuse=_envelope(400, "Insufficient credits")),
        "content-403": Script(refuse=_envelope(403, "Content violates policy")),
        "drop": Script(drop=True),
        "drop-unbilled": Script(refuse=Response(502, hang_up=True)),
        "slow": Script(patience=10.0),
        "forever": Script(forever=True),
    }
    scripts |= {f"{face}{at}": Script(refuse=answer) for face, at, answer in _faces()}
    return scripts | {code: Script(fail_code=code) for code in FAIL_MESSAGES}


def _polls() -> dict[str, Script]:
    scripts = {
        "null-data": Script(first_polls=(_instead(success(None)),)),
        "early-404": Script(first_polls=(_instead(refusal(404)),)),
        "poll-html": Script(first_polls=(_instead(_gateway(502)),) * 2),
        "processing_r2": Script(first_polls=(_copying,) * 2),
        "upper": Script(reshape=lambda data: data | {"state": data["state"].upper()}),
        "object": Script(reshape=_decoded),
        "no-cost": Script(reshape=lambda data: _without(data, "costTime", "completeTime")),
        "two": Script(pictures=2),
    }
    return scripts | {
        f"poll-{face}{at}": Script(first_polls=(_instead(answer),) * 2)
        for face, at, answer in _faces()
    }


def _pictures() -> dict[str, Script]:
    return {
        "cut": Script(download=lambda response, _attempt: _cut(response)),
        "cut-once": Script(
            download=lambda response, attempt: response if attempt else _cut(response)
        ),
        "not-image": Script(download=lambda response, _attempt: _web_page(response)),
    }


def _callbacks() -> dict[str, Script]:
    habits = {
        "never": Habit(never=True),
        "twice": Habit(times=2),
        "early": Habit(early=True),
        "forged": Habit(before=(("forged", _forged),)),
        "garbage": Habit(before=(("garbage", lambda _data: b"<html>not JSON at all"),)),
        "reordered": Habit(after=(("processing", _belated),)),
    }
    return {f"callback-{name}": Script(callback=habit) for name, habit in habits.items()}


def _faces() -> list[tuple[str, int, Response]]:
    """The ways in which a refusal is told: by the API, by a proxy, and behind an HTTP 200."""
    return [
        face
        for at in _STATUSES
        for face in (
            ("", at, _refused(at)),
            ("gateway-", at, _gateway(at)),
            ("envelope-", at, replace(_refused(at), status=200)),
        )
    ]


def _instead(answer: Response) -> Callable[[StatusData], Response]:
    return lambda _data: answer


def _refused(status: int) -> Response:
    return refusal(status, "Refused on demand" if status == 400 else None)


def _envelope(status: int, message: str) -> Response:
    return json_response(status, {"code": status, "message": message, "data": None})


def _gateway(status: int) -> Response:
    page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1>proxy</body></html>"
    return Response(status, page.encode(), {"Content-Type": "text/html"})


def _busy(settings: Mapping[str, str]) -> Script:
    wait = settings.get("retry-after")
    busy = refusal(429)
    headers = {"Retry-After": wait} if wait else {}
    return Script(refuse=replace(busy, headers={**busy.headers, **headers}))


def _late(settings: Mapping[str, str]) -> Script:
    seconds = float(settings[""] or 2)
    if not 0 <= seconds <= 600:
        raise ValueError("slow-submit takes 0 to 600 seconds")
    return Script(submit_delay=seconds)


def _expired(settings: Mapping[str, str]) -> Script:
    gone = refusal(int(settings[""] or 410))
    return Script(download=lambda _response, _attempt: gone)


def _lost(settings: Mapping[str, str]) -> Script:
    return Script(callback=Habit(unread=_tries("callback-lost", settings)))


def _unconnected(settings: Mapping[str, str]) -> Script:
    return Script(callback=Habit(unmade=_tries("callback-refused", settings)))


def _tries(name: str, settings: Mapping[str, str]) -> int:
    tries, most = int(settings[""] or 1), 1 + len(CALLBACK_PACE)
    if not 1 <= tries <= most:
        raise ValueError(f"{name} takes 1 to {most} deliveries")
    return tries


def _forged(data: StatusData) -> bytes:
    """A success in every detail, of a task that nobody submitted."""
    task_id = data["taskId"][::-1]
    links = json.dumps({"resultUrls": [f"https://attacker.example/{task_id}.png"]})
    cost = data["completeTime"] - data["createTime"]
    forged = {"taskId": task_id, "state": "success", "resultJson": links, "costTime": cost}
    return success(forged | {time: data[time] for time in ("createTime", "completeTime")}).body


def _belated(data: StatusData) -> bytes:
    return _running(data, "processing").body


def _copying(data: StatusData) -> Response:
    return _running(data, "processing_r2")


def _running(data: StatusData, state: str) -> Response:
    outcome = ("resultJson", "completeTime", "costTime", "failCode", "failMsg")
    return success({**_without(data, *outcome), "state": state})


def _decoded(data: StatusData) -> StatusData:
    if "resultJson" not in data:
        return data
    return data | {"resultJson": json.loads(data["resultJson"])}


def _without(data: StatusData, *keys: str) -> StatusData:
    return {key: value for key, value in data.items() if key not in keys}


def _cut(response: Response) -> Response:
    half = len(response.body) // 2
    return replace(response, body=response.body[:half], missing=len(response.body) - half)


def _web_page(response: Response) -> Response:
    return replace(
        response,
        body=b"<html><body>Not a picture at all.</body></html>",
        headers={"Content-Type": "image/png"},
    )
