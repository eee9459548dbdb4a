"""Strips of digits read by a Conformer in PyTorch."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from workloads_ext.common.layers_torch import (
    Attention,
    MaskedBatchNorm,
    Mlp,
    lecun_normal_,
    linear,
    sinusoids,
)
from workloads_ext.common.speech_torch import Subsample, ctc_losses, valid_frames
from workloads_ext.common.torch import TorchWorkload
from workloads_ext.strips_conformer.workload import BaseStripsConformerWorkload


class ConvModule(nn.Module):
    """Gated linear unit, depthwise convolution over time, batch norm, swish."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.glu = linear(width, 2 * width)
        self.conv = nn.Conv1d(
            width, width, kernel, padding="same", groups=width, bias=False
        )
        lecun_normal_(self.conv.weight)
        self.bn = MaskedBatchNorm(width, eps=1e-3)
        self.dense = linear(width, width)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Maps (n, frames, width) to the same shape."""
        x = F.glu(self.glu(x)) * valid[..., None]
        x = self.bn(self.conv(x.mT).mT, valid) * valid[..., None]
        return self.dense(F.silu(x))


class ConformerBlock(nn.Module):
    """Half an MLP, attention, convolution, half an MLP and a norm (2005.08100)."""

    def __init__(self, width: int, num_heads: int, mlp: int, kernel: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.ln3, self.ln4 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.ln_last = nn.LayerNorm(width, 1e-6)
        self.mlp1, self.mlp2 = Mlp(width, mlp, F.silu), Mlp(width, mlp, F.silu)
        self.attn = Attention(width, num_heads)
        self.convolve = ConvModule(width, kernel)

    def forward(
        self, x: torch.Tensor, valid: torch.Tensor, dropout_rate: float
    ) -> torch.Tensor:
        """Maps (n, frames, width) to the same shape."""

        def dropped(y: torch.Tensor) -> torch.Tensor:
            return F.dropout(y, dropout_rate, self.training)

        x = x + 0.5 * dropped(self.mlp1(self.ln1(x)))
        x = x + dropped(self.attn(self.ln2(x), valid))
        x = x + dropped(self.convolve(self.ln3(x), valid))
        x = x + 0.5 * dropped(self.mlp2(self.ln4(x)))
        return self.ln_last(x)


class Conformer(nn.Module):
    """Subsampling, positions, Conformer blocks and a head over CTC's vocabulary."""

    def __init__(
        self,
        bins: int,
        vocabulary: int,
        width: int,
        num_layers: int,
        num_heads: int,
        mlp: int,
        kernel: int,
    ) -> None:
        super().__init__()
        self.subsample = Subsample(bins, width)
        self.blocks = nn.ModuleList(
            ConformerBlock(width, num_heads, mlp, kernel) for _ in range(num_layers)
        )
        self.head = linear(width, vocabulary)

    def forward(
        self, batch: dict[str, torch.Tensor], dropout_rate: float
    ) -> dict[str, torch.Tensor]:
        """Logits (n, frames / 4, vocabulary) and how many 'n_frames' count.

        Args:
          batch: 'frames' (n, frames, bins) and 'n_frames' (n,).
        """
        x, n_frames = self.subsample(batch["frames"], batch["n_frames"])
        x = x + sinusoids(*x.shape[1:]).to(x.device)
        x = F.dropout(x, dropout_rate, self.training)
        valid = valid_frames(n_frames, x.shape[1])
        for block in self.blocks:
            x = block(x, valid, dropout_rate)
        return {"logits": self.head(x), "n_frames": n_frames}


class StripsConformerWorkload(BaseStripsConformerWorkload, TorchWorkload):
    """A Conformer on strips of up to 160 frames."""

    model_class = Conformer

    def _losses(self, labels, outputs, label_smoothing):
        del label_smoothing
        return ctc_losses(labels, outputs)
