"""A service for batches, `with service(at_once=64) as url`, as a process of its own.

It speaks three APIs on one port: ours, and those that the packages `replicate` and `fal-client`
speak, so that they do the same job. It is no bottleneck: nothing is drawn, every task gets the same
photo-like picture. The prompt says how long it is held: "a fox, held 3 s" is done after 2 to 4 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import secrets
import sys
import time
from itertools import count
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from .service import photo_like, serving

REPLICATE_VERSION: Final = "nano-banana"
FAL_APP: Final = "sandbox/nano-banana"
_HELD: Final = re.compile(rb"held ([\d.]+) s")
_GOLDEN: Final = 0.618034
"""Its multiples spread evenly over 0 to 1, in whatever order tasks come."""

Answer = tuple[int, bytes]


def service(at_once: int) -> contextlib.AbstractContextManager[str]:
    """The URL of a service whose account allows so many tasks at a time."""
    return serving(__name__, str(at_once))


class Service:
    """The tasks behind all three APIs. `at_once` is how many may be under way."""

    def __init__(self, at_once: int, picture: bytes) -> None:
        self.url = ""
        self._at_once = at_once
        self._picture = picture
        self._due: dict[str, float] = {}
        self._under_way: list[float] = []
        self._numbers = count()

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        """The status and the body of an answer."""
        parts = urlsplit(target)
        match method, *parts.path.strip("/").split("/"):
            case "POST", "api", "v1", "generateTask", _:
                return self._submitted(body, lambda id_: _enveloped({"taskId": id_}))
            case "GET", "api", "v1", "statusTask", _:
                return self._ours(parse_qs(parts.query)["taskId"][0])
            case "GET", "api", "v1", "apikeys", "current-balance":
                return _json(_enveloped(1000))
            case "POST", "v1", "predictions":
                return self._submitted(body, self._replicates)
            case "GET", "v1", "predictions", id_:
                return _json(self._replicates(id_))
            case "POST", "sandbox", "nano-banana":
                return self._submitted(body, self._fals_handle)
            case "GET", "sandbox", "nano-banana", "requests", id_, "status":
                state = "COMPLETED" if self._done(id_) else "IN_PROGRESS"
                return _json({"status": state, "logs": None, "metrics": {}})
            case "GET", "sandbox", "nano-banana", "requests", id_:
                return _json({"images": [{"url": self._link(id_)}]})
            case "GET", "results", _:
                return 200, self._picture
        return 404, b""

    def _submitted(self, body: bytes, told: Any) -> Answer:
        now = time.monotonic()
        self._under_way = [due for due in self._under_way if due > now]
        if len(self._under_way) >= self._at_once:
            return _json({"code": 429, "message": "Too many requests", "data": None}, 429)
        held = _HELD.search(body)
        spread = 2 / 3 + 2 / 3 * (next(self._numbers) * _GOLDEN % 1)
        id_ = secrets.token_hex(16)
        self._due[id_] = now + spread * float(held[1] if held else 0)
        self._under_way.append(self._due[id_])
        return _json(told(id_))

    def _done(self, id_: str) -> bool:
        return time.monotonic() >= self._due[id_]

    def _link(self, id_: str) -> str:
        return f"{self.url}/results/{id_}.png"

    def _ours(self, id_: str) -> Answer:
        data: dict[str, Any] = {"taskId": id_, "state": "processing", "createTime": 1}
        if self._done(id_):
            links = json.dumps({"resultUrls": [self._link(id_)]})
            data |= {"state": "success", "resultJson": links, "completeTime": 1}
        return _json(_enveloped(data))

    def _replicates(self, id_: str) -> dict[str, Any]:
        done = self._done(id_)
        return {
            "id": id_,
            "model": "sandbox/nano-banana",
            "version": REPLICATE_VERSION,
            "status": "succeeded" if done else "processing",
            "input": {},
            "output": self._link(id_) if done else None,
            "urls": {"get": f"{self.url}/v1/predictions/{id_}"},
        }

    def _fals_handle(self, id_: str) -> dict[str, str]:
        one = f"{self.url}/{FAL_APP}/requests/{id_}"
        urls = {"status_url": f"{one}/status", "cancel_url": f"{one}/cancel"}
        return {"request_id": id_, "response_url": one, **urls}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until its client has gone."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = re.search(r"(?i)content-length: *(\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                method, target, _ = head.split(" ", 2)
                status, answer = self.answer(method, target, body)
                kind = "image/png" if answer is self._picture else "application/json"
                writer.write(
                    f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(answer)}\r\n\r\n".encode()
                )
                writer.write(answer)
                await writer.drain()
        writer.close()


def _enveloped(data: object) -> dict[str, Any]:
    return {"code": 200, "message": "success", "data": data}


def _json(answer: object, status: int = 200) -> Answer:
    return status, json.dumps(answer).encode()


async def _serve(at_once: int) -> None:
    data = io.BytesIO()
    photo_like().save(data, "PNG")
    served = Service(at_once, data.getvalue())
    server = await asyncio.start_server(served.connected, "127.0.0.1", 0, backlog=1024)
    served.url = "http://{}:{}".format(*server.sockets[0].getsockname())
    print(served.url, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
