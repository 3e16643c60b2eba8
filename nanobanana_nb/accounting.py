"""Money in words: the balance against what was spent, and what came back meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from .display import money
from .errors import SubmitUnknown
from .models import PRICE
from .outcomes import Outcome
from .rows import Earlier, Spent

IN_THIS_SESSION: Final = "Spent in this session"


@dataclass(frozen=True)
class Report:
    """The account for people: lines of what and how much, and what there is to say about them."""

    balance: Decimal
    rows: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]


def report(
    balance: Decimal, spent: Spent, budget: Decimal | None, earlier: Earlier | None, kind: str = ""
) -> Report:
    """The account's balance beside what this home knows to have spent.

    `kind` says what money it is where it is not real.
    """
    today = money(spent.today) + (f" of {money(budget)}" if budget is not None else "")
    rows = [
        (f"Balance{kind}", money(balance)),
        (IN_THIS_SESSION, money(spent.session)),
        ("Spent today", today),
        ("Spent by this home", money(spent.ever)),
    ]
    remarks = []
    if spent.unknown:
        rows.append(("In doubt, counted as spent", money(spent.at_risk)))
        remarks.append(in_doubt(spent.unknown))
    if kind:
        remarks.append("Each kernel's sandbox begins with money of its own; nothing is compared.")
    else:
        remarks.append(_comparison(balance, earlier))
    return Report(balance, tuple(rows), tuple(remarks))


def _comparison(balance: Decimal, earlier: Earlier | None) -> str:
    """Whether the balance is what this home expects."""
    if earlier is None:
        return "The balance is noted now; the next look compares it with what was spent since."
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(earlier.seen))
    missing = earlier.amount - earlier.spent - balance
    doubtful = PRICE * earlier.unknown
    if earlier.unknown and -doubtful <= missing <= 0 and missing % PRICE == 0:
        billed = earlier.unknown + int(missing / PRICE)
        return (
            f"Since {when} the balance accounts for {billed} of the {earlier.unknown} in doubt "
            "as billed; tasks that are under way may not be booked yet."
        )
    if missing == 0:
        return f"It agrees with what this home has spent since {when}."
    if missing > 0:
        return (
            f"It is {money(missing)} less than this home has spent since {when}: another machine "
            "or program uses the same key, or prices have changed."
        )
    return (
        f"It is {money(-missing)} more than expected since {when}: a top-up, or the API has not "
        "billed, or has paid back, what failed."
    )


def news(came_back: Sequence[Outcome]) -> str:
    """What was found and brought home in the background, in one line."""
    doubtful = [one for one in came_back if isinstance(one.error, SubmitUnknown)]
    missing = [one for one in came_back if one.error is not None and one not in doubtful]
    good = len(came_back) - len(doubtful) - len(missing)
    parts = []
    if good:
        those = "1 picture that was" if good == 1 else f"{good} pictures that were"
        parts.append(f"{those} sent earlier came back: %nanobanana_history shows what.")
    if missing:
        tasks = ", ".join(outcome.row.task_id or outcome.row.id for outcome in missing)
        parts.append(f"Not back yet, or without a picture: {tasks}; %nanobanana_resume says why.")
    if doubtful:
        parts.append(in_doubt(len(doubtful)))
    return " ".join(parts)


def in_doubt(count: int) -> str:
    """How many submits may have been billed without an answer, for how much, and what to do."""
    attempts = "1 attempt" if count == 1 else f"{count} attempts"
    return (
        f"{attempts} may have been billed ({money(PRICE * count)}) without an answer: "
        'nb.history(state="unknown") shows what can be done.'
    )
