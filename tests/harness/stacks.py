"""Python environments with other people's versions, made once and kept in the repository."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

PINS_FILE = Path("../shared/data/colab-pins.txt")  # relative to the repository

# Used where that file is absent. From googlecolab/backend-info, pip-freeze.txt @ a724079.
COLAB_PINS = """\
ipython==7.34.0
ipykernel==6.17.1
ipywidgets==7.7.1
widgetsnbextension==3.6.10
jupyterlab_widgets==3.0.16
traitlets==5.7.1
tornado==6.5.7
pyzmq==26.2.1
jupyter_client==7.4.9
jupyter_core==5.9.1
nest-asyncio==1.6.0
matplotlib-inline==0.2.2
ipython-genutils==0.2.0
prompt_toolkit==3.0.53
backcall==0.2.0
decorator==4.4.2
pickleshare==0.7.5
psutil==5.9.5
setuptools==75.2.0
notebook==6.5.7
jupyter_server==2.20.0
nbconvert==7.17.1
nbclient==0.10.4
nbformat==5.11.1
anywidget==0.9.21
psygnal==0.15.1
httpx==0.28.1
httpcore==1.0.9
anyio==4.14.2
pillow==11.3.0
platformdirs==4.11.3
"""

# IPython 7.34 declares jedi, so an installer adds it; Colab itself has none.
NOT_ON_COLAB = "jedi"


def colab_stack(root: Path, python: str | Path = sys.executable) -> Path:
    """Return the interpreter of an environment pinned as Google Colab is.

    ``root`` is the repository; the project is installed from there, editable, on top of the
    pins and without its dependencies, so that nothing can move a pin.
    """
    with _one_at_a_time(root):
        folder = _stack(root, "colab", colab_pins(root), python, without=NOT_ON_COLAB)
        interpreter = interpreter_of(folder)
        _install_project(interpreter, root, folder)
    return interpreter


def widgets7_server(root: Path) -> Path:
    """Return an interpreter whose Lab, Notebook and Voila draw the widgets of Colab's stack.

    Lab itself is the one of this environment; only its widget manager is the old one.
    """
    programs = [f"{name}=={version(name)}" for name in ("jupyterlab", "notebook", "voila")]
    requirements = "\n".join([*programs, "jupyterlab_widgets==1.1.11"])
    with _one_at_a_time(root):
        return interpreter_of(_stack(root, "widgets7-server", requirements, sys.executable))


def _one_at_a_time(root: Path) -> FileLock:
    """Tests run in several processes; one of them makes what the others wait for."""
    (root / ".stacks").mkdir(exist_ok=True)
    return FileLock(root / ".stacks" / ".lock")


def _stack(root: Path, name: str, requirements: str, python: str | Path, without: str = "") -> Path:
    """Return the folder of an environment; it is made when its requirements are new."""
    folder = root / ".stacks" / name / _key(requirements, str(python), platform.python_version())
    if not folder.exists():
        _make(folder, requirements, python, without)
    return folder


def colab_pins(root: Path) -> str:
    """What Colab has, as a requirements file."""
    path = root / PINS_FILE
    return path.read_text(encoding="utf-8") if path.exists() else COLAB_PINS


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def interpreter_of(folder: Path) -> Path:
    """The Python of a virtual environment."""
    if os.name == "nt":
        return folder / "Scripts" / "python.exe"
    return folder / "bin" / "python"


def _make(folder: Path, requirements: str, python: str | Path, without: str) -> None:
    """Build next to the final place, then rename: a half-made environment is never found."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as building:
        made = Path(building) / "venv"
        wanted = Path(building) / "requirements.txt"
        wanted.write_text(requirements, encoding="utf-8")
        interpreter = interpreter_of(made)
        uv("venv", "--relocatable", "--python", str(python), str(made))
        uv("pip", "install", "--python", str(interpreter), "-r", str(wanted))
        if without:
            uv("pip", "uninstall", "--python", str(interpreter), without)
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():  # else another run made it meanwhile
                raise


def _install_project(interpreter: Path, root: Path, folder: Path) -> None:
    """Install the project editable, again only when its ``pyproject.toml`` has changed."""
    project = root / "pyproject.toml"
    stamp = folder / f"project-{_key(project.read_text(encoding='utf-8'))}"
    if stamp.exists():
        return
    uv("pip", "install", "--python", str(interpreter), "--no-deps", "-e", str(root))
    stamp.touch()


def uv(*arguments: str) -> str:
    """Run uv; what it printed. Raises `RuntimeError` with all it said."""
    command = [sys.executable, "-m", "uv", *arguments]
    # As pip does, trust whom this machine trusts (a company's own certificate, for instance).
    env = os.environ | {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, env=env
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout
