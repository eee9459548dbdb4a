"""Schedule-Free AdamW for JAX."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class ScheduleFreeState(NamedTuple):
    """State of Schedule-Free AdamW; z and nu have the structure of the parameters.

    count: steps done (int32); lr_max: largest rate so far; weight_sum: sum of the
    averaging weights; b1: β1, so that x can be had from the state and y alone.
    """

    count: jax.Array
    lr_max: jax.Array
    weight_sum: jax.Array
    b1: jax.Array
    z: Any
    nu: Any


def schedule_free_adamw(
    learning_rate: float | Callable[[jax.Array], Any] = 0.0025,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    *,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
) -> optax.GradientTransformation:
    r"""AdamW without a learning-rate schedule: gradient at y, evaluation at x.

    The parameters passed to `update` are y, and `optax.apply_updates` gives the next
    y; `schedule_free_eval_params` gives x. With γ_t = γ min(1, t / warmup),
    w_t = t^r (max γ_s)^p and c = w_t / Σ w_s, a step is

        v <- β2 v + (1 - β2) g²
        d  = g / (sqrt(v / (1 - β2^t)) + ε) + λ y
        z <- z - γ_t d
        y <- y + c (z - y) + γ_t (c + β1 (1 - c) - 1) d        (z already new)

    which is the x, y, z form with x = (y - (1 - β1) z) / β1 eliminated.

    Args:
      learning_rate: γ, at least 0, or a function from the count of steps done to γ.
      b1: β1 in (0, 1], the interpolation between z (0) and x (1).
      b2: β2 in [0, 1).
      eps: ε, at least 0, added to the root.
      weight_decay: λ, at least 0, decoupled, taken at y.
      warmup_steps: steps of linear warmup, 0 for none.
      r: power of t in the averaging weights.
      weight_lr_power: power p of the largest rate in the averaging weights.

    Returns:
      A `GradientTransformation` whose `update` needs `params`.

    Raises:
      ValueError: for a value outside its range, or where `params` is None.

    Example:
      >>> optimizer = schedule_free_adamw(0.1)
      >>> params = {"w": jnp.ones(2)}
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update({"w": jnp.ones(2)}, state, params)
      >>> params = optax.apply_updates(params, updates)
      >>> print(schedule_free_eval_params(state, params)["w"].round(4))
      [0.9 0.9]

    Source: Defazio et al., arXiv 2405.15682, Algorithm 1.
    """
    _check(learning_rate, b1, b2, eps, weight_decay, warmup_steps, r, weight_lr_power)
    log_b2 = math.log(b2) if b2 > 0 else -math.inf

    def init(params):
        return ScheduleFreeState(
            count=jnp.zeros((), jnp.int32),
            lr_max=jnp.zeros(()),
            weight_sum=jnp.zeros(()),
            b1=jnp.asarray(b1, _scalar_dtype()),
            z=jax.tree.map(jnp.array, params),
            nu=jax.tree.map(jnp.zeros_like, params),
        )

    def update(updates, state, params=None):
        if params is None:
            raise ValueError("schedule_free_adamw needs params (y) in update().")
        count = state.count + 1
        t = count.astype(_scalar_dtype())
        lr = learning_rate(state.count) if callable(learning_rate) else learning_rate
        lr = jnp.asarray(lr, _scalar_dtype())
        if warmup_steps:
            lr = lr * jnp.minimum(1.0, t / warmup_steps)
        lr_max = jnp.maximum(state.lr_max, lr)
        weight = t**r * lr_max**weight_lr_power
        weight_sum = state.weight_sum + weight
        # While every rate so far is 0 the weights are too, and x stays.
        c = weight / jnp.where(weight_sum > 0, weight_sum, 1.0)
        # 1 - β2^t without cancellation, which float32 would feel in the first steps.
        bias_correction2 = -jnp.expm1(t * log_b2)

        def direction(g, v, y):
            return g / (jnp.sqrt(v / bias_correction2) + eps) + weight_decay * y

        nu = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.nu, updates)
        d = jax.tree.map(direction, updates, nu, params)
        z = jax.tree.map(lambda z, d: (z - lr * d).astype(z.dtype), state.z, d)
        y_step = lr * (c + b1 * (1 - c) - 1)
        delta = jax.tree.map(
            lambda y, z, d: (c * (z - y) + y_step * d).astype(y.dtype), params, z, d
        )
        return delta, ScheduleFreeState(count, lr_max, weight_sum, state.b1, z, nu)

    return optax.GradientTransformation(init, update)


def schedule_free_eval_params(state: ScheduleFreeState, params: Any) -> Any:
    """x, where the model is evaluated: x = y + (1 - 1 / β1) (z - y).

    Args:
      state: the optimizer's state.
      params: y, the parameters being trained.
    """
    return _interpolate(params, state.z, 1 - 1 / state.b1)


def schedule_free_train_params(state: ScheduleFreeState, params: Any) -> Any:
    """y, where the gradient is taken, from x: y = x + (1 - β1) (z - x).

    Args:
      state: the optimizer's state.
      params: x, as `schedule_free_eval_params` gave it.
    """
    return _interpolate(params, state.z, 1 - state.b1)


def _interpolate(start, end, weight):
    return jax.tree.map(lambda a, b: (a + weight * (b - a)).astype(a.dtype), start, end)


def _scalar_dtype():
    """The dtype of rates and weights: float32, or float64 where x64 is enabled."""
    return jnp.zeros(()).dtype


def _check(learning_rate, b1, b2, eps, weight_decay, warmup_steps, r, power) -> None:
    ranges = [
        ("b1", b1, 0 < b1 <= 1, "in (0, 1]"),
        ("b2", b2, 0 <= b2 < 1, "in [0, 1)"),
    ]
    for name, value in (
        ("learning_rate", 0.0 if callable(learning_rate) else learning_rate),
        ("eps", eps),
        ("weight_decay", weight_decay),
        ("warmup_steps", warmup_steps),
        ("r", r),
        ("weight_lr_power", power),
    ):
        ranges.append((name, value, 0 <= value < float("inf"), "at least 0"))
    for name, value, valid, choices in ranges:
        if not valid:
            raise ValueError(f"{name} must be {choices}, got {value!r}.")
