"""What all submissions share."""

LOG_EVERY_STEPS = 100
# Batch-norm statistics at x come from this many recent batches, but from no more than
# one batch in so many steps, beside the one that is always taken: where a forward pass
# is a third of a step and evaluations are that far apart, that is 2% of the time.
# docs/evidence/batch_norm.md has what was measured.
RECENT_BATCHES = 8
STEPS_PER_BATCH = 17


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

    Example:
      >>> share_of_new(0.8999998)
      0.1
    """
    return round(1 - kept, 5)
