"""The module-level verbs: the studio's own, blocking, on one default studio made on first use."""

from __future__ import annotations

import getpass
from decimal import Decimal
from typing import Any, Literal, Unpack, overload

from . import screen
from .results import Gallery, Generation
from .settings import Settings
from .studio import SANDBOX_NOTICE, Options, Studio

_default: Studio | None = None


def default_studio() -> Studio:
    """The studio behind the module-level verbs and the magics; says once if it is a sandbox."""
    global _default
    if _default is None:
        _default = Studio()
        if _default.sandboxed:
            screen.say(SANDBOX_NOTICE, notice=True)
    elif _default.sandboxed and (settings := Settings.load()) != _default.settings:
        _default = Studio(settings)  # a key was set since, as the notice told
    return _default


@overload
def generate(prompt: str, *, count: Literal[1] = 1, **options: Unpack[Options]) -> Generation: ...


@overload
def generate(prompt: str, *, count: int, **options: Unpack[Options]) -> Generation | Gallery: ...


def generate(prompt: str, *, count: int = 1, **options: Unpack[Options]) -> Generation | Gallery:
    """Draw a picture ($0.03) and wait for it, usually 15-20 s; see `Studio.generate`."""
    studio = default_studio()
    return studio.wait(studio.generate(prompt, count=count, **options))


def edit(
    reference: Any, prompt: str, *, count: int = 1, **options: Unpack[Options]
) -> Generation | Gallery:
    """A picture made from another one, or from a list of up to five; see `Studio.edit`."""
    studio = default_studio()
    return studio.wait(studio.edit(reference, prompt, count=count, **options))


def vary(generation: Generation, count: int = 4) -> Gallery:
    """The same request `count` times more; see `Studio.vary`."""
    studio = default_studio()
    return studio.wait(studio.vary(generation, count))


def resume(task_id: str | None = None) -> Gallery:
    """Wait for accepted tasks that are not on disk yet; nothing is submitted."""
    studio = default_studio()
    return studio.wait(studio.resume(task_id))


def balance() -> Decimal:
    """US dollars left for this key."""
    studio = default_studio()
    return studio.wait(studio.balance())


def login() -> None:
    """Ask for the API key and keep it for this kernel only; it is stored nowhere."""
    global _default
    _default = Studio(Settings.load().with_key(getpass.getpass("APIXO API key: ").strip()))
    screen.say("The key is kept for this kernel.")
