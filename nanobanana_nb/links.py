"""Which addresses may be sent or fetched: https and public, or loopback when the API itself is.

Pure text and address rules; resolving names is the client's work (design, "Links").
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import Final
from urllib.parse import SplitResult, urlsplit

from .errors import RequestError

_PRIVATE_NAMES: Final = frozenset(
    {"arpa", "corp", "example", "home", "internal", "invalid", "lan", "local", "localhost", "test"}
)
"""Last parts of names that are known in a private network or nowhere."""
_UNICAST: Final = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given out to the public internet."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
"""How a network of IPv6 alone writes the addresses of IPv4."""
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(block)
    for block in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2001::/23", "3fff::/20")
)
"""Special blocks that not every Python's `is_global` knows of, and the address under which Azure
tells its machines of themselves."""
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]*")


def split(url: str) -> SplitResult:
    """The parts of an http(s) link, or a `RequestError` that says what is wrong with it."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise RequestError(f"{shorten(url)!r} is not a link.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestError(
            f"{shorten(url)!r} is not a link; a link looks like https://example.com/fox.png."
        )
    if parts.username is not None or any(c.isspace() or c in '\\"<>' for c in url):
        raise RequestError(f"{shorten(url)!r} is not a plain link: no names, blanks or quotes.")
    if any("\ud800" <= c <= "\udfff" for c in url):
        raise RequestError(
            f"{shorten(url)!r} is not a plain link: it holds half of a surrogate pair and cannot "
            "be sent; copy it anew."
        )
    return parts


def is_loopback(host: str | None) -> bool:
    """Whether `host` names this very machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet; one that leads on to an address of
    IPv4 does where that does."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is None and ip not in _UNICAST:
            return False
        ip = inner or ip
    return ip.is_global and not ip.is_multicast and not any(ip in block for block in _NOT_PUBLIC)


def may_be_public(host: str) -> bool:
    """Whether a host that somebody else will resolve, a proxy, may be one of the public internet:
    not an address of a private network, nor a name of one."""
    try:
        return is_public(host)
    except ValueError:
        return _is_public_name(host)


def check(url: str, *, loopback_allowed: bool) -> SplitResult:
    """The parts of a link that may be used: https, or loopback http where that is allowed."""
    parts = split(url)
    if loopback_allowed and is_loopback(parts.hostname):
        return parts
    if parts.scheme != "https":
        raise RequestError(f"{shorten(bare(url))!r} is not https; only https links are used.")
    if is_loopback(parts.hostname) or _is_private_literal(parts.hostname or ""):
        raise RequestError(
            f"{shorten(bare(url))!r} is on a private network, where the API cannot fetch it; "
            "give a public link."
        )
    if _is_odd_number(parts.hostname or ""):
        raise RequestError(
            f"{shorten(bare(url))!r} is an address in a spelling that hides where it leads; give a "
            "plain link."
        )
    return parts


def check_callback(url: str, *, loopback_allowed: bool) -> str:
    """The address under which callbacks reach us, without a final slash: https under a public name,
    or a loopback one where that is allowed. The API's page asks for "a public HTTPS URL"."""
    parts = split(url)
    where = shorten(bare(url))
    if parts.query or parts.fragment:
        raise RequestError(f"{where!r} goes on after a ? or #; give the address without that.")
    if is_loopback(parts.hostname):
        if not loopback_allowed:
            raise RequestError(
                f"{where!r} is this machine, which the API cannot reach; give the public https "
                "address that leads to `nanobanana listen`."
            )
        return url.rstrip("/")
    if parts.scheme != "https":
        raise RequestError(f"{where!r} is not https; the API calls https addresses only.")
    if not _is_public_name(parts.hostname or ""):
        raise RequestError(
            f"{where!r} is no public name, so the API cannot call it; give the public https "
            "address that leads to `nanobanana listen`."
        )
    return url.rstrip("/")


def _is_public_name(host: str) -> bool:
    """Whether a name may be known to all: not that of a private network, and no bare number."""
    labels = _plain(host).split(".")
    top = labels[-1]
    return len(labels) > 1 and all(labels) and top[0].isalpha() and top not in _PRIVATE_NAMES


def _is_private_literal(host: str) -> bool:
    try:
        return not is_public(host)
    except ValueError:
        return False


def _is_odd_number(host: str) -> bool:
    """Whether it is an address that resolvers understand and `ipaddress` does not: `127.1`,
    `0x7f.1`, `2130706433`, or one with foreign digits or dots."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(_NUMBER.fullmatch(_plain(host).rpartition(".")[2]))
    return False


def _plain(host: str) -> str:
    """The host as resolvers read it: letters, digits and dots have several forms."""
    return unicodedata.normalize("NFKC", host).replace("\u3002", ".").rstrip(".").lower()


def shorten(text: str, length: int = 80) -> str:
    """The text, cut in the middle of nowhere but marked so, for messages."""
    return text if len(text) <= length else text[: length - 1] + "…"


def bare(url: str) -> str:
    """A link to show: without its query, which may be a signature."""
    return url.partition("?")[0]


def name_of(url: str) -> str:
    """A short name of what a link leads to."""
    return shorten(bare(url).rstrip("/").rpartition("/")[2], 60)
