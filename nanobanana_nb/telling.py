"""Results in words for a terminal and as JSON for a program; pure values in, text out.

The names in JSON are those of the API and of `Generation`. US dollars are text, to be exact:
"0.03". Times are ISO 8601 with a zone, seconds are numbers.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from . import accounting, display
from .errors import RequestError
from .models import PRICE
from .protocol import clean
from .results import Gallery, Generation, Picture, short_path, when
from .rows import Spent

_IN_A_TERMINAL: Final = (
    (r"(?:%nanobanana_(\w+) or )?nb\.(resume|history|balance)\(\)", r"nanobanana \2"),
    (r"nb\.resume\('([^']*)'\)", r"nanobanana resume \1"),
    (r'nb\.history\(state="(\w+)"\)', r"nanobanana history --state \1"),
    (r"%nanobanana_(resume|history|balance)", r"nanobanana \1"),
    (r"%nanobanana_styles \(nb\.styles\(\)\)", "nb.styles() in Python"),
    (r"(?: \(in Colab: a Secret of that name\))?, or (?:call )?nb\.login\(\)", ""),
    (r"confirm=True \(in the magic: --yes\)", "--yes"),
    (r", or %config NanoBananaMagics\.budget,", ""),
)
"""What errors say for a notebook, and how that is done here."""
_WIDEST_STATE: Final = 9
_INDENT: Final = 18
"""Columns of date and time, under which the second line of an entry begins."""
_NAMED: Final = 12
"""Tasks that are called by their ids."""
_LEAST: Final = 20
"""Columns of a prompt, however narrow the terminal is."""


def here(text: object) -> str:
    """A text that was written for a notebook, with the commands of a terminal."""
    told = str(text)
    for words, command in _IN_A_TERMINAL:
        told = re.sub(words, command, told)
    return told


def error_line(error: BaseException) -> str:
    """What happened, why, and what to do next."""
    return f"{_kind(error)}: {here(error)}" if str(error) else f"{_kind(error)}."


def error_document(error: BaseException) -> dict[str, Any]:
    """The same for a program: `code` is the API's own word, where there is one."""
    found = {"type": _kind(error), "message": clean(here(error), 4_000)}
    code = getattr(error, "code", "")
    return {**found, "code": code} if code else found


def _kind(error: BaseException) -> str:
    return "Stopped" if isinstance(error, KeyboardInterrupt) else type(error).__name__


def dollars(amount: Decimal) -> str:
    """US dollars without a sign, exact, with two digits at least: "0.03"."""
    cents = amount.quantize(Decimal("0.01"))
    return format(cents if cents == amount else amount.normalize(), "f")


def document(one: Generation, saved: Mapping[Picture, Path] | None = None) -> dict[str, Any]:
    """A generation for a program. `saved` are copies that were made of its pictures."""
    request = one.request
    images = [_image(picture, saved or {}) for picture in one.images]
    return {
        "id": one.id,
        "task_id": one.task_id or None,
        "state": one.standing,
        "prompt": one.prompt,
        "mode": request.mode,
        "aspect_ratio": request.aspect_ratio,
        "output_format": request.output_format,
        "image_urls": list(request.image_urls),
        "path": images[0]["path"] if images else None,
        "url": images[0]["url"] if images else None,
        "images": images,
        "cost": dollars(one.cost),
        "at_risk": dollars(one.at_risk),
        "seconds": one.seconds,
        "created": one.created.isoformat(),
        "starred": one.starred,
        "note": one.remark,
        "sandbox": one.sandbox,
        "warning": here(one.warning) or None,
        "error": None if one.error is None else error_document(one.error),
    }


def all_of(drawn: Gallery, saved: Mapping[Picture, Path] | None = None) -> dict[str, Any]:
    """Several generations for a program, what they come to, and the first error among them."""
    failed = next((one.error for one in drawn if one.error is not None), None)
    return {
        "generations": [document(one, saved) for one in drawn],
        "cost": dollars(drawn.cost),
        "at_risk": dollars(drawn.at_risk),
        "error": None if failed is None else error_document(failed),
    }


def _image(picture: Picture, saved: Mapping[Picture, Path]) -> dict[str, Any]:
    copy = saved.get(picture)
    return {
        "path": str(picture.path),
        "saved": None if copy is None else str(copy),
        "url": picture.url,
        "expires": picture.expires.isoformat(),
        "width": picture.width,
        "height": picture.height,
        "sha256": picture.sha256,
    }


def summary(drawn: Gallery) -> str:
    """How many pictures there are, what they cost and how long they took."""
    count = len(drawn.images)
    told = [f"{count} {'picture' if count == 1 else 'pictures'}"]
    missing = len(drawn.failed)
    told += [f"{missing} of {len(drawn)} without one"] if missing and len(drawn) > 1 else []
    money = " of sandbox money" if any(one.sandbox for one in drawn) else ""
    told.append(f"{display.money(drawn.cost)}{money}")
    seconds = [one.seconds for one in drawn if one.seconds is not None and one.error is None]
    told += [f"{max(seconds):.1f} s"] if seconds else []
    return ", ".join(told)


def troubles(drawn: Gallery) -> list[str]:
    """Why there is no picture, a line for each reason, and what is not right with those there."""
    reasons = Counter(_reason(one) for one in drawn if one.error is not None)
    warnings = [here(one.warning) for one in drawn if one.warning]
    return [f"{times} times: {why}" if times > 1 else why for why, times in reasons.items()] + [
        f"Warning: {warning}" for warning in dict.fromkeys(warnings)
    ]


def _reason(one: Generation) -> str:
    """The line of its error; where something may still come of it, with how to get that."""
    line = error_line(one.error or RequestError())
    if one.standing == "unknown":
        return f"{line} (attempt {one.id})"
    if one.standing in display.NOT_OVER and one.task_id and one.task_id not in line:
        return f"{line} Task {one.task_id} is paid for; nanobanana resume brings it."
    return line


def what_goes_on(found: Gallery) -> str:
    """What is left of a command that was stopped: which tasks go on, and how to get them."""
    done = [one for one in found if one.error is None]
    running = [one for one in found if one.task_id and one.standing in display.NOT_OVER]
    doubtful = [one for one in found if one.standing == "unknown"]
    parts = []
    if done:
        are = "pictures are" if len(done) > 1 else "picture is"
        parts.append(f"{len(done)} {are} done and kept; nanobanana history shows where.")
    if running:
        names, price = _named([one.task_id for one in running]), PRICE * len(running)
        one, goes, it = ("Tasks", "go", "them") if len(running) > 1 else ("Task", "goes", "it")
        which = f" {names}" if len(running) == 1 else ""
        parts.append(
            f"{one} {names} {goes} on at APIXO ({display.money(price)}); "
            f"nanobanana resume{which} brings {it}."
        )
    if doubtful:
        names, price = _named([one.id for one in doubtful]), PRICE * len(doubtful)
        one = "attempts" if len(doubtful) > 1 else "attempt"
        parts.append(
            f"It is not known whether {one} {names} reached the API and was billed "
            f"({display.money(price)}); nanobanana balance tells."
        )
    return " ".join(parts or ["Nothing was sent, nothing was billed."])


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def listed(one: Generation, columns: int) -> list[str]:
    """An entry of the history in two lines: what was asked for, and what came of it."""
    facts = f"{one.standing:<{_WIDEST_STATE}}  {one.id}  {one.request.aspect_ratio:<5}  "
    star = "* " if one.starred else ""
    head = f"{when(one.created):<{_INDENT}}{facts}{star}"
    prompt = fitted(clean(one.prompt, 4_000), max(_LEAST, columns - len(head)))
    told = [short_path(picture.path) for picture in one.images]
    told = [error_line(one.error)] if one.error is not None else told
    return [f"{head}{prompt}", *(f"{' ' * _INDENT}{line}" for line in told)]


def row(one: Generation) -> str:
    """The same as one line of columns with tabs between them, nothing cut, for other programs."""
    path = str(one.images[0].path) if one.images else ""
    columns = (when(one.created), one.standing, one.id, one.request.aspect_ratio, one.prompt, path)
    return "\t".join(clean(column, 10_000) for column in columns)


def fitted(text: str, columns: int) -> str:
    """The text in so many columns of a terminal, in which some letters take two and some none."""
    if sum(map(_columns, text)) <= columns:
        return text
    kept, taken = "", 1  # the dots
    for letter in text:
        taken += _columns(letter)
        if taken > columns:
            break
        kept += letter
    return f"{kept}…"


def _columns(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def account_lines(report: accounting.Report) -> list[str]:
    """The balance beside what was spent here, and what there is to say about it."""
    rows = [row for row in report.rows if row[0] != accounting.IN_THIS_SESSION]  # has just begun
    widest = max(len(what) for what, _ in rows)
    lines = [f"{what:<{widest}}  {amount}" for what, amount in rows]
    return [*lines, *(here(remark) for remark in report.remarks)]


def account_document(
    report: accounting.Report, spent: Spent, budget: Decimal | None
) -> dict[str, Any]:
    """The same for a program."""
    return {
        "balance": dollars(report.balance),
        "spent_today": dollars(spent.today),
        "spent": dollars(spent.ever),
        "budget": None if budget is None else dollars(budget),
        "in_doubt": spent.unknown,
        "at_risk": dollars(spent.at_risk),
        "remarks": [here(remark) for remark in report.remarks],
    }


def price_line(count: int) -> str:
    """What so many pictures would cost."""
    each, total = display.money(PRICE), display.money(PRICE * count)
    return f"{count} x {each} = {total}; nothing was sent."
