"""The clock of a run: real time, or a fixed time a step."""

import contextlib
import math
import time
from collections.abc import Callable

from unscheduled.benchmark.errors import UserError


class Clock:
    """Real time, by a source that never goes back: no time of day, which is set.

    Evaluation and logging pass on it too: the rules leave them out.
    """

    def __init__(self, time_source: Callable[[], float] = time.monotonic):
        self._time = time_source

    def now(self) -> float:
        return self._time()

    def step_done(self) -> None:
        """Says that a training step has ended."""

    def resume(self, saved_now: float) -> float:
        """Goes on from a checkpoint; returns how far the origin has moved since."""
        return self._time() - saved_now


class StepsClock(Clock):
    """A fixed time a step and none for anything else: the same on every machine."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._steps = 0

    def now(self) -> float:
        return self._steps * self._seconds

    def step_done(self) -> None:
        self._steps += 1

    def resume(self, saved_now: float) -> float:
        self._steps = round(saved_now / self._seconds)
        return 0.0


def parse_clock(text: str, time_source: Callable[[], float] = time.monotonic) -> Clock:
    """The clock that a --clock flag asks for: "wall" or "steps:SECONDS"."""
    if text == "wall":
        return Clock(time_source)
    kind, _, seconds = text.partition(":")
    with contextlib.suppress(ValueError):
        if kind == "steps" and 0 < float(seconds) < math.inf:
            return StepsClock(float(seconds))
    raise UserError(
        f"--clock must be wall or steps:SECONDS with a positive number, got {text!r}."
    )
