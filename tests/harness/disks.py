"""A disk that can really be full."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(point: Path) -> Iterator[Path]:
    """A file system of one megabyte and 200 files; where none can be mounted, the test skips."""
    point.mkdir()
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    options = f"size=1m,nr_inodes=200,uid={os.getuid()}"
    command = [*sudo, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a file system cannot be mounted here; injected errors test the same")
    try:
        yield point
    finally:
        subprocess.run([*sudo, "umount", "--lazy", str(point)], check=True)


def leave_free(disk: Path, filler: Path, pages: int) -> None:
    """Fill the disk but for so many blocks of 4 kB."""
    filler.write_bytes(b"")
    room = os.statvfs(disk)
    filler.write_bytes(bytes((room.f_bavail - pages) * room.f_frsize))
    assert os.statvfs(disk).f_bavail == pages
