"""Settings in the file: every text comes back, every other byte stays, strangers do no harm."""

from __future__ import annotations

import io
import json
import re
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from nanobanana_nb.metadata import MAX_LINEAGE, Drawn, embed, read, read_ours, read_theirs

from .test_pictures import encoded, noisy

SMALL = {kind: encoded(noisy(24, 16), kind) for kind in ("PNG", "JPEG", "WEBP")}
KINDS = list(SMALL)
FOX = Drawn(
    "a fox in watercolor",
    "3:2",
    "png",
    ("ab" * 32, "link"),
    1_760_000_000.25,
    "task-1",
    width=24,
    height=16,
    lineage=(Drawn("a fox", "1:1", "jpeg", (), 1_750_000_000.0, sha256="cd" * 32),),
)
CJK = "水彩で描かれた狐が雪の中を走る"
EMOJI = "🦊👩‍👩‍👧‍👦🏳️‍🌈🇯🇵"
PROMPTS = {
    "cjk": CJK,
    "emoji": EMOJI,
    "rtl": "ثعلب في الثلج \u200f\u202eשועל",
    "controls": "a\0fox\x1b[31m\x07\x85\u2028\ttab\r\nline\x7f",
    "lines": "a fox\n\nNegative prompt: cats\nSteps: 20, Sampler: none, Size: 1x1\nbye",
    "quotes": '", "prompt": "stolen" \\ {a|b} %s </script><x:xmpmeta>',
    "ascii-5000": "fox, " * 1000,
    "cjk-5000": (CJK * 400)[:5000],
    "emoji-5000": "🦊" * 5000,
    "escapes-5000": "\x01" * 5000,
}


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG; each must have its own checksum."""
    at = 8
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        content = png[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", png, at + 8 + length)
        assert checksum == zlib.crc32(kind + content)
        yield kind, content
        at += 12 + length


def segments(jpeg: bytes) -> list[bytes]:
    """The segments of a JPEG, and the rest from the first scan on."""
    found, at = [], 2
    while jpeg[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", jpeg, at + 2)
        found.append(jpeg[at : at + 2 + length])
        at += 2 + length
    return [*found, jpeg[at:]]


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def user_comment(data: bytes) -> str:
    """As AUTOMATIC1111 and piexif decode it: always with the higher byte first."""
    value = opened(data).getexif().get_ifd(0x8769)[0x9286]
    assert value[:8] == b"UNICODE\0"
    return value[8:].decode("utf-16-be")


def parameters(data: bytes) -> str:
    """The text that a common tool finds."""
    image = opened(data)
    return image.info["parameters"] if image.format == "PNG" else user_comment(data)


# The reader of AUTOMATIC1111 (modules/infotext_utils.py), which others follow.
RE_PARAM = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def infotext(text: str) -> tuple[str, dict[str, str]]:
    *lines, last = text.strip().split("\n")
    found = RE_PARAM.findall(last)
    assert len(found) >= 3
    prompt = []
    for line in lines:
        if line.strip().startswith("Negative prompt:"):
            break
        prompt.append(line.strip())
    return "\n".join(prompt), dict(found)


# Round trips.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_every_prompt_comes_back(kind: str, prompt: str) -> None:
    """Exactly as it was sent, with all settings, and the pixels are the same."""
    drawn = replace(FOX, prompt=prompt)
    labelled = embed(SMALL[kind], drawn)
    assert labelled != SMALL[kind]
    assert read(labelled) == read_ours(labelled) == drawn
    before, after = opened(SMALL[kind]), opened(labelled)
    assert (after.format, after.size, after.mode) == (kind, before.size, before.mode)
    assert after.tobytes() == before.tobytes()


@settings(max_examples=200, deadline=None)
@given(
    prompt=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
    created=st.none() | st.floats(0, 250_000_000_000),
    task=st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
    kind=st.sampled_from(KINDS),
)
def test_any_text_comes_back(prompt: str, created: float | None, task: str, kind: str) -> None:
    """Whatever text can be sent; and a second label leaves nothing of the first."""
    drawn = replace(FOX, prompt=prompt, created=created, task_id=task)
    labelled = embed(SMALL[kind], drawn)
    assert read(labelled) == drawn
    assert embed(embed(SMALL[kind], FOX), drawn) == labelled
    assert opened(labelled).tobytes() == opened(SMALL[kind]).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_label_replaces_the_first(kind: str) -> None:
    """The file does not grow, and nothing of the old prompt is left in it."""
    secret = "the first prompt, a secret" * 20
    first = embed(SMALL[kind], replace(FOX, prompt=secret))
    second = embed(first, FOX)
    assert second == embed(SMALL[kind], FOX)
    assert embed(second, FOX) == second
    for encoding in ("utf-8", "utf-16-be"):
        assert secret.encode(encoding)[:200] not in second


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_label_is_the_same_at_any_time(kind: str) -> None:
    """A kill between file and ledger must not give a second file: no clock, no chance in it."""
    now = embed(SMALL[kind], FOX)
    code = (
        "import sys; from tests.test_metadata import FOX, embed\n"
        "sys.stdout.buffer.write(embed(sys.stdin.buffer.read(), FOX))"
    )
    command, root = [sys.executable, "-c", code], Path(__file__).parents[1]
    later = subprocess.run(command, input=SMALL[kind], capture_output=True, check=True, cwd=root)
    assert later.stdout == now


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_lineage_is_cut(kind: str) -> None:
    """Twenty ancestors of 5,000 letters fit; more are left out, the furthest first."""
    old = [Drawn(f"{number} " + "狐" * 4990, "1:1", "png") for number in range(30)]
    found = read(embed(SMALL[kind], replace(FOX, lineage=tuple(old))))
    assert found is not None
    assert found.lineage == tuple(old[:MAX_LINEAGE])
    wide = [replace(one, prompt="\x01" * 5000) for one in old]
    found = read(embed(SMALL[kind], replace(FOX, lineage=tuple(wide))))
    assert found is not None
    assert found.lineage == tuple(wide[: len(found.lineage)])
    assert 5 < len(found.lineage) < MAX_LINEAGE


@pytest.mark.parametrize("kind", KINDS)
def test_links_stay_out_of_the_file(kind: str) -> None:
    """A signed link is a secret: a reference that was one is only called so."""
    link = "https://files.example/cat.png?signature=s3cret"
    labelled = embed(SMALL[kind], replace(FOX, references=(link, "ab" * 32)))
    assert b"s3cret" not in labelled
    assert "s3cret".encode("utf-16-be") not in labelled
    found = read(labelled)
    assert found is not None
    assert found.references == ("link", "ab" * 32)


# What other tools see.


@pytest.mark.parametrize("kind", KINDS)
def test_common_tools_read_the_parameters(kind: str) -> None:
    """As Pillow finds them, decoded and parsed as AUTOMATIC1111 does."""
    prompt, found = infotext(parameters(embed(SMALL[kind], replace(FOX, prompt=f"{CJK}\n{EMOJI}"))))
    assert prompt == f"{CJK}\n{EMOJI}"
    assert found == {
        "Size": "24x16",
        "Model": "nano-banana",
        "Aspect ratio": "3:2",
        "Format": "png",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_parameters_hold_no_end_of_text(kind: str) -> None:
    """No text of a PNG may hold a NUL, and other tools would stop reading at it."""
    text = parameters(embed(SMALL[kind], replace(FOX, prompt="a\0fox")))
    assert text.startswith("a fox\nSize: ")


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_alone_are_read_as_another_tools(kind: str) -> None:
    """A tool that rewrote the file may have kept only them: prompt, ratio and format are there."""
    text = parameters(embed(SMALL[kind], FOX))
    found = read_theirs(embed(SMALL[kind], FOX))
    assert found == Drawn(FOX.prompt, "3:2", "png", model="", source="parameters")
    assert text.endswith("Size: 24x16, Model: nano-banana, Aspect ratio: 3:2, Format: png")


def test_our_text_is_json_for_everybody() -> None:
    """Under its keyword in a PNG, with the name of the software and no version or path in it."""
    found = json.loads(opened(embed(SMALL["PNG"], FOX)).info["nanobanana"])
    assert found.pop("lineage") == [
        {
            "prompt": "a fox",
            "aspect_ratio": "1:1",
            "output_format": "jpeg",
            "model": "nano-banana",
            "created": 1_750_000_000.0,
            "width": 0,
            "height": 0,
            "sha256": "cd" * 32,
        }
    ]
    assert found == {
        "software": "nanobanana_nb",
        "format": 1,
        "prompt": "a fox in watercolor",
        "aspect_ratio": "3:2",
        "output_format": "png",
        "model": "nano-banana",
        "created": 1_760_000_000.25,
        "task_id": "task-1",
        "width": 24,
        "height": 16,
        "references": ["ab" * 32, "link"],
    }


# Every other byte stays.


def test_a_png_keeps_its_chunks() -> None:
    """Two chunks come behind the header; the others keep content and order, as does a tail."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "mine")
    info.add_itxt("Comment", "meins 🦊", zip=True)
    info.add(b"prVt", b"private")
    buffer = io.BytesIO()
    noisy(24, 16).convert("P").save(buffer, "PNG", pnginfo=info, dpi=(72, 72), transparency=3)
    data = buffer.getvalue()
    labelled = embed(data, FOX)
    before, after = list(chunks(data)), list(chunks(labelled))
    assert [kind for kind, _ in after[:3]] == [b"IHDR", b"iTXt", b"iTXt"]
    assert after[:1] + after[3:] == before
    assert embed(data + b"tail", FOX) == labelled + b"tail"


def jpeg_with(exif: Image.Exif | bytes | None = None, **more: object) -> bytes:
    buffer = io.BytesIO()
    more = {"exif": exif, **more} if exif is not None else more
    noisy(24, 16).save(buffer, "JPEG", **more)
    return buffer.getvalue()


def camera_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation
    exif[0x010F] = "Maker"
    exif[0x010E] = "OLYMPUS DIGITAL CAMERA"
    exif.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
    exif.get_ifd(0x8825)[0x0001] = "N"
    return exif


def test_a_jpeg_keeps_its_segments() -> None:
    """Ours come behind the JFIF header; the others and the picture keep content and order."""
    data = jpeg_with(comment=b"mine", icc_profile=b"p" * 70_000, dpi=(72, 72), progressive=True)
    before, after = segments(data), segments(embed(data, FOX))
    ours = [one for one in after if one not in before]
    assert [one for one in after if one in before] == before
    assert [one[:2] for one in ours] == [b"\xff\xe1", b"\xff\xea"]
    assert [after.index(one) for one in ours] == [1, 2]


@pytest.mark.parametrize(
    "comment", [None, b"ASCII\0\0\0by the camera", b"ASCII\0\0\0" + b"x" * 9000]
)
def test_exif_of_the_file_is_kept(comment: bytes | None) -> None:
    """Orientation, maker, dates and place stay, in both byte orders; the comment is replaced."""
    exif = camera_exif()
    if comment:
        exif.get_ifd(0x8769)[0x9286] = comment
    for order in (b"II", b"MM"):
        exif.endian = "<" if order == b"II" else ">"
        data = jpeg_with(b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0"))
        assert order in data[:40]
        labelled = embed(data, FOX)
        image, old = opened(labelled), opened(data)
        assert read(labelled) == FOX
        assert dict(image.getexif()).keys() == dict(old.getexif()).keys()
        assert {**image.getexif()} | {0x8769: 0} == {**old.getexif()} | {0x8769: 0}
        assert image.getexif().get_ifd(0x8825) == old.getexif().get_ifd(0x8825)
        kept = image.getexif().get_ifd(0x8769)
        assert kept.pop(0x9286)[8:].decode("utf-16-be").startswith(FOX.prompt)
        assert kept[0x9003] == "2024:01:02 03:04:05"
        assert ImageOps.exif_transpose(image).size == (16, 24)
        if comment:
            assert comment not in labelled
        assert embed(embed(data, replace(FOX, prompt=EMOJI * 50)), FOX) == labelled


def test_exif_without_room_is_kept_as_it_is() -> None:
    """A segment of a JPEG ends at 64 kB: our own text has others, and nothing of it is lost."""
    exif = camera_exif()
    exif.get_ifd(0x8769)[0x927C] = b"m" * 60_000
    data = jpeg_with(exif)
    drawn = replace(FOX, prompt="🦊" * 5000)
    labelled = embed(data, drawn)
    assert read(labelled) == drawn
    assert opened(labelled).getexif().get_ifd(0x8769)[0x927C] == b"m" * 60_000
    assert all(len(one) <= 65_537 for one in segments(labelled)[:-1])
    assert read_theirs(labelled) is None
    assert user_comment(embed(data, FOX)).startswith(FOX.prompt)


def test_exif_that_makes_no_sense_is_kept_as_it_is() -> None:
    """Our own text is put beside it."""
    for tiff in (
        b"",
        b"II*\0",
        b"MM\0*\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 50,
    ):
        data = SMALL["JPEG"][:2] + struct.pack(">BBH", 255, 0xE1, len(tiff) + 8)
        data += b"Exif\0\0" + tiff + SMALL["JPEG"][2:]
        labelled = embed(data, FOX)
        assert read(labelled) == FOX
        assert b"Exif\0\0" + tiff in labelled


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_keeps_what_it_has(alpha: bool, lossless: bool) -> None:
    """See-through parts, colours, XMP and animation: simple and extended files alike."""
    image = noisy(24, 16, "RGBA" if alpha else "RGB")
    for more in ({}, {"icc_profile": b"p" * 129, "xmp": b"<x/>"}, {"exif": camera_exif()}):
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", lossless=lossless, **more)
        labelled = embed(buffer.getvalue(), FOX)
        before, after = opened(buffer.getvalue()), opened(labelled)
        assert (after.mode, after.size, after.tobytes()) == (
            before.mode,
            before.size,
            before.tobytes(),
        )
        assert read(labelled) == FOX
        assert (labelled[12:16], labelled[20] & 0x18) == (b"VP8X", 0x08 | alpha << 4)
        assert (labelled[24:27], labelled[27:30]) == (b"\x17\0\0", b"\x0f\0\0")
        for key, value in more.items():
            if key != "exif":
                assert after.info[key] == value
            else:
                assert after.getexif()[0x0112] == 6


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_whole_comes_back_as_it_was(kind: str) -> None:
    """Cut anywhere, it is the same bytes or a picture with its label; nothing raises."""
    data = SMALL[kind]
    for end in range(len(data)):
        cut = data[:end]
        assert embed(cut, FOX) == cut, end


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"words",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xda\xff\xd9"[:4],
        b"RIFF\0\0\0\0WEBP",
        b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        encoded(noisy(8, 8), "GIF"),
        encoded(noisy(8, 8), "TIFF"),
    ],
)
def test_what_is_no_picture_comes_back_as_it_was(data: bytes) -> None:
    """And nothing is read from it."""
    assert embed(data, FOX) == data
    assert read(data) is None


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damage_is_read_without_harm(data: st.DataObject) -> None:
    """Bytes changed anywhere in a labelled file: reading and labelling never raise."""
    kind = data.draw(st.sampled_from(KINDS))
    damaged = bytearray(embed(SMALL[kind], FOX))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, min(len(damaged), 1500) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    found = read(bytes(damaged))
    assert found is None or isinstance(found, Drawn)
    assert isinstance(embed(bytes(damaged), FOX), bytes)


# Strangers' files.


def png_text(*texts: tuple[str, str], kind: str = "tEXt") -> bytes:
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts:
        if kind == "iTXt":
            info.add_itxt(keyword, text)
        else:
            info.add_text(keyword, text, zip=kind == "zTXt")
    buffer = io.BytesIO()
    noisy(8, 8).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def chunked(kind: bytes, content: bytes) -> bytes:
    """A PNG with one chunk more, made by hand."""
    data = SMALL["PNG"]
    checked = kind + content
    chunk = struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))
    return data[:33] + chunk + data[33:]


A1111 = (
    "a fox, (masterpiece:1.2)\nin the snow\nNegative prompt: cats, dogs\nbad anatomy\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 965400086, Size: 1024x576, "
    'Model hash: 45dee52b, Model: dreamy, Lora hashes: "a: 1, b: 2", Version: v1.6.0'
)
COMFYUI = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 5, "positive": ["6", 0], "negative": ["7", 0], "model": ["4", 0]},
    },
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "cats", "clip": ["4", 1]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["9", 0], "clip": ["4", 1]}},
    "9": {"class_type": "PrimitiveString", "inputs": {"value": "a fox in the snow"}},
}
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description><dc:description><rdf:Alt>'
    '<rdf:li xml:lang="x-default">a fox &amp; an owl --ar 16:9 --v 6.1 Job ID: 0f-1</rdf:li>'
    "</rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def a1111_jpeg() -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + A1111.encode("utf-16-be")
    return jpeg_with(exif)


def little_endian_jpeg() -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + A1111.encode("utf-16-le")
    return jpeg_with(exif)


STRANGERS = {
    "a1111": (png_text(("parameters", A1111)), "a fox, (masterpiece:1.2)\nin the snow", "16:9"),
    "a1111-ztxt": (
        png_text(("parameters", A1111), kind="zTXt"),
        "a fox, (masterpiece:1.2)\nin the snow",
        "16:9",
    ),
    "a1111-jpeg": (a1111_jpeg(), "a fox, (masterpiece:1.2)\nin the snow", "16:9"),
    "little-endian": (little_endian_jpeg(), "a fox, (masterpiece:1.2)\nin the snow", "16:9"),
    "only-steps": (png_text(("parameters", "a fox\nSteps: 20")), "a fox", ""),
    "only-a-prompt": (png_text(("parameters", "ein Füchslein"), kind="iTXt"), "ein Füchslein", ""),
    "odd-size": (
        png_text(("parameters", "a fox\nSteps: 20, Seed: 1, Size: 832x1216")),
        "a fox",
        "",
    ),
    "comfyui": (
        png_text(("workflow", "{}"), ("prompt", json.dumps(COMFYUI))),
        "a fox in the snow",
        "",
    ),
    "invokeai": (
        png_text(("invokeai_metadata", json.dumps({"positive_prompt": "a fox", "seed": 1}))),
        "a fox",
        "",
    ),
    "swarmui": (
        png_text(("parameters", json.dumps({"sui_image_params": {"prompt": "a fox"}}))),
        "a fox",
        "",
    ),
    "midjourney": (
        png_text(("Description", "a fox --ar 3:2 --v 6.1 Job ID: 0f-1"), ("Author", "me")),
        "a fox",
        "3:2",
    ),
    "midjourney-xmp": (
        png_text(("XML:com.adobe.xmp", XMP), kind="iTXt"),
        "a fox & an owl",
        "16:9",
    ),
    "midjourney-jpeg": (jpeg_with(xmp=XMP.encode()), "a fox & an owl", "16:9"),
}


@pytest.mark.parametrize(("data", "prompt", "ratio"), STRANGERS.values(), ids=STRANGERS)
def test_the_prompt_of_another_tool(data: bytes, prompt: str, ratio: str) -> None:
    """Its prompt, and the ratio where it is one of ours; the rest means nothing to us."""
    assert read_ours(data) is None
    assert read(data) == Drawn(prompt, ratio, model="", source="parameters")


LOOP = {"1": {"inputs": {"positive": ["2", 0]}}, "2": {"inputs": {"text": ["1", 0]}}}
OURS = json.loads(opened(embed(SMALL["PNG"], FOX)).info["nanobanana"])


@pytest.mark.parametrize(
    "data",
    [
        SMALL["PNG"],
        jpeg_with(camera_exif()),
        png_text(("Description", "my holiday in Rome"), ("Comment", "Steps: 1")),
        png_text(("parameters", "")),
        png_text(("parameters", "Steps: 20, Sampler: x, Size: 8x8")),
        png_text(("parameters", '{"sui_image_params": [1]}')),
        png_text(("prompt", "{" * 100_000)),
        png_text(("prompt", "[" * 100_000)),
        png_text(("prompt", json.dumps(LOOP))),
        png_text(("prompt", "[1, 2]")),
        png_text(("prompt", json.dumps({"1": 5, "2": {"inputs": {"positive": [None, {}]}}}))),
        png_text(("invokeai_metadata", '{"positive_prompt": 7}')),
        png_text(("invokeai_metadata", "NaN")),
        png_text(("XML:com.adobe.xmp", "<dc:description>" * 9000), kind="iTXt"),
        chunked(b"zTXt", b"parameters\0\0" + b"not zlib"),
        chunked(b"zTXt", b"parameters\0\0" + zlib.compress(b"a fox in the snow")[:-6]),
        chunked(b"iTXt", b"parameters"),
        chunked(b"iTXt", b"parameters\0\1"),
        chunked(b"tEXt", b"parameters\0" + b"x" * 2_000_000),
    ],
    ids=range(19),
)
def test_what_says_nothing_is_as_if_it_were_not_there(data: bytes) -> None:
    """No prompt, no sense, or too much of it: nothing, soon, and without the memory for it."""
    assert read(data) is None
    assert isinstance(embed(data, FOX), bytes)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_bomb_does_not_go_off(kind: bytes) -> None:
    """A chunk of 100 kB that is 100 MB once decompressed costs a hundredth of that."""
    begins = {b"zTXt": b"parameters\0\0", b"iTXt": b"parameters\0\1\0\0\0"}[kind]
    data = chunked(kind, begins + zlib.compress(bytes(100_000_000)))
    tracemalloc.start()
    try:
        assert read(data) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": ""},
        {"prompt": 5},
        {"prompt": "x" * 5001},
        {"prompt": "half \ud83e"},
        {"prompt": None},
        {"aspect_ratio": "17:9"},
        {"aspect_ratio": ["1:1"]},
        {"output_format": "exe"},
        {"created": "now"},
        {"created": 1e300},
        {"created": -1},
        {"created": True},
        {"task_id": {}},
        {"width": 1.5},
        {"height": -1},
        {"references": "ab"},
        {"references": [5]},
        {"references": ["x"] * 60},
        {"lineage": {}},
        {"software": "another"},
        {"format": "1"},
    ],
)
def test_our_own_text_is_checked_like_a_strangers(change: dict[str, object]) -> None:
    """Anybody can write it: a wrong value is no settings at all."""
    text = json.dumps(OURS | change)
    assert read(png_text(("nanobanana", json.dumps(OURS)))) == FOX
    assert read(png_text(("nanobanana", text))) is None
    ancestor = json.dumps(OURS | {"lineage": [OURS | change, OURS]})
    found = read(png_text(("nanobanana", ancestor)))
    if set(change) & {"lineage", "software", "format"}:
        return
    assert found is not None
    assert [one.prompt for one in found.lineage] == [FOX.prompt]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 900_000,
        "Aa: " * 225_000,
        "a fox\n" + "A b" * 300_000,
        "a fox\nSteps: 1" + ", Aa: x" * 100_000,
        'a fox\nSteps: "' + '\\"' * 400_000,
        "\n" * 900_000,
        "a fox --" + "a" * 800_000,
        " --a" * 200_000,
        "{" + '"a":' * 200_000,
    ],
    ids=range(9),
)
def test_long_texts_take_no_time(text: str) -> None:
    """No pattern of ours runs for minutes on a text that was made for it."""
    for keyword in ("parameters", "Description", "prompt", "XML:com.adobe.xmp", "nanobanana"):
        read(png_text((keyword, text), kind="iTXt"))


def test_many_chunks_take_no_time() -> None:
    """A file of millions of empty chunks is not looked through to its end."""
    empty = struct.pack(">I", 0) + b"prVt" + struct.pack(">I", zlib.crc32(b"prVt"))
    data = SMALL["PNG"]
    assert read(data[:33] + empty * 1_000_000 + data[33:]) is None
