"""Batch-norm statistics that belong to x, where the model is evaluated."""

import functools
from collections.abc import Callable
from typing import Any

import flax.core
import jax
import jax.numpy as jnp
import numpy as np

from ... import spec
from ..batch_norm import RecentBatches, share_of_new

COLLECTION = "batch_stats"


class BatchNormStatistics:
    """Refreshes running statistics as `entries/batch_norm.py` says.

    `forward` is from (params, batch, model_state, rng) to (outputs, new model state).
    """

    def __init__(self, forward: Callable[..., Any], replicated: Any, sharded: Any):
        self._pass = jax.jit(
            functools.partial(_one_pass, forward),
            in_shardings=(replicated, sharded, *[replicated] * 3),
            out_shardings=replicated,
        )
        self._mean = jax.jit(_mean, in_shardings=replicated, out_shardings=replicated)
        self._recent = RecentBatches()
        self._shares: Any = None  # 1 - m of each leaf, once it is known

    def observe(self, batch: dict[str, Any], model_state: Any) -> None:
        """Keeps a training batch for the next refresh."""
        if model_state and COLLECTION in model_state:
            self._recent.append(batch)

    def refresh(self, params, model_state, rng) -> spec.ModelAuxiliaryState:
        """The model state with statistics at `params`, means over finite batches."""
        batches = self._recent.take()
        if not batches:
            return model_state

        def one_pass(batch, start):
            return self._pass(params, batch, model_state, rng, np.float32(start))

        found = [one_pass(batch, 0.0) for batch in batches]
        for batch, from_zeros in zip(batches, found, strict=True):
            if self._shares is None:
                self._shares = _shares(one_pass(batch, 1.0), from_zeros)
        if self._shares is None:
            return model_state
        new = self._mean(model_state[COLLECTION], self._shares, found)
        return flax.core.copy(model_state, {COLLECTION: new})


def _one_pass(forward, params, batch, model_state, rng, start):
    """The statistics after one batch, from `start` in every entry."""
    old = model_state[COLLECTION]
    filled = jax.tree.map(lambda s: jnp.full_like(s, start), old)
    state = flax.core.copy(model_state, {COLLECTION: filled})
    new = forward(params, batch, state, rng)[1][COLLECTION]
    # Some models give their statistics back with extra axes of length one.
    return jax.tree.map(lambda s, o: s.reshape(o.shape), new, old)


def _shares(from_ones, from_zeros):
    """1 - m of each leaf; None where the batch was not finite."""
    kept = jax.tree.map(lambda a, b: jnp.median(a - b), from_ones, from_zeros)
    kept = jax.device_get(kept)
    if not np.all(np.isfinite(jax.tree.leaves(kept))):
        return None
    return jax.tree.map(lambda m: np.float32(share_of_new(float(m))), kept)


def _mean(old, shares, found):
    """The mean of those that are finite; a frozen layer, of share 0, stays as it is."""
    are_finite = [
        jnp.all(jnp.stack([jnp.all(jnp.isfinite(s)) for s in jax.tree.leaves(tree)]))
        for tree in found
    ]
    count = sum(are_finite)

    def leaf(before, share, *statistics):
        pairs = zip(are_finite, statistics, strict=True)
        total = sum(jnp.where(finite, s, 0) for finite, s in pairs)
        known = (count > 0) & (share > 0)
        return jnp.where(known, total / jnp.where(known, count * share, 1), before)

    return jax.tree.map(leaf, old, shares, *found)
