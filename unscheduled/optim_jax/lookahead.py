"""Lookahead for JAX, over any gradient transformation."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from . import trees
from .moments import bias_correction, moment
from .schedule_free import ScheduleFreeState, schedule_free_eval_params

Momentum = Literal["keep", "reset", "pullback"]


class LookaheadState(NamedTuple):
    """State of Lookahead; what is not needed is empty or None.

    φ and F are trees like the parameters, in float32 where those have low precision.
    """

    count: jax.Array  # fast steps done, int32
    slow: optax.Params  # φ
    sequences: Any  # the slow z and x of each `ScheduleFreeState` in base_state
    momentum: Any  # the fast momentum after the last sync, for "pullback"
    fisher: Any  # F, the moving average of g², for the adaptive α
    base_state: optax.OptState

    like_params = "slow"


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

    The parameters are the fast weights θ; `lookahead_eval_params` gives φ. At every
    k-th step, after that of `base`,

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
        fast_momentum = _read(base_state, _momentum_fields(params, momentum))
        return LookaheadState(
            count=jnp.zeros((), jnp.int32),
            slow=trees.accumulators(params),
            sequences=trees.accumulators(_read(base_state, _sequence_fields)),
            momentum=trees.zeros(fast_momentum) if momentum == "pullback" else (),
            fisher=trees.zeros(params) if adaptive else None,
            base_state=base_state,
        )

    def update(updates, state, params=None, **extra_args):
        params, grads = trees.as_inputs(params, updates, state.slow, "lookahead")
        steps, base_state = inner.update(grads, state.base_state, params, **extra_args)
        steps = trees.as_params_are(steps, params, "lookahead got updates of its base")
        count = state.count + 1
        is_due = count % k == 0
        weight, fisher = jnp.asarray(alpha, trees.scalar_dtype()), None
        if adaptive:
            fisher = moment(state.fisher, grads, fisher_decay, 2)
            correction = bias_correction(count, fisher_decay)
            inputs = (state.slow, params, steps, grads, fisher, correction, weight)
            weight = jax.lax.cond(
                is_due, _adaptive_alpha, lambda *inputs: weight, *inputs
            )

        slow = trees.leafwise(
            lambda s, p, u, weight: jnp.where(is_due, s + weight * (p + u - s), s),
            *(state.slow, params, steps),
            weight=weight,
        )
        steps = trees.leafwise(
            lambda s, p, u: jnp.where(is_due, s - p, u), slow, params, steps
        )
        momentum_fields = _momentum_fields(params, momentum)

        def sync(sequences, pulled, fast_sequences, moved):
            sequences = trees.interpolate(sequences, fast_sequences, weight)
            if momentum == "reset":
                moved = jax.tree.map(jnp.zeros_like, moved)
            elif momentum == "pullback":
                pulled = trees.interpolate(pulled, moved, weight)
                moved = trees.cast_like(pulled, moved)
            return sequences, pulled, sequences, moved

        sequences, pulled, fast_sequences, moved = jax.lax.cond(
            is_due,
            sync,
            lambda *same: same,
            state.sequences,
            state.momentum,
            _read(base_state, _sequence_fields),
            _read(base_state, momentum_fields),
        )
        base_state = _write(base_state, _sequence_fields, fast_sequences)
        base_state = _write(base_state, momentum_fields, moved)
        return trees.cast_like(steps, params), LookaheadState(
            count, slow, sequences, pulled, fisher, base_state
        )

    return optax.GradientTransformationExtraArgs(init, update)


def lookahead_eval_params(state: optax.OptState, params: optax.Params) -> optax.Params:
    """The slow weights φ, where the model is evaluated.

    As `schedule_free_eval_params`, of `LookaheadState`s and θ. Over a Schedule-Free
    base, whose θ is y, this is the x that goes with the slow y and the slow z.

    Example:
      >>> optimizer = lookahead(optax.sgd(0.1), k=5)
      >>> params = jnp.ones(2)
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update(jnp.ones(2), state, params)
      >>> print(lookahead_eval_params(state, optax.apply_updates(params, updates)))
      [1. 1.]

    Source: Zhang et al., arXiv 1907.08610, Algorithm 1.
    """

    def slow_of(found, fast):
        del fast
        if not found.sequences:
            return jax.tree.leaves(found.slow)
        base_state = _write(found.base_state, _sequence_fields, found.sequences)
        return jax.tree.leaves(schedule_free_eval_params(base_state, found.slow))

    name = "lookahead_eval_params"
    return trees.replace(params, state, LookaheadState, name, slow_of)


def _adaptive_alpha(slow, params, steps, grads, fisher, correction, lowest):
    """α of Proposition 1, with the diagonal F for the curvature."""

    def total(f, *arrays):
        sums = jax.tree.leaves(trees.leafwise(lambda *a: jnp.sum(f(*a)), *arrays))
        parts = [leaf.real + leaf.imag for leaf in sums]
        return sum(parts, jnp.zeros_like(lowest)).astype(lowest.dtype)

    d = trees.leafwise(lambda s, p, u: s - (p + u), slow, params, steps)
    curvature = correction * total(lambda d, f: f * d**2, d, fisher)
    slope = total(lambda d, g: g * d, d, grads)
    is_flat = curvature == 0
    ratio = slope / jnp.where(is_flat, 1, curvature)
    return jnp.where(is_flat, 1, jnp.clip(1 + ratio, lowest, 1))


def _sequence_fields(node: Any) -> tuple[str, ...]:
    return ("z", "x") if isinstance(node, ScheduleFreeState) else ()


def _momentum_fields(params: Any, momentum: Momentum):
    """From a node of the base's state to its fields that hold fast momentum."""
    if momentum == "keep":
        return lambda node: ()
    in_params: set[type] = set()
    jax.tree.leaves(params, is_leaf=lambda node: bool(in_params.add(type(node))))

    def fields_of(node):
        if not isinstance(node, tuple) or type(node) in in_params:
            return ()
        return tuple(f for f in ("mu", "trace") if f in getattr(node, "_fields", ()))

    return fields_of


def _read(state: Any, fields_of) -> tuple[dict[str, Any], ...]:
    """The fields that `fields_of` names of each node of a state, in its order."""
    nodes = jax.tree.leaves(state, is_leaf=lambda node: bool(fields_of(node)))
    fields = [{name: getattr(node, name) for name in fields_of(node)} for node in nodes]
    return tuple(filter(None, fields))


def _write(state: Any, fields_of, values: Any) -> Any:
    """The state with what `_read` reads of it replaced."""
    remaining = iter(values)
    return jax.tree.map(
        lambda node: node._replace(**next(remaining)) if fields_of(node) else node,
        state,
        is_leaf=lambda node: bool(fields_of(node)),
    )
