"""`python -m benchmarks.faults`: clicks under faults, or kills, and what the checker says of them.

It ends with 1 when the checker is red. The seed is printed, and `--seed` repeats the faults of it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path

from ..table import plain
from . import crash
from .checker import Findings
from .kinds import TABLE
from .running import called_back, clients, place, service

SHOWN = 5
"""How many of each finding are printed."""


def main() -> int:
    given = _arguments()
    seed = random.randrange(1 << 31) if given.seed is None else given.seed
    begun = time.monotonic()
    happened: crash.Series | None = None
    killed = 0
    with place() as here:
        # A shut door resets connections that wait in front of it, which no one could explain.
        without = [*given.without, *(["then-refused"] if given.kills or given.at_points else [])]
        with service(here.account, seed, given.rate, without) as url:
            if given.kills or given.at_points:
                what = f"{given.kills} random kills, {given.at_points} at each point"
                happened, findings = crash.series(
                    url, here, seed, given.kills, given.at_points, given.lease
                )
                ok = happened.ok(findings)
            else:
                what = f"{given.clicks:,} clicks by {given.processes} processes ({given.client})"
                if given.callbacks:
                    how = (given.clicks, given.processes, given.receiver_kills)
                    killed = called_back(url, here.home, *how)
                    what += f", called back by a receiver that was killed {killed} times"
                else:
                    clients(given.client, url, here.home, given.clicks, given.processes)
                findings = here.check()
                ok = findings.ok and findings.undisturbed
        kinds = sum(
            one.name not in without
            for stage, faults in TABLE.items()
            for one in faults
            if stage != "callback" or given.callbacks
        )
        title = f"{what}, {given.rate:.0%} faults of {kinds} kinds, seed {seed}, in {here.folder}"
    seconds = time.monotonic() - begun
    print(_table(title, findings, happened, ok, seconds))
    if given.json:
        report = {"ok": ok, "seed": seed, "seconds": seconds, "findings": asdict(findings)}
        if given.callbacks:
            report["receiver_kills"] = killed
        if happened:
            report["series"] = asdict(happened) | {"in_flight": sorted(happened.in_flight)}
        given.json.write_text(json.dumps(report, indent=1))
    return 0 if ok else 1


def _table(
    title: str, findings: Findings, happened: crash.Series | None, ok: bool, seconds: float
) -> str:
    named = asdict(findings)
    if happened:
        named |= asdict(happened)
    rows = [
        (name, f"{len(value) if isinstance(value, list | set) else value}")
        for name, value in named.items()
        if not isinstance(value, dict)
    ]
    rows += [(f"state {state}", str(count)) for state, count in sorted(findings.states.items())]
    rows += [(f"callbacks: {what}", str(count)) for what, count in findings.callbacks.items()]
    rows += [("faults", str(sum(findings.faults.values()))), ("kinds", str(len(findings.faults)))]
    rows += [("seconds", f"{seconds:.0f}"), ("checker", "ok" if ok else "RED")]
    examples = [
        f"{name}: {one}"
        for name, value in named.items()
        if isinstance(value, list) and name != "unknown"
        for one in value[:SHOWN]
    ]
    return "\n".join([plain(title, ("", "count"), rows), *examples])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--clicks", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=0.05, help="faults per request, 0 to 1")
    parser.add_argument("--without", nargs="*", default=(), help="kinds of fault to leave out")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--client", choices=("ours", "naive"), default="ours")
    parser.add_argument("--callbacks", action="store_true", help="submit in callback mode")
    parser.add_argument("--receiver-kills", type=int, default=3, help="with --callbacks")
    parser.add_argument("--kills", type=int, default=0, help="kill -9 at random moments, instead")
    parser.add_argument("--at-points", type=int, default=0, help="kills at each fail point")
    parser.add_argument("--lease", type=float, default=crash.LEASE, help="seconds a lease outlives")
    parser.add_argument("--json", type=Path, help="also write all findings to this file")
    given = parser.parse_args()
    if given.callbacks and (given.client == "naive" or given.kills or given.at_points):
        parser.error("--callbacks is for clicks of ours, without --kills and --at-points")
    return given


if __name__ == "__main__":
    sys.exit(main())
