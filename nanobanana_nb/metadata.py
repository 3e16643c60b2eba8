"""Settings in the file: what a picture was drawn from, put into it and read out of any picture.

Ours is a JSON text of our own, and beside it the prompt as the common tools write and read it
(`parameters`). What strangers' files say is text of strangers: it is limited, checked and never
more than a value, and what makes no sense is as if it were not there.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from . import containers, protocol
from .models import ASPECT_RATIOS, MAX_PROMPT, MODEL, OUTPUT_FORMATS
from .sidecars import Sidecar, read_sidecar

FORMAT: Final = 1
MAX_LINEAGE: Final = 20
"""Ancestors that a file tells of."""
MAX_NOTE: Final = 400_000
"""Bytes of our text; the furthest ancestors are left out of a longer one."""
MAX_FILE: Final = 100_000_000
"""Bytes; a larger file is not opened."""
A_LINK: Final = "link"
"""Stands for a reference that was a link: signed links are secrets, and stay out of the file."""
SANDBOX: Final = "sandbox"
"""The model of a picture that the sandbox drew: it never claims to be another."""
_YEAR_9999: Final = 253_402_300_800
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FEW: Final = 50
_PAIR: Final = re.compile(r'(?:^|, ?)([A-Z][\w /-]{0,40}): ("(?:[^"\\]|\\.){0,400}"|[^,]{0,400})')
_LINE: Final = 20_000
"""Characters of a line in which settings are looked for."""
_MIDJOURNEY: Final = re.compile(r"\s--[a-z]+\b|\sJob ID:")
_ALSO_RATIO: Final = re.compile(r"\s--(?:ar|aspect) (\d{1,2}:\d{1,2})\b")
_XMP_DESCRIPTION: Final = re.compile(
    r"<dc:description>\s{0,99}<rdf:Alt>\s{0,99}<rdf:li[^>]{0,99}>([^<]+)</rdf:li>"
)


@dataclass(frozen=True)
class Drawn:
    """What a picture was drawn from. `created` is Unix time, `width` and `height` are pixels.

    `references` are the contents of what it went on from, a sha256 each or the word `link`;
    `sha256` is the picture's own, where it is an ancestor. `lineage` are its ancestors, nearest
    first, each without its own. `source` says where it was read; a stranger's `aspect_ratio` and
    `output_format` may be empty.
    """

    prompt: str
    aspect_ratio: str = ""
    output_format: str = ""
    references: tuple[str, ...] = ()
    created: float | None = None
    task_id: str = ""
    model: str = MODEL
    width: int = 0
    height: int = 0
    sha256: str = ""
    lineage: tuple[Drawn, ...] = ()
    source: Literal["file", "sidecar", "parameters"] = "file"


def embed(data: bytes, drawn: Drawn) -> bytes:
    """The same picture with what it was drawn from in it, in place of what was there before.

    Pixels and all else stay byte for byte. What is no PNG, JPEG or WebP, or not as these should be,
    comes back as it is.
    """
    try:
        return containers.write(data, _parameters(drawn), _note(drawn))
    except ValueError:
        return data


def read(data: bytes) -> Drawn | None:
    """What a picture's own bytes say, in our words or in those of other tools."""
    return read_ours(data) or read_theirs(data)


def read_ours(data: bytes) -> Drawn | None:
    """What we have put into a picture; None for what is not ours or makes no sense."""
    for keyword, text in containers.read(data):
        if keyword == containers.NOTE and (found := _from_note(text)) is not None:
            return found
    return None


def read_theirs(data: bytes) -> Drawn | None:
    """The prompt that another tool has put into a picture, with what settings we share."""
    for keyword, text in containers.read(data):
        reader = _READERS.get(keyword)
        if reader is not None and (found := reader(text)) is not None:
            return found
    return None


def read_file(file: Path) -> Drawn | None:
    """What a picture says, else what stands beside it, else what another tool has put into it."""
    data = read_bytes(file)
    return read_ours(data) or _beside(file) or read_theirs(data)


def read_bytes(file: Path) -> bytes:
    """The bytes of a file; none of one that is too large, cannot be read or is no plain file."""
    try:
        if file.is_file() and file.stat().st_size <= MAX_FILE:
            return file.read_bytes()
    except (OSError, ValueError):
        pass
    return b""


def _beside(file: Path) -> Drawn | None:
    found = read_sidecar(file.with_suffix(".json"))
    if not isinstance(found, Sidecar) or found.file != file:
        return None
    request = found.request
    return Drawn(
        request.prompt,
        request.aspect_ratio,
        request.output_format,
        tuple(one if _SHA256.fullmatch(one) else A_LINK for one in found.references),
        found.created,
        found.task_id,
        width=found.width,
        height=found.height,
        sha256=found.sha256,
        source="sidecar",
    )


# Our own text.


def _note(drawn: Drawn) -> str:
    """All of it as JSON, with as many ancestors as there is room for."""
    for count in range(min(len(drawn.lineage), MAX_LINEAGE), -1, -1):
        fields = {"software": "nanobanana_nb", "format": FORMAT, **_fields(drawn)}
        if count:
            fields["lineage"] = [_fields(one) for one in drawn.lineage[:count]]
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        data = text.encode("utf-8", "backslashreplace")
        if len(data) <= MAX_NOTE:
            return data.decode()
    raise ValueError("the prompt is too long")


def _fields(drawn: Drawn) -> dict[str, Any]:
    fields = {
        "prompt": drawn.prompt,
        "aspect_ratio": drawn.aspect_ratio,
        "output_format": drawn.output_format,
        "model": drawn.model,
        "created": drawn.created,
        "task_id": drawn.task_id,
        "width": drawn.width,
        "height": drawn.height,
        "sha256": drawn.sha256,
        "references": [one if _SHA256.fullmatch(one) else A_LINK for one in drawn.references],
    }
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def _from_note(text: str) -> Drawn | None:
    found = _loads(text)
    if not isinstance(found, dict) or found.get("software") != "nanobanana_nb":
        return None
    own = _drawn(found)
    ancestors = found.get("lineage", [])
    if own is None or type(found.get("format")) is not int or not isinstance(ancestors, list):
        return None
    lineage = [_drawn(one) for one in ancestors[:MAX_LINEAGE]]
    return replace(own, lineage=tuple(one for one in lineage if one is not None))


def _drawn(found: object) -> Drawn | None:
    """One picture of our text, if each of its values is one that it can have."""
    if not isinstance(found, dict):
        return None
    prompt, created = found.get("prompt"), found.get("created")
    ratio, kind = found.get("aspect_ratio"), found.get("output_format")
    references = found.get("references", [])
    texts = {name: found.get(name, "") for name in ("task_id", "model", "sha256")}
    sides = {name: found.get(name, 0) for name in ("width", "height")}
    good = (
        _is_text(prompt, MAX_PROMPT)
        and bool(prompt)
        and ratio in ASPECT_RATIOS
        and kind in OUTPUT_FORMATS
        and (created is None or _is_moment(created))
        and all(_is_text(value, 200) for value in texts.values())
        and all(type(value) is int and 0 <= value < 10**6 for value in sides.values())
        and isinstance(references, list)
        and len(references) <= _FEW
        and all(_is_text(one, 64) for one in references)
    )
    if not good:
        return None
    return Drawn(str(prompt), str(ratio), str(kind), tuple(references), created, **texts, **sides)


def _is_text(value: object, length: int) -> bool:
    """Text that can be sent as it is: not too long, no half of a surrogate pair."""
    return (
        isinstance(value, str) and len(value) <= length and not re.search("[\ud800-\udfff]", value)
    )


def _is_moment(value: object) -> bool:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and math.isfinite(value) and 0 <= value < _YEAR_9999  # type: ignore[arg-type, operator]


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


# The text of the common tools: the prompt, and a last line of settings.


def _parameters(drawn: Drawn) -> str:
    """The prompt and our settings as AUTOMATIC1111 writes its own, so that such tools show them."""
    prompt = drawn.prompt.replace("\0", " ").encode("utf-8", "replace").decode()
    size = f"{drawn.width}x{drawn.height}" if drawn.width and drawn.height else ""
    pairs = {
        "Size": size,
        "Model": drawn.model,
        "Aspect ratio": drawn.aspect_ratio,
        "Format": drawn.output_format,
    }
    settings = ", ".join(
        f"{name}: {protocol.clean(value, 80).replace(',', ' ')}"
        for name, value in pairs.items()
        if value
    )
    return f"{prompt}\n{settings}"


def _from_comment(text: str) -> Drawn | None:
    """A comment with a line of settings; any other is no prompt."""
    return _from_parameters(text) if _settings_of(_lines(text))[1] else None


def _from_parameters(text: str) -> Drawn | None:
    """The prompt above the settings; some tools have only a prompt, or JSON (SwarmUI)."""
    if text.lstrip().startswith("{") and isinstance(found := _loads(text), dict):
        inner = found.get("sui_image_params")
        return _theirs(inner.get("prompt") if isinstance(inner, dict) else None)
    lines = _lines(text)
    number, pairs = _settings_of(lines)
    return _theirs(_above(lines[:number]), _ratio_in(pairs), pairs.get("Format", ""))


def _lines(text: str) -> list[str]:
    return text.strip().split("\n")


def _settings_of(lines: list[str]) -> tuple[int, dict[str, str]]:
    """The last line of settings: where it is, and what it says; at the end if there is none."""
    for number in range(len(lines) - 1, max(-1, len(lines) - _FEW), -1):
        pairs = _pairs(lines[number])
        if len(pairs) >= 3 or "Steps" in pairs:
            return number, pairs
    return len(lines), {}


def _pairs(line: str) -> dict[str, str]:
    if len(line) > _LINE or not re.match(r"[A-Z][\w /-]{0,40}: ", line):
        return {}
    return {key: value.strip().strip('"') for key, value in _PAIR.findall(line)}


def _above(lines: list[str]) -> str:
    """The prompt, without what was not wanted in the picture."""
    starts = [n for n, line in enumerate(lines) if line.startswith("Negative prompt:")]
    return "\n".join(lines[: starts[0]] if starts else lines)


def _ratio_in(pairs: Mapping[str, str]) -> str:
    """The ratio that is named, or that of the size if it is exactly one of ours."""
    if (named := pairs.get("Aspect ratio", "")) in ASPECT_RATIOS:
        return named
    size = re.fullmatch(r"(\d{1,6})x(\d{1,6})", pairs.get("Size", ""))
    if size is None:
        return ""
    width, height = map(int, size.groups())
    for ratio in ASPECT_RATIOS:
        across, _, down = ratio.partition(":")
        if down and width * int(down) == height * int(across) > 0:
            return ratio
    return ""


def _theirs(prompt: object, ratio: str = "", kind: str = "") -> Drawn | None:
    """What a stranger's file says, with what of it we have a use for."""
    if not isinstance(prompt, str):
        return None
    text = prompt.replace("\0", " ").encode("utf-8", "replace").decode().strip()
    if not text:
        return None
    return Drawn(
        text,
        ratio if ratio in ASPECT_RATIOS else "",
        kind if kind in OUTPUT_FORMATS else "",
        model="",
        source="parameters",
    )


def _from_invokeai(text: str) -> Drawn | None:
    found = _loads(text)
    return _theirs(found.get("positive_prompt")) if isinstance(found, dict) else None


def _from_comfyui(text: str) -> Drawn | None:
    """The text that leads to what is wanted in the picture, in ComfyUI's graph of nodes."""
    nodes = _loads(text)
    if not isinstance(nodes, dict):
        return None
    ends = [_inputs(node).get("positive") for node in nodes.values()]
    texts = (_text_behind(nodes, end) for end in ends if end is not None)
    return _theirs(next((found for found in texts if found), None) or _any_text(nodes))


def _inputs(node: object) -> Mapping[str, Any]:
    inputs = node.get("inputs") if isinstance(node, dict) else None
    return inputs if isinstance(inputs, dict) else {}


def _text_behind(nodes: Mapping[str, Any], end: object) -> str:
    """Follow a link of the graph (the name of a node, and a number) to a text."""
    for _ in range(_FEW):
        if isinstance(end, str):
            return end
        if not isinstance(end, list) or not end or not isinstance(end[0], str | int):
            return ""
        inputs = _inputs(nodes.get(str(end[0])))
        end = next((inputs[key] for key in _LEADS if key in inputs), None)
    return ""


_LEADS: Final = ("text", "positive", "string", "prompt", "conditioning", "value")


def _any_text(nodes: Mapping[str, Any]) -> str:
    texts = (_inputs(node).get("text") for node in nodes.values())
    return next((text for text in texts if isinstance(text, str) and text.strip()), "")


def _from_description(text: str) -> Drawn | None:
    """A description with Midjourney's options behind it; any other is no prompt."""
    end = _MIDJOURNEY.search(text[:_LINE])
    if end is None:
        return None
    ratio = _ALSO_RATIO.search(text[:_LINE])
    return _theirs(text[: end.start()], ratio[1] if ratio else "")


def _from_xmp(text: str) -> Drawn | None:
    found = _XMP_DESCRIPTION.search(text)
    return _from_description(html.unescape(found[1])) if found else None


_READERS: Final[dict[str, Callable[[str], Drawn | None]]] = {
    containers.PARAMETERS: _from_parameters,
    containers.COMMENT: _from_comment,
    "invokeai_metadata": _from_invokeai,
    "prompt": _from_comfyui,
    containers.DESCRIPTION: _from_description,
    containers.XMP: _from_xmp,
}
