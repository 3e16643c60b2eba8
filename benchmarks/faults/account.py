"""What the service writes down: one JSON line for each event, on disk before the client hears."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path


class Account:
    """The file of it, to be written to."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, event: str, **what: object) -> None:
        line = json.dumps({"event": event, "at": time.time(), **what}) + "\n"
        os.write(self._file, line.encode())
