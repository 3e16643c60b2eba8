"""`python -m tests.gates.audit`: is an advisory known for what the package runs on here?

Asked is about the installed versions of its dependencies, of its extras as far as they are there,
and of theirs. Ends with 1 and the advisories' ids where there are any, and where pip-audit is not
there or does not do its work; where it can ask nobody, as without internet, that is said in one
line and is no failure.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SHIPPED: Final = ("", "keyring", "nest", "publish", "webhook")
"""The extras that are for users; the first is none."""
LONGEST: Final = 60.0
"""Seconds that the asking may take."""
OFFLINE: Final = re.compile(r"(requests|urllib3)\.exceptions\.|Could not connect|not redirecting")
"""How pip-audit ends where the network is what fails."""


class Unaudited(Exception):
    """There was no audit, and that is not for want of a network."""


def installed(name: str, extras: tuple[str, ...] = ("",)) -> dict[str, str]:
    """What a distribution needs, and what that needs, as far as it is there; with the versions."""
    found: dict[str, str] = {}
    ahead = [*_needs(name, extras)]
    while ahead:
        one = ahead.pop()
        if (name := canonicalize_name(one.name)) in found:
            continue
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        ahead += _needs(name, ("", *one.extras))
    return found


def _needs(name: str, extras: tuple[str, ...]) -> Iterator[Requirement]:
    for text in metadata.requires(name) or ():
        need = Requirement(text)
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras):
            yield need


def asked(versions: dict[str, str]) -> Any:
    """What pip-audit has to say of these versions, as its JSON; None if it cannot ask anybody.
    `Unaudited` with the last that it said if it is not there or fails otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder, "pinned.txt")
        pinned.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
        line = [sys.executable, "-m", "pip_audit", "--requirement", str(pinned), "--no-deps"]
        line += ["--disable-pip", "--format=json", "--progress-spinner=off", "--timeout=10"]
        try:
            done = subprocess.run(
                line, capture_output=True, text=True, timeout=LONGEST, check=False
            )
            return json.loads(done.stdout)
        except subprocess.TimeoutExpired:
            return None
        except ValueError:
            if OFFLINE.search(done.stderr):
                return None
            said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
            raise Unaudited(said[-1].strip()) from None


def judged(answer: Any) -> tuple[int, list[str]]:
    """The exit code, and what to tell. A package that nothing is known about was not asked for."""
    packages = answer["dependencies"] if isinstance(answer, dict) else []
    known = [one for one in packages if "skip_reason" not in one]
    harmful = [
        f"{one['name']} {one['version']}: {vulnerability['id']}{_mended(vulnerability)}"
        for one in known
        for vulnerability in one["vulns"]
    ]
    if harmful:
        return 1, harmful
    if not known:
        return 0, ["Advisories could not be asked for here; the packages were not looked up."]
    left = sorted(one["name"] for one in packages if "skip_reason" in one)
    told = f"No advisory is known for {len(known)} packages"
    return 0, [f"{told}; not asked for: {', '.join(left)}." if left else f"{told}."]


def _mended(vulnerability: dict[str, Any]) -> str:
    versions = ", ".join(vulnerability.get("fix_versions", ()))
    return f", mended in {versions}" if versions else ", not mended yet"


def main() -> int:
    """Ask, tell, and give the exit code."""
    try:
        code, lines = judged(asked(installed("nanobanana-nb", SHIPPED)))
    except Unaudited as error:
        code, lines = 1, [f"The packages were not looked up, for pip-audit fails: {error}"]
    print(*lines, sep="\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
