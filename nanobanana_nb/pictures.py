"""Image files: read fully before they are believed, hashed, written whole or not at all.

A file under its final name is complete, decodes, is never overwritten and has its sidecar. Where
the folder of pictures cannot take one, another folder keeps it: it was paid for. Pillow is
imported on first use, because it would double the time that loading the extension takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import stat
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import containers, metadata, sidecars
from .errors import ConfigError, DownloadError, RequestError
from .incoming import Incoming, sweep, written
from .metadata import Drawn
from .previews import PREVIEW_SIDE, fitted, make_preview
from .protocol import clean
from .sidecars import Sidecar

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS: Final = 50_000_000
"""Pixels; checked in the header, before anything is decoded."""
MAX_SIDE: Final = 65_535
"""Pixels; no JPEG has more, and of more a single row is large."""
MAX_SCANS: Final = 100
"""Of a JPEG, which goes through all of its pixels with each; common ones have up to ten."""
RESULT_ROOM: Final = 420_000_000
"""Bytes that a result may need on its way to the disk: as many as a lossless WebP of 4K."""
ROOM: Final = 700_000_000
"""Bytes that any other picture may need: enough for whatever was stored, also as a whole."""
MOST_REFUSED: Final = 4
"""Files of one task that are kept although they are no pictures."""
FORMATS: Final = ("PNG", "JPEG", "WEBP")
SUFFIXES: Final = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp"}
"""MPO is a JPEG with more behind it."""
MIN_FREE: Final = 100_000_000
"""Bytes that must be free before anything is sent."""
ARRIVING: Final = 8
"""Pictures on their way at a time, so that a thousand tasks need no more memory than eight."""
THREADS: Final = 2
"""That decode, hash and make previews: two are nearly twice as fast as one."""
LARGE: Final = 2_000_000
"""Pixels; the memory for fewer is there in a millisecond."""
BAND: Final = 64
"""Rows of pixels that are compared at a time."""
_PNG_END: Final = b"IEND\xaeB`\x82"
_SAVE_AS: Final = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@dataclass(frozen=True)
class StoredPicture:
    """A picture on disk; `width` and `height` in pixels.

    `trouble` is empty if it is in its place, else one line that says why not and where it is.
    """

    file: Path
    sha256: str
    width: int
    height: int
    trouble: str = ""


class PictureStore:
    """The folder of pictures, and beside it a folder of their small previews.

    `elsewhere` are the folders that keep a picture which its own folder cannot take, best first.
    What was fetched and is no picture was paid for all the same: it is kept as it came, in
    `refused` beside the previews, and never opened.
    """

    def __init__(self, folder: Path, previews: Path, elsewhere: Iterable[Path] = ()) -> None:
        self._folder = folder
        self._previews = previews
        self._elsewhere = tuple(elsewhere)
        self._refused = previews.with_name("refused")
        self._threads = ThreadPoolExecutor(THREADS, "nanobanana_nb-pictures")
        self.room = asyncio.Semaphore(ARRIVING)
        """To be held while a picture is on its way."""

    def close(self) -> None:
        """Let the threads end, once they have stored what they were given."""
        self._threads.shutdown(wait=False)

    def incoming(self) -> Incoming:
        """What to write a download to: a file beside its final place, as long as that works."""
        return Incoming(self._folder)

    async def keep_aside(
        self,
        incoming: Incoming,
        prompt: str,
        id: str,  # noqa: A002
        created: float,
        sidecar: Mapping[str, Any] | None = None,
        drawn: Drawn | None = None,
    ) -> StoredPicture:
        """`keep` on a thread for pictures, so that the loop stays free; `incoming` is closed after.

        Once begun it is not cancelled: what was downloaded is stored.
        """
        keeping = self._threads.submit(self.keep, incoming, prompt, id, created, sidecar, drawn)
        keeping.add_done_callback(lambda _: incoming.close())
        return await asyncio.wrap_future(keeping)

    def keep(
        self,
        incoming: Incoming,
        prompt: str,
        id: str,  # noqa: A002
        created: float,
        sidecar: Mapping[str, Any] | None = None,
        drawn: Drawn | None = None,
    ) -> StoredPicture:
        """Check what was downloaded and put it on disk; `DownloadError` if it is no picture, which
        says where it is kept.

        `created` (Unix seconds) and `id` go into the name, with a few words of the prompt,
        `sidecar` into the JSON file beside it, and `drawn` into the picture itself. What is there
        already, because we were killed before the ledger knew of it, is not stored again.
        """
        data = came = incoming.content()
        try:
            suffix, (width, height), preview, pixels = _looked_at(data, drawn is not None)
        except DownloadError as error:
            raise self._put_aside(data, id, error) from None
        if drawn is not None:
            data = _labelled(data, replace(drawn, width=width, height=height), pixels)
        name = f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(created))}-{slug(prompt)}-{id}"
        sha256 = hashlib.sha256(data).hexdigest()
        found = {"sha256": sha256, "size": len(data), "width": width, "height": height}
        fields = {**sidecar, **found} if sidecar is not None else None
        if data is not came:
            incoming.close()  # its file has other bytes
        file, trouble = self._put_somewhere(name, suffix, data, fields, incoming)
        self._put_preview(file, preview)
        return StoredPicture(file, sha256, width, height, trouble)

    def in_place(self, file: Path) -> bool:
        """Whether a picture is where pictures belong, not in a folder that keeps it for now."""
        return file.parent == self._folder

    def find(self, id: str) -> list[Sidecar]:  # noqa: A002
        """The pictures of a task that are whole on disk, one for each position.

        One that another folder keeps is copied to its place, if that can take it by now.
        """
        found: dict[int, Sidecar] = {}
        for folder in (self._folder, *self._elsewhere):
            for one in sidecars.read_sidecars(folder, id):
                if isinstance(one, Sidecar) and one.id == id and one.position not in found:
                    found[one.position] = one if self.in_place(one.file) else self._fetch_home(one)
        return [found[position] for position in sorted(found)]

    def sweep(self, now: float) -> int:
        """Delete the temporary files that kills left more than an hour ago; how many."""
        return sweep((self._folder, self._previews, *self._elsewhere), now)

    def preview_file(self, file: Path) -> Path:
        """Where the small JPEG of a picture is kept; it can be made again at any time."""
        return self._previews / f"{file.stem}.jpg"

    def preview(self, file: Path) -> bytes:
        """The small JPEG of a picture: at most 512 pixels and 40 kB; empty if the file is gone."""
        kept = self.preview_file(file)
        with contextlib.suppress(OSError):
            return kept.read_bytes()
        with contextlib.suppress(DownloadError), _opened(file, PREVIEW_SIDE)[0] as image:
            return make_preview(image)
        return b""

    def _put_aside(
        self,
        data: bytes,
        id: str,  # noqa: A002
        error: DownloadError,
    ) -> DownloadError:
        """Keep what is no picture, once however often it comes; the error, which says where.

        Of too many, those stay that begin as a picture does, and the newest of them.
        """
        name = f"{id}-{hashlib.sha256(data).hexdigest()[:12]}.bin"
        for folder in (self._refused, *self._elsewhere) if data else ():
            file = folder / name
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                others = [one for one in _aside(folder, id) if one != file]
                if not _holds(file, data):
                    if len(others) >= MOST_REFUSED and not containers.is_picture(data):
                        return error
                    with written(folder, data, 0o600) as part:
                        part.replace(file)
                    for old in others[: max(0, len(others) + 1 - MOST_REFUSED)]:
                        with contextlib.suppress(OSError):
                            old.unlink()
                said = f"{error} What came, {len(data):,} bytes, is kept as {file}."
                return DownloadError(said, url=error.url, kept=file)
        return error

    def kept_aside(self, id: str) -> Path | None:  # noqa: A002
        """What came of a task and could not be used; None if there is nothing."""
        found: list[Path] = []
        for folder in (self._refused, *self._elsewhere):
            with contextlib.suppress(OSError):
                found += _aside(folder, id)[-1:]
        return next(iter(found), None)

    def _put_somewhere(
        self,
        name: str,
        suffix: str,
        data: bytes,
        fields: Mapping[str, Any] | None,
        incoming: Incoming,
    ) -> tuple[Path, str]:
        """Where it is, and what to say if that is not its place."""
        problem = ""
        for folder in (self._folder, *self._elsewhere):
            mode = 0o666 if folder == self._folder else 0o600
            try:
                file = _put_in(folder, name, suffix, data, fields, mode, incoming)
            except OSError as error:
                why = error.strerror or str(error)
                problem = problem or f"{self._folder} cannot take the picture ({why})"
                continue
            return file, problem and (
                f"{problem}; for now it is {file}. nb.resume() puts it in its place once it can."
            )
        raise DownloadError(f"{problem}, nor can any other folder.", url="")

    def _fetch_home(self, one: Sidecar) -> Sidecar:
        """Copy a picture from where it is kept for now; as it is where that cannot be done.

        The copy stays: a notebook that is open may show it by its path.
        """
        try:
            data = one.file.read_bytes()
            fields = json.loads(one.file.with_suffix(".json").read_bytes())
            name = re.sub(rf"(-{re.escape(one.id)})-\d+$", r"\1", one.file.stem)
            file = _put_in(self._folder, name, one.file.suffix, data, fields)
            return replace(one, file=file)
        except (OSError, ValueError):
            return one

    def _put_preview(self, file: Path, preview: bytes) -> None:
        with contextlib.suppress(OSError):
            self._previews.mkdir(parents=True, exist_ok=True)
            with written(self._previews, preview) as part:
                part.replace(self.preview_file(file))


def begins_as_picture(file: Path) -> bool:
    """Whether a file that was kept aside may be the picture that was paid for."""
    with contextlib.suppress(OSError), file.open("rb") as opened:
        return containers.is_picture(opened.read(12))
    return False


def _aside(folder: Path, id: str) -> list[Path]:  # noqa: A002
    """What a folder keeps of a task although it is no picture, that of least worth first."""
    found = folder.glob(f"{id}-*.bin")
    return sorted(found, key=lambda file: (begins_as_picture(file), file.lstat().st_mtime_ns))


def refuges(home: Path) -> tuple[Path, ...]:
    """The folders that can keep a picture for now, best first; the last one is memory."""
    found = [home / "rescued"]
    with contextlib.suppress(OSError):
        found.append(Path.cwd())
    with contextlib.suppress(OSError):
        found.append(Path(tempfile.gettempdir()))
    memory = Path("/dev/shm")  # noqa: S108
    return (*found, memory) if memory.is_dir() else tuple(found)


def check_room(folders: Iterable[Path], needed: int = MIN_FREE) -> None:
    """Raises `ConfigError` where less than `needed` bytes are free; called before a submit."""
    for folder in folders:
        try:
            there = next(path for path in (folder, *folder.parents) if path.exists())
            room = shutil.disk_usage(there)
        except (OSError, StopIteration):
            continue
        if room.total and room.free < needed:  # some mounted drives report nothing at all
            raise ConfigError(
                f"Only {room.free / 1e6:.0f} MB are free in {folder}, so nothing was sent; make "
                f"room for {needed / 1e6:.0f} MB, or set NANOBANANA_HOME to a folder with more."
            )


@contextlib.contextmanager
def decoded(picture: Path | bytes) -> Iterator[Image.Image]:
    """The picture, decoded to its last row. Raises `DownloadError` for anything else."""
    with _opened(picture)[0] as image:
        yield image


def _opened(
    picture: Path | bytes, side: int | None = None, room: int = ROOM
) -> tuple[Image.Image, tuple[int, int]]:
    """The picture, decoded to its last row, and its true size.

    With `side`, a JPEG comes as small as its decoder makes it on the way, but no smaller than that:
    all of its bytes are read all the same. Only the three formats of the API are tried, and its
    size and what memory it needs are checked before decoding.
    """
    from PIL import Image

    url = "" if isinstance(picture, bytes) else picture.absolute().as_uri()
    try:
        data = picture if isinstance(picture, bytes) else picture.read_bytes()
        whole = side is None
        scans = containers.scans(data)  # opening a JPEG reads all that stands before its pixels
        if (declared := containers.webp_size(data)) is not None:  # opening one makes room for them
            _check_size(declared, "WEBP", data, _WEBP, whole, room)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        size = image.size
        if scans > MAX_SCANS:
            raise DownloadError(f"The file is a JPEG of {scans:,} scans; ten are common.", url="")
        _check_size(size, str(image.format), data, _pixel_needs(image, scans), whole, room)
        if side is not None:
            image.draft(None, fitted(size, side))
        if image.width * image.height > LARGE:
            _make_room(image)
        image.load()
        if image.format == "PNG" and not _has_its_end(data):
            raise ValueError
    except DownloadError as error:
        raise DownloadError(str(error), url=url) from None
    except Image.DecompressionBombError:
        raise DownloadError(f"The file {_TOO_MANY}.", url=url) from None
    except Exception:  # noqa: BLE001 - Pillow's readers raise whatever a broken file leads to
        raise DownloadError("The file is not a whole PNG, JPEG or WebP picture.", url=url) from None
    return image, size


_TOO_MANY: Final = f"has more than {MAX_PIXELS // 1_000_000} million pixels"
_PNG, _SEE_THROUGH, _JPEG, _WEBP = (4.2, 4.2), (8.2, 8.2), (0.3, 4.8), (19.0, 19.0)
"""Bytes for each pixel, as measured: where a preview is made alone, and where it comes whole."""


def _pixel_needs(image: Image.Image, scans: int) -> tuple[float, float]:
    """The same for a picture that is open. A JPEG of several scans is held in numbers of two bytes
    for each colour until the last scan."""
    if image.format == "PNG":
        return _SEE_THROUGH if image.mode == "RGBA" else _PNG
    if image.format == "WEBP":
        return _WEBP
    if scans > 1 or "progressive" in image.info:
        held = 2.0 * len(image.getbands())
        return held, held + 5
    return _JPEG


def _check_size(
    size: tuple[int, int],
    kind: str,
    data: bytes,
    needs: tuple[float, float],
    whole: bool,
    room: int,
) -> None:
    """Raises `DownloadError` for what has too many pixels, or would need more memory than there is
    room for. The bytes of what comes whole count twice: a copy of them is labelled."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise DownloadError(f"The file {_TOO_MANY}.", url="")
    if max(size) > MAX_SIDE:
        raise DownloadError(f"The file has a side of more than {MAX_SIDE:,} pixels.", url="")
    if (1 + whole) * len(data) + needs[whole] * width * height > room:
        raise DownloadError(
            f"The file would need more than {room // 1_000_000} MB of memory "
            f"({kind}, {width:,} x {height:,} pixels, {len(data):,} bytes).",
            url="",
        )


def _looked_at(data: bytes, whole: bool) -> tuple[str, tuple[int, int], bytes, str]:
    """The ending, the size and the preview of a result, and, if it is looked at as a whole, what
    tells its pixels from others. The picture itself is let go of."""
    image, size = _opened(data, None if whole else PREVIEW_SIDE, RESULT_ROOM)
    with image:
        preview = _preview_of(image)
        return SUFFIXES[str(image.format)], size, preview, _pixels(image) if whole else ""


def _preview_of(image: Image.Image) -> bytes:
    try:
        return make_preview(image)
    except Exception:  # noqa: BLE001 - colours that Pillow reads and cannot convert
        raise DownloadError(
            f"The file has colours of a kind ({image.mode}) that cannot be shown.", url=""
        ) from None


def _make_room(image: Image.Image) -> None:
    """Give a picture the memory for its pixels, as loading it would.

    Loading it clears that memory (33 MB for 4K) without letting any other thread run meanwhile, the
    loop's included. Stretching a dot fills it just as well, and lets them.
    """
    from PIL import Image

    if image.mode in ("RGB", "RGBA"):
        image.im = Image.new(image.mode, (1, 1)).resize(image.size, Image.Resampling.NEAREST).im


def _has_its_end(png: bytes) -> bool:
    """Whether a PNG is there to its last chunk, which Pillow does not need in order to decode."""
    # From the end, where it stands: a search from the front would hold up the other threads.
    return png.rfind(_PNG_END) >= 0


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF says; as it is where Pillow fails on what is written there."""
    from PIL import ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - its readers raise whatever a broken file leads to
        return image


def save_copy(file: Path, target: str | os.PathLike[str], drawn: Drawn | None = None) -> Path:
    """Copy a stored picture to `target`: a folder keeps its name, another suffix converts it.

    `drawn` is put into the copy; without it, the copy has what the file has. Raises `RequestError`
    where nothing can be written.
    """
    path = check_target(target)
    if path.is_dir():
        path = path / file.name
    if _is_same(file, path):
        raise RequestError(f"{_shown(path)} is the stored picture itself; give another name.")
    kind = _SAVE_AS[path.suffix.lower()]
    data = _read(file)
    if kind != _SAVE_AS.get(file.suffix.lower()):
        drawn = drawn or metadata.read_ours(data)
        data = _converted(file, kind)
    if drawn is not None:
        with decoded(data) as image:
            whole = replace(drawn, width=image.width, height=image.height)
            data = _labelled(data, whole, _pixels(image))
    put(path, data)
    return path


def put(path: Path, data: bytes) -> None:
    """Write a file of the user's, whole or not at all. Raises `RequestError`."""
    try:
        with written(path.parent, data) as part:
            part.replace(path)
    except OSError as error:
        raise RequestError(f"Cannot save to {_shown(path)}: {error.strerror}.") from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror}.") from None


def _labelled(data: bytes, drawn: Drawn, pixels: str) -> bytes:
    """The picture with what it was drawn from in it; as it is if that does it any harm. `pixels`
    tells what it shows, so that only one of the two is in memory."""
    try:
        labelled = metadata.embed(data, drawn)
        with decoded(labelled) as again:
            same = _pixels(again) == pixels
    except Exception:  # noqa: BLE001 - a picture that was paid for is not lost for its label
        return data
    return labelled if same else data


def _pixels(image: Image.Image) -> str:
    """What tells the pixels of a picture from any others; a band at a time, for all at once would
    stop the loop."""
    found = hashlib.sha256(f"{image.mode} {image.size}".encode())
    for top in range(0, image.height, BAND):
        found.update(image.crop((0, top, image.width, top + BAND)).tobytes())
    return found.hexdigest()


def _converted(file: Path, kind: str) -> bytes:
    buffer = io.BytesIO()
    with decoded(file) as image:
        (image.convert("RGB") if kind == "JPEG" else image).save(buffer, kind)
    return buffer.getvalue()


def _is_same(file: Path, path: Path) -> bool:
    try:
        return path.samefile(file)
    except OSError:
        return False


def _shown(path: object) -> str:
    return clean(path, 120)


def check_target(target: str | os.PathLike[str], also: Sequence[str] = ()) -> Path:
    """The path to save to, if that can work; raises `RequestError` otherwise.

    `also` are endings of a file besides those of pictures.
    """
    try:
        return _checked_target(Path(target).expanduser(), (*_SAVE_AS, *also))
    except (TypeError, ValueError, RuntimeError, OSError) as error:
        if isinstance(error, RequestError):
            raise
        why = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"Cannot save to {_shown(target)}: {why}.") from None


def _checked_target(path: Path, endings: Sequence[str]) -> Path:
    with contextlib.suppress(FileNotFoundError):
        path.lstat()  # no system takes a name with a NUL, or one that is too long
    if path.is_dir():
        folder = path
    elif path.suffix.lower() in endings:
        folder = path.parent
    else:
        raise RequestError(
            f"Cannot save to {_shown(path)}: it is not a folder, and a file needs one of the "
            f"endings {', '.join(endings)}."
        )
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise RequestError(
            f"Cannot save to {_shown(path)}: the folder {_shown(folder)} cannot be written."
        )
    return path


def folder_for(target: str | os.PathLike[str]) -> Path:
    """A folder to save to, made if it is not there. Raises `RequestError`."""
    try:
        folder = Path(target).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"Cannot save to {_shown(target)}: {why}.") from None
    return folder


def find_file(given: str | os.PathLike[str]) -> Path | None:
    """The file that was meant, ~ understood, by its whole path; None where there is none."""
    try:
        file = Path(given).expanduser().absolute()
        return file if file.is_file() else None
    except (OSError, RuntimeError, TypeError, ValueError):  # no such home, too long, bytes
        return None


def slug(prompt: str, length: int = 40) -> str:
    """A few plain words of the prompt for a file name: only a-z, 0-9 and dashes."""
    plain = unicodedata.normalize("NFKD", prompt[:400]).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")[:length].strip("-") or "picture"


def _put_in(
    folder: Path,
    name: str,
    suffix: str,
    data: bytes,
    fields: Mapping[str, Any] | None,
    mode: int = 0o666,
    incoming: Incoming | None = None,
) -> Path:
    """Put a picture into a folder, under the first name that is free: `-2`, `-3` if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 10_000):
        file = folder / f"{name}{f'-{number}' if number > 1 else ''}{suffix}"
        note = b"" if fields is None else sidecars.encode({**fields, "file": file.name})
        if _put_both(file, data, note, mode, incoming):
            _sync_folder(folder)
            return file
    raise OSError(f"no free name for {name}{suffix}")


def _put_both(file: Path, data: bytes, note: bytes, mode: int, incoming: Incoming | None) -> bool:
    """Put a picture and its sidecar under their name; False if something else has it.

    The sidecar is first: it holds the name for the picture, and no picture is ever without it.
    """
    beside = file.with_suffix(".json")
    noted = bool(note) and _put(beside, note, 0o600)
    if note and not noted and not sidecars.same(beside, note):
        return False
    done = False
    try:
        done = _put(file, data, mode, incoming) or _holds(file, data)
    finally:
        if noted and not (done or _holds(file, data)):  # another kernel may have been quicker
            beside.unlink()
    return done


def _put(file: Path, data: bytes, mode: int, incoming: Incoming | None = None) -> bool:
    """Write a file, whole or not at all, without replacing another; False if there is one.

    What came in a file of that folder needs no writing.
    """
    came = incoming.settle(file.parent) if incoming else None
    with contextlib.nullcontext(came) if came else written(file.parent, data, mode) as part:
        try:
            os.link(part, file)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links; our id keeps others off the name
            if os.path.lexists(file):
                return False
            part.rename(file)
    return True


def _holds(file: Path, data: bytes) -> bool:
    """Whether it is a plain file with exactly this content."""
    with contextlib.suppress(OSError):
        found = file.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_size == len(data):
            return file.read_bytes() == data
    return False


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError, AttributeError):  # Windows cannot open a folder
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
