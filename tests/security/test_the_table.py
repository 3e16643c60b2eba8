"""docs/security.md says which test guards which case: each of them is there."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "security.md"
ROWS = [
    line.strip("| ").split(" | ")
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| case")
]
COUNTS = {"K": 16, "O": 4, "H": 9, "B": 11, "U": 6, "P": 5, "E": 5, "S": 9}
CASES = {f"{table}{number + 1}" for table, count in COUNTS.items() for number in range(count)}


def test_every_case_has_its_row() -> None:
    """None is left out in silence; what does not apply says so."""
    assert {row[0] for row in ROWS} >= CASES


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_tests_of_a_case_are_there(row: list[str]) -> None:
    """A test that is renamed or deleted takes its row with it."""
    case, _, state, named = row
    if named == "none":
        assert state.startswith("does not apply")
        return
    for entry in re.split("; |, (?=`)", named):
        file, _, names = entry.partition(": ")
        path = TESTS / file.strip("`").removeprefix("tests/")
        found = re.findall(r"def test_(\w+)\(", path.read_text(encoding="utf-8"))
        for name in filter(None, names.split(", ")):
            assert any(fnmatch(one, name) for one in found), f"{case}: {file}: {name}"
