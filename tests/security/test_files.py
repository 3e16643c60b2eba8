"""Files stay in their folder, replace nothing, follow no link; what strangers wrote is limited
(table P)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nanobanana_nb as nb
from nanobanana_nb import RequestError, Sandbox, Studio
from nanobanana_nb.batches import Batch
from nanobanana_nb.pictures import PictureStore, slug
from nanobanana_nb.rebuilding import Rebuilt, rebuild
from nanobanana_nb.sidecars import (
    MAX_BYTES,
    MAX_PICTURE,
    Sidecar,
    read_sidecar,
)
from nanobanana_nb.sources import MAX_FILE

from ..conftest import settings_for
from ..test_pictures import TASK, encoded, keep, noisy
from .hostile_strings import storable

NAME = re.compile(r"\d{8}-\d{6}-[a-z0-9-]{1,40}-[0-9a-f]{8}\.(png|jpg|webp)")
PROMPTS = {
    "up": "../../etc/passwd",
    "up, of Windows": "..\\..\\windows\\system32",
    "absolute": "/etc/passwd",
    "a drive": "C:\\x",
    "a share": "\\\\server\\share\\x",
    "home": "~/x ~root/x",
    "a device": "CON",
    "a device with an ending": "nul.txt",
    "another": "COM1 LPT9 AUX PRN",
    "a stream": "a:b::$DATA",
    "dots at the end": "a fox... ",
    "only dots": "...",
    "300 letters": "x" * 300,
    "300 wide ones": "狐" * 300,
    "emoji": "🦊🦊",
    "nul": "a\0b",
    "lines": "a\nb\r\nc",
    "an option": "-rf --output=x",
    "another option": "--",
    "turned around": "\u202egnp.exe",
    "a variable": "$HOME `id` $(id) %PATH% !x",
    "wildcards": "* ? [a-z] {a,b}",
    "dots of Unicode": "\u2025/\uff0e\uff0e/\u2215etc",
    "combining": "e\u0301" * 100,
}
DEVICES = ["con", "CON", "nul", "Aux", "prn", "com1", "COM9", "lpt1"]
DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


# ------------------------------------------------------------------ P1: names


@pytest.mark.parametrize("kind", PROMPTS)
def test_p1_a_prompt_makes_a_plain_name(studio: Studio, tmp_path: Path, kind: str) -> None:
    """Date, a few letters, the id; in the folder of pictures; its sidecar and preview likewise."""
    made = studio.wait(studio.generate(PROMPTS[kind]))
    folder = (tmp_path / "home" / "pictures").resolve()
    assert NAME.fullmatch(made.path.name)
    assert made.path.resolve().parent == folder
    for file in (tmp_path / "home").rglob("*"):
        assert file.resolve().is_relative_to((tmp_path / "home").resolve())
        assert file.name.isascii()
        assert not file.name.startswith("-")
    assert {path.name for path in tmp_path.iterdir()} == {"home"}
    assert not any(DEVICE.fullmatch(part) for part in made.path.parts)


def test_p1_any_hostile_text_is_a_plain_slug() -> None:
    """Letters, digits and dashes, never empty, never first a dash."""
    for kind, text in (storable() | PROMPTS).items():
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", slug(text)), kind


def test_p1_keys_of_a_batch_are_plain_names(studio: Studio, tmp_path: Path) -> None:
    """A folder of copies, each under its key: also a key that is a path, or one that Windows takes
    for a device."""
    keys = [*PROMPTS.values(), *DEVICES]
    drawn = studio.wait(studio.gallery("a fox", new=True))
    saved = Batch(list(drawn) * len(keys), keys).save(tmp_path / "out")
    assert len(set(saved)) == len(keys)
    for file in saved:
        assert file.resolve().parent == (tmp_path / "out").resolve()
        assert re.fullmatch(r"[a-z0-9-]+\.png", file.name)
        assert not file.name.startswith("-")
        assert not DEVICE.fullmatch(file.name)
    assert sorted(os.listdir(tmp_path / "out")) == sorted(file.name for file in saved)


def test_p1_no_task_id_is_part_of_a_name(tmp_path: Path) -> None:
    """What stands in a name is our own id; that of the server is a value in the sidecar."""
    store = PictureStore(tmp_path / "pictures", tmp_path / "previews")
    kept = keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK | {"task_id": "../../evil"})
    assert "evil" not in str(kept.file)
    assert kept.file.parent == tmp_path / "pictures"


# ------------------------------------------------------------------ P2: links, nothing replaced


def test_p2_a_copy_replaces_a_link_and_not_what_it_leads_to(studio: Studio, tmp_path: Path) -> None:
    """Saving under a name that is a link: the file elsewhere stays as it is."""
    made = studio.wait(studio.generate("a fox"))
    (tmp_path / "outside.png").write_bytes(b"mine")
    (tmp_path / "x.png").symlink_to(tmp_path / "outside.png")
    saved = made.save(tmp_path / "x.png")
    assert (tmp_path / "outside.png").read_bytes() == b"mine"
    assert not saved.is_symlink()
    assert saved.read_bytes() == made.path.read_bytes()


@pytest.mark.parametrize("dangling", [False, True])
def test_p2_links_in_the_folder_of_pictures_are_not_written_through(
    tmp_path: Path, dangling: bool
) -> None:
    """Every name that the next pictures could get leads elsewhere: they get others."""
    store = PictureStore(tmp_path / "pictures", tmp_path / "previews")
    first = keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK).file
    outside = tmp_path / "outside"
    if not dangling:
        outside.write_bytes(b"mine")
    for number in range(2, 12):
        for suffix in (".png", ".json"):
            first.with_name(f"{first.stem}-{number}{suffix}").symlink_to(outside)
    kept = keep(store, encoded(noisy(9, 9), "PNG"), sidecar=TASK | {"task_id": "other"})
    assert kept.file.stem == f"{first.stem}-12"
    assert not kept.file.is_symlink()
    assert outside.exists() is not dangling
    assert dangling or outside.read_bytes() == b"mine"


def test_p2_a_folder_that_is_a_link_is_the_users_own(sandbox: Sandbox, tmp_path: Path) -> None:
    """To another disk, say: the pictures are in there, and found again."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "pictures").symlink_to(tmp_path / "disk", target_is_directory=True)
    studio = Studio(settings_for(sandbox.url, tmp_path / "home"))
    made = studio.wait(studio.generate("a fox"))
    studio.close()
    assert made.path.resolve().parent == (tmp_path / "disk").resolve()
    assert isinstance(read_sidecar(made.path.with_suffix(".json")), Sidecar)


# ------------------------------------------------------------------ P3: two processes


STORES = """
import sys, json, io
from pathlib import Path
from PIL import Image
from nanobanana_nb.pictures import PictureStore
folder, task, start = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
store = PictureStore(folder / "pictures", folder / "previews")
print("ready", flush=True)
sys.stdin.readline()
for number in range(start, start + 25):
    data = io.BytesIO()
    Image.new("RGB", (8, 8 + number), "teal").save(data, "PNG")
    with store.incoming() as incoming:
        incoming.write(data.getvalue())
        kept = store.keep(incoming, "a fox", "abcd1234", 0.0, task | {"task_id": str(number)})
    print(kept.file.name, flush=True)
"""


def test_p3_two_processes_that_want_the_same_names(tmp_path: Path) -> None:
    """The same second, words and id: each picture gets a file of its own, with its own sidecar."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", STORES, str(tmp_path), json.dumps(TASK), str(start)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for start in (0, 100)
    ]
    for one in running:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in running:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    names = [name for one in running for name in one.communicate()[0].split()]
    assert [one.returncode for one in running] == [0, 0]
    assert len(set(names)) == len(names) == 50
    found = [read_sidecar(file) for file in (tmp_path / "pictures").glob("*.json")]
    assert len(found) == 50
    assert all(isinstance(one, Sidecar) for one in found)
    assert {one.task_id for one in found if isinstance(one, Sidecar)} == {
        str(number) for start in (0, 100) for number in range(start, start + 25)
    }


# ------------------------------------------------------------------ P4: sidecars


@pytest.mark.parametrize("kind", storable())
def test_p4_a_sidecar_of_any_text(tmp_path: Path, kind: str) -> None:
    """Valid JSON, nothing but JSON, under the cap; every field comes back among its own."""
    text = storable()[kind]
    store = PictureStore(tmp_path / "pictures", tmp_path / "previews")
    task = TASK | {"prompt": text, "task_id": text, "origin": text, "account": text}
    kept = keep(store, encoded(noisy(8, 8), "PNG"), text, task)
    raw = kept.file.with_suffix(".json").read_bytes()
    assert len(raw) < MAX_BYTES
    assert json.loads(raw)["prompt"] == text
    found = read_sidecar(kept.file.with_suffix(".json"))
    assert isinstance(found, Sidecar)
    assert found.request.prompt == text.strip()
    assert (found.task_id, found.origin, found.account) == (text, text, text)


# ------------------------------------------------------------------ P5: what others wrote


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A folder of pictures as a stranger has prepared it, with one of ours in it."""
    store = PictureStore(tmp_path / "pictures", tmp_path / "previews")
    own = keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK).file.with_suffix(".json")
    fields = json.loads(own.read_bytes())
    outside = tmp_path / "outside.png"
    outside.write_bytes(own.with_suffix(".png").read_bytes())
    names = {
        "absolute": str(outside),
        "up": "../outside.png",
        "passwd": "../../../../../../etc/passwd",
        "root": "/etc/passwd",
        "of Windows": "..\\outside.png",
        "a drive": "C:outside.png",
        "nul": "outside.png\0",
        "a link": "link.png",
        "a folder": "folder.png",
        "nothing": "",
        "too long": f"{'x' * 5000}.png",
    }
    folder = own.parent
    (folder / "link.png").symlink_to(outside)
    (folder / "folder.png").mkdir()
    for kind, name in names.items():
        text = json.dumps(fields | {"id": f"evil-{kind}", "file": name})
        (folder / f"evil {kind}.json").write_text(text)
    (folder / "evil sidecar link.json").symlink_to("/etc/passwd")
    (folder / "evil large.json").write_bytes(own.read_bytes() + b" " * MAX_BYTES)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "evil pipe.json")
        os.mkfifo(folder / "pipe.png")
        (folder / "evil pipe of a picture.json").write_text(
            json.dumps(fields | {"id": "evil-pipe", "file": "pipe.png"})
        )
    with (folder / "huge.png").open("wb") as huge:
        os.truncate(huge.fileno(), MAX_PICTURE + 1)  # of nothing; it might be a terabyte
    (folder / "evil huge.json").write_text(
        json.dumps(fields | {"id": "evil-huge", "file": "huge.png", "size": MAX_PICTURE + 1})
    )
    return folder


def rebuilt(ledger: Path, folder: Path) -> Rebuilt:
    import asyncio

    return asyncio.run(rebuild(ledger, [folder]))


def test_p5_a_prepared_folder_leads_nowhere(planted: Path, tmp_path: Path) -> None:
    """A ledger made anew from it has our own picture and no other; nothing outside is read, and
    what is far too large is not hashed."""
    found = rebuilt(tmp_path / "ledger.sqlite3", planted)
    assert (found.added, found.known) == (1, 0)
    evil = {one.file.name: one.why for one in found.broken}
    assert len(evil) == len(list(planted.glob("evil*.json")))
    assert evil["evil absolute.json"] == evil["evil passwd.json"] == "outside"
    assert evil["evil a link.json"] == evil["evil sidecar link.json"] == "outside"
    assert evil["evil huge.json"] == "wrong"
    for one in found.broken:
        assert one.sidecar is None or one.sidecar.file.parent == planted


def test_p5_a_picture_may_be_as_large_as_the_cap(tmp_path: Path) -> None:
    """What we store is never larger, so that no picture of ours is refused for its size."""
    from nanobanana_nb.client import MAX_DOWNLOAD

    assert MAX_DOWNLOAD + 1_000_000 < MAX_PICTURE  # settings that are put into it included


def test_p5_references_in_a_sidecar_are_words(tmp_path: Path) -> None:
    """A lineage made of them shows them; what is no link is called that, and nothing is fetched."""
    home = tmp_path / "home"
    store = PictureStore(home / "pictures", home / "previews")
    texts = [text for text in storable().values() if len(text) < 200][::4]
    for number, text in enumerate(texts):
        task = TASK | {"id": f"{number:08x}", "references": [text, f"x://{text}"], "url": text}
        task |= {"task_id": f"task-{number}"}
        with store.incoming() as incoming:
            incoming.write(encoded(noisy(8, 8), "PNG"))
            store.keep(incoming, "a fox", f"{number:08x}", 0.0, task)
    assert rebuilt(home / "ledger.sqlite3", home / "pictures").added == len(texts)
    with Sandbox(latency=0) as api:
        studio = Studio(settings_for(api.url, home))
        for number in range(len(texts)):
            shown = studio.wait(studio.lineage(f"{number:08x}"))._repr_mimebundle_()
            assert "<script>" not in shown["text/html"]
        studio.close()
        assert sum(api.counts.values()) == 0


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".txt"])
def test_p5_a_batch_file_has_a_size(studio: Studio, tmp_path: Path, suffix: str) -> None:
    """What is far too large for prompts is not read at all, whatever stands at its beginning."""
    file = tmp_path / f"huge{suffix}"
    with file.open("wb") as huge:
        huge.write(b"prompt\n" + b"a fox\n" * 1000)
        os.truncate(huge.fileno(), MAX_FILE + 1)
    with pytest.raises(RequestError, match="has 100 MB, too many for prompts"):
        studio.wait(studio.batch(file))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_p5_a_batch_file_is_a_file(studio: Studio, tmp_path: Path) -> None:
    """A pipe would be waited for."""
    os.mkfifo(tmp_path / "x.csv")
    with pytest.raises(RequestError, match="no such file"):
        studio.wait(studio.batch(tmp_path / "x.csv"))


def test_p5_a_strangers_picture_has_a_size(tmp_path: Path) -> None:
    """`nb.load` looks at no file that is too large, at no pipe and at no folder, and takes no
    sidecar that is a link."""
    with (tmp_path / "huge.png").open("wb") as huge:
        os.truncate(huge.fileno(), 2**40)
    with pytest.raises(RequestError, match="too many to be looked at"):
        nb.load(tmp_path / "huge.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(RequestError, match="is not a file"):
            nb.load(tmp_path / "pipe.png")
    store = PictureStore(tmp_path / "pictures", tmp_path / "previews")
    kept = keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK)
    beside = kept.file.with_suffix(".json")
    assert nb.load(kept.file).source == "sidecar"
    beside.rename(tmp_path / "elsewhere.json")
    beside.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(RequestError, match="carries no settings"):
        nb.load(kept.file)


def test_p5_no_archive_is_unpacked() -> None:
    """There is no import of one, so that nothing can slip out of it; who adds one looks here."""
    package = Path(nb.__file__).parent
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\b(zipfile|tarfile|pickle|marshal|shelve|unpack_archive)\b", text), (
            path
        )
