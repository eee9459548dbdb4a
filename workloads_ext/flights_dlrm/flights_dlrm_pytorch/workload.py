"""Late flights in PyTorch."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from workloads_ext.common.torch import TorchWorkload
from workloads_ext.flights_dlrm.workload import BaseFlightsDlrmWorkload


def _layer(in_width: int, out_width: int, init=nn.init.xavier_uniform_) -> nn.Linear:
    layer = nn.Linear(in_width, out_width)
    init(layer.weight)
    nn.init.normal_(layer.bias, std=out_width**-0.5)
    return layer


class Dlrm(nn.Module):
    """Embeddings and a bottom network, their dot products, and a top network."""

    pairs: torch.Tensor

    def __init__(
        self,
        vocabulary: int,
        num_numeric: int,
        num_categorical: int,
        embed_width: int,
        bottom_widths: Sequence[int],
        top_widths: Sequence[int],
    ) -> None:
        super().__init__()
        self.num_numeric = num_numeric
        self.embed = nn.Embedding(vocabulary, embed_width)
        nn.init.uniform_(self.embed.weight, 0, vocabulary**-0.5)
        self.bottom, self.top = nn.ModuleList(), nn.ModuleList()
        width = num_numeric
        for out_width in (*bottom_widths, embed_width):
            self.bottom.append(_layer(width, out_width))
            width = out_width
        count = num_categorical + 1
        self.register_buffer("pairs", torch.triu_indices(count, count), False)
        width = embed_width + count * (count + 1) // 2
        for out_width in top_widths:
            self.top.append(_layer(width, out_width, nn.init.xavier_normal_))
            width = out_width
        self.head = _layer(width, 1, nn.init.xavier_normal_)

    def forward(self, features: torch.Tensor, dropout_rate: float) -> torch.Tensor:
        """Maps float32 features (n, numeric and categorical) to logits (n,)."""
        x, categories = features.tensor_split([self.num_numeric], dim=1)
        for layer in self.bottom:
            x = torch.relu(layer(x))
        vectors = torch.cat([x[:, None], self.embed(categories.long())], dim=1)
        products = (vectors @ vectors.mT)[:, self.pairs[0], self.pairs[1]]
        x = torch.cat([x, products], dim=1)
        for layer in self.top:
            x = torch.relu(layer(x))
        return self.head(F.dropout(x, dropout_rate, self.training))[:, 0]


class FlightsDlrmWorkload(BaseFlightsDlrmWorkload, TorchWorkload):
    """A DLRM on eleven numeric and eight hashed features."""

    model_class = Dlrm
