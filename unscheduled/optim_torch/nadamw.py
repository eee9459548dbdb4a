"""NAdamW for PyTorch, which can skip a step on the device, as torch's can't."""

from collections.abc import Iterable
from typing import Any

from .radam import AdamOptimizer


class NAdamW(AdamOptimizer):
    """Adam with Nesterov momentum and decoupled weight decay, β1 constant.

        d = (β1 m / (1 - β1^(t+1)) + (1 - β1) g / (1 - β1^t)) / (sqrt(v̂) + ε)
        θ <- θ - γ (d + λ θ)

    which is torch.optim.NAdam with decoupled_weight_decay and an endless
    momentum_decay.

    Source: Dozat, Incorporating Nesterov Momentum into Adam (2016).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ):
        super().__init__(params, locals())

    def _direction(self, group: dict[str, Any], t: Any) -> tuple[Any, Any, Any]:
        beta1 = group["betas"][0]
        return beta1 / (1 - beta1 ** (t + 1)), (1 - beta1) / (1 - beta1**t), True
