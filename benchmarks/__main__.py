"""`python -m benchmarks [--quick] [TABLE ...]`: tables, each measured in one round-robin run.

Other work on the machine moves the figures but hardly the ratios, so only ratios have goals, apart
from sizes. It always exits with 0: a missed goal is something to read, not a failed build.
"""

from __future__ import annotations

import argparse
import importlib
import time
import traceback
from typing import Final

TABLES: Final = {
    "imports": (7, 1),
    "notebook_bytes": (10, 2),
    "overhead": (8, 2),
    "polling": (3, 1),
    "limits": (2, 1),
    "batch": (1, 1),
    "waiting": (3, 1),
    "stalls": (40, 8),
    "previews": (15, 3),
    "homes": (3, 1),
    "flood": (20, 5),
}
"""The tables and their samples, by default and with `--quick`."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}")
    chosen = parser.parse_args()
    if unknown := set(chosen.tables) - set(TABLES):
        parser.error(f"there is no table {', '.join(sorted(unknown))}")
    begun = time.monotonic()
    for name, samples in TABLES.items():
        if not chosen.tables or name in chosen.tables:
            report(name, samples[chosen.quick])
    print(f"{time.monotonic() - begun:.0f} s in all.")


def report(name: str, samples: int) -> None:
    """Print a table, or why there is none."""
    try:
        module = importlib.import_module(f"{__package__}.{name}")
        print(module.table(samples), end="\n\n", flush=True)
    except Exception:  # noqa: BLE001 - a broken table must not take the others with it
        print(f"{name} could not be measured:\n{traceback.format_exc()}", flush=True)


if __name__ == "__main__":
    main()
