"""Small pictures for outputs: JPEGs of at most so many pixels and bytes.

Pillow is imported on first use, because it would double the time that loading the extension takes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL import Image

PREVIEW_SIDE: Final = 512
PREVIEW_BYTES: Final = 40_000
_BEST, _USUAL, _WORST = 85, 75, 25
"""Qualities of a JPEG; what would need less than the worst is made of fewer pixels."""
_HEAD: Final = 623
"""Bytes of a JPEG that come before its pixels."""
_COARSE: Final = 4
"""Times the side of a preview; a picture of rare colours is cut down to that before it is turned
into common ones, which may need four times the memory."""


def make_preview(image: Image.Image, side: int = PREVIEW_SIDE, limit: int = PREVIEW_BYTES) -> bytes:
    """A JPEG of at most `side` pixels and `limit` bytes; see-through parts become white."""
    from PIL import Image

    small = image if max(image.size) <= side else _reduced(image, side)
    if small.mode != "RGB":
        white = Image.new("RGBA", small.size, "white")
        small = Image.alpha_composite(white, small.convert("RGBA")).convert("RGB")
    return _within(limit, small) or make_preview(small, side * 3 // 4, limit)


def shrink(preview: bytes, side: int = 320, limit: int = 20_000) -> bytes:
    """A still smaller preview, of at most `side` pixels and `limit` bytes."""
    from PIL import Image

    return make_preview(Image.open(io.BytesIO(preview)), side, limit) if preview else b""


def contact_sheet(previews: Iterable[bytes], side: int = PREVIEW_SIDE) -> bytes:
    """Small pictures side by side in one JPEG, for front ends that show no HTML."""
    from PIL import Image

    images = [Image.open(io.BytesIO(preview)) for preview in previews if preview]
    if not images:
        return b""
    columns = max(1, min(4, len(images)))
    cell = side // columns
    sheet = Image.new("RGB", (side, cell * -(-len(images) // columns) or 1), "white")
    for number, image in enumerate(images):
        image.thumbnail((cell - 4, cell - 4))
        column, row = number % columns, number // columns
        left, top = (cell - image.width) // 2, (cell - image.height) // 2
        sheet.paste(image, (column * cell + left, row * cell + top))
    return make_preview(sheet, side)


def fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height in the same ratio, the longer of them `side`."""
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """Whole pixels are averaged first, so that nothing flickers and little is left to resize."""
    from PIL import Image

    size, source = fitted(image.size, side), image
    if image.mode not in ("RGB", "RGBA", "L"):
        if max(image.size) > _COARSE * side:
            source = image.resize(fitted(image.size, _COARSE * side), Image.Resampling.NEAREST)
        source = source.convert("RGBA")
    return source.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


def _within(limit: int, image: Image.Image) -> bytes:
    """A JPEG of so many bytes, as good as it can be; nothing where it would look too bad."""
    quality = max(_WORST, min(_BEST, _fitting(_USUAL, _expected(image) / limit)))
    while quality >= _WORST:
        data = _jpeg(image, quality)
        if len(data) <= limit:
            return data
        fits = max(_WORST, _fitting(quality, len(data) / limit))
        quality = min(quality - 1, fits)
    data = _jpeg(image, _WORST, optimize=True)
    return data if len(data) <= limit else b""


def _expected(image: Image.Image) -> int:
    """Bytes of its JPEG in the usual quality, by its middle: an eighth of it, and of the work."""
    left, top = image.width // 4, 3 * image.height // 8
    middle = image.crop((left, top, image.width - left, image.height - top))
    share = image.width * image.height / (middle.width * middle.height)
    return int(_HEAD + share * (len(_jpeg(middle, _USUAL)) - _HEAD))


def _jpeg(image: Image.Image, quality: int, *, optimize: bool = False) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=optimize)
    return buffer.getvalue()


def _fitting(quality: int, excess: float) -> int:
    """The quality in which a JPEG that is `excess` times as large as allowed should fit.

    The steps between shades that a quality stands for are as the JPEG library has them; the bytes
    of photographs go down with the power 0.7 of them. A twentieth is left for those that differ.
    """
    steps = 200 - 2 * quality if quality >= 50 else 5000 / quality
    steps *= (1.05 * excess) ** (1 / 0.7)
    return int(100 - steps / 2 if steps <= 100 else 5000 / steps)
