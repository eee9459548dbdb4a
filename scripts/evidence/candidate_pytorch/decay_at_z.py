"""Schedule-Free whose weights decay where z is, not where the gradient is taken."""

import torch

from scripts.evidence.candidate_pytorch.around import Around


class DecayAtZ(Around):
    """z loses `decay` times the rate of itself before each step, y its share of that.

    Args:
      optimizer: one of `optim_torch.schedule_free`, without decay of its own.
      decay: λ.
      warmup_steps: of the optimizer.
    """

    def __init__(self, optimizer, decay: float, warmup_steps: int):
        super().__init__(optimizer)
        self._decay, self._warmup, self._steps = decay, warmup_steps, 0

    @torch.no_grad()
    def step(self):
        self._steps += 1
        for group in self.param_groups if self._steps > 1 else ():  # z is there
            warm = min(1.0, self._steps / max(1, self._warmup))
            loss = warm * group["lr"] * self._decay
            if self.found_inf is not None:  # a step that is skipped
                loss = loss * (1 - self.found_inf)
            beta = group["betas"][0] if "betas" in group else group["momentum"]
            for p in group["params"]:
                z = self.z_of(p)
                p.sub_((1 - beta) * loss * z)
                z.mul_(1 - loss)
        super().step()
