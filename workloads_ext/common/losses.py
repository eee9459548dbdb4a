"""Losses of a label each, of tensors of either framework."""

from typing import Any


def sigmoid_cross_entropy(xp: Any, labels: Any, logits: Any) -> Any:
    """The loss of each label, which may be a probability, in nats.

    Args:
      xp: torch or jax.numpy.
      labels, logits: of one shape.
    """
    softplus = xp.clip(logits, 0, None) + xp.log1p(xp.exp(-xp.abs(logits)))
    return softplus - labels * logits
