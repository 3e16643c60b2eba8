"""The API as one function: ``handle(method, target, headers, body)`` gives a `Response`.

No sockets and no waiting here, so the same handler can be mounted on a server or called directly.
The account and the tasks live behind one lock; pictures are drawn when they are first asked for.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import secrets
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from PIL import Image

from . import drawing, openapi, page, references
from .callbacks import Courier, Delivery, Errand
from .contract import (
    MODEL,
    PRICE,
    Rejected,
    Response,
    Submission,
    json_response,
    parse_submission,
    refusal,
    success,
)
from .directives import ORDINARY, Script, StatusData, find_directive, read_directive
from .faults import Fault, Plan
from .limits import Gate, Limits
from .tasks import Run, Task, schedule

_CONTENT_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_PICTURES_KEPT = 32


class Handler:
    """The imitated API with one account. ``origin`` is where its links lead, such as
    ``http://127.0.0.1:8000``; ``latency`` and ``link_lifetime`` are in seconds, ``balance`` is in
    US dollars. Callbacks are delivered while there is a ``courier``."""

    def __init__(
        self,
        *,
        origin: str,
        latency: float,
        balance: Decimal,
        api_key: str | None,
        clock: Callable[[], float],
        limits: Limits,
        link_lifetime: float,
        plan: Plan,
    ) -> None:
        if not link_lifetime >= 0:
            raise ValueError(f"link_lifetime is {link_lifetime!r}; give seconds, 0 or more")
        self.origin = origin
        self.courier: Courier | None = None
        self.balance = balance
        self.spent = Decimal(0)
        self.counts: Counter[str] = Counter()
        self._latency = latency
        self._key = None if api_key is None else _digest(api_key)
        self._clock = clock
        self._link_lifetime = link_lifetime
        self._plan = plan
        self._gate = Gate(limits)
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}
        self._queued: deque[str] = deque()
        self._valid = 0
        self._faulted: dict[int, Fault] = {}
        self._deliveries: list[Delivery] = []
        self._shared: dict[str, Path] = {}
        self._pictures: OrderedDict[str, bytes] = OrderedDict()

    def tasks(self) -> tuple[Task, ...]:
        """Every accepted task, in the order of acceptance."""
        with self._lock:
            return tuple(run.task for run in self._runs.values())

    def deliveries(self) -> tuple[Delivery, ...]:
        """Every callback that was tried, in the order in which the tries ended."""
        with self._lock:
            return tuple(self._deliveries)

    def delivered(self, delivery: Delivery) -> None:
        """Take down what came of a try."""
        with self._lock:
            self._deliveries.append(delivery)
            self.counts["callback"] += 1

    def faulted(self) -> dict[int, Fault]:
        """What the plan of faults picked so far, by the ordinal of the submit."""
        with self._lock:
            return dict(self._faulted)

    @property
    def limits(self) -> Limits:
        """What the account takes at a time."""
        return self._gate.limits

    def limit(self, **changed: Any) -> None:
        """Change limits by their names, from now on; ValueError for what is no limit."""
        with self._lock:
            self._gate.change(replace(self._gate.limits, **changed), self._clock())

    def fail_next(self, directive: str) -> None:
        """Apply a directive to the next valid submit, whatever its prompt says."""
        read_directive(directive)
        with self._lock:
            self._queued.append(directive)

    def share(self, path: str | os.PathLike[str]) -> str:
        """Serve one picture file at an unguessable address; its path on that address."""
        file = Path(path).resolve(strict=True)
        try:
            references.opened(file.read_bytes())
        except (OSError, ValueError, SyntaxError) as error:
            raise ValueError(f"not a JPEG, PNG or WebP picture: {file.name}") from error
        route = f"/files/{secrets.token_urlsafe(16)}/{file.name}"
        with self._lock:
            self._shared[route] = file
        return quote(route)

    def handle(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Response:
        """Answer one request; ``headers`` are looked up by lower-case name."""
        parts = urlsplit(target)
        path = parts.path.removeprefix("/api/v1")
        query = parse_qs(parts.query)
        match path.split("/"):
            case ["", "generateTask", model]:
                return self._api(
                    "submit", method, "POST", headers, lambda: self._submit(model, headers, body)
                )
            case ["", "statusTask", model]:
                return self._api(
                    "status", method, "GET", headers, lambda: self._status(model, query)
                )
            case ["", "apikeys", "current-balance"]:
                return self._api("balance", method, "GET", headers, self._balance)
            case ["", "results", name]:
                return self._read_only(method, lambda: self._result(method, unquote(name)))
            case ["", "files", _, _]:
                return self._read_only(method, lambda: self._file(unquote(parts.path)))
            case ["", "sandbox", "account"]:
                return self._read_only(method, self._account)
            case ["", "sandbox", "previews" | "pictures" as size, task_id]:
                return self._read_only(method, lambda: self._shown(task_id, size))
            case ["", "openapi.json"]:
                return self._read_only(method, lambda: openapi.document(self.origin))
            case ["", ""]:
                return self._read_only(method, self._page)
        return refusal(404)

    def _api(
        self,
        name: str,
        method: str,
        allowed: str,
        headers: Mapping[str, str],
        answer: Callable[[], Response],
    ) -> Response:
        if method != allowed:
            return _not_allowed(allowed)
        self._count(name)
        if not self._authorized(headers):
            return refusal(401)
        return self._over_rate(name) or answer()

    def _read_only(self, method: str, answer: Callable[[], Response]) -> Response:
        return answer() if method in ("GET", "HEAD") else _not_allowed("GET, HEAD")

    def _authorized(self, headers: Mapping[str, str]) -> bool:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key or key != "".join(key.split()):
            return False
        return self._key is None or hmac.compare_digest(_digest(key), self._key)

    def _count(self, name: str) -> None:
        with self._lock:
            self.counts[name] += 1

    def _over_rate(self, name: str) -> Response | None:
        if name == "balance":
            return None
        with self._lock:
            refused = self._gate.request(self._clock(), poll=name == "status")
            if refused:
                self.counts["refused"] += 1
        return refused

    # -- submit

    def _submit(self, model: str, headers: Mapping[str, str], body: bytes) -> Response:
        if model != MODEL:
            return refusal(404)
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return refusal(400, "Content-Type must be application/json")
        try:
            submission = parse_submission(body)
            with self._lock:
                run = self._taken(submission)
        except (Rejected, ValueError) as error:
            return refusal(400, str(error))
        if isinstance(run, Response):
            return run
        run.load_references()
        told = self._announce(run)
        return replace(
            success({"taskId": run.task.id}),
            delay=run.script.submit_delay,
            after=told if run.script.callback.early else None,
            hang_up=run.script.drop,
        )

    def _taken(self, submission: Submission) -> Run | Response:
        """The task in the account, or the refusal; for one submit after the other."""
        now = self._clock()
        if full := self._gate.full(now):
            self.counts["refused"] += 1
            return full
        script, fault = self._script(submission.prompt)
        refused = script.refuse or (refusal(402) if self.balance < PRICE else None)
        run = refused or self._accept(submission, script, now)
        if fault:
            task_id = run.task.id if isinstance(run, Run) else None
            self._faulted[self._valid] = Fault(fault, task_id)
        return run

    def _script(self, prompt: str) -> tuple[Script, str | None]:
        """What a valid submit meets, and which directive the plan picked for it, if it did: what
        somebody asked for goes first. ValueError for a directive that there is not."""
        asked = self._queued.popleft() if self._queued else find_directive(prompt)
        script = read_directive(asked) if asked else ORDINARY
        self._valid += 1
        picked = None if asked else self._plan.pick(self._valid)
        return read_directive(picked) if picked else script, picked

    def _accept(self, submission: Submission, script: Script, created: float) -> Run:
        task_id = secrets.token_hex(16)
        pending_until, due = schedule(task_id, created, self._latency, script)
        task = Task(
            id=task_id,
            request=submission.body,
            prompt=submission.prompt,
            mode=submission.mode,
            image_urls=submission.image_urls,
            aspect_ratio=submission.aspect_ratio,
            output_format=submission.output_format,
            created=created,
            pending_until=pending_until,
            due=due,
            callback_url=submission.callback_url,
        )
        self.balance -= PRICE
        self.spent += PRICE
        self.counts["accepted"] += 1
        self._gate.enter(due)
        run = self._runs[task_id] = Run(task, script)
        return run

    def _announce(self, run: Run) -> threading.Event | None:
        """Have the outcome told, if somebody wants to be; set when that was tried once."""
        url, habit = run.task.callback_url, run.script.callback
        if url is None or habit.never or self.courier is None:
            return None
        errand = Errand(run.task.id, url, habit, lambda: self._outcome(run))
        self.courier.send(errand, run.task.due)
        return errand.tried

    def _outcome(self, run: Run) -> StatusData:
        run.settle(run.task.due)
        return run.status(run.task.due, self._links(run))

    # -- status and balance

    def _status(self, model: str, query: Mapping[str, list[str]]) -> Response:
        ids = query.get("taskId", [])
        if len(ids) != 1:
            return refusal(400, "Missing required parameter: taskId")
        with self._lock:
            run = self._runs.get(ids[0]) if model == MODEL else None
            if run is None:
                return refusal(404)
            turn, run.polls = run.polls, run.polls + 1
        now = self._clock()
        run.settle(now)
        data = run.status(now, self._links(run))
        first = run.script.first_polls
        return first[turn](data) if turn < len(first) else success(data)

    def _links(self, run: Run) -> list[str]:
        suffix = "jpg" if run.task.output_format == "jpeg" else "png"
        names = [run.task.id] + [f"{run.task.id}-{n}" for n in range(2, run.script.pictures + 1)]
        return [f"{self.origin}/results/{name}.{suffix}" for name in names]

    def _balance(self) -> Response:
        with self._lock:
            balance = self.balance
        body = (
            f'{{"code":200,"message":"success","data":{balance:.4f}}}'  # a bare number, section 8
        )
        return Response(200, body.encode(), {"Content-Type": "application/json"})

    # -- pictures

    def _result(self, method: str, name: str) -> Response:
        task_id = name.partition(".")[0].partition("-")[0]
        with self._lock:
            run = self._runs.get(task_id)
        now = self._clock()
        if run is None or f"{self.origin}/results/{name}" not in self._links(run):
            return refusal(404)
        if run.state(now) != "success":
            return refusal(404)
        if now > run.task.due + self._link_lifetime:
            return refusal(410)
        with self._lock:
            attempt = run.downloads
            if method == "GET":
                run.downloads += 1
                self.counts["download"] += 1
        return run.script.download(_picture_response(self._picture(run, name)), attempt)

    def _picture(self, run: Run, name: str) -> bytes:
        with self._lock:
            if name in self._pictures:
                self._pictures.move_to_end(name)
                return self._pictures[name]
        data = _draw(run, seed=name.partition(".")[0])
        with self._lock:
            self._pictures[name] = data
            if len(self._pictures) > _PICTURES_KEPT:
                self._pictures.popitem(last=False)
        return data

    def _file(self, route: str) -> Response:
        """A shared file, found by its whole address: no path is ever made from a request."""
        with self._lock:
            file = self._shared.get(route)
        try:
            if file is None or file.resolve(strict=True) != file:  # a link was put in its place
                return refusal(404)
            data = file.read_bytes()
            references.opened(data)
        except (OSError, ValueError, SyntaxError):
            return refusal(404)
        return _picture_response(data)

    # -- for other processes

    def _account(self) -> Response:
        now = self._clock()
        with self._lock:
            runs = list(self._runs.values())
            money = {"spent": float(self.spent), "balance": float(self.balance)}
            load = {"underWay": self._gate.under_way(now), "refused": self.counts["refused"]}
            limits = asdict(self._gate.limits)
            faulted = list(self._faulted.items())
            deliveries = list(self._deliveries)
        return json_response(
            200,
            {
                **money,
                **load,
                "limits": limits,
                "faults": {**asdict(self._plan), "hit": [_fault(*one) for one in faulted]},
                "callbacks": [_callback(delivery) for delivery in deliveries],
                "tasks": [_task(run, now) for run in runs],
            },
        )

    # -- for people

    def _page(self) -> Response:
        with self._lock:
            runs = list(self._runs.values())
            deliveries = list(self._deliveries)
            faulted = list(self._faulted.values())
            account = page.Account(
                origin=self.origin,
                any_key=self._key is None,
                latency=self._latency,
                balance=self.balance,
                spent=self.spent,
                refused=self.counts["submit"] - self.counts["accepted"],
                limited=self.counts["refused"],
                limits=self._gate.limits,
                plan=self._plan,
                faulted=len(faulted),
            )
        return page.write(account, page.cards(runs, faulted, deliveries, self._clock()))

    def _shown(self, task_id: str, size: str) -> Response:
        """A picture for the page: what was drawn, whatever a directive does to the client's."""
        with self._lock:
            run = self._runs.get(task_id)
        if run is None or run.state(self._clock()) != "success":
            return refusal(404)
        name = self._links(run)[0].rpartition("/")[2]
        return page.picture(self._picture(run, name), small=size == "previews")


def _digest(key: str) -> bytes:
    """What is kept of a key: enough to know it again, and no more."""
    return hashlib.sha256(key.encode()).digest()


def _not_allowed(methods: str) -> Response:
    refused = refusal(405)
    return replace(refused, headers={**refused.headers, "Allow": methods})


def _task(run: Run, now: float) -> dict[str, object]:
    return {
        "taskId": run.task.id,
        "prompt": run.task.prompt,
        "input": run.task.request["input"],
        "state": run.state(now),
        "billed": float(run.task.billed),
    }


def _fault(ordinal: int, fault: Fault) -> dict[str, object]:
    return {"ordinal": ordinal, "directive": fault.directive, "taskId": fault.task_id}


def _callback(delivery: Delivery) -> dict[str, object]:
    return {
        "taskId": delivery.task_id,
        "notice": delivery.notice,
        "attempt": delivery.attempt,
        "status": delivery.status,
        "why": delivery.why,
    }


def _draw(run: Run, seed: str) -> bytes:
    shown = [Image.open(io.BytesIO(copy)) for copy in run.copies]
    first = shown[0].size if shown else (1, 1)
    size = drawing.size_of(run.task.aspect_ratio, first)
    picture = drawing.draw(run.task.prompt, *size, references=shown, seed=seed)
    data = io.BytesIO()
    if run.task.output_format == "jpeg":
        picture.save(data, "JPEG", quality=90)
    else:
        picture.save(data, "PNG", compress_level=4)
    return data.getvalue()


def _picture_response(data: bytes) -> Response:
    kind = _CONTENT_TYPES[Image.open(io.BytesIO(data), formats=references.FORMATS).format or ""]
    tag = hashlib.sha256(data).hexdigest()[:32]
    return Response(200, data, {"Content-Type": kind, "ETag": f'"{tag}"'})
