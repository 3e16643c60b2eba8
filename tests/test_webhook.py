"""The callback receiver: a hint is durable before it is answered, and strangers get nothing."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from nanobanana_nb import ConfigError, ImageRequest, LedgerError, Settings, tokens
from nanobanana_nb.ledger import Ledger
from nanobanana_nb.rows import Account, State
from nanobanana_nb.webhook import MAX_BODY, serve

LONG = 60.0
"""Seconds after which a test gives up waiting."""
SERVE = """
import sys
from pathlib import Path
from nanobanana_nb import Settings
from nanobanana_nb.webhook import Patience, serve
patience = Patience(*map(float, sys.argv[2:]))
serve(Settings(home=Path(sys.argv[1]), pictures=Path(sys.argv[1], "pictures")), port=0,
      patience=patience, ready=lambda url: print(url, flush=True))
"""
MOUNTED = """
import socket, sys
from pathlib import Path
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from nanobanana_nb import Settings
from nanobanana_nb.webhook import receiver
settings = Settings(home=Path(sys.argv[1]), pictures=Path(sys.argv[1], "pictures"))
async def own(request):
    return PlainTextResponse("theirs")
app = Starlette(routes=[Mount("/hooks/nanobanana", receiver(settings)), Route("/own", own)])
with socket.create_server(("127.0.0.1", 0)) as listening:
    listening.listen()
    print("http://127.0.0.1:%d" % listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run([listening])
"""
BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[2:]:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
from pathlib import Path
from nanobanana_nb import ConfigError, Settings
from nanobanana_nb.webhook import serve
try:
    serve(Settings(home=Path(sys.argv[1]), pictures=Path(sys.argv[1])), port=0)
except ConfigError as error:
    print(error)
"""


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Home:
    """A home with a ledger, and what it holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.ledger = Ledger(folder / "ledger.sqlite3")
        self._secret = asyncio.run(self.ledger.receiver_secret())

    def attempt(self) -> str:
        """A new row, whose callback may come at any time; our id."""
        request = ImageRequest("a fox")
        return asyncio.run(self.ledger.add(request, Account("https://api", "me"))).id

    def token(self, attempt: str) -> str:
        return tokens.mint(self._secret, attempt)

    def state(self, attempt: str) -> State:
        row = asyncio.run(self.ledger.get(attempt))
        assert row is not None
        assert not row.pictures
        return row.state

    def noted(self) -> list[tuple[str, str]]:
        """The pairs in the file itself, as another program sees them."""
        uri = f"{(self.folder / 'ledger.sqlite3').as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=LONG)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            return db.execute("SELECT task, task_id FROM callback ORDER BY number").fetchall()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Held by another program, for reading and writing."""
        db = sqlite3.connect(self.folder / "ledger.sqlite3", timeout=LONG, isolation_level=None)
        with contextlib.closing(db):
            db.execute("BEGIN EXCLUSIVE")
            yield
            db.execute("ROLLBACK")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "receiver home")
    yield made
    made.ledger.close()


class Receiver:
    """A receiver in a process of its own, which must print nothing but its address."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        with _killed_unless_done(process):
            self.url = process.stdout.readline().strip()
        assert self.url, process.communicate(timeout=LONG)[1]
        self.address = (urlsplit(self.url).hostname or "", urlsplit(self.url).port or 0)

    def end(self, number: signal.Signals) -> int:
        """Its exit code; what it printed until then is nothing."""
        self.process.send_signal(number)
        assert self.process.communicate(timeout=LONG) == ("", "")
        return self.process.returncode

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        connection = http.client.HTTPConnection(*self.address, timeout=LONG)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            return _reply(connection)

    def call(self, token: str, body: bytes) -> Reply:
        return self.ask("POST", f"/{token}", body)

    def raw(self, data: bytes) -> bytes:
        """All that is answered to these bytes until it closes the connection."""
        with self.connect(data) as connection:
            return _rest(connection)

    def connect(self, data: bytes = b"") -> socket.socket:
        connection = socket.create_connection(self.address, timeout=LONG)
        connection.sendall(data)
        return connection


@contextlib.contextmanager
def running(program: str, *arguments: object) -> Iterator[Receiver]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield Receiver(process)
            if process.poll() is None:
                process.kill()
                assert process.communicate(timeout=LONG) == ("", "")
        finally:
            process.kill()


@contextlib.contextmanager
def _killed_unless_done(process: subprocess.Popen[str]) -> Iterator[None]:
    timer = threading.Timer(LONG, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@pytest.fixture
def receiver(home: Home) -> Iterator[Receiver]:
    with running(SERVE, home.folder) as made:
        yield made


@pytest.fixture
def hasty(home: Home) -> Iterator[Receiver]:
    """One that waits for nobody longer than half a second."""
    with running(SERVE, home.folder, 0.5, 0.5, 0.5) as made:
        yield made


def _reply(connection: http.client.HTTPConnection) -> Reply:
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, response.read())


def _rest(connection: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(4096):
            data += piece
    return data


def _queue() -> int:
    """Connections that the system holds for a process that does not accept them, where known."""
    try:
        return int(Path("/proc/sys/net/core/somaxconn").read_text())
    except OSError:
        return 0


def callback(task_id: str, **data: object) -> bytes:
    """What the API posts, with the envelope of a status answer."""
    told = {"taskId": task_id, "state": "success", **data}
    return json.dumps({"code": 200, "message": "success", "data": told}).encode()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_a_callback_is_on_disk_once_it_is_answered(home: Home, receiver: Receiver) -> None:
    """A 200 ends the API's deliveries, so it must not outrun the disk, or a kill -9 loses it."""
    one, other = home.attempt(), home.attempt()
    answer = receiver.call(home.token(one), callback("task_1"))
    assert (answer.status, answer.body) == (200, b"ok\n")
    assert home.noted() == [(one, "task_1")]
    assert receiver.call(home.token(other), callback("task_2")).status == 200
    receiver.process.send_signal(signal.SIGKILL)
    receiver.process.wait(LONG)
    assert home.noted() == [(one, "task_1"), (other, "task_2")]


def test_a_callback_may_come_a_hundred_times(home: Home, receiver: Receiver) -> None:
    """Deliveries are repeated, also all at once: each is answered with 200, one is noted."""
    token, body = home.token(attempt := home.attempt()), callback("task_1")
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: receiver.call(token, body).status, range(100)))
    assert statuses == [200] * 100
    assert home.noted() == [(attempt, "task_1")]


def test_two_tasks_of_one_attempt_are_both_noted(home: Home, receiver: Receiver) -> None:
    """Only our own status call can tell which of them is true."""
    attempt = home.attempt()
    for task_id in ("task_1", "task_2", "task_1"):
        assert receiver.call(home.token(attempt), callback(task_id)).status == 200
    assert home.noted() == [(attempt, "task_1"), (attempt, "task_2")]


def test_a_forged_callback_is_a_hint_and_no_more(home: Home, receiver: Receiver) -> None:
    """A leaked address moves no state, and no link out of a callback is followed."""
    attempt = home.attempt()
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        link = f"http://127.0.0.1:{theirs.getsockname()[1]}/evil.png"
        result = json.dumps({"resultUrls": [link]})
        body = callback("task_forged", resultJson=result)
        assert receiver.call(home.token(attempt), body).status == 200
        failed = callback("task_forged", state="failed", failCode="X", failMsg=link)
        assert receiver.call(home.token(attempt), failed).status == 200
        assert home.state(attempt) == "queued"
        assert home.noted() == [(attempt, "task_forged")]
        receiver.end(signal.SIGTERM)
        assert select.select([theirs], [], [], 0)[0] == []


def test_only_post_is_answered(home: Home, receiver: Receiver) -> None:
    """A link that somebody opens, or a page that probes for CORS, changes and learns nothing."""
    paths = (f"/{home.token(home.attempt())}", "/", "/a/b%0Ac")
    methods = ("GET", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH", "BREW")
    for method, path in itertools.product(methods, paths):
        answer = receiver.ask(method, path, Origin="https://evil.example")
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        assert answer.headers["connection"] == "close"
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "server" not in answer.headers
    assert home.noted() == []


def test_a_wrong_token_is_as_good_as_no_path(home: Home, receiver: Receiver) -> None:
    """Nobody can tell from an answer what is there; whatever stands in the path, it is no 500."""
    attempt = home.attempt()
    genuine = home.token(attempt)
    other = tokens.mint("another home", attempt)
    paths = ["/", "//", "/favicon.ico", f"/{other}", f"/{genuine[:-1]}", f"/{genuine}0"]
    paths += [f"/{genuine}/more", f"/{genuine.upper()}", f"/{attempt}-", f"/-{genuine}", "/%00"]
    paths += [f"/{genuine}%00", f"/{genuine}%0A", "/%ff%fe", "/%2e%2e/%2e%2e", "/a%0ab", "/%zz"]
    paths += ["/" + "a" * 8000, "/" + "/" * 8000, f"/?token={genuine}", "/%F0%9F%8D%8C-%C2%B2"]
    answers = [receiver.call(path[1:], callback("task_1")) for path in paths]
    assert {(answer.status, answer.body) for answer in answers} == {
        (404, b"There is nothing here.\n")
    }
    assert {answer.headers["connection"] for answer in answers} == {"close"}
    assert home.noted() == []


def test_what_is_hardly_a_request_is_refused(receiver: Receiver) -> None:
    """Scanners speak all sorts of things; each gets one short answer, and nothing is printed."""
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    heads = {
        b"POST * HTTP/1.1\r\nHost: a\r\n\r\n": b"404",
        b"POST http://a/b HTTP/1.1\r\nHost: a\r\n\r\n": b"404",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n": b"405",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + upgrade: b"405",
        b"POST /" + b"a" * 20_000: b"400",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1e3\r\n\r\n": b"400",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": b"405",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n": b"400",
    }
    for head, status in heads.items():
        assert receiver.raw(head).startswith(b"HTTP/1.1 " + status), head
    assert receiver.end(signal.SIGTERM) == 0


def test_the_token_may_stand_behind_a_prefix(home: Home, receiver: Receiver) -> None:
    """A reverse proxy may keep the path of the public address, or add a slash."""
    token = home.token(attempt := home.attempt())
    for number, path in enumerate([token, f"hooks/nano/{token}", f"{token}/", f"/{token}"]):
        assert receiver.call(path, callback(f"task_{number}")).status == 200
    assert home.noted() == [(attempt, f"task_{number}") for number in range(4)]


def test_a_long_body_is_refused(home: Home, receiver: Receiver) -> None:
    """By its announced length before it is read, and by its real one where none is announced."""
    token = home.token(attempt := home.attempt())
    head = f"POST /{token} HTTP/1.1\r\nHost: a\r\n".encode()
    announced = receiver.raw(head + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1))
    assert announced.startswith(b"HTTP/1.1 413")
    piece = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + piece * 16
    assert receiver.raw(chunked + b"1\r\n \r\n").startswith(b"HTTP/1.1 413")
    assert home.noted() == []
    longest = callback("task_1")
    assert receiver.call(token, longest.ljust(MAX_BODY)).status == 200
    assert home.noted() == [(attempt, "task_1")]


def test_a_body_that_names_no_task_is_refused(home: Home, receiver: Receiver) -> None:
    """With the right token too; the connection still serves the next callback."""
    token = home.token(attempt := home.attempt())
    bodies = [b"", b"{", b"null", b"[]", b"\xff\xfe\x00"]
    bodies += [b"[" * 60_000, b'{"data":' * 8_000, b"9" * 60_000]
    bodies += [b'{"data": {"taskId": %s}}' % one for one in (b"null", b'"a/../b"', b'"\\u0000"')]
    bodies += [b'{"data": {"taskId": "' + b"x" * 50_000 + b'"}}']
    connection = http.client.HTTPConnection(*receiver.address, timeout=LONG)
    with contextlib.closing(connection):
        for sent in (*bodies, callback("task_1")):
            connection.request("POST", f"/{token}", sent)
            assert _reply(connection).status == (400 if sent in bodies else 200), sent[:50]
    assert home.noted() == [(attempt, "task_1")]


def test_an_attempt_that_the_ledger_does_not_know(home: Home, receiver: Receiver) -> None:
    """A row can be gone, with a home that was put back: there is nothing to deliver to."""
    answer = receiver.call(home.token("0badc0de"), callback("task_1"))
    assert (answer.status, answer.body) == (404, b"There is nothing here.\n")
    assert home.noted() == []


def test_a_ledger_that_was_made_anew_is_the_one_that_counts(home: Home, receiver: Receiver) -> None:
    """`nanobanana rebuild` sets a damaged one aside while the receiver runs on: what comes later is
    noted where the notebooks look."""
    old = home.token(home.attempt())
    assert receiver.call(old, callback("task-1")).status == 200
    home.ledger.close()
    file = home.folder / "ledger.sqlite3"
    file.rename(home.folder / "aside")
    anew = Home(home.folder)
    try:
        attempt = anew.attempt()
        with ThreadPoolExecutor(8) as many:
            rubbish = [
                many.submit(
                    receiver.call,
                    old,
                    callback("task-1"),
                )
                for _ in range(20)
            ]
            assert (
                receiver.call(
                    anew.token(attempt),
                    callback("task-2"),
                ).status
                == 200
            )
            assert {one.result().status for one in rubbish} <= {200, 404}
        assert anew.noted() == [(attempt, "task-2")]
        assert receiver.call(old, callback("task-1")).status == 404
    finally:
        anew.ledger.close()


def test_who_listens_can_be_asked(home: Home, receiver: Receiver) -> None:
    """The token for that is answered only by the receiver of this home, and notes nothing."""
    for body in (b"", callback("task_1")):
        assert receiver.call(home.token(tokens.CHECK), body).status == 200
    assert receiver.call(tokens.mint("another", tokens.CHECK), b"").status == 404
    assert home.noted() == []


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"POST /x HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        b"POST /check HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nPOST /y HTTP/1.1\r\nX: ",
    ],
    ids=["silent", "slow head", "slow second head"],
)
def test_who_sends_no_request_is_not_waited_for(home: Home, hasty: Receiver, start: bytes) -> None:
    """Neither for one that says nothing, nor for one that sends its head byte by byte."""
    token = home.token(tokens.CHECK).encode()
    with hasty.connect(start.replace(b"/check", b"/" + token)) as connection:
        if not start:
            assert _rest(connection) == b""
            return
        answered = _dribble(connection)
        assert answered.count(b"HTTP/1.1 200") == start.count(b"/check")


def _dribble(connection: socket.socket) -> bytes:
    """Send a byte now and then until it is closed; all that is answered meanwhile."""
    answered, deadline = b"", time.monotonic() + LONG
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < deadline:
            if select.select([connection], [], [], 0.05)[0]:
                piece = connection.recv(4096)
                if not piece:
                    return answered
                answered += piece
            connection.sendall(b"a")
        raise AssertionError("it was never closed")
    return answered


def test_a_slow_body_is_not_waited_for(home: Home, hasty: Receiver) -> None:
    """Who knows an address cannot hold a connection either."""
    token = home.token(home.attempt())
    head = f"POST /{token} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
    assert hasty.raw(head.encode() + b"{").startswith(b"HTTP/1.1 408")
    assert home.noted() == []


def test_who_leaves_in_the_middle_leaves_nothing(home: Home, receiver: Receiver) -> None:
    """A body that was cut names no task, and is nothing to print a traceback for."""
    token = home.token(home.attempt())
    head = f"POST /{token} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
    receiver.connect(head.encode() + b'{"data"').close()
    assert receiver.call(home.token(tokens.CHECK), b"").status == 200
    assert receiver.end(signal.SIGTERM) == 0
    assert home.noted() == []


def test_a_locked_ledger_is_told_and_got_over(home: Home, hasty: Receiver) -> None:
    """503, so that the API delivers again; what is known to be on disk needs no ledger."""
    one, other = home.attempt(), home.attempt()
    assert hasty.call(home.token(one), callback("task_1")).status == 200
    with home.locked():
        answer = hasty.call(home.token(other), callback("task_2"))
        assert (answer.status, answer.headers["retry-after"]) == (503, "30")
        assert hasty.call(home.token(one), callback("task_1")).status == 200
        assert hasty.call("wrong", callback("task_1")).status == 404
    _until_answered(hasty, home.token(other), callback("task_2"))
    assert home.noted() == [(one, "task_1"), (other, "task_2")]


def test_a_ledger_that_was_locked_from_the_start(home: Home, hasty: Receiver) -> None:
    """The secret cannot be read, so nobody is told that a token is wrong."""
    token = home.token(attempt := home.attempt())
    with home.locked():
        for path in (token, "wrong"):
            assert hasty.call(path, callback("task_1")).status == 503
    _until_answered(hasty, token, callback("task_1"))
    assert home.noted() == [(attempt, "task_1")]


def _until_answered(receiver: Receiver, token: str, body: bytes) -> None:
    """Deliver it again until it is taken; each try waits for the ledger by itself."""
    for _ in range(100):
        answer = receiver.call(token, body)
        if answer.status == 200:
            return
        assert answer.status == 503
    raise AssertionError("it was never taken")


def test_mounted_in_another_app(home: Home) -> None:
    """Under a prefix, without a lifespan of its own, beside the routes of somebody else."""
    token = home.token(attempt := home.attempt())
    with running(MOUNTED, home.folder) as theirs:
        assert theirs.ask("GET", "/own").body == b"theirs"
        assert theirs.ask("POST", f"/hooks/nanobanana/{token}", callback("task_1")).status == 200
        assert theirs.ask("GET", f"/hooks/nanobanana/{token}").status == 405
        assert theirs.ask("POST", f"/{token}", callback("task_2")).status == 404
        for path in ("wrong", "", "%00"):
            answer = theirs.ask("POST", f"/hooks/nanobanana/{path}", callback("task_2"))
            assert (answer.status, answer.body) == (404, b"There is nothing here.\n")
    assert home.noted() == [(attempt, "task_1")]


def test_a_mounted_receiver_gets_over_a_home_that_is_not_there_yet(tmp_path: Path) -> None:
    """The app of somebody else must start all the same, and need no restart afterwards."""
    folder = tmp_path / "later"
    folder.write_bytes(b"in the way")
    with running(MOUNTED, folder) as theirs:
        path = "/hooks/nanobanana/"
        assert theirs.ask("POST", f"{path}wrong").status == 503
        folder.unlink()
        home = Home(folder)
        attempt = home.attempt()
        answer = theirs.ask("POST", path + home.token(attempt), callback("task_1"))
        assert answer.status == 200
        assert home.noted() == [(attempt, "task_1")]
        home.ledger.close()


def test_300_slow_clients_do_not_keep_a_callback_out(home: Home, receiver: Receiver) -> None:
    """A few hundred connections are all that somebody needs to open; the API has to get through."""
    attempt = home.attempt()
    with contextlib.ExitStack() as held:
        for _ in range(300):
            held.enter_context(receiver.connect(b"POST /a HTTP/1.1\r\nHost: a\r\nX: "))
        assert receiver.call(home.token(attempt), callback("task_1")).status == 200
    assert home.noted() == [(attempt, "task_1")]


def test_300_callbacks_on_connections_that_stay_open(home: Home, receiver: Receiver) -> None:
    """A batch that ends at once, delivered by somebody who closes nothing: each is answered."""
    head = f"POST /{home.token(tokens.CHECK)} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    with contextlib.ExitStack() as held:
        answers = [held.enter_context(receiver.connect(head.encode())).recv(12) for _ in range(300)]
    assert set(answers) == {b"HTTP/1.1 200"}


@pytest.mark.skipif(_queue() < 1024, reason="the system holds too few connections")
def test_a_callback_in_a_crowd_is_read_before_it_is_closed(home: Home, receiver: Receiver) -> None:
    """After a pause of the process many connections are there at once; those that wait longest are
    closed, but not one whose request is there already."""
    token = home.token(attempt := home.attempt())
    body = callback("task_1")
    head = f"POST /{token} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    with contextlib.ExitStack() as held:
        receiver.process.send_signal(signal.SIGSTOP)
        crowd = [held.enter_context(receiver.connect()) for _ in range(300)]
        real = held.enter_context(receiver.connect(head.encode() + body))
        crowd += [held.enter_context(receiver.connect()) for _ in range(300)]
        receiver.process.send_signal(signal.SIGCONT)
        assert real.recv(12) == b"HTTP/1.1 200"
        assert _rest(crowd[0]) == b""
    assert home.noted() == [(attempt, "task_1")]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to(home: Home, number: signal.Signals) -> None:
    """In order, with connections open and a body on its way, and without a word."""
    with running(SERVE, home.folder) as receiver:
        token = home.token(home.attempt())
        head = f"POST /{token} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
        with receiver.connect(), receiver.connect(head.encode() + b"{"):
            assert receiver.call(home.token(tokens.CHECK), b"").status == 200
            assert receiver.end(number) == 0


def test_a_port_that_is_taken(home: Home) -> None:
    """One line that says which, before anything is served."""
    settings = Settings(home=home.folder, pictures=home.folder)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1, port {port} .*another") as caught:
            serve(settings, port=port)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="port 70000"):
        serve(settings, port=70000)


def test_a_home_that_cannot_be_used(tmp_path: Path) -> None:
    """It is said at once, and not with a 503 to each callback."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be kept"):
        serve(Settings(home=tmp_path / "file", pictures=tmp_path), port=0)
    (tmp_path / "ledger.sqlite3").write_bytes(b"no database at all" * 1000)
    with pytest.raises(LedgerError, match="cannot be opened"):
        serve(Settings(home=tmp_path, pictures=tmp_path), port=0)


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, package: str) -> None:
    """The package works without it, and says what to install."""
    command = [sys.executable, "-c", BLOCKED, str(tmp_path), package]
    told = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=True)
    assert told.stdout == (
        f"Callbacks cannot be taken without {package}: "
        'pip install "nanobanana-nb[webhook]", then run this again.\n'
    )
