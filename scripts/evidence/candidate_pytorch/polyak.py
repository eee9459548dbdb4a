"""ScheduleFree+'s rate for Schedule-Free (Defazio, arXiv 2605.19095)."""

import math

import torch

from scripts.evidence.candidate_pytorch.around import Around
from unscheduled.entries.pytorch.training import Trainer

_NORM_DECAY = 0.95  # of the average of gradient norms; the paper's is not known to us


class PolyakTrainer(Trainer):
    """Tells the optimizer the loss."""

    def _mean_loss(self, batch, logits):
        share, loss = super()._mean_loss(batch, logits)
        self._optimizer.loss = loss.item()
        return share, loss


class PolyakRate(Around):
    """Sets the rate of each step, with <., .> and the norm over all parameters:

        rate = factor max(0, f(y) + <g, z - y>) / (average of |g|_1 sqrt(π / 2))

    Args:
      optimizer: one of `optim_torch.schedule_free`.
      factor: 1 is the paper's.
      decay_rate: λ times the rate over this is the decay of a step, so that it goes
        with the square of the rate.
    """

    def __init__(self, optimizer, factor: float, decay_rate: float):
        super().__init__(optimizer)
        self._factor, self._decay_rate = factor, decay_rate
        self._decay = optimizer.param_groups[0]["weight_decay"]
        self._average = self._weight = 0.0
        self.loss = math.nan

    @torch.no_grad()
    def step(self):
        parameters = [p for p in self.parameters() if p.grad is not None]
        norm = sum(float(p.grad.abs().sum()) for p in parameters)
        if math.isfinite(self.loss + norm):
            self._set_rate(parameters, norm * math.sqrt(math.pi / 2))
        super().step()

    def _set_rate(self, parameters, norm):
        keep = _NORM_DECAY
        inner = 0.0
        if self._weight:  # else z is y
            products = (torch.sum(p.grad * (self.z_of(p) - p)) for p in parameters)
            inner = float(sum(products))
        self._average = keep * self._average + (1 - keep) * norm
        self._weight = keep * self._weight + 1 - keep
        progress = max(0.0, self.loss + inner)
        rate = self._factor * progress / (self._average / self._weight)
        for group in self.param_groups:
            group["lr"] = rate
            group["weight_decay"] = self._decay * rate / self._decay_rate
