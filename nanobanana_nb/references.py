"""Links that the API can fetch for whatever people give as a picture to go by."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import links, pictures
from .errors import DownloadError, RequestError
from .results import Generation, Picture

if TYPE_CHECKING:
    from .sandbox import Sandbox


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
            file = Path(reference).expanduser()
            if not file.is_file():
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
        try:
            with pictures.decoded(file):
                return self.sandbox.share(file)
        except DownloadError:
            raise RequestError(f"{file} is not a PNG, JPEG or WebP picture.") from None
