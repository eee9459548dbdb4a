"""When training has diverged, and what is done about it: pure decisions.

An evaluation that shows divergence sends training back to the last good evaluated
parameters, with half the rate, on the clock of the run. That happens `MAX_RESTARTS`
times at most. After that training goes on as it is, because the judgement may be what
is wrong, and it ends where no step can be taken any more: waiting for the budget to
run out would cost hours and reach no target.
"""

import dataclasses
import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from .. import spec

BACKOFF = 0.5
# Published ranges of rates are up to 250 wide (tuning_search_spaces/heavy_ball.json):
# eight halvings lead from one end to the other.
MAX_RESTARTS = 8
# A loss so many times the best is far from it, whatever the first one was. In none of
# the 874 published self-tuning trials (AlgoPerf v0.5, v0.6, rolling leaderboard of June
# 2026) does this bound decide anything.
FAR_RATIO = 100

EvalResults = Sequence[tuple[int, Mapping[str, Any]]]


class Decision(enum.Enum):
    """What to do with the parameters that were evaluated."""

    KEEP = "keep a copy, as the last good ones"
    GO_ON = "train on from them"
    RESTART = "go back to the last good ones, with half the rate"


@dataclasses.dataclass
class DivergenceGuard:
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
        return learning_rate * BACKOFF ** min(self.restarts, MAX_RESTARTS)

    def is_behind(self, eval_results: EvalResults) -> bool:
        """Whether there is an evaluation that has not been judged."""
        return len(eval_results) > self.evaluations

    def judge(
        self,
        eval_results: EvalResults,
        loss_type: spec.LossType,
        global_step: int,
        skipped: int,
    ) -> Decision:
        """What the last evaluation asks for; remembers that it has been judged.

        `skipped` counts those of the `global_step` steps so far that were skipped.

        Raises:
          spec.TrainingCompleteError: where no step has been taken since the last
            judgement and no restart is left.
        """
        steps, skips = global_step - self.step, skipped - self.skipped
        self.evaluations = len(eval_results)
        self.step, self.skipped = global_step, skipped
        stuck = 0 < steps == skips
        if not stuck and not has_diverged(validation_losses(eval_results, loss_type)):
            # Without the loss that others have, it says nothing about its parameters.
            names = [loss_name(metrics, loss_type) for _, metrics in eval_results]
            is_silent = names[-1] is None and any(names)
            return Decision.GO_ON if is_silent else Decision.KEEP
        if self.restarts < MAX_RESTARTS:
            self.start = global_step - skipped
            self.restarts += 1
            logging.warning(
                "Step %d: diverged; training goes on from the last good evaluated "
                "parameters with %g of the rate.",
                global_step,
                self.learning_rate(1.0),
            )
            return Decision.RESTART
        if stuck:
            raise spec.TrainingCompleteError(
                f"no step could be taken up to step {global_step}, "
                f"after {MAX_RESTARTS} restarts."
            )
        logging.warning(
            "Step %d: diverged after %d restarts; training goes on as it is.",
            global_step,
            self.restarts,
        )
        return Decision.GO_ON


def has_diverged(losses: Sequence[float]) -> bool:
    """Whether the last loss is not finite, or far above the best so far.

    Far is half of the first finite loss, which is that of a model hardly trained: what
    is lost is more than any overfitting loses, and a model that collapsed onto the
    frequencies of its labels is back near the first loss. A first loss can be of any
    size, so `FAR_RATIO` times the best is far too. Where the best is not positive, and
    ratios mean nothing, far is half of the first loss's size or of what has been
    gained, and at least half a nat.

    Example:
      >>> has_diverged([6.9, 2.0, 2.4]), has_diverged([6.9, 2.0, 6.5])
      (False, True)
      >>> has_diverged([float("nan"), 2.0, 1e9])
      True
    """
    if not losses:
        return False
    if not math.isfinite(losses[-1]):
        return True
    finite = [loss for loss in losses if math.isfinite(loss)]
    first, best = finite[0], min(finite)
    if best > 0:
        far = min(first / 2, FAR_RATIO * best)
    else:
        far = max(0.5, abs(first) / 2, first / 2 - best / 2)
    return losses[-1] > best + far


def validation_losses(
    eval_results: EvalResults, loss_type: spec.LossType
) -> list[float]:
    """The loss that the last evaluation is judged by, in all that have it."""
    name = loss_name(eval_results[-1][1], loss_type) if eval_results else None
    if name is None:
        return []
    return [float(metrics[name]) for _, metrics in eval_results if name in metrics]


def loss_name(metrics: Mapping[str, Any], loss_type: spec.LossType) -> str | None:
    """The validation loss that the workload trains on, or None where there is none.

    `validation/loss`; else the one that has the name of the loss type, such as
    `validation/ctc_loss`; else the first by name of those that end in "loss".
    """
    for name in ("validation/loss", f"validation/{loss_type.name.lower()}"):
        if name in metrics:
            return name
    losses = (n for n in metrics if n.startswith("validation/") and n.endswith("loss"))
    return min(losses, default=None)
