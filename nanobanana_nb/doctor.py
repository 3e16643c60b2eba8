"""What is configured, what is reachable, what is pending, and what it would cost.

It spends nothing, asks the network for seconds at most, makes no home and no ledger, and never
says the key.
"""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import shutil
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

from . import accounting, links, pictures, presets, recalling, tokens
from .client import Client
from .display import money
from .errors import ConfigError, NanoBananaError, RequestError
from .keys import KEY_NAME, KEYRING_SERVICE
from .models import PRICE
from .results import short_path
from .rows import Spent
from .settings import Settings
from .telling import dollars, here
from .workshop import home_of, is_sandboxed, key_of

Mark = Literal["ok", "note", "wrong"]

PATIENCE: Final = 10.0
"""Seconds for all that is asked of the network."""
SECTIONS: Final = (
    "What is configured",
    "What is reachable",
    "What is pending",
    "What it would cost",
)
_CONFIGURED, _REACHABLE, _PENDING, _COST = SECTIONS
_EXTRAS: Final = {
    "keyring": ("keyring",),
    "lab": ("anywidget",),
    "nest": ("nest-asyncio",),
    "publish": ("s3fs",),
    "webhook": ("starlette", "uvicorn"),
}
_UNDER_WAY: Final = ("queued", "sending", "submitted", "parked", "ready", "fetching")


@dataclass(frozen=True)
class Check:
    """One line of the report: what was looked at, how it is, and what to do about it.

    `value` is the same for a program: US dollars are text.
    """

    section: str
    name: str
    mark: Mark
    text: str
    value: Any = None


async def examine(*, offline: bool = False) -> list[Check]:
    """Look at everything; with `offline` nobody on the network is asked."""
    versions = [*_versions()]
    try:
        settings = Settings.load()
    except (ConfigError, RequestError) as error:
        return [*versions, Check(_CONFIGURED, "settings", "wrong", here(error))]
    home = home_of(settings)
    checks = [*versions, *_settings(settings, home)]
    checks += await _reachable(settings, home, offline=offline)
    balance = next((Decimal(c.value) for c in checks if c.name == "balance" and c.value), None)
    try:
        counts, spent = await _counted(home)
    except NanoBananaError as error:
        return [*checks, Check(_PENDING, "ledger", "wrong", here(error))]
    checks += _pending(home, counts, spent)
    checks += _cost(settings, counts, spent, balance)
    return checks


def lines(checks: Sequence[Check]) -> Iterator[str]:
    """The report as text: sections, and in them a line for each check."""
    widest = max(len(check.name) for check in checks)
    for section in SECTIONS:
        those = [check for check in checks if check.section == section]
        if those:
            yield section
        for check in those:
            yield f"  {check.mark:<5}  {check.name:<{widest}}  {check.text}"


def document(checks: Sequence[Check]) -> dict[str, Any]:
    """The same for a program."""
    told = [
        {
            "section": check.section,
            "name": check.name,
            "mark": check.mark,
            "text": check.text,
            "value": check.value,
        }
        for check in checks
    ]
    return {"checks": told, "wrong": sum(check.mark == "wrong" for check in checks)}


def _versions() -> Iterator[Check]:
    found = {"Python": platform.python_version()}
    names = ("nanobanana-nb", "ipython", "ipywidgets", "httpx", "pillow")
    found |= {name: _version(name) or "missing" for name in names}
    told = ", ".join(f"{name} {number}" for name, number in found.items())
    yield Check(_CONFIGURED, "versions", "ok", told, found)
    there = [name for name, packages in _EXTRAS.items() if all(map(_version, packages))]
    missing = [name for name in _EXTRAS if name not in there]
    text = f"{', '.join(there) or 'none'} installed"
    text += f"; not installed: {', '.join(missing)}" if missing else ""
    yield Check(_CONFIGURED, "extras", "ok", text, there)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _settings(settings: Settings, home: Settings) -> Iterator[Check]:
    yield _place("home", home.home)
    yield _place("pictures", home.pictures)
    yield _room(home.pictures)
    yield Check(_CONFIGURED, "API", "ok", links.bare(settings.base_url), settings.base_url)
    yield _key(settings)
    for remark in settings.found.remarks:
        yield Check(_CONFIGURED, "key", "note", here(remark), remark.source)
    yield _sandbox(settings)
    yield _budget(settings)
    yield _callback(settings)
    yield _publish(settings)
    yield _styles(settings)


def _place(name: str, folder: Path) -> Check:
    """Whether a folder can be written, or made where it is not there yet."""
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    shown = short_path(folder)
    try:
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(None, "it cannot be written")
        if there == folder:
            probe = folder / f".write-test-{secrets.token_hex(4)}"
            probe.touch()
            probe.unlink()
    except OSError as error:
        why = f"{shown}: {error.strerror}; set NANOBANANA_HOME to a folder that can be written"
        return Check(_CONFIGURED, name, "wrong", why, str(folder))
    later = "" if there == folder else " (made with the first picture)"
    return Check(_CONFIGURED, name, "ok", f"{shown}{later}", str(folder))


def _room(folder: Path) -> Check:
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    try:
        total, _, free = shutil.disk_usage(there)
        pictures.check_room([folder])
    except ConfigError as error:
        return Check(_CONFIGURED, "disk", "wrong", str(error), free)
    except OSError as error:
        return Check(_CONFIGURED, "disk", "note", f"not known ({error.strerror})")
    if not total:  # some mounted drives report nothing at all
        return Check(_CONFIGURED, "disk", "note", "how much is free is not known")
    return Check(_CONFIGURED, "disk", "ok", f"{free / 1e9:.1f} GB free", free)


def _key(settings: Settings) -> Check:
    if settings.api_key is not None:
        source = settings.found.source
        told = f"set, from {source}" + (f" ({KEY_NAME})" if source == "the environment" else "")
        return Check(_CONFIGURED, "key", "ok", told, source.removeprefix("the "))
    if is_sandboxed(settings) or key_of(settings):
        return Check(_CONFIGURED, "key", "ok", "not set; a sandbox takes any")
    how = f"not set: export {KEY_NAME}=... (nb.login() keeps one for its own kernel only)"
    if _version("keyring"):
        how += f", or keyring set {KEYRING_SERVICE} {KEY_NAME}"
    return Check(_CONFIGURED, "key", "wrong", how)


def _sandbox(settings: Settings) -> Check:
    told = {
        "auto": "auto: draws offline in a notebook without a key; here only with always",
        "always": "always: placeholders are drawn offline, free of charge",
        "never": "never: without a key nothing is drawn",
    }[settings.sandbox]
    mark: Mark = "note" if settings.sandbox == "always" else "ok"
    return Check(_CONFIGURED, "sandbox", mark, told, settings.sandbox)


def _budget(settings: Settings) -> Check:
    if settings.budget is None:
        told = "no cap; NANOBANANA_BUDGET=2.50 sets one, in US dollars a day"
        return Check(_CONFIGURED, "budget", "ok", told)
    told = f"{money(settings.budget)} a day for this home"
    return Check(_CONFIGURED, "budget", "ok", told, dollars(settings.budget))


def _callback(settings: Settings) -> Check:
    if not settings.callback_url:
        told = "not set: tasks are asked for; nanobanana listen --help says how to be told"
        return Check(_CONFIGURED, "callback", "ok", told)
    shown = links.bare(settings.callback_url)
    return Check(_CONFIGURED, "callback", "ok", shown, settings.callback_url)


def _publish(settings: Settings) -> Check:
    if settings.publish is None:
        told = "not set: pictures of this machine go nowhere; NANOBANANA_PUBLISH says where"
        return Check(_CONFIGURED, "publish", "ok", told)
    where = settings.publish if isinstance(settings.publish, str) else "a function"
    kind, found, _ = where.partition("://")  # the rest may hold a password
    return Check(_CONFIGURED, "publish", "ok", f"{kind}://..." if found else where, kind)


def _styles(settings: Settings) -> Check:
    try:
        known = presets.load(settings)
    except NanoBananaError as error:
        return Check(_CONFIGURED, "styles", "wrong", here(error))
    told = f"{len(known)} known; yours: {short_path(presets.home_file(settings))}"
    return Check(_CONFIGURED, "styles", "ok", told, sorted(known))


async def _reachable(settings: Settings, home: Settings, *, offline: bool) -> list[Check]:
    if offline:
        return [Check(_REACHABLE, "network", "note", "not asked (--offline)")]
    if is_sandboxed(settings):
        return [Check(_REACHABLE, "API", "ok", "none is needed: the sandbox is on board")]
    if (key := key_of(settings)) is None:
        return [Check(_REACHABLE, "API", "note", "not asked, for want of a key")]
    client = Client(key, base_url=settings.base_url, timeout=min(PATIENCE, settings.timeout))
    try:
        return list(await asyncio.gather(_api(client), *_receiver(client, settings, home)))
    finally:
        await client.aclose()


async def _api(client: Client) -> Check:
    """The balance, which takes a key and costs nothing."""
    try:
        async with asyncio.timeout(PATIENCE):
            balance = await client.balance()
    except TimeoutError:
        late = f"no answer within {PATIENCE:.0f} s; check the network and APIXO_BASE_URL"
        return Check(_REACHABLE, "balance", "wrong", late)
    except NanoBananaError as error:
        return Check(_REACHABLE, "balance", "wrong", here(error))
    told = f"{money(balance)}; the API answers and takes the key"
    return Check(_REACHABLE, "balance", "ok", told, dollars(balance))


def _receiver(
    client: Client, settings: Settings, home: Settings
) -> Iterator[Coroutine[Any, Any, Check]]:
    if settings.callback_url:
        yield _listening(client, settings.callback_url, home)


async def _listening(client: Client, url: str, home: Settings) -> Check:
    """Whether the receiver of this very home answers under the callback address."""

    def found(mark: Mark, told: str, status: int | None = None) -> Check:
        return Check(_REACHABLE, "callbacks", mark, told, status)

    if not home.ledger.exists():
        return found("note", "there is no ledger yet: draw a picture, or start nanobanana listen")
    try:
        token = tokens.mint(await recalling.receiver_secret(home), tokens.CHECK)
        async with asyncio.timeout(PATIENCE):
            status = await client.knock(f"{url}/{token}")
    except TimeoutError:
        return found("wrong", f"no answer within {PATIENCE:.0f} s; is nanobanana listen running?")
    except NanoBananaError as error:
        return found("wrong", f"{here(error)} Is nanobanana listen running?")
    if status == 200:
        return found("ok", "the receiver of this home answers", status)
    if status == 404:
        who = "somebody else's server answers, or the receiver of another home (404)"
        return found("wrong", f"{who}; start nanobanana listen with this NANOBANANA_HOME", status)
    return found("wrong", f"HTTP {status}, where nanobanana listen would answer 200", status)


async def _counted(home: Settings) -> tuple[dict[str, int], Spent] | tuple[dict[str, int], None]:
    if not home.ledger.exists():
        return {}, None
    return await recalling.counted(home)


def _pending(home: Settings, counts: dict[str, int], spent: Spent | None) -> Iterator[Check]:
    if spent is None:
        told = f"none yet in {short_path(home.home)}; the first picture makes it"
        yield Check(_PENDING, "ledger", "ok", told, {})
        return
    listed = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    yield Check(_PENDING, "ledger", "ok", f"sound; {listed or 'no tasks yet'}", counts)
    under_way = sum(counts.get(state, 0) for state in _UNDER_WAY)
    told = f"{under_way}; nanobanana resume waits for them" if under_way else "nothing"
    yield Check(_PENDING, "under way", "note" if under_way else "ok", told, under_way)
    told = here(accounting.in_doubt(spent.unknown)) if spent.unknown else "nothing"
    yield Check(_PENDING, "in doubt", "note" if spent.unknown else "ok", told, spent.unknown)


def _cost(
    settings: Settings, counts: dict[str, int], spent: Spent | None, balance: Decimal | None
) -> Iterator[Check]:
    yield Check(_COST, "a picture", "ok", money(PRICE), dollars(PRICE))
    today = Decimal(0) if spent is None else spent.today
    cap = f" of {money(settings.budget)}" if settings.budget is not None else ""
    ever = "" if spent is None else f", {money(spent.ever)} by this home"
    yield Check(_COST, "spent", "ok", f"{money(today)}{cap} today{ever}", dollars(today))
    yield from _affordable(settings, today, balance)
    if spent is not None and spent.unknown:
        told = f"{money(spent.at_risk)} may have been billed for nothing; counted as spent"
        yield Check(_COST, "at risk", "note", told, dollars(spent.at_risk))
    if any(counts.get(state) for state in _UNDER_WAY):
        told = "nothing more to pay for what was accepted"
        yield Check(_COST, "under way", "ok", told, "0.00")


def _affordable(settings: Settings, today: Decimal, balance: Decimal | None) -> Iterator[Check]:
    """How many pictures the balance and the day's budget have room for."""
    bounds: dict[str, Decimal] = {}
    if balance is not None:
        bounds["balance"] = balance
    if settings.budget is not None and not is_sandboxed(settings):
        bounds["budget"] = settings.budget - today
    if not bounds:
        return
    by = min(bounds, key=lambda name: bounds[name])
    count = max(0, int(bounds[by] // PRICE))
    enough: Mark = "ok" if count else "wrong"
    remedy = {
        "balance": "; top up in the APIXO dashboard",
        "budget": "; a new NANOBANANA_BUDGET lifts it, tomorrow begins a new day",
    }[by]
    told = f"{count:,} more today, by the {by}{'' if count else remedy}"
    yield Check(_COST, "pictures", enough, told, count)
