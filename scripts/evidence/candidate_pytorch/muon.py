"""Muon under Schedule-Free in the ways that the race tries."""

import torch

from scripts.evidence.candidate_pytorch.around import Around
from unscheduled.optim_torch.muon import orthogonalized
from unscheduled.optim_torch.schedule_free import AdamWScheduleFree, SGDScheduleFree


class MuonScheduleFree(Around):
    """Steps `matrices` along orthogonalised moving averages of their gradients.

    Args:
      matrices: parameters of two axes or more, the first against all others.
      others: parameters that AdamWScheduleFree steps, with these `options`.
      scale: of the rate, for matrices; None for AdamW's step from what is
        orthogonal, as from a gradient.
      momentum: of the moving average; 0 for the gradient itself.
    """

    def __init__(self, matrices, others, scale, momentum, **options):
        self._matrices, self._momentum = list(matrices), momentum
        self._averages = [torch.zeros_like(p) for p in self._matrices]
        if scale is None:
            super().__init__(AdamWScheduleFree([*matrices, *others], **options))
            return
        shared = {
            name: options[name] for name in options if name not in ("lr", "betas")
        }
        rate, beta1 = scale * options["lr"], options["betas"][0]
        super().__init__(
            SGDScheduleFree(self._matrices, lr=rate, momentum=beta1, **shared),
            AdamWScheduleFree(others, **options),
        )

    @torch.no_grad()
    def step(self):
        for p, average in zip(self._matrices, self._averages, strict=True):
            if p.grad is not None:
                average.lerp_(p.grad.nan_to_num(0, 0, 0), 1 - self._momentum)
                p.grad = orthogonal(average)
        super().step()


def orthogonal(gradient: torch.Tensor) -> torch.Tensor:
    """Muon's direction, the first axis against all others."""
    (direction,) = orthogonalized([gradient.flatten(1)])
    return direction.reshape(gradient.shape)
