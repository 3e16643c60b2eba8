"""Importing and loading: not a socket is made, not a name looked up, not a program started."""

from __future__ import annotations

import subprocess
import sys

import pytest

WATCHED = """
import sys
SEEN = []
WATCHED = ("socket.", "http.client.", "urllib.", "subprocess.", "os.system", "os.exec")
def look(event, arguments):
    if event.startswith(WATCHED):
        SEEN.append(event)
sys.addaudithook(look)
"""
IMPORTED = """
import importlib, pkgutil
import nanobanana_nb as nb
for module in pkgutil.walk_packages(nb.__path__, "nanobanana_nb."):
    importlib.import_module(module.name)
for name in dir(nb):
    getattr(nb, name)
"""
LOADED = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "nanobanana_nb")
assert shell.find_cell_magic("nanobanana")
assert shell.find_line_magic("nanobanana")
"""
ALONE = "import nanobanana_nb"
SOCKET = "import socket; socket.socket().close()"
NAME = """
import socket
try:
    socket.getaddrinfo("localhost", 9)
except OSError:
    pass
"""
PROGRAM = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''])"


def watched(code: str) -> str:
    """What of all that a program did, as it was told at its end."""
    line = [sys.executable, "-c", f"{WATCHED}{code}\nprint('seen:', *SEEN)"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("seen:")[2].strip()


@pytest.mark.parametrize(
    "code", [ALONE, IMPORTED, LOADED], ids=["import", "every module", "load_ext"]
)
def test_nothing_reaches_for_the_network(code: str) -> None:
    """Whoever opens a notebook and runs its first cell has told nobody, and loses no time."""
    assert watched(code) == ""


@pytest.mark.parametrize("code", [SOCKET, NAME, PROGRAM], ids=["socket", "name", "program"])
def test_the_watch_sees_what_does(code: str) -> None:
    """A watch that sees nothing would be content with everything."""
    assert watched(code)
