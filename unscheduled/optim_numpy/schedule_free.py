"""Schedule-Free over any base step, the specification of the torch and JAX twins.

Defazio et al., "The Road Less Scheduled", arXiv 2405.15682: equations (3) to (5) with
the weights of Algorithm 1, over a base step that is a function of the gradient: SGD,
AdamW or RAdam. Steps count from t = 1; arrays are float64. A complex parameter is the
pair of its real and imaginary parts, as in torch.optim: pass the two.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from unscheduled.optim_numpy.radam import rectification

Arrays = list[np.ndarray]


class BaseStep(NamedTuple):
    """factor: what the base step multiplies the rate by (r_t for RAdam, else 1);
    directions: what is subtracted from z, times the rate; v: the second moments.
    """

    factor: float
    directions: Arrays
    v: Arrays


Base = Callable[[Arrays, Arrays, int], BaseStep]


class ScheduleFreeState(NamedTuple):
    """x: the average, where the model is evaluated; z: the base sequence; v: the second
    moments (one array a parameter); t: steps done; lr_max: the largest rate so far;
    weight_sum: the sum of the averaging weights so far.
    """

    x: Arrays
    z: Arrays
    v: Arrays
    t: int = 0
    lr_max: float = 0.0
    weight_sum: float = 0.0


def schedule_free_init(params: Arrays) -> ScheduleFreeState:
    """x_1 = z_1 = the initial parameters, v_0 = 0."""
    x = [np.array(p, np.float64) for p in params]
    return ScheduleFreeState(x, [p.copy() for p in x], [0 * p for p in x])


def schedule_free_y(state: ScheduleFreeState, beta1: float) -> Arrays:
    """y_t = (1 - β) z_t + β x_t, where the gradient is taken (equation 3).

    β = 0 is Polyak-Ruppert averaging (gradient at z), β = 1 primal averaging (at x).
    """
    pairs = zip(state.z, state.x, strict=True)
    return [(1 - beta1) * z + beta1 * x for z, x in pairs]


def schedule_free_step(
    state: ScheduleFreeState,
    grads: Arrays,
    base: Base,
    *,
    lr: float,
    beta1: float = 0.9,
    weight_decay: float = 0.0,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    decoupling_c: float | None = None,
) -> ScheduleFreeState:
    """One step from gradients taken at y_t.

    γ_t = γ min(1, t / W) factor_t                        (warmup and base step)
    z_{t+1} = z_t - γ_t (d_t + λ y_t)                     (equation 4, decay at y)
    w_t = t^r (max_{s<=t} γ_s)^p,  c_{t+1} = w_t / Σ_{s<=t} w_s
    x_{t+1} = (1 - c_{t+1}) x_t + c_{t+1} z_{t+1}         (equation 5)

    While every rate so far is zero the weights are too; c is then 0: x stays.

    `decoupling_c` is the C of the refined averaging of Song et al., arXiv 2507.09846:
    c_{t+1} <- min(1, (1 - β) C c_{t+1}), an averaging window that β has no part in;
    C = 1 / (1 - β), and None, are Algorithm 1.

    Example:
      >>> state = schedule_free_init([np.array([1.0])])
      >>> state = schedule_free_step(state, [np.array([2.0])], sgd(), lr=0.1)
      >>> state.x[0].round(6)
      array([0.8])
    """
    t = state.t + 1
    step = base(state.v, grads, t)
    gamma = lr * (min(1.0, t / warmup_steps) if warmup_steps else 1.0) * step.factor
    lr_max = max(state.lr_max, gamma)
    weight = t**r * lr_max**weight_lr_power
    weight_sum = state.weight_sum + weight
    c = weight / weight_sum if weight_sum > 0 else 0.0
    if decoupling_c is not None:
        c = min(1.0, (1 - beta1) * decoupling_c * c)

    ys = schedule_free_y(state, beta1)
    xs, zs = [], []
    for x, y, z, d in zip(state.x, ys, state.z, step.directions, strict=True):
        z = z - gamma * (d + weight_decay * y)
        xs.append((1 - c) * x + c * z)
        zs.append(z)
    return ScheduleFreeState(xs, zs, step.v, t, lr_max, weight_sum)


def sgd() -> Base:
    """d = g."""
    return lambda v, grads, t: BaseStep(1.0, grads, v)


def adamw(beta2: float = 0.999, eps: float = 1e-8) -> Base:
    """v_t = β2 v_{t-1} + (1 - β2) g²,  d = g / (sqrt(v_t / (1 - β2^t)) + ε)."""

    def step(v: Arrays, grads: Arrays, t: int) -> BaseStep:
        v = second_moment(v, grads, beta2)
        return BaseStep(1.0, _normalized(grads, v, beta2, eps, t), v)

    return step


def radam(
    beta2: float = 0.999,
    eps: float = 1e-8,
    threshold: float = 4.0,
    silent_sgd_phase: bool = True,
) -> Base:
    """AdamW's d with the rate times r_t, once ρ_t is over the threshold.

    Below it γ_t = 0 (silent) or d is the raw gradient with factor 1.
    """

    def step(v: Arrays, grads: Arrays, t: int) -> BaseStep:
        v = second_moment(v, grads, beta2)
        rect = rectification(t, beta2, threshold)
        if rect is None:
            return BaseStep(float(not silent_sgd_phase), grads, v)
        return BaseStep(rect, _normalized(grads, v, beta2, eps, t), v)

    return step


def second_moment(v: Arrays, grads: Arrays, beta2: float) -> Arrays:
    """v_t = β2 v_{t-1} + (1 - β2) g²."""
    return [beta2 * v + (1 - beta2) * g**2 for v, g in zip(v, grads, strict=True)]


def _normalized(grads: Arrays, v: Arrays, beta2: float, eps: float, t: int) -> Arrays:
    pairs = zip(grads, v, strict=True)
    return [g / (np.sqrt(v / (1 - beta2**t)) + eps) for g, v in pairs]
