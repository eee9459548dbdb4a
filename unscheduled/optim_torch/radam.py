"""RAdam for PyTorch."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from . import fused as fused_kernels
from .base import (
    CheckedOptimizer,
    Moments,
    Tensors,
    buckets,
    cache_sized,
    denominators,
    gradient_parts,
    params_with_gradients,
    parts,
    run_closure,
    state_like,
    untraced,
    update_second_moment,
)
from .rectification import rectification


class RAdam(CheckedOptimizer):
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
      fused: one pass over the memory, compiled by torch.compile at the first
        rectified step; without a working compiler it warns and does as foreach.
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
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "threshold": threshold,
            "silent_sgd_phase": silent_sgd_phase,
            "foreach": foreach,
            "fused": fused,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step from the gradients in `p.grad`, which stay as they are.

        Args:
          closure: recomputes the loss and its gradients, and returns the loss.

        Raises:
          RuntimeError: on a sparse gradient.
        """
        loss = run_closure(closure)
        for arguments in self._advance(torch.compiler.is_compiling()):
            fused_kernels.radam_kernel(*arguments)
        return loss

    @untraced
    def _advance(self, traced: bool) -> list[tuple]:
        """Takes the step, or leaves it to the kernel that torch.compile traces.

        Returns what the kernel takes, where it is traced.
        """
        left = []
        for group in self.param_groups:
            params = params_with_gradients(group, type(self).__name__)
            for p in params:
                if "step" not in self.state[p]:
                    self._initialize(p)
            for bucket in buckets(group, params, lambda p: self.state[p]["step"]):
                left += self._step_bucket(group, bucket, traced)
        return left

    def _state_names(self, group: dict[str, Any], state: dict[str, Any]) -> set[str]:
        return {"step", "exp_avg", "exp_avg_sq"}

    def _initialize(self, p: torch.Tensor) -> None:
        state = self.state[p]
        state["step"] = 0
        state["exp_avg"] = torch.zeros_like(state_like(p))
        state["exp_avg_sq"] = torch.zeros_like(state["exp_avg"])

    def _step_bucket(
        self, group: dict[str, Any], params: Tensors, traced: bool
    ) -> list[tuple]:
        states = [self.state[p] for p in params]
        t = states[0]["step"] + 1
        for state in states:
            state["step"] = t
        beta1, beta2 = group["betas"]
        rect = rectification(t, beta2, group["threshold"])
        rate = float(group["lr"])
        step = fused_kernels.MomentumStep(
            beta1=beta1,
            decay=1 - rate * group["weight_decay"],
            scale=-rate * (rect or 1.0) / (1 - beta1**t),
            sign=-1.0 if group["maximize"] else 1.0,
        )
        if rect is None and group["silent_sgd_phase"]:
            step = step._replace(decay=1.0, scale=0.0)
        moments = Moments(beta2, group["eps"], math.sqrt(1 - beta2**t))
        if traced:
            scalars = fused_kernels.radam_scalars(step, moments, rect is not None)
            ms, vs = (
                parts([s[name] for s in states]) for name in ("exp_avg", "exp_avg_sq")
            )
            packed = fused_kernels.pack(scalars, ms[0])
            return [(parts(params), ms, vs, gradient_parts(params), packed)]
        if group["fused"] and rect is not None:
            params = fused_kernels.radam(
                params, self.state, step, moments, self._vectors
            )
        for chunk in cache_sized(params):
            states = [self.state[p] for p in chunk]
            _update(chunk, states, step, moments, adaptive=rect is not None)
        return []


def _update(
    params: Tensors,
    states: list[dict],
    step: "fused_kernels.MomentumStep",
    moments: Moments,
    adaptive: bool,
) -> None:
    """The step of the class docstring on lists of tensors; one temporary list."""
    params, grads = parts(params), gradient_parts(params)
    ms = parts([s["exp_avg"] for s in states])
    vs = parts([s["exp_avg_sq"] for s in states])
    torch._foreach_mul_(ms, step.beta1)
    torch._foreach_add_(ms, grads, alpha=step.sign * (1 - step.beta1))
    update_second_moment(vs, grads, moments.beta2)
    if step.decay != 1:
        torch._foreach_mul_(params, step.decay)
    if adaptive:
        torch._foreach_addcdiv_(
            params, ms, denominators(vs, moments), value=step.scale * moments.root
        )
    elif step.scale:
        torch._foreach_add_(params, ms, alpha=step.scale)
