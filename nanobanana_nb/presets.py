"""Named styles: a fragment of a prompt and the settings that go with it, from small TOML files.

A fragment is literal text. Only `{prompt}` means something in it: the place of what was typed.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from . import models
from .errors import ConfigError, RequestError
from .settings import Settings

FILE: Final = "styles.toml"
BUILT_IN: Final = Path(__file__).with_name(FILE)
PLACE: Final = "{prompt}"
"""Where the prompt stands in a style that is more than an ending."""

_KEYS: Final = ("prompt", "aspect_ratio", "output_format", "image_urls", "about")
_NAME: Final = re.compile(r"\w[\w-]*")
_ENDS_A_PHRASE: Final = (*",;:.!?…", *"，；：。！？、")


@dataclass(frozen=True)
class Style:
    """A way to draw, by name. What is empty in it leaves the request as it is.

    `prompt` is put behind what was typed, or around it where it holds `{prompt}`. `image_urls` are
    links or files, `about` is a word on it for people.
    """

    name: str
    prompt: str = ""
    aspect_ratio: str = ""
    output_format: str = ""
    image_urls: tuple[str, ...] = ()
    about: str = ""

    @property
    def pieces(self) -> tuple[str, ...]:
        """What it adds to a prompt, as it stands before, between and behind what was typed."""
        return tuple(piece.strip() for piece in self.prompt.split(PLACE) if piece.strip())

    @property
    def own_ratio(self) -> str:
        """The ratio that is drawn where none is given; with pictures to go by it is theirs."""
        return self.aspect_ratio or ("auto" if self.image_urls else "")

    def put_on(self, prompt: str) -> str:
        """The prompt in this style; nothing in the prompt is looked at."""
        if PLACE in self.prompt:
            return self.prompt.replace(PLACE, prompt)
        between = " " if prompt.endswith(_ENDS_A_PHRASE) else ", "
        return f"{prompt}{between}{self.prompt}" if self.prompt else prompt

    def is_worn_by(self, prompt: str) -> bool:
        """Whether the prompt holds what this style adds, word for word and in its order."""
        end = 0
        for piece in self.pieces:
            start = prompt.find(piece, end)
            if start < 0:
                return False
            end = start + len(piece)
        return end > 0


def load(settings: Settings) -> dict[str, Style]:
    """All styles that these settings know; blocks while it reads. Raises `ConfigError`."""
    return read(sources(settings))


def stamp(settings: Settings) -> tuple[tuple[int, int] | None, ...]:
    """Another value whenever one of the user's files has changed; blocks while it looks."""
    return tuple(_stamp_of(file) for file in (home_file(settings), Path(FILE)))


def sources(settings: Settings) -> list[Path]:
    """The files that there are, the last one winning: ours, then the user's.

    These are `styles.toml` in the home and in the current folder, or only the file that
    `NANOBANANA_STYLES` names. Raises `ConfigError` if that is not there.
    """
    if settings.styles is not None:
        if not settings.styles.is_file():
            raise ConfigError(
                f"NANOBANANA_STYLES names {settings.styles}, which is not a file; make it, or take "
                "the setting away."
            )
        return [BUILT_IN, settings.styles]
    return [BUILT_IN, *(file for file in (home_file(settings), Path(FILE)) if file.is_file())]


def home_file(settings: Settings) -> Path:
    """Where styles for every notebook are kept."""
    return settings.styles or settings.home / FILE


def read(files: Sequence[Path]) -> dict[str, Style]:
    """The styles of these files, by name; of one name the last is taken.

    Raises `ConfigError` in one line for a file that cannot be read or says what is no style.
    """
    return {style.name: style for file in files for style in _styles_of(file)}


def chosen(book: Mapping[str, Style], names: str | Sequence[str]) -> tuple[Style, ...]:
    """The styles that are meant by `"ink,night"` or a list of names, in that order, each once.

    Raises `RequestError` for a name that there is not, with the nearest one.
    """
    listed = names.split(",") if isinstance(names, str) else names
    if not isinstance(listed, list | tuple) or not all(isinstance(one, str) for one in listed):
        raise RequestError(f'style is {names!r}; give a name, such as "ink" or "ink,night".')
    wanted = dict.fromkeys(name.strip() for name in listed)
    return tuple(_known(book, name) for name in wanted if name)


def dress(prompt: str, styles: Sequence[Style]) -> str:
    """The prompt in these styles, one put on after the other.

    Raises `RequestError` for a prompt that is empty, or that only its styles make too long.
    """
    if not any(style.prompt for style in styles):
        return prompt
    dressed = prompt.strip()
    models.check_prompt(dressed)
    for style in styles:
        dressed = style.put_on(dressed)
        if len(dressed) > models.MAX_PROMPT:
            raise RequestError(
                f"With the style {style.name} the prompt has {len(dressed):,} characters; the API "
                f"takes at most {models.MAX_PROMPT:,}. Cut {len(dressed) - models.MAX_PROMPT:,}, "
                "or leave the style out."
            )
    return dressed


def merged(styles: Sequence[Style]) -> dict[str, Any]:
    """The settings of these styles, under the names of the options that override them.

    Of ratio and format the last is taken; `image_urls` are those of all, in order.
    """
    found: dict[str, Any] = {}
    for style in styles:
        for name in ("aspect_ratio", "output_format"):
            if value := getattr(style, name):
                found[name] = value
    images = [image for style in styles for image in style.image_urls]
    return {**found, "image_urls": images} if images else found


def _known(book: Mapping[str, Style], name: str) -> Style:
    if name in book:
        return book[name]
    near = _nearest(name, book)
    raise RequestError(
        f"There is no style {name[:60]!r}, so nothing was sent.{near} "
        "%nanobanana_styles (nb.styles()) lists them all."
    )


def _stamp_of(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _styles_of(file: Path) -> list[Style]:
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror}); look at the file.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8 text; save it as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{file} is not sound TOML: {' '.join(str(error).split())[:160]}. A style is a line "
            '[name], or ["name"] for letters such as é, and below it prompt = "...".'
        ) from None
    return [_style_of(file, name, table) for name, table in tables.items()]


def _style_of(file: Path, name: str, table: Any) -> Style:
    if not isinstance(table, dict):
        raise ConfigError(
            f"{file}: {name!r} stands outside of a style; put a line with the style's name in "
            "square brackets above it, such as [ink]."
        )
    if not _NAME.fullmatch(name):
        _refuse(file, name, "is no name to type; use letters, digits, - and _")
    for key, value in table.items():
        _check(file, name, key, value)
    images = tuple(_whole(file, name, image) for image in table.get("image_urls", ()))
    words = {key: text.strip() for key, text in table.items() if key != "image_urls"}
    if not images and not any(words.get(key) for key in _KEYS[:3]):
        _refuse(file, name, 'is empty; give it a prompt = "..." or take it out')
    return Style(name, image_urls=images, **words)


def _check(file: Path, name: str, key: str, value: Any) -> None:
    """Raises `ConfigError` for what a style cannot say."""
    if key not in _KEYS:
        near, known = _nearest(key, _KEYS), ", ".join(_KEYS)
        _refuse(file, name, f"has {key[:60]!r}, which is none of {known};{near} take it out")
    if key == "image_urls":
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            _refuse(file, name, 'image_urls is no list of links or files; write ["fox.png"]')
        if len(value) > models.MAX_IMAGES:
            _refuse(file, name, f"has {len(value)} image_urls; the API takes {models.MAX_IMAGES}")
    elif not isinstance(value, str):
        _refuse(file, name, f'{key} is no text; put it in quotes: {key} = "..."')
    else:
        _check_choice(file, name, key, value.strip())


def _check_choice(file: Path, name: str, key: str, value: str) -> None:
    choices = {"aspect_ratio": models.ASPECT_RATIOS, "output_format": models.OUTPUT_FORMATS}
    if value and value not in choices.get(key, (value,)):
        _refuse(file, name, f"{key} is {value[:60]!r}; use one of {', '.join(choices[key])}")


def _whole(file: Path, name: str, image: str) -> str:
    """A link as it is; a file as it is seen from the folder of the styles."""
    if "://" in image:
        return image
    folder = file.absolute().parent
    try:
        place = folder / Path(image).expanduser()
    except RuntimeError:  # nobody of that name has a home here
        return image
    # The file of the current folder may have come with a notebook of somebody else.
    if not file.is_absolute() and not place.resolve().is_relative_to(folder.resolve()):
        _refuse(file, name, f"goes by {image[:60]!r}, which lies outside of this folder")
    return str(place)


def _refuse(file: Path, name: str, why: str) -> NoReturn:
    shown = name if name.isprintable() else repr(name)
    raise ConfigError(f"{file}: the style [{shown[:60]}] {why}.")


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word.lower(), list(known), 1)
    return f" Did you mean {near[0]}?" if near else ""
