"""An API that misbehaves on purpose, as a process of its own, and an account of what it billed.

`python -m benchmarks.faults.service --seed S --rate 0.05 --account FILE` prints its URL. It
restates the API from its documents and imports nothing of ours. What goes wrong with a request
depends only on the seed, the prompt and how often that was asked, not on the order of requests.

A task of request_type "callback" is also delivered, whatever has become of the submit's answer.
`GET /progress` tells how many submits it has seen and how many callbacks are still on their way.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from .account import Account
from .deliveries import Callback, Deliveries
from .kinds import SHUT, TABLE, Answer, Fault, Notice, Stage, envelope
from .painting import picture
from .sending import send

PREFIX: Final = "/api/v1"
PORTS: Final = range(20_000, 30_000)
"""Not ports that the system gives to clients: the service closes its port and wants it back."""
PROMPT_LENGTH: Final = 5000
DELAYS: Final = (0.005, 0.3)
"""Seconds from the submit to its callback, from and to."""
EARLY: Final = 0.15
"""How many callbacks come before the submit is answered,"""
WAIT: Final = 0.3
"""and seconds for which that answer waits for one at most."""
DOUBTFUL_RATE: Final = 0.5
"""Faults per delivery where the submit's answer was lost, because there all depends on it."""
RECENT: Final = 3
"""Who forges a callback likes to name the latest such tasks, so many."""


@dataclass
class Task:
    """A billed task. `running` is how many more polls find it still running."""

    id: str
    prompt: str
    output_format: str
    picture: bytes
    running: int
    created: int
    link: int = 0
    dead: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


class Service:
    """The API and its result files on one port."""

    def __init__(
        self, seed: int, rate: float, account: Account, port: int, without: Collection[str] = ()
    ) -> None:
        self._seed = seed
        self._rate = rate
        self._account = account
        self._port = port
        self._kinds = {
            stage: [kind for kind in kinds if kind.name not in without]
            for stage, kinds in TABLE.items()
        }
        self._tasks: dict[str, Task] = {}
        self._doubtful: set[str] = set()
        self._posts = 0
        self._deliveries = Deliveries(account)
        self._asked: Counter[tuple[Stage, str]] = Counter()
        self._server: asyncio.Server | None = None
        self._reopening: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Take connections, on any free port unless one was given."""
        for port in [self._port] if self._port else random.sample(PORTS, 100):
            with contextlib.suppress(OSError):
                self._server = await asyncio.start_server(
                    self._serve, "127.0.0.1", port, reuse_address=True, backlog=512
                )
                self._port = port
                return
        raise OSError(f"no port to listen on ({self._port or 'any'})")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._send(writer, await self._answer(await _read(reader))):
                pass
        writer.close()

    async def _answer(self, request: Request) -> Answer:
        match request.method, request.path.removeprefix(PREFIX).split("/")[1:]:
            case "GET", ["files", name]:
                return self._file(name, int(request.query["link"][0]))
            case _, ["lure", name]:
                return self._lured(name)
            case "GET", ["progress"]:
                progress = {"posts": self._posts, "callbacks": len(self._deliveries)}
                return envelope(200, "success", progress)
            case _ if not request.headers.get("authorization", "").startswith("Bearer "):
                return envelope(401, "Invalid or missing API key")
            case "POST", ["generateTask", "nano-banana"]:
                return await self._submit(json.loads(request.body))
            case "GET", ["statusTask", "nano-banana"]:
                return self._status(request.query.get("taskId", [""])[0])
            case "GET", ["apikeys", "current-balance"]:
                return envelope(200, "success", 1000 - 0.03 * len(self._tasks))
        return envelope(404, "Not found")

    async def _submit(self, body: dict[str, Any]) -> Answer:
        wanted = body["input"]
        prompt = wanted["prompt"]
        self._posts += 1
        self._account.write("post", prompt=prompt)
        wrong = _what_is_wrong(body)
        if wrong:
            return envelope(400, "Invalid request", {"error": wrong})
        fault = self._fault("submit", prompt)
        if fault and not fault.billed:
            return fault.spoil(envelope(200, "success", {"taskId": "0" * 32}))
        url = body["callback_url"] if body.get("request_type") == "callback" else ""
        task = self._bill(prompt, wanted.get("output_format", "jpeg"), bool(url))
        good = envelope(200, "success", {"taskId": task.id})
        if fault and fault.ambiguous:
            self._doubtful.add(task.id)
        if url:
            await self._call_back(task, url)
        if fault and fault.shuts and self._reopening is None:
            self._reopening = asyncio.create_task(self._shut())
        return fault.spoil(good) if fault else good

    def _bill(self, prompt: str, output_format: str, callback: bool) -> Task:
        data = picture(len(self._tasks), output_format)
        running = self._chance("running", prompt).randrange(2)
        now = int(time.time() * 1000)
        task = Task(secrets.token_hex(16), prompt, output_format, data, running, now)
        self._tasks[task.id] = task
        what = {"task": task.id, "prompt": prompt, "sha256": hashlib.sha256(data).hexdigest()}
        self._account.write("billed", **what, callback=callback)
        return task

    async def _call_back(self, task: Task, url: str) -> None:
        """Begin to deliver a callback; some are tried before this returns and so come early."""
        chance = self._chance("delay", task.prompt)
        early = chance.random() < EARLY

        def fault() -> Fault | None:
            lost = self._rate and task.id in self._doubtful
            rate = max(self._rate, DOUBTFUL_RATE) if lost else self._rate
            return self._fault("callback", task.prompt, rate)

        def notice() -> Notice:
            return self._notice(task, chance)

        delay = 0.0 if early else chance.uniform(*DELAYS)
        callback = Callback(url, task.id, delay, notice, fault)
        delivery = self._deliveries.begin(callback)
        if early:
            await asyncio.wait({delivery}, timeout=WAIT)
        callback.answered = True

    def _notice(self, task: Task, chance: random.Random) -> Notice:
        """What its callback is about: from now on it is finished."""
        task.running = 0
        others = [id_ for id_ in self._deliveries.taken if id_ != task.id]
        doubtful = [id_ for id_ in others if id_ in self._doubtful][-RECENT:]
        named = doubtful if doubtful and chance.random() < 0.5 else others or ["0" * 32]
        true = envelope(200, "success", self._state(task)).body
        return Notice(true, chance.choice(named), f"{self.url}/lure/{task.id}.png")

    def _lured(self, name: str) -> Answer:
        """Somebody believed a forged callback, and gets an attacker's picture."""
        self._account.write("lured", task=name)
        return Answer(200, picture(-1, "png"), "image/png")

    def _status(self, task_id: str) -> Answer:
        task = self._tasks.get(task_id)
        if task is None:
            return envelope(404, "Task not found")
        fault = self._fault("poll", task.prompt)
        running = {"taskId": task.id, "createTime": task.created, "state": "processing"}
        good = envelope(200, "success", running if task.running else self._state(task))
        task.running -= task.running > 0
        return fault.spoil(good) if fault else good

    def _state(self, task: Task) -> dict[str, Any]:
        """A finished task as status and callback tell it, with a link that works."""
        task.link += task.link in task.dead
        suffix = "jpg" if task.output_format == "jpeg" else "png"
        link = f"{self.url}/files/{task.id}.{suffix}?link={task.link}"
        return {
            "taskId": task.id,
            "createTime": task.created,
            "state": "success",
            "resultJson": json.dumps({"resultUrls": [link]}),
            "completeTime": task.created + 20,
            "costTime": 20,
        }

    def _file(self, name: str, link: int) -> Answer:
        task = self._tasks.get(name.partition(".")[0])
        if task is None or link in task.dead:
            return Answer(403, b"<Error><Code>ExpiredToken</Code></Error>", "application/xml")
        good = Answer(200, task.picture, f"image/{task.output_format}")
        fault = self._fault("download", task.prompt)
        if fault is None:
            return good
        if fault.ends_link:
            task.dead.add(link)
        return fault.spoil(good)

    def _fault(self, stage: Stage, prompt: str, rate: float | None = None) -> Fault | None:
        """What goes wrong this time, noted in the account; mostly nothing."""
        self._asked[stage, prompt] += 1
        chance = self._chance(stage, prompt, self._asked[stage, prompt])
        if chance.random() >= (self._rate if rate is None else rate):
            return None
        fault = chance.choice(self._kinds[stage])
        self._account.write("fault", kind=f"{stage} {fault.name}", prompt=prompt)
        return fault

    def _chance(self, *about: object) -> random.Random:
        return random.Random(f"{self._seed} {about}")

    async def _shut(self) -> None:
        """Refuse connections for a moment; those that exist go on."""
        assert self._server is not None
        self._server.close()
        await asyncio.sleep(SHUT)
        await self.open()
        self._reopening = None

    async def _send(self, writer: asyncio.StreamWriter, answer: Answer) -> bool:
        """Send an answer the way it says; whether the connection can be used again."""
        if answer.delay:
            await asyncio.sleep(answer.delay)
        await send(writer, _head(answer), answer)
        return answer.end == "keep"


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    pairs = (line.split(":", 1) for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    parts = urlsplit(target)
    return Request(method, parts.path, parse_qs(parts.query), headers, body)


def _head(answer: Answer) -> bytes:
    length = len(answer.body) if answer.length is None else answer.length
    lines = [
        f"HTTP/1.1 {answer.status} {answer.status}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {length}",
        f"Connection: {'keep-alive' if answer.end == 'keep' else 'close'}",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _what_is_wrong(body: dict[str, Any]) -> str:
    wanted, how = body["input"], body.get("request_type", "async")
    url = urlsplit(body.get("callback_url") or "")
    if how not in ("async", "callback"):
        return "request_type"
    if how == "callback" and not (url.scheme == "http" and url.port and url.path):
        return "callback_url"
    if wanted.get("mode") not in ("text-to-image", "image-to-image"):
        return "input.mode"
    if not 1 <= len(wanted["prompt"]) <= PROMPT_LENGTH:
        return "input.prompt"
    if wanted.get("output_format", "jpeg") not in ("png", "jpeg"):
        return "input.output_format"
    return ""


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.service")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.05, help="faults per request, 0 to 1")
    parser.add_argument("--account", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--without", nargs="*", default=(), help="kinds of fault to leave out")
    given = parser.parse_args()
    account = Account(given.account)
    service = Service(given.seed, given.rate, account, given.port, given.without)
    await service.open()
    print(service.url, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
