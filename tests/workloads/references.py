"""Losses in float64 by the formulas of the official workloads, one a loss type."""

import numpy as np

from unscheduled import spec

__all__ = ["hits", "losses"]

_Type = spec.LossType


def losses(
    loss_type: spec.LossType, labels, outputs, label_smoothing: float = 0.0
) -> np.ndarray:
    """A loss for each label that counts, the batch first."""
    return _LOSSES[loss_type](labels, outputs.astype(np.float64), label_smoothing)


def hits(loss_type: spec.LossType, labels, outputs) -> np.ndarray:
    """Whether the most probable class is the label's, where labels are classes."""
    is_sigmoid = loss_type == _Type.SIGMOID_CROSS_ENTROPY
    return (outputs > 0 if is_sigmoid else outputs.argmax(-1)) == labels


def _softmax_cross_entropy(labels, logits, label_smoothing):
    classes = logits.shape[-1]
    target = np.eye(classes)[labels] * (1 - label_smoothing) + label_smoothing / classes
    shifted = logits - logits.max(-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -(target * log_probs).sum(-1)


def _sigmoid_cross_entropy(labels, logits, label_smoothing):
    target = labels * (1 - label_smoothing) + 0.5 * label_smoothing
    return np.logaddexp(0, logits) - target * logits


def _mean_absolute_error(labels, outputs, label_smoothing):
    del label_smoothing
    return np.abs(outputs - labels).reshape(len(labels), -1).mean(-1)


_LOSSES = {
    _Type.SOFTMAX_CROSS_ENTROPY: _softmax_cross_entropy,
    _Type.SIGMOID_CROSS_ENTROPY: _sigmoid_cross_entropy,
    _Type.MEAN_ABSOLUTE_ERROR: _mean_absolute_error,
}
