"""Batch-norm statistics that belong to x, where the model is evaluated."""

import collections
import functools
from collections.abc import Callable
from typing import Any

import flax.core
import jax
import jax.numpy as jnp
import numpy as np

from unscheduled import spec
from unscheduled.entries import RECENT_BATCHES

COLLECTION = "batch_stats"


class BatchNormStatistics:
    r"""Refreshes running statistics at x from the batches seen since the last time.

    A forward pass at x over each recent batch b, from statistics set to zero, gives
    (1 - m) s_b, where m is the share that a layer keeps of its old statistics, and
    one more pass from ones tells m. The new statistics are the mean of s_b: no trace
    of y is left, whatever m is and however the model is written. Nothing is kept and
    nothing is run where the model has no batch norm.

    Holds nothing that a checkpoint needs, because the batches are let go at every
    evaluation.

    Args:
      forward: (params, batch, model_state, rng) to the new model state, in TRAIN
        mode.
      replicated, sharded: shardings of parameters and of batches.
    """

    def __init__(
        self,
        forward: Callable[..., spec.ModelAuxiliaryState],
        replicated: jax.sharding.Sharding,
        sharded: jax.sharding.Sharding,
    ):
        self._pass = jax.jit(
            functools.partial(_one_pass, forward),
            in_shardings=(replicated, sharded, *[replicated] * 3),
            out_shardings=replicated,
        )
        self._mean = jax.jit(_mean, in_shardings=replicated, out_shardings=replicated)
        self._recent = collections.deque(maxlen=RECENT_BATCHES)

    def observe(
        self, batch: dict[str, Any], model_state: spec.ModelAuxiliaryState
    ) -> None:
        """Keeps a training batch for the next refresh."""
        if model_state and COLLECTION in model_state:
            self._recent.append(batch)

    def refresh(
        self,
        params: spec.ParameterContainer,
        model_state: spec.ModelAuxiliaryState,
        rng: spec.RandomState,
    ) -> spec.ModelAuxiliaryState:
        """The model state with statistics that are means over the recent batches.

        Args:
          params: x.
        """
        if not self._recent:
            return model_state
        batches = list(self._recent)
        self._recent.clear()

        def one_pass(batch, start):
            return self._pass(params, batch, model_state, rng, np.float32(start))

        from_ones = one_pass(batches[0], 1.0)
        from_zeros = total = one_pass(batches[0], 0.0)
        for batch in batches[1:]:
            total = jax.tree.map(jnp.add, total, one_pass(batch, 0.0))
        old = model_state[COLLECTION]
        new = self._mean(old, total, from_ones, from_zeros, np.float32(len(batches)))
        return flax.core.copy(model_state, {COLLECTION: new})


def _one_pass(forward, params, batch, model_state, rng, start):
    """The statistics after one batch, from `start` in every entry."""
    old = model_state[COLLECTION]
    filled = jax.tree.map(lambda s: jnp.full_like(s, start), old)
    state = flax.core.copy(model_state, {COLLECTION: filled})
    new = forward(params, batch, state, rng)[COLLECTION]
    # Some models give their statistics back with extra axes of length one.
    return jax.tree.map(lambda s, o: s.reshape(o.shape), new, old)


def _mean(old, total, from_ones, from_zeros, num_batches):
    """The mean over the batches, with the share m that each layer keeps undone."""

    def leaf(before, t, a, b):
        m = jnp.median(a - b)
        # A frozen layer keeps all of its statistics: m = 1.
        return jnp.where(m < 1 - 1e-6, t / (num_batches * (1 - m)), before)

    return jax.tree.map(leaf, old, total, from_ones, from_zeros)
