"""The last part of a callback's address: which attempt it is about, and that the address is ours.

Nobody can guess one, and the receiver tells a wrong one without looking anything up.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

CHECK: Final = "check"
"""In place of an attempt's id, in a token that only shows who listens."""


def mint(secret: str, attempt_id: str) -> str:
    """The token of an attempt, made with the secret of its home."""
    seal = hmac.new(secret.encode(), attempt_id.encode(), hashlib.sha256).hexdigest()
    return f"{attempt_id}-{seal}"


def read(secret: str, token: str) -> str | None:
    """The attempt that a token is about; None if it was not made with this secret."""
    attempt_id, _, _ = token.partition("-")
    genuine = mint(secret, attempt_id).encode() if attempt_id.isascii() else b""
    return attempt_id if hmac.compare_digest(genuine, token.encode(errors="replace")) else None
