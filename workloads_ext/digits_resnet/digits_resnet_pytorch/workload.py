"""Digits ResNet in PyTorch: the model and the workload."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from workloads_ext.common.data import Batch
from workloads_ext.common.layers_torch import BatchNorm, lecun_normal_
from workloads_ext.common.torch import TorchWorkload
from workloads_ext.digits_resnet.workload import (
    BaseDigitsResNetSiluWorkload,
    BaseDigitsResNetWorkload,
)


def _conv(in_width: int, out_width: int, size: int, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(in_width, out_width, size, stride, padding=size // 2, bias=False)
    lecun_normal_(conv.weight)
    return conv


def _batch_norm(width: int, init_scale: float = 1.0) -> BatchNorm:
    norm = BatchNorm(width, eps=1e-5, momentum=0.1)
    nn.init.constant_(norm.weight, init_scale)
    return norm


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected where the shape changes."""

    def __init__(
        self,
        in_width: int,
        width: int,
        stride: int,
        bn_init_scale: float,
        activation: str,
    ) -> None:
        super().__init__()
        self.activation = getattr(F, activation)
        self.conv1 = _conv(in_width, width, 3, stride)
        self.bn1 = _batch_norm(width)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = _batch_norm(width, bn_init_scale)
        self.has_projection = stride != 1 or in_width != width
        if self.has_projection:
            self.conv_proj = _conv(in_width, width, 1, stride)
            self.bn_proj = _batch_norm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (n, in_width, h, w) to (n, width, h / stride, w / stride)."""
        y = self.activation(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        shortcut = self.bn_proj(self.conv_proj(x)) if self.has_projection else x
        return self.activation(y + shortcut)


class ResNet(nn.Module):
    """Stages of blocks; each stage but the first halves the image."""

    def __init__(
        self,
        stage_widths: Sequence[int],
        stage_sizes: Sequence[int],
        num_classes: int,
        bn_init_scale: float,
        activation: str,
    ) -> None:
        super().__init__()
        self.activation = getattr(F, activation)
        self.conv1 = _conv(1, stage_widths[0], 3)
        self.bn1 = _batch_norm(stage_widths[0])
        self.blocks = nn.Sequential()
        in_width = stage_widths[0]
        for i, width in enumerate(np.repeat(stage_widths, stage_sizes).tolist()):
            stride = 1 if i == 0 or width == in_width else 2
            block = Block(in_width, width, stride, bn_init_scale, activation)
            self.blocks.append(block)
            in_width = width
        self.fc = nn.Linear(in_width, num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps float32 images (n, 1, 16, 16) to logits (n, num_classes)."""
        x = self.activation(self.bn1(self.conv1(images)))
        x = self.blocks(x)
        return self.fc(x.mean(dim=(2, 3)))


class DigitsResNetWorkload(BaseDigitsResNetWorkload, TorchWorkload):
    """Images are (batch, 1, 16, 16)."""

    model_class = ResNet

    def _make_batch(
        self, examples: dict[str, np.ndarray], rng: np.random.Generator | None
    ) -> Batch:
        batch = super()._make_batch(examples, rng)
        return {**batch, "inputs": batch["inputs"].transpose(0, 3, 1, 2)}


class DigitsResNetSiluWorkload(BaseDigitsResNetSiluWorkload, DigitsResNetWorkload):
    """With SiLU."""
