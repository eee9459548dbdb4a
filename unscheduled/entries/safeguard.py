"""When a step is not taken and when training starts again: pure decisions.

A step whose loss or gradient is not finite is skipped, as if its batch had not been
there. An evaluation that shows divergence sends training back to the last good
evaluated parameters, with half the rate. Both happen on the clock of the run.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

BACKOFF = 0.5


@dataclasses.dataclass
class Record:
    """What is remembered from evaluation to evaluation; integers, for checkpoints.

    evaluations: how many have been judged; restarts: how often training began again;
    start: the steps taken before the last beginning, which a schedule goes on from;
    step, skipped: steps given and steps skipped until the last judgement.
    """

    evaluations: int = 0
    restarts: int = 0
    start: int = 0
    step: int = 0
    skipped: int = 0

    def learning_rate(self, learning_rate: float) -> float:
        """The rate after the restarts so far, from the first one."""
        return learning_rate * BACKOFF**self.restarts

    def is_behind(self, eval_results: Sequence[Any]) -> bool:
        """Whether there is an evaluation that has not been judged."""
        return len(eval_results) > self.evaluations

    def judge(
        self,
        eval_results: Sequence[tuple[int, Mapping[str, Any]]],
        global_step: int,
        skipped: int,
    ) -> bool:
        """Whether to begin again; remembers what has been judged.

        Args:
          eval_results: (step, metrics by name) of all evaluations so far.
          global_step: steps given so far, the skipped ones among them.
          skipped: how many of them were skipped, in all.
        """
        steps, skips = global_step - self.step, skipped - self.skipped
        self.evaluations = len(eval_results)
        self.step, self.skipped = global_step, skipped
        stuck = 0 < steps == skips
        again = stuck or has_diverged(validation_losses(eval_results))
        if again:
            self.start = global_step - skipped
            self.restarts += 1
        return again


def has_diverged(losses: Sequence[float]) -> bool:
    """Whether the last loss is not finite, or far above the best so far.

    Far is half of the first loss, which is that of a model hardly trained: what is
    lost is more than any overfitting loses, and a model that collapsed onto the
    frequencies of its labels is back near the first loss.

    Args:
      losses: of all evaluations, nats or whatever the workload has, from the first.

    Example:
      >>> has_diverged([6.9, 2.0, 2.4]), has_diverged([6.9, 2.0, 6.5])
      (False, True)
    """
    if not losses:
        return False
    first, last = losses[0], losses[-1]
    best = min(filter(math.isfinite, losses), default=math.inf)
    return not math.isfinite(last) or last > best + abs(first) / 2


def validation_losses(
    eval_results: Sequence[tuple[int, Mapping[str, Any]]],
) -> list[float]:
    """The validation loss of each evaluation that has one, whatever its full name."""
    return [
        float(value)
        for _, results in eval_results
        for name, value in results.items()
        if name.startswith("validation/") and name.endswith("loss")
    ]
