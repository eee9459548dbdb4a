"""Numbers from German into English in PyTorch."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from workloads_ext.common.layers_torch import Block, embedding, linear, sinusoids
from workloads_ext.common.torch import TorchWorkload
from workloads_ext.common.workload import Rows
from workloads_ext.numbers_transformer.workload import (
    BOS,
    PAD,
    TARGET_LENGTH,
    BaseNumbersTransformerWorkload,
)


class Encoder(nn.Module):
    """Embeddings, fixed positions, blocks and a last norm."""

    def __init__(
        self, vocabulary: int, width: int, num_layers: int, num_heads: int, mlp: int
    ) -> None:
        super().__init__()
        self.embed = embedding(vocabulary, width)
        self.blocks = nn.ModuleList(
            Block(width, num_heads, mlp) for _ in range(num_layers)
        )
        self.ln_last = nn.LayerNorm(width, eps=1e-5)

    def forward(self, tokens, valid, dropout_rate):
        """Maps tokens (n, length) to (n, length, width)."""
        x = _embedded(self.embed, tokens)
        x = F.dropout(x, dropout_rate, self.training)
        for block in self.blocks:
            x = block(x, dropout_rate, valid)
        return self.ln_last(x)


class Decoder(nn.Module):
    """Embeddings, fixed positions, causal blocks that look at the source, a head."""

    def __init__(
        self, vocabulary: int, width: int, num_layers: int, num_heads: int, mlp: int
    ) -> None:
        super().__init__()
        self.embed = embedding(vocabulary, width)
        self.blocks = nn.ModuleList(
            Block(width, num_heads, mlp, causal=True, cross=True)
            for _ in range(num_layers)
        )
        self.ln_last = nn.LayerNorm(width, eps=1e-5)
        self.head = linear(width, vocabulary)

    def forward(self, tokens, memory, valid, dropout_rate):
        """Maps tokens (n, length) to logits (n, length, vocabulary)."""
        x = _embedded(self.embed, tokens)
        x = F.dropout(x, dropout_rate, self.training)
        for block in self.blocks:
            x = block(x, dropout_rate, valid, memory)
        return self.head(self.ln_last(x))


class Translator(nn.Module):
    """An encoder and a decoder, each with embeddings of its own."""

    def __init__(
        self, source_vocabulary: int, target_vocabulary: int, **sizes: int
    ) -> None:
        super().__init__()
        self.encoder = Encoder(source_vocabulary, **sizes)
        self.decoder = Decoder(target_vocabulary, **sizes)

    def forward(
        self, batch: dict[str, torch.Tensor], dropout_rate: float
    ) -> torch.Tensor:
        """Logits (n, length, target vocabulary) of each next word.

        Args:
          batch: tokens (n, .) of the 'source', and of the 'target' from BOS on.
        """
        valid = _valid(batch["source"])
        memory = self.encoder(batch["source"], valid, dropout_rate)
        return self.decoder(batch["target"], memory, valid, dropout_rate)

    def translate(self, source: torch.Tensor, length: int) -> torch.Tensor:
        """The most probable word after those before it, `length` times: (n, length)."""
        valid = _valid(source)
        memory = self.encoder(source, valid, 0.0)
        words = source.new_full((len(source), length + 1), PAD)
        words[:, 0] = BOS
        for i in range(length):
            logits = self.decoder(words[:, : i + 1], memory, valid, 0.0)
            words[:, i + 1] = logits[:, -1].argmax(-1)
        return words[:, 1:]


def _valid(source: torch.Tensor) -> torch.Tensor:
    """Which letters are there; the first always, so that all see something."""
    return (source != PAD) | (torch.arange(source.shape[1], device=source.device) == 0)


def _embedded(embed: nn.Embedding, tokens: torch.Tensor) -> torch.Tensor:
    width = embed.embedding_dim
    positions = sinusoids(tokens.shape[1], width).to(tokens.device)
    return embed(tokens) * width**0.5 + positions


class NumbersTransformerWorkload(BaseNumbersTransformerWorkload, TorchWorkload):
    """A transformer on sentences of up to 64 letters and 20 words."""

    model_class = Translator

    @torch.no_grad()
    def _evaluate(self, params, model_state, batch) -> tuple[dict[str, Any], Rows]:
        sums, _ = super()._evaluate(params, model_state, batch)
        model = getattr(params, "module", params)  # of DistributedDataParallel
        words = model.translate(batch["inputs"]["source"], TARGET_LENGTH)
        return sums, {"words": words, "targets": batch["targets"]}
