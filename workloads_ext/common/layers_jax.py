"""Layers that several models share, flax.linen; the twins of `layers_torch`."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

layer_norm = functools.partial(nn.LayerNorm, epsilon=1e-5)
embedding = functools.partial(nn.Embed, embedding_init=nn.initializers.normal(0.02))


def sinusoids(length: int, width: int) -> jax.Array:
    """Fixed positions (length, width), by Vaswani et al., section 3.5."""
    rates = jnp.exp(jnp.arange(width // 2) * (-math.log(1e4) / (width // 2 - 1)))
    angles = jnp.arange(length)[:, None] * rates
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)


class Dropout(nn.Module):
    """flax's Dropout, whose rate may be traced too, as the official models'.

    Submissions may pass `dropout_rate` through `jax.jit`.
    """

    rate: float | jax.Array
    deterministic: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Sets a share of the entries to 0 and scales the others up."""
        is_zero = isinstance(self.rate, int | float) and self.rate == 0
        if self.deterministic or is_zero:
            return x
        keep = 1.0 - self.rate
        mask = jax.random.bernoulli(self.make_rng("dropout"), keep, x.shape)
        return jnp.where(mask, x / keep, 0.0)


class Attention(nn.Module):
    """Self-attention, or attention to another sequence."""

    num_heads: int
    causal: bool = False
    cross: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        valid: jax.Array | None = None,
        memory: jax.Array | None = None,
    ) -> jax.Array:
        """Maps (batch, length, width) to the same shape.

        Args:
          valid: bool (batch, keys), which keys may be looked at; None is all.
          memory: (batch, keys, width), what is looked at instead of `x`.
        """
        width = x.shape[-1]
        if self.cross:
            q = nn.Dense(width, name="q")(x)
            k, v = jnp.split(nn.Dense(2 * width, name="kv")(memory), 2, axis=-1)
        else:
            q, k, v = jnp.split(nn.Dense(3 * width, name="qkv")(x), 3, axis=-1)
        heads = (
            part.reshape(*part.shape[:2], self.num_heads, -1) for part in (q, k, v)
        )
        mask = None if valid is None else valid[:, None, None]
        y = jax.nn.dot_product_attention(*heads, mask=mask, is_causal=self.causal)
        return nn.Dense(width, name="out")(y.reshape(x.shape))


def _gelu(x: jax.Array) -> jax.Array:
    return nn.gelu(x, approximate=True)


class Mlp(nn.Module):
    """Two layers with a GELU between, or another activation."""

    hidden_width: int
    activation: Callable[[jax.Array], jax.Array] = _gelu

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (batch, length, width) to the same shape."""
        hidden = self.activation(nn.Dense(self.hidden_width, name="up")(x))
        return nn.Dense(x.shape[-1], name="down")(hidden)


class Block(nn.Module):
    """Attention and MLP, each normalised before and added after, or the other way.

    With `post_norm`, for self-attention only, sums are normalised.
    """

    num_heads: int
    mlp_width: int
    dropout_rate: float = 0.0
    causal: bool = False
    cross: bool = False
    post_norm: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        deterministic: bool,
        valid: jax.Array | None = None,
        memory: jax.Array | None = None,
    ) -> jax.Array:
        """Maps (batch, length, width) to the same shape.

        Args:
          valid: bool (batch, keys): of `memory` where there is one, else of `x`.
          memory: what a block with cross-attention looks at.
        """
        dropout = functools.partial(Dropout, self.dropout_rate, deterministic)
        attention = Attention(self.num_heads, causal=self.causal, name="attn")
        own = None if self.cross else valid
        mlp = Mlp(self.mlp_width, name="mlp")
        if self.post_norm:
            x = layer_norm(name="ln1")(x + dropout()(attention(x, own)))
            return layer_norm(name="ln2")(x + dropout()(mlp(x)))
        x = x + dropout()(attention(layer_norm(name="ln1")(x), own))
        if self.cross:
            attention = Attention(self.num_heads, cross=True, name="cross_attn")
            x = x + dropout()(attention(layer_norm(name="ln_cross")(x), valid, memory))
        return x + dropout()(mlp(layer_norm(name="ln2")(x)))


def masked_batch_norm(name: str) -> Callable[..., jax.Array]:
    """Batch norm of (batch, length, width) over the valid frames of all examples.

    The layer is called with the frames, `use_running_average` and `valid`, bool
    (batch, length).
    """
    layer = nn.BatchNorm(momentum=0.9, epsilon=1e-3, use_fast_variance=False, name=name)

    def apply(x: jax.Array, use_running_average: bool, valid: jax.Array) -> jax.Array:
        return layer(x, use_running_average, mask=valid[..., None])

    return apply
