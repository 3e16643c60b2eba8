"""Replay before spending: a notebook that is run again shows what it showed, and sends nothing."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from nanobanana_nb import Sandbox

from .conftest import drawing_at
from .harness.environment import child_environment
from .harness.kernels import Kernel

QUICKSTART = Path(__file__).parents[1] / "notebooks" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def api() -> Iterator[Sandbox]:
    with Sandbox(latency=0, balance=100.0) as running:
        yield running


@pytest.fixture(scope="module")
def shared(python: Path, api: Sandbox) -> Iterator[Kernel]:
    """One kernel for a whole module, restarted where a test wants a new one."""
    with Kernel(python, env=drawing_at(api.url)) as kernel:
        yield kernel


@pytest.fixture
def kernel(shared: Kernel, api: Sandbox) -> Kernel:
    """A kernel that has drawn nothing yet; its folder keeps what earlier ones drew."""
    begin(shared)
    return shared


def begin(kernel: Kernel) -> None:
    kernel.restart()
    kernel.run("%load_ext nanobanana_nb\nimport nanobanana_nb as nb")


def files(text: str) -> list[str]:
    """The picture files that an output names, in order."""
    return re.findall(r"\d{8}-\d{6}-[a-z0-9-]+-[0-9a-f]{8}\.png", text)


def shown(kernel: Kernel, *cells: str) -> list[str]:
    """What the cells show, as text, run one after the other."""
    found = []
    for cell in cells:
        reply = kernel.run(cell, cell_id=cell)
        assert reply.status == "ok", reply.evalue
        found.append(str([display.get("text/plain") for display in reply.displays]) + reply.text)
    return found


def states(kernel: Kernel) -> list[str]:
    """What the ledger says of the tasks of a kernel's home."""
    with sqlite3.connect(kernel.folder / "nanobanana" / "ledger.sqlite3") as db:
        found = [state for (state,) in db.execute("SELECT state FROM task ORDER BY rowid")]
    db.close()
    return found


def test_restart_and_run_all_sends_nothing(kernel: Kernel, api: Sandbox) -> None:
    """Magics, code, loops, galleries, edits, awaits and twins: the same pictures, for $0.00."""
    cells = [
        "%nanobanana a fox in watercolor",
        "%%nanobanana -n 3\nthree owls",
        "for i in range(3):\n    print(nb.generate('a loop').path.name)",
        "%nanobanana -i last the same at night",
        "%nanobanana a twin",
        "%nanobanana a twin",
        "other = nb.Studio()\nprint((await other.generate('awaited')).path.name)",
        "print((await other.edit(nb.generate('a base'), 'an edit')).path.name)",
        "boat = nb.generate('a boat')\nprint([one.path.name for one in boat.vary(2)])",
    ]

    def run_all() -> list[list[str]]:
        replies = [kernel.run(cell, cell_id=f"cell {n}") for n, cell in enumerate(cells)]
        assert [reply.status for reply in replies] == ["ok"] * len(cells)
        return [files(str(reply.displays) + reply.text) for reply in replies]

    before = api.counts["accepted"]
    drawn, sent = run_all(), api.counts["accepted"]
    begin(kernel)
    assert run_all() == drawn
    assert api.counts["accepted"] == sent
    assert len({name for names in drawn for name in names}) == sent - before - 2  # two bases


def test_running_a_cell_again_draws_anew(kernel: Kernel, api: Sandbox) -> None:
    """Once more in the same kernel is a wish for another picture; a restart shows the newest."""
    cell = "print(nb.generate('again').path.name)"
    first, second = shown(kernel, cell, cell)
    assert first != second
    sent = api.counts["accepted"]
    begin(kernel)
    assert shown(kernel, cell) == [second]
    assert api.counts["accepted"] == sent
    assert shown(kernel, cell)[0] not in (first, second)
    assert api.counts["accepted"] == sent + 1


def test_it_says_that_it_shows_again(kernel: Kernel) -> None:
    """A picture that cost nothing this time says so."""
    (first,) = shown(kernel, "%nanobanana a notice")
    assert "$0.03" in first
    begin(kernel)
    (again,) = shown(kernel, "%nanobanana a notice")
    assert "shown again, $0.00" in again


@pytest.mark.parametrize(
    ("before", "cell"),
    [
        ("", "%nanobanana --new a new one 1"),
        ("", "nb.generate('a new one 2', new=True)"),
        ("%config NanoBananaMagics.replay = False", "%nanobanana a new one 3"),
        ("import os; os.environ['APIXO_API_KEY'] = 'another-key'", "nb.generate('a new one 4')"),
    ],
    ids=["--new", "new=True", "%config", "another key"],
)
def test_it_can_be_turned_off(kernel: Kernel, api: Sandbox, before: str, cell: str) -> None:
    """Asked for anew, or on another account: drawn."""
    shown(kernel, cell)
    sent = api.counts["accepted"]
    begin(kernel)
    shown(kernel, before, cell)
    assert api.counts["accepted"] == sent + 1


def test_a_failure_is_shown_again_and_in_doubt_stays_in_doubt(kernel: Kernel, api: Sandbox) -> None:
    """What was billed or may have been is not sent again by a Run All; what was not, is."""
    cells = [
        "%nanobanana [sandbox CONTENT_VIOLATION] bad",
        "%nanobanana [sandbox drop] lost",
        "%nanobanana [sandbox 400] never sent",
    ]
    first = [kernel.run(cell).ename for cell in cells]
    assert first == ["ContentRefused", "SubmitUnknown", "APIError"]
    sent = api.counts["submit"]
    begin(kernel)
    replies = [kernel.run(cell) for cell in cells]
    assert [reply.ename for reply in replies] == first
    assert api.counts["submit"] == sent + 1
    assert "shown again for $0.00" in replies[0].evalue
    (card,) = replies[1].displays
    assert "%nanobanana_again" in card["text/html"]


def test_a_kernel_that_is_killed_in_mid_task_pays_once(python: Path, tmp_path: Path) -> None:
    """kill -9 while it is drawn, then Restart and Run All: one task billed, its picture shown."""
    with Sandbox(latency=3) as api, Kernel(python, env=drawing_at(api.url)) as kernel:
        kernel.run("%load_ext nanobanana_nb")
        kernel.send("%nanobanana a fox")
        kernel.wait_until(lambda: api.counts["status"] > 2)
        kernel.kill()
        kernel.restart()
        kernel.run("%load_ext nanobanana_nb")
        (again,) = shown(kernel, "%nanobanana a fox")
        assert files(again)
        assert (api.counts["submit"], api.counts["accepted"]) == (1, 1)


def test_a_kernel_that_is_killed_while_it_submits_asks() -> None:
    """kill -9 with the POST out: the next run shows the doubt, and sends nothing."""
    with Sandbox(latency=0) as api, Kernel(env=drawing_at(api.url)) as kernel:
        kernel.run("%load_ext nanobanana_nb")
        kernel.send("%nanobanana [sandbox slow-submit=30] a fox")
        kernel.wait_until(lambda: api.counts["submit"] == 1)
        kernel.kill()
        kernel.restart()
        kernel.run("%load_ext nanobanana_nb")
        reply = kernel.run("%nanobanana [sandbox slow-submit=30] a fox")
        assert reply.ename == "SubmitUnknown"
        assert "%nanobanana_dismiss" in str(reply.displays)
        assert api.counts["submit"] == 1


def test_what_a_killed_kernel_left_is_told_at_the_next_magic() -> None:
    """Loading the extension looks after it in the background; one line says what came back."""
    with Sandbox(latency=2) as api, Kernel(env=drawing_at(api.url)) as kernel:
        kernel.run("%load_ext nanobanana_nb")
        kernel.send("%nanobanana a fox")
        kernel.wait_until(lambda: api.counts["status"] > 2)
        kernel.kill()
        kernel.restart()
        kernel.run("%load_ext nanobanana_nb")
        kernel.wait_until(lambda: states(kernel) == ["stored"], timeout=60)
        reply = kernel.run("%nanobanana_history")
        assert "1 picture" in str(reply.displays[0])
        assert "came back" in str(reply.displays[0])
        assert "a fox" in str(reply.displays[-1])
        assert api.counts["submit"] == 1


def test_the_quickstart_run_twice_is_paid_once(tmp_path: Path, api: Sandbox) -> None:
    """nbclient, fresh kernels: the second run sends nothing and shows the same pictures."""
    environment = child_environment(tmp_path, drawing_at(api.url))
    seen = []
    for _ in range(2):
        notebook = nbformat.read(QUICKSTART, as_version=4)
        client = NotebookClient(
            notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}
        )
        client.execute(env=environment)
        seen.append(files(str([cell.get("outputs") for cell in notebook.cells])))
        if len(seen) == 1:
            sent = api.counts["submit"]
    assert seen[0] == seen[1]
    assert len(set(seen[0])) >= 7
    assert api.counts["submit"] == sent


def test_a_script_always_draws(tmp_path: Path, api: Sandbox) -> None:
    """No cell, no replay: a cron job that draws the same prompt every day gets a new picture."""
    environment = child_environment(tmp_path, drawing_at(api.url))
    code = "import nanobanana_nb as nb; print(nb.generate('a daily fox').path)"
    paths = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    }
    assert len(paths) == 2
