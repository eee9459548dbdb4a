"""Losses in float64 by the formulas of the official workloads, by their names."""

import numpy as np

__all__ = ["counts", "ctc_loss", "hits", "losses"]


def losses(official: str, labels, outputs, label_smoothing: float = 0.0) -> np.ndarray:
    """A loss for each label, or for all labels of an example; the batch first."""
    return _LOSSES[official](labels, outputs, label_smoothing)


def counts(official: str, labels, found: np.ndarray) -> np.ndarray:
    """How many labels each of the losses that were found counts for."""
    is_speech = official.startswith("librispeech")
    return labels["n_labels"] if is_speech else np.ones_like(found)


def hits(labels, logits) -> np.ndarray:
    """Whether the most probable class is the label's."""
    return logits.argmax(-1) == labels


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def _softmax_cross_entropy(labels, logits, label_smoothing):
    classes = logits.shape[-1]
    target = np.eye(classes)[labels] * (1 - label_smoothing) + label_smoothing / classes
    return -(target * _log_softmax(logits)).sum(-1)


def _sigmoid_cross_entropy(labels, logits, label_smoothing):
    del label_smoothing  # officially too
    logits = logits.astype(np.float64)
    return np.logaddexp(0, logits) - labels * logits


def _ogbg(labels, logits, label_smoothing):
    tasks = labels.shape[-1]
    target = labels * (1 - label_smoothing) + label_smoothing / tasks
    return _sigmoid_cross_entropy(target, logits, 0.0)


def _mean_absolute_error(labels, outputs, label_smoothing):
    del label_smoothing  # officially too
    error = np.abs(outputs.astype(np.float64) - labels)
    return error.reshape(len(labels), -1).mean(-1)


def ctc_loss(labels: np.ndarray, log_probs: np.ndarray) -> float:
    """Minus the log-probability of labels; infinite where they can't fit.

    The forward algorithm of Graves et al. (2006), equations 6 and 7, in logs. Of the
    `log_probs` (frames, vocabulary), the first of each frame is the blank's.
    """
    states = np.zeros(2 * len(labels) + 1, np.int64)
    states[1::2] = labels
    may_skip = states != 0
    may_skip[1:2] = False
    may_skip[2:] &= states[2:] != states[:-2]
    alpha = np.where(np.arange(len(states)) == 0, 0.0, -np.inf)
    for frame in log_probs:
        before = np.pad(alpha, (2, 0), constant_values=-np.inf)
        skipped = np.where(may_skip, before[:-2], -np.inf)
        ways = np.stack([alpha, before[1:-1], skipped])
        alpha = np.logaddexp.reduce(ways) + frame[states]
    return -np.logaddexp.reduce(alpha[-2:])


def _librispeech(labels, outputs, label_smoothing):
    del label_smoothing  # officially too
    log_probs = _log_softmax(outputs["logits"])
    rows = zip(
        labels["labels"],
        labels["n_labels"],
        log_probs,
        outputs["n_frames"],
        strict=True,
    )
    found = np.array([ctc_loss(y[:n], x[:frames]) for y, n, x, frames in rows])
    return np.where(np.isfinite(found), found, 0.0)


_LOSSES = {
    "criteo1tb": _sigmoid_cross_entropy,
    "fastmri": _mean_absolute_error,
    "finewebedu_lm": _softmax_cross_entropy,
    "imagenet_resnet": _softmax_cross_entropy,
    "imagenet_vit": _softmax_cross_entropy,
    "librispeech_conformer": _librispeech,
    "librispeech_deepspeech": _librispeech,
    "ogbg": _ogbg,
    "wmt": _softmax_cross_entropy,
}
