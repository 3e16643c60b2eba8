"""Callbacks on their way: each delivered, with faults, and repeated until it is answered with 200.

The API's page says: a POST of what the status says, to be answered with HTTP 200; otherwise up to
three repetitions with growing delays. They are the same here, only sooner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from .account import Account
from .kinds import Answer, Fault, Notice
from .sending import send

REPEATED: Final = 3
FIRST: Final = 0.2
"""Seconds before the first repetition; each later one waits twice as long as that before it."""
PATIENCE: Final = 10.0
"""Seconds within which a delivery is to be answered."""


@dataclass
class Callback:
    """The callback of a task. `notice` tells what is true when it is delivered, `fault` what goes
    wrong with it this time. `answered`: the submit has been answered by now."""

    url: str
    task: str
    delay: float
    notice: Callable[[], Notice]
    fault: Callable[[], Fault | None]
    answered: bool = False


class Deliveries:
    """All callbacks that are on their way, each attempt of which is noted in the account.

    `taken` are the tasks whose callbacks were answered with 200, in order.
    """

    def __init__(self, account: Account) -> None:
        self.taken: list[str] = []
        self._account = account
        self._under_way: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    def begin(self, callback: Callback) -> asyncio.Task[None]:
        """Deliver it from now on; done when it was taken, or has failed for good."""
        work = asyncio.create_task(self._deliver(callback))
        self._under_way.add(work)
        work.add_done_callback(self._under_way.discard)
        return work

    async def _deliver(self, callback: Callback) -> None:
        await asyncio.sleep(callback.delay)
        for attempt in range(1 + REPEATED):
            if attempt:
                await asyncio.sleep(FIRST * 2 ** (attempt - 1))
            result = await _attempt(callback)
            self._account.write(
                "callback",
                task=callback.task,
                attempt=attempt,
                early=not callback.answered,
                result=result,
            )
            if result == "200":
                self.taken.append(callback.task)
                return
        self._account.write("undelivered", task=callback.task)


async def _attempt(callback: Callback) -> str:
    """One delivery with what goes wrong at it; how the true callback was answered."""
    notice, fault = callback.notice(), callback.fault()
    good = Answer(200, notice.true)
    if fault is None:
        return await _post(callback.url, good)
    if fault.before:
        await _post(callback.url, replace(good, body=fault.before(notice)))
    spoilt = fault.spoil(good)
    posts = [_post(callback.url, spoilt) for _ in range(1 + fault.twice)]
    result, *_ = await asyncio.gather(*posts)
    if fault.after:
        await _post(callback.url, replace(good, body=fault.after(notice)))
    return result


async def _post(url: str, message: Answer) -> str:
    """The HTTP status that a POST is answered with, or why there is none."""
    await asyncio.sleep(message.delay)
    if message.silent:
        return "not sent"
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                await send(writer, _head(parts.netloc, parts.path, len(message.body)), message)
                if message.end != "keep":
                    return "not awaited"
                return (await reader.readline()).split()[1].decode()
            finally:
                writer.close()
    except ConnectionRefusedError:
        return "refused"
    except (OSError, TimeoutError, IndexError):
        return "no answer"


def _head(host: str, path: str, length: int) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
