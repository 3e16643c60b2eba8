"""The use cases: generate, edit, vary, resume, history. Async, with one bridge for who blocks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, TypedDict, TypeVar, Unpack, overload

from . import (
    accounting,
    cells,
    display,
    links,
    models,
    outcomes,
    pictures,
    protocol,
    replay,
    reporting,
    sandbox,
    schema,
    screen,
)
from .archive import History, Lineage, Page
from .cells import Cell
from .client import Client
from .collecting import Collector
from .errors import NanoBananaError, RequestError, Stopped, TaskNotFound
from .ledger import Ledger
from .models import PRICE, ImageRequest
from .outcomes import Outcome
from .pacing import Schedule
from .pictures import PictureStore
from .portal import Job, Portal
from .references import Look, References
from .results import Gallery, Generation, Picture
from .rows import UNFINISHED, Account, PictureRow, Spent, TaskRow
from .screen import Screen
from .settings import HOW_TO_SET_THE_KEY, Secret, Settings, read_budget
from .submitting import Submitter
from .tasks import Order, TaskRunner, Terms

T = TypeVar("T")

ASK_ABOVE: Final = 20
"""Pictures at once above which the count and the price are confirmed first."""
QUIET: Final = 1.0
"""Seconds after the last task before the balance is noted."""
LINK_LIFE: Final = timedelta(hours=24)
SANDBOX_NOTICE: Final = (
    "There is no API key, so the sandbox draws placeholders, offline and free of charge. "
    f"For real pictures: {HOW_TO_SET_THE_KEY[0].lower()}{HOW_TO_SET_THE_KEY[1:]}."
)


class Options(TypedDict, total=False):
    """What can be said about a picture besides its prompt."""

    aspect_ratio: str
    output_format: str
    image_urls: Sequence[Any]
    new: bool
    task_retries: int
    confirm: bool


@dataclass(frozen=True)
class _Workshop:
    """What a studio works with, once it is open."""

    client: Client
    ledger: Ledger
    runner: TaskRunner
    references: References
    account: Account


class Studio:
    """Draws pictures: `async with Studio() as studio: await studio.generate("a fox")`.

    Its methods are async and can be awaited on any event loop; `wait(...)` blocks for one of them
    instead. It reads `Settings.load()` unless it is given settings, and opens on first use.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.load()
        self.last: Generation | None = None
        self._budget = self.settings.budget
        self._noting: asyncio.Task[None] | None = None
        self._portal = Portal()
        self._opening = asyncio.Lock()
        self._workshop: _Workshop | None = None
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
        if self.settings.sandbox == "auto":
            return self._key() is None and screen.in_ipython()
        return self.settings.sandbox == "always"

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
        jpeg), `image_urls` (links and whatever else can stand for a picture: results, and, where
        they can be served, files and Pillow images), `task_retries` (how often to draw again, each
        time at its price, where the model failed), `confirm=True` for more than 20 at once.
        In a notebook, a cell that runs for the first time in a kernel shows what an earlier run of
        it drew, at no cost, unless `new=True`.
        Raises `NanoBananaError`s, which say what to do next.
        """
        # The cell is the one that calls, whenever and wherever this is awaited.
        return self._awaited(self._generate(prompt, count, options, cells.running()))

    def gallery(
        self, prompt: str, *, count: int = 1, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, Gallery]:
        """As `generate`, but always a `Gallery`: also a single failure stands in it as such."""
        return self._awaited(self._generate_all(prompt, count, options, cells.running()))

    def edit(
        self, reference: Any, prompt: str, *, count: int = 1, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, Generation | Gallery]:
        """A picture made from another one, or from a list of up to five, in their order."""
        options["image_urls"] = reference if isinstance(reference, list | tuple) else [reference]
        return self.generate(prompt, count=count, **options)

    def vary(
        self, generation: Generation, count: int = 4, *, new: bool = False
    ) -> Coroutine[Any, Any, Gallery]:
        """The same request `count` times more."""
        check_count(count)
        cell = cells.running()
        return self._awaited(self._vary(generation, count, new, cell))

    async def resume(self, task_id: str | None = None) -> Gallery:
        """Wait for accepted tasks that are not on disk yet, all or one; nothing is submitted.

        `task_id` may also be that of a task that was sent from another machine with this key.
        """
        return await self._awaited(self._resume(task_id))

    async def submit_again(self, attempt_id: str) -> Generation:
        """Draw anew what may have been billed already, for another $0.03: a person's own act."""
        return await self._awaited(self._submit_again(attempt_id))

    async def dismiss(self, attempt_id: str) -> None:
        """No longer show an attempt that may have been billed."""
        await self._awaited(self._dismiss(attempt_id))

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
        return await self._awaited(self._history(words, since, state, starred))

    async def star(self, id: str, on: bool) -> None:  # noqa: A002
        """Mark a picture of the history, or take the mark away."""
        await self._awaited(self._annotate(id, starred=int(on)))

    async def note(self, id: str, text: str) -> None:  # noqa: A002
        """Write a note to a picture of the history."""
        await self._awaited(self._annotate(id, note=text))

    async def balance(self) -> Decimal:
        """US dollars left for this key."""
        return await self._awaited(self._balance())

    async def account(self) -> accounting.Report:
        """The balance, what was spent, what is in doubt, and whether all of it agrees."""
        return await self._awaited(self._account())

    def recover(self) -> None:
        """Bring home in the background what an ended kernel left behind, if there is anything."""
        if not self.sandboxed and schema.anything_left(self.settings.ledger):
            self._portal.start(self._recover())

    def news(self) -> str:
        """What came back in the background since this was last asked, in one line, or nothing."""
        if self._workshop is None:
            return ""
        return accounting.news(self._workshop.runner.take_news())

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

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Job[T]:
        """Begin one of the methods above in the background, and return at once.

        `job.future` is done when it has ended, `job.latest` is its progress (`display.Progress`)
        once there is any, and `job.detached = True` lets go of it: what was not sent yet is
        dropped, and what was goes on.
        """
        return self._portal.start(coroutine)

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
        return await self._awaited(self._page(words, starred, also, offset, limit))

    async def version(self) -> tuple[int, int]:
        """Another pair whenever anything has changed in this home, here or in another kernel."""
        return await self._awaited(self._version())

    async def prompts(self, limit: int = 100) -> list[str]:
        """The prompts that were used here, the latest first, each once."""
        return await self._awaited(self._prompts(limit))

    async def drop(self, id: str) -> bool:  # noqa: A002
        """Take back, at no cost, what waits to be sent; False if it does not wait any more.

        `id` is that of a `Generation` whose `state` is queued.
        """
        return await self._awaited(self._drop(id))

    async def spending(self) -> Spent:
        """US dollars that this home has spent, today, in this session and ever; nobody is asked."""
        return await self._awaited(self._spending())

    async def get(self, id: str) -> Generation:  # noqa: A002
        """A task of this home, by our id or by that of the API. Raises `RequestError` if there is
        none; what became of the task is the `error` of the result."""
        return await self._awaited(self._get(id))

    async def lineage(self, id: str) -> Lineage:  # noqa: A002
        """What a result was drawn from, and what was drawn from it; `id` as for `get`."""
        return await self._awaited(self._lineage(id))

    async def look_at(self, reference: Any) -> Look:
        """See whether a link, a result, a file or a Pillow image can be a reference.

        Raises `RequestError`, in one line, where it cannot: it is no picture, is larger than the
        API takes, or lies where the API cannot fetch it.
        """
        return await self._awaited(self._look_at(reference))

    @property
    def expected(self) -> float:
        """Seconds that a picture usually takes."""
        workshop = self._workshop
        return (workshop.client.schedule if workshop else self._schedule()).expected

    def preview(self, path: Path) -> bytes:
        """A small JPEG of a stored picture."""
        return self._store().preview(path)

    # What follows runs on the portal's loop.

    async def _generate(
        self, prompt: str, count: int, options: Options, cell: Cell | None
    ) -> Generation | Gallery:
        gallery = await self._generate_all(prompt, count, options, cell)
        return gallery if count > 1 else _one_of(gallery)

    async def _generate_all(
        self, prompt: str, count: int, options: Options, cell: Cell | None
    ) -> Gallery:
        check_count(count, confirm=options.get("confirm", False))
        ratio, output_format = options.get("aspect_ratio", ""), options.get("output_format", "png")
        given = options.get("image_urls", ())
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise RequestError("image_urls takes a list of links or pictures.")
        models.check_image_count(len(given))
        plain = ImageRequest(prompt, ratio or ("auto" if given else ""), output_format)
        workshop = await self._open()
        read = workshop.references
        sources = [await asyncio.to_thread(read.read, reference) for reference in given]
        contents = [await asyncio.to_thread(read.content, source) for source in sources]
        new = options.get("new", False)
        orders = await self._orders(plain, contents, count, cell, new=new)
        if sources and any(self._may_send(order) for order in orders):
            pairs = zip(sources, contents, strict=True)
            ours = [await self._recognised(source, content) for source, content in pairs]
            urls = [await asyncio.to_thread(read.link_to, source) for source in ours]
            request = replace(plain, image_urls=tuple(urls))
            orders = _with_links(orders, request, contents)
        return await self._draw(orders, options.get("task_retries"))

    async def _vary(
        self, generation: Generation, count: int, new: bool, cell: Cell | None
    ) -> Gallery:
        request, contents = generation.request, generation.references
        varied = [f"varied {generation.id}"]
        orders = await self._orders(request, varied, count, cell, new=new)
        if contents and any(self._may_send(order) for order in orders):
            request = await self._relinked(request, contents)
            orders = _with_links(orders, request, contents)
        return await self._draw(orders)

    def _may_send(self, order: Order) -> bool:
        """Whether it needs its links; a sandbox that has ended leaves tasks to be drawn anew."""
        earlier = order.earlier
        return earlier is None or (self.sandboxed and earlier.state in UNFINISHED)

    async def _recognised(self, source: str | Picture | Path, content: str) -> str | Picture | Path:
        """A file that is a picture of this home as that picture, to which the API has a link."""
        if not isinstance(source, Path):
            return source
        known = await (await self._open()).ledger.picture(content)
        return source if known is None else replace(_picture(*known), path=source)

    async def _relinked(self, request: ImageRequest, contents: Sequence[str]) -> ImageRequest:
        """The request with links that live, where its references are pictures of this home."""
        if len(contents) != len(request.image_urls):
            return request
        pairs = zip(contents, request.image_urls, strict=True)
        urls = [await self._link_anew(content, old) for content, old in pairs]
        return replace(request, image_urls=tuple(urls))

    async def _link_anew(self, content: str, old: str) -> str:
        workshop = await self._open()
        known = await workshop.ledger.picture(content)
        if known is None:
            return old
        return await asyncio.to_thread(workshop.references.link_to, _picture(*known))

    async def _orders(
        self,
        request: ImageRequest,
        references: Sequence[str],
        count: int,
        cell: Cell | None,
        *,
        new: bool,
    ) -> list[Order]:
        """The same request `count` times, each with what an earlier run of the cell got for it."""
        if cell is None:
            return [Order(request)] * count
        workshop = await self._open()
        keys = replay.keys(cell, request, references, workshop.account, count)
        if not cell.first or new:
            return [Order(request, key) for key in keys]
        return [Order(request, key, await workshop.ledger.latest(key)) for key in keys]

    async def _draw(self, orders: Sequence[Order], task_retries: int | None = None) -> Gallery:
        workshop = await self._open()
        retries = self.settings.task_retries if task_retries is None else task_retries
        terms = Terms(self.budget, retries)
        gallery = self._gallery(await workshop.runner.draw(orders, terms))
        self.last = next((one for one in reversed(gallery) if one.error is None), self.last)
        if self._noting is None and not self.sandboxed:
            self._noting = asyncio.ensure_future(self._note_balance(workshop))
        return gallery

    async def _note_balance(self, workshop: _Workshop) -> None:
        """Note the balance once in a session, at a quiet moment: if an answer is lost later, the
        difference tells whether the attempt was billed. A script that ends does not wait for it."""
        with contextlib.suppress(NanoBananaError):
            busy = True
            while busy:
                await asyncio.sleep(QUIET)
                busy = not workshop.runner.idle or await workshop.ledger.others_at_work()
            balance = await workshop.client.balance()
            await workshop.ledger.balance_seen(workshop.account, balance)

    async def _resume(self, task_id: str | None) -> Gallery:
        workshop = await self._open()
        if task_id is None:
            rows = await workshop.ledger.unfinished(workshop.account)
            return self._gallery(await workshop.runner.resume(rows))
        row = await workshop.ledger.find(task_id) or await workshop.ledger.get(task_id)
        if row is None:
            row = await self._adopted(task_id)
        if row.state not in UNFINISHED:
            return self._gallery([outcomes.of(row)])
        return self._gallery(await workshop.runner.resume([row], only=True))

    async def _adopted(self, task_id: str) -> TaskRow:
        """A task that another machine sent, noted here once the API says that it knows it."""
        workshop = await self._open()
        shown = protocol.clean(task_id, 60)
        try:
            await workshop.client.status(task_id)
        except TaskNotFound:
            raise RequestError(
                f"Task {shown} is not in the ledger of this home ({self._home().home}), and the "
                "API does not know it; check the id, NANOBANANA_HOME and the key."
            ) from None
        request = ImageRequest(f"(task {shown}, sent from elsewhere)")
        return await workshop.ledger.adopt(task_id, request, workshop.account)

    async def _submit_again(self, attempt_id: str) -> Generation:
        row = await self._in_doubt(attempt_id)
        request = await self._relinked(row.request, row.references)
        order = Order(request, row.cell, follows=row.id, references=row.references)
        gallery = await self._draw([order])
        if gallery[0].task_id:
            await self._dismiss(row.id)
        return _one_of(gallery)

    async def _dismiss(self, attempt_id: str) -> None:
        row = await self._in_doubt(attempt_id)
        await (await self._open()).ledger.move(row.id, "abandoned")

    async def _in_doubt(self, attempt_id: str) -> TaskRow:
        row = await (await self._open()).ledger.get(attempt_id)
        if row is None or row.state != "unknown":
            raise RequestError(
                f"There is no attempt {protocol.clean(attempt_id, 60)!r} in doubt; "
                'nb.history(state="unknown") lists those that are.'
            )
        return row

    async def _history(
        self,
        words: str,
        since: datetime | date | str | None,
        state: str | Sequence[str],
        starred: bool | None,
    ) -> History:
        states = [state] if isinstance(state, str) else list(state)
        begin = None if since is None else _moment(since)
        ledger = (await self._open()).ledger
        states = [one for one in states if one]
        rows = await ledger.history(words, begin, states, starred)
        asked = [words, *states, f"since {since}" if since else "", "starred" if starred else ""]
        found = (self._generation(outcomes.of(row)) for row in rows)
        return History(found, ", ".join(filter(None, asked)))

    async def _page(
        self, words: str, starred: bool | None, also: Sequence[str], offset: int, limit: int
    ) -> Page:
        ledger = (await self._open()).ledger
        rows, total = await ledger.page(words, starred, also, offset, limit)
        return Page(self._remembered(rows), total)

    async def _version(self) -> tuple[int, int]:
        return await (await self._open()).ledger.version()

    async def _prompts(self, limit: int) -> list[str]:
        return await (await self._open()).ledger.prompts(limit)

    async def _drop(self, id: str) -> bool:  # noqa: A002
        return await (await self._open()).runner.drop(id)

    async def _spending(self) -> Spent:
        return await (await self._open()).ledger.spent()

    async def _get(self, id: str) -> Generation:  # noqa: A002
        return self._generation(outcomes.of(await self._row(id)))

    async def _lineage(self, id: str) -> Lineage:  # noqa: A002
        row = await self._row(id)
        ledger = (await self._open()).ledger
        parents = self._remembered(await ledger.parents(row.id))
        return Lineage(parents, self._remembered(await ledger.children(row.id)))

    async def _row(self, id: str) -> TaskRow:  # noqa: A002
        ledger = (await self._open()).ledger
        row = await ledger.get(id) or await ledger.find(id)
        if row is None:
            raise RequestError(
                f"Task {protocol.clean(id, 60)} is not in the ledger of this home "
                f"({self._home().home}); check the id and NANOBANANA_HOME."
            )
        return row

    async def _look_at(self, reference: Any) -> Look:
        workshop = await self._open()
        read = workshop.references
        source = await asyncio.to_thread(read.read, reference)
        content = await asyncio.to_thread(read.content, source)
        return await read.look_at(await self._recognised(source, content), workshop.client)

    async def _annotate(self, id: str, **columns: Any) -> None:  # noqa: A002
        await (await self._open()).ledger.annotate(id, **columns)

    async def _balance(self) -> Decimal:
        workshop = await self._open()
        balance = await workshop.client.balance()
        await workshop.ledger.balance_seen(workshop.account, balance)
        return balance

    async def _account(self) -> accounting.Report:
        workshop = await self._open()
        balance = await workshop.client.balance()
        earlier = await workshop.ledger.balance_seen(workshop.account, balance)
        spent = await workshop.ledger.spent()
        money = " of sandbox money" if self.sandboxed else ""
        return accounting.report(balance, spent, self.budget, earlier, money)

    async def _recover(self) -> None:
        (await self._open()).runner.watch()

    async def _open(self) -> _Workshop:
        async with self._opening:
            if self._workshop is None:
                self._workshop = await asyncio.to_thread(self._made)
                self._workshop.runner.watch()
            return self._workshop

    def _made(self) -> _Workshop:
        settings = self._home()
        settings.check_writable()
        imitation, base_url, key = None, settings.base_url, self._key()
        schedule = self._schedule()
        account = Account(base_url, key.account if key else "")
        if self.sandboxed:
            imitation = sandbox.Sandbox().start()
            base_url, key, account = imitation.url, Secret("sandbox"), Account("sandbox")
        client = Client(
            key,
            base_url=base_url,
            schedule=schedule,
            timeout=settings.timeout,
            resend=settings.resend,
        )
        ledger = Ledger(settings.ledger)
        store = self._store()
        store.sweep(time.time())
        folders = (settings.home, settings.pictures)
        runner = TaskRunner(
            Submitter(client, ledger, lambda: pictures.check_room(folders)),
            Collector(client, ledger, store, forgetful=imitation is not None),
            account,
            " of sandbox money" if imitation else "",
        )
        references = References(settings.home / "references", imitation)

        async def close() -> None:
            await client.aclose()
            ledger.close()
            if imitation is not None:
                imitation.close()

        self._portal.on_close(close)
        return _Workshop(client, ledger, runner, references, account)

    def _schedule(self) -> Schedule:
        """When to look: as the settings say, and sooner at the sandbox, which draws at once."""
        settings = self.settings
        if self.sandboxed:
            return Schedule(0.4, 0.2, settings.deadline, expected=2.0, backoff=0.2)
        return Schedule(
            settings.first_poll,
            settings.poll_interval,
            settings.deadline,
            backoff=settings.backoff,
        )

    def _home(self) -> Settings:
        """The sandbox keeps a home of its own, so that its tasks never mix with paid ones."""
        if not self.sandboxed:
            return self.settings
        return replace(
            self.settings,
            home=self.settings.home / "sandbox",
            pictures=self.settings.pictures / "sandbox",
        )

    def _store(self) -> PictureStore:
        settings = self._home()
        elsewhere = pictures.refuges(settings.home)
        return PictureStore(settings.pictures, settings.home / "previews", elsewhere)

    def _key(self) -> Secret | None:
        """The key; a sandbox on this machine, started by hand, takes any."""
        on_this_machine = links.is_loopback(links.split(self.settings.base_url).hostname)
        return self.settings.api_key or (Secret("sandbox") if on_this_machine else None)

    def _gallery(self, outcomes: Sequence[Outcome]) -> Gallery:
        return Gallery(self._generation(outcome) for outcome in outcomes)

    def _remembered(self, rows: Sequence[TaskRow]) -> Gallery:
        """Tasks as the ledger knows them."""
        return self._gallery([outcomes.of(row) for row in rows])

    def _generation(self, outcome: Outcome) -> Generation:
        row = outcome.row
        return Generation(
            request=row.request,
            id=row.id,
            task_id=row.task_id or "",
            images=() if outcome.error else _pictures(row),
            cost=outcome.cost,
            seconds=row.seconds,
            created=_local(row.created),
            sandbox=self.sandboxed,
            replayed=outcome.replayed,
            state=row.state,
            starred=row.starred,
            remark=row.note,
            warning=outcome.warning,
            sent=None if row.sent is None else _local(row.sent),
            references=row.references,
            error=outcome.error,
            maker=self,
        )

    def _forget(self) -> None:
        """In a forked child the ledger's thread and the connections are those of the parent."""
        self._opening = asyncio.Lock()
        self._workshop = None


def check_count(count: int, *, confirm: bool = False) -> None:
    """Raises `RequestError` unless that many pictures may be drawn at once."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise RequestError(f"count is {count!r}; give a whole number of pictures, 1 or more.")
    if count > ASK_ABOVE and not confirm:
        raise RequestError(
            f"{count} pictures cost {display.money(PRICE * count)}, and nothing was sent yet; "
            "say confirm=True (in the magic: --yes) to draw them all."
        )


def _one_of(gallery: Gallery) -> Generation:
    """The only generation, or its error raised."""
    if gallery[0].error is not None:
        raise gallery[0].error
    return gallery[0]


def _pictures(row: TaskRow) -> tuple[Picture, ...]:
    return tuple(_picture(row, one) for one in row.pictures if one.file is not None)


def _picture(row: TaskRow, one: PictureRow) -> Picture:
    expires = _local(row.created) + LINK_LIFE
    return Picture(one.file or Path(), one.url, expires, one.width, one.height, one.sha256)


def _local(moment: float) -> datetime:
    """Unix time as an aware time of this machine's zone."""
    return datetime.fromtimestamp(moment, UTC).astimezone()


def _with_links(
    orders: Sequence[Order], request: ImageRequest, contents: Sequence[str]
) -> list[Order]:
    """The same orders, once it is known under which links their references can be fetched."""
    return [replace(order, request=request, references=tuple(contents)) for order in orders]


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
