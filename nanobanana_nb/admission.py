"""Finding out how much an account allows, at once and per minute, from what it refuses.

The API publishes no limits, and a refusal costs nothing but time. So tasks are sent until one is
refused: what runs then is the limit. It is held, and now and then one more is tried. Where it is
the calls per minute that ran out, they are counted from one refusal to the next, and spread out.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

MOST_AT_ONCE: Final = 256
"""Tasks under way, even where nothing is ever refused: such a server may queue them instead."""
FIRST_WIDTH: Final = 3
"""Tasks on the wire at once; while the limit is unknown, all but one may be refused in vain."""
WIDENING: Final = 3
"""One more on the wire for so many that run."""

LONGEST: Final = 60.0
"""Seconds. Nothing is put off for longer; what seems to be was noted before a clock went back."""
STANDSTILL: Final = 30.0
"""Seconds, at most, between two tries with nothing under way."""
DOUBTS: Final = (1.0, 3.0)
"""Seconds until a task that was refused without a reason is sent again."""
GUESSED: Final = 30.0
"""Seconds for which a limit that no reason was given for is easily given up."""

PROBE: Final = 60.0
"""Seconds, at least, until more than the limit is tried again, at most `LONGEST_PROBE`."""
PROBE_TASKS: Final = 45
"""Or as long as so many tasks take."""
LONGEST_PROBE: Final = 240.0
PROBE_LOWERED: Final = 50.0
"""Where the limit has been higher, and may well be again."""
PROBE_GUESSED: Final = 4.0
"""Where the limit may well be wrong."""
REMEMBERED: Final = 0.95
"""Of what the limit was above what it is, at each refusal."""

FIRST_PACE: Final = 0.5
FASTEST_PACE: Final = 0.02
"""Seconds from call to call; the slowest is `LONGEST`."""
MARGIN: Final = 0.98
"""Of the rate that was counted."""
FORGIVEN: Final = 1000
"""Calls without a refusal, the pace quickening all the while, after which there is no such rate."""
SURE: Final = 4
"""Calls from one refusal to the next, from which on they tell the rate,"""
SURE_AFTER: Final = 2.0
"""and seconds: what was on the wire blurs both ends."""
CREEP: Final = 0.00003
"""By which the pace quickens at each call, times the calls since the last refusal,"""
FASTEST_CREEP: Final = 0.03
"""up to this, which holds while the rate is not counted yet, too."""
CREDIT: Final = 2.0
"""Calls that may be made up for at once after some idleness."""
TURN: Final = 0.3
"""Of a pace, for which a submit lets a status call go first after another submit, and a status call
a submit: looks alone would leave places idle, and submits alone would leave pictures unseen."""


@dataclass(frozen=True)
class Load:
    """What of an account is under way: `sending` POSTs without an answer, `running` accepted tasks
    not yet seen finished."""

    sending: int = 0
    running: int = 0

    @property
    def total(self) -> int:
        return self.sending + self.running


@dataclass(frozen=True)
class Admission:
    """What is known of an account's limits, and when the next call may go.

    A value that all kernels of a home share: whoever sends or hears an answer stores what follows
    from it. A `load` is what is under way besides the call in question. `now` and `sent_at` are
    Unix times, `chance` is a random number from 0 to 1, which spreads several homes' tries.
    `polls` are the status calls of this process that it has told of neither here nor by `looked`.
    """

    limit: int | None = None
    """Tasks at once; None while none was refused for it."""
    polls_count: bool = False
    """Whether status calls count against the rate, too."""

    limit_before: float = 0.0
    """What is remembered of a higher limit."""
    limit_since: float = 0.0
    accepted_since: int = 0
    most_running: int = 0
    """Tasks that ran at once, since the limit was last found."""
    probe_at: float = 0.0
    probe_every: float = PROBE

    pace: float | None = None
    """Seconds from call to call; None while none was refused for the rate."""
    counted_pace: float | None = None
    """What it was when it was last counted."""
    counted_from: float | None = None
    """When the rate was last used up; None if less than it allows was called since."""
    counted: int = 0
    """Calls since then."""
    next_at: float = 0.0
    looked_last: bool = False

    hold_until: float = 0.0
    refused_at: float = 0.0
    """When a refusal last told something; those of calls sent before tell the same."""
    doubts: int = 0
    """Refusals in a row without a reason,"""
    doubted: int = 0
    """and how many tasks ran at the first of them."""
    guessed_at: float = 0.0
    standstill: int = 0
    """Refusals in a row with nothing under way."""

    @property
    def rate(self) -> float | None:
        """Calls per second that the account allows, if known."""
        return None if self.pace is None else 1 / self.pace

    def wait(self, load: Load, now: float) -> float:
        """0 where a task may be sent now; else seconds after which to ask again.

        Ask earlier whenever a task has ended or an answer has come, in any kernel: `math.inf` says
        that it takes one of these.
        """
        held = max(_left(self.hold_until, now), self._pace_left(now, not self.looked_last))
        return held or self._room_left(load, now)

    def sent(self, load: Load, now: float) -> Admission:
        """A task is being sent now."""
        is_probe = self.limit is not None and load.total >= self.limit
        return replace(
            self._called(now),
            looked_last=False,
            limit_since=self.limit_since or now,
            probe_at=now + self.probe_every if is_probe else self.probe_at,
        )

    def accepted(
        self, load: Load, now: float, sent_at: float, chance: float, polls: int = 0
    ) -> Admission:
        """The task was accepted, and runs."""
        running = load.running + 1
        known = replace(
            self._counting(1, polls),
            accepted_since=self.accepted_since + 1,
            most_running=max(self.most_running, running),
            standstill=0,
        )
        overtaken = sent_at < self.refused_at <= now
        if self.doubts and overtaken:
            return replace(known, doubted=max(self.doubted, running))
        if self.doubts:
            return known._sure_again(running, now, chance)
        if self.limit is not None and running > self.limit:
            return replace(known, limit=running, probe_at=self.probe_at if overtaken else now)
        return known

    def refused(
        self,
        load: Load,
        now: float,
        sent_at: float,
        chance: float,
        reason: str = "",
        retry_after: float | None = None,
        polls: int = 0,
    ) -> Admission:
        """The task was refused for too many: `reason` is "concurrency", "rate" or unknown."""
        known = self._counting(0, polls)._held(now, retry_after or 0.0)
        if sent_at < self.refused_at <= now:
            return known
        known = replace(known, refused_at=now)
        if reason == "rate" or (not reason and known._ran_more_than(load.running)):
            return known._slower(now, now, chance, retry_after)
        if load.total == 0:
            return known._standing_still(now, chance, retry_after)
        if reason or (self.limit is not None and load.running >= self.limit):
            return known._limited(load.running, now, chance)
        if self.doubts < len(DOUBTS):
            return known._doubting(load.running, now, chance, retry_after)
        return replace(known._limited(load.running, now, chance), guessed_at=now)

    def look_wait(self, now: float) -> float:
        """Seconds until the next status call may go, where these count against the rate; else 0."""
        return self._pace_left(now, self.looked_last) if self.polls_count else 0.0

    def looked(self, now: float) -> Admission:
        """A status call is being sent now."""
        if not self.polls_count:
            return self
        return replace(self._called(now)._counting(1), looked_last=True)

    def look_refused(
        self,
        now: float,
        chance: float,
        retry_after: float | None = None,
        polls: int = 0,
        sent_at: float | None = None,
    ) -> Admission:
        """A status call was refused: so they count. It was sent just now, or at `sent_at`."""
        if not self.polls_count:
            return self._counting_polls(now)._slower(now, now, chance, retry_after)
        known = self._counting(-1, polls)
        if (now if sent_at is None else sent_at) < self.refused_at <= now:
            return known
        return replace(known, refused_at=now)._slower(now, now, chance, retry_after)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Admission:
        """What `to_json` wrote; of anything else, an account of which nothing is known."""
        try:
            found = json.loads(text)
            return cls(**found) if _is_ours(found) else cls()
        except (ValueError, OverflowError, RecursionError):
            return cls()

    def _pace_left(self, now: float, others_first: bool) -> float:
        """Seconds until the rate allows a call."""
        if self.pace is None or not self.polls_count or not others_first:
            return _left(self.next_at, now)
        return _left(self.next_at + TURN * self.pace, now)

    def _room_left(self, load: Load, now: float) -> float:
        """Seconds until there may be room for one more."""
        one_by_one = self.doubts or self.standstill
        width = 1 if one_by_one else max(FIRST_WIDTH, load.running // WIDENING)
        if load.sending >= width or load.total >= MOST_AT_ONCE:
            return math.inf
        if self.limit is None or load.total < self.limit:
            return 0.0
        return math.inf if load.sending else self._probe_left(load.running, now)

    def _probe_left(self, running: int, now: float) -> float:
        """Seconds until one more than the limit is tried."""
        looks_need_it = (
            self.polls_count and self.pace is not None and self.next_at + self.pace > now
        )
        if running != self.limit or looks_need_it:
            return math.inf
        return _left(self.probe_at, now, LONGEST_PROBE)

    def _ran_more_than(self, running: int) -> bool:
        """Whether so many cannot be too many at once, so that it was the rate, if there is one.

        Some of those that run have ended unseen, so a few more are no proof.
        """
        return self.pace is not None and running + 2 + running // 16 <= self.most_running

    def _called(self, now: float) -> Admission:
        """One call of those that the rate allows, which by and by may turn out to be more."""
        if self.pace is None:
            return self
        earliest = now - CREDIT * self.pace
        next_at = max(min(self.next_at, now + self.pace), earliest) + self.pace
        if self.next_at < earliest and not self.doubts:
            return replace(self, next_at=next_at, counted_from=None)
        known_well = self.counted_pace is not None
        creep = min(CREEP * self.counted, FASTEST_CREEP) if known_well else FASTEST_CREEP
        return replace(self, next_at=next_at, pace=max(self.pace * (1 - creep), FASTEST_PACE))

    def _counting(self, calls: int, polls: int = 0) -> Admission:
        more = calls + polls if self.polls_count else calls
        counted = max(0, self.counted + more)
        if self.pace is not None and counted > FORGIVEN:
            return replace(self, pace=None, counted_pace=None, counted_from=None, polls_count=False)
        return replace(self, counted=counted)

    def _counting_polls(self, now: float) -> Admission:
        """What was counted without them is void, and so is a limit that may have been theirs."""
        void = self.doubts == 0 and 0 <= now - self.guessed_at <= GUESSED
        return replace(
            self,
            polls_count=True,
            limit=None if void else self.limit,
            counted_from=None,
            counted_pace=None,
            refused_at=now,
        )

    def _slower(
        self, used_up_at: float, now: float, chance: float, retry_after: float | None = None
    ) -> Admission:
        """The rate was used up: the calls since it last was, in the time since, are the rate."""
        elapsed = self._elapsed(used_up_at)
        sure = self.counted >= SURE and elapsed >= SURE_AFTER
        pace, counted_pace = self.pace or FIRST_PACE, self.counted_pace
        if sure:
            counted_pace = min(elapsed / self.counted / MARGIN, LONGEST)
            pace = max(pace, counted_pace)
        elif elapsed:
            counted_pace, pace = None, max(1.1 * pace, elapsed / (self.counted + 1))
        else:
            pace = max(1.02 * pace, counted_pace or 0.0)
        pace = min(pace, LONGEST)
        going_on = elapsed and not sure
        pause = max(pace * (1 + 0.1 * chance), min(retry_after or 0.0, LONGEST))
        return replace(
            self,
            pace=pace,
            counted_pace=counted_pace,
            counted_from=self.counted_from if going_on else used_up_at,
            counted=self.counted if going_on else 0,
            next_at=now + pause,
            doubts=0,
        )

    def _elapsed(self, used_up_at: float) -> float:
        """Seconds in which calls were counted; 0 where they were not, or a clock was set."""
        if self.counted_from is None:
            return 0.0
        elapsed = used_up_at - self.counted_from
        return elapsed if 0 < elapsed <= LONGEST * (self.counted + 1) else 0.0

    def _limited(self, running: int, now: float, chance: float) -> Admission:
        """What runs is all that may run. Where that falls again and again, it falls further."""
        fell = self.limit is not None and self.limit_before > self.limit + 0.5
        falling = fell and running < (self.limit or 0) and not self.accepted_since
        limit = max(1, running * 3 // 4 if falling else running)
        before = max(limit, limit + REMEMBERED * (max(self.limit_before, self.limit or 0) - limit))
        seconds = max(0.0, now - self.limit_since) / max(1, self.accepted_since)
        every = min(max(PROBE, PROBE_TASKS * seconds), LONGEST_PROBE)
        if before >= limit + 1:
            every = PROBE_LOWERED
        return replace(
            self,
            limit=limit,
            limit_before=before,
            limit_since=now,
            accepted_since=0,
            most_running=limit,
            probe_every=every,
            probe_at=now + (PROBE_GUESSED if falling else every) * (0.9 + 0.1 * chance),
            doubts=0,
        )

    def _doubting(
        self, running: int, now: float, chance: float, retry_after: float | None
    ) -> Admission:
        """Once more in a while, or when the answer says, to see whether time alone helps."""
        pause = DOUBTS[self.doubts] * (1 + 0.2 * chance) if retry_after is None else retry_after
        known = self._held(now, pause)
        return replace(known, doubts=self.doubts + 1, doubted=running)

    def _sure_again(self, running: int, now: float, chance: float) -> Admission:
        """Accepted after doubts: time alone has helped, or else that a task has ended meanwhile.

        Where looks count, too, time is what helps as a rule.
        """
        if running > self.doubted or self.polls_count:
            known = self._counting(-1)._slower(self.refused_at, now, chance)
            return known._counting(1)
        probe_at = now + PROBE_GUESSED * (0.9 + 0.1 * chance)
        limit = max(1, self.doubted)
        return replace(self, limit=limit, doubts=0, guessed_at=now, probe_at=probe_at)

    def _standing_still(self, now: float, chance: float, retry_after: float | None) -> Admission:
        """Twice as long each time, if the answer does not say how long."""
        pause = min(2.0**self.standstill * (1 + 0.25 * chance), STANDSTILL)
        pause = pause if retry_after is None else retry_after
        return replace(self._held(now, pause), standstill=min(self.standstill + 1, 5), doubts=0)

    def _held(self, now: float, seconds: float) -> Admission:
        """No task for so long, or as long as before."""
        if not seconds:
            return self
        longest = max(_left(self.hold_until, now), min(seconds, LONGEST))
        return replace(self, hold_until=now + longest)


def _left(until: float, now: float, longest: float = 1.5 * LONGEST) -> float:
    """Seconds left; 0 where they are so many that a clock must have gone back."""
    left = until - now
    return left if 0 < left <= longest else 0.0


_KINDS: Final[dict[str, tuple[type, ...]]] = {"bool": (bool,), "int": (int,), "float": (int, float)}


def _is_ours(found: Any) -> bool:
    """Whether these are the fields of an `Admission`, each of its kind."""
    if not isinstance(found, dict) or found.keys() != {field.name for field in fields(Admission)}:
        return False
    for field in fields(Admission):
        kind, _, optional = str(field.type).partition(" | ")
        value = found[field.name]
        if value is None and optional:
            continue
        if type(value) not in _KINDS[kind] or not math.isfinite(value) or value < 0:
            return False
    return 0 not in (found["limit"], found["pace"]) and bool(found["doubts"] <= len(DOUBTS))
