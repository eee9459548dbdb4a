"""The x, y, z sequences of Schedule-Free: what its optimizers share."""

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from . import fused
from .base import (
    LOW_PRECISION,
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


class Averaging(NamedTuple):
    """The counters of a parameter: steps done, largest rate, sum of the weights.

    A parameter counts the steps in which it has a gradient, as if it were alone.
    beta1 is the β1 that its y was made with, which a scheduler may change.
    """

    beta1: float
    step: int = 0
    lr_max: float = 0.0
    weight_sum: float = 0.0

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Averaging":
        """The counters in the state of a parameter."""
        return cls._make(_counters(state))

    def named(self) -> dict[str, float]:
        """The counters as they are in the state of a parameter."""
        return dict(zip(COUNTERS, self, strict=True))

    def advance(
        self, rate: float, beta1: float, options: dict[str, Any]
    ) -> tuple["Averaging", float]:
        """The counters after a step at this rate, and its averaging weight c.

        w_t = t^r (max γ_s)^p and c = w_t / Σ w_s; c is 0 while all rates were 0.
        """
        step = self.step + 1
        lr_max = max(self.lr_max, rate)
        weight = step ** options["r"] * lr_max ** options["weight_lr_power"]
        weight_sum = self.weight_sum + weight
        c = weight / weight_sum if weight_sum > 0 else 0.0
        if options["decoupling_c"] is not None:
            c = min(1.0, (1 - beta1) * options["decoupling_c"] * c)
        return Averaging(beta1, step, lr_max, weight_sum), c


# Their names in the state, where a wrapped optimizer may have a "step" too.
COUNTERS = tuple(f"averaging_{name}" for name in Averaging._fields)
_counters = operator.itemgetter(*COUNTERS)


class Step(NamedTuple):
    """The scalars of a step: γ_t, c, λ, the sign of the gradient, β1 before and now."""

    rate: float
    c: float
    weight_decay: float
    sign: float
    beta1: float
    next_beta1: float

    def to_y(self) -> tuple[float, float]:
        """a and k of y <- (1 - a) y + a z + k d, with z already new.

        With β, β' for β1 before and now, before the step x = (y - (1 - β) z) / β and
        z = z' + γ d; in x' = (1 - c) x + c z' and y' = (1 - β') z' + β' x' they give
        1 - a = (1 - c) β' / β and k = -(1 - a) (1 - β) γ. For β' = β, a is c.
        """
        rest = (1 - self.c) * self.next_beta1 / self.beta1
        return 1 - rest, -rest * (1 - self.beta1) * self.rate


def beta1_of(group: dict[str, Any]) -> float:
    """β1, the interpolation between z (0) and x (1)."""
    return group["momentum"] if "momentum" in group else group["betas"][0]


class ScheduleFreeOptimizer(CheckedOptimizer):
    """The x, y, z sequences over a base step.

    In training mode the parameters hold y, in evaluation mode x. The state has z and,
    where y and z do not determine x (β1 = 0, where y is z) or not well enough
    (bfloat16 and float16 parameters), x too.
    """

    _beta1_kind = "interpolation"
    _has_second_moment = True

    def _base_step(self, group: dict[str, Any], t: int) -> tuple[float, bool]:
        """What the base step multiplies γ by, and whether it divides by sqrt(v)."""
        return 1.0, True

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
            params = group["params"]
            states = [self.state.get(p, {}) for p in params]
            switch(params, states, to_y=train_mode)
            group["train_mode"] = train_mode

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step from the gradients in `p.grad`, which stay as they are.

        Args:
          closure: recomputes the loss and its gradients at y, and returns the loss.

        Raises:
          RuntimeError: in evaluation mode, or on a sparse gradient.
        """
        require_training(self)
        loss = run_closure(closure)
        for arguments in self._advance(torch.compiler.is_compiling()):
            fused.schedule_free_kernel(*arguments)
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
                if "z" not in self.state[p]:
                    self._initialize(p, group)
            for bucket in buckets(group, params, self._place):
                left += self._step_bucket(group, bucket, traced)
        return left

    def _place(self, p: torch.Tensor) -> tuple:
        state = self.state[p]
        return Averaging.of(state), "x" in state

    def _state_names(self, group: dict[str, Any], state: dict[str, Any]) -> set[str]:
        names = sequence_names(beta1_of(group))
        return names | {"exp_avg_sq"} if self._has_second_moment else names

    def _initialize(self, p: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        start_sequences(state, p, beta1_of(group))
        if self._has_second_moment:
            state["exp_avg_sq"] = torch.zeros_like(state["z"])

    def _step_bucket(
        self, group: dict[str, Any], params: Tensors, traced: bool
    ) -> list[tuple]:
        states = [self.state[p] for p in params]
        before = Averaging.of(states[0])
        require_x(states[0], beta1_of(group))
        t = before.step + 1
        factor, adaptive = self._base_step(group, t)
        rate = float(group["lr"]) * factor
        if group.get("warmup_steps"):
            rate *= min(1.0, t / group["warmup_steps"])
        after, c = before.advance(rate, beta1_of(group), group)
        counters = after.named()
        for state in states:
            state.update(counters)
        step = Step(
            rate,
            c,
            group["weight_decay"],
            -1.0 if group["maximize"] else 1.0,
            before.beta1,
            after.beta1,
        )
        moments = None
        if self._has_second_moment:
            beta2 = group["betas"][1]
            moments = Moments(beta2, group["eps"], math.sqrt(1 - beta2**t))
        if traced:
            scalars = fused.schedule_free_scalars(
                step, moments, adaptive, "x" in states[0]
            )
            ys, zs = parts(params), parts([s["z"] for s in states])
            vs = parts([s["exp_avg_sq"] for s in states if moments])
            xs = parts([s["x"] for s in states if "x" in s])
            packed = fused.pack(scalars, zs[0])
            return [(ys, zs, vs, gradient_parts(params), packed, xs)]
        if group.get("fused") and moments and adaptive and "x" not in states[0]:
            params = fused.schedule_free(
                params, self.state, step, moments, self._vectors
            )
        for chunk in cache_sized(params):
            states = [self.state[p] for p in chunk]
            update(chunk, states, step, moments, adaptive)
        return []


@untraced
def require_training(optimizer: torch.optim.Optimizer) -> None:
    """Raises a RuntimeError if the parameters of a group hold x."""
    if not all(group["train_mode"] for group in optimizer.param_groups):
        raise RuntimeError(
            "step() was called in evaluation mode, where the parameters hold x "
            "and not y; call optimizer.train() first."
        )


def start_sequences(state: dict[str, Any], p: torch.Tensor, beta1: float) -> None:
    """x_1 = z_1 = p."""
    state["z"] = state_like(p)
    if beta1 == 0 or p.dtype in LOW_PRECISION:
        state["x"] = state_like(p)
    state.update(Averaging(beta1).named())


def sequence_names(beta1: float) -> set[str]:
    """What the state of every parameter has, made with this β1."""
    return {"z", *COUNTERS} | ({"x"} if beta1 == 0 else set())


def require_x(state: dict[str, Any], beta1: float) -> None:
    """Raises a ValueError if a step to y would lose x."""
    if beta1 == 0 and "x" not in state:
        raise ValueError("β1 must not become 0 after a step: x would be lost.")


def switch(params: Tensors, states: list[dict], to_y: bool) -> None:
    """Sets parameters to y = (1 - β1) z + β1 x (from x), or to x (from y)."""
    pairs: dict[float, list] = {}
    for p, state in zip(params, states, strict=True):
        if "z" not in state:
            continue
        beta1 = Averaging.of(state).beta1
        if "x" in state:
            set_from_x([p], [state], beta1 if to_y else 1.0)
        else:
            pairs.setdefault(beta1, []).append((p, state["z"]))
    for beta1, tensors in pairs.items():
        ys, zs = (parts(list(column)) for column in zip(*tensors, strict=True))
        torch._foreach_lerp_(ys, zs, 1 - beta1 if to_y else 1 - 1 / beta1)


def set_from_x(params: Tensors, states: list[dict], beta1: float) -> None:
    """Sets parameters to (1 - β1) z + β1 x, where the state has x."""
    zs, xs = [s["z"] for s in states], [s["x"] for s in states]
    # Not z + β1 (x - z), which for β1 = 1 is x to rounding only.
    ys = torch._foreach_lerp(parts(xs), parts(zs), 1 - beta1)
    torch._foreach_copy_(parts(params), list(ys))


def update(
    params: Tensors,
    states: list[dict],
    step: Step,
    moments: Moments | None,
    adaptive: bool,
) -> None:
    """The step of the class docstrings on lists of tensors; one temporary list."""
    ys, zs = parts(params), parts([s["z"] for s in states])
    grads = gradient_parts(params)
    scale, divisors = step.sign, None
    if moments is not None:
        vs = parts([s["exp_avg_sq"] for s in states])
        update_second_moment(vs, grads, moments.beta2)
        if adaptive:
            divisors = denominators(vs, moments)
            scale *= moments.root
    if step.rate == 0 and step.c == 0:  # so far x, y and z are the same
        return
    if step.weight_decay:
        torch._foreach_add_(zs, ys, alpha=-step.rate * step.weight_decay)
    _add_direction(zs, grads, divisors, -step.rate * scale)
    if "x" in states[0]:
        del divisors
        torch._foreach_lerp_(parts([s["x"] for s in states]), zs, step.c)
        set_from_x(params, states, step.next_beta1)
        return
    # d = ± direction + λ y.
    a, k = step.to_y()
    if step.weight_decay:
        torch._foreach_mul_(ys, 1 - a + k * step.weight_decay)
        torch._foreach_add_(ys, zs, alpha=a)
    else:
        torch._foreach_lerp_(ys, zs, a)
    _add_direction(ys, grads, divisors, k * scale)


def _add_direction(
    targets: Tensors, grads: Tensors, divisors: Tensors | None, scale: float
) -> None:
    """target <- target + scale g / divisor."""
    if divisors is None:
        torch._foreach_add_(targets, grads, alpha=scale)
    else:
        torch._foreach_addcdiv_(targets, grads, divisors, value=scale)
