"""Small pictures that differ for every task, drawn once and then only marked."""

from __future__ import annotations

import functools
import io
import struct
import zlib

from PIL import Image

SIDE = 48


def picture(number: int, output_format: str) -> bytes:
    """A whole PNG or JPEG; the task's number stands in a comment, so no two are the same."""
    mark = f"task {number}".encode()
    blank = _drawn(output_format)
    if output_format == "jpeg":
        return blank[:2] + b"\xff\xfe" + struct.pack(">H", len(mark) + 2) + mark + blank[2:]
    words = b"tEXtComment\0" + mark
    chunk = struct.pack(">I", len(words) - 4) + words + struct.pack(">I", zlib.crc32(words))
    return blank[:33] + chunk + blank[33:]  # right after the header


@functools.cache
def _drawn(output_format: str) -> bytes:
    image = Image.merge("RGB", [Image.effect_noise((SIDE, SIDE), 80) for _ in "rgb"])
    data = io.BytesIO()
    image.save(data, "JPEG" if output_format == "jpeg" else "PNG")
    return data.getvalue()
