"""The `nanobanana` command: resume, rebuild, doctor, sandbox."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from collections.abc import Callable, Sequence

from . import accounting, display, sandbox
from .errors import ConfigError, NanoBananaError
from .ledger import Ledger
from .rebuilding import rebuild
from .rows import Spent
from .settings import Settings
from .studio import Studio


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    chosen = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = chosen.run
    try:
        return run(chosen)
    except NanoBananaError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt as stopped:  # it says what goes on
        print(stopped, file=sys.stderr)  # noqa: T201
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nanobanana", description="Draw pictures from a prompt with the Nano Banana API."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    resume = _command(commands, "resume", _resume, "wait for tasks that were sent; send nothing")
    resume.add_argument("task_id", nargs="?", help="one task, also of another machine; or all")
    _command(commands, "rebuild", _rebuild, "make the ledger anew from what lies with the pictures")
    _command(commands, "doctor", _doctor, "say how this home is: ledger, disk, money in doubt")
    serve = _command(
        commands,
        "sandbox",
        _serve_sandbox,
        "serve an offline imitation of the API on this machine, until Ctrl-C; clients are pointed "
        "at it with APIXO_BASE_URL, and it takes any key",
    )
    serve.add_argument("--port", type=int, default=8722, help="default: 8722; 0 takes a free one")
    serve.add_argument(
        "--latency", type=float, default=2.0, help="seconds per picture; the real API takes 15-20"
    )
    serve.add_argument("--balance", type=float, default=10.0, help="US dollars to begin with")
    serve.add_argument("--at-once", type=int, metavar="N", help="tasks under way at a time")
    serve.add_argument("--rate", type=float, metavar="N", help="requests a minute")
    serve.add_argument("--count-polls", action="store_true", help="--rate counts polls too")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    about: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    parser.set_defaults(run=run)
    return parser


def _resume(chosen: argparse.Namespace) -> int:
    studio = Studio()
    gallery = studio.wait(studio.resume(chosen.task_id))
    for generation in gallery:
        print(generation)  # noqa: T201
    if not gallery:
        print("Nothing is under way; every accepted task is on disk.")  # noqa: T201
    studio.close()
    return 1 if gallery.failed else 0


def _rebuild(_: argparse.Namespace) -> int:
    settings = Settings.load()
    settings.check_writable()
    done = asyncio.run(rebuild(settings.ledger, [settings.pictures, settings.home / "rescued"]))
    if done.damaged:
        print(f"The damaged ledger is kept as {done.damaged}.")  # noqa: T201
    print(f"{done.added} tasks added, {done.known} known already.")  # noqa: T201
    for broken in done.broken:
        print(f"Left out: {broken.file} ({broken.why})")  # noqa: T201
    return 0


def _doctor(_: argparse.Namespace) -> int:
    settings = Settings.load()
    settings.check_writable()
    there = settings.ledger.exists()
    print(f"home       {settings.home}")  # noqa: T201
    print(f"pictures   {settings.pictures}")  # noqa: T201
    print(f"API        {settings.base_url}, key {'set' if settings.api_key else 'not set'}")  # noqa: T201
    free = shutil.disk_usage(settings.pictures).free / 1e9
    print(f"disk       {free:.1f} GB free")  # noqa: T201
    ledger = Ledger(settings.ledger)
    try:
        counts, spent = asyncio.run(_look_into(ledger))
    finally:
        ledger.close()
    listed = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    print(f"ledger     {'sound' if there else 'new'}; {listed or 'no tasks yet'}")  # noqa: T201
    budget = f" of {display.money(settings.budget)}" if settings.budget is not None else ""
    today, ever = f"{display.money(spent.today)}{budget}", display.money(spent.ever)
    print(f"spent      {today} today, {ever} by this home")  # noqa: T201
    if spent.unknown:
        print(f"in doubt   {accounting.in_doubt(spent.unknown)}")  # noqa: T201
    return 0


async def _look_into(ledger: Ledger) -> tuple[dict[str, int], Spent]:
    return await ledger.counts(), await ledger.spent()


def _serve_sandbox(chosen: argparse.Namespace) -> int:
    names = ("port", "latency", "balance", "at_once", "rate", "count_polls")
    try:
        made = sandbox.Sandbox(**{name: getattr(chosen, name) for name in names})
    except ValueError as error:
        raise ConfigError(f"{error}.") from None
    with made as running:
        print(f"The sandbox is at {running.url} (Ctrl-C ends it). In another terminal:")  # noqa: T201
        print(f"  export APIXO_BASE_URL={running.url} APIXO_API_KEY=sandbox", flush=True)  # noqa: T201
        running.serve_forever()
    return 0
