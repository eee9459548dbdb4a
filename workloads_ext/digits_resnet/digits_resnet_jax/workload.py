"""Digits ResNet in JAX."""

import numpy as np

from workloads_ext.common.jax import JaxWorkload
from workloads_ext.digits_resnet.digits_resnet_jax.models import ResNet
from workloads_ext.digits_resnet.workload import BaseDigitsResNetWorkload

__all__ = ["DigitsResNetWorkload"]


class DigitsResNetWorkload(BaseDigitsResNetWorkload, JaxWorkload):
    """Images are (batch, 8, 8, 1)."""

    def _make_model(self) -> ResNet:
        return ResNet(self.stage_widths, self.num_classes, self.bn_init_scale)

    def _example_inputs(self) -> np.ndarray:
        return np.zeros((1, 8, 8, 1), np.float32)
