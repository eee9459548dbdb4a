"""Properties of graphs: data, sizes and model settings, whatever the framework."""

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any, ClassVar

import networkx as nx
import numpy as np

from workloads_ext.common.data import Batch
from workloads_ext.common.losses import sigmoid_cross_entropy
from workloads_ext.common.source import ArraysBuilder
from workloads_ext.common.workload import EmbeddedWorkload, Rows

SIZES = {"train": 6144, "validation": 1024, "test": 1024}
MAX_NODES, MAX_EDGES = 12, 48  # an edge counts in each direction
NUM_TASKS = 10  # `properties`
_KNOWN_SHARE = 0.6  # of the labels


def properties(graph: nx.Graph) -> dict[str, bool]:
    """The tasks, by name."""
    n = len(graph)
    cycles = {len(cycle) for cycle in nx.simple_cycles(graph, length_bound=6)}
    rank = np.linalg.matrix_rank(nx.to_numpy_array(graph))
    matching = nx.max_weight_matching(graph, maxcardinality=True)
    independent = max(nx.find_cliques(nx.complement(graph)), key=len)
    stars = (
        not any(graph.has_edge(u, v) for u, v in itertools.combinations(leaves, 2))
        for node in graph
        for leaves in itertools.combinations(graph[node], 3)
    )
    return {
        "bipartite": nx.is_bipartite(graph),
        "two-connected": nx.is_biconnected(graph),
        "with a cycle of four": 4 in cycles,
        "with a cycle of five": 5 in cycles,
        "with a cycle of six": 6 in cycles,
        "with four nodes all joined": max(map(len, nx.find_cliques(graph))) >= 4,
        "with an induced star of four nodes": any(stars),
        "with a perfect matching": 2 * len(matching) == n,
        "with an independent half": 2 * len(independent) >= n,
        "with a singular adjacency matrix": bool(rank < n),
    }


def split_of_graph(graph: nx.Graph) -> str:
    """The split of a graph, the same for all graphs that are isomorphic to it."""
    nx.set_node_attributes(graph, dict.fromkeys(graph, "node"), "kind")
    name = nx.weisfeiler_lehman_graph_hash(graph, node_attr="kind", iterations=4)
    part = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 8
    return {0: "validation", 1: "test"}.get(part, "train")


def _generated(rng: np.random.RandomState) -> nx.Graph:
    """A random graph of 8 to 12 nodes, sparse enough to be one thing or the other."""
    n, seed = int(rng.randint(8, MAX_NODES + 1)), int(rng.randint(2**31))
    if rng.randint(4) == 0:
        return _cubic(n // 2 * 2, rng)
    return nx.gnm_random_graph(n, n + int(rng.randint(5)), seed)


def _cubic(n: int, rng: np.random.RandomState) -> nx.Graph:
    """A random graph whose nodes have three neighbours each, by the pairing model.

    Those of networkx differ from release to release.
    """
    while True:
        pairs = rng.permutation(np.repeat(np.arange(n), 3)).reshape(-1, 2)
        graph = nx.Graph()
        graph.add_edges_from((u, v) for u, v in pairs.tolist())
        loops = nx.number_of_selfloops(graph)
        if loops == 0 and graph.number_of_edges() == len(pairs):
            return graph


def _graphs() -> Iterator[nx.Graph]:
    """The atlas from two nodes on, then generated graphs without end."""
    yield from (graph for graph in nx.graph_atlas_g() if len(graph) >= 2)
    rng = np.random.RandomState(0)  # its stream is the same in every NumPy release
    while True:
        yield _generated(rng)


def _example(graph: nx.Graph, rng: np.random.RandomState) -> dict[str, np.ndarray]:
    """A graph with its nodes in random order, and its labels, NaN where unknown."""
    number = dict(zip(graph, rng.permutation(len(graph)), strict=True))
    directed = [(u, v) for a, b in graph.edges for u, v in ((a, b), (b, a))]
    ends = np.full((MAX_EDGES, 2), -1, np.int32)
    common = np.zeros(MAX_EDGES, np.int32)
    for i, (u, v) in enumerate(directed):
        ends[i] = number[u], number[v]
        common[i] = len(set(graph[u]) & set(graph[v]))
    labels = np.array([*properties(graph).values()], np.float32)
    known = rng.uniform(size=len(labels)) < _KNOWN_SHARE
    return {
        "n_nodes": np.array(len(graph), np.int32),
        "ends": ends,
        "common": common,
        "labels": np.where(known, labels, np.nan).astype(np.float32),
    }


class AtlasGraphs(ArraysBuilder):
    """Graphs of up to 12 nodes and 24 edges.

    Features: the number of nodes; the ends of the edges in both directions, -1 after
    the last; how many neighbours their ends have in common; the `properties`, 0 or
    1, of which 4 in 10 are missing, NaN. Isomorphic graphs are in one split.
    """

    shapes: ClassVar = {
        "n_nodes": ((), np.int32),
        "ends": ((MAX_EDGES, 2), np.int32),
        "common": ((MAX_EDGES,), np.int32),
        "labels": ((NUM_TASKS,), np.float32),
    }

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        found: dict[str, list] = {split: [] for split in SIZES}
        rng = np.random.RandomState(1)
        for graph in _graphs():
            if all(len(found[split]) == size for split, size in SIZES.items()):
                break
            if 2 * graph.number_of_edges() > MAX_EDGES:
                continue
            split = split_of_graph(graph)
            if len(found[split]) < SIZES[split]:
                found[split].append(_example(graph, rng))
        return {
            split: {
                name: np.stack([example[name] for example in examples])
                for name in self.shapes
            }
            for split, examples in found.items()
        }


class BaseAtlasGnnWorkload(EmbeddedWorkload):
    """Mirrors ogbg: ten properties of small graphs, four in ten labels missing.

    Inputs are the arrays that `GraphNetwork` takes; targets are 0 or 1 (batch, tasks),
    with weights of 0 where they are missing. The loss is sigmoid cross-entropy, under
    the official workload's loss type, which says softmax.
    """

    name = "atlas_gnn"
    mirrors = "ogbg"
    dataset = AtlasGraphs
    sizes = SIZES

    metrics = ("mean_average_precision", "loss")
    output_layer = "head"
    default_dropout_rate = 0.1
    widths = ("width", "hidden_widths")
    model_options: ClassVar = {
        "num_outputs": NUM_TASKS,
        "node_features": 2,
        "edge_features": 2,
        "width": 32,
        "hidden_widths": (32,),
        "num_rounds": 3,
    }

    def _make_batch(
        self, examples: dict[str, np.ndarray], rng: np.random.Generator | None
    ) -> Batch:
        del rng
        senders, receivers = examples["ends"][..., 0], examples["ends"][..., 1]
        is_edge = (senders >= 0).astype(np.float32)
        degrees = (senders[..., None] == np.arange(MAX_NODES)).sum(axis=1)
        nodes = np.stack([np.ones_like(degrees), degrees], axis=-1)
        edges = np.stack([is_edge, examples["common"]], axis=-1)
        known = ~np.isnan(examples["labels"])
        return {
            "inputs": {
                "nodes": nodes.astype(np.float32),
                "edges": edges.astype(np.float32),
                "senders": senders,
                "receivers": receivers,
                "n_nodes": examples["n_nodes"],
            },
            "targets": np.nan_to_num(examples["labels"]),
            "weights": known.astype(np.float32),
        }

    def _losses(self, labels, outputs, label_smoothing):
        spread = label_smoothing / NUM_TASKS  # as officially
        smoothed = (1 - label_smoothing) * labels + spread
        return sigmoid_cross_entropy(self._xp, smoothed, outputs)

    def _metric_rows(self, outputs: Any, batch: Batch) -> Rows:
        names = ("targets", "weights")
        return {"logits": outputs, **{name: batch[name] for name in names}}

    def _metrics(
        self, means: dict[str, float], rows: dict[str, np.ndarray]
    ) -> dict[str, float]:
        from sklearn.metrics import average_precision_score

        # Graphs that look alike to the network are ties, not ranked by rounding errors.
        logits = rows["logits"].astype(np.float64).round(3)
        precisions = []
        for labels, scores, weights in zip(
            rows["targets"].T, logits.T, rows["weights"].T, strict=True
        ):
            known = weights > 0
            precisions.append(average_precision_score(labels[known], scores[known]))
        return {**means, "mean_average_precision": float(np.mean(precisions))}


def example_inputs() -> dict[str, np.ndarray]:
    """Inputs of a batch of one, whatever their values."""
    return {
        "nodes": np.zeros((1, MAX_NODES, 2), np.float32),
        "edges": np.zeros((1, MAX_EDGES, 2), np.float32),
        "senders": np.zeros((1, MAX_EDGES), np.int32),
        "receivers": np.zeros((1, MAX_EDGES), np.int32),
        "n_nodes": np.ones(1, np.int32),
    }
