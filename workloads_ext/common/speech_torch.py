"""What models of strips share, PyTorch; the twins of `speech_jax`."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from workloads_ext.common.layers_torch import lecun_normal_, linear, zero_bias_


def valid_frames(n_frames: torch.Tensor, length: int) -> torch.Tensor:
    """Bool (n, length), True for the first `n_frames`; the first frame always is."""
    return torch.arange(length, device=n_frames.device) < n_frames.clamp(min=1)[:, None]


class Subsample(nn.Module):
    """Two 3x3 convolutions that halve frames and bins, and a dense layer."""

    def __init__(self, bins: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, 2, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, 2, padding=1)
        for conv in (self.conv1, self.conv2):
            lecun_normal_(conv.weight)
            zero_bias_(conv)
        self.dense = linear(bins // 4 * width, width)

    def forward(
        self, frames: torch.Tensor, n_frames: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps (n, frames, bins) to (n, frames / 4, width), and how many there are."""
        x = frames[:, None]
        for conv in (self.conv1, self.conv2):
            n_frames = torch.div(n_frames + 1, 2, rounding_mode="floor")
            x = torch.relu(conv(x))
            x = x * valid_frames(n_frames, x.shape[2])[:, None, :, None]
        return self.dense(x.permute(0, 2, 3, 1).flatten(2)), n_frames


def ctc_losses(
    labels: dict[str, torch.Tensor], outputs: dict[str, torch.Tensor]
) -> torch.Tensor:
    """CTC's loss of each strip, (n,); 0 where the labels can't fit.

    Args:
      labels: 'labels' (n, .) and 'n_labels' (n,).
      outputs: 'logits' (n, frames, vocabulary) and 'n_frames' (n,).
    """
    return F.ctc_loss(
        outputs["logits"].log_softmax(-1).transpose(0, 1),
        labels["labels"],
        outputs["n_frames"],
        labels["n_labels"],
        reduction="none",
        zero_infinity=True,
    )
