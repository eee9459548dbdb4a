"""Digits ResNet in PyTorch."""

import contextlib
from typing import Any

import numpy as np
import torch
from torch import nn

from unscheduled import spec
from workloads_ext.common.data import Batch
from workloads_ext.common.torch import TorchWorkload, cross_entropy
from workloads_ext.digits_resnet.digits_resnet_pytorch.models import ResNet
from workloads_ext.digits_resnet.workload import BaseDigitsResNetWorkload

__all__ = ["DigitsResNetWorkload"]


class DigitsResNetWorkload(BaseDigitsResNetWorkload, TorchWorkload):
    """Parameters are an `nn.Module`; images are (batch, 1, 8, 8)."""

    def _make_batch(
        self, examples: dict[str, np.ndarray], rng: np.random.Generator | None
    ) -> Batch:
        batch = super()._make_batch(examples, rng)
        return {**batch, "inputs": batch["inputs"].transpose(0, 3, 1, 2)}

    def init_model_fn(self, rng: spec.RandomState) -> spec.ModelInitState:
        """The model, seeded by `rng`, and no model state."""

        def make_model():
            return ResNet(self.stage_widths, self.num_classes, self.bn_init_scale)

        return self._initialised(rng, make_model), None

    def is_output_params(self, param_key: spec.ParameterKey) -> bool:
        """Whether a key names parameters of the output layer."""
        return param_key in ("fc.weight", "fc.bias")

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
        """Logits (batch, 10); there is no dropout, so its rate changes nothing.

        Training normalises by the statistics of the batch, which also enter the
        running statistics if `update_batch_norm`; evaluation uses the latter.

        Raises:
          ValueError: if the statistics are to be updated in evaluation.
        """
        del model_state, rng, dropout_rate
        is_training = mode == spec.ForwardPassMode.TRAIN
        if update_batch_norm and not is_training:
            raise ValueError("update_batch_norm must be False in evaluation, got True.")
        params.train(is_training)
        if is_training:
            _set_tracking(params, update_batch_norm)
        with contextlib.nullcontext() if is_training else torch.no_grad():
            return params(augmented_and_preprocessed_input_batch["inputs"]), None

    def loss_fn(
        self,
        label_batch: torch.Tensor,
        logits_batch: torch.Tensor,
        mask_batch: torch.Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> dict[str, torch.Tensor]:
        """Cross-entropy of int64 labels (batch,) given logits (batch, 10), in nats.

        Returns:
          'summed' and 'n_valid_examples', scalars, and 'per_example', (batch,).
        """
        return cross_entropy(label_batch, logits_batch, mask_batch, label_smoothing)

    def _metric_sums(self, logits: torch.Tensor, batch: Batch) -> dict[str, Any]:
        labels, weights = batch["targets"], batch["weights"]
        loss = self.loss_fn(labels, logits, weights)
        correct = (logits.argmax(dim=-1) == labels) * weights
        return {
            "accuracy": correct.sum(),
            "loss": loss["summed"],
            "count": loss["n_valid_examples"],
        }


def _set_tracking(model: nn.Module, track: bool) -> None:
    """Whether training forward passes update the running statistics of `model`."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = track
