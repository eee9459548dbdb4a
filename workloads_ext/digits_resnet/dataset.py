"""Scikit-learn's handwritten digits, 8x8 pixels, as a TFDS data set."""

from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from workloads_ext.common.source import ArraysBuilder

SIZES = {"train": 1197, "validation": 300, "test": 300}
_CLASSES = 10


def _split_indices(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Stratified splits: as many of each digit in validation as in test."""
    rng = np.random.RandomState(0)  # its stream is the same in every NumPy release
    held_out = SIZES["validation"] // _CLASSES
    splits = {"train": [], "validation": [], "test": []}
    for label in range(_CLASSES):
        order = rng.permutation(np.flatnonzero(labels == label))
        splits["validation"].append(order[:held_out])
        splits["test"].append(order[held_out : 2 * held_out])
        splits["train"].append(order[2 * held_out :])
    return {name: np.concatenate(parts) for name, parts in splits.items()}


class Digits(ArraysBuilder):
    """1797 images (8, 8, 1) uint8 with values 0 to 16, and int64 labels 0 to 9."""

    VERSION = tfds.core.Version("1.0.0")
    features: ClassVar = {
        "image": tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8),
        "label": tfds.features.Scalar(dtype=np.int64),
    }
    splits = tuple(SIZES)

    def arrays(self, split: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        from sklearn.datasets import load_digits  # only when building

        digits: Any = load_digits()
        indices = _split_indices(digits.target)[split]
        images = digits.images[indices].astype(np.uint8)[..., None]
        return indices, {"image": images, "label": digits.target[indices]}
