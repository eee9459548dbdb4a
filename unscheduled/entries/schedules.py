"""Schedules of the baselines, as factors on the peak rate."""

import math


def warmup_cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    """Linear warmup, cosine decay to 0.

    t / W while t < W, then (1 + cos(π min(1, (t - W) / max(1, T - W)))) / 2.

    Args:
      step: t, steps done so far, from 0.
      warmup_steps: W, at least 0.
      total_steps: T; from there on the factor is 0.

    Example:
      >>> [warmup_cosine(t, 2, 6) for t in (0, 1, 2, 4, 6, 7)]
      [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]

    Source: Loshchilov and Hutter, arXiv 1608.03983, equation (5) without restarts.
    """
    if step < warmup_steps:
        return step / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return round(0.5 * (1 + math.cos(math.pi * min(1.0, progress))), 12)


def warmup_linear(
    step: int, warmup_steps: int, decay_steps: int, end_factor: float
) -> float:
    """Linear warmup, linear decay to `end_factor`, which it keeps.

    t / W while t < W, then 1 - (1 - e) min(1, (t - W) / max(1, D)).

    Args:
      step: t, steps done so far, from 0.
      warmup_steps: W, at least 0.
      decay_steps: D, the length of the decay.
      end_factor: e.

    Example:
      >>> [warmup_linear(t, 2, 4, 0.5) for t in (0, 1, 2, 4, 6, 7)]
      [0.0, 0.5, 1.0, 0.75, 0.5, 0.5]

    Source: AlgoPerf's target-setting runs with SGD (its repository,
    algorithms/target_setting_algorithms).
    """
    if step < warmup_steps:
        return step / warmup_steps
    progress = (step - warmup_steps) / max(1, decay_steps)
    return 1 - (1 - end_factor) * min(1.0, progress)
