"""What people may import, and what importing costs."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import nanobanana_nb as nb

PUBLIC = [
    "APIError",
    "AccessDenied",
    "BalanceTooLow",
    "Batch",
    "BudgetReached",
    "Client",
    "Comparison",
    "ConfigError",
    "ContentRefused",
    "DownloadError",
    "Gallery",
    "Generation",
    "Grid",
    "History",
    "ImageRequest",
    "KeyRefused",
    "LeaseLost",
    "LedgerError",
    "NanoBananaError",
    "Panel",
    "Picture",
    "RateLimited",
    "Recipe",
    "RequestError",
    "Sandbox",
    "Schedule",
    "ServerError",
    "Settings",
    "Stopped",
    "Studio",
    "SubmitUnknown",
    "TaskFailed",
    "TaskNotFound",
    "TransportError",
    "WaitTimeout",
    "allow_asyncio_run",
    "balance",
    "batch",
    "compare",
    "edit",
    "generate",
    "grid",
    "history",
    "load",
    "login",
    "resume",
    "styles",
    "vary",
]


def test_the_public_names_are_these() -> None:
    """A name that appears or goes is a decision, not an accident."""
    assert sorted(nb.__all__) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(nb))


def test_every_public_name_is_there_and_documented() -> None:
    """Each name can be imported and says what it gives."""
    for name in PUBLIC:
        assert getattr(nb, name).__doc__, name


def test_no_module_hides_a_public_name() -> None:
    """Importing `nanobanana_nb.x` sets the attribute `x`, whatever it was meant to be."""
    modules = {module.name for module in pkgutil.iter_modules(nb.__path__)}
    assert modules.isdisjoint(PUBLIC)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """hasattr and IDEs rely on it."""
    assert not hasattr(nb, "no_such_name")


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_import_does_no_io_and_loads_nothing_heavy() -> None:
    """Importing opens no file or socket of ours, starts no thread, loads no httpx or Pillow."""
    code = """
import sys, threading
opened = []
sys.addaudithook(lambda event, args: opened.append((event, args[:1]))
    if event.split(".")[0] in ("socket", "sqlite3", "subprocess")
    or event == "open" and not str(args[0]).endswith((".py", ".pyc")) else None)
import nanobanana_nb
print(opened, threading.active_count(), sorted({"httpx", "PIL", "ipywidgets", "IPython",
      "nanobanana_nb.studio"} & set(sys.modules)))
"""
    assert run(code).strip() == "[] 1 []"


def test_loading_the_extension_loads_no_http_and_no_pillow() -> None:
    """`%load_ext` in a shell stays light: httpx and Pillow wait for the first picture."""
    code = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "nanobanana_nb")
import threading
print(sorted({"httpx", "PIL"} & (set(sys.modules) - before)), threading.active_count())
"""
    assert run(code).splitlines()[-1].startswith("[]")
