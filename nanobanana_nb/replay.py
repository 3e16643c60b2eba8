"""Replay before spending: under which key a cell finds again what it drew in an earlier run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from .cells import Cell, next_ordinal
from .models import ImageRequest
from .rows import Account


def key(cell: Cell, request: ImageRequest, references: Sequence[str], account: Account) -> str:
    """The key of the next request that a cell makes; equal ones are told apart by their order.

    `references` say by their content what pictures there are to go by, because links change.
    """
    place = [cell.folder, cell.source, cell.twin]
    wanted = [request.prompt, request.aspect_ratio, request.output_format, *references]
    whose = [account.origin, account.mark]
    shared = _digest([*place, wanted, whose])
    return _digest([shared, next_ordinal(cell, shared)])


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
