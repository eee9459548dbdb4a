"""Logistic regression on real data, the problem of two of the evidence pages.

F(w) = mean cross-entropy of softmax(X w) on the training split + L2 / 2 |w|². The
second term makes F strongly convex: a minimum exists, and is known to within
|∇F|² / (2 L2). Weights carry a leading axis of seeds: shape (seeds, features, classes).
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn import datasets
from sklearn.model_selection import train_test_split

LOADERS = {"breast_cancer": datasets.load_breast_cancer, "digits": datasets.load_digits}
L2 = 1e-3


class Split(NamedTuple):
    """inputs: (n, features), standardized, with a column of ones; labels: (n,)."""

    inputs: np.ndarray
    labels: np.ndarray


class Problem(NamedTuple):
    """minimum: the least training loss; certified: how far off it can be at most."""

    name: str
    train: Split
    test: Split
    classes: int
    minimum: float
    certified: float


def load(name: str) -> Problem:
    """A data set of `LOADERS`, a quarter of it held out for testing."""
    bunch: Any = LOADERS[name]()
    splits: Any = train_test_split(
        bunch.data, bunch.target, test_size=0.25, random_state=0, stratify=bunch.target
    )
    inputs, test_inputs, labels, test_labels = splits
    mean, scale = inputs.mean(0), inputs.std(0)
    scale[scale == 0] = 1  # pixels that are always blank
    train = Split(_with_ones((inputs - mean) / scale), labels)
    test = Split(_with_ones((test_inputs - mean) / scale), test_labels)
    minimum, certified = _minimum(train, classes := int(labels.max()) + 1)
    return Problem(name, train, test, classes, minimum, certified)


def zeros(problem: Problem, seeds: int) -> np.ndarray:
    """Zeros, for every seed: what differs from seed to seed is the batches."""
    return np.zeros((seeds, problem.train.inputs.shape[1], problem.classes))


def batches(
    problem: Problem, seeds: range, steps: int, batch_size: int
) -> list[np.ndarray]:
    """For each step the rows in the batch of each seed, drawn with replacement."""
    size = (steps, batch_size)
    count = len(problem.train.labels)
    drawn = [np.random.default_rng(s).integers(count, size=size) for s in seeds]
    return list(np.stack(drawn, axis=1))


def gradient(problem: Problem, weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The gradient of F on the rows (seeds, batch): one batch for each seed."""
    return _gradient(problem.train.inputs[rows], problem.train.labels[rows], weights)


def gap(problem: Problem, weights: np.ndarray) -> np.ndarray:
    """F(w) - min F for each seed."""
    return _losses(problem.train, weights) - problem.minimum


def test_error(problem: Problem, weights: np.ndarray) -> np.ndarray:
    """The share of test examples that each seed's weights get wrong."""
    guesses = (problem.test.inputs @ weights).argmax(-1)
    return (guesses != problem.test.labels).mean(-1)


def _with_ones(inputs: np.ndarray) -> np.ndarray:
    return np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)


def _losses(split: Split, weights: np.ndarray) -> np.ndarray:
    logits = split.inputs @ weights
    chosen = np.take_along_axis(logits, split.labels[None, :, None], -1)[..., 0]
    losses = logsumexp(logits, axis=-1) - chosen
    return losses.mean(-1) + L2 / 2 * np.sum(weights**2, axis=(1, 2))


def _gradient(
    inputs: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    logits = inputs @ weights
    errors = np.exp(logits - logits.max(-1, keepdims=True))
    errors /= errors.sum(-1, keepdims=True)
    errors -= np.eye(weights.shape[-1])[labels]
    return inputs.swapaxes(-1, -2) @ errors / labels.shape[-1] + L2 * weights


def _minimum(train: Split, classes: int) -> tuple[float, float]:
    """The minimum by L-BFGS, and a bound on the error of a strongly convex loss."""
    shape = (1, train.inputs.shape[1], classes)
    inputs, labels = train.inputs[None], train.labels[None]
    found = minimize(
        lambda w: _losses(train, w.reshape(shape))[0],
        np.zeros(np.prod(shape)),
        jac=lambda w: _gradient(inputs, labels, w.reshape(shape)).ravel(),
        method="L-BFGS-B",
        options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 0, "gtol": 1e-9},
    )
    slope = _gradient(inputs, labels, found.x.reshape(shape))
    return float(found.fun), float(np.sum(slope**2) / (2 * L2))
