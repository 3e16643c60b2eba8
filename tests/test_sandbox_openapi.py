"""The sandbox's description of itself: valid, complete, and true.

Whether it is true is schemathesis' to find out: it makes requests that the description allows and
requests that it forbids, sends them to a running sandbox, and holds each answer against it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from nanobanana_nb.sandbox import Sandbox, contract, openapi

KEY = {"Authorization": "Bearer a-key"}
TASK_ID = "dff8afd34c4e47719b85ad6651daa3f0"
TOKEN = "c2FuZGJveC1zaGFyZWQ"
WEB = httpx.Client(verify=False)

# Addresses that are made up lead to a closed port of this machine, so that the sandbox neither
# fetches nor calls anything outside; and a task or a file that is named as an example is there.
HOOKS = f"""
import os, re, schemathesis

def inside(url, to):
    return re.sub(r"(?s)^https?://.*", to, url) if isinstance(url, str) else url

@schemathesis.hook
def before_call(context, case, kwargs):
    for where in (case.path_parameters, case.query):
        for name, value in (where or {{}}).items():
            if isinstance(value, str):
                real = value.replace("{TASK_ID}", os.environ["TASK"])
                where[name] = real.replace("{TOKEN}", os.environ["TOKEN"])
    body = case.body
    if isinstance(body, dict):
        if "callback_url" in body:
            body["callback_url"] = inside(body["callback_url"], "https://127.0.0.1:9/")
        given = body.get("input")
        if isinstance(given, dict) and isinstance(given.get("image_urls"), list):
            own = "http://127.0.0.1:9/fox.png"
            given["image_urls"] = [inside(url, own) for url in given["image_urls"]]
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(latency=0, balance=1e6, api_key="a-key", callback_retry=0.01) as running:
        yield running


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return openapi.description("http://127.0.0.1:8722")


def submit(sandbox: Sandbox, body: object) -> httpx.Response:
    return WEB.post(f"{sandbox.url}/api/v1/generateTask/nano-banana", headers=KEY, json=body)


def drawn(sandbox: Sandbox) -> str:
    """A task that is done."""
    answer = submit(sandbox, {"input": {"prompt": "a fox"}})
    return str(answer.json()["data"]["taskId"])


def shared(sandbox: Sandbox, folder: Path) -> str:
    """The token of a shared picture with the name of the example."""
    file = folder / "fox.png"
    Image.new("RGB", (8, 8), "orange").save(file)
    return sandbox.share(file).split("/")[-2]


def references(part: object) -> Iterator[str]:
    """Every ``$ref`` in a part of the document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    if isinstance(part, list):
        for value in part:
            yield from references(value)


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in described["paths"].items():
        for method in item.keys() & {"get", "head", "post"}:
            yield method, path, item[method]


def test_schemathesis_finds_no_answer_that_the_description_does_not_tell(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """What is described is what is done: every status, type, header and body of every answer;
    whatever the schemas allow is taken and whatever they forbid is refused; no key, no answer; and
    other methods get a 405 that names the right ones. The same requests each time, from none
    stored before."""
    (tmp_path / "hooks.py").write_text(HOOKS)
    run = subprocess.run(
        [
            sys.executable,
            *("-m", "schemathesis.cli", "run", f"{sandbox.url}/openapi.json"),
            *("--header", "Authorization: Bearer a-key", "--no-color", "--checks", "all"),
            *("--generation-deterministic", "--max-examples", "30", "--continue-on-failure"),
            *("--warnings", "off"),
        ],
        cwd=tmp_path,
        env=os.environ
        | {
            "SCHEMATHESIS_HOOKS": "hooks",
            "PYTHONPATH": str(tmp_path),
            "TASK": drawn(sandbox),
            "TOKEN": shared(sandbox, tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    tested = re.search(r"(\d+) generated, (\d+) passed", run.stdout)
    assert tested, run.stdout
    assert int(tested[1]) == int(tested[2]) > 500
    assert sandbox.counts["accepted"] > 50
    assert sandbox.counts["download"] > 0


def test_it_is_served_as_it_is_made(sandbox: Sandbox) -> None:
    """Tools find it without a key, for the very address that they asked."""
    answer = WEB.get(f"{sandbox.url}/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == openapi.description(sandbox.url)
    assert answer.json()["servers"] == [{"url": sandbox.url}]


def test_its_references_lead_somewhere(described: dict[str, Any]) -> None:
    """A name that is misspelt would make the document useless to every tool."""
    for reference in references(described):
        part: Any = described
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]
        assert part


def test_every_component_is_used(described: dict[str, Any]) -> None:
    """Nothing stands there that nothing refers to: an answer forgotten would go unchecked."""
    used = set(references(described))
    kinds = described["components"].items()
    named = {f"#/components/{kind}/{name}" for kind, its in kinds for name in its}
    assert named - used == {"#/components/securitySchemes/key"}


def test_every_status_of_the_contract_is_described(described: dict[str, Any]) -> None:
    """Whatever the sandbox can refuse with has a description, and says when it comes."""
    told = {status for _, _, one in operations(described) for status in one["responses"]}
    assert told == {"200", *map(str, contract.HTTP_MESSAGES)}


def test_only_the_api_asks_for_the_key(described: dict[str, Any]) -> None:
    """Result links and the sandbox's own pages work without one, and say so."""
    keyless = {path for _, path, one in operations(described) if one.get("security") == []}
    assert keyless == {path for path in described["paths"] if not path.startswith("/api/v1/")}


def test_the_examples_are_taken(sandbox: Sandbox, described: dict[str, Any]) -> None:
    """A reader who copies an example of a submit gets a task."""
    post = described["paths"]["/api/v1/generateTask/{model}"]["post"]
    examples = post["requestBody"]["content"]["application/json"]["examples"]
    assert set(examples) == {"text-to-image", "image-to-image", "callback"}
    for name, example in examples.items():
        body = json.loads(
            json.dumps(example["value"]).replace(":8723", ":9").replace(":8722", ":9")
        )
        answer = submit(sandbox, body)
        assert answer.status_code == 200, (name, answer.text)


def test_the_limits_are_those_of_the_contract(described: dict[str, Any]) -> None:
    """The numbers that a client checks by: 5,000 characters, 5 references, the ratios, the two
    formats; written out here as the documents have them."""
    schemas = described["components"]["schemas"]
    given = schemas["FromImages"]["properties"]
    assert (given["prompt"]["minLength"], given["prompt"]["maxLength"]) == (1, 5000)
    assert (given["image_urls"]["minItems"], given["image_urls"]["maxItems"]) == (1, 5)
    ratios = "1:1 4:3 3:4 3:2 2:3 4:5 5:4 9:16 16:9 21:9 auto"
    assert given["aspect_ratio"]["enum"] == ratios.split()
    assert given["output_format"]["enum"] == ["png", "jpeg"]
    states = [schemas[name]["properties"]["state"] for name in ("Running", "Succeeded", "Failed")]
    assert states == [
        {"enum": ["pending", "processing"]},
        {"const": "success"},
        {"const": "failed"},
    ]


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/sandbox/account", "/results/x.png"])
def test_another_method_is_told_the_right_ones(sandbox: Sandbox, path: str) -> None:
    """A 405 names what would have worked, as HTTP demands."""
    answer = WEB.post(sandbox.url + path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("method", ["TRACE", "QUERY", "OPTIONS", "PATCH"])
def test_an_odd_method_is_none_of_the_api(sandbox: Sandbox, method: str) -> None:
    """Methods that nobody implements are refused like any other, not with a server's error."""
    answer = WEB.request(method, f"{sandbox.url}/api/v1/statusTask/nano-banana", headers=KEY)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
