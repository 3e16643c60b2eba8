"""Image files: read fully before they are believed, hashed, written whole or not at all.

A file under its final name is complete, decodes, and is never overwritten. Pillow is imported on
first use, because it would double the time that loading the extension takes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import secrets
import time
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from .errors import DownloadError, RequestError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS: Final = 50_000_000
"""Pixels; checked in the header, before anything is decoded."""
FORMATS: Final = ("PNG", "JPEG", "WEBP")
SUFFIXES: Final = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
PREVIEW_SIDE: Final = 512
PREVIEW_BYTES: Final = 40_000
_SAVE_AS: Final = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@dataclass(frozen=True)
class StoredPicture:
    """A picture on disk; `width` and `height` in pixels."""

    file: Path
    sha256: str
    width: int
    height: int


class PictureStore:
    """The folder of pictures, and beside it a folder of their small previews."""

    def __init__(self, folder: Path, previews: Path) -> None:
        self._folder = folder
        self._previews = previews

    @contextlib.contextmanager
    def incoming(self) -> Iterator[IO[bytes]]:
        """A temporary file in the folder to write a download to; gone afterwards."""
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{secrets.token_hex(8)}.part"
        with part.open("xb") as file:
            try:
                yield file
            finally:
                with contextlib.suppress(OSError):
                    part.unlink()

    def keep(self, incoming: IO[bytes], prompt: str, id: str, created: float) -> StoredPicture:  # noqa: A002
        """Check what was downloaded and give it its name; `DownloadError` if it is no picture.

        `created` (Unix seconds) and `id` go into the name, with a few words of the prompt.
        """
        incoming.flush()
        part = Path(incoming.name)
        with decoded(part) as image:
            picture_format = str(image.format)
            width, height = image.size
            preview = make_preview(image)
        os.fsync(incoming.fileno())
        name = f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(created))}-{slug(prompt)}-{id}"
        file = _link_to_free_name(part, self._folder, name, SUFFIXES[picture_format])
        _sync_folder(self._folder)
        self._previews.mkdir(parents=True, exist_ok=True)
        self.preview_file(file).write_bytes(preview)
        with file.open("rb") as whole:
            sha256 = hashlib.file_digest(whole, "sha256").hexdigest()
        return StoredPicture(file, sha256, width, height)

    def preview_file(self, file: Path) -> Path:
        """Where the small JPEG of a picture is kept; it can be made again at any time."""
        return self._previews / f"{file.stem}.jpg"

    def preview(self, file: Path) -> bytes:
        """The small JPEG of a picture: at most 512 pixels and 40 kB; empty if the file is gone."""
        kept = self.preview_file(file)
        with contextlib.suppress(OSError):
            return kept.read_bytes()
        with contextlib.suppress(DownloadError), decoded(file) as image:
            return make_preview(image)
        return b""


@contextlib.contextmanager
def decoded(file: Path) -> Iterator[Image.Image]:
    """The picture, decoded to its last row. Raises `DownloadError` for anything else."""
    with _opened(file) as image:
        yield image


def _opened(file: Path) -> Image.Image:
    """Only the three formats of the API are tried, and the size is checked before decoding."""
    from PIL import Image

    problem = "is not a whole PNG, JPEG or WebP picture"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            problem = f"has more than {MAX_PIXELS // 1_000_000} million pixels"
            image.close()
            raise ValueError(problem)
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise DownloadError(f"The file {problem}.", url=file.as_uri()) from None
    return image


def make_preview(image: Image.Image, side: int = PREVIEW_SIDE, limit: int = PREVIEW_BYTES) -> bytes:
    """A JPEG of at most `side` pixels and `limit` bytes; see-through parts become white."""
    from PIL import Image

    small = image.copy() if max(image.size) <= side else _reduced(image, side)
    if small.mode != "RGB":
        white = Image.new("RGBA", small.size, "white")
        small = Image.alpha_composite(white, small.convert("RGBA")).convert("RGB")
    for quality in (85, 70, 55, 40, 25):
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= limit:
            return buffer.getvalue()
    return make_preview(small, side * 3 // 4, limit)


def _reduced(image: Image.Image, side: int) -> Image.Image:
    from PIL import Image

    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    source = image if image.mode in ("RGB", "RGBA", "L") else image.convert("RGBA")
    return source.resize(size, Image.Resampling.LANCZOS, reducing_gap=1.0)


def save_copy(file: Path, target: Path) -> Path:
    """Copy a stored picture to `target`: a folder keeps its name, another suffix converts it."""
    target = check_target(target)
    if target.is_dir():
        target = target / file.name
    if _SAVE_AS.get(target.suffix.lower()) == _SAVE_AS.get(file.suffix.lower()):
        target.write_bytes(file.read_bytes())
        return target
    with decoded(file) as image:
        converted = image.convert("RGB") if target.suffix.lower() in (".jpg", ".jpeg") else image
        converted.save(target, _SAVE_AS[target.suffix.lower()])
    return target


def check_target(target: str | os.PathLike[str]) -> Path:
    """The path to save to, if that can work; raises `RequestError` otherwise."""
    path = Path(target).expanduser()
    if path.is_dir():
        folder = path
    elif path.suffix.lower() in _SAVE_AS:
        folder = path.parent
    else:
        raise RequestError(
            f"Cannot save to {path}: it is not a folder, and a file needs one of the endings "
            f"{', '.join(_SAVE_AS)}."
        )
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise RequestError(f"Cannot save to {path}: the folder {folder} cannot be written.")
    return path


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


def write_png(image: Any, folder: Path) -> Path:
    """Put an in-memory picture (anything with Pillow's `save`) into a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{secrets.token_hex(8)}.png"
    image.save(file, "PNG")
    return file


def slug(prompt: str, length: int = 40) -> str:
    """A few plain words of the prompt for a file name: only a-z, 0-9 and dashes."""
    plain = unicodedata.normalize("NFKD", prompt[:400]).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")[:length].strip("-") or "picture"


def _link_to_free_name(part: Path, folder: Path, name: str, suffix: str) -> Path:
    """Give a finished file its name without ever replacing another; `-2`, `-3` if it is taken."""
    for number in range(1, 10_000):
        file = folder / f"{name}{f'-{number}' if number > 1 else ''}{suffix}"
        try:
            os.link(part, file)
        except FileExistsError:
            continue
        except OSError:  # a file system without hard links: reserve the name, then replace it
            try:
                file.open("xb").close()
            except FileExistsError:
                continue
            part.replace(file)
        return file
    raise OSError(f"no free name for {name}{suffix}")


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError, AttributeError):  # Windows cannot open a folder
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
