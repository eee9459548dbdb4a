"""Schedule-Free over Muon's step for matrices, and over AdamW's for the rest."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from . import trees
from .moments import bias_correction, moment, normalized
from .schedule_free import schedule_free

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_EPS = 1e-7  # added to the norm
_SIZE = 0.2  # times the root of the longer side, for entries as large as AdamW's steps


class MuonState(NamedTuple):
    """State of the base step: m of matrices, and v of the rest."""

    count: jax.Array  # steps done, int32
    moments: optax.Params


def _row_axes(params: optax.Params) -> Any:
    """1 for parameters of two axes, 0 for others."""
    return jax.tree.map(lambda p: int(p.ndim == 2), params)


def schedule_free_muon(
    learning_rate: optax.ScalarOrSchedule = 0.0025,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    *,
    muon_momentum: float = 0.9,
    row_axes: Callable[[optax.Params], Any] | None = None,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    decoupling_c: float | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Muon without a learning-rate schedule, for matrices; AdamW for the rest.

    As `schedule_free_adamw`, but for matrices, where a step is one of AdamW's size
    along about the nearest orthogonal matrix to a moving average of the gradient, so
    that all singular values are about one:

        m <- μ m + (1 - μ) g
        X  = m / (|m| + 1e-7), five times X <- 3.4445 X + (-4.775 A + 2.0315 A²) X
             with A = X Xᵀ
        z <- z - γ_t (0.2 sqrt(max(rows, columns)) X + λ y)

    The state has m in the place of v: its size is AdamW's.

    Args:
      muon_momentum: μ in [0, 1).
      row_axes: from parameters, or a tree like them, to a tree with how many leading
        axes of each are the rows of a matrix (all others are its columns); 0 for
        AdamW's step, as for embeddings and output layers. None: 1 for those of two
        axes. `optax.inject_hyperparams` takes it as a static argument.
      others: as `schedule_free_adamw` has them.

    Example:
      >>> optimizer = schedule_free_muon(0.1)
      >>> y = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
      >>> grads = {"kernel": jnp.eye(2), "bias": jnp.ones(2)}
      >>> updates, state = optimizer.update(grads, optimizer.init(y), y)
      >>> print(updates["bias"].round(2), updates["kernel"].round(2)[0])
      [-0.09999999 -0.09999999] [-0.03  0.  ]

    Source: Jordan et al., "Muon", 2024, https://kellerjordan.github.io/posts/muon; its
    size: Liu et al., arXiv 2502.16982; Defazio et al., arXiv 2405.15682, Algorithm 1.
    """
    trees.check(learning_rate=learning_rate, b2=b2, eps=eps)
    trees.check(muon_momentum=muon_momentum, warmup_steps=warmup_steps)

    def rate(count):
        t = (count + 1).astype(trees.scalar_dtype())
        warmup = jnp.minimum(1.0, t / jnp.maximum(warmup_steps, 1))
        return trees.rate_at(learning_rate, count) * warmup

    def init(params):
        return MuonState(jnp.zeros((), jnp.int32), trees.zeros(params))

    def update(updates, state, params=None):
        del params
        t, minus_rate = state.count + 1, -rate(state.count)
        rows = (row_axes or _row_axes)(state.moments)

        def advance(rows, moments, g):
            return moment(moments, g, *((muon_momentum, 1) if rows else (b2, 2)))

        def step(rows, g, moments):
            if rows:
                direction = functools.partial(orthogonalized, row_axes=rows)
                direction = trees.leafwise(direction, moments)
            else:
                scalars = {"correction": bias_correction(t, b2), "eps": eps}
                direction = trees.leafwise(normalized, g, moments, **scalars)
            return trees.leafwise(lambda d, rate: rate * d, direction, rate=minus_rate)

        moments = jax.tree.map(advance, rows, state.moments, updates)
        steps = jax.tree.map(step, rows, updates, moments)
        return steps, MuonState(t, moments)

    return schedule_free(
        optax.GradientTransformation(init, update),
        rate,
        b1,
        weight_decay,
        r=r,
        weight_lr_power=weight_lr_power,
        decoupling_c=decoupling_c,
    )


def orthogonalized(m: jax.Array, row_axes: int = 1) -> jax.Array:
    """0.2 sqrt(max(rows, columns)) X, of an array whose leading axes are the rows."""
    x = m.reshape(math.prod(m.shape[:row_axes]), -1)
    size = _SIZE * max(x.shape) ** 0.5
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x  # so that X Xᵀ is the smaller product
    x = x / (jnp.linalg.norm(x) + _EPS)
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return size * (x.T if is_tall else x).reshape(m.shape)
