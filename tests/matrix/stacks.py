"""The three sets of versions, and what a leg's environment is made of."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..harness.stacks import NOT_ON_COLAB, colab_pins, interpreter_of, uv
from .pythons import Python

SETS = {
    "colab": "Google Colab's pins",
    "oldest": "the oldest versions that `pyproject.toml` allows",
    "newest": "the newest versions there are",
}
OLDEST_KERNEL = "ipykernel==6.17.1"
NOT_FOR_USERS = {"test", "bench", "lab"}
"""Extras that are for work on the project, or a whole application."""
WHEELS_ONLY = ("--only-binary", ":all:", "--no-binary", "nanobanana-nb")

# Colab itself runs no 3.14; these pins have no wheels for it, and their newest ones stand in.
NO_WHEELS = {"3.14": ("pyzmq", "numpy", "pandas")}

PATCHES = {"v1": "nest-asyncio==1.6.0", "v2": "nest-asyncio2>=1.7.3"}
_BOUND = re.compile(r"([\w-]+)[>=]=([\d.]+)")

TEST_TOOLS = (
    "filelock", "hypothesis", "matplotlib", "nbval", "pandas", "papermill", "psutil", "pytest",
    "pytest-xdist", "starlette", "uvicorn",
)  # fmt: skip
"""What the unit tests use beside what we need, and"""
STORE = "moto[server]"
"""where there is s3fs, a store for it; Colab's pins leave no room for one."""


@dataclass(frozen=True)
class Leg:
    """One environment, and whether its kernels' loops are patched."""

    stack: str
    python: str
    nest: str = ""

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.stack, self.python, self.nest)))

    @property
    def stands_in(self) -> tuple[str, ...]:
        """Packages whose pin cannot be had on this Python."""
        return NO_WHEELS.get(self.python, ()) if self.stack == "colab" else ()


def make(leg: Leg, python: Python, root: Path, folder: Path) -> Path:
    """Make the environment anew, with the project in it, and have its dependencies checked.

    Returns its interpreter. Raises `RuntimeError` where something cannot be installed or does not
    fit together.
    """
    shutil.rmtree(folder, ignore_errors=True)
    uv("venv", "--python", str(python.path), str(folder))
    interpreter = interpreter_of(folder)
    if leg.stack == "colab":
        pins = folder / "pins.txt"
        pins.write_text(_loosened(colab_pins(root), leg.stands_in), encoding="utf-8")
        _install(interpreter, *WHEELS_ONLY, "-r", str(pins))
        _install(interpreter, "--no-deps", "-e", str(root))
    else:
        wanted, beside = _with_extras(root)
        kernel = OLDEST_KERNEL if leg.stack == "oldest" else "ipykernel"
        lowest = ("--resolution", "lowest-direct") if leg.stack == "oldest" else ()
        _install(interpreter, *lowest, *WHEELS_ONLY, "-e", wanted, kernel, *beside)
    if leg.nest:
        _install(interpreter, PATCHES[leg.nest[:2]])
    uv("pip", "check", "--python", str(interpreter))
    if leg.stack == "colab":
        uv("pip", "uninstall", "--python", str(interpreter), NOT_ON_COLAB)
    return interpreter


def add_tools(interpreter: Path) -> None:
    """Install what the unit tests use, in versions that leave everything there as it is."""
    fixed = interpreter.parents[1] / "fixed.txt"
    fixed.write_text(uv("pip", "freeze", "--exclude-editable", "--python", str(interpreter)))
    tools = [*TEST_TOOLS, *([STORE] if "s3fs==" in fixed.read_text() else [])]
    _install(interpreter, *WHEELS_ONLY, "--constraint", str(fixed), *tools)


def _install(interpreter: Path, *what: str) -> None:
    uv("pip", "install", "--python", str(interpreter), *what)


def above_their_bounds(root: Path, versions: Mapping[str, str]) -> dict[str, str]:
    """Which of these versions is not the lowest that we declare, and what that would be."""
    project = _project(root)
    extras: dict[str, list[str]] = project["optional-dependencies"]
    ours = [one for name, wanted in extras.items() if name not in NOT_FOR_USERS for one in wanted]
    bounds = map(_BOUND.match, [*project["dependencies"], *ours, *_beside(extras), OLDEST_KERNEL])
    return {
        found[1]: found[2]
        for found in bounds
        if found and _release(versions.get(found[1], "")) != _release(found[2])
    }


def _with_extras(root: Path) -> tuple[str, list[str]]:
    """The project with the extras that users may want, and what `lab` adds to a JupyterLab."""
    extras: dict[str, list[str]] = _project(root)["optional-dependencies"]
    names = ",".join(sorted(set(extras) - NOT_FOR_USERS))
    return f"{root}[{names}]", _beside(extras)


def _beside(extras: Mapping[str, list[str]]) -> list[str]:
    return [one for one in extras["lab"] if not one.startswith("jupyterlab")]


def _project(root: Path) -> dict[str, Any]:
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


def _release(version: str) -> str:
    """So that 7.34 and 7.34.0 are the same."""
    return re.sub(r"(\.0)+$", "", version)


def _loosened(pins: str, names: tuple[str, ...]) -> str:
    for name in names:
        pins = re.sub(rf"^{name}==.*", name, pins, flags=re.MULTILINE)
    return pins
