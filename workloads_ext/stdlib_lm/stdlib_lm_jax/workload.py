"""Standard-library language model in JAX: a transformer, and the workload."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from workloads_ext.common.jax import JaxWorkload
from workloads_ext.stdlib_lm.workload import SEQ_LEN, BaseStdlibLmWorkload

_rms_norm = functools.partial(nn.RMSNorm, epsilon=1e-6)


def _linear(width: int, stddev: float = 0.02, *, name: str) -> nn.Dense:
    init = nn.initializers.normal(stddev)
    return nn.Dense(width, use_bias=False, kernel_init=init, name=name)


def _rotated(x: jax.Array) -> jax.Array:
    """Turns pairs of (batch, length, heads, width) by their position (2104.09864)."""
    length, width = x.shape[1], x.shape[3]
    rates = 1e4 ** -(jnp.arange(0, width, 2) / width)
    angles = (jnp.arange(length)[:, None] * rates)[:, None]
    a, b = x[..., 0::2], x[..., 1::2]
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.stack([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape)


def _normalised(x: jax.Array) -> jax.Array:
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-6)


class Scale(nn.Module):
    """A learned factor."""

    start: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps to the same shape."""
        return x * self.param("scale", nn.initializers.constant(self.start), (1,))


class Attention(nn.Module):
    """Causal self-attention of rotated and normalised queries and keys."""

    num_heads: int
    stddev: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (batch, length, width) to the same shape."""
        batch, length, width = x.shape
        heads = _linear(3 * width, name="qkv")(x)
        heads = heads.reshape(batch, length, 3, self.num_heads, -1)
        q, k, v = jnp.moveaxis(heads, 2, 0)
        q, k = (_normalised(_rotated(part)) for part in (q, k))
        q = Scale(math.log2(SEQ_LEN**2 - SEQ_LEN), name="qk_norm")(q)
        y = jax.nn.dot_product_attention(q, k, v, is_causal=True, scale=1.0)
        return _linear(width, self.stddev, name="out")(y.reshape(x.shape))


class Mlp(nn.Module):
    """A gated linear unit, and a layer back."""

    hidden_width: int
    stddev: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (batch, length, width) to the same shape."""
        hidden = nn.glu(_linear(2 * self.hidden_width, name="up")(x))
        return _linear(x.shape[-1], self.stddev, name="down")(hidden)


class Block(nn.Module):
    """Attention and MLP, each normalised before and added after."""

    num_heads: int
    mlp_width: int
    stddev: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (batch, length, width) to the same shape."""
        attention = Attention(self.num_heads, self.stddev, name="attn")
        x = x + attention(_rms_norm(name="norm1")(x))
        mlp = Mlp(self.mlp_width, self.stddev, name="mlp")
        return x + mlp(_rms_norm(name="norm2")(x))


class Transformer(nn.Module):
    """Embeddings, blocks and a last norm; the embeddings are the head too."""

    vocab_size: int
    width: int
    num_layers: int
    num_heads: int
    mlp_width: int

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Maps integers (batch, length) to logits (batch, length, vocab_size)."""
        init = nn.initializers.normal(0.02)
        embed = nn.Embed(self.vocab_size, self.width, embedding_init=init, name="embed")
        x = embed(tokens)
        stddev = 0.02 / math.sqrt(2 * self.num_layers)  # of what is added to the stream
        for i in range(self.num_layers):
            block = Block(self.num_heads, self.mlp_width, stddev, name=f"blocks_{i}")
            x = block(x)
        return embed.attend(_rms_norm(name="norm_last")(x))


class StdlibLmWorkload(BaseStdlibLmWorkload, JaxWorkload):
    """Tokens are int32."""

    model_class = Transformer
    example_inputs = np.zeros((1, SEQ_LEN), np.int32)
