"""What a person hands over as a reference is looked at before it is paid for."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import nanobanana_nb as nb
from nanobanana_nb import RequestError, Sandbox, Studio, client, references
from nanobanana_nb.references import Look

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

    def do_GET(self) -> None:
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
    assert "neither a link" in refusal(studio, tmp_path)
    for odd in ("a fox " * 2000, "~nobody-at-all/fox.png", "a\0b", "half \ud83d.png", ""):
        assert "neither a link" in refusal(studio, odd)
        assert len(refusal(studio, odd)) < 200
    assert "is not a picture" in refusal(studio, 3)
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
    assert "not a PNG, JPEG or WebP" in refusal(embedded, tmp_path / "text.png")
    (tmp_path / "big.png").write_bytes(PNG + bytes(10_000_000))
    assert "larger than the 10 MB" in refusal(embedded, tmp_path / "big.png")
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
