"""The Schedule-Free family for JAX: a wrapper, SGD, AdamW and RAdam."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from . import trees
from .moments import bias_correction, moment, normalized, rectification


class ScheduleFreeState(NamedTuple):
    """State of Schedule-Free; z, x and nu are trees like the parameters (y).

    They are float32 where the parameters have low precision (bfloat16, float16).
    """

    count: jax.Array  # steps done, int32
    lr_max: jax.Array  # the largest rate so far
    weight_sum: jax.Array  # of the averaging weights
    b1: jax.Array  # β1 of the last step
    z: optax.Params
    x: Any  # the average, where it is kept, or None
    nu: Any  # the second moments, or None
    base_state: Any  # of the wrapped transformation, or None

    like_params = "z"


def schedule_free(
    base: optax.GradientTransformation,
    learning_rate: optax.ScalarOrSchedule,
    b1: float = 0.9,
    weight_decay: float = 0.0,
    *,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    decoupling_c: float | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Schedule-Free averaging over any transformation: gradient at y, evaluation at x.

    The parameters passed to `update` are y, and `optax.apply_updates` gives the next
    y; `schedule_free_eval_params` gives x. With u the updates of `base`,
    w_t = t^r (max_{s<=t} γ_s)^p and c = w_t / Σ_{s<=t} w_s, a step is

        z <- z - γ_t λ y + u                  (u from the z that has decayed)
        x <- (1 - c) x + c z
        y  = (1 - β1) z + β1 x

    While every rate so far is zero the weights are too; c is then 0: x stays.

    The state keeps z, and not x = y + (1 - 1 / β1) (z - y). Only where β1 is 0
    (Polyak-Ruppert averaging: y is z) or a parameter has low precision (bfloat16,
    float16: y is too coarse) does it keep x too, for all parameters; y is then rounded
    from z and x at each step anew. A b1 that is an array, as from
    `optax.inject_hyperparams`, must stay above 0, where it may change between steps.

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

    Example:
      >>> optimizer = schedule_free(optax.rmsprop(0.01), 0.01)
      >>> y = jnp.ones(2)
      >>> updates, state = optimizer.update(jnp.ones(2), optimizer.init(y), y)
      >>> y = optax.apply_updates(y, updates)
      >>> print(schedule_free_eval_params(state, y).round(4))
      [0.9684 0.9684]

    Source: Defazio et al., arXiv 2405.15682, equations (3) to (5).
    """
    step = trees.transformation(base)
    averaging = _AveragingOptions(b1, r, weight_lr_power, decoupling_c)
    return _transformation(step, averaging, learning_rate, weight_decay)


def schedule_free_sgd(
    learning_rate: optax.ScalarOrSchedule = 1.0,
    b1: float = 0.9,
    weight_decay: float = 0.0,
    *,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    decoupling_c: float | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""SGD without a learning-rate schedule: gradient at y, evaluation at x.

    As `schedule_free`, arguments too, with γ_t = γ min(1, t / W) and

        z <- z - γ_t (g + λ y)

    Args:
      warmup_steps: W, steps of linear warmup, 0 for none.

    Example:
      >>> optimizer = schedule_free_sgd(0.25)
      >>> y = jnp.ones(2)
      >>> updates, state = optimizer.update(2 * jnp.ones(2), optimizer.init(y), y)
      >>> y = optax.apply_updates(y, updates)
      >>> print(schedule_free_eval_params(state, y))
      [0.5 0.5]

    Source: Defazio et al., arXiv 2405.15682, equations (3) to (5).
    """
    averaging = _AveragingOptions(b1, r, weight_lr_power, decoupling_c)
    step = _Step("schedule_free_sgd")
    return _transformation(step, averaging, learning_rate, weight_decay, warmup_steps)


def schedule_free_adamw(
    learning_rate: optax.ScalarOrSchedule = 0.0025,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    *,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    decoupling_c: float | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""AdamW without a learning-rate schedule: gradient at y, evaluation at x.

    As `schedule_free_sgd`, with

        v <- β2 v + (1 - β2) g²
        z <- z - γ_t (g / (sqrt(v / (1 - β2^t)) + ε) + λ y)

    Args:
      b2: β2 in [0, 1).
      eps: ε, at least 0, added to the root after the bias correction.

    Example:
      >>> optimizer = schedule_free_adamw(0.1)
      >>> y = jnp.ones(2)
      >>> updates, state = optimizer.update(jnp.ones(2), optimizer.init(y), y)
      >>> y = optax.apply_updates(y, updates)
      >>> print(schedule_free_eval_params(state, y).round(4))
      [0.9 0.9]

    Source: Defazio et al., arXiv 2405.15682, Algorithm 1.
    """
    trees.check(b2=b2, eps=eps)
    averaging = _AveragingOptions(b1, r, weight_lr_power, decoupling_c)
    step = _Step("schedule_free_adamw", b2, eps)
    return _transformation(step, averaging, learning_rate, weight_decay, warmup_steps)


def schedule_free_radam(
    learning_rate: optax.ScalarOrSchedule = 0.0025,
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
) -> optax.GradientTransformationExtraArgs:
    r"""RAdam without a schedule or a warmup: gradient at y, evaluation at x.

    As `schedule_free_adamw`, with γ_t = γ r_t where ρ_t > threshold, as in `radam`.
    Before that γ_t = 0 (`silent_sgd_phase`), or it is γ and g stands for the quotient.

    Args:
      threshold: what ρ_t must be over for the step to be rectified, at least 4.
      silent_sgd_phase: whether nothing moves before that.

    Example:
      >>> optimizer = schedule_free_radam(0.25, silent_sgd_phase=False)
      >>> y = jnp.ones(2)
      >>> updates, state = optimizer.update(2 * jnp.ones(2), optimizer.init(y), y)
      >>> y = optax.apply_updates(y, updates)
      >>> print(schedule_free_eval_params(state, y))
      [0.5 0.5]

    Source: Defazio et al., arXiv 2405.15682; Liu et al., arXiv 1908.03265.
    """
    trees.check(b2=b2, eps=eps, threshold=threshold, silent_sgd_phase=silent_sgd_phase)
    averaging = _AveragingOptions(b1, r, weight_lr_power, decoupling_c)
    step = _Step("schedule_free_radam", b2, eps, threshold, silent_sgd_phase)
    return _transformation(step, averaging, learning_rate, weight_decay)


def schedule_free_eval_params(
    state: optax.OptState, params: optax.Params
) -> optax.Params:
    """x, where the model is evaluated: x = y + (1 - 1 / β1) (z - y).

    Args:
      state: the optimizer's state, or one that holds `ScheduleFreeState`s anywhere:
        of `optax.chain`, `inject_hyperparams`, `multi_transform`, `MultiSteps`, or
        `opt_state` of a `flax.nnx.Optimizer`.
      params: y; for flax.nnx `nnx.state(model, wrt)`, and `nnx.update(model, x)` puts
        x into the model. They stay as they are where no state covers them.

    Returns:
      x in the structure and dtypes of `params`; it shares no buffer with the state.

    Raises:
      ValueError: where `state` holds none for these parameters, or only within a
        `LookaheadState`, which has `lookahead_eval_params`.

    Example:
      >>> optimizer = optax.chain(optax.clip(1.0), schedule_free_sgd(0.1))
      >>> y = jnp.ones(2)
      >>> print(schedule_free_eval_params(optimizer.init(y), y))
      [1. 1.]

    Source: Defazio et al., arXiv 2405.15682, equation (3).
    """

    def x_of(found, y):
        if found.x is not None:
            return jax.tree.leaves(found.x)
        weight = 1 - 1 / jnp.asarray(found.b1)
        return trees.interpolate(y, jax.tree.leaves(found.z), weight)

    name = "schedule_free_eval_params"
    return trees.replace(params, state, ScheduleFreeState, name, x_of)


def schedule_free_train_params(
    state: optax.OptState, params: optax.Params
) -> optax.Params:
    """y, where the gradient is taken, from x: y = z + β1 (x - z).

    As `schedule_free_eval_params`, with x for y, which it gave. Where the state keeps x
    itself, more exactly, that is used.

    Example:
      >>> optimizer = schedule_free_sgd(0.1)
      >>> x = jnp.ones(2)
      >>> print(schedule_free_train_params(optimizer.init(x), x))
      [1. 1.]

    Source: Defazio et al., arXiv 2405.15682, equation (3).
    """

    def y_of(found, x):
        if found.x is not None:
            x = jax.tree.leaves(found.x)
        return trees.interpolate(jax.tree.leaves(found.z), x, found.b1)

    name = "schedule_free_train_params"
    return trees.replace(params, state, ScheduleFreeState, name, y_of)


class _AveragingOptions(NamedTuple):
    """How z enters x, and x enters y: arguments of `schedule_free`."""

    b1: Any
    r: Any
    weight_lr_power: Any
    decoupling_c: Any


class _Step(NamedTuple):
    """A base step: SGD's, AdamW's where there is a β2, RAdam's with a threshold too."""

    name: str
    b2: Any = None
    eps: Any = None
    threshold: Any = None
    silent_sgd_phase: bool | None = None


def _transformation(
    base: optax.GradientTransformationExtraArgs | _Step,
    averaging: _AveragingOptions,
    learning_rate: optax.ScalarOrSchedule,
    weight_decay: Any,
    warmup_steps: Any = 0,
) -> optax.GradientTransformationExtraArgs:
    own = base if isinstance(base, _Step) else _Step("schedule_free")
    name, b1 = own.name, averaging.b1
    options = averaging._asdict()
    trees.check(interpolation=options.pop("b1"), **options, warmup_steps=warmup_steps)
    trees.check(learning_rate=learning_rate, weight_decay=weight_decay)

    def init(params):
        params = trees.as_params(params, name)
        z = trees.accumulators(params)
        leaves = jax.tree.leaves(params)
        is_coarse = any(trees.accumulator_dtype(p) != p.dtype for p in leaves)
        keeps_x = is_coarse or not _may_be_on(b1)
        return ScheduleFreeState(
            count=jnp.zeros((), jnp.int32),
            lr_max=jnp.zeros((), trees.scalar_dtype()),
            weight_sum=jnp.zeros((), trees.scalar_dtype()),
            b1=jnp.array(b1, trees.scalar_dtype()),
            z=z,
            x=trees.accumulators(params) if keeps_x else None,
            nu=None if own.b2 is None else trees.zeros(params),
            base_state=None if isinstance(base, _Step) else base.init(z),
        )

    def update(updates, state, params=None, **extra_args):
        y, grads = trees.as_inputs(params, updates, state.z, name)
        grads = trees.cast_like(grads, state.z)
        t = (state.count + 1).astype(trees.scalar_dtype())
        rate = trees.rate_at(learning_rate, state.count)
        rate = rate * jnp.minimum(1.0, t / jnp.maximum(warmup_steps, 1))
        nu = base_state = None
        if isinstance(base, _Step):
            nu = None if base.b2 is None else moment(state.nu, grads, base.b2, 2)
            factor, is_rectified = _rectified(base, t)
            rate = rate * factor

            def descent(nu):
                """γ (d + λ y)."""
                steps = _direction(own, grads, nu, is_rectified, t)
                steps = trees.leafwise(lambda d, rate: rate * d, steps, rate=rate)
                return _decayed(steps, y, -rate, weight_decay)

            # s is computed again for y, from the ν left in the state: the barrier keeps
            # the compiler from sharing the first s, which would take a copy of each
            # tensor, and z is written in place of the old z.
            z = trees.leafwise(jnp.subtract, state.z, descent(nu))
            z, nu_left = jax.lax.optimization_barrier((z, nu))
            s = descent(nu_left)
        else:
            z = _decayed(state.z, y, rate, weight_decay)
            steps, base_state = base.update(grads, state.base_state, z, **extra_args)
            steps = trees.as_params_are(steps, z, f"{name} got updates of its base")
            z = jax.lax.optimization_barrier(trees.leafwise(jnp.add, z, steps))
            s = trees.leafwise(jnp.subtract, state.z, z)
        lr_max = jnp.maximum(state.lr_max, rate)
        weight = t**averaging.r * lr_max**averaging.weight_lr_power
        weight_sum = state.weight_sum + weight
        c = weight / jnp.where(weight_sum > 0, weight_sum, 1.0)
        if averaging.decoupling_c is not None:
            c = jnp.minimum(1.0, (1 - b1) * averaging.decoupling_c * c)
        new_b1 = jnp.asarray(b1, trees.scalar_dtype())
        delta, x = _average(state, y, z, s, c, new_b1)
        return trees.cast_like(delta, y), ScheduleFreeState(
            state.count + 1, lr_max, weight_sum, new_b1, z, x, nu, base_state
        )

    return optax.GradientTransformationExtraArgs(init, update)


def _rectified(step: _Step, t: jax.Array) -> tuple[Any, Any]:
    """RAdam's factor on γ, and whether it is r_t; for other steps 1 and True."""
    if step.threshold is None:
        return 1, True
    rect, is_rectified = rectification(t, step.b2, step.threshold)
    before = 0 if step.silent_sgd_phase else 1
    return jnp.where(is_rectified, rect, before), is_rectified


def _direction(step: _Step, grads, nu, is_rectified, t: jax.Array):
    """d = g / (sqrt(v̂) + ε), or g: without a β2, or before RAdam's r_t applies."""
    if step.b2 is None:
        return grads
    return trees.leafwise(
        lambda g, v, **scalars: jnp.where(is_rectified, normalized(g, v, **scalars), g),
        *(grads, nu),
        correction=bias_correction(t, step.b2),
        eps=step.eps,
    )


def _decayed(z, y, rate, weight_decay):
    """z - γ λ y."""
    if not _may_be_on(weight_decay):
        return z
    decay = rate * weight_decay
    return trees.leafwise(lambda z, y, decay: z - decay * y, z, y, decay=decay)


def _average(state, y, z, s, c, b1):
    """(y_{t+1} - y_t, x_{t+1} or None) from z_{t+1} and s = z_t - z_{t+1}.

    With x_t = z_t + (y_t - z_t) / β, β the last step's β1 and β' this one's,
    eliminating x and the old z from

        x_{t+1} = (1 - c) x_t + c z_{t+1},   y_{t+1} = (1 - β') z_{t+1} + β' x_{t+1}

    gives, with a = c + (1 - β' / β)(1 - c), which is c for a β1 that does not change,

        y_{t+1} = y_t + a (z_{t+1} - y_t) - (1 - a)(1 - β) s.
    """
    if state.x is not None:
        x = trees.interpolate(state.x, z, c)
        return trees.leafwise(jnp.subtract, trees.interpolate(z, x, b1), y), x
    a = c + (1 - b1 / state.b1) * (1 - c)
    rest = (1 - a) * (1 - state.b1)

    def move(z, y, s, a, rest):
        return a * (z - y) - rest * s

    return trees.leafwise(move, z, y, s, a=a, rest=rest), None


def _may_be_on(value) -> bool:
    """Whether a hyperparameter may be other than 0: an array may."""
    return isinstance(value, jax.Array) or value != 0
