"""The client against the sandbox on real sockets, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from nanobanana_nb import Client, ConfigError, ImageRequest, Sandbox, Schedule, errors
from nanobanana_nb.models import ASPECT_RATIOS, Running, Succeeded

QUICK = Schedule(first_poll=0.0, poll_interval=0.01, deadline=20.0)
LINK = "https://example.com/a.png"


def client(url: str, schedule: Schedule = QUICK, **more: object) -> Client:
    return Client("test-key", base_url=url, schedule=schedule, **more)


def draw(sandbox: Sandbox, prompt: str, **options: object) -> bytes:
    """Submit, wait and download, as a user of the bare client would."""

    async def main() -> bytes:
        async with client(sandbox.url) as api:
            task_id = await api.submit(ImageRequest(prompt, **options))
            done = await api.wait(task_id)
            data = bytearray()
            for url in done.image_urls:
                await api.download(url, data.extend)
            return bytes(data)

    return asyncio.run(main())


def failing(sandbox: Sandbox, prompt: str) -> Exception:
    with pytest.raises(errors.NanoBananaError) as caught:
        draw(sandbox, prompt)
    return caught.value


@pytest.mark.parametrize("ratio", ASPECT_RATIOS)
def test_every_ratio_and_format_is_drawn(sandbox: Sandbox, ratio: str) -> None:
    """Text to image, through the whole contract."""
    assert draw(sandbox, "a fox", aspect_ratio=ratio).startswith(b"\x89PNG")
    assert draw(sandbox, "a fox", aspect_ratio=ratio, output_format="jpeg")[:2] == b"\xff\xd8"


def test_image_to_image_sends_the_references(sandbox: Sandbox, tmp_path: Path) -> None:
    """In their order, as links that the API really fetched."""
    file = tmp_path / "a.png"
    file.write_bytes(draw(sandbox, "a fox"))
    links = (sandbox.share(file), sandbox.share(file))
    assert draw(sandbox, "at sunrise", image_urls=links).startswith(b"\x89PNG")
    sent = sandbox.tasks[-1].request["input"]
    assert (sent["mode"], sent["image_urls"]) == ("image-to-image", list(links))


@pytest.mark.parametrize(
    "quirk",
    ["object", "no-cost", "upper", "processing_r2", "null-data", "early-404", "poll-500",
     "poll-html"],
)  # fmt: skip
def test_quirks_on_the_way_do_not_lose_a_picture(sandbox: Sandbox, quirk: str) -> None:
    """Odd states, nulls, early 404 and passing trouble are waited out."""
    assert draw(sandbox, f"[sandbox {quirk}] a fox").startswith(b"\x89PNG")
    assert sandbox.counts["accepted"] == 1


def test_several_results_are_several_links(sandbox: Sandbox) -> None:
    """`resultUrls` may hold more than one."""
    assert draw(sandbox, "[sandbox two] a fox").count(b"IEND") == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("400", errors.APIError),
        ("401", errors.KeyRefused),
        ("402", errors.BalanceTooLow),
        ("403", errors.AccessDenied),
        ("404", errors.TaskNotFound),
        ("429", errors.RateLimited),
        ("500", errors.ServerError),
        ("502", errors.ServerError),
        ("503", errors.ServerError),
        ("504", errors.SubmitUnknown),
        ("insufficient", errors.BalanceTooLow),
        ("envelope-402", errors.BalanceTooLow),
        ("gateway-502", errors.SubmitUnknown),
        ("gateway-503", errors.SubmitUnknown),
        ("gateway-504", errors.SubmitUnknown),
        ("drop", errors.SubmitUnknown),
        ("CONTENT_VIOLATION", errors.ContentRefused),
        ("INVALID_IMAGE_URL", errors.TaskFailed),
        ("INVALID_PARAMETER", errors.TaskFailed),
        ("INSUFFICIENT_BALANCE", errors.BalanceTooLow),
        ("UPSTREAM_ERROR", errors.TaskFailed),
        ("TIMEOUT", errors.TaskFailed),
        ("cut", errors.DownloadError),
        ("expired", errors.DownloadError),
    ],
)
def test_every_fault_is_an_error_of_ours_and_is_sent_once(sandbox: Sandbox, fault, kind) -> None:
    """One POST each: the bare client never repeats a submit."""
    assert type(failing(sandbox, f"[sandbox {fault}] a fox")) is kind
    assert sandbox.counts["submit"] == 1


def test_an_api_that_cannot_be_reached_is_safe_to_repeat() -> None:
    """Nothing left this machine, and the message names the address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

        async def main() -> None:
            async with client(url) as api:
                await api.submit(ImageRequest("a fox"))

        with pytest.raises(errors.TransportError, match=r"cannot be reached .* no task was made"):
            asyncio.run(main())


def test_without_a_key_there_is_a_clear_error() -> None:
    """It says how to set one."""
    with pytest.raises(ConfigError, match="APIXO_API_KEY"):
        Client()


def test_the_deadline_names_the_task(sandbox: Sandbox) -> None:
    """A task that runs for ever is left with its id; time is injected, nobody waits."""
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    async def main() -> str:
        api = client(sandbox.url, Schedule(), sleep=sleep, clock=lambda: now[0])
        async with api:
            task_id = await api.submit(ImageRequest("[sandbox forever] a fox"))
            with pytest.raises(errors.WaitTimeout, match=task_id) as caught:
                await api.wait(task_id)
            assert caught.value.task_id == task_id
            return task_id

    asyncio.run(main())
    assert now[0] == 900
    assert sandbox.counts["status"] == 1 + 297  # 10 s, then every 3 s, the last cut to fit


def test_polls_follow_the_page_and_obey_retry_after() -> None:
    """10, 3, 3 ... and what a 429 asks for in between."""
    slept: list[float] = []
    answers = [(200, "pending", {}), (429, "", {"Retry-After": "7"}), (200, "success", {})]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    def status(handler: BaseHTTPRequestHandler) -> None:
        code, state, headers = answers.pop(0)
        data = f'{{"state":"{state}","resultJson":"{{\\"resultUrls\\":[\\"{LINK}\\"]}}"}}'
        reply(handler, code, f'{{"code":{code},"data":{data}}}'.encode(), headers)

    async def main(url: str) -> Succeeded:
        seen: list[object] = []
        async with client(url, Schedule(), sleep=sleep) as api:
            done = await api.wait("t1", seen.append)
        assert seen == [Running("pending"), done]
        return done

    with serving(status) as url:
        assert asyncio.run(main(url)) == Succeeded((LINK,))
    assert sum(slept) == 10 + 3 + 7
    assert max(slept) == 1  # in pieces, so that a machine that wakes up is noticed


def reply(handler: BaseHTTPRequestHandler, code: int, body: bytes, headers: dict[str, str]) -> None:
    handler.send_response(code)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


class serving:  # noqa: N801 - reads as a verb
    """A server that answers with a function and remembers the headers it saw."""

    def __init__(self, respond: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.seen = seen = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(dict(self.headers))
                respond(self)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.url

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def fetch(url: str, base_url: str = "http://127.0.0.1:1") -> bytes:
    async def main() -> bytes:
        data = bytearray()
        async with client(base_url) as api:
            await api.download(url, data.extend)
        return bytes(data)

    return asyncio.run(main())


def test_a_download_carries_no_credentials_and_no_compression() -> None:
    """Also across a redirect to another origin, where the key would be worth stealing."""
    second = serving(lambda handler: reply(handler, 200, b"picture", {}))
    with second as target:
        first = serving(lambda handler: reply(handler, 302, b"", {"Location": f"{target}/x"}))
        with first as url:
            assert fetch(f"{url}/a") == b"picture"
    for headers in (*first.seen, *second.seen):
        assert not {"authorization", "cookie"} & {name.lower() for name in headers}
        assert "test-key" not in str(headers)
        assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.com/a.png", "not https"),
        ("https://127.0.0.1/a.png", "private network"),
        ("https://169.254.169.254/latest", "private network"),
        ("https://[::ffff:10.0.0.1]/a", "private network"),
        ("file:///etc/passwd", "not a link"),
        ("https://user:pw@example.com/a", "not a plain link"),
        ("https://example.com\\@127.0.0.1/a", "not a plain link"),
    ],
)
def test_only_public_https_links_are_fetched(url: str, said: str) -> None:
    """A hostile answer cannot make us read this machine or its network."""
    with pytest.raises(errors.DownloadError, match=said):
        fetch(url, base_url="https://api.apixo.ai")


def test_a_redirect_is_checked_as_the_link_was() -> None:
    """Loopback is allowed for an API on loopback; a private address behind it is not."""
    hop = serving(lambda handler: reply(handler, 302, b"", {"Location": "https://10.0.0.1/x"}))
    with hop as url, pytest.raises(errors.DownloadError, match="private network"):
        fetch(url)


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ({"Content-Encoding": "gzip"}, b"x", "compressed"),
        ({"Content-Length": "99"}, b"short", "complete message"),
        ({"Location": "/again"}, b"", "too often"),
    ],
)
def test_what_a_download_refuses(headers, body, said) -> None:
    """Bombs, cut bodies and endless redirects end in one clear error."""
    code = 302 if "Location" in headers else 200

    def respond(handler: BaseHTTPRequestHandler) -> None:
        reply(handler, code, body, headers)
        handler.close_connection = True

    with serving(respond) as url, pytest.raises(errors.DownloadError, match=said):
        fetch(url)


def test_an_endless_download_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the size limit, whatever the server says its length is."""
    monkeypatch.setattr("nanobanana_nb.client.MAX_DOWNLOAD", 1 << 20)

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            handler.close_connection = True

    with serving(respond) as url, pytest.raises(errors.DownloadError, match="larger than"):
        fetch(url)


def test_private_references_are_not_sent_to_the_real_api() -> None:
    """The API could not fetch them; said before anything is sent."""

    async def main() -> None:
        async with client("https://api.apixo.ai") as api:
            await api.submit(ImageRequest("x", image_urls=("http://127.0.0.1:9/a.png",)))

    with pytest.raises(errors.RequestError, match="not https"):
        asyncio.run(main())


# Callback addresses.


def test_an_error_that_is_being_handled_keeps_where_it_came_from() -> None:
    """Somebody's own, in whose `except` the API is called, inside of the loop or around it: the
    context of ours leads to them, and from ours the frames are taken, which may hold the key."""

    async def main() -> BaseException:
        async with client("http://127.0.0.1:1") as api:
            try:
                raise ValueError("inside")
            except ValueError as inside:
                with pytest.raises(errors.TransportError):
                    await api.balance()
                return inside

    try:
        raise ValueError("around")
    except ValueError as error:
        around, inside = error, asyncio.run(main())
    assert inside.__context__ is around
    assert inside.__traceback__ is not None
    assert around.__traceback__ is not None


def test_a_callback_address_is_knocked_at_without_the_key() -> None:
    """Whoever answers there is a stranger until it has shown that it is our receiver."""

    async def knock(url: str) -> int:
        async with client(url) as api:
            return await api.knock(f"{url}/token")

    stranger = serving(lambda handler: reply(handler, 404, b"no", {}))
    with stranger as url:
        assert asyncio.run(knock(url)) == 404
    [headers] = stranger.seen
    assert not {"authorization", "cookie"} & {name.lower() for name in headers}
    assert "test-key" not in str(headers)
    with pytest.raises(errors.TransportError, match="does not answer"):
        asyncio.run(knock("http://127.0.0.1:1"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://e.com", "https://10.0.0.1"])
def test_the_real_api_is_not_asked_to_call_a_private_address(url: str) -> None:
    """Nothing is sent: the callback would never come."""

    async def main() -> None:
        async with Client("test-key") as api:
            await api.submit(ImageRequest("a fox"), url)

    with pytest.raises(errors.RequestError, match=r"https|this machine|public"):
        asyncio.run(main())


def pending(handler: BaseHTTPRequestHandler, state: str = "pending") -> None:
    """An answer of statusTask."""
    result = f'"{{\\"resultUrls\\":[\\"{LINK}\\"]}}"'
    data = f'{{"state":"{state}","resultJson":{result}}}'
    reply(handler, 200, f'{{"code":200,"data":{data}}}'.encode(), {})


class Clocks:
    """Two clocks that pass where somebody sleeps, and jump at a given moment of a wait."""

    def __init__(self, at: float, monotonic: float, wall: float) -> None:
        self.monotonic, self.wall = 100.0, 1.7e9
        self.slept = 0.0
        self.at = at
        self.jump = (monotonic, wall)

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.pass_(seconds, seconds)
        if self.slept >= self.at:
            self.at = float("inf")
            self.pass_(*self.jump)

    def pass_(self, monotonic: float, wall: float) -> None:
        self.monotonic += monotonic
        self.wall += wall


HOURS = 8 * 3600.0
LIDS = [
    pytest.param(0.0, HOURS, id="monotonic-stands"),
    pytest.param(HOURS, HOURS, id="monotonic-runs"),
    pytest.param(HOURS, 0.0, id="only-monotonic"),
    pytest.param(0.0, -HOURS, id="wall-set-back"),
]


def clocked(url: str, clocks: Clocks, schedule: Schedule, **more: object) -> Client:
    times = {"clock": lambda: clocks.monotonic, "wall": lambda: clocks.wall}
    return client(url, schedule, sleep=clocks.sleep, **times, **more)


@pytest.mark.parametrize(("monotonic", "wall"), LIDS)
def test_a_lid_that_closes_between_two_looks(monotonic: float, wall: float) -> None:
    """Eight hours away in mid-wait: looked at at once, over new connections, and no time lost.

    Half of the pause was over; without the jump the next look would come 5 s later, and with a
    clock that ran on, the deadline of 40 s would long have passed.
    """
    clocks = Clocks(15.0, monotonic, wall)
    looks: list[float] = []
    ports: list[int] = []

    def status(handler: BaseHTTPRequestHandler) -> None:
        looks.append(clocks.slept)
        ports.append(handler.client_address[1])
        pending(handler, "success" if clocks.slept >= 30 else "pending")

    async def main(url: str) -> Succeeded:
        async with clocked(url, clocks, Schedule(10.0, 10.0, 40.0)) as api:
            return await api.wait("t1")

    server = serving(status)
    server.server.RequestHandlerClass.protocol_version = "HTTP/1.1"  # keeps its connections
    with server as url:
        assert asyncio.run(main(url)) == Succeeded((LINK,))
    assert looks == [10, 15, 25, 35]
    assert ports[0] != ports[1] == ports[2] == ports[3]


@pytest.mark.parametrize(("monotonic", "wall"), LIDS)
def test_a_lid_that_closes_while_the_api_is_asked(
    monotonic: float, wall: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question, whose connection is dead, is not waited for but asked anew at once."""
    monkeypatch.setattr("nanobanana_nb.client.TICK", 0.02)
    clocks = Clocks(float("inf"), 0, 0)
    looks: list[float] = []
    over = threading.Event()

    def status(handler: BaseHTTPRequestHandler) -> None:
        looks.append(clocks.slept)
        if len(looks) == 1:
            clocks.pass_(monotonic, wall)
            over.wait(5)
            return
        pending(handler, "success")

    async def main(url: str) -> Succeeded:
        async with clocked(url, clocks, Schedule(0.0, 3.0, 20.0), timeout=60.0) as api:
            return await api.wait("t1")

    with serving(status) as url:
        began = time.monotonic()
        assert asyncio.run(main(url)) == Succeeded((LINK,))
        assert time.monotonic() - began < 2
        over.set()
    assert looks == [0.0, 0.0]


def test_sleep_does_not_hide_the_deadline() -> None:
    """What the machine slept is taken off the waiting, and nothing else is."""
    clocks = Clocks(5.0, HOURS, HOURS)

    async def main(url: str) -> float:
        async with clocked(url, clocks, Schedule(3.0, 3.0, 30.0)) as api:
            with pytest.raises(errors.WaitTimeout) as caught:
                await api.wait("t1")
            return caught.value.waited

    with serving(pending) as url:
        assert asyncio.run(main(url)) == pytest.approx(30)
    assert clocks.slept == pytest.approx(30)


def test_dead_connections_cost_one_timeout() -> None:
    """Three kept connections die unseen: the first look that fails gives all three up."""
    over = threading.Event()
    stalled: list[int] = []
    ports: set[int] = set()
    dead: set[int] = set()

    def status(handler: BaseHTTPRequestHandler) -> None:
        port = handler.client_address[1]
        ports.add(port)
        if port in dead:
            stalled.append(port)
            over.wait(5)
            return
        time.sleep(0.02)
        pending(handler)

    async def main(url: str) -> None:
        async with client(url, timeout=0.2) as api:
            await asyncio.gather(*(api.status("t1") for _ in range(3)))
            assert len(ports) == 3
            dead.update(ports)
            with pytest.raises(errors.TransportError, match="did not answer"):
                await api.status("t1")
            for _ in range(4):
                await api.status("t1")

    server = serving(status)
    server.server.RequestHandlerClass.protocol_version = "HTTP/1.1"
    with server as url:
        asyncio.run(main(url))
        over.set()
    assert len(stalled) == 1


def test_giving_connections_up_disturbs_nobody() -> None:
    """A question that is under way on the old connections is still answered, then they close."""
    asked, answer_it = threading.Event(), threading.Event()

    def status(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        answer_it.wait(5)
        pending(handler)

    async def main(url: str) -> None:
        async with client(url) as api:
            asking = asyncio.ensure_future(api.status("t1"))
            await asyncio.to_thread(asked.wait, 5)
            old = api._made["ask"].http
            await api._renew("ask")
            assert not old.is_closed
            answer_it.set()
            assert await asking == Running("pending")
            assert old.is_closed

    with serving(status) as url:
        asyncio.run(main(url))


def test_every_submit_has_a_connection_of_its_own(sandbox: Sandbox) -> None:
    """A kept connection may have died unseen, which would make a submit ambiguous for nothing."""

    async def main() -> None:
        async with client(sandbox.url) as api:
            for _ in range(3):
                await api.submit(ImageRequest("a fox"))
            pool = api._made["submit"].http._transport._pool
            assert pool.connections == []

    asyncio.run(main())


def test_what_a_writer_raises_is_its_own() -> None:
    """A full disk is not a broken link: the caller gets its own exception, a TimeoutError too."""

    async def main(url: str, error: Exception) -> None:
        def full(_: bytes) -> None:
            raise error

        async with client("http://127.0.0.1:1") as api:
            with pytest.raises(type(error)) as caught:
                await api.download(url, full)
            assert caught.value is error

    with serving(lambda handler: reply(handler, 200, b"picture", {})) as url:
        for error in (OSError(28, "No space left on device"), TimeoutError("slow disk")):
            asyncio.run(main(url, error))


@pytest.mark.parametrize(
    "url", ["http://example.com", "ftp://127.0.0.1", "http://[", "https://", "api.apixo.ai", ""]
)
def test_the_key_goes_over_https_or_stays_here(url: str) -> None:
    """A base URL that would carry the key in the clear, or nowhere, is refused at once."""
    with pytest.raises(ConfigError, match="base URL"):
        client(url)


@pytest.mark.parametrize(
    "url",
    ["https://[::1", "https://e.com:99999/a", "https://e\udc80.com/", "https://./a", "//a", ""],
)
def test_an_odd_link_is_a_download_error(url: str) -> None:
    """Whatever stands in an answer, the error is ours."""
    with pytest.raises(errors.DownloadError):
        fetch(url, base_url="https://api.apixo.ai")


@pytest.mark.parametrize("location", ["https://[::1", "http://127.0.0.1:99999/", "//", "\\\\x"])
def test_an_odd_redirect_is_a_download_error(location: str) -> None:
    """Wherever a result sends us, the error is ours."""
    hop = serving(lambda handler: reply(handler, 302, b"", {"Location": location}))
    with hop as url, pytest.raises(errors.DownloadError):
        fetch(url)


def test_a_broken_proxy_setting_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent, and trying again by itself would not help."""
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://proxy:1")
    monkeypatch.setenv("https_proxy", "nonsense://proxy:1")

    async def main() -> None:
        async with client("https://api.apixo.ai") as api:
            await api.submit(ImageRequest("a fox"))

    with pytest.raises(errors.TransportError, match="no task was made") as caught:
        asyncio.run(main())
    assert not caught.value.retryable


def test_closing_leaves_nothing_open(sandbox: Sandbox) -> None:
    """After `async with` every connection is closed."""

    async def main() -> None:
        api = client(sandbox.url)
        async with api:
            await api.balance()
            made = [pool.http for pool in api._made.values()]
        assert made
        assert all(http.is_closed for http in made)

    asyncio.run(main())


def test_a_body_shorter_than_announced_is_refused_by_ourselves() -> None:
    """Not every transport counts the bytes, as httpx's own does: ours is the last to look."""

    class Short(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, headers={"Content-Length": "10"}, stream=Nine())

    class Nine(httpx.AsyncByteStream):
        async def __aiter__(self):
            yield b"x" * 9

    async def main() -> None:
        async with Client("k", base_url="http://127.0.0.1:9", transport=Short()) as client:
            await client.download("http://127.0.0.1:9/fox.png", bytearray().extend)

    with pytest.raises(errors.DownloadError, match="cut off after 9 of 10 bytes"):
        asyncio.run(main())
