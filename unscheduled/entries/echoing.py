"""Data echoing: several steps on a batch, where steps would wait for the next one.

The steps on a batch lie some fetches apart, with steps on other batches in between:
right after one another they are worth much less (docs/evidence/time_to_target.md).

Choi et al., "Faster neural network training with data echoing", arXiv 1907.05550.
"""

import collections
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from .. import spec
from .api import trainer_of

MOST = 2  # steps on a batch; more cost a target (docs/evidence/echoing.md)
APART = 16  # fetches from one of them to the next
WORTH = 0.6  # of a step on a batch that was used before, in fresh ones
_FIRST, _FACTOR = 8, 8  # fetches before the first measurement; to the next, times that
_STEPS, _FETCHES = 3, 6  # that a measurement takes


def steps_a_batch(period: float) -> int:
    """How many steps on each batch make the most progress in a second.

    With e steps on each, a batch is worth 1 + WORTH (e - 1) fresh steps and takes
    max(period, e) times as long as a step, if batches come every `period` step times
    without waiting for the steps. Of equals the fewest.

    Example:
      >>> [steps_a_batch(period) for period in (0.5, 1.2, 2.0, 5.0)]
      [1, 1, 2, 2]
    """

    def progress(count: int) -> float:
        return (1 + WORTH * (count - 1)) / max(period, count)

    return max(range(1, MOST + 1), key=progress)


class DataEchoing:
    """Takes batches from a queue, and each as often as `steps_a_batch` says.

    A fetch is followed by steps on the batch it gave and on those `APART`, twice that
    and so on fetches ago, as far as there are. They are kept over evaluations, but not
    in a checkpoint: a resumed run begins without.

    What it needs for that is measured now and then, with one step on each batch: some
    steps alone, between waits for the device, then fetches and steps as they come. Of
    the time from batch to batch only what is spent in the queue counts beside the step:
    where the machine is slow for another reason, nothing is gained by echoing.

    Args:
      synchronize: waits until the device has taken all steps.
      agree: the largest of each number over all ranks, which decide the same.
      now: seconds.
    """

    def __init__(
        self,
        synchronize: Callable[[], Any],
        agree: Callable[[list[float]], list[float]] = list,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._synchronize, self._agree, self._now = synchronize, agree, now
        self.count = 1
        self._fetches, self._due = 0, _FIRST
        # Newest first; empty where each batch is used once.
        self._recent = collections.deque[Any](maxlen=(MOST - 1) * APART + 1)
        self.pause()

    def pause(self) -> None:
        """Before an evaluation: it is no part of a measurement, nor of a wait."""
        self._turn = 0  # of the steps after a fetch; 0 for the next fetch
        self._steps: list[float] = []
        self._waited = 0.0
        self._place = 0  # of the next fetch in a measurement; 0 if there is none

    def next(self, queue: Iterator[Any]) -> Any:
        """The batch of the next step."""
        fetches_ago = self._turn * APART
        if 0 < fetches_ago < len(self._recent):
            self._turn = (self._turn + 1) % self.count
            return self._recent[fetches_ago]
        if self._place or self._fetches >= self._due:
            self._measure()
        start = self._now()
        batch = next(queue)
        self._fetches += 1
        self._fetched = self._now()
        self._waited += self._fetched - start
        if self.count > 1:
            self._recent.appendleft(batch)
            self._turn = 0 if self._place else 1
        return batch

    def _measure(self) -> None:
        """At a fetch that belongs to a measurement, before it."""
        place, end = self._place, _STEPS + _FETCHES
        self._place += 1
        if _STEPS < place < end:
            return
        self._synchronize()
        now = self._now()
        if 0 < place <= _STEPS:
            self._steps.append(now - self._fetched)
        if place == _STEPS:
            self._start, self._waited = now, 0.0
        if place == end:
            step = statistics.median(self._steps)
            period = min(now - self._start, _FETCHES * step + self._waited) / _FETCHES
            step, period = self._agree([step, period])
            self.count = steps_a_batch(period / step)
            if self.count == 1:
                self._recent.clear()
            self._due *= _FACTOR
            self.pause()

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count, "fetches": self._fetches, "due": self._due}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Goes on as often, without the batches that had been fetched before."""
        self._recent.clear()
        self.count = state_dict["count"]
        self._fetches, self._due = state_dict["fetches"], state_dict["due"]
        self.pause()


def data_selection(
    workload: spec.Workload,
    input_queue: Iterator[dict[str, Any]],
    optimizer_state: spec.OptimizerState,
    current_param_container: spec.ParameterContainer,
    model_state: spec.ModelAuxiliaryState,
    hyperparameters: spec.Hyperparameters,
    global_step: int,
    rng: spec.RandomState,
) -> dict[str, spec.Tensor]:
    """The next batch of the queue, or an earlier one where steps would wait for it."""
    del workload, current_param_container, model_state
    del hyperparameters, global_step, rng
    return trainer_of(optimizer_state).next_batch(optimizer_state, input_queue)
