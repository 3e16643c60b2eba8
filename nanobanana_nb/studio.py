"""The use cases: generate, edit, vary, resume. Async, with one bridge for those who block."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, TypedDict, TypeVar, Unpack, overload

from . import display, links, models, protocol, sandbox, screen, tasks
from .client import Client
from .errors import NanoBananaError, RequestError, Stopped
from .ledger import Ledger, TaskRow
from .models import PRICE, ImageRequest
from .pacing import Schedule
from .pictures import PictureStore
from .portal import Portal
from .references import References
from .results import Gallery, Generation, Picture
from .screen import Screen
from .settings import HOW_TO_SET_THE_KEY, Secret, Settings
from .tasks import Outcome, TaskRunner

T = TypeVar("T")

ASK_ABOVE: Final = 20
"""Pictures at once above which the count and the price are confirmed first."""
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
    confirm: bool


@dataclass(frozen=True)
class _Workshop:
    """What a studio works with, once it is open."""

    client: Client
    ledger: Ledger
    runner: TaskRunner
    references: References
    origin: str


class Studio:
    """Draws pictures: `async with Studio() as studio: await studio.generate("a fox")`.

    Its methods are async and can be awaited on any event loop; `wait(...)` blocks for one of them
    instead. It reads `Settings.load()` unless it is given settings, and opens on first use.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.load()
        self.last: Generation | None = None
        self._portal = Portal()
        self._opening = asyncio.Lock()
        self._workshop: _Workshop | None = None

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

    @overload
    async def generate(
        self, prompt: str, *, count: Literal[1] = 1, **options: Unpack[Options]
    ) -> Generation: ...

    @overload
    async def generate(
        self, prompt: str, *, count: int, **options: Unpack[Options]
    ) -> Generation | Gallery: ...

    async def generate(
        self, prompt: str, *, count: int = 1, **options: Unpack[Options]
    ) -> Generation | Gallery:
        """Draw a picture ($0.03); with `count` above 1 a `Gallery`, with failures inside it.

        Options: `aspect_ratio` (default 1:1, or auto with references), `output_format` (png or
        jpeg), `image_urls` (links and whatever else can stand for a picture: results, and, where
        they can be served, files and Pillow images), `confirm=True` for more than 20 at once.
        Raises `NanoBananaError`s, which say what to do next.
        """
        return await self._awaited(self._generate(prompt, count, options))

    async def edit(
        self, reference: Any, prompt: str, *, count: int = 1, **options: Unpack[Options]
    ) -> Generation | Gallery:
        """A picture made from another one, or from a list of up to five, in their order."""
        options["image_urls"] = reference if isinstance(reference, list | tuple) else [reference]
        return await self.generate(prompt, count=count, **options)

    async def vary(self, generation: Generation, count: int = 4) -> Gallery:
        """The same request `count` times more."""
        check_count(count)
        return await self._awaited(self._draw([generation.request] * count))

    async def resume(self, task_id: str | None = None) -> Gallery:
        """Wait for accepted tasks that are not on disk yet, all or one; nothing is submitted."""
        return await self._awaited(self._resume(task_id))

    async def balance(self) -> Decimal:
        """US dollars left for this key."""
        return await self._awaited(self._balance())

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

    def preview(self, path: Path) -> bytes:
        """A small JPEG of a stored picture."""
        return self._store().preview(path)

    # What follows runs on the portal's loop.

    async def _generate(self, prompt: str, count: int, options: Options) -> Generation | Gallery:
        check_count(count, confirm=options.get("confirm", False))
        request = await self._request(prompt, options)
        gallery = await self._draw([request] * count)
        if count > 1:
            return gallery
        if gallery[0].error is not None:
            raise gallery[0].error
        return gallery[0]

    async def _request(self, prompt: str, options: Options) -> ImageRequest:
        """The request, with every reference turned into a link; refused before anything is sent."""
        ratio, output_format = options.get("aspect_ratio", ""), options.get("output_format", "png")
        plain = ImageRequest(prompt, ratio, output_format)
        given = options.get("image_urls", ())
        if not given:
            return plain
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise RequestError("image_urls takes a list of links or pictures.")
        models.check_image_count(len(given))
        references = (await self._open()).references
        urls = [await asyncio.to_thread(references.link_to, reference) for reference in given]
        return ImageRequest(prompt, ratio, output_format, tuple(urls))

    async def _draw(self, requests: Sequence[ImageRequest]) -> Gallery:
        workshop = await self._open()
        gallery = self._gallery(await workshop.runner.draw(requests))
        self.last = next((one for one in reversed(gallery) if one.error is None), self.last)
        return gallery

    async def _resume(self, task_id: str | None) -> Gallery:
        workshop = await self._open()
        if task_id is None:
            rows = await workshop.ledger.unfinished(workshop.origin)
            return self._gallery(await workshop.runner.resume(rows))
        row = await workshop.ledger.find(task_id)
        if row is None:
            raise RequestError(
                f"Task {protocol.clean(task_id, 60)} is not in the ledger of this home "
                f"({self._home().home}); check the id and NANOBANANA_HOME."
            )
        return self._gallery(await workshop.runner.resume([row], only=True))

    async def _balance(self) -> Decimal:
        return await (await self._open()).client.balance()

    async def _open(self) -> _Workshop:
        async with self._opening:
            if self._workshop is None:
                self._workshop = await asyncio.to_thread(self._made)
            return self._workshop

    def _made(self) -> _Workshop:
        settings = self._home()
        settings.check_writable()
        schedule = Schedule(settings.first_poll, settings.poll_interval, settings.deadline)
        imitation, base_url, origin = None, settings.base_url, settings.base_url
        if self.sandboxed:
            imitation = sandbox.Sandbox().start()
            base_url, origin = imitation.url, "sandbox"
            schedule = Schedule(0.4, 0.2, settings.deadline, expected=2.0, backoff=0.2)
        key = Secret("sandbox") if imitation else self._key()
        client = Client(key, base_url=base_url, schedule=schedule)
        ledger = Ledger(settings.home / "ledger.sqlite3")
        money = " of sandbox money" if imitation else ""
        runner = TaskRunner(client, ledger, self._store(), origin, money)
        references = References(settings.home / "references", imitation)

        async def close() -> None:
            await client.aclose()
            ledger.close()
            if imitation is not None:
                imitation.close()

        self._portal.on_close(close)
        return _Workshop(client, ledger, runner, references, origin)

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
        return PictureStore(settings.pictures, settings.home / "previews")

    def _key(self) -> Secret | None:
        """The key; a sandbox on this machine, started by hand, takes any."""
        on_this_machine = links.is_loopback(links.split(self.settings.base_url).hostname)
        return self.settings.api_key or (Secret("sandbox") if on_this_machine else None)

    def _gallery(self, outcomes: Sequence[Outcome]) -> Gallery:
        return Gallery(self._generation(outcome) for outcome in outcomes)

    def _generation(self, outcome: Outcome) -> Generation:
        row = outcome.row
        created = datetime.fromtimestamp(row.created, UTC).astimezone()
        return Generation(
            request=row.request,
            id=row.id,
            task_id=row.task_id or "",
            images=() if outcome.error else _pictures(row, created),
            cost=outcome.cost,
            seconds=row.seconds,
            created=created,
            sandbox=self.sandboxed,
            error=outcome.error,
            maker=self,
        )


def check_count(count: int, *, confirm: bool = False) -> None:
    """Raises `RequestError` unless that many pictures may be drawn at once."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise RequestError(f"count is {count!r}; give a whole number of pictures, 1 or more.")
    if count > ASK_ABOVE and not confirm:
        raise RequestError(
            f"{count} pictures cost {display.money(PRICE * count)}, and nothing was sent yet; "
            "say confirm=True (in the magic: --yes) to draw them all."
        )


def _pictures(row: TaskRow, created: datetime) -> tuple[Picture, ...]:
    return tuple(
        Picture(one.file, one.url, created + LINK_LIFE, one.width, one.height, one.sha256)
        for one in row.pictures
        if one.file is not None
    )


def _farewell(live: Screen) -> str:
    return f"No longer waiting. {tasks.what_goes_on(live.latest)}"
