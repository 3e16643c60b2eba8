"""Which cell asks: the same cell is known again after a restart, and its repetition as one."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from nanobanana_nb import cells

from .harness.environment import child_environment
from .harness.kernels import Kernel

HELPERS = """
import json
from nanobanana_nb import cells

def ask(key="a fox"):
    cell = cells.running()
    told = cell and [cell.folder, cell.source, cell.twin, cell.first, cell.execution,
                     cells.next_ordinal(cell, key)]
    print(json.dumps(told) + "\\n", end="")
"""
FIRST_CELL = f"""
get_ipython().run_cell("'a cell within the first one'")
{HELPERS}
ask()
"""
SCRIPT = "from nanobanana_nb import cells; print('script', cells.running() == cell)"
_asks = count()


@dataclass(frozen=True)
class Asked:
    """What one `ask()` printed."""

    folder: str
    source: str
    twin: int
    first: bool
    execution: int
    ordinal: int


def asked(text: str) -> list[Asked | None]:
    """What was printed by `ask()`, in order."""
    told = [json.loads(found) for found in re.findall(r'\["[^]]*\]|null', text)]
    return [Asked(*one) if one else None for one in told]


def source() -> str:
    """A cell that asks once, unlike any other."""
    return f"ask()  # {next(_asks)}"


@pytest.fixture(scope="module")
def kernel(python: Path) -> Iterator[Kernel]:
    """One kernel for each stack. Its first cell runs another one and then asks."""
    with Kernel(python) as running:
        (running.folder / "script.py").write_text(SCRIPT)
        (first,) = asked(running.run(FIRST_CELL, allow_stdin=True).text)
        assert first is not None
        assert first.source == cells._hash(FIRST_CELL)
        yield running


def ask(kernel: Kernel, code: str, *, allow_stdin: bool = True, **how: object) -> Asked:
    """Run a cell that asks once."""
    (one,) = asked(kernel.run(code, allow_stdin=allow_stdin, **how).text)
    assert one is not None
    return one


def test_a_cell_run_again_is_known(kernel: Kernel) -> None:
    """Running a cell a second time draws anew; an edited cell is another one, and counts from
    its start; blank lines around it and the ends of its lines are no edit."""
    code = f"ask()\n\n  # {next(_asks)}"
    once = ask(kernel, code, cell_id="again")
    again = ask(kernel, f"\n \n{code}\n\n".replace("\n", "\r\n"), cell_id="again")
    edited = ask(kernel, code.replace("\n\n", "\n"), cell_id="again")
    assert (once.twin, once.first, again.twin, again.first) == (0, True, 0, False)
    assert (again.source, again.ordinal) == (once.source, 0)
    assert again.execution == once.execution + 1
    assert (edited.twin, edited.first) == (0, True)
    assert edited.source != once.source


def test_two_cells_with_one_source_are_two(kernel: Kernel) -> None:
    """A cell and its copy have a picture each, in every front end that names its cells."""
    code = source()
    runs = [ask(kernel, code, cell_id=cell_id) for cell_id in ("a", "b", "a", "b", "c")]
    assert [run.twin for run in runs] == [0, 1, 0, 1, 2]
    assert [run.first for run in runs] == [True, True, False, False, True]


def test_without_ids_runners_run_each_cell_once(kernel: Kernel) -> None:
    """A runner's second identical cell is a second cell, also in Voila, which keeps no history;
    in other front ends without ids it is the first one run again."""
    code, other = source(), source()
    runs = [ask(kernel, code, allow_stdin=False, store_history=n < 2) for n in range(3)]
    assert [(run.twin, run.first) for run in runs] == [(0, True), (1, True), (2, True)]
    runs = [ask(kernel, other) for _ in range(2)]
    assert [(run.twin, run.first) for run in runs] == [(0, True), (0, False)]


def test_all_that_a_cell_does_is_one_execution(kernel: Kernel) -> None:
    """Loops, threads, tasks, magics and scripts in a cell count on in it, request by request,
    wherever the cell has moved to."""
    code = f"""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    cell = cells.running()
    ask()
    ask("an owl")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: ask(), range(2)))

    async def task():
        await asyncio.sleep(0.01)
        ask()

    await asyncio.gather(task(), task())
    %run -i script.py
    get_ipython().run_cell("ask()")
    get_ipython().run_cell("")
    %cd -q /
    %time ask()
    %reset -f in
    ask()  # {next(_asks)}
    """
    reply = kernel.run(code, cell_id="whole", allow_stdin=True)
    assert reply.traceback == ""
    found = asked(reply.text)
    assert None not in found
    assert {one.source for one in found} == {cells._hash(code)}
    assert {one.folder for one in found} == {str(kernel.folder)}
    assert {(one.twin, one.first) for one in found} == {(0, True)}
    assert sorted(one.ordinal for one in found) == [0, *range(8)]
    assert found[1].ordinal == 0
    assert reply.text.count("script True") == 1
    after = ask(kernel, source(), cell_id="whole")
    assert (after.folder, after.ordinal) == (str(kernel.folder), 0)


def test_a_cell_magic_is_the_whole_cell(kernel: Kernel) -> None:
    """`%%capture` runs the rest as a cell of its own; the key is that of what stands there."""
    code = f"%%capture said\nask()  # {next(_asks)}"
    kernel.run(code, cell_id="magic", allow_stdin=True)
    (found,) = asked(kernel.run("print(said.stdout)").text)
    assert found is not None
    assert found.source == cells._hash(code)


def test_no_cell_runs_between_cells(kernel: Kernel) -> None:
    """A panel always draws: in a button's callback between cells, and while a cell waits, whose
    threads stay its own; nor does a task that outlives its cell count as part of it."""
    kernel.run(f"""
        import asyncio, ipywidgets, threading, time
        from concurrent.futures import ThreadPoolExecutor
        heard, clicked = [], threading.Event()

        def note(*_):
            heard.append(cells.running())
            clicked.set()
            time.sleep(0.1)  # for the thread to ask in

        async def late():
            await asyncio.sleep(0.05)
            note()

        def in_thread():
            clicked.wait(0.3)
            return cells.running()

        button = ipywidgets.Button()
        button.on_click(note)
        kept = asyncio.get_running_loop().create_task(late())  # {next(_asks)}
        """)
    model = kernel.run("print(button.model_id)").text.strip()
    kernel.click(model)
    wait_for(kernel, "len(heard) == 2")
    waiting = kernel.send("""
        clicked.clear()
        with ThreadPoolExecutor() as pool:
            asks = asyncio.wrap_future(pool.submit(in_thread))
            print(await asks is cells.running() is not None)
        """)
    kernel.click(model)
    assert "True" in kernel.reply(waiting).text
    wait_for(kernel, "len(heard) == 3")
    assert kernel.run("print(heard)").text.strip() == "[None, None, None]"


def wait_for(kernel: Kernel, condition: str) -> None:
    """Run one cell after the other until it is so."""
    end = time.monotonic() + 20
    while "True" not in kernel.run(f"print({condition})").text:
        assert time.monotonic() < end


def test_a_runner_names_the_same_cells_each_time(tmp_path: Path) -> None:
    """nbclient, and with it nbconvert and papermill: two identical cells are two, and the same two
    in the next run and in a notebook program."""
    code = source()
    runs = []
    for _ in range(2):
        made = [nbformat.v4.new_code_cell(text) for text in (HELPERS, code, code)]
        notebook = nbformat.v4.new_notebook(cells=made)
        NotebookClient(notebook, timeout=60).execute(
            env=child_environment(tmp_path, {}), cwd=str(tmp_path)
        )
        runs.append([asked(cell.outputs[0].text)[0] for cell in made[1:]])
    assert runs[0] == runs[1]
    assert [(run.twin, run.first) for run in runs[0] if run] == [(0, True), (1, True)]
    with Kernel(cwd=tmp_path) as program:
        program.run(HELPERS)
        assert [ask(program, code, cell_id=cell_id) for cell_id in ("a", "b")] == runs[0]


def test_lines_of_a_terminal(python: Path, tmp_path: Path) -> None:
    """A line typed again is the same cell again, and `ipython -c` and startup files are none."""
    code = "exec(open('helpers.py').read())"
    (tmp_path / "helpers.py").write_text(HELPERS)
    command = [str(python), "-m", "IPython", "--simple-prompt", "--no-banner", "--no-confirm-exit"]
    lines = [code, "ask()", "get_ipython().run_cell('ask()'); ask()", "ask()"]
    typed, told = (
        subprocess.run(
            [*command, *more],
            input="\n".join([*lines, "exit", ""]),
            env=child_environment(tmp_path, {"TERM": "dumb"}),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout
        for more in ([], ["-c", f"{code}; ask()"])
    )
    found = [(one.twin, one.first, one.execution, one.ordinal) for one in asked(typed) if one]
    assert found == [(0, True, 1, 0), (0, True, 2, 0), (0, True, 2, 1), (0, False, 3, 0)]
    assert asked(told) == [None]


def test_outside_ipython() -> None:
    """A script always draws."""
    assert cells.running() is None
