"""The API over HTTP: submit, status, wait, download, balance. The only importer of httpx.

It never sees a path or a row. httpx is imported on first use, because it would more than double
the time that loading the extension takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import io
import itertools
import random
import ssl
import sys
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urljoin, urlsplit

from . import errors, links, pacing, protocol
from .forecast import sample
from .keys import HOW_TO_SET_THE_KEY, Secret
from .lanes import MOST, Lanes
from .models import Failed, ImageRequest, Succeeded, TaskState
from .pacing import Schedule
from .settings import BASE_URL
from .waiting import Trouble, Watch

if TYPE_CHECKING:
    import httpx

MAX_DOWNLOAD: Final = 64 << 20
"""Bytes; a picture of the API is a few megabytes."""
DOWNLOAD_TIME: Final = 300.0
CONNECT_TIME: Final = 10.0
SUBMIT_PATIENCE: Final = 4.0
"""Times the timeout: longer than any gateway's own limit, so that its 504 precedes our doubt."""
TICK: Final = 1.0
"""Seconds; how often a wait looks whether the machine was asleep."""
MAX_REDIRECTS: Final = 3
MAX_ADDRESSES: Final = 3
"""Of one name that are tried: the first may be of a kind that the network here does not carry."""
NEXT_ADDRESS: Final = 3.0
"""Seconds after which another of them is tried; the last has the whole time to connect."""
FAKE: Final = ("198.18.", "198.19.")
"""How addresses begin that a VPN or a local proxy answers in place of the real ones."""
PACKED: Final = frozenset({"gzip", "x-gzip", "deflate"})
COMPRESSED: Final = PACKED | {"br", "zstd", "compress", "x-compress"}
"""Labels that say so; others, such as `none` or `utf-8`, are on bytes that came as they are."""
LAYERS: Final = 3
"""Of packing that are undone in an answer of the API."""
LOOK_TIME: Final = 20.0
"""Seconds for a look at a link while a person waits for it."""
BUSY: Final = frozenset({408, 425, 429})
"""With these a server says that it may answer better another time."""
GONE: Final = frozenset({400, 401, 403, 404, 409, 410, 422})
"""With these a link says that it no longer works: the API may have a fresh one."""


KEPT: Final = 60.0
"""Seconds that an idle connection is kept: longer than the pause before the first look."""


class Bell(Protocol):
    """Rings when there is reason to look at a task at once."""

    async def wait(self, seconds: float) -> bool:
        """Wait so long, or until it rings; whether it has rung since the last wait."""


class Rhythm(Protocol):
    """When to look at a task, and what else has to be heeded before it."""

    @property
    def bell(self) -> Bell | None:
        """What cuts the pauses between two looks short, if anything does."""

    def schedule(self) -> Schedule:
        """The schedule as it is by now."""

    async def turn(self) -> None:
        """Wait until a look is allowed."""

    async def busy(self, error: errors.RateLimited) -> None:
        """A look was answered with 429."""


class Client:
    """The bare API, async: `async with Client(api_key=...) as client`.

    One client belongs to one event loop. It raises the errors of `nanobanana_nb.errors` and no
    others, but for what `on_state` and `write` raise. The key is sent to the API's own origin and
    nowhere else; results are fetched without any credentials.

    `timeout` is seconds for one answer; a submit gets four times that. With `resend=False` the
    API's own 500, 502 and 503 to a submit are not believed to mean that no task was made.
    `transport`, `sleep`, `clock` (monotonic) and `wall` can be replaced for tests.
    """

    def __init__(
        self,
        api_key: str | Secret | None = None,
        *,
        base_url: str = BASE_URL,
        schedule: Schedule | None = None,
        timeout: float = 30.0,
        resend: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        _load_httpx()
        if not api_key:
            raise errors.ConfigError(f"There is no API key. {HOW_TO_SET_THE_KEY}.")
        try:
            self._key = api_key if isinstance(api_key, Secret) else Secret(api_key)
        finally:
            del api_key  # a traceback may show what stands in variables
        self.base_url = base_url
        self.schedule = schedule or Schedule()
        try:
            self._loopback = links.is_loopback(
                links.check(base_url, loopback_allowed=True).hostname
            )
        except errors.RequestError as error:
            raise errors.ConfigError(f"The API's base URL cannot be used: {error}") from None
        self._timeout = timeout
        self._resend = resend
        self._transport = transport
        self._sleep = sleep
        self._clock = clock
        self._wall = wall
        self._made: dict[str, _Connections] = {}
        self._making = asyncio.Lock()
        self._lanes = Lanes()
        self._trip = 0.0
        self.looks = 0
        """Status calls so far."""

    @property
    def on_this_machine(self) -> bool:
        """Whether the API is on loopback, so that links to this machine may be used."""
        return self._loopback

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        while self._made:
            await self._made.popitem()[1].close()

    async def submit(self, request: ImageRequest, callback_url: str = "") -> str:
        """Make a task, which is billed ($0.03) when the API accepts it; its id.

        With a `callback_url` (public https) the API posts what `status` would say there when the
        task has ended. Sent at most once. Raises an `APIError` or `TransportError` where surely no
        task was made, and `SubmitUnknown` where one may have been.
        """
        for url in request.image_urls:
            links.check(url, loopback_allowed=self._loopback)
        if callback_url:
            links.check_callback(callback_url, loopback_allowed=self._loopback)
        answer = await self._call(protocol.submit(request, callback_url), "submit")
        return protocol.read_submit(answer, resend=self._resend)

    async def status(self, task_id: str) -> TaskState:
        """What the task is now: `Running`, `Succeeded` or `Failed`."""
        self.looks += 1
        return protocol.read_status(await self._call(protocol.status(task_id), "ask"))

    async def knows(self, task_id: str) -> bool:
        """Whether the API answers about this very task. Raises as `status` does."""
        self.looks += 1
        answer = await self._call(protocol.status(task_id), "ask")
        protocol.read_status(answer)
        return protocol.read_callback(answer.body) == task_id

    async def balance(self) -> Decimal:
        """US dollars left for this key."""
        return protocol.read_balance(await self._call(protocol.balance(), "ask"))

    async def wait(
        self,
        task_id: str,
        on_state: Callable[[TaskState], None] | None = None,
        *,
        age: float = 0.0,
        rhythm: Rhythm | None = None,
    ) -> Succeeded:
        """Poll until the task has ended; trouble on the way is waited out.

        `age` is seconds since the submit. Time that the machine spends asleep does not count, and
        the task is looked at as soon as it is awake. `rhythm` says when to look, in place of the
        client's own schedule.

        Raises `TaskFailed` or `BalanceTooLow` if it ended without a picture, `WaitTimeout` at the
        deadline or where looking on is of no use for now, at once what a refused key raises, and
        `TaskNotFound` once the task has had the time to become known.
        """
        watch, trouble = Watch(self._clock, self._wall), Trouble(task_id)
        polls, pause, unfinished = 0, 0.0, 0.0
        while True:
            waited = watch.waited
            schedule = rhythm.schedule() if rhythm else self.schedule
            delay = schedule.next_poll(polls, waited, age=age, at_least=pause, trip=self._trip)
            if delay is None:
                raise trouble.left(f"is still running after {waited:.0f} s. It goes on", waited)
            await self._rest(delay, watch, rhythm.bell if rhythm else None)
            if rhythm is not None:
                await rhythm.turn()
            polls, pause = polls + 1, 0.0
            asked = watch.waited
            try:
                state = await self._look(task_id, watch)
            except (errors.APIError, errors.TransportError) as error:
                trouble.note(error, watch.waited, age)
                pause = getattr(error, "retry_after", None) or 0.0
                if rhythm is not None and isinstance(error, errors.RateLimited):
                    await rhythm.busy(error)
                continue
            self._trip += 0.2 * (watch.waited - asked - self._trip)
            if on_state is not None:
                on_state(state)
            if isinstance(state, Failed):
                raise protocol.task_failed(state, task_id)
            seen = age + (asked + watch.waited) / 2
            if isinstance(state, Succeeded):
                took = sample(unfinished, seen, state.seconds, state.within)
                return replace(state, took=None if watch.has_slept else took)
            trouble.saw(state, watch.waited)
            unfinished = seen

    async def _rest(self, seconds: float, watch: Watch, bell: Bell | None) -> None:
        """Sleep, in pieces; no longer once the bell rings or the machine has been asleep itself."""
        while seconds > 0:
            piece = min(seconds, TICK)
            if bell is None:
                await self._sleep(piece)
            elif await bell.wait(piece):
                return None
            if watch.slept(piece):
                return await self._renew("ask")
            seconds -= piece
        return None

    async def _look(self, task_id: str, watch: Watch) -> TaskState:
        """The state of the task; asked anew at once when the machine slept over the question."""
        while True:
            asking = asyncio.ensure_future(self.status(task_id))
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen
            slept = False
            try:
                while not asking.done() and not slept:
                    await asyncio.wait({asking}, timeout=TICK)
                    slept = watch.slept(TICK)
            finally:
                if not asking.done():
                    asking.cancel()
                    await asyncio.wait({asking}, timeout=TICK)
            if not slept or not (asking.cancelled() or asking.exception()):
                return asking.result()
            await self._renew("ask")

    async def download(self, url: str, write: Callable[[bytes], object]) -> int:
        """Fetch a result and pass it on piece by piece; its length in bytes.

        Only over https from public addresses (loopback when the API itself is there), without
        credentials, cookies or compression, at most 64 MiB in 5 minutes. Raises `DownloadError`.
        """
        length = 0
        limit = asyncio.timeout(DOWNLOAD_TIME)
        try:
            async with (
                self._lanes.take("fetch"),
                limit,
                contextlib.aclosing(self._pieces(url)) as pieces,
            ):
                async for piece in pieces:
                    write(piece)
                    length += len(piece)
        except TimeoutError:
            if not limit.expired():
                raise
            raise _broken(url, f"it took more than {DOWNLOAD_TIME:.0f} s", unreached=True) from None
        return length

    async def look(self, url: str, most: int) -> bytes:
        """What a link that somebody gives leads to, fetched as a result is, within 20 seconds.

        Raises `RequestError` where it leads to no picture of up to `most` bytes, and
        `TransportError` where the network or the server is in trouble, so that nothing is known.
        """
        found = io.BytesIO()

        def take(piece: bytes) -> None:
            if found.tell() + len(piece) > most:
                raise errors.RequestError(
                    f"{links.shorten(url)!r} is larger than the {most / 1e6:.0f} MB that the API "
                    "takes; give a smaller picture."
                )
            found.write(piece)

        try:
            async with asyncio.timeout(LOOK_TIME):
                await self.download(url, take)
        except TimeoutError:
            raise errors.TransportError(f"It took more than {LOOK_TIME:.0f} s.") from None
        except errors.DownloadError as error:
            if error.unreached:
                raise errors.TransportError(str(error)) from None
            _, _, why = str(error).partition(": ")
            raise errors.RequestError(f"{links.shorten(url)!r} is not a picture: {why}") from None
        return found.getvalue()

    async def knock(self, url: str) -> int:
        """The HTTP status with which a callback address answers an empty POST without credentials.

        Raises `RequestError` for an address that the API could not call, and `TransportError` where
        nothing answers within 10 seconds.
        """
        links.check_callback(url, loopback_allowed=self._loopback)
        try:
            pool = await self._http("relay" if self._is_relayed(_host(url)) else "fetch")
            async with pool, asyncio.timeout(CONNECT_TIME):
                return int((await pool.http.post(url, content=b"{}")).status_code)
        except Exception as error:  # noqa: BLE001 - whatever it is, the address does not answer
            host = links.split(url).hostname
            raise errors.TransportError(f"{host} does not answer ({_reason(error)}).") from None

    async def _pieces(self, url: str) -> AsyncGenerator[bytes]:
        """The bytes of a result; whatever goes wrong with the network is a `DownloadError`."""
        try:
            async with self._get(url) as response:
                _check(response, url)
                length = 0
                async for piece in response.aiter_raw():
                    length += len(piece)
                    if length > MAX_DOWNLOAD:
                        raise _too_large(url)
                    yield piece
                _check_length(response, url, length)
        except errors.NanoBananaError:
            raise
        except Exception as error:  # noqa: BLE001 - none of the network's errors leaves the client
            raise _broken(url, _reason(error), unreached=True) from None

    @contextlib.asynccontextmanager
    async def _get(self, url: str) -> AsyncIterator[httpx.Response]:
        """A streamed answer, redirects followed by hand so that every hop is checked."""
        for _ in range(MAX_REDIRECTS + 1):
            way, addresses = await self._way(url)
            pool = await self._http(way)
            try:
                async with pool:
                    response = await self._sent(pool.http, url, addresses)
                    try:
                        if not response.is_redirect:
                            yield response
                            return
                        url = urljoin(url, response.headers["Location"])
                    finally:
                        await response.aclose()
            except errors.NanoBananaError:
                raise
            except Exception:
                await self._renew(way, pool)
                raise
        raise _broken(url, "it redirects too often")

    async def _sent(
        self, http: httpx.AsyncClient, url: str, addresses: Sequence[str]
    ) -> httpx.Response:
        """The answer of the first of the addresses that can be connected to; without any, of the
        host that the link names."""
        import httpx

        for place, address in enumerate(addresses or [""], 1):
            request = http.build_request("GET", url)
            if address:
                request.headers["Host"] = request.url.netloc.decode()
                request.extensions = {**request.extensions, "sni_hostname": _host(url)}
                request.url = request.url.copy_with(host=address)
            if place < len(addresses):
                patience = dict(request.extensions["timeout"])
                patience["connect"] = min(patience["connect"], NEXT_ADDRESS)
                request.extensions = {**request.extensions, "timeout": patience}
            try:
                return await http.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if place >= len(addresses):
                    raise
        raise AssertionError("the last address returns or raises")

    async def _way(self, url: str) -> tuple[str, list[str]]:
        """By which connections a link is fetched, and from which addresses, all of them checked.

        No others are connected to, whatever the name leads to a moment later. A proxy resolves
        names itself, and only it knows its network: for it the link and the name are checked.
        """
        try:
            parts = links.check(url, loopback_allowed=self._loopback)
        except errors.RequestError as error:
            raise errors.DownloadError(f"The result is not fetched: {error}", url=url) from None
        if links.is_loopback(parts.hostname) or self._transport is not None:
            return "fetch", []
        host = _host(url)
        shown = links.shorten(host)
        if self._is_relayed(host):
            if not links.may_be_public(host):
                raise _broken(url, f"{shown} is a name of a private network")
            return "relay", []
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, parts.port or 443, type=1)
        except OSError:
            raise _broken(url, f"{shown} is not found", unreached=True) from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not all(links.is_public(address) for address in addresses):
            why = f"{shown} leads into a private network"
            if any(address.startswith(FAKE) for address in addresses):
                why += ", as with the fake-ip DNS of a VPN; turn that off or set HTTPS_PROXY"
            raise _broken(url, why)
        return "fetch", _by_turns(addresses)[:MAX_ADDRESSES]

    def _is_relayed(self, host: str) -> bool:
        """Whether a proxy leads to a host."""
        return not self._loopback and self._transport is None and bool(_proxy(host))

    async def _call(self, call: protocol.Call, purpose: str) -> protocol.Answer:
        """The API's answer, also where its body was cut: its status says something all the same.

        Raises `TransportError` where nothing was sent or nothing is lost, else `SubmitUnknown`.
        """
        headers = {"Content-Type": "application/json"} if call.body else None
        try:
            pool = await self._http(purpose)
            request = pool.http.build_request(
                call.method, self.base_url + call.path, content=call.body, headers=headers
            )
        except Exception as error:  # noqa: BLE001 - a broken proxy setting, address or trust store
            raise self._never_sent(call, error, retryable=False) from None
        body = bytearray()
        response: httpx.Response | None = None
        try:
            async with (
                self._lanes.take(purpose),
                pool,
                asyncio.timeout(CONNECT_TIME + self._patience(purpose)),
            ):
                response = await self._sent_with_key(pool.http, request)
                try:
                    # A transport of a test's may have read the answer, and unpacked it, itself.
                    read = response.is_stream_consumed
                    async for piece in response.aiter_bytes() if read else response.aiter_raw():
                        body += piece
                        if len(body) > protocol.MAX_ANSWER:
                            break
                finally:
                    await response.aclose()
        except Exception as error:  # noqa: BLE001 - the POST may have begun, so all of it counts
            await self._renew(purpose, pool)
            if response is None:
                raise self._failure(call, error) from None
        retry_after = pacing.read_retry_after(response.headers.get("Retry-After"), self._wall())
        packed = response.headers.get("Content-Encoding", "")
        told = self._key.hidden_in(_unpacked(bytes(body), packed))
        return protocol.Answer(response.status_code, told, retry_after)

    async def _sent_with_key(
        self, http: httpx.AsyncClient, request: httpx.Request
    ) -> httpx.Response:
        handled = sys.exception()  # by whoever calls us
        try:
            return await http.send(request, auth=self._authorised, stream=True)
        except BaseException as error:
            _forget_frames(error, handled)  # the key stands in their variables
            raise

    def _authorised(self, request: httpx.Request) -> httpx.Request:
        """The request with the key, which so stands in no local variable that a traceback shows."""
        request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        return request

    def _failure(self, call: protocol.Call, error: Exception) -> errors.NanoBananaError:
        """The error for a call without an answer: was anything sent, and does it matter?"""
        import httpx

        if isinstance(error, httpx.ConnectError) and _certificate_refused(error):
            return errors.TransportError(
                f"The certificate of {self.base_url} is not trusted ({_reason(error)}), so nothing "
                "was sent. Check APIXO_BASE_URL, the clock and what stands between (proxy, Wi-Fi).",
                retryable=False,
            )
        if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
            return self._never_sent(call, error, retryable=False)
        unreached = httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError
        if isinstance(error, unreached):
            return self._never_sent(call, error)
        if call.method == "POST":
            return protocol.maybe_billed(_reason(error))
        return errors.TransportError(f"The API did not answer ({_reason(error)}).")

    def _never_sent(
        self, call: protocol.Call, error: Exception, *, retryable: bool = True
    ) -> errors.TransportError:
        so = ", so no task was made" if call.method == "POST" else ""
        return errors.TransportError(
            f"The API at {self.base_url} cannot be reached ({_reason(error)}){so}. "
            "Check the network and APIXO_BASE_URL, then try again.",
            retryable=retryable,
        )

    def _patience(self, purpose: str) -> float:
        """Seconds for one answer."""
        return self._timeout * (SUBMIT_PATIENCE if purpose == "submit" else 1)

    async def _http(self, purpose: str) -> _Connections:
        """The connections for one purpose, made on first use on the loop that uses them."""
        async with self._making:
            if purpose not in self._made:
                self._made[purpose] = _Connections(await self._make(purpose))
            return self._made[purpose]

    async def _renew(self, purpose: str, only: _Connections | None = None) -> None:
        """Use new connections from now on: the kept ones may be dead, each worth a timeout.

        With `only`, those: another one may have renewed them already.
        """
        current = self._made.get(purpose)
        if current is not None and only in (None, current):
            del self._made[purpose]
            await current.retire()

    async def _make(self, purpose: str) -> httpx.AsyncClient:
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        import httpx

        patience = self._patience(purpose)
        options: dict[str, Any] = {
            "timeout": httpx.Timeout(patience, connect=min(CONNECT_TIME, self._timeout)),
            # Not compressed: a bomb cannot be, and an id can be read from half an answer.
            "headers": {"User-Agent": f"nanobanana-nb/{_version()}", "Accept-Encoding": "identity"},
            "follow_redirects": False,
            # A proxy from the environment is for the internet, not for this machine; by which of
            # the two ways a link is fetched, its check has said.
            "trust_env": not self._loopback and purpose not in ("fetch", "relay"),
            "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            "transport": self._transport,
        }
        if purpose == "relay":
            options["proxy"] = _proxy()
        if self._transport is None:
            trusted = await self._tls()
            options["verify"] = trusted
        # A kept connection may have died unseen, which makes a submit ambiguous for nothing.
        kept = 0 if purpose == "submit" else MOST["fetch" if purpose == "relay" else purpose]
        options["limits"] = httpx.Limits(
            max_connections=None, max_keepalive_connections=kept, keepalive_expiry=KEPT
        )
        return httpx.AsyncClient(**options)

    async def _tls(self) -> ssl.SSLContext:
        if self._loopback:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody; loopback is plain http
        return await asyncio.to_thread(_trusting)


class _Connections:
    """The connections for one purpose. Retired ones close when nobody uses them any more."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self._users = 0
        self._retired = False

    async def __aenter__(self) -> None:
        self._users += 1

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if self._retired and not self._users:
            await self.close()

    async def retire(self) -> None:
        """Close as soon as the last user has gone."""
        self._retired = True
        if not self._users:
            await self.close()

    async def close(self) -> None:
        """Close now. That a dead connection cannot be closed well is no news to anybody."""
        with contextlib.suppress(Exception):
            await self.http.aclose()


def _check(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status in BUSY or status >= 500:
        raise _broken(url, f"HTTP {status}", unreached=True)
    if status != 200:
        raise _broken(url, f"HTTP {status}", gone=status in GONE)
    if not COMPRESSED.isdisjoint(_labels(response.headers.get("Content-Encoding", ""))):
        raise _broken(url, "it is compressed, which was not asked for")
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > MAX_DOWNLOAD:
        raise _too_large(url)


def _too_large(url: str) -> errors.DownloadError:
    return _broken(url, f"it is larger than {MAX_DOWNLOAD >> 20} MiB")


def _labels(packed: str) -> list[str]:
    """What a Content-Encoding says was done to the bytes, in that order."""
    return [label.strip().lower() for label in packed.split(",")]


def _unpacked(body: bytes, packed: str) -> bytes:
    """The bytes of an answer that came packed unasked, as far as an answer may go. Never less than
    came: labels lie, and what is in it may be the id of a task that is paid for."""
    for label in reversed(_labels(packed)[-LAYERS:]):
        if label in PACKED and not body.lstrip().startswith(b"{"):
            body = _inflated(body) or body
    return body


def _inflated(body: bytes) -> bytes:
    """One layer less; nothing where it is none that is known."""
    for bits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # gzip or zlib; deflate without a head
        with contextlib.suppress(zlib.error):
            return zlib.decompressobj(bits).decompress(body, protocol.MAX_ANSWER)
    return b""


def _check_length(response: httpx.Response, url: str, length: int) -> None:
    expected = response.headers.get("Content-Length")
    if expected is not None and expected.isdigit() and int(expected) != length:
        raise _broken(
            url, f"it was cut off after {length:,} of {int(expected):,} bytes", unreached=True
        )


def _broken(
    url: str, why: str, *, gone: bool = False, unreached: bool = False
) -> errors.DownloadError:
    """The link's query is left out of the message: it may hold a signature."""
    place = "the link"
    with contextlib.suppress(ValueError):
        place = protocol.clean(urlsplit(url).hostname or "", 80) or place
    return errors.DownloadError(
        f"The picture could not be fetched from {place}: {why}.",
        url=url,
        gone=gone,
        unreached=unreached,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "its answer took too long"
    return protocol.clean(error) or type(error).__name__


def _forget_frames(error: BaseException, handled: BaseException | None) -> None:
    """Take from an error, and from those that led to it, the frames that they came through; but
    not from what was being handled before, which is somebody else's."""
    theirs = _with_causes(handled)
    for number, one in _with_causes(error).items():
        if number not in theirs:
            one.__traceback__ = None


def _with_causes(error: BaseException | None) -> dict[int, BaseException]:
    """By their identity, for not every error has a hash."""
    found: dict[int, BaseException] = {}
    ahead = [error]
    while ahead:
        if (one := ahead.pop()) is not None and id(one) not in found:
            found[id(one)] = one
            ahead += [one.__cause__, one.__context__]
    return found


def _certificate_refused(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


def _host(url: str) -> str:
    """The host that a connection is made to, in ASCII."""
    import httpx

    return httpx.URL(url).raw_host.decode()


def _by_turns(addresses: Sequence[str]) -> list[str]:
    """IPv6 and IPv4 in turn, for a network may carry only one of the two; the first stays first."""
    first: list[str] = []
    other: list[str] = []
    for address in addresses:
        (first if (":" in address) == (":" in addresses[0]) else other).append(address)
    turns = itertools.zip_longest(first, other)
    return [address for turn in turns for address in turn if address]


def _proxy(host: str = "") -> str:
    """The proxy that leads to a host over https; nothing where there is none for it."""
    from urllib.request import getproxies, proxy_bypass_environment  # type: ignore[attr-defined]

    known = getproxies()
    proxy = known.get("https") or known.get("all") or ""
    if host and proxy_bypass_environment(host, known):
        return ""
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"


@functools.cache
def _trusting() -> ssl.SSLContext:
    """One context for the whole process: reading the trust store takes 40 ms, off the loop."""
    import httpx

    return httpx.create_ssl_context()


def _load_httpx() -> None:
    """Load now what httpx would load in the midst of the first submit, stalling the loop 0.3 s."""
    for name in ("httpx", "httpcore", "anyio._backends._asyncio"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    _version()  # the first time it searches all that is installed


@functools.cache
def _version() -> str:
    try:
        return version("nanobanana-nb")
    except PackageNotFoundError:
        return "0"


def chance() -> float:
    """A random number from 0 to 1, to spread retries."""
    return random.random()  # noqa: S311
