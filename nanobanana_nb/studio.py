"""The use cases: generate, edit, vary, resume, history. Async, with one bridge for who blocks."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import functools
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import (
    Any,
    Concatenate,
    Final,
    Literal,
    ParamSpec,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from . import accounting, cells, display, models, plans, presets, reporting, schema
from .archive import History, Lineage, Page
from .batches import Batch
from .batchplans import BatchPlan
from .cells import Cell
from .entries import Entry, raise_for, read
from .errors import NanoBananaError, RequestError, Stopped
from .grids import Grid
from .keys import HOW_TO_SET_THE_KEY
from .models import PRICE, ImageRequest
from .ordering import Wanted
from .plans import Plan
from .portal import Job, Portal
from .presets import Style
from .references import Look
from .results import Gallery, Generation
from .rows import Spent
from .screen import Screen
from .settings import Settings, read_budget
from .stylebook import StyleBook
from .tasks import Order, Terms
from .workshop import Workshop, home_of, is_sandboxed, schedule_of, store_of

T = TypeVar("T")
P = ParamSpec("P")

ASK_ABOVE: Final = 20
"""Pictures at once above which the count and the price are confirmed first."""
SANDBOX_NOTICE: Final = (
    "There is no API key, so the sandbox draws placeholders, offline and free of charge. "
    f"For real pictures: {HOW_TO_SET_THE_KEY[0].lower()}{HOW_TO_SET_THE_KEY[1:]}."
)
_SUCH_AS: Final = {"aspect_ratio": "16:9", "output_format": "png"}
_OTHER_WORDS: Final = {
    "ratio": "aspect_ratio", "format": "output_format", "n": "count", "images": "image_urls",
    "image": "image_urls", "references": "image_urls", "retries": "task_retries",
}  # fmt: skip
"""What people call the options, as far as letters alone do not lead there."""


class Options(TypedDict, total=False):
    """What can be said about a picture besides its prompt."""

    aspect_ratio: str
    output_format: str
    image_urls: Sequence[Any]
    new: bool
    style: str | Sequence[str]
    task_retries: int | None
    confirm: bool


def _on_the_loop(
    verb: Callable[Concatenate[Studio, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Studio, P], Coroutine[Any, Any, T]]:
    """The verb runs on the portal's loop, and can be awaited on any other."""

    @functools.wraps(verb)
    async def awaited(studio: Studio, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await studio._awaited(verb(studio, *args, **kwargs))

    return awaited


class Studio:
    """Draws pictures: `async with Studio() as studio: await studio.generate("a fox")`.

    Its methods are async and can be awaited on any event loop; `wait(...)` blocks for one of them
    instead. It reads `Settings.load()` unless it is given settings, and opens on first use.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.load()
        self.last: Generation | None = None
        self._budget = self.settings.budget
        self._portal = Portal()
        self._opening = asyncio.Lock()
        self._workshop: Workshop | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    async def __aenter__(self) -> Studio:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Let go of everything. Tasks that still run can be collected by another studio."""
        self._portal.close()

    @property
    def sandboxed(self) -> bool:
        """Whether the offline sandbox draws: when told to, or in IPython without a key."""
        return is_sandboxed(self.settings)

    @property
    def sandbox_notice(self) -> str:
        """What to say where the sandbox draws, and why there is no key; else nothing."""
        remarks = self.settings.found.remarks
        return " ".join([SANDBOX_NOTICE, *map(str, remarks)]) if self.sandboxed else ""

    @property
    def budget(self) -> Decimal | None:
        """US dollars a day that this home may spend, across kernels; None is no cap."""
        return self._budget

    @budget.setter
    def budget(self, dollars: Decimal | float | str | None) -> None:
        self._budget = read_budget(dollars)

    @overload
    def generate(
        self, prompt: str, *, count: Literal[1] = 1, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, Generation]: ...

    @overload
    def generate(
        self, prompt: str, *, count: int, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, Generation | Gallery]: ...

    def generate(
        self, prompt: str, *, count: int = 1, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, Generation | Gallery]:
        """Draw a picture ($0.03); with `count` above 1 a `Gallery`, with failures inside it.

        Options: `aspect_ratio` (default 1:1, or auto with references), `output_format` (png or
        jpeg), `image_urls` (pictures to go by: links, results, files, Pillow images, arrays,
        figures), `style` (names of styles, as `nb.styles()` lists them), `task_retries` (how often
        to draw again, each time at its price, where the model failed), `confirm=True` for more
        than 20 at once.
        In a notebook, a cell that runs for the first time in a kernel shows what an earlier run of
        it drew, at no cost, unless `new=True`.
        Raises `NanoBananaError`s, which say what to do next.
        """
        check_options(options)
        # The cell is the one that calls, whenever and wherever this is awaited.
        return self._generate(prompt, count, options, cells.running())

    def gallery(
        self, prompt: str, *, count: int = 1, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, Gallery]:
        """As `generate`, but always a `Gallery`: also a single failure stands in it as such."""
        check_options(options)
        return self._generate_all(prompt, count, options, cells.running())

    def edit(
        self, reference: Any, prompt: str, *, count: int = 1, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, Generation | Gallery]:
        """A picture made from another one, or from a list of up to five, in their order."""
        references = reference if isinstance(reference, list | tuple | Gallery) else [reference]
        if not references or "image_urls" in options:
            raise RequestError(
                "edit takes its pictures first, one or a list of them, such as "
                "nb.edit([fox, owl], ...); nothing was sent."
            )
        options["image_urls"] = references
        return self.generate(prompt, count=count, **options)

    def grid(
        self,
        prompts: str | Sequence[str],
        /,
        *,
        count: int = 1,
        new: bool = False,
        task_retries: int | None = None,
        confirm: bool = False,
        **axes: Any,
    ) -> Coroutine[Any, Any, Grid]:
        """A picture for every combination: `grid("a {animal}", animal=["fox", "owl"])`.

        A list makes an axis: values for a `{name}` of the prompt, whole prompts, or one of
        `aspect_ratio`, `output_format`, `image_urls` (each a picture to go by, or a list of them)
        and `style`; anything else is the same for all. `{fox|owl}` in the prompt is an axis too,
        and so is a `count` above 1. The first axis makes the rows, the second the columns, each
        combination of further ones a grid of its own. Failures stand in it as such.
        Raises `RequestError` before anything is sent.
        """
        options = Options(new=new, task_retries=task_retries, confirm=confirm)
        return self.draw(plans.plan(prompts, axes, count), **options)

    def draw(self, plan: Plan, **options: Unpack[Options]) -> Coroutine[Any, Any, Grid]:
        """Draw what a plan says; options as for `generate`, for all of it."""
        check_options(options)
        return self._draw_all(plan, options, cells.running())

    def batch(
        self,
        requests: Any,
        *,
        key: str | None = None,
        column: str = "",
        **options: Unpack[Options],
    ) -> Coroutine[Any, Any, Batch]:
        """A picture for each of many requests, by key and in order; `confirm=True` for over 20.

        `requests` is a file (JSONL, CSV or a prompt a line), a list or a pandas column of prompts,
        dicts or `ImageRequest`s, a dict of named ones, or a table with the prompts in `column`; or
        what `planned` has made of one. Options, as for `generate`, are for those that do not say
        otherwise.

        A failure stands in its place and stops nothing else. Asked again, in this kernel or any
        other, it shows what is there at no cost and draws only what is missing: what was drawn for
        the same request in the same folder, or with the same `key` anywhere, counts as there.
        `new=True` draws all of it anew, and `task_retries` also what the model failed at.
        Raises `RequestError`, with all that is wrong by line or key, before anything is sent.
        """
        check_options(options)
        folder = _folder()
        return self._batch(requests, key, column, options, folder)

    def planned(
        self,
        requests: Any,
        *,
        key: str | None = None,
        column: str = "",
        **options: Unpack[Options],
    ) -> Coroutine[Any, Any, BatchPlan]:
        """What `batch` would draw, and its price; sends nothing."""
        check_options(options)
        return self._planned(requests, key, column, options, _folder())

    def vary(
        self, generation: Generation, count: int = 4, *, new: bool = False
    ) -> Coroutine[Any, Any, Gallery]:
        """The same request `count` times more."""
        check_count(count)
        return self._vary(generation, count, new, cells.running())

    @_on_the_loop
    async def resume(self, task_id: str | None = None) -> Gallery:
        """Wait for accepted tasks that are not on disk yet, all or one; nothing is submitted.

        `task_id` may also be that of a task that was sent from another machine with this key.
        """
        workshop = await self._open()
        return await workshop.resume(task_id)

    @_on_the_loop
    async def submit_again(self, attempt_id: str) -> Generation:
        """Draw anew what may have been billed already, for another $0.03: a person's own act."""
        workshop = await self._open()
        gallery = await self._draw([await workshop.to_submit_again(attempt_id)])
        if gallery[0].task_id:
            with contextlib.suppress(RequestError):  # a callback may have settled it meanwhile
                await workshop.dismiss(attempt_id)
        return _one_of(gallery)

    @_on_the_loop
    async def dismiss(self, attempt_id: str) -> None:
        """No longer show an attempt that may have been billed."""
        workshop = await self._open()
        await workshop.dismiss(attempt_id)

    @_on_the_loop
    async def history(
        self,
        words: str = "",
        *,
        since: datetime | date | str | None = None,
        state: str | Sequence[str] = (),
        starred: bool | None = None,
    ) -> History:
        """Everything that was drawn here and matches, newest first.

        `words` must all stand in the prompt or the note, `since` is a date or time (or its ISO
        text), `state` one or several of the ledger's words, such as stored, failed or unknown.
        """
        states = [one for one in ([state] if isinstance(state, str) else state) if one]
        begin = None if since is None else _moment(since)
        workshop = await self._open()
        rows = await workshop.ledger.history(words, begin, states, starred)
        asked = [words, *states, f"since {since}" if since else "", "starred" if starred else ""]
        return History(workshop.remembered(rows), ", ".join(filter(None, asked)))

    @_on_the_loop
    async def star(self, id: str, on: bool) -> None:  # noqa: A002
        """Mark a picture of the history, or take the mark away."""
        workshop = await self._open()
        await workshop.ledger.annotate(id, starred=int(on))

    @_on_the_loop
    async def note(self, id: str, text: str) -> None:  # noqa: A002
        """Write a note to a picture of the history."""
        workshop = await self._open()
        await workshop.ledger.annotate(id, note=text)

    @_on_the_loop
    async def balance(self) -> Decimal:
        """US dollars left for this key."""
        workshop = await self._open()
        return await workshop.balance()

    @_on_the_loop
    async def account(self) -> accounting.Report:
        """The balance, what was spent, what is in doubt, and whether all of it agrees."""
        workshop = await self._open()
        return await workshop.report(self.budget)

    @_on_the_loop
    async def page(
        self,
        words: str = "",
        *,
        starred: bool | None = None,
        also: Sequence[str] = (),
        offset: int = 0,
        limit: int = 12,
    ) -> Page:
        """Some of what was drawn here or waits to be, newest first, and how much there is of it.

        `words` must all stand in the prompt or the note. What the API refused, and what was
        dropped, is left out unless its id is in `also`.
        """
        workshop = await self._open()
        rows, total = await workshop.ledger.page(words, starred, also, offset, limit)
        return Page(workshop.remembered(rows), total)

    @_on_the_loop
    async def version(self) -> tuple[int, int]:
        """Another pair whenever anything has changed in this home, here or in another kernel."""
        workshop = await self._open()
        return await workshop.ledger.version()

    @_on_the_loop
    async def prompts(self, limit: int = 100) -> list[str]:
        """The prompts that were used here, the latest first, each once."""
        workshop = await self._open()
        return await workshop.ledger.prompts(limit)

    @_on_the_loop
    async def styles(self) -> StyleBook:
        """The named styles, each with the latest pictures that were drawn in it."""
        workshop = await self._open()
        known = await asyncio.to_thread(presets.load, self.settings)
        return await workshop.style_book(known, presets.home_file(self.settings))

    @_on_the_loop
    async def drop(self, id: str) -> bool:  # noqa: A002
        """Take back, at no cost, what waits to be sent; False if it does not wait any more.

        `id` is that of a `Generation` whose `state` is queued.
        """
        workshop = await self._open()
        return await workshop.runner.drop(id)

    @_on_the_loop
    async def spending(self) -> Spent:
        """US dollars that this home has spent, today, in this session and ever; nobody is asked."""
        workshop = await self._open()
        return await workshop.ledger.spent()

    @_on_the_loop
    async def get(self, id: str) -> Generation:  # noqa: A002
        """A task of this home, by our id or by that of the API. Raises `RequestError` if there is
        none; what became of the task is the `error` of the result."""
        workshop = await self._open()
        row = await workshop.row(id)
        return workshop.remembered([row])[0]

    @_on_the_loop
    async def lineage(self, id: str) -> Lineage:  # noqa: A002
        """What a result was drawn from, and what was drawn from it; `id` as for `get`."""
        workshop = await self._open()
        return await workshop.lineage(await workshop.row(id))

    @_on_the_loop
    async def look_at(self, reference: Any) -> Look:
        """See whether something can be a reference: what `image_urls` takes.

        Raises `RequestError`, in one line, where it cannot: it is no picture, is larger than the
        API takes, or lies where the API cannot fetch it.
        """
        workshop = await self._open()
        return await workshop.ordering.look_at(reference, workshop.client)

    def priced(self, plan: Plan, task_retries: int | None = None, *, confirm: bool = False) -> str:
        """What a plan draws and costs, in one line; `RequestError` if that is to be confirmed."""
        retries = self.settings.task_retries if task_retries is None else task_retries
        most = PRICE * plan.count * (1 + retries)
        cost = f"{plan.text}, up to {display.money(most)} with retries" if retries else plan.text
        check_count(plan.count, cost, confirm=confirm)
        return f"{cost} of sandbox money" if self.sandboxed else cost

    def requests_of(self, plan: Plan, options: Options) -> list[Wanted]:
        """What a plan would have drawn, picture by picture; sends nothing, and blocks while it
        reads the styles. Raises `RequestError` for what the API would not take."""
        requests = [
            (prompt, cast("Options", {**options, **settings}))
            for prompt, settings in plan.requests()
        ]
        styled = any(each.get("style") for _, each in requests)
        book = presets.load(self.settings) if styled else {}
        return [_wanted(prompt, each, book) for prompt, each in requests]

    def style_settings(self, style: str | Sequence[str]) -> dict[str, Any]:
        """The options that these styles bring with them, such as `aspect_ratio`; it blocks."""
        return presets.merged(presets.chosen(presets.load(self.settings), style)) if style else {}

    @property
    def expected(self) -> float:
        """Seconds that a picture usually takes."""
        if self._workshop is None:
            return schedule_of(self.settings).expected
        return self._workshop.rhythms.expected("text-to-image")

    def preview(self, path: Path) -> bytes:
        """A small JPEG of a stored picture."""
        return store_of(home_of(self.settings)).preview(path)

    def recover(self) -> None:
        """Bring home in the background what an ended kernel left behind, if there is anything."""
        if not self.sandboxed and schema.anything_left(self.settings.ledger):
            self._portal.start(self._recover())

    def news(self) -> str:
        """What came back in the background since this was last asked, and what is wrong with the
        mirror, in one line, or nothing."""
        if self._workshop is None:
            return ""
        mirror = self._workshop.mirror
        came_back = accounting.news(self._workshop.runner.take_news())
        return " ".join(filter(None, (came_back, mirror.take_news() if mirror else "")))

    def wait(self, coroutine: Coroutine[Any, Any, T], on: Screen | None = None) -> T:
        """Block for one of the methods above, showing its progress in the cell or terminal.

        Stop (Ctrl-C) raises `Stopped`, which names what goes on without the cell.
        """
        live = on or Screen()
        try:
            result = self._portal.wait(coroutine, live.tick)
        except KeyboardInterrupt:
            live.clear()
            raise Stopped(_farewell(live)) from None
        except NanoBananaError:
            live.clear()
            raise
        if on is None:
            live.clear()
        return result

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Job[T]:
        """Begin one of the methods above in the background, and return at once.

        `job.future` is done when it has ended, `job.latest` is its progress (`display.Progress`)
        once there is any, and `job.detached = True` lets go of it: what was not sent yet is
        dropped, and what was goes on.
        """
        return self._portal.start(coroutine)

    @_on_the_loop
    async def _generate(
        self, prompt: str, count: int, options: Options, cell: Cell | None
    ) -> Generation | Gallery:
        gallery = await self._generate_all(prompt, count, options, cell)
        return gallery if count > 1 else _one_of(gallery)

    @_on_the_loop
    async def _generate_all(
        self, prompt: str, count: int, options: Options, cell: Cell | None
    ) -> Gallery:
        check_count(count, confirm=options.get("confirm", False))
        [wanted] = await asyncio.to_thread(self.requests_of, plans.single(prompt), options)
        return await self._drawn([wanted] * count, options, cell)

    @_on_the_loop
    async def _draw_all(self, plan: Plan, options: Options, cell: Cell | None) -> Grid:
        self.priced(plan, options.get("task_retries"), confirm=options.get("confirm", False))
        wanted = await asyncio.to_thread(self.requests_of, plan, options)
        return Grid(await self._drawn(wanted, options, cell), plan.axes, plan.title)

    async def _drawn(
        self, wanted: Sequence[Wanted], options: Options, cell: Cell | None
    ) -> Gallery:
        workshop = await self._open()
        new = options.get("new", False)
        orders = await workshop.ordering.to_draw(wanted, cell, new=new)
        return await self._draw(orders, options.get("task_retries"))

    @_on_the_loop
    async def _batch(
        self, requests: Any, key: str | None, column: str, options: Options, folder: str
    ) -> Batch:
        plan = requests
        if not isinstance(plan, BatchPlan):
            plan = await self._planned(requests, key, column, options, folder)
        if plan.missing:
            check_count(plan.missing, plan.text, confirm=options.get("confirm", False))
        workshop = await self._open()
        orders = await workshop.ordering.linked(plan.orders, plan.wanted)
        return Batch(await self._draw(orders, options.get("task_retries")), plan.keys)

    @_on_the_loop
    async def _planned(
        self, requests: Any, key: str | None, column: str, options: Options, folder: str
    ) -> BatchPlan:
        entries = await asyncio.to_thread(read, requests, column=column)
        wanted = await asyncio.to_thread(self._wanted_of, entries, options)
        workshop = await self._open()
        place = ["batch", "folder", folder] if key is None else ["batch", "key", key]
        new = options.get("new", False)
        orders = await workshop.ordering.to_batch(wanted, place, new=new)
        keys = tuple(entry.key for entry in entries)
        money = " of sandbox money" if self.sandboxed else ""
        retries = self._retries(options)
        return BatchPlan(keys, tuple(wanted), tuple(orders), retries, money)

    def _retries(self, options: Options) -> int:
        given = options.get("task_retries")
        return self.settings.task_retries if given is None else given

    def _wanted_of(self, entries: Sequence[Entry], options: Options) -> list[Wanted]:
        """What the entries ask for, each with the options that it does not say itself."""
        styled = options.get("style") or any(entry.settings.get("style") for entry in entries)
        book = presets.load(self.settings) if styled else {}
        try:
            _wanted("what is said for all of them is checked once", options, book)
        except RequestError as error:
            raise RequestError(f"Nothing was sent. {error}") from None
        wanted, problems = [], []
        for entry in entries:
            try:
                told = cast("Options", {**options, **entry.settings})
                wanted.append(_wanted(entry.prompt, told, book))
            except RequestError as error:
                problems.append((entry, str(error)))
        raise_for(problems)
        return wanted

    @_on_the_loop
    async def _vary(
        self, generation: Generation, count: int, new: bool, cell: Cell | None
    ) -> Gallery:
        workshop = await self._open()
        return await self._draw(await workshop.ordering.to_vary(generation, count, cell, new=new))

    async def _draw(self, orders: Sequence[Order], task_retries: int | None = None) -> Gallery:
        workshop = await self._open()
        retries = self.settings.task_retries if task_retries is None else task_retries
        gallery = await workshop.draw(orders, Terms(self.budget, retries))
        self.last = next((one for one in reversed(gallery) if one.error is None), self.last)
        return gallery

    async def _awaited(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await it from any loop; a cancelled await, too, names what goes on without it."""
        live = Screen(quiet=True)
        try:
            return await self._portal.awaitable(coroutine, live.tick)
        except asyncio.CancelledError as cancelled:
            if live.latest is None:
                raise
            # Not a class of our own: asyncio.timeout() knows only CancelledError itself.
            stopped = Stopped(_farewell(live))
            cancelled.args = stopped.args
            cancelled._render_traceback_ = stopped._render_traceback_  # type: ignore[attr-defined]
            raise

    async def _recover(self) -> None:
        workshop = await self._open()
        workshop.runner.watch()

    async def _open(self) -> Workshop:
        async with self._opening:
            if self._workshop is None:
                self._workshop = await asyncio.to_thread(self._opened)
                await self._workshop.begin()
            await self._workshop.read_back()
            return self._workshop

    def _opened(self) -> Workshop:
        workshop = Workshop(self.settings, self)
        self._portal.on_close(workshop.close)
        return workshop

    def _forget(self) -> None:
        """In a forked child the ledger's thread and the connections are those of the parent."""
        self._opening = asyncio.Lock()
        self._workshop = None


def check_options(options: Options) -> None:
    """Raises `RequestError` for an option that there is not: a picture without it costs as much."""
    known = ("count", *Options.__annotations__)
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1) or [_OTHER_WORDS.get(name, "")]
            meant = f" Did you mean {near[0]}?" if near[0] else ""
            raise RequestError(
                f"{name} is not an option, so nothing was sent.{meant} There are "
                f"{', '.join(known)}."
            )
    for name in ("new", "confirm"):
        if not isinstance(options.get(name, False), bool):
            raise RequestError(
                f"{name} takes True or False, so nothing was sent. If {{{name}}} of the prompt is "
                "meant, give it another name."
            )
    models.check_retries(options.get("task_retries"))


def _wanted(prompt: str, options: Options, book: Mapping[str, Style]) -> Wanted:
    """What is asked for, in its styles; raises `RequestError` if it cannot be sent."""
    given = options.get("image_urls", ())
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise RequestError("image_urls takes a list of links or pictures.")
    for name in ("aspect_ratio", "output_format"):
        if not isinstance(options.get(name), str | None):
            raise RequestError(f"{name} takes text, such as {name}={_SUCH_AS[name]!r}.")
    style = options.get("style")
    put_on = presets.chosen(book, () if style is None else style)
    told = presets.merged(put_on)
    given = (*given, *told.get("image_urls", ()))
    models.check_image_count(len(given))
    ratio = options.get("aspect_ratio") or told.get("aspect_ratio") or ("auto" if given else "")
    format_ = options.get("output_format") or told.get("output_format") or "png"
    return Wanted(ImageRequest(presets.dress(prompt, put_on), ratio, format_), given)


def check_count(count: int, what: str = "", *, confirm: bool = False) -> None:
    """Raises `RequestError` unless that many pictures may be drawn at once.

    `what` says how they come together, with their price.
    """
    models.check_count(count)
    if count > ASK_ABOVE and not confirm:
        cost = what or f"{count} pictures cost {display.money(PRICE * count)}"
        raise RequestError(
            f"{cost}, and nothing was sent yet; say confirm=True (in the magic: --yes) to draw "
            "them all."
        )


def _folder() -> str:
    """Where a batch is at home: the folder of the notebook, or the one that a script runs in."""
    cell = cells.running()
    return cell.folder if cell is not None else str(Path.cwd())


def _one_of(gallery: Gallery) -> Generation:
    """The only generation, or its error raised."""
    if gallery[0].error is not None:
        raise gallery[0].error
    return gallery[0]


def _farewell(live: Screen) -> str:
    return f"No longer waiting. {reporting.what_goes_on(live.latest)}"


def _moment(since: datetime | date | str) -> float:
    """Unix time of a date, a time or its ISO text; times without a zone are local."""
    if isinstance(since, str):
        try:
            since = datetime.fromisoformat(since)
        except ValueError:
            raise RequestError(
                f"since is {since!r}; give a date such as 2026-11-22, or a datetime."
            ) from None
    if not isinstance(since, datetime):
        since = datetime(since.year, since.month, since.day)  # noqa: DTZ001 - local midnight
    return since.timestamp()
