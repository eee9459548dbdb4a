"""RAdam for JAX."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from . import trees
from .moments import bias_correction, moment, normalized, rectification


class RAdamState(NamedTuple):
    """Moments are trees like the parameters, in float32 for low precision."""

    count: jax.Array  # steps done, int32
    mu: optax.Params  # first moments
    nu: optax.Params  # second moments


def radam(
    learning_rate: optax.ScalarOrSchedule = 0.001,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    *,
    threshold: float = 4.0,
    silent_sgd_phase: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Adam whose rate is rectified for the variance of its first steps.

    A complete optimizer: the updates are the steps, rate, sign and decay included.

        m <- β1 m + (1 - β1) g,   m̂ = m / (1 - β1^t)
        v <- β2 v + (1 - β2) g²,  v̂ = v / (1 - β2^t)
        d  = r_t m̂ / (sqrt(v̂) + ε) where ρ_t > threshold, else m̂
        θ <- θ - γ_t (d + λ θ)

    with ρ_t and r_t as in `rectification`.

    Args:
      learning_rate: γ, at least 0, or a function from the count of steps done to γ.
      b1: β1 in [0, 1).
      b2: β2 in [0, 1).
      eps: ε, at least 0, added to the root after the bias correction.
      weight_decay: λ, at least 0, decoupled, at the rate γ.
      threshold: what ρ_t must be over for the step to be rectified, at least 4; 5 is
        the choice of torch.optim and nearly that of optax.
      silent_sgd_phase: whether nothing moves, decay included, before that.

    Example:
      >>> optimizer = radam(0.25)
      >>> params = {"w": jnp.ones(2)}
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update({"w": 2 * jnp.ones(2)}, state, params)
      >>> print(optax.apply_updates(params, updates)["w"].round(4))
      [0.5 0.5]

    Source: Liu et al., arXiv 1908.03265, Algorithm 2.
    """
    trees.check(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps)
    trees.check(threshold=threshold, silent_sgd_phase=silent_sgd_phase)
    trees.check(weight_decay=weight_decay)

    def init(params):
        params = trees.as_params(params, "radam")
        count = jnp.zeros((), jnp.int32)
        return RAdamState(count, mu=trees.zeros(params), nu=trees.zeros(params))

    def update(updates, state, params=None, **extra_args):
        del extra_args
        params, updates = trees.as_inputs(params, updates, state.mu, "radam")
        t = state.count + 1
        mu = moment(state.mu, updates, b1, 1)
        nu = moment(state.nu, updates, b2, 2)
        rect, is_rectified = rectification(t, b2, threshold)
        rate = trees.rate_at(learning_rate, state.count)
        if silent_sgd_phase:
            rate = jnp.where(is_rectified, rate, 0)

        def step(m, v, p, rate, rect, correction1, correction2, eps, decay):
            m_hat = m * correction1
            adapted = rect * normalized(m_hat, v, correction2, eps)
            return -rate * (jnp.where(is_rectified, adapted, m_hat) + decay * p)

        steps = trees.leafwise(
            step,
            *(mu, nu, params),
            rate=rate,
            rect=rect,
            correction1=bias_correction(t, b1),
            correction2=bias_correction(t, b2),
            eps=eps,
            decay=weight_decay,
        )
        return trees.cast_like(steps, params), RAdamState(t, mu, nu)

    return optax.GradientTransformationExtraArgs(init, update)
