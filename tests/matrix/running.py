"""One leg: its environment, its kernel tests, its unit tests, and what came of them."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

from ..harness.stacks import uv
from . import stacks
from .pythons import Python
from .stacks import Leg

UNIT = "not kernel and not browser and not nightly"
NOT_UNITS = {
    "tests/front_ends": "drives browsers",
    "tests/gates": "looks at the code, not at how it runs",
    "tests/harness": "tests the harness, which is not installed with us",
    "tests/test_matrix.py": "tests this command",
    "tests/test_sandbox_openapi.py": "drives schemathesis",
}
"""What is not run inside the environments, and why."""
_ABSENT = re.compile(
    r"^_+ ERROR collecting (tests/\S+) _+$"  # the heading of each, up to the next one
    r"(?:(?!^_+ ERROR).*\n)*?^E +ModuleNotFoundError: No module named '([\w.]+)'",
    re.MULTILINE,
)
_NOT_THERE = """
import importlib.util, sys
print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name) is None))
"""


@dataclass
class Counts:
    """How a run of pytest ended."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    """How many for which reason."""
    seconds: int = 0
    trouble: str = ""
    """What kept it from running at all."""

    @property
    def good(self) -> bool:
        return bool(self.passed) and not self.failed and not self.trouble


@dataclass
class Result:
    """What is known of a leg that was run."""

    leg: Leg
    versions: dict[str, str] = field(default_factory=dict)
    trouble: str = ""
    """What kept its environment from being made."""
    kernel: Counts = field(default_factory=Counts)
    unit: Counts | None = None
    above: dict[str, str] = field(default_factory=dict)
    """In the oldest set: what is newer than the lower bound that we declare, and that bound."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Files of unit tests, and the module that each needs and this environment has not."""

    @property
    def good(self) -> bool:
        return not self.trouble and self.kernel.good and (self.unit is None or self.unit.good)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Result:
        kept = json.loads(path.read_text(encoding="utf-8"))
        unit = kept.pop("unit")
        return cls(
            leg=Leg(**kept.pop("leg")),
            kernel=Counts(**kept.pop("kernel")),
            unit=Counts(**unit) if unit else None,
            **kept,
        )


class Runner:
    """Runs legs of the project in `root`; environments, logs and results are kept in `folder`."""

    def __init__(self, root: Path, folder: Path, processes: int) -> None:
        self._root = root
        self._folder = folder
        self._processes = processes

    def run(self, leg: Leg, python: Python) -> Result:
        """Make the environment and test with it; nothing that fails there is raised."""
        result = Result(leg, {"python": python.version})
        try:
            interpreter = stacks.make(leg, python, self._root, self._folder / leg.name)
        except RuntimeError as error:
            return replace(result, trouble=_why(error))
        result.versions |= _versions(interpreter)
        if leg.stack == "oldest":
            result.above = stacks.above_their_bounds(self._root, result.versions)
        options = [f"--kernel-python={interpreter}", *([f"--nest={leg.nest}"] if leg.nest else [])]
        # Tests of kernels run in this environment; only the kernels are of the other.
        result.kernel = self._pytest(
            leg, "kernel", sys.executable, "-m", "kernel and not nightly", *options
        )
        if not leg.nest:
            try:
                stacks.add_tools(interpreter)
            except RuntimeError as error:
                return replace(result, trouble=_why(error))
            result.left_out = self._absent(interpreter)
            ignored = [f"--ignore={path}" for path in (*NOT_UNITS, *result.left_out)]
            result.unit = self._pytest(leg, "unit", str(interpreter), "-m", UNIT, *ignored)
        return result

    def _pytest(self, leg: Leg, kind: str, python: str, *options: str) -> Counts:
        report = self._folder / f"{leg.name}-{kind}.xml"
        report.unlink(missing_ok=True)
        begun = time.monotonic()
        with (self._folder / f"{leg.name}-{kind}.log").open("w", encoding="utf-8") as log:
            done = subprocess.run(
                [
                    *(python, "-m", "pytest", "tests", "-q", *options),
                    *("-n", str(self._processes), "--dist", "loadfile", f"--junitxml={report}"),
                    *("-o", f"cache_dir={self._folder / 'cache'}"),
                ],
                cwd=self._root,
                env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        counts = _counted(report) if report.exists() else Counts()
        counts.seconds = round(time.monotonic() - begun)
        if done.returncode not in (0, 1):
            counts.trouble = f"pytest ended with {done.returncode}; see its log"
        return counts

    def _absent(self, interpreter: Path) -> dict[str, str]:
        """Files that need a module which is not there, at once, later or through another file."""
        needs = {
            str(path.relative_to(self._root)): _imported(path)
            for path in sorted((self._root / "tests").rglob("test_*.py"))
        }
        modules = sorted({module for imported in needs.values() for module in imported})
        asked = [str(interpreter), "-c", _NOT_THERE, *modules]
        told = subprocess.run(asked, cwd=self._root, capture_output=True, text=True, check=True)
        missing = set(told.stdout.split())
        directly = {
            path: min(imported & missing)
            for path, imported in needs.items()
            if imported & missing and not path.startswith(tuple(NOT_UNITS))
        }
        done = subprocess.run(
            [
                *(str(interpreter), "-m", "pytest", "tests", "--collect-only", "-q"),
                *("-m", UNIT, "-p", "no:cacheprovider"),
                *(f"--ignore={path}" for path in NOT_UNITS),
            ],
            cwd=self._root,
            capture_output=True,
            text=True,
            check=False,
        )
        return dict(sorted((dict(_ABSENT.findall(done.stdout)) | directly).items()))


def _imported(path: Path) -> set[str]:
    """The packages that a file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _why(error: RuntimeError) -> str:
    """What uv gave as the reason, in one line."""
    reason = re.search(r"cause: (.*)", str(error)) or re.search(r"error: (.*)", str(error))
    return reason[1] if reason else str(error).splitlines()[-1]


def _versions(interpreter: Path) -> dict[str, str]:
    told = uv("pip", "list", "--format", "json", "--python", str(interpreter))
    return {one["name"].lower().replace("_", "-"): one["version"] for one in json.loads(told)}


def _counted(report: Path) -> Counts:
    counts, skipped = Counts(), Counter[str]()
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            counts.failed.append(f"{case.get('classname')}::{case.get('name')}")
        elif (skip := case.find("skipped")) is not None:
            skipped[skip.get("message") or ""] += 1
        else:
            counts.passed += 1
    counts.skipped = dict(sorted(skipped.items()))
    return counts
