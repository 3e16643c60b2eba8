"""What people hold: `Picture`, `Generation`, `Gallery`; values with a display and few verbs."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from . import display, pictures
from .errors import NanoBananaError, RequestError
from .models import ImageRequest

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")
PathLike = str | os.PathLike[str]


class Maker(Protocol):
    """The studio, as far as its results know it."""

    @property
    def edit(self) -> Callable[..., Coroutine[Any, Any, Any]]: ...

    def vary(self, generation: Generation, count: int) -> Coroutine[Any, Any, Any]: ...

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T: ...

    def preview(self, path: Path) -> bytes: ...


@dataclass(frozen=True)
class Picture:
    """One picture on disk. `url` is the API's own link, dead after `expires`; sizes in pixels."""

    path: Path
    url: str
    expires: datetime
    width: int
    height: int
    sha256: str

    def pil(self) -> Image.Image:
        """The full picture, loaded with Pillow."""
        with pictures.decoded(self.path) as image:
            return image

    def save(self, target: PathLike) -> Path:
        """Save a copy as `target`, or into it if it is a folder; another ending converts it."""
        return pictures.save_copy(self.path, Path(target))

    @property
    def format(self) -> str:
        """png, jpeg or webp."""
        return {".jpg": "jpeg"}.get(self.path.suffix, self.path.suffix.lstrip("."))


@dataclass(frozen=True)
class Generation:
    """What one request gave: its pictures, or the `error` that stands in their place.

    `cost` is in US dollars, `seconds` is how long the API took, `task_id` its id for the task.
    """

    request: ImageRequest
    id: str
    task_id: str
    images: tuple[Picture, ...]
    cost: Decimal
    seconds: float | None
    created: datetime
    sandbox: bool = False
    replayed: bool = False
    error: NanoBananaError | None = None
    maker: Maker | None = field(default=None, repr=False, compare=False)

    @property
    def prompt(self) -> str:
        return self.request.prompt

    @property
    def image(self) -> Picture:
        """The picture, or the first of several. Raises the error of a failed request."""
        if self.error is not None:
            raise self.error
        return self.images[0]

    @property
    def path(self) -> Path:
        """Where the picture is."""
        return self.image.path

    @property
    def url(self) -> str:
        """The API's own link to the picture; it lives a day at most."""
        return self.image.url

    def pil(self) -> Image.Image:
        """The full picture, loaded with Pillow."""
        return self.image.pil()

    def save(self, target: PathLike) -> Path:
        """Save a copy as `target`, or into it if it is a folder; another ending converts it."""
        return self.image.save(target)

    def edit(self, prompt: str, **options: Any) -> Any:
        """A new picture that goes on from this one ($0.03); options as for `nb.generate`."""
        maker = self._maker()
        return maker.wait(maker.edit(self, prompt, **options))

    def vary(self, count: int = 4) -> Gallery:
        """The same request `count` times more, each $0.03."""
        maker = self._maker()
        return maker.wait(maker.vary(self, count))  # type: ignore[no-any-return]

    def cards(self) -> list[display.Card]:
        """What is shown of it: a card for each picture, or one for the failure."""
        if self.error is not None:
            return [display.Card(self.prompt, problem=str(self.error))]
        return [self._card(picture) for picture in self.images]

    def __repr__(self) -> str:
        return "\n".join(card.text for card in self.cards())

    def _repr_mimebundle_(self, **_: object) -> display.Bundle:
        cards = self.cards()
        if len(cards) == 1:
            return display.picture_card(cards[0], pictures.shrink(cards[0].preview))
        return _gallery_bundle(cards, f"{len(cards)} pictures from one task", self._price())

    def _maker(self) -> Maker:
        if self.maker is None:
            raise RequestError("This result was made without a studio; use nb.edit(...) instead.")
        return self.maker

    def _card(self, picture: Picture) -> display.Card:
        size = f"{picture.width} × {picture.height} {picture.format}"
        seconds = f"{self.seconds:.1f} s" if self.seconds is not None and not self.replayed else ""
        return display.Card(
            self.prompt,
            self.maker.preview(picture.path) if self.maker else b"",
            picture.width,
            picture.height,
            tuple(fact for fact in (size, seconds) if fact),
            self._price(),
            _short(picture.path.parent),
            picture.path.name,
        )

    def _price(self) -> str:
        if self.replayed:
            return "shown again, $0.00"
        return display.money(self.cost) + (" of sandbox money" if self.sandbox else "")


class Gallery(Sequence[Generation]):
    """Several generations in the order asked for, failed ones included as such."""

    def __init__(self, generations: Iterable[Generation]) -> None:
        self._generations = tuple(generations)

    @overload
    def __getitem__(self, index: int) -> Generation: ...

    @overload
    def __getitem__(self, index: slice) -> Gallery: ...

    def __getitem__(self, index: int | slice) -> Generation | Gallery:
        if isinstance(index, slice):
            return Gallery(self._generations[index])
        return self._generations[index]

    def __len__(self) -> int:
        return len(self._generations)

    @property
    def images(self) -> tuple[Picture, ...]:
        """All pictures that there are."""
        return tuple(picture for one in self for picture in one.images)

    @property
    def failed(self) -> Gallery:
        """Those without a picture."""
        return Gallery(one for one in self if one.error is not None)

    @property
    def cost(self) -> Decimal:
        """US dollars for all of them."""
        return sum((one.cost for one in self), Decimal(0))

    def save(self, folder: PathLike) -> list[Path]:
        """Save a copy of every picture into a folder."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        return [picture.save(target) for picture in self.images]

    def __repr__(self) -> str:
        lines = (f"  [{number}] {one!r}" for number, one in enumerate(self))
        return "\n".join((" · ".join(self._headline()), *lines))

    def _repr_mimebundle_(self, **_: object) -> display.Bundle:
        return _gallery_bundle([card for one in self for card in one.cards()], *self._headline())

    def _headline(self) -> tuple[str, str]:
        """What there is, and its price."""
        count, failed = len(self.images), len(self.failed)
        there_is = f"{count} {'picture' if count == 1 else 'pictures'}"
        sandbox = " of sandbox money" if any(one.sandbox for one in self) else ""
        price = display.money(self.cost) + sandbox
        return there_is + (f", {failed} failed" if failed else ""), price


def _gallery_bundle(cards: list[display.Card], headline: str, price: str) -> display.Bundle:
    sheet = pictures.contact_sheet([card.preview for card in cards])
    # In a grid a smaller preview does, so that many pictures keep the notebook small.
    small = [replace(card, preview=pictures.shrink(card.preview)) for card in cards]
    return display.gallery_card(small, headline, price, sheet)


def _short(path: Path) -> str:
    """The path as people write it, with ~ for their home."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)
