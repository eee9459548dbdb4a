"""Scikit-learn's handwritten digits, 8x8 pixels, as a TFDS data set."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

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


class Digits(tfds.core.GeneratorBasedBuilder):
    """1797 images (8, 8, 1) uint8 with values 0 to 16, and int64 labels 0 to 9."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None  # nothing is downloaded; finding its checksums needs a package

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8),
                    "label": tfds.features.Scalar(dtype=np.int64),
                }
            ),
        )

    def _split_generators(self, dl_manager) -> dict[str, Any]:
        del dl_manager
        from sklearn.datasets import load_digits  # only when building

        digits: Any = load_digits()
        images = digits.images.astype(np.uint8)[..., None]
        splits = _split_indices(digits.target)
        return {
            split: self._generate_examples(indices, images, digits.target)
            for split, indices in splits.items()
        }

    def _generate_examples(
        self, indices: np.ndarray, images: np.ndarray, labels: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for i in indices.tolist():
            yield i, {"image": images[i], "label": labels[i]}
