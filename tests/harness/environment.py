"""The environment given to every child process of a test."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# A developer's own key, budget or folder must never reach a test: a key spends money.
_OURS = ("APIXO_", "NANOBANANA_")


def child_environment(
    scratch: Path, extra: Mapping[str, str | None] | None = None
) -> dict[str, str]:
    """Return this process's environment without our settings, with every folder in ``scratch``.

    ``extra`` is applied last; the value ``None`` takes a variable away.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    env["IPYTHONDIR"] = str(scratch / "ipython")
    env["NANOBANANA_HOME"] = str(scratch / "nanobanana")
    env["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    env["JUPYTER_PLATFORM_DIRS"] = "1"
    env["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    for name, value in (extra or {}).items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env
