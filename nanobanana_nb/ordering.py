"""From what is asked for to orders: links to its references, and what a cell drew for it before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import replay
from .cells import Cell
from .client import Client
from .ledger import Ledger
from .models import ImageRequest
from .references import Look, References
from .results import Generation, Picture, picture_of
from .rows import UNFINISHED, Account, TaskRow
from .tasks import Order


@dataclass(frozen=True)
class Ordering:
    """Turns requests into orders. Links are looked for only where one of the orders may be sent.

    `forgetful`: the API is a sandbox that ends with its kernel, and its tasks with it.
    """

    ledger: Ledger
    references: References
    account: Account
    forgetful: bool

    async def to_draw(
        self,
        request: ImageRequest,
        given: Sequence[Any],
        count: int,
        cell: Cell | None,
        *,
        new: bool,
    ) -> list[Order]:
        """The request `count` times, to be drawn from what was `given` as references."""
        read = self.references
        sources = [await asyncio.to_thread(read.read, one) for one in given]
        contents = [await asyncio.to_thread(read.content, one) for one in sources]
        orders = await self._repeated(request, contents, count, cell, new=new)
        if not sources or not self._may_send(orders):
            return orders
        pairs = zip(sources, contents, strict=True)
        urls = [await self._link(source, content) for source, content in pairs]
        return _with_links(orders, replace(request, image_urls=tuple(urls)), contents)

    async def to_vary(
        self, generation: Generation, count: int, cell: Cell | None, *, new: bool
    ) -> list[Order]:
        """The request of a generation `count` times more."""
        request, contents = generation.request, generation.references
        what = [f"varied {generation.id}"]
        orders = await self._repeated(request, what, count, cell, new=new)
        if not contents or not self._may_send(orders):
            return orders
        return _with_links(orders, await self._relinked(request, contents), contents)

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

    async def _repeated(
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
        keys = replay.keys(cell, request, references, self.account, count)
        if not cell.first or new:
            return [Order(request, key) for key in keys]
        return [Order(request, key, await self.ledger.latest(key)) for key in keys]

    def _may_send(self, orders: Sequence[Order]) -> bool:
        """Whether one needs its links; a sandbox that has ended leaves tasks to be drawn anew."""
        earlier = [order.earlier for order in orders]
        return any(row is None or (self.forgetful and row.state in UNFINISHED) for row in earlier)

    async def _link(self, source: str | Picture | Path, content: str) -> str:
        ours = await self._recognised(source, content)
        return await asyncio.to_thread(self.references.link_to, ours)

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
        if known is None:
            return old
        return await asyncio.to_thread(self.references.link_to, picture_of(*known))


def _with_links(
    orders: Sequence[Order], request: ImageRequest, contents: Sequence[str]
) -> list[Order]:
    """The same orders, once it is known under which links their references can be fetched."""
    return [replace(order, request=request, references=tuple(contents)) for order in orders]
