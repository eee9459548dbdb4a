"""Strips of digits read by LSTMs in JAX."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from workloads_ext.common.jax import JaxWorkload
from workloads_ext.common.layers_jax import Dropout, masked_batch_norm
from workloads_ext.common.speech_jax import Subsample, ctc_losses, valid_frames
from workloads_ext.strips_conformer.workload import example_inputs
from workloads_ext.strips_deepspeech.workload import BaseStripsDeepspeechWorkload


class Lstm(nn.Module):
    """A long short-term memory; gates are input, forget, cell and output."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (n, frames, in_width) to (n, frames, width)."""
        inputs = nn.Dense(4 * self.width, name="ih")(x)
        kernel, bias = _Hidden(self.width, name="hh")()

        def step(state, gates):
            hidden, cell = state
            gates = gates + hidden @ kernel + bias
            i, f, g, o = jnp.split(gates, 4, axis=-1)
            cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(g)
            hidden = nn.sigmoid(o) * jnp.tanh(cell)
            return (hidden, cell), hidden

        start = jnp.zeros((len(x), self.width), x.dtype)
        _, outputs = jax.lax.scan(step, (start, start), inputs.swapaxes(0, 1))
        return outputs.swapaxes(0, 1)


class _Hidden(nn.Module):
    """The parameters of the hidden state's part of the gates."""

    width: int

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array]:
        shape = (self.width, 4 * self.width)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        return kernel, self.param("bias", nn.initializers.zeros, shape[1:])


class BiLstm(nn.Module):
    """Batch norm, and one LSTM in each direction of time."""

    @nn.compact
    def __call__(self, x, n_frames, valid, use_running_average):
        """Maps (n, frames, width) to the same shape, 0 after the last frame."""
        x = masked_batch_norm("bn")(x, use_running_average, valid) * valid[..., None]
        forwards, backwards = (
            Lstm(x.shape[-1] // 2, name=name) for name in ("forwards", "backwards")
        )
        parts = [
            forwards(x),
            _reversed(backwards(_reversed(x, n_frames)), n_frames),
        ]
        return jnp.concatenate(parts, axis=-1) * valid[..., None]


def _reversed(x: jax.Array, n_frames: jax.Array) -> jax.Array:
    """The first `n_frames` in reverse, the others where they are."""
    numbers, last = jnp.arange(x.shape[1]), n_frames[:, None] - 1
    order = jnp.where(numbers <= last, last - numbers, numbers)
    return jnp.take_along_axis(x, order[..., None], axis=1)


class FeedForward(nn.Module):
    """Batch norm, a dense layer, ReLU and dropout."""

    dropout_rate: float
    deterministic: bool

    @nn.compact
    def __call__(self, x, valid, use_running_average):
        """Maps (n, frames, width) to the same shape."""
        x = masked_batch_norm("bn")(x, use_running_average, valid)
        x = nn.relu(nn.Dense(x.shape[-1], name="dense")(x)) * valid[..., None]
        return Dropout(self.dropout_rate, self.deterministic)(x)


class DeepSpeech(nn.Module):
    """Subsampling, LSTMs and dense layers, all but the first added to their input."""

    bins: int
    vocabulary: int
    width: int
    num_lstms: int
    num_dense: int
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
        x = Dropout(self.dropout_rate, deterministic)(x)
        valid = valid_frames(n_frames, x.shape[1])
        for i in range(self.num_lstms):
            x = x + BiLstm(name=f"lstms_{i}")(x, n_frames, valid, use_running_average)
        for i in range(self.num_dense):
            layer = FeedForward(self.dropout_rate, deterministic, name=f"dense_{i}")
            x = x + layer(x, valid, use_running_average)
        x = nn.LayerNorm(epsilon=1e-6, name="ln_last")(x)
        return {
            "logits": nn.Dense(self.vocabulary, name="head")(x),
            "n_frames": n_frames,
        }


class StripsDeepspeechWorkload(BaseStripsDeepspeechWorkload, JaxWorkload):
    """LSTMs on strips of up to 160 frames."""

    model_class = DeepSpeech
    example_inputs = example_inputs()

    def _losses(self, labels, outputs, label_smoothing):
        del label_smoothing
        return ctc_losses(labels, outputs)
