"""Schedules of the baselines, as factors on the peak rate.

The step is a tensor, because only the device knows how many were skipped.
"""

import math
from typing import NamedTuple

import torch


class WarmupCosine(NamedTuple):
    """Linear warmup, cosine decay to 0 at step T.

    t / W while t < W, then (1 + cos(π min(1, (t - W) / max(1, T - W)))) / 2.

    Example:
      >>> WarmupCosine(2, 6)(torch.tensor([0, 1, 2, 4, 6, 7]).double()).tolist()
      [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]

    Source: Loshchilov and Hutter, arXiv 1608.03983, equation (5) without restarts.
    """

    warmup_steps: int
    total_steps: int

    def __call__(self, step: torch.Tensor) -> torch.Tensor:
        decay_steps = self.total_steps - self.warmup_steps
        progress = _progress(step, self.warmup_steps, decay_steps)
        decayed = 0.5 * (1 + torch.cos(math.pi * progress))
        return _after_warmup(step, self.warmup_steps, decayed)


class WarmupLinear(NamedTuple):
    """Linear warmup, linear decay within D steps to e, which it keeps.

    t / W while t < W, then 1 - (1 - e) min(1, (t - W) / max(1, D)).

    Example:
      >>> WarmupLinear(2, 4, 0.5)(torch.tensor([0, 1, 2, 4, 6, 7]).double()).tolist()
      [0.0, 0.5, 1.0, 0.75, 0.5, 0.5]

    Source: AlgoPerf's target-setting runs with SGD (its repository,
    algorithms/target_setting_algorithms).
    """

    warmup_steps: int
    decay_steps: int
    end_factor: float

    def __call__(self, step: torch.Tensor) -> torch.Tensor:
        progress = _progress(step, self.warmup_steps, self.decay_steps)
        decayed = 1 - (1 - self.end_factor) * progress
        return _after_warmup(step, self.warmup_steps, decayed)


def _progress(step: torch.Tensor, start: int, length: int) -> torch.Tensor:
    return ((step - start) / max(1, length)).clamp(max=1)


def _after_warmup(
    step: torch.Tensor, warmup_steps: int, factor: torch.Tensor
) -> torch.Tensor:
    return torch.where(step < warmup_steps, step / max(1, warmup_steps), factor)
