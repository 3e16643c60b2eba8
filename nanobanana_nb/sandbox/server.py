"""The handler on a socket of this machine: class `Sandbox`.

Only this machine may connect, only under its own names (a web page that rebinds a name to
127.0.0.1 is refused, and so is any page of another origin), and nothing is ever printed.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from functools import partial
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType, TracebackType
from typing import Any, Generic, TypeVar

from .callbacks import Courier, Delivery
from .contract import (
    CALLBACK_RETRY,
    CALLBACK_TIMEOUT,
    HTTP_MESSAGES,
    LINK_LIFETIME,
    Response,
    is_loopback,
    json_response,
    refusal,
)
from .faults import Fault, Plan
from .handler import Handler
from .limits import Limits
from .tasks import Task

MAX_BODY = 1 << 20
"""Bytes of a request body."""
SLOW_CLIENT = 30.0
"""Seconds that a connection may be silent."""

_logger = logging.getLogger(__name__)

T = TypeVar("T")


class _Limit(Generic[T]):
    """A limit of the account, which may be changed while the sandbox runs."""

    def __set_name__(self, owner: type[Sandbox], name: str) -> None:
        self._name = name

    def __get__(self, sandbox: Sandbox, owner: type[Sandbox]) -> T:
        return getattr(sandbox._handler.limits, self._name)  # type: ignore[no-any-return]

    def __set__(self, sandbox: Sandbox, value: T) -> None:
        sandbox._handler.limit(**{self._name: value})


class Sandbox:
    """An imitation of the API on this machine.

    ``latency`` seconds pass until a picture is there (0: at the first poll); ``balance`` is in US
    dollars; with an ``api_key`` only that key is accepted, otherwise any is. ``port`` 0 picks a
    free one. Hosts other than this machine are refused with ValueError.

    ``at_once`` tasks may be under way and ``rate`` requests come a minute (``burst`` of them in
    one moment), more get a 429; ``limits.py`` says how it counts and what it tells. These may be
    changed while it runs: ``sandbox.at_once = 1``.

    A task in ``callback`` mode is told to its address when it completes. ``callback_retry`` is the
    seconds until the first repetition of a callback that was not answered HTTP 200 (the second
    waits twice as long, the third four times), ``callback_timeout`` the seconds that a receiver
    has to answer. Result links work for ``link_lifetime`` seconds.

    With ``faults`` each valid submit meets a fault with that probability, 0 to 1, picked by the
    ``seed`` and by how many came before it; ``faults.py`` holds what it picks from. What a prompt
    or `fail_next` asks for goes first. ValueError for numbers that make no sense.
    """

    at_once = _Limit[int | None]()
    rate = _Limit[float | None]()
    burst = _Limit[float | None]()
    count_polls = _Limit[bool]()
    reasons = _Limit[bool]()
    retry_after = _Limit[bool]()

    def __init__(
        self,
        *,
        latency: float = 2.0,
        host: str = "127.0.0.1",
        port: int = 0,
        balance: float = 10.0,
        api_key: str | None = None,
        clock: Callable[[], float] = time.time,
        at_once: int | None = None,
        rate: float | None = None,
        burst: float | None = None,
        count_polls: bool = False,
        reasons: bool = False,
        retry_after: bool = False,
        callback_retry: float = CALLBACK_RETRY,
        callback_timeout: float = CALLBACK_TIMEOUT,
        link_lifetime: float = LINK_LIFETIME,
        faults: float = 0.0,
        seed: int = 0,
    ) -> None:
        if not is_loopback(host):
            raise ValueError(f"the sandbox serves this machine only, not {host!r}")
        self._address = ("127.0.0.1" if host.lower() == "localhost" else host, port)
        self._handler = Handler(
            origin="",
            latency=latency,
            balance=Decimal(str(balance)),
            api_key=api_key,
            clock=clock,
            limits=Limits(at_once, rate, burst, count_polls, reasons, retry_after),
            link_lifetime=link_lifetime,
            plan=Plan(faults, seed),
        )
        record = self._handler.delivered
        self._new_courier = _couriers(clock, callback_retry, callback_timeout, record)
        self._server: _Server | None = None
        self._lock = threading.Lock()

    def start(self) -> Sandbox:
        """Bind and serve in the background; once started, nothing more happens."""
        with self._lock:
            if self._server is None:
                self._server = _Server(self._address, self._handler)
                self._handler.origin = self._server.origin
                self._handler.courier = self._new_courier()
                threading.Thread(
                    target=self._server.serve_forever,
                    kwargs={"poll_interval": 0.02},  # what close() waits for
                    name="sandbox",
                    daemon=True,
                ).start()
        return self

    def close(self) -> None:
        """Stop serving and cut every connection, callbacks under way too; those that were still
        to come are never sent. What was billed can still be read."""
        with self._lock:
            server, self._server = self._server, None
            courier, self._handler.courier = self._handler.courier, None
        if server is not None:
            server.close()
        if courier is not None:
            courier.close()

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def serve_forever(self) -> None:
        """Start, and block until Ctrl-C or `close`."""
        server = self.start()._server
        try:
            while server is not None and not server.closing.wait(0.5):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            self.close()

    @property
    def url(self) -> str:
        """The base URL, such as ``http://127.0.0.1:8000``; known once started."""
        if not self._handler.origin:
            raise RuntimeError("the sandbox has not been started")
        return self._handler.origin

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Every accepted task, in the order of acceptance."""
        return self._handler.tasks()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many requests came: ``submit`` (POSTs), ``accepted``, ``status``, ``download``,
        ``balance``, how many of them a limit ``refused``, and how many times a ``callback`` was
        tried; a snapshot."""
        seen = self._handler.counts
        names = ("submit", "accepted", "status", "download", "balance", "refused", "callback")
        return MappingProxyType({name: seen[name] for name in names})

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """Every callback that was tried, in the order in which the tries ended; a snapshot."""
        return self._handler.deliveries()

    @property
    def faulted(self) -> Mapping[int, Fault]:
        """Which submits, counted from 1 among the valid ones, met which fault of the plan, and
        which task it befell; a snapshot."""
        return MappingProxyType(self._handler.faulted())

    @property
    def spent(self) -> Decimal:
        """US dollars billed so far."""
        return self._handler.spent

    @property
    def balance(self) -> Decimal:
        """US dollars left."""
        return self._handler.balance

    def share(self, path: str | os.PathLike[str]) -> str:
        """Serve one picture file under an unguessable URL, as a user's own host would, and give
        that URL. The file is read when it is asked for; ValueError if it is not a picture."""
        return self.url + self._handler.share(path)

    def fail_next(self, directive: str) -> None:
        """Make the next valid submit misbehave, such as ``"429 retry-after=3"`` or ``"drop"``,
        whatever its prompt says; several calls queue up. The names are in ``directives.py``."""
        self._handler.fail_next(directive)


def _couriers(
    clock: Callable[[], float], retry: float, timeout: float, record: Callable[[Delivery], None]
) -> Callable[[], Courier]:
    """A new courier for every start; ValueError for what are no such seconds."""
    if not 0 <= retry < math.inf:
        raise ValueError(f"callback_retry is {retry!r}; give seconds, 0 or more")
    if not 0 < timeout < math.inf:
        raise ValueError(f"callback_timeout is {timeout!r}; give seconds, more than 0")
    return partial(Courier, clock=clock, retry=retry, timeout=timeout, record=record)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = os.name == "posix"  # elsewhere it lets two servers share a port

    def __init__(self, address: tuple[str, int], handler: Handler) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.handler = handler
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        super().__init__(address, _Connection)
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        self.origin = f"http://{host}:{self.server_port}"
        names = ("127.0.0.1", "localhost", "[::1]", host.lower())
        self.origins = {f"http://{name}:{self.server_port}" for name in names}

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's asks the DNS for our name
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()
        for connection in tuple(self.connections):
            _cut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A client that went away is no error; anything else is a defect of the sandbox."""
        if not isinstance(sys.exception(), OSError):
            _logger.exception("the sandbox could not answer")


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "nanobanana-sandbox"
    sys_version = ""
    timeout = SLOW_CLIENT
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # head and body leave together
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is printed."""

    def parse_request(self) -> bool:
        """HTTP/0.9 has no headers; newer Pythons leave a plain dict in their place."""
        understood = super().parse_request()
        if understood and not self.headers:
            self.headers = HTTPMessage()
        return understood

    def _answer(self) -> None:
        response = self._refused() or self._handled()
        if response.delay:
            self.server.closing.wait(response.delay)
        if response.after:
            response.after.wait()
        if response.hang_up:
            self.close_connection = True
            _cut(self.connection)
        else:
            self._send(response)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815
    do_OPTIONS = do_TRACE = do_QUERY = _answer  # noqa: N815

    def _handled(self) -> Response:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.close_connection = True
            return refusal(411)
        if int(length) > MAX_BODY:
            self._discard(int(length))
            return refusal(413)
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            return self.server.handler.handle(self.command, self.path, headers, body)
        except Exception:
            _logger.exception("the sandbox could not answer")
            return refusal(500)

    def _refused(self) -> Response | None:
        """DNS rebinding and pages of other origins, before anything is read."""
        if not self._is_meant():
            self.close_connection = True
            return refusal(421)
        if not self.server.origins.issuperset(self.headers.get_all("Origin", [])):
            self.close_connection = True
            return refusal(403)
        return None

    def _is_meant(self) -> bool:
        """Whether one Host names us, and so does the target where it names anybody."""
        hosts = [f"http://{host.lower()}" for host in self.headers.get_all("Host", [])]
        target = "/".join(self.path.split("/", 3)[:3]).lower()
        targets = [] if self.path.startswith("/") else [target]
        return len(hosts) == 1 and self.server.origins.issuperset(hosts + targets)

    def _discard(self, length: int) -> None:
        """Read on for a while, so that the client gets to see the answer."""
        self.close_connection = True
        left = min(length, 16 * MAX_BODY)
        while left > 0 and (chunk := self.rfile.read(min(left, 65536))):
            left -= len(chunk)

    def _send(self, response: Response) -> None:
        if response.missing:
            self.close_connection = True
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body) + response.missing))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def send_error(
        self,
        code: int,
        message: str | None = None,
        explain: str | None = None,  # noqa: ARG002
    ) -> None:
        """What cannot be parsed as a request gets an envelope too."""
        self.close_connection = True
        text = message or HTTP_MESSAGES.get(code, "Invalid request")
        self._send(json_response(code, {"code": int(code), "message": text, "data": None}))


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
