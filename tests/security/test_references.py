"""What leaves this machine of a picture are its pixels, and only to where the user said (table E).

Each kind of file is looked at in `tests/test_preparing.py`; here is what holds for every way in.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, TiffImagePlugin

import nanobanana_nb as nb
from nanobanana_nb import RequestError, Sandbox, Studio

from ..conftest import settings_for
from ..panel.hand import OPENED, opened
from ..test_money import wait_for
from ..test_pictures import encoded, noisy
from ..test_preparing import SECRET, check_pixels_alone, exif, made_ready, photo, refusal

PACKAGE = Path(nb.__file__).parent


@pytest.fixture
def sent() -> list[Path]:
    """The files that were given away."""
    return []


@pytest.fixture
def giving(sandbox: Sandbox, sent: list[Path], tmp_path: Path) -> Iterator[Studio]:
    """A studio whose user has said where pictures go, and that sees each of them."""

    def publish(file: Path) -> str:
        sent.append(file)
        return sandbox.share(file)

    home = tmp_path / "home"
    made = Studio(settings_for(sandbox.url, home, publish=publish, sandbox="never"))
    yield made
    made.close()


def in_a_file(folder: Path) -> Path:
    (folder / "at Mill Lane 7.jpg").write_bytes(photo())
    return folder / "at Mill Lane 7.jpg"


WAYS: dict[str, Callable[[Path], Any]] = {
    "path": in_a_file,
    "text": lambda folder: str(in_a_file(folder)),
    "bytes": lambda _: photo(),
    "data link": lambda _: f"data:image/jpeg;base64,{base64.b64encode(photo()).decode()}",
    "Pillow": lambda _: Image.open(io.BytesIO(photo())),
    "several": lambda folder: [in_a_file(folder), photo(orientation=3)],
}


@pytest.mark.parametrize("way", WAYS)
def test_e1_every_way_in_gives_the_pixels_alone(
    giving: Studio, sent: list[Path], sandbox: Sandbox, tmp_path: Path, way: str
) -> None:
    """Place, maker, comment, profile and thumbnail stay here, the name of the file too; what is
    named to the API is what was cleaned."""
    giving.wait(giving.edit(WAYS[way](tmp_path), "brighter"))
    assert len(sent) == (2 if way == "several" else 1)
    for file in sent:
        check_pixels_alone(file.read_bytes())
        assert re.fullmatch(r"[0-9a-f]{64}\.(jpg|png)", file.name)
    task = sandbox.tasks[-1]
    assert SECRET not in f"{task.prompt} {task.image_urls}"
    assert "Mill" not in str(task.image_urls)


def test_e1_what_is_dropped_into_the_panel(
    giving: Studio, sent: list[Path], sandbox: Sandbox
) -> None:
    """The same, and nothing leaves before Generate is pressed."""
    hand = opened(giving)
    hand.panel._received({"do": "picture", "name": "at Mill Lane 7.jpg"}, [memoryview(photo())])
    hand.says("Mill Lane", "thumbs")
    assert sent == []
    assert sandbox.tasks == ()
    hand.draw("brighter")
    wait_for(lambda: bool(sandbox.tasks))
    for file in sent:
        check_pixels_alone(file.read_bytes())
    assert len(sent) == len(sandbox.tasks[-1].image_urls) == 1
    OPENED.pop().close()


def tiff() -> bytes:
    data = io.BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270], tags[315], tags[306] = SECRET, SECRET, "2026:11:27 12:00:00"
    tags[33723] = SECRET.encode()  # IPTC
    tags[700] = f"<x:xmpmeta>{SECRET}</x:xmpmeta>".encode()
    noisy(30, 20).save(data, "TIFF", tiffinfo=tags)
    return data.getvalue()


def gif() -> bytes:
    data = io.BytesIO()
    noisy(30, 20).save(data, "GIF", comment=SECRET.encode())
    return data.getvalue()


def two_in_one() -> bytes:
    """As telephones write them: a second picture behind the first, with its own notes."""
    data = io.BytesIO()
    second = Image.open(io.BytesIO(photo()))
    noisy(30, 20).save(data, "MPO", save_all=True, append_images=[second], exif=exif())
    return data.getvalue()


def with_a_thumbnail() -> bytes:
    """What was cut away from the picture may still be on the small one beside it."""
    inside = encoded(Image.new("RGB", (8, 8), "red"), "JPEG") + SECRET.encode()
    notes = exif()
    notes.get_ifd(0x8769)[0x927C] = SECRET.encode()  # the maker's own note
    notes.get_ifd(0x8769)[0xA431] = SECRET  # the camera's serial number
    data = io.BytesIO()
    raw = notes.tobytes()
    noisy(30, 20).save(data, "JPEG", exif=raw + inside)
    return data.getvalue()


@pytest.mark.parametrize("make", [tiff, gif, two_in_one, with_a_thumbnail])
def test_e1_notes_of_rarer_files(tmp_path: Path, make: Callable[[], bytes]) -> None:
    """Tags of a TIFF, comment of a GIF, the second picture of a telephone, a maker's notes."""
    data = make()
    assert SECRET.encode() in data
    file, image = made_ready(data, tmp_path, "x.dat")
    check_pixels_alone(file.read_bytes())
    assert image.size == (30, 20)


def test_e4_no_host_is_known_but_the_apis() -> None:
    """There is nowhere that a picture could be put unasked: no address of any host to upload to
    stands in the package."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"https?://([a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)*)", text))
    named = {host for host in found if not host.endswith((".example", "example.com"))}
    documents = {"www.w3.org", "ns.adobe.com"}  # names of kinds of text, never fetched
    assert named <= {"api.apixo.ai", "apixo.ai", "127.0.0.1", *documents} | {
        "NAME.trycloudflare.com",  # in a help text
    }


def test_e4_a_file_that_is_no_picture_goes_nowhere(
    giving: Studio, sent: list[Path], sandbox: Sandbox, tmp_path: Path
) -> None:
    """Also where the user has said where pictures go: a key file under a picture's name is not
    one, nor is what a link on this machine leads to."""
    (tmp_path / "key.png").write_text("-----BEGIN OPENSSH PRIVATE KEY-----")
    (tmp_path / "link.png").symlink_to(tmp_path / "key.png")
    assert "is not a picture" in refusal(tmp_path / "key.png")
    for name in ("key.png", "link.png"):
        with pytest.raises(RequestError, match="is not a picture"):
            giving.wait(giving.edit(tmp_path / name, "brighter"))
    assert sent == []
    assert sandbox.counts["submit"] == 0


def test_e5_what_is_stored_says_nothing_unasked(giving: Studio) -> None:
    """The prompt is in the file only where that was asked for: the sidecar has it, beside it."""
    made = giving.wait(giving.generate("a fox at Mill Lane 7"))
    assert SECRET.encode() not in made.path.read_bytes()
    assert SECRET in made.path.with_suffix(".json").read_text(encoding="utf-8")
    assert made.path.with_suffix(".json").stat().st_mode & 0o077 == 0
