"""While a task is waited for: how long it has been, and when there was too much trouble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from . import errors, pacing, protocol
from .models import TaskState

REFUSALS: Final = 3
"""In a row; then it is the question that is refused, and the task is left for later."""
BLIND_LOOKS: Final = 10
"""In a row; then a finished task that shows no picture is left for later."""
EARLY_404: Final = 120.0
"""Seconds after a submit in which an unknown task id may just not have spread yet."""


class Watch:
    """How long a wait has lasted, without the time that the machine was asleep."""

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._clock = clock
        self._wall = wall
        self._begun = self._last = clock()
        self._last_wall = wall()
        self._asleep = 0.0
        self._slept = False

    @property
    def waited(self) -> float:
        return self._clock() - self._begun - self._asleep

    @property
    def has_slept(self) -> bool:
        """Whether the machine was asleep at any time of the wait."""
        return self._slept

    def slept(self, asked: float) -> bool:
        """Whether the machine was asleep since the last call, `asked` seconds ago by plan."""
        now, wall = self._clock(), self._wall()
        asleep = pacing.time_asleep(asked, now - self._last, wall - self._last_wall)
        self._last, self._last_wall = now, wall
        self._asleep += asleep or 0.0
        self._slept = self._slept or asleep is not None
        return asleep is not None


class Trouble:
    """What has gone wrong in a row while a task is waited for, and when that is enough."""

    def __init__(self, task_id: str) -> None:
        self._task_id = task_id
        self._last: Exception | None = None
        self._refusals = 0
        self._blind = 0

    def note(
        self, error: errors.APIError | errors.TransportError, waited: float, age: float
    ) -> None:
        """A look that failed. Raises what ends the waiting."""
        if isinstance(error, errors.KeyRefused | errors.AccessDenied):
            raise error
        unknown = isinstance(error, errors.TaskNotFound)
        early = unknown and age + waited <= EARLY_404
        refused = isinstance(error, errors.APIError) and not error.retryable and not early
        self._last = error
        self._refusals = self._refusals + 1 if refused else 0
        if self._refusals >= REFUSALS:
            if unknown:
                raise error
            raise self.left(
                "is left for later, as the API does not say how it is. It stays", waited
            )

    def saw(self, state: TaskState, waited: float) -> None:
        """A look that showed no end. Raises when a task is done and never shows its picture."""
        self._last = None
        self._refusals = 0
        self._blind = self._blind + 1 if state in protocol.WITHOUT_PICTURE else 0
        if self._blind >= BLIND_LOOKS:
            raise self.left("is done, but the API's answers hold no picture. It stays", waited)

    def left(self, how: str, waited: float) -> errors.WaitTimeout:
        """The error of a task that is left for later."""
        last = f" At the last look: {self._last}" if self._last else ""
        return errors.WaitTimeout(
            f"Task {self._task_id} {how} and is paid for; nb.resume() collects it later.{last}",
            task_id=self._task_id,
            waited=waited,
        )
