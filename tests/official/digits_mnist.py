"""A data set of MNIST's name, shape and size, made from scikit-learn's digits.

    python tests/official/digits_mnist.py DATA_DIR

The official workload `mnist` reads it with `tfds.load("mnist", data_dir=DATA_DIR)`.
Each example is a digit at 20x20 pixels, somewhere near the middle of 28x28, with noise;
the digits of the test split are none of the training split.
"""

import sys
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from scipy.ndimage import zoom
from sklearn.datasets import load_digits
from tensorflow_datasets.image_classification import mnist

TRAIN, TEST = 60_000, 10_000
TEST_DIGITS = 360


def examples(
    images: np.ndarray, labels: np.ndarray, count: int, seed: int
) -> Iterator[tuple[int, dict]]:
    """`count` examples, shifted by up to a pixel."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        digit = rng.integers(len(images))
        top, left = rng.integers(3, 6, size=2)
        canvas = np.zeros((28, 28))
        canvas[top : top + 20, left : left + 20] = images[digit]
        canvas += rng.normal(0, 8, canvas.shape) * (canvas > 0)
        pixels = np.clip(canvas, 0, 255).astype(np.uint8)[..., None]
        yield i, {"image": pixels, "label": int(labels[digit])}


def prepare(data_dir: str) -> None:
    """Writes the data set to `data_dir`, unless it is there."""
    pixels, labels = map(np.asarray, load_digits(return_X_y=True))
    digits = (pixels / 16).reshape(-1, 8, 8)
    large = np.stack([np.asarray(zoom(digit, 2.5, order=1)) for digit in digits])
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = 255 * np.clip(large, 0, 1)[order], labels[order]
    test, train = slice(None, TEST_DIGITS), slice(TEST_DIGITS, None)

    def splits(_, manager):
        del manager  # nothing to download
        return {
            "train": examples(images[train], labels[train], TRAIN, 1),
            "test": examples(images[test], labels[test], TEST, 2),
        }

    # TFDS refuses a subclass of the same name, so the class itself is patched.
    mnist.MNIST._split_generators = splits  # type: ignore[method-assign]
    tfds.builder("mnist", data_dir=data_dir).download_and_prepare()


if __name__ == "__main__":
    prepare(sys.argv[1])
