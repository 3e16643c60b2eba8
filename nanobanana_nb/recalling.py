"""What the ledger remembers, as results; no studio and no key are needed, and nobody is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from . import outcomes
from .archive import History
from .ledger import Ledger
from .outcomes import Outcome
from .results import Gallery, Generation, Maker, local_time, pictures_of
from .rows import Spent
from .settings import Settings

_AT_A_TIME = 20
"""Tasks among which the latest picture is looked for."""


def generation(outcome: Outcome, *, sandbox: bool, maker: Maker | None = None) -> Generation:
    """The outcome of a task as people hold it; `sandbox` says whose tasks these are."""
    row = outcome.row
    return Generation(
        request=row.request,
        id=row.id,
        task_id=row.task_id or "",
        images=() if outcome.error else pictures_of(row),
        cost=outcome.cost,
        seconds=row.seconds,
        created=local_time(row.created),
        sandbox=sandbox,
        replayed=outcome.replayed,
        state=row.state,
        starred=row.starred,
        remark=row.note,
        warning=outcome.warning,
        sent=None if row.sent is None else local_time(row.sent),
        references=row.references,
        error=outcome.error,
        maker=maker,
    )


async def history(
    home: Settings,
    words: str = "",
    *,
    since: float | None = None,
    states: Sequence[str] = (),
    starred: bool | None = None,
    sandbox: bool = False,
) -> History:
    """What was drawn in a home and matches, newest first; `since` is Unix time.

    Where there is no ledger, there is nothing, and none is made. Raises `LedgerError`.
    """
    if not home.ledger.exists():
        return History(())
    with _opened(home) as ledger:
        rows = await ledger.history(words, since, states, starred)
    return History(generation(outcomes.of(row), sandbox=sandbox) for row in rows)


async def those(home: Settings, ids: Sequence[str]) -> Gallery:
    """What became of some tasks of a home, by our own ids; those that it has not are left out."""
    if not ids or not home.ledger.exists():
        return Gallery(())
    with _opened(home) as ledger:
        rows = [await ledger.get(id_) for id_ in ids]
    return Gallery(generation(outcomes.of(row), sandbox=False) for row in rows if row is not None)


async def latest(home: Settings) -> Generation | None:
    """The last picture that was drawn in a home and is on disk."""
    if not home.ledger.exists():
        return None
    with _opened(home) as ledger:
        offset, total = 0, 1
        while offset < total:
            rows, total = await ledger.page(offset=offset, limit=_AT_A_TIME)
            for row in rows:
                if row.state == "stored":
                    return generation(outcomes.of(row), sandbox=False)
            offset += _AT_A_TIME
    return None


async def counted(home: Settings) -> tuple[dict[str, int], Spent]:
    """How many tasks of a home are in each state, and what it has spent."""
    with _opened(home) as ledger:
        return await ledger.counts(), await ledger.spent()


async def receiver_secret(home: Settings) -> str:
    """What the callback tokens of a home are made with; never told to anybody."""
    with _opened(home) as ledger:
        return await ledger.receiver_secret()


@contextlib.contextmanager
def _opened(home: Settings) -> Iterator[Ledger]:
    ledger = Ledger(home.ledger)
    try:
        yield ledger
    finally:
        ledger.close()
