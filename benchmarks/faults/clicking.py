"""The command line that the two clients under test share."""

from __future__ import annotations

import argparse
from pathlib import Path


def clicking(client: str) -> tuple[str, Path, str, int, int, str]:
    """What a client is told: URL, home, its name, how many clicks, how many at once, and where it
    is to be called back; empty: nowhere."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.faults.{client}")
    parser.add_argument("--url", required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--clicks", type=int, default=100)
    parser.add_argument("--name", default="A")
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--callback", default="")
    given = parser.parse_args()
    return given.url, given.home, given.name, given.clicks, given.at_once, given.callback
