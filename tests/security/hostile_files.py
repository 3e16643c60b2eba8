"""Files that a hostile host might hand out as a picture, made when they are asked for.

None of them is kept in the repository: each is a few lines of code that say what is wrong with it.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
GREY, RGB, RGBA = (1, 0), (8, 2), (8, 6)
"""Bits and kind of colour, as a PNG's header has them."""
SAMPLES = {GREY: 1, RGB: 24, RGBA: 32}
BOMB = 200_000_000
SCRIPT = b"<script>document.title='owned'</script>"
NO_PICTURE = "is not a whole PNG, JPEG or WebP picture"
PIXELS = "has more than 50 million pixels"
MEMORY = "would need more than 420 MB of memory"
HARMLESS = ("4k-png", "4k-jpeg", "4k-jpeg-progressive", "4k-webp")


@dataclass(frozen=True)
class Hostile:
    """A file: `says` is what its refusal says; empty for one that may be stored as it is."""

    name: str
    make: Callable[[], bytes]
    says: str = NO_PICTURE


def chunk(kind: bytes, content: bytes, crc: int | None = None) -> bytes:
    """A chunk of a PNG."""
    found = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", found)


def header(width: int, height: int, colours: tuple[int, int] = RGB) -> bytes:
    """The first chunk of a PNG."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *colours, 0, 0, 0))


def deflated(length: int, level: int = 1) -> bytes:
    """So many zeros, compressed without ever being there at once."""
    packer, piece = zlib.compressobj(level), bytes(1 << 20)
    out = [packer.compress(piece) for _ in range(length // len(piece))]
    return b"".join((*out, packer.compress(piece[: length % len(piece)]), packer.flush()))


def blank(width: int, height: int, colours: tuple[int, int] = RGB, *before: bytes) -> bytes:
    """A whole black PNG, with other chunks before its pixels."""
    row = 1 + (width * SAMPLES[colours] + 7) // 8
    pixels = chunk(b"IDAT", deflated(row * height))
    return b"".join((PNG, header(width, height, colours), *before, pixels, chunk(b"IEND", b"")))


def noise(width: int = 160, height: int = 120, mode: str = "RGB") -> Image.Image:
    """A picture that compresses badly, so that a cut is felt."""
    return Image.frombytes(
        mode, (width, height), random.Random(8).randbytes(width * height * len(mode))
    )


def large(mode: str = "RGB") -> Image.Image:
    """A picture of just under 50 million pixels."""
    return Image.new(mode, (7000, 7000))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The picture as a file of that kind."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def good(kind: str) -> bytes:
    """A harmless small picture."""
    return saved(noise(), kind)


def with_bomb(kind: bytes, begins: bytes) -> bytes:
    """A small PNG with one chunk that is large once decompressed."""
    return blank(8, 8, RGB, chunk(kind, begins + deflated(BOMB)))


def without_end() -> bytes:
    """A PNG whose last chunk never came."""
    return good("PNG")[:-12]


def many_chunks() -> bytes:
    """A hundred thousand small chunks before the pixels."""
    return blank(8, 8, RGB, chunk(b"tEXt", b"a\0b") * 100_000)


def many_bombs() -> bytes:
    """Each text small enough by itself."""
    one = chunk(b"zTXt", b"a\0\0" + deflated(1_000_000))
    return blank(8, 8, RGB, one * 200)


def frames_of_png() -> bytes:
    """An APNG of a thousand frames."""
    control = chunk(b"acTL", struct.pack(">II", 1000, 0))
    pixels = zlib.compress(bytes(25 * 8))
    frames = []
    for number in range(999):
        shown = struct.pack(">IIIIIHHBB", 2 * number, 8, 8, 0, 0, 1, 100, 0, 0)
        frames.append(chunk(b"fcTL", shown))
        frames.append(chunk(b"fdAT", struct.pack(">I", 2 * number + 1) + pixels))
    whole = chunk(b"IDAT", pixels)
    return b"".join((PNG, header(8, 8), control, whole, *frames, chunk(b"IEND", b"")))


def frames_of_webp() -> bytes:
    """A WebP of a thousand frames."""
    first, *others = [Image.new("RGB", (8, 8), (n % 256, n // 256, 0)) for n in range(1000)]
    return saved(first, "WEBP", save_all=True, append_images=others, duration=10)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    """A WebP file of these chunks."""
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def webp_that_says(width: int, height: int) -> bytes:
    """A WebP with such a canvas, and a small picture in it."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    head = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    return riff(head, good("WEBP")[12:])


def jpeg_that_says(
    width: int, height: int, drawn: Image.Image | None = None, *, progressive: bool = False
) -> bytes:
    """A JPEG whose header has another size than was drawn."""
    data = bytearray(saved(drawn or noise(), "JPEG", progressive=progressive))
    at = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def many_scans(count: int) -> bytes:
    """A progressive JPEG that goes through its pixels again and again."""
    data = saved(Image.new("RGB", (1600, 1600)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + b"\xff\xd9"


def padded(filler: bytes) -> bytes:
    """What follows the first marker of a JPEG, behind megabytes that mean nothing."""
    return filler * (16_000_000 // len(filler)) + good("JPEG")[2:]


def mpo() -> bytes:
    """Two JPEGs in one file, as some cameras write them."""
    return saved(noise(), "MPO", save_all=True, append_images=[noise()])


def exif_in_circles() -> bytes:
    """A JPEG whose EXIF tables lead to themselves."""
    table = struct.pack(">HHHII", 1, 0x8769, 4, 1, 8) + struct.pack(">I", 8)
    tiff = b"Exif\0\0MM\0*" + struct.pack(">I", 8) + table
    segment = b"\xff\xe1" + struct.pack(">H", len(tiff) + 2) + tiff
    data = good("JPEG")
    return data[:2] + segment + data[2:]


def flipped(data: bytes, at: int) -> bytes:
    """One bit of it changed."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def postscript() -> bytes:
    """What Ghostscript would run."""
    return (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n"
        b"(%pipe%touch /tmp/owned) (w) file\nshowpage\n%%EOF\n"
    )


def _pngs() -> Iterator[Hostile]:
    yield Hostile(
        "png-50000-square-header", lambda: PNG + header(50_000, 50_000) + bytes(4) + b"IDAT", PIXELS
    )
    yield Hostile("png-13300-square", lambda: blank(13_300, 13_300, GREY), PIXELS)
    yield Hostile("png-9500-square", lambda: blank(9500, 9500), PIXELS)
    yield Hostile("png-49-megapixels", lambda: blank(7000, 7000), "")
    yield Hostile("png-49-megapixels-grey", lambda: blank(7000, 7000, GREY), "")
    yield Hostile("png-39-megapixels-see-through", lambda: blank(6300, 6300, RGBA), "")
    yield Hostile("png-one-row", lambda: blank(50_000_000, 1), "has a side of more than")
    yield Hostile("png-one-column", lambda: blank(1, 50_000_000, GREY), "has a side of more than")
    yield Hostile(
        "png-49-megapixels-and-20-MB",
        lambda: blank(7000, 7000, RGBA) + bytes(20_000_000),
        MEMORY,
    )
    yield Hostile("png-itxt-of-200-MB", lambda: with_bomb(b"iTXt", b"a\0\1\0\0\0"))
    yield Hostile("png-ztxt-of-200-MB", lambda: with_bomb(b"zTXt", b"a\0\0"))
    yield Hostile("png-iccp-of-200-MB", lambda: with_bomb(b"iCCP", b"a\0\0"))
    yield Hostile("png-many-ztxt", many_bombs)
    yield Hostile(
        "png-idat-of-200-MB",
        lambda: PNG + header(8, 8) + chunk(b"IDAT", deflated(BOMB)) + chunk(b"IEND", b""),
        "",
    )
    yield Hostile("png-100000-chunks", many_chunks, "")
    yield Hostile("apng-1000-frames", frames_of_png, "")
    yield Hostile("png-and-script", lambda: good("PNG") + SCRIPT, "")
    yield Hostile("png-and-garbage", lambda: good("PNG") + random.Random(1).randbytes(10**7), "")
    yield Hostile(
        "png-script-inside", lambda: blank(8, 8, RGB, chunk(b"tEXt", b"x\0" + SCRIPT)), ""
    )
    yield Hostile("png-wrong-crc", lambda: flipped(good("PNG"), len(good("PNG")) - 14), "")
    yield Hostile("png-wrong-crc-of-header", lambda: flipped(good("PNG"), 30))
    yield Hostile("png-wrong-byte", lambda: flipped(good("PNG"), 3000))
    yield Hostile("png-without-end", without_end)
    yield Hostile("png-without-pixels", lambda: PNG + header(8, 8) + chunk(b"IEND", b""))
    yield Hostile("png-of-nothing", lambda: blank(0, 0))
    yield Hostile("png-endless-chunk", lambda: PNG + header(8, 8) + b"\xff\xff\xff\xffIDAT")
    yield Hostile("png-line-ends-changed", lambda: good("PNG").replace(b"\r\n", b"\n"))
    yield Hostile("png-signature", lambda: PNG)


def _jpegs() -> Iterator[Hostile]:
    yield Hostile("jpeg-65500-square-header", lambda: jpeg_that_says(65_500, 65_500), PIXELS)
    yield Hostile("jpeg-7000-square-header", lambda: jpeg_that_says(7000, 7000), "")
    yield Hostile("jpeg-49-megapixels", lambda: saved(large("L"), "JPEG"), "")
    yield Hostile(
        "jpeg-49-megapixels-progressive",
        lambda: saved(large("L"), "JPEG", progressive=True),
        "",
    )
    yield Hostile(
        "jpeg-36-megapixels-progressive",
        lambda: jpeg_that_says(6000, 6000, noise(), progressive=True),
        "",
    )
    yield Hostile(
        "jpeg-49-megapixels-for-printers-and-30-MB",
        lambda: jpeg_that_says(7000, 7000, noise(mode="CMYK"), progressive=True) + bytes(30 << 20),
        MEMORY,
    )
    yield Hostile("jpeg-megabytes-of-fill-bytes", lambda: good("JPEG")[:2] + padded(b"\xff"))
    yield Hostile("jpeg-megabytes-of-restarts", lambda: good("JPEG")[:2] + padded(b"\xff\xd0"))
    yield Hostile("jpeg-megabytes-of-starts", lambda: good("JPEG")[:2] + padded(b"\xff\xd8"))
    yield Hostile("jpeg-megabytes-of-ends", lambda: good("JPEG")[:2] + padded(b"\xff\xd9"))
    yield Hostile("jpeg-megabytes-of-strays", lambda: good("JPEG")[:2] + padded(b"\xff\xf0"))
    yield Hostile("jpeg-megabytes-of-comments", lambda: good("JPEG")[:2] + padded(b"\xff\xfe\0\2"))
    yield Hostile("jpeg-2000-scans", lambda: many_scans(2000), "is a JPEG of 2,009 scans")
    yield Hostile("jpeg-of-two", mpo, "")
    yield Hostile("jpeg-exif-in-circles", exif_in_circles, "")
    yield Hostile("jpeg-for-printers", lambda: saved(noise(mode="CMYK"), "JPEG"), "")
    yield Hostile("jpeg-and-html", lambda: good("JPEG") + SCRIPT, "")
    yield Hostile("jpeg-without-tables", lambda: good("JPEG").replace(b"\xff\xdb", b"\xff\xec"))
    yield Hostile("jpeg-signature", lambda: b"\xff\xd8\xff")


def _webps() -> Iterator[Hostile]:
    yield Hostile("webp-16383-square-header", lambda: webp_that_says(16_383, 16_383), PIXELS)
    yield Hostile("webp-7000-square-header", lambda: webp_that_says(7000, 7000), MEMORY)
    yield Hostile("webp-3000-square-header", lambda: webp_that_says(3000, 3000))
    yield Hostile("webp-49-megapixels", lambda: saved(large(), "WEBP", method=0), MEMORY)
    yield Hostile("webp-1000-frames", frames_of_webp, "")
    yield Hostile("webp-longer-than-it-is", lambda: riff(good("WEBP")[12:], size=2**32 - 2))
    yield Hostile("webp-of-nothing", lambda: riff(b"VP8 " + struct.pack("<I", 0)))
    yield Hostile("webp-and-script", lambda: good("WEBP") + SCRIPT, "")


def _others() -> Iterator[Hostile]:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><rect width="9"/></svg>'
    yield Hostile("svg", lambda: svg)
    yield Hostile("html", lambda: b"<!doctype html>" + SCRIPT)
    yield Hostile("html-in-utf-16", lambda: (b"<html>" + SCRIPT).decode().encode("utf-16"))
    yield Hostile("eps", postscript)
    yield Hostile("pdf", lambda: saved(noise(), "PDF"))
    yield Hostile("tiff", lambda: saved(noise(), "TIFF"))
    yield Hostile("gif", lambda: saved(noise(), "GIF"))
    yield Hostile("gif-and-script", lambda: b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)")
    yield Hostile("ico", lambda: saved(noise(64, 64), "ICO"))
    yield Hostile("psd", lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 8, 8, 8, 3))
    yield Hostile("bmp", lambda: saved(noise(), "BMP"))
    yield Hostile("jpeg-2000", lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(200))
    yield Hostile("avif", lambda: b"\0\0\0\x20ftypavif" + bytes(200))
    yield Hostile("zip", lambda: b"PK\x03\x04" + bytes(200))
    yield Hostile("pickle", lambda: b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    yield Hostile("program", lambda: b"\x7fELF" + bytes(200))
    yield Hostile("json", lambda: b'{"code":404,"message":"gone"}')
    yield Hostile("zeros", lambda: bytes(1_000_000))
    yield Hostile("noise", lambda: random.Random(2).randbytes(1_000_000))
    yield Hostile("nothing", lambda: b"")
    yield Hostile("one-byte", lambda: b"\x89")


def _cut() -> Iterator[Hostile]:
    """Whole as HTTP has it, and yet cut at every tenth."""
    for kind in ("PNG", "JPEG", "WEBP"):
        for tenth in range(1, 10):

            def cut(kind: str = kind, tenth: int = tenth) -> bytes:
                data = good(kind)
                return data[: len(data) * tenth // 10]

            yield Hostile(f"{kind.lower()}-cut-at-{tenth}0-percent", cut)


def harmless() -> dict[str, bytes]:
    """What the API may send at its largest: a picture of 4K in each of its formats."""
    grey = Image.effect_noise((1024, 1024), 60).resize((4096, 4096))
    png = saved(Image.merge("RGBA", (grey,) * 4), "PNG", compress_level=1)
    drawn = grey.convert("RGB")
    jpegs = [saved(drawn, "JPEG", progressive=progressive) for progressive in (False, True)]
    webp = saved(drawn, "WEBP", method=0)
    return dict(zip(HARMLESS, (png, *jpegs, webp), strict=True))


HOSTILE = tuple(one for some in (_pngs, _jpegs, _webps, _others, _cut) for one in some())
