"""Schedule-Free AdamW that is evaluated at a short and at a long average in turns."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ...optim_jax import trees
from ...optim_jax.schedule_free import ScheduleFreeState, schedule_free_eval_params


class TwoAveragesState(NamedTuple):
    """Of Schedule-Free, and the average of all z, a tree like it."""

    schedule_free: ScheduleFreeState
    average: optax.Params


def two_averages(
    optimizer: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
    """A Schedule-Free transformation that keeps the average of all z beside x.

    x, whose window `decoupling_c` shortens, follows the training sooner; the average of
    all z, which is x where nothing shortens it, has less noise. Which is nearer to the
    target depends on the workload, and training is the same for both:

        average <- (1 - c) average + c z   with c = w_t / Σ w_s
    """

    def init(params):
        return TwoAveragesState(optimizer.init(params), trees.accumulators(params))

    def update(updates, state, params=None, **extra_args):
        old, average = state
        updates, new = optimizer.update(updates, old, params, **extra_args)
        weight = new.weight_sum - old.weight_sum
        c = weight / jnp.where(new.weight_sum > 0, new.weight_sum, 1.0)
        average = jax.tree.map(
            lambda a, z: a + (c * (z - a)).astype(a.dtype), average, new.z
        )
        return updates, TwoAveragesState(new, average)

    return optax.GradientTransformationExtraArgs(init, update)


def short_average(state: TwoAveragesState, params: optax.Params) -> optax.Params:
    """x, from y."""
    return schedule_free_eval_params(state, params)


def long_average(state: TwoAveragesState, params: optax.Params) -> optax.Params:
    """The average of all z, in the dtypes of the parameters."""
    return jax.tree.map(lambda a, p: a.astype(p.dtype), state.average, params)
