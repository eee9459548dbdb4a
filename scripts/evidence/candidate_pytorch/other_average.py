"""Schedule-Free that is evaluated at an average of another window than x has."""

import torch


class OtherAverage:
    """Keeps another average of z than x beside a Schedule-Free optimizer.

    Args:
      optimizer: one of `optim_torch.schedule_free`.
      share: the average is over about the last 1 / share of the steps.
      warmup_steps: before the average begins.
    """

    can_skip = True

    def __init__(self, optimizer, share: float, warmup_steps: int):
        self._inner, self._share, self._warmup = optimizer, share, warmup_steps
        self._parameters = [p for g in optimizer.param_groups for p in g["params"]]
        self._averages = [p.detach().clone() for p in self._parameters]
        self._steps = 0
        self._xs = None  # where the parameters hold the average

    @property
    def found_inf(self):
        return self._inner.found_inf

    @found_inf.setter
    def found_inf(self, value):
        self._inner.found_inf = value

    @torch.no_grad()
    def step(self):
        self._inner.step()
        self._steps += 1
        zs = [self._inner.state[p]["z"] for p in self._parameters]
        weight = min(1.0, self._share / max(1, self._steps - self._warmup))
        torch._foreach_lerp_(self._averages, zs, weight)

    @torch.no_grad()
    def eval(self):
        self._inner.eval()
        if self._xs is None:
            self._xs = [p.detach().clone() for p in self._parameters]
            torch._foreach_copy_(self._parameters, self._averages)

    @torch.no_grad()
    def train(self):
        if self._xs is not None:
            torch._foreach_copy_(self._parameters, self._xs)
            self._xs = None
        self._inner.train()
