"""Replay before spending: under which key a cell or a batch finds again what it drew earlier."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from .cells import Cell, next_ordinal
from .models import ImageRequest
from .rows import Account


def key(cell: Cell, request: ImageRequest, references: Sequence[str], account: Account) -> str:
    """The key of the next request that a cell makes; equal ones are told apart by their order."""
    shared = key_at([cell.folder, cell.source, cell.twin], request, references, account)
    return _digest([shared, next_ordinal(cell, shared)])


def key_at(
    place: Sequence[object], request: ImageRequest, references: Sequence[str], account: Account
) -> str:
    """The key of a request at some place, whatever says where that is.

    `references` say by their content what pictures there are to go by, because links change.
    """
    wanted = [request.prompt, request.aspect_ratio, request.output_format, *references]
    whose = [account.origin, account.mark]
    return _digest([*place, wanted, whose])


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
