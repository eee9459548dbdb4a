"""Standard-library language model in PyTorch: a transformer, and the workload."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from workloads_ext.common.torch import TorchWorkload
from workloads_ext.stdlib_lm.workload import SEQ_LEN, BaseStdlibLmWorkload


def _linear(in_width: int, out_width: int, stddev: float = 0.02) -> nn.Linear:
    linear = nn.Linear(in_width, out_width, bias=False)
    nn.init.normal_(linear.weight, std=stddev)
    return linear


def _rotated(x: torch.Tensor) -> torch.Tensor:
    """Turns pairs of (batch, heads, length, width) by their position (2104.09864)."""
    length, width = x.shape[2:]
    rates = 1e4 ** -(torch.arange(0, width, 2, device=x.device) / width)
    angles = torch.arange(length, device=x.device)[:, None] * rates
    a, b = x[..., 0::2], x[..., 1::2]
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(-2)


class Scale(nn.Module):
    """A learned factor."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), start))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps to the same shape."""
        return x * self.weight


class Attention(nn.Module):
    """Causal self-attention of rotated and normalised queries and keys."""

    def __init__(self, width: int, num_heads: int, stddev: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = _linear(width, 3 * width)
        self.qk_norm = Scale(math.log2(SEQ_LEN**2 - SEQ_LEN))
        self.out = _linear(width, width, stddev)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (batch, length, width) to the same shape."""
        heads = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        q, k = (F.normalize(_rotated(part), dim=-1, eps=1e-6) for part in (q, k))
        q = self.qk_norm(q)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
        return self.out(y.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """A gated linear unit, and a layer back."""

    def __init__(self, width: int, hidden_width: int, stddev: float) -> None:
        super().__init__()
        self.up = _linear(width, 2 * hidden_width)
        self.down = _linear(hidden_width, width, stddev)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (batch, length, width) to the same shape."""
        return self.down(F.glu(self.up(x)))


class Block(nn.Module):
    """Attention and MLP, each normalised before and added after."""

    def __init__(
        self, width: int, num_heads: int, mlp_width: int, stddev: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(width, eps=1e-6)
        self.attn = Attention(width, num_heads, stddev)
        self.norm2 = nn.RMSNorm(width, eps=1e-6)
        self.mlp = Mlp(width, mlp_width, stddev)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (batch, length, width) to the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """Embeddings, blocks and a last norm; the embeddings are the head too."""

    def __init__(
        self,
        vocab_size: int,
        width: int,
        num_layers: int,
        num_heads: int,
        mlp_width: int,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab_size, width)
        nn.init.normal_(self.embed.weight, std=0.02)
        stddev = 0.02 / math.sqrt(2 * num_layers)  # of what is added to the stream
        self.blocks = nn.Sequential(
            *(Block(width, num_heads, mlp_width, stddev) for _ in range(num_layers))
        )
        self.norm_last = nn.RMSNorm(width, eps=1e-6)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Maps int64 tokens (batch, length) to logits (batch, length, vocab_size)."""
        x = self.norm_last(self.blocks(self.embed(tokens)))
        return x @ self.embed.weight.T


class StdlibLmWorkload(BaseStdlibLmWorkload, TorchWorkload):
    """Tokens are int64."""

    model_class = Transformer
