"""What a person hands over as a reference is looked at before it is paid for."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import nanobanana_nb as nb
from nanobanana_nb import Client, RequestError, Sandbox, Studio, client, references
from nanobanana_nb.references import Look, References

from .conftest import settings_for
from .test_pictures import encoded, noisy

PNG = encoded(noisy(640, 480), "PNG")
ANSWERS: dict[str, tuple[int, bytes]] = {
    "/fox.png": (200, PNG),
    "/fox.webp": (200, encoded(noisy(30, 40), "WEBP")),
    "/page": (200, b"<html>not a picture</html>"),
    "/half.png": (200, PNG[:5000]),
    "/empty": (200, b""),
    "/gone": (404, b"no"),
    "/mine": (403, b"no"),
    "/busy": (503, b"no"),
    "/slow-down": (429, b"no"),
}


class Host(BaseHTTPRequestHandler):
    """Somebody's host of pictures."""

    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.path = self.path.removesuffix("?signature=secret")
        self.seen.append(self.path)
        if self.path == "/late":
            time.sleep(1)
        if self.path == "/huge":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):  # whoever asked has gone
                for _ in range(100):
                    self.wfile.write(bytes(1_000_000))
            return
        status, body = ANSWERS.get(self.path, (200, PNG))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def in_earnest(tmp_path: Path) -> Iterator[Studio]:
    """A studio of the API in earnest; nothing here reaches it."""
    settings = nb.Settings.load(api_key="k", home=tmp_path / "real", pictures=tmp_path / "p")
    made = Studio(settings)
    yield made
    made.close()


def look(studio: Studio, reference: Any) -> Look:
    return studio.wait(studio.look_at(reference))


def refusal(studio: Studio, reference: Any) -> str:
    """The one line that says why it cannot be a reference."""
    with pytest.raises(RequestError) as caught:
        look(studio, reference)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def check_preview(found: Look) -> None:
    assert len(found.preview) <= references.PREVIEW_BYTES == 12_000
    with Image.open(io.BytesIO(found.preview)) as image:
        assert image.format == "JPEG"
        assert max(image.size) <= 256


@pytest.mark.parametrize("name", ["/fox.png", "/fox.webp", "/without?signature=1"])
def test_a_link_to_a_picture(studio: Studio, host: str, name: str) -> None:
    """It is decoded, not believed; what is passed on is the link as it was given."""
    found = look(studio, host + name)
    assert (found.source, found.content, found.warning) == (host + name, host + name, "")
    assert found.label == host + name
    check_preview(found)
    assert len(look(studio, f"{host}/{'x' * 200}").label) <= 48


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/page", "is not a picture: it is not a whole PNG, JPEG or WebP picture."),
        ("/half.png", "is not a picture: it is not a whole"),
        ("/empty", "is not a picture: it is not a whole"),
        ("/gone", "is not a picture: HTTP 404."),
        ("/mine", "is not a picture: HTTP 403."),
        ("/huge", "is larger than the 10 MB that the API takes"),
    ],
)
def test_a_link_to_something_else_is_refused(
    studio: Studio, host: str, name: str, why: str
) -> None:
    """With the link and the reason in one line."""
    told = refusal(studio, host + name)
    assert told.startswith(f"'{host}{name}' ")
    assert why in told


@pytest.mark.parametrize("name", ["/busy", "/slow-down", "/late", "closed", "nowhere"])
def test_a_link_that_the_network_keeps_from_us_is_kept(
    studio: Studio, host: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API may fetch it all the same; it is said that nobody has looked."""
    monkeypatch.setattr(client, "LOOK_TIME", 0.5)
    other = {"closed": "http://127.0.0.1:9/x.png", "nowhere": "https://nowhere.invalid/x.png"}
    link = other.get(name, host + name)
    found = look(studio, link)
    assert (found.source, found.preview) == (link, b"")
    assert found.warning.startswith("It could not be looked at from here. ")


def test_what_is_neither_a_link_nor_a_file(studio: Studio, tmp_path: Path) -> None:
    """As it is refused by every other verb."""
    assert "neither a link" in refusal(studio, "nowhere.png")
    assert "is a folder; give a picture that is in it" in refusal(studio, tmp_path)
    for odd in ("a fox " * 2000, "~nobody-at-all/fox.png", "a\0b", "half \ud83d.png", ""):
        assert "neither a link" in refusal(studio, odd)
        assert len(refusal(studio, odd)) < 200
    assert "is not a picture" in refusal(studio, 3)
    assert "a numpy array or a matplotlib figure" in refusal(studio, [1, 2])
    assert "is not a link" in refusal(studio, "ftp://example.com/x.png")
    assert "is not a plain link" in refusal(studio, "https://example.com/\ud83d.png")


def test_only_public_https_links_in_earnest(in_earnest: Studio, host: str) -> None:
    """The API could not fetch anything else, and nobody's network is looked into."""
    told = refusal(in_earnest, "http://example.com/x.png")
    assert told == "'http://example.com/x.png' is not https; only https links are used."
    assert "is not https" in refusal(in_earnest, f"{host}/fox.png")
    for private in ("127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]"):
        assert "private network" in refusal(in_earnest, f"https://{private}/x.png")


def test_a_result_is_passed_on_as_it_is(studio: Studio) -> None:
    """Its picture, with the preview that is kept of it; also where only its file is given."""
    fox = studio.wait(studio.generate("a fox"))
    for given in (fox, fox.image, fox.path, str(fox.path)):
        found = look(studio, given)
        assert found.source == fox.image
        assert (found.label, found.content) == (fox.path.name, fox.image.sha256)
        check_preview(found)
    fox.path.unlink()
    assert look(studio, fox).source == fox.image  # the API's link lives all the same


def test_a_file_of_ones_own_is_only_for_the_embedded_sandbox(
    studio: Studio, in_earnest: Studio, tmp_path: Path
) -> None:
    """Elsewhere it is refused at once, in the words with which it would be refused later."""
    (tmp_path / "red.png").write_bytes(PNG)
    for other in (studio, in_earnest):
        with pytest.raises(RequestError) as later:
            other.wait(other.edit(tmp_path / "red.png", "brighter"))
        assert refusal(other, tmp_path / "red.png") == str(later.value)
    home = tmp_path / "embedded"
    embedded = Studio(nb.Settings.load(sandbox="always", home=home, pictures=home / "p"))
    found = look(embedded, str(tmp_path / "red.png"))
    assert (found.source, found.label) == (tmp_path / "red.png", "red.png")
    check_preview(found)
    check_preview(look(embedded, Image.new("RGBA", (3000, 10))))
    (tmp_path / "text.png").write_text("no picture")
    assert "'text.png' is not a picture" in refusal(embedded, tmp_path / "text.png")
    (tmp_path / "big.png").write_bytes(PNG + bytes(10_000_000))
    check_preview(look(embedded, tmp_path / "big.png"))  # made smaller for the API
    assert embedded.wait(embedded.page()).total == 0
    embedded.close()


def test_looking_costs_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """No POST, no row."""
    made = Studio(settings_for(sandbox.url, tmp_path / "home"))
    (tmp_path / "x.png").write_bytes(PNG)
    look(made, sandbox.share(tmp_path / "x.png"))
    assert sandbox.counts["submit"] == 0
    assert made.wait(made.page()).total == 0
    made.close()


def refused_edit(studio: Studio, reference: Any) -> str:
    """The one line with which an edit is refused."""
    with pytest.raises(RequestError) as caught:
        studio.wait(studio.edit(reference, "brighter"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def figure() -> Figure:
    drawn = Figure(figsize=(3, 2))
    drawn.subplots().plot([1, 3, 2])
    return drawn


IN_MEMORY = {
    "bytes": lambda: (PNG, (640, 480)),
    "bytearray": lambda: (bytearray(PNG), (640, 480)),
    "memoryview": lambda: (memoryview(PNG), (640, 480)),
    "data link": lambda: (f"data:image/png;base64,{base64.b64encode(PNG).decode()}", (640, 480)),
    "Pillow": lambda: (noisy(64, 48), (64, 48)),
    "Pillow CMYK": lambda: (Image.new("CMYK", (64, 48)), (64, 48)),
    "Pillow file": lambda: (Image.open(io.BytesIO(PNG)), (640, 480)),
    "numpy": lambda: (np.zeros((48, 64, 3), "uint8"), (64, 48)),
    "numpy floats": lambda: (np.linspace(0, 1, 64 * 48).reshape(48, 64), (64, 48)),
    "figure": lambda: (figure(), (300, 200)),
    "axes": lambda: (figure().axes[0], (300, 200)),
}


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_pictures_that_are_in_no_file(tmp_path: Path, kind: str) -> None:
    """Are put into one, named by what it holds: the same picture twice is the same file, by which
    a cell finds again what it drew."""
    with Sandbox(latency=0) as served:
        made = References(tmp_path / "references", served)
        first, second = (made.read(IN_MEMORY[kind]()[0]) for _ in range(2))
        assert isinstance(first, Path)
        assert first == second
        assert first.parent == tmp_path / "references"
        assert made.content(first) == first.stem
        with Image.open(first) as image:
            assert image.size == IN_MEMORY[kind]()[1]
        assert made.link_to(first).startswith(served.url)
        assert made.link_to(first) == made.link_to(first)


def test_an_edit_of_what_is_in_memory(tmp_path: Path) -> None:
    """Several kinds at once, in their order; only what was prepared is served."""
    home = tmp_path / "home"
    studio = Studio(nb.Settings.load(sandbox="always", home=home, pictures=home / "p"))
    given = [np.zeros((30, 40), "uint8"), PNG, figure(), noisy(50, 20)]
    made = studio.wait(studio.edit(given, "all of them"))
    assert made.path.exists()
    assert len(made.request.image_urls) == len(made.references) == 4
    names = {link.rpartition("/")[2] for link in made.request.image_urls}
    kept = {file.name for file in (home / "sandbox" / "references").iterdir()}
    assert len(names) == 4
    assert names <= kept
    studio.close()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (b"", "What these 0 bytes hold is empty"),
        (b"a fox", "What these 5 bytes hold is not a picture"),
        (PNG[:30], "bytes hold is a PNG that is damaged"),
        ("data:text/plain,hello", "holds no picture in base64"),
        ("data:image/png;base64,!!!!", "holds no picture in base64"),
        ("DATA:image/png;base64,aGVsbG8=", "The data: link is not a picture"),
        ("data:image/svg+xml;base64,PHN2Zz48L3N2Zz4=", "The data: link is an SVG"),
        (np.zeros((4, 4, 7)), "The array has the shape (4, 4, 7) and holds float64"),
        (Image.new("RGB", (0, 5)), "The Pillow image has no pixels"),
        ("file:///etc/passwd", "give the path itself, without file://"),
        ("s3://bucket/fox.png", "is not a link that the API can fetch; it takes https://"),
        ("javascript://x", "is not a link that the API can fetch"),
        (open, "is not a picture; give a link"),
    ],
)
def test_what_is_no_picture_in_memory(tmp_path: Path, given: Any, why: str) -> None:
    """Said in one line, before anything is written."""
    with pytest.raises(RequestError) as caught:
        References(tmp_path / "references", None).read(given)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert not (tmp_path / "references").exists()


def test_numpy_and_matplotlib_are_not_loaded_for_others(tmp_path: Path) -> None:
    """Whoever does not use them does not wait for them; nor for fsspec, or Pillow for a link."""
    (tmp_path / "x.png").write_bytes(PNG)
    code = (
        "import sys; from pathlib import Path; from nanobanana_nb.references import References\n"
        "References(Path(sys.argv[1]), None).read('https://example.com/x.png')\n"
        "print(*{'PIL', 'numpy', 'matplotlib', 'fsspec'} & set(sys.modules))\n"
        "References(Path(sys.argv[1]), None).read(Path(sys.argv[1]) / 'x.png')\n"
        "References(Path(sys.argv[1]), None).read((Path(sys.argv[1]) / 'x.png').read_bytes())\n"
        "print(*{'numpy', 'matplotlib', 'fsspec'} & set(sys.modules))"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    told = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    assert told.split() == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/page", "is not a picture: it is not a whole PNG, JPEG or WebP"),
        ("/half.png", "is not a picture"),
        ("/gone", "is not a picture: HTTP 404. Nothing was sent."),
        ("/huge", "is larger than the 10 MB that the API takes"),
        ("/busy", "could not be reached from here, so nothing was sent"),
        ("closed", "could not be reached from here, so nothing was sent"),
    ],
)
def test_a_link_is_looked_at_before_it_is_paid_for(
    studio: Studio, sandbox: Sandbox, host: str, name: str, why: str
) -> None:
    """The API would take the money and then say INVALID_IMAGE_URL. No signature is shown."""
    link = "http://127.0.0.1:9/x.png" if name == "closed" else host + name
    told = refused_edit(studio, f"{link}?signature=secret")
    assert why in told
    assert link in told
    assert "secret" not in told
    assert sandbox.counts["submit"] == 0
    assert studio.wait(studio.page()).total == 0


def test_a_link_that_was_good_is_not_fetched_again(sandbox: Sandbox, host: str) -> None:
    """For ten minutes, and once for all that ask at the same time; a bad one each time."""
    Host.seen.clear()
    now = [100.0]
    made = References(Path("nowhere"), None, clock=lambda: now[0])

    async def main() -> None:
        async with Client("k", base_url=sandbox.url) as api:
            link = f"{host}/fox.png"
            asked = [made.link(link, api) for _ in range(20)]
            assert set(await asyncio.gather(*asked)) == {link}
            now[0] += references.TRUSTED - 1
            await made.link(link, api)
            assert Host.seen == ["/fox.png"]
            now[0] += 2
            await made.link(link, api)
            assert Host.seen == ["/fox.png"] * 2
            for _ in range(2):
                with pytest.raises(RequestError):
                    await made.link(f"{host}/gone", api)
            assert Host.seen[2:] == ["/gone"] * 2

    asyncio.run(main())


def test_a_living_result_is_not_looked_at(studio: Studio, sandbox: Sandbox) -> None:
    """It was downloaded from that very link."""
    fox = studio.wait(studio.generate("a fox"))
    downloads = sandbox.counts["download"]
    dawn = studio.wait(studio.edit(fox, "at sunrise"))
    assert dawn.request.image_urls == (fox.url,)
    assert sandbox.counts["download"] == downloads + 2  # by the sandbox, and of the new one
