"""Which Pythons this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..harness.stacks import uv

_ASK = "import platform, sys; print(platform.python_version(), sys.version_info.releaselevel)"


@dataclass(frozen=True)
class Python:
    """An interpreter that answered."""

    path: Path
    version: str

    @property
    def minor(self) -> str:
        """As people call it: 3.13."""
        return ".".join(self.version.split(".")[:2])


def find(wanted: str) -> Python | None:
    """The interpreter at a path, or one of a version such as 3.13; None where there is none."""
    if os.sep in wanted:
        return _ask(Path(wanted))
    for path in _candidates(wanted):
        found = _ask(path)
        if found is not None and found.minor == wanted:
            return found
    return None


def _candidates(wanted: str) -> Iterator[Path]:
    on_path = shutil.which(f"python{wanted}")
    if on_path:
        yield Path(on_path)
    versions = Path.home() / ".pyenv" / "versions"
    for folder in sorted(versions.glob(f"{wanted}.*"), key=lambda one: _patch(one.name))[::-1]:
        yield folder / "bin" / "python"
    try:
        yield Path(uv("python", "find", "--no-python-downloads", wanted).strip())
    except RuntimeError:
        return


def _patch(version: str) -> int:
    last = version.rpartition(".")[2]
    return int(last) if last.isdecimal() else -1


def _ask(path: Path) -> Python | None:
    """What it says of itself; a shim for a Python that is not there says nothing."""
    try:
        done = subprocess.run(
            [str(path), "-c", _ASK], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version, level = done.stdout.split()
    return Python(path, version) if level == "final" else None
