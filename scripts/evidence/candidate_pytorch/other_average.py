"""Schedule-Free that is evaluated at an average of another window than x has."""

import torch

from scripts.evidence.candidate_pytorch.around import Around


class OtherAverage(Around):
    """Keeps another average of z than x beside a Schedule-Free optimizer.

    Args:
      optimizer: one of `optim_torch.schedule_free`.
      share: the average is over about the last 1 / share of the steps.
      warmup_steps: before the average begins.
    """

    def __init__(self, optimizer, share: float, warmup_steps: int):
        super().__init__(optimizer)
        self._share, self._warmup = share, warmup_steps
        self._averages = [p.detach().clone() for p in self.parameters()]
        self._steps = 0
        self._xs = None  # where the parameters hold the average

    @torch.no_grad()
    def step(self):
        super().step()
        self._steps += 1
        zs = [self.z_of(p) for p in self.parameters()]
        weight = min(1.0, self._share / max(1, self._steps - self._warmup))
        torch._foreach_lerp_(self._averages, zs, weight)

    @torch.no_grad()
    def eval(self):
        super().eval()
        if self._xs is None:
            self._xs = [p.detach().clone() for p in self.parameters()]
            torch._foreach_copy_(self.parameters(), self._averages)

    @torch.no_grad()
    def train(self):
        if self._xs is not None:
            torch._foreach_copy_(self.parameters(), self._xs)
            self._xs = None
        super().train()
