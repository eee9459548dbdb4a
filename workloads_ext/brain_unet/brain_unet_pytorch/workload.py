"""Undersampled slices of a brain in PyTorch."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from workloads_ext.brain_unet.workload import (
    BaseBrainUnetModelSizeWorkload,
    BaseBrainUnetWorkload,
)
from workloads_ext.common.layers_torch import lecun_normal_, linear
from workloads_ext.common.torch import TorchWorkload


def _conv(in_width: int, out_width: int) -> nn.Conv2d:
    conv = nn.Conv2d(in_width, out_width, 3, padding=1, bias=False)
    lecun_normal_(conv.weight)
    return conv


def _normalised(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(F.instance_norm(x, eps=1e-5), 0.2)


class ConvBlock(nn.Module):
    """Twice a 3x3 convolution, instance norm, leaky ReLU and dropout of channels."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv(in_width, width), _conv(width, width)

    def forward(self, x: torch.Tensor, dropout_rate: float) -> torch.Tensor:
        """Maps (n, in_width, h, w) to (n, width, h, w)."""
        for conv in (self.conv1, self.conv2):
            x = F.dropout2d(_normalised(conv(x)), dropout_rate, self.training)
        return x


class UpConv(nn.Module):
    """A transposed 2x2 convolution of stride 2, instance norm and leaky ReLU."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_width, width, 2, 2, bias=False)
        lecun_normal_(self.conv.weight.data.transpose(0, 1))  # a pixel sees one

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (n, in_width, h, w) to (n, width, 2h, 2w)."""
        return _normalised(self.conv(x))


class UNet(nn.Module):
    """Convolutions on images that shrink and grow again, with shortcuts across."""

    def __init__(self, width: int, num_pools: int) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(num_pools + 1)]
        self.down = nn.ModuleList()
        for in_width, out_width in zip([1, *widths], widths, strict=False):
            self.down.append(ConvBlock(in_width, out_width))
        self.up, self.merge = nn.ModuleList(), nn.ModuleList()
        for out_width in reversed(widths[:-1]):
            self.up.append(UpConv(2 * out_width, out_width))
            self.merge.append(ConvBlock(2 * out_width, out_width))
        self.head = linear(width, 1)

    def forward(self, images: torch.Tensor, dropout_rate: float) -> torch.Tensor:
        """Maps float32 images (n, h, w) to images of the same shape."""
        x, shortcuts = images[:, None], []
        for i, block in enumerate(self.down):
            x = block(F.avg_pool2d(x, 2) if i else x, dropout_rate)
            shortcuts.append(x)
        shortcuts.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([up(x), shortcuts.pop()], dim=1), dropout_rate)
        return self.head(x.permute(0, 2, 3, 1))[..., 0]


class BrainUnetWorkload(BaseBrainUnetWorkload, TorchWorkload):
    """A U-Net on images of 48x48 pixels."""

    model_class = UNet


class BrainUnetModelSizeWorkload(BaseBrainUnetModelSizeWorkload, BrainUnetWorkload):
    """With more channels."""
