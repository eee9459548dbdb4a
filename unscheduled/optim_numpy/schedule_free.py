"""Schedule-Free AdamW, the specification that the torch and JAX twins must match.

Defazio et al., "The Road Less Scheduled", arXiv 2405.15682: the x, y, z form of
equations (3) to (5), with the base step and the weights of Algorithm 1. Steps count
from t = 1, arrays are float64.
"""

from typing import NamedTuple

import numpy as np


class ScheduleFreeAdamWState(NamedTuple):
    """Everything that one parameter group carries from step to step.

    x: the average, where the model is evaluated; z: the base sequence; v: the second
    moment (lists of float64 arrays, one a parameter); t: steps done; lr_max: the
    largest rate so far; weight_sum: the sum of the averaging weights so far.
    """

    x: list[np.ndarray]
    z: list[np.ndarray]
    v: list[np.ndarray]
    t: int = 0
    lr_max: float = 0.0
    weight_sum: float = 0.0


def schedule_free_adamw_init(params: list[np.ndarray]) -> ScheduleFreeAdamWState:
    """x_1 = z_1 = the initial parameters, v_0 = 0."""
    x = [np.array(p, np.float64) for p in params]
    return ScheduleFreeAdamWState(x, [p.copy() for p in x], [0 * p for p in x])


def schedule_free_y(state: ScheduleFreeAdamWState, beta1: float) -> list[np.ndarray]:
    """y_t = (1 - β1) z_t + β1 x_t, where the gradient is taken (equation 3)."""
    pairs = zip(state.z, state.x, strict=True)
    return [(1 - beta1) * z + beta1 * x for z, x in pairs]


def schedule_free_adamw_step(
    state: ScheduleFreeAdamWState,
    grads: list[np.ndarray],
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
) -> ScheduleFreeAdamWState:
    """One step from gradients taken at y_t.

    γ_t = γ min(1, t / W)                                 (warmup)
    v_t = β2 v_{t-1} + (1 - β2) g²
    d   = g / (sqrt(v_t / (1 - β2^t)) + ε) + λ y_t        (decay at y)
    z_{t+1} = z_t - γ_t d                                 (equation 4)
    w_t = t^r (max_{s<=t} γ_s)^p,  c_{t+1} = w_t / Σ_{s<=t} w_s
    x_{t+1} = (1 - c_{t+1}) x_t + c_{t+1} z_{t+1}         (equation 5)

    While every rate so far is zero the weights are too; c is then 0: x stays.

    Example:
      >>> state = schedule_free_adamw_init([np.array([1.0])])
      >>> state = schedule_free_adamw_step(state, [np.array([2.0])], lr=0.1)
      >>> state.x[0].round(6)
      array([0.9])
    """
    t = state.t + 1
    gamma = lr * min(1.0, t / warmup_steps) if warmup_steps else lr
    lr_max = max(state.lr_max, gamma)
    weight = t**r * lr_max**weight_lr_power
    weight_sum = state.weight_sum + weight
    c = weight / weight_sum if weight_sum > 0 else 0.0

    y = schedule_free_y(state, beta1)
    xs, zs, vs = [], [], []
    for x, y_p, z, v, g in zip(state.x, y, state.z, state.v, grads, strict=True):
        v = beta2 * v + (1 - beta2) * g**2
        d = g / (np.sqrt(v / (1 - beta2**t)) + eps) + weight_decay * y_p
        z = z - gamma * d
        xs.append((1 - c) * x + c * z)
        zs.append(z)
        vs.append(v)
    return ScheduleFreeAdamWState(xs, zs, vs, t, lr_max, weight_sum)
