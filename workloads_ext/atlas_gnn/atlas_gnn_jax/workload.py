"""Properties of graphs in JAX."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from workloads_ext.atlas_gnn.workload import BaseAtlasGnnWorkload, example_inputs
from workloads_ext.common.jax import JaxWorkload
from workloads_ext.common.layers_jax import Dropout


class Mlp(nn.Module):
    """Dense layers, each with layer norm, ReLU and dropout."""

    widths: Sequence[int]
    dropout_rate: float
    deterministic: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (..., in_width) to (..., widths[-1])."""
        for i, width in enumerate(self.widths):
            x = nn.Dense(width, name=f"dense_{i}")(x)
            x = nn.relu(nn.LayerNorm(epsilon=1e-6, name=f"ln_{i}")(x))
            x = Dropout(self.dropout_rate, self.deterministic)(x)
        return x


class Round(nn.Module):
    """Updates edges, then nodes, then the graph (arXiv 1806.01261, algorithm 1)."""

    widths: Sequence[int]
    dropout_rate: float
    deterministic: bool

    @nn.compact
    def __call__(self, nodes, edges, graph, ends, masks):
        """Maps nodes (n, N, .), edges (n, E, .) and graph (n, .) to new ones.

        Args:
          ends: one-hot senders and receivers, (n, E, N) each, zero for no edge.
          masks: of nodes (n, N, 1) and edges (n, E, 1).
        """
        (senders, receivers), (node_mask, edge_mask) = ends, masks
        x = [edges, senders @ nodes, receivers @ nodes, _for_each(graph, edges)]
        edges = self._mlp("edge_fn")(jnp.concatenate(x, axis=-1)) * edge_mask
        x = [nodes, senders.mT @ edges, receivers.mT @ edges, _for_each(graph, nodes)]
        nodes = self._mlp("node_fn")(jnp.concatenate(x, axis=-1)) * node_mask
        x = [nodes.sum(1), edges.sum(1), graph]
        return nodes, edges, self._mlp("graph_fn")(jnp.concatenate(x, axis=-1))

    def _mlp(self, name: str) -> Mlp:
        return Mlp(self.widths, self.dropout_rate, self.deterministic, name=name)


def _for_each(graph: jax.Array, others: jax.Array) -> jax.Array:
    shape = (*others.shape[:2], graph.shape[-1])
    return jnp.broadcast_to(graph[:, None], shape)


class GraphNetwork(nn.Module):
    """Rounds of message passing, and a head over what they say of the graph."""

    num_outputs: int
    node_features: int
    edge_features: int
    width: int
    hidden_widths: Sequence[int]
    num_rounds: int
    dropout_rate: float

    @nn.compact
    def __call__(self, batch: dict[str, jax.Array], deterministic: bool) -> jax.Array:
        """Maps graphs to logits (n, num_outputs).

        Args:
          batch: 'nodes' (n, N, features), 'edges' (n, E, features), 'senders' and
            'receivers' (n, E), -1 for no edge, and 'n_nodes' (n,).
        """
        numbers = jnp.arange(batch["nodes"].shape[1])
        ends = [
            (batch[name][..., None] == numbers).astype(jnp.float32)
            for name in ("senders", "receivers")
        ]
        node_mask = (numbers < batch["n_nodes"][:, None])[..., None]
        masks = (node_mask.astype(jnp.float32), ends[0].sum(-1, keepdims=True))
        nodes = nn.Dense(self.width, name="node_in")(batch["nodes"]) * masks[0]
        edges = nn.Dense(self.width, name="edge_in")(batch["edges"]) * masks[1]
        graph = jnp.zeros((len(nodes), self.num_outputs))
        for i in range(self.num_rounds):
            options = (self.hidden_widths, self.dropout_rate, deterministic)
            layer = Round(*options, name=f"rounds_{i}")
            nodes, edges, graph = layer(nodes, edges, graph, ends, masks)
        return nn.Dense(self.num_outputs, name="head")(graph)


class AtlasGnnWorkload(BaseAtlasGnnWorkload, JaxWorkload):
    """A graph network on graphs of up to 12 nodes."""

    model_class = GraphNetwork
    example_inputs = example_inputs()
