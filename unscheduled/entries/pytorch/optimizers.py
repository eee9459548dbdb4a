"""Optimizers of torch's in the form that can skip a step on the device."""

from collections.abc import Iterable
from typing import Any

import torch


def momentum_sgd(params: Iterable[torch.Tensor], **options: Any) -> torch.optim.SGD:
    """torch's fused SGD with momentum.

    Its buffers begin as zeros, which gives the same first step; left to begin with the
    first gradient they would hold garbage where that step is skipped.
    """
    optimizer = torch.optim.SGD(params, fused=True, **options)
    for group in optimizer.param_groups:
        for p in group["params"]:
            optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
    return optimizer
