"""`Batch`: what many requests gave, by their keys and in their order."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, overload

from . import display, pictures, tables
from .errors import RequestError
from .protocol import clean
from .results import Gallery, Generation, PathLike

Key = str | int
"""The name of a request, or its number from 0."""
_DEVICES: Final = re.compile("con|prn|aux|nul|com[0-9]|lpt[0-9]")
"""Names that stand for devices on Windows, whatever ending they have."""


class Batch(Gallery):
    """The results of a batch in the order asked for, failed ones included as such.

    `batch["fox"]` is the one with that key, `batch[3]` the fourth.
    """

    def __init__(self, generations: Iterable[Generation], keys: Sequence[Key]) -> None:
        super().__init__(generations)
        self.keys = tuple(keys)
        if len(self.keys) != len(self):
            raise RequestError(f"{len(self)} results do not go with {len(self.keys)} keys.")

    @overload
    def __getitem__(self, index: str | int) -> Generation: ...

    @overload
    def __getitem__(self, index: slice) -> Batch: ...

    def __getitem__(self, index: str | int | slice) -> Generation | Batch:
        if isinstance(index, slice):
            return Batch(super().__getitem__(index), self.keys[index])
        if isinstance(index, str):
            return super().__getitem__(self._place(index))
        return super().__getitem__(index)

    def items(self) -> Iterator[tuple[Key, Generation]]:
        """Key and result of each."""
        return zip(self.keys, self, strict=True)

    @property
    def failed(self) -> Batch:
        """Those without a picture."""
        kept = [(key, one) for key, one in self.items() if one.error is not None]
        return Batch([one for _, one in kept], [key for key, _ in kept])

    def save(self, folder: PathLike) -> list[Path]:
        """Save a copy of every picture into a folder, under its key where it has a name."""
        target = pictures.folder_for(folder)
        saved: list[Path] = []
        for key, one in self.items():
            for picture in one.images:
                name = _file_name(key) if isinstance(key, str) else picture.path.stem
                path, number = target / f"{name}{picture.path.suffix}", 1
                while path in saved:
                    number += 1
                    path = target / f"{name}-{number}{picture.path.suffix}"
                saved.append(picture.save(path))
        return saved

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row for each: its key, then as the history's."""
        return tables.frame(self, {"key": self.keys})

    def _cards(self, number: int) -> list[display.Card]:
        key = self.keys[number]
        name = key if isinstance(key, str) else ""
        return [replace(card, name=name) for card in super()._cards(number)]

    def _place(self, key: str) -> int:
        if key in self.keys:
            return self.keys.index(key)
        names = [one for one in self.keys if isinstance(one, str)]
        near = difflib.get_close_matches(key, names, 1)
        meant = f" Did you mean {clean(near[0], 60)!r}?" if near else ""
        raise RequestError(f"This batch has no key {clean(key, 60)!r}.{meant}")


def _file_name(key: str) -> str:
    """The key in plain letters, as every system takes it for a file."""
    name = pictures.slug(key)
    return f"{name}-picture" if _DEVICES.fullmatch(name) else name
