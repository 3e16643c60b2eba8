"""`load`: what a picture file was drawn from, ours or a stranger's, ready to be drawn again."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from . import containers, display, links, metadata, pictures, previews
from .errors import DownloadError, RequestError
from .metadata import Drawn
from .models import ImageRequest
from .protocol import clean
from .results import Generation, Picture, local_time, short_path, when

Source = Generation | Picture | str | os.PathLike[str] | bytes

_WANTED: Final = "give a picture file, its bytes, a result or one of its pictures"
_SAID: Final = {
    "file": "Read from the file itself.",
    "sidecar": "Read from the JSON file beside it.",
    "parameters": "Written by another tool; what we have no setting for is left out.",
}


@dataclass(frozen=True)
class Recipe:
    """What a picture was drawn from: `nb.generate(recipe.prompt, **recipe.options)` draws it anew.

    `references` are the contents of the pictures that it went on from: a sha256 each, or the word
    `link`. `lineage` are its ancestors, nearest first, each without its own; `sha256` is an
    ancestor's content. `source` says where it was read: in the file, in the sidecar beside it, or
    in the `parameters` of another tool, which may leave ratio and format empty.
    """

    prompt: str
    aspect_ratio: str = ""
    output_format: str = ""
    references: tuple[str, ...] = ()
    lineage: tuple[Recipe, ...] = ()
    created: datetime | None = None
    task_id: str = ""
    sha256: str = ""
    source: Literal["file", "sidecar", "parameters"] = "file"
    path: Path | None = None
    card: display.Card | None = field(default=None, compare=False)

    @property
    def options(self) -> dict[str, str]:
        """The settings that are known, for `nb.generate` and `nb.edit`; not the references."""
        known = {"aspect_ratio": self.aspect_ratio, "output_format": self.output_format}
        return {name: value for name, value in known.items() if value}

    @property
    def request(self) -> ImageRequest:
        """The request, without its references. Raises `RequestError` for a stranger's prompt that
        the API would refuse."""
        return ImageRequest(self.prompt, self.aspect_ratio, self.output_format or "png")

    def __repr__(self) -> str:
        card = self.card or display.Card(self.prompt, facts=tuple(self.options.values()))
        return card.text

    def _repr_mimebundle_(self, **_: object) -> display.Bundle:
        if self.card is None or not self.card.preview:
            return display.line(repr(self))
        return display.picture_card(self.card, previews.shrink(self.card.preview))


def load(source: Source) -> Recipe:
    """What a picture was drawn from: prompt, settings and lineage, as the file itself has it, else
    the JSON file beside it, else the `parameters` of another tool.

    It asks nobody and costs nothing. Raises `RequestError` where there is no picture, or where it
    says nothing of this.
    """
    file, data = _opened(source)
    name = repr(clean(file.name, 80)) if file else "The picture"
    if not containers.is_picture(data):
        raise RequestError(f"{name} is not a PNG, JPEG or WebP picture.")
    drawn = metadata.read_file(file) if file else metadata.read(data)
    if drawn is None:
        raise RequestError(
            f"{name} carries no settings; those of our own pictures are in the JSON file beside "
            "them, and in them with NANOBANANA_EMBED=1 or save(..., embed=True)."
        )
    return _recipe(drawn, file, _card(drawn, file, data))


def _opened(source: object) -> tuple[Path | None, bytes]:
    """The file, if there is one, and its bytes."""
    match source:
        case bytes():
            return None, source
        case Generation():
            file = source.path
        case Picture():
            file = source.path
        case str() | os.PathLike():
            found = pictures.find_file(source)
            if found is None:
                raise RequestError(f"{links.shorten(str(source))!r} is not a file: {_WANTED}.")
            file = found
        case _:
            raise RequestError(f"Cannot load this {type(source).__name__}: {_WANTED}.")
    if not file.is_file():
        raise RequestError(f"{file} is not there any more.")
    return file, _read(file)


def _read(file: Path) -> bytes:
    """Its bytes; `RequestError` where it cannot be read or is larger than is looked into."""
    try:
        if (size := file.stat().st_size) > metadata.MAX_FILE:
            raise RequestError(
                f"{clean(file.name, 80)!r} has {size / 1e6:,.0f} MB, too many to be looked at; "
                f"give a picture of up to {metadata.MAX_FILE / 1e6:.0f} MB."
            )
        return file.read_bytes()
    except OSError as error:
        raise RequestError(f"{clean(file)} cannot be read: {error.strerror or error}.") from None


def _recipe(drawn: Drawn, path: Path | None = None, card: display.Card | None = None) -> Recipe:
    return Recipe(
        drawn.prompt,
        drawn.aspect_ratio,
        drawn.output_format,
        drawn.references,
        tuple(_recipe(one) for one in drawn.lineage),
        None if drawn.created is None else local_time(drawn.created),
        drawn.task_id,
        drawn.sha256,
        drawn.source,
        path,
        card,
    )


def _card(drawn: Drawn, file: Path | None, data: bytes) -> display.Card:
    preview, width, height = _preview(data)
    size = f"{width} × {height}" if width else ""
    date = "" if drawn.created is None else when(local_time(drawn.created))
    facts = (drawn.aspect_ratio, drawn.output_format, size, date)
    return display.Card(
        drawn.prompt,
        preview,
        width,
        height,
        tuple(fact for fact in facts if fact),
        folder=short_path(file.parent) if file else "",
        file=file.name if file else "",
        remarks=_remarks(drawn),
    )


def _preview(data: bytes) -> tuple[bytes, int, int]:
    """A small JPEG and the size in pixels; nothing of a picture that cannot be decoded."""
    try:
        with pictures.decoded(data) as image:
            upright = pictures.upright(image)
            return previews.make_preview(upright), upright.width, upright.height
    except DownloadError:
        return b"", 0, 0


def _remarks(drawn: Drawn) -> tuple[str, ...]:
    """Where it was read, and what it was drawn from."""
    count = len(drawn.references)
    pictures_ = "a picture" if count == 1 else f"{count} pictures"
    went_on = f"It went on from {pictures_}, to be given to nb.edit once more." if count else ""
    steps = " ← ".join(f"“{clean(one.prompt, 60)}”" for one in drawn.lineage[:3])
    more = f" ← {len(drawn.lineage) - 3} more" if len(drawn.lineage) > 3 else ""
    before = f"Before it: {steps}{more}" if steps else ""
    return tuple(line for line in (_SAID[drawn.source], went_on, before) if line)
