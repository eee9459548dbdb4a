"""Layers that several models share, PyTorch; the twins of `layers_jax`."""

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from workloads_ext.common.ranks import rank_count, sum_over_ranks


def lecun_normal_(weight: torch.Tensor) -> torch.Tensor:
    """Fills a weight with truncated normals of variance 1/fan_in, as flax does."""
    fan_in = weight[0].numel()
    stddev = fan_in**-0.5 / 0.8796256610342398  # of a normal cut at two deviations
    return nn.init.trunc_normal_(weight, std=stddev, a=-2 * stddev, b=2 * stddev)


def zero_bias_(layer: Any) -> None:
    """Fills the bias of a layer with zeros, as flax does."""
    nn.init.zeros_(layer.bias)


def linear(in_width: int, out_width: int) -> nn.Linear:
    """A dense layer, initialised as flax does."""
    layer = nn.Linear(in_width, out_width)
    lecun_normal_(layer.weight)
    zero_bias_(layer)
    return layer


def embedding(count: int, width: int) -> nn.Embedding:
    """An embedding of standard deviation 0.02."""
    layer = nn.Embedding(count, width)
    nn.init.normal_(layer.weight, std=0.02)
    return layer


def sinusoids(length: int, width: int) -> torch.Tensor:
    """Fixed positions (length, width), by Vaswani et al., section 3.5."""
    rates = torch.exp(torch.arange(width // 2) * (-math.log(1e4) / (width // 2 - 1)))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Attention(nn.Module):
    """Self-attention, or attention to another sequence."""

    def __init__(
        self, width: int, num_heads: int, *, causal: bool = False, cross: bool = False
    ) -> None:
        super().__init__()
        self.num_heads, self.causal, self.cross = num_heads, causal, cross
        if cross:
            self.q, self.kv = linear(width, width), linear(width, 2 * width)
        else:
            self.qkv = linear(width, 3 * width)
        self.out = linear(width, width)

    def forward(
        self,
        x: torch.Tensor,
        valid: torch.Tensor | None = None,
        memory: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Maps (batch, length, width) to the same shape.

        Args:
          valid: bool (batch, keys), which keys may be looked at; None is all.
          memory: (batch, keys, width), what is looked at instead of `x`.
        """
        if self.cross:
            k, v = self.kv(memory).chunk(2, dim=-1)
            q = self.q(x)
        else:
            q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (self._heads(part) for part in (q, k, v))
        mask = None if valid is None else valid[:, None, None]
        y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=self.causal)
        return self.out(y.transpose(1, 2).flatten(2))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class Mlp(nn.Module):
    """Two layers with a GELU between, or another activation."""

    def __init__(self, width: int, hidden_width: int, activation=None) -> None:
        super().__init__()
        self.up = linear(width, hidden_width)
        self.down = linear(hidden_width, width)
        self.activation = activation or (lambda x: F.gelu(x, approximate="tanh"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (batch, length, width) to the same shape."""
        return self.down(self.activation(self.up(x)))


class Block(nn.Module):
    """Attention and MLP, each normalised before and added after, or the other way.

    With `post_norm`, for self-attention only, sums are normalised.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        mlp_width: int,
        *,
        causal: bool = False,
        cross: bool = False,
        post_norm: bool = False,
    ) -> None:
        super().__init__()
        self.post_norm = post_norm
        self.ln1 = nn.LayerNorm(width, eps=1e-5)
        self.attn = Attention(width, num_heads, causal=causal)
        self.cross = cross
        if cross:
            self.ln_cross = nn.LayerNorm(width, eps=1e-5)
            self.cross_attn = Attention(width, num_heads, cross=True)
        self.ln2 = nn.LayerNorm(width, eps=1e-5)
        self.mlp = Mlp(width, mlp_width)

    def forward(
        self,
        x: torch.Tensor,
        dropout_rate: float = 0.0,
        valid: torch.Tensor | None = None,
        memory: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Maps (batch, length, width) to the same shape.

        Args:
          valid: bool (batch, keys): of `memory` where there is one, else of `x`.
          memory: what a block with cross-attention looks at.
        """
        own = None if self.cross else valid
        if self.post_norm:
            y = F.dropout(self.attn(x, own), dropout_rate, self.training)
            x = self.ln1(x + y)
            return self.ln2(x + F.dropout(self.mlp(x), dropout_rate, self.training))
        x = x + F.dropout(self.attn(self.ln1(x), own), dropout_rate, self.training)
        if self.cross:
            y = self.cross_attn(self.ln_cross(x), valid, memory)
            x = x + F.dropout(y, dropout_rate, self.training)
        return x + F.dropout(self.mlp(self.ln2(x)), dropout_rate, self.training)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm of (n, width, ...), over the batches of all ranks, of one size each.

    Unlike `nn.SyncBatchNorm` it runs on CPUs too. Without ranks, in evaluation, and
    in all it holds, it is PyTorch's own.
    """

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Any number of axes will do."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or rank_count() == 1:
            return super().forward(input)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        mean = sum_over_ranks(input.mean(axes, keepdim=True)) / rank_count()
        centred = input - mean
        variance = (
            sum_over_ranks(centred.square().mean(axes, keepdim=True)) / rank_count()
        )
        if self.track_running_stats:
            count = rank_count() * input.numel() // self.num_features
            self._track(mean.detach(), variance.detach() * count / (count - 1))
        shape = mean.shape[1:]
        scale = self.weight.view(shape) * torch.rsqrt(variance + self.eps)
        return centred * scale + self.bias.view(shape)

    def _track(self, mean: torch.Tensor, unbiased_variance: torch.Tensor) -> None:
        held: Any = self  # whose buffers may be None in PyTorch's own
        held.num_batches_tracked.add_(1)
        held.running_mean.lerp_(mean.flatten(), held.momentum)
        held.running_var.lerp_(unbiased_variance.flatten(), held.momentum)


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch norm of (batch, length, width) over the valid frames, of all ranks.

    Running variances are biased, as flax has them.
    """

    def forward(self, input: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Maps to the same shape; `valid` is bool (batch, length)."""
        held: Any = self  # whose buffers may be None in PyTorch's own
        mean, var = held.running_mean, held.running_var
        if self.training:
            share = valid[..., None] / sum_over_ranks(valid.sum()).clamp(min=1)
            mean = sum_over_ranks((input * share).sum((0, 1)))
            var = sum_over_ranks(((input - mean).square() * share).sum((0, 1)))
            if self.track_running_stats:
                held.running_mean.lerp_(mean.detach(), held.momentum)
                held.running_var.lerp_(var.detach(), held.momentum)
        return (input - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias
