"""The `nanobanana` command. For now: `nanobanana sandbox`, the imitation API on a port."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from . import sandbox


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    chosen = _parser().parse_args(arguments)
    return _serve_sandbox(chosen.port, chosen.latency, chosen.balance)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nanobanana", description="Draw pictures from a prompt with the Nano Banana API."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "sandbox",
        help="serve an offline imitation of the API on this machine",
        description="Serve an offline imitation of the API on this machine, until Ctrl-C. "
        "Point clients at it with APIXO_BASE_URL; it takes any key.",
    )
    serve.add_argument("--port", type=int, default=8722, help="default: 8722; 0 takes a free one")
    serve.add_argument(
        "--latency", type=float, default=2.0, help="seconds per picture; the real API takes 15-20"
    )
    serve.add_argument("--balance", type=float, default=10.0, help="US dollars to begin with")
    return parser


def _serve_sandbox(port: int, latency: float, balance: float) -> int:
    with sandbox.Sandbox(port=port, latency=latency, balance=balance) as running:
        print(f"The sandbox is at {running.url} (Ctrl-C ends it). In another terminal:")  # noqa: T201
        print(f"  export APIXO_BASE_URL={running.url} APIXO_API_KEY=sandbox", flush=True)  # noqa: T201
        running.serve_forever()
    return 0
