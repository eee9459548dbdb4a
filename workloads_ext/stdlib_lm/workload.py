"""Standard-library language model: data, sizes and model settings."""

from typing import ClassVar

import numpy as np

from workloads_ext.common.data import Batch
from workloads_ext.common.workload import EmbeddedWorkload
from workloads_ext.stdlib_lm.dataset import SEQ_LEN, SIZES, PythonStdlib


class BaseStdlibLmWorkload(EmbeddedWorkload):
    """Predicts the next byte; inputs and targets are integers (batch, seq_len)."""

    name = "stdlib_lm"
    dataset = PythonStdlib
    sizes = SIZES

    output_layer = "head"
    default_dropout_rate = 0.1
    model_options: ClassVar = {
        "vocab_size": 256,
        "seq_len": SEQ_LEN,
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
