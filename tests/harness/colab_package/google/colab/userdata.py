"""Secrets, which the page holds and hands out to notebooks that a person has let in."""

import os
import re
import threading

from . import _message
from .errors import Error

_one_at_a_time = threading.Lock()


class NotebookAccessError(Exception):
    """The secret is there, but this notebook may not have it."""

    def __init__(self, key):
        super().__init__(f"Notebook does not have access to secret {key}")


class SecretNotFoundError(Error):
    """There is no such secret."""

    def __init__(self, key):
        super().__init__(f"Secret {key} does not exist.")


class TimeoutException(Error):
    """No page has answered."""

    def __init__(self, key):
        super().__init__(
            f"Requesting secret {key} timed out. Secrets can only be fetched when running from "
            "the Colab UI."
        )


def get(key):
    """The value of a secret; it blocks until the page has answered, for ten seconds at most."""
    if not key or not isinstance(key, str):
        raise ValueError("Please enter a valid secret name")
    if re.search(r"\s", key):
        raise ValueError("Secret name cannot contain spaces or whitespace")
    seconds = float(os.environ.get("COLAB_SECONDS", "10"))
    with _one_at_a_time:
        answer = _message.blocking_request("GetSecret", request={"key": key}, timeout_sec=seconds)
    if not answer:
        raise TimeoutException(key)
    if not answer.get("exists", False):
        raise SecretNotFoundError(key)
    if not answer.get("access", False):
        raise NotebookAccessError(key)
    return answer.get("payload", "")
