"""Picture files: whole and verified under their final name, or not there at all."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from nanobanana_nb import ConfigError, DownloadError, RequestError, pictures, previews
from nanobanana_nb.pictures import (
    PictureStore,
    check_room,
    refuges,
    save_copy,
    slug,
)
from nanobanana_nb.previews import contact_sheet, make_preview
from nanobanana_nb.sidecars import Sidecar, read_sidecar

from .harness.disks import leave_free, mounted

TASK = {
    "id": "abcd1234",
    "task_id": "task-1",
    "position": 0,
    "of": 1,
    "prompt": "a fox",
    "aspect_ratio": "1:1",
    "output_format": "png",
    "image_urls": [],
    "origin": "https://api.apixo.ai",
    "account": "0123456789ab",
    "price": "0.03",
    "created": 0.0,
    "seconds": 7.5,
    "url": "https://files.example/1.png",
    "cell": None,
}
"""What the ledger knows of a task with one picture."""


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


def keep(store: PictureStore, data: bytes, prompt: str = "a fox", sidecar=None):
    with store.incoming() as file:
        file.write(data)
        return store.keep(file, prompt, "abcd1234", 0.0, sidecar)


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.is_dir() else []


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
    assert files(tmp_path / "pictures") == []


def test_a_broken_file_is_refused_also_by_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same error as for what was downloaded, with the address of the file."""
    monkeypatch.chdir(tmp_path)
    Path("half.png").write_bytes(encoded(noisy(), "PNG")[:-2000])
    for name in ("half.png", "gone.png"):
        with pytest.raises(DownloadError) as caught, pictures.decoded(Path(name)):
            pass
        assert caught.value.url == (tmp_path / name).as_uri()


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
    assert len(preview) <= previews.PREVIEW_BYTES
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


# Crashes between the file and the ledger.


def test_the_sidecar_stands_beside_the_picture(store: PictureStore) -> None:
    """Under the same name, readable by its owner only, and true."""
    old = os.umask(0)
    try:
        kept = keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK)
    finally:
        os.umask(old)
    beside = kept.file.with_suffix(".json")
    assert files(kept.file.parent) == [beside.name, kept.file.name]
    assert beside.stat().st_mode & 0o777 == 0o600
    sidecar = read_sidecar(beside)
    assert isinstance(sidecar, Sidecar)
    assert (sidecar.file, sidecar.sha256, sidecar.width) == (kept.file, kept.sha256, 8)


def test_a_sidecar_is_never_written_over(store: PictureStore) -> None:
    """Pictures of one stem, of other bytes or another kind, get a number each, as do sidecars."""
    first = keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK)
    second = keep(store, encoded(noisy(8, 9), "PNG"), sidecar=TASK | {"position": 1, "of": 3})
    third = keep(store, encoded(noisy(9, 9), "JPEG"), sidecar=TASK | {"position": 2, "of": 3})
    assert [kept.file.stem[-2:] for kept in (first, second, third)] == ["34", "-2", "-3"]
    assert [one.file for one in store.find("abcd1234")] == [first.file, second.file, third.file]


def test_a_picture_that_is_there_is_not_stored_again(store: PictureStore, tmp_path: Path) -> None:
    """After a kill before the ledger's commit, resuming makes no second copy."""
    data = encoded(noisy(8, 8), "PNG")
    first = keep(store, data, sidecar=TASK)
    assert keep(store, data, sidecar=TASK | {"url": "https://a.fresh/link"}).file == first.file
    first.file.with_suffix(".json").unlink()  # stored by an older version
    assert keep(store, data, sidecar=TASK).file == first.file
    assert len(files(tmp_path / "pictures")) == 2


def test_one_task_may_give_the_same_picture_twice(store: PictureStore) -> None:
    """Two positions with the same bytes are two pictures; each has its sidecar."""
    data = encoded(noisy(8, 8), "PNG")
    two = [keep(store, data, sidecar=TASK | {"of": 2, "position": n}).file for n in (0, 1)]
    again = [keep(store, data, sidecar=TASK | {"of": 2, "position": n}).file for n in (0, 1)]
    assert two == again
    assert [one.file for one in store.find("abcd1234")] == two


def test_find_believes_only_whole_pictures_of_that_task(store: PictureStore) -> None:
    """Not another task's, not one that was changed or is gone."""
    kept = keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK)
    assert [one.sha256 for one in store.find("abcd1234")] == [kept.sha256]
    assert store.find("1234") == store.find("other") == store.find(".*") == []
    named = kept.file.with_name("x-beef1234.json")  # named for one task, but of another
    named.write_bytes(kept.file.with_suffix(".json").read_bytes())
    assert store.find("beef1234") == []
    data = bytearray(kept.file.read_bytes())
    data[-20] ^= 1
    kept.file.write_bytes(data)
    assert store.find("abcd1234") == []
    kept.file.unlink()
    assert store.find("abcd1234") == []


def test_a_sidecar_whose_picture_was_deleted(store: PictureStore) -> None:
    """Its own picture comes back beside it; another gets another name, and is true to its own."""
    kept = keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK)
    kept.file.unlink()
    other = keep(store, encoded(noisy(8, 9), "PNG"), sidecar=TASK)
    assert other.file.stem == f"{kept.file.stem}-2"
    assert [one.file for one in store.find("abcd1234")] == [other.file]
    assert keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK).file == kept.file


def test_a_sidecar_that_another_kernel_relies_on_stays(store: PictureStore, monkeypatch) -> None:
    """Ours fails after theirs is there under our sidecar's name: theirs still has one."""
    data, real, calls = encoded(noisy(8, 8), "PNG"), os.link, []

    def link(part, file):
        calls.append(file)
        if len(calls) == 2:
            real(part, file)
            raise KeyboardInterrupt
        real(part, file)

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(KeyboardInterrupt):
        keep(store, data, sidecar=TASK)
    assert [one.file for one in store.find("abcd1234")] == [calls[1]]


def test_what_comes_home_is_found_again(tmp_path: Path) -> None:
    """Numbered in both folders; its new name is still one of that task."""
    home, elsewhere, previews = (tmp_path / name for name in ("pictures", "elsewhere", "previews"))
    for position in range(4):
        store = PictureStore(home if position < 2 else elsewhere, previews)
        picture = encoded(noisy(8, 8 + position), "PNG")
        keep(store, picture, sidecar=TASK | {"position": position, "of": 4})
    store = PictureStore(home, previews, [elsewhere])
    found = store.find("abcd1234")
    assert [one.position for one in found] == [0, 1, 2, 3]
    assert all(store.in_place(one.file) for one in found)
    assert PictureStore(home, previews).find("abcd1234") == found


@pytest.mark.parametrize("number", [1, 2])
def test_a_name_taken_by_a_link_is_not_followed(
    store: PictureStore, tmp_path: Path, number
) -> None:
    """Neither the picture nor the sidecar goes through a symlink, and both get another name."""
    free = keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK)
    beside = free.file.with_suffix(".json")
    free.file.unlink()
    beside.unlink()
    outside = tmp_path / "outside"
    (free.file if number == 1 else beside).symlink_to(outside)
    kept = keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK)
    assert kept.file.stem == f"{free.file.stem}-2"
    assert not outside.exists()
    outside.write_bytes(encoded(noisy(8, 8), "PNG"))  # no copy of ours, though it looks the same
    assert keep(store, outside.read_bytes(), sidecar=TASK).file == kept.file


def test_without_hard_links(store: PictureStore, tmp_path: Path, monkeypatch) -> None:
    """Some file systems have none: still whole, still nothing is overwritten."""

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    first = keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK)
    second = keep(store, encoded(noisy(8, 9), "PNG"), sidecar=TASK)
    assert keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK).file == first.file
    assert second.file.stem.endswith("-2")
    assert len(files(tmp_path / "pictures")) == 4


def test_sweep_takes_only_what_a_kill_left(store: PictureStore, tmp_path: Path) -> None:
    """Our temporary files after an hour, everywhere that we write them, and nothing else."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    mine = folder / f".nanobanana-{'a' * 16}.part"
    kept = ["x.part", ".nanobanana-x.part", ".nanobanana.part", "picture.png", ".hidden.part"]
    for file in (mine, *(folder / name for name in kept)):
        file.touch()
    (folder / f".nanobanana-{'b' * 16}.part").symlink_to(tmp_path)
    (folder / f".nanobanana-{'c' * 16}.part").mkdir()
    now = mine.stat().st_mtime
    assert store.sweep(now + 3500) == 0
    assert store.sweep(now + 3700) == 1
    assert not mine.exists()
    assert len(files(folder)) == len(kept) + 2


def test_a_name_is_given_to_what_is_safe_on_the_disk(store: PictureStore, monkeypatch) -> None:
    """Each file is synced before it has its name, and the folder after: power may fail anywhere."""
    happened = []

    def noted(name):
        real = getattr(os, name)

        def step(*arguments):
            kind = name
            if name == "fsync":
                whole = os.fstat(arguments[0]).st_size > 0
                kind = os.readlink(f"/proc/self/fd/{arguments[0]}")[-5:] + ("" if whole else "?")
            happened.append(kind)
            return real(*arguments)

        return step

    if not Path("/proc/self/fd").exists():
        pytest.skip("cannot tell which file is synced")
    for name in ("fsync", "link", "replace"):
        monkeypatch.setattr(os, name, noted(name))
    keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK)
    assert happened == [".part", "link", ".part", "link", "tures", ".part", "replace"]


def test_kernels_that_store_at_once(store: PictureStore, tmp_path: Path) -> None:
    """The same picture from eight threads is one file; eight pictures of a task are eight."""
    data = [encoded(noisy(8, 8 + n), "PNG") for n in range(8)]
    for round_ in range(10):
        task = TASK | {"of": 8}
        with ThreadPoolExecutor(8) as pool:
            same = [pool.submit(keep, store, data[0], f"same {round_}", task) for _ in data]
            each = [
                pool.submit(keep, store, data[n], f"each {round_}", task | {"position": n})
                for n in range(8)
            ]
        assert len({one.result().file for one in same}) == 1
        assert sorted(one.result().height for one in each) == list(range(8, 16))
        assert len({one.result().file for one in each}) == 8
    found = [read_sidecar(file) for file in (tmp_path / "pictures").glob("*.json")]
    assert len(found) == 90
    assert all(isinstance(one, Sidecar) for one in found)


def test_sweep_goes_on_after_what_it_may_not_delete(store: PictureStore, tmp_path, monkeypatch):
    """In a shared folder some belong to others."""
    parts = [tmp_path / "pictures" / f".nanobanana-{letter * 16}.part" for letter in "abc"]
    parts[0].parent.mkdir()
    for part in parts:
        part.touch()
    real, calls = os.unlink, []

    def unlink(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 1:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        real(*arguments, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    assert store.sweep(parts[0].stat().st_mtime + 3700) == 2
    assert len(files(parts[0].parent)) == 1


STEPS = ("open", "fdopen", "fsync", "link", "unlink", "mkdir", "rename", "replace")
KILLED = """
import io, json, os, signal, sys
from pathlib import Path
from PIL import Image
from nanobanana_nb.pictures import PictureStore
root, data = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
task, steps = map(json.loads, sys.argv[3:])
Image.init()
count = [0]
def deadly(real, last):
    def step(*arguments, **options):
        count[0] += 1
        if count[0] == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return step
for last in range(1, 100):
    child = os.fork()
    if not child:
        for name in steps:
            setattr(os, name, deadly(getattr(os, name), last))
        home = root / str(last)
        store = PictureStore(home / "pictures", home / "previews")
        with store.incoming() as file:
            file.write(data)
            store.keep(file, "a fox", "abcd1234", 0.0, task)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(last)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_killed_at_each_step(tmp_path: Path) -> None:
    """kill -9 before every single call that touches the disk, then a resume: one picture with its
    sidecar, both whole; what a kill left is swept later, and nothing else."""
    data = encoded(noisy(64, 64), "PNG")
    (tmp_path / "data").write_bytes(data)
    script = [sys.executable, "-c", KILLED, tmp_path, tmp_path / "data"]
    ran = subprocess.run(
        [*script, json.dumps(TASK), json.dumps(STEPS)], capture_output=True, text=True, check=True
    )
    kills = int(ran.stdout) - 1
    assert kills >= 12
    for number in range(1, kills + 2):
        home = tmp_path / str(number)
        for file in (home / "pictures").glob("[!.]*.png"):
            assert file.read_bytes() == data
        store = PictureStore(home / "pictures", home / "previews")
        if not (found := store.find("abcd1234")):
            keep(store, data, sidecar=TASK)
            found = store.find("abcd1234")
        stem = found[0].file.stem
        store.sweep(found[0].file.stat().st_mtime + 4000)
        assert files(home / "pictures") == [f"{stem}.json", f"{stem}.png"], number
        assert all(name == f"{stem}.jpg" for name in files(home / "previews"))


# Disk trouble.


def check_nothing_is_broken(data: bytes, *folders: Path) -> list[Path]:
    """The pictures that there are: each whole, each with its sidecar; and nothing half-written."""
    found = []
    for folder in folders:
        names = files(folder)
        assert not [name for name in names if name.endswith(".part")]
        here = [folder / name for name in names if name.endswith(".png")]
        assert [name for name in names if name.endswith(".json")] == [
            file.with_suffix(".json").name for file in here
        ]
        for file in here:
            assert file.read_bytes() == data
            assert isinstance(read_sidecar(file.with_suffix(".json")), Sidecar)
        found += here
    return found


@contextlib.contextmanager
def failing(first: int, last: int) -> Iterator[Callable[[], int]]:
    """The calls of these numbers that make, sync or name a file fail as on a full disk."""
    count = 0

    def full(real):
        def step(*arguments, **options):
            nonlocal count
            count += 1
            if first <= count <= last:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments, **options)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for name in ("open", "fsync", "link", "mkdir", "rename", "replace"):
            patch.setattr(os, name, full(getattr(os, name)))
        yield lambda: count


@pytest.mark.parametrize(
    ("lasting", "expected"),
    [
        (0, {"in place", "elsewhere"}),
        (1, {"in place", "elsewhere", "lost"}),
        (100, {"in place", "lost"}),
    ],
)
def test_the_disk_fills_up_at_each_step(tmp_path: Path, lasting: int, expected) -> None:
    """For a moment or for good: stored, or kept elsewhere, or a DownloadError; nothing broken."""
    data = encoded(noisy(64, 64), "PNG")
    ends = set()
    for number in range(1, 61):
        home = tmp_path / str(number)
        store = PictureStore(home / "pictures", home / "previews", [home / "elsewhere"])
        with failing(number, number + lasting) as calls:
            try:
                kept = keep(store, data, sidecar=TASK)
            except DownloadError:
                kept = None
        there = check_nothing_is_broken(data, home / "pictures", home / "elsewhere")
        assert there == ([kept.file] if kept else [])
        if kept:
            assert store.in_place(kept.file) is not bool(kept.trouble)
        ends.add("lost" if kept is None else "elsewhere" if kept.trouble else "in place")
        assert files(home / "previews") in ([], [f"{there[0].stem}.jpg"] if there else [])
        if calls() < number:
            break
    else:
        raise AssertionError("the last run should have met no failure")
    assert ends == expected


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte and 200 files."""
    with mounted(tmp_path / "disk") as disk:
        yield disk


def test_disk_full_at_each_of_the_first_60_writes(small_disk: Path, tmp_path: Path) -> None:
    """On a real full disk: the picture is in place or kept elsewhere, whole, and nothing is left
    half-written; with room again it is brought to its place without a download."""
    data = encoded(noisy(224, 224), "PNG")
    elsewhere, ends = tmp_path / "elsewhere", []
    for pages in range(60):
        home = small_disk / str(pages)
        (home / "previews").mkdir(parents=True)
        leave_free(small_disk, small_disk / "filler", pages)
        store = PictureStore(home / "pictures", home / "previews", [elsewhere / str(pages)])
        kept = keep(store, data, sidecar=TASK)
        there = check_nothing_is_broken(data, home / "pictures", elsewhere / str(pages))
        assert there == [kept.file]
        ends.append(store.in_place(kept.file))
        if not store.in_place(kept.file):
            assert kept.trouble == (
                f"{home / 'pictures'} cannot take the picture (No space left on device); for now "
                f"it is {kept.file}. nb.resume() puts it in its place once it can."
            )
        assert store.preview(kept.file).startswith(b"\xff\xd8")
        assert store.preview(kept.file).endswith(b"\xff\xd9")

        (small_disk / "filler").unlink()
        (found,) = store.find("abcd1234")
        assert store.in_place(found.file)
        assert check_nothing_is_broken(data, home / "pictures") == [found.file]
        for folder in (home / "pictures", home / "previews"):
            for file in folder.iterdir():
                file.unlink()
    assert ends == sorted(ends)
    assert 30 <= sum(not in_place for in_place in ends) <= 45


def test_a_full_disk_and_nowhere_else(small_disk: Path) -> None:
    """Then it is a DownloadError that says why, and nothing is left behind."""
    data = encoded(noisy(224, 224), "PNG")
    store = PictureStore(small_disk / "a", small_disk / "b", [small_disk / "c"])
    for pages in range(30):
        leave_free(small_disk, small_disk / "filler", pages)
        with pytest.raises(DownloadError, match=r"No space left on device.*nor can any other"):
            keep(store, data, sidecar=TASK)
        assert check_nothing_is_broken(data, small_disk / "a", small_disk / "c") == []


def test_no_room_for_another_name(small_disk: Path, tmp_path: Path) -> None:
    """A disk may run out of files before it runs out of bytes."""
    data = encoded(noisy(8, 8), "PNG")
    ends = set()
    for free in range(8):
        pictures_, elsewhere = small_disk / "pictures", tmp_path / str(free)
        fillers = small_disk / "fillers"
        fillers.mkdir()
        pictures_.mkdir(exist_ok=True)
        for number in range(os.statvfs(small_disk).f_favail - free):
            (fillers / str(number)).touch()
        store = PictureStore(pictures_, tmp_path / "previews", [elsewhere])
        kept = keep(store, data, sidecar=TASK)
        assert check_nothing_is_broken(data, pictures_, elsewhere) == [kept.file]
        ends.add(store.in_place(kept.file))
        for file in (*fillers.iterdir(), *pictures_.iterdir()):
            file.unlink()
        fillers.rmdir()
    assert ends == {True, False}


def test_a_read_only_disk(small_disk: Path, tmp_path: Path) -> None:
    """A folder that became read-only after the check is no reason to lose a picture."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    store = PictureStore(small_disk / "pictures", small_disk / "previews", [tmp_path / "rescued"])
    subprocess.run([*sudo, "mount", "-o", "remount,ro", str(small_disk)], check=True)
    kept = keep(store, encoded(noisy(8, 8), "PNG"), sidecar=TASK)
    assert kept.file.parent == tmp_path / "rescued"
    assert "Read-only" in kept.trouble
    assert kept.file.stat().st_mode & 0o777 == 0o600
    assert store.find("abcd1234")[0].file == kept.file  # still there, and still not home


def test_check_room_asks_the_disk(small_disk: Path, tmp_path: Path) -> None:
    """A clear refusal before money is spent; folders that are not there yet count as well."""
    check_room([tmp_path], needed=1)
    check_room([small_disk / "not" / "there" / "yet"], needed=500_000)
    with pytest.raises(ConfigError, match=r"Only 1 MB are free in .*disk/pictures, so nothing was"):
        check_room([tmp_path, small_disk / "pictures"])


def test_there_are_refuges(tmp_path: Path, monkeypatch) -> None:
    """Best first; a current folder that was deleted is left out."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    assert refuges(tmp_path)[:2] == (tmp_path / "rescued", gone)
    assert Path(tempfile.gettempdir()) in refuges(tmp_path)
    gone.rmdir()
    assert gone not in refuges(tmp_path)
    if sys.platform == "linux":
        assert refuges(tmp_path)[-1] == Path("/dev/shm")
