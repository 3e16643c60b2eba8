"""Sidecars: what the ledger can be rebuilt from, and how anything else is told from it."""

from __future__ import annotations

import json
import os
import random
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image

from nanobanana_nb.models import ImageRequest
from nanobanana_nb.pictures import PictureStore
from nanobanana_nb.sidecars import (
    MAX_BYTES,
    BrokenSidecar,
    Sidecar,
    encode,
    read_sidecar,
    read_sidecars,
)

from .test_pictures import TASK, encoded, keep, noisy

HOSTILE = [
    'quotes " and \\ and </script><img src=x onerror=alert(1)>',
    "line\nbreak\rtab\tand\x00null\x1b[31m",
    '", "task_id": "stolen", "x": "',
    "\u2028\u2029\ufeff‮gpj.exe🦊",
    "../../etc/passwd",
    "{}[]%s{0}$(rm -rf ~)",
    "x" * 5000,
    "🦊" * 5000,
]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The sidecar of a picture that was just stored."""
    store = PictureStore(tmp_path / "pictures", tmp_path / "previews")
    kept = keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK)
    return kept.file.with_suffix(".json")


def change(sidecar: Path, **fields: object) -> None:
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | fields))


def test_all_comes_back(tmp_path: Path) -> None:
    """Every field that the ledger holds, with its type."""
    task = TASK | {
        "prompt": "Füchse 🦊",
        "image_urls": ["https://example.com/a.png", "https://example.com/b.png"],
        "aspect_ratio": "16:9",
        "price": Decimal("0.06"),
        "created": 1_700_000_000.25,
        "seconds": None,
        "position": 1,
        "of": 2,
        "cell": "5f3a",
        "references": ["ab12", "https://example.com/b.png"],
    }
    store = PictureStore(tmp_path / "pictures", tmp_path / "previews")
    data = encoded(noisy(8, 9), "PNG")
    kept = keep(store, data, sidecar=task)
    assert list(read_sidecars(tmp_path / "pictures")) == [
        Sidecar(
            file=kept.file,
            sha256=kept.sha256,
            size=len(data),
            width=8,
            height=9,
            id="abcd1234",
            task_id="task-1",
            position=1,
            of=2,
            request=ImageRequest("Füchse 🦊", "16:9", "png", tuple(task["image_urls"])),
            origin="https://api.apixo.ai",
            account="0123456789ab",
            price=Decimal("0.06"),
            created=1_700_000_000.25,
            seconds=None,
            url="https://files.example/1.png",
            cell="5f3a",
            references=("ab12", "https://example.com/b.png"),
        )
    ]
    text = kept.file.with_suffix(".json").read_text(encoding="utf-8")
    assert "Füchse 🦊" in text
    assert json.loads(text)["nanobanana_nb"] == 1


@pytest.mark.parametrize("prompt", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_prompts_are_harmless(tmp_path: Path, prompt) -> None:
    """Any prompt is valid JSON, under the caps, and comes back as it was, among its own fields."""
    store = PictureStore(tmp_path / "pictures", tmp_path / "previews")
    keep(store, encoded(noisy(8, 8), "PNG"), prompt, TASK | {"prompt": prompt})
    (found,) = read_sidecars(tmp_path / "pictures")
    assert isinstance(found, Sidecar)
    assert found.request.prompt == prompt.strip()
    assert found.task_id == "task-1"


def test_half_a_surrogate_pair_does_not_stop_the_writing() -> None:
    """A paid picture is not lost to a character that UTF-8 does not know."""
    assert json.loads(encode({"prompt": "\ud83d"}))["prompt"] == "\ud83d"


WRONG = {
    "position": [None, -1, 1, 1.0, "0", True],
    "of": [0, 1.5, "1", 10**9, None],
    "width": [0, -1, 1e9, "8", True],
    "size": [0, None, "1"],
    "id": [None, "", 7, ["abcd1234"]],
    "task_id": [None, 5],
    "prompt": [None, "", " ", "x" * 5001, "\ud83d", {"a": 1}],
    "aspect_ratio": ["17:4", None, 1],
    "output_format": ["gif"],
    "image_urls": [None, "https://a.b", [1], ["javascript:alert(1)"], ["https://a.b/"] * 6],
    "price": ["NaN", "-1", "Infinity", "1e999", "free", None, 0.03],
    "created": [-1, 1e300, "now", None, True],
    "seconds": ["7", -1, [7]],
    "url": [None, 1, "\udc00"],
    "cell": [1, {}],
    "references": [None, "ab12", [1], [None], ["\ud83d"]],
    "account": [None],
    "origin": [None],
    "sha256": [None, 1],
    "nanobanana_nb": [0, "1", None, 1.0, True, []],
}
CASES = [(name, value) for name, values in WRONG.items() for value in values]


@pytest.mark.parametrize(
    ("name", "value"), CASES, ids=[f"{n}-{i}" for i, (n, _) in enumerate(CASES)]
)
def test_a_wrong_field_is_told(stored: Path, name, value) -> None:
    """Nothing of another type or out of range gets into a ledger."""
    change(stored, **{name: value})
    assert read_sidecar(stored) == BrokenSidecar(stored, "wrong")


@pytest.mark.parametrize("name", [name for name in TASK if name not in ("cell", "seconds")])
def test_a_missing_field_is_told(stored: Path, name) -> None:
    """Each one is needed, but for those that may be unknown."""
    fields = json.loads(stored.read_text())
    del fields[name]
    stored.write_text(json.dumps(fields))
    assert read_sidecar(stored) == BrokenSidecar(stored, "wrong")


@pytest.mark.parametrize(
    "name",
    ["../x.png", "/etc/passwd", "..", "a/b.png", "C:\\x.png", "x.png\x00", "x.json", ".png", "\n"],
)
def test_a_sidecar_leads_nowhere_else(stored: Path, name) -> None:
    """Its picture is beside it, or it has none."""
    change(stored, file=name)
    assert read_sidecar(stored) == BrokenSidecar(stored, "outside")


@pytest.mark.parametrize("which", ["sidecar", "picture"])
def test_links_are_not_followed(stored: Path, tmp_path: Path, which) -> None:
    """Not even to a picture that is whole."""
    file = stored if which == "sidecar" else stored.with_suffix(".png")
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    found = read_sidecar(stored)
    assert isinstance(found, BrokenSidecar)
    assert found.why == "outside"


def test_what_is_no_sidecar_of_ours(stored: Path) -> None:
    """Each of them is told apart, and the reading goes on."""
    text, folder = stored.read_bytes(), stored.parent
    cases = {
        "a": (text[:-1], "not JSON"),
        "b": (b"", "not JSON"),
        "c": (b"\xff\xfe" + text, "not JSON"),
        "d": (b"[" * 100_000, "not JSON"),
        "e": (b"1" * 10_000, "not JSON"),
        "f": (text.replace(b"7.5", b"NaN"), "not JSON"),
        "g": (b'{"name": "package", "version": 1}', "foreign"),
        "h": (b"[1]", "foreign"),
        "i": (text.replace(b'"nanobanana_nb": 1', b'"nanobanana_nb": 2'), "newer"),
        "j": (text + b" " * MAX_BYTES, "too large"),
        "k": (text.replace(b'"created": 0.0', b'"created": 1e999'), "wrong"),
    }
    for name, (content, _) in cases.items():
        (folder / f"{name}.json").write_bytes(content)
    (folder / "l.json").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "m.json")
    (folder / "sandbox").mkdir()
    (folder / ".hidden.json").write_bytes(text)
    first, *rest = read_sidecars(folder)
    assert isinstance(first, Sidecar)
    expected = [why for _, why in cases.values()] + ["unreadable"] * (len(rest) - len(cases))
    assert [one.why for one in rest if isinstance(one, BrokenSidecar)] == expected


def test_a_picture_that_is_gone_or_changed_is_told(stored: Path) -> None:
    """And what its sidecar says is still there to read."""
    picture = stored.with_suffix(".png")
    data = picture.read_bytes()
    whole = read_sidecar(stored)
    picture.write_bytes(data[:-1] + b"x")
    assert read_sidecar(stored) == BrokenSidecar(stored, "changed", whole)
    picture.write_bytes(data + b"x")
    assert read_sidecar(stored) == BrokenSidecar(stored, "changed", whole)
    picture.unlink()
    assert read_sidecar(stored) == BrokenSidecar(stored, "no picture", whole)
    picture.mkdir()
    assert read_sidecar(stored) == BrokenSidecar(stored, "unreadable", whole)


def test_no_folder_no_sidecars(tmp_path: Path) -> None:
    """A home without pictures is none to rebuild."""
    assert list(read_sidecars(tmp_path / "no such folder")) == []


def test_any_bytes_are_read_without_an_exception(stored: Path) -> None:
    """2,000 sidecars, each with some of its bytes changed, cut or doubled."""
    text, chance = stored.read_bytes(), random.Random(1)
    ends = set()
    for _ in range(2000):
        data = bytearray(text)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(4)] = chance.choice(
                [b"", chance.randbytes(2), b'"', b"9" * 30, b"null", bytes(data[at : at + 50])]
            )
        stored.write_bytes(data)
        found = read_sidecar(stored)
        ends.add(found.why if isinstance(found, BrokenSidecar) else "whole")
    assert {"not JSON", "wrong", "whole"} <= ends


def test_the_picture_itself_decodes(stored: Path) -> None:
    """A sidecar that is believed stands beside a picture that opens."""
    found = read_sidecar(stored)
    assert isinstance(found, Sidecar)
    with Image.open(found.file) as image:
        assert image.size == (found.width, found.height)
