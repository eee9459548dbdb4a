"""Properties of graphs in PyTorch."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from workloads_ext.atlas_gnn.workload import BaseAtlasGnnWorkload
from workloads_ext.common.layers_torch import linear
from workloads_ext.common.torch import TorchWorkload


class Mlp(nn.Module):
    """Dense layers, each with layer norm, ReLU and dropout."""

    def __init__(self, in_width: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.dense, self.ln = nn.ModuleList(), nn.ModuleList()
        for width in widths:
            self.dense.append(linear(in_width, width))
            self.ln.append(nn.LayerNorm(width, eps=1e-6))
            in_width = width

    def forward(self, x: torch.Tensor, dropout_rate: float) -> torch.Tensor:
        """Maps (..., in_width) to (..., widths[-1])."""
        for dense, norm in zip(self.dense, self.ln, strict=True):
            x = F.dropout(torch.relu(norm(dense(x))), dropout_rate, self.training)
        return x


class Round(nn.Module):
    """Updates edges, then nodes, then the graph (arXiv 1806.01261, algorithm 1)."""

    def __init__(self, in_widths: tuple[int, int, int], widths: Sequence[int]) -> None:
        super().__init__()
        node, edge, whole = in_widths
        out = widths[-1]
        self.edge_fn = Mlp(edge + 2 * node + whole, widths)
        self.node_fn = Mlp(node + 2 * out + whole, widths)
        self.graph_fn = Mlp(2 * out + whole, widths)

    def forward(self, nodes, edges, graph, ends, masks, dropout_rate):
        """Maps nodes (n, N, .), edges (n, E, .) and graph (n, .) to new ones.

        Args:
          ends: one-hot senders and receivers, (n, E, N) each, zero for no edge.
          masks: of nodes (n, N, 1) and edges (n, E, 1).
        """
        (senders, receivers), (node_mask, edge_mask) = ends, masks
        sent, received = senders @ nodes, receivers @ nodes
        whole = graph[:, None].expand(-1, edges.shape[1], -1)
        x = torch.cat([edges, sent, received, whole], dim=-1)
        edges = self.edge_fn(x, dropout_rate) * edge_mask
        whole = graph[:, None].expand(-1, nodes.shape[1], -1)
        x = torch.cat([nodes, senders.mT @ edges, receivers.mT @ edges, whole], dim=-1)
        nodes = self.node_fn(x, dropout_rate) * node_mask
        x = torch.cat([nodes.sum(1), edges.sum(1), graph], dim=-1)
        return nodes, edges, self.graph_fn(x, dropout_rate)


class GraphNetwork(nn.Module):
    """Rounds of message passing, and a head over what they say of the graph."""

    def __init__(
        self,
        num_outputs: int,
        node_features: int,
        edge_features: int,
        width: int,
        hidden_widths: Sequence[int],
        num_rounds: int,
    ) -> None:
        super().__init__()
        self.node_in = linear(node_features, width)
        self.edge_in = linear(edge_features, width)
        self.num_outputs = num_outputs
        self.rounds = nn.ModuleList()
        in_widths, out = (width, width, num_outputs), hidden_widths[-1]
        for _ in range(num_rounds):
            self.rounds.append(Round(in_widths, hidden_widths))
            in_widths = (out, out, out)
        self.head = linear(out, num_outputs)

    def forward(
        self, batch: dict[str, torch.Tensor], dropout_rate: float
    ) -> torch.Tensor:
        """Maps graphs to logits (n, num_outputs).

        Args:
          batch: 'nodes' (n, N, features), 'edges' (n, E, features), 'senders' and
            'receivers' (n, E), -1 for no edge, and 'n_nodes' (n,).
        """
        numbers = torch.arange(batch["nodes"].shape[1], device=batch["nodes"].device)
        ends = [
            (batch[name][..., None] == numbers).float()
            for name in ("senders", "receivers")
        ]
        node_mask = (numbers < batch["n_nodes"][:, None])[..., None].float()
        masks = (node_mask, ends[0].sum(-1, keepdim=True))
        nodes = self.node_in(batch["nodes"]) * node_mask
        edges = self.edge_in(batch["edges"]) * masks[1]
        graph = nodes.new_zeros(len(nodes), self.num_outputs)
        for layer in self.rounds:
            nodes, edges, graph = layer(nodes, edges, graph, ends, masks, dropout_rate)
        return self.head(graph)


class AtlasGnnWorkload(BaseAtlasGnnWorkload, TorchWorkload):
    """A graph network on graphs of up to 12 nodes."""

    model_class = GraphNetwork
