"""A kernel, and what its API saw since a test began."""

from __future__ import annotations

import ast

from nanobanana_nb import Sandbox
from nanobanana_nb.sandbox import Task

from .kernels import Kernel, Reply

# What the line becomes with each choice of the menu that Tab opens.
TAB = """
def tab(line):
    menu = get_ipython().kernel.do_complete(line, len(line))
    start, end = menu["cursor_start"], menu["cursor_end"]
    return [line[:start] + choice + line[end:] for choice in menu["matches"]]
"""


class Desk:
    """A kernel, and what its API saw since the test began."""

    def __init__(self, kernel: Kernel, api: Sandbox) -> None:
        self.kernel = kernel
        self._api = api
        self._accepted = len(api.tasks)
        self._posts = api.counts["submit"]

    def run(self, code: str) -> Reply:
        """Run a cell that is meant to work."""
        reply = self.kernel.run(code)
        assert reply.status == "ok", reply.traceback
        return reply

    def value(self, expression: str) -> object:
        """The value of a plain expression in the kernel."""
        return ast.literal_eval(self.run(f"print(repr({expression}))").text)

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self._api.tasks[self._accepted :]

    @property
    def task(self) -> Task:
        """The only one."""
        (only,) = self.tasks
        return only

    @property
    def posts(self) -> int:
        return self._api.counts["submit"] - self._posts
