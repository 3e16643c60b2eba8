"""What is asked for and what a task can be: frozen values, checked when they are made.

The limits are those of the API's model page (nano-banana).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, get_args

from . import links
from .errors import RequestError
from .forecast import Sample

AspectRatio = Literal[
    "1:1", "4:3", "3:4", "3:2", "2:3", "4:5", "5:4", "9:16", "16:9", "21:9", "auto"
]
OutputFormat = Literal["png", "jpeg"]
Mode = Literal["text-to-image", "image-to-image"]

MODEL: Final = "nano-banana"
PRICE: Final = Decimal("0.03")
"""US dollars per picture, billed when the task is accepted."""
ASPECT_RATIOS: Final[tuple[str, ...]] = get_args(AspectRatio)
OUTPUT_FORMATS: Final[tuple[str, ...]] = get_args(OutputFormat)
MAX_PROMPT: Final = 5000
MAX_IMAGES: Final = 5
MAX_RETRIES: Final = 5
"""Of ours: each costs a picture."""


@dataclass(frozen=True)
class ImageRequest:
    """One picture to draw. The prompt is trimmed at both ends and otherwise sent as it is.

    Without `aspect_ratio` it is `1:1`, or `auto` when there are `image_urls` to go by.
    Raises `RequestError` for anything that the API would refuse, before anything is sent.
    """

    prompt: str
    aspect_ratio: str = ""
    output_format: str = "png"
    image_urls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str):
            raise RequestError(f"The prompt must be text, not {type(self.prompt).__name__}.")
        if isinstance(self.image_urls, str):
            raise RequestError("image_urls takes a list of links, not one text.")
        self._set("prompt", self.prompt.strip())
        self._set("image_urls", tuple(self.image_urls))
        self._set("aspect_ratio", self.aspect_ratio or ("auto" if self.image_urls else "1:1"))
        self._check()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check(self) -> None:
        check_prompt(self.prompt)
        _check_choice("aspect ratio", self.aspect_ratio, ASPECT_RATIOS)
        _check_choice("output format", self.output_format, OUTPUT_FORMATS)
        check_image_count(len(self.image_urls))
        for url in self.image_urls:
            if not isinstance(url, str):
                raise RequestError(f"image_urls holds a {type(url).__name__}, not a link.")
            links.split(url)

    @property
    def mode(self) -> Mode:
        """The API's word for it: an edit has reference pictures."""
        return "image-to-image" if self.image_urls else "text-to-image"


def check_prompt(prompt: str) -> None:
    """Raises `RequestError` unless the (trimmed) prompt can be sent."""
    if not prompt:
        raise RequestError("The prompt is empty; say what to draw, e.g. a fox in watercolor.")
    if len(prompt) > MAX_PROMPT:
        raise RequestError(
            f"The prompt has {len(prompt):,} characters; the API takes at most {MAX_PROMPT:,}. "
            f"Cut {len(prompt) - MAX_PROMPT:,}."
        )
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(
            f"Character {error.start + 1} of the prompt is half of a surrogate pair and cannot "
            "be sent; type it anew."
        ) from None


def check_count(count: object) -> None:
    """Raises `RequestError` unless it is a number of pictures."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise RequestError(f"count is {count!r}; give a whole number of pictures, 1 or more.")


def check_retries(retries: object) -> None:
    """Raises `RequestError` unless a failed task may be drawn again that often; None: as set."""
    whole = isinstance(retries, int) and not isinstance(retries, bool)
    if retries is not None and not (whole and 0 <= retries <= MAX_RETRIES):  # type: ignore[operator]
        raise RequestError(
            f"task_retries is {retries!r}; give a whole number from 0 to {MAX_RETRIES}."
        )


def check_image_count(count: int) -> None:
    """Raises `RequestError` for more reference pictures than the API takes."""
    if count > MAX_IMAGES:
        raise RequestError(
            f"{count} reference pictures are too many; the API takes 1 to {MAX_IMAGES}."
        )


def _check_choice(what: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise RequestError(f"{value!r} is not an {what}; use one of {', '.join(allowed)}.")


@dataclass(frozen=True)
class Running:
    """Not finished yet. `state` is the API's own word, known to us or not."""

    state: str


@dataclass(frozen=True)
class Succeeded:
    """Finished. The links live a day at most; `seconds` is the API's own figure, if it gave one,
    and right to `within` so many. `took` is how long it was by our own looks and that figure."""

    image_urls: tuple[str, ...]
    seconds: float | None = None
    within: float = field(default=0.0, compare=False)
    took: Sample | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Failed:
    """Ended without a picture: the API's `failCode` and `failMsg`."""

    code: str
    message: str


TaskState = Running | Succeeded | Failed
