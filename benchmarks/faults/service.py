"""An API that misbehaves on purpose, as a process of its own, and an account of what it billed.

`python -m benchmarks.faults.service --seed S --rate 0.05 --account FILE` prints its URL. It
restates the API from its documents and imports nothing of ours. What goes wrong with a request
depends only on the seed, the prompt and how often that was asked, not on the order of requests.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import random
import secrets
import socket
import struct
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from .kinds import SHUT, TABLE, Answer, Fault, Stage, envelope
from .painting import picture

PREFIX: Final = "/api/v1"
PORTS: Final = range(20_000, 30_000)
"""Not ports that the system gives to clients: the service closes its port and wants it back."""
PROMPT_LENGTH: Final = 5000


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


class Account:
    """What happened, one JSON line each, on disk before the client hears of it."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, event: str, **what: object) -> None:
        line = json.dumps({"event": event, "at": time.time(), **what}) + "\n"
        os.write(self._file, line.encode())


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
            while await self._send(writer, self._answer(await _read(reader))):
                pass
        writer.close()

    def _answer(self, request: Request) -> Answer:
        match request.method, request.path.removeprefix(PREFIX).split("/")[1:]:
            case "GET", ["files", name]:
                return self._file(name, int(request.query["link"][0]))
            case _ if not request.headers.get("authorization", "").startswith("Bearer "):
                return envelope(401, "Invalid or missing API key")
            case "POST", ["generateTask", "nano-banana"]:
                return self._submit(request.body)
            case "GET", ["statusTask", "nano-banana"]:
                return self._status(request.query.get("taskId", [""])[0])
            case "GET", ["apikeys", "current-balance"]:
                return envelope(200, "success", 1000 - 0.03 * len(self._tasks))
        return envelope(404, "Not found")

    def _submit(self, body: bytes) -> Answer:
        wanted = json.loads(body)["input"]
        prompt = wanted["prompt"]
        self._account.write("post", prompt=prompt)
        wrong = _what_is_wrong(wanted)
        if wrong:
            return envelope(400, "Invalid request", {"error": wrong})
        fault = self._fault("submit", prompt)
        if fault and not fault.billed:
            return fault.spoil(envelope(200, "success", {"taskId": "0" * 32}))
        task = self._bill(prompt, wanted.get("output_format", "jpeg"))
        good = envelope(200, "success", {"taskId": task.id})
        if fault and fault.shuts and self._reopening is None:
            self._reopening = asyncio.create_task(self._shut())
        return fault.spoil(good) if fault else good

    def _bill(self, prompt: str, output_format: str) -> Task:
        data = picture(len(self._tasks), output_format)
        running = self._chance("running", prompt).randrange(2)
        now = int(time.time() * 1000)
        task = Task(secrets.token_hex(16), prompt, output_format, data, running, now)
        self._tasks[task.id] = task
        sha256 = hashlib.sha256(data).hexdigest()
        self._account.write("billed", task=task.id, prompt=prompt, sha256=sha256)
        return task

    def _status(self, task_id: str) -> Answer:
        task = self._tasks.get(task_id)
        if task is None:
            return envelope(404, "Task not found")
        fault = self._fault("poll", task.prompt)
        data: dict[str, Any] = {"taskId": task.id, "createTime": task.created}
        if task.running:
            task.running -= 1
            data["state"] = "processing"
        else:
            task.link += task.link in task.dead
            suffix = "jpg" if task.output_format == "jpeg" else "png"
            link = f"{self.url}/files/{task.id}.{suffix}?link={task.link}"
            data |= {
                "state": "success",
                "resultJson": json.dumps({"resultUrls": [link]}),
                "completeTime": task.created + 20,
                "costTime": 20,
            }
        good = envelope(200, "success", data)
        return fault.spoil(good) if fault else good

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

    def _fault(self, stage: Stage, prompt: str) -> Fault | None:
        """What goes wrong this time, noted in the account; mostly nothing."""
        self._asked[stage, prompt] += 1
        chance = self._chance(stage, prompt, self._asked[stage, prompt])
        if chance.random() >= self._rate:
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
        if not answer.silent:
            whole = _head(answer) + answer.body
            stop = len(whole) - int(len(answer.body) * (1 - answer.part))
            middle = stop - len(answer.body) // 2 if answer.pause else stop
            writer.write(whole[:middle])
            await writer.drain()
            if answer.pause:
                await asyncio.sleep(answer.pause)
                writer.write(whole[middle:stop])
                await writer.drain()
        if answer.end == "reset":
            _reset(writer)
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


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of an orderly end."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _what_is_wrong(wanted: dict[str, Any]) -> str:
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
