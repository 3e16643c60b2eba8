"""Settings and where they come from; the only reader of the environment and of Colab Secrets."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, Literal, NoReturn
from urllib.parse import urlsplit

import platformdirs

from . import links
from .errors import ConfigError, RequestError

KEY_NAME: Final = "APIXO_API_KEY"
BASE_URL: Final = "https://api.apixo.ai"
HOW_TO_SET_THE_KEY: Final = (
    f"Set the environment variable {KEY_NAME} (in Colab: a Secret of that name), or call nb.login()"
)
_TEXTS: Final = {
    "APIXO_BASE_URL": "base_url",
    "NANOBANANA_SANDBOX": "sandbox",
    "NANOBANANA_BUDGET": "budget",
    "NANOBANANA_CALLBACK_URL": "callback_url",
}
"""Variables of the environment whose text is taken as it is."""
SandboxMode = Literal["auto", "always", "never"]


class Secret:
    """An API key that never prints, never pickles and is read only by `reveal()`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value or not value.isascii() or not value.isprintable() or set(value) & set(" '\""):
            raise ConfigError(
                "The API key is empty or holds a blank, line break, quote or foreign character; "
                "copy just the key, without quotes or 'Bearer'."
            )
        self._value = value

    def reveal(self) -> str:
        """The key itself, for the Authorization header and nothing else."""
        return self._value

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
    settings into the pictures themselves.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _checked_base_url(self.base_url))
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
        """Settings from the arguments, else the environment, else Colab Secrets, else defaults."""
        if isinstance(given.get("api_key"), str):
            given["api_key"] = Secret(given["api_key"])
        return cls(**(_from_environment() | given))

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

    def with_key(self, key: str) -> Settings:
        """The same settings with another key."""
        return replace(self, api_key=Secret(key))

    def refreshed(self) -> Settings:
        """The same with what the environment says by now of publishing, styles and embedding."""
        return replace(self, **_late())

    def check_writable(self) -> None:
        """Raises `ConfigError` unless ledger and pictures have a place that can be written."""
        for folder in (self.home, self.pictures):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                probe = folder / f".write-test-{secrets.token_hex(4)}"
                probe.touch()
                probe.unlink()
            except OSError as error:
                raise ConfigError(
                    f"Pictures and history cannot be kept in {folder} ({error.strerror}), so "
                    "nothing was sent; set NANOBANANA_HOME to a folder that can be written."
                ) from None


def _from_environment() -> dict[str, Any]:
    env = os.environ
    found: dict[str, Any] = {}
    if key := env.get(KEY_NAME) or _colab_secret():
        found["api_key"] = Secret(key)
    found |= {field: env[name] for name, field in _TEXTS.items() if env.get(name)}
    if home := env.get("NANOBANANA_HOME"):
        found["home"] = Path(home).expanduser()
        found["pictures"] = found["home"] / "pictures"
    found |= _late()
    for name in ("first_poll", "poll_interval"):
        if text := env.get(f"NANOBANANA_{name.upper()}"):
            found[name] = _seconds(name, text)
    return found


def _late() -> dict[str, Any]:
    """What people come to set in the notebook, where they first need it."""
    env = os.environ
    styles, embed = env.get("NANOBANANA_STYLES"), env.get("NANOBANANA_EMBED", "")
    return {
        "publish": env.get("NANOBANANA_PUBLISH") or None,
        "publish_base": env.get("NANOBANANA_PUBLISH_BASE", ""),
        "styles": Path(styles).expanduser() if styles else None,
        "embed": embed.strip().lower() not in ("", "0", "false", "no", "off"),
    }


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


def in_colab() -> bool:
    """Whether this is a notebook of Google Colab."""
    return "google.colab" in sys.modules


def _colab_secret() -> str | None:
    """The key from Colab's Secrets, where there are any; asking may take 10 s without a browser."""
    if not in_colab():
        return None
    from google.colab import userdata

    try:
        return str(userdata.get(KEY_NAME))
    except Exception:  # noqa: BLE001 - Colab's three error types share no base class
        return None


def _checked_base_url(url: str) -> str:
    try:
        links.check(url, loopback_allowed=True)
    except RequestError as error:
        raise ConfigError(f"The API's base URL cannot be used: {error}") from None
    return (
        urlsplit(url)._replace(query="", fragment="").geturl().rstrip("/").removesuffix("/api/v1")
    )
