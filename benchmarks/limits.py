"""LIMITS: how much of what an account allows is used, by a client that is told no limits.

Simulated, in virtual time: a service with limits and tasks of 17.5 s, 0.2 s there and back; asyncio
clients that submit and look. Goodput is the makespan of an oracle, in that of the client. The
oracle knows the limits, needs no time on the wire and sees at once when a task has ended.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import random
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple

from nanobanana_nb.admission import Admission, Load
from nanobanana_nb.forecast import Forecast, Sample, best_price

from .table import plain, verdict
from .virtual import run

ONE_WAY: Final = 0.1
"""Seconds to the service; as many back."""
TASKS: Final = 500
FEWER: Final = 300
"""Tasks, where they take an hour as it is."""
ANY: Final = 10**6
"""Tasks at once, where these are not limited."""
BEGUN: Final = 1e9
"""The Unix time at which each run begins."""
PRICE: Final = 0.05
"""Seconds of delay that one look is worth while there is a backlog."""
REPRICED: Final = 10
"""Pictures, after which the price is reckoned anew where looks count."""
OURS: Final = "ours"
TINY: Final = 1e-9
FIRST_SEED: Final = 2000
"""Rules were tuned on the seeds below it."""


@dataclass(frozen=True)
class Account:
    """What is allowed, how it is refused, and what is to be reached with it."""

    name: str
    goodput: float = 0.97
    refusals: float = 0.05
    at_once: tuple[tuple[float, int], ...] = ((0.0, ANY),)
    """From a time on, so many tasks at once."""
    rate: float = 0.0
    """Calls per second; 0: any number."""
    burst: int = 1
    looks_count: bool = False
    says_why: bool = True
    says_when: bool = False
    tasks: int = TASKS

    def at(self, now: float) -> int:
        return next(limit for since, limit in reversed(self.at_once) if now >= since)


def _secretive(account: Account) -> Account:
    """The same, refusing without a reason."""
    name = f"{account.name}, no reason"
    return replace(account, name=name, says_why=False, goodput=0.95, refusals=0.10)


def _fixed(limit: int) -> Account:
    return Account(f"{limit} at once", at_once=((0.0, limit),))


def _changing(name: str, *at_once: tuple[float, int]) -> Account:
    return Account(name, 0.95, at_once=at_once)


def _per_minute(calls: int, limit: int, burst: int) -> Account:
    """An account of which every call counts."""
    return Account(
        f"{calls} calls a minute, {burst} in a row, {limit} at once",
        0.95,
        at_once=((0.0, limit),),
        rate=calls / 60,
        burst=burst,
        looks_count=True,
        tasks=TASKS if calls >= 60 else FEWER,
    )


CONSTANT: Final = tuple(map(_fixed, (2, 8, 32, 128)))
BOTH: Final = Account("32 at once, 2 a second", 0.95, at_once=((0.0, 32),), rate=2.0, burst=5)
RATE: Final = Account("1 a second", 0.95, rate=1.0, burst=5)
EVERY_CALL: Final = tuple(
    _per_minute(calls, limit, burst) for calls, limit in ((10, 3), (60, 10)) for burst in (calls, 3)
)
ACCOUNTS: Final = (
    *CONSTANT,
    replace(CONSTANT[1], name="8 at once, Retry-After", says_when=True),
    *map(_secretive, (_fixed(3), *CONSTANT[1:3])),
    BOTH,
    _secretive(BOTH),
    RATE,
    replace(RATE, name="1 a second, Retry-After", says_when=True),
    _secretive(RATE),
    _changing("8, then 4, then 12 at once", (0.0, 8), (300.0, 4), (800.0, 12)),
    _changing("8, then 1, then 8 at once", (0.0, 8), (300.0, 1), (600.0, 8)),
    _changing("8, then none, then 8 at once", (0.0, 8), (300.0, 0), (400.0, 8)),
    *EVERY_CALL,
    *map(_secretive, EVERY_CALL),
)


class Refused(Exception):
    """Too many calls."""

    def __init__(self, reason: str, retry_after: float | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class Service:
    """The far end, which knows the limits and when each task will have ended."""

    def __init__(self, account: Account, takes: list[float]) -> None:
        self.refusals = 0
        self.looks = 0
        self.accepted = 0
        self._account = account
        self._takes = takes
        self._running: list[float] = []
        self._tokens = float(account.burst)
        self._filled_at = BEGUN

    async def submit(self) -> Task:
        await asyncio.sleep(ONE_WAY)
        try:
            return self._accept(_now())
        finally:
            await asyncio.sleep(ONE_WAY)

    async def done(self, task: Task) -> bool:
        await asyncio.sleep(ONE_WAY)
        self.looks += 1
        now = _now()
        try:
            if self._account.looks_count:
                self._take_token(now)
        finally:
            await asyncio.sleep(ONE_WAY)
        return task.begun + task.takes <= now

    def _accept(self, now: float) -> Task:
        self._take_token(now)
        while self._running and self._running[0] <= now:
            heapq.heappop(self._running)
        if len(self._running) >= self._account.at(now - BEGUN):
            self._refuse("concurrency", self._running[0] - now if self._running else 5.0)
        task = Task(now, self._takes[self.accepted])
        self.accepted += 1
        heapq.heappush(self._running, now + task.takes)
        return task

    def _take_token(self, now: float) -> None:
        account = self._account
        if not account.rate:
            return
        refilled = self._tokens + (now - self._filled_at) * account.rate
        self._tokens, self._filled_at = min(account.burst, refilled), now
        if self._tokens < 1:
            self._refuse("rate", (1 - self._tokens) / account.rate)
        self._tokens -= 1

    def _refuse(self, reason: str, seconds: float) -> None:
        self.refusals += 1
        retry_after = float(math.ceil(seconds)) if self._account.says_when else None
        raise Refused(reason if self._account.says_why else "", retry_after)


class Task(NamedTuple):
    begun: float
    takes: float


class Looking:
    """When to look at a task, learned from those before it; the same for every client."""

    def __init__(self) -> None:
        self.forecast = Forecast().at_price(PRICE)

    def learned(self, task: Task) -> None:
        self.forecast = self.forecast.learned(Sample(task.takes, task.takes))

    def price(self, price: float) -> None:
        self.forecast = self.forecast.at_price(price)

    def wait(self, task: Task, age: float) -> float:
        """Seconds until the next look is to be sent, so as to arrive at its time."""
        return max(0.0, task.begun + self.forecast.next_look(age) - ONE_WAY - _now())


class Ours:
    """Submits as `Admission` says, and looks as it and the forecast say."""

    def __init__(self, service: Service, chance: random.Random) -> None:
        self.lost = 0
        self._known = Admission()
        self._service = service
        self._chance = chance
        self._looking = Looking()
        self._todo = self._sending = self._running = self._done = self._untold = 0
        self._news = asyncio.Event()

    async def draw(self, count: int) -> None:
        self._todo = count
        async with asyncio.TaskGroup() as group:
            while self._todo or self._sending:
                wait = self._known.wait(self._load, _now()) if self._todo else math.inf
                if wait:
                    await self._news_within(wait)
                    continue
                self._known = self._known.sent(self._load, _now())
                self._todo -= 1
                self._sending += 1
                group.create_task(self._one())

    @property
    def _load(self) -> Load:
        return Load(self._sending, self._running)

    async def _news_within(self, seconds: float) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds if seconds < math.inf else None):
                await self._news.wait()

    async def _one(self) -> None:
        task = await self._submit()
        self._news.set()
        if task is not None:
            await self._until_done(task)
            self._running -= 1
            self._news.set()

    async def _submit(self) -> Task | None:
        sent_at = _now()
        try:
            task = await self._service.submit()
        except Refused as no:
            self._sending -= 1
            self._todo += 1
            answer = (self._load, _now(), sent_at, self._chance.random(), no.reason, no.retry_after)
            self._known = self._known.refused(*answer, self._told())
            return None
        self._sending -= 1
        answered = (self._load, _now(), sent_at, self._chance.random(), self._told())
        self._known = self._known.accepted(*answered)
        self._running += 1
        return task

    async def _until_done(self, task: Task) -> None:
        age = 0.0
        while not await self._looks(task, age):
            age = _now() - ONE_WAY - task.begun
        self._looking.learned(task)
        self._done += 1
        if self._done % REPRICED == 0:
            self._reprice()

    async def _looks(self, task: Task, age: float) -> bool:
        """Whether the task was seen to have ended; a refused look is taken again."""
        await asyncio.sleep(self._looking.wait(task, age))
        while True:
            while wait := self._known.look_wait(_now()):
                await asyncio.sleep(wait)
            sent_at = _now()
            self._known = self._known.looked(sent_at)
            self._untold += not self._known.polls_count
            try:
                return await self._service.done(task)
            except Refused as no:
                answer = (_now(), self._chance.random(), no.retry_after, self._told(), sent_at)
                self._known = self._known.look_refused(*answer)

    def _reprice(self) -> None:
        known = self._known
        if known.polls_count and known.rate:
            self._looking.price(best_price(self._looking.forecast, known.limit, known.rate))

    def _told(self) -> int:
        looks, self._untold = self._untold, 0
        return looks


class Retrying:
    """All tasks at once, each retried by a schedule; the packages' own, of their POSTs."""

    def __init__(
        self,
        service: Service,
        chance: random.Random,
        tries: int = ANY,
        pause: Callable[[int, random.Random], float] = lambda tried, chance: 0.0,
        at_once: int = ANY,
    ) -> None:
        self.lost = 0
        self._service = service
        self._chance = chance
        self._tries = tries
        self._pause = pause
        self._gate = asyncio.Semaphore(at_once)
        self._looking = Looking()

    async def draw(self, count: int) -> None:
        await asyncio.gather(*(self._one() for _ in range(count)))

    async def _one(self) -> None:
        async with self._gate:
            task = await self._submit()
            age = 0.0
            while task:
                await asyncio.sleep(self._looking.wait(task, age))
                age = _now() + ONE_WAY - task.begun
                if await self._service.done(task):
                    self._looking.learned(task)
                    return

    async def _submit(self) -> Task | None:
        for tried in range(self._tries):
            try:
                return await self._service.submit()
            except Refused:
                if tried + 1 < self._tries:
                    await asyncio.sleep(self._pause(tried, self._chance))
        self.lost += 1
        return None


PEERS: Final[dict[str, Callable[[Service, random.Random], Retrying]]] = {
    "openai, 2 retries": partial(
        Retrying,
        tries=3,
        pause=lambda tried, chance: min(0.5 * 2**tried, 8) * (1 - 0.25 * chance.random()),
    ),
    "fal, 10 attempts": partial(
        Retrying,
        tries=10,
        pause=lambda tried, chance: min(0.1 * 2**tried * chance.uniform(0.5, 1.5), 10),
    ),
    "replicate, POST not retried": partial(Retrying, tries=1),
    "runware, semaphore of 15": partial(Retrying, tries=1, at_once=15),
    "backoff with full jitter": partial(
        Retrying, pause=lambda tried, chance: chance.uniform(0, min(60, 2.0**tried))
    ),
}


class Outcome(NamedTuple):
    goodput: float
    refusals: float
    looks: float
    lost: int


def outcome(account: Account, client: str, seed: int) -> Outcome:
    chance = random.Random(seed)
    takes = [_takes(chance) for _ in range(account.tasks)]
    service = Service(account, takes)

    async def drawn() -> tuple[float, int]:
        client_now = Ours(service, chance) if client == OURS else PEERS[client](service, chance)
        await client_now.draw(account.tasks)
        return _now() - BEGUN, client_now.lost

    makespan, lost = run(drawn())
    return Outcome(
        oracle(account, takes) / makespan,
        service.refusals / account.tasks,
        service.looks / account.tasks,
        lost,
    )


def oracle(account: Account, takes: list[float]) -> float:
    """The makespan of one who knows the limits and needs no time on the wire.

    Where looks count, its calls are a submit and a look for each task.
    """
    now, tokens, filled_at = 0.0, float(account.burst), 0.0
    running: list[float] = []
    for seconds in takes:
        while True:
            while running and running[0] <= now + TINY:
                heapq.heappop(running)
            if len(running) >= account.at(now):
                now = min([*running[:1], *(t for t, _ in account.at_once if t > now)])
                continue
            if not account.rate or account.looks_count:
                break
            tokens = min(account.burst, tokens + (now - filled_at) * account.rate)
            filled_at = now
            if tokens >= 1 - TINY:
                tokens -= 1
                break
            now += (1 - tokens) / account.rate
        heapq.heappush(running, now + seconds)
        last = max(running)
    calls = (2 * len(takes) - account.burst) / account.rate if account.looks_count else 0.0
    return max(last, calls)


def _takes(chance: random.Random) -> float:
    """Seconds; one task in a hundred takes far longer."""
    return (
        chance.uniform(20, 60)
        if chance.random() < 0.01
        else min(max(chance.gauss(17.5, 1.25), 12), 23)
    )


def _now() -> float:
    """Unix time, which the clients take from no other clock."""
    return asyncio.get_running_loop().time() + BEGUN


def table(samples: int) -> str:
    """Means of `samples` seeds."""
    seeds = range(FIRST_SEED, FIRST_SEED + samples)
    runs = [(account, OURS) for account in ACCOUNTS]
    runs += [(account, peer) for account in CONSTANT for peer in PEERS]
    with ProcessPoolExecutor(2) as pool:
        futures = [[pool.submit(outcome, *one, seed) for seed in seeds] for one in runs]
        rows = [
            _row(*one, [future.result() for future in of_it])
            for one, of_it in zip(runs, futures, strict=True)
        ]
    head = ("", "client", "goodput", "goal", "", "429 a task", "goal", "", "looks", "lost")
    return plain(f"LIMITS, {TASKS} tasks, means of {samples} seeds", head, rows)


def _row(account: Account, client: str, outcomes: list[Outcome]) -> list[str]:
    goodput, refusals, looks, lost = (statistics.mean(c) for c in zip(*outcomes, strict=True))
    goals = ["", "", "", ""]
    if client == OURS:
        goals = [
            f">= {account.goodput}",
            verdict(goodput >= account.goodput),
            f"<= {account.refusals}",
            verdict(refusals <= account.refusals),
        ]
    used = "-" if lost else f"{goodput:.3f}"
    return [
        account.name,
        client,
        used,
        *goals[:2],
        f"{refusals:.3f}",
        *goals[2:],
        f"{looks:.1f}",
        f"{lost:.0f}",
    ]
