"""The API in machine-readable words: what the sandbox takes and what it answers, as OpenAPI 3.1.

It describes the sandbox, and with it the reading of the documents that the sandbox is built on.
Sections are those of the project's ``contract.md``. Where the documents are undecided, the
description says so next to the choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .contract import (
    ASPECT_RATIOS,
    FAIL_MESSAGES,
    HTTP_MESSAGES,
    MAX_IMAGES,
    MAX_PROMPT,
    MODEL,
    OUTPUT_FORMATS,
    PRICE,
    Response,
    json_response,
)

Json = dict[str, Any]

_ABOUT = f"""\
An imitation of APIXO's Nano Banana API on this machine. Nothing here costs money; the ${PRICE} of a
task are taken from an account that is made up.

**Tasks.** A submit is answered with a `taskId` at once, and billed. The task is asked for its state
until that is `success` or `failed`, or the outcome is sent to `callback_url`. A task that fails is
told of with HTTP 200, `code` 200 and `message` "success" (section 3).

**Directives.** `[sandbox NAME]` in a prompt makes that one request depart from this description on
purpose: states in capitals, `code` 402 under HTTP 200, a proxy's page for an error, a picture that
ends too early. A plan of faults does the same to some submits. What is described here is everything
else.

**Both bases.** Every address of the API is served with and without the prefix `/api/v1`."""

_WHY: Mapping[int, str] = {
    400: "The request breaks a rule; `data.error` says which (section 4). Also the oldest of the "
    'three documented faces of an empty account, "Insufficient credits" (section 5).',
    401: "No key, no Bearer key, or not the key of this sandbox. Without `data` (section 4).",
    402: "The balance does not pay for another task.",
    403: "A page of another origin asked, or a directive refused the submit. The documents "
    "disagree: no access to the model, no permission, or content that violates the policy "
    "(section 5).",
    404: "No such model, task, picture or address. The documents do not say what is answered "
    "for a task of another model or account (section 15); here it is this.",
    405: "Another method than those described here; `Allow` names them.",
    410: "The link has expired. What is answered then is not documented (section 10).",
    411: "A body without Content-Length, such as a chunked one.",
    413: "The body has more than 1 MiB.",
    421: "The request was sent to another host name than this machine's.",
    429: "Too many requests a minute or tasks at a time; which of the two is not documented "
    "(section 9). No task was taken and nothing billed.",
    500: "On demand only.",
    502: "On demand only; a proxy's page where one is asked for.",
    503: "On demand only; a proxy's page where one is asked for.",
    504: "On demand only; a proxy's page where one is asked for.",
}
_ANYWHERE = (403, 405, 411, 413, 421)
_API = (400, 401, 404, 429, 500, 502, 503, 504)


def document(origin: str) -> Response:
    """The description as an answer."""
    return json_response(200, description(origin))


def description(origin: str) -> Json:
    """What the sandbox at this address does, as an OpenAPI 3.1 document; ``origin`` is without a
    path, such as ``http://127.0.0.1:8000``."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Nano Banana API, as the sandbox imitates it",
            "version": "1",
            "description": _ABOUT,
        },
        "servers": [{"url": origin}],
        "security": [{"key": []}],
        "tags": [
            {"name": "API", "description": "What the documents describe."},
            {"name": "Links", "description": "Pictures, by links that the API gave. No key."},
            {"name": "Sandbox", "description": "What only the sandbox has. No key."},
        ],
        "paths": _api_paths() | _link_paths() | _own_paths(),
        "components": {
            "securitySchemes": {"key": _KEY},
            "parameters": {"model": _MODEL},
            "headers": _HEADERS,
            "schemas": _requests() | _answers(),
            "responses": {str(status): _refusal(status) for status in _WHY},
        },
    }


# -- the API


def _api_paths() -> Json:
    return {
        "/api/v1/generateTask/{model}": {"parameters": [_ref("parameters", "model")]} | _submit(),
        "/api/v1/statusTask/{model}": {"parameters": [_ref("parameters", "model")]} | _status(),
        "/api/v1/apikeys/current-balance": _balance(),
    }


def _submit() -> Json:
    links = {
        "status": {
            "operationId": "status",
            "parameters": {
                "model": "$request.path.model",
                "taskId": "$response.body#/data/taskId",
            },
        }
    }
    return {
        "post": {
            "operationId": "submit",
            "tags": ["API"],
            "summary": "Submit a task",
            "description": "Takes a task and bills it. There is no documented way to make a "
            "repetition harmless: a second POST is a second task (section 1).",
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": _ref("schemas", "Submission"),
                        "examples": _SUBMISSIONS,
                    }
                },
            },
            "responses": {
                "200": _json("The task is accepted and billed.", "Accepted", _ACCEPTED)
                | {"links": links},
                **_refusals(*_API, 402),
            },
            "callbacks": {"completed": {"{$request.body#/callback_url}": {"post": _callback()}}},
        }
    }


def _callback() -> Json:
    return {
        "operationId": "completed",
        "summary": "The task has completed",
        "description": "Sent once a task with `request_type` `callback` is a success or has "
        "failed, never before. The body is what `statusTask` answers then. It is not signed "
        "(section 7), so ask `statusTask` before you trust it.",
        "security": [],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _ref("schemas", "Completed"),
                    "examples": {name: _STATUSES[name] for name in ("success", "failed")},
                }
            },
        },
        "responses": {
            "200": {
                "description": "Received. Exactly 200, within 30 seconds; the body is ignored."
            },
            "default": {
                "description": "Not received: it is sent again, at most three times, after 30, 60 "
                "and 120 seconds. The first delay is documented, and that they grow; the other two "
                "are the sandbox's choice (section 7)."
            },
        },
    }


def _status() -> Json:
    task_id = {
        "name": "taskId",
        "in": "query",
        "required": True,
        "description": "As the submit gave it. Opaque.",
        "schema": {"type": "string", "minLength": 1},
        "example": "dff8afd34c4e47719b85ad6651daa3f0",
    }
    return {
        "get": {
            "operationId": "status",
            "tags": ["API"],
            "summary": "Ask for the state of a task",
            "description": "Works for tasks in either `request_type`. Take a state that is not "
            "listed for one of a task that is under way (section 12).",
            "parameters": [task_id],
            "responses": {
                "200": _json("The task as it stands.", "Status", examples=_STATUSES),
                **_refusals(*_API),
            },
        }
    }


def _balance() -> Json:
    refused = (401,)
    return {
        "get": {
            "operationId": "balance",
            "tags": ["API"],
            "summary": "Ask for the balance",
            "description": "US dollars, as a bare number (section 8). No limit counts it.",
            "responses": {
                "200": _json("What is left.", "Balance", _BALANCE),
                **_refusals(*refused),
            },
        }
    }


# -- the pictures


def _link_paths() -> Json:
    name = _named("name", "The task, and the suffix `jpg` or `png`.", _TASK_ID + ".jpg")
    token = _named("token", "What makes the link unguessable.", "c2FuZGJveC1zaGFyZWQ")
    file = _named("name", "The name of the file.", "fox.png")
    return {
        "/results/{name}": {"parameters": [name]}
        | _read(
            "result",
            "Links",
            "Fetch a picture",
            "Where `resultUrls` leads. Links expire, after 24 hours unless the sandbox was told "
            "otherwise (section 10).",
            _picture("image/jpeg", "image/png", headers=("ETag",)),
            (404, 410),
        ),
        "/files/{token}/{name}": {"parameters": [token, file]}
        | _read(
            "file",
            "Links",
            "Fetch a shared picture",
            "Where a picture of this machine stands in for one on the web, as a reference. APIXO "
            "has nothing like it (section 1).",
            _picture("image/jpeg", "image/png", "image/webp", headers=("ETag",)),
            (404,),
        ),
    }


def _own_paths() -> Json:
    task_id = _named("taskId", "The task.", _TASK_ID)
    uncounted = "Not counted as a download, and no directive changes it."
    return {
        "/": _read("page", "Sandbox", "Look at what was drawn and billed", "", _PAGE),
        "/openapi.json": _read(
            "description",
            "Sandbox",
            "This description",
            "",
            {"description": "It.", "content": {"application/json": {"schema": {"type": "object"}}}},
        ),
        "/sandbox/account": _read(
            "account",
            "Sandbox",
            "What was drawn and billed, for programs",
            "",
            _json("The account.", "Account"),
        ),
        "/sandbox/previews/{taskId}": {"parameters": [task_id]}
        | _read(
            "preview",
            "Sandbox",
            "A small picture of a task",
            f"At most 320 pixels on the longer side. {uncounted}",
            _picture("image/jpeg"),
            (404,),
        ),
        "/sandbox/pictures/{taskId}": {"parameters": [task_id]}
        | _read(
            "picture",
            "Sandbox",
            "The first picture of a task as it was drawn",
            uncounted,
            _picture("image/jpeg", "image/png"),
            (404,),
        ),
    }


def _read(
    name: str,
    tag: str,
    summary: str,
    about: str,
    answer: Json,
    refused: tuple[int, ...] = (),
) -> Json:
    """GET and HEAD of something that anybody on this machine may read."""
    told = {"tags": [tag], "security": [], **({"description": about} if about else {})}
    refusals = _refusals(*refused)
    head = {status: {"description": _WHY[int(status)]} for status in refusals}
    bare = {part: answer[part] for part in ("description", "headers") if part in answer}
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            **told,
            "responses": {"200": answer, **refusals},
        },
        "head": {
            "operationId": f"{name}Head",
            "summary": f"{summary}: the headers alone",
            **told,
            "responses": {"200": bare, **head},
        },
    }


# -- schemas


def _requests() -> Json:
    """What a submit may hold. Anything else in it is ignored, `provider` and `source` too."""
    prompt = {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_PROMPT,
        "pattern": r"[^\s\u0085\u001c-\u001f]",
        "description": "Code points, counted after trimming: the documents say characters and no "
        "more (section 2).",
    }
    common = {
        "prompt": prompt,
        "aspect_ratio": {"enum": list(ASPECT_RATIOS), "default": "1:1"},
        "output_format": {"enum": list(OUTPUT_FORMATS), "default": "jpeg"},
    }
    urls = {"type": "array", "items": _URL, "maxItems": MAX_IMAGES}
    return {
        "Submission": {"oneOf": [_ref("schemas", "Async"), _ref("schemas", "Callback")]},
        "Async": {
            "type": "object",
            "required": ["input"],
            "properties": {
                "request_type": {"const": "async", "default": "async"},
                "callback_url": {"description": "Ignored; not documented (section 15)."},
                "input": _ref("schemas", "Input"),
            },
        },
        "Callback": {
            "type": "object",
            "required": ["request_type", "callback_url", "input"],
            "properties": {
                "request_type": {"const": "callback"},
                "callback_url": _CALLBACK_URL,
                "input": _ref("schemas", "Input"),
            },
        },
        "Input": {"oneOf": [_ref("schemas", "FromText"), _ref("schemas", "FromImages")]},
        "FromText": {
            "type": "object",
            "description": "Draw from the prompt alone. `mode` may be missing: the pages disagree "
            "(section 2).",
            "required": ["prompt"],
            "properties": {
                "mode": {"const": "text-to-image", "default": "text-to-image"},
                **common,
                "image_urls": urls | {"maxItems": 0},
            },
        },
        "FromImages": {
            "type": "object",
            "description": "Draw from reference pictures, each a JPEG, PNG or WebP of at most "
            "10 MB. They are fetched after the submit was answered; one that cannot be fails the "
            "task with `INVALID_IMAGE_URL` (section 6).",
            "required": ["mode", "prompt", "image_urls"],
            "properties": {
                "mode": {"const": "image-to-image"},
                **common,
                "image_urls": urls | {"minItems": 1},
            },
        },
    }


def _answers() -> Json:
    text, whole = {"type": "string"}, {"type": "integer"}
    moment = whole | {"description": "Unix time in milliseconds."}
    done = {"taskId": text, "createTime": moment, "completeTime": moment}
    states = {
        "Running": _object(
            {"taskId": text, "state": {"enum": ["pending", "processing"]}, "createTime": moment}
        ),
        "Succeeded": _object(
            {
                **done,
                "state": {"const": "success"},
                "resultJson": text
                | {
                    "description": 'JSON in a string: `{"resultUrls": ["http://..."]}`.',
                    "contentMediaType": "application/json",
                },
                "costTime": whole | {"description": "Milliseconds."},
            }
        ),
        "Failed": _object(
            {
                **done,
                "state": {"const": "failed"},
                "failCode": text
                | {
                    "examples": list(FAIL_MESSAGES),
                    "description": "An open set; three vocabularies are documented (section 6).",
                },
                "failMsg": text,
            }
        ),
    }
    ended = [_ref("schemas", name) for name in ("Succeeded", "Failed")]
    return states | {
        "Accepted": _envelope(_object({"taskId": text})),
        "Status": _envelope({"oneOf": [_ref("schemas", "Running"), *ended]}),
        "Completed": _envelope({"oneOf": ended}),
        "Balance": _envelope({"type": "number"}),
        "Refusal": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": whole | {"description": "The HTTP status once more."},
                "message": text,
                "data": {"anyOf": [{"type": "null"}, _object({"error": text})]},
            },
        },
        "Account": _account(),
    }


def _account() -> Json:
    number, text = {"type": "number"}, {"type": "string"}
    task = _object(
        {
            "taskId": text,
            "prompt": text,
            "input": {"type": "object"},
            "state": text,
            "billed": number,
        }
    )
    return _object(
        {
            "spent": number | {"description": "US dollars."},
            "balance": number | {"description": "US dollars."},
            "underWay": {"type": "integer"},
            "refused": {"type": "integer", "description": "Requests that a limit refused."},
            "limits": {"type": "object"},
            "faults": {"type": "object"},
            "callbacks": {"type": "array", "items": {"type": "object"}},
            "tasks": {"type": "array", "items": task},
        }
    )


def _object(properties: Json) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties}


def _envelope(data: Json) -> Json:
    return _object({"code": {"const": 200}, "message": {"const": "success"}, "data": data})


# -- parts


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _named(name: str, about: str, example: str) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": about,
        "schema": {"type": "string"},
        "example": example,
    }


def _json(about: str, schema: str, example: object = None, examples: Json | None = None) -> Json:
    content: Json = {"schema": _ref("schemas", schema)}
    if example is not None:
        content["example"] = example
    if examples is not None:
        content["examples"] = examples
    return {"description": about, "content": {"application/json": content}}


def _picture(*kinds: str, headers: tuple[str, ...] = ()) -> Json:
    picture: Json = {"description": "The picture.", "content": {kind: {} for kind in kinds}}
    if headers:
        picture["headers"] = {name: _ref("headers", name) for name in headers}
    return picture


def _refusals(*statuses: int) -> Json:
    return {
        str(status): _ref("responses", str(status)) for status in sorted({*statuses, *_ANYWHERE})
    }


def _refusal(status: int) -> Json:
    body: Json = {"code": status, "message": HTTP_MESSAGES[status], "data": None}
    if status == 400:
        body["data"] = {"error": "Missing required field: input.prompt"}
    if status == 401:
        del body["data"]
    answer = _json(_WHY[status], "Refusal", body)
    if status in (502, 503, 504):
        answer["content"]["text/html"] = {}
    if status == 429:
        answer["headers"] = {"Retry-After": _ref("headers", "Retry-After")}
    if status == 405:
        answer["headers"] = {"Allow": _ref("headers", "Allow")}
    return answer


_KEY: Json = {
    "type": "http",
    "scheme": "bearer",
    "description": "Any key, unless the sandbox was started with one.",
}
_MODEL: Json = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "The one model that is imitated.",
    "schema": {"enum": [MODEL]},
}
_HEADERS: Json = {
    "ETag": {"required": True, "schema": {"type": "string"}},
    "Allow": {"required": True, "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds. Not documented (section 9), and sent only if asked for.",
        "schema": {"type": "integer", "minimum": 1},
    },
}
_REST_OF_URL = r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}))?([/?][!-~]*)?"
_URL: Json = {
    "type": "string",
    "pattern": rf"^https?://[A-Za-z0-9.-]+{_REST_OF_URL}$",
    "description": "Public, of a JPEG, PNG or WebP; http is for this machine only.",
}
_CALLBACK_URL: Json = {
    "type": "string",
    "pattern": rf"^(https://[A-Za-z0-9.-]+|http://(localhost|127\.0\.0\.1)){_REST_OF_URL}$",
    "description": "Public HTTPS (section 7), or http on this machine, for the sandbox's sake.",
}
_PAGE: Json = {"description": "The page.", "content": {"text/html": {}}}

_TASK_ID = "dff8afd34c4e47719b85ad6651daa3f0"
_ACCEPTED: Json = {"code": 200, "message": "success", "data": {"taskId": _TASK_ID}}
_BALANCE: Json = {"code": 200, "message": "success", "data": 74.87}
_CREATED: Json = {"createTime": 1780459451000}
_COMPLETED: Json = {"completeTime": 1780459466000}
_RESULT = '{"resultUrls": ["http://127.0.0.1:8722/results/dff8afd34c4e47719b85ad6651daa3f0.jpg"]}'
_STATUSES: Json = {
    name: {
        "value": {
            "code": 200,
            "message": "success",
            "data": {"taskId": _TASK_ID, "state": name, **more},
        }
    }
    for name, more in {
        "pending": _CREATED,
        "processing": _CREATED,
        "success": {"resultJson": _RESULT, "costTime": 15000, **_CREATED, **_COMPLETED},
        "failed": {
            "failCode": "CONTENT_VIOLATION",
            "failMsg": FAIL_MESSAGES["CONTENT_VIOLATION"],
            **_CREATED,
            **_COMPLETED,
        },
    }.items()
}
_SUBMISSIONS: Json = {
    "text-to-image": {
        "value": {
            "request_type": "async",
            "input": {
                "mode": "text-to-image",
                "prompt": "A red fox in the snow",
                "aspect_ratio": "16:9",
                "output_format": "png",
            },
        }
    },
    "image-to-image": {
        "value": {
            "request_type": "async",
            "input": {
                "mode": "image-to-image",
                "prompt": "The fox at night",
                "image_urls": ["http://127.0.0.1:8722/files/c2FuZGJveC1zaGFyZWQ/fox.png"],
                "aspect_ratio": "auto",
                "output_format": "png",
            },
        }
    },
    "callback": {
        "value": {
            "request_type": "callback",
            "callback_url": "http://127.0.0.1:8723/callback",
            "input": {"mode": "text-to-image", "prompt": "A red fox in the snow"},
        }
    },
}
