"""Moving averages of gradients, and what is computed from their length."""

import bisect
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .trees import leafwise, scalar_dtype

_SMALLEST_BETA = 1e-30  # stands for 0, which has no logarithm


def bias_correction(t: jax.Array, beta: Any) -> jax.Array:
    """1 / (1 - β^t), by which a moving average that starts at 0 is multiplied.

    Without cancellation, which float32 would feel in the first steps.
    """
    return -1 / jnp.expm1(-t.astype(scalar_dtype()) * _decay_rate(beta))


def moment(
    average: optax.Params, grads: optax.Updates, beta: Any, power: int
) -> optax.Params:
    """β a + (1 - β) g^power, leaf by leaf."""
    return leafwise(
        lambda a, g, beta, rest: beta * a + rest * g**power,
        *(average, grads),
        beta=beta,
        rest=1 - beta,
    )


def normalized(g: jax.Array, v: jax.Array, correction: Any, eps: Any) -> jax.Array:
    """g / (sqrt(v̂) + ε), with v̂ the corrected v."""
    return g / (jnp.sqrt(v * correction) + eps)


def rectification(
    t: jax.Array, b2: Any, threshold: Any = 4.0
) -> tuple[jax.Array, jax.Array]:
    """RAdam's r_t, and whether it applies: ρ_t > threshold. r_t is 1 where not.

    r_t = sqrt((ρ_t - 4)(ρ_t - 2) ρ_∞ / ((ρ_∞ - 4)(ρ_∞ - 2) ρ_t))

    Whether it applies is decided in float64, unless b2 or the threshold is traced. r_t
    and its derivatives are finite at every t.

    Example:
      >>> factor, is_rectified = rectification(jnp.asarray(5), 0.999)
      >>> print(factor.round(6), is_rectified)
      0.017311 True
    """
    t = t.astype(scalar_dtype())
    rho, rho_inf = _rho(t, b2)
    if isinstance(b2, jax.Array) or isinstance(threshold, jax.Array):
        is_rectified = rho > threshold
    else:
        is_rectified = t >= first_rectified_step(b2, threshold)
    # Any valid pair will do for the branch that is not taken: its root stays finite.
    rho = jnp.where(is_rectified, jnp.maximum(rho, 4.0), 5.0)
    rho_inf = jnp.where(is_rectified, rho_inf, 5.0)
    numerator = (rho - 4) * (rho - 2) * rho_inf
    square = numerator / ((rho_inf - 4) * (rho_inf - 2) * rho)
    return jnp.sqrt(square), is_rectified


def first_rectified_step(b2: float, threshold: float) -> int:
    """The first t with ρ_t > threshold, in float64; 2^31 where there is none.

    ρ_t = ρ_∞ - 2 t β2^t / (1 - β2^t) grows with t, towards ρ_∞ = 2 / (1 - β2) - 1.

    Example:
      >>> first_rectified_step(0.999, 4.0), first_rectified_step(0.999, 5.0)
      (5, 6)
    """

    def rho(t: int) -> float:
        return 2 / (1 - b2) - 1 - 2 * t * b2**t / (1 - b2**t)

    return 1 + bisect.bisect_right(range(1, 2**31), threshold, key=rho)


def _decay_rate(beta: Any) -> Any:
    """-log β, in Python where β is a Python number."""
    if isinstance(beta, jax.Array):
        return -jnp.log(jnp.maximum(beta, _SMALLEST_BETA))
    return -math.log(max(beta, _SMALLEST_BETA))


def _rho(t: jax.Array, b2: Any) -> tuple[jax.Array, jax.Array]:
    """ρ_t and ρ_∞, to float32's precision in float32.

    With L = -log β2, 2 t β2^t / (1 - β2^t) = 2 t / expm1(t L), which near t = 1 almost
    cancels ρ_∞ = coth(L / 2). With q(s) = 1 - s / expm1(s), which is small for small s,
    2 t / expm1(t L) = (2 / L) (1 - q(t L)), and with ρ_1 = 1

        ρ_t = 1 + (2 / L) (q(t L) - q(L)),   ρ_∞ = 1 + (2 / L) (1 - q(L)).
    """
    rate = _decay_rate(b2)
    at_1 = _q(jnp.asarray(rate, t.dtype))
    rho = 1 + 2 / rate * (_q(t * rate) - at_1)
    return rho, 1 + 2 / rate * (1 - at_1)


def _q(s: jax.Array) -> jax.Array:
    """1 - s / expm1(s), by its numerator's Taylor series below 1.

    Each branch is kept in its own domain, where its derivative is finite too; from 40
    on q is 1 in float64.
    """
    small = jnp.minimum(s, 1.0)
    series = jnp.zeros_like(s)
    for n in range(19, 1, -1):
        series = small * series + 1 / math.factorial(n)
    small_q = small**2 * series / jnp.expm1(small)
    large = jnp.clip(s, 1.0, 40.0)
    return jnp.where(s < 1, small_q, 1 - large / jnp.expm1(large))
