"""What is made of an audit's answer: an advisory fails the check, silence does not pass it."""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata
from pathlib import Path

import pytest

from . import audit
from .audit import SHIPPED, Unaudited, asked, installed, judged

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
    """Without internet, or at a mirror that knows packages and no advisories,
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


def program(folder: Path, does: str) -> str:
    """What stands for Python with a pip-audit that does this."""
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{does}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("echo 'python: No module named pip_audit' >&2; exit 1", "No module named pip_audit"),
        ("echo a warning >&2; echo 'invalid specifier at line 1' >&2; exit 1", "at line 1"),
        ("exit 3", "it ended with 3"),
        ("echo no JSON", "it ended with 0"),
    ],
)
def test_an_audit_that_is_none_fails_the_check(
    does: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without pip-audit the check would pass for ever and look up nothing."""
    monkeypatch.setattr(sys, "executable", program(tmp_path, does))
    with pytest.raises(Unaudited, match=says):
        asked({"httpx": "0.28.1"})
    assert audit.main() == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert says in line


@pytest.mark.parametrize(
    "does",
    [
        "echo 'requests.exceptions.ProxyError: HTTPSConnectionPool' >&2; exit 1",
        'echo "ERROR:pip_audit._cli:Could not connect to PyPI\'s vulnerability feed" >&2; exit 1',
        "exec sleep 60",
    ],
)
def test_without_a_network_nobody_is_asked(
    does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is not the package's fault."""
    monkeypatch.setattr(audit, "LONGEST", 1.0)
    monkeypatch.setattr(sys, "executable", program(tmp_path, does))
    assert asked({"httpx": "0.28.1"}) is None


@pytest.mark.skipif(not importlib.util.find_spec("pip_audit"), reason="pip-audit is not installed")
def test_the_real_one_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends in a way that is known here as one."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert asked({"httpx": "0.0.1.dev1"}) is None  # whose answer is in no cache
