"""The sandbox's callbacks: section 7 of the documents, against real receivers on loopback.

Time is a clock that the tests turn; what is waited for is an event, never a number of seconds.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from nanobanana_nb.sandbox import Sandbox, callbacks
from nanobanana_nb.sandbox.callbacks import Delivery, Errand
from nanobanana_nb.sandbox.directives import Habit

from .test_retry_matrix import UNTRUSTED
from .test_sandbox import SUBMIT, WEB, Clock, shape
from .test_sandbox import Api as PollingApi

LATENCY = 10.0
OVER = LATENCY * 1.1 + 0.01
"""Seconds after which every task is due."""
THREADS = "sandbox-callbacks"


class Turned(Clock):
    """A clock that knows how often it was looked at, so that a test can wait for a look."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return super().__call__()

    def turn(self, seconds: float) -> None:
        """Move on, and wait until whoever waits for a time has seen it."""
        self.now += seconds
        before = self.looks
        until(lambda: self.looks >= before + 2)


@dataclass(frozen=True)
class Post:
    """What came in, and what time the sandbox's clock showed."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.body)["data"]


@dataclass
class Receiver:
    """Whoever is told. It answers the n-th post with the n-th status and then with 200; a post
    waits in it while ``gate`` is closed."""

    clock: Callable[[], float]
    answers: list[int] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    posts: list[Post] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.gate.set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if self.tls:
            self.server.socket = self.tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        name = "https://localhost" if self.tls else "http://127.0.0.1"
        return f"{name}:{self.server.server_port}/told/a-token?of=a%20task"

    def got(self, number: int) -> list[Post]:
        """The posts, once there are so many; then there are no more than that."""
        until(lambda: len(self.posts) >= number)
        assert len(self.posts) == number
        return self.posts

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = receiver.answers.pop(0) if receiver.answers else 200
                receiver.posts.append(Post(self.path, headers, body, receiver.clock()))
                receiver.gate.wait(60)
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0" if status == 204 else "2")
                self.end_headers()
                if status != 204:
                    self.wfile.write(b"OK")

            def log_message(self, *_: object) -> None:
                """Nothing is printed."""

            def handle(self) -> None:
                with suppress(OSError):  # the sandbox may end in the meantime
                    super().handle()

        return Handler


class Api(PollingApi):
    """What a client does that wants to be told."""

    def told(self, url: str, prompt: str = "a fox", **options: Any) -> str:
        """Submit a task whose outcome is told to an address; its id."""
        answer = self.http.post(SUBMIT, json=callback_body(url, prompt, **options), timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]["taskId"]

    def tries(self, task_id: str, number: int) -> list[Delivery]:
        """The tries for a task, once there are so many."""

        def those() -> list[Delivery]:
            return [one for one in self.sandbox.deliveries if one.task_id == task_id]

        until(lambda: len(those()) >= number)
        assert len(those()) == number
        return those()


def callback_body(url: str, prompt: str = "a fox", **options: Any) -> dict[str, Any]:
    given = {"prompt": prompt, **options}
    return {"request_type": "callback", "callback_url": url, "input": given}


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.005)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREADS]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Whatever a test does with a sandbox: when that is closed, its threads end."""
    until(lambda: threads() == [])
    yield
    until(lambda: threads() == [])


@pytest.fixture
def clock() -> Turned:
    return Turned()


@pytest.fixture
def api(clock: Turned) -> Iterator[Api]:
    with Sandbox(latency=LATENCY, clock=clock, balance=100) as running:
        api = Api(running, clock)
        yield api
        api.http.close()


@pytest.fixture
def receiver(clock: Turned) -> Iterator[Receiver]:
    with Receiver(lambda: clock.now) as running:
        yield running


# -- what is told, and when


@pytest.mark.parametrize("directive", ["", "CONTENT_VIOLATION", "two", "object", "upper"])
def test_what_is_told_is_what_a_poll_says(api: Api, receiver: Receiver, directive: str) -> None:
    """Section 7: exactly the status envelope, byte by byte, success and failure alike."""
    task_id = api.told(receiver.url, f"a fox [sandbox {directive}]" if directive else "a fox")
    api.clock.now += OVER
    (post,) = receiver.got(1)
    assert post.body == api.poll(task_id).content
    assert api.tries(task_id, 1) == [Delivery(task_id, 1, 200, "delivered")]


def test_the_documented_bodies(api: Api, receiver: Receiver) -> None:
    """Section 7 as it is printed: the keys and types of a success and of a failure."""
    api.told(receiver.url)
    api.told(receiver.url, "[sandbox TIMEOUT]")
    api.clock.now += OVER
    bodies = [json.loads(post.body) for post in receiver.got(2)]
    success, failure = sorted(bodies, key=lambda body: body["data"]["state"], reverse=True)
    assert shape(success) == shape(
        {
            "code": 200,
            "message": "success",
            "data": {
                "taskId": "task_12345678",
                "state": "success",
                "resultJson": '{"resultUrls":["https://r2.apixo.ai/x.png"]}',
                "costTime": 17000,
                "createTime": 1767965610929,
                "completeTime": 1767965652317,
            },
        }
    )
    times = {"createTime": 1767965610929, "completeTime": 1767965652317}
    told = {"taskId": "", "state": "failed", "failCode": "", "failMsg": "", **times}
    assert shape(failure) == shape({"code": 200, "message": "success", "data": told})
    assert failure["data"]["failCode"] == "TIMEOUT"


def test_the_post_itself(api: Api, receiver: Receiver) -> None:
    """A POST of JSON to the very address, query included, by the sandbox, without any key."""
    api.told(receiver.url)
    api.clock.now += OVER
    (post,) = receiver.got(1)
    assert post.path == "/told/a-token?of=a%20task"
    assert post.headers == {
        "host": receiver.url.split("/")[2],
        "user-agent": "nanobanana-sandbox",
        "accept": "*/*",
        "content-type": "application/json",
        "content-length": str(len(post.body)),
        "connection": "close",
    }


def test_nobody_is_told_before_the_task_is_complete(api: Api, receiver: Receiver) -> None:
    """Section 7: no intermediate states; a task of the sandbox is complete when its time comes."""
    task_id = api.told(receiver.url)
    due = api.sandbox.tasks[0].due
    api.clock.turn(due - api.clock.now - 0.25)
    assert receiver.posts == []
    assert api.data(task_id)["state"] == "processing"
    api.clock.now = due
    (post,) = receiver.got(1)
    assert (post.at, post.data["state"]) == (due, "success")


def test_a_failed_reference_is_told_too(api: Api, receiver: Receiver) -> None:
    """What is told waits for the references, as a poll does."""
    nowhere = api.sandbox.url + "/nothing.png"
    api.told(receiver.url, mode="image-to-image", image_urls=[nowhere])
    api.clock.now += OVER
    assert receiver.got(1)[0].data["failCode"] == "INVALID_IMAGE_URL"


def test_only_who_asks_for_it_is_told(api: Api, receiver: Receiver) -> None:
    """With "async" a callback_url is ignored, and a task that never completes is never told of."""
    body = callback_body(receiver.url) | {"request_type": "async"}
    assert api.http.post(SUBMIT, json=body).status_code == 200
    api.told(receiver.url, "[sandbox forever]")
    api.clock.now += 1e6
    last = api.told(receiver.url)
    api.clock.now += OVER
    assert [post.data["taskId"] for post in receiver.got(1)] == [last]
    assert [task.callback_url for task in api.sandbox.tasks] == [None, receiver.url, receiver.url]


def test_a_task_whose_submit_was_never_answered_is_told_of(api: Api, receiver: Receiver) -> None:
    """What a callback is good for: the connection closed, the money is gone, and here is the id."""
    with pytest.raises(httpx.RemoteProtocolError):
        api.told(receiver.url, "[sandbox drop]")
    api.clock.now += OVER
    assert receiver.got(1)[0].data["taskId"] == api.sandbox.tasks[0].id
    assert api.sandbox.spent == Decimal("0.03")


# -- whoever does not answer 200


@pytest.mark.parametrize("status", [201, 204, 302, 400, 500])
def test_anything_but_200_is_told_again_after_growing_delays(
    api: Api, receiver: Receiver, status: int
) -> None:
    """Section 7: HTTP 200 and nothing else; three repetitions, after 30, 60 and 120 seconds, of
    the same body to the same address, and no redirect is followed."""
    receiver.answers = [status] * 3
    task_id = api.told(receiver.url)
    expected = [api.sandbox.tasks[0].due]
    api.clock.now = expected[0]
    api.tries(task_id, 1)
    for number, delay in enumerate((30, 60, 120), start=1):
        api.clock.turn(delay - 0.25)
        assert len(receiver.posts) == number
        api.clock.now = expected[-1] + delay
        expected.append(api.clock.now)
        api.tries(task_id, number + 1)
    posts = receiver.got(4)
    assert [post.at for post in posts] == expected
    assert len({(post.path, post.body) for post in posts}) == 1
    why = f"HTTP {status} instead of 200"
    assert [(one.attempt, one.status, one.why) for one in api.tries(task_id, 4)] == [
        (1, status, why),
        (2, status, why),
        (3, status, why),
        (4, 200, "delivered"),
    ]


def test_after_four_times_it_is_given_up(api: Api, receiver: Receiver) -> None:
    """Up to three repetitions and no more, however long one waits."""
    receiver.answers = [500] * 4
    given_up = api.told(receiver.url)
    for number in range(1, 5):
        api.clock.now += 1000
        api.tries(given_up, number)
    api.clock.now += 1e6
    later = api.told(receiver.url)
    api.clock.now += OVER
    api.tries(later, 1)
    api.tries(given_up, 4)
    assert api.sandbox.counts["callback"] == len(receiver.got(5)) == 5


def test_the_first_delay_scales_the_others(clock: Turned, receiver: Receiver) -> None:
    """callback_retry=1: after 1, 2 and 4 seconds."""
    receiver.answers = [500] * 4
    with Sandbox(latency=0, clock=clock, callback_retry=1) as sandbox:
        api = Api(sandbox, clock)
        task_id = api.told(receiver.url)
        api.tries(task_id, 1)
        for number, delay in enumerate((1, 2, 4), start=2):
            clock.now += delay
            api.tries(task_id, number)
        api.http.close()
    first, *others = (post.at for post in receiver.got(4))
    assert [at - first for at in others] == [1, 3, 7]


def test_by_the_clock_of_the_wall_it_works_too(receiver: Receiver) -> None:
    """Without a clock to turn: told when it is complete, and again when that failed."""
    receiver.answers = [500]
    with Sandbox(latency=0.05, callback_retry=0.05) as sandbox:
        api = Api(sandbox, Turned())
        assert [one.status for one in api.tries(api.told(receiver.url), 2)] == [500, 200]
        api.http.close()


def test_whoever_is_too_slow_is_told_again(clock: Turned, receiver: Receiver) -> None:
    """No answer in time counts as none."""
    receiver.gate.clear()
    with Sandbox(latency=0, clock=clock, callback_timeout=0.3) as sandbox:
        api = Api(sandbox, clock)
        task_id = api.told(receiver.url)
        assert api.tries(task_id, 1) == [Delivery(task_id, 1, None, "no answer within 0.3 s")]
        clock.now += 30
        until(lambda: len(receiver.posts) == 2)
        api.http.close()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", "no answer within 1 s"),
        (b"\x1b[31mnot HTTP at all\r\n\r\n", "no HTTP answer"),
        (b"", "no HTTP answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000, "delivered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "delivered"),
    ],
)
def test_odd_answers(clock: Turned, answer: bytes, why: str) -> None:
    """An answer that trickles has no more time than others; what it says is not repeated, and of
    its body nothing matters."""
    trickles = why.startswith("no answer")
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        sending = pool.submit(answers_oddly, server, answer, trickles)
        with Sandbox(latency=0, clock=clock, callback_timeout=1 if trickles else 60) as sandbox:
            api = Api(sandbox, clock)
            (tried,) = api.tries(api.told(address), 1)
            api.http.close()
        sending.result(60)
    assert (tried.status, tried.why) == (200 if why == "delivered" else None, why)


def answers_oddly(server: socket.socket, answer: bytes, trickles: bool) -> None:
    connection, _ = server.accept()
    with connection:
        request = b""
        while b'"taskId"' not in request:
            request += connection.recv(65536)
        try:
            connection.sendall(answer)
            while trickles:
                connection.sendall(b"x")
                time.sleep(0.05)
        except OSError:
            return  # it was not waited for


def test_what_is_not_public_is_not_even_connected_to(api: Api) -> None:
    """An https address of the local network gets nothing; what leads nowhere says so."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    private = api.told("https://169.254.169.254/latest/meta-data")
    nobody = api.told(f"http://127.0.0.1:{port}/")
    nameless = api.told(f"https://{'a' * 70}.example/")
    api.clock.now += OVER
    assert api.tries(private, 1)[0].why == "not a public address"
    assert "refused" in api.tries(nobody, 1)[0].why
    assert api.tries(nameless, 1)[0].status is None


@pytest.mark.parametrize("trusted", [True, False])
def test_https_is_checked(
    api: Api, clock: Turned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    """Told over TLS where somebody vouches for the receiver, and not at all where nobody does."""
    certificate = tmp_path / "receiver.pem"
    certificate.write_text(UNTRUSTED)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Receiver(clock, tls=context) as receiver:
        task_id = api.told(receiver.url)
        api.clock.now += OVER
        (tried,) = api.tries(task_id, 1)
        assert tried.status == (200 if trusted else None)
        assert len(receiver.posts) == trusted


# -- callbacks that misbehave


def statuses(tries: list[Delivery]) -> list[tuple[str, int, int | None]]:
    return [(one.notice, one.attempt, one.status) for one in tries]


def test_never(api: Api, receiver: Receiver) -> None:
    """callback-never: complete and billed, and nobody hears of it."""
    silent = api.told(receiver.url, "[sandbox callback-never]")
    api.clock.now += OVER
    last = api.told(receiver.url)
    api.clock.now += OVER
    assert receiver.got(1)[0].data["taskId"] == last
    assert api.data(silent)["state"] == "success"
    assert api.sandbox.spent == Decimal("0.06")


def test_twice(api: Api, receiver: Receiver) -> None:
    """callback-twice: each delivery two times, the repetition of a failed one too."""
    receiver.answers = [500, 500]
    task_id = api.told(receiver.url, "[sandbox callback-twice]")
    api.clock.now += OVER
    api.tries(task_id, 2)
    api.clock.now += 30
    assert statuses(api.tries(task_id, 4)) == [
        ("final", 1, 500),
        ("final", 1, 500),
        ("final", 2, 200),
        ("final", 2, 200),
    ]
    assert len({post.body for post in receiver.got(4)}) == 1


@pytest.mark.parametrize("status", [200, 500])
def test_early(api: Api, receiver: Receiver, status: int) -> None:
    """callback-early: the submit has no answer until the callback has one, whatever that is."""
    receiver.answers = [status]
    receiver.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        submit = pool.submit(api.told, receiver.url, "[sandbox callback-early]")
        (post,) = receiver.got(1)
        assert not submit.done()
        assert post.data["state"] == "success"
        assert post.body == api.poll(post.data["taskId"]).content
        receiver.gate.set()
        assert submit.result(60) == post.data["taskId"]
    assert api.tries(post.data["taskId"], 1)[0].status == status


def test_early_without_a_callback_changes_no_answer(api: Api) -> None:
    """Nobody is to be told, so nothing is waited for."""
    assert api.data(api.accepted("[sandbox callback-early]"))["state"] == "success"


@pytest.mark.parametrize(("directive", "lost"), [("callback-lost", 1), ("callback-lost=4", 4)])
def test_lost(api: Api, receiver: Receiver, directive: str, lost: int) -> None:
    """callback-lost: it arrived and was answered 200, and comes again all the same."""
    task_id = api.told(receiver.url, f"[sandbox {directive}]")
    for number in range(1, min(lost + 1, 4) + 1):
        api.clock.now += 1000
        api.tries(task_id, number)
    posts = receiver.got(min(lost + 1, 4))
    assert len({post.body for post in posts}) == 1
    tries = api.tries(task_id, len(posts))
    assert [one.status for one in tries] == ([None] * lost + [200])[:4]
    assert tries[0].why == "the answer was lost, on demand"


@pytest.mark.parametrize(
    ("directive", "refused"), [("callback-refused", 1), ("callback-refused=4", 4)]
)
def test_refused(api: Api, receiver: Receiver, directive: str, refused: int) -> None:
    """callback-refused: the first delivery reaches nobody, the next one does."""
    task_id = api.told(receiver.url, f"[sandbox {directive}]")
    for number in range(1, min(refused + 1, 4) + 1):
        api.clock.now += 1000
        api.tries(task_id, number)
    arrived = 4 - refused if refused == 4 else 1
    assert len(receiver.posts) == arrived
    tries = api.tries(task_id, min(refused + 1, 4))
    assert [one.status for one in tries] == ([None] * refused + [200])[:4]
    assert tries[0].why == "no connection was made, on demand"


def test_forged(api: Api, receiver: Receiver) -> None:
    """callback-forged: first a success in every detail, of an unknown task and with a stranger's
    link; then the truth. The forgery is not repeated."""
    receiver.answers = [500, 500]
    task_id = api.told(receiver.url, "[sandbox callback-forged]")
    api.clock.now += OVER
    api.tries(task_id, 2)
    api.clock.now += 30
    assert statuses(api.tries(task_id, 3)) == [
        ("forged", 1, 500),
        ("final", 1, 500),
        ("final", 2, 200),
    ]
    forged, true, again = receiver.got(3)
    assert shape(json.loads(forged.body)) == shape(json.loads(true.body))
    assert forged.data["state"] == "success"
    assert re.fullmatch("[0-9a-f]{32}", forged.data["taskId"])
    assert api.poll(forged.data["taskId"]).status_code == 404
    (link,) = json.loads(forged.data["resultJson"])["resultUrls"]
    assert link.startswith("https://attacker.example/")
    assert true.body == again.body == api.poll(task_id).content


def test_garbage(api: Api, receiver: Receiver) -> None:
    """callback-garbage: first something that is no JSON, then the truth."""
    task_id = api.told(receiver.url, "[sandbox callback-garbage]")
    api.clock.now += OVER
    garbage, true = receiver.got(2)
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(garbage.body)
    assert true.body == api.poll(task_id).content
    assert statuses(api.tries(task_id, 2)) == [("garbage", 1, 200), ("final", 1, 200)]


def test_reordered(api: Api, receiver: Receiver) -> None:
    """callback-reordered: the truth, and after it a state that was true before."""
    receiver.answers = [500]
    task_id = api.told(receiver.url, "[sandbox callback-reordered]")
    api.clock.now += OVER
    api.tries(task_id, 1)
    api.clock.now += 30
    *finals, belated = receiver.got(3)
    assert [post.data["state"] for post in finals] == ["success"] * 2
    assert set(belated.data) == {"taskId", "state", "createTime"}
    assert (belated.data["taskId"], belated.data["state"]) == (task_id, "processing")
    assert statuses(api.tries(task_id, 3))[2] == ("processing", 1, 200)


# -- many, and the end


def test_many_tasks_need_few_threads(api: Api, receiver: Receiver) -> None:
    """500 that complete at one moment: each is told once, by 16 threads and one that waits."""
    ids = {api.told(receiver.url) for _ in range(500)}
    assert len(threads()) == 1
    api.clock.now += OVER
    assert {post.data["taskId"] for post in receiver.got(500)} == ids
    assert len(threads()) == callbacks.HANDS + 1
    until(lambda: api.sandbox.counts["callback"] == 500)
    assert {(one.attempt, one.status) for one in api.sandbox.deliveries} == {(1, 200)}


def test_no_thread_without_a_callback(api: Api) -> None:
    """Whoever only polls pays for no thread."""
    api.data(api.accepted())
    assert threads() == []


def test_the_end_of_the_sandbox_is_the_end_of_its_callbacks(
    clock: Turned, receiver: Receiver
) -> None:
    """What is under way is cut, what waits is dropped, every thread ends; and after a new start
    callbacks are delivered again, but none of the old ones."""
    receiver.gate.clear()
    sandbox = Sandbox(latency=LATENCY, clock=clock, callback_timeout=600)
    api = Api(sandbox.start(), clock)
    for _ in range(callbacks.HANDS + 4):
        api.told(receiver.url)
    clock.now += OVER
    under_way = receiver.got(callbacks.HANDS)
    api.told(receiver.url)
    sandbox.close()
    until(lambda: threads() == [])
    assert [one.why for one in sandbox.deliveries] == ["the sandbox has ended"] * len(under_way)
    api.http.close()
    receiver.gate.set()
    api = Api(sandbox.start(), clock)
    clock.now += 1000
    last = api.told(receiver.url)
    clock.now += OVER
    assert [one.status for one in api.tries(last, 1)] == [200]
    assert receiver.got(callbacks.HANDS + 1)[-1].data["taskId"] == last
    api.http.close()
    sandbox.close()


def test_the_end_does_not_wait_for_an_early_callback(clock: Turned, receiver: Receiver) -> None:
    """A submit that is not answered until its callback is does not keep the sandbox open."""
    receiver.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        with Sandbox(latency=LATENCY, clock=clock, callback_timeout=600) as sandbox:
            api = Api(sandbox, clock)
            submit = pool.submit(api.told, receiver.url, "[sandbox callback-early]")
            receiver.got(1)
        with pytest.raises(httpx.TransportError):
            submit.result(60)
        api.http.close()
    until(lambda: threads() == [])


def test_nothing_is_printed(
    api: Api, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither a token in an address nor a traceback of what was cut."""
    receiver.gate.clear()
    api.told(receiver.url)
    refused = api.told("https://127.0.0.1:1/a-token")
    api.clock.now += OVER
    api.tries(refused, 1)
    receiver.got(1)
    api.sandbox.close()
    until(lambda: threads() == [])
    assert capfd.readouterr() == ("", "")


def test_the_account_tells_of_callbacks(api: Api, receiver: Receiver) -> None:
    """Another process sees what was tried and what came of it."""
    receiver.answers = [500]
    task_id = api.told(receiver.url)
    api.clock.now += OVER
    api.tries(task_id, 1)
    told = WEB.get(api.sandbox.url + "/sandbox/account").json()["callbacks"]
    why = "HTTP 500 instead of 200"
    assert told == [{"taskId": task_id, "notice": "final", "attempt": 1, "status": 500, "why": why}]


def test_who_waits_for_a_try_is_let_go(clock: Turned) -> None:
    """At the end, and after it: what will never be tried is waited for by nobody."""
    tried: list[Delivery] = []
    courier = callbacks.Courier(clock=clock, retry=30, timeout=30, record=tried.append)
    waiting, late = (Errand("id", "http://127.0.0.1:1/", Habit(), dict) for _ in range(2))
    courier.send(waiting, clock.now + 100)
    courier.close()
    courier.send(late, clock.now)
    assert waiting.tried.is_set()
    assert late.tried.is_set()
    assert tried == []
