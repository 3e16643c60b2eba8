"""`docs/matrix.md`: what was run with which versions, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from .running import NOT_UNITS, Counts, Result
from .stacks import SETS, Leg

SHOWN = {
    "ipython": "IPython",
    "ipykernel": "ipykernel",
    "ipywidgets": "ipywidgets",
    "httpx": "httpx",
    "pillow": "Pillow",
}
BESIDE = {
    "platformdirs": "platformdirs",
    "sniffio": "sniffio",
    "anywidget": "anywidget",
    "keyring": "keyring",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "s3fs": "s3fs",
    "nest-asyncio": "nest-asyncio",
    "nest-asyncio2": "nest-asyncio2",
    "jupyter-client": "jupyter_client",
    "traitlets": "traitlets",
    "tornado": "tornado",
    "pyzmq": "pyzmq",
}
WAYS = {"v1": "nest-asyncio", "v2": "nest-asyncio2"}
HEAD = """\
# Versions that are tested

Written by `make matrix`, which makes these environments and runs the tests with them: the kernel
tests with real kernels of each, and the unit tests inside it. `make matrix ONLY="newest-3.14*"`
runs some of them; the other rows stay as they were last run.
"""

PATCHED = """\
## With a patched loop

The kernel tests again, in kernels where somebody has applied nest-asyncio or nest-asyncio2 before
or after loading us.
"""


def page(results: Mapping[str, Result], legs: Iterable[Leg], absent: Iterable[str]) -> str:
    """The whole page; `results` by the names of legs, `absent` the Pythons that were not found."""
    ordered = list(legs)
    known = [results[leg.name] for leg in ordered if leg.name in results]
    plain = [one for one in known if not one.leg.nest]
    patched = [one for one in known if one.leg.nest]
    sets = [f"- **{name}**: {what}{_stands_in(name, known)}." for name, what in SETS.items()]
    not_run = [
        f"- {leg.name}: {'no such Python here' if leg.python in absent else 'not run yet'}"
        for leg in ordered
        if leg.name not in results
    ]
    parts = [
        HEAD,
        "\n".join(sets) + "\n",
        _table(
            ["Python", "set", *SHOWN.values(), "kernel tests", "unit tests"],
            [
                [*_first(one), *(_version(one, name) for name in SHOWN), *_told(one)]
                for one in plain
            ],
        ),
        "Beside these:\n",
        _table(
            ["Python", "set", *BESIDE.values()],
            [[*_first(one), *(_version(one, name) for name in BESIDE)] for one in plain],
        ),
        PATCHED,
        _table(
            ["Python", "set", "ipykernel", "patch", "applied", "kernel tests"],
            [
                [*_first(one), _version(one, "ipykernel"), *_patch(one), _told(one)[0]]
                for one in patched
            ],
        ),
        _listed("## Not run", not_run),
        _listed("## Failed", _failures(known)),
        _listed("## Newer than the lowest that is allowed", _above(known)),
        _listed("## Skipped", _skips(known)),
        _listed("## Left out", _left_out(known)),
    ]
    return "\n".join(part for part in parts if part)


def told(result: Result) -> str:
    """A leg in one line, for the terminal."""
    if result.trouble:
        return f"{result.leg.name}: not made: {result.trouble}"
    parts = [f"kernel tests {_outcome(result.kernel)} in {result.kernel.seconds} s"]
    if result.unit is not None:
        parts.append(f"unit tests {_outcome(result.unit)} in {result.unit.seconds} s")
    return f"{result.leg.name}: {'; '.join(parts)}"


def _stands_in(stack: str, known: list[Result]) -> str:
    """Which pins could not be kept, and where."""
    found = {
        one.leg.python: " and ".join(
            f"{name} {one.versions.get(name, '?')}" for name in one.leg.stands_in
        )
        for one in known
        if one.leg.stack == stack and one.leg.stands_in
    }
    return "".join(
        f"; on {python}, for want of wheels, with {what}" for python, what in found.items()
    )


def _first(result: Result) -> list[str]:
    return [result.versions["python"], result.leg.stack]


def _version(result: Result, name: str) -> str:
    return result.versions.get(name, "-")


def _patch(result: Result) -> list[str]:
    which, _, when = result.leg.nest.partition("-")
    return [f"{WAYS[which]} {_version(result, WAYS[which])}", when]


def _told(result: Result) -> list[str]:
    if result.trouble:
        return ["**not made**", "**not made**"]
    return [_outcome(result.kernel), _outcome(result.unit) if result.unit else "-"]


def _outcome(counts: Counts) -> str:
    if counts.trouble:
        return "**not run**"
    parts = [f"{counts.passed} passed"]
    if counts.failed:
        parts.append(f"**{len(counts.failed)} failed**")
    if counts.skipped:
        parts.append(f"{sum(counts.skipped.values())} skipped")
    return ", ".join(parts)


def _failures(known: list[Result]) -> list[str]:
    lines = []
    for result in known:
        runs = [result.kernel, *([result.unit] if result.unit else [])]
        reasons = [result.trouble, *(run.trouble for run in runs)]
        lines += [f"- {result.leg.name}: {reason}" for reason in reasons if reason]
        lines += [f"- {result.leg.name}: `{name}`" for run in runs for name in run.failed]
    return lines


def _skips(known: list[Result]) -> list[str]:
    """Each reason once, with the legs and how many tests in each."""
    legs: dict[str, Counter[str]] = {}
    for result in known:
        for run in (result.kernel, *([result.unit] if result.unit else [])):
            for reason, count in run.skipped.items():
                legs.setdefault(reason, Counter())[result.leg.name] += count
    return [
        f"- {reason}: {', '.join(f'{leg} {count}' for leg, count in found.items())}"
        for reason, found in sorted(legs.items())
    ]


def _above(known: list[Result]) -> list[str]:
    return [
        f"- {result.leg.name}: {name} {_version(result, name)}, where {bound} is allowed"
        for result in known
        for name, bound in result.above.items()
    ]


def _left_out(known: list[Result]) -> list[str]:
    """What is no unit test of ours, and files that need a module which the environment has not."""
    legs = {f"`{path}` {why}": ["all"] for path, why in NOT_UNITS.items()}
    for result in known:
        for path, module in result.left_out.items():
            legs.setdefault(f"`{path}` needs {module}", []).append(result.leg.name)
    return [f"- {what}: {', '.join(found)}" for what, found in sorted(legs.items())]


def _listed(heading: str, lines: list[str]) -> str:
    return "\n".join([heading, "", *lines, ""]) if lines else ""


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
