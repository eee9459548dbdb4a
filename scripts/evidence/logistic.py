"""Logistic regression on real data, the problem of two of the evidence pages.

F(w) = mean cross-entropy of softmax(X w) on the training split + L2 / 2 |w|². The
second term makes F strongly convex, so that its minimum is known to within
|∇F|² / (2 L2). Weights carry a leading axis of seeds: shape (seeds, features, classes).
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn import datasets
from sklearn.model_selection import train_test_split

LOADERS = {"breast_cancer": datasets.load_breast_cancer, "digits": datasets.load_digits}
L2 = 1e-3


class Problem(NamedTuple):
    """inputs: (examples, features), standardized, with a column of ones.

    minimum: the least training loss; certified: an upper bound on its error.
    """

    name: str
    inputs: np.ndarray
    labels: np.ndarray
    test_inputs: np.ndarray
    test_labels: np.ndarray
    minimum: float = 0.0
    certified: float = 0.0


def load(name: str) -> Problem:
    """A data set of `LOADERS`, a quarter of it held out for testing."""
    bunch: Any = LOADERS[name]()
    splits: Any = train_test_split(
        bunch.data, bunch.target, test_size=0.25, random_state=0, stratify=bunch.target
    )
    inputs, test_inputs, labels, test_labels = splits
    mean, scale = inputs.mean(0), inputs.std(0)
    scale[scale == 0] = 1  # pixels that are always blank
    train, test = (
        np.concatenate([(x - mean) / scale, np.ones((len(x), 1))], axis=1)
        for x in (inputs, test_inputs)
    )
    problem = Problem(name, train, labels, test, test_labels)

    everything = np.arange(len(labels))[None]
    start = zeros(problem, seeds=1)

    def slope(flat: np.ndarray) -> np.ndarray:
        return gradient(problem, flat.reshape(start.shape), everything).ravel()

    found = minimize(
        lambda flat: gap(problem, flat.reshape(start.shape))[0],
        start.ravel(),
        jac=slope,
        method="L-BFGS-B",
        options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 0, "gtol": 1e-9},
    )
    certified = float(np.sum(slope(found.x) ** 2) / (2 * L2))
    return problem._replace(minimum=float(found.fun), certified=certified)


def zeros(problem: Problem, seeds: int) -> np.ndarray:
    """Initial weights, the same for every seed: only the batches differ."""
    return np.zeros((seeds, problem.inputs.shape[1], problem.labels.max() + 1))


def batches(problem: Problem, seeds: range, steps: int, batch_size: int) -> np.ndarray:
    """Indices (steps, seeds, batch) of the examples, drawn with replacement."""
    size = (steps, batch_size)
    count = len(problem.labels)
    drawn = [np.random.default_rng(s).integers(count, size=size) for s in seeds]
    return np.stack(drawn, axis=1)


def gradient(problem: Problem, weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The gradient of F on the examples `rows` (seeds, batch)."""
    inputs, labels = problem.inputs[rows], problem.labels[rows]
    errors = softmax(inputs @ weights, axis=-1) - np.eye(weights.shape[-1])[labels]
    return inputs.swapaxes(-1, -2) @ errors / labels.shape[-1] + L2 * weights


def gap(problem: Problem, weights: np.ndarray) -> np.ndarray:
    """F(w) - min F for each seed."""
    logits = problem.inputs @ weights
    chosen = np.take_along_axis(logits, problem.labels[None, :, None], -1)[..., 0]
    losses = (logsumexp(logits, axis=-1) - chosen).mean(-1)
    return losses + L2 / 2 * np.sum(weights**2, axis=(1, 2)) - problem.minimum


def test_error(problem: Problem, weights: np.ndarray) -> np.ndarray:
    """The share of test examples that each seed's weights get wrong."""
    guesses = (problem.test_inputs @ weights).argmax(-1)
    return (guesses != problem.test_labels).mean(-1)
