"""A task and the truth about it: its state is computed from the clock, nothing ever waits."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from . import references
from .contract import FAIL_MESSAGES, PRICE
from .directives import Script, StatusData


@dataclass(frozen=True)
class Task:
    """One accepted task. Times are Unix seconds."""

    id: str
    request: dict[str, Any]
    """The JSON body as it was received."""
    prompt: str
    mode: str
    image_urls: tuple[str, ...]
    aspect_ratio: str
    output_format: str
    created: float
    due: float
    """When it completes; infinity for a task that never does."""
    pending_until: float
    billed: Decimal = PRICE
    """US dollars, charged on acceptance. A task that fails later stays billed: the documents do
    not say (section 15), and the strict guess is the one that hides no cost."""
    callback_url: str | None = None
    """Where its outcome is told; None for a task in ``async`` mode."""


def schedule(task_id: str, created: float, latency: float, script: Script) -> tuple[float, float]:
    """When the task stops being pending and when it completes: the latency, spread by at most
    10 % in a way that the id decides. One that is told before its submit is answered is complete
    at once."""
    if script.callback.early:
        return created, created
    pace = latency * (0.9 + 0.2 * int(task_id[:8], 16) / 0xFFFFFFFF)
    pending_until = created + pace * script.patience
    return pending_until, math.inf if script.forever else pending_until + pace * 0.7


@dataclass
class Run:
    """What goes on behind a task: its script, its references, how often it was asked about."""

    task: Task
    script: Script
    polls: int = 0
    downloads: int = 0
    copies: list[bytes] = field(default_factory=list)
    """Its reference pictures, in the order given."""
    problem: str | None = None
    """Why the references are of no use."""
    _loader: threading.Thread | None = None

    def load_references(self) -> None:
        """Fetch the references in the background, as the API does after its acceptance."""
        if self.task.image_urls:
            self._loader = threading.Thread(
                target=self._load, name="sandbox-references", daemon=True
            )
            self._loader.start()

    def _load(self) -> None:
        try:
            self.copies = [references.load(url) for url in self.task.image_urls]
        except references.Unusable as error:
            self.problem = str(error)

    def settle(self, now: float) -> None:
        """Let a task that is due have its references, which come within limits of their own."""
        if now >= self.task.due and self._loader:
            self._loader.join()

    def state(self, now: float) -> str:
        """``pending``, ``processing``, ``success`` or ``failed``."""
        if now < self.task.pending_until:
            return "pending"
        if now < self.task.due or (self._loader and self._loader.is_alive()):
            return "processing"
        return "failed" if self.failure() else "success"

    def failure(self) -> tuple[str, str] | None:
        """The fail code and message of a task that is due to fail."""
        if self.script.fail_code:
            return self.script.fail_code, FAIL_MESSAGES[self.script.fail_code]
        if self.problem:
            return "INVALID_IMAGE_URL", f"{FAIL_MESSAGES['INVALID_IMAGE_URL']}: {self.problem}"
        return None

    def status(self, now: float, links: list[str]) -> StatusData:
        """The ``data`` of a status answer (section 3); times in milliseconds."""
        state = self.state(now)
        data: StatusData = {"taskId": self.task.id, "state": state}
        if state == "success":
            data["resultJson"] = json.dumps({"resultUrls": links})
            data["costTime"] = _ms(self.task.due - self.task.created)
        if state == "failed":
            data["failCode"], data["failMsg"] = self.failure() or ("", "")
        data["createTime"] = _ms(self.task.created)
        if state in ("success", "failed"):
            data["completeTime"] = _ms(self.task.due)
        return self.script.reshape(data)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
