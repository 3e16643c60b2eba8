"""The API as its documents state it: names, limits, messages, and the check of a submit body.

Everything here is restated from the documents (the sections named below are those of the
project's ``contract.md``), nothing is taken from our own client: that is what makes the sandbox
a witness. Where the documents leave a choice, the choice is written next to it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

MODEL = "nano-banana"
PRICE = Decimal("0.03")
"""US dollars for one accepted task (section 11)."""

MAX_PROMPT = 5000
"""Code points of a prompt, after trimming; the documents say "characters" (section 2)."""
MAX_IMAGES = 5
MAX_IMAGE_BYTES = 10_000_000
LINK_LIFETIME = 24 * 3600
"""Seconds that a result link works (section 10)."""

CALLBACK_TIMEOUT = 30.0
"""Seconds that the receiver of a callback has to answer HTTP 200 (section 7)."""
CALLBACK_RETRY = 30.0
"""Seconds until the first repetition of a callback that was not answered so (section 7)."""
CALLBACK_PACE = (1, 2, 4)
"""How many times `CALLBACK_RETRY` each repetition waits. Three repetitions with growing delays are
documented; that they double, to 60 s and 120 s, is our choice."""

MODES = ("text-to-image", "image-to-image")
REQUEST_TYPES = ("async", "callback")
OUTPUT_FORMATS = ("png", "jpeg")
ASPECT_RATIOS = (
    "1:1", "4:3", "3:4", "3:2", "2:3", "4:5", "5:4", "9:16", "16:9", "21:9", "auto",
)  # fmt: skip

HTTP_MESSAGES: Mapping[int, str] = {
    400: "Invalid request",
    401: "Invalid or missing API key",
    402: "Insufficient balance or quota",
    403: "This key or route cannot access the model",
    404: "Model ID or task ID not found",
    405: "Method not allowed",
    410: "This link has expired",
    411: "Content-Length is required",
    413: "Request body is too large",
    421: "This host name does not lead to the sandbox",
    429: "Rate or concurrency limit reached, please slow down",
    500: "Internal server error",
    502: "Upstream provider error",
    503: "Service temporarily unavailable, retry later",
    504: "Upstream timeout",
}

FAIL_MESSAGES: Mapping[str, str] = {
    # the current page (section 6)
    "CONTENT_VIOLATION": "Content does not meet safety guidelines",
    "INVALID_IMAGE_URL": "An image URL could not be fetched or decoded",
    "INVALID_PARAMETER": "A parameter is invalid",
    "INSUFFICIENT_BALANCE": "Insufficient balance",
    "UPSTREAM_ERROR": "The upstream provider returned an error",
    "TIMEOUT": "Generation timed out",
    # the oldest page
    "NSFW_DETECTED": "NSFW content detected",
    "PROMPT_TOO_LONG": "The prompt is too long",
    "INVALID_PROMPT": "The prompt is invalid",
    "IMAGE_TOO_LARGE": "An image is larger than 10 MB",
    "UNSUPPORTED_FORMAT": "Use JPEG, PNG, or WebP",
    "IMAGE_DOWNLOAD_FAILED": "An image could not be downloaded",
    "PROCESSING_TIMEOUT": "Processing timed out",
    "MODEL_UNAVAILABLE": "The model is unavailable",
    "GENERATION_FAILED": "Generation failed",
    "INSUFFICIENT_CREDITS": "Insufficient credits",
    # the general reference
    "SensitiveContent": "Sensitive content",
    "SensitiveContentDetected": "Sensitive content detected",
    "InputImageSensitiveContentDetected": "Sensitive content detected in an input image",
    "InputOutputSensitiveContentDetected": "Sensitive content detected, retry with other input",
    "NSFW": "NSFW content",
    "ProhibitedContentDetected": "Prohibited content detected",
    "PromptLengthExceeded": "The prompt exceeds the allowed length",
}


class Rejected(Exception):
    """The body of a submit breaks a rule; the text is what ``data.error`` says (section 4)."""


@dataclass(frozen=True)
class Response:
    """One HTTP answer, before it meets a socket; the last four fields are ways to misbehave."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    delay: float = 0.0
    """Seconds to wait before answering."""
    after: threading.Event | None = None
    """What has to happen before the answer."""
    missing: int = 0
    """Bytes that Content-Length promises beyond the body."""
    hang_up: bool = False
    """Close the connection without any answer."""


@dataclass(frozen=True)
class Submission:
    """A submit body that keeps every rule, defaults filled in."""

    body: dict[str, Any]
    prompt: str
    mode: str
    image_urls: tuple[str, ...]
    aspect_ratio: str
    output_format: str
    callback_url: str | None
    """Where the outcome is told; None where nobody wants to be told."""


def json_response(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """Any JSON body; characters outside ASCII are escaped, so that odd prompts survive."""
    kind = {"Content-Type": "application/json"}
    return Response(status, json.dumps(body).encode(), kind | dict(headers or {}))


def success(data: object) -> Response:
    """The envelope of everything that went well, failed tasks included (section 3)."""
    return json_response(200, {"code": 200, "message": "success", "data": data})


def refusal(status: int, error: str | None = None, http: int | None = None) -> Response:
    """The error envelope in its three documented shapes (section 4): a 401 without ``data``, a
    400 with ``data.error``, and ``data: null`` for the rest. ``http`` is the HTTP status when it
    shall differ from the ``code`` in the envelope."""
    body: dict[str, object] = {"code": status, "message": HTTP_MESSAGES[status]}
    if status != 401:
        body["data"] = {"error": error} if error else None
    return json_response(http or status, body)


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine and nothing else."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def parse_submission(raw: bytes) -> Submission:
    """Check a submit body (section 2): strict on values, lenient on the defaults that the pages
    disagree about. Keys that the documents do not know are ignored, top-level and in ``input``.
    """
    body = _object(raw)
    request_type = _choice(body, "request_type", REQUEST_TYPES, default="async")
    callback_url = body.get("callback_url") if request_type == "callback" else None
    if request_type == "callback":
        _check_callback_url(callback_url)
    given = body.get("input")
    if not isinstance(given, dict):
        raise Rejected("Missing required field: input")
    prompt = _prompt(given)
    image_urls = _image_urls(given)
    mode = _choice(
        given, "mode", MODES, default=None if image_urls else "text-to-image", at="input."
    )
    if mode == "image-to-image" and not image_urls:
        raise Rejected("Missing required field: input.image_urls")
    if mode == "text-to-image" and image_urls:
        raise Rejected("input.image_urls is only for image-to-image")
    return Submission(
        body=body,
        prompt=prompt,
        mode=mode,
        image_urls=image_urls,
        aspect_ratio=_choice(given, "aspect_ratio", ASPECT_RATIOS, default="1:1", at="input."),
        output_format=_choice(given, "output_format", OUTPUT_FORMATS, default="jpeg", at="input."),
        callback_url=callback_url,
    )


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Rejected("The body is not JSON in UTF-8") from error
    if not isinstance(body, dict):
        raise Rejected("The body is not a JSON object")
    return body


def _no_constant(name: str) -> object:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


def _choice(
    source: Mapping[str, Any], key: str, allowed: tuple[str, ...], default: str | None, at: str = ""
) -> str:
    if key not in source:
        if default is None:
            raise Rejected(f"Missing required field: {at}{key}")
        return default
    value = source[key]
    if not isinstance(value, str) or value not in allowed:
        raise Rejected(f"{at}{key} must be one of: {', '.join(allowed)}")
    return value


def _prompt(given: Mapping[str, Any]) -> str:
    if "prompt" not in given:
        raise Rejected("Missing required field: input.prompt")
    prompt = given["prompt"]
    if not isinstance(prompt, str) or not 1 <= len(prompt.strip()) <= MAX_PROMPT:
        raise Rejected(f"input.prompt must be a string of 1 to {MAX_PROMPT} characters")
    return prompt


def _image_urls(given: Mapping[str, Any]) -> tuple[str, ...]:
    urls = given.get("image_urls", [])
    if not isinstance(urls, list) or len(urls) > MAX_IMAGES:
        raise Rejected(f"input.image_urls must be an array of 1 to {MAX_IMAGES} URLs")
    if not all(isinstance(url, str) and _has_shape(url, ("http", "https")) for url in urls):
        raise Rejected("input.image_urls must hold public image URLs")
    return tuple(urls)


def _check_callback_url(url: object) -> None:
    """Public https, as documented (section 7), or http on this machine, for the sandbox's sake."""
    if not isinstance(url, str) or not url:
        raise Rejected("Missing required field: callback_url")
    plain = url.isascii() and url.isprintable() and " " not in url  # it becomes a request's head
    on_this_machine = _has_shape(url, ("http",)) and is_loopback(urlsplit(url).hostname or "")
    if not (plain and (_has_shape(url, ("https",)) or on_this_machine)):
        raise Rejected("callback_url must be a public HTTPS URL")


def _has_shape(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
