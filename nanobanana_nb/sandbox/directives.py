"""Failures on demand: ``[sandbox NAME]`` in a prompt, or ``sandbox.fail_next("NAME")``.

One table says what each name does. A directive is a `Script`: the ways in which one request
departs from a request that goes well. To add one, add a line to `_named`.

==================  ==================================================================
400 ... 504         the submit answers this HTTP status in the API's envelope; nothing
                    is billed; ``[sandbox 429 retry-after=3]`` adds the header
insufficient        the submit answers HTTP 400 "Insufficient credits"
content-403         the submit answers 403 "Content violates policy"
envelope-402 ...    the submit answers HTTP 200 with this ``code``
gateway-502 ...     the submit answers 502, 503 or 504 with a proxy's HTML page
slow-submit         the submit is accepted and answered late (``slow-submit=5``: seconds)
drop                the submit is accepted and billed, and the connection just closes
CONTENT_VIOLATION   and every other fail code: the task fails after its acceptance
slow, forever       pending for ten times the latency; never complete
null-data           the first status answer has ``data: null``
early-404           the first status answer is a 404
poll-500            the first two status answers are a 500
poll-html           the first two status answers are a proxy's HTML page
processing_r2       the first two status answers have this undocumented state
upper               states in capitals
object              ``resultJson`` is an object, not a string
no-cost             ``costTime`` and ``completeTime`` are missing
two                 two pictures in ``resultUrls``
expired             the result link answers 410 (``expired=403``: 403)
cut, cut-once       the picture ends before its Content-Length: always; the first time
not-image           the result link answers HTML that says it is a picture
==================  ==================================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .contract import FAIL_MESSAGES, Response, json_response, refusal, success

StatusData = dict[str, Any]
"""The ``data`` of a status answer (section 3)."""


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


def _named() -> dict[str, Callable[[Mapping[str, str]], Script]]:
    def always(script: Script) -> Callable[[Mapping[str, str]], Script]:
        return lambda _settings: script

    scripts = {
        "insufficient": Script(refuse=_envelope(400, "Insufficient credits")),
        "content-403": Script(refuse=_envelope(403, "Content violates policy")),
        "drop": Script(drop=True),
        "slow": Script(patience=10.0),
        "forever": Script(forever=True),
        "null-data": Script(first_polls=(lambda _: success(None),)),
        "early-404": Script(first_polls=(lambda _: refusal(404),)),
        "poll-500": Script(first_polls=(lambda _: refusal(500),) * 2),
        "poll-html": Script(first_polls=(lambda _: _gateway(502),) * 2),
        "processing_r2": Script(first_polls=(_copying,) * 2),
        "upper": Script(reshape=lambda data: data | {"state": data["state"].upper()}),
        "object": Script(reshape=_decoded),
        "no-cost": Script(reshape=lambda data: _without(data, "costTime", "completeTime")),
        "two": Script(pictures=2),
        "cut": Script(download=lambda response, _attempt: _cut(response)),
        "cut-once": Script(
            download=lambda response, attempt: response if attempt else _cut(response)
        ),
        "not-image": Script(download=lambda response, _attempt: _web_page(response)),
    }
    scripts |= {code: Script(fail_code=code) for code in FAIL_MESSAGES}
    scripts |= {f"gateway-{status}": Script(refuse=_gateway(status)) for status in (502, 503, 504)}
    scripts |= {
        f"envelope-{status}": Script(refuse=replace(_refused(status), status=200))
        for status in _STATUSES
    }
    table = {name: always(script) for name, script in scripts.items()}
    table |= {str(status): always(Script(refuse=_refused(status))) for status in _STATUSES}
    table["429"] = _busy
    table["slow-submit"] = _late
    table["expired"] = _expired
    return table


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


def _copying(data: StatusData) -> Response:
    return success(
        {
            **_without(data, "resultJson", "completeTime", "costTime", "failCode", "failMsg"),
            "state": "processing_r2",
        }
    )


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
