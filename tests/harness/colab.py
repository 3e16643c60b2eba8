"""A kernel as Google Colab runs it: `google.colab` is there, and its page answers requests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .kernels import Kernel
from .outputs import Message

PACKAGE = Path(__file__).parent / "colab_package"
CONFIG = 'c.InteractiveShellApp.extensions = ["google.colab"]\n'
LOCKED = object()
"""A secret that this notebook may not have."""


def colab_environment(folder: Path) -> dict[str, str]:
    """What makes `google.colab` importable, and loaded before the first cell of a kernel."""
    profile = folder / "colab-ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_config.py").write_text(CONFIG, encoding="utf-8")
    path = (str(PACKAGE), os.environ.get("PYTHONPATH", ""))
    return {
        "IPYTHONDIR": str(profile.parent),
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
    }


class ColabKernel(Kernel):
    """A kernel with Colab's page in front of it.

    `folder` is for its configuration. `secrets` are those of the user, by name; `attached` is
    whether there is a page at all: a notebook that runs by itself has none, and gets no answer.
    `asked` is what it was asked for, in order.
    """

    def __init__(
        self,
        python: str | Path,
        folder: Path,
        env: Mapping[str, str | None] | None = None,
        *,
        secrets: Mapping[str, object] | None = None,
        attached: bool = True,
        cwd: str | Path | None = None,
    ) -> None:
        """Describe the kernel; it starts on entering the context."""
        super().__init__(python, colab_environment(folder) | dict(env or {}), cwd)
        self.secrets = dict(secrets or {})
        self.attached = attached
        self.asked: list[str] = []

    def _handle(self, channel: str, message: Message) -> None:
        if channel == "iopub" and message["header"]["msg_type"] == "colab_request":
            self._answer(message)
        super()._handle(channel, message)

    def _answer(self, message: Message) -> None:
        kind = message["metadata"]["colab_request_type"]
        key = message["content"]["request"].get("key", "")
        self.asked.append(key or kind)
        if not self.attached:
            return
        data: dict[str, Any] = {"success": True}
        if kind == "GetSecret":
            value = self.secrets.get(key)
            may = value is not None and value is not LOCKED
            data = {"exists": value is not None, "access": may, "payload": value if may else ""}
        number = message["metadata"]["colab_msg_id"]
        reply = {"type": "colab_reply", "colab_msg_id": number, "data": data}
        self._client.input(reply)
