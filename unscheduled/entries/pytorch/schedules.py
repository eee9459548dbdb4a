"""Schedules of the baselines, as factors on the peak rate.

The step is a tensor, because only the device knows how many were skipped.
"""

import math

import torch


def warmup_cosine(
    step: torch.Tensor, warmup_steps: int, total_steps: int
) -> torch.Tensor:
    """Linear warmup, cosine decay to 0.

    t / W while t < W, then (1 + cos(π min(1, (t - W) / max(1, T - W)))) / 2.

    Args:
      step: t, steps done so far, from 0.
      warmup_steps: W, at least 0.
      total_steps: T; from there on the factor is 0.

    Example:
      >>> warmup_cosine(torch.tensor([0.0, 1, 2, 4, 6, 7]), 2, 6).tolist()
      [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]

    Source: Loshchilov and Hutter, arXiv 1608.03983, equation (5) without restarts.
    """
    progress = _progress(step, warmup_steps, total_steps - warmup_steps)
    decayed = 0.5 * (1 + torch.cos(math.pi * progress))
    return _after_warmup(step, warmup_steps, decayed)


def warmup_linear(
    step: torch.Tensor, warmup_steps: int, decay_steps: int, end_factor: float
) -> torch.Tensor:
    """Linear warmup, linear decay to `end_factor`, which it keeps.

    t / W while t < W, then 1 - (1 - e) min(1, (t - W) / max(1, D)).

    Args:
      step: t, steps done so far, from 0.
      warmup_steps: W, at least 0.
      decay_steps: D, the length of the decay.
      end_factor: e.

    Example:
      >>> warmup_linear(torch.tensor([0.0, 1, 2, 4, 6, 7]), 2, 4, 0.5).tolist()
      [0.0, 0.5, 1.0, 0.75, 0.5, 0.5]

    Source: AlgoPerf's target-setting runs with SGD (its repository,
    algorithms/target_setting_algorithms).
    """
    progress = _progress(step, warmup_steps, decay_steps)
    return _after_warmup(step, warmup_steps, 1 - (1 - end_factor) * progress)


def _progress(step: torch.Tensor, start: int, length: int) -> torch.Tensor:
    return ((step - start) / max(1, length)).clamp(max=1)


def _after_warmup(
    step: torch.Tensor, warmup_steps: int, factor: torch.Tensor
) -> torch.Tensor:
    return torch.where(step < warmup_steps, step / max(1, warmup_steps), factor)
