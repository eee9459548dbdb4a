"""Standard-library language model in PyTorch."""

from workloads_ext.common.torch import TorchWorkload
from workloads_ext.stdlib_lm.stdlib_lm_pytorch.models import Transformer
from workloads_ext.stdlib_lm.workload import BaseStdlibLmWorkload

__all__ = ["StdlibLmWorkload"]


class StdlibLmWorkload(BaseStdlibLmWorkload, TorchWorkload):
    """Dropout draws from PyTorch's global generator."""

    def _make_model(self) -> Transformer:
        return Transformer(
            self.vocab_size,
            self.seq_len,
            self.width,
            self.num_layers,
            self.num_heads,
            self.mlp_width,
        )
