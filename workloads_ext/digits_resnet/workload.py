"""Digits ResNet: data, sizes and model settings, whatever the framework."""

from typing import ClassVar

import numpy as np

from workloads_ext.common.data import Batch
from workloads_ext.common.workload import EmbeddedWorkload
from workloads_ext.digits_resnet.dataset import SIZES, Digits


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
