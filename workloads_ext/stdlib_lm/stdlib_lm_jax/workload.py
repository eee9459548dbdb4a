"""Standard-library language model in JAX: a transformer, and the workload."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from workloads_ext.common.jax import Dropout, JaxWorkload
from workloads_ext.stdlib_lm.workload import SEQ_LEN, BaseStdlibLmWorkload

_layer_norm = functools.partial(nn.LayerNorm, epsilon=1e-5)
_embedding = functools.partial(nn.Embed, embedding_init=nn.initializers.normal(0.02))


class Attention(nn.Module):
    """Causal self-attention of (batch, length, width)."""

    num_heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, length, width = x.shape
        heads = nn.Dense(3 * width, name="qkv")(x)
        heads = heads.reshape(batch, length, 3, self.num_heads, -1)
        q, k, v = jnp.moveaxis(heads, 2, 0)
        y = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        return nn.Dense(width, name="out")(y.reshape(batch, length, width))


class Mlp(nn.Module):
    """Two layers with a GELU between."""

    hidden_width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        hidden = nn.gelu(nn.Dense(self.hidden_width, name="up")(x), approximate=True)
        return nn.Dense(x.shape[-1], name="down")(hidden)


class Block(nn.Module):
    """Attention and MLP, each normalised before and added after."""

    num_heads: int
    mlp_width: int
    dropout_rate: float

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
        dropout = Dropout(self.dropout_rate, deterministic=deterministic)
        y = Attention(self.num_heads, name="attn")(_layer_norm(name="ln1")(x))
        x = x + dropout(y)
        y = Mlp(self.mlp_width, name="mlp")(_layer_norm(name="ln2")(x))
        return x + dropout(y)


class Transformer(nn.Module):
    """Embeddings with learned positions, blocks, a last norm and an untied head."""

    vocab_size: int
    seq_len: int
    width: int
    num_layers: int
    num_heads: int
    mlp_width: int
    dropout_rate: float

    @nn.compact
    def __call__(self, tokens: jax.Array, deterministic: bool) -> jax.Array:
        """Maps integers (batch, length) to logits (batch, length, vocab_size)."""
        positions = jnp.arange(tokens.shape[1])
        x = _embedding(self.vocab_size, self.width, name="embed_token")(tokens)
        x += _embedding(self.seq_len, self.width, name="embed_position")(positions)
        x = Dropout(self.dropout_rate, deterministic=deterministic)(x)
        for i in range(self.num_layers):
            block = Block(
                self.num_heads, self.mlp_width, self.dropout_rate, name=f"blocks_{i}"
            )
            x = block(x, deterministic)
        return nn.Dense(self.vocab_size, name="head")(_layer_norm(name="ln_last")(x))


class StdlibLmWorkload(BaseStdlibLmWorkload, JaxWorkload):
    """Dropout draws from the `rng` of `model_fn`."""

    model_class = Transformer
    example_inputs = np.zeros((1, SEQ_LEN), np.int32)
