"""Strips of digits read by LSTMs in PyTorch."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from workloads_ext.common.layers_torch import MaskedBatchNorm, linear
from workloads_ext.common.speech_torch import Subsample, ctc_losses, valid_frames
from workloads_ext.common.torch import TorchWorkload
from workloads_ext.strips_deepspeech.workload import BaseStripsDeepspeechWorkload


class Lstm(nn.Module):
    """A long short-term memory; gates are input, forget, cell and output."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.ih, self.hh = linear(in_width, 4 * width), linear(width, 4 * width)
        self.width = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (n, frames, in_width) to (n, frames, width)."""
        start = x.new_zeros(1, len(x), self.width)
        weights = [self.ih.weight, self.hh.weight, self.ih.bias, self.hh.bias]
        options = (True, 1, 0.0, self.training, False, True)
        return torch.lstm(x, (start, start), weights, *options)[0]


class BiLstm(nn.Module):
    """Batch norm, and one LSTM in each direction of time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bn = MaskedBatchNorm(width, eps=1e-3)
        self.forwards, self.backwards = (Lstm(width, width // 2) for _ in range(2))

    def forward(
        self, x: torch.Tensor, n_frames: torch.Tensor, valid: torch.Tensor
    ) -> torch.Tensor:
        """Maps (n, frames, width) to the same shape, 0 after the last frame."""
        x = self.bn(x, valid) * valid[..., None]
        backwards = _reversed(self.backwards(_reversed(x, n_frames)), n_frames)
        return torch.cat([self.forwards(x), backwards], dim=-1) * valid[..., None]


def _reversed(x: torch.Tensor, n_frames: torch.Tensor) -> torch.Tensor:
    """The first `n_frames` in reverse, the others where they are."""
    numbers = torch.arange(x.shape[1], device=x.device)
    last = n_frames[:, None] - 1
    order = torch.where(numbers <= last, last - numbers, numbers)
    return x.gather(1, order[..., None].expand_as(x))


class FeedForward(nn.Module):
    """Batch norm, a dense layer, ReLU and dropout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bn, self.dense = MaskedBatchNorm(width, eps=1e-3), linear(width, width)

    def forward(
        self, x: torch.Tensor, valid: torch.Tensor, dropout_rate: float
    ) -> torch.Tensor:
        """Maps (n, frames, width) to the same shape."""
        x = torch.relu(self.dense(self.bn(x, valid))) * valid[..., None]
        return F.dropout(x, dropout_rate, self.training)


class DeepSpeech(nn.Module):
    """Subsampling, LSTMs and dense layers, all but the first added to their input."""

    def __init__(
        self, bins: int, vocabulary: int, width: int, num_lstms: int, num_dense: int
    ) -> None:
        super().__init__()
        self.subsample = Subsample(bins, width)
        self.lstms = nn.ModuleList(BiLstm(width) for _ in range(num_lstms))
        self.dense = nn.ModuleList(FeedForward(width) for _ in range(num_dense))
        self.ln_last = nn.LayerNorm(width, eps=1e-6)
        self.head = linear(width, vocabulary)

    def forward(
        self, batch: dict[str, torch.Tensor], dropout_rate: float
    ) -> dict[str, torch.Tensor]:
        """Logits (n, frames / 4, vocabulary) and how many 'n_frames' count.

        Args:
          batch: 'frames' (n, frames, bins) and 'n_frames' (n,).
        """
        x, n_frames = self.subsample(batch["frames"], batch["n_frames"])
        x = F.dropout(x, dropout_rate, self.training)
        valid = valid_frames(n_frames, x.shape[1])
        for lstm in self.lstms:
            x = x + lstm(x, n_frames, valid)
        for dense in self.dense:
            x = x + dense(x, valid, dropout_rate)
        return {"logits": self.head(self.ln_last(x)), "n_frames": n_frames}


class StripsDeepspeechWorkload(BaseStripsDeepspeechWorkload, TorchWorkload):
    """LSTMs on strips of up to 160 frames."""

    model_class = DeepSpeech

    def _losses(self, labels, outputs, label_smoothing):
        del label_smoothing
        return ctc_losses(labels, outputs)
