"""The layers are real: imports point downwards only."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nanobanana_nb"

# The table of CONTRIBUTING.md, from the ground up; a module may import from lower floors only.
FLOORS = (
    {"errors", "forecast", "admission", "lanes", "cells", "tokens"},
    {"links", "pacing", "keys", "portal"},
    {"settings", "models"},
    {
        "protocol",
        "prompting",
        "templates",
        "presets",
        "schema",
        "sidecars",
        "rows",
        "writer",
        "turns",
        "containers",
        "incoming",
        "previews",
    },
    {"markup", "waiting", "copying", "metadata", "plans", "sources", "voice", "hints"},
    {"display", "entries"},
    {
        "client",
        "ledger",
        "pictures",
        "mirror",
        "screen",
        "reporting",
        "tiles",
        "gridpage",
        "strips",
    },
    {"results", "outcomes", "replay", "rebuilding", "preparing", "publishing", "gridsheet"},
    {"tables", "rhythm", "exits"},
    {"callbacks"},
    {
        "archive",
        "comparing",
        "grids",
        "batches",
        "recipes",
        "stylebook",
        "references",
        "submitting",
        "collecting",
        "accounting",
    },
    {"tasks", "recalling", "telling"},
    {"ordering"},
    {"workshop", "batchplans"},
    {"studio", "arguments", "doctor"},
    {"sync", "shell", "nest"},
    {"magics", "panel", "webhook"},
    {"cli"},
)
PANEL_FLOORS = (
    {"brush", "clicks", "thumbs", "variables", "words"},
    {"parts"},
    {"echo", "overlay", "hands"},
    {"form", "gallery", "detail"},
    {"view"},
    {"panel"},
    {"__init__"},
)
WRITE_HTML = {"markup", "display", "tiles", "gridpage", "strips"}
TAG = re.compile(r"</(div|span|figure)>|<img ")
BESIDE = "sandbox"
MAY_START_THE_SANDBOX = {"workshop", "references", "cli"}
FLOOR_OF = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.glob("*.py")) if path.stem != "__init__"]


def panel() -> list[Path]:
    return sorted((PACKAGE / "panel").glob("*.py"))


def imported(path: Path, level: int) -> set[str]:
    """The modules that a file imports by so many dots, lazily and for typing only included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == level:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nanobanana_nb"):
            found.add(str(node.module))
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.startswith("nanobanana_nb")}
    return found


def ours(path: Path) -> set[str]:
    return imported(path, 1)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_imports_point_downwards(path: Path) -> None:
    """A module imports only from floors below its own, and every module has a floor."""
    floor = FLOOR_OF[path.stem]
    allowed = {module for module, its in FLOOR_OF.items() if its < floor}
    if path.stem in MAY_START_THE_SANDBOX:
        allowed.add(BESIDE)
    assert ours(path) <= allowed


@pytest.mark.parametrize("path", panel(), ids=lambda path: path.stem)
def test_the_panel_keeps_its_floors(path: Path) -> None:
    """The panel as a whole has its floor in the house, and its modules have theirs in it."""
    beneath = {module for module, its in FLOOR_OF.items() if its < FLOOR_OF["panel"]}
    own = next(number for number, names in enumerate(PANEL_FLOORS) if path.stem in names)
    assert imported(path, 2) <= beneath
    assert imported(path, 1) <= set().union(*PANEL_FLOORS[:own])


@pytest.mark.parametrize("path", sorted((PACKAGE / BESIDE).glob("*.py")), ids=lambda p: p.stem)
def test_the_sandbox_imports_nothing_of_ours(path: Path) -> None:
    """The sandbox restates the API by itself, so that a misreading of ours cannot cancel out."""
    siblings = {sibling.stem for sibling in (PACKAGE / BESIDE).glob("*.py")}
    text = path.read_text(encoding="utf-8")
    assert ours(path) <= siblings
    levels = [n.level for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom)]
    assert max(levels, default=0) <= 1
    assert "import nanobanana_nb" not in text


def test_only_the_client_imports_httpx() -> None:
    """One module speaks HTTP, so that every rule about keys and links has one place."""
    users = [
        p.stem for p in (*modules(), *panel()) if "import httpx" in p.read_text(encoding="utf-8")
    ]
    assert users == ["client"]


def test_only_the_ledger_speaks_sql() -> None:
    """All SQL is in the ledger, the schema of its file, and what counts turns and callbacks."""
    users = [
        p.stem for p in (*modules(), *panel()) if "import sqlite3" in p.read_text(encoding="utf-8")
    ]
    assert users == ["hints", "ledger", "schema", "turns"]


def test_only_the_markup_floor_writes_html() -> None:
    """HTML is written on the markup floor alone, where everything is escaped."""
    users = {p.stem for p in (*modules(), *panel()) if TAG.search(p.read_text(encoding="utf-8"))}
    assert "display" in users
    assert users <= WRITE_HTML
