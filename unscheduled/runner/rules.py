"""The rules of a run, as pure decisions over seconds and steps, and its clock.

Source: AlgoPerf v0.6 rules and technical documentation, "Evaluation during training"
and "Scoring"; the names in `train_state` are the official runner's.
"""

import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

from unscheduled.benchmark.errors import UserError

REASONS = ("both targets reached", "out of time", "training complete")


def new_train_state() -> dict[str, Any]:
    """What the runner knows about a run before its first step; times in seconds."""
    return {
        "validation_goal_reached": False,
        "test_goal_reached": False,
        "is_time_remaining": True,
        "last_eval_time": 0,
        "training_complete": False,
        "accumulated_submission_time": 0.0,
        "accumulated_eval_time": 0.0,
        "accumulated_logging_time": 0.0,
        "last_step_end_time": None,
    }


def evaluation_due(
    now: float, last_eval_time: float, eval_period_time_sec: float, complete: bool
) -> bool:
    """Whether training is complete, or no evaluation ended within a period, or ever."""
    period_passed = now - last_eval_time >= eval_period_time_sec
    return complete or last_eval_time == 0 or period_passed


def is_time_remaining(accumulated_submission_time: float, budget: float) -> bool:
    """Whether the budget is not used up; using exactly all of it is."""
    return accumulated_submission_time < budget


def goals_reached(train_state: dict[str, Any]) -> bool:
    return train_state["validation_goal_reached"] and train_state["test_goal_reached"]


def keep_training(train_state: dict[str, Any]) -> bool:
    return (
        train_state["is_time_remaining"]
        and not goals_reached(train_state)
        and not train_state["training_complete"]
    )


def steps_exhausted(global_step: int, max_global_steps: int | None) -> bool:
    return max_global_steps is not None and global_step >= max_global_steps


def why_ended(train_state: dict[str, Any]) -> str:
    """One of `REASONS`."""
    if goals_reached(train_state):
        return REASONS[0]
    if not train_state["is_time_remaining"]:
        return REASONS[1]
    return REASONS[2]


class Clock:
    """Real time, by a source that never goes back: no time of day, which is set."""

    def __init__(self, time_source: Callable[[], float] = time.monotonic):
        self.now = time_source

    def wait_until(self, moment: float) -> None:
        """Returns when it is `moment`, and at once if it was."""
        time.sleep(max(0.0, moment - self.now()))

    def step_done(self) -> None:
        """Says that a training step has ended."""

    def resume(self, saved_now: float) -> float:
        """Goes on from a checkpoint; returns how far the origin has moved since."""
        return self.now() - saved_now


class StepsClock(Clock):
    """A fixed time a step, and what is waited: the same on every machine.

    Where a submission would wait it really does, for as long as it takes here to step
    for that time, since it may have a clock of its own.
    """

    def __init__(self, seconds: float):
        super().__init__(lambda: self._steps * seconds + self._waited)
        self._seconds, self._steps, self._waited = seconds, 0, 0.0
        self._real_step = 0.0  # what the last one took
        self._real_start = time.monotonic()

    def wait_until(self, moment: float) -> None:
        if (wait := moment - self.now()) > 0:
            time.sleep(wait / self._seconds * self._real_step)
            self._waited += wait
        self._real_start = time.monotonic()

    def step_done(self) -> None:
        now = time.monotonic()
        self._real_step, self._real_start = now - self._real_start, now
        self._steps += 1

    def resume(self, saved_now: float) -> float:
        self._steps = round(saved_now / self._seconds)
        self._waited = saved_now - self._steps * self._seconds
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
