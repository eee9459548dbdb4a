"""Standard-library language model: data, sizes and model settings."""

import numpy as np

from unscheduled import spec
from workloads_ext.common.data import Batch
from workloads_ext.common.workload import EmbeddedWorkload
from workloads_ext.datasets import python_stdlib

__all__ = ["BaseStdlibLmWorkload"]


class BaseStdlibLmWorkload(EmbeddedWorkload):
    """Predicts the next byte; inputs and targets are integers (batch, seq_len)."""

    name = "stdlib_lm"
    dataset = python_stdlib.PythonStdlib
    sizes = python_stdlib.SIZES

    vocab_size = 256
    seq_len = python_stdlib.SEQ_LEN
    width = 96
    num_layers = 2
    num_heads = 4
    mlp_width = 192
    default_dropout_rate = 0.1

    @property
    def eval_batch_size(self) -> int:
        """The global batch size of evaluation."""
        return 128

    @property
    def train_mean(self) -> None:
        """Bytes have no mean worth the name."""
        return None

    @property
    def train_stddev(self) -> None:
        """Bytes have no standard deviation worth the name."""
        return None

    @property
    def loss_type(self) -> spec.LossType:
        """Softmax cross-entropy, per token."""
        return spec.LossType.SOFTMAX_CROSS_ENTROPY

    def _make_batch(
        self, examples: dict[str, np.ndarray], rng: np.random.Generator | None
    ) -> Batch:
        del rng
        text = examples["text"]
        return {"inputs": text[:, :-1], "targets": text[:, 1:]}
