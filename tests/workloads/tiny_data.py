"""A data set that takes no time to make."""

from typing import ClassVar

import numpy as np

from workloads_ext.common.source import ArraysBuilder

SIZES = {"train": 520, "validation": 301, "test": 301}  # two records and more each


class Tiny(ArraysBuilder):
    """A number and its row of four."""

    shapes: ClassVar = {"number": ((), np.int64), "row": ((4,), np.float32)}

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        return {
            split: {
                "number": np.arange(size),
                "row": np.arange(4 * size, dtype=np.float32).reshape(size, 4),
            }
            for split, size in SIZES.items()
        }
