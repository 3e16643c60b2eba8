"""`python -m benchmarks [--quick]`: three tables, each measured in one round-robin run.

Other work on the machine moves the figures but hardly the ratios, so only ratios have goals, apart
from sizes. It always exits with 0: a missed goal is something to read, not a failed build.
"""

from __future__ import annotations

import argparse
import time
import traceback
from collections.abc import Callable

from . import imports, notebook_bytes, overhead


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples, under a minute")
    quick = parser.parse_args().quick
    begun = time.monotonic()
    report(imports.table, 1 if quick else 7)
    report(notebook_bytes.table, 2 if quick else 10)
    report(overhead.table, 2 if quick else 8)
    print(f"{time.monotonic() - begun:.0f} s in all.")


def report(table: Callable[[int], str], samples: int) -> None:
    """Print a table, or why there is none."""
    try:
        print(table(samples), end="\n\n", flush=True)
    except Exception:  # noqa: BLE001 - a broken table must not take the others with it
        print(f"{table.__module__} could not be measured:\n{traceback.format_exc()}", flush=True)


if __name__ == "__main__":
    main()
