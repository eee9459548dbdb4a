"""The x, y, z sequences of Schedule-Free: what its optimizers share."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from . import arithmetic
from .arithmetic import FOREACH, Scalar, ScheduleFreeScalars, normalization, where
from .base import LOW_PRECISION, parts, state_like, untraced
from .stepping import SteppingOptimizer

# What the state counts, under names that a wrapped optimizer has not, which may have a
# "step" too: steps done, largest rate, sum of the weights. And the β1 that y was made
# with, which a scheduler may change.
STEP, LR_MAX, WEIGHT_SUM, BETA1 = (
    f"averaging_{name}" for name in ("step", "lr_max", "weight_sum", "beta1")
)
COUNTERS = (STEP, LR_MAX, WEIGHT_SUM)


def advance(
    state: dict[str, Any],
    rate: Scalar,
    beta1: float,
    options: dict[str, Any],
    taken: Scalar = 1,
) -> tuple[dict[str, Any], Scalar]:
    """The counters after a step at this rate, and its averaging weight c.

    w_t = t^r (max γ_s)^p and c = w_t / Σ w_s; c is 0 while all rates were 0. A step
    that is not taken (0, at a rate of 0) has no weight.
    """
    step, largest = state[STEP] + taken, state[LR_MAX]
    largest = where(rate > largest, rate, largest)
    weight = step ** options["r"] * largest ** options["weight_lr_power"] * taken
    weight_sum = state[WEIGHT_SUM] + weight
    c = weight / where(weight_sum > 0, weight_sum, 1.0)
    if options["decoupling_c"] is not None:
        c = (1 - beta1) * options["decoupling_c"] * c
        c = where(c < 1, c, 1.0)
    counters = {STEP: step, LR_MAX: largest, WEIGHT_SUM: weight_sum, BETA1: beta1}
    return counters, c


def beta1_of(group: dict[str, Any]) -> float:
    """β1, the interpolation between z (0) and x (1)."""
    return group["momentum"] if "momentum" in group else group["betas"][0]


class ScheduleFreeOptimizer(SteppingOptimizer):
    """The x, y, z sequences over a base step.

    In training mode the parameters hold y, in evaluation mode x. The state has z and,
    where y and z do not determine x (β1 = 0, where y is z) or not well enough
    (bfloat16 and float16 parameters), x too.
    """

    _beta1_kind = "interpolation"
    _update = staticmethod(arithmetic.schedule_free)
    _tensors: ClassVar = ("z", "exp_avg_sq", "x")
    _counters = COUNTERS
    _fixed: ClassVar = (BETA1,)
    _has_second_moment = True

    def _base_step(self, group: dict[str, Any], t: Any) -> tuple[Any, Any]:
        """What the base step multiplies γ by, and whether it divides by sqrt(v)."""
        return 1.0, True

    def train(self) -> None:
        """Sets the parameters to y, for training. Does nothing in training mode."""
        switch_groups(self, train_mode=True)

    def eval(self) -> None:
        """Sets the parameters to x, to evaluate or save. Does nothing at x."""
        switch_groups(self, train_mode=False)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step from the gradients in `p.grad`, which stay as they are.

        Args:
          closure: recomputes the loss and its gradients at y, and returns the loss.

        Raises:
          RuntimeError: in evaluation mode, or on a sparse gradient.
        """
        require_training(self)
        return super().step(closure)

    def _state_names(self, group: dict[str, Any], state: dict[str, Any]) -> set[str]:
        names = sequence_names(beta1_of(group))
        return names | {"exp_avg_sq"} if self._has_second_moment else names

    def _initialize(self, p: torch.Tensor, group: dict[str, Any]) -> dict[str, Any]:
        state = start_sequences(p, beta1_of(group))
        if self._has_second_moment:
            state["exp_avg_sq"] = torch.zeros_like(state["z"])
        return state

    def _scalars(
        self, group: dict[str, Any], state: dict[str, Any], taken: Scalar
    ) -> tuple[dict[str, Any], ScheduleFreeScalars]:
        """Of y' from y and the new z, without x, with β, β' for β1 before and now.

        Before the step x = (y - (1 - β) z) / β and z = z' + γ d; in
        x' = (1 - c) x + c z' and y' = (1 - β') z' + β' x' they give
        y' = (1 - a) y + a z' + k d with 1 - a = (1 - c) β' / β and
        k = -(1 - a) (1 - β) γ. For β' = β, a is c.
        """
        beta1, next_beta1 = state[BETA1], beta1_of(group)
        require_x(state, next_beta1)
        t = state[STEP] + 1
        factor, divide = self._base_step(group, t)
        rate = state["lr"] * factor * taken
        if group.get("warmup_steps"):
            done = t / group["warmup_steps"]
            rate = rate * where(done < 1, done, 1.0)
        counters, c = advance(state, rate, next_beta1, group, taken)
        beta2, eps, scale = 1.0, 1.0, -1.0 if group["maximize"] else 1.0
        if "exp_avg_sq" in state:
            beta2 = group["betas"][1]
            divide, eps, root = normalization(beta2, group["eps"], t, divide)
            scale = scale * root
        decay, a, k = group["weight_decay"], c, 0.0
        if "x" not in state:
            rest = (1 - c) * next_beta1 / beta1
            a, k = 1 - rest, -rest * (1 - beta1) * rate
        scalars = ScheduleFreeScalars(
            beta2=beta2**taken,
            one_minus_beta2=1 - beta2,
            divide=divide,
            eps=eps,
            z_decay=-rate * decay if decay else 0.0,
            z_d=-rate * scale,
            y_y=1 - a + k * decay,
            a=a,
            y_d=k * scale,
            to_z=1 - next_beta1,
        )
        return counters, scalars


@untraced
def require_training(optimizer: torch.optim.Optimizer) -> None:
    """Raises a RuntimeError if the parameters of a group hold x."""
    if not all(group["train_mode"] for group in optimizer.param_groups):
        raise RuntimeError(
            "step() was called in evaluation mode, where the parameters hold x "
            "and not y; call optimizer.train() first."
        )


def start_sequences(p: torch.Tensor, beta1: float) -> dict[str, Any]:
    """The state at x_1 = z_1 = p."""
    state: dict[str, Any] = {"z": state_like(p), BETA1: beta1}
    state |= {STEP: 0, LR_MAX: 0.0, WEIGHT_SUM: 0.0}
    if beta1 == 0 or p.dtype in LOW_PRECISION:
        state["x"] = state_like(p)
    return state


def sequence_names(beta1: float) -> set[str]:
    """What the state of every parameter has, made with this β1."""
    return {"z", *COUNTERS, BETA1} | ({"x"} if beta1 == 0 else set())


def require_x(state: dict[str, Any], beta1: float) -> None:
    """Raises a ValueError if a step to y would lose x."""
    if beta1 == 0 and "x" not in state:
        raise ValueError("β1 must not become 0 after a step: x would be lost.")


@torch.no_grad()
def switch_groups(optimizer: torch.optim.Optimizer, train_mode: bool) -> None:
    """Sets parameters to y = (1 - β1) z + β1 x (from x), or to x (from y)."""
    for group in optimizer.param_groups:
        if group["train_mode"] == train_mode:
            continue
        group["train_mode"] = train_mode
        pairs: dict[float, list] = {}
        for p in group["params"]:
            state = optimizer.state.get(p, {})
            if "x" in state:
                set_from_x(p, state, state[BETA1] if train_mode else 1.0)
            elif "z" in state:
                pairs.setdefault(state[BETA1], []).append((p, state["z"]))
        for beta1, tensors in pairs.items():
            ys, zs = (parts(list(column)) for column in zip(*tensors, strict=True))
            FOREACH.lerp_(ys, zs, 1 - beta1 if train_mode else 1 - 1 / beta1)


def set_from_x(p: torch.Tensor, state: dict[str, Any], beta1: float) -> None:
    """Sets a parameter to (1 - β1) z + β1 x, where the state has x."""
    p, x, z = parts([p, state["x"], state["z"]])
    # Not z + β1 (x - z), which for β1 = 1 is x to rounding only.
    p.copy_(torch.lerp(x, z, 1 - beta1))
