"""Picture files: whole and verified under their final name, or not there at all."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import pytest
from PIL import Image

from nanobanana_nb import DownloadError, RequestError, pictures
from nanobanana_nb.pictures import PictureStore, contact_sheet, make_preview, save_copy, slug


def noisy(width: int = 640, height: int = 480, mode: str = "RGB") -> Image.Image:
    """A picture that compresses as badly as a photograph."""
    data = random.Random(1).randbytes(width * height * len(mode))
    return Image.frombytes(mode, (width, height), data)


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> PictureStore:
    return PictureStore(tmp_path / "pictures", tmp_path / "previews")


def keep(store: PictureStore, data: bytes, prompt: str = "a fox"):
    with store.incoming() as file:
        file.write(data)
        return store.keep(file, prompt, "abcd1234", 0.0)


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp")])
def test_a_good_picture_is_kept(store: PictureStore, tmp_path: Path, kind, suffix) -> None:
    """Byte for byte, named by date, words and id, with its size; no temporary file stays."""
    data = encoded(noisy(), kind)
    kept = keep(store, data)
    assert kept.file.read_bytes() == data
    assert kept.file.name.endswith(f"-a-fox-abcd1234{suffix}")
    assert (kept.width, kept.height) == (640, 480)
    assert os.listdir(tmp_path / "pictures") == [kept.file.name]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>gone</html>",
        encoded(noisy(), "PNG")[:-2000],
        encoded(noisy(), "JPEG")[: len(encoded(noisy(), "JPEG")) * 6 // 10],
        encoded(noisy(), "PNG")[:60],
        encoded(noisy(8, 8), "GIF"),
        encoded(noisy(8, 8), "TIFF"),
        encoded(noisy(8, 8), "EPS"),
    ],
    ids=["empty", "html", "cut-png", "cut-jpeg", "header", "gif", "tiff", "eps"],
)
def test_what_is_no_whole_picture_is_refused(store: PictureStore, tmp_path: Path, data) -> None:
    """Decoded to the last row before it is believed; nothing is left behind."""
    with pytest.raises(DownloadError):
        keep(store, data)
    assert os.listdir(tmp_path / "pictures") == []


def test_too_many_pixels_are_refused_before_decoding(store: PictureStore, tmp_path: Path) -> None:
    """A 64-megapixel PNG of a few kilobytes must not cost hundreds of megabytes."""
    bomb = io.BytesIO()
    Image.new("1", (8000, 8000)).save(bomb, "PNG")
    with pytest.raises(DownloadError, match="million pixels"):
        keep(store, bomb.getvalue())


def test_nothing_is_ever_overwritten(store: PictureStore) -> None:
    """The same name gets a number."""
    first, second = keep(store, encoded(noisy(), "PNG")), keep(store, encoded(noisy(8, 8), "PNG"))
    assert first.file != second.file
    assert second.file.stem == f"{first.file.stem}-2"
    assert first.width == 640


@pytest.mark.parametrize(
    "prompt",
    ["../../etc/passwd", "/abs", "C:\\x", "CON", "a:b", "...", "x" * 300, "\x00\n", "🦊", "‮gpj"],
)
def test_names_are_harmless(store: PictureStore, tmp_path: Path, prompt) -> None:
    """No prompt gets out of the folder or makes an odd name."""
    kept = keep(store, encoded(noisy(8, 8), "PNG"), prompt)
    assert kept.file.resolve().parent == (tmp_path / "pictures").resolve()
    assert set(slug(prompt)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert len(kept.file.name) < 90


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_previews_are_small(mode) -> None:
    """At most 512 pixels and 40 kB even for noise, in the picture's own ratio."""
    preview = make_preview(noisy(1344, 756, mode))
    assert len(preview) <= pictures.PREVIEW_BYTES
    with Image.open(io.BytesIO(preview)) as small:
        assert small.format == "JPEG"
        assert max(small.size) <= 512
        assert abs(small.width / small.height - 16 / 9) < 0.02


def test_see_through_parts_become_white() -> None:
    """Not black, as a plain conversion would have it."""
    preview = make_preview(Image.new("RGBA", (20, 20), (0, 0, 0, 0)))
    with Image.open(io.BytesIO(preview)) as small:
        assert small.getpixel((10, 10)) == (255, 255, 255)


def test_a_lost_preview_is_made_again(store: PictureStore) -> None:
    """And a lost picture gives none."""
    kept = keep(store, encoded(noisy(), "PNG"))
    store.preview_file(kept.file).unlink()
    assert store.preview(kept.file).startswith(b"\xff\xd8")
    kept.file.unlink()
    assert store.preview(kept.file) == b""


def test_a_contact_sheet_holds_all() -> None:
    """Several previews in one JPEG; none for none."""
    sheet = contact_sheet([make_preview(noisy(64, 64))] * 6)
    with Image.open(io.BytesIO(sheet)) as image:
        assert image.size == (512, 256)
    assert contact_sheet([]) == b""


def test_save_copies_or_converts(store: PictureStore, tmp_path: Path) -> None:
    """Same ending: the same bytes; another: converted; a folder: the same name."""
    kept = keep(store, encoded(noisy(8, 8, "RGBA"), "PNG"))
    assert save_copy(kept.file, tmp_path / "x.png").read_bytes() == kept.file.read_bytes()
    with Image.open(save_copy(kept.file, tmp_path / "x.jpg")) as image:
        assert image.format == "JPEG"
    assert save_copy(kept.file, tmp_path).name == kept.file.name


@pytest.mark.parametrize("target", ["x.gif", "x", "no/such/folder/x.png"])
def test_a_bad_target_is_one_clear_line(tmp_path: Path, target) -> None:
    """Said before money is spent."""
    with pytest.raises(RequestError, match="Cannot save"):
        pictures.check_target(tmp_path / target)
