"""Downloads on their way: on disk as they come, in memory from where the disk takes no more."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import resource
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from nanobanana_nb import DownloadError, Sandbox, incoming, previews
from nanobanana_nb.incoming import Incoming
from nanobanana_nb.pictures import ARRIVING, PictureStore, StoredPicture, decoded
from nanobanana_nb.studio import Studio

from .conftest import settings_for
from .harness.disks import leave_free, mounted
from .test_pictures import TASK, encoded, files, noisy
from .test_studio import until

PIECE = 4096


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PictureStore]:
    made = PictureStore(tmp_path / "pictures", tmp_path / "previews", [tmp_path / "rescued"])
    yield made
    made.close()


def arrived(store: PictureStore, data: bytes) -> Incoming:
    """A download that came whole, in pieces."""
    came = store.incoming()
    for at in range(0, len(data), PIECE):
        came.write(data[at : at + PIECE])
    return came


def kept(store: PictureStore, data: bytes) -> StoredPicture:
    with arrived(store, data) as came:
        return store.keep(came, "a fox", "abcd1234", 0.0, TASK)


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The system takes no more bytes than that into any file."""
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_it_is_on_disk_as_it_comes_and_only_gets_a_name(store, tmp_path: Path) -> None:
    """Each piece is in the file at once, and the picture is that very file: no second copy."""
    data = encoded(noisy(), "PNG")
    with store.incoming() as came:
        assert files(tmp_path / "pictures") == []
        for end in range(PIECE, len(data) + PIECE, PIECE):
            came.write(data[end - PIECE : end])
            (part,) = (tmp_path / "pictures").iterdir()
            assert part.stat().st_size == min(end, len(data))
        assert incoming._PART.fullmatch(part.name)
        number = part.stat().st_ino
        picture = store.keep(came, "a fox", "abcd1234", 0.0, TASK)
    assert picture.file.stat().st_ino == number
    assert picture.file.read_bytes() == data
    assert len(files(tmp_path / "pictures")) == 2


def test_nothing_is_left_of_what_does_not_come_whole(store, tmp_path: Path) -> None:
    """Closed twice is as good as once; what never began has left nothing either."""
    with store.incoming():
        pass
    came = arrived(store, b"half of a pic")
    came.close()
    came.close()
    assert files(tmp_path / "pictures") == []


def test_the_disk_takes_no_more_after_any_byte(store, tmp_path: Path) -> None:
    """What came so far is carried over, the last piece too, of which the disk took a part."""
    data = encoded(noisy(48, 48), "PNG")
    for size in range(0, len(data) + 100, 97):
        with largest_file(size):
            came = arrived(store, data)
        assert came.content() == data
        assert len(files(tmp_path / "pictures")) == (size >= len(data))
        picture = store.keep(came, "a fox", "abcd1234", 0.0, TASK)
        came.close()
        assert store.in_place(picture.file)
        assert picture.file.read_bytes() == data
        assert len(files(tmp_path / "pictures")) == 2
        shutil.rmtree(tmp_path / "pictures")


def test_a_disk_that_fills_up_while_it_comes(tmp_path: Path) -> None:
    """On a real full disk: kept in the other folder, and the full disk is left as it was."""
    with mounted(tmp_path / "disk") as disk:
        store = PictureStore(disk / "pictures", disk / "previews", [tmp_path / "rescued"])
        for pages in (0, 1, 2, 20, 37):
            leave_free(disk, disk / "filler", pages)
            picture = kept(store, encoded(noisy(224, 224), "PNG"))
            assert picture.file.parent == tmp_path / "rescued"
            assert "No space left" in picture.trouble
            assert files(disk / "pictures") == []
            shutil.rmtree(tmp_path / "rescued")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Then it is held in memory from the start, and the other folder keeps it."""
    (tmp_path / "pictures").write_text("a file")
    store = PictureStore(tmp_path / "pictures", tmp_path / "previews", [tmp_path / "rescued"])
    assert kept(store, encoded(noisy(8, 8), "PNG")).file.parent == tmp_path / "rescued"


def test_a_folder_that_is_deleted_while_it_comes(store, tmp_path: Path) -> None:
    """It is made again, and the picture is in its place."""
    data = encoded(noisy(8, 8), "PNG")
    with arrived(store, data) as came:
        shutil.rmtree(tmp_path / "pictures")
        picture = store.keep(came, "a fox", "abcd1234", 0.0, TASK)
    assert picture.trouble == ""
    assert picture.file.read_bytes() == data


def test_a_disk_that_gives_nothing_back_is_a_download_error(store, tmp_path: Path) -> None:
    """As a mounted drive that is gone: the download is tried again, and no picture is made up."""
    with arrived(store, encoded(noisy(8, 8), "PNG")) as came:
        (part,) = (tmp_path / "pictures").iterdir()
        os.truncate(part, 10)
        with pytest.raises(DownloadError, match="does not give back"):
            store.keep(came, "a fox", "abcd1234", 0.0, TASK)


def test_a_link_in_its_place_is_not_followed(store, tmp_path: Path, monkeypatch) -> None:
    """Whoever could guess the name of the temporary file cannot lead it elsewhere."""
    monkeypatch.setattr("secrets.token_hex", lambda count: "a" * 2 * count)
    (tmp_path / "pictures").mkdir()
    link = tmp_path / "pictures" / f".nanobanana-{'a' * 16}.part"
    link.symlink_to(tmp_path / "outside")
    with arrived(store, b"bytes"):
        assert not (tmp_path / "outside").exists()
    assert link.is_symlink()


# What is cut.


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("size", [(1600, 1200), (4000, 500), (300, 300)])
def test_a_cut_jpeg_is_refused_wherever_it_is_cut(store, size, progressive) -> None:
    """It is decoded small, and yet all of it is read: every cut that a full decode finds."""
    buffer = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(buffer, "JPEG", progressive=progressive)
    data, found = buffer.getvalue(), 0
    ends = [len(data) * tenth // 10 for tenth in range(1, 10)]
    for end in (*ends, *(len(data) - short for short in (1, 2, 3, 5, 20, 100, 500))):
        try:
            with decoded(data[:end]):
                pass
        except DownloadError:
            found += 1
            with pytest.raises(DownloadError):
                kept(store, data[:end])
    assert found >= 14
    assert kept(store, data).width == size[0]


def test_a_jpeg_has_its_true_size(store) -> None:
    """That of the whole picture, though it was decoded small."""
    picture = kept(store, encoded(noisy(2048, 1100), "JPEG"))
    assert (picture.width, picture.height) == (2048, 1100)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(1024, 1024), (3840, 2160), (700, 900)])
def test_a_preview_shows_what_the_picture_shows(store, kind, size) -> None:
    """As near to the best resampling as a JPEG of its bytes is, whatever is saved on the way."""
    spots = Image.effect_noise((24, 24), 80).resize(size, Image.Resampling.BICUBIC)
    picture = Image.merge("RGB", (spots, spots.rotate(180), spots.transpose(0)))
    file = kept(store, encoded(picture, kind)).file
    with Image.open(io.BytesIO(store.preview(file))) as small:
        best = picture.resize(small.size, Image.Resampling.LANCZOS)
        apart = sum(abs(a - b) for a, b in zip(small.tobytes(), best.tobytes(), strict=True))
        assert max(small.size) == 512
        assert apart / len(best.tobytes()) < 2.5


@pytest.mark.parametrize("limit", [12_000, 20_000, 40_000])
@pytest.mark.parametrize("finest", [1, 2, 4, 8])
def test_a_preview_is_as_good_as_its_bytes_allow(finest, limit) -> None:
    """Where it must be made worse or smaller to fit, it uses most of what it may."""
    size = 512 // finest, 512 // finest
    spots = Image.effect_noise(size, 80).resize((512, 512), Image.Resampling.BICUBIC)
    preview = previews.make_preview(spots, 512, limit)
    assert 0.8 * limit < len(preview) <= limit


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "I;16"])
def test_every_kind_of_large_picture_is_decoded_as_before(mode) -> None:
    """Its memory is made in a way of our own, which must not show."""
    spots = Image.effect_noise((1700, 1300), 80).convert("L")
    data = encoded(spots.convert("I").convert(mode) if ";" in mode else spots.convert(mode), "PNG")
    with decoded(data) as image, Image.open(io.BytesIO(data)) as plain:
        assert image.mode == plain.mode
        assert image.convert("RGBA").tobytes() == plain.convert("RGBA").tobytes()
        assert len(previews.make_preview(image)) == len(previews.make_preview(plain))


# Threads.


class Held(PictureStore):
    """Holds up every picture until it is told to go on, and notes on which threads they are."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, folder / "previews")
        self.go = threading.Event()
        self.begun: list[str] = []

    def keep(self, *arguments) -> StoredPicture:
        self.begun.append(threading.current_thread().name)
        assert self.go.wait(10)
        return super().keep(*arguments)


def keep_aside(store: PictureStore, number: int) -> asyncio.Task[StoredPicture]:
    data = encoded(noisy(8, 8 + number), "PNG")
    note = TASK | {"position": number, "of": 9}
    return asyncio.ensure_future(
        store.keep_aside(arrived(store, data), "a fox", "abcd1234", 0.0, note)
    )


async def begun(store: Held, count: int) -> None:
    async with asyncio.timeout(10):
        while len(store.begun) < count:
            await asyncio.sleep(0)


def test_pictures_have_two_threads_of_their_own(tmp_path: Path) -> None:
    """They go on where the loop's own threads are busy, and never take more than two."""

    async def run() -> list[StoredPicture]:
        loop, stopped = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(ThreadPoolExecutor(1))
        blocked = loop.run_in_executor(None, stopped.wait)
        tasks = [keep_aside(store, number) for number in range(5)]
        await begun(store, 2)
        store.go.set()
        async with asyncio.timeout(10):
            done = await asyncio.gather(*tasks)
        stopped.set()
        await blocked
        return done

    store = Held(tmp_path / "pictures")
    threads = threading.active_count()
    done = asyncio.run(run())
    store.close()
    assert len({one.file for one in done}) == 5
    assert len({*store.begun}) == 2
    assert threads >= threading.active_count() - 2
    assert not [name for name in files(tmp_path / "pictures") if name.endswith(".part")]


def test_what_is_cancelled_is_stored_or_leaves_nothing(tmp_path: Path) -> None:
    """A picture that is being stored is stored; one that waits for a thread is let go of."""

    async def run() -> None:
        tasks = [keep_aside(store, number) for number in range(4)]
        await begun(store, 2)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        store.go.set()

    store = Held(tmp_path / "pictures")
    asyncio.run(run())
    store.close()
    store._threads.shutdown(wait=True)
    assert len(store.find("abcd1234")) == 2
    assert not [name for name in files(tmp_path / "pictures") if name.endswith(".part")]


def test_few_pictures_are_on_their_way_at_a_time(tmp_path: Path, monkeypatch) -> None:
    """However many tasks there are, so that memory and open files do not grow with them. Nothing
    is stored here until all that may be downloaded has been."""
    on_their_way: set[Incoming] = set()
    most = []

    class Counted(Incoming):
        def write(self, piece: bytes) -> None:
            on_their_way.add(self)
            most.append(len(on_their_way))
            super().write(piece)

        def close(self) -> None:
            super().close()
            on_their_way.discard(self)

    def finished() -> int:
        with contextlib.closing(sqlite3.connect(tmp_path / "home" / "ledger.sqlite3")) as ledger:
            [count] = ledger.execute("SELECT COUNT(*) FROM task WHERE state = 'fetching'")
        return count[0]

    def held(*arguments) -> StoredPicture:
        if not go.is_set():
            until(lambda: go.is_set() or finished() == 24)
            go.set()
        return keep(*arguments)

    go = threading.Event()

    keep = PictureStore.keep
    monkeypatch.setattr(PictureStore, "keep", held)
    monkeypatch.setattr("nanobanana_nb.pictures.Incoming", Counted)
    with Sandbox(latency=0) as api:
        studio = Studio(settings_for(api.url, tmp_path / "home"))
        drawn = studio.wait(studio.generate("a fox", count=24, confirm=True))
        studio.close()
    assert len(drawn) == 24
    assert max(most) <= ARRIVING
    assert not on_their_way
