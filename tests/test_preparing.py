"""A local picture as the API may have it: upright, sRGB, small enough, and pixels alone."""

from __future__ import annotations

import contextlib
import io
import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from nanobanana_nb import RequestError, pictures, preparing
from nanobanana_nb.preparing import MAX_BYTES, MAX_SIDE, keep_bytes, picture_of, prepare

from .test_pictures import encoded, noisy

SECRET = "Mill Lane 7"
"""What stands beside the pixels and must not leave the machine."""
MODES = {
    **dict.fromkeys(("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"), "RGB"),
    **dict.fromkeys(("I", "I;16", "I;16B", "F"), "RGB"),
    **dict.fromkeys(("LA", "La", "PA", "RGBA", "RGBa"), "RGBA"),
}


def profile(swapped: bool = True) -> bytes:
    """An sRGB profile; swapped, one in which what is called red looks green."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    if swapped:
        red, green = data.index(b"rXYZ"), data.index(b"gXYZ")
        data[red : red + 4], data[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(data)


def exif(orientation: int = 1) -> Image.Exif:
    """What a telephone writes: where it was, whose it is, and which side is up."""
    found = Image.Exif()
    found[0x0112] = orientation
    found[0x010F] = SECRET
    found.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    found.get_ifd(0x8769)[0x9286] = SECRET.encode()
    return found


def photo(orientation: int = 6, size: tuple[int, int] = (64, 32)) -> bytes:
    """A JPEG whose left half is red and right half blue, with all that can stand beside it."""
    image = Image.new("RGB", size, (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, size[0] // 2, size[1]))
    data = io.BytesIO()
    options: dict[str, Any] = {"exif": exif(orientation), "xmp": SECRET.encode()}
    image.save(data, "JPEG", quality=95, icc_profile=profile(), comment=SECRET, **options)
    return data.getvalue()


def check_pixels_alone(data: bytes) -> None:
    """By what Pillow finds, and by what stands anywhere in the file."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        known = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "adobe", "adobe_transform"}
        assert set(image.info) <= known | {"loop", "background", "timestamp"}
        assert not image.getexif()
    for word in (
        SECRET.encode(),
        b"Exif",
        b"ICC_PROFILE",
        b"iCCP",
        b"GPS",
        b"xmp",
        b"XML",
        b"eXIf",
    ):
        assert word not in data


def made_ready(data: bytes, folder: Path, name: str = "x.jpg") -> tuple[Path, Image.Image]:
    """The prepared file and its picture."""
    (folder / name).write_bytes(data)
    file = prepare(folder / name, folder / "ready")
    with Image.open(file) as image:
        image.load()
    return file, image


def check_stays(file: Path, folder: Path) -> None:
    """What is ready is so for good: prepared once more it is the same, to the byte."""
    again = prepare(file, folder / "again")
    assert (again.name, again.read_bytes()) == (file.name, file.read_bytes())


def refusal(file: Path) -> str:
    """The one line that says why it cannot be a reference."""
    with pytest.raises(RequestError) as caught:
        prepare(file, file.parent / "ready")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    return str(caught.value)


def test_a_telephones_photo_becomes_its_pixels(tmp_path: Path) -> None:
    """Turned upright, its colours as they were meant, and nothing said of where it was taken."""
    data = photo(orientation=6)
    assert SECRET.encode() in data
    file, image = made_ready(data, tmp_path)
    check_pixels_alone(file.read_bytes())
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (32, 64))
    red, green, blue = image.getpixel((16, 8))
    assert (red < 60, green > 200, blue < 60) == (True, True, True)
    red, green, blue = image.getpixel((16, 56))
    assert (red < 60, green < 60, blue > 200) == (True, True, True)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    """A camera held in any way: what was at the top is at the top."""
    stored = Image.new("L", (60, 40), 0)
    stored.paste(255, (0, 0, 20, 10))  # where the first row and the first column meet
    data = io.BytesIO()
    stored.save(data, "JPEG", exif=exif(orientation))
    _, image = made_ready(data.getvalue(), tmp_path)
    right, low = orientation in (2, 3, 7, 6), orientation in (3, 4, 7, 8)
    assert image.size == ((60, 40) if orientation < 5 else (40, 60))
    corner = (image.width - 4 if right else 3, image.height - 4 if low else 3)
    assert image.convert("L").getpixel(corner) > 200
    assert image.convert("L").getpixel((image.width // 2, image.height // 2)) < 50


def test_a_large_photo_is_turned_as_well(tmp_path: Path) -> None:
    """It is made smaller before it is turned and its colours are converted."""
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        data = io.BytesIO()
        image = Image.new("RGB", (8192, 64), "blue")
        image.paste((255, 0, 0), (0, 0, 4096, 64))
        image.save(data, kind, exif=exif(6), icc_profile=profile())
        file, image = made_ready(data.getvalue(), tmp_path)
        check_pixels_alone(file.read_bytes())
        assert image.size == (32, 4096)
        assert image.getpixel((16, 100))[1] > 200
        assert image.getpixel((16, 4000))[2] > 200


def with_text(chunk: str) -> bytes:
    """A PNG with a text of one kind in it."""
    text = PngImagePlugin.PngInfo()
    if chunk == "tEXt":
        text.add_text("parameters", SECRET)
    if chunk == "iTXt":
        text.add_itxt("XML:com.adobe.xmp", SECRET)
    data = io.BytesIO()
    more: dict[str, Any] = {"exif": exif()} if chunk == "eXIf" else {}
    if chunk == "iCCP":
        more["icc_profile"] = profile(swapped=False)
    noisy(30, 20).save(data, "PNG", pnginfo=text, **more)
    return data.getvalue()


def webp(**more: Any) -> bytes:
    data = io.BytesIO()
    noisy(30, 20).save(data, "WEBP", lossless=True, **more)
    return data.getvalue()


def jpeg(**more: Any) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (30, 20), "teal").save(data, "JPEG", quality=90, **more)
    return data.getvalue()


TELLING = {
    "png text": with_text("tEXt"),
    "png international text": with_text("iTXt"),
    "png exif": with_text("eXIf"),
    "png profile": with_text("iCCP"),
    "png with more behind it": encoded(noisy(30, 20), "PNG") + SECRET.encode(),
    "webp exif": webp(exif=exif()),
    "webp xmp": webp(xmp=SECRET.encode()),
    "webp with more behind it": webp() + SECRET.encode(),
    "jpeg comment": jpeg(comment=SECRET),
    "jpeg xmp": jpeg(xmp=SECRET.encode()),
    "jpeg iptc": jpeg(extra=b"\xff\xed\x00\x10Photoshop 3.0\0"),
    "jpeg with a film behind it": jpeg() + SECRET.encode(),
    "jpeg comment between scans": jpeg(progressive=True)[:-2] + b"\xff\xfe\0\rMill Lane 7\xff\xd9",
}


@pytest.mark.parametrize("kind", TELLING)
def test_nothing_stands_beside_the_pixels(tmp_path: Path, kind: str) -> None:
    """Text, comments, thumbnails, and what is hidden behind the end of the picture."""
    file, image = made_ready(TELLING[kind], tmp_path, "told.png")
    assert file.parent.name == "ready"
    check_pixels_alone(file.read_bytes())
    assert image.size == (30, 20)
    check_stays(file, tmp_path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "progressive", "grey", "alpha"])
def test_what_is_ready_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    """To the byte, encoded once more it would only be worse; but in a file of our own, for the
    other one may be drawn over, with what nobody has looked at."""
    data = {
        "progressive": jpeg(progressive=True),
        "grey": encoded(noisy(30, 20, "L"), "JPEG"),
        "alpha": encoded(noisy(30, 20, "RGBA"), "PNG"),
    }.get(kind) or encoded(noisy(30, 20), kind)
    file, _ = made_ready(data, tmp_path)
    assert file.parent == tmp_path / "ready"
    (tmp_path / "x.jpg").write_bytes(photo())
    assert file.read_bytes() == data


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(3))
def test_every_mode_of_pillow(tmp_path: Path, mode: str, seed: int) -> None:
    """Becomes RGB, or RGBA where something is see-through, with the colours it had."""
    size = (random.Random(seed).randint(1, 50), random.Random(seed + 9).randint(1, 50))
    base = noisy(*size, mode="RGBA")
    image = {
        "LAB": lambda: Image.merge("LAB", base.split()[:3]),
        "I;16B": lambda: Image.frombytes("I;16B", size, noisy(*size, "LA").tobytes()),
        "I;16": lambda: Image.frombytes("I;16", size, noisy(*size, "LA").tobytes()),
        "La": lambda: base.convert("LA").convert("La"),
        "P": lambda: base.convert("RGB").convert("P"),
        "PA": lambda: base.convert("RGB").convert("P").convert("PA"),
        "HSV": lambda: base.convert("RGB").convert("HSV"),
        "I": lambda: base.convert("L").convert("I"),
        "F": lambda: base.convert("L").convert("F"),
    }.get(mode, lambda: base.convert(mode))()
    assert image.mode == mode
    if mode == "PA":
        image.putalpha(base.getchannel("A"))
    file = preparing.keep_picture(image, tmp_path, "it")
    with Image.open(file) as found:
        assert (found.format, found.mode, found.size) == ("PNG", MODES[mode], size)
        if mode in ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F"):
            wanted = image.convert("L") if mode in ("I", "F") else image
            assert found.tobytes() == wanted.convert("RGB").tobytes()
        if mode in ("LA", "RGBA"):
            assert found.tobytes() == image.convert("RGBA").tobytes()
    check_stays(file, tmp_path)
    check_pixels_alone(file.read_bytes())


def test_see_through_colours_of_a_palette(tmp_path: Path) -> None:
    """As GIF and PNG have them; an alpha channel in which nothing is seen through is left out."""
    paletted = Image.new("P", (4, 4), 1)
    paletted.putpalette([0, 0, 0, 200, 10, 20])
    paletted.putpixel((0, 0), 0)
    for kind in ("PNG", "GIF"):
        data = io.BytesIO()
        paletted.save(data, kind, transparency=0)
        _, image = made_ready(data.getvalue(), tmp_path)
        assert image.mode == "RGBA"
        assert image.getpixel((0, 0))[3] == 0
        assert image.getpixel((3, 3)) == (200, 10, 20, 255)
    _, image = made_ready(encoded(Image.new("LA", (4, 4), (9, 255)), "PNG"), tmp_path)
    assert (image.mode, image.getpixel((0, 0))) == ("RGB", (9, 9, 9))


@pytest.mark.parametrize(
    ("mode", "values", "wanted"),
    [
        ("I;16", [0, 257, 32_896, 65_535], [0, 1, 128, 255]),
        ("I", [0, 1, 128, 255], [0, 1, 128, 255]),
        ("I", [0, 257, 32_896, 65_535], [0, 1, 128, 255]),
        ("I", [-5, 0, 0, 1_000_000], [0, 0, 0, 255]),
        ("F", [0.0, 0.25, 0.5, 1.0], [0, 64, 128, 255]),
        ("F", [0.0, 1.0, 128.0, 255.0], [0, 1, 128, 255]),
        ("F", [-1.0, 0.0, 0.0, 1.0], [0, 128, 128, 255]),
        ("F", [-1.0, -1.0, -1.0, -1.0], [0, 0, 0, 0]),
    ],
)
def test_deep_greys_are_not_cut_off(
    tmp_path: Path, mode: str, values: list[float], wanted: list[int]
) -> None:
    """Pillow's own conversion makes all above 255 white."""
    image = Image.new(mode, (4, 1))
    for place, value in enumerate(values):
        image.putpixel((place, 0), value)
    with Image.open(preparing.keep_picture(image, tmp_path, "it")) as found:
        assert [found.getpixel((place, 0))[0] for place in range(4)] == wanted


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "GIF"])
def test_what_the_api_does_not_take_is_converted(tmp_path: Path, kind: str) -> None:
    """The first picture of several, as PNG."""
    _, image = made_ready(encoded(Image.new("RGB", (9, 7), "teal"), kind), tmp_path, "x.dat")
    assert (image.format, image.size, image.getpixel((3, 3))) == ("PNG", (9, 7), (0, 128, 128))
    frames = [Image.new("RGB", (9, 7), colour) for colour in ("red", "blue")]
    data = io.BytesIO()
    frames[0].save(data, "GIF" if kind == "BMP" else kind, save_all=True, append_images=frames[1:])
    _, first = made_ready(data.getvalue(), tmp_path)
    assert first.getpixel((3, 3)) == (255, 0, 0)


def test_the_print_shops_tiff(tmp_path: Path) -> None:
    """CMYK, with a profile that is damaged: the colours are those without one."""
    data = io.BytesIO()
    options: dict[str, Any] = {"icc_profile": b"no profile", "compression": "tiff_lzw"}
    Image.new("CMYK", (20, 10), (0, 255, 255, 0)).save(data, "TIFF", **options)
    file, image = made_ready(data.getvalue(), tmp_path, "x.tif")
    assert (image.mode, image.getpixel((3, 3))) == ("RGB", (255, 0, 0))
    check_pixels_alone(file.read_bytes())


def test_a_profile_made_for_other_colours_is_passed_over(tmp_path: Path) -> None:
    """An RGB profile in a CMYK picture; one in a grey picture counts."""
    for mode, colour, wanted in (
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("L", 77, (77, 77, 77)),
    ):
        data = io.BytesIO()
        Image.new(mode, (20, 10), colour).save(data, "TIFF", icc_profile=profile(swapped=False))
        _, image = made_ready(data.getvalue(), tmp_path)
        assert all(abs(a - b) < 3 for a, b in zip(image.getpixel((3, 3)), wanted, strict=True))


def test_a_photo_of_40_megabytes(tmp_path: Path) -> None:
    """Is scaled down until the API takes it."""
    image = Image.frombytes("RGB", (7000, 6000), random.Random(1).randbytes(7000 * 6000 * 3))
    image.save(tmp_path / "large.jpg", quality=92)
    del image
    assert (tmp_path / "large.jpg").stat().st_size > 40_000_000
    file = prepare(tmp_path / "large.jpg", tmp_path)
    assert file.stat().st_size < MAX_BYTES
    with Image.open(file) as ready:
        assert ready.format == "JPEG"
        assert ready.size == (MAX_SIDE, 3511)


def test_too_many_bytes_for_their_pixels(tmp_path: Path) -> None:
    """A PNG of noise becomes a JPEG, or WebP where something is see-through."""
    for mode, kind in (("RGB", "JPEG"), ("RGBA", "WEBP")):
        data = encoded(noisy(2200, 1700, mode), "PNG")
        assert len(data) > MAX_BYTES
        file, image = made_ready(data, tmp_path, f"{mode}.png")
        assert (image.format, image.mode, image.size) == (kind, mode, (2200, 1700))
        assert file.stat().st_size < MAX_BYTES
        check_stays(file, tmp_path)


def test_one_that_no_quality_makes_small_loses_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as need be."""
    monkeypatch.setattr(preparing, "MAX_BYTES", 20_000)
    file, image = made_ready(encoded(noisy(400, 300), "PNG"), tmp_path)
    assert file.stat().st_size < 20_000
    assert image.width < 400
    assert abs(image.width / image.height - 4 / 3) < 0.02


def test_a_long_strip_keeps_a_pixel(tmp_path: Path) -> None:
    """Scaled down by its longer side, no side comes to nothing."""
    _, image = made_ready(encoded(Image.new("RGB", (30_000, 2), "red"), "PNG"), tmp_path)
    assert image.size == (MAX_SIDE, 1)


def bomb(side: int = 20_000) -> bytes:
    """A PNG of a few bytes that says it has 400 million pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in (
            (b"IHDR", head),
            (b"IDAT", zlib.compress(bytes(60_000))),
            (b"IEND", b""),
        )
    )
    return b"\x89PNG\r\n\x1a\n" + body


PNG = encoded(noisy(200, 100), "PNG")
NO_PICTURES = {
    "empty.png": (b"", "is empty"),
    "notes.txt": (b"a fox in the snow", "is not a picture: PNG, JPEG and WebP are taken"),
    "fox.svg": (b"<?xml version='1.0'?>\n<svg xmlns='x'/>", "is an SVG, which is a drawing"),
    "spaced.svg": (b"\xef\xbb\xbf\n <!-- hello --> <SVG>", "is an SVG"),
    "fox.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC, AVIF or video file"),
    "fox.pdf": (b"%PDF-1.7 ...", "is a PDF"),
    "half.png": (PNG[: len(PNG) // 2], "is a PNG that is damaged or cut off"),
    "head.png": (PNG[:20], "is a PNG that is damaged or cut off"),
    "half.jpg": (photo()[:-400], "is a JPEG that is damaged or cut off"),
    "half.gif": (encoded(noisy(99, 99, "L"), "GIF")[:900], "is a GIF that is damaged"),
    "half.tif": (encoded(noisy(99, 99), "TIFF")[:900], "is a TIFF that is damaged"),
    "bomb.png": (bomb(), "has more than 50 million pixels; give a smaller picture."),
    "large.png": (bomb(7_100), "has more than 50 million pixels"),  # which Pillow would decode
    "fox.psd": (b"8BPS\0\1", "is not a picture"),
    "fox.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture"),
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture_is_refused(tmp_path: Path, name: str) -> None:
    """In one line: what it is, and what to do about it."""
    data, why = NO_PICTURES[name]
    (tmp_path / name).write_bytes(data)
    assert refusal(tmp_path / name).startswith(f"'{name}' {why}")
    assert not (tmp_path / "ready").exists()


def test_a_bomb_is_not_decoded(tmp_path: Path) -> None:
    """Its header is enough: no memory is taken for its pixels."""
    (tmp_path / "bomb.png").write_bytes(bomb(13_000))
    code = (
        "import resource, sys; from pathlib import Path; from PIL import Image\n"
        "from nanobanana_nb import preparing; from nanobanana_nb.errors import RequestError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: preparing.prepare(Path(sys.argv[1]), Path(sys.argv[1]).parent)\n"
        "except RequestError as error: print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "bomb.png")]
    told, grown = subprocess.run(
        arguments, capture_output=True, text=True, check=True
    ).stdout.split("\n", 1)
    assert "more than 50 million pixels" in told
    assert int(grown) < 60


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Gone, a folder, or far too large: said before anything is read."""
    assert "is not there any more" in refusal(tmp_path / "gone.png")
    assert "cannot be read: Is a directory" in refusal(tmp_path)
    with (tmp_path / "film.png").open("wb") as file:
        os.truncate(file.fileno(), 300_000_000)
    assert "has 300 MB, too many to be looked at" in refusal(tmp_path / "film.png")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Is said in one line, with what to do."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RequestError, match=r"cannot be put into .* set NANOBANANA_HOME"):
        keep_bytes(PNG, tmp_path / "file" / "folder", "it")


def test_a_kill_leaves_what_is_swept(tmp_path: Path) -> None:
    """In the midst of writing: nothing under the final name, and a part that is known as one."""
    code = (
        "import os, sys; from pathlib import Path; from nanobanana_nb import preparing\n"
        "os.fsync = lambda _: os._exit(9)\n"
        "preparing.keep_bytes(sys.stdin.buffer.read(), Path(sys.argv[1]), 'it')"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], input=PNG)
    assert killed.returncode == 9
    (part,) = tmp_path.iterdir()
    store = pictures.PictureStore(tmp_path, tmp_path)
    assert store.sweep(part.stat().st_mtime + 4000) == 1
    file = keep_bytes(PNG, tmp_path, "it")
    assert list(tmp_path.iterdir()) == [file]
    assert file.stat().st_mode & 0o077 == 0  # a picture of one's own


ODD_EXIF = {
    "PNG": b"Exif\0\0II*\0",
    "WEBP": b"Exif\0\0no such thing",
    "JPEG": b"Exif\0\0II*\0\x08\0\0\0\x02\0"
    + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    + struct.pack("<HHI4s", 0x0100, 2, 4, b"abc\0")
    + bytes(4),
}
"""What strangers' programs write, and Pillow's reader fails on with errors of several kinds."""


def odd(kind: str, size: tuple[int, int] = (64, 32)) -> bytes:
    """A good picture with EXIF that is malformed."""
    data = io.BytesIO()
    Image.new("RGB", size, "teal").save(data, kind, exif=ODD_EXIF[kind])
    return data.getvalue()


@pytest.mark.parametrize("kind", ODD_EXIF)
@pytest.mark.filterwarnings("error")
def test_malformed_exif_costs_no_picture(tmp_path: Path, kind: str) -> None:
    """It is taken as it stands, without what cannot be read."""
    file, image = made_ready(odd(kind), tmp_path)
    assert image.size == (64, 32)
    check_pixels_alone(file.read_bytes())
    with Image.open(io.BytesIO(odd(kind))) as image:
        assert pictures.upright(image).size == (64, 32)


def test_files_are_named_by_what_they_hold(tmp_path: Path) -> None:
    """The same bytes twice are one file; nothing else is left behind, and a half one is mended."""
    file = keep_bytes(PNG, tmp_path, "it")
    assert keep_bytes(PNG, tmp_path, "it") == file
    assert [one.name for one in tmp_path.iterdir()] == [file.name]
    assert file.suffix == ".png"
    file.write_bytes(PNG[:100])
    assert keep_bytes(PNG, tmp_path, "it").read_bytes() == PNG


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(TELLING)), st.data())
def test_broken_files_are_refused_or_repaired(kind: str, data: st.DataObject) -> None:
    """Whatever bytes are changed or cut off: one of our errors, or a picture of pixels alone."""
    broken = bytearray(TELLING[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    broken = broken[: data.draw(st.integers(1, len(broken)))]
    with contextlib.suppress(RequestError):
        image = preparing._decoded(bytes(broken), "it")
        ready, _ = preparing._encoded(preparing._bare(image), from_jpeg=image.format == "JPEG")
        check_pixels_alone(ready)


@pytest.mark.parametrize(
    ("shape", "dtype", "mode"),
    [((4, 6), "uint8", "L"), ((4, 6, 3), "uint8", "RGB"), ((4, 6, 4), "float32", "RGBA")],
)
def test_arrays(shape: tuple[int, ...], dtype: str, mode: str) -> None:
    """Height first; also where the memory is strided, and floats from 0 to 1."""
    array = np.zeros(shape, dtype)
    array[1, 2] = 255 if dtype == "uint8" else 1.0
    image = picture_of(array[:, ::1])
    assert (image.mode, image.size) == (mode, (6, 4))
    bright = image.getpixel((2, 1))
    assert bright == 255 or set(bright) == {255}
    assert picture_of(array[::-1, ::2]).getpixel((1, 2)) == bright


@pytest.mark.parametrize(
    ("array", "seen"),
    [
        (np.zeros((4, 6, 2), "uint8"), "(4, 6, 2) and holds uint8"),
        (np.zeros(7, "uint8"), "(7,) and holds uint8"),
        (np.zeros((0, 6, 3), "uint8"), "(0, 6, 3)"),
        (np.zeros((4, 6), "int64"), "(4, 6) and holds int64"),
        (np.zeros((4, 6), "bool"), "holds bool"),
        (np.full((4, 6), 255.0), "holds float64 from 255 to 255"),
        (np.full((4, 6), np.nan), "holds float64 from nan to nan"),
        (np.array([["fox", "owl"]], dtype=object), "holds object"),
        (np.zeros((1, 4, 6, 3)), "(1, 4, 6, 3)"),
    ],
)
def test_arrays_of_something_else(array: Any, seen: str) -> None:
    """What it is, and what would be taken."""
    with pytest.raises(RequestError) as caught:
        picture_of(array)
    assert seen in str(caught.value)
    assert "give height x width" in str(caught.value)
    assert "\n" not in str(caught.value)
