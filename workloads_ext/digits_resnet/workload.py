"""Digits ResNet: data, sizes and model settings, whatever the framework.

The data are scikit-learn's handwritten digits, turned, scaled and moved.
"""

from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from scipy import ndimage

from workloads_ext.common.data import Batch
from workloads_ext.common.source import ArraysBuilder
from workloads_ext.common.workload import EmbeddedWorkload

SIDE = 16  # pixels, twice those of the originals
_COPIES = {"train": 8, "validation": 6, "test": 6}  # of each original
_ORIGINALS = {"train": 1197, "validation": 300, "test": 300}
SIZES = {split: count * _COPIES[split] for split, count in _ORIGINALS.items()}
_CLASSES = 10
# How far copies may be turned (degrees), scaled and moved (pixels): test images are
# another distribution, as ImageNet-v2 is to ImageNet.
_REACH = {"train": (30, 0.25, 2.5), "validation": (30, 0.25, 2.5), "test": (35, 0.3, 3)}
_NOISE = 50  # standard deviation, of 255 for the darkest pixel


def split_indices(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Stratified splits of the originals: as many of each digit in both small ones."""
    rng = np.random.RandomState(0)  # its stream is the same in every NumPy release
    held_out = _ORIGINALS["validation"] // _CLASSES
    splits = {"train": [], "validation": [], "test": []}
    for label in range(_CLASSES):
        order = rng.permutation(np.flatnonzero(labels == label))
        splits["validation"].append(order[:held_out])
        splits["test"].append(order[held_out : 2 * held_out])
        splits["train"].append(order[2 * held_out :])
    return {name: np.concatenate(parts) for name, parts in splits.items()}


def originals() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The images (n, 8, 8), 0 to 16, and the digits (n,) of each split."""
    from sklearn.datasets import load_digits  # only when building

    digits: Any = load_digits()
    splits = split_indices(digits.target).items()
    return {name: (digits.images[i], digits.target[i]) for name, i in splits}


def _copy(image: np.ndarray, split: str, rng: np.random.RandomState) -> np.ndarray:
    """An image of 8x8 pixels, 0 to 16, as one of SIDE x SIDE, 0 to 255, transformed."""
    degrees, stretch, shift = _REACH[split]
    angle = np.deg2rad(rng.uniform(-degrees, degrees))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn * (len(image) / SIDE) * rng.uniform(1 - stretch, 1 + stretch, (2, 1))
    centre = (len(image) - 1) / 2 + rng.uniform(-shift, shift, 2) * len(image) / SIDE
    offset = centre - matrix @ np.full(2, (SIDE - 1) / 2)
    seen = ndimage.affine_transform(
        image, matrix, offset.tolist(), (SIDE, SIDE), order=1
    )
    noisy = seen * 255 / 16 + _NOISE * rng.standard_normal(seen.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


class Digits(ArraysBuilder):
    """Images (16, 16, 1) of uint8, copies of 1797 originals, and labels 0 to 9.

    All copies of an original are in one split.
    """

    VERSION = tfds.core.Version("2.0.0")
    shapes: ClassVar = {"image": ((SIDE, SIDE, 1), np.uint8), "label": ((), np.int64)}

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        rng, arrays = np.random.RandomState(0), {}
        for split, (images, digits) in originals().items():
            copies = [
                _copy(image, split, rng)
                for image in images
                for _ in range(_COPIES[split])
            ]
            arrays[split] = {
                "image": np.stack(copies)[..., None],
                "label": digits.repeat(_COPIES[split]).astype(np.int64),
            }
        return arrays


def shift_images(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shifts each of (n, h, w, c) images by up to a pixel each way, zeros beyond."""
    n, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    corners = rng.integers(0, 3, size=(2, n, 1))
    rows, columns = corners[0] + np.arange(height), corners[1] + np.arange(width)
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


class BaseDigitsResNetWorkload(EmbeddedWorkload):
    """Mirrors imagenet_resnet; inputs are float32 (batch, 16, 16, 1) here."""

    name = "digits_resnet"
    mirrors = "imagenet_resnet"
    dataset = Digits
    sizes = SIZES

    metrics = ("accuracy", "loss")
    output_layer = "fc"
    has_batch_norm = True
    train_mean, train_stddev = 76.1, 80.5  # of pixels, which are 0 to 255
    widths = ("stage_widths",)
    model_options: ClassVar = {
        "num_classes": 10,
        "stage_widths": (16, 32, 64),
        "stage_sizes": (1, 1, 1),
        "bn_init_scale": 0.0,  # of the last batch norm of each block
        "activation": "relu",
    }

    def _make_batch(
        self, examples: dict[str, np.ndarray], rng: np.random.Generator | None
    ) -> Batch:
        images = examples["image"]
        if rng is not None:
            images = shift_images(images, rng)
        inputs = (images.astype(np.float32) - self.train_mean) / self.train_stddev
        return {"inputs": inputs.astype(np.float32), "targets": examples["label"]}


class BaseDigitsResNetSiluWorkload(BaseDigitsResNetWorkload):
    """With another activation, as imagenet_resnet_silu."""

    name = "digits_resnet_silu"
    mirrors = "imagenet_resnet_silu"
    model_options: ClassVar = {
        **BaseDigitsResNetWorkload.model_options,
        "activation": "silu",
    }
