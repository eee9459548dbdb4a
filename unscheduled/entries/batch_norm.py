"""Batch-norm statistics that belong to where the model is evaluated.

Training moves the running statistics where it trains, y. Before an evaluation, with the
model at x, a forward pass over each of some recent batches b, from statistics set to
zero, gives (1 - m) s_b, where m is the share that a layer keeps of its old statistics.
The new statistics are the mean of s_b: no trace of y is left, whatever m is and however
the model is written. The first time, one more pass from ones tells m. Nothing is kept
and nothing is run where the model has no batch norm.

No checkpoint needs any of it: the batches are let go at every evaluation, and m is the
same for all.
"""

import collections
from typing import Any

# No more than one batch in so many steps is taken, beside the one that always is: where
# a forward pass is a third of a step and evaluations are that far apart, that is 2% of
# the time. docs/evidence/batch_norm.md has what was measured.
STEPS_PER_BATCH = 17
RECENT_BATCHES = 8


class RecentBatches:
    """The last batches since statistics were taken, and how many there were."""

    def __init__(self):
        self._batches = collections.deque(maxlen=RECENT_BATCHES)
        self._observed = 0

    def __len__(self) -> int:
        return len(self._batches)

    def append(self, batch: Any) -> None:
        self._observed += 1
        if not any(known is batch for known in self._batches):  # else it is an echo
            self._batches.append(batch)

    def take(self) -> list[Any]:
        """Those that statistics are taken from now; lets all go."""
        batches = list(self._batches)[-batches_to_refresh_from(self._observed) :]
        self._batches.clear()
        self._observed = 0
        return batches


def batches_to_refresh_from(steps: int) -> int:
    """How many recent batches statistics are taken from, `steps` after the last time.

    Example:
      >>> [batches_to_refresh_from(steps) for steps in (1, 20, 50, 1000)]
      [1, 1, 2, 8]
    """
    return min(RECENT_BATCHES, max(1, steps // STEPS_PER_BATCH))


def share_of_new(kept: float) -> float:
    """1 - m for the share m of the old statistics that a layer keeps, as measured.

    Rounded, so that it does not depend on the batch that it was measured with.
    """
    return round(1 - kept, 5)
