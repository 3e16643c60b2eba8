"""Run the tests with other Pythons and versions, and write what came of it: `make matrix`."""

from __future__ import annotations

import argparse
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

from ..harness import nesting
from . import pythons, table
from .running import Result, Runner
from .stacks import SETS, Leg

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".stacks" / "matrix"
PAGE = ROOT / "docs" / "matrix.md"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PATCHED = [Leg(stack, "3.13", way) for stack in ("colab", "newest") for way in nesting.WAYS]


def main(arguments: list[str]) -> int:
    """0 when every leg that was run passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--pythons", nargs="*", default=PYTHONS, help="versions or paths")
    parser.add_argument("--only", nargs="*", default=["*"], help='legs, such as "colab-*"')
    parser.add_argument("--processes", type=int, default=3, help="of pytest")
    asked = parser.parse_args(arguments)

    FOLDER.mkdir(parents=True, exist_ok=True)
    found = {one.minor: one for one in map(pythons.find, asked.pythons) if one is not None}
    legs = [Leg(stack, minor) for minor in PYTHONS for stack in SETS] + PATCHED
    runner = Runner(ROOT, FOLDER, asked.processes)
    good = True
    for leg in legs:
        if not any(fnmatch(leg.name, pattern) for pattern in asked.only):
            continue
        if leg.python not in found:
            print(f"{leg.name}: not run, no Python {leg.python} here", flush=True)
            continue
        begun = time.monotonic()
        result = runner.run(leg, found[leg.python])
        result.save(FOLDER / f"{leg.name}.json")
        print(f"{table.told(result)}; {time.monotonic() - begun:.0f} s in all", flush=True)
        good = good and result.good
    results = [Result.load(path) for path in sorted(FOLDER.glob("*.json"))]
    known = {one.leg.name: one for one in results}
    PAGE.write_text(table.page(known, legs, set(PYTHONS) - set(found)), encoding="utf-8")
    print(f"Written: {PAGE.relative_to(ROOT)}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
