"""Where the API's callbacks arrive: `serve` listens by itself, `receiver` goes into an app.

A callback is a hint. Its task id is noted in the ledger, durably, before it is answered with 200;
what became of the task is only ever believed of our own status call. Whoever does not know the
address of an attempt gets no further than its token. Starlette and uvicorn (the extra `webhook`)
are imported on first use.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import signal
import socket
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from . import protocol, tokens
from .errors import ConfigError, LedgerError
from .ledger import Ledger
from .settings import Settings

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from uvicorn.protocols.http.h11_impl import H11Protocol

T = TypeVar("T")
Pair = tuple[str, str]
"""Our own id of an attempt, and the task id that a callback named for it."""

MAX_BODY: Final = 1 << 16
"""Bytes of a callback; the API's have a few hundred."""
MAX_HEAD: Final = 1 << 14
"""Bytes of a request line and its headers."""
KNOWN: Final = 4096
"""Pairs that are remembered as durable."""
WRITES: Final = 256
"""Pairs that may be on their way into the ledger."""
WAITING: Final = 128
"""Connections without a request; of more, the one that has waited longest is closed. With those
just accepted this stays below the 256 files that a process may have open on macOS."""
BUSY: Final = 256
"""Connections, with those whose request is being answered."""
ACCEPTED: Final = 32
"""Connections that are accepted in one go: so few that each is read from once before it can be the
one that has waited longest."""
QUEUE: Final = 1024
"""Connections that the system holds until they are accepted; those beyond it come a second late."""
RETRY_AFTER: Final = 30
"""Seconds, told where the ledger takes nothing; the API delivers again after about as many."""
CLOSING: Final = 2.0
"""Seconds that the ledger may take to close."""
GRACE: Final = 3
"""Seconds that requests may still take once the receiver is told to end."""


@dataclass(frozen=True)
class Patience:
    """Seconds that a request's head and body may take to arrive, and the ledger to note it.

    The API waits 30 s for the answer and then delivers again.
    """

    head: float = 10.0
    body: float = 10.0
    ledger: float = 15.0


def receiver(settings: Settings | None = None, *, patience: Patience | None = None) -> Starlette:
    """An ASGI app that takes callbacks, to be served as it is or mounted in another app.

    The token is the last part of the path, whatever stands before it. The ledger is opened with
    the first request that needs it, and closed when the app is shut down, if it is told so.
    Raises `ConfigError` without the extra `webhook`.
    """
    return _app(_Desk(settings or Settings.load()), patience or Patience())


def serve(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int,
    ready: Callable[[str], None] | None = None,
    patience: Patience | None = None,
) -> None:
    """Take callbacks until Ctrl-C or SIGTERM, and then for five seconds more at most.

    `ready` is told the address once it listens; with `port` 0 that is a free one. Nothing is
    printed. Raises `ConfigError` where it cannot listen, where the home cannot be written or
    without the extra `webhook`, and `LedgerError` where the ledger cannot be opened.
    """
    patience, desk = patience or Patience(), _Desk(settings)
    app = _app(desk, patience)
    with _bound(host, port) as listening:
        tell = functools.partial(_tell, ready, listening.getsockname())
        server = _server(app, patience.head, tell)
        desk.open().result()
        with _until_stopped():
            server.run(sockets=[listening])


class _Desk:
    """The ledger of a home as callbacks need it, opened once, and what is durable there by now."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opening: concurrent.futures.Future[Ledger] | None = None
        self._secret = ""
        self._opened_as: tuple[int, int] | None = None
        self._durable: OrderedDict[Pair, None] = OrderedDict()
        self._writing: dict[Pair, asyncio.Task[bool]] = {}

    async def attempt(self, token: str) -> str | None:
        """The attempt that a token is about. Raises `LedgerError` and `ConfigError`."""
        if not self._secret:
            self._secret = await (await self._ledger()).receiver_secret()
        attempt = tokens.read(self._secret, token)
        if attempt is None and self._replaced():
            await self._open_anew()
            return await self.attempt(token)
        return attempt

    def _replaced(self) -> bool:
        """Whether another ledger lies in place of the one that is open, as after a rebuild."""
        return self._opened_as is not None and self._identity() not in (None, self._opened_as)

    async def _open_anew(self) -> None:
        before, self._opening = self._opening, None
        self._secret, self._opened_as = "", None
        self._durable.clear()
        await _closed(before)

    def _identity(self) -> tuple[int, int] | None:
        """By what a file is told from another of its name; None while there is none."""
        with contextlib.suppress(OSError):
            found = self._settings.ledger.stat()
            return found.st_dev, found.st_ino
        return None

    async def note(self, pair: Pair) -> bool:
        """True once it is on disk; False if there is no such attempt. Raises `LedgerError`.

        Whoever brings the same again meanwhile waits for the same write.
        """
        if pair in self._durable:
            self._durable.move_to_end(pair)
            return True
        writing = self._writing.get(pair)
        if writing is None:
            if len(self._writing) >= WRITES:
                raise LedgerError("Too many callbacks wait for the ledger.")
            writing = self._writing[pair] = asyncio.create_task(self._write(pair))
            writing.add_done_callback(functools.partial(self._written, pair))
        return await asyncio.shield(writing)

    def open(self) -> concurrent.futures.Future[Ledger]:
        """The ledger, opened in a thread, because that blocks; anew where it failed before."""
        opening = self._opening
        if opening is None or (opening.done() and opening.exception() is not None):
            opening = self._opening = _aside(self._open)
        return opening

    async def close(self) -> None:
        """Close the ledger, unless it is held up: what was not answered is not owed to anybody."""
        await _closed(self._opening)

    async def _ledger(self) -> Ledger:
        return await asyncio.shield(asyncio.wrap_future(self.open()))

    def _open(self) -> Ledger:
        self._settings.check_writable()
        ledger = Ledger(self._settings.ledger)
        self._opened_as = self._identity()
        return ledger

    async def _write(self, pair: Pair) -> bool:
        return await (await self._ledger()).called(*pair)

    def _written(self, pair: Pair, writing: asyncio.Task[bool]) -> None:
        del self._writing[pair]
        if not writing.cancelled() and writing.exception() is None and writing.result():
            self._durable[pair] = None
            if len(self._durable) > KNOWN:
                self._durable.popitem(last=False)


async def _closed(opening: concurrent.futures.Future[Ledger] | None) -> None:
    if opening is not None and opening.done() and not opening.exception():
        closing = asyncio.wrap_future(_aside(opening.result().close))
        await asyncio.wait([closing], timeout=CLOSING)


def _aside(work: Callable[[], T]) -> concurrent.futures.Future[T]:
    """The future of work in a thread of its own, which nothing waits for at the end."""
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again in who waits for it
            future.set_exception(error)

    threading.Thread(target=run, name="nanobanana_nb-receiver", daemon=True).start()
    return future


class _Window:
    """Answers requests, the cheapest check first."""

    def __init__(self, desk: _Desk, patience: Patience) -> None:
        self._desk = desk
        self._patience = patience

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.requests import Request

        response = await self.answer(Request(scope, receive))
        await response(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        if request.method != "POST":
            return _refusal(405, "Only POST is answered here.", {"Allow": "POST"})
        token = request.scope["path"].rstrip("/").rpartition("/")[2]
        try:
            async with asyncio.timeout(self._patience.ledger):
                attempt = await self._desk.attempt(token)
        except (LedgerError, ConfigError, TimeoutError):
            return _busy()
        if attempt is None:
            return _nowhere()
        return await self._take(request, attempt)

    async def _take(self, request: Request, attempt: str) -> Response:
        """What is answered to somebody who knows the address."""
        if _too_long(request.headers.get("content-length", "0")):
            return _refusal(413, f"A callback has {MAX_BODY} bytes at most.")
        try:
            async with asyncio.timeout(self._patience.body):
                body = await _body(request)
        except TimeoutError:
            return _refusal(408, "The body took too long.")
        if body is None:
            return _refusal(413, f"A callback has {MAX_BODY} bytes at most.")
        if attempt == tokens.CHECK:
            return _reply(200, "ok")
        task_id = protocol.read_callback(body)
        if task_id is None:
            return _reply(400, "The body names no task.")
        return await self._noted((attempt, task_id))

    async def _noted(self, pair: Pair) -> Response:
        try:
            async with asyncio.timeout(self._patience.ledger):
                known = await self._desk.note(pair)
        except (LedgerError, ConfigError, TimeoutError):
            return _busy()
        return _reply(200, "ok") if known else _nowhere()


async def _body(request: Request) -> bytes | None:
    """The body; None if it is too long. Of a client that leaves, what came until then."""
    from starlette.requests import ClientDisconnect

    body = bytearray()
    with contextlib.suppress(ClientDisconnect):
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY:
                return None
    return bytes(body)


def _too_long(length: str) -> bool:
    """By its Content-Length, which may be anything where the server does not check it."""
    return not (length.isdecimal() and len(length) < 10 and int(length) <= MAX_BODY)


def _nowhere() -> Response:
    return _refusal(404, "There is nothing here.")


def _busy() -> Response:
    return _refusal(503, "It cannot be noted now.", {"Retry-After": str(RETRY_AFTER)})


def _refusal(status: int, text: str, headers: Mapping[str, str] = MappingProxyType({})) -> Response:
    """A reply after which the connection is closed, because the body may not have been read."""
    return _reply(status, text, {"Connection": "close", **headers})


def _reply(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(f"{text}\n", status, headers)


def _app(desk: _Desk, patience: Patience) -> Starlette:
    try:
        from starlette.applications import Starlette
        from starlette.routing import Route
    except ImportError:
        raise _not_installed("starlette") from None
    window = _Window(desk, patience)

    async def unmatched(request: Request, _: Exception) -> Response:
        return await window.answer(request)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await desk.close()

    app = Starlette(
        routes=[Route("/{path:path}", window)],
        exception_handlers={404: unmatched},  # a line break in the path, or no path at all
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def _not_installed(package: str) -> ConfigError:
    return ConfigError(
        f"Callbacks cannot be taken without {package}: "
        'pip install "nanobanana-nb[webhook]", then run this again.'
    )


def _server(app: Starlette, patience: float, ready: Callable[[], None]) -> Any:
    """A uvicorn server that behaves alike everywhere, whatever else is installed."""
    try:
        import uvicorn
    except ImportError:
        raise _not_installed("uvicorn") from None

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            for listening in sockets or []:
                listening.listen(QUEUE)  # asyncio accepts as many in one go as it lets queue
            ready()

    config = uvicorn.Config(
        app,
        http=_punctual(patience),
        ws="none",
        loop="asyncio",
        lifespan="on",
        workers=1,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="critical",  # what strangers send is no news
        limit_concurrency=BUSY,
        backlog=ACCEPTED,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=MAX_HEAD,
    )
    return Server(config)


def _punctual(patience: float) -> type[H11Protocol]:
    """uvicorn's protocol, which by itself would wait for a request as long as the client likes."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    waiting = _Waiting(patience)

    class Punctual(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            waiting.enter(self)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._look()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._look()

        def connection_lost(self, exc: Exception | None) -> None:
            waiting.leave(self)
            super().connection_lost(exc)

        def _look(self) -> None:
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                waiting.enter(self)
            else:
                waiting.leave(self)

    return Punctual


class _Waiting:
    """Connections without a request, in the order in which they began to wait for one.

    Each is closed after so many seconds, and the first where they get too many.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._timers: dict[H11Protocol, asyncio.TimerHandle] = {}

    def enter(self, one: H11Protocol) -> None:
        if one not in self._timers:
            self._timers[one] = one.loop.call_later(self._patience, one.transport.abort)
        if len(self._timers) > WAITING:
            longest = next(iter(self._timers))
            self.leave(longest)
            longest.transport.abort()

    def leave(self, one: H11Protocol) -> None:
        if (timer := self._timers.pop(one, None)) is not None:
            timer.cancel()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=QUEUE)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"Nothing can listen at {host}, port {port} ({reason}); give another port or host."
        ) from None


def _tell(ready: Callable[[str], None] | None, listening: Sequence[Any]) -> None:
    if ready is not None:
        host, port = listening[:2]
        ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")


@contextlib.contextmanager
def _until_stopped() -> Iterator[None]:
    """Within, SIGTERM is Ctrl-C; both end it without an error.

    uvicorn ends in order and then raises the signal anew, by which the process would be killed.
    """
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if main else None
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
