"""What is made of an audit's answer: an advisory fails the check, silence does not pass it."""

from __future__ import annotations

import sys
from importlib import metadata

from .audit import SHIPPED, asked, installed, judged

FINE = {"name": "httpx", "version": "0.28.1", "vulns": []}
HARMFUL = {
    "name": "pillow",
    "version": "11.0.0",
    "vulns": [
        {
            "id": "PYSEC-2025-1",
            "fix_versions": ["11.3.0"],
            "aliases": ["CVE-2025-1"],
            "description": "A heap buffer overflow.",
        },
        {"id": "GHSA-aaaa-bbbb-cccc", "fix_versions": [], "aliases": [], "description": "x"},
    ],
}
UNASKED = {"name": "sniffio", "skip_reason": "it was not found and could not be audited"}


def test_an_advisory_fails_the_check() -> None:
    """With its id and where it is mended, whatever else could not be asked for."""
    code, lines = judged({"dependencies": [FINE, HARMFUL, UNASKED], "fixes": []})
    assert code == 1
    assert lines == [
        "pillow 11.0.0: PYSEC-2025-1, mended in 11.3.0",
        "pillow 11.0.0: GHSA-aaaa-bbbb-cccc, not mended yet",
    ]


def test_where_nobody_can_be_asked_that_is_said_and_no_failure() -> None:
    """Without internet, without pip-audit, or at a mirror that knows packages and no advisories,
    of which pip-audit itself says "No known vulnerabilities found"."""
    for answer in (None, [], {"dependencies": [UNASKED, UNASKED], "fixes": []}):
        code, (line,) = judged(answer)
        assert code == 0
        assert line.startswith("Advisories could not be asked for")
    assert judged({"dependencies": [FINE], "fixes": []}) == (
        0,
        ["No advisory is known for 1 packages."],
    )
    (line,) = judged({"dependencies": [FINE, UNASKED], "fixes": []})[1]
    assert line == "No advisory is known for 1 packages; not asked for: sniffio."


def test_it_asks_about_all_that_runs_with_the_package() -> None:
    """What it needs and what that needs, in the versions that are here; not the tools of tests."""
    found = installed("nanobanana-nb", SHIPPED)
    assert {"httpx", "httpcore", "h11", "ipython", "ipywidgets", "pillow", "starlette"} <= set(
        found
    )
    assert not {"pytest", "ruff", "mypy"} & set(found)
    assert found["pillow"] == metadata.version("pillow")


def test_a_program_that_is_not_there_is_nobody_to_ask(monkeypatch) -> None:
    """As where only the package itself is installed."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert asked({"httpx": "0.28.1"}) is None
