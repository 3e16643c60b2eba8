"""What IPython is taught about our magics: whole prompts, completions, a result shown once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from IPython.core import completer

from . import models, prompting, screen
from .errors import RequestError
from .results import Gallery, Generation
from .stylebook import StyleBook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from IPython.core.interactiveshell import InteractiveShell

    from .screen import Screen

_ODD_LINE_ENDS: Final = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_OUR_LINE: Final = re.compile(r"\s*(?:[^%=\n]+=\s*)?(?:%\w+ +)*%nanobanana +\S")
_OUR_CELL: Final = re.compile(r"%%nanobanana(?: (.*))?$")
_COMPLETED: Final = r".*%%?nanobanana\s"
_COMPLETER: Final = "nanobanana_nb"
_SHOWN_KINDS: Final = (Generation, Gallery, StyleBook)


class ShownOnce:
    """Shows a result exactly once, in `%nanobanana ...` and in `x = %nanobanana ...` alike.

    A kernel replaces the progress by the result, and the value of the cell's last line, being the
    same object, is then skipped. A terminal waits for that value, which IPython prints as `Out`,
    and prints the result itself only if none came.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._shown: Any = None
        self._waiting: tuple[Any, Screen] | None = None
        formatter = shell.display_formatter.ipython_display_formatter
        for kind in _SHOWN_KINDS:
            formatter.for_type(kind, self._skip)
        shell.events.register("post_run_cell", self._cell_ended)

    def mark(self, result: Any, live: Screen) -> None:
        """Show the result of a magic where its progress was."""
        self._cell_ended()
        if screen.in_kernel():
            live.show(result._repr_mimebundle_())
            self._shown = result
        else:
            live.clear()
            self._waiting = result, live

    def unload(self) -> None:
        formatter = self._shell.display_formatter.ipython_display_formatter
        for kind in _SHOWN_KINDS:
            formatter.pop(kind, None)
        self._shell.events.unregister("post_run_cell", self._cell_ended)

    def _skip(self, result: Any) -> None:
        """IPython's question whether the result shows itself; NotImplementedError says no."""
        if result is not self._shown:
            raise NotImplementedError
        self._shown = None

    def _cell_ended(self, ended: Any = None) -> None:
        """After a cell (`ended` holds the value of its last line), and before the next result."""
        waiting, self._waiting, self._shown = self._waiting, None, None
        if waiting is not None and getattr(ended, "result", None) is not waiting[0]:
            result, live = waiting
            live.show(result._repr_mimebundle_())


def meant(text: str, names: Mapping[str, Any], last: Generation | None) -> Any:
    """What was typed for a picture to go by: the last one, a variable, or else a link or a file."""
    if text == "last":
        if last is None:
            raise RequestError("There is no last picture yet in this kernel; draw one first.")
        return last
    if not text.isidentifier():
        return text
    if text not in names:
        raise RequestError(
            f"{text}: there is no variable of that name; give one, a link, a file or last."
        )
    return names[text]


def teach_prompts(shell: InteractiveShell) -> None:
    """Let prompts reach the magics as they were typed."""
    shell.input_transformers_cleanup.insert(0, keep_cells_whole)
    shell.input_transformers_cleanup.append(keep_prompts_whole)


def unteach_prompts(shell: InteractiveShell) -> None:
    """Take back what `teach_prompts` did."""
    shell.input_transformers_cleanup.remove(keep_cells_whole)
    shell.input_transformers_cleanup.remove(keep_prompts_whole)


def keep_cells_whole(lines: list[str]) -> list[str]:
    """An input transformer for `%%nanobanana` cells, run before IPython's own.

    Those empty lines of blanks and take away what looks like a prompt of Python's (`>>> `,
    `In [1]: `) before they call a cell magic; this calls it with the cell as it is.
    """
    head = _OUR_CELL.match(lines[0].rstrip()) if lines else None
    if head is None:
        return lines
    body = "".join(lines[1:])
    return [f"get_ipython().run_cell_magic('nanobanana', {head.group(1) or ''!r}, {body!r})\n"]


# So that a terminal, which asks after each line whether a cell is complete, is not told yes.
keep_cells_whole.has_side_effects = True  # type: ignore[attr-defined]


def keep_prompts_whole(lines: list[str]) -> list[str]:
    """An input transformer for `%nanobanana` lines, run before IPython's own.

    A final `?` would make IPython look for help instead of calling the magic (ipython#14258), and
    pasted line separators such as U+2028 would run the rest of the prompt as code.
    """
    if lines and lines[0].lstrip().startswith("%%"):
        return lines
    whole: list[str] = []
    for line in lines:
        if whole and _OUR_LINE.match(whole[-1]) and whole[-1][-1] in _ODD_LINE_ENDS:
            whole[-1] = f"{whole[-1].rstrip(_ODD_LINE_ENDS)} {line}"
        else:
            whole.append(line)
    return [_shield_question(line) for line in whole]


def _shield_question(line: str) -> str:
    text = line.rstrip("\n")
    if text.endswith("?") and _OUR_LINE.match(text):
        return f"{text} {line[len(text) :]}"
    return line


def offer_completions(shell: InteractiveShell) -> None:
    """Tab after the magics' names completes their options and values."""
    if not hasattr(completer, "context_matcher"):  # IPython 7
        # Asked before all others, and alone where it answers; jedi would add what it knows.
        shell.Completer.magic_arg_matchers.append(_argument_matcher(shell.Completer))
        return

    @completer.context_matcher(identifier=_COMPLETER)  # type: ignore[untyped-decorator]
    def match(context: Any) -> Any:
        offered = completions(context.text_until_cursor, context.token)
        found = [completer.SimpleCompletion(text=text, type="option") for text in offered]
        return {"completions": found, "suppress": bool(found), "ordered": True}

    shell.Completer.custom_matchers.append(match)


def withdraw_completions(shell: InteractiveShell) -> None:
    """Take back what `offer_completions` did."""
    if not hasattr(completer, "context_matcher"):
        matchers = shell.Completer.magic_arg_matchers
        matchers[:] = [m for m in matchers if m.__qualname__ != _COMPLETER]
        return
    matchers = shell.Completer.custom_matchers
    matchers[:] = [m for m in matchers if getattr(m, "matcher_identifier", "") != _COMPLETER]


def completions(line: str, token: str) -> list[str]:
    """What may stand at the end of `line`, beginning with `token`, IPython's last word of it."""
    if not re.match(_COMPLETED, line):
        return []
    words = re.split(r"%nanobanana\s+", line)[-1].split(" ")
    word, before = words[-1], words[-2] if len(words) > 1 else ""
    choices: tuple[str, ...]
    if before in ("-a", "--aspect-ratio"):
        choices = models.ASPECT_RATIOS
    elif before in ("-f", "--format"):
        choices = models.OUTPUT_FORMATS
    elif before in ("-i", "--image"):
        choices = ("last",)
    elif word.startswith("-"):
        choices = tuple(n for o in prompting.OPTIONS for n in (o.short, o.long) if n)
    else:
        return []
    typed = len(word) - len(token)  # IPython completes from the last colon or quote on
    return [choice[typed:] for choice in choices if choice.startswith(word)]


def _argument_matcher(asking: Any) -> Callable[[str], list[str]]:
    def match(_: str) -> list[str]:
        line = asking.text_until_cursor
        return completions(line, asking.splitter.split_line(line))

    match.__qualname__ = _COMPLETER
    return match
