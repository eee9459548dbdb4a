"""Digits ViT in PyTorch."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from workloads_ext.common.layers_torch import (
    Block,
    lecun_normal_,
    linear,
    sinusoids,
    zero_bias_,
)
from workloads_ext.digits_resnet.digits_resnet_pytorch.workload import (
    DigitsResNetWorkload,
)
from workloads_ext.digits_vit.workload import (
    BaseDigitsVitPostLnWorkload,
    BaseDigitsVitWorkload,
)


class ViT(nn.Module):
    """Patches, fixed positions, blocks, and a head over the mean of all tokens."""

    def __init__(
        self,
        num_classes: int,
        patch: int,
        width: int,
        num_layers: int,
        num_heads: int,
        mlp_width: int,
        post_norm: bool,
        channels: int = 1,
    ) -> None:
        super().__init__()
        self.conv_patch = nn.Conv2d(channels, width, patch, patch)
        lecun_normal_(self.conv_patch.weight)
        zero_bias_(self.conv_patch)
        self.blocks = nn.ModuleList(
            Block(width, num_heads, mlp_width, post_norm=post_norm)
            for _ in range(num_layers)
        )
        self.ln_last = nn.LayerNorm(width, eps=1e-5)
        self.pre_logits = linear(width, width)
        self.head = nn.Linear(width, num_classes)
        nn.init.zeros_(self.head.weight)
        zero_bias_(self.head)

    def forward(self, images: torch.Tensor, dropout_rate: float) -> torch.Tensor:
        """Maps float32 images (n, channels, h, w) to logits (n, num_classes)."""
        x = self.conv_patch(images)
        x = x.flatten(2).mT + _positions(*x.shape[1:]).to(x.device)
        x = F.dropout(x, dropout_rate, self.training)
        for block in self.blocks:
            x = block(x, dropout_rate)
        x = self.ln_last(x).mean(dim=1)
        return self.head(torch.tanh(self.pre_logits(x)))


def _positions(width: int, height: int, breadth: int) -> torch.Tensor:
    """Half of the width says the row, half the column: (height * breadth, width)."""
    rows, columns = sinusoids(height, width // 2), sinusoids(breadth, width // 2)
    parts = rows[:, None].expand(-1, breadth, -1), columns.expand(height, -1, -1)
    return torch.cat(parts, dim=2).flatten(0, 1)


class DigitsVitWorkload(BaseDigitsVitWorkload, DigitsResNetWorkload):
    """Images are (batch, 1, 16, 16)."""

    model_class = ViT


class DigitsVitPostLnWorkload(BaseDigitsVitPostLnWorkload, DigitsVitWorkload):
    """With layer norm after each sum."""
