"""The notebooks that are committed: small, not run, valid, and without anything of anybody's."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

REPOSITORY = Path(__file__).parents[2]
NOTEBOOKS = sorted(
    path for folder in ("notebooks", "docs") for path in (REPOSITORY / folder).rglob("*.ipynb")
)
LARGEST = 20_000
"""Bytes: there are words in them, and no pictures."""
SECRETS = {
    "a key": r"\b(?:sk|pk|rk|ghp|gho|hf|xox[abp]|glpat)[-_]\w[\w-]{7,}|\b(?:AKIA|AIza)\w{12,}",
    "a key that is given": r"(?i)(?:api_?key|token|secret|password)\W{1,6}[\w-]{16,}",
    "a bearer": r"(?i)\bbearer\s+[\w-]{8,}",
    "a long token": r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z0-9_-]{32,}\b",
    "a signed link": r"(?i)[?&](?:x-amz-\w+|x-goog-\w+|signature|sig|token|expires|policy|key)=",
    "a name in a link": r"https?://[^/\s\"'@]+@",
    "a home": r"/home/\w|/Users/\w|/root/|[A-Z]:\\+Users\\+\w",
    "an address": r"[\w.+-]+@(?!example\.)[\w-]+\.\w{2,}",
    "a picture": r"data:image/|;base64,",
}


def secrets_in(text: str) -> dict[str, str]:
    """What there is in a text that is nobody else's business, by its kind."""
    found = {kind: re.search(pattern, text) for kind, pattern in SECRETS.items()}
    return {kind: match[0] for kind, match in found.items() if match}


def test_there_are_notebooks() -> None:
    """Where none is found, none is looked at."""
    assert {"quickstart.ipynb", "iterate.ipynb"} <= {path.name for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_holds_nothing_but_itself(path: Path) -> None:
    """Not run, so no output, number or time of anybody's session; no key, folder, address or signed
    link; the metadata of a kernel that everybody has."""
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert not [cell.id for cell in code if cell.outputs or cell.execution_count is not None]
    assert not [cell.id for cell in notebook.cells if cell.metadata or cell.get("attachments")]
    assert set(notebook.metadata) <= {"kernelspec", "language_info", "colab"}
    assert set(notebook.metadata.language_info) == {"name"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert secrets_in(text) == {}
    assert len(text.encode()) < LARGEST


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("os.environ['APIXO_API_KEY'] = 'sk-live-7Qm2xV9'", "a key"),
        ("token ghp_16C7e42F292c6912E7", "a key"),
        ("api_key='a1b2c3d4e5f6a7b8'", "a key that is given"),
        ('"APIXO_API_KEY\\": \\"0f9e8d7c6b5a4f3e2d1c\\""', "a key that is given"),
        ("Authorization: Bearer abcdefgh12", "a bearer"),
        ("'8f14e45fceea167a5a36dedd4bea2543'", "a long token"),
        ("https://cdn.example.com/a.png?X-Amz-Signature=ab12", "a signed link"),
        ("https://r.example.com/a.png?w=1&Expires=1790000000", "a signed link"),
        ("https://me:word@example.com/", "a name in a link"),
        ("open('/home/ann/fox.png')", "a home"),
        (r"C:\\\\Users\\\\ann", "a home"),
        ("ann.lee@mail.org", "an address"),
        ("data:image/png;base64,iVBO", "a picture"),
    ],
)
def test_what_is_somebodys_is_seen(text: str, kind: str) -> None:
    """Each kind by itself; a notebook that holds none of them says nothing about the search."""
    assert kind in secrets_in(text)


def test_what_a_notebook_may_say_is_let_pass() -> None:
    """How to set a key, a link to a picture, a prompt."""
    for text in (
        "nb.login() asks for the key; or set APIXO_API_KEY before you start",
        "%nanobanana -i https://example.com/fox.png a watercolor of it",
        "%config NanoBananaMagics.budget = 1.50",
        "step-00 the-same-fox-in-four-different-styles-and-two-ratios",
    ):
        assert secrets_in(text) == {}, text
