"""The workshop: settings to a working whole, which draws, and knows its tasks and its money."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Final

from . import (
    accounting,
    keys,
    links,
    outcomes,
    pictures,
    protocol,
    rebuilding,
    recalling,
    sandbox,
    screen,
    stylebook,
)
from .archive import Lineage
from .callbacks import Callbacks
from .client import Client
from .collecting import Collector
from .errors import ConfigError, NanoBananaError, RequestError, TaskNotFound
from .keys import Secret
from .ledger import Ledger
from .mirror import Mirror
from .models import ImageRequest
from .ordering import Ordering
from .outcomes import Outcome
from .pacing import Schedule
from .pictures import PictureStore
from .presets import Style
from .publishing import Publisher
from .references import References
from .results import Gallery, Maker
from .rhythm import Rhythms
from .rows import UNFINISHED, Account, TaskRow
from .settings import DRIVE, Settings
from .stylebook import StyleBook
from .submitting import Submitter
from .tasks import Order, TaskRunner, Terms

READ_BACK: Final = 10.0
"""Seconds that a new machine has to see what lies in the mirror, before it may draw that anew."""
LAST_COPIES: Final = 3.0
"""Seconds that copies have at the end; what is not copied by then is when the next one begins."""
QUIET: Final = 1.0
"""Seconds after the last task before the balance is noted."""
ANCESTORS: Final = 30
"""Tasks of a lineage whose origins are looked for."""
LOOKED_AT: Final = 200
"""Tasks in which the words of a style are looked for."""


class Workshop:
    """What a studio works with, once it is open. `maker` is the studio, for its results.

    Opening it blocks, and so belongs on a thread; all else runs on the portal's loop.
    """

    def __init__(self, settings: Settings, maker: Maker) -> None:
        self.sandboxed = is_sandboxed(settings)
        self.settings = home_of(settings)
        self.settings.check_writable()
        self._maker = maker
        self._money = " of sandbox money" if self.sandboxed else ""
        self._noting: asyncio.Task[None] | None = None
        self._sandbox: sandbox.Sandbox | None = None
        base_url, key = settings.base_url, key_of(settings)
        self.account = Account(base_url, key.account if key else "")
        if self.sandboxed:
            self._sandbox = sandbox.Sandbox().start()
            base_url, key, self.account = self._sandbox.url, Secret("sandbox"), Account("sandbox")
        if key is None:
            raise ConfigError(settings.without_key)
        self.client = Client(
            key,
            base_url=base_url,
            schedule=schedule_of(settings),
            timeout=settings.timeout,
            resend=settings.resend,
        )
        self._new_here = keys.in_colab() or not self.settings.ledger.exists()
        self.ledger = Ledger(self.settings.ledger)
        self.rhythms = Rhythms(
            self.client, self.ledger, self.account, fixed=self.sandboxed or is_fixed(settings)
        )
        self.callbacks = Callbacks(
            "" if self.sandboxed else settings.callback_url,
            self.client,
            self.ledger,
            self.rhythms,
            self.account,
        )
        self._store = store_of(self.settings)
        copies = mirror_of(settings)
        self.mirror = Mirror(copies, self.settings.pictures) if copies else None
        self.runner = self._runner()
        publisher = Publisher(
            settings.publish,
            settings.publish_base,
            loopback_allowed=self.client.on_this_machine,
        )
        references = References(self.settings.home / "references", self._sandbox, publisher)
        self.ordering = Ordering(self.ledger, references, self.account, self.sandboxed, self.client)

    def _runner(self) -> TaskRunner:
        store = self._store
        store.sweep(time.time())
        folders = (self.settings.home, self.settings.pictures)
        return TaskRunner(
            Submitter(
                self.client,
                self.ledger,
                self.rhythms,
                self.callbacks,
                lambda: pictures.check_room(folders),
            ),
            Collector(
                self.client,
                self.ledger,
                store,
                self.rhythms,
                self.callbacks,
                forgetful=self.sandboxed,
                embed=self.settings.embed,
                mirror=self.mirror,
            ),
            self.account,
            self._money,
        )

    async def begin(self) -> None:
        """Take up what other kernels have left, and in the background what lies in the mirror."""
        self.runner.watch()
        if self.mirror is not None:
            self.mirror.begin(rebuilding.Memory(self.ledger, asyncio.get_running_loop()))

    async def read_back(self) -> None:
        """On a new machine, wait until it is known what others have left in the mirror, for it may
        be what a cell asks for. A drive that takes too long is not waited for again."""
        if self.mirror is None or self.mirror.seen or not self._new_here:
            return
        looked = asyncio.wrap_future(self.mirror.look())
        done, _ = await asyncio.wait([looked], timeout=READ_BACK)
        if not done:
            self._new_here = False
            self.mirror.tell_of_slowness()

    async def close(self) -> None:
        """Let go of connections, file and sandbox, once the last copies are made."""
        if self.mirror is not None:
            self.mirror.close(LAST_COPIES)
            await asyncio.wait([asyncio.wrap_future(self.mirror.ended)], timeout=LAST_COPIES)
        await self.client.aclose()
        self._store.close()
        self.ledger.close()
        if self._sandbox is not None:
            self._sandbox.close()

    async def draw(self, orders: Sequence[Order], terms: Terms) -> Gallery:
        """Send every order and bring its pictures home; a failure stands in its place."""
        drawn = await self.runner.draw(orders, terms)
        if self._noting is None and not self.sandboxed:
            self._noting = asyncio.ensure_future(self._note_balance())
        return self._results(drawn)

    async def resume(self, task_id: str | None) -> Gallery:
        """Bring home all accepted tasks, or one, which may be that of another machine."""
        await self.callbacks.look()
        if task_id is None:
            rows = await self.ledger.unfinished(self.account)
            return self._results(await self.runner.resume(rows))
        row = await self._known(task_id) or await self._adopted(task_id)
        if row.state not in UNFINISHED:
            return self.remembered([row])
        return self._results(await self.runner.resume([row], only=True))

    def remembered(self, rows: Sequence[TaskRow]) -> Gallery:
        """Tasks as the ledger knows them."""
        return self._results([outcomes.of(row) for row in rows])

    async def lineage(self, row: TaskRow) -> Lineage:
        """What a task was drawn from, step by step, and what was drawn from it."""
        origins: dict[str, Gallery] = {}
        waiting = deque([row])
        while waiting and len(origins) <= ANCESTORS:
            one = waiting.popleft()
            if one.id not in origins:
                parents = await self.ledger.parents(one.id)
                origins[one.id] = self.remembered(parents)
                waiting.extend(parents)
        children = self.remembered(await self.ledger.children(row.id))
        return Lineage(self.remembered([row])[0], origins, children)

    async def style_book(self, known: Mapping[str, Style], file: Path) -> StyleBook:
        """These styles with the latest pictures drawn in each; `file` is where more are added."""
        drawn = {name: self.remembered(await self._drawn_in(one)) for name, one in known.items()}
        return StyleBook(known, drawn, file)

    async def _drawn_in(self, style: Style) -> list[TaskRow]:
        """The latest stored tasks whose prompts wear the style."""
        found: list[TaskRow] = []
        words, offset, total = " ".join(style.pieces), 0, 1 if style.pieces else 0
        while offset < min(total, LOOKED_AT) and len(found) < stylebook.SHOWN:
            rows, total = await self.ledger.page(words, offset=offset, limit=2 * stylebook.SHOWN)
            worn = [row for row in rows if style.is_worn_by(row.request.prompt)]
            found += [row for row in worn if row.state == "stored"]
            offset += 2 * stylebook.SHOWN
        return found[: stylebook.SHOWN]

    async def row(self, id_: str) -> TaskRow:
        """A task of this home, by our id or by that of the API; `RequestError` if it has none."""
        row = await self._known(id_)
        if row is None:
            raise RequestError(
                f"Task {protocol.clean(id_, 60)} is not in the ledger of this home "
                f"({self.settings.home}); check the id and NANOBANANA_HOME."
            )
        return row

    async def in_doubt(self, attempt_id: str) -> TaskRow:
        """An attempt that may have been billed; `RequestError` if it is none."""
        row = await self.ledger.get(attempt_id)
        if row is None or row.state != "unknown":
            raise RequestError(
                f"There is no attempt {protocol.clean(attempt_id, 60)!r} in doubt; "
                'nb.history(state="unknown") lists those that are.'
            )
        return row

    async def to_submit_again(self, attempt_id: str) -> Order:
        """The same request as a new order, which a person is ready to pay for once more.

        Raises `RequestError` where the attempt is not in doubt, or may not be for long.
        """
        await self.callbacks.look()
        row = await self.in_doubt(attempt_id)
        if self.callbacks.awaits(row.id):
            raise RequestError(
                f"Attempt {row.id} waits for its callback, which may still bring the picture, so "
                "nothing was sent again; ask again in a few minutes."
            )
        return await self.ordering.to_submit_again(row)

    async def dismiss(self, attempt_id: str) -> None:
        """Take as settled what may have been billed."""
        await self.in_doubt(attempt_id)
        if not await self.ledger.dismiss(attempt_id):  # a callback has settled it meanwhile
            await self.in_doubt(attempt_id)

    async def balance(self) -> Decimal:
        """US dollars left; they are noted, to compare later ones with."""
        balance = await self.client.balance()
        await self.ledger.balance_seen(self.account, balance)
        return balance

    async def report(self, budget: Decimal | None) -> accounting.Report:
        """The balance against what was spent since it was noted."""
        balance = await self.client.balance()
        earlier = await self.ledger.balance_seen(self.account, balance)
        spent = await self.ledger.spent()
        return accounting.report(balance, spent, budget, earlier, self._money)

    async def _note_balance(self) -> None:
        """Note the balance once in a session, at a quiet moment: if an answer is lost later, the
        difference tells whether the attempt was billed. A script that ends does not wait for it."""
        with contextlib.suppress(NanoBananaError):
            busy = True
            while busy:
                await asyncio.sleep(QUIET)
                busy = not self.runner.idle or await self.ledger.others_at_work()
            await self.balance()

    async def _known(self, id_: str) -> TaskRow | None:
        return await self.ledger.get(id_) or await self.ledger.find(id_)

    async def _adopted(self, task_id: str) -> TaskRow:
        """A task that another machine sent, noted here once the API says that it knows it."""
        shown = protocol.clean(task_id, 60)
        try:
            await self.client.status(task_id)
        except TaskNotFound:
            raise RequestError(
                f"Task {shown} is not in the ledger of this home ({self.settings.home}), and the "
                "API does not know it; check the id, NANOBANANA_HOME and the key."
            ) from None
        for one in await self.ledger.callbacks(self.account):
            named = one.task_id == task_id
            if named and (row := await self.ledger.found(one)) is not None:
                return row
        request = ImageRequest(f"(task {shown}, sent from elsewhere)")
        return await self.ledger.adopt(task_id, request, self.account)

    def _results(self, drawn: Sequence[Outcome]) -> Gallery:
        return Gallery(
            recalling.generation(outcome, sandbox=self.sandboxed, maker=self._maker)
            for outcome in drawn
        )


def is_sandboxed(settings: Settings) -> bool:
    """Whether the offline sandbox draws: when told to, or in IPython without a key."""
    if settings.sandbox == "auto":
        return key_of(settings) is None and screen.in_ipython()
    return settings.sandbox == "always"


def home_of(settings: Settings) -> Settings:
    """The sandbox keeps a home of its own, so that its tasks never mix with paid ones."""
    if not is_sandboxed(settings):
        return settings
    return replace(settings, home=settings.home / "sandbox", pictures=settings.pictures / "sandbox")


def mirror_of(settings: Settings) -> Path | None:
    """Where copies of the pictures go. The sandbox's are worth none, unless a folder was said."""
    folder = settings.mirror
    if folder is None or folder == settings.pictures:
        return None
    if folder != DRIVE:
        return folder.with_name(f"{folder.name}-sandbox") if is_sandboxed(settings) else folder
    on_the_drive = DRIVE.parent in settings.pictures.parents
    return None if on_the_drive or is_sandboxed(settings) else folder


def store_of(home: Settings) -> PictureStore:
    """Where the pictures of a home are kept."""
    elsewhere = pictures.refuges(home.home)
    return PictureStore(home.pictures, home.home / "previews", elsewhere)


def schedule_of(settings: Settings) -> Schedule:
    """When to look: as the settings say, and sooner at the sandbox, which draws at once."""
    if is_sandboxed(settings):
        return Schedule(0.4, 0.2, settings.deadline, expected=2.0, backoff=0.2)
    page = Schedule(deadline=settings.deadline, backoff=settings.backoff)
    first, interval = settings.first_poll, settings.poll_interval
    return replace(
        page,
        first_poll=page.first_poll if first is None else first,
        poll_interval=page.poll_interval if interval is None else interval,
    )


def is_fixed(settings: Settings) -> bool:
    """Whether a schedule was asked for, in place of one that learns."""
    return settings.first_poll is not None or settings.poll_interval is not None


def key_of(settings: Settings) -> Secret | None:
    """The key; a sandbox on this machine, started by hand, takes any."""
    on_this_machine = links.is_loopback(links.split(settings.base_url).hostname)
    return settings.api_key or (Secret("sandbox") if on_this_machine else None)
