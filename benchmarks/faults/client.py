"""Our client under test, as a process; it uses public names only.

`python -m benchmarks.faults.client --url U --home H --clicks N --name A --at-once 16`
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

import nanobanana_nb as nb

from .clicking import clicking

RESUMES: Final = 10
"""How often it is asked for what is not home yet."""
PAUSE: Final = 0.2
PATIENCE: Final = 4.0
"""Seconds for which callbacks about lost submits are waited for: longer than they are repeated."""


def settings(url: str, home: Path, callback: str = "") -> nb.Settings:
    """Settings for a quick API on this machine."""
    where = {"callback_url": callback} if callback else {}
    return nb.Settings.load(
        base_url=url,
        api_key="test-key",
        home=home,
        pictures=home / "pictures",
        first_poll=0.0,
        poll_interval=0.02,
        timeout=0.5,
        backoff=0.01,
        deadline=20,
        **where,
    )


async def run(
    url: str, home: Path, name: str, clicks: int, at_once: int, callback: str = ""
) -> int:
    """Make the clicks and bring home what can be; how many ended in one of our errors."""
    async with nb.Studio(settings(url, home, callback)) as studio:
        places = asyncio.Semaphore(at_once)

        async def click(number: int) -> bool:
            output_format = "jpeg" if number % 3 == 0 else "png"
            async with places:
                try:
                    await studio.generate(
                        f"click {name}-{number} of a fox in the snow", output_format=output_format
                    )
                except nb.NanoBananaError:
                    return False
                return True

        done = await asyncio.gather(*map(click, range(clicks)))
        await resume(studio)
        if callback:
            await rescue(studio)
    return done.count(False)


async def resume(studio: nb.Studio) -> None:
    """Ask for what is not home yet until nothing comes back."""
    for _ in range(RESUMES):
        if not await studio.resume():
            return
        await asyncio.sleep(PAUSE)


async def rescue(studio: nb.Studio) -> None:
    """Give the callbacks about lost submits the time to come; nobody can say which were billed."""
    patience = time.monotonic() + PATIENCE
    while await studio.history(state="unknown") and time.monotonic() < patience:
        await asyncio.sleep(PAUSE)
        await resume(studio)


if __name__ == "__main__":
    asyncio.run(run(*clicking("client")))
