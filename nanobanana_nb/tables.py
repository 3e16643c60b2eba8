"""Results as a pandas table: a row for each, the same columns wherever it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from . import links
from .errors import RequestError
from .results import Generation

_TYPES: Final = {
    "created": "",
    "prompt": "str",
    "aspect_ratio": "str",
    "output_format": "str",
    "image_urls": "object",
    "state": "str",
    "cost": "float64",
    "seconds": "float64",
    "width": "Int64",
    "height": "Int64",
    "path": "object",
    "url": "object",
    "task_id": "str",
    "id": "str",
    "starred": "bool",
    "note": "str",
    "error": "str",
}


def frame(
    generations: Sequence[Generation], first: Mapping[str, Sequence[Any]] | None = None
) -> Any:
    """A pandas DataFrame with a row for each; `created` in UTC, `cost` in US dollars.

    `first` are columns to stand before the others, by name; a name that is taken already gets
    `_axis` behind it. Raises `RequestError` where there is no pandas.
    """
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        raise RequestError("to_pandas() needs pandas; run %pip install pandas.") from None
    table = pandas.DataFrame([_columns(one) for one in generations], columns=list(_TYPES))
    table["created"] = pandas.to_datetime(table["created"], utc=True)
    table = table.astype({name: kind for name, kind in _TYPES.items() if kind})
    for place, (name, values) in enumerate((first or {}).items()):
        table.insert(place, _free(name, table.columns), list(values))
    return table


def _free(name: str, taken: Any) -> str:
    """The name itself, or one like it that no column has."""
    while name in taken:
        name += "_axis"
    return name


def _columns(one: Generation) -> dict[str, Any]:
    picture = one.images[0] if one.images else None
    return {
        "created": one.created,
        "prompt": one.prompt,
        "aspect_ratio": one.request.aspect_ratio,
        "output_format": one.request.output_format,
        "image_urls": [links.bare(url) for url in one.request.image_urls],
        "state": one.standing,
        "cost": float(one.cost),
        "seconds": one.seconds,
        "width": picture.width if picture else None,
        "height": picture.height if picture else None,
        "path": str(picture.path) if picture else None,
        "url": picture.url if picture else None,
        "task_id": one.task_id,
        "id": one.id,
        "starred": one.starred,
        "note": one.remark,
        "error": str(one.error or ""),
    }
