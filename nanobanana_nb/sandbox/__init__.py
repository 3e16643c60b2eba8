"""The sandbox: an imitation of APIXO's Nano Banana API on this machine, free of charge.

It speaks the API from its documents alone and shares no code with the client, so that the two
check each other. It is strict about requests, keeps its own account of what was billed, draws a
picture from the prompt, and stamps every picture SANDBOX: it never claims to be the model.

    with Sandbox() as sandbox:
        nb.Client(api_key="any", base_url=sandbox.url)

``[sandbox 429]`` anywhere in a prompt makes that request fail on purpose; ``directives.py`` holds
the table of everything that can be asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .server import Sandbox
    from .tasks import Task

__all__ = ["Sandbox", "Task"]


def __getattr__(name: str) -> Any:
    """Imported on first use, so that Pillow is not loaded where nothing is drawn."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import server, tasks

    return server.Sandbox if name == "Sandbox" else tasks.Task
