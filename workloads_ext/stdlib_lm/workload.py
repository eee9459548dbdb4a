"""Standard-library language model: data, sizes and model settings.

The data are the sources of Python's standard library, in bytes.
"""

import hashlib
import math
import pathlib
import sys
import sysconfig
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from workloads_ext.common.data import Batch
from workloads_ext.common.source import ArraysBuilder
from workloads_ext.common.workload import EmbeddedWorkload

SEQ_LEN = 64
SIZES = {"train": 16384, "validation": 256, "test": 256}
_PACKAGES = (  # in every Python from 3.11 on, and in every distribution's Python
    "asyncio",
    "collections",
    "concurrent",
    "email",
    "http",
    "importlib",
    "json",
    "logging",
    "multiprocessing",
    "re",
    "tomllib",
    "unittest",
    "urllib",
    "xml",
    "zoneinfo",
)


def module_paths() -> dict[str, pathlib.Path]:
    """The corpus by name, such as 'json/decoder.py', sorted.

    Modules that a distribution or a site adds are left out, and so are tests.
    """
    root = pathlib.Path(sysconfig.get_path("stdlib"))
    paths = [p for p in root.glob("*.py") if p.stem in sys.stdlib_module_names]
    for package in _PACKAGES:
        paths += (root / package).rglob("*.py")
    named = {path.relative_to(root).as_posix(): path for path in paths}
    return {
        name: named[name] for name in sorted(named) if "test" not in name.split("/")
    }


def module_split(name: str) -> str:
    """The split of a module: 90 in 100 train, 5 validate, 5 test, by a stable hash."""
    digest = hashlib.sha256(name.encode()).digest()
    part = int.from_bytes(digest[:4], "big") % 20
    return {0: "validation", 1: "test"}.get(part, "train")


def module_windows(content: bytes) -> np.ndarray:
    """Windows of a module, uint8 of shape (n, SEQ_LEN + 1); the tail is dropped.

    Neighbours share one byte, so that each byte but the first is predicted once.
    """
    data = np.frombuffer(content, np.uint8)
    starts = np.arange(0, len(data) - SEQ_LEN, SEQ_LEN)
    return data[starts[:, None] + np.arange(SEQ_LEN + 1)]


def _split_windows(split: str) -> np.ndarray:
    """The windows of a split, evenly spread over all that its modules have."""
    parts = [
        module_windows(path.read_bytes())
        for name, path in module_paths().items()
        if module_split(name) == split
    ]
    windows = np.concatenate([np.empty((0, SEQ_LEN + 1), np.uint8), *parts])
    if len(windows) < SIZES[split]:
        raise OSError(
            f"The sources of the standard library in {sysconfig.get_path('stdlib')} "
            f"fill only {len(windows)} of {SIZES[split]} {split} examples."
        )
    return windows[np.arange(SIZES[split]) * len(windows) // SIZES[split]]


class PythonStdlib(ArraysBuilder):
    """Windows of SEQ_LEN + 1 bytes of the running Python's own modules.

    Its config is named after the running Python, whose sources it holds.
    """

    VERSION = tfds.core.Version("2.0.0")
    BUILDER_CONFIGS = (
        tfds.core.BuilderConfig(
            name="python{}.{}.{}".format(*sys.version_info[:3]),
            description="The sources of this release of Python.",
        ),
    )
    shapes: ClassVar = {"text": ((SEQ_LEN + 1,), np.uint8)}

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        return {split: {"text": _split_windows(split)} for split in SIZES}


class BaseStdlibLmWorkload(EmbeddedWorkload):
    """Mirrors finewebedu_lm: the next byte, in perplexity.

    Inputs and targets are integers (batch, seq_len). As officially, the model has no
    dropout.
    """

    name = "stdlib_lm"
    mirrors = "finewebedu_lm"
    dataset = PythonStdlib
    sizes = SIZES

    metrics = ("ppl", "loss")
    output_layer = "embed"
    widths = ("width", "mlp_width")
    model_options: ClassVar = {
        "vocab_size": 256,
        "width": 96,
        "num_layers": 2,
        "num_heads": 4,
        "mlp_width": 192,
    }

    def _make_batch(
        self, examples: dict[str, np.ndarray], rng: np.random.Generator | None
    ) -> Batch:
        del rng
        text = examples["text"]
        return {"inputs": text[:, :-1], "targets": text[:, 1:]}

    def _metrics(
        self, means: dict[str, float], rows: dict[str, np.ndarray]
    ) -> dict[str, float]:
        del rows
        return {**means, "ppl": math.exp(means["loss"])}
