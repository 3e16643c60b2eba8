"""What the cells of one kernel show, kept as a front end keeps it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
MimeBundle = dict[str, Any]


@dataclass
class Output:
    """One entry in a cell's output area."""

    kind: str
    data: MimeBundle = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    stream: str = ""
    text: str = ""


@dataclass
class OutputArea:
    """The outputs of one execution, in the order in which they are shown."""

    outputs: list[Output] = field(default_factory=list)
    traceback: list[str] = field(default_factory=list)
    idle: bool = False
    clear_before_next: bool = False

    def stream_text(self, name: str) -> str:
        """Return everything now shown of one stream."""
        return "".join(output.text for output in list(self.outputs) if output.stream == name)

    def text(self) -> str:
        """Return stdout and the text form of results, in order."""
        parts = []
        for output in list(self.outputs):
            if output.stream == "stdout":
                parts.append(output.text)
            elif output.kind == "execute_result":
                parts.append(output.data.get("text/plain", ""))
        return "".join(parts)

    def rich(self) -> list[Output]:
        """Return the displays and results, without the streams."""
        return [output for output in list(self.outputs) if not output.stream]


class Screen:
    """Turns the messages of a kernel's iopub channel into output areas.

    Only the thread that reads the channel calls :meth:`handle`; any thread may read an area.
    """

    def __init__(self) -> None:
        """Start with nothing on the screen."""
        self._areas: dict[str, OutputArea] = defaultdict(OutputArea)
        self._by_display_id: dict[str, list[Output]] = defaultdict(list)

    def area(self, message_id: str) -> OutputArea:
        """Return the output area that belongs to one request."""
        return self._areas[message_id]

    def handle(self, message: Message) -> None:
        """Apply one iopub message."""
        area = self._areas[message["parent_header"].get("msg_id", "")]
        content = message["content"]
        kind = message["header"]["msg_type"]
        if kind == "status":
            area.idle = content["execution_state"] == "idle"
        elif kind == "clear_output":
            self._clear(area, wait=content.get("wait", False))
        elif kind == "stream":
            self._write(area, content["name"], content["text"])
        elif kind == "error":
            area.traceback = list(content.get("traceback", []))
        elif kind == "update_display_data":
            self._update(_display_id(content), content)
        elif kind in ("display_data", "execute_result"):
            self._show(area, kind, content)

    def _clear(self, area: OutputArea, *, wait: bool) -> None:
        if wait:
            area.clear_before_next = True
        else:
            area.outputs.clear()

    def _make_room(self, area: OutputArea) -> None:
        if area.clear_before_next:
            area.clear_before_next = False
            area.outputs.clear()

    def _write(self, area: OutputArea, name: str, text: str) -> None:
        self._make_room(area)
        if area.outputs and area.outputs[-1].stream == name:
            area.outputs[-1].text += text
        else:
            area.outputs.append(Output("stream", stream=name, text=text))

    def _show(self, area: OutputArea, kind: str, content: dict[str, Any]) -> None:
        self._make_room(area)
        output = Output(kind, content["data"], content.get("metadata", {}))
        area.outputs.append(output)
        display_id = _display_id(content)
        if display_id:
            # As in JupyterLab: a display shown a second time also refreshes its first place.
            self._update(display_id, content)
            self._by_display_id[display_id].append(output)

    def _update(self, display_id: str, content: dict[str, Any]) -> None:
        for output in self._by_display_id.get(display_id, []):
            output.data = content["data"]
            output.metadata = content.get("metadata", {})


def _display_id(content: dict[str, Any]) -> str:
    return str((content.get("transient") or {}).get("display_id", ""))
