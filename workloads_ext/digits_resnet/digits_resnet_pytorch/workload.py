"""Digits ResNet in PyTorch."""

import numpy as np

from workloads_ext.common.data import Batch
from workloads_ext.common.torch import TorchWorkload
from workloads_ext.digits_resnet.digits_resnet_pytorch.models import ResNet
from workloads_ext.digits_resnet.workload import BaseDigitsResNetWorkload

__all__ = ["DigitsResNetWorkload"]


class DigitsResNetWorkload(BaseDigitsResNetWorkload, TorchWorkload):
    """Images are (batch, 1, 8, 8)."""

    def _make_model(self) -> ResNet:
        return ResNet(self.stage_widths, self.num_classes, self.bn_init_scale)

    def _make_batch(
        self, examples: dict[str, np.ndarray], rng: np.random.Generator | None
    ) -> Batch:
        batch = super()._make_batch(examples, rng)
        return {**batch, "inputs": batch["inputs"].transpose(0, 3, 1, 2)}
