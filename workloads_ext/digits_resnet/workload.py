"""Digits ResNet: data, sizes and model settings, whatever the framework.

The data are scikit-learn's handwritten digits, 8x8 pixels.
"""

from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from workloads_ext.common.data import Batch
from workloads_ext.common.source import ArraysBuilder
from workloads_ext.common.workload import EmbeddedWorkload

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


def shift_images(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shifts each of (n, h, w, c) images by up to a pixel each way, zeros beyond."""
    n, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    corners = rng.integers(0, 3, size=(2, n, 1))
    rows, columns = corners[0] + np.arange(height), corners[1] + np.arange(width)
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


class BaseDigitsResNetWorkload(EmbeddedWorkload):
    """Classifies 8x8 digits; inputs are float32 (batch, 8, 8, 1) here."""

    name = "digits_resnet"
    dataset = Digits
    sizes = SIZES

    metrics = ("accuracy", "loss")
    output_layer = "fc"
    has_batch_norm = True
    train_mean, train_stddev = 4.893, 6.023  # of pixels, which are 0 to 16
    model_options: ClassVar = {
        "num_classes": 10,
        "stage_widths": (16, 32, 64),
        "stage_sizes": (1, 1, 1),
        "bn_init_scale": 0.0,  # of the last batch norm of each block
    }

    def _make_batch(
        self, examples: dict[str, np.ndarray], rng: np.random.Generator | None
    ) -> Batch:
        images = examples["image"]
        if rng is not None:
            images = shift_images(images, rng)
        inputs = (images.astype(np.float32) - self.train_mean) / self.train_stddev
        return {"inputs": inputs.astype(np.float32), "targets": examples["label"]}
