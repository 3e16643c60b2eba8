"""PREVIEWS: what looking through a picture and making its preview costs, beside a bare decode."""

from __future__ import annotations

import functools
import io
import statistics
import time
from collections.abc import Callable

from PIL import Image

from nanobanana_nb import pictures, previews

from .service import photo_like
from .table import plain, verdict

GOAL = 1.10
"""Our cost, in costs of opening and decoding the same bytes at full size."""
KINDS = ("1024 PNG", "1024 JPEG", "4K PNG", "4K JPEG")


def table(samples: int) -> str:
    """Medians of so many of each, taken in turns; CPU time, which other work hardly changes."""
    head = ("", "MB", "decode ms", "ours ms", "/ decode", "goal", "", "preview kB")
    return plain(f"PREVIEWS (medians of {samples})", head, [_row(kind, samples) for kind in KINDS])


@functools.cache
def photo(kind: str) -> bytes:
    """A photo-like picture, 1024 x 1024 or 3840 x 2160, as PNG or JPEG."""
    size, format_ = kind.split()
    image = photo_like() if size == "1024" else photo_like(3840).crop((0, 840, 3840, 3000))
    data = io.BytesIO()
    options = {"compress_level": 4} if format_ == "PNG" else {"quality": 90}
    image.save(data, format_, **options)
    return data.getvalue()


def _row(kind: str, samples: int) -> list[str]:
    data, ways = photo(kind), (_decode, _ours)
    taken: dict[Callable[[bytes], bytes], list[float]] = {way: [] for way in ways}
    for number in range(samples + 1):
        for way in ways[:: -1 if number % 2 else 1]:
            begun = time.process_time()
            way(data)
            if number:  # the first is for warming up
                taken[way].append(1000 * (time.process_time() - begun))
    bare, ours = (statistics.median(taken[way]) for way in ways)
    ratio = statistics.median(b / a for a, b in zip(taken[_decode], taken[_ours], strict=True))
    return [
        kind,
        f"{len(data) / 1e6:.1f}",
        f"{bare:.1f}",
        f"{ours:.1f}",
        f"{ratio:.2f}",
        f"<= {GOAL:.2f}",
        verdict(ratio <= GOAL),
        f"{len(_ours(data)) / 1e3:.0f}",
    ]


def _decode(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
    return b""


def _ours(data: bytes) -> bytes:
    """As `PictureStore.keep` does: decoded to the last row, and its preview."""
    image, _ = pictures._opened(data, previews.PREVIEW_SIDE)
    with image:
        return previews.make_preview(image)
