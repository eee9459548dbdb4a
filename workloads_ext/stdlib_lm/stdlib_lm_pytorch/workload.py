"""Standard-library language model in PyTorch: a transformer, and the workload."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from workloads_ext.common.torch import TorchWorkload, lecun_normal_
from workloads_ext.stdlib_lm.workload import BaseStdlibLmWorkload


def _linear(in_width: int, out_width: int) -> nn.Linear:
    linear = nn.Linear(in_width, out_width)
    lecun_normal_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def _embedding(count: int, width: int) -> nn.Embedding:
    embedding = nn.Embedding(count, width)
    nn.init.normal_(embedding.weight, std=0.02)
    return embedding


class Attention(nn.Module):
    """Causal self-attention of (batch, length, width)."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = _linear(width, 3 * width)
        self.out = _linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        heads = self.qkv(x).view(batch, length, 3, self.num_heads, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class Mlp(nn.Module):
    """Two layers with a GELU between."""

    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        self.up = _linear(width, hidden_width)
        self.down = _linear(hidden_width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    """Attention and MLP, each normalised before and added after."""

    def __init__(self, width: int, num_heads: int, mlp_width: int) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(width, eps=1e-5)
        self.attn = Attention(width, num_heads)
        self.ln2 = nn.LayerNorm(width, eps=1e-5)
        self.mlp = Mlp(width, mlp_width)

    def forward(self, x: torch.Tensor, dropout_rate: float) -> torch.Tensor:
        x = x + F.dropout(self.attn(self.ln1(x)), dropout_rate, self.training)
        return x + F.dropout(self.mlp(self.ln2(x)), dropout_rate, self.training)


class Transformer(nn.Module):
    """Embeddings with learned positions, blocks, a last norm and an untied head."""

    def __init__(
        self,
        vocab_size: int,
        seq_len: int,
        width: int,
        num_layers: int,
        num_heads: int,
        mlp_width: int,
    ) -> None:
        super().__init__()
        self.embed_token = _embedding(vocab_size, width)
        self.embed_position = _embedding(seq_len, width)
        self.blocks = nn.ModuleList(
            Block(width, num_heads, mlp_width) for _ in range(num_layers)
        )
        self.ln_last = nn.LayerNorm(width, eps=1e-5)
        self.head = _linear(width, vocab_size)

    def forward(self, tokens: torch.Tensor, dropout_rate: float) -> torch.Tensor:
        """Maps int64 tokens (batch, length) to logits (batch, length, vocab_size)."""
        positions = self.embed_position.weight[: tokens.shape[1]]
        x = self.embed_token(tokens) + positions
        x = F.dropout(x, dropout_rate, self.training)
        for block in self.blocks:
            x = block(x, dropout_rate)
        return self.head(self.ln_last(x))


class StdlibLmWorkload(BaseStdlibLmWorkload, TorchWorkload):
    """Dropout draws from PyTorch's global generator."""

    model_class = Transformer
