"""Standard-library language model in JAX."""

from typing import Any

import numpy as np

from workloads_ext.common.jax import JaxWorkload
from workloads_ext.stdlib_lm.stdlib_lm_jax.models import Transformer
from workloads_ext.stdlib_lm.workload import BaseStdlibLmWorkload

__all__ = ["StdlibLmWorkload"]


class StdlibLmWorkload(BaseStdlibLmWorkload, JaxWorkload):
    """Dropout draws from the `rng` of `model_fn`."""

    def _make_model(self, **dropout: Any) -> Transformer:
        return Transformer(
            self.vocab_size,
            self.seq_len,
            self.width,
            self.num_layers,
            self.num_heads,
            self.mlp_width,
            **dropout,
        )

    def _example_inputs(self) -> np.ndarray:
        return np.zeros((1, self.seq_len), np.int32)
