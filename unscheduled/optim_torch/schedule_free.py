"""Schedule-Free SGD, AdamW and RAdam for PyTorch."""

from collections.abc import Iterable
from typing import Any

from .arithmetic import where
from .averaging import ScheduleFreeOptimizer
from .radam import rectify


class SGDScheduleFree(ScheduleFreeOptimizer):
    r"""SGD without a learning-rate schedule: gradient at y, evaluation at x.

    In training mode the parameters hold y, in evaluation mode x; the state holds z.
    With γ_t = γ min(1, t / warmup), w_t = t^r (max γ_s)^p, c = w_t / Σ w_s, a step is

        z <- z - γ_t (g + λ y)
        x <- (1 - c) x + c z
        y <- (1 - β) z + β x

    Args:
      momentum: β in [0, 1], the interpolation between z (0, Polyak-Ruppert averaging)
        and x (1, primal averaging).
      others: as `AdamWScheduleFree` has them.

    Raises:
      ValueError: for a value outside its range.
      RuntimeError: if `step` is called in evaluation mode, or on a sparse gradient.

    Example:
      >>> import torch
      >>> model = torch.nn.Linear(2, 1)
      >>> optimizer = SGDScheduleFree(model.parameters(), lr=0.5)
      >>> model(torch.ones(4, 2)).square().mean().backward()
      >>> optimizer.step()
      >>> optimizer.eval()  # the model now holds x: evaluate, save
      >>> optimizer.train()  # back to y

    Source: Defazio et al., arXiv 2405.15682, equations (3) to (5); C: Song et al.,
    arXiv 2507.09846.
    """

    _has_second_moment = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        decoupling_c: float | None = None,
        foreach: bool | None = None,
        maximize: bool = False,
    ):
        super().__init__(params, locals(), train_mode=True)

    def _base_step(self, group: dict[str, Any], t: Any) -> tuple[Any, Any]:
        return 1.0, False


class AdamWScheduleFree(ScheduleFreeOptimizer):
    r"""AdamW without a learning-rate schedule: gradient at y, evaluation at x.

    In training mode the parameters hold y, in evaluation mode x; the state holds z
    and the second moment v, so memory is AdamW's. With γ_t = γ min(1, t / warmup),
    w_t = t^r (max γ_s)^p and c = w_t / Σ w_s, a step is

        v <- β2 v + (1 - β2) g²
        d  = g / (sqrt(v / (1 - β2^t)) + ε) + λ y
        z <- z - γ_t d
        y <- (1 - c) y + c z + γ_t (c + β1 (1 - c) - 1) d       (z already new)

    which is the x, y, z form with x = (y - (1 - β1) z) / β1 eliminated. For β1 = 0,
    and for bfloat16 and float16 parameters, y and z do not determine x (well enough):
    then the state holds x too. State is float32 where parameters are less.

    Args:
      params: parameters or parameter groups; floating point or complex (a complex
        parameter is the pair of its real and imaginary parts).
      lr: γ, at least 0; it is held constant after warmup.
      betas: β1 in [0, 1], the interpolation between z (0, Polyak-Ruppert averaging)
        and x (1, primal averaging), not to become 0 later; β2 in [0, 1).
      eps: ε, at least 0, added to the root.
      weight_decay: λ, at least 0, decoupled, taken at y.
      warmup_steps: steps of linear warmup, 0 for none.
      r: power of t in the averaging weights.
      weight_lr_power: power p of the largest rate in the averaging weights.
      decoupling_c: C of the refined averaging, c <- min(1, (1 - β1) C c); None for
        C = 1 / (1 - β1), which is c itself.
      foreach: one kernel launch over all tensors of a group (None or True) or a loop
        over the tensors (False).
      fused: on a CPU one pass over the memory, compiled by torch.compile at the first
        step; without a working compiler it warns and does as foreach. On another
        device it is foreach, which is quicker there.
      maximize: ascend instead of descend.

    Raises:
      ValueError: for a value outside its range.
      RuntimeError: if `step` is called in evaluation mode, or on a sparse gradient.

    Example:
      >>> import torch
      >>> model = torch.nn.Linear(2, 1)
      >>> optimizer = AdamWScheduleFree(model.parameters(), lr=0.0025)
      >>> model(torch.ones(4, 2)).sum().backward()
      >>> optimizer.step()
      >>> optimizer.eval()  # the model now holds x: evaluate, save
      >>> optimizer.train()  # back to y

    Source: Defazio et al., arXiv 2405.15682, Algorithm 1; C: Song et al., arXiv
    2507.09846.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        decoupling_c: float | None = None,
        foreach: bool | None = None,
        fused: bool | None = None,
        maximize: bool = False,
    ):
        super().__init__(params, locals(), train_mode=True)


class RAdamScheduleFree(ScheduleFreeOptimizer):
    r"""RAdam without a schedule and without warmup: gradient at y, evaluation at x.

    `AdamWScheduleFree` with the rate γ_t = γ r_t, where r_t rectifies the variance of
    the adaptive rate and starts at 0 by itself (see `RAdam`), once ρ_t > threshold.
    Before that, the first 4 steps at β2 = 0.999, γ_t = 0 and only v is collected
    (silent), or the step is γ times the raw gradient.

    Args:
      threshold: of ρ_t, at least 4; 4 is the paper's.
      silent_sgd_phase: nothing moves below the threshold.
      fused: as `RAdam` has it.
      others: as `AdamWScheduleFree` has them.

    Raises:
      ValueError: for a value outside its range.
      RuntimeError: if `step` is called in evaluation mode, or on a sparse gradient.

    Example:
      >>> import torch
      >>> model = torch.nn.Linear(2, 1)
      >>> optimizer = RAdamScheduleFree(model.parameters(), lr=0.0025)
      >>> for _ in range(5):
      ...     optimizer.zero_grad()
      ...     model(torch.ones(4, 2)).square().mean().backward()
      ...     optimizer.step()
      >>> optimizer.eval()  # the model now holds x: evaluate, save
      >>> optimizer.train()  # back to y

    Source: Defazio et al., arXiv 2405.15682, Algorithm 1; Liu et al., arXiv
    1908.03265, Algorithm 2; C: Song et al., arXiv 2507.09846.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        threshold: float = 4.0,
        silent_sgd_phase: bool = True,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        decoupling_c: float | None = None,
        foreach: bool | None = None,
        fused: bool | None = None,
        maximize: bool = False,
    ):
        super().__init__(params, locals(), train_mode=True)

    def _base_step(self, group: dict[str, Any], t: Any) -> tuple[Any, Any]:
        rect, is_rectified = rectify(t, group["betas"][1], group["threshold"])
        before = 0.0 if group["silent_sgd_phase"] else 1.0
        return where(is_rectified, rect, before), is_rectified
