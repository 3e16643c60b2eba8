"""What people hold: `Picture`, `Generation`, `Gallery`; values with a display and few verbs."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, overload

from . import display, pictures, previews
from .errors import DownloadError, NanoBananaError, RequestError, SubmitUnknown, WaitTimeout
from .keys import in_colab
from .metadata import SANDBOX, Drawn
from .models import MODEL, PRICE, ImageRequest
from .rows import PictureRow, TaskRow

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")
PathLike = str | os.PathLike[str]

SHOWN: Final = 60
"""Pictures of a gallery that a cell shows; the others are a slice away."""
_IN_NOTEBOOK: Final = 1_000_000
"""Bytes of all pictures of a gallery that the notebook keeps."""
_ON_SHEET: Final = 16
"""Pictures on the sheet for front ends that show no HTML."""
LINK_LIFE: Final = timedelta(hours=24)
"""How long the API keeps a picture under its link."""


class Maker(Protocol):
    """The studio, as far as its results know it."""

    @property
    def edit(self) -> Callable[..., Coroutine[Any, Any, Any]]: ...

    def vary(self, generation: Generation, count: int) -> Coroutine[Any, Any, Any]: ...

    def star(self, id: str, on: bool) -> Coroutine[Any, Any, Any]: ...  # noqa: A002

    def note(self, id: str, text: str) -> Coroutine[Any, Any, Any]: ...  # noqa: A002

    def lineage(self, id: str) -> Coroutine[Any, Any, Any]: ...  # noqa: A002

    def submit_again(self, attempt_id: str) -> Coroutine[Any, Any, Generation]: ...

    def dismiss(self, attempt_id: str) -> Coroutine[Any, Any, Any]: ...

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
        return pictures.save_copy(self.path, target)

    @property
    def format(self) -> str:
        """png, jpeg or webp."""
        return {".jpg": "jpeg"}.get(self.path.suffix, self.path.suffix.lstrip("."))


@dataclass(frozen=True)
class Generation:
    """What one request gave: its pictures, or the `error` that stands in their place.

    `cost` is in US dollars, `seconds` is how long the API took, `task_id` its id for the task.
    `state` is the ledger's word, `remark` your own note, `warning` what is not as it should be.
    `sent` is when the API got the request, `references` the contents of the pictures that it was
    drawn from: a sha256 each, or a link.
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
    state: str = "stored"
    starred: bool = False
    remark: str = ""
    warning: str = ""
    sent: datetime | None = None
    references: tuple[str, ...] = ()
    maker: Maker | None = field(default=None, repr=False, compare=False)

    @property
    def prompt(self) -> str:
        return self.request.prompt

    @property
    def image(self) -> Picture:
        """The picture, or the first of several. Raises the error of a failed request."""
        if self.error is not None:
            raise self.error
        if not self.images:
            raise RequestError(f"There is no picture here: {self._gap().problem}")
        return self.images[0]

    @property
    def at_risk(self) -> Decimal:
        """US dollars that may have been billed for nothing: nobody knows."""
        return PRICE if isinstance(self.error, SubmitUnknown) else Decimal(0)

    @property
    def standing(self) -> str:
        """What became of it, in the ledger's words."""
        match self.error:
            case None:
                return self.state
            case SubmitUnknown():
                return "unknown"
            case WaitTimeout():
                return self.state if self.state in display.NOT_OVER else "parked"
            case DownloadError(gone=gone):
                return "expired" if gone else "ready"
        return "failed" if self.state == "stored" else self.state

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

    def save(self, target: PathLike, *, embed: bool = False) -> Path:
        """Save a copy as `target`, or into it if it is a folder; another ending converts it.

        With `embed` the copy has prompt, settings and lineage in it, for `nb.load`.
        """
        image = self.image
        return pictures.save_copy(image.path, target, self._drawn() if embed else None)

    def edit(self, prompt: str, **options: Any) -> Any:
        """A new picture that goes on from this one ($0.03); options as for `nb.generate`."""
        maker = self._maker()
        return maker.wait(maker.edit(self, prompt, **options))

    def vary(self, count: int = 4) -> Gallery:
        """The same request `count` times more, each $0.03."""
        maker = self._maker()
        return maker.wait(maker.vary(self, count))  # type: ignore[no-any-return]

    @property
    def lineage(self) -> Any:
        """The `Lineage`: what it was drawn from, step by step, and what was drawn from it."""
        maker = self._maker()
        return maker.wait(maker.lineage(self.id))

    def star(self, on: bool = True) -> Generation:
        """Mark it, so that `nb.history(starred=True)` finds it; `star(False)` takes that back."""
        maker = self._maker()
        maker.wait(maker.star(self.id, on))
        return replace(self, starred=on)

    def note(self, text: str) -> Generation:
        """Keep a note beside it, in place of an earlier one; `nb.history(words)` finds it."""
        maker, remark = self._maker(), text.strip()
        maker.wait(maker.note(self.id, remark))
        return replace(self, remark=remark)

    def submit_again(self) -> Generation:
        """Send once more what may have been billed already; it may cost another $0.03."""
        attempt, maker = self._attempt("submit again"), self._maker()
        return maker.wait(maker.submit_again(attempt))

    def dismiss(self) -> None:
        """Take as settled what may have been billed, and show it no more."""
        attempt, maker = self._attempt("dismiss"), self._maker()
        maker.wait(maker.dismiss(attempt))

    def cards(self) -> list[display.Card]:
        """What is shown of it: a card for each picture, or one for what stands in its place."""
        if self.error is not None or not self.images:
            return [self._gap()]
        return [self._card(number) for number in range(len(self.images))]

    def __repr__(self) -> str:
        return "\n".join(card.text for card in self.cards())

    def _repr_mimebundle_(self, **_: object) -> display.Bundle:
        cards = self.cards()
        if len(cards) == 1:
            return display.picture_card(cards[0], previews.shrink(cards[0].preview))
        headline = f"{len(cards)} pictures from one task"
        return _gallery_bundle(list(enumerate(cards)), headline, self._price())

    def _drawn(self) -> Drawn:
        """What a copy says of it; its lineage as far as the ledger can be asked."""
        ancestors: tuple[Generation, ...] = ()
        with contextlib.suppress(NanoBananaError):
            ancestors = tuple(self.lineage.ancestors)
        known = {one.url: one.sha256 for each in ancestors for one in each.images}
        lineage = tuple(one._of_own(known) for one in reversed(ancestors))
        own = replace(self._of_own(known), task_id=self.task_id, sha256="")
        return replace(own, lineage=lineage)

    def _of_own(self, known: Mapping[str, str]) -> Drawn:
        """Without its lineage; `known` are the contents of pictures by their links."""
        picture = self.images[0] if self.images else None
        return Drawn(
            self.prompt,
            self.request.aspect_ratio,
            self.request.output_format,
            tuple(known.get(one, one) for one in self.references),
            self.created.timestamp(),
            model=SANDBOX if self.sandbox else MODEL,
            width=picture.width if picture else 0,
            height=picture.height if picture else 0,
            sha256=picture.sha256 if picture else "",
        )

    def _maker(self) -> Maker:
        if self.maker is None:
            raise RequestError("This result was made without a studio; use nb.edit(...) instead.")
        return self.maker

    def _attempt(self, what: str) -> str:
        if not isinstance(self.error, SubmitUnknown):
            raise RequestError(f"There is nothing to {what}: it is known what became of this one.")
        return self.error.attempt_id or self.id

    def _card(self, number: int) -> display.Card:
        picture = self.images[number]
        size = f"{picture.width} × {picture.height} {picture.format}"
        seconds = f"{self.seconds:.1f} s" if self.seconds is not None and not self.replayed else ""
        which = f"images[{number}]" if len(self.images) > 1 else ""
        return display.Card(
            self.prompt,
            self.maker.preview(picture.path) if self.maker else b"",
            picture.width,
            picture.height,
            tuple(fact for fact in (which, size, seconds) if fact),
            self._price(),
            short_path(picture.path.parent),
            picture.path.name,
            starred=self.starred,
            remarks=self._remarks(),
            task=self._task_to_keep(),
        )

    def _task_to_keep(self) -> str:
        """The id, where it may be needed: Colab's machines end with their files, and by it a
        picture comes back for a day."""
        return self.task_id if in_colab() and not self.sandbox and self.images else ""

    def _gap(self) -> display.Card:
        """What stands in the place of a picture."""
        under_way = self.standing in display.NOT_OVER
        words = "nb.resume() brings it here." if under_way else "It ended without a picture."
        plain = display.Card(
            self.prompt,
            problem=str(self.error or words),
            state=self.standing,
            starred=self.starred,
            remarks=self._remarks(),
        )
        if not isinstance(self.error, SubmitUnknown):
            return plain
        attempt = self.error.attempt_id or self.id
        return replace(
            plain,
            problem=_why(self.error),
            price=display.money(self.at_risk) + self._money(),
            attempt=attempt,
            facts=(when(self.created), f"attempt {attempt}"),
        )

    def _remarks(self) -> tuple[str, ...]:
        again: tuple[str, ...] = ()
        said = "shown again" in str(self.error)
        if self.replayed and not said and self.standing in ("failed", "expired", "rejected"):
            again = (
                f"This was the answer of {when(self.created)}, shown again for $0.00.",
                "Run the cell again, or say --new, to draw it anew.",
            )
        note = f"Note: {self.remark}" if self.remark else ""
        return tuple(remark for remark in (self.warning, note, *again) if remark)

    def _price(self) -> str:
        if self.replayed:
            return "shown again, $0.00"
        return display.money(self.cost) + self._money()

    def _money(self) -> str:
        return " of sandbox money" if self.sandbox else ""


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
            return self._with(self._generations[index])
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
    def at_risk(self) -> Decimal:
        """US dollars that may have been billed for nothing."""
        return sum((one.at_risk for one in self), Decimal(0))

    @property
    def cost(self) -> Decimal:
        """US dollars for all of them."""
        return sum((one.cost for one in self), Decimal(0))

    def save(self, folder: PathLike) -> list[Path]:
        """Save a copy of every picture into a folder."""
        target = pictures.folder_for(folder)
        return [picture.save(target) for picture in self.images]

    def __repr__(self) -> str:
        lines = display.gallery_lines(self._numbered(), self._more())
        return "\n".join((" · ".join(self._headline()), *lines))

    def _repr_mimebundle_(self, **_: object) -> display.Bundle:
        tasks = [one._task_to_keep() for one in self]
        return _gallery_bundle(self._numbered(), *self._headline(), self._more(), tasks)

    def _with(self, generations: Iterable[Generation]) -> Gallery:
        """What a slice is."""
        return Gallery(generations)

    def _numbered(self) -> list[tuple[int, display.Card]]:
        """What is shown: the first pictures, and all that stands in the place of one."""
        shown = islice((number for number, one in enumerate(self) if _is_there(one)), SHOWN)
        numbers = {*shown, *(number for number, one in enumerate(self) if not _is_there(one))}
        return [(n, card) for n in sorted(numbers) for card in self._cards(n)]

    def _cards(self, number: int) -> list[display.Card]:
        return self[number].cards()

    def _more(self) -> str:
        """What is left out of what is shown."""
        there = [number for number, one in enumerate(self) if _is_there(one)]
        if len(there) <= SHOWN:
            return ""
        first = there[SHOWN]
        more = len(there) - SHOWN
        noun = "picture" if more == 1 else "pictures"
        return f"And {more:,} more {noun}: [{first}:] shows the next ones."

    def _headline(self) -> tuple[str, str]:
        """What there is, and its price."""
        again = sum(one.replayed for one in self)
        if again == len(self) > 0:
            price = "shown again, $0.00"
        else:
            price = self._spent() + (f", {again} shown again" if again else "")
        return ", ".join((self._there_is(), *self._missing())), price

    def _there_is(self) -> str:
        count = len(self.images)
        return f"{count} {'picture' if count == 1 else 'pictures'}"

    def _missing(self) -> list[str]:
        """How many have no picture, and why."""
        counts = Counter(_kind(one) for one in self if one.error is not None or not one.images)
        risk = {_AT_RISK: f" ({display.money(self.at_risk)})"}
        return [f"{counts[kind]} {kind}{risk.get(kind, '')}" for kind in _KINDS if counts[kind]]

    def _spent(self) -> str:
        """What was surely billed for it; what is shown again costs nothing."""
        new = [one for one in self if not one.replayed]
        sandbox = " of sandbox money" if any(one.sandbox for one in new) else ""
        return display.money(sum((one.cost for one in new), Decimal(0))) + sandbox


def _is_there(one: Generation) -> bool:
    return one.error is None and bool(one.images)


_AT_RISK: Final = "may have been billed"
_KINDS: Final = ("failed", _AT_RISK, "under way")


def _kind(one: Generation) -> str:
    """How one without a picture is counted."""
    if one.at_risk:
        return _AT_RISK
    return "under way" if one.standing in display.NOT_OVER else "failed"


def pictures_of(row: TaskRow) -> tuple[Picture, ...]:
    """The pictures of a task that are on disk."""
    return tuple(picture_of(row, one) for one in row.pictures if one.file is not None)


def picture_of(row: TaskRow, one: PictureRow) -> Picture:
    """One of them, as people hold it."""
    expires = local_time(row.created) + LINK_LIFE
    return Picture(one.file or Path(), one.url, expires, one.width, one.height, one.sha256)


def local_time(moment: float) -> datetime:
    """Unix time as an aware time of this machine's zone."""
    return datetime.fromtimestamp(moment, UTC).astimezone()


def when(moment: datetime) -> str:
    """Date and time where the reader is."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _why(error: SubmitUnknown) -> str:
    """What came in between; the card says the rest of `protocol.maybe_billed` in its own way."""
    _, found, why = str(error).rpartition("billed ($0.03): ")
    why, _, _ = why.partition(". It is not sent again")
    return f"{why[0].upper()}{why[1:]}." if found and why else str(error)


def _gallery_bundle(
    cards: list[tuple[int, display.Card]],
    headline: str,
    price: str,
    more: str = "",
    tasks: Sequence[str] = (),
) -> display.Bundle:
    there = [card.preview for _, card in cards if card.preview]
    sheet = previews.contact_sheet(there[:_ON_SHEET])
    # In a grid a smaller preview does, so that many pictures keep the notebook small.
    limit = min(20_000, _IN_NOTEBOOK // max(1, len(there)))
    small = [
        (n, replace(card, preview=previews.shrink(card.preview, limit=limit))) for n, card in cards
    ]
    return display.gallery_card(small, headline, price, sheet, more, tasks)


def short_path(path: Path) -> str:
    """The path as people write it, with ~ for their home."""
    try:
        return str(Path("~", path.relative_to(Path.home())))
    except (ValueError, RuntimeError):
        return str(path)
