"""The page of the sandbox: what it has drawn and billed, to look at in a browser.

Plain HTML that is whole without a script; a small one keeps it up to date. Prompts are the text
of others: each is escaped, isolated in its own direction, and can neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

from PIL import Image

from .callbacks import Delivery
from .contract import Response
from .directives import find_directive
from .faults import Fault, Plan
from .limits import Limits
from .tasks import Run, Task

SHOWN = 60
"""Cards on the page, the newest; the rest is counted."""
PREVIEW_SIDE = 320
"""Pixels of the longer side of a picture on a card."""

_STYLE = Path(__file__).with_name("page.css")
_SCRIPT = Path(__file__).with_name("page.js")
_BAD = ' class="bad"'
_BANANA = (
    '<path d="M29 9c3 9-1 20-14 22-4 .6-7-.6-8-2 9 0 17-6 18-19z" fill="#5d4522"/>'
    '<path d="M27 8l3 0 1 3c2 9-3 19-15 21-4 .5-7-.4-8.5-2.2 9.5-.3 17.5-6 18.5-18z"'
    ' fill="#fff3c4"/>'
)


@dataclass(frozen=True)
class Card:
    """One task as it stands now."""

    task: Task
    state: str
    failure: tuple[str, str] | None = None
    """The fail code and message of a failed task."""
    directive: str | None = None
    """What made it misbehave."""
    pictures: int = 1
    deliveries: tuple[str, ...] = ()
    """What became of each try to call back, in words."""


@dataclass(frozen=True)
class Account:
    """What the account holds; money in US dollars, ``latency`` in seconds."""

    origin: str
    any_key: bool
    latency: float
    balance: Decimal
    spent: Decimal
    refused: int
    """Submits that were not taken, for whatever reason."""
    limited: int
    """Requests that a limit refused."""
    limits: Limits
    plan: Plan
    faulted: int
    """Submits that met a fault of the plan."""


def cards(
    runs: Iterable[Run], faulted: Iterable[Fault], deliveries: Iterable[Delivery], now: float
) -> list[Card]:
    """The tasks as they stand at this moment, in Unix seconds, in the order of ``runs``."""
    planned = {fault.task_id: fault.directive for fault in faulted}
    told: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        told.setdefault(delivery.task_id, []).append(delivery)
    return [_as_card(run, planned.get(run.task.id), told.get(run.task.id, ()), now) for run in runs]


def _as_card(run: Run, planned: str | None, told: Iterable[Delivery], now: float) -> Card:
    state = run.state(now)
    return Card(
        run.task,
        state,
        run.failure() if state == "failed" else None,
        planned or find_directive(run.task.prompt),
        run.script.pictures,
        tuple(_told(delivery) for delivery in told),
    )


def _told(delivery: Delivery) -> str:
    notice = "" if delivery.notice == "final" else f" ({delivery.notice})"
    return f"{delivery.why}{notice}"


def picture(data: bytes, small: bool) -> Response:
    """A picture for the page, as it was drawn or as a small JPEG."""
    with Image.open(io.BytesIO(data)) as image:
        kind = Image.MIME[image.format or ""]
        if small:
            image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
            reduced = io.BytesIO()
            image.convert("RGB").save(reduced, "JPEG", quality=82)
            data, kind = reduced.getvalue(), "image/jpeg"
    headers = {
        "Content-Type": kind,
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "private, max-age=86400, immutable",  # a task's picture never changes
    }
    return Response(200, data, headers)


def write(account: Account, cards: Sequence[Card]) -> Response:
    """The page for these tasks, given in the order of their acceptance."""
    style, script = _texts()
    body = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Nano Banana sandbox</title>
<link rel="icon" href="{_icon()}">
<style>{style}</style>
</head>
<body>
{_head(account, cards)}
<main>
{_tasks(account, cards)}
</main>
<script>{script}</script>
</body>
</html>
"""
    return Response(200, body.encode("utf-8", "replace"), _headers(style, script))


def _headers(style: str, script: str) -> dict[str, str]:
    policy = (
        f"default-src 'none'; img-src 'self' data:; connect-src 'self'; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


@cache
def _texts() -> tuple[str, str]:
    return _STYLE.read_text(encoding="utf-8"), _SCRIPT.read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _icon() -> str:
    picture = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40">'
        f'<rect width="40" height="40" rx="10" fill="#f4c430"/>{_BANANA}</svg>'
    )
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}"


# -- the head


def _head(account: Account, cards: Sequence[Card]) -> str:
    key = " APIXO_API_KEY=sandbox" if account.any_key else ""
    own_key = "" if account.any_key else '<p class="soft">It takes only the key it was given.</p>'
    return f"""<header>
<div class="top">
<svg class="mark" viewBox="0 0 40 40" aria-hidden="true">{_BANANA}</svg>
<div>
<h1>Nano Banana sandbox</h1>
<p class="soft">An imitation of APIXO’s API on this machine. Nothing here costs money.</p>
{own_key}</div>
<p class="soft" id="still">Reload to see what is new.</p>
<button type="button" id="pause" hidden>Pause updates</button>
</div>
<div class="line">
<code id="export" dir="ltr">export APIXO_BASE_URL={_safe(account.origin)}{key}</code>
<button type="button" id="copy" hidden>Copy</button>
</div>
<div id="figures" data-part>{_figures(account, cards)}</div>
<div id="facts" data-part>{_facts(account)}</div>
<p class="notice" id="notice" role="status"></p>
</header>"""


def _figures(account: Account, cards: Sequence[Card]) -> str:
    failed = sum(card.state == "failed" for card in cards)
    running = sum(card.state in ("pending", "processing") for card in cards)
    figures = {
        "Balance": f"${account.balance:,.2f}",
        "Billed": f"${account.spent:,.2f}",
        "Tasks": f"{len(cards):,}",
        "Under way": f"{running:,}",
        "Failed": f"{failed:,}",
        "Refused": f"{account.refused:,}",
    }
    alarming = {"Failed": failed > 0, "Balance": account.balance <= 0}
    shown = "".join(
        f"<div><dt>{name}</dt><dd{_BAD if alarming.get(name) else ''}>{value}</dd></div>"
        for name, value in figures.items()
    )
    return f'<dl class="figures">{shown}</dl>'


def _facts(account: Account) -> str:
    facts = {
        "A picture takes": f"{account.latency:g} s",
        "Limits": _limits(account.limits, account.limited),
        "Faults": _faults(account),
    }
    told = "".join(
        f"<div><dt>{name}</dt><dd>{_safe(value)}</dd></div>" for name, value in facts.items()
    )
    links = (
        '<div><dt>For programs</dt><dd><a href="/openapi.json">OpenAPI description</a>, '
        '<a href="/sandbox/account">account as JSON</a></dd></div>'
    )
    return f'<dl class="facts">{told}{links}</dl>'


def _faults(account: Account) -> str:
    plan = account.plan
    if not plan.rate:
        return "none planned"
    return f"{plan.rate * 100:g} % of the submits, seed {plan.seed}; {account.faulted:,} so far"


def _limits(limits: Limits, refused: int) -> str:
    parts = []
    if limits.at_once is not None:
        parts.append(f"{limits.at_once} at once")
    if limits.rate is not None:
        polls = "polls count" if limits.count_polls else "polls are free"
        parts.append(
            f"{limits.rate:g} requests a minute, {limits.allowance:g} in one moment, {polls}"
        )
    if refused:
        parts.append(f"{refused:,} refused")
    return "; ".join(parts) or "none"


# -- the tasks


def _tasks(account: Account, cards: Sequence[Card]) -> str:
    newest = list(reversed(cards[-SHOWN:]))
    order = '<span class="soft">newest first</span>' if len(cards) > 1 else ""
    shown = "\n".join(_card(card) for card in newest)
    return f"""<div class="bar" id="bar" data-part><h2>Tasks</h2>{order}</div>
<div id="begin" data-part>{"" if cards else _begin(account)}</div>
<ul class="tasks" id="tasks">{shown}</ul>
<div id="more" data-part>{_more(len(cards) - len(newest))}</div>"""


def _begin(account: Account) -> str:
    key = "sandbox" if account.any_key else "YOUR_KEY"
    call = (
        f"curl {account.origin}/api/v1/generateTask/nano-banana \\\n"
        f'  -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\\n'
        '  -d \'{"input": {"prompt": "A red fox in the snow"}}\''
    )
    return f"""<div class="begin">
<h3>Nothing has been drawn yet</h3>
<p>Point a client at this address with the line above, or send the first task by hand:</p>
<pre><code>{_safe(call)}</code></pre>
<p>It appears here. A prompt with <code>[sandbox 429]</code> or
<code>[sandbox CONTENT_VIOLATION]</code> in it fails on purpose.</p>
</div>"""


def _more(count: int) -> str:
    if count <= 0:
        return ""
    words = "1 older task is" if count == 1 else f"{count:,} older tasks are"
    account = '<a href="/sandbox/account">account</a>'
    return f'<p class="more">{words} not shown; the {account} lists all.</p>'


def _card(card: Card) -> str:
    task = card.task
    looks = card.state if card.state in ("success", "failed") else "running"
    seconds = f" in {task.due - task.created:.1f} s" if looks != "running" else ""
    return f"""<li id="task-{task.id}">
{_stage(card)}
<div class="about">
<div class="state {looks}"><b>{_safe(card.state)}{seconds}</b>{_time(task.created)}</div>
<p class="prompt" dir="auto" title="{_safe(task.prompt)}">{_safe(task.prompt)}</p>
<div class="meta">{_meta(card)}</div>
<code class="id" title="{task.id}">{task.id}</code>
{_marks(card)}
<details><summary>Details</summary>{_details(card)}</details>
</div>
</li>"""


def _meta(card: Card) -> str:
    task = card.task
    parts = [task.aspect_ratio, task.output_format, f"${task.billed:.2f}"]
    if card.pictures > 1:
        parts.append(f"{card.pictures} pictures")
    return "".join(f"<span>{part}</span>" for part in parts)


def _stage(card: Card) -> str:
    task = card.task
    if card.state == "success":
        width, height = _fitted(task.aspect_ratio)
        return (
            f'<div class="stage"><a href="/sandbox/pictures/{task.id}">'
            f'<img src="/sandbox/previews/{task.id}" loading="lazy" decoding="async" '
            f'width="{width}" height="{height}" alt="{_safe("Drawn for: " + task.prompt[:120])}">'
            "</a></div>"
        )
    if card.failure:
        code, message = card.failure
        return (
            f'<div class="stage failed"><code>{_safe(code)}</code>'
            f'<span dir="auto">{_safe(message)}</span></div>'
        )
    moving = " moving" if card.state == "processing" else ""
    return f'<div class="stage"><span class="dots{moving}"><i></i><i></i><i></i></span></div>'


def _marks(card: Card) -> str:
    marks = [f"[sandbox {card.directive}]"] if card.directive else []
    if card.deliveries:
        tries = "1 try" if len(card.deliveries) == 1 else f"{len(card.deliveries)} tries"
        marks.append(f"callback: {card.deliveries[-1]}, {tries}")
    elif card.task.callback_url:
        marks.append("callback: not sent yet")
    items = "".join(f'<li dir="auto">{_safe(mark)}</li>' for mark in marks)
    return f'<ul class="marks">{items}</ul>' if items else ""


def _details(card: Card) -> str:
    task = card.task
    rows = {"Task": f"<code>{task.id}</code>", "Mode": task.mode, "Accepted": _moment(task.created)}
    if card.state in ("success", "failed"):
        rows["Completed"] = _moment(task.due)
    elif math.isfinite(task.due):
        rows["Due"] = _moment(task.due)
    else:
        rows["Due"] = "never"
    if task.image_urls:
        rows["References"] = _listed(task.image_urls)
    if card.deliveries:
        rows["Callbacks"] = _listed(card.deliveries)
    shown = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows.items())
    return f"<dl>{shown}</dl>"


def _listed(lines: Iterable[str]) -> str:
    return "<br>".join(_safe(line) for line in lines)


def _time(seconds: float) -> str:
    at = time.localtime(seconds)
    full, short = (time.strftime(form, at) for form in ("%Y-%m-%dT%H:%M:%S%z", "%H:%M:%S"))
    return f'<time datetime="{full}">{short}</time>'


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _fitted(ratio: str) -> tuple[int, int]:
    """Pixels of a preview of this ratio; ``auto`` is not known before, and the stage holds it."""
    wide, _, high = ratio.partition(":")
    width, height = (int(wide), int(high)) if high else (1, 1)
    scale = PREVIEW_SIDE / max(width, height)
    return round(width * scale), round(height * scale)


def _safe(text: str) -> str:
    """Foreign text in HTML, its control characters made visible as one sign."""
    shown = "".join("\ufffd" if ord(sign) < 32 and sign not in "\t\n\r" else sign for sign in text)
    return html.escape(shown, quote=True)
