"""The API over HTTP: submit, status, wait, download, balance. The only importer of httpx.

It never sees a path or a row. httpx is imported on first use, because it would more than double
the time that loading the extension takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

from . import errors, links, pacing, protocol
from .models import Failed, ImageRequest, Running, Succeeded, TaskState
from .pacing import Schedule
from .settings import BASE_URL, HOW_TO_SET_THE_KEY, Secret

if TYPE_CHECKING:
    import httpx

MAX_DOWNLOAD: Final = 64 << 20
"""Bytes; a picture of the API is a few megabytes."""
DOWNLOAD_TIME: Final = 300.0
SUBMIT_TIMEOUT: Final = 120.0
"""Seconds; longer than any gateway's own limit, so that its 504 comes before our doubt."""
EARLY_404: Final = 120.0
"""Seconds after a submit in which an unknown task id may just not have spread yet."""
MAX_REDIRECTS: Final = 3


class Client:
    """The bare API, async: `async with Client(api_key=...) as client`.

    One client belongs to one event loop. It raises the errors of `nanobanana_nb.errors` and no
    others. The key is sent to the API's own origin and nowhere else; results are fetched without
    any credentials. `transport`, `sleep` and `clock` can be replaced for tests.
    """

    def __init__(
        self,
        api_key: str | Secret | None = None,
        *,
        base_url: str = BASE_URL,
        schedule: Schedule | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        import httpx  # noqa: F401 - here, and not for the first time on a loop that it would stall

        if not api_key:
            raise errors.ConfigError(f"There is no API key. {HOW_TO_SET_THE_KEY}.")
        self._key = api_key if isinstance(api_key, Secret) else Secret(api_key)
        self.base_url = base_url
        self.schedule = schedule or Schedule()
        self._loopback = links.is_loopback(urlsplit(base_url).hostname)
        self._transport = transport
        self._sleep = sleep
        self._clock = clock
        self._stack = contextlib.AsyncExitStack()
        self._made: dict[str, httpx.AsyncClient] = {}
        self._making = asyncio.Lock()
        self._context: ssl.SSLContext | None = None

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
        await self._stack.aclose()
        self._made.clear()

    async def submit(self, request: ImageRequest) -> str:
        """Make a task, which is billed ($0.03) when the API accepts it; its id.

        Sent at most once. Raises an `APIError` or `TransportError` where surely no task was made,
        and `SubmitUnknown` where one may have been.
        """
        for url in request.image_urls:
            links.check(url, loopback_allowed=self._loopback)
        return protocol.read_submit(await self._call(protocol.submit(request), "submit"))

    async def status(self, task_id: str) -> TaskState:
        """What the task is now: `Running`, `Succeeded` or `Failed`."""
        return protocol.read_status(await self._call(protocol.status(task_id), "ask"))

    async def balance(self) -> Decimal:
        """US dollars left for this key."""
        return protocol.read_balance(await self._call(protocol.balance(), "ask"))

    async def wait(
        self, task_id: str, on_state: Callable[[TaskState], None] | None = None
    ) -> Succeeded:
        """Poll until the task has ended; trouble on the way is waited out.

        Raises `TaskFailed` or `BalanceTooLow` if it ended without a picture, `WaitTimeout` at the
        deadline, and at once what a key that is refused or a task that is unknown raises.
        """
        begun = self._clock()
        polls, pause = 0, 0.0
        while True:
            waited = self._clock() - begun
            delay = self.schedule.next_poll(polls, waited)
            if delay is None:
                raise errors.WaitTimeout(
                    f"Task {task_id} is still running after {waited:.0f} s. It goes on and is "
                    "paid for; nb.resume() collects it later.",
                    task_id=task_id,
                    waited=waited,
                )
            await self._sleep(max(delay, pause))
            polls += 1
            try:
                state = await self.status(task_id)
            except (errors.KeyRefused, errors.AccessDenied):
                raise
            except errors.TaskNotFound:
                if self._clock() - begun > EARLY_404:
                    raise
                continue
            except (errors.APIError, errors.TransportError) as error:
                pause = getattr(error, "retry_after", None) or 0.0
                continue
            pause = 0.0
            if on_state is not None:
                on_state(state)
            if isinstance(state, Failed):
                raise protocol.task_failed(state, task_id)
            if isinstance(state, Succeeded):
                return state
            assert isinstance(state, Running)  # noqa: S101 - for the reader and the type checker

    async def download(self, url: str, write: Callable[[bytes], object]) -> int:
        """Fetch a result and pass it on piece by piece; its length in bytes.

        Only over https from public addresses (loopback when the API itself is there), without
        credentials, cookies or compression, at most 64 MiB in 5 minutes. Raises `DownloadError`.
        """
        import httpx

        try:
            async with asyncio.timeout(DOWNLOAD_TIME), self._get(url) as response:
                return await _copy(response, url, write)
        except TimeoutError:
            raise _broken(url, f"it took more than {DOWNLOAD_TIME:.0f} s") from None
        except httpx.HTTPError as error:
            raise _broken(url, _reason(error)) from None

    @contextlib.asynccontextmanager
    async def _get(self, url: str) -> AsyncIterator[httpx.Response]:
        """A streamed answer, redirects followed by hand so that every hop is checked."""
        http = await self._http("fetch")
        for _ in range(MAX_REDIRECTS + 1):
            request = http.build_request("GET", url, headers={"Accept-Encoding": "identity"})
            await self._pin(request, url)
            response = await http.send(request, stream=True)
            try:
                if not response.is_redirect:
                    yield response
                    return
                url = urljoin(url, response.headers["Location"])
            finally:
                await response.aclose()
        raise _broken(url, "it redirects too often")

    async def _pin(self, request: httpx.Request, url: str) -> None:
        """Check where the link leads and tie the request to the address that was checked."""
        try:
            parts = links.check(url, loopback_allowed=self._loopback)
        except errors.RequestError as error:
            raise errors.DownloadError(f"The result is not fetched: {error}", url=url) from None
        host = str(parts.hostname)
        if links.is_loopback(host) or self._transport is not None or _proxied():
            return
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, parts.port or 443, type=1)
        except OSError:
            raise _broken(url, f"{host} is not found") from None
        addresses = [str(entry[4][0]) for entry in found]
        if not all(links.is_public(address) for address in addresses):
            raise _broken(url, f"{host} leads into a private network")
        request.headers["Host"] = request.url.netloc.decode()
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = request.url.copy_with(host=addresses[0])

    async def _call(self, call: protocol.Call, purpose: str) -> protocol.Answer:
        import httpx

        http = await self._http(purpose)
        headers = {"Content-Type": "application/json"} if call.body else None
        url = self.base_url + call.path
        try:
            async with http.stream(
                call.method, url, content=call.body, headers=headers, auth=self._authorised
            ) as response:
                body = await _read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as e:
            raise errors.TransportError(
                f"The API at {self.base_url} cannot be reached ({_reason(e)}), so no task was "
                "made. Check the network and APIXO_BASE_URL, then try again."
            ) from None
        except httpx.HTTPError as error:
            if call.method == "POST":
                raise protocol.maybe_billed(_reason(error)) from None
            raise errors.TransportError(f"The API did not answer ({_reason(error)}).") from None
        retry_after = pacing.read_retry_after(response.headers.get("Retry-After"), time.time())
        return protocol.Answer(response.status_code, body, retry_after)

    def _authorised(self, request: httpx.Request) -> httpx.Request:
        """The request with the key, which so stands in no local variable that a traceback shows."""
        request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        return request

    async def _http(self, purpose: str) -> httpx.AsyncClient:
        """The connections for one purpose, made on first use on the loop that uses them."""
        async with self._making:
            if purpose not in self._made:
                self._made[purpose] = await self._stack.enter_async_context(
                    await self._make(purpose)
                )
            return self._made[purpose]

    async def _make(self, purpose: str) -> httpx.AsyncClient:
        import httpx

        options: dict[str, Any] = {
            "timeout": httpx.Timeout(30.0, connect=10.0),
            "headers": {"User-Agent": f"nanobanana-nb/{_version()}"},
            "follow_redirects": False,
            # A proxy from the environment is for the internet, not for this machine.
            "trust_env": not self._loopback,
            "transport": self._transport,
        }
        if self._transport is None:
            options["verify"] = await self._tls()
        if purpose == "submit":
            # A kept connection may have died unseen, which makes a submit ambiguous for nothing.
            options["limits"] = httpx.Limits(max_keepalive_connections=0)
            options["timeout"] = httpx.Timeout(SUBMIT_TIMEOUT, connect=10.0)
        return httpx.AsyncClient(**options)

    async def _tls(self) -> ssl.SSLContext:
        """One context for all connections; reading the trust store takes 40 ms, off the loop."""
        import httpx

        if self._loopback:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody; loopback is plain http
        if self._context is None:
            self._context = await asyncio.to_thread(httpx.create_ssl_context)
        return self._context


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > protocol.MAX_ANSWER:
            break
    return bytes(body)


async def _copy(response: httpx.Response, url: str, write: Callable[[bytes], object]) -> int:
    if response.status_code != 200:
        gone = response.status_code in (403, 404, 410)
        raise _broken(url, f"HTTP {response.status_code}", gone=gone)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _broken(url, "it is compressed, which was not asked for")
    length = 0
    async for piece in response.aiter_raw():
        length += len(piece)
        if length > MAX_DOWNLOAD:
            raise _broken(url, f"it is larger than {MAX_DOWNLOAD >> 20} MiB")
        write(piece)
    expected = response.headers.get("Content-Length")
    if expected is not None and expected.isdigit() and int(expected) != length:
        raise _broken(url, f"it was cut off after {length:,} of {int(expected):,} bytes")
    return length


def _broken(url: str, why: str, *, gone: bool = False) -> errors.DownloadError:
    """The link's query is left out of the message: it may hold a signature."""
    place = urlsplit(url).hostname or "the link"
    return errors.DownloadError(
        f"The picture could not be fetched from {place}: {why}.", url=url, gone=gone
    )


def _reason(error: Exception) -> str:
    return protocol.clean(error) or type(error).__name__


def _proxied() -> bool:
    """Behind a proxy the proxy resolves names, and only it can be connected to."""
    from urllib.request import getproxies

    return "https" in getproxies() or "all" in getproxies()


def _version() -> str:
    try:
        return version("nanobanana-nb")
    except PackageNotFoundError:
        return "0"


def chance() -> float:
    """A random number from 0 to 1, to spread retries."""
    return random.random()  # noqa: S311
