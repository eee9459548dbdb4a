"""The Schedule-Free family for JAX: a wrapper, SGD, AdamW and RAdam."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from unscheduled.optim_jax import averaging, trees
from unscheduled.optim_jax.averaging import Averaging, Base, BaseStep
from unscheduled.optim_jax.lookahead import LookaheadState
from unscheduled.optim_jax.moments import (
    bias_correction,
    moment,
    normalized,
    rectification,
)

Rate = float | Callable[[jax.Array], Any]


def schedule_free(
    base: optax.GradientTransformation,
    learning_rate: Rate,
    b1: float = 0.9,
    weight_decay: float = 0.0,
    *,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    decoupling_c: float | None = None,
    keep_x: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Schedule-Free averaging over any transformation: gradient at y, evaluation at x.

    The parameters passed to `update` are y, and `optax.apply_updates` gives the next
    y; `schedule_free_eval_params` gives x. With u the updates of `base`,
    w_t = t^r (max_{s<=t} γ_s)^p and c = w_t / Σ_{s<=t} w_s, a step is

        z <- z - γ_t λ y + u                  (u from the z that has decayed)
        x <- (1 - c) x + c z
        y  = (1 - β1) z + β1 x

    While every rate so far is zero the weights are too; c is then 0: x stays.

    What the state keeps is z, and not x = y + (1 - 1 / β1) (z - y). Only where β1 is 0
    (Polyak-Ruppert averaging: y is z) or a parameter has low precision (bfloat16,
    float16: y is too coarse) it keeps x too, for all parameters, and y is computed from
    z and x; `keep_x` asks for the same. Two cases need to ask: a b1 that is an array,
    as from `optax.inject_hyperparams`, and reaches 0 (it is taken to be above 0, where
    it may change from step to step), and `optax.tree_map_params` with parameters of low
    precision, as it cannot see their dtypes.

    Given abstract parameters (`jax.ShapeDtypeStruct`) `init` makes the state with
    abstract z and x, whose values would be those of the parameters.

    z and x are float32 for parameters of low precision, and y is rounded from them at
    each step anew: no error accumulates.

    Args:
      base: whose updates are complete steps for z, its own learning rate and sign
        included, preferably without momentum; it sees z, decayed, as its parameters.
      learning_rate: γ for the averaging weights and the decay, at least 0, or a
        function from the count of steps done to γ; normally that of `base`.
      b1: β1 in [0, 1], the interpolation between z (0) and x (1).
      weight_decay: λ, at least 0, decoupled, taken at y.
      r: power of t in the averaging weights, at least 0.
      weight_lr_power: power p of the largest rate in the weights, at least 0.
      decoupling_c: C, above 0: c is then min(1, (1 - β1) C c), an averaging window
        that β1 has no part in (arXiv 2507.09846); None is C = 1 / (1 - β1).
      keep_x: whether to keep x in any case.

    Returns:
      A `GradientTransformationExtraArgs` whose `update` needs `params`; its state is a
      `ScheduleFreeState`, its updates have the dtypes of the parameters.

    Raises:
      ValueError: for an invalid value, for parameters that are integers or None, and
        for gradients of another structure or shape than theirs.

    Example:
      >>> optimizer = schedule_free(optax.rmsprop(0.01), 0.01)
      >>> params = {"w": jnp.ones(2)}
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update({"w": jnp.ones(2)}, state, params)
      >>> params = optax.apply_updates(params, updates)
      >>> print(schedule_free_eval_params(state, params)["w"].round(4))
      [0.9684 0.9684]

    Source: Defazio et al., arXiv 2405.15682, equations (3) to (5).
    """
    inner = trees.transformation(base)

    def step(grads, state, params, t, rate, extra_args):
        del t
        z = state.z
        if isinstance(weight_decay, jax.Array) or weight_decay != 0:
            z = trees.leafwise(
                lambda z, y, decay: z - decay * y, z, params, decay=rate * weight_decay
            )
        updates, base_state = inner.update(grads, state.base_state, z, **extra_args)
        updates = trees.matched(updates, z, "schedule_free got updates of its base")
        return BaseStep(
            rate,
            lambda rate, g, u: -u,
            (updates,),
            {},
            base_state=base_state,
            is_cheap=False,
        )

    return averaging.transformation(
        "schedule_free",
        Base(lambda z: (None, inner.init(z)), step),
        Averaging(
            learning_rate, b1, weight_decay, r, weight_lr_power, decoupling_c, keep_x
        ),
    )


def schedule_free_sgd(
    learning_rate: Rate = 1.0,
    b1: float = 0.9,
    weight_decay: float = 0.0,
    *,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    decoupling_c: float | None = None,
    keep_x: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""SGD without a learning-rate schedule: gradient at y, evaluation at x.

    As `schedule_free`, with γ_t = γ min(1, t / warmup) and

        z <- z - γ_t (g + λ y)

    Args:
      learning_rate: γ, at least 0, or a function from the count of steps done to γ.
      b1: β1 in [0, 1], the interpolation between z (0) and x (1).
      weight_decay: λ, at least 0, decoupled, taken at y.
      warmup_steps: steps of linear warmup, 0 for none.
      r, weight_lr_power, decoupling_c, keep_x: as in `schedule_free`.

    Returns:
      A `GradientTransformationExtraArgs` whose `update` needs `params`; its state is a
      `ScheduleFreeState`, its updates have the dtypes of the parameters.

    Raises:
      ValueError: for an invalid value, for parameters that are integers or None, and
        for gradients of another structure or shape than theirs.

    Example:
      >>> optimizer = schedule_free_sgd(0.25)
      >>> params = {"w": jnp.ones(2)}
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update({"w": 2 * jnp.ones(2)}, state, params)
      >>> params = optax.apply_updates(params, updates)
      >>> print(schedule_free_eval_params(state, params)["w"])
      [0.5 0.5]

    Source: Defazio et al., arXiv 2405.15682, equations (3) to (5).
    """

    def step(grads, state, params, t, rate, extra_args):
        del grads, state, params, t, extra_args
        return BaseStep(rate, lambda rate, g: rate * g, (), {})

    return averaging.transformation(
        "schedule_free_sgd",
        Base(lambda z: (None, None), step),
        Averaging(
            learning_rate,
            b1,
            weight_decay,
            r,
            weight_lr_power,
            decoupling_c,
            keep_x,
            warmup_steps,
        ),
    )


def schedule_free_adamw(
    learning_rate: Rate = 0.0025,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    *,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    decoupling_c: float | None = None,
    keep_x: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""AdamW without a learning-rate schedule: gradient at y, evaluation at x.

    As `schedule_free`, with γ_t = γ min(1, t / warmup) and

        v <- β2 v + (1 - β2) g²
        z <- z - γ_t (g / (sqrt(v / (1 - β2^t)) + ε) + λ y)

    A complex parameter is the pair of its real and imaginary parts, as in torch.optim.

    Args:
      learning_rate: γ, at least 0, or a function from the count of steps done to γ.
      b1: β1 in [0, 1], the interpolation between z (0) and x (1).
      b2: β2 in [0, 1).
      eps: ε, at least 0, added to the root after the bias correction.
      weight_decay: λ, at least 0, decoupled, taken at y.
      warmup_steps: steps of linear warmup, 0 for none.
      r, weight_lr_power, decoupling_c, keep_x: as in `schedule_free`.

    Returns:
      A `GradientTransformationExtraArgs` whose `update` needs `params`; its state is a
      `ScheduleFreeState`, its updates have the dtypes of the parameters.

    Raises:
      ValueError: for an invalid value, for parameters that are integers or None, and
        for gradients of another structure or shape than theirs.

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
    trees.check(b2=b2, eps=eps)

    def step(grads, state, params, t, rate, extra_args):
        del params, extra_args
        nu = moment(state.nu, grads, b2, 2)

        def leave(rate, g, v, correction, eps):
            return rate * normalized(g, v, correction, eps)

        scalars = {"correction": bias_correction(t, b2), "eps": eps}
        return BaseStep(rate, leave, (nu,), scalars, nu)

    return averaging.transformation(
        "schedule_free_adamw",
        Base(lambda z: (trees.zeros(z), None), step),
        Averaging(
            learning_rate,
            b1,
            weight_decay,
            r,
            weight_lr_power,
            decoupling_c,
            keep_x,
            warmup_steps,
        ),
    )


def schedule_free_radam(
    learning_rate: Rate = 0.0025,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    *,
    threshold: float = 4.0,
    silent_sgd_phase: bool = True,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    decoupling_c: float | None = None,
    keep_x: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""RAdam without a schedule or a warmup: gradient at y, evaluation at x.

    As `schedule_free`, with ρ_t and r_t of `radam` and, where ρ_t > threshold,

        v <- β2 v + (1 - β2) g²
        γ_t = γ r_t
        z <- z - γ_t (g / (sqrt(v / (1 - β2^t)) + ε) + λ y)

    Before that γ_t = 0 (`silent_sgd_phase`), or it is γ and g stands for the quotient.
    A complex parameter is the pair of its real and imaginary parts, as in torch.optim.

    Args:
      learning_rate: γ, at least 0, or a function from the count of steps done to γ.
      b1: β1 in [0, 1], the interpolation between z (0) and x (1).
      b2: β2 in [0, 1).
      eps: ε, at least 0, added to the root after the bias correction.
      weight_decay: λ, at least 0, decoupled, taken at y.
      threshold: what ρ_t must be over for the step to be rectified, at least 4.
      silent_sgd_phase: whether nothing moves before that.
      r, weight_lr_power, decoupling_c, keep_x: as in `schedule_free`.

    Returns:
      A `GradientTransformationExtraArgs` whose `update` needs `params`; its state is a
      `ScheduleFreeState`, its updates have the dtypes of the parameters.

    Raises:
      ValueError: for an invalid value, for parameters that are integers or None, and
        for gradients of another structure or shape than theirs.

    Example:
      >>> optimizer = schedule_free_radam(0.25, silent_sgd_phase=False)
      >>> params = {"w": jnp.ones(2)}
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update({"w": 2 * jnp.ones(2)}, state, params)
      >>> params = optax.apply_updates(params, updates)
      >>> print(schedule_free_eval_params(state, params)["w"])
      [0.5 0.5]

    Source: Defazio et al., arXiv 2405.15682; Liu et al., arXiv 1908.03265.
    """
    trees.check(b2=b2, eps=eps, threshold=threshold)
    trees.check(silent_sgd_phase=silent_sgd_phase)

    def step(grads, state, params, t, rate, extra_args):
        del params, extra_args
        nu = moment(state.nu, grads, b2, 2)
        rect, is_rectified = rectification(t, b2, threshold)
        factor = jnp.where(is_rectified, rect, 0 if silent_sgd_phase else 1)

        def leave(rate, g, v, correction, eps):
            return rate * jnp.where(is_rectified, normalized(g, v, correction, eps), g)

        scalars = {"correction": bias_correction(t, b2), "eps": eps}
        return BaseStep(rate * factor, leave, (nu,), scalars, nu)

    return averaging.transformation(
        "schedule_free_radam",
        Base(lambda z: (trees.zeros(z), None), step),
        Averaging(
            learning_rate, b1, weight_decay, r, weight_lr_power, decoupling_c, keep_x
        ),
    )


def schedule_free_eval_params(state: Any, params: Any) -> Any:
    """x, where the model is evaluated: x = y + (1 - 1 / β1) (z - y).

    Args:
      state: the optimizer's state, or one that holds `ScheduleFreeState`s anywhere:
        of `optax.chain`, `inject_hyperparams`, `multi_transform`, `MultiSteps`, or
        `opt_state` of a `flax.nnx.Optimizer`.
      params: y, the parameters being trained; for flax.nnx `nnx.state(model, wrt)`,
        and `nnx.update(model, x)` puts x into the model.

    Returns:
      x in the structure and the dtypes of `params`, which stay as they are where no
      state covers them. It shares no buffer with the state.

    Raises:
      ValueError: where there is no `ScheduleFreeState` in `state`, or it is within a
        `LookaheadState`, which has `lookahead_eval_params`, or it is that of other
        parameters.

    Example:
      >>> optimizer = optax.chain(optax.clip(1.0), schedule_free_sgd(0.1))
      >>> y = jnp.ones(2)
      >>> print(schedule_free_eval_params(optimizer.init(y), y))
      [1. 1.]

    Source: Defazio et al., arXiv 2405.15682, equation (3).
    """
    _refuse_lookahead(state, "schedule_free_eval_params")
    return averaging.eval_params(state, params, "schedule_free_eval_params")


def schedule_free_train_params(state: Any, params: Any) -> Any:
    """y, where the gradient is taken, from x: y = z + β1 (x - z).

    Args:
      state: as for `schedule_free_eval_params`.
      params: x, as `schedule_free_eval_params` gave it. Where the state keeps x
        itself, more exactly, that is used.

    Returns:
      y in the structure and the dtypes of `params`.

    Raises:
      ValueError: where there is no `ScheduleFreeState` in `state`, or it is within a
        `LookaheadState`, which has `lookahead_eval_params`.

    Example:
      >>> optimizer = schedule_free_sgd(0.1)
      >>> x = jnp.ones(2)
      >>> print(schedule_free_train_params(optimizer.init(x), x))
      [1. 1.]

    Source: Defazio et al., arXiv 2405.15682, equation (3).
    """
    _refuse_lookahead(state, "schedule_free_train_params")
    return averaging.train_params(state, params, "schedule_free_train_params")


def _refuse_lookahead(state: Any, name: str) -> None:
    """After a sync of Lookahead z waits for the next step to follow y."""
    if trees.nodes_of(state, LookaheadState):
        raise ValueError(
            f"{name} got the state of Lookahead, which has lookahead_eval_params."
        )
