"""A picture of this machine made ready for the API: upright, sRGB, small enough, pixels alone.

What stands beside the pixels (where it was taken, by whom, with what, a thumbnail of what was cut
away) never leaves this machine. Pillow is imported on first use, as in `pictures`.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from . import containers, incoming, pictures
from .errors import RequestError
from .pictures import MAX_PIXELS

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES: Final = 10_000_000
"""The API takes no larger reference."""
MAX_SIDE: Final = 4096
"""Pixels; more than the model looks at, and small enough to be sent soon."""
MAX_FILE: Final = 200_000_000
"""Bytes of a file that is read at all."""
SUFFIXES: Final = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "GIF": ".gif",
}
"""What Pillow decodes by itself, without another program; MPO is a JPEG with more behind it."""
READ: Final = tuple(kind for kind in SUFFIXES if kind != "MPO")
_BARE_PNG: Final = {b"IHDR", b"IDAT", b"IEND", b"tRNS", b"sRGB"}
_BARE_WEBP: Final = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH"}
_BARE_JPEG: Final = {0xC0, 0xC1, 0xC2, 0xC4, 0xDA, 0xDB, 0xDD}
"""Frames, scans and tables."""
_HEADERS: Final = {(0xE0, 16), (0xEE, 14)}
"""JFIF without a thumbnail, and Adobe's note on the colours, with their lengths."""
_SCAN: Final = 0xDA
_END: Final = 0xD9
_JPEGS: Final = [("JPEG", {"quality": quality}) for quality in (95, 90, 80)]
_WEBPS: Final = [("WEBP", {"quality": quality}) for quality in (95, 80)]
_PNGS: Final = [("PNG", {"compress_level": 4})]


def prepare(file: Path, folder: Path) -> Path:
    """The same picture as the API may have it; a file of ours in `folder`, named by its content.

    A PNG, JPEG or WebP that needs no change is copied byte by byte: to encode it once more would
    only cost quality, and the user's own file may become another at any time. Raises
    `RequestError` for anything that is no picture; blocks.
    """
    data = read(file)
    image = _decoded(data, repr(file.name))
    if _is_ready(data, image):
        return _kept(data, SUFFIXES[str(image.format)], folder)
    return keep_picture(image, folder, repr(file.name))


def read(file: Path) -> bytes:
    """The bytes of a file; `RequestError` where it cannot be read or is far too large."""
    try:
        if (size := file.stat().st_size) > MAX_FILE:
            raise RequestError(
                f"{file.name!r} has {size / 1e6:,.0f} MB, too many to be looked at; give a picture "
                f"of up to {MAX_FILE / 1e6:.0f} MB."
            )
        return file.read_bytes()
    except FileNotFoundError:
        raise RequestError(f"{file} is not there any more; give another picture.") from None
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror or error}.") from None


def keep_bytes(data: bytes, folder: Path, name: str) -> Path:
    """Put an encoded picture into a file, as it is; `RequestError` if it is none."""
    kind = str(_opened(data, name).format)
    return _kept(data, SUFFIXES[kind], folder)


def keep_picture(image: Image.Image, folder: Path, name: str) -> Path:
    """Put a Pillow image, as the API may have it, into a file; `RequestError` if that fails."""
    _check_size(image, name)
    try:
        bare = _bare(image)
    except Exception as error:  # noqa: BLE001 - Pillow's readers raise whatever a broken file leads to
        raise RequestError(
            f"{name} cannot be decoded ({_one_line(error)}); give another."
        ) from None
    return _kept(*_encoded(bare, from_jpeg=image.format in ("JPEG", "MPO")), folder)


def picture_of(array: Any) -> Image.Image:
    """A numpy array as a picture: height x width, grey or with 3 or 4 colours, each uint8 or a
    float from 0 to 1. Raises `RequestError` for any other."""
    from PIL import Image

    shape, dtype = tuple(array.shape), array.dtype
    seen = f"The array has the shape {shape} and holds {dtype}"
    wanted = "give height x width, or height x width x 3 (or 4), of uint8 or of floats from 0 to 1."
    grey = len(shape) == 2
    if not (grey or (len(shape) == 3 and shape[2] in (3, 4))) or 0 in shape:
        raise RequestError(f"{seen}; {wanted}")
    if dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # also where one is no number
            raise RequestError(f"{seen} from {low:g} to {high:g}; {wanted}")
        array = (array * 255 + 0.5).astype("uint8")
    elif str(dtype) != "uint8":
        raise RequestError(f"{seen}; {wanted}")
    mode = "L" if grey else {3: "RGB", 4: "RGBA"}[shape[2]]
    return Image.frombytes(mode, (shape[1], shape[0]), array.tobytes())


def _opened(data: bytes, name: str) -> Image.Image:
    """Its header alone, with the size checked, so that nothing is decoded that is too large."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scans = containers.scans(data)
            image = Image.open(io.BytesIO(data), formats=READ)
    except Image.DecompressionBombError:
        raise _too_many_pixels(name) from None
    except Exception:  # noqa: BLE001 - Pillow's readers raise whatever a broken file leads to
        raise RequestError(f"{name} {_why_not(data)}") from None
    _check_size(image, name)
    if scans > pictures.MAX_SCANS:
        raise RequestError(f"{name} is a JPEG of countless scans; save it anew.")
    return image


def _decoded(data: bytes, name: str) -> Image.Image:
    """The picture, or the first of several, decoded to its last row."""
    image = _opened(data, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
    except Exception:  # noqa: BLE001 - Pillow's readers raise whatever a broken file leads to
        raise RequestError(f"{name} {_damaged(str(image.format))}") from None
    return image


def _check_size(image: Image.Image, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_many_pixels(name)
    if max(image.size) > pictures.MAX_SIDE:
        raise RequestError(
            f"{name} has a side of more than {pictures.MAX_SIDE:,} pixels; give a part of it."
        )
    if 0 in image.size:
        raise RequestError(f"{name} has no pixels; give another picture.")


def _too_many_pixels(name: str) -> RequestError:
    return RequestError(
        f"{name} has more than {MAX_PIXELS // 1_000_000} million pixels; give a smaller picture."
    )


def _why_not(data: bytes) -> str:
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not data:
        return "is empty; give another picture."
    if b"<svg" in head.lower():
        return "is an SVG, which is a drawing and no picture of pixels; export it as PNG."
    if data[4:8] == b"ftyp":
        return "is a HEIC, AVIF or video file, which the API does not take; save it as JPEG."
    if head.startswith(b"%PDF"):
        return "is a PDF, which the API does not take; export the page as PNG."
    kind = next((kind for sign, kind in _SIGNS.items() if data.startswith(sign)), "")
    if kind:
        return _damaged(kind)
    return "is not a picture: PNG, JPEG and WebP are taken, TIFF, BMP and GIF are converted."


_SIGNS: Final = {
    b"\x89PNG": "PNG",
    b"\xff\xd8": "JPEG",
    b"RIFF": "WebP",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}


def _damaged(kind: str) -> str:
    return f"is a {kind} that is damaged or cut off; save or download it anew."


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__


def _is_ready(data: bytes, image: Image.Image) -> bool:
    """Whether nothing needs to be changed: a common kind and size, and pixels alone."""
    if len(data) >= MAX_BYTES or max(image.size) > MAX_SIDE:
        return False
    if image.mode not in ("L", "RGB", "RGBA"):
        return False
    bare = {"PNG": _is_bare_png, "JPEG": _is_bare_jpeg, "WEBP": _is_bare_webp}
    return image.format in bare and bare[image.format](data)


def _is_bare_png(data: bytes) -> bool:
    """Eight bits a colour, and no chunk but those of the pixels, nor anything behind them."""
    place, names = 8, set()
    while place + 12 <= len(data) and b"IEND" not in names:
        names.add(data[place + 4 : place + 8])
        place += 12 + int.from_bytes(data[place : place + 4])
    return data[24] == 8 and names <= _BARE_PNG and b"IEND" in names and place == len(data)


def _is_bare_webp(data: bytes) -> bool:
    place, names = 12, set()
    while place + 8 <= len(data):
        names.add(data[place : place + 4])
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return names <= _BARE_WEBP and place == len(data)


def _is_bare_jpeg(data: bytes) -> bool:
    """No segment but those that decoding needs, nor anything behind the picture."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        length = int.from_bytes(data[place + 2 : place + 4])
        if marker not in _BARE_JPEG and (marker, length) not in _HEADERS:
            return False
        place += 2 + length
        if marker == _SCAN:
            found = containers.MARKER.search(data, place)
            place = found.start() if found else len(data)
    return data[place:] == bytes([0xFF, _END])


def _bare(image: Image.Image) -> Image.Image:
    """The pixels upright, in sRGB, not too many, in a new picture that carries nothing else."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image.load()
        if image.mode in ("L", "RGB", "RGBA", "CMYK"):  # first of all, for what follows copies it
            image = _fitted(image)
    small = _fitted(_in_srgb(pictures.upright(image)))
    bare = Image.new(small.mode, small.size)
    bare.paste(small)
    return bare


def _fitted(image: Image.Image) -> Image.Image:
    """At most `MAX_SIDE` pixels on its longer side; the image that is given stays as it is."""
    from PIL import Image

    scale = MAX_SIDE / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _in_srgb(image: Image.Image) -> Image.Image:
    """RGB, or RGBA where something is see-through, out of any mode and colour profile."""
    profile = image.info.get("icc_profile")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _in_eight_bits(image)
    alpha = _see_through(image)
    grey = image.mode in ("1", "L", "LA", "La")
    plain = image if image.mode == "CMYK" else _without_alpha(image, "L" if grey else "RGB")
    rgb = _through_profile(plain, profile) if profile else plain.convert("RGB")
    if alpha is not None:
        rgb.putalpha(alpha)
    return rgb


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """Greys of 16 bits and more in eight; of integers and floats by the range that they fill."""
    deep = image.convert("I" if image.mode.startswith("I;") else image.mode)
    low, high = cast("tuple[float, float]", deep.getextrema())
    least: float = 0
    if image.mode.startswith("I;"):
        most: float = 65_535
    elif image.mode == "F":
        most = next((top for top in (1, 255) if low >= 0 and high <= top), high)
    else:
        most = next((top for top in (255, 65_535) if high <= top), high)
    if image.mode == "F" and most == high:
        least = low
    scale = 255 / ((most - least) or 1)
    return deep.convert("F").point(lambda v: v * scale + (0.5 - least * scale)).convert("L")


def _see_through(image: Image.Image) -> Image.Image | None:
    """The alpha channel, if it shows anything through."""
    if not image.has_transparency_data:
        return None
    alpha = _rgba(image).getchannel("A")
    return None if alpha.getextrema() == (255, 255) else alpha


def _without_alpha(image: Image.Image, mode: str) -> Image.Image:
    return (_rgba(image) if image.has_transparency_data else image).convert(mode)


def _rgba(image: Image.Image) -> Image.Image:
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _through_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """In sRGB; as if it had no profile where that is broken or made for other colours."""
    from PIL import ImageCms

    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space == "RGB":
            image = image.convert("RGB")
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
    except Exception:  # noqa: BLE001 - a picture is worth more than its profile
        return image.convert("RGB")
    return converted or image.convert("RGB")


def _encoded(image: Image.Image, *, from_jpeg: bool) -> tuple[bytes, str]:
    """The best encoding that the API takes, with its ending: smaller where nothing else helps."""
    from PIL import Image

    while True:
        for kind, options in _ladder(image.mode, from_jpeg=from_jpeg):
            data = io.BytesIO()
            image.save(data, kind, **options)
            if data.tell() < MAX_BYTES:
                return data.getvalue(), SUFFIXES[kind]
        smaller = (max(1, image.width * 3 // 4), max(1, image.height * 3 // 4))
        image = image.resize(smaller, Image.Resampling.LANCZOS)


def _ladder(mode: str, *, from_jpeg: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kinds and qualities to try, best first. A JPEG has no more to lose by being one again."""
    if not from_jpeg or mode == "RGBA":
        yield from _PNGS
    yield from _WEBPS if mode == "RGBA" else _JPEGS


def _kept(data: bytes, suffix: str, folder: Path) -> Path:
    """A file that is named by its content, whole or not there."""
    file = folder / f"{hashlib.sha256(data).hexdigest()}{suffix}"
    try:
        if file.is_file() and file.stat().st_size == len(data):
            return file
        folder.mkdir(parents=True, exist_ok=True)
        with incoming.written(folder, data, 0o600) as part:
            part.replace(file)
    except OSError as error:
        raise RequestError(
            f"The picture cannot be put into {folder} ({error.strerror or error}), so nothing was "
            "sent; make room there, or set NANOBANANA_HOME to a folder that can be written."
        ) from None
    return file
