"""Lookahead for JAX, over any gradient transformation."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from unscheduled.optim_jax import averaging, trees
from unscheduled.optim_jax.averaging import ScheduleFreeState
from unscheduled.optim_jax.moments import bias_correction, moment

Momentum = Literal["keep", "reset", "pullback"]


class LookaheadState(NamedTuple):
    """State of Lookahead. The parts that are not needed are None.

    A sync moves θ; the rest of the state follows at the start of the next step. Between
    the two it is as before the sync, with α in `pending`.

    count: fast steps done (int32); pending: α of a sync that the rest of the state has
    yet to follow, else 0; slow: φ, a tree like the parameters, in float32 where those
    have low precision; momentum: the fast momentum after the last sync, for
    "pullback"; sequences: the slow twins of z and x of each `ScheduleFreeState` in the
    base's state; fisher: the moving average of g², for the adaptive α; base_state: the
    base's state.
    """

    count: jax.Array
    pending: jax.Array
    slow: Any
    momentum: Any
    sequences: Any
    fisher: Any
    base_state: Any


def lookahead(
    base: optax.GradientTransformation,
    k: int = 5,
    alpha: float = 0.5,
    *,
    adaptive: bool = False,
    momentum: Momentum = "keep",
    fisher_decay: float = 0.999,
) -> optax.GradientTransformationExtraArgs:
    r"""k fast steps of `base` from the slow weights φ, then a step of φ towards them.

    The parameters are the fast weights θ, plain as for any other transformation;
    `lookahead_eval_params` gives φ. At every k-th step, after that of `base`,

        φ <- φ + α (θ - φ),  θ <- φ

    and the momentum of `base` is kept, set to 0 (reset), or pulled back: m <- u +
    α (m - u) with u the momentum after the last sync, 0 at first. It is what the
    fields `mu` and `trace` of NamedTuples in the base's state hold: the first moments
    of optax's Adam and its kin and of `radam`, the trace of `optax.sgd`. The z (and x)
    of a Schedule-Free `base`, whose θ is y, are interpolated as θ is.

    The adaptive α is that of Proposition 1, which minimizes a quadratic whose
    curvature is F, the moving average of g² (decay δ, bias-corrected):

        α = 1 + gᵀd / (dᵀ F d),  d = φ - θ_k,  clipped to [alpha, 1]; 1 where dᵀ F d = 0

    with g the gradient that the k-th step was made from.

    Updates must reach the parameters as they are: nothing may follow in a chain.

    Args:
      base: the inner optimizer; its updates are complete steps.
      k: fast steps from sync to sync, an integer from 1.
      alpha: α in (0, 1]; with `adaptive` its lower bound.
      adaptive: whether α is computed at each sync.
      momentum: "keep", "reset" or "pullback".
      fisher_decay: δ in [0, 1).

    Returns:
      A `GradientTransformationExtraArgs` whose `update` needs `params`; its state is a
      `LookaheadState`, its updates have the dtypes of the parameters.

    Raises:
      ValueError: for an invalid value, for parameters that are integers or None, and
        for gradients of another structure or shape than theirs.

    Example:
      >>> optimizer = lookahead(optax.sgd(0.1), k=1)
      >>> params = {"w": jnp.ones(2)}
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update({"w": 2 * jnp.ones(2)}, state, params)
      >>> print(optax.apply_updates(params, updates)["w"])
      [0.9 0.9]

    Source: Zhang et al., arXiv 1907.08610, Algorithm 1 and Proposition 1.
    """
    trees.check(k=k, alpha=alpha, fisher_decay=fisher_decay)
    trees.check(adaptive=adaptive, slow_momentum=momentum)
    inner = trees.transformation(base)

    def init(params):
        params = trees.as_params(params, "lookahead")
        base_state = inner.init(params)
        moving = _moving_parts(base_state, params, momentum)
        return LookaheadState(
            count=jnp.zeros((), jnp.int32),
            pending=jnp.zeros((), trees.scalar_dtype()),
            slow=trees.accumulators(params),
            momentum=trees.zeros(moving.momentum) if momentum == "pullback" else None,
            sequences=trees.accumulators(moving.sequences) or None,
            fisher=trees.zeros(params) if adaptive else None,
            base_state=base_state,
        )

    def update(updates, state, params=None, **extra_args):
        params, grads = trees.as_inputs(params, updates, state.slow, "lookahead")
        state = _follow(state, params, momentum)
        steps, base_state = inner.update(grads, state.base_state, params, **extra_args)
        steps = trees.matched(steps, params, "lookahead got updates of its base")
        count = state.count + 1
        fisher = moment(state.fisher, grads, fisher_decay, 2) if adaptive else None

        def sync(steps):
            weight = jnp.asarray(alpha, trees.scalar_dtype())
            if adaptive:
                correction = bias_correction(count, fisher_decay)
                weight = _adaptive_alpha(
                    (state.slow, params, steps), grads, fisher, correction, weight
                )
            moved = _moved(state.slow, params, steps, weight)
            to_moved = trees.leafwise(lambda m, p: m - p, moved, params)
            slow = jax.tree.map(
                lambda s, m, p: s if _follows(s, p) else m, state.slow, moved, params
            )
            return trees.cast_like(to_moved, params), slow, weight

        def go_on(steps):
            no_alpha = jnp.zeros((), trees.scalar_dtype())
            return trees.cast_like(steps, params), state.slow, no_alpha

        # The adaptive α is worth a branch. Else the choice is fused into the updates.
        choose = jax.lax.cond if adaptive else _select
        steps, slow, pending = choose(count % k == 0, sync, go_on, steps)
        return steps, state._replace(
            count=count,
            pending=pending,
            slow=slow,
            fisher=fisher,
            base_state=base_state,
        )

    return optax.GradientTransformationExtraArgs(init, update)


def lookahead_eval_params(state: Any, params: Any) -> Any:
    """The slow weights φ, where the model is evaluated.

    Over a Schedule-Free base, whose θ is y, this is the x that goes with the slow y and
    the slow z.

    Args:
      state: the optimizer's state, or one that holds `LookaheadState`s anywhere: of
        `optax.chain`, `inject_hyperparams`, `multi_transform`, `MultiSteps`.
      params: θ, the parameters being trained.

    Returns:
      φ in the structure and the dtypes of `params`, which stay as they are where no
      state covers them. It shares no buffer with the state or the parameters.

    Raises:
      ValueError: where there is no `LookaheadState` in `state`.

    Example:
      >>> optimizer = lookahead(optax.sgd(0.1), k=5)
      >>> params = jnp.ones(2)
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update(jnp.ones(2), state, params)
      >>> print(lookahead_eval_params(state, optax.apply_updates(params, updates)))
      [1. 1.]

    Source: Zhang et al., arXiv 1907.08610, Algorithm 1.
    """
    for found in trees.find(state, LookaheadState, "lookahead_eval_params"):
        fast = trees.take(params, found.slow, "lookahead_eval_params")
        found = jax.tree.map(jnp.asarray, found)
        theta = jax.tree.unflatten(jax.tree.structure(found.slow), fast)
        followed = _follow(found._replace(momentum=None), theta, "keep")
        x = followed.slow
        if followed.sequences:
            slow_base = trees.write_fields(
                followed.base_state, _sequence_fields, followed.sequences
            )
            x = averaging.eval_params(slow_base, x, "lookahead_eval_params")
        x = trees.copy_like(jax.tree.leaves(x), fast)
        params = trees.put(params, found.slow, x)
    return params


class _Moving(NamedTuple):
    """The trees in a base's state that a sync changes."""

    sequences: tuple[dict[str, Any], ...]
    momentum: tuple[dict[str, Any], ...]


def _moving_parts(base_state, params, momentum) -> _Moving:
    sequences = trees.read_fields(base_state, _sequence_fields)
    if momentum == "keep":
        return _Moving(sequences, ())
    skip = trees.named_tuple_types(params)
    return _Moving(sequences, trees.read_fields(base_state, _momentum_fields, skip))


def _with_moving_parts(base_state, params, moving: _Moving):
    skip = trees.named_tuple_types(params)
    if moving.sequences:
        base_state = trees.write_fields(base_state, _sequence_fields, moving.sequences)
    if moving.momentum:
        base_state = trees.write_fields(
            base_state, _momentum_fields, moving.momentum, skip
        )
    return base_state


def _sequence_fields(node) -> tuple[str, ...]:
    return ("z", "x") if isinstance(node, ScheduleFreeState) else ()


def _momentum_fields(node) -> tuple[str, ...]:
    names = trees.fields_of_named_tuple(node)
    return tuple(name for name in ("mu", "trace") if name in names)


def _select(condition, f, g, *operands):
    """`jax.lax.cond` without a branch: both are computed."""
    return jax.tree.map(
        lambda a, b: jnp.where(condition, a, b), f(*operands), g(*operands)
    )


def _moved(slow, params, steps, weight):
    """φ + α (θ_k - φ), with θ_k where the steps lead to."""
    return trees.leafwise(
        lambda s, p, u, weight: s + weight * (p + u - s),
        slow,
        params,
        steps,
        weight=weight,
    )


def _follow(state, params, momentum):
    """The state after the sync, if there was one, that set θ to `params`.

    In the step of the sync itself φ, momentum and sequences would each have to wait
    for the updates, which are then tensors of their own instead of being fused into
    what applies them: twice the time and a copy of the parameters in memory.
    """
    moving = _moving_parts(state.base_state, params, momentum)
    cached = _Moving(state.sequences or (), state.momentum or ())
    theta = jax.tree.map(lambda s, p: p if _follows(s, p) else s, state.slow, params)

    def follow(theta, slow, moving, cached):
        del slow
        sequences = trees.interpolate(cached.sequences, moving.sequences, state.pending)
        if momentum == "reset":
            reset = jax.tree.map(jnp.zeros_like, moving.momentum)
            return theta, _Moving(sequences, reset), _Moving(sequences, ())
        pulled = trees.interpolate(cached.momentum, moving.momentum, state.pending)
        back = trees.cast_like(pulled, moving.momentum)
        return theta, _Moving(sequences, back), _Moving(sequences, pulled)

    slow, moving, cached = jax.lax.cond(
        state.pending != 0,
        follow,
        lambda theta, *same: same,
        theta,
        state.slow,
        moving,
        cached,
    )
    return state._replace(
        slow=slow,
        momentum=cached.momentum if momentum == "pullback" else None,
        sequences=cached.sequences or None,
        base_state=_with_moving_parts(state.base_state, params, moving),
    )


def _follows(slow, fast) -> bool:
    """Whether a leaf of φ can be had from θ after a sync.

    θ in low precision is only φ rounded, and φ is computed in the step of the sync.
    """
    return slow.dtype == fast.dtype


def _adaptive_alpha(slow_params_steps, grads, fisher, correction, lowest):
    """α of Proposition 1, with the diagonal F for the curvature."""
    curvature = correction * trees.total(
        lambda s, p, u, f: f * (s - (p + u)) ** 2, *slow_params_steps, fisher
    )
    slope = trees.total(lambda s, p, u, g: g * (s - (p + u)), *slow_params_steps, grads)
    is_flat = curvature == 0
    ratio = slope / jnp.where(is_flat, 1, curvature)
    return jnp.where(is_flat, 1, jnp.clip(1 + ratio, lowest, 1))
