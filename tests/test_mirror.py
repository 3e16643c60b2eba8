"""Copies of pictures in another folder, such as a mounted drive's: whole, and never in the way."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nanobanana_nb import Sandbox, Settings, Studio, keys, mirror, rebuilding, workshop
from nanobanana_nb.ledger import Ledger
from nanobanana_nb.mirror import Mirror
from nanobanana_nb.pictures import PictureStore
from nanobanana_nb.rebuilding import Memory, restore
from nanobanana_nb.settings import DRIVE
from nanobanana_nb.sidecars import Sidecar, read_sidecar
from nanobanana_nb.workshop import mirror_of

from .conftest import settings_for
from .harness.disks import leave_free, mounted
from .test_money import wait_for
from .test_pictures import TASK, encoded, noisy


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A drive that is mounted."""
    folder = tmp_path / "drive" / "MyDrive"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def make(sandbox: Sandbox, tmp_path: Path) -> Iterator[Callable[..., Studio]]:
    """Makes studios on a home, with a folder for copies."""
    made: list[Studio] = []

    def studio(folder: Path, home: str = "home", **more: Any) -> Studio:
        made.append(Studio(settings_for(sandbox.url, tmp_path / home, mirror=folder, **more)))
        return made[-1]

    yield studio
    for one in made:
        one.close()


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A drive that does not answer before this is set."""
    go_on, fsync = threading.Event(), os.fsync

    def slow(descriptor: int) -> None:
        if "/MyDrive/" in os.readlink(f"/proc/self/fd/{descriptor}"):
            assert go_on.wait(30)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    yield go_on
    go_on.set()


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def there(folder: Path, count: int) -> list[Path]:
    """Wait until so many pictures are there with their sidecars, and nothing else is."""
    wait_for(lambda: len(names(folder)) == 2 * count and not parts(folder))
    return sorted(file for file in folder.iterdir() if file.suffix != ".json")


def parts(folder: Path) -> list[str]:
    return [name for name in names(folder) if name.endswith(".part")]


def told(studio: Studio) -> str:
    """Wait for news of the studio."""
    news: list[str] = []
    wait_for(lambda: bool(news.append(studio.news()) or news[-1]))
    return news[-1]


# What is copied.


def test_pictures_and_sidecars_are_copied_whole(
    make: Callable[..., Studio], drive: Path, tmp_path: Path
) -> None:
    """Byte for byte, as plain files, and nothing else: never the ledger."""
    studio = make(drive / "nanobanana")
    fox = studio.wait(studio.gallery("a fox", count=2))
    there(drive / "nanobanana", 2)
    for picture in fox.images:
        for file in (picture.path, picture.path.with_suffix(".json")):
            copy = drive / "nanobanana" / file.name
            assert copy.read_bytes() == file.read_bytes()
            assert not copy.is_symlink()
            assert copy.stat().st_nlink == 1
    assert names(drive) == ["nanobanana"]
    assert studio.news() == ""


def test_only_what_is_ours_and_whole_is_copied(drive: Path, tmp_path: Path) -> None:
    """Another's files, a broken picture, and links that lead elsewhere stay where they are; and
    nothing is written through a link of the mirror."""
    own = tmp_path / "pictures"
    name = stored(own, "00000001")
    bad = stored(own, "00000002")
    (own / f"{bad}.png").write_bytes(b"changed")
    linked = stored(own, "00000003")
    (tmp_path / "secret.png").write_bytes((own / f"{linked}.png").read_bytes())
    (own / f"{linked}.png").unlink()
    (own / f"{linked}.png").symlink_to(tmp_path / "secret.png")
    (own / "notes.json").write_text("{}")
    (own / "holiday.png").write_bytes(b"mine")
    (drive / "nanobanana").mkdir()
    (tmp_path / "victim").write_text("untouched")
    (drive / "nanobanana" / f"{name}.png").symlink_to(tmp_path / "victim")
    copying = Mirror(drive / "nanobanana", own)
    finish(copying)
    assert names(drive / "nanobanana") == [f"{name}.json", f"{name}.png"]
    assert not (drive / "nanobanana" / f"{name}.png").is_symlink()
    assert (tmp_path / "victim").read_text() == "untouched"


def stored(folder: Path, id_: str) -> str:
    """A picture with its sidecar; its name without the ending."""
    store = PictureStore(folder, folder.parent / "previews")
    with store.incoming() as file:
        file.write(encoded(noisy(8, 8), "PNG"))
        kept = store.keep(file, "a fox", id_, 0.0, TASK | {"id": id_, "task_id": f"task-{id_}"})
    store.close()
    return kept.file.stem


def finish(copying: Mirror) -> None:
    """Let a mirror copy what there is, and end."""
    copying.begin()
    copying.close()
    copying.ended.result(10)


def test_what_was_drawn_before_is_caught_up(
    make: Callable[..., Studio], drive: Path, sandbox: Sandbox
) -> None:
    """A studio that starts copies what earlier ones have left, without drawing anything."""
    before = make(drive / "absent" / "nanobanana")
    before.wait(before.generate("a fox"))
    before.close()
    again = make(drive / "nanobanana")
    again.wait(again.history())
    there(drive / "nanobanana", 1)
    assert sandbox.counts["accepted"] == 1


# A drive that is not there, full or slow.


def test_mounted_later_is_caught_up(make: Callable[..., Studio], tmp_path: Path) -> None:
    """Before that it is told once, in one line, and the folder of the drive is not made: whoever
    mounts it wants that empty. The next picture brings those before it along."""
    folder = tmp_path / "content" / "MyDrive" / "nanobanana"
    studio = make(folder)
    studio.wait(studio.generate("a fox"))
    line = told(studio)
    assert "\n" not in line
    assert str(folder) in line
    assert f"{folder.parent} is not there" in line
    studio.wait(studio.generate("an owl"))
    assert studio.news() == ""
    assert not (tmp_path / "content").exists()
    folder.parent.mkdir(parents=True)
    studio.wait(studio.generate("a cat"))
    there(folder, 3)
    assert studio.news() == ""


def test_mounted_later_without_another_picture(tmp_path: Path) -> None:
    """It is looked for again now and then."""
    name = stored(tmp_path / "pictures", "00000001")
    copying = Mirror(tmp_path / "drive" / "nanobanana", tmp_path / "pictures", retry=0.02)
    copying.begin()
    copying.look().result(10)
    (tmp_path / "drive").mkdir()
    assert there(tmp_path / "drive" / "nanobanana", 1)[0].stem == name
    copying.close()
    copying.ended.result(10)


def test_a_full_drive_costs_no_picture(make: Callable[..., Studio], tmp_path: Path) -> None:
    """It is told once, nothing is left half copied, and what is missing follows once there is
    room."""
    with mounted(tmp_path / "MyDrive") as disk:
        filler = disk / "filler"
        leave_free(disk, filler, 1)
        studio = make(disk / "nanobanana")
        for prompt in ("a fox", "an owl"):
            fox = studio.wait(studio.generate(prompt, output_format="jpeg"))
            assert fox.path.is_file()
            assert fox.warning == ""
        line = told(studio)
        assert os.strerror(errno.ENOSPC) in line
        assert str(fox.path.parent) in line
        assert studio.news() == ""
        assert not [name for name in names(disk / "nanobanana") if not name.endswith(".part")]
        filler.unlink()
        studio.wait(studio.generate("a cat", output_format="jpeg"))
        there(disk / "nanobanana", 3)
        studio.close()


@pytest.mark.parametrize("code", [errno.EDQUOT, errno.EIO, errno.ENOTCONN])
def test_a_drive_that_breaks_is_told_of(
    make: Callable[..., Studio], drive: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Quota, a broken drive, one that was unmounted: the picture comes, copies once it works."""
    fsync, broken = os.fsync, True

    def failing(descriptor: int) -> None:
        if broken and "/MyDrive/" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    studio = make(drive / "nanobanana")
    assert studio.wait(studio.generate("a fox")).path.is_file()
    assert os.strerror(code) in told(studio)
    assert names(drive / "nanobanana") == []
    broken = False
    studio.wait(studio.generate("an owl"))
    there(drive / "nanobanana", 2)


def test_a_drive_that_cannot_fsync_will_do(
    make: Callable[..., Studio], drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some mounted file systems know no fsync; that is no reason not to copy."""
    fsync = os.fsync

    def unknown(descriptor: int) -> None:
        if "/MyDrive/" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOTSUP, "not supported")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", unknown)
    studio = make(drive / "nanobanana")
    studio.wait(studio.generate("a fox"))
    there(drive / "nanobanana", 1)


def test_a_slow_drive_delays_no_picture(
    make: Callable[..., Studio], drive: Path, slow_disk: threading.Event
) -> None:
    """Pictures come while the drive does not answer, and the loop goes on; then all are copied."""
    studio = make(drive / "nanobanana")
    for prompt in ("a fox", "an owl"):
        assert studio.wait(studio.generate(prompt)).path.is_file()
    assert len(studio.wait(studio.history())) == 2
    wait_for(lambda: len(parts(drive / "nanobanana")) == 1)
    assert len(names(drive / "nanobanana")) == 1
    slow_disk.set()
    there(drive / "nanobanana", 2)


HANGS = """
import os, threading
from pathlib import Path
from nanobanana_nb.mirror import Mirror

class Hangs:
    def known(self, ids):
        print("looking", flush=True)
        threading.Event().wait()

Mirror(Path({folder!r}), Path({empty!r})).begin(Hangs())
import time; time.sleep(0.5)
print("done", flush=True)
"""


def test_a_drive_that_hangs_lets_the_program_end(drive: Path, tmp_path: Path) -> None:
    """The thread that waits for it is given up with the interpreter."""
    stored(drive / "nanobanana", "00000001")
    code = HANGS.format(folder=str(drive / "nanobanana"), empty=str(tmp_path / "empty"))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.split() == ["looking", "done"], done.stderr


KILLED = """
import os, sys
from pathlib import Path
from nanobanana_nb.mirror import Mirror

left = {files}

def stop(descriptor):
    global left
    left -= 1
    if not left:
        print("copying", flush=True)
        sys.stdin.read()

os.fsync = stop
copying = Mirror(Path({folder!r}), Path({own!r}))
copying.begin()
copying.ended.result()
"""


@pytest.mark.parametrize(("files", "whole"), [(1, []), (2, [".png"])])
def test_killed_while_copying(drive: Path, tmp_path: Path, files: int, whole: list[str]) -> None:
    """Under a final name there is a whole file or none, and no sidecar before its picture; the
    next one begins anew, and sweeps."""
    own, folder = tmp_path / "pictures", drive / "nanobanana"
    name = stored(own, "00000001")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(folder=str(folder), own=str(own), files=files)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    part, *others = names(folder)
    assert part.endswith(".part")
    assert others == [name + ending for ending in whole]
    os.utime(folder / part, (0, 0))
    finish(Mirror(folder, own))
    assert names(folder) == [f"{name}.json", f"{name}.png"]


def test_a_script_that_ends_has_its_copies(
    make: Callable[..., Studio], drive: Path, slow_disk: threading.Event
) -> None:
    """Closing waits for what is being copied, for a few seconds."""
    studio = make(drive / "nanobanana")
    studio.wait(studio.gallery("a fox", count=2))
    wait_for(lambda: bool(parts(drive / "nanobanana")))
    threading.Timer(0.3, slow_disk.set).start()
    studio.close()
    assert len(names(drive / "nanobanana")) == 4


def test_a_file_that_the_drive_refuses_stops_no_other(drive: Path, tmp_path: Path) -> None:
    """It is told of once, and follows when it can."""
    own, folder = tmp_path / "pictures", drive / "nanobanana"
    refused, *others = [stored(own, f"{number:08x}") for number in range(3)]
    (folder / f"{refused}.png").mkdir(parents=True)
    copying = Mirror(folder, own)
    copying.begin()
    wait_for(lambda: {f"{name}.json" for name in others} <= set(names(folder)))
    news: list[str] = []
    wait_for(lambda: bool(news.append(copying.take_news()) or news[-1]))
    assert os.strerror(errno.EISDIR) in news[-1]
    others.append(stored(own, "00000003"))
    copying.catch_up()
    wait_for(lambda: f"{others[-1]}.json" in names(folder))
    copying.look().result(10)
    assert copying.take_news() == ""
    (folder / f"{refused}.png").rmdir()
    copying.catch_up()
    there(folder, 4)
    copying.close()


def test_a_drive_that_refuses_all_is_not_tried_with_all(
    drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But what is newer comes before what was refused."""
    own, folder = tmp_path / "pictures", drive / "nanobanana"
    first = [stored(own, f"{number:08x}") for number in range(15)]
    tried: list[str] = []
    replace_, broken = Path.replace, True

    def refusing(path: Path, target: Path) -> Path:
        if target.parent == folder:
            tried.append(target.stem)
            if broken:
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return replace_(path, target)

    monkeypatch.setattr(Path, "replace", refusing)
    copying = Mirror(folder, own)
    copying.begin()
    wait_for(lambda: os.strerror(errno.EDQUOT) in copying.take_news())
    assert tried == sorted(first)[: mirror.ENOUGH]
    broken = False
    del tried[:]
    copying.catch_up()
    there(folder, 15)
    assert tried[:10:2] == sorted(first)[mirror.ENOUGH :]
    copying.close()


def test_two_kernels_copy_once(drive: Path, tmp_path: Path) -> None:
    """Each copies what it stores and what others have left, unless it is there meanwhile."""
    own, folder = tmp_path / "pictures", drive / "nanobanana"
    copying = Mirror(folder, own)
    copying.begin()
    copying.look().result(10)
    name = stored(tmp_path / "elsewhere", "00000001")
    own.mkdir()
    for copies in (folder, own):  # by the other kernel
        for ending in (".png", ".json"):
            shutil.copy(tmp_path / "elsewhere" / f"{name}{ending}", copies)
    before = [file.stat().st_ino for file in sorted(folder.iterdir())]
    copying.close()
    copying.ended.result(10)
    assert [file.stat().st_ino for file in sorted(folder.iterdir())] == before


def test_a_picture_folder_that_fails_ends_no_thread(
    drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where that fails while the trouble is told: it is told once, and tried again."""
    own, folder = tmp_path / "pictures", drive / "nanobanana"
    stored(own, "00000001")
    iterdir, broken = Path.iterdir, True

    def failing(path: Path) -> Iterator[Path]:
        if broken and path == own:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", failing)
    copying = Mirror(folder, own, retry=0.02)
    copying.begin()
    wait_for(lambda: os.strerror(errno.EIO) in copying.take_news())
    copying.look().result(10)
    copying.look().result(10)
    assert copying.take_news() == ""
    broken = False
    there(folder, 1)
    copying.close()


def test_another_drive_gets_all_of_them(tmp_path: Path) -> None:
    """One that is mounted in the place of the first has none yet. Its folder is not made: a disk
    that was unplugged leaves its mount point, and the copies would lie on that."""
    stored(tmp_path / "pictures", "00000001")
    folder = tmp_path / "drive" / "nanobanana"
    folder.parent.mkdir()
    copying = Mirror(folder, tmp_path / "pictures", retry=0.02)
    copying.begin()
    there(folder, 1)
    folder.parent.rename(tmp_path / "unmounted")
    stored(tmp_path / "pictures", "00000002")
    copying.catch_up()
    wait_for(lambda: f"{folder.parent} is not there" in copying.take_news())
    folder.parent.mkdir()
    wait_for(lambda: "make it anew if this is another drive" in copying.take_news())
    assert names(folder.parent) == []
    folder.mkdir()
    there(folder, 2)
    copying.close()
    copying.ended.result(10)


# A new machine.


def test_a_new_machine_knows_what_was_drawn_before(
    make: Callable[..., Studio], drive: Path, tmp_path: Path, sandbox: Sandbox
) -> None:
    """History, pictures, price and lineage are there again at the first look, nothing is asked of
    the API, and an edit goes on from what lies in the mirror."""
    first = make(drive / "nanobanana")
    fox = first.wait(first.generate("a fox", aspect_ratio="16:9"))
    owl = first.wait(first.edit(fox, "an owl beside it"))
    first.close()
    shutil.rmtree(tmp_path / "home")
    calls = dict(sandbox.counts)
    second = make(drive / "nanobanana", home="new")
    found = second.wait(second.history())
    assert [one.prompt for one in found] == ["an owl beside it", "a fox"]
    assert [one.task_id for one in found] == [owl.task_id, fox.task_id]
    assert found[1].path == drive / "nanobanana" / fox.path.name
    assert found[1].pil().size == (fox.image.width, fox.image.height)
    assert second.preview(found[1].path)
    assert second.wait(second.lineage(owl.id)).ancestors[0].id == fox.id
    assert second.wait(second.spending()).ever == fox.cost * 2
    assert dict(sandbox.counts) == calls
    assert "2 earlier pictures are in" in second.news()
    again = second.wait(second.edit(found[1], "at night"))
    assert again.path.parent == tmp_path / "new" / "pictures"
    there(drive / "nanobanana", 3)


def test_a_drive_that_is_mounted_later_is_read_back(
    make: Callable[..., Studio], drive: Path, tmp_path: Path
) -> None:
    """Not only at the first look: whatever is asked for next knows what lies there."""
    stored(tmp_path / "elsewhere", "00000001")
    folder = tmp_path / "later" / "nanobanana"
    studio = make(folder, home="new")
    assert len(studio.wait(studio.history())) == 0
    folder.parent.mkdir()
    shutil.copytree(tmp_path / "elsewhere", folder)
    assert len(studio.wait(studio.history())) == 1


def test_a_batch_goes_on_on_a_new_machine(
    make: Callable[..., Studio], drive: Path, tmp_path: Path, sandbox: Sandbox
) -> None:
    """With a key, or asked for in the same folder: what was drawn and paid for is shown, and only
    what is new is drawn."""
    foxes = ["a red fox", "a grey fox", "a red fox"]
    first = make(drive / "nanobanana")
    drawn = first.wait(first.batch(foxes, key="foxes"))
    first.wait(first.batch(["an owl"]))
    first.close()
    assert sandbox.counts["submit"] == 4
    second = make(drive / "nanobanana", home="new")
    assert second.wait(second.planned(foxes, key="foxes")).missing == 0
    again = second.wait(second.batch([*foxes, "a white fox"], key="foxes"))
    assert [one.task_id for one in again][:3] == [one.task_id for one in drawn]
    second.wait(second.batch(["an owl"]))
    assert sandbox.counts["submit"] == 5


def test_a_drive_that_hangs_is_waited_for_once(
    make: Callable[..., Studio], drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who asked is told that it may be drawn anew. The loop goes on meanwhile."""
    stored(drive / "nanobanana", "00000001")
    go_on, is_dir = threading.Event(), Path.is_dir

    def hanging(path: Path) -> bool:
        if path == drive:
            assert go_on.wait(30)
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", hanging)
    monkeypatch.setattr(workshop, "READ_BACK", 0.2)
    studio = make(drive / "nanobanana", home="new")
    assert len(studio.wait(studio.history())) == 0
    assert studio.news() == (
        f"Still reading what lies in {drive / 'nanobanana'}; what is asked for now may be drawn "
        "anew."
    )
    assert len(studio.wait(studio.history())) == 0
    assert studio.news() == ""
    go_on.set()
    wait_for(lambda: len(studio.wait(studio.history())) == 1)


def test_what_the_drive_does_not_give_is_read_again(
    make: Callable[..., Studio], drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drive that fails for a moment is no broken sidecar; meanwhile the others are read and
    copies are made."""
    folder = drive / "nanobanana"
    whole, failing = stored(folder, "00000001"), stored(folder, "00000002")
    lstat, broken = Path.lstat, True

    def withheld(path: Path) -> os.stat_result:
        if broken and path.name.startswith(failing):
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", withheld)
    studio = make(folder, home="new")
    assert [one.id for one in studio.wait(studio.history())] == ["00000001"]
    studio.wait(studio.generate("an owl"))
    there(folder, 3)
    broken = False
    assert len(studio.wait(studio.history())) == 3
    assert whole in names(folder)[0]


def test_one_that_no_ledger_holds_stops_no_other(drive: Path, tmp_path: Path) -> None:
    """Tasks are noted together, all or none; where one is refused, the others by themselves."""
    folder = drive / "nanobanana"
    found = [
        one
        for name in [stored(folder, f"{number:08x}") for number in range(3)]
        if isinstance(one := read_sidecar(folder / f"{name}.json"), Sidecar)
    ]
    found[1] = replace(found[1], created=1e18)
    ledger = Ledger(tmp_path / "ledger.sqlite3")

    async def noted() -> list[bool]:
        with pytest.raises((OSError, ValueError, OverflowError)):
            await restore(ledger, found)
        memory = Memory(ledger, asyncio.get_running_loop())
        ids = [one.id for one in found]
        assert await asyncio.to_thread(memory.known, ids) == set()
        assert await asyncio.to_thread(memory.note, found) == 2
        assert await asyncio.to_thread(memory.known, ids) == {ids[0], ids[2]}
        return await restore(ledger, [found[0], found[2]])

    assert asyncio.run(noted()) == [False, False]
    ledger.close()


def test_a_loop_that_has_ended_is_not_complained_of(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A studio that is closed while its mirror is read leaves no coroutine that nobody awaits."""
    monkeypatch.setattr(rebuilding, "PATIENCE", 0.05)
    ledger, loop = Ledger(tmp_path / "ledger.sqlite3"), asyncio.new_event_loop()
    memory = Memory(ledger, loop)
    with pytest.raises(TimeoutError):
        memory.known(["00000001"])  # it has stopped
    loop.close()
    with pytest.raises(RuntimeError):
        memory.known(["00000001"])
    gc.collect()
    assert [str(one.message) for one in recwarn if "awaited" in str(one.message)] == []
    ledger.close()


def test_closing_ends_reading_and_copying(drive: Path, tmp_path: Path) -> None:
    """What is not read or copied by then is when the next one begins."""
    stored(drive / "nanobanana", "00000001")
    noted: list[Sidecar] = []

    class Closes:
        def known(self, ids: Sequence[str]) -> set[str]:
            stored(tmp_path / "pictures", "00000002")
            copying.close(-1.0)
            return set()

        def note(self, found: Sequence[Sidecar]) -> int:
            noted.extend(found)
            return len(found)

    copying = Mirror(drive / "nanobanana", tmp_path / "pictures")
    copying.begin(Closes())
    copying.ended.result(10)
    assert noted == []
    assert len(names(drive / "nanobanana")) == 2
    copying.look().result(10)


def test_a_reading_that_was_ended_is_taken_up_again(
    make: Callable[..., Studio], drive: Path, tmp_path: Path
) -> None:
    """The next kernel of a home reads what the one before has not, though the home is not new; and
    nobody waits for it."""
    studio = make(tmp_path / "absent" / "nanobanana")
    studio.wait(studio.generate("an owl"))
    studio.close()
    stored(drive / "nanobanana", "00000001")
    again = make(drive / "nanobanana")
    wait_for(lambda: len(again.wait(again.history())) == 2)
    assert "1 earlier picture is in" in told(again)
    again.wait(again.generate("a cat"))
    there(drive / "nanobanana", 3)


def test_many_are_read_back_the_latest_first(
    make: Callable[..., Studio], drive: Path, tmp_path: Path
) -> None:
    """Each once, and broken or foreign files in between are nothing to stumble over."""
    folder = drive / "nanobanana"
    for number in range(30):
        stored(folder, f"{number:08x}")
    (folder / "x-aaaaaaaa.json").write_text("{")
    (folder / "x-bbbbbbbb.json").write_text(json.dumps(TASK | {"nanobanana_nb": 1}))
    (folder / "x-cccccccc.json").symlink_to("/etc/passwd")
    (folder / "x-dddddddd.json").mkdir()
    next(folder.glob("*-00000007.png")).write_bytes(b"cut short")
    studio = make(folder, home="new")
    found = studio.wait(studio.history())
    assert len(found) == 29
    assert "29 earlier pictures" in studio.news()

    class Noted:
        order: list[str] = []  # noqa: RUF012

        def known(self, ids: Sequence[str]) -> set[str]:
            return {"00000010"}

        def note(self, found: Sequence[Sidecar]) -> int:
            self.order += [one.id for one in found]
            return len(found)

    reading = Mirror(folder, tmp_path / "empty")
    reading.begin(Noted())
    reading.look().result(10)
    assert Noted.order == sorted(Noted.order, reverse=True)
    assert len(Noted.order) == 28
    reading.close()


def test_a_memory_that_fails_stops_no_copy(drive: Path, tmp_path: Path) -> None:
    """A ledger that is locked is told of; the pictures of this machine are copied all the same."""

    class Broken:
        def known(self, ids: Sequence[str]) -> set[str]:
            raise RuntimeError("the loop has ended")

        def note(self, found: Sequence[Sidecar]) -> int:
            raise AssertionError

    stored(drive / "nanobanana", "00000001")
    stored(tmp_path / "pictures", "00000002")
    copying = Mirror(drive / "nanobanana", tmp_path / "pictures")
    copying.begin(Broken())
    there(drive / "nanobanana", 2)
    assert "the loop has ended" in copying.take_news()
    copying.close()


# Where.


def test_the_folder_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """None but in Colab, where it is the Drive; `off` and nothing turn it off, also there."""
    assert Settings.load().mirror is None
    monkeypatch.setenv("NANOBANANA_MIRROR", "~/copies")
    assert Settings.load().mirror == Path.home() / "copies"
    monkeypatch.setitem(sys.modules, "google.colab", keys)
    monkeypatch.setenv("APIXO_API_KEY", "test-key")
    assert Settings.load().mirror == Path.home() / "copies"
    monkeypatch.delenv("NANOBANANA_MIRROR")
    assert Settings.load().mirror == DRIVE
    for no in ("off", "", "0", " Off "):
        monkeypatch.setenv("NANOBANANA_MIRROR", no)
        assert Settings.load().mirror is None
    monkeypatch.setenv("NANOBANANA_MIRROR", "copies")
    monkeypatch.chdir(tmp_path)
    assert Settings.load().mirror == tmp_path / "copies"


def test_the_sandboxs_pictures_are_copied_only_where_that_was_said(tmp_path: Path) -> None:
    """They are worth nothing, and never lie among those that were paid for."""
    drawn_here = Settings(sandbox="always", mirror=DRIVE)
    assert mirror_of(drawn_here) is None
    said = Settings(sandbox="always", mirror=tmp_path / "copies")
    assert mirror_of(said) == tmp_path / "copies-sandbox"
    assert mirror_of(Settings(sandbox="never", mirror=tmp_path / "copies")) == tmp_path / "copies"
    assert mirror_of(Settings(sandbox="never")) is None


def test_a_home_on_the_drive_needs_no_copies() -> None:
    """Its pictures would lie there twice."""
    home = DRIVE.parent / "home"
    settings = Settings(sandbox="never", home=home, pictures=home / "pictures", mirror=DRIVE)
    assert mirror_of(settings) is None


def test_colab_is_told_how_to_keep_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Drive its pictures go with the machine: one line says what to call."""
    absent = tmp_path / "content" / "drive" / "MyDrive" / "nanobanana"
    monkeypatch.setattr(mirror, "DRIVE", absent)
    stored(tmp_path / "pictures", "00000001")
    copying = Mirror(absent, tmp_path / "pictures")
    copying.begin()
    copying.look().result(10)
    assert f"google.colab.drive.mount('{tmp_path}/content/drive')" in copying.take_news()
    copying.close()
    nothing = Mirror(absent, tmp_path / "empty")
    nothing.begin()
    nothing.look().result(10)
    assert nothing.take_news() == ""
    nothing.close()
