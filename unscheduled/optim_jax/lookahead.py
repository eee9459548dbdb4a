"""Lookahead for JAX, over any gradient transformation."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from . import trees
from .moments import bias_correction, moment
from .schedule_free import (
    Params,
    ScheduleFreeState,
    schedule_free_eval_params,
)

Momentum = Literal["keep", "reset", "pullback"]


class LookaheadState(NamedTuple):
    """State of Lookahead. The parts that are not needed are empty or None.

    A sync moves θ; the rest of the state follows at the start of the next step. Between
    the two it is as before the sync, with α in `pending` (see `lookahead`).

    count: fast steps done (int32); pending: α of a sync that the rest of the state has
    yet to follow, else 0; slow: φ, a tree like the parameters, in float32 where those
    have low precision; sequences: the slow twins of z and x of each
    `ScheduleFreeState` in the base's state; momentum: the fast momentum after the last
    sync, for "pullback"; fisher: the moving average of g², for the adaptive α;
    base_state: the base's state.
    """

    count: jax.Array
    pending: jax.Array
    slow: optax.Params
    sequences: Any
    momentum: Any
    fisher: Any
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

    φ, momentum, z and x follow a sync in the next step, from the θ that it made. In the
    step itself they would each have to wait for its updates, which are then tensors of
    their own instead of being fused into what applies them: twice the time on a CPU,
    and a copy of the parameters. On a GPU that was not measured. A state and its
    parameters belong together, as in a checkpoint.

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
        fast_momentum = _read(base_state, _momentum_fields(params, momentum))
        return LookaheadState(
            count=jnp.zeros((), jnp.int32),
            pending=jnp.zeros((), trees.scalar_dtype()),
            slow=trees.accumulators(params),
            sequences=trees.accumulators(_read(base_state, _sequence_fields)),
            momentum=trees.zeros(fast_momentum) if momentum == "pullback" else (),
            fisher=trees.zeros(params) if adaptive else None,
            base_state=base_state,
        )

    def update(updates, state, params=None, **extra_args):
        params, grads = trees.as_inputs(params, updates, state.slow, "lookahead")
        state = _follow(state, params, momentum)
        steps, base_state = inner.update(grads, state.base_state, params, **extra_args)
        steps = trees.as_params_are(steps, params, "lookahead got updates of its base")
        count = state.count + 1
        fisher = moment(state.fisher, grads, fisher_decay, 2) if adaptive else None

        def sync(steps):
            weight = jnp.asarray(alpha, trees.scalar_dtype())
            if adaptive:
                correction = bias_correction(count, fisher_decay)
                inputs = (state.slow, params, steps, grads, fisher)
                weight = _adaptive_alpha(inputs, correction, weight)
            moved = trees.leafwise(
                lambda s, p, u, weight: s + weight * (p + u - s),
                *(state.slow, params, steps),
                weight=weight,
            )
            # θ in low precision is φ rounded: φ itself can't follow from it.
            slow = jax.tree.map(
                lambda s, m, p: m if trees.is_low_precision(p) else s,
                *(state.slow, moved, params),
            )
            steps = trees.difference(moved, params)
            return trees.cast_like(steps, params), slow, weight

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


def lookahead_eval_params(state: optax.OptState, params: Params) -> Params:
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

    def slow_of(found, fast):
        theta = jax.tree.unflatten(jax.tree.structure(found.slow), fast)
        found = _follow(jax.tree.map(jnp.asarray, found), theta, "keep")
        x = found.slow
        if found.sequences:
            base_state = _write(found.base_state, _sequence_fields, found.sequences)
            x = schedule_free_eval_params(base_state, x)
        return jax.tree.leaves(x)

    return trees.replace(
        params, state, LookaheadState, "lookahead_eval_params", slow_of
    )


def _follow(state: LookaheadState, theta: Any, momentum: Momentum) -> LookaheadState:
    """The state after the sync, if there was one, that set θ to the parameters."""
    momentum_fields = _momentum_fields(theta, momentum)
    slow = state.slow, state.sequences, state.momentum
    fast = (
        theta,
        _read(state.base_state, _sequence_fields),
        _read(state.base_state, momentum_fields),
    )

    def follow(slow, fast):
        phi, sequences, pulled = slow
        theta, fast_sequences, moved = fast
        phi = jax.tree.map(
            lambda s, p: s if trees.is_low_precision(p) else p, phi, theta
        )
        sequences = trees.interpolate(sequences, fast_sequences, state.pending)
        if momentum == "reset":
            moved = jax.tree.map(jnp.zeros_like, moved)
        elif momentum == "pullback":
            pulled = trees.interpolate(pulled, moved, state.pending)
            moved = trees.cast_like(pulled, moved)
        return (phi, sequences, pulled), (sequences, moved)

    slow, (sequences, moved) = jax.lax.cond(
        state.pending != 0, follow, lambda slow, fast: (slow, fast[1:]), slow, fast
    )
    base_state = _write(state.base_state, _sequence_fields, sequences)
    return state._replace(
        slow=slow[0],
        sequences=slow[1],
        momentum=slow[2],
        base_state=_write(base_state, momentum_fields, moved),
    )


def _select(condition, f, g, operand):
    """`jax.lax.cond` without a branch: both are computed."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), f(operand), g(operand))


def _adaptive_alpha(inputs, correction, lowest):
    """α of Proposition 1, with the diagonal F for the curvature."""
    slow, params, steps, grads, fisher = inputs

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
