"""Y20: bodies, heads, links and files that nobody would write, and no exception but ours."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from nanobanana_nb import Client, DownloadError, ImageRequest, Sandbox, errors, links, protocol
from nanobanana_nb.metadata import Drawn
from nanobanana_nb.models import Failed, Succeeded
from nanobanana_nb.pictures import PictureStore
from nanobanana_nb.protocol import Answer

from ..harness.listener import Listener
from ..test_client import QUICK
from ..test_protocol import STATUSES_OF_THE_WORLD, assert_kept, assert_one_line, odd_body
from .hostile_child import memory
from .hostile_files import good, noise, saved
from .internet import CDN, PUBLIC, Internet, authority, internet

__all__ = ["authority", "internet"]
SEED = 20_261_127
QUIRKS = [
    *("", "object", "no-cost", "upper", "processing_r2", "null-data", "two", "400", "401", "402"),
    *("403", "404", "429", "500", "502", "503", "504", "insufficient", "envelope-402"),
    *("gateway-502", "poll-500", "poll-html", "CONTENT_VIOLATION", "INVALID_IMAGE_URL", "TIMEOUT"),
]
WRONG: list[Any] = [
    *(None, True, False, 0, -1, 200, 429, 10**400, -(10**4299), 1e308, float("nan"), float("inf")),
    *(
        "",
        "x" * 70_000,
        "\ud800",
        "\u202e\x1b[31m\0",
        "<script>",
        "success",
        "failed",
        "../..",
        "NaN",
    ),
    *(
        [],
        {},
        [[]],
        {"": ""},
        [None] * 5000,
        {"taskId": "t"},
        "https://e.com/a?b",
        "{",
        "[1",
        "null",
    ),
]


@pytest.fixture(scope="module")
def real() -> list[bytes]:
    """Answers of the API as the sandbox gives them, one of each kind."""
    found: set[bytes] = set()

    def ask(method: str, path: str, body: str = "") -> bytes:
        place = urlsplit(api.url)
        line = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
        head = {"Authorization": "Bearer key", "Content-Type": "application/json"}
        with contextlib.closing(line), contextlib.suppress(http.client.HTTPException, OSError):
            line.request(method, f"/api/v1/{path}", body, head)
            answer = line.getresponse().read()
            found.add(answer)
            return answer
        return b""

    with Sandbox(latency=0) as api:
        ask("GET", "apikeys/current-balance")
        for quirk in QUIRKS:
            prompt = f"[sandbox {quirk}] a fox" if quirk else "a fox"
            request = protocol.submit_body(ImageRequest(prompt))
            task = protocol.read_callback(
                ask("POST", "generateTask/nano-banana", json.dumps(request))
            )
            for _ in range(2 if task else 0):
                ask("GET", f"statusTask/nano-banana?taskId={task}")
    assert len(found) > 20
    return sorted(found)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, as the keys that lead there."""
    yield path
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(one, (*path, key))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The value with another in one place; in text that is JSON itself, within it too."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(copy[path[0]], path[1:], new)
    return copy


def wrong_type(body: bytes, chance: random.Random) -> bytes:
    """One field of a real answer, of another type or far too large."""
    try:
        value = json.loads(body)
        path = chance.choice(list(places(value)))
    except (ValueError, RecursionError):
        return body
    changed = put(value, path, chance.choice(WRONG))
    return json.dumps(changed, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def inside_out(body: bytes, chance: random.Random) -> bytes:
    """One field of what is JSON within JSON."""
    try:
        value = json.loads(body)
        inner = json.loads(value["data"]["resultJson"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return wrong_type(body, chance)
    changed = put(inner, chance.choice(list(places(inner))), chance.choice(WRONG))
    value["data"]["resultJson"] = json.dumps(changed)
    return json.dumps(value).encode()


def nested(body: bytes, chance: random.Random) -> bytes:
    """A value that goes down without end, where another was."""
    depth = chance.choice([50, 900, 1100, 5000, 100_000])
    opens, closes = chance.choice([(b"[", b"]"), (b'{"data":', b"}"), (b'[{"a":', b"}]")])
    deep = opens * depth + b"1" + closes * (depth if chance.random() < 0.7 else 0)
    at = body.find(b":", chance.randrange(len(body) + 1)) + 1
    return deep if chance.random() < 0.3 else body[:at] + deep + body[at:]


def twice(body: bytes, chance: random.Random) -> bytes:
    """A name that stands there twice, with another value."""
    name = chance.choice([b"code", b"data", b"taskId", b"state", b"resultJson", b"message"])
    odd = json.dumps(chance.choice(WRONG)).encode()
    return body.replace(b"{", b'{"' + name + b'":' + odd + b",", chance.choice([1, 9]))


def numbers(body: bytes, chance: random.Random) -> bytes:
    """A number of a kind that JSON knows, and Python only half."""
    odd = [b"9" * 5000, b"1e999", b"-0", b"NaN", b"-Infinity", b"1e-400", b"0x1", b"1" * 4300]
    digits = [at for at, one in enumerate(body) if one in b"0123456789"]
    at = chance.choice(digits or [0])
    return body[:at] + chance.choice(odd) + body[at + 1 :]


def recoded(body: bytes, chance: random.Random) -> bytes:
    """The same text in other bytes."""
    text = body.decode("utf-8", "replace") + chance.choice(["", "é", "🦊"])
    kind = chance.choice(["utf-8-sig", "latin-1", "utf-16", "utf-16-be", "utf-32", "utf-7"])
    return text.encode(kind, "replace")


def escaped(body: bytes, chance: random.Random) -> bytes:
    """Half of a surrogate pair, or a character of control, in a text."""
    odd = chance.choice(
        [b"\\ud800", b"\\udfff\\ud800", b"\\u0000", b"\\u202e", b"\\", b"\x00", b"\xff"]
    )
    quotes = [at for at, one in enumerate(body) if one == ord('"')]
    at = chance.choice(quotes or [0]) + 1
    return body[:at] + odd + body[at:]


def bytes_changed(body: bytes, chance: random.Random) -> bytes:
    """Some bytes other ones, gone, or there twice."""
    data = bytearray(body)
    for _ in range(chance.choice([1, 1, 3, 20])):
        at = chance.randrange(len(data) + 1)
        more = chance.choice([b"", chance.randbytes(1), bytes(data[at : at + 9])])
        data[at : at + chance.choice([0, 1, 5])] = more
    return bytes(data)


def cut(body: bytes, chance: random.Random) -> bytes:
    """As a connection that breaks leaves it."""
    return body[: chance.randrange(len(body) + 1)]


def grown(body: bytes, chance: random.Random) -> bytes:
    """Far longer than any answer."""
    filling = chance.choice(
        [b" ", b"\n", b"[", b'"', b"\\", b"<", b"<script", b'{"code":500}', b"0"]
    )
    return body + filling * (chance.choice([1000, 100_000, 1_200_000]) // len(filling))


CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    wrong_type, inside_out, nested, twice, numbers, recoded, escaped, bytes_changed, cut,
)  # fmt: skip


def fuzzed(real: list[bytes], chance: random.Random) -> bytes:
    """A real answer with something wrong, or one that was never any."""
    if chance.random() < 0.2:
        return odd_body(chance)
    body = chance.choice(real)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        body = chance.choice(CHANGES)(body, chance)
    return grown(body, chance) if chance.random() < 0.01 else body


READERS: tuple[Callable[[Answer], Any], ...] = (
    protocol.read_submit,
    lambda answer: protocol.read_submit(answer, resend=False),
    protocol.read_status,
    protocol.read_balance,
    lambda answer: protocol.read_callback(answer.body) or "none",
)


@pytest.mark.parametrize("count", [3000, pytest.param(20_000, marks=pytest.mark.nightly)])
def test_y20_bodies_are_read_or_refused(real: list[bytes], count: int) -> None:
    """Through every reader: an error of ours in one short line, or a value that can be kept, shown
    and sent. Both kinds come of enough of them, and memory stays as it was."""
    Path("/proc/self/clear_refs").write_text("5")
    before, outcomes = memory("VmHWM"), {"read": 0, "refused": 0, "failed": 0}
    for number in range(count):
        chance = random.Random(f"{SEED} {number}")
        body = fuzzed(real, chance)
        status = chance.choice([200, 200, chance.choice(STATUSES_OF_THE_WORLD)])
        come = Answer(status, body, chance.choice([None, 0.0, 60.0]))
        for reader in READERS:
            try:
                value = reader(come)
                assert_kept(value)
                outcomes["read"] += 1
                if isinstance(value, Failed):
                    outcomes["failed"] += 1
                    assert_one_line(str(protocol.task_failed(value, "t1")))
            except errors.NanoBananaError as error:
                assert_one_line(str(error))
                outcomes["refused"] += 1
            except BaseException as error:
                pytest.fail(f"seed {SEED}, body {number}, HTTP {status}: {error!r} {body[:300]!r}")
    assert min(outcomes["read"], outcomes["refused"]) > count / 5
    assert outcomes["failed"] > count / 100
    assert memory("VmHWM") - before < 64 << 20


# On a real socket, heads and all.

HEADS = [
    *(
        "Content-Type: text/html",
        "Content-Encoding: gzip",
        "Content-Encoding: br",
        "Retry-After: -1",
    ),
    *("Retry-After: 1e999", "Retry-After: Sun, 99 Xyz 2026 99:99:99 GMT", "Retry-After: \xe9\xe9"),
    *(
        "Retry-After: " + "9" * 5000,
        "Location: //",
        "Set-Cookie: a=b",
        "Transfer-Encoding: chunked",
    ),
    *("Content-Length: 5", "Content-Length: -5", "Content-Length: 99999999999999999999", "X: \x00"),
    *("Content-Encoding: identity", "Transfer-Encoding: gzip, chunked", "no colon", ": no name"),
    *("Date: yesterday", "Connection: upgrade", "X-Long: " + "x" * 200_000, "Content-Length: \xb2"),
]


def spoken(body: bytes, chance: random.Random) -> bytes:
    """An answer of HTTP around the body, more or less."""
    status = chance.choice([200, 200, 200, *STATUSES_OF_THE_WORLD])
    line = chance.choice(
        [f"HTTP/1.1 {status} X"] * 9 + ["HTTP/9.9 200", "HTTP/1.1 2000 X", "ICY 200"]
    )
    head = [line, *chance.sample(HEADS, chance.choice([0, 0, 0, 1, 2]))]
    if not any(one.startswith(("Content-Length", "Transfer")) for one in head):
        head.append(f"Content-Length: {len(body)}")
    chance.random() < 0.05 and head.insert(0, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n")
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body


class Babbler(Listener):
    """A server that says what it is given, whatever it is asked, and hangs up."""

    says = b""

    def serve(self, line: socket.socket) -> None:
        line.recv(65536)
        line.sendall(self.says)
        line.shutdown(socket.SHUT_WR)
        line.settimeout(5)
        while line.recv(65536):
            pass


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.nightly)])
def test_y20_the_client_lets_nothing_foreign_out(real: list[bytes], count: int) -> None:
    """Whatever a server says to each of its calls, on a real socket; and it can go on."""
    good_answer = b'HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{"code":200,"data":2.50}'
    kinds: set[str] = set()

    async def main() -> None:
        async with Client("test-key", base_url=server.url, schedule=QUICK, timeout=2.0) as api:
            asks: tuple[Callable[[], Any], ...] = (
                lambda: api.submit(ImageRequest("a fox")),
                lambda: api.status("t1"),
                lambda: api.knows("t1"),
                api.balance,
                lambda: api.download(f"{server.url}/a.png", bytearray().extend),
                lambda: api.look(f"{server.url}/a.png", 1000),
                lambda: api.knock(f"{server.url}/token"),
            )
            for number in range(count):
                chance = random.Random(f"{SEED} {number} spoken")
                server.says = spoken(fuzzed(real, chance), chance)
                try:
                    async with asyncio.timeout(60):
                        await asks[number % len(asks)]()
                    kinds.add("an answer")
                except errors.NanoBananaError as error:
                    kinds.add(type(error).__name__)
                    assert_one_line(str(error))
                except BaseException as error:
                    said = server.says[:300]
                    pytest.fail(f"seed {SEED}, answer {number}: {error!r} {said!r}")
            server.says = good_answer
            assert str(await api.balance()) == "2.5"

    with Babbler() as server:
        asyncio.run(main())
    assert {"an answer", "SubmitUnknown", "ServerError", "DownloadError"} <= kinds


# Links.

PIECES = [
    *("https://", "http://", "//", "https:", "file://", "", "HTTPS://", "https:\\\\"),
    *("cdn.elsewhere.net", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "2130706433"),
    *(
        "[",
        "]",
        "@",
        ":",
        ":443",
        ":0",
        ":99999",
        ":x",
        "/",
        "\\",
        "?",
        "#",
        "%",
        "%00",
        "%zz",
        ".",
    ),
    *("..", "a", "é", "ß", "\u3002", "\uff0e", "\u2460", "\u202e", "\ud800", "\0", "\t", "\n", " "),
    *("xn--", "xn--a", "x" * 64, "x." * 200, "0x", "1.1", "'", '"', "<script>", "🦊", "\u200d"),
]


@pytest.mark.parametrize("count", [400, pytest.param(20_000, marks=pytest.mark.nightly)])
def test_y20_links_lead_nowhere_or_to_the_one_public_host(internet: Internet, count: int) -> None:
    """Made of all that parsers differ about: a download or a line of ours, and never a connection
    to any address but the one that is public."""

    async def main() -> None:
        async with Client("test-key") as api:
            for number in range(count):
                chance = random.Random(f"{SEED} {number} link")
                start = chance.choice(["https://", "https://cdn.elsewhere.net", ""])
                url = start + "".join(chance.choices(PIECES, k=chance.randint(0, 5)))
                try:
                    with contextlib.suppress(errors.RequestError):
                        links.check_callback(url, loopback_allowed=False)
                    await api.download(url, bytearray().extend)
                except DownloadError as error:
                    assert_one_line(str(error))
                except BaseException as error:
                    pytest.fail(f"seed {SEED}, link {number}: {error!r} {url!r}")

    internet.names = {CDN: [[PUBLIC]]}
    internet.unreachable = {PUBLIC}
    asyncio.run(main())
    assert {*internet.connected} <= {PUBLIC}
    assert internet.connected


# Files.


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.nightly)])
def test_y20_broken_files_are_stored_or_kept_aside(tmp_path: Path, count: int) -> None:
    """Whole pictures with some bytes changed, as they come and labelled."""
    store = PictureStore(tmp_path / "pictures", tmp_path / "previews")
    kinds, label = [good(kind) for kind in ("PNG", "JPEG", "WEBP")], Drawn("a fox", "1:1", "png")
    small = [saved(noise(12, 9), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "MPO")]
    outcomes = {"stored": 0, "refused": 0}
    for number in range(count):
        chance = random.Random(f"{SEED} {number} file")
        data = chance.choice(small if chance.random() < 0.8 else kinds)
        for _ in range(chance.choice([1, 1, 2])):
            data = chance.choice([bytes_changed, bytes_changed, cut])(data, chance)
        came = store.incoming()
        try:
            came.write(data)
            store.keep(came, "a fox", f"{number:08d}", 0.0, None, chance.choice([None, label]))
            outcomes["stored"] += 1
        except DownloadError as error:
            assert_one_line(str(error).replace(str(tmp_path), ""))
            outcomes["refused"] += 1
        except BaseException as error:
            pytest.fail(f"seed {SEED}, file {number}: {error!r} {data[:100]!r}")
        finally:
            came.close()
    store.close()
    assert min(outcomes.values()) > count / 20


def test_y20_every_change_is_made(real: list[bytes]) -> None:
    """A fuzzer that changes nothing finds nothing."""
    chance = random.Random(SEED)
    for change in (*CHANGES, grown):
        changed = {change(body, chance) for body in real for _ in range(5)}
        assert len(changed - set(real)) > len(real) / 2, change.__name__
    made = {fuzzed(real, random.Random(f"{SEED} {number}")) for number in range(1000)}
    assert len(made) > 800
    read = [protocol.read_status(Answer(200, one)) for one in real if b'"success"' in one[40:]]
    assert any(isinstance(one, Succeeded) for one in read)
