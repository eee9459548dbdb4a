"""Standard-library language model in PyTorch."""

import contextlib
from typing import Any

import torch

from unscheduled import spec
from workloads_ext.common.data import Batch
from workloads_ext.common.torch import TorchWorkload, cross_entropy
from workloads_ext.stdlib_lm.stdlib_lm_pytorch.models import Transformer
from workloads_ext.stdlib_lm.workload import BaseStdlibLmWorkload

__all__ = ["StdlibLmWorkload"]


class StdlibLmWorkload(BaseStdlibLmWorkload, TorchWorkload):
    """Parameters are an `nn.Module`; dropout draws from PyTorch's global generator."""

    def init_model_fn(self, rng: spec.RandomState) -> spec.ModelInitState:
        """The model, seeded by `rng`, and no model state."""

        def make_model():
            return Transformer(
                self.vocab_size,
                self.seq_len,
                self.width,
                self.num_layers,
                self.num_heads,
                self.mlp_width,
            )

        return self._initialised(rng, make_model), None

    def is_output_params(self, param_key: spec.ParameterKey) -> bool:
        """Whether a key names parameters of the output layer."""
        return param_key in ("head.weight", "head.bias")

    def model_fn(
        self,
        params: spec.ParameterContainer,
        augmented_and_preprocessed_input_batch: Batch,
        model_state: spec.ModelAuxiliaryState,
        mode: spec.ForwardPassMode,
        rng: spec.RandomState,
        update_batch_norm: bool,
        dropout_rate: float | None = None,
    ) -> tuple[torch.Tensor, None]:
        """Logits (batch, seq_len, 256); `dropout_rate` None is the default rate."""
        del model_state, rng, update_batch_norm
        is_training = mode == spec.ForwardPassMode.TRAIN
        rate = self.default_dropout_rate if dropout_rate is None else dropout_rate
        params.train(is_training)
        with contextlib.nullcontext() if is_training else torch.no_grad():
            return params(augmented_and_preprocessed_input_batch["inputs"], rate), None

    def loss_fn(
        self,
        label_batch: torch.Tensor,
        logits_batch: torch.Tensor,
        mask_batch: torch.Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> dict[str, torch.Tensor]:
        """Cross-entropy per token, of int64 labels (batch, seq_len), in nats.

        Args:
          label_batch: the next bytes.
          logits_batch: of shape (batch, seq_len, 256).
          mask_batch: 0 or 1, of shape (batch, seq_len) or (batch,), or None.
          label_smoothing: the share of the target spread over all bytes.

        Returns:
          'summed' and 'n_valid_examples' (tokens), scalars, and 'per_example',
          (batch,), summed over the tokens of each.
        """
        return cross_entropy(label_batch, logits_batch, mask_batch, label_smoothing)

    def _metric_sums(self, logits: torch.Tensor, batch: Batch) -> dict[str, Any]:
        loss = self.loss_fn(batch["targets"], logits, batch["weights"])
        return {"loss": loss["summed"], "count": loss["n_valid_examples"]}
