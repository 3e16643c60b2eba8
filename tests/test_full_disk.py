"""A home on a disk that is full at each of the first 60 writes: nothing is lost or paid unseen."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanobanana_nb import NanoBananaError, Sandbox, Studio

from .conftest import settings_for
from .harness.disks import leave_free, mounted


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small disk, with no say for the check that wants 100 MB, and nowhere else to go to."""
    monkeypatch.setattr("nanobanana_nb.pictures.check_room", lambda folders: None)
    monkeypatch.setattr("nanobanana_nb.pictures.refuges", lambda home: (home / "rescued",))
    with mounted(tmp_path / "disk") as point:
        yield point


@pytest.mark.nightly
def test_a_home_that_is_full_at_each_of_the_first_60_writes(disk: Path, tmp_path: Path) -> None:
    """No POST without its intent on disk; what was billed is on disk once there is room, or was
    named to the person; the ledger is sound."""
    posts = shown = refused = 0
    for pages in range(60):
        home, filler = disk / str(pages), disk / "filler"
        with Sandbox(latency=0) as api:
            settings = settings_for(api.url, home, timeout=2.0)
            studio = Studio(settings)
            studio.wait(studio.history())  # opens it, as loading the extension does
            leave_free(disk, filler, pages)
            told = ""
            try:
                assert studio.wait(studio.generate("a fox")).pil().size == (1024, 1024)
                shown += 1
            except NanoBananaError as error:
                told = str(error)
                refused += not api.counts["submit"]
            filler.unlink()
            studio.close()
            sent = api.counts["accepted"]
            posts += api.counts["submit"]
            assert api.counts["submit"] <= 1
            again = Studio(settings)
            again.wait(again.resume())
            kept = [one for one in again.wait(again.history()) if one.images]
            if sent and not kept:
                (task,) = api.tasks
                assert task.id in told, f"{pages}: billed, and the person was told {told!r}"
                kept = list(again.wait(again.resume(task.id)))
            again.close()
            assert len(kept) == sent, f"{pages}: {told!r}"
            with sqlite3.connect(home / "ledger.sqlite3") as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            db.close()
            assert not [name for name in os.listdir(home / "pictures") if name.endswith(".part")]
        shutil.rmtree(home)
    print(f"{posts} sent, {shown} shown at once, {refused} refused before they were sent")
    assert refused
    assert shown
