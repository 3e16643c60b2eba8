"""Table B: bytes from the network, through the real path from the API's answer to the disk."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import json
import os
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import nanobanana_nb as nb
from nanobanana_nb import DownloadError, ImageRequest, Studio, errors, pictures, preparing, protocol
from nanobanana_nb.collecting import LINK_LIFE, REFUSALS
from nanobanana_nb.models import Running, Succeeded
from nanobanana_nb.pictures import PictureStore
from nanobanana_nb.protocol import Answer

from ..conftest import settings_for
from ..test_client import client, fetch, reply
from .hostile_child import MORE, memory
from .hostile_files import BOMB, HARMLESS, HOSTILE, SCRIPT, deflated, good, harmless
from .internet import serving

LIE = {"Content-Type": "image/png", "Content-Disposition": 'attachment; filename="../../x.py"'}
Act = Callable[[BaseHTTPRequestHandler], None]


class Host(ThreadingHTTPServer):
    """The API and its host of results in one: it draws the file that the prompt names."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.made: dict[str, bytes] = harmless()
        self.acts: dict[str, Act] = {}
        self.fetched: list[str] = []
        self._making = {one.name: one.make for one in HOSTILE}

    def file(self, name: str) -> bytes:
        if name not in self.made:
            self.made[name] = self._making[name]()
        return self.made[name]


class _Handler(BaseHTTPRequestHandler):
    server: Host

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._say({"taskId": sent["input"]["prompt"]})

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        if place.path.startswith("/api/v1/statusTask"):
            name = parse_qs(place.query)["taskId"][0]
            links = {"resultUrls": [f"{self.server.url}/files/{name}"]}
            return self._say({"state": "success", "resultJson": json.dumps(links)})
        if place.path.startswith("/api"):
            return self._say(1.0)
        name = place.path.rpartition("/")[2]
        self.server.fetched.append(name)
        if name in self.server.acts:
            return self.server.acts[name](self)
        return reply(self, 200, self.server.file(name), LIE)

    def _say(self, data: object) -> None:
        reply(self, 200, json.dumps({"code": 200, "data": data}).encode(), {})

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    threading.Thread(target=made.serve_forever, args=[0.01], daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def drawing(host: Host, home: Path) -> Iterator[Studio]:
    """A studio whose API hands out hostile files."""
    made = Studio(settings_for(host.url, home))
    yield made
    made.close()


def draw(studio: Studio, name: str) -> nb.Generation:
    return studio.wait(studio.generate(name))


def refusal(studio: Studio, name: str) -> str:
    """The one line that a cell shows in place of the picture."""
    with pytest.raises(DownloadError) as caught:
        draw(studio, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refused(home: Path) -> list[bytes]:
    folder = home / "refused"
    return [file.read_bytes() for file in folder.iterdir()] if folder.is_dir() else []


# Y19: all files, in a process with little memory.


@pytest.fixture(
    scope="module",
    params=["as-they-are", pytest.param("embed", marks=pytest.mark.nightly)],
)
def eaten(request: pytest.FixtureRequest, host: Host, tmp_path_factory: Any) -> dict[str, Any]:
    """What became of each hostile file, as the API sent it and when pictures are labelled."""
    home = tmp_path_factory.mktemp(request.param)
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}.hostile_child", host.url, home, request.param],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout) | {"home": home}


def test_y19_hostile_files_need_little_memory(eaten: dict[str, Any]) -> None:
    """All of them, no crash: at most 150 MiB more than harmless pictures of 4K."""
    assert len(HOSTILE) >= 40
    assert all("file" in eaten["found"][name] for name in HARMLESS)
    assert eaten["grown"] < MORE
    assert eaten["found"].keys() >= {one.name for one in HOSTILE}


def test_y19_every_file_is_stored_or_refused_in_one_line(eaten: dict[str, Any]) -> None:
    """No exception but ours, the reason said, and a harmless picture is drawn after all of them."""
    for one in HOSTILE:
        found = eaten["found"][one.name]
        assert "foreign" not in found, (one.name, found)
        if one.says:
            assert found["error"] == "DownloadError", one.name
            assert one.says in found["said"], (one.name, found["said"])
            assert "\n" not in found["said"]
        else:
            assert "file" in found, (one.name, found)
            assert Path(found["file"]).parent == eaten["home"] / "pictures", (one.name, found)
    assert "file" in eaten["found"]["after"]


def test_y19_paid_bytes_are_kept_aside(eaten: dict[str, Any], host: Host) -> None:
    """What is no picture is there byte for byte, for its owner alone, and the message says where;
    nothing came of a file with nothing in it."""
    for one in HOSTILE:
        if not one.says:
            continue
        said, data = eaten["found"][one.name]["said"], host.file(one.name)
        if not data:
            assert "kept" not in said
            continue
        assert f"What came, {len(data):,} bytes, is kept as " in said
        [file] = [file for file in (eaten["home"] / "refused").iterdir() if str(file) in said]
        assert file.suffix == ".bin"
        assert file.read_bytes() == data
        assert file.stat().st_mode & 0o777 == 0o600


def test_b7_polyglots_are_pictures_and_nothing_else(eaten: dict[str, Any]) -> None:
    """Stored under the ending of what was decoded; what a notebook keeps is drawn anew from its
    pixels, so that nothing that stands beside them is in it."""
    for name in ("png-and-script", "png-script-inside", "jpeg-and-html", "webp-and-script"):
        found = eaten["found"][name]
        assert Path(found["file"]).suffix == {"p": ".png", "j": ".jpg", "w": ".webp"}[name[0]]
        assert SCRIPT.decode() not in found["shown"]
        assert "image/jpeg" in found["shown"]


# What a user's own references cost.


def test_y19_hostile_references_are_refused_or_made_ready(host: Host, tmp_path: Path) -> None:
    """A file or link from a stranger raises a RequestError at most."""
    for one in HOSTILE:
        if "megapixels" in one.name or "6000" in one.name:  # a large photo is the user's to give
            continue
        file = tmp_path / one.name
        file.write_bytes(host.file(one.name))
        with contextlib.suppress(errors.RequestError):
            preparing.prepare(file, tmp_path / "ready")
        file.unlink()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("png-one-row", "has a side of more than 65,535 pixels"),
        ("png-one-column", "has a side of more than 65,535 pixels"),
        ("jpeg-2000-scans", "is a JPEG of countless scans"),
        ("png-13300-square", "has more than 50 million pixels"),
    ],
)
def test_b3_a_reference_is_not_decoded_either(
    host: Host, tmp_path: Path, name: str, says: str
) -> None:
    """Where that would take gigabytes (a column of 50 million pixels: 1.9) or minutes."""
    file = tmp_path / name
    file.write_bytes(host.file(name))
    with pytest.raises(errors.RequestError, match=says):
        preparing.prepare(file, tmp_path / "ready")


# B1: compressed.


@functools.cache
def zipped(length: int) -> bytes:
    """So many zeros, as gzip has them at its best: a thousandth."""
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + deflated(length, 9)[2:]


@pytest.mark.parametrize(
    "packed",
    ["gzip", "x-gzip", "br", "zstd", "compress", "gzip, gzip", "identity, GZIP", "deflate"],
)
def test_b1_compressed_pictures_are_refused(packed: str) -> None:
    """Nothing of ours unpacks what comes from strangers: 1 MB may be 1 GB."""
    bomb = zipped(1 << 20)
    hop = serving(lambda handler: reply(handler, 200, bomb, {"Content-Encoding": packed}))
    with hop as url, pytest.raises(DownloadError, match="compressed"):
        fetch(url)
    assert [headers["Accept-Encoding"] for headers in hop.seen] == ["identity"]


@pytest.mark.parametrize(
    "label", ["", "identity", "Identity, identity", "none", "utf-8", "aws-chunked", "x"]
)
def test_b1_a_label_that_is_no_compression_costs_no_picture(label: str) -> None:
    """It is paid for, and whether it is one its bytes say; they are passed on as they came."""
    bomb = zipped(1 << 20)
    with serving(lambda handler: reply(handler, 200, bomb, {"Content-Encoding": label})) as url:
        assert fetch(url) == bomb


@pytest.mark.parametrize("layers", [1, 3, 9])
def test_b1_an_answer_of_the_api_is_no_bomb(layers: int) -> None:
    """Of 200 MB behind 200 kB, no more than the cap is unpacked, and it is an error of ours; the
    same where it was packed again and again."""
    bomb, label = zipped(BOMB), ", ".join(["gzip"] * layers)
    for _ in range(layers - 1):
        bomb = gzip.compress(bomb)
    Path("/proc/self/clear_refs").write_text("5")  # its peak from now on
    before = memory("VmHWM")

    async def main(url: str) -> None:
        async with client(url) as api:
            with pytest.raises(errors.ServerError):
                await api.status("t1")

    with serving(lambda h: reply(h, 200, bomb, {"Content-Encoding": label})) as url:
        asyncio.run(main(url))
    assert memory("VmHWM") - before < 64 << 20


@pytest.mark.parametrize(
    ("packed", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("GZIP", gzip.compress),
        ("deflate", lambda body: zlib.compress(body, wbits=-zlib.MAX_WBITS)),
        ("gzip", lambda body: gzip.compress(body)[:-8]),
        ("gzip, identity", gzip.compress),
        ("identity,x-gzip", gzip.compress),
        ("gzip, gzip", lambda body: gzip.compress(gzip.compress(body))),
        ("deflate, gzip", lambda body: gzip.compress(zlib.compress(body))),
        ("gzip, gzip", gzip.compress),
        *((label, bytes) for label in ("gzip", "deflate", "gzip, deflate", "br", "zstd")),
        *((label, bytes) for label in ("identity, identity", "utf-8", "none", "aws-chunked", "")),
        ("gzip", lambda body: b"\n  " + body),
        ("br", lambda body: b"\x0b\x1f\x80" + body + b"\x03"),
    ],
)
def test_b1_a_task_id_in_a_compressed_answer_is_not_lost(
    packed: str, pack: Callable[[bytes], bytes]
) -> None:
    """A gateway that compresses unasked costs nobody a picture, nor does one that only says so:
    labels are wrong, doubled and of another kind in every way. (What brotli cannot make smaller
    stands in it as it is.)"""
    for taken in (b'{"code":200,"data":{"taskId":"task_1"}}', b'{ "data": {"taskId": "task_1"}}'):
        assert submitted(pack(taken), {"Content-Encoding": packed}) == "task_1"


@pytest.mark.parametrize("packed", ["gzip", "br", "zstd", "gzip, gzip"])
def test_b1_an_answer_that_cannot_be_unpacked_is_an_unknown_one(packed: str) -> None:
    """A submit may have been taken; what is quoted of the answer is one printable line."""
    with pytest.raises(errors.SubmitUnknown) as caught:
        submitted(b"\x8b\x03\x80\n\x1b[2Jgarbage", {"Content-Encoding": packed})
    assert str(caught.value).isprintable()


def submitted(body: bytes, headers: dict[str, str]) -> str:
    """The id that the bare client reads out of an answer to a submit."""

    async def main(url: str) -> str:
        async with client(url) as api:
            return await api.submit(ImageRequest("a fox"))

    with serving(lambda handler: reply(handler, 200, body, headers)) as url:
        return asyncio.run(main(url))


# B2: without end.


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Never says how long it is, and never stops."""
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(bytes(1 << 16))
    handler.close_connection = True


def test_b2_an_endless_picture_ends(
    drawing: Studio, host: Host, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the limit, with nothing left on the disk of what cannot be a picture."""
    monkeypatch.setattr("nanobanana_nb.client.MAX_DOWNLOAD", 1 << 20)
    host.acts["endless"] = endless
    assert "it is larger than 1 MiB" in refusal(drawing, "endless")
    assert os.listdir(home / "pictures") == []


def test_b2_what_says_that_it_is_10_gb_is_not_begun(host: Host, home: Path) -> None:
    """No byte of it is waited for."""
    drawing = Studio(settings_for(host.url, home, timeout=0.5))

    def promise(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(10 << 30))
        handler.end_headers()
        handler.wfile.flush()
        with contextlib.suppress(OSError):
            handler.connection.recv(1)  # until the other side has gone

    host.acts["promise"] = promise
    assert "it is larger than 64 MiB" in refusal(drawing, "promise")
    drawing.close()


class Drip:
    """A byte at a time, each sooner than any pause would be noticed. `whole` is set at its end."""

    def __init__(self) -> None:
        self.whole = threading.Event()

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.connection.settimeout(0.01)
        with contextlib.suppress(OSError):
            for _ in range(1000):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                with contextlib.suppress(TimeoutError):
                    if not handler.connection.recv(1):
                        return
            self.whole.set()


def test_b2_a_drip_is_stopped(drawing: Studio, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for a whole download is limited, not only that for its next byte."""
    monkeypatch.setattr("nanobanana_nb.client.DOWNLOAD_TIME", 0.2)
    host.acts["drip"] = drip = Drip()
    assert "it took more than 0 s" in refusal(drawing, "drip")
    assert not drip.whole.is_set()


def test_b2_a_dripping_answer_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the API too."""
    monkeypatch.setattr("nanobanana_nb.client.CONNECT_TIME", 0.1)

    async def main(url: str) -> None:
        async with client(url, timeout=1.0) as api:
            with pytest.raises(errors.ServerError):
                await api.status("t1")

    drip = Drip()
    with serving(drip) as url:
        asyncio.run(main(url))
    assert not drip.whole.is_set()


# B3 to B6: what is in the file; each is one of the files of Y19.


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("png-50000-square-header", "more than 50 million pixels"),
        ("png-13300-square", "more than 50 million pixels"),
        ("png-9500-square", "more than 50 million pixels"),
        ("png-one-row", "a side of more than 65,535 pixels"),
        ("jpeg-65500-square-header", "more than 50 million pixels"),
        ("webp-16383-square-header", "more than 50 million pixels"),
        ("webp-49-megapixels", "more than 420 MB of memory"),
        ("png-49-megapixels-and-20-MB", "more than 420 MB of memory"),
        ("jpeg-49-megapixels-for-printers-and-30-MB", "more than 420 MB of memory"),
        ("jpeg-2000-scans", "a JPEG of 2,009 scans"),
    ],
)
def test_b3_size_is_checked_before_decoding(
    drawing: Studio, host: Host, name: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what the header says: Pillow is never asked for the pixels."""
    decoded: list[str] = []
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: decoded.append("PNG or JPEG"))
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.load", lambda *_: decoded.append("WebP"))
    assert says in refusal(drawing, name)
    assert decoded == []


def test_b3_4k_is_drawn(drawing: Studio) -> None:
    """The limits leave room for the largest that the API draws, in whatever format."""
    for name in HARMLESS:
        assert draw(drawing, name).image.width == 4096


@pytest.mark.parametrize(
    "name", [one.name for one in HOSTILE if one.name.startswith("jpeg-megabytes-of-")]
)
def test_b3_what_takes_minutes_to_read_is_not_opened(
    drawing: Studio, host: Host, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a JPEG's pixels stand a few segments; Pillow looks at every byte between them."""
    opened: list[Any] = []
    monkeypatch.setattr("PIL.Image.open", lambda *_, **__: opened.append(name))
    assert "is not a whole" in refusal(drawing, name)
    (tmp_path / "reference.jpg").write_bytes(host.file(name))
    with pytest.raises(errors.RequestError, match="is a JPEG that is damaged"):
        preparing.prepare(tmp_path / "reference.jpg", tmp_path / "ready")
    assert opened == []


@pytest.mark.parametrize("behind", ["film", "picture"])
def test_b3_what_stands_behind_a_jpeg_is_no_scan(
    drawing: Studio, host: Host, tmp_path: Path, behind: str
) -> None:
    """Phones put a film there, or a second picture: neither a result nor a reference is refused."""
    more = b"\xff\xda" * 200 if behind == "film" else good("JPEG") * 200
    host.made[behind] = data = good("JPEG") + more
    assert draw(drawing, behind).image.path.read_bytes() == data
    (tmp_path / "phone.jpg").write_bytes(data)
    assert preparing.prepare(tmp_path / "phone.jpg", tmp_path / "ready").is_file()


@pytest.mark.parametrize(
    "name", ["png-itxt-of-200-MB", "png-ztxt-of-200-MB", "png-iccp-of-200-MB", "png-many-ztxt"]
)
def test_b4_text_bombs_are_kept_aside(drawing: Studio, host: Host, home: Path, name: str) -> None:
    """Refused, and there for whoever wants to know what was paid for."""
    assert "is not a whole PNG" in refusal(drawing, name)
    assert refused(home) == [host.file(name)]


@pytest.mark.parametrize(
    "name",
    ["svg", "html", "html-in-utf-16", "eps", "pdf", "tiff", "gif", "ico", "psd", "bmp", "avif"],
)
def test_b5_only_three_kinds_are_opened(
    drawing: Studio, host: Host, home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the server calls it, no other reader of Pillow, nor Ghostscript, sees a byte."""
    opened: list[Any] = []
    real = subprocess.Popen.__init__
    monkeypatch.setattr(
        subprocess.Popen, "__init__", lambda *a, **k: (opened.append(a), real(*a, **k))[1]
    )
    assert "is not a whole PNG, JPEG or WebP picture" in refusal(drawing, name)
    assert opened == []
    assert refused(home) == [host.file(name)]


@pytest.mark.parametrize("name", ["apng-1000-frames", "webp-1000-frames"])
def test_b6_of_an_animation_one_frame_is_decoded(
    drawing: Studio, host: Host, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first; the file is stored as it came, and shown as its still preview."""
    sought: list[int] = []
    for plugin in ("PngImagePlugin.PngImageFile", "WebPImagePlugin.WebPImageFile"):
        monkeypatch.setattr(f"PIL.{plugin}.seek", lambda _, frame: sought.append(frame))
    drawn = draw(drawing, name)
    assert drawn.image.path.read_bytes() == host.file(name)
    assert set(sought) <= {0}


# B8: the type is what was decoded.


@pytest.mark.parametrize(
    ("kind", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp"), ("MPO", ".jpg")]
)
@pytest.mark.parametrize("told", ["text/html", "image/gif", "application/x-python", ""])
def test_b8_headers_name_nothing(
    drawing: Studio, host: Host, home: Path, kind: str, suffix: str, told: str
) -> None:
    """Neither the type nor the name that a server gives a file is used for anything."""
    data = host.file("jpeg-of-two") if kind == "MPO" else good(kind)
    headers = {**LIE, "Content-Type": told, "X-Content-Type-Options": "nosniff"}
    host.acts["liar"] = lambda handler: reply(handler, 200, data, headers)
    file = draw(drawing, "liar").image.path
    assert (file.parent, file.suffix) == (home / "pictures", suffix)
    assert not list(home.parent.rglob("x.py"))
    assert {one.suffix for one in (home / "pictures").iterdir()} == {suffix, ".json"}


# What is kept aside.


def test_b4_what_comes_again_is_kept_once(drawing: Studio, host: Host, home: Path) -> None:
    """However often it is fetched."""
    host.fetched.clear()
    refusal(drawing, "html")
    drawing.wait(drawing.resume())
    assert host.fetched.count("html") == 2 * REFUSALS
    assert refused(home) == [host.file("html")]


def test_b4_a_picture_that_cannot_be_used_is_not_fetched_for_ever(
    drawing: Studio, host: Host, home: Path
) -> None:
    """Twice, for it may have been broken on its way; then it is over, with the price and the file
    told, and what was spent stays counted."""
    host.fetched.clear()
    said = refusal(drawing, "webp-49-megapixels")
    [file] = (home / "refused").iterdir()
    assert "paid for (0.03 US dollars)" in said
    assert f"is kept as {file}" in said
    assert "tries again" not in said
    assert list(drawing.wait(drawing.resume())) == []
    [row] = drawing.wait(drawing.history())
    assert (row.state, str(row.error), row.standing) == ("expired", said, "expired")
    assert "gone" not in row._repr_mimebundle_()["text/plain"]
    assert drawing.wait(drawing.spending()).ever == Decimal("0.03")
    assert host.fetched == ["webp-49-megapixels"] * REFUSALS


def test_b4_a_transfer_that_broke_is_tried_again(drawing: Studio, host: Host, home: Path) -> None:
    """The half that came is kept, and the whole is drawn all the same."""
    answers = [good("PNG")[:9000], good("PNG")]
    host.acts["broken"] = lambda handler: reply(handler, 200, answers.pop(0), {})
    assert draw(drawing, "broken").image.path.read_bytes() == good("PNG")
    assert refused(home) == [good("PNG")[:9000]]


@pytest.mark.parametrize("later", ["dead", "the same"])
def test_b4_what_is_kept_is_not_called_gone(
    drawing: Studio, host: Host, home: Path, later: str
) -> None:
    """Once the links have died, it is told where the file lies, and the task is over."""
    host.acts["page"] = lambda handler: reply(handler, 200, b"not yet", {})
    refusal(drawing, "page")
    drawing.close()
    with contextlib.closing(sqlite3.connect(home / "ledger.sqlite3")) as db, db:
        db.execute("UPDATE task SET sent = sent - ?", [LINK_LIFE + 1])
    if later == "dead":
        host.acts["page"] = lambda handler: reply(handler, 404, b"", {})
    again = Studio(settings_for(host.url, home))
    [found] = again.wait(again.resume())
    assert list(again.wait(again.resume())) == []
    again.close()
    [file] = (home / "refused").iterdir()
    assert f"is kept as {file}" in str(found.error)
    assert "gone" not in str(found.error)


def test_b4_what_differs_each_time_does_not_fill_the_disk(
    drawing: Studio, host: Host, home: Path
) -> None:
    """A few files of one task are kept, and no more."""
    host.acts["fickle"] = lambda handler: reply(handler, 200, os.urandom(100), {})
    refusal(drawing, "fickle")
    drawing.wait(drawing.resume())
    drawing.wait(drawing.resume())
    assert len(refused(home)) == pictures.MOST_REFUSED < 3 * REFUSALS


def test_b4_where_it_cannot_be_kept_another_folder_keeps_it(
    drawing: Studio, host: Host, home: Path
) -> None:
    """As it would a picture."""
    draw(drawing, "4k-jpeg")
    (home / "refused").write_text("in the way")
    said = refusal(drawing, "html")
    [file] = (home / "rescued").iterdir()
    assert f"is kept as {file}" in said
    assert file.read_bytes() == host.file("html")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PictureStore]:
    made = PictureStore(tmp_path / "pictures", tmp_path / "previews")
    yield made
    made.close()


def put_aside(store: PictureStore, data: bytes) -> DownloadError:
    """How the store refuses what came of one task."""
    with store.incoming() as came:
        came.write(data)
        with pytest.raises(DownloadError) as caught:
            store.keep(came, "a fox", "abcd1234", 0.0)
    return caught.value


def test_b4_where_it_cannot_be_kept_nothing_is_promised(
    store: PictureStore, tmp_path: Path
) -> None:
    """The reason is said all the same."""
    (tmp_path / "refused").write_text("in the way")
    error = put_aside(store, b"no picture")
    assert "is not a whole PNG" in str(error)
    assert "is kept as" not in str(error)
    assert error.kept is None


def test_b4_of_too_many_those_that_begin_as_pictures_are_kept(
    store: PictureStore, tmp_path: Path
) -> None:
    """The newest is what was paid for, though four pages came before it."""
    for number in range(pictures.MOST_REFUSED + 2):
        put_aside(store, b"page %d" % number)
    for cut in range(1000, 3000, 100):
        error = put_aside(store, good("PNG")[:cut])
        assert error.kept is not None
        assert error.kept == store.kept_aside("abcd1234")
        assert error.kept.read_bytes() == good("PNG")[:cut]
        assert len(refused(tmp_path)) == pictures.MOST_REFUSED
    assert put_aside(store, b"a page").kept is None
    assert all(one.startswith(b"\x89PNG") for one in refused(tmp_path))


@pytest.mark.parametrize("taken", ["empty", "other", "dangling"])
def test_b4_a_name_that_is_taken_is_not_believed(
    store: PictureStore, tmp_path: Path, taken: str
) -> None:
    """The content is compared: a full disk or a kill may have left an empty file."""
    file = put_aside(store, b"no picture").kept
    assert file is not None
    file.unlink()
    if taken == "dangling":
        file.symlink_to(tmp_path / "nowhere")
    else:
        file.write_bytes(b"" if taken == "empty" else b"NO PICTURE")
    assert put_aside(store, b"no picture").kept == file
    assert refused(tmp_path) == [b"no picture"]
    assert not (tmp_path / "nowhere").exists()


def test_b4_the_picture_may_still_come(drawing: Studio, host: Host, home: Path) -> None:
    """What is kept aside does not stand in the way of the picture, whose link is good later."""
    host.acts["late"] = lambda handler: reply(handler, 200, b"not yet", {})
    refusal(drawing, "late")
    host.acts["late"] = lambda handler: reply(handler, 200, good("PNG"), {})
    [late] = drawing.wait(drawing.resume())
    assert late.image.path.read_bytes() == good("PNG")


def test_y19_memory_that_runs_out_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a decoder raises: the bytes are kept, and no foreign exception leaves."""
    store = PictureStore(tmp_path / "pictures", tmp_path / "previews")
    for raised in (MemoryError, RecursionError, KeyError, AttributeError, OverflowError, EOFError):

        def load(*_: object, kind: type[Exception] = raised) -> None:
            raise kind("as Pillow does")

        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
        came = store.incoming()
        came.write(good("PNG"))
        with pytest.raises(DownloadError, match="is kept as"):
            store.keep(came, "a fox", raised.__name__.lower()[:8], 0.0)
        came.close()
    store.close()


# B9 to B11: what is in an answer of the API.

DEEP = b"[" * 100_000 + b"]" * 100_000
ODD_BODIES = {
    "deep-list": DEEP,
    "deep-objects": b'{"data":' * 20_000 + b"1" + b"}" * 20_000,
    "deep-inside": b'{"code":200,"data":' + DEEP + b"}",
    "5000-digits": b'{"code":200,"data":' + b"9" * 5000 + b"}",
    "nan": b'{"code":NaN,"data":NaN}',
    "bom": b"\xef\xbb\xbf[]",
    "latin-1": '{"code":200,"data":"é"}'.encode("latin-1"),
    "utf-16": '{"code":200}'.encode("utf-16-be")[1:],
    "2-MB": b'{"code":200,"data":"' + b"x" * (2 << 20) + b'"}',
    "nothing": b"",
    "html": b"<!doctype html>" + SCRIPT,
}


@pytest.mark.parametrize("name", ODD_BODIES)
def test_b9_odd_json_is_an_error_of_ours(name: str) -> None:
    """To each of the three questions, over a real socket, and the client goes on afterwards."""
    answers = [ODD_BODIES[name]] * 3 + [b'{"code":200,"data":2.5}']

    async def main(url: str) -> None:
        async with client(url) as api:
            with pytest.raises(errors.SubmitUnknown):
                await api.submit(ImageRequest("a fox"))
            with contextlib.suppress(errors.ServerError):
                assert isinstance(await api.status("t1"), Running)
            with pytest.raises(errors.ServerError):
                await api.balance()
            assert await api.balance() == Decimal("2.5")

    with serving(lambda handler: reply(handler, 200, answers.pop(0), {})) as url:
        asyncio.run(main(url))


def test_b9_of_an_endless_answer_a_megabyte_is_read() -> None:
    """The cap counts what was read, whatever the answer says of its length."""
    sent: list[int] = []

    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                sent.append(handler.wfile.write(bytes(1 << 16)))
        handler.close_connection = True

    async def main(url: str) -> None:
        async with client(url) as api:
            with pytest.raises(errors.ServerError):
                await api.status("t1")

    with serving(flood) as url:
        asyncio.run(main(url))
    assert protocol.MAX_ANSWER == 1 << 20
    assert sum(sent) < 16 << 20  # what the system holds on the way is not ours to say


def test_b9_the_last_of_two_keys_counts() -> None:
    """As everywhere; no answer is read in two ways."""
    body = b'{"code":401,"code":200,"data":{"state":"failed","state":"pending"}}'
    assert protocol.read_status(Answer(200, body)) == Running("pending")


LINK = "https://r2.example/a.png"


@pytest.mark.parametrize(
    ("urls", "found"),
    [
        (LINK, ()),
        ({"0": LINK}, ()),
        (None, ()),
        (7, ()),
        ([], ()),
        ([None, 7, {}, [LINK], True, ""], ()),
        ([None, LINK, 7], (LINK,)),
        ([LINK] * 10_000, (LINK,)),
    ],
)
def test_b10_result_urls_of_any_type(urls: object, found: tuple[str, ...]) -> None:
    """What is no list of links holds none, and the task is looked at again."""
    data = {"state": "success", "resultJson": {"resultUrls": urls}}
    body = json.dumps({"code": 200, "data": data}).encode()
    state = protocol.read_status(Answer(200, body))
    assert state == (Succeeded(found) if found else Running("success without a link"))


def test_b10_ten_thousand_links_are_sixteen() -> None:
    """No answer makes us fetch without end."""
    urls = [f"{LINK}?{n}" for n in range(10_000)]
    data = {"state": "success", "resultJson": json.dumps({"resultUrls": urls})}
    body = json.dumps({"code": 200, "data": data}).encode()
    assert protocol.read_status(Answer(200, body)) == Succeeded(tuple(urls[:16]))


ODD_IDS = {
    "1-MB": "x" * 900_000,
    "path": "../../etc/passwd",
    "line": "task\n1",
    "query": "task&x=1",
    "unicode": "tâche",
    "markup": "<script>",
    "right-to-left": "task\u202e1",
    "surrogate": "\ud800",
    "nothing": "",
    "list": ["task_1"],
    "true": True,
}


@pytest.mark.parametrize("name", ODD_IDS)
def test_b11_an_odd_task_id_is_shown_and_not_used(home: Path, name: str) -> None:
    """The attempt stays in doubt, with the id as evidence; nothing is asked for under it, and no
    file is named by it."""
    asked: list[str] = []

    def act(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        body = json.dumps({"code": 200, "data": {"taskId": ODD_IDS[name]}}).encode()
        reply(handler, 200, body, {})

    with serving(act) as url:
        studio = Studio(settings_for(url, home))
        with pytest.raises(errors.SubmitUnknown) as caught:
            studio.wait(studio.generate("a fox"))
        [row] = studio.wait(studio.history(state="unknown"))
        studio.close()
    said = str(caught.value)
    unseen = name in ("nothing", "list", "surrogate")
    assert ("no task id" if unseen else "a task id that cannot be one") in said
    assert len(said) < 1000
    assert said.isprintable()
    assert not row.task_id
    assert not [path for path in asked if "statusTask" in path]
    names = [file.name for file in home.rglob("*")]
    assert not [name for name in names if "passwd" in name or "task" in name]


def test_b11_a_good_task_id_cannot_change_the_question() -> None:
    """It stands in the query alone, and dots in it lead nowhere."""
    for task_id in ("..", "a:b", "x" * 200):
        body = json.dumps({"code": 200, "data": {"taskId": task_id}}).encode()
        assert protocol.read_submit(Answer(200, body)) == task_id
        path, _, query = protocol.status(task_id).path.partition("?")
        assert path == "/api/v1/statusTask/nano-banana"
        assert parse_qs(query) == {"taskId": [task_id]}
