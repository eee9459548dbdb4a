"""Late flights in JAX."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from workloads_ext.common.jax import JaxWorkload
from workloads_ext.common.layers_jax import Dropout
from workloads_ext.flights_dlrm.workload import (
    CATEGORICAL,
    NUMERIC,
    BaseFlightsDlrmWorkload,
)

_GLOROT_UNIFORM = nn.initializers.xavier_uniform()


def _uniform(scale: float):
    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, 0, scale)

    return init


def _layer(width: int, name: str, init=_GLOROT_UNIFORM) -> nn.Dense:
    bias_init = nn.initializers.normal(width**-0.5)
    return nn.Dense(width, kernel_init=init, bias_init=bias_init, name=name)


class Dlrm(nn.Module):
    """Embeddings and a bottom network, their dot products, and a top network."""

    vocabulary: int
    num_numeric: int
    num_categorical: int
    embed_width: int
    bottom_widths: Sequence[int]
    top_widths: Sequence[int]
    dropout_rate: float

    @nn.compact
    def __call__(self, features: jax.Array, deterministic: bool) -> jax.Array:
        """Maps float32 features (n, numeric and categorical) to logits (n,)."""
        x, categories = jnp.split(features, [self.num_numeric], axis=1)
        for i, width in enumerate((*self.bottom_widths, self.embed_width)):
            x = nn.relu(_layer(width, f"bottom_{i}")(x))
        init = _uniform(self.vocabulary**-0.5)
        embed = nn.Embed(
            self.vocabulary, self.embed_width, embedding_init=init, name="embed"
        )
        vectors = embed(categories.astype(jnp.int32))
        vectors = jnp.concatenate([x[:, None], vectors], axis=1)
        products = jnp.einsum("nid,njd->nij", vectors, vectors)
        rows, columns = np.triu_indices(self.num_categorical + 1)
        x = jnp.concatenate([x, products[:, rows, columns]], axis=1)
        normal = nn.initializers.xavier_normal()
        for i, width in enumerate(self.top_widths):
            x = nn.relu(_layer(width, f"top_{i}", normal)(x))
        x = Dropout(self.dropout_rate, deterministic)(x)
        return _layer(1, "head", normal)(x)[:, 0]


class FlightsDlrmWorkload(BaseFlightsDlrmWorkload, JaxWorkload):
    """A DLRM on eleven numeric and eight hashed features."""

    model_class = Dlrm
    example_inputs = np.zeros((1, len(NUMERIC) + len(CATEGORICAL)), np.float32)
