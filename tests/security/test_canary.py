"""One key, used for everything, and then looked for in everything that could have kept it.

JupyterLab's own saving, in Chromium, is in tests/front_ends/test_canary.py.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image, PngImagePlugin

from nanobanana_nb import Sandbox

from ..conftest import drawing_at
from ..harness.environment import child_environment
from ..harness.kernels import Kernel, Reply
from ..test_cli import Command
from ..test_cli_serving import serving
from .searching import CANARY, files, hits

LOG = """
import asyncio, logging, warnings
logging.basicConfig(level=0, filename="debug.log", force=True)
warnings.simplefilter("always")
asyncio.get_event_loop().set_debug(True)
"""
LOGIN = "import nanobanana_nb as nb; nb.login()"
DRAW = (
    "%load_ext nanobanana_nb",
    "fox = %nanobanana -f jpeg a fox in ink",
    "fox",
    "%%nanobanana -f png\nan owl\nby night",
    "brighter = nb.edit(fox, 'brighter'); brighter",
    "sheet = nb.grid('a {animal} in {style}', animal=['fox', 'owl'], style=['ink', 'oil']); sheet",
    "sheet.save('grid.html'); sheet.save('grid.png'); fox.save('embedded.png', embed=True)",
    "two = nb.batch(['one', 'two'], key='mine'); two",
    "lines = nb.vary(fox, 2); lines",
    "nb.history()",
    "print(nb.history().to_pandas().to_csv())",
    "nb.balance(), nb.resume(), nb.styles()",
    "nb.compare(fox, brighter)",
    "nb.load(fox.path), fox.lineage",
    "%nanobanana_balance",
    "%nanobanana_history fox",
    "%nanobanana --dry-run a fox",
    "panel = nb.Panel(); panel",
    "nb.generate('a {what}', style='mine')",
)
NO_PICTURE = """
import dataclasses
from nanobanana_nb.sync import current_studio
quick = nb.Studio(dataclasses.replace(current_studio().settings, backoff=0.01))
await quick.generate('a fox [sandbox not-image]')
"""
FAIL = (
    "%nanobanana [sandbox 401] a fox",
    "nb.generate('a fox [sandbox 402]')",
    "%nanobanana a fox [sandbox drop]",
    "nb.generate('a fox [sandbox CONTENT_VIOLATION]', count=2)",
    NO_PICTURE,
    "nb.generate('a fox', api_key='x')",
    "%nanobanana --key x",
)
TAKE_APART = """
import copy, gc, pickle, pprint
from nanobanana_nb.sync import current_studio
studio = current_studio()
held = [studio, studio.settings, studio.settings.api_key, studio.settings.found, studio._workshop,
        studio._workshop.client, fox, fox.image, fox.request, sheet, two, nb.history(), panel,
        nb.styles(), nb.compare(fox, brighter), nb.load(fox.path), *map(nb.__getattr__, nb.__all__)]
for one in held:
    print(repr(one), str(one), f"{one}", vars(one) if hasattr(one, "__dict__") else "")
    pprint.pprint(one)
    for leak in (pickle.dumps, copy.deepcopy):
        try:
            print(leak(one))
        except Exception as error:
            print(repr(error))
for one in gc.get_objects():
    if str(type(one).__module__).split(".")[0] in ("nanobanana_nb", "httpx"):
        print(repr(one))
"""
INTERPRETER = """%who_ls
%whos
%history
print(_ih, _oh, globals())
get_ipython().history_manager.writeout_cache()
"""
WIDGETS = """
import ipywidgets, json
from ipywidgets.embed import embed_data, embed_snippet
print(json.dumps(embed_data(views=None)), embed_snippet(views=None))
print(json.dumps(ipywidgets.Widget.get_manager_state(), default=repr))
"""
SHOWN = """
import asyncio, ipywidgets
panel = nb.Panel()
display(panel)
while "a fox in ink" not in repr(ipywidgets.Widget.get_manager_state()):
    await asyncio.sleep(0.05)
"""
RAISE = """
for _ in range(1):
    try:
        nb.generate("a fox [sandbox drop]")
    except nb.NanoBananaError as error:
        import traceback
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        print("".join(told.format()))
        raise RuntimeError("my own") from error
"""


@dataclass
class Sinks:
    """Everything that could have kept the key, by name."""

    found: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, *said: Any) -> None:
        """What a sink holds; something, or the search would find nothing in nothing."""
        parts = [one if isinstance(one, bytes) else str(one).encode() for one in said]
        assert any(parts), name
        self.found[name] = self.found.get(name, b"") + b"\n".join(parts)

    def check(self, *names: str) -> None:
        """All of these were searched, and none holds the key in any form."""
        assert set(names) <= set(self.found)
        assert {name: held for name, data in self.found.items() if (held := hits(data))} == {}


def whole(reply: Reply) -> str:
    """All that a cell shows, to the last mimebundle and its metadata."""
    area = reply.area
    outputs = [[one.kind, one.data, one.metadata, one.stream, one.text] for one in area.outputs]
    return json.dumps([outputs, area.traceback, reply.ename, reply.evalue])


# ------------------------------------------------------------------ the search itself


def planted(key: bytes) -> Mapping[str, bytes]:
    """A key in the places and forms in which one might be kept."""
    text = key.decode()
    png, jpeg = io.BytesIO(), io.BytesIO()
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", f"made with {text}", zip=True)
    Image.new("RGB", (4, 4)).save(png, "PNG", pnginfo=info)
    Image.new("RGB", (4, 4)).save(jpeg, "JPEG", comment=f"made with {text}".encode())
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("PRAGMA encoding = 'UTF-16le'")
        database.execute("CREATE TABLE a (b TEXT)")
        database.execute("INSERT INTO a VALUES (?)", [f"x{text}"])
        database.commit()
        table = database.serialize()
    inline = base64.b64encode(png.getvalue()).decode()
    return {
        "a log": f"Authorization: Bearer {text}".encode(),
        "base64": base64.b64encode(b"abc" + key),
        "base64, one on": base64.b64encode(b"abcd" + key),
        "base64, two on": base64.b64encode(b"abcde" + key + b"z"),
        "SQLite in UTF-16": table,
        "packed in a PNG": png.getvalue(),
        "a JPEG": jpeg.getvalue(),
        "a picture in a page": f'<img src="data:image/png;base64,{inline}">'.encode(),
        "a part of it": key[5:-5],
        "hex": key.hex().encode(),
    }


@pytest.mark.parametrize("place", planted(b""))
def test_the_search_sees_what_was_planted(place: str) -> None:
    """A search that finds nothing proves nothing, unless it finds what is there."""
    assert hits(planted(CANARY.encode())[place])
    assert hits(planted(b"sk-another-key-of-the-same-length0")[place]) == []
    assert zlib.crc32(CANARY.encode())  # the key itself is a constant of this folder


# ------------------------------------------------------------------ the drives


def test_k7_a_kernel_and_all_that_it_writes(tmp_path: Path) -> None:
    """A session with the key typed in: drawn, edited, gridded, failed, taken apart, logged at
    DEBUG. Neither what it shows nor any file that it leaves holds the key."""
    sinks = Sinks()
    mirror, styles = tmp_path / "mirror", tmp_path / "styles.toml"
    mirror.mkdir()
    styles.write_text('[mine]\nprompt = "in ink"\n')
    with Sandbox(api_key=CANARY, latency=0) as api:
        env: dict[str, str | None] = drawing_at(api.url) | {"APIXO_API_KEY": None}
        env |= {"NANOBANANA_EMBED": "1", "NANOBANANA_MIRROR": str(mirror / "copies")}
        env |= {"NANOBANANA_STYLES": str(styles)}
        with Kernel(env=env) as kernel:
            sinks.add("logging switched on", whole(kernel.run(LOG)))
            kernel.answers.append(CANARY)
            login = kernel.run(LOGIN, allow_stdin=True)
            assert login.status == "ok", login.traceback
            sinks.add("the output of nb.login()", whole(login))
            for code in DRAW:
                reply = kernel.run(code)
                assert reply.status == "ok", reply.traceback
                sinks.add("outputs of cells", whole(reply))
            for code in FAIL:
                sinks.add("errors of cells", whole(kernel.run(code)))
            taken = kernel.run(TAKE_APART)
            assert taken.status == "ok", taken.traceback
            sinks.add("reprs and pickles", whole(taken))
            for mode in ("Plain", "Context", "Verbose", "Minimal"):
                kernel.run(f"%xmode {mode}")
                sinks.add(f"tracebacks, {mode}", whole(kernel.run(RAISE)))
            state = kernel.run(WIDGETS)
            assert state.status == "ok", state.traceback
            sinks.add("widget state", whole(state))
            sinks.add("the interpreter", whole(kernel.run(INTERPRETER)))
            assert api.counts["submit"] > 15
            urllib_pages(sinks, api.url)
            home = kernel.folder / "nanobanana"
            sinks.add("kernel log", kernel.log or "(empty)")
            sinks.add("the DEBUG log", files(kernel.folder, "debug.log"))
            sinks.add("IPython's history.sqlite", files(kernel.folder / "ipython", "*.sqlite"))
            sinks.add("the ledger", files(home, "ledger.sqlite3*"))
            sinks.add("sidecars", files(home, "*.json"))
            sinks.add("pictures and their metadata", files(home / "pictures", "*.[jp][pn]g"))
            sinks.add("previews", files(home / "previews", "*"))
            sinks.add("what was no picture", files(home / "refused", "*"))
            sinks.add("saved pictures, with settings", files(kernel.folder, "embedded.png"))
            sinks.add("grid.html", files(kernel.folder, "grid.html"))
            sinks.add("grid.png", files(kernel.folder, "grid.png"))
            sinks.add("the mirror", files(mirror, "*"))
            sinks.add("styles", files(tmp_path, "styles.toml"))
            sinks.add("every other file", files(kernel.folder, "*"))
    assert b"a fox in ink" in sinks.found["pictures and their metadata"]
    assert b"receive_response_headers" in sinks.found["the DEBUG log"]
    assert len(sinks.found) >= 20
    sinks.check()


def urllib_pages(sinks: Sinks, url: str) -> None:
    """The sandbox's own page and what it answers."""
    for path in ("/", "/api/v1/getBalance", "/nothing"):
        try:
            with urllib.request.urlopen(url + path, timeout=10) as answer:
                told = answer.read() + str(answer.headers).encode()
        except urllib.error.HTTPError as error:
            told = error.read() + str(error.headers).encode()
        sinks.add("the sandbox's answers", told)


SCRIPT = """
import faulthandler, sys
faulthandler.enable()
import nanobanana_nb as nb
print(nb.generate("a fox"), nb.balance())
nb.generate("a fox [sandbox {name}]")
"""


def test_k7_the_command_line_scripts_and_the_receiver(tmp_path: Path) -> None:
    """The key in the environment: what commands print for people and for programs, what a script
    says when it ends with an error, and what the receiver answers."""
    sinks = Sinks()
    with Sandbox(api_key=CANARY, latency=0) as api:
        nanobanana = Command(tmp_path / "home", api.url, APIXO_API_KEY=CANARY)
        for line in (
            "generate fox", "generate fox --json", "generate [sandbox&401]",
            "generate [sandbox&401] --json", "history", "history --json", "doctor",
            "doctor --json", "balance", "resume --json",
        ):  # fmt: skip
            told = nanobanana(*(word.replace("&", " ") for word in line.split()))
            sinks.add(f"nanobanana {line}", told.stdout, told.stderr)
        for name in ("401", "drop"):
            crashed = subprocess.run(
                [sys.executable, "-X", "dev", "-c", SCRIPT.format(name=name)],
                env=nanobanana.environment, capture_output=True, check=False, timeout=60,
            )  # fmt: skip
            assert crashed.returncode == 1
            assert b"Traceback" in crashed.stderr
            sinks.add("the crash message of a script", crashed.stdout, crashed.stderr)
        with serving(nanobanana, "listen") as (_, told):
            sinks.add("what the receiver says", json.dumps(told))
            for method in ("GET", "POST"):
                request = urllib.request.Request(told["url"] + "/x", b"{}", method=method)
                with pytest.raises(urllib.error.HTTPError) as refused:
                    urllib.request.urlopen(request, timeout=10)
                answer = refused.value
                sinks.add("the receiver's answers", answer.read(), answer.headers)
        urllib_pages(sinks, api.url)
    sinks.add("every file of the home", files(tmp_path, "*"))
    sinks.check("nanobanana doctor", "nanobanana generate fox --json", "the receiver's answers")


def test_k3_a_notebook_run_by_nbclient(tmp_path: Path) -> None:
    """With the state of all widgets stored in it, as nbconvert and papermill may do; and the page
    that is made from it."""
    from nbconvert import HTMLExporter, MarkdownExporter

    cells = [*DRAW[:3], SHOWN]
    cells[0] = f"import nanobanana_nb as nb\n{cells[0]}"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    with Sandbox(api_key=CANARY, latency=0) as api:
        env = child_environment(tmp_path, drawing_at(api.url) | {"APIXO_API_KEY": CANARY})
        client = NotebookClient(
            notebook, timeout=60, kernel_name="python3", store_widget_state=True
        )
        client.execute(env=env, cwd=str(tmp_path))
        assert api.counts["submit"] == 1
    state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"].state
    assert len(state) > 20
    assert "a fox in ink" in json.dumps(state)
    sinks = Sinks()
    sinks.add("the notebook", nbformat.writes(notebook))
    sinks.add("its page", HTMLExporter().from_notebook_node(notebook)[0])
    sinks.add("its markdown", MarkdownExporter().from_notebook_node(notebook)[0])
    sinks.add("what was written beside it", files(tmp_path, "*"))
    sinks.check()
