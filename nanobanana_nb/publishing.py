"""Where pictures of this machine are put for the API to fetch: a place that the user has named.

Nothing is put anywhere else. fsspec, which knows the places, is imported on first use; its calls
block and belong on a thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from . import links, protocol
from .errors import ConfigError, RequestError

Where = str | Callable[[Path], str] | None

LINK_LIFE: Final = 86_400
"""Seconds that a signed link lives: as long as a result of the API."""
LINK_KEPT: Final = 600.0
"""Seconds in which the same picture gets the same link again."""
HOW_TO_PUBLISH: Final = (
    "Give an https link instead, or say where such pictures go: NANOBANANA_PUBLISH=s3://bucket/"
    "folder (or gs://, or any place that fsspec knows), or NANOBANANA_PUBLISH=module:function."
)
_SETTING: Final = "NANOBANANA_PUBLISH (Settings.publish)"
_PACKAGES: Final = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
}
_TYPES: Final = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_TYPE_OPTION: Final = {
    "s3": "ContentType",
    "s3a": "ContentType",
    "gs": "content_type",
    "gcs": "content_type",
}
"""What a file system calls the media type, where it can be told."""
_FUNCTION: Final = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")
_PRIVATE: Final = re.compile(
    r"(?<=//)[^\s?]*\?\S*@\S*"  # which of the two the ? is part of cannot be told: all of it
    r"|(?<=//)[^\s?]+@"
    r"|\?\S*[^\s\"').,;:\]]"  # but for the marks that end what is quoted
)
"""The query of an address, which may be a signature, and a name and password in it, up to the last
@, for a password may hold one, and a slash."""

_BEHIND_LINK: Final = re.compile(r"['\"] (is [^'\"]*)$")
"""What `links.check` has to say of a link, without the link itself."""


class Publisher:
    """Puts prepared pictures where the settings say and gives their links.

    `where` and `base` are `Settings.publish` and `Settings.publish_base`; a function may also be
    named, as `module:function`. `loopback_allowed`: the
    API is on this machine, and so may the links be. `clock` is monotonic.
    """

    def __init__(
        self,
        where: Where = None,
        base: str = "",
        *,
        loopback_allowed: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._where = where
        self._base = base.rstrip("/")
        self._loopback_allowed = loopback_allowed
        self._clock = clock
        self._lock = threading.Lock()
        self._links: dict[str, tuple[str, float]] = {}

    def __bool__(self) -> bool:
        """Whether anybody has said where pictures go."""
        return bool(self._where)

    def publish(self, file: Path) -> str:
        """The link to a picture, which is sent there if it is not there already; blocks.

        Raises `ConfigError` where the place cannot be used at all and `RequestError` where it
        failed, in one line, without a signature or password in it.
        """
        try:
            data = file.read_bytes()
        except OSError as error:
            raise RequestError(f"{file} cannot be read: {error.strerror or error}.") from None
        name = f"{hashlib.sha256(data).hexdigest()}{_suffix(data)}"
        with self._lock:  # of several that ask for the same picture, one sends it
            known, since = self._links.get(name, ("", 0.0))
            if known and self._clock() - since < LINK_KEPT:
                return known
            link = self._put(file, data, name)
            self._links[name] = (link, self._clock())
        return link

    def _put(self, file: Path, data: bytes, name: str) -> str:
        where = self._where
        if isinstance(where, str) and _FUNCTION.fullmatch(where):
            where = _function(where)
        if callable(where):
            return self._checked(_asked(where, file))
        if not where:
            raise RequestError(f"{file.name} is on this machine. {HOW_TO_PUBLISH}")
        return self._put_at(where, data, name)

    def _put_at(self, where: str, data: bytes, name: str) -> str:
        """Whole or not at all, and nothing before there is sure to be a link."""
        based = self._checked(f"{self._base}/{name}") if self._base else ""
        places, folder = _opened(where)
        path = f"{folder.rstrip('/')}/{name}"
        try:
            link = based or self._checked(_signed(places, path, where))
            if not _is_there(places, path, len(data)):
                _send(places, path, data, _options(where, name))
        except (ConfigError, RequestError):
            raise
        except Exception as error:  # noqa: BLE001 - every file system has errors of its own
            raise RequestError(
                f"The picture could not be put into {_shown(where)}, so nothing was sent to the "
                f"API: {_reason(error)}. Check {_SETTING}, its access keys and the network."
            ) from None
        return link

    def _checked(self, link: object) -> str:
        """A link that the API may be given, or the error that says what was published instead."""
        if not isinstance(link, str):
            raise RequestError(
                f"{_SETTING} gave a {type(link).__name__}; it must return the https link "
                "under which the file can be fetched."
            )
        try:
            links.check(link, loopback_allowed=self._loopback_allowed)
        except RequestError as error:
            found = _BEHIND_LINK.search(str(error))
            why = found[1] if found else "is none."
            raise RequestError(
                f"A published picture needs a public https link: {_shown(link)} {why}"
            ) from None
        return link


def _function(name: str) -> Callable[[Path], str]:
    """The function that `module:function` names; `__main__:function` is one of the notebook."""
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:
        raise ConfigError(
            f"{_SETTING} is {name}, which cannot be found: {_reason(error)}."
        ) from error
    if not callable(found):
        raise ConfigError(f"{_SETTING} is {name}, which is no function.")
    return found  # type: ignore[no-any-return]


def _asked(function: Callable[[Path], str], file: Path) -> str:
    try:
        return function(file)
    except Exception as error:
        raise RequestError(
            f"{_SETTING} failed for {file.name}, so nothing was sent to the API: {_reason(error)}."
        ) from error


def _opened(where: str) -> tuple[Any, str]:
    """The file system and the folder on it. A new one each time: its keys may have changed."""
    scheme, separator, _ = where.partition("://")
    if not separator or not scheme:
        raise ConfigError(
            f"{_SETTING} is {_shown(where)}; give a folder such as s3://bucket/folder."
        )
    package = _PACKAGES.get(scheme, "")
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise _not_installed(scheme, f"%pip install {package or 'fsspec'}") from None
    try:
        places, folder = url_to_fs(where, skip_instance_cache=True, **_arguments(scheme))
    except ImportError as error:
        todo = f"%pip install {package}" if package else _reason(error)
        raise _not_installed(scheme, todo) from None
    except Exception as error:  # noqa: BLE001 - every file system has errors of its own
        raise ConfigError(
            f"{_SETTING} is {_shown(where)}, which cannot be opened: {_reason(error)}."
        ) from None
    return places, folder


def _not_installed(scheme: str, todo: str) -> ConfigError:
    return ConfigError(f"{scheme}:// cannot be used yet: {todo}, then run this again.")


def _signed(places: Any, path: str, where: str) -> object:
    try:
        return places.sign(path, expiration=LINK_LIFE)
    except NotImplementedError:
        raise ConfigError(
            f"{_SETTING} is {_shown(where)}, which cannot sign links; set NANOBANANA_PUBLISH_BASE "
            "(Settings.publish_base) to the https address under which that folder can be read."
        ) from None


def _arguments(scheme: str) -> dict[str, Any]:
    if scheme in ("file", "local"):
        return {"auto_mkdir": True}
    if scheme in ("s3", "s3a"):  # links signed the old way, its default, fail at newer buckets
        from fsspec.config import conf

        given = conf.get("s3", {}).get("config_kwargs", {})
        return {"config_kwargs": {"signature_version": "s3v4", **given}}
    return {}


def _suffix(picture: bytes) -> str:
    """By what it is; its name may say anything."""
    return {b"\x89": ".png", b"\xff": ".jpg"}.get(picture[:1], ".webp")


def _options(where: str, name: str) -> dict[str, str]:
    option = _TYPE_OPTION.get(urlsplit(where).scheme)
    return {option: _TYPES[Path(name).suffix]} if option else {}


def _is_there(places: Any, path: str, size: int) -> bool:
    """Whether it was published before, whole; not, where we may write but not look."""
    try:
        return bool(places.info(path)["size"] == size)
    except (FileNotFoundError, PermissionError):
        return False


def _send(places: Any, path: str, data: bytes, options: dict[str, str]) -> None:
    """In one piece: a file that is opened and written keeps its half when that fails."""
    try:
        places.pipe_file(path, data, **options)
    except Exception:
        with contextlib.suppress(Exception):
            places.rm_file(path)
        raise


def _reason(error: Exception) -> str:
    told = protocol.clean(_without_secrets(str(error)), 200) or type(error).__name__
    return f"{told.rstrip('.')} ({type(error).__name__})"


def _shown(where: str) -> str:
    return repr(links.shorten(_without_secrets(where)))


def _without_secrets(text: str) -> str:
    return _PRIVATE.sub("…", text)
