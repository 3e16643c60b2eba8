"""A client like the vendor's samples, for the checker to find guilty.

It does as their page says: retries the submit on 429, 500, 502, 503, 504 and when the line breaks,
polls, throws "Timeout", and writes whatever comes to a file. It notes a picture once it has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import httpx

from .clicking import clicking

TRIES: Final = 4
POLLS: Final = 60
RETRIED: Final = (429, 500, 502, 503, 504)
TABLES: Final = """
    CREATE TABLE IF NOT EXISTS task (
        id TEXT PRIMARY KEY, state TEXT, prompt TEXT, task_id TEXT, price TEXT, created REAL);
    CREATE TABLE IF NOT EXISTS picture (
        task TEXT, position INTEGER, url TEXT, file TEXT, sha256 TEXT);
"""


class NaiveClient:
    """One process's worth of clicks."""

    def __init__(self, url: str, home: Path) -> None:
        self._api = f"{url}/api/v1"
        self._pictures = home / "pictures"
        self._pictures.mkdir(parents=True, exist_ok=True)
        self._ledger = sqlite3.connect(home / "ledger.sqlite3", timeout=30)
        self._ledger.executescript(TABLES)
        self._http = httpx.AsyncClient(
            timeout=0.5, headers={"Authorization": "Bearer test-key"}, trust_env=False
        )

    async def close(self) -> None:
        await self._http.aclose()
        self._ledger.close()

    async def click(self, prompt: str) -> None:
        """From the prompt to a file, or an exception that someone sees on a screen and forgets."""
        wanted = {"mode": "text-to-image", "prompt": prompt, "output_format": "png"}
        body = {"request_type": "async", "input": wanted}
        answer = await self._retried(
            lambda: self._http.post(f"{self._api}/generateTask/nano-banana", json=body)
        )
        task_id = answer.json()["data"]["taskId"]
        link = await self._polled(task_id)
        picture = (await self._retried(lambda: self._http.get(link))).content
        self._note(prompt, task_id, link, picture)

    async def _retried(self, call: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        for tries in range(TRIES):
            with contextlib.suppress(httpx.HTTPError):
                answer = await call()
                if answer.status_code not in RETRIED:
                    return answer
            await asyncio.sleep(0.01 * 2**tries)
        raise RuntimeError("Max retries exceeded")

    async def _polled(self, task_id: str) -> str:
        status = f"{self._api}/statusTask/nano-banana?taskId={task_id}"
        for _ in range(POLLS):
            data = (await self._retried(lambda: self._http.get(status))).json()["data"]
            if data["state"] == "success":
                return str(json.loads(data["resultJson"])["resultUrls"][0])
            if data["state"] == "failed":
                raise RuntimeError(data["failMsg"])
            await asyncio.sleep(0.02)
        raise RuntimeError("Timeout")

    def _note(self, prompt: str, task_id: str, link: str, picture: bytes) -> None:
        id_ = secrets.token_hex(8)
        file = self._pictures / f"{id_}.png"
        file.write_bytes(picture)
        sha256 = hashlib.sha256(picture).hexdigest()
        with self._ledger as ledger:
            values = (id_, "stored", prompt, task_id, "0.03", time.time())
            ledger.execute("INSERT INTO task VALUES (?, ?, ?, ?, ?, ?)", values)
            ledger.execute(
                "INSERT INTO picture VALUES (?, 0, ?, ?, ?)", (id_, link, str(file), sha256)
            )


async def run(url: str, home: Path, name: str, clicks: int, at_once: int) -> int:
    """Make the clicks; how many ended in an exception."""
    client = NaiveClient(url, home)
    places = asyncio.Semaphore(at_once)

    async def click(number: int) -> bool:
        async with places:
            try:
                await client.click(f"click {name}-{number} of a fox in the snow")
            except Exception:  # noqa: BLE001 - the samples print it and go on
                return False
            return True

    done = await asyncio.gather(*map(click, range(clicks)))
    await client.close()
    return done.count(False)


if __name__ == "__main__":
    asyncio.run(run(*clicking("naive")[:-1]))
