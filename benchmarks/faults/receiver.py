"""Our receiver of callbacks under test, as a process that waits for the word to listen.

`python -m benchmarks.faults.receiver --home H --url U` loads everything and prints a line. Given a
port on its standard input, it listens there and prints its URL: one that is killed has a successor
at once.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Final

import nanobanana_nb as nb
from nanobanana_nb import webhook

LOADED: Final = ("nanobanana_nb.ledger", "starlette.applications", "starlette.routing", "uvicorn")
"""What the receiver would otherwise import at its first callback."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.receiver")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--url", required=True)
    given = parser.parse_args()
    for module in LOADED:
        importlib.import_module(module)
    home = given.home
    settings = nb.Settings.load(home=home, pictures=home / "pictures", base_url=given.url)
    print("loaded", flush=True)
    if port := sys.stdin.readline().strip():
        webhook.serve(settings, port=int(port), ready=lambda url: print(url, flush=True))


if __name__ == "__main__":
    main()
