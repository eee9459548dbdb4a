"""Which parameters Muon's step is for, in JAX."""

from collections.abc import Callable
from typing import Any

import jax

from ... import spec

_KIND = spec.ParameterType
_NEVER = (_KIND.EMBEDDING, _KIND.BIAS, _KIND.ATTENTION_BIAS)
# Kernels with an axis for the heads: its neighbours say what it belongs to.
_TO_HEADS = (_KIND.ATTENTION_Q, _KIND.ATTENTION_K, _KIND.ATTENTION_V)


def row_axes(workload: spec.Workload) -> Callable[[Any], Any]:
    """`row_axes` of `schedule_free_muon`, for the workload's hidden matrices.

    Hidden are those that are neither embeddings nor of the output layer, by what the
    workload calls them; a convolution is no matrix. A kernel of attention with an axis
    for the heads is one, from or to all of them.
    """
    kinds = workload.model_params_types

    def of_leaf(path, parameter, kind) -> int:
        module = ".".join(str(key.key) for key in path[:-1])
        if kind in _NEVER or workload.is_output_params(module):
            return 0
        if parameter.ndim == 3:
            return 2 if kind is _KIND.ATTENTION_OUT else int(kind in _TO_HEADS)
        return int(parameter.ndim == 2)

    def of_all(params):
        flat, structure = jax.tree_util.tree_flatten_with_path(params)
        each = zip(flat, jax.tree.leaves(kinds), strict=True)
        return structure.unflatten(of_leaf(*leaf, kind) for leaf, kind in each)

    return of_all
