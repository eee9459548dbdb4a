"""The one schedule here, for the baselines: linear warmup, cosine decay."""

import math


def warmup_cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    """The factor on the peak rate at a step, in [0, 1].

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
