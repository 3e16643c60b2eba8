"""Links that the API can fetch for whatever people give as a picture to go by."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import io
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes
from weakref import WeakValueDictionary

from . import links, pictures, preparing, previews
from .client import Client
from .errors import DownloadError, RequestError, TransportError
from .publishing import HOW_TO_PUBLISH, Publisher
from .results import Generation, Picture

if TYPE_CHECKING:
    from .sandbox import Sandbox

MAX_BYTES: Final = preparing.MAX_BYTES
LABEL: Final = 48
"""Letters of a link by which it is told from others."""
PREVIEW_SIDE: Final = 256
PREVIEW_BYTES: Final = 12_000
TRUSTED: Final = 600.0
"""Seconds for which a link that led to a picture is believed to do so still."""
MARGIN: Final = timedelta(minutes=10)
"""For which a link of the API must live on to be used: the task may wait in the queue."""
TAKEN: Final = (
    "a link, a result, a file, a Pillow image, the bytes of a picture, a numpy array or a "
    "matplotlib figure"
)


@dataclass(frozen=True)
class Look:
    """A reference as it was found: `source` is what to pass on among `image_urls`.

    `label` is a short name of it, `preview` a small JPEG or nothing, `content` what tells it from
    others, `warning` one line on what is not certain about it.
    """

    source: str | Generation | Picture | Path
    label: str
    preview: bytes
    content: str
    warning: str = ""


class References:
    """Turns references into links, and remembers for a while which ones were good.

    `folder` keeps pictures that were in no file, and those made ready for the API. Files are
    served to the sandbox, which is right here, and else put where the `publisher` says; without
    either nothing leaves this machine. `clock` is monotonic.
    """

    def __init__(
        self,
        folder: Path,
        sandbox: Sandbox | None,
        publisher: Publisher | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._sandbox = sandbox
        self._publisher = publisher or Publisher()
        self._clock = clock
        self._prepared: dict[str, Path] = {}
        self._shared: dict[Path, str] = {}
        self._good: dict[str, float] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def read(self, reference: Any) -> str | Picture | Path:
        """A link, a picture of ours or a file for whatever was given; blocks while it reads files.

        Raises `RequestError` for anything else.
        """
        if isinstance(reference, Generation):
            return reference.image
        if isinstance(reference, Picture):
            return reference
        if isinstance(reference, str) and reference[:5].lower() == "data:":
            return preparing.keep_bytes(_inline(reference), self._folder, "The data: link")
        if isinstance(reference, str) and "://" in reference:
            return _fetchable(reference)
        if isinstance(reference, str | os.PathLike):
            return _file(reference)
        if isinstance(reference, bytes | bytearray | memoryview):
            data = bytes(reference)
            return preparing.keep_bytes(data, self._folder, f"What these {len(data):,} bytes hold")
        return self._drawn(reference)

    def content(self, source: str | Picture | Path) -> str:
        """What it shows, as far as it can be told: the link, or a hash of the file's bytes.

        Raises `RequestError` where the file cannot be read.
        """
        if isinstance(source, str):
            return source
        if isinstance(source, Picture):
            return source.sha256
        return hashlib.sha256(preparing.read(source)).hexdigest()

    async def link(self, source: str | Picture | Path, client: Client) -> str:
        """The link under which the API can fetch it, looked at before anything is paid for.

        What is asked for by many at once is prepared, published and looked at once. Raises
        `RequestError` or `ConfigError` where there is none, and nothing was sent.
        """
        name = source if isinstance(source, str) else str(_path(source))
        async with self._locks.setdefault(name, asyncio.Lock()):
            link = await asyncio.to_thread(self.link_to, source)
            if isinstance(source, str) or self._is_published(source, link):
                await self._check(link, _name(source), client)
            return link

    def link_to(self, source: str | Picture | Path) -> str:
        """The link under which the API can fetch it; a file may be published for that. Blocks.

        Raises `RequestError` or `ConfigError` where there is none.
        """
        if isinstance(source, str):
            return source
        if self._sandbox is not None:
            return self._share(self._sandbox, self._ready(_path(source)))
        if isinstance(source, Picture) and _lives(source):
            return source.url
        self._check_publishable(source)
        return self._publisher.publish(self._ready(_path(source)))

    async def look_at(self, source: str | Picture | Path, client: Client) -> Look:
        """See whether it can be a reference, and what it shows; nothing is published for that.

        Raises `RequestError` where it cannot. A link that the network keeps from us may be one all
        the same, and comes with a warning.
        """
        if isinstance(source, str):
            return await self._look_at_link(source, client)
        return await asyncio.to_thread(self._look_at_file, source)

    async def _check(self, link: str, name: str, client: Client) -> None:
        """Raises `RequestError` unless the link leads to a picture, or did a short time ago."""
        links.check(link, loopback_allowed=client.on_this_machine)
        now = self._clock()
        if now - self._good.get(link, -TRUSTED) < TRUSTED:
            return
        try:
            found = await client.look(link, MAX_BYTES)
        except TransportError as error:
            raise RequestError(
                f"{name!r} could not be reached from here, so nothing was sent. {error} Try "
                "again, or give another link."
            ) from None
        except RequestError as error:
            told = str(error).replace(repr(links.shorten(link)), repr(name))
            raise RequestError(f"{told} Nothing was sent.") from None
        await asyncio.to_thread(_preview, found, name)
        self._good = {one: at for one, at in self._good.items() if now - at < TRUSTED}
        self._good[link] = now

    async def _look_at_link(self, link: str, client: Client) -> Look:
        label = links.shorten(link, LABEL)
        try:
            links.check(link, loopback_allowed=client.on_this_machine)
            found = await client.look(link, MAX_BYTES)
            preview = await asyncio.to_thread(_preview, found, links.shorten(link))
        except TransportError as error:
            warning = f"It could not be looked at from here. {error}"
            return Look(link, label, b"", link, warning)
        return Look(link, label, preview, link)

    def _look_at_file(self, source: Picture | Path) -> Look:
        file = _path(source)
        lives = isinstance(source, Picture) and _lives(source)
        if self._sandbox is None and not lives:
            self._check_publishable(source)
        if self._sandbox is None and lives and not file.is_file():
            return Look(source, file.name, b"", self.content(source))
        with pictures.decoded(self._ready(file)) as image:
            preview = previews.make_preview(image, PREVIEW_SIDE, PREVIEW_BYTES)
        return Look(source, file.name, preview, self.content(source))

    def _drawn(self, reference: Any) -> Path:
        """A file for a picture that was in memory only."""
        if _is_a(reference, "PIL.Image", "Image"):
            return preparing.keep_picture(reference, self._folder, "The Pillow image")
        if _is_a(reference, "numpy", "ndarray"):
            image = preparing.picture_of(reference)
            return preparing.keep_picture(image, self._folder, "The array")
        figure = _figure(reference)
        if figure is None:
            raise RequestError(f"A {type(reference).__name__} is not a picture; give {TAKEN}.")
        drawn = io.BytesIO()
        try:
            figure.savefig(drawn, format="png")
        except Exception as error:
            raise RequestError(f"The figure cannot be drawn: {error}") from error
        return preparing.keep_bytes(drawn.getvalue(), self._folder, "The figure")

    def _ready(self, file: Path) -> Path:
        """The file as the API may have it, made once as long as it stays the same."""
        content = self.content(file)
        known = self._prepared.get(content)
        if known is None or not known.is_file():
            known = self._prepared[content] = preparing.prepare(file, self._folder)
        return known

    def _share(self, sandbox: Sandbox, file: Path) -> str:
        if file not in self._shared:
            self._shared[file] = sandbox.share(file)
        return self._shared[file]

    def _is_published(self, source: Picture | Path, link: str) -> bool:
        """Whether it is a link of the user's own place, neither of the API nor of the sandbox."""
        return self._sandbox is None and not (isinstance(source, Picture) and source.url == link)

    def _check_publishable(self, source: Picture | Path) -> None:
        if self._publisher:
            return
        name = _path(source).name
        if isinstance(source, Picture):
            raise RequestError(
                f"The API's link to {name} has expired, or is about to. {HOW_TO_PUBLISH}"
            )
        raise RequestError(
            f"{name} is on this machine, where the API, which needs a public link, cannot fetch "
            f"it; nothing was sent. {HOW_TO_PUBLISH}"
        )


def _file(given: str | os.PathLike[str]) -> Path:
    file = pictures.find_file(given)
    if file is None:
        named = links.shorten(str(given))
        if _is_folder(given):
            raise RequestError(f"{named!r} is a folder; give a picture that is in it.")
        raise RequestError(f"{named!r} is neither a link (https://...) nor a file.")
    return file


def _is_folder(given: str | os.PathLike[str]) -> bool:
    try:
        return bool(str(given)) and Path(given).expanduser().is_dir()
    except (OSError, RuntimeError, TypeError, ValueError):
        return False


def _fetchable(link: str) -> str:
    """The link, unless the API cannot fetch such ones; whether it may is for the client to say."""
    scheme = link.partition("://")[0].lower()
    if scheme == "file":
        raise RequestError(
            f"{links.shorten(link)!r} is not a link that anybody else can follow; give the path "
            "itself, without file://."
        )
    if scheme.isalnum() and scheme not in ("http", "https"):
        raise RequestError(
            f"{links.shorten(link)!r} is not a link that the API can fetch; it takes https://."
        )
    return link


def _inline(link: str) -> bytes:
    """The picture in a data: link."""
    head, _, body = link.partition(",")
    try:
        if not head.lower().replace(" ", "").endswith(";base64"):
            raise ValueError
        return base64.b64decode(b"".join(unquote_to_bytes(body).split()), validate=True)
    except (ValueError, binascii.Error):
        raise RequestError(
            f"{links.shorten(link, 30)!r} holds no picture in base64; it should begin with "
            "data:image/png;base64, and be whole."
        ) from None


def _is_a(thing: Any, module: str, name: str) -> bool:
    """Whether it is of a class of a module that may not be there, and is not imported for this."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(thing, kind)


def _figure(thing: Any) -> Any:
    """A matplotlib figure, or that of a plot in one; None for anything else."""
    for one in (thing, getattr(thing, "figure", None)):
        if callable(getattr(one, "savefig", None)) and not isinstance(one, type):
            return one
    return None


def _path(source: Picture | Path) -> Path:
    return source.path if isinstance(source, Picture) else source


def _lives(picture: Picture) -> bool:
    """Whether the API's own link to it can still be used."""
    return picture.expires - datetime.now(UTC) >= MARGIN


def _name(source: str | Picture | Path) -> str:
    """What to call it in a message: a link without its query, which may be a signature."""
    if isinstance(source, str):
        parts = links.split(source)
        return links.shorten(f"{parts.scheme}://{parts.netloc}{parts.path}")
    return _path(source).name


def _preview(data: bytes, name: str) -> bytes:
    """A small JPEG of it; `RequestError` if the API would not take it as a picture."""
    if len(data) > MAX_BYTES:
        raise RequestError(
            f"{name!r} is larger than the {MAX_BYTES / 1e6:.0f} MB that the API takes; give a "
            "smaller picture."
        )
    try:
        with pictures.decoded(data) as image:
            return previews.make_preview(image, PREVIEW_SIDE, PREVIEW_BYTES)
    except DownloadError as error:
        why = str(error).removeprefix("The file ")
        raise RequestError(f"{name!r} is not a picture: it {why}") from None
