"""What the panel says."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from .. import display
from ..errors import NanoBananaError
from ..models import PRICE
from ..references import MAX_BYTES
from ..results import Gallery, Generation, Picture, when

WITHOUT_KERNEL: Final = (
    "The panel of nanobanana_nb lives in a notebook with its kernel; run the cell to open it."
)
STYLE_GONE: Final = "The chosen style is not in its file any more; now none is chosen."
CLICKS: Final = "Clicks that close together count as one; for several pictures raise their number."


def trouble(error: Exception) -> str:
    """An error in one line; ours say what to do, the others are defects of ours."""
    if isinstance(error, NanoBananaError):
        return str(error)
    what = type(error).__name__
    with contextlib.suppress(Exception):  # somebody else's, which may not even say what it is
        what = f"{what}: {error}"
    return f"That should not have happened ({what}); nothing is lost."


def not_taken(why: str, name: str) -> str:
    """Why a file that was dropped or pasted is no reference."""
    if why == "too-large":
        limit = f"{MAX_BYTES / 1e6:.0f} MB"
        return f"{name!r} is larger than the {limit} that the API takes; give a smaller picture."
    return f"{name!r} is not a picture; drop a PNG, JPEG or WebP file, or a link to one."


def on_the_way(count: int) -> str:
    """What was just asked for, with its price."""
    pictures = "1 picture is" if count == 1 else f"{count} pictures are"
    return f"{pictures} on the way, {display.money(PRICE * count)}."


def reasons(refused: Sequence[Generation]) -> str:
    """Why there are no pictures, each reason once."""
    counts = Counter(str(one.error) for one in refused)
    return " ".join(f"{count} ×: {why}" if count > 1 else why for why, count in counts.items())


def done(found: Gallery) -> str:
    count = len(found.images)
    return f"{'1 picture' if count == 1 else f'{count} pictures'} done." if count else ""


def stopped(dropped: int, going_on: int) -> str:
    parts = []
    if dropped:
        parts.append(f"{dropped} dropped before sending, nothing billed for that.")
    if going_on:
        price = display.money(PRICE * going_on)
        parts.append(
            f"{going_on} sent already: what was sent cannot be cancelled, is paid for ({price}), "
            "and appears here when it is done."
        )
    return " ".join(parts) or "Nothing is waiting."


def facts(one: Generation) -> list[str]:
    request, size = one.request, ""
    if one.images:
        first = one.images[0]
        size = f"{first.width} × {first.height} {first.format}"
    seconds = f"{one.seconds:.1f} s" if one.seconds is not None else ""
    cost = display.money(one.cost) if one.cost else ""
    said = (when(one.created), request.aspect_ratio, size, seconds, cost)
    return [" · ".join(part for part in said if part), f"task {one.task_id or one.id}"]


def expiry(picture: Picture) -> str:
    left = (picture.expires - datetime.now(UTC)).total_seconds()
    if left <= 0:
        return f"dead since {when(picture.expires)}; the file stays"
    return f"alive until {when(picture.expires)}, {left / 3600:.0f} hours more"


def kept(one: Any) -> str:
    where = "It stands below the panel and stays in the notebook."
    if not isinstance(one, Generation):
        return where
    return (
        f"{where} Nothing there, after the page was reloaded? %nanobanana_resume {one.id} in a "
        "cell shows it."
    )
