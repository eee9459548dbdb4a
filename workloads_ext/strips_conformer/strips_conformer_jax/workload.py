"""Strips of digits read by a Conformer in JAX."""

import functools

import jax
from flax import linen as nn

from workloads_ext.common.jax import JaxWorkload
from workloads_ext.common.layers_jax import (
    Attention,
    Dropout,
    Mlp,
    masked_batch_norm,
    sinusoids,
)
from workloads_ext.common.speech_jax import Subsample, ctc_losses, valid_frames
from workloads_ext.strips_conformer.workload import (
    BaseStripsConformerWorkload,
    example_inputs,
)

_layer_norm = functools.partial(nn.LayerNorm, epsilon=1e-6)


class ConvModule(nn.Module):
    """Gated linear unit, depthwise convolution over time, batch norm, swish."""

    kernel: int

    @nn.compact
    def __call__(
        self, x: jax.Array, valid: jax.Array, use_running_average: bool
    ) -> jax.Array:
        """Maps (n, frames, width) to the same shape."""
        width = x.shape[-1]
        x = nn.glu(nn.Dense(2 * width, name="glu")(x)) * valid[..., None]
        x = nn.Conv(
            width,
            (self.kernel,),
            feature_group_count=width,
            use_bias=False,
            name="conv",
        )(x)
        x = masked_batch_norm("bn")(x, use_running_average, valid) * valid[..., None]
        return nn.Dense(width, name="dense")(nn.silu(x))


class ConformerBlock(nn.Module):
    """Half an MLP, attention, convolution, half an MLP and a norm (2005.08100)."""

    num_heads: int
    mlp: int
    kernel: int
    dropout_rate: float

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        valid: jax.Array,
        deterministic: bool,
        use_running_average: bool,
    ) -> jax.Array:
        """Maps (n, frames, width) to the same shape."""
        dropout = functools.partial(Dropout, self.dropout_rate, deterministic)
        y = Mlp(self.mlp, nn.silu, name="mlp1")(_layer_norm(name="ln1")(x))
        x = x + 0.5 * dropout()(y)
        y = Attention(self.num_heads, name="attn")(_layer_norm(name="ln2")(x), valid)
        x = x + dropout()(y)
        y = _layer_norm(name="ln3")(x)
        y = ConvModule(self.kernel, name="convolve")(y, valid, use_running_average)
        x = x + dropout()(y)
        y = Mlp(self.mlp, nn.silu, name="mlp2")(_layer_norm(name="ln4")(x))
        return _layer_norm(name="ln_last")(x + 0.5 * dropout()(y))


class Conformer(nn.Module):
    """Subsampling, positions, Conformer blocks and a head over CTC's vocabulary."""

    bins: int
    vocabulary: int
    width: int
    num_layers: int
    num_heads: int
    mlp: int
    kernel: int
    dropout_rate: float

    @nn.compact
    def __call__(
        self,
        batch: dict[str, jax.Array],
        deterministic: bool,
        use_running_average: bool,
    ) -> dict[str, jax.Array]:
        """Logits (n, frames / 4, vocabulary) and how many 'n_frames' count.

        Args:
          batch: 'frames' (n, frames, bins) and 'n_frames' (n,).
        """
        subsample = Subsample(self.width, name="subsample")
        x, n_frames = subsample(batch["frames"], batch["n_frames"])
        x = x + sinusoids(*x.shape[1:])
        x = Dropout(self.dropout_rate, deterministic)(x)
        valid = valid_frames(n_frames, x.shape[1])
        for i in range(self.num_layers):
            options = (self.num_heads, self.mlp, self.kernel, self.dropout_rate)
            block = ConformerBlock(*options, name=f"blocks_{i}")
            x = block(x, valid, deterministic, use_running_average)
        logits = nn.Dense(self.vocabulary, name="head")(x)
        return {"logits": logits, "n_frames": n_frames}


class StripsConformerWorkload(BaseStripsConformerWorkload, JaxWorkload):
    """A Conformer on strips of up to 160 frames."""

    model_class = Conformer
    example_inputs = example_inputs()

    def _losses(self, labels, outputs, label_smoothing):
        del label_smoothing
        return ctc_losses(labels, outputs)
