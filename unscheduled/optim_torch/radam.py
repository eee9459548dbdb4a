"""RAdam for PyTorch."""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch

from . import arithmetic
from .arithmetic import MomentumScalars, Scalar, normalization, where
from .base import state_like
from .stepping import SteppingOptimizer


def rectification(t: int, beta2: float, threshold: float = 4.0) -> float | None:
    """r_t, or None where ρ_t is not over the threshold.

    ρ_∞ = 2 / (1 - β2) - 1,  ρ_t = ρ_∞ - 2 t β2^t / (1 - β2^t)
    r_t = sqrt((ρ_t - 4)(ρ_t - 2) ρ_∞ / ((ρ_∞ - 4)(ρ_∞ - 2) ρ_t))

    Args:
      t: the step, from 1.
      beta2: β2 in [0, 1).
      threshold: at least 4.

    Example:
      >>> rectification(4, 0.999) is None
      True
      >>> round(rectification(5, 0.999), 7)
      0.0173115

    Source: Liu et al., arXiv 1908.03265, Algorithm 2; `optim_numpy.radam` says why
    the threshold is 4.
    """
    rect, is_rectified = rectify(t, beta2, threshold)
    return rect if is_rectified else None


def rectify(t: Any, beta2: float, threshold: float) -> tuple[Any, Any]:
    """(r_t, whether ρ_t is over the threshold), of a number or of a tensor t."""
    power = beta2**t
    limit = 2 / (1 - beta2) - 1
    rho = limit - 2 * t * power / (1 - power)
    is_rectified = rho > threshold
    if is_rectified is False:
        return 1.0, False
    numerator = (rho - 4) * (rho - 2) * limit
    square = numerator / ((limit - 4) * (limit - 2) * rho)
    return where(is_rectified, square, 1.0) ** 0.5, is_rectified


class AdamOptimizer(SteppingOptimizer):
    """Adam with decoupled weight decay λ, over the direction that a subclass has.

    m <- β1 m + (1 - β1) g,  m̂ = m / (1 - β1^t)
    v <- β2 v + (1 - β2) g²,  v̂ = v / (1 - β2^t)
    """

    _update = staticmethod(arithmetic.momentum)
    _tensors: ClassVar = ("exp_avg", "exp_avg_sq")
    _counters = ("step",)

    def _state_names(self, group: dict[str, Any], state: dict[str, Any]) -> set[str]:
        return {"step", "exp_avg", "exp_avg_sq"}

    def _initialize(self, p: torch.Tensor, group: dict[str, Any]) -> dict[str, Any]:
        average = torch.zeros_like(state_like(p))
        return {"step": 0, "exp_avg": average, "exp_avg_sq": average.clone()}

    def _direction(self, group: dict[str, Any], t: Any) -> tuple[Any, Any, Any]:
        """The factors of m and g, and whether to divide by sqrt(v̂) + ε."""
        raise NotImplementedError

    def _scalars(
        self, group: dict[str, Any], state: dict[str, Any], taken: Scalar
    ) -> tuple[dict[str, Scalar], MomentumScalars]:
        beta1, beta2 = group["betas"]
        t, rate = state["step"] + 1, state["lr"] * taken
        of_m, of_g, divide = self._direction(group, t)
        divide, eps, factor = normalization(beta2, group["eps"], t, divide)
        sign = -1.0 if group["maximize"] else 1.0
        decay = 1 - rate * group["weight_decay"]
        if group.get("silent_sgd_phase"):
            decay = where(divide, decay, 1.0)
            factor = where(divide, factor, 0.0)
        scalars = MomentumScalars(
            beta1=beta1**taken,
            one_minus_beta1=sign * (1 - beta1),
            beta2=beta2**taken,
            one_minus_beta2=1 - beta2,
            divide=divide,
            eps=eps,
            decay=decay,
            scale=-rate * of_m * factor,
            gradient_scale=-rate * sign * of_g * factor if of_g is not None else 0.0,
        )
        return {"step": state["step"] + taken}, scalars


class RAdam(AdamOptimizer):
    r"""Adam whose adaptive rate has its variance rectified, so it needs no warmup.

        m <- β1 m + (1 - β1) g
        v <- β2 v + (1 - β2) g²
        d  = r_t m̂ / (sqrt(v̂) + ε) where ρ_t > threshold, else m̂
        θ <- θ - γ (d + λ θ)

    with m̂ = m / (1 - β1^t), v̂ = v / (1 - β2^t), and r_t from `rectification`.
    torch.optim.RAdam differs in the threshold (5), in the place of ε (at sqrt(v), not
    sqrt(v̂)) and in its coupled weight decay; `optim_numpy.radam` argues for ours.
    State is float32 where parameters are bfloat16 or float16.

    Args:
      params: parameters or parameter groups; floating point or complex (a complex
        parameter is the pair of its real and imaginary parts).
      lr: γ, at least 0.
      betas: β1 and β2, both in [0, 1).
      eps: ε, at least 0, added to the root.
      weight_decay: λ, at least 0, decoupled.
      threshold: of ρ_t, at least 4; 4 is the paper's.
      silent_sgd_phase: nothing moves below the threshold.
      foreach: one kernel launch over all tensors of a group (None or True) or a loop
        over the tensors (False).
      fused: on a CPU one pass over the memory, compiled by torch.compile at the first
        rectified step; without a working compiler it warns and does as foreach. On
        another device it is foreach, which is quicker there.
      maximize: ascend instead of descend.

    Raises:
      ValueError: for a value outside its range.
      RuntimeError: if `step` meets a sparse gradient.

    Example:
      >>> model = torch.nn.Linear(2, 1)
      >>> optimizer = RAdam(model.parameters(), lr=0.001, weight_decay=0.01)
      >>> model(torch.ones(4, 2)).sum().backward()
      >>> optimizer.step()

    Source: Liu et al., arXiv 1908.03265, Algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        threshold: float = 4.0,
        silent_sgd_phase: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        maximize: bool = False,
    ):
        super().__init__(params, locals())

    def _direction(self, group: dict[str, Any], t: Any) -> tuple[Any, Any, Any]:
        rect, is_rectified = rectify(t, group["betas"][1], group["threshold"])
        return rect / (1 - group["betas"][0] ** t), None, is_rectified
