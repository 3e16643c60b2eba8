"""What a grid draws: prompts and settings of several values each, to a request for each picture.

Counted and priced before anything is made of it. Pure values.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .errors import RequestError
from .models import PRICE, check_count
from .templates import (
    Axis,
    Template,
    check_most,
    free_name,
    is_plain,
    kind_of,
    listed,
    names_in,
    read,
    values_of,
)

REQUEST_AXES: Final = ("aspect_ratio", "output_format", "image_urls", "style")
"""What may vary from picture to picture besides the prompt."""
_SHOWN: Final = 60


@dataclass(frozen=True)
class Plan:
    """What will be drawn: a picture for every combination of the values of its `axes`.

    `settings` are those that all pictures share, by their names in `nb.generate`.
    """

    template: Template
    axes: tuple[Axis, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many pictures that are."""
        return math.prod(len(axis.values) for axis in self.axes)

    @property
    def text(self) -> str:
        """`3 animals x 2 styles = 6 pictures, $0.18`"""
        pictures = f"{self.count:,} {'picture' if self.count == 1 else 'pictures'}"
        sides = " x ".join(axis.text for axis in self.axes)
        what = pictures if sides in ("", pictures) else f"{sides} = {pictures}"
        return f"{what}, ${PRICE * self.count:,.2f}"

    @property
    def title(self) -> str:
        """The prompt that all pictures share, its axes by their names; nothing for several."""
        several = any(isinstance(value, Template) for axis in self.axes for value in axis.values)
        return "" if several else str(self.template)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was left as typed in the prompts though it may have been meant."""
        prompts = [v for axis in self.axes for v in axis.values if isinstance(v, Template)]
        found = [remark for one in prompts or [self.template] for remark in one.remarks]
        return tuple(dict.fromkeys(found))

    def requests(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each picture's prompt and settings; the last axis runs fastest."""
        for values in itertools.product(*(axis.values for axis in self.axes)):
            at = {axis.name: value for axis, value in zip(self.axes, values, strict=True)}
            template = next((one for one in values if isinstance(one, Template)), self.template)
            in_prompt = {axis.name for axis in template.axes}
            varied = {n: v for n, v in at.items() if n in REQUEST_AXES and n not in in_prompt}
            settings = {**self.settings, **varied}
            if "image_urls" in settings:
                settings["image_urls"] = _as_list(settings["image_urls"])
            yield template.prompt(at), settings


def plan(prompts: str | Sequence[str], given: Mapping[str, Any], count: int = 1) -> Plan:
    """What `nb.grid(prompts, **given)` draws.

    A list, tuple or range makes an axis, anything else is the same for all pictures. The axes come
    in the order given; those that only the prompt has come after them. Raises `RequestError`.
    """
    texts = [prompts] if isinstance(prompts, str) else list(values_of("prompt", prompts) or ())
    if not texts or not all(isinstance(text, str) for text in texts):
        raise RequestError("A grid takes a prompt, or a list of prompts.")
    said = {name for text in texts for name in names_in(text)}
    names, settings = {}, {}
    for name, value in given.items():
        if name in said:
            names[name] = _checked(name, listed(value))
        elif name in REQUEST_AXES:
            settings[name] = _settings_list(name, value)
        else:
            raise RequestError(_unused(name, texts[0]))
    read_all = [_with_remarks(read(text, names), text, names) for text in texts]
    return _arranged(read_all, settings, count, list(given))


def single(prompt: str) -> Plan:
    """The plan of one picture, its prompt as it is."""
    if not isinstance(prompt, str):
        raise RequestError(
            f"The prompt must be text, not {kind_of(prompt)}; for a list of prompts use nb.grid."
        )
    return Plan(Template((prompt,)), ())


def repeated(template: Template, count: int) -> Plan:
    """The plan of a prompt that was read already, each of its pictures `count` times."""
    return _arranged([template], {}, count, [])


def _arranged(
    templates: Sequence[Template], settings: Mapping[str, Any], count: int, order: Sequence[str]
) -> Plan:
    """The axes of prompts and settings together, in the order asked for."""
    check_count(count)
    check_most(count)
    axes: list[Axis] = []
    if len(templates) > 1:
        templates = [one for template in templates for one in _without_variants(template)]
        _check_alike(templates)
        axes.append(Axis(free_name("prompt", _names_of(templates[0].axes)), tuple(templates)))
    axes += templates[0].axes
    shared = dict(settings)
    for name, value in settings.items():
        if (values := values_of(name, value)) is not None:
            axes.append(Axis(name, values))
            del shared[name]
    if count > 1:
        axes.append(Axis(free_name("picture", _names_of(axes)), tuple(range(1, count + 1))))
    for axis in axes:
        _check_values(axis)
    axes.sort(key=lambda axis: _rank(axis, order))
    made = Plan(templates[0], tuple(axes), shared)
    check_most(made.count, made.text)
    return made


def _with_remarks(template: Template, text: str, names: Mapping[str, Any]) -> Template:
    """In code every name is given in the call: one that is not is sent as it stands there."""
    hinted = " ".join(template.remarks)
    left = [n for n in dict.fromkeys(names_in(text)) if n not in names and f"{{{n}}}" not in hinted]
    more = [f"{{{name}}} is sent as typed; {name}=... would fill it." for name in left]
    return replace(template, remarks=(*template.remarks, *more))


def _without_variants(template: Template) -> list[Template]:
    """A template for each of the choices typed in it."""
    typed = [axis for axis in template.axes if axis.typed]
    check_most(math.prod(len(axis.values) for axis in typed))
    found = []
    for values in itertools.product(*(axis.values for axis in typed)):
        chosen = {axis.name: value for axis, value in zip(typed, values, strict=True)}
        pieces = tuple(chosen.get(p.name, p) if isinstance(p, Axis) else p for p in template.pieces)
        found.append(Template(pieces, template.filled, template.remarks))
    return found


def _check_alike(templates: Sequence[Template]) -> None:
    """A prompt without one of the axes would be drawn, and paid for, several times alike."""
    wanted = dict.fromkeys(name for one in templates for name in _names_of(one.axes))
    for template in templates:
        if missing := [name for name in wanted if name not in _names_of(template.axes)]:
            raise RequestError(
                f"“{str(template)[:_SHOWN]}” does not say {{{missing[0]}}} as another prompt "
                "of the list does, so it would be drawn several times alike; add it, or draw it "
                "by itself."
            )


def _check_values(axis: Axis) -> None:
    """What stands twice in a list would be drawn twice alike, and `count` says so better."""
    seen: set[str] = set()
    for value in axis.values:
        text = str(value)
        if text in seen and (is_plain(value) or isinstance(value, Template)):
            raise RequestError(
                f"{axis.name} has {text[:_SHOWN]!r} twice, so it would be drawn twice alike; take "
                "one out, or ask for several of all with count=2 (-n 2)."
            )
        seen.add(text)


def _rank(axis: Axis, order: Sequence[str]) -> int:
    """Prompts first, then what was named in the call, then the rest."""
    if any(isinstance(value, Template) for value in axis.values):
        return -1
    return order.index(axis.name) if axis.name in order else len(order)


def _checked(name: str, value: object) -> object:
    """What was given for a name in the prompt, if it can stand there."""
    values = values_of(name, value)
    for one in (value,) if values is None else values:
        if not is_plain(one):
            raise RequestError(
                f"{name} holds {kind_of(one)}; give text, a number, or a list of those."
            )
    return value


def _unused(name: str, prompt: str) -> str:
    near = difflib.get_close_matches(name, [*names_in(prompt), *REQUEST_AXES], 1)
    meant = f" Did you mean {near[0]}?" if near else ""
    return (
        f"{name} is given, but the prompt has no {{{name}}}, so nothing was sent.{meant} "
        f"Besides names of the prompt there are {', '.join(REQUEST_AXES)}."
    )


def _settings_list(name: str, value: Any) -> Any:
    """A gallery as a list of pictures to go by."""
    several = isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)
    return list(value) if name == "image_urls" and several else value


def _as_list(references: Any) -> list[Any]:
    """One picture to go by, or several, as several; None is none."""
    if references is None:
        return []
    return list(references) if isinstance(references, list | tuple) else [references]


def _names_of(axes: Sequence[Axis]) -> list[str]:
    return [axis.name for axis in axes]
