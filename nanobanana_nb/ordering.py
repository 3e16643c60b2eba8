"""From what is asked for to orders: links to its references, and what a cell drew for it before."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import replay
from .cells import Cell
from .client import Client
from .errors import RequestError
from .ledger import Ledger
from .models import ImageRequest
from .references import Look, References
from .results import Generation, Picture, picture_of
from .rows import UNFINISHED, Account, TaskRow
from .tasks import Order


@dataclass(frozen=True)
class Wanted:
    """One picture to draw: a request without links, and what was `given` to go by, in order."""

    request: ImageRequest
    given: tuple[Any, ...] = ()


@dataclass(frozen=True)
class _Found:
    """A reference as it was read, and what it shows."""

    source: str | Picture | Path
    content: str


@dataclass(frozen=True)
class Ordering:
    """Turns requests into orders. Links are looked for only where one of the orders may be sent.

    `forgetful`: the API is a sandbox that ends with its kernel, and its tasks with it.
    """

    ledger: Ledger
    references: References
    account: Account
    forgetful: bool
    client: Client

    async def to_draw(
        self, wanted: Sequence[Wanted], cell: Cell | None, *, new: bool
    ) -> list[Order]:
        """An order for each that is wanted, its references checked where it may be sent."""
        found = await self._found(wanted)
        orders = [
            await self._order(one.request, _contents(one, found), cell, new=new) for one in wanted
        ]
        return await self._linked(orders, wanted, found)

    async def to_batch(
        self, wanted: Sequence[Wanted], place: Sequence[str], *, new: bool
    ) -> list[Order]:
        """The same for a batch: what was drawn for the same request at the same place, whenever and
        wherever that was, stands for it. Links are looked for only once it is drawn: see `linked`.
        """
        found = await self._found(wanted)
        alike: Counter[object] = Counter()
        keys = []
        for one in wanted:
            contents = _contents(one, found)
            ordinal = alike[one.request, contents]
            alike[one.request, contents] += 1
            where = [*place, ordinal]
            keys.append(replay.key_at(where, one.request, contents, self.account))
        known = {} if new else await self.ledger.latest_of(keys)
        return [
            Order(
                one.request,
                key,
                references=_contents(one, found),
                once=not new,
                earlier=self._standing(known.get(key)),
            )
            for one, key in zip(wanted, keys, strict=True)
        ]

    async def linked(self, orders: Sequence[Order], wanted: Sequence[Wanted]) -> list[Order]:
        """The orders of a batch, with the links of their references where they may be sent.

        Raises `RequestError` where a reference is no longer what it was.
        """
        found = await self._found(wanted)
        for order, one in zip(orders, wanted, strict=True):
            if order.references != _contents(one, found):
                raise RequestError(
                    "A picture to go by has changed since the batch was planned, so nothing was "
                    "sent; plan it again."
                )
        return await self._linked(orders, wanted, found)

    async def _linked(
        self, orders: Sequence[Order], wanted: Sequence[Wanted], found: Mapping[Any, _Found]
    ) -> list[Order]:
        links: dict[Any, str] = {}
        made = []
        for order, one in zip(orders, wanted, strict=True):
            if not (one.given and self._may_send(order)):
                made.append(order)
                continue
            for given in map(_which, one.given):
                if given not in links:
                    links[given] = await self._link(found[given])
            urls = tuple(links[given] for given in map(_which, one.given))
            request = replace(one.request, image_urls=urls)
            made.append(_with_links(order, request, _contents(one, found)))
        return made

    def _standing(self, row: TaskRow | None) -> TaskRow | None:
        """A task that stands for a request of a batch; the sandbox forgets its own."""
        lost = row is not None and self.forgetful and row.state in UNFINISHED
        return None if lost else row

    async def to_vary(
        self, generation: Generation, count: int, cell: Cell | None, *, new: bool
    ) -> list[Order]:
        """The request of a generation `count` times more."""
        request, contents = generation.request, generation.references
        varied = [f"varied {generation.id}"]
        orders = [await self._order(request, varied, cell, new=new) for _ in range(count)]
        if not contents or not any(map(self._may_send, orders)):
            return orders
        request = await self._relinked(request, contents)
        return [_with_links(order, request, contents) for order in orders]

    async def to_submit_again(self, row: TaskRow) -> Order:
        """The order that stands in for a task that may have been lost."""
        request = await self._relinked(row.request, row.references)
        return Order(request, row.cell, follows=row.id, references=row.references)

    async def look_at(self, reference: Any, client: Client) -> Look:
        """See whether it can be a reference, and what it shows."""
        read = self.references
        source = await asyncio.to_thread(read.read, reference)
        content = await asyncio.to_thread(read.content, source)
        return await read.look_at(await self._recognised(source, content), client)

    async def _order(
        self, request: ImageRequest, references: Sequence[str], cell: Cell | None, *, new: bool
    ) -> Order:
        """The request, with what an earlier run of the cell got for it."""
        if cell is None:
            return Order(request)
        key = replay.key(cell, request, references, self.account)
        if not cell.first or new:
            return Order(request, key)
        return Order(request, key, earlier=await self.ledger.latest(key))

    def _may_send(self, order: Order) -> bool:
        """Whether it needs its links; a sandbox that has ended leaves tasks to be drawn anew."""
        row = order.earlier
        return row is None or (self.forgetful and row.state in UNFINISHED)

    async def _found(self, wanted: Sequence[Wanted]) -> dict[Any, _Found]:
        """Everything that was given as a reference, each read once."""
        found: dict[Any, _Found] = {}
        for given in (given for one in wanted for given in one.given):
            if _which(given) not in found:
                source = await asyncio.to_thread(self.references.read, given)
                content = await asyncio.to_thread(self.references.content, source)
                found[_which(given)] = _Found(source, content)
        return found

    async def _link(self, found: _Found) -> str:
        ours = await self._recognised(found.source, found.content)
        return await self.references.link(ours, self.client)

    async def _recognised(self, source: str | Picture | Path, content: str) -> str | Picture | Path:
        """A file that is a picture of this home as that picture, to which the API has a link."""
        if not isinstance(source, Path):
            return source
        known = await self.ledger.picture(content)
        return source if known is None else replace(picture_of(*known), path=source)

    async def _relinked(self, request: ImageRequest, contents: Sequence[str]) -> ImageRequest:
        """The request with links that live, where its references are pictures of this home."""
        if len(contents) != len(request.image_urls):
            return request
        pairs = zip(contents, request.image_urls, strict=True)
        urls = [await self._link_anew(content, old) for content, old in pairs]
        return replace(request, image_urls=tuple(urls))

    async def _link_anew(self, content: str, old: str) -> str:
        known = await self.ledger.picture(content)
        source = old if known is None else picture_of(*known)
        return await self.references.link(source, self.client)


def _with_links(order: Order, request: ImageRequest, contents: Sequence[str]) -> Order:
    """The same order, once it is known under which links its references can be fetched."""
    return replace(order, request=request, references=tuple(contents))


def _which(given: Any) -> Any:
    """By what two references are the same: text by what it says, all else by being the same."""
    return given if isinstance(given, str) else id(given)


def _contents(one: Wanted, found: Mapping[Any, _Found]) -> tuple[str, ...]:
    return tuple(found[_which(given)].content for given in one.given)
