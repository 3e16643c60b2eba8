"""`%nanobanana`, `%%nanobanana` and their siblings: parse, call the studio, show, return."""

from __future__ import annotations

import json
import keyword
from collections import ChainMap
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)
from traitlets import Bool, Enum, Float, Int, TraitError, observe

from . import (
    accounting,
    display,
    grids,
    models,
    pictures,
    plans,
    prompting,
    protocol,
    screen,
    templates,
)
from .archive import History
from .batches import Batch
from .cells import Cells
from .errors import RequestError, SubmitUnknown
from .grids import Grid
from .models import PRICE
from .ordering import Wanted
from .plans import Plan
from .prompting import Line
from .results import Gallery, Generation
from .screen import Screen
from .shell import (
    ShownOnce,
    meant,
    offer_completions,
    teach_prompts,
    unteach_prompts,
    withdraw_completions,
)
from .studio import Options
from .stylebook import StyleBook
from .sync import default_studio, recover, set_budget
from .templates import Template

_SIBLINGS = ("batch", "resume", "history", "styles", "balance", "again", "dismiss", "panel")
_SHOWN = 6
"""Requests that a dry run prints."""


@magics_class
class NanoBananaMagics(Magics):
    """Draw pictures from a prompt. Each costs $0.03; without an API key a sandbox draws."""

    aspect_ratio = Enum(
        ("", *models.ASPECT_RATIOS), "", help="Ratio when -a is not given; empty: 1:1 or auto."
    ).tag(config=True)
    output_format = Enum(models.OUTPUT_FORMATS, "png", help="Format when -f is not given.").tag(
        config=True
    )
    quiet = Bool(False, help="Show neither progress nor pictures.").tag(config=True)
    replay = Bool(
        True, help="Show again what an earlier run of a cell drew, instead of paying for it."
    ).tag(config=True)
    budget = Float(
        None, allow_none=True, help="US dollars that this home may spend a day; None: no cap."
    ).tag(config=True)
    task_retries = Int(
        0, help="How often to draw again, each time at its price, where the model failed."
    ).tag(config=True)

    def __init__(self, shell: InteractiveShell, open_panel: Callable[[], Any]) -> None:
        super().__init__(shell=shell)
        self._shown = ShownOnce(shell)
        self._open_panel = open_panel

    @line_cell_magic
    @no_var_expand
    @needs_local_scope
    def nanobanana(
        self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None
    ) -> Generation | Gallery | None:
        """Draw a picture: %nanobanana a fox in watercolor. -h lists the options."""
        order = prompting.parse(line) if cell is None else prompting.parse_cell(line, cell)
        if "help" in order.options:
            print(prompting.usage())  # noqa: T201
            return None
        names = self._names(local_ns or {})
        template = _template(order, names)
        options = self._options(order, names)
        if "save" in order.options:
            pictures.check_target(order.options["save"], grids.PAGES if template.axes else ())
        count = _whole_number("-n", order.options.get("count", "1"))
        models.check_count(count)
        plan = plans.repeated(template, count if template.axes else 1)
        if "dry_run" in order.options:
            wanted = default_studio().requests_of(plan, options)
            _show_what_would_be_sent(wanted, plan.count if plan.axes else count)
            return None
        return self._draw(plan, count, options, order.options)

    @line_magic
    @no_var_expand
    @needs_local_scope
    def nanobanana_batch(
        self, line: str, local_ns: Mapping[str, Any] | None = None
    ) -> Batch | None:
        """Draw a picture for each line of a file: %nanobanana_batch prompts.jsonl. -h: options."""
        order = prompting.parse(line, prompting.BATCH_OPTIONS)
        given = order.options
        if "help" in given:
            print(prompting.batch_usage())  # noqa: T201
            return None
        names = self._names(local_ns or {})
        if given.get("output", "-") == order.prompt:
            raise RequestError(
                f"-o {order.prompt} would replace what the batch is drawn from, so nothing was "
                "sent; give another name."
            )
        options = self._options(order, names)  # for all lines that do not say otherwise
        if "save" in given:
            pictures.folder_for(given["save"])
        quiet = self.quiet or "quiet" in given
        studio, live = default_studio(), Screen(quiet=quiet)
        planning = studio.planned(
            _source(order.prompt, names),
            key=given.get("key"),
            column=given.get("column", ""),
            **options,
        )
        plan = studio.wait(planning, on=Screen(quiet=True))
        if "dry_run" in given:
            _show_what_would_be_sent(
                [w for w, o in zip(plan.wanted, plan.orders, strict=True) if o.earlier is None],
                plan.missing,
            )
            return None
        screen.say(plan.text)
        batch = studio.wait(studio.batch(plan, **options), on=live)
        if "output" in given:
            self.shell.user_ns[given["output"]] = batch
        self._shown.mark(batch, live)
        if "save" in given:
            batch.save(given["save"])
        return batch

    @line_magic
    def nanobanana_styles(self, line: str) -> StyleBook:  # noqa: ARG002 - IPython's signature
        """Show the styles that --style takes, each with pictures that were drawn in it."""
        studio, live = default_studio(), Screen()
        book = studio.wait(studio.styles(), on=live)
        self._shown.mark(book, live)
        return book

    @line_magic
    @no_var_expand
    def nanobanana_resume(self, line: str) -> Gallery | None:
        """Show what became of tasks that were sent earlier, all or the one named; sends nothing."""
        studio, live = default_studio(news=False), Screen()
        gallery = studio.wait(studio.resume(line.strip() or None), on=live)
        doubts = studio.wait(studio.history(state="unknown"), on=Screen(quiet=True))
        if doubts:
            screen.say(accounting.in_doubt(len(doubts)))
        if not gallery:
            live.show(display.line("Nothing is under way; every accepted task is on disk."))
            return None
        self._shown.mark(gallery, live)
        return gallery

    @line_magic
    @no_var_expand
    def nanobanana_history(self, line: str) -> History | None:
        """Show what was drawn, newest first: %nanobanana_history fox. -h lists the options."""
        asked = prompting.parse(line, prompting.HISTORY_OPTIONS)
        if "help" in asked.options:
            print(prompting.history_usage())  # noqa: T201
            return None
        studio, live = default_studio(), Screen()
        since, state = asked.options.get("since"), asked.options.get("state", "")
        starred = True if "starred" in asked.options else None
        looking = studio.history(asked.prompt, since=since, state=state, starred=starred)
        found = studio.wait(looking, on=live)
        self._shown.mark(found, live)
        return found

    @line_magic
    def nanobanana_balance(self, line: str) -> None:  # noqa: ARG002 - IPython's signature
        """Show the account's balance beside what was spent here, and whether they agree."""
        studio, live = default_studio(), Screen()
        account = studio.wait(studio.account(), on=live)
        live.show(display.account_card(account.rows, account.remarks))

    @line_magic
    def nanobanana_again(self, line: str) -> Generation:
        """Draw anew an attempt that may have been billed already; another $0.03."""
        studio, live = default_studio(), Screen()
        result = studio.wait(studio.submit_again(line.strip()), on=live)
        self._shown.mark(result, live)
        return result

    @line_magic
    def nanobanana_dismiss(self, line: str) -> None:
        """No longer count an attempt that may have been billed."""
        studio, live = default_studio(), Screen()
        studio.wait(studio.dismiss(line.strip()), on=live)
        live.show(display.line("Dismissed; it stays in the day's spending."))

    @line_magic
    def nanobanana_panel(self, line: str) -> Any:  # noqa: ARG002 - IPython's signature
        """Open the panel, to draw by hand."""
        return self._open_panel()

    @observe("budget")
    def _budget_changed(self, change: Any) -> None:
        set_budget(change["new"])

    def _names(self, local_ns: Mapping[str, Any]) -> Mapping[str, Any]:
        """The variables where the magic stands, without those that are IPython's own."""
        hidden = self.shell.user_ns_hidden
        own = {
            name: value
            for name, value in self.shell.user_ns.items()
            if name not in hidden or hidden[name] is not value
        }
        local = local_ns if local_ns is not self.shell.user_ns else {}
        return ChainMap(dict(local), own)

    def _options(self, order: Line, names: Mapping[str, Any]) -> Options:
        given = order.options
        name = given.get("output", "x")
        if not name.isidentifier() or keyword.iskeyword(name):
            raise RequestError(f"-o {name} is not a name for a variable; give one such as -o fox.")
        images = given.get("image", ())
        last = default_studio().last if "last" in images else None
        style = given.get("style", "")
        by_style = default_studio().style_settings(style) if style else {}
        retries = given.get("retries", str(self.task_retries))
        return Options(
            # What is typed overrides the style, and the style the settings.
            aspect_ratio=given.get("aspect_ratio")
            or by_style.get("aspect_ratio", self.aspect_ratio),
            output_format=given.get("format") or by_style.get("output_format", self.output_format),
            image_urls=[meant(text, names, last) for text in images],
            style=style,
            task_retries=_whole_number("--retries", retries),
            new="new" in given or not self.replay,
            confirm="yes" in given,
        )

    def _draw(
        self, plan: Plan, count: int, options: Options, given: Mapping[str, Any]
    ) -> Generation | Gallery:
        quiet = self.quiet or "quiet" in given
        studio, live = default_studio(), Screen(quiet=quiet)
        drawing: Coroutine[Any, Any, Gallery]
        if plan.axes:
            priced = studio.priced(plan, options["task_retries"], confirm=options["confirm"])
            screen.say(priced)
            drawing = studio.draw(plan, **options)
        else:
            drawing = studio.gallery(plan.template.prompt(), count=count, **options)
        gallery = studio.wait(drawing, on=live)
        result: Generation | Gallery = gallery if len(gallery) > 1 or plan.axes else gallery[0]
        if isinstance(result, Generation) and result.error is not None:
            _show_failure(result, live)
            raise result.error
        if "output" in given:
            self.shell.user_ns[given["output"]] = result
        self._shown.mark(result, live)
        if "save" in given:
            _save(result, given["save"])
        return result

    def unload(self) -> None:
        """Take back what stays behind when a magic is unregistered."""
        self._shown.unload()
        self.shell.configurables.remove(self)


def load(shell: InteractiveShell, open_panel: Callable[[], Any]) -> None:
    """Register everything that `unload` takes back.

    `open_panel` makes a panel; ipywidgets is loaded with the first one, not with the magics.
    """
    if "NanoBananaMagics" in shell.magics_manager.registry:
        return
    shell.register_magics(_made(shell, open_panel))
    teach_prompts(shell)
    offer_completions(shell)
    Cells.of(shell)
    recover()


def unload(shell: InteractiveShell) -> None:
    """Leave the shell as it was before `load`."""
    magics = shell.magics_manager.registry.pop("NanoBananaMagics", None)
    if magics is None:
        return
    magics.unload()
    for kind in shell.magics_manager.magics.values():
        for name in ("nanobanana", *(f"nanobanana_{sibling}" for sibling in _SIBLINGS)):
            kind.pop(name, None)
    unteach_prompts(shell)
    withdraw_completions(shell)
    Cells.of(shell).rest()


def _made(shell: InteractiveShell, open_panel: Callable[[], Any]) -> NanoBananaMagics:
    """The magics; a setting that `%config` refused, but IPython kept, is dropped first."""
    try:
        return NanoBananaMagics(shell, open_panel)
    except TraitError:
        shell.config.pop("NanoBananaMagics", None)
        return NanoBananaMagics(shell, open_panel)


def _show_failure(failed: Generation, live: Screen) -> None:
    """The line of its error tells what happened; a card only where there is more to be done."""
    if isinstance(failed.error, SubmitUnknown):
        live.show(failed._repr_mimebundle_())
    else:
        live.clear()


def _source(text: str, names: Mapping[str, Any]) -> Any:
    """The variable that is meant, else the file of that name."""
    if not text:
        raise RequestError(
            "Say what to draw from: a file such as prompts.jsonl, or a variable; -h lists the "
            "options."
        )
    name = text.strip("\"'")
    return names[name] if name.isidentifier() and name in names else name


def _template(order: Line, names: Mapping[str, Any]) -> Template:
    """The prompt as it is meant, once it is told what that is."""
    if "raw" in order.options:
        models.check_prompt(order.prompt)
        return Template((order.prompt,))
    template = templates.read(order.prompt, names)
    models.check_prompt(str(template).strip())
    if output := order.options.get("output"):
        _check_output(output, template)
    if behind := prompting.option_behind(order.prompt):
        raise RequestError(
            f"{behind} stands behind the prompt, where it would be drawn, so nothing was sent; "
            "options come first. If it is part of the prompt, say --raw."
        )
    if template.filled:
        told = template.filled.items()
        screen.say(", ".join(f"{{{name}}} is {value}" for name, value in told))
    for remark in template.remarks:
        screen.say(remark)
    if flag := prompting.foreign_flag(str(template)):
        screen.say(f"{flag} is sent as text; the ratio is set by -a 3:4 before the prompt.")
    return template


def _check_output(name: str, template: Template) -> None:
    """A list that its own grid replaces would be gone when the cell runs again."""
    if name in template.filled or name in [axis.name for axis in template.axes]:
        raise RequestError(
            f"-o {name} would replace the variable that the prompt takes from, so nothing was "
            "sent; give another name."
        )


def _show_what_would_be_sent(wanted: Sequence[Wanted], count: int) -> None:
    """Print the calls and their price; what has no link yet stands there by its description."""
    for one in wanted[:_SHOWN]:
        body = protocol.submit_body(one.request)
        if one.given:
            urls = [ref if isinstance(ref, str) else f"(link to {ref!r})" for ref in one.given]
            body["input"] |= {"mode": "image-to-image", "image_urls": urls}
        print(f"POST {protocol.submit(one.request).path}")  # noqa: T201
        print(json.dumps(body, ensure_ascii=False, indent=2))  # noqa: T201
    if len(wanted) > _SHOWN:
        print(f"... and {len(wanted) - _SHOWN:,} more")  # noqa: T201
    print(f"{count} x {display.money(PRICE)} = {display.money(PRICE * count)}; nothing was sent.")  # noqa: T201


def _whole_number(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RequestError(f"{option} {text}: give a whole number, such as {option} 4.") from None


def _save(result: Generation | Gallery, target: str) -> None:
    """`-s`: one picture under that name, several numbered after it, or all into a folder; of a
    grid, a sheet of all."""
    if isinstance(result, Grid):
        result.save(target)
        return
    path = pictures.check_target(target)
    images = result.images
    for number, picture in enumerate(images, 1):
        numbered = len(images) > 1 and not path.is_dir()
        picture.save(path.with_stem(f"{path.stem}-{number}") if numbered else path)
