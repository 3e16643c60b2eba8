"""The retry matrix, cell by cell: what each event means for a submit, a poll and a download.

A submit costs money and happens at most once; a poll and a download may be repeated. Every row is
an event on a real socket, every cell a test of its own, which also counts what the server saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from nanobanana_nb import Client, ImageRequest, Schedule, errors, protocol
from nanobanana_nb.models import Succeeded

from .harness.listener import Listener

# Self-signed, for 127.0.0.1, of no use to anybody: it stands for a server that nobody trusts.
UNTRUSTED = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgNgoYww67eNQnxt9t
YTHb0kgAjovme8nCm6B1qInlMoihRANCAASqueQwa40m0AaJOhCOL1TrlsbaaZfJ
/OYBJ5WK75hWjLqYTTA5CeYswup/RxWJMaXxBmbXl/VB9pUfrXDQT1k7
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBpjCCAU2gAwIBAgIUYPus69aMNK6nMKqp/gKKF+TfUlUwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPbmFub2JhbmFuYSB0ZXN0MCAXDTI2MTEyMjE4MDQwMFoYDzIx
MjYxMDI5MTgwNDAwWjAaMRgwFgYDVQQDDA9uYW5vYmFuYW5hIHRlc3QwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAASqueQwa40m0AaJOhCOL1TrlsbaaZfJ/OYBJ5WK
75hWjLqYTTA5CeYswup/RxWJMaXxBmbXl/VB9pUfrXDQT1k7o28wbTAdBgNVHQ4E
FgQU0kh+VLO0PL4OfIvbIDI2qpBJ3dIwHwYDVR0jBBgwFoAU0kh+VLO0PL4OfIvb
IDI2qpBJ3dIwDwYDVR0TAQH/BAUwAwEB/zAaBgNVHREEEzARhwR/AAABgglsb2Nh
bGhvc3QwCgYIKoZIzj0EAwIDRwAwRAIgBFccVMjURN1RFTeEdr2EV875ROEQXwPN
PdtjtWAx5W0CIC1r5bgW+rxOanAkuxJd/foDqj4IdvopMoXd81xJP2en
-----END CERTIFICATE-----
"""
TIMEOUT: Final = 10.0
IMPATIENT: Final = {"timeout": 0.15}
"""For events that never end; a submit waits four times that."""
LINK = "https://example.com/a.png"
REQUEST = ImageRequest("a fox")


# --- a server that does what a test wants ---------------------------------------------------

Act = Callable[[socket.socket], None]


def answer(status: int, body: bytes, **headers: str) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def sends(data: bytes) -> Act:
    """Send these bytes and hang up."""
    return lambda connection: connection.sendall(data)


def own(status: int, code: int | None = None, data: object = None, **headers: str) -> Act:
    """An answer in the API's own envelope."""
    body = {"code": status if code is None else code, "message": "its own words", "data": data}
    return sends(answer(status, json.dumps(body).encode(), **headers))


def page(status: int, **headers: str) -> Act:
    """A gateway's page."""
    body = b"<html><style>p{}</style><h1>a gateway's words</h1></html>"
    return sends(answer(status, body, **headers))


def resets(connection: socket.socket) -> None:
    """The connection is reset, with nothing said."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hangs_up(connection: socket.socket) -> None:
    """The connection is closed in order, with nothing said."""


def stalls(connection: socket.socket) -> None:
    """Nothing is said until the other side gives up."""
    connection.settimeout(5)
    connection.recv(1)


def cut_after(data: bytes) -> Act:
    """The answer promises more than comes."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data) + 50}\r\n\r\n".encode()
    return sends(head + data)


def stalls_after(data: bytes) -> Act:
    """The answer stops in its middle."""

    def act(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(data) + 50}\r\n\r\n".encode())
        connection.sendall(data)
        stalls(connection)

    return act


TAKEN = own(200, data={"taskId": "task_1"})
RUNNING = own(200, data={"taskId": "task_1", "state": "processing"})
DONE = own(200, data={"state": "success", "resultJson": json.dumps({"resultUrls": [LINK]})})
PICTURE = sends(answer(200, b"a picture"))


class Server(Listener):
    """Acts out a script, one act for a request; the last is repeated. Counts the requests."""

    def __init__(self, *script: Act, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.script = list(script)
        self.requests = 0
        self.accepted = 0
        self._tls = tls
        if tls:
            self.url = self.url.replace("http", "https")

    def serve(self, connection: socket.socket) -> None:
        self.accepted += 1
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True)
        if read_request(connection):
            self.requests += 1
            act = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            act(connection)


def read_request(connection: socket.socket) -> bytes:
    """One whole request."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := connection.recv(65536)):
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-le")),
        0,
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + body


# --- worlds: what an event looks like from the client ----------------------------------------


@dataclass
class World:
    """Where the client goes, and how many requests have arrived there."""

    url: str
    count: Callable[[], int]
    link: str = ""
    options: dict[str, Any] = field(default_factory=dict)


Event = Callable[[Act | None, pytest.MonkeyPatch], Any]
"""Makes a world in which the event happens once and then what the act says, or for ever."""


def answered(act: Act, **options: Any) -> Event:
    """An event that is an answer, or the lack of one."""

    @contextlib.contextmanager
    def event(after: Act | None, _: pytest.MonkeyPatch) -> Iterator[World]:
        with Server(act, after or act) as server:
            yield World(server.url, lambda: server.requests, server.url + "/a.png", options)

    return event


def raised(error: Exception) -> Event:
    """An event that sockets cannot be made to produce at will: httpx's own word for it."""

    @contextlib.contextmanager
    def event(after: Act | None, _: pytest.MonkeyPatch) -> Iterator[World]:
        with Server(after or hangs_up) as server:
            tried: list[str] = []
            real = httpx.AsyncHTTPTransport()

            class Transport(httpx.AsyncBaseTransport):
                async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                    tried.append(str(request.url))
                    if len(tried) == 1:
                        raise error
                    return await real.handle_async_request(request)

            options = {"transport": Transport()}
            yield World(server.url, lambda: len(tried), server.url + "/a.png", options)

    return event


@contextlib.contextmanager
def refused(_: Act | None, __: pytest.MonkeyPatch) -> Iterator[World]:
    """Nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        yield World(url, lambda: 0, url + "/a.png")


@contextlib.contextmanager
def not_found(_: Act | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The name is not known."""

    def getaddrinfo(*_args: object, **_more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield World("https://api.test", lambda: 0, "https://cdn.test/a.png")


@contextlib.contextmanager
def not_accepted(_: Act | None, __: pytest.MonkeyPatch) -> Iterator[World]:
    """The server's queue is full, so that connecting takes for ever."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield World(url, lambda: 0, url + "/a.png", {"timeout": 0.05})


@contextlib.contextmanager
def proxy_refuses(_: Act | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A proxy from the environment does not let us through."""
    with Server(page(407)) as proxy:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        # The requests that get through are counted: none. The CONNECTs are not the API's.
        yield World("https://api.test", lambda: 0, "https://cdn.test/a.png")


@contextlib.contextmanager
def untrusted(after: Act | None, _: pytest.MonkeyPatch) -> Iterator[World]:
    """The server's certificate is one that nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "untrusted.pem")
        file.write_text(UNTRUSTED)
        context.load_cert_chain(file)
    with Server(after or hangs_up, tls=context) as server:
        yield World(server.url, lambda: server.requests, server.url + "/a.png")


# --- fates: what a cell asserts --------------------------------------------------------------


@dataclass(frozen=True)
class Raises:
    """One request, one error: its type, whether it is safe to send again and how often in all."""

    kind: type[Exception]
    tries: int = 1
    words: str = ""
    requests: int = 1
    status: int | None = None


def safe(kind: type[Exception], tries: int = 4, requests: int = 1) -> Raises:
    """S: surely no task was made; sent again by itself, a few times."""
    return Raises(kind, tries, requests=requests)


def final(status: int) -> Raises:
    """T: refused, not billed, with the words of who refused."""
    return Raises(errors.APIError, words="words")


def unknown(status: int = 0) -> Raises:
    """U: a task may have been made; never sent again by itself, the price is named."""
    return Raises(errors.SubmitUnknown, words="$0.03", status=status)


@dataclass(frozen=True)
class Goes:
    """The submit has its task id, or the download its bytes."""

    requests: int = 1


@dataclass(frozen=True)
class Waited:
    """W: waited out. The next look finds the picture, unless the event never ends."""

    requests: int = 2
    ends: bool = True


@dataclass(frozen=True)
class Parked:
    """The task is left for later with its id, after so many looks."""

    requests: int
    words: str = ""


@dataclass(frozen=True)
class Fetch:
    """S or R: the download failed; with `gone` a fresh link is asked for first."""

    gone: bool = False
    requests: int = 1


AGAIN, FRESH = Fetch(), Fetch(gone=True)
W, NEVER = Waited(), Waited(0, ends=False)
UNREACHED = safe(errors.TransportError, requests=0)
HERE = safe(errors.TransportError)
BREAKER_KEY = Raises(errors.KeyRefused, words="Set a valid APIXO_API_KEY")
BREAKER_MONEY = Raises(errors.BalanceTooLow, words="Top up")
BREAKER_ACCESS = Raises(errors.AccessDenied, words="permissions")


@dataclass(frozen=True)
class Row:
    """One event, and what it means for a submit, a poll and a download; None: cannot happen."""

    event: str
    world: Event
    submit: Any
    poll: Any
    download: Any


def http(name: str, act: Act, submit: Any, poll: Any, download: Any) -> Row:
    return Row(name, answered(act), submit, poll, download)


MONEY_400 = sends(answer(400, b'{"code":400,"message":"Insufficient credits","data":null}'))
MONEY_CODE = sends(answer(400, b'{"code":400,"data":{"failCode":"INSUFFICIENT_BALANCE"}}'))
CONTENT_403 = sends(answer(403, b'{"code":403,"message":"Content violates policy"}'))
FOREIGN = sends(answer(502, b'{"error":"bad gateway"}'))
SUCCESS = b'{"code":200,"message":"success","data":{"taskId":"task_1"}}'
UNLISTED = Raises(errors.APIError, words="refused the request")

# fmt: off
MATRIX: Final = [
    # nothing has left this machine
    Row("dns", not_found, UNREACHED, NEVER, Fetch(requests=0)),
    Row("refused", refused, UNREACHED, NEVER, Fetch(requests=0)),
    Row("connect-timeout", not_accepted, UNREACHED, NEVER, Fetch(requests=0)),
    Row("proxy-refuses", proxy_refuses, UNREACHED, NEVER, Fetch(requests=0)),
    Row("certificate", untrusted, Raises(errors.TransportError, words="not trusted", requests=0),
        NEVER, Fetch(requests=0)),
    Row("ConnectError", raised(httpx.ConnectError("x")), HERE, W, AGAIN),
    Row("ConnectTimeout", raised(httpx.ConnectTimeout("x")), HERE, W, AGAIN),
    Row("PoolTimeout", raised(httpx.PoolTimeout("x")), HERE, W, AGAIN),
    Row("ProxyError", raised(httpx.ProxyError("x")), HERE, W, AGAIN),
    Row("UnsupportedProtocol", raised(httpx.UnsupportedProtocol("x")),
        Raises(errors.TransportError), W, AGAIN),
    Row("LocalProtocolError", raised(httpx.LocalProtocolError("x")),
        Raises(errors.TransportError), W, AGAIN),
    # it may have left
    Row("WriteError", raised(httpx.WriteError("x")), unknown(), W, AGAIN),
    Row("WriteTimeout", raised(httpx.WriteTimeout("x")), unknown(), W, AGAIN),
    Row("ReadError", raised(httpx.ReadError("x")), unknown(), W, AGAIN),
    Row("OSError", raised(OSError("x")), unknown(), W, AGAIN),
    Row("SSLError", raised(ssl.SSLError("x")), unknown(), W, AGAIN),
    Row("RuntimeError", raised(RuntimeError("x")), unknown(), W, AGAIN),
    http("reset", resets, unknown(), W, AGAIN),
    http("hang-up", hangs_up, unknown(), W, AGAIN),
    Row("stall", answered(stalls, **IMPATIENT), unknown(), W, AGAIN),
    http("not-http", sends(b"\x16\x03\x01 what?"), unknown(), W, AGAIN),
    # answers
    http("302", page(302, Location="/b"), Raises(errors.APIError, words="redirects"), W, Goes(2)),
    http("304", page(304), Raises(errors.APIError, words="redirects"), W, AGAIN),
    http("400", own(400), final(400), Parked(3, "words"), FRESH),
    http("400-page", page(400), final(400), Parked(3, "words"), FRESH),
    http("401", own(401), BREAKER_KEY, Raises(errors.KeyRefused), FRESH),
    http("402", own(402), BREAKER_MONEY, W, None),
    http("400-insufficient", MONEY_400, BREAKER_MONEY, Parked(3), None),
    http("INSUFFICIENT_BALANCE", MONEY_CODE, BREAKER_MONEY, Parked(3), None),
    http("403", own(403), BREAKER_ACCESS, Raises(errors.AccessDenied), FRESH),
    http("403-content", CONTENT_403, Raises(errors.ContentRefused, words="Change the prompt"),
         Raises(errors.AccessDenied), None),
    http("404", own(404), Raises(errors.TaskNotFound, words="nothing was billed"), W, FRESH),
    http("408", page(408), safe(errors.APIError, tries=2), W, AGAIN),
    http("409", own(409), final(409), Parked(3), FRESH),
    http("410", own(410), final(410), Parked(3), FRESH),
    http("413", page(413), final(413), Parked(3), AGAIN),
    http("414", page(414), final(414), Parked(3), AGAIN),
    http("415", own(415), final(415), Parked(3), AGAIN),
    http("418", own(418), UNLISTED, Parked(3), AGAIN),
    http("422", own(422), final(422), Parked(3), FRESH),
    http("429", own(429), safe(errors.RateLimited), W, AGAIN),
    http("429-page", page(429), safe(errors.RateLimited), W, AGAIN),
    http("500", own(500), safe(errors.ServerError), W, AGAIN),
    http("502", own(502), safe(errors.ServerError), W, AGAIN),
    http("503", own(503), safe(errors.ServerError), W, AGAIN),
    http("500-page", page(500), unknown(500), W, AGAIN),
    http("502-page", page(502), unknown(502), W, AGAIN),
    http("503-page", page(503), unknown(503), W, AGAIN),
    http("502-foreign-json", FOREIGN, unknown(502), W, None),
    http("504", own(504), unknown(504), W, AGAIN),
    http("504-page", page(504), unknown(504), W, AGAIN),
    http("504-says-502", own(504, 502), unknown(502), W, None),
    http("501", own(501), unknown(501), W, AGAIN),
    http("522", page(522), unknown(522), W, AGAIN),
    http("524", own(524), unknown(524), W, AGAIN),
    http("500-says-200", own(500, 200), unknown(500), W, None),
    http("500-says-1001", own(500, 1001), unknown(1001), W, None),
    # a body that says other than its status
    http("200-says-400", own(200, 400), final(400), Parked(3), None),
    http("200-says-401", own(200, 401), BREAKER_KEY, Raises(errors.KeyRefused), None),
    http("200-says-402", own(200, 402), BREAKER_MONEY, W, None),
    http("200-says-403", own(200, 403), BREAKER_ACCESS, Raises(errors.AccessDenied), None),
    http("200-says-429", own(200, 429), safe(errors.RateLimited), W, None),
    http("200-says-500", own(200, 500), safe(errors.ServerError), W, None),
    http("200-says-502", own(200, 502), safe(errors.ServerError), W, None),
    http("200-says-503", own(200, 503), safe(errors.ServerError), W, None),
    http("200-says-504", own(200, 504), unknown(504), W, None),
    http("200-says-1001", own(200, 1001), unknown(1001), W, None),
    http("200-says-0", own(200, 0), unknown(200), W, None),
    http("302-says-502", own(302, 502), Raises(errors.APIError, words="redirects"), W, None),
    http("304-says-504", own(304, 504), Raises(errors.APIError, words="redirects"), W, None),
    http("400-says-1001", own(400, 1001), final(400), Parked(3), None),
    # success, more or less
    http("200-page", page(200), unknown(200), W, None),
    http("200-empty", sends(answer(200, b"")), unknown(200), W, None),
    http("200-cut-json", sends(answer(200, SUCCESS[:-15])), unknown(200), W, None),
    http("200-no-task-id", own(200), unknown(200), W, None),
    http("cut-before-the-id", cut_after(SUCCESS[:-15]), unknown(200), W, AGAIN),
    http("cut-after-the-id", cut_after(SUCCESS[:-2]), Goes(), W, AGAIN),
    Row("stall-after-the-id", answered(stalls_after(SUCCESS[:-2]), **IMPATIENT), Goes(), W, AGAIN),
    http("500-with-an-id", own(500, data={"taskId": "task_1"}), Goes(), W, None),
    http("429-with-an-id", own(429, data={"taskId": "task_1"}), Goes(), W, None),
    http("200-with-an-id", TAKEN, Goes(), W, Goes()),
    http("unknown-state", own(200, data={"state": "dreaming"}), None, W, None),
    http("no-result", own(200, data={"state": "success"}), None, W, None),
    http("result-unreadable", own(200, data={"state": "success", "resultJson": "{"}),
         None, W, None),
    http("result-empty", own(200, data={"state": "success", "resultJson": '{"resultUrls":[]}'}),
         None, W, None),
    http("CONTENT_VIOLATION", own(200, data={"state": "failed", "failCode": "CONTENT_VIOLATION"}),
         None, Raises(errors.ContentRefused), None),
    http("INSUFFICIENT_CREDITS", own(200, data={"state": "failed", "failCode": "INSUFFICIENT_X"}),
         None, Raises(errors.BalanceTooLow), None),
    http("UPSTREAM_ERROR", own(200, data={"state": "failed", "failCode": "UPSTREAM_ERROR"}),
         None, Raises(errors.TaskFailed), None),
    http("unlisted-failure", own(200, data={"state": "failed", "failCode": "NEW"}),
         None, Raises(errors.TaskFailed), None),
    http("compressed", sends(answer(200, b"x", Content_Encoding="gzip")), None, None, AGAIN),
]
# fmt: on


def cells(column: str) -> list[Any]:
    """The cells of one column, named by their event."""
    found = [(row.world, getattr(row, column), row.event) for row in MATRIX]
    return [pytest.param(world, fate, id=name) for world, fate, name in found if fate is not None]


# --- the cells -------------------------------------------------------------------------------


def api(world: World, **more: Any) -> Client:
    options = {"timeout": TIMEOUT} | world.options | more
    return Client("test-key", base_url=world.url, **options)


def outcome(run: Any) -> object:
    """What a coroutine returned, or the error that it raised."""
    try:
        return asyncio.run(run)
    except Exception as error:
        return error


async def submit(world: World, **more: Any) -> str:
    async with api(world, **more) as made:
        return await made.submit(REQUEST)


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


async def poll(world: World, *, deadline: float = 30.0, age: float = 0.0) -> Succeeded:
    clock = Clock()
    more = {"schedule": Schedule(deadline=deadline), "clock": clock, "wall": clock}
    async with api(world, sleep=clock.sleep, **more) as made:
        return await made.wait("task_1", age=age)


async def download(world: World) -> bytes:
    data = bytearray()
    async with api(world) as made:
        await made.download(world.link, data.extend)
    return bytes(data)


def is_ours(error: object) -> bool:
    return isinstance(error, errors.NanoBananaError) and "\n" not in str(error)


@pytest.mark.parametrize(("world", "fate"), cells("submit"))
def test_a_submit(world: Event, fate: Raises | Goes, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most one POST; sent again only where surely no task was made, else named and priced."""
    with world(TAKEN, monkeypatch) as there:
        result = outcome(submit(there))
        assert there.count() == fate.requests
    if isinstance(fate, Goes):
        assert result == "task_1"
        return
    assert type(result) is fate.kind, result
    assert is_ours(result)
    assert fate.words in str(result)
    assert protocol.submit_tries(result) == fate.tries
    assert getattr(result, "retryable", False) is (fate.tries > 1)
    if fate.status is not None:
        assert result.status == fate.status


@pytest.mark.parametrize(("world", "fate"), cells("poll"))
def test_a_poll(world: Event, fate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trouble never fails a task that is paid for: it is waited out, or left with its id."""
    ends = isinstance(fate, Waited)
    with world(DONE if ends else None, monkeypatch) as there:
        result = outcome(poll(there))
        assert there.count() == fate.requests
    if isinstance(fate, Raises):
        assert type(result) is fate.kind, result
        assert is_ours(result)
    elif fate == W:
        assert result == Succeeded((LINK,))
    else:
        assert type(result) is errors.WaitTimeout, result
        assert is_ours(result)
        assert result.task_id == "task_1"
        assert "nb.resume()" in str(result)
        assert getattr(fate, "words", "At the last look") in str(result)


@pytest.mark.parametrize(("world", "fate"), cells("download"))
def test_a_download(world: Event, fate: Fetch | Goes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that is paid for is never given up here: later again, or by a fresh link."""
    with world(PICTURE, monkeypatch) as there:
        result = outcome(download(there))
        assert there.count() == fate.requests
    if isinstance(fate, Goes):
        assert isinstance(result, bytes)
        assert result
        return
    assert type(result) is errors.DownloadError, result
    assert is_ours(result)
    assert (result.gone, result.url) == (fate.gone, there.link)


# --- beside the table ------------------------------------------------------------------------


@pytest.mark.parametrize("code", [500, 502, 503])
@pytest.mark.parametrize("http_status", ["same", 200], ids=["status", "code-in-a-200"])
def test_a_submit_without_resend(code: int, http_status: object) -> None:
    """Who does not believe that a 5xx of the API means "no task" is not sent twice either."""
    act = own(code if http_status == "same" else 200, code)
    with Server(act) as server:
        result = outcome(submit(World(server.url, lambda: 0), resend=False))
        assert type(result) is errors.SubmitUnknown
        assert protocol.submit_tries(result) == 1
        assert server.requests == 1


@pytest.mark.parametrize("act", [own(429), own(408), own(404)], ids=["429", "408", "404"])
def test_without_resend_all_else_is_as_before(act: Act) -> None:
    """Only the three are doubted: a 429 is still sent again, a refusal still final."""
    with Server(act) as server:
        result = outcome(submit(World(server.url, lambda: 0), resend=False))
        assert isinstance(result, errors.APIError)


@pytest.mark.parametrize("column", ["submit", "poll", "download"])
def test_cancelling_passes_through(column: str) -> None:
    """Who cancels gets a cancellation, not an error of ours, and nothing is sent again."""
    run = {"submit": submit, "poll": poll, "download": download}[column]

    async def main(world: World, server: Server) -> None:
        task = asyncio.ensure_future(run(world))
        while not (server.requests or task.done()):
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with Server(stalls) as server:
        world = World(server.url, lambda: 0, server.url + "/a.png")
        asyncio.run(main(world, server))
        assert server.requests == 1


@pytest.mark.parametrize(
    ("after", "wait"),
    [("3", 3), ("2.5", 3), ("0", 3), ("20", 20), ("3600", 30), ("-1", 3), ("nan", 3), ("", 3),
     ("1e309", 3), ("soon", 3), ("Thu, 01 Jan 1970 00:16:49 GMT", 9),
     ("Thu, 01 Jan 1970 00:00:01 GMT", 3)],
)  # fmt: skip
@pytest.mark.parametrize("status", [429, 503])
def test_a_poll_obeys_retry_after(status: int, after: str, wait: float) -> None:
    """In every form; never less than the page's 3 s, never more than a minute or the deadline."""
    clock = Clock()

    async def main() -> Succeeded:
        schedule = Schedule(first_poll=0.0, deadline=30.0)
        more = {"schedule": schedule, "clock": clock, "wall": clock, "sleep": clock.sleep}
        async with Client("test-key", base_url=server.url, **more) as made:
            return await made.wait("task_1")

    with Server(own(status, Retry_After=after), DONE) as server:
        assert asyncio.run(main()) == Succeeded((LINK,))
    assert clock.now == pytest.approx(1000 + wait)


@pytest.mark.parametrize(
    ("after", "seconds"), [("7", 7.0), ("3600", 60.0), ("nan", None), ("-3", 0.0)]
)
def test_a_submit_hands_on_retry_after(after: str, seconds: float | None) -> None:
    """The runner learns how long the API wants it to wait."""
    with Server(own(429, Retry_After=after)) as server:
        result = outcome(submit(World(server.url, lambda: 0)))
    assert isinstance(result, errors.RateLimited)
    assert result.retry_after == seconds


@pytest.mark.parametrize(
    ("age", "looks", "kind"),
    [
        (0.0, 11, errors.WaitTimeout),
        (95.0, 12, errors.TaskNotFound),
        (500.0, 3, errors.TaskNotFound),
    ],
    ids=["just-sent", "nearly-known", "long-sent"],
)
def test_an_unknown_task_is_given_time(age: float, looks: int, kind: type[Exception]) -> None:
    """A 404 says nothing within two minutes of the submit, then it must be said three times."""
    with Server(own(404)) as server:
        world = World(server.url, lambda: server.requests)
        result = outcome(poll(world, deadline=40.0, age=age))
        assert type(result) is kind
        assert server.requests == looks


@pytest.mark.parametrize(
    "data",
    [
        {"state": "success"},
        {"state": "success", "resultJson": "{cut"},
        {"state": "success", "resultJson": '{"resultUrls": []}'},
    ],
    ids=["no-result", "unreadable", "empty"],
)
def test_a_picture_that_never_shows_is_left_for_later(data: object) -> None:
    """Ten looks, not five minutes of them; and the task id is kept for another day."""
    with Server(own(200, data=data)) as server:
        result = outcome(poll(World(server.url, lambda: 0), deadline=900.0))
        assert type(result) is errors.WaitTimeout
        assert result.task_id == "task_1"
        assert "hold no picture" in str(result)
        assert server.requests == 10


def test_refusals_must_come_in_a_row() -> None:
    """Two refusals, a good look, two more: that is trouble, not a refusal of the task."""
    script = [own(400), own(422), RUNNING, own(400), own(503), own(400), own(400), DONE]
    with Server(*script) as server:
        result = outcome(poll(World(server.url, lambda: 0), deadline=900.0))
        assert result == Succeeded((LINK,))
        assert server.requests == len(script)


def test_a_refused_certificate_is_waited_out_and_told() -> None:
    """A hotel's login page does not end a task; the message at the deadline says what it was."""
    with untrusted(DONE, pytest.MonkeyPatch()) as world:
        result = outcome(poll(world))
        assert type(result) is errors.WaitTimeout
        assert "not trusted" in str(result)
