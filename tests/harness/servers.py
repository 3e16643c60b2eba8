"""Jupyter servers on loopback: JupyterLab with Notebook 7 and Voila, and the classic Notebook."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import nbformat

from .environment import child_environment

Theme = Literal["light", "dark"]

START_TIMEOUT = 90.0
STOP_TIMEOUT = 15.0
_HTTP_TIMEOUT = 15.0
_UNATTENDED = 900  # seconds after which a server whose test run was killed goes away by itself
_FOLDERS = ("root", "config", "data", "runtime")
_PORT_TRIES = 3
_PORT_TAKEN = "no available port could be found"
_QUIET_LAB = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
}
_THEMES_PLUGIN = "@jupyterlab/apputils-extension:themes"


class Server:
    """A running server; use it as a context manager. The kinds below say what they serve.

    Notebooks live in ``root``. ``env`` reaches every kernel, on top of a clean environment
    (see :func:`child_environment`). ``python`` is the interpreter of server and kernels.
    """

    def __init__(
        self, folder: Path, env: Mapping[str, str | None] | None, python: str | Path
    ) -> None:
        """Describe the server; it starts on entering the context."""
        self.folder = folder
        self.root = folder / "root"
        self._log_path = folder / "server.log"
        self._token = secrets.token_hex(16)
        self._python = str(python)
        self._env = child_environment(folder, {**self._jupyter_env(), **(env or {})})
        self._url = ""
        self._process: subprocess.Popen[bytes] | None = None

    # ------------------------------------------------------------------ life

    def __enter__(self) -> Self:
        """Start the server and wait until it answers."""
        for name in _FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "runtime").chmod(0o700)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the kernels and the server."""
        self.stop()

    def _jupyter_env(self) -> dict[str, str]:
        return {
            "JUPYTER_CONFIG_DIR": str(self.folder / "config"),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "JUPYTER_TOKEN": self._token,
        }

    def _start(self) -> None:
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                env=self._env,
                cwd=self.root,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + START_TIMEOUT
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended\n{self.log}")
            if self._answers(self._process.pid):
                return
            time.sleep(0.1)
        raise TimeoutError(f"no server in {START_TIMEOUT} s\n{self.log}")

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self, pid: int) -> bool:
        """Find out the server's address, if need be, and whether it answers there."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop the kernels and the server; safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self.stop_kernels()
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its own session, so its own group only
            process.wait(STOP_TIMEOUT)

    @property
    def log(self) -> str:
        """What the server wrote, the stderr of its kernels included."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    # ------------------------------------------------------------------ work

    def api(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """Call the server's REST API and return the parsed answer."""
        request = urllib.request.Request(
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self._token}"},
        )
        with urllib.request.urlopen(request, timeout=_HTTP_TIMEOUT) as response:
            content = response.read()
        return json.loads(content) if content else None

    def put(self, name: str, *cells: str, kernel: str = "python3") -> str:
        """Write a notebook made of code cells and return its name."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        notebook.metadata["kernelspec"] = {
            "name": kernel,
            "display_name": self._kernel_title(kernel),
            "language": "python",
        }
        notebook.metadata["language_info"] = {"name": "python"}
        nbformat.write(notebook, self.root / name)
        return name

    def read(self, name: str) -> Any:
        """Return the notebook as it is on disk."""
        return nbformat.read(self.root / name, as_version=4)

    def add_kernel(self, name: str, python: str | Path) -> None:
        """Offer another interpreter as a kernel, under the title "Python 3 (name)"."""
        folder = self.folder / "data" / "kernels" / name
        folder.mkdir(parents=True, exist_ok=True)
        spec = {
            "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": self._kernel_title(name),
            "language": "python",
        }
        (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")

    def _kernel_title(self, name: str) -> str:
        return "Python 3 (ipykernel)" if name == "python3" else f"Python 3 ({name})"

    def stop_kernels(self) -> None:
        """Shut every kernel down, as closing all notebooks does."""
        for session in self.api("/api/sessions"):
            self._delete(f"/api/sessions/{session['id']}")
        for kernel in self.api("/api/kernels"):
            self._delete(f"/api/kernels/{kernel['id']}")

    def _delete(self, path: str) -> None:
        with contextlib.suppress(urllib.error.HTTPError):  # it went away meanwhile
            self.api(path, "DELETE")


class JupyterServer(Server):
    """JupyterLab, Notebook 7 and Voila in one server.

    ``settings`` are overrides for Lab's and Notebook's plugins. ``python`` needs jupyterlab,
    notebook and voila installed.
    """

    def __init__(
        self,
        folder: Path,
        env: Mapping[str, str | None] | None = None,
        settings: Mapping[str, Any] | None = None,
        python: str | Path = sys.executable,
    ) -> None:
        """Describe the server; it starts on entering the context."""
        super().__init__(folder, env, python)
        self._settings = {**_QUIET_LAB, **(settings or {})}

    def _start(self) -> None:
        self._write_settings()
        super()._start()

    def _write_settings(self) -> None:
        """Lab and Notebook both read this file; nothing outside the folder is touched."""
        folder = self.folder / "config" / "labconfig"
        folder.mkdir(exist_ok=True)
        path = folder / "default_setting_overrides.json"
        path.write_text(json.dumps(self._settings), encoding="utf-8")

    def _command(self) -> list[str]:
        return [
            self._python,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            "--ServerApp.port=0",  # the system picks; no race for a number
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={self.root}",
            "--ServerApp.terminals_enabled=False",
            "--LabApp.news_url=",
            "--LanguageServerManager.autodetect=False",
            f"--ServerApp.shutdown_no_activity_timeout={_UNATTENDED}",
            f"--MappingKernelManager.cull_idle_timeout={_UNATTENDED}",
        ]

    def _answers(self, pid: int) -> bool:
        """Read the port that the server wrote down, and ask it for its status."""
        info = self.folder / "runtime" / f"jpserver-{pid}.json"
        try:
            port = json.loads(info.read_text(encoding="utf-8"))["port"]
            self._url = f"http://127.0.0.1:{port}"
            self.api("/api/status")
        except (OSError, ValueError, KeyError):
            return False
        return True

    def lab_url(self, notebook: str) -> str:
        """Return the notebook's page in Lab, in a fresh workspace: no tabs are restored."""
        workspace = secrets.token_hex(4)
        return f"{self._url}/lab/workspaces/{workspace}/tree/{notebook}?token={self._token}&reset"

    def notebook_url(self, notebook: str) -> str:
        """Return the notebook's page in Notebook 7."""
        return f"{self._url}/notebooks/{notebook}?token={self._token}"

    def voila_url(self, notebook: str, theme: Theme = "light") -> str:
        """Return the notebook's page in Voila."""
        return f"{self._url}/voila/render/{notebook}?token={self._token}&theme={theme}"

    def set_theme(self, theme: Theme) -> None:
        """Choose the theme of Lab and Notebook, as their Settings menu does."""
        raw = json.dumps({"theme": f"JupyterLab {theme.capitalize()}"})
        self.api(f"/lab/api/settings/{_THEMES_PLUGIN}", "PUT", {"raw": raw})


class ClassicServer(Server):
    """The classic Notebook (6.5), which draws widgets as Colab's versions do.

    ``python`` needs notebook 6 installed, as Colab's stack has it.
    """

    def __init__(
        self,
        folder: Path,
        python: str | Path,
        env: Mapping[str, str | None] | None = None,
    ) -> None:
        """Describe the server; it starts on entering the context."""
        super().__init__(folder, env, python)
        self._port = 0

    def _start(self) -> None:
        """Notebook 6 does not tell which port the system picked: pick one here, and another one
        if some program was quicker to take it."""
        for _ in range(_PORT_TRIES):
            self._port = _free_port()
            try:
                super()._start()
            except RuntimeError:
                if _PORT_TAKEN not in self.log:
                    raise
            else:
                return
        raise RuntimeError(f"no free port\n{self.log}")

    def _command(self) -> list[str]:
        return [
            self._python,
            "-m",
            "notebook",
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            f"--port={self._port}",
            "--NotebookApp.port_retries=0",
            f"--notebook-dir={self.root}",
            "--NotebookApp.terminals_enabled=False",
            "--NotebookApp.show_banner=False",
            f"--NotebookApp.shutdown_no_activity_timeout={_UNATTENDED}",
            f"--MappingKernelManager.cull_idle_timeout={_UNATTENDED}",
        ]

    def _answers(self, pid: int) -> bool:
        self._url = f"http://127.0.0.1:{self._port}"
        try:
            self.api("/api/status")
        except (OSError, ValueError):
            return False
        return True

    def classic_url(self, notebook: str) -> str:
        """Return the notebook's page."""
        return f"{self._url}/notebooks/{notebook}?token={self._token}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
