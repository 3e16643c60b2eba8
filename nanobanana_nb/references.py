"""Links that the API can fetch for whatever people give as a picture to go by."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import links, pictures
from .client import Client
from .errors import DownloadError, RequestError, TransportError
from .results import Generation, Picture

if TYPE_CHECKING:
    from .sandbox import Sandbox


MAX_BYTES: Final = 10_000_000
"""The API takes no larger reference."""
LABEL: Final = 48
"""Letters of a link by which it is told from others."""
PREVIEW_SIDE: Final = 256
PREVIEW_BYTES: Final = 12_000


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


@dataclass(frozen=True)
class References:
    """Turns references into links. Files can be served only to the sandbox, which is right here."""

    folder: Path
    sandbox: Sandbox | None

    def read(self, reference: Any) -> str | Picture | Path:
        """A link, a picture of ours or a file for whatever was given; blocks while it reads files.

        Raises `RequestError` for anything else.
        """
        if isinstance(reference, Generation):
            return reference.image
        if isinstance(reference, Picture) or (isinstance(reference, str) and "://" in reference):
            return reference
        return self._file_of(reference)

    def content(self, source: str | Picture | Path) -> str:
        """What it shows, as far as it can be told: the link, or a hash of the file's bytes."""
        if isinstance(source, str):
            return source
        if isinstance(source, Picture):
            return source.sha256
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def link_to(self, source: str | Picture | Path) -> str:
        """The link under which the API can fetch it. Raises `RequestError` where there is none."""
        if isinstance(source, str):
            return source
        return self._link_to_picture(source) if isinstance(source, Picture) else self._share(source)

    async def look_at(self, source: str | Picture | Path, client: Client) -> Look:
        """See whether it can be a reference, and what it shows.

        Raises `RequestError` where it cannot. A link that the network keeps from us may be one all
        the same, and comes with a warning.
        """
        if isinstance(source, str):
            return await self._look_at_link(source, client)
        return await asyncio.to_thread(self._look_at_file, source)

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
        self.link_to(source)
        file = source.path if isinstance(source, Picture) else source
        preview = _preview(file.read_bytes(), file.name) if file.is_file() else b""
        return Look(source, file.name, preview, self.content(source))

    def _link_to_picture(self, picture: Picture) -> str:
        if self.sandbox is not None:
            return self._share(picture.path)
        if picture.expires > datetime.now(UTC):
            return picture.url
        raise RequestError(
            f"The API's link to {picture.path.name} has expired; put the file where the internet "
            "can fetch it and give that link."
        )

    def _file_of(self, reference: Any) -> Path:
        if isinstance(reference, str | os.PathLike):
            file = pictures.find_file(reference)
            if file is None:
                named = links.shorten(str(reference))
                raise RequestError(f"{named!r} is neither a link (https://...) nor a file.")
            return file
        if callable(getattr(reference, "save", None)) and hasattr(reference, "size"):
            return pictures.write_png(reference, self.folder)
        raise RequestError(
            f"A {type(reference).__name__} is not a picture; give a link, a result, a file or a "
            "Pillow image."
        )

    def _share(self, file: Path) -> str:
        if self.sandbox is None:
            raise RequestError(
                f"{file.name} is on this machine, where the API cannot fetch it; put it where the "
                "internet can fetch it and give that https link."
            )
        if not file.is_file():
            raise RequestError(f"{file} is not there any more; give another picture.")
        try:
            with pictures.decoded(file):
                return self.sandbox.share(file)
        except DownloadError:
            raise RequestError(f"{file} is not a PNG, JPEG or WebP picture.") from None


def _preview(data: bytes, name: str) -> bytes:
    """A small JPEG of it; `RequestError` if the API would not take it as a picture."""
    if len(data) > MAX_BYTES:
        raise RequestError(
            f"{name!r} is larger than the {MAX_BYTES / 1e6:.0f} MB that the API takes; give a "
            "smaller picture."
        )
    try:
        with pictures.decoded(data) as image:
            return pictures.make_preview(image, PREVIEW_SIDE, PREVIEW_BYTES)
    except DownloadError as error:
        why = str(error).removeprefix("The file ")
        raise RequestError(f"{name!r} is not a picture: it {why}") from None
