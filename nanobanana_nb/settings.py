"""Settings and where they come from; with `keys` the only reader of the environment."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import platformdirs

from . import keys, links
from .errors import ConfigError, RequestError
from .keys import Found, Secret

BASE_URL: Final = "https://api.apixo.ai"
_TEXTS: Final = {
    "APIXO_BASE_URL": "base_url",
    "NANOBANANA_SANDBOX": "sandbox",
    "NANOBANANA_BUDGET": "budget",
    "NANOBANANA_CALLBACK_URL": "callback_url",
}
"""Variables of the environment whose text is taken as it is."""
DRIVE: Final = Path("/content/drive/MyDrive/nanobanana")
"""Where copies go in Colab, unless something else is said: there a Drive is mounted."""
_NO: Final = ("", "0", "false", "no", "off")
SandboxMode = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class Settings:
    """How the toolkit works. `Settings.load()` reads what is not given from the environment.

    `home` holds the ledger, `pictures` the image files. `deadline`, `timeout` (for one
    answer of the API; a submit gets four times that) and `backoff` (before the second try) are
    seconds. So are `first_poll` and `poll_interval`: with them tasks are looked at as they say,
    without them first as the API's page asks (10, then every 3), and then when the tasks before
    say that it is worth it. `sandbox` says when to draw offline: `auto` (no key, in IPython),
    `always` or `never`. `budget` is US dollars a day for this home, across kernels; None is no cap.
    `task_retries` says how often a task that the model failed at is drawn again, each time at its
    price. `resend` says whether a submit to which the API itself answers 500, 502 or 503 is sent
    again: it assumes that such an answer means that no task was made, as the API's page does.
    `publish` says where pictures of this machine are put for the API to fetch: a folder as fsspec
    writes it (`s3://bucket/folder`), whose file system signs links, or that can be read by all
    under the https address `publish_base`; or a function that is given a file and returns its
    link, or `module:function`. `callback_url` is the public https address at which `nanobanana
    listen` is reached: with it the API is asked to call when a task has ended, and looking is only
    for when it does not. `styles` is the file of named styles. `embed` puts prompt and
    settings into the pictures themselves. `mirror` is a folder for copies of all pictures, inside
    one that is there, such as a mounted drive's: in Colab that of the user's Drive. `found` says
    which source gave the key, and why others gave none.
    """

    api_key: Secret | None = None
    base_url: str = BASE_URL
    home: Path = field(default_factory=lambda: platformdirs.user_data_path("nanobanana_nb"))
    pictures: Path = field(default_factory=lambda: platformdirs.user_pictures_path() / "nanobanana")
    first_poll: float | None = None
    poll_interval: float | None = None
    deadline: float = 900.0
    timeout: float = 30.0
    backoff: float = 1.0
    sandbox: SandboxMode = "auto"
    budget: Decimal | None = None
    task_retries: int = 0
    resend: bool = True
    publish: str | Callable[[Path], str] | None = field(default=None, repr=False)
    publish_base: str = ""
    callback_url: str = ""
    styles: Path | None = None
    embed: bool = False
    mirror: Path | None = None
    found: Found = field(default=Found(), repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _checked_base_url(self.base_url))
        self._check_key()
        self._check_mirror()
        object.__setattr__(self, "callback_url", self._checked_callback_url())
        if self.sandbox not in ("auto", "always", "never"):
            raise ConfigError(f"NANOBANANA_SANDBOX is {self.sandbox!r}; use auto, always or never.")
        object.__setattr__(self, "budget", read_budget(self.budget))
        if not isinstance(self.task_retries, int) or not 0 <= self.task_retries <= 5:
            raise ConfigError(f"task_retries is {self.task_retries!r}; give a number from 0 to 5.")
        for name in ("first_poll", "poll_interval", "deadline", "timeout", "backoff"):
            value = getattr(self, name)
            if value is None and name in ("first_poll", "poll_interval"):
                continue
            if not 0 <= value < 86_400 or (name == "timeout" and not value):
                raise ConfigError(f"{name} is {value!r}; give seconds from 0 to a day.")

    @classmethod
    def load(cls, **given: Any) -> Settings:
        """Settings from the arguments, else the environment, else defaults; the key may also be
        one of Colab Secrets or of the keyring."""
        return cls._loaded(given, Found())

    def loaded_again(self) -> Settings:
        """As `load()`; but a source that kept us waiting for nothing is not asked again, and a key
        that was stored somewhere is not looked for again."""
        return self._loaded({}, self.found)

    @classmethod
    def _loaded(cls, given: dict[str, Any], before: Found) -> Settings:
        if "api_key" not in given:
            settings = cls(**(_from_environment() | given))
            found = settings._look_for_key(before)
            return replace(settings, api_key=found.key, found=found)
        if isinstance(given["api_key"], str):
            given["api_key"] = Secret(given.pop("api_key"))
        return cls(**(_from_environment() | given))

    def _look_for_key(self, before: Found) -> Found:
        """A key that is stored belongs to the default API: no other one is given it."""
        found = keys.in_environment()
        if found.key is not None or self.sandbox == "always":
            return found
        if self.base_url != BASE_URL:
            return keys.not_asked(self.base_url)
        return keys.in_stores(before)

    def _check_key(self) -> None:
        if isinstance(self.api_key, str):  # it would show
            object.__setattr__(self, "api_key", Secret(self.api_key))
        if self.api_key is not self.found.key:
            source: keys.Source = "" if self.api_key is None else "an argument"
            object.__setattr__(self, "found", Found(self.api_key, source))
        if self.found.source in keys.STORES and self.base_url != BASE_URL:
            raise ConfigError(
                f"The key in {self.found.source} is for {BASE_URL} only, so nothing is sent to "
                f"{self.base_url}; give api_key as well."
            )

    def _check_mirror(self) -> None:
        if self.mirror is not None:
            object.__setattr__(self, "mirror", Path(self.mirror).expanduser().absolute())
            if not self.mirror.name:
                raise ConfigError(
                    f"NANOBANANA_MIRROR is {str(self.mirror)!r}; give a folder in it, or off."
                )

    def _checked_callback_url(self) -> str:
        if not self.callback_url:
            return ""
        here = links.is_loopback(links.split(self.base_url).hostname)
        try:
            return links.check_callback(self.callback_url, loopback_allowed=here)
        except RequestError as error:
            raise ConfigError(f"NANOBANANA_CALLBACK_URL cannot be used: {error}") from None

    @property
    def ledger(self) -> Path:
        """The file of the ledger."""
        return self.home / "ledger.sqlite3"

    @property
    def without_key(self) -> str:
        """What to say where there is no key: how to set one, and what the sources said."""
        told = (f"There is no API key. {keys.HOW_TO_SET_THE_KEY}.", *self.found.remarks)
        return " ".join(map(str, told))

    def refreshed(self) -> Settings:
        """The same with what the environment says by now of publishing, styles, embedding and the
        mirror."""
        return replace(self, **_late())

    def check_writable(self) -> None:
        """Raises `ConfigError` unless ledger and pictures have a place that can be written."""
        for folder in (self.home, self.pictures):
            try:
                _make_folder(folder, private=folder == self.home)
                probe = folder / f".write-test-{secrets.token_hex(4)}"
                probe.touch()
                probe.unlink()
            except OSError as error:
                raise ConfigError(
                    f"Pictures and history cannot be kept in {folder} ({error.strerror}), so "
                    "nothing was sent; set NANOBANANA_HOME to a folder that can be written."
                ) from None


def _from_environment() -> dict[str, Any]:
    # No variable ever holds the whole environment: a traceback may show what stands in variables.
    found: dict[str, Any] = {
        field: os.environ[name] for name, field in _TEXTS.items() if os.environ.get(name)
    }
    if home := os.environ.get("NANOBANANA_HOME"):
        found["home"] = Path(home).expanduser()
        found["pictures"] = found["home"] / "pictures"
    found |= _late()
    for name in ("first_poll", "poll_interval"):
        if text := os.environ.get(f"NANOBANANA_{name.upper()}"):
            found[name] = _seconds(name, text)
    return found


def _late() -> dict[str, Any]:
    """What people come to set in the notebook, where they first need it."""
    styles, embed = os.environ.get("NANOBANANA_STYLES"), os.environ.get("NANOBANANA_EMBED", "")
    return {
        "publish": os.environ.get("NANOBANANA_PUBLISH") or None,
        "publish_base": os.environ.get("NANOBANANA_PUBLISH_BASE", ""),
        "styles": Path(styles).expanduser() if styles else None,
        "embed": embed.strip().lower() not in _NO,
        "mirror": _mirror(os.environ.get("NANOBANANA_MIRROR")),
    }


def _mirror(said: str | None) -> Path | None:
    """The folder for copies that was said, where there is one; else the Drive's, in Colab."""
    if said is None:
        return DRIVE if keys.in_colab() else None
    return None if said.strip().lower() in _NO else Path(said.strip())


def read_budget(value: Any) -> Decimal | None:
    """US dollars a day from a number or text such as "$2.50"; None or nothing: no cap."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        budget = Decimal(str(value).strip().removeprefix("$"))
    except InvalidOperation:
        budget = Decimal("NaN")
    if not budget.is_finite() or budget < 0:
        raise ConfigError(
            f"The budget (NANOBANANA_BUDGET) is {value!r}; give US dollars a day, such as 2.50."
        )
    return budget


def _seconds(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            f"NANOBANANA_{name.upper()} is {text!r}; give a number of seconds."
        ) from None


def _make_folder(folder: Path, *, private: bool) -> None:
    """The folder, with all that it lies in; what is made anew is for this user alone if private."""
    if folder.is_dir():
        return
    if private and not folder.parent.is_dir():
        _make_folder(folder.parent, private=True)
    folder.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)


def _checked_base_url(url: str) -> str:
    try:
        links.check(url, loopback_allowed=True)
    except RequestError as error:
        raise ConfigError(f"The API's base URL cannot be used: {error}") from None
    return (
        urlsplit(url)._replace(query="", fragment="").geturl().rstrip("/").removesuffix("/api/v1")
    )
