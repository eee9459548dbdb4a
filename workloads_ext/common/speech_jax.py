"""What models of strips share, flax.linen; the twins of `speech_torch`."""

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn


def valid_frames(n_frames: jax.Array, length: int) -> jax.Array:
    """Bool (n, length), True for the first `n_frames`; the first frame always is."""
    return jnp.arange(length) < jnp.maximum(n_frames, 1)[:, None]


class Subsample(nn.Module):
    """Two 3x3 convolutions that halve frames and bins, and a dense layer."""

    width: int

    @nn.compact
    def __call__(
        self, frames: jax.Array, n_frames: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Maps (n, frames, bins) to (n, frames / 4, width), and how many there are."""
        x = frames[..., None]
        for name in ("conv1", "conv2"):
            n_frames = (n_frames + 1) // 2
            x = nn.relu(nn.Conv(self.width, (3, 3), (2, 2), padding=1, name=name)(x))
            x = x * valid_frames(n_frames, x.shape[1])[:, :, None, None]
        x = x.reshape(*x.shape[:2], -1)
        return nn.Dense(self.width, name="dense")(x), n_frames


def ctc_losses(
    labels: dict[str, jax.Array], outputs: dict[str, jax.Array]
) -> jax.Array:
    """CTC's loss of each strip, (n,); 0 where the labels can't fit.

    Args:
      labels: 'labels' (n, .) and 'n_labels' (n,).
      outputs: 'logits' (n, frames, vocabulary) and 'n_frames' (n,).
    """
    logits = outputs["logits"]
    frames, numbers = jnp.arange(logits.shape[1]), jnp.arange(labels["labels"].shape[1])
    losses = optax.ctc_loss(
        logits,
        (frames >= outputs["n_frames"][:, None]).astype(logits.dtype),
        labels["labels"],
        (numbers >= labels["n_labels"][:, None]).astype(logits.dtype),
    )
    return jnp.where(losses < 1e5, losses, 0.0)
