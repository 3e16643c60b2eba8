"""The user's variables, as far as they can stand for pictures."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ..results import Generation, Picture


def all_names() -> Mapping[str, Any]:
    """The user's variables."""
    ipython = sys.modules.get("IPython")
    found = ipython.get_ipython() if ipython is not None else None
    return found.user_ns if found is not None else {}


def of_pictures() -> list[str]:
    """The user's variables that are pictures."""
    kinds = (Generation, Picture)
    named = [name for name, value in list(all_names().items()) if isinstance(value, kinds)]
    return ["last", *(name for name in named if not name.startswith("_"))]
