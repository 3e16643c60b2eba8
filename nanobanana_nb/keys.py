"""The API key: a type that never prints, and where a key is looked for.

In this order: the environment, Colab's Secrets, the keyring. Whoever asks these two may be kept
waiting by a person, so neither is asked for longer than ten seconds, nor twice after that.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

from .errors import ConfigError

KEY_NAME: Final = "APIXO_API_KEY"
"""The name of the environment variable, of the Secret of Colab, and of the user in the keyring."""
KEYRING_SERVICE: Final = "nanobanana_nb"
HOW_TO_SET_THE_KEY: Final = (
    f"Set the environment variable {KEY_NAME} (in Colab: a Secret of that name), or call nb.login()"
)
KEY_OPTIONS: Final = frozenset({"--key", "--apikey", "--api-key", "--api_key"})
"""What people may try, and what is no option anywhere: cells and command lines are kept."""
PATIENCE: Final = 10.0
"""Seconds for an answer of the keyring, which may ask a person; Colab's own limit is the same."""
NOTICED: Final = 3.0
"""Seconds; who took longer to say that there is no key is not asked again."""

_LIKE_A_KEY: Final = 12
"""Letters; a shorter one, such as a test's, may be a word that means something else."""
Source = Literal["", "an argument", "the environment", "Colab Secrets", "the keyring"]
STORES: Final = ("Colab Secrets", "the keyring")
"""The sources that keep a key for the default API, and for no other."""


class Secret:
    """An API key that never prints, never pickles and is read only by `reveal()`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value or not value.isascii() or not value.isprintable() or set(value) & set(" '\""):
            del value  # tracebacks can show what stands in variables
            raise ConfigError(
                "The API key is empty or holds a blank, line break, quote or foreign character; "
                "copy just the key, without quotes or 'Bearer'."
            )
        self._value = value

    def reveal(self) -> str:
        """The key itself, for the Authorization header and nothing else."""
        return self._value

    def hidden_in(self, text: bytes) -> bytes:
        """What somebody else says, without the key that they may repeat in it."""
        told = len(self._value) >= _LIKE_A_KEY and self._value.encode() in text
        return text.replace(self._value.encode(), b"***") if told else text

    @property
    def account(self) -> str:
        """A short one-way mark of the key, by which tasks of one account are told from others'."""
        return hashlib.sha256(f"nanobanana_nb {self._value}".encode()).hexdigest()[:12]

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key cannot be pickled")


@dataclass(frozen=True)
class Remark:
    """Why a source gave no key, and what to do. A `lasting` one kept us waiting for nothing: it is
    not asked again before the kernel is started anew."""

    source: str
    text: str
    lasting: bool = False

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Found:
    """The key, which source gave it, and what others had to say."""

    key: Secret | None = None
    source: Source = ""
    remarks: tuple[Remark, ...] = ()


def in_environment() -> Found:
    """The key of the environment. Raises `ConfigError` where it can be none."""
    return Found(Secret(_variable()), "the environment") if _variable() else Found()


def in_stores(before: Found) -> Found:
    """The key that Colab's Secrets or else the keyring keeps, if any; one found `before` holds."""
    if before.key is not None and before.source in STORES:
        return before
    known = {remark.source: remark for remark in before.remarks}
    remarks: list[Remark] = []
    for source, ask in _STORES.items():
        earlier = known.get(source)
        answer = earlier if earlier is not None and earlier.lasting else ask()
        if isinstance(answer, Secret):
            return Found(answer, source, tuple(remarks))
        if answer is not None:
            remarks.append(answer)
    return Found(remarks=tuple(remarks))


def not_asked(base_url: str) -> Found:
    """No key: those that are stored were not stored for this API."""
    if not in_colab() and not _keyring_is_there():
        return Found()
    text = (
        "Keys in Colab Secrets and in the keyring are for the API of APIXO itself and were not "
        f"looked for; give the key for {base_url} as {KEY_NAME} in the environment."
    )
    return Found(remarks=(Remark("stored keys", text),))


def in_colab() -> bool:
    """Whether this is a notebook of Google Colab."""
    return "google.colab" in sys.modules


def _variable() -> str:
    return os.environ.get(KEY_NAME, "")


def _ask_colab() -> Secret | Remark | None:
    """Colab's Secrets, through the browser; `userdata.get` gives up after 10 s."""
    if not in_colab():
        return None
    if threading.current_thread() is not threading.main_thread():
        text = (  # its answer comes over a socket that belongs to the main thread
            "Colab Secrets are asked by a cell only, not from another thread: draw once in a cell, "
            "or call nb.login()."
        )
        return Remark("Colab Secrets", text)
    try:
        from google.colab import userdata

        return _kept(userdata.get(KEY_NAME), "Colab Secrets")
    except Exception as error:  # noqa: BLE001 - its own types share no base class
        kind = type(error).__name__
        text = _COLAB_SAYS.get(kind, f"Colab Secrets gave no key ({kind}).")
        return Remark("Colab Secrets", text, lasting=kind == "TimeoutException")


_COLAB_SAYS: Final = {
    "SecretNotFoundError": (
        f"There is no Secret {KEY_NAME} in Colab: add one (the key symbol at the left) and give "
        "this notebook access to it."
    ),
    "NotebookAccessError": (
        f"This notebook has no access to the Secret {KEY_NAME}: switch it on at the key symbol at "
        "the left, then run the cell again."
    ),
    "TimeoutException": (
        "Colab Secrets did not answer within 10 s, as where no browser is open, and are not asked "
        f"again before a restart: set {KEY_NAME} in the environment, or call nb.login()."
    ),
}


def _keyring_is_there() -> bool:
    return importlib.util.find_spec("keyring") is not None


def _ask_keyring() -> Secret | Remark | None:
    """The keyring, on a thread of its own: its dialogue to be unlocked may stay open for ever."""
    if not _keyring_is_there():
        return None
    answers: queue.SimpleQueue[Secret | Remark | None] = queue.SimpleQueue()
    asking = threading.Thread(
        target=lambda: answers.put(_look_into_keyring()), name="nanobanana_nb-keyring", daemon=True
    )
    began = time.monotonic()
    asking.start()
    try:
        answer = answers.get(timeout=PATIENCE)
        if answer is None and time.monotonic() - began > NOTICED:
            text = f"The keyring, which took its time, has no {KEY_NAME}; it is not asked again."
            return Remark("the keyring", text, lasting=True)
        return answer
    except queue.Empty:
        text = (
            f"The keyring did not answer within {PATIENCE:.0f} s (does it wait to be unlocked?) "
            f"and is not asked again: unlock it and start anew, or set {KEY_NAME}."
        )
        return Remark("the keyring", text, lasting=True)


def _look_into_keyring() -> Secret | Remark | None:
    try:
        import keyring

        return _kept(keyring.get_password(KEYRING_SERVICE, KEY_NAME), "the keyring")
    except Exception as error:  # noqa: BLE001 - a machine without a keyring has many ways to say so
        if type(error).__name__ != "KeyringLocked":
            return None
        text = (
            f"The keyring is locked and gave no key: unlock it and start anew, or set {KEY_NAME}."
        )
        return Remark("the keyring", text, lasting=True)  # each time it would open its dialogue


def _kept(value: str | None, source: str) -> Secret | Remark | None:
    if not value:
        return None
    try:
        return Secret(value)
    except ConfigError as error:
        return Remark(source, f"What {source} kept as {KEY_NAME} was not used. {error}")


_STORES: Final[dict[Source, Callable[[], Secret | Remark | None]]] = {
    "Colab Secrets": _ask_colab,
    "the keyring": _ask_keyring,
}
