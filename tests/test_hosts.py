"""Where notebooks go besides JupyterLab: papermill, nbconvert's exports, widgets that take output,
and Python in the browser, which is told why it cannot."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from markdown_it import MarkdownIt
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import (
    HTMLExporter,
    LatexExporter,
    MarkdownExporter,
    RSTExporter,
    SlidesExporter,
)
from traitlets.config import Config

from nanobanana_nb import Sandbox

from .conftest import drawing_at
from .harness.environment import child_environment
from .harness.kernels import Kernel

LOAD = "%load_ext nanobanana_nb\nimport nanobanana_nb as nb"
ONE = "%nanobanana {prompt} in the snow"
SOME = "nb.generate(prompt, count=2)"
GRID = "%nanobanana {a fox|an owl} in snow"
REFUSED = "%nanobanana [sandbox 402] {prompt}"
PROMPT = "an owl's “nest”, <b>$5</b>"

DRAWN = 1 + 2 + 2
IMAGES_FIRST = ["image/png", "image/jpeg", "text/html", "text/markdown", "text/plain"]
"""What docs/front-ends.md tells whoever wants Markdown with picture files."""
_DATA_IMAGE = re.compile(r'<img [^>]*?src="data:image/jpeg;base64,[\w+/=]+"')
_URL = re.compile(r"url\(|@import")


# papermill.


@dataclass(frozen=True)
class Done:
    """What papermill left behind."""

    code: int
    said: str
    cells: list[nbformat.NotebookNode]
    prompts: list[str]

    def outputs(self, source: str) -> list[nbformat.NotebookNode]:
        """The outputs of the cell with this source."""
        (cell,) = [cell for cell in self.cells if cell.source == source]
        return list(cell.outputs)


def notebook(*cells: str) -> nbformat.NotebookNode:
    """A notebook of code cells, of which the first holds the parameters."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made.metadata["kernelspec"] = kernel
    made.metadata["language_info"] = {"name": "python"}
    return made


@pytest.fixture(scope="module")
def papermill(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A run with another prompt than the notebook's, which fails before its last cell."""
    folder = tmp_path_factory.mktemp("papermill")
    nbformat.write(
        notebook('prompt = "a fox"', LOAD, ONE, SOME, GRID, REFUSED, "%nanobanana never"),
        folder / "in.ipynb",
    )
    with Sandbox(latency=0.3) as api:
        done = subprocess.run(
            [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "-p", "prompt", PROMPT],
            cwd=folder, env=child_environment(folder, drawing_at(api.url)), timeout=120,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        prompts = [task.prompt for task in api.tasks]
    cells = nbformat.read(folder / "out.ipynb", as_version=4).cells
    return Done(done.returncode, done.stdout, cells, prompts)


def test_papermill_sets_the_prompt(papermill: Done) -> None:
    """A parameter arrives in the prompt letter by letter, and each cell keeps its pictures once:
    the progress has left nothing that could be seen."""
    assert papermill.prompts[:3] == [f"{PROMPT} in the snow", PROMPT, PROMPT]
    for source, most in ((ONE, 1), (SOME, 2), (GRID, 2)):
        data = [output.data for output in papermill.outputs(source)]
        html = "".join(one["text/html"] for one in data)
        assert len(_DATA_IMAGE.findall(html)) == most
        assert sum("image/jpeg" in one for one in data) == 1
        assert "progressbar" not in html


def test_papermill_stops_at_a_failure(papermill: Done) -> None:
    """With one line, in the notebook and at the end of what it says; nothing is sent after it."""
    assert papermill.code == 1
    last = papermill.said.strip().splitlines()[-1]
    assert last.startswith("BalanceTooLow: The balance is too low (402).")
    *_, error = papermill.outputs(REFUSED)
    assert error.traceback == [last]
    assert papermill.outputs("%nanobanana never") == []
    assert "never" not in papermill.prompts


def test_a_cell_that_takes_too_long_names_its_task(tmp_path: Path) -> None:
    """A runner that interrupts a cell at its time limit keeps the id of what was paid for."""
    with Sandbox(latency=60) as api:
        slow = notebook('prompt = "a fox"', LOAD, ONE)
        client = NotebookClient(
            slow,
            timeout_func=lambda cell: 5 if cell.source == ONE else 60,
            interrupt_on_timeout=True,
        )
        with pytest.raises(CellExecutionError, match="Stopped: No longer waiting"):
            client.execute(env=child_environment(tmp_path, drawing_at(api.url)), cwd=str(tmp_path))
        (task,) = api.tasks
    *_, error = slow.cells[-1].outputs
    (line,) = error.traceback
    assert f"Task {task.id} goes on ($0.03)" in line


# nbconvert.


@pytest.fixture(scope="module")
def drawn(papermill: Done) -> nbformat.NotebookNode:
    """The same as a notebook of code cells alone, as it is exported."""
    cells = [cell for cell in papermill.cells if cell.cell_type == "code"]
    made = nbformat.v4.new_notebook(cells=cells[2:])  # without both cells of parameters
    made.metadata["language_info"] = {"name": "python"}
    return made


@pytest.mark.parametrize("template", ["lab", "classic", "basic"])
def test_html_is_a_page_of_its_own(drawn: nbformat.NotebookNode, template: str) -> None:
    """Every picture is inside; of ours nothing is fetched from elsewhere, nor from beside it."""
    page, _ = HTMLExporter(template_name=template).from_notebook_node(drawn)
    assert len(_DATA_IMAGE.findall(page)) == DRAWN
    assert "progressbar" not in page
    for output in [output for cell in drawn.cells for output in shown(cell)]:
        ours = Links()
        ours.feed(output.data["text/html"])
        assert [link for link in ours.found if not link.startswith("data:image/jpeg;base64,")] == []
        assert not {"script", "link", "iframe", "object"} & ours.tags
        assert not _URL.search(output.data["text/html"])


def test_markdown_keeps_each_output_whole(drawn: nbformat.NotebookNode) -> None:
    """Each output is one block of HTML, so that no part of it is read as Markdown: its pictures
    are there, and a prompt with `<b>` and `$` is text."""
    text, _ = MarkdownExporter().from_notebook_node(drawn)
    tokens = MarkdownIt("commonmark").parse(text)
    blocks = [token.content for token in tokens if token.type == "html_block"]
    assert len(_DATA_IMAGE.findall("".join(blocks))) == DRAWN
    html = [output.data["text/html"] for cell in drawn.cells for output in shown(cell)]
    assert [block.strip() for block in blocks] == [one.strip() for one in html if one]
    outside = "".join(token.content for token in tokens if token.type == "inline")
    assert "<div" not in outside
    assert "<b>" not in outside


def test_markdown_with_picture_files(drawn: nbformat.NotebookNode) -> None:
    """Where pictures in the text are not shown, as at GitHub, they can be files beside it."""
    first = Config({"NbConvertBase": {"display_data_priority": IMAGES_FIRST}})
    text, resources = MarkdownExporter(config=first).from_notebook_node(drawn)
    linked = re.findall(r"!\[\w*\]\((.+\.jpg)\)", text)
    assert len(linked) == 3
    assert sorted(linked) == sorted(resources["outputs"])
    assert all(data.startswith(b"\xff\xd8\xff") for data in resources["outputs"].values())
    assert "base64" not in text
    assert len(text) < 4_000


def test_the_other_exports(drawn: nbformat.NotebookNode) -> None:
    """LaTeX gets files, slides and reStructuredText the same HTML; progress is in none."""
    latex, resources = LatexExporter().from_notebook_node(drawn)
    pictures = [name for name in resources["outputs"] if name.endswith(".jpg")]
    assert len(pictures) == 3
    assert all(f"{{{name}}}" in latex for name in pictures)
    for exporter in (SlidesExporter(), RSTExporter()):
        page, _ = exporter.from_notebook_node(drawn)
        assert len(_DATA_IMAGE.findall(page)) == DRAWN
        assert "progressbar" not in page


class Links(HTMLParser):
    """What a piece of HTML would fetch, and of what tags it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [str(link) for name, link in attrs if name in ("src", "srcset", "href")]


def shown(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The outputs of a cell that are no errors."""
    return [output for output in cell.outputs if output.output_type != "error"]


# Widgets that take what is shown.

RECORD = """
published = []
def record(publish=get_ipython().display_pub.publish):
    def recorded(data, *args, **kwargs):
        published.append((bool(kwargs.get("update")), "progressbar" in data.get("text/html", "")))
        return publish(data, *args, **kwargs)
    return recorded
get_ipython().display_pub.publish = record()
"""
TAKEN = """
import ipywidgets
published.clear()
with ipywidgets.Output():
    fox = get_ipython().run_line_magic("nanobanana", "a fox")
    owl = nb.generate("an owl")
print(published)
"""
NOT_TAKEN = """
published.clear()
fox = get_ipython().run_line_magic("nanobanana", "a fox")
print([update for update, _ in published][0], [bar for _, bar in published][0], len(published))
"""


def test_within_an_output_widget_nothing_is_replaced(python: Path) -> None:
    """It would keep the first state of the progress for ever, and never show the picture: so the
    result is shown, once, and no progress. Outside of it the progress is there as before."""
    with Sandbox(latency=1) as api, Kernel(python, env=drawing_at(api.url)) as kernel:
        kernel.run(f"{LOAD}\n{RECORD}")
        assert kernel.run(TAKEN).text == "[(False, False)]\n"
        first_is_update, first_is_bar, count = kernel.run(NOT_TAKEN).text.split()
        assert (first_is_update, first_is_bar) == ("False", "True")
        assert int(count) > 1


# Python in the browser.

IN_BROWSER = """
import sys, threading
from IPython.core.interactiveshell import InteractiveShell
import ipywidgets, httpx, PIL.Image, platformdirs, sqlite3
def none(*_, **__):
    raise RuntimeError("can't start new thread")
threading.Thread.start = none
sys.modules["keyring"] = None  # nobody has one there
sys.platform = "emscripten"
shell = InteractiveShell.instance(colors="NoColor")
for cell in {cells!r}:
    print("IN", cell, flush=True)
    shell.run_cell(cell, store_history=True)
"""
CELLS = (
    "%load_ext nanobanana_nb",
    "%nanobanana a fox",
    "import nanobanana_nb as nb",
    "nb.generate('a fox')",
    "nb.history()",
    "nb.Studio()",
)


def test_jupyterlite_is_told_why(tmp_path: Path) -> None:
    """No threads, no sockets: one line that says so and what to use instead, at the first verb,
    and no traceback through us; loading and importing are quiet."""
    done = subprocess.run(
        [sys.executable, "-c", IN_BROWSER.format(cells=CELLS)], cwd=tmp_path, timeout=60,
        env=child_environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    said = {
        cell.split("\n")[0].strip(): cell.split("\n")[1:-1] for cell in done.stdout.split("IN ")[1:]
    }
    assert list(said) == list(CELLS)
    for cell in CELLS:
        if cell.startswith(("%load_ext", "import")):
            assert said[cell] == []
            continue
        (line,) = said[cell]
        assert line.startswith("ConfigError: nanobanana_nb cannot draw here: ")
        assert "JupyterLite" in line
        assert "Use a notebook with a Python of its own" in line
