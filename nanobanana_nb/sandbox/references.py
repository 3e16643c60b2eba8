"""Reference pictures: fetched as the API would, over public https, or from this machine.

The address a name resolves to is checked and then connected to, redirects are not followed, and
bytes, time and pixels are limited, so that a reference cannot lead the sandbox anywhere else.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import ip_address
from urllib.parse import urlsplit

from PIL import Image, ImageOps

from .contract import MAX_IMAGE_BYTES, is_loopback

TIMEOUT = 5.0
"""Seconds for one reference, from the first byte sent to the last received."""
MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP")
SIDE = 1024
"""Pixels of the longer side of the copy that is kept to draw from."""


class Unusable(Exception):
    """A reference that cannot be fetched or decoded."""


def load(url: str) -> bytes:
    """Fetch one reference and give a small upright JPEG of it."""
    try:
        return _small_copy(_fetch(url))
    except (OSError, ValueError, HTTPException, SyntaxError, Image.DecompressionBombError) as error:
        raise Unusable(f"{url}: {error}") from error


def opened(data: bytes) -> Image.Image:
    """A picture in one of the accepted formats, its size checked before it is decoded."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise ValueError("more than 50 megapixels")
    image.load()
    return image


def _fetch(url: str) -> bytes:
    parts = urlsplit(url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    if not secure and not is_loopback(host):
        raise ValueError("plain http is only for this machine")
    port = parts.port or (443 if secure else 80)
    deadline = time.monotonic() + TIMEOUT
    connection = HTTPSConnection(host, port) if secure else HTTPConnection(host, port)
    try:
        connection.sock = _connect(host, port, secure)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"Accept": "image/*"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise ValueError(f"HTTP {answer.status}")
        data = bytearray()
        while chunk := answer.read1(65536):
            data += chunk
            if len(data) > MAX_IMAGE_BYTES:
                raise ValueError("larger than 10 MB")
            if time.monotonic() > deadline:
                raise TimeoutError("took too long")
        return bytes(data)
    finally:
        connection.close()


def _connect(host: str, port: int, secure: bool) -> socket.socket:
    """A connection to the very address that was checked, so that a name cannot change between."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    own = is_loopback(host)
    for address in addresses:
        ip = ip_address(address.split("%")[0])
        if not (ip.is_loopback if own else ip.is_global):
            raise ValueError("not a public address")
    raw = _first_open(addresses, port)
    if not secure:
        return raw
    return ssl.create_default_context().wrap_socket(raw, server_hostname=host)


def _first_open(addresses: list[str], port: int) -> socket.socket:
    failure: OSError = OSError("the name leads nowhere")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=TIMEOUT)
        except OSError as error:
            failure = error
    raise failure


def _small_copy(data: bytes) -> bytes:
    image = _upright(opened(data))
    image.thumbnail((SIDE, SIDE))
    paper = Image.new("RGB", image.size, "white")
    clear = image.convert("RGBA")
    paper.paste(clear, mask=clear.getchannel("A"))
    copy = io.BytesIO()
    paper.save(copy, "JPEG", quality=92)
    return copy.getvalue()


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - Pillow fails on odd EXIF in many ways; the picture is whole
        return image
