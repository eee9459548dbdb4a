"""Digits ViT in JAX."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from workloads_ext.common.jax import JaxWorkload
from workloads_ext.common.layers_jax import Block, Dropout, layer_norm, sinusoids
from workloads_ext.digits_vit.workload import (
    BaseDigitsVitPostLnWorkload,
    BaseDigitsVitWorkload,
)


class ViT(nn.Module):
    """Patches, fixed positions, blocks, and a head over the mean of all tokens."""

    num_classes: int
    patch: int
    width: int
    num_layers: int
    num_heads: int
    mlp_width: int
    post_norm: bool
    dropout_rate: float
    channels: int = 1

    @nn.compact
    def __call__(self, images: jax.Array, deterministic: bool) -> jax.Array:
        """Maps float32 images (n, h, w, channels) to logits (n, num_classes)."""
        patch = (self.patch, self.patch)
        x = nn.Conv(self.width, patch, patch, "VALID", name="conv_patch")(images)
        n, height, breadth, width = x.shape
        x = x.reshape(n, -1, width) + _positions(width, height, breadth)
        x = Dropout(self.dropout_rate, deterministic)(x)
        for i in range(self.num_layers):
            options = (self.num_heads, self.mlp_width, self.dropout_rate)
            block = Block(*options, post_norm=self.post_norm, name=f"blocks_{i}")
            x = block(x, deterministic)
        x = layer_norm(name="ln_last")(x).mean(axis=1)
        x = jnp.tanh(nn.Dense(width, name="pre_logits")(x))
        zeros = nn.initializers.zeros
        return nn.Dense(self.num_classes, kernel_init=zeros, name="head")(x)


def _positions(width: int, height: int, breadth: int) -> jax.Array:
    """Half of the width says the row, half the column: (height * breadth, width)."""
    rows, columns = sinusoids(height, width // 2), sinusoids(breadth, width // 2)
    shape = (height, breadth, width // 2)
    parts = jnp.broadcast_to(rows[:, None], shape), jnp.broadcast_to(columns, shape)
    return jnp.concatenate(parts, axis=2).reshape(-1, width)


class DigitsVitWorkload(BaseDigitsVitWorkload, JaxWorkload):
    """Images are of 16x16 pixels."""

    model_class = ViT
    example_inputs = np.zeros((1, 16, 16, 1), np.float32)


class DigitsVitPostLnWorkload(BaseDigitsVitPostLnWorkload, DigitsVitWorkload):
    """With layer norm after each sum."""
