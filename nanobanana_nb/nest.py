"""`asyncio.run(...)` of the user's own in a cell, where an event loop runs already.

Nothing of ours needs it. nest-asyncio and its successor nest-asyncio2 make the running loop
reentrant; where that is known to lose cells or to break other packages, they are left alone.
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from importlib import import_module, metadata, util
from typing import Final

from . import screen
from .errors import ConfigError

INSTEAD: Final = (
    "Use `await` in the cell, or what needs no patch: `nb.generate(...)` and its siblings, "
    "`studio.wait(...)`"
)
KEEPS_CELLS: Final = (1, 7, 3)
"""The first nest-asyncio2 that loses no queued cells on ipykernel 7; no nest-asyncio gets there."""


@dataclass(frozen=True)
class _Patch:
    """One of the two packages, as it is installed."""

    package: str
    module: str
    version: str

    @property
    def name(self) -> str:
        return f"{self.package} {self.version}"

    def trouble(self, ipykernel: int) -> str:
        """Why it is not sound here; empty where it is."""
        if self.package == "nest-asyncio" and sys.version_info >= (3, 14):
            return f"{self.name} breaks httpx and anyio on Python 3.14 and newer"
        if ipykernel >= 7 and _numbers(self.version) < KEEPS_CELLS:
            return f"{self.name} loses queued cells on ipykernel {ipykernel}"
        return ""

    def apply(self) -> None:
        import_module(self.module).apply()


def allow_asyncio_run() -> None:
    """Let your own `asyncio.run(...)` work in cells, by nest-asyncio2 or nest-asyncio.

    Says what was done; where no event loop runs, nothing is, because `asyncio.run(...)` works
    there. Raises `ConfigError` where the patch is not sound, with what to use instead. Needs the
    extra `nest`, except on Colab, which has nest-asyncio.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        screen.say("asyncio.run(...) works here as it is: no event loop runs. Nothing was changed.")
        return
    if not isinstance(loop, asyncio.BaseEventLoop):
        kind = type(loop).__module__.partition(".")[0]
        raise ConfigError(f"The event loop here is {kind}'s, which cannot be nested. {INSTEAD}.")
    ipykernel, applied = _ipykernel(), _applied()
    patch = applied or _installed()
    if patch is None:
        raise ConfigError(
            "asyncio.run(...) in a cell needs nest-asyncio2, which is not installed: "
            f'%pip install "nanobanana-nb[nest]", then run this again. Or: {_lower(INSTEAD)}.'
        )
    if trouble := patch.trouble(ipykernel):
        cure = (
            "It was applied before: restart the kernel and leave that out"
            if applied
            else 'With %pip install "nanobanana-nb[nest]" and a restart of the kernel it is sound'
        )
        raise ConfigError(f"{trouble}. {cure}. Or: {_lower(INSTEAD)}.")
    patch.apply()
    done = "was allowed already" if applied else "works in cells now"
    screen.say(f"asyncio.run(...) {done}, by {patch.name}.{_beware(ipykernel)}")


def _beware(ipykernel: int) -> str:
    if not ipykernel:
        return ""
    end = "ends the kernel" if ipykernel < 7 else "leaves the cell marked as running"
    return f" Keep it out of cells that also `await`: Stop, pressed in one, {end}."


def _ipykernel() -> int:
    """The major version of the ipykernel that runs us; 0 outside of it."""
    module = sys.modules.get("ipykernel") if screen.in_kernel() else None
    return int(module.version_info[0]) if module is not None else 0


def _applied() -> _Patch | None:
    """The one that somebody has applied already; the first wins."""
    if not hasattr(asyncio, "_nest_patched"):
        return None
    return _found("nest-asyncio2" if hasattr(asyncio, "_nest_asyncio2") else "nest-asyncio")


def _installed() -> _Patch | None:
    """The better one that is installed."""
    return _found("nest-asyncio2") or _found("nest-asyncio")


def _found(package: str) -> _Patch | None:
    module = package.replace("-", "_")
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
    return _Patch(package, module, version) if util.find_spec(module) else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
