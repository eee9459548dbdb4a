"""Batch-norm statistics that belong to x, where the model is evaluated."""

import functools
from collections.abc import Callable
from typing import Any

import flax.core
import jax
import jax.numpy as jnp
import numpy as np

from unscheduled import spec
from unscheduled.entries.batch_norm import RecentBatches, share_of_new

COLLECTION = "batch_stats"


class BatchNormStatistics:
    """Refreshes running statistics from the batches seen since the last time.

    How, and from which: `entries/batch_norm.py`.

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
        self._add, self._mean = (
            jax.jit(f, in_shardings=replicated, out_shardings=replicated)
            for f in (_add, _mean)
        )
        self._recent = RecentBatches()
        self._shares: Any = None  # 1 - m of each leaf, once it is known

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
        """The model state with statistics that are means over recent batches.

        Batches whose statistics are not finite don't count.

        Args:
          params: x.
        """
        batches = self._recent.take()
        if not batches:
            return model_state

        def one_pass(batch, start):
            return self._pass(params, batch, model_state, rng, np.float32(start))

        old = model_state[COLLECTION]
        total, count = None, np.float32(0)
        for batch in batches:
            from_zeros = one_pass(batch, 0.0)
            if self._shares is None:
                self._shares = _shares(one_pass(batch, 1.0), from_zeros)
            total, count = self._add(total, count, from_zeros)
        new = self._mean(old, total, count, self._shares)
        return flax.core.copy(model_state, {COLLECTION: new})


def _one_pass(forward, params, batch, model_state, rng, start):
    """The statistics after one batch, from `start` in every entry."""
    old = model_state[COLLECTION]
    filled = jax.tree.map(lambda s: jnp.full_like(s, start), old)
    state = flax.core.copy(model_state, {COLLECTION: filled})
    new = forward(params, batch, state, rng)[COLLECTION]
    # Some models give their statistics back with extra axes of length one.
    return jax.tree.map(lambda s, o: s.reshape(o.shape), new, old)


def _shares(from_ones, from_zeros):
    """1 - m of each leaf; None where the batch was not finite."""
    kept = jax.device_get(
        jax.tree.map(lambda a, b: jnp.median(a - b), from_ones, from_zeros)
    )
    if not np.all(np.isfinite(jax.tree.leaves(kept))):
        return None
    return jax.tree.map(lambda m: np.float32(share_of_new(float(m))), kept)


def _add(total, count, statistics):
    """Adds a batch's statistics to the total, and one to the count, if finite."""
    if total is None:
        total = jax.tree.map(jnp.zeros_like, statistics)
    leaves = jax.tree.leaves(statistics)
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))
    total = jax.tree.map(lambda t, s: jnp.where(finite, t + s, t), total, statistics)
    return total, count + finite


def _mean(old, total, count, shares):
    """The mean over `count` batches; a frozen layer, of share 0, stays as it is."""
    if shares is None:
        return old

    def leaf(before, t, share):
        known = (count > 0) & (share > 0)
        return jnp.where(known, t / jnp.where(known, count * share, 1), before)

    return jax.tree.map(leaf, old, total, shares)
