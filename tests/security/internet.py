"""An internet of our own: names, public addresses and certificates, all of which are this machine.

It stands at the socket boundary: a resolver that answers as a test says, and connections to public
addresses that are noted and led to this machine. Everything above it is real.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nanobanana_nb import client

from .. import test_client
from ..harness.listener import Listener

API = "api.names.com"
CDN = "cdn.elsewhere.net"
PUBLIC = "93.184.216.34"
ALSO_PUBLIC = "151.101.1.69"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Authority:
    """Signs certificates; whoever trusts it trusts them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
        self.file = folder / "authority.pem"
        root = self._certificate(self._name, self._key.public_key(), -1, 9, authority=True)
        self.file.write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def context(self, host: str, since: int = -1, until: int = 1) -> ssl.SSLContext:
        """What a server needs to be `host`, in days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        signed = self._certificate(name, key.public_key(), since, until, host=host)
        file = self._folder / f"{host}{since}{until}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + signed.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _certificate(
        self, name: x509.Name, key: Any, since: int, until: int, *, host: str = "", authority=False
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=since))
            .not_valid_after(now + timedelta(days=until))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if authority:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


class Site:
    """A server with TLS that answers with a function, and notes what it was told and called."""

    def __init__(self, respond: Callable[[BaseHTTPRequestHandler], None], tls: ssl.SSLContext):
        self.seen = seen = []
        self.called = called = []
        tls.sni_callback = lambda _, name, __: called.append(name)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                seen.append(dict(self.headers))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                respond(self)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that hangs up at our certificate is what some tests are about."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.socket = tls.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self.server.server_port

    def __enter__(self) -> Site:
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class serving(test_client.serving):  # noqa: N801 - reads as a verb
    """The same without TLS, soon gone when it is no longer needed. It hears whoever asks out, for a
    connection that is closed before loses what was answered."""

    def __init__(self, respond: Callable[[BaseHTTPRequestHandler], None]) -> None:
        def hear_out(handler: BaseHTTPRequestHandler) -> None:
            handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
            respond(handler)

        super().__init__(hear_out)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()
        return self.url


class Internet:
    """`names` holds the answers to the lookups of a name, one after the other, the last for ever.

    `asked` are the names that were looked up, `connected` the addresses that were connected to.
    Addresses in `unreachable` refuse, those in `silent` never answer.
    """

    def __init__(self, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
        self.authority = authority
        self.names: dict[str, list[list[str]]] = {API: [[PUBLIC]], CDN: [[PUBLIC]]}
        self.asked: list[str] = []
        self.connected: list[str] = []
        self.unreachable: set[str] = set()
        self.silent: set[str] = set()
        resolve = socket.getaddrinfo
        connect = asyncio.selector_events.BaseSelectorEventLoop.sock_connect

        def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
            name = host.decode() if isinstance(host, bytes) else host
            if name in ("127.0.0.1", "localhost", None, ""):
                return resolve(host, port, *args, **kwargs)
            self.asked.append(name)
            with contextlib.suppress(ValueError):
                return _entries([str(ipaddress.ip_address(name))], port)
            if name not in self.names:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            answers = self.names[name]
            return _entries(answers.pop(0) if len(answers) > 1 else answers[0], port)

        async def sock_connect(loop: Any, sock: socket.socket, address: Any) -> None:
            self.connected.append(address[0])
            if address[0] in self.silent:
                await asyncio.Event().wait()
            if address[0] in self.unreachable or ":" in address[0]:
                raise OSError(101, "Network is unreachable")
            await connect(loop, sock, ("127.0.0.1", address[1]))

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(
            asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", sock_connect
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        for name in PROXIES:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)

    def site(
        self,
        respond: Callable[[BaseHTTPRequestHandler], None],
        host: str = CDN,
        **days: int,
    ) -> Site:
        """A server that is `host`."""
        return Site(respond, self.authority.context(host, **days))


def _entries(addresses: Sequence[str], port: Any) -> list[Any]:
    return [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one, port or 0, 0, 0))
        if ":" in one
        else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port or 0))
        for one in addresses
    ]


class Proxy(Listener):
    """A proxy that leads every tunnel to this machine, and notes what it was asked to reach."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.heads: list[bytes] = []

    def serve(self, near: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += near.recv(1)
        self.heads.append(head)
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        self.asked.append(f"{method} {target}")
        with socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2]))) as far:
            near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_pump, args=(far, near), daemon=True)
            back.start()
            _pump(near, far)
            back.join()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def internet(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    """No name and no public address that a test did not say leads anywhere."""
    client._trusting.cache_clear()
    yield Internet(authority, monkeypatch)
    client._trusting.cache_clear()
