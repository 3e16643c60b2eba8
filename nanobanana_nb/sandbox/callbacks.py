"""Callbacks: the outcome of a task, told to the address that its submit named (section 7).

What is told is exactly the status envelope, in a POST. It must be answered HTTP 200 within 30 s;
otherwise it is told again, up to three times, after 30 s, 60 s and 120 s. That the delays grow and
that the first is 30 s is documented, the other two are our choice. Redirects are not followed, no
credentials are sent, and what the answer says is ignored.

One thread looks at the clock, at most `HANDS` deliver: thousands of tasks need no more.
"""

from __future__ import annotations

import heapq
import io
import itertools
import logging
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from ipaddress import ip_address
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from .contract import CALLBACK_PACE, is_loopback, success
from .directives import Habit, Notices, StatusData

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

HANDS = 16
"""Threads that deliver, at most."""
MAX_ANSWER = 4096
"""Bytes of an answer's body that are read, so that its sender is not cut off in mid-word."""
_GLANCE = 0.02
"""Seconds between two looks at a clock that a test may turn."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """One try to deliver a callback, and what came of it."""

    task_id: str
    """The task that it is about, or that a false one comes along with."""
    attempt: int
    """From 1; repetitions count on."""
    status: int | None
    """The HTTP status of the answer; None where none came."""
    why: str
    """``delivered``, or why it was not."""
    notice: str = "final"
    """What was sent: ``final`` is the outcome; ``forged``, ``garbage`` and ``processing`` are
    sent on demand only, once, and whatever the answer."""


@dataclass(frozen=True)
class Errand:
    """What one task has to be told, and where."""

    task_id: str
    url: str
    habit: Habit
    data: Callable[[], StatusData]
    """What a status answer says once the task is due; may wait for its references."""
    tried: threading.Event = field(default_factory=threading.Event)
    """Set when the first delivery has been tried, or never will be."""


class Courier:
    """Delivers callbacks from its first errand until it is closed. ``clock`` gives Unix seconds;
    ``retry`` is the seconds from a failed delivery to its first repetition, by that clock;
    ``timeout`` is the seconds that a receiver has. Whatever was tried goes to ``record``."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        retry: float,
        timeout: float,
        record: Callable[[Delivery], None],
    ) -> None:
        self._clock = clock
        self._retry = retry
        self._outbox = _Outbox(timeout)
        self._record = record
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, Errand, int]] = []
        self._numbers = itertools.count()
        self._ready: SimpleQueue[tuple[Errand, int] | None] = SimpleQueue()
        self._watched = False
        self._hands = 0
        self._closed = False

    def send(self, errand: Errand, due: float) -> None:
        """Deliver when the clock says ``due``, in Unix seconds; never if that is infinity."""
        if math.isfinite(due):
            self._plan(errand, 1, due)

    def close(self) -> None:
        """Deliver nothing more and cut what is under way; the threads end by themselves."""
        with self._changed:
            self._closed = True
            for _, _, errand, _ in self._waiting:
                errand.tried.set()
            self._changed.notify()
            hands = self._hands
        self._outbox.close()
        for _ in range(hands):
            self._ready.put(None)

    def _plan(self, errand: Errand, attempt: int, due: float) -> None:
        with self._changed:
            if self._closed:
                errand.tried.set()
                return
            heapq.heappush(self._waiting, (due, next(self._numbers), errand, attempt))
            if not self._watched:
                self._watched = True
                _start(self._watch)
            self._changed.notify()

    def _watch(self) -> None:
        """Hand over what is due, until the courier is closed."""
        with self._changed:
            while not self._closed:
                now = self._clock()
                while self._waiting and self._waiting[0][0] <= now:
                    self._hand_over(*heapq.heappop(self._waiting)[2:])
                self._changed.wait(_GLANCE if self._waiting else None)

    def _hand_over(self, errand: Errand, attempt: int) -> None:
        self._ready.put((errand, attempt))
        if self._hands < HANDS:
            self._hands += 1
            _start(self._work)

    def _work(self) -> None:
        while job := self._ready.get():
            errand, attempt = job
            try:
                if not self._closed:
                    self._attempt(errand, attempt)
            except Exception:
                _logger.exception("a callback could not be delivered")
            finally:
                errand.tried.set()

    def _attempt(self, errand: Errand, attempt: int) -> None:
        data, habit = errand.data(), errand.habit
        if attempt == 1:
            self._beside(errand, habit.before, data)
        body = success(data).body
        tries = [self._tried(errand, attempt, body) for _ in range(habit.times)]
        arrived = any(delivery.status == 200 for delivery in tries)
        if not arrived and attempt <= len(CALLBACK_PACE):
            wait = self._retry * CALLBACK_PACE[attempt - 1]
            self._plan(errand, attempt + 1, self._clock() + wait)
        for delivery in tries:  # after the plan: whoever sees a failure can wait for what follows
            self._record(delivery)
        if arrived:
            self._beside(errand, habit.after, data)

    def _tried(self, errand: Errand, attempt: int, body: bytes) -> Delivery:
        if attempt <= errand.habit.unmade:
            status, why = None, "no connection was made, on demand"
        else:
            status, why = self._outbox.post(errand.url, body)
        if status is not None and attempt <= errand.habit.unread:
            status, why = None, "the answer was lost, on demand"
        return Delivery(errand.task_id, attempt, status, why)

    def _beside(self, errand: Errand, notices: Notices, data: StatusData) -> None:
        for name, body in notices:
            status, why = self._outbox.post(errand.url, body(data))
            self._record(Delivery(errand.task_id, 1, status, why, name))


class _Outbox:
    """Posts, each within ``timeout`` seconds in all, until everything is cut."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()
        self._wires: set[socket.socket] = set()
        self._closed = False

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for wire in self._wires:
                with suppress(OSError):
                    socket.socket.shutdown(wire, socket.SHUT_RDWR)  # TLS would forget its keys

    def post(self, url: str, body: bytes) -> tuple[int | None, str]:
        """The status of the answer, and ``delivered`` or why it does not count."""
        try:
            status = self._answer(urlsplit(url), body)
        except (OSError, ValueError, HTTPException) as error:
            return None, self._said(error)
        return status, "delivered" if status == 200 else f"HTTP {status} instead of 200"

    def _said(self, error: Exception) -> str:
        """What went wrong, in our own words or the system's: an answer is text from outside."""
        if self._closed:
            return "the sandbox has ended"
        if isinstance(error, TimeoutError):
            return f"no answer within {self._timeout:g} s"
        if isinstance(error, HTTPException):
            return "no HTTP answer"
        return getattr(error, "strerror", None) or str(error)

    def _answer(self, parts: SplitResult, body: bytes) -> int:
        deadline = time.monotonic() + self._timeout
        host, secure = parts.hostname or "", parts.scheme == "https"
        request = _head(parts, len(body)) + body
        with ExitStack() as wires:
            wire = self._connected(host, parts.port or (443 if secure else 80), deadline, wires)
            if secure:
                wire = wires.enter_context(self._held(_secured(wire, host)))
                wire.do_handshake()
            wire.settimeout(_left(deadline))
            wire.sendall(request)
            return _status(wire, deadline)

    def _connected(self, host: str, port: int, deadline: float, wires: ExitStack) -> Any:
        failure = OSError("the name leads nowhere")
        for family, address in _addresses(host, port):
            try:
                wire = wires.enter_context(self._held(socket.socket(family, socket.SOCK_STREAM)))
                wire.settimeout(_left(deadline))
                wire.connect(address)
            except OSError as error:
                failure = error
            else:
                return wire
        raise failure

    @contextmanager
    def _held(self, wire: socket.socket) -> Iterator[Any]:
        """A connection while it is used, to be cut by `close`."""
        with wire:
            with self._lock:
                if self._closed:
                    raise ConnectionAbortedError
                self._wires.add(wire)
            try:
                yield wire
            finally:
                with self._lock:
                    self._wires.discard(wire)


class _Reader(io.RawIOBase):
    """What a socket receives until a moment of the monotonic clock, however it trickles."""

    def __init__(self, wire: socket.socket, deadline: float) -> None:
        self._wire = wire
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._wire.settimeout(_left(self._deadline))
        return self._wire.recv_into(buffer)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)


def _status(wire: socket.socket, deadline: float) -> int:
    answer = HTTPResponse(_Reader(wire, deadline), method="POST")  # type: ignore[arg-type]
    try:
        answer.begin()
        with suppress(OSError, HTTPException):
            answer.read(MAX_ANSWER)
        return answer.status
    finally:
        answer.close()


def _head(parts: SplitResult, length: int) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = (
        f"POST {target} HTTP/1.1",
        f"Host: {parts.netloc.rpartition('@')[2]}",
        "User-Agent: nanobanana-sandbox",
        "Accept: */*",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode("ascii")


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    """Where a name leads, to be connected to as it was checked: a public address, or for the
    names of this machine one of its own."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    own = is_loopback(host)
    for *_, address in found:
        ip = ip_address(str(address[0]).split("%")[0])
        if not (ip.is_loopback if own else ip.is_global):
            raise PermissionError("not a public address")
    return [(family, address) for family, _, _, _, address in found]


def _secured(wire: socket.socket, host: str) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    return context.wrap_socket(wire, server_hostname=host, do_handshake_on_connect=False)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="sandbox-callbacks", daemon=True).start()
