"""What the panel's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanobanana_nb import Sandbox, Studio

from ..conftest import settings_for
from .hand import OPENED, Hand, filled, opened


@pytest.fixture(autouse=True)
def close_panels() -> Iterator[None]:
    """No panel lives on into the next test."""
    yield
    while OPENED:
        OPENED.pop().close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of the `studio` fixture."""
    return tmp_path / "home"


@pytest.fixture
def slow(slow_sandbox: Sandbox, tmp_path: Path) -> Iterator[Studio]:
    """A studio whose pictures take a second."""
    made = Studio(settings_for(slow_sandbox.url, tmp_path / "home"))
    yield made
    made.close()


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[tuple[Sandbox, Studio]]:
    """An API that draws eight at a time, longer than any test here, and a studio on it."""
    with Sandbox(latency=60, at_once=8, reasons=True) as api:
        made = Studio(settings_for(api.url, tmp_path / "home"))
        yield api, made
        made.close()


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    """The user's variables, in a real IPython."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    yield shell.user_ns
    InteractiveShell.clear_instance()


@pytest.fixture
def gallery(studio: Studio, home: Path) -> Hand:
    """A panel over 53 pictures, "fox 52" the newest."""
    filled(home, 53)
    hand = opened(studio)
    hand.says("1–12 of 53", "range")
    return hand
