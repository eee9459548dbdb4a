"""Schedule-Free AdamW for PyTorch."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch


class AdamWScheduleFree(torch.optim.Optimizer):
    r"""AdamW without a learning-rate schedule: gradient at y, evaluation at x.

    In training mode the parameters hold y, in evaluation mode x; the state holds z
    and the second moment v, so memory is AdamW's. With γ_t = γ min(1, t / warmup),
    w_t = t^r (max γ_s)^p and c = w_t / Σ w_s, a step is

        v <- β2 v + (1 - β2) g²
        d  = g / (sqrt(v / (1 - β2^t)) + ε) + λ y
        y <- (1 - c) y + c z + γ_t (β1 (1 - c) - 1) d
        z <- z - γ_t d

    which is the x, y, z form with x = (y - (1 - β1) z) / β1 eliminated.

    Args:
      params: parameters or parameter groups; real floating point, dense gradients.
      lr: γ, at least 0; it is held constant after warmup.
      betas: β1 in (0, 1], the interpolation between z (0) and x (1); β2 in [0, 1).
      eps: ε, at least 0, added to the root.
      weight_decay: λ, at least 0, decoupled, taken at y.
      warmup_steps: steps of linear warmup, 0 for none.
      r: power of t in the averaging weights.
      weight_lr_power: power p of the largest rate in the averaging weights.
      foreach: one kernel launch over all tensors of a group (None or True) or a loop
        over the tensors (False).
      maximize: ascend instead of descend.

    Raises:
      ValueError: for a value outside its range.
      RuntimeError: if `step` is called in evaluation mode, or on a sparse gradient.

    Example:
      >>> model = torch.nn.Linear(2, 1)
      >>> optimizer = AdamWScheduleFree(model.parameters(), lr=0.0025)
      >>> model(torch.ones(4, 2)).sum().backward()
      >>> optimizer.step()
      >>> optimizer.eval()  # the model now holds x: evaluate, save
      >>> optimizer.train()  # back to y

    Source: Defazio et al., arXiv 2405.15682, Algorithm 1.
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
        foreach: bool | None = None,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "warmup_steps": warmup_steps,
            "r": r,
            "weight_lr_power": weight_lr_power,
            "foreach": foreach,
            "maximize": maximize,
            # What a group carries from step to step, so that state_dict has it.
            "train_mode": True,
            "t": 0,
            "lr_max": 0.0,
            "weight_sum": 0.0,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        try:
            _check_group(self.param_groups[-1])
        except ValueError:
            self.param_groups.pop()
            raise

    def train(self) -> None:
        """Sets the parameters to y, for training. Does nothing in training mode."""
        self._switch(train_mode=True)

    def eval(self) -> None:
        """Sets the parameters to x, to evaluate or save. Does nothing at x."""
        self._switch(train_mode=False)

    @torch.no_grad()
    def _switch(self, train_mode: bool) -> None:
        for group in self.param_groups:
            if group["train_mode"] == train_mode:
                continue
            beta1 = group["betas"][0]
            # y = (1 - β1) z + β1 x, and back.
            weight = 1 - beta1 if train_mode else 1 - 1 / beta1
            params = [p for p in group["params"] if "z" in self.state[p]]
            if params:
                zs = [self.state[p]["z"] for p in params]
                torch._foreach_lerp_(params, zs, weight)
            group["train_mode"] = train_mode

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step from the gradients in `p.grad`, which stay as they are.

        Args:
          closure: recomputes the loss and its gradients at y, and returns the loss.

        Raises:
          RuntimeError: in evaluation mode, or on a sparse gradient.
        """
        if not all(group["train_mode"] for group in self.param_groups):
            raise RuntimeError(
                "step() was called in evaluation mode, where the parameters hold x "
                "and not y; call optimizer.train() first."
            )
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        params = [p for p in group["params"] if p.grad is not None]
        if any(p.grad.is_sparse for p in params):
            raise RuntimeError("AdamWScheduleFree does not take sparse gradients.")
        for p in params:
            if "z" not in self.state[p]:
                self.state[p]["z"] = p.clone(memory_format=torch.preserve_format)
                self.state[p]["exp_avg_sq"] = torch.zeros_like(
                    p, memory_format=torch.preserve_format
                )
        lr, ckp1 = _advance(group)
        zs = [self.state[p]["z"] for p in params]
        vs = [self.state[p]["exp_avg_sq"] for p in params]
        grads = [p.grad for p in params]
        if group["maximize"]:
            grads = torch._foreach_neg(grads) if grads else grads
        if group["foreach"] is False:
            for p, z, v, g in zip(params, zs, vs, grads, strict=True):
                _update([p], [z], [v], [g], group, lr, ckp1)
        elif params:
            _update(params, zs, vs, grads, group, lr, ckp1)


def _advance(group: dict[str, Any]) -> tuple[float, float]:
    """Counts a step in the group; returns its rate γ_t and averaging weight c."""
    group["t"] = t = group["t"] + 1
    lr, warmup_steps = float(group["lr"]), group["warmup_steps"]
    if warmup_steps:
        lr *= min(1.0, t / warmup_steps)
    group["lr_max"] = max(group["lr_max"], lr)
    weight = t ** group["r"] * group["lr_max"] ** group["weight_lr_power"]
    group["weight_sum"] += weight
    return lr, weight / group["weight_sum"] if group["weight_sum"] > 0 else 0.0


def _update(ys, zs, vs, grads, group: dict[str, Any], lr: float, ckp1: float) -> None:
    """The step of the class docstring on lists of tensors; one temporary list, d."""
    beta1, beta2 = group["betas"]
    torch._foreach_mul_(vs, beta2)
    torch._foreach_addcmul_(vs, grads, grads, 1 - beta2)
    d = torch._foreach_sqrt(vs)
    torch._foreach_div_(d, math.sqrt(1 - beta2 ** group["t"]))
    torch._foreach_add_(d, group["eps"])
    torch._foreach_reciprocal_(d)
    torch._foreach_mul_(d, grads)
    if group["weight_decay"]:
        torch._foreach_add_(d, ys, alpha=group["weight_decay"])
    torch._foreach_lerp_(ys, zs, ckp1)
    torch._foreach_add_(ys, d, alpha=lr * (beta1 * (1 - ckp1) - 1))
    torch._foreach_add_(zs, d, alpha=-lr)


def _check_group(group: dict[str, Any]) -> None:
    """Raises a ValueError that names the first value outside its range."""
    beta1, beta2 = group["betas"]
    ranges = [
        ("lr", group["lr"], 0 <= float(group["lr"]) < math.inf, "at least 0"),
        ("betas[0]", beta1, 0 < beta1 <= 1, "in (0, 1]"),
        ("betas[1]", beta2, 0 <= beta2 < 1, "in [0, 1)"),
    ]
    for name in ("eps", "weight_decay", "warmup_steps", "r", "weight_lr_power"):
        value = group[name]
        ranges.append((name, value, 0 <= value < math.inf, "at least 0"))
    for name, value, valid, choices in ranges:
        if not valid:
            raise ValueError(f"{name} must be {choices}, got {value!r}.")
    for p in group["params"]:
        if not torch.is_floating_point(p):
            raise ValueError(
                f"parameters must be real floating point tensors, got {p.dtype}."
            )
