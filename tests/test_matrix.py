"""`make matrix`: it tests what it says, and says what it did not test."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from .matrix import pythons, stacks, table
from .matrix.running import Counts, Result
from .matrix.stacks import Leg

ROOT = Path(__file__).parents[1]
NEWEST, OLDEST = Leg("newest", "3.14"), Leg("oldest", "3.11")
VERSIONS = {"python": "3.14.8", "ipython": "9.18.1", "ipykernel": "7.4.0"}


def page(*results: Result, absent: tuple[str, ...] = ()) -> str:
    return table.page({one.leg.name: one for one in results}, [OLDEST, NEWEST], absent)


def test_a_leg_that_was_not_run_is_named() -> None:
    """With the reason: no such Python, or not yet."""
    text = page(absent=("3.14",))
    assert "- newest-3.14: no such Python here" in text
    assert "- oldest-3.11: not run yet" in text


def test_what_failed_what_was_skipped_and_what_was_left_out_is_named() -> None:
    """A leg is good only when all of it is; its row counts, the lists below name."""
    good = Counts(passed=7, skipped={"no uvloop": 2})
    bad = Counts(passed=5, failed=["tests.test_loops::test_run_all"])
    result = Result(NEWEST, VERSIONS, kernel=bad, unit=good, left_out={"tests/test_x.py": "numpy"})
    text = page(result)
    assert not result.good
    assert "| 3.14.8 | newest | 9.18.1 | 7.4.0 | - | - | - | 5 passed, **1 failed** | " in text
    assert "7 passed, 2 skipped |" in text
    assert "- newest-3.14: `tests.test_loops::test_run_all`" in text
    assert "- no uvloop: newest-3.14 2" in text
    assert "- `tests/test_x.py` needs numpy: newest-3.14" in text
    assert Result(NEWEST, VERSIONS, kernel=good, unit=good).good
    assert not Result(NEWEST, VERSIONS, kernel=Counts(), unit=good).good  # nothing was run
    assert not Result(NEWEST, VERSIONS, trouble="no wheel").good


def test_a_result_is_kept_as_it_was(tmp_path: Path) -> None:
    """Legs are run one by one; the page shows all of them."""
    result = Result(OLDEST, VERSIONS, kernel=Counts(passed=7, skipped={"no uvloop": 2}))
    result.save(tmp_path / "kept.json")
    assert Result.load(tmp_path / "kept.json") == result


def test_the_oldest_leg_tells_what_is_newer_than_its_bound() -> None:
    """The bounds are those of pyproject.toml, extras included; 7.34 and 7.34.0 are the same."""
    above = stacks.above_their_bounds(ROOT, {"ipython": "7.34.0", "httpx": "0.28.1"})
    assert "ipython" not in above
    assert above["httpx"] == "0.28"
    assert above["ipykernel"] == "6.17.1"
    assert {"ipywidgets", "pillow", "starlette", "s3fs", "anywidget"} <= set(above)
    assert not {"pytest", "jupyterlab"} & set(above)


def test_a_python_is_found_by_its_path_or_not_at_all(tmp_path: Path) -> None:
    """A file that is no Python, such as a shim for one that is not there, is none."""
    found = pythons.find(sys.executable)
    assert found is not None
    assert found.version == platform.python_version()
    shim = tmp_path / "python3.14"
    shim.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    shim.chmod(0o755)
    assert pythons.find(str(shim)) is None
    assert pythons.find(str(tmp_path / "nowhere")) is None


def test_a_named_python_replaces_both_stacks() -> None:
    """Every kernel test once, and marked, with no decorator on any of them."""
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "tests/test_loops.py", "tests/test_portal.py"),
            *("--collect-only", "-q", "-m", "kernel", "-p", "no:cacheprovider"),
            f"--kernel-python={sys.executable}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    collected = [line for line in ended.stdout.splitlines() if "::" in line]
    assert "tests/test_loops.py::test_run_all[named]" in collected
    assert all(line.startswith("tests/test_loops.py::") for line in collected)
    assert not [line for line in collected if "newest" in line or "colab" in line]
