"""Notebooks without a front end: nbconvert, papermill, nbval, nbclient, and the file itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from .front_ends.quickstart import FAILURE, PICTURES, QUICKSTART
from .harness.colab import colab_environment
from .harness.environment import child_environment
from .harness.stacks import colab_stack

REPOSITORY = Path(__file__).parents[1]
ITERATE = REPOSITORY / "notebooks" / "iterate.ipynb"
COLAB = REPOSITORY / "notebooks" / "colab.ipynb"
NOTEBOOKS = (QUICKSTART, ITERATE, COLAB)
PROMPTS = [prompt for prompts in PICTURES for prompt in prompts]
TIMEOUT = 300
FORMS = (
    "%nanobanana {}",
    "x = %nanobanana {}",
    "x = %nanobanana {}\nx",
    "%%nanobanana\n{}",
)
TEN_PICTURES_AT_MOST = 1_500_000  # bytes of a notebook with ten pictures

_IMAGE = re.compile(r'<img [^>]*?src="data:image/jpeg;base64,[\w+/=]+"[^>]*>')
_ALT = re.compile(r'alt="([^"]*)"')
_SECRET = re.compile(r"(?i)(bearer\s+\S|api_?key\W{1,4}[\w-]{16,}|\bsk-\w{8,}|/home/|/Users/)")


@dataclass(frozen=True)
class Run:
    """How a command ended, and its folder."""

    folder: Path
    code: int
    output: str


def environment(folder: Path) -> dict[str, str]:
    """An environment in which Jupyter, too, keeps everything in ``folder``."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    extra: Mapping[str, str] = {name: str(folder / name.lower()) for name in names}
    return child_environment(folder, extra)


def run(folder: Path, *command: str) -> Run:
    """Run a Python module as a command line does."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=REPOSITORY,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return Run(folder, done.returncode, done.stdout)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """The notebooks run by several programs, side by side: each mostly waits."""
    names = ("html", "papermill", "nbval", "tour", "nbval-tour", "colab")
    folders = {name: tmp_path_factory.mktemp(name) for name in names}
    notebook, tour = str(QUICKSTART), str(ITERATE)
    commands = {
        "html": (
            "jupyter", "nbconvert", "--to=html", "--execute", notebook,
            f"--output-dir={folders['html']}",
        ),
        "papermill": ("papermill", notebook, str(folders["papermill"] / "done.ipynb")),
        "nbval": ("pytest", "-p", "no:cacheprovider", "--nbval-lax", notebook),
        "tour": ("papermill", tour, str(folders["tour"] / "done.ipynb")),
        "nbval-tour": ("pytest", "-p", "no:cacheprovider", "--nbval-lax", tour),
        "colab": ("papermill", str(COLAB), str(folders["colab"] / "done.ipynb")),
    }  # fmt: skip
    with ThreadPoolExecutor() as pool:
        started = {name: pool.submit(run, folders[name], *commands[name]) for name in commands}
        return {name: future.result() for name, future in started.items()}


def test_nbconvert_to_html(runs: dict[str, Run]) -> None:
    """A page that can be mailed: pictures inside, with their prompts, and no progress left."""
    html = runs["html"]
    assert html.code == 0, html.output
    page = (html.folder / "quickstart.html").read_text(encoding="utf-8")
    images = _IMAGE.findall(page)
    assert [alt for image in images for alt in _ALT.findall(image)] == PROMPTS
    assert page.count("<img ") == len(PROMPTS)
    assert "progressbar" not in page
    assert FAILURE in page
    assert "Traceback" not in page


def test_papermill(runs: dict[str, Run]) -> None:
    """A pipeline runs it to its end and keeps every picture."""
    papermill = runs["papermill"]
    done = nbformat.read(papermill.folder / "done.ipynb", as_version=4)
    code = [cell for cell in done.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert sum(map(count_pictures, code)) == len(PICTURES)
    assert papermill.code == 0, papermill.output


def test_nbval(runs: dict[str, Run]) -> None:
    """Whoever checks their notebooks with nbval can check these."""
    for name, file in (("nbval", QUICKSTART), ("nbval-tour", ITERATE)):
        nbval = runs[name]
        assert nbval.code == 0, nbval.output
        assert f" {len(code_cells(file))} passed" in nbval.output


def test_markdown(runs: dict[str, Run], tmp_path: Path) -> None:
    """An export to Markdown has each picture as a file or in its text."""
    done = runs["papermill"].folder / "done.ipynb"
    export = run(
        tmp_path, "jupyter", "nbconvert", "--to=markdown", str(done), f"--output-dir={tmp_path}"
    )
    assert export.code == 0, export.output
    page = (tmp_path / "done.md").read_text(encoding="utf-8")
    for prompt in PROMPTS:
        assert page.count(f'alt="{prompt}"') + page.count(f"“{prompt}”") >= PROMPTS.count(prompt)


def test_ten_pictures_make_a_small_notebook(tmp_path: Path) -> None:
    """A day's work can be mailed and committed: each cell keeps its picture once, and small."""
    drawing = [form.format(f"a fox, number {n}") for n, form in zip(range(10), cycle(FORMS))]
    cells = [nbformat.v4.new_code_cell(code) for code in ("%load_ext nanobanana_nb", *drawing)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=TIMEOUT).execute(env=environment(tmp_path), cwd=str(tmp_path))
    assert [count_pictures(cell) for cell in notebook.cells] == [0] + [1] * 10
    size = len(nbformat.writes(notebook).encode())
    assert size < TEN_PICTURES_AT_MOST, size


def code_cells(notebook: Path = QUICKSTART) -> list[nbformat.NotebookNode]:
    """The code cells of a notebook as it is committed."""
    cells = nbformat.read(notebook, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def count_pictures(cell: nbformat.NotebookNode) -> int:
    """How many outputs of the cell hold pictures, both as an image and in HTML."""
    outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
    images = sum("image/jpeg" in data for data in outputs)
    assert images == sum("<img " in data.get("text/html", "") for data in outputs)
    return images


# What the cells of the tour say, in order; each is looked for in the words of one cell.
TOUR = (
    "1024 × 1024 png",
    "((1024, 1024)",
    "the same cat from the side",
    "1344 × 756 png",
    "B “the cat is served dinner",
    "“what about a spa?”",
    "-> “move it to a beach” -> [“what about a spa?”]",
    "rides the cat of the seco",
    "4 jobs = 4 pictures, $0.12 of sandbox money",
    "3 variants x 2 variants = 6 pictures, $0.18 of sandbox money",
    "2 animals x 2 aspect ratios = 4 pictures, $0.12 of sandbox money",
    "an owl on a hill",
    "864 × 1152 png",
    "a lighthouse, in black ink",
    "watercolor",
    "Read from the file itself",
    "run the cell to open it",
    "24 pictures",
)


def test_the_tour_runs_and_shows_every_step(runs: dict[str, Run]) -> None:
    """Ratios, references, grids, styles, a panel: each step leaves what it is there for."""
    assert runs["tour"].code == 0, runs["tour"].output
    notebook = nbformat.read(runs["tour"].folder / "done.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [[output.get("data", {}) for output in cell.outputs] for cell in cells]
    words = ["\n".join(data.get("text/plain", "") for data in shown) for shown in outputs]
    told = iter(words)
    assert [step for step in TOUR if not any(step in cell for cell in told)] == []
    assert sum("<table" in data.get("text/html", "") for shown in outputs for data in shown) >= 2
    assert "application/vnd.jupyter.widget-view+json" in outputs[-2][0]


@pytest.fixture(scope="module")
def runs_on_colab(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """The notebooks run on Colab's versions, with `google.colab` there and nobody at the page."""
    argv = [str(colab_stack(REPOSITORY)), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    folders = {file.stem: tmp_path_factory.mktemp(f"colab-{file.stem}") for file in NOTEBOOKS}
    for folder in folders.values():
        kernel = Path(environment(folder)["JUPYTER_DATA_DIR"]) / "kernels" / "colab"
        kernel.mkdir(parents=True)
        env = colab_environment(folder) | {"COLAB_SECONDS": "0.2"}
        spec = {"argv": argv, "display_name": "Colab", "language": "python", "env": env}
        (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    with ThreadPoolExecutor() as pool:
        started = {
            file.stem: pool.submit(
                run, folder, "papermill", "-k", "colab", str(file), str(folder / "done.ipynb")
            )
            for file, folder in zip(NOTEBOOKS, folders.values(), strict=True)
        }
        return {name: future.result() for name, future in started.items()}


COLAB_PICTURES = {"first": 1, "edit": 1, "grid": 1, "history": 1}
"""What of the notebook for Colab shows pictures, by the names of its cells."""


def pictures_of(run: Run) -> dict[str, int]:
    """How many outputs with pictures each cell has, by its name."""
    assert run.code == 0, run.output
    notebook = nbformat.read(run.folder / "done.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return {cell.id: count for cell in cells if (count := count_pictures(cell))}


def test_the_notebook_for_colab_runs_elsewhere(runs: dict[str, Run]) -> None:
    """In plain Jupyter, without a key, a Drive or `google.colab`."""
    assert pictures_of(runs["colab"]) == COLAB_PICTURES


def test_the_notebooks_run_on_colab(runs: dict[str, Run], runs_on_colab: dict[str, Run]) -> None:
    """All three, with as many pictures as on the newest versions."""
    assert pictures_of(runs_on_colab["colab"]) == COLAB_PICTURES
    assert pictures_of(runs_on_colab["quickstart"]) == pictures_of(runs["papermill"])
    assert pictures_of(runs_on_colab["iterate"]) == pictures_of(runs["tour"])


def test_the_notebook_for_colab_says_what_people_need() -> None:
    """The badge leads to this file; where the key goes, how copies are kept, what brings a picture
    back; and nothing mounts a Drive unasked."""
    notebook = nbformat.read(COLAB, as_version=4)
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    address = "colab.research.google.com/github/OWNER/nanobanana-nb/blob/main/notebooks/colab.ipynb"
    for part in (address, "APIXO_API_KEY", "Notebook access", "MyDrive/nanobanana", "nb.resume("):
        assert part in words
    assert "keep_copies_in_drive = False" in "\n".join(cell.source for cell in code_cells(COLAB))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_the_committed_notebooks_are_clean(file: Path) -> None:
    """What is committed was not run: no outputs, no numbers, no keys, no one's folders."""
    text = file.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert [cell.outputs for cell in code_cells(file)] == [[]] * len(code_cells(file))
    assert {cell.execution_count for cell in code_cells(file)} == {None}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert _SECRET.findall(text) == []
    assert len(text.encode()) < 10_000
