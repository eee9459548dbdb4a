"""Properties of graphs: the labels, the network's symmetries, the metric."""

import networkx as nx
import numpy as np
import pytest
from networkx.algorithms.isomorphism import GraphMatcher

import workloads_ext
from tests.workloads.helpers import EVAL, load, map_arrays, read_all, to_numpy
from workloads_ext.atlas_gnn.workload import MAX_NODES, _generated, properties

KNOWN = {
    "Petersen graph": (
        nx.petersen_graph(),
        {"two-connected", "cycle of five", "cycle of six", "star", "matching"},
    ),
    "complete graph": (
        nx.complete_graph(4),
        {"two-connected", "cycle of four", "four nodes all joined", "matching"},
    ),
    "cycle of five": (nx.cycle_graph(5), {"two-connected", "cycle of five"}),
    "cycle of four": (
        nx.cycle_graph(4),
        {
            *("bipartite", "two-connected", "cycle of four"),
            *("matching", "independent", "singular"),
        },
    ),
    "star": (nx.star_graph(3), {"bipartite", "star", "independent", "singular"}),
    "path of four": (nx.path_graph(4), {"bipartite", "matching", "independent"}),
    "path of three": (nx.path_graph(3), {"bipartite", "independent", "singular"}),
}


@pytest.mark.parametrize("name", KNOWN)
def test_properties_of_known_graphs(name):
    """Labels would not be what the tasks' names say."""
    graph, expected = KNOWN[name]
    found = properties(graph)
    true = [task for task, value in found.items() if value]
    assert len(true) == len(expected)
    for words in expected:
        assert any(words in task for task in true), words


def test_properties_by_subgraphs():
    """A cycle, a star or a clique would be missed, or seen where there is none."""
    contained = {
        "with a cycle of four": nx.cycle_graph(4),
        "with a cycle of five": nx.cycle_graph(5),
        "with a cycle of six": nx.cycle_graph(6),
        "with four nodes all joined": nx.complete_graph(4),
    }
    rng = np.random.RandomState(2)
    for graph in (_generated(rng) for _ in range(40)):
        found = properties(graph)
        for task, part in contained.items():
            assert found[task] == GraphMatcher(graph, part).subgraph_is_monomorphic()
        star = GraphMatcher(graph, nx.star_graph(3)).subgraph_is_isomorphic()
        assert found["with an induced star of four nodes"] == star


def test_stored_graphs_are_those_of_their_labels(data_dir):
    """Labels would belong to other graphs, and features to other edges."""
    examples = read_all("atlas_gnn", "validation", data_dir)
    for i in range(0, len(examples["labels"]), 50):
        graph = nx.empty_graph(int(examples["n_nodes"][i]))
        ends = examples["ends"][i]
        graph.add_edges_from(ends[ends[:, 0] >= 0].tolist())
        labels = examples["labels"][i]
        known = ~np.isnan(labels)
        expected = np.array([*properties(graph).values()], np.float32)
        np.testing.assert_array_equal(labels[known], expected[known])
        for (u, v), count in zip(ends.tolist(), examples["common"][i], strict=True):
            common = len(list(nx.common_neighbors(graph, u, v))) if u >= 0 else 0
            assert count == common
    share = np.isnan(read_all("atlas_gnn", "train", data_dir)["labels"]).mean()
    assert share == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("framework", workloads_ext.FRAMEWORKS)
def test_names_of_nodes_and_what_is_not_there_do_not_matter(framework, data_dir):
    """The network would see the order of nodes or edges, or padding."""
    gnn = load("atlas_gnn", framework)
    batch = next(gnn.queue("validation", data_dir))
    before, _ = gnn.model(batch, EVAL)
    rng = np.random.default_rng(0)

    def shuffle(arrays):
        inputs = arrays["inputs"]
        for i, n in enumerate(inputs["n_nodes"]):
            # Node k becomes number[k]; those that are not there stay behind.
            number = np.arange(MAX_NODES)
            number[:n] = rng.permutation(n)
            inputs["nodes"][i][number] = inputs["nodes"][i].copy()
            order = rng.permutation(len(inputs["senders"][i]))
            for name in ("senders", "receivers"):
                ends = inputs[name][i]
                inputs[name][i] = np.where(ends >= 0, number[ends], -1)[order]
            inputs["edges"][i] = inputs["edges"][i][order]

    def fill(arrays):
        inputs = arrays["inputs"]
        is_padding = np.arange(MAX_NODES) >= inputs["n_nodes"][:, None]
        assert is_padding.any()
        inputs["nodes"][is_padding] = 9
        inputs["edges"][inputs["senders"] < 0] = 9

    for edit in (shuffle, fill):
        after, _ = gnn.model(gnn.edited(batch, edit), EVAL)
        np.testing.assert_allclose(after, before, atol=1e-5)  # float32 sums

    def rewire(arrays):
        arrays["inputs"]["receivers"][:, :6] = arrays["inputs"]["senders"][:, :6]

    other, _ = gnn.model(gnn.edited(batch, rewire), EVAL)
    assert np.abs(other - before).max() > 1e-3


def test_mean_average_precision():
    """The metric would count unknown labels, or rank graphs that look alike."""
    pytest.importorskip("torch")
    workload = load("atlas_gnn", "pytorch").workload
    rows = {
        "logits": [[3.0, 1.0], [2.0, 1.0001], [1.0, 0.0], [9.0, 5.0]],
        "targets": [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]],
        "weights": [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.0, 0.0]],
    }
    found = workload._metrics({"loss": 2.0}, {k: np.array(v) for k, v in rows.items()})
    # First task: precisions of 1 and 2/3 at its two positives. Second: a tie of two.
    expected = ((1 + 2 / 3) / 2 + 1 / 2) / 2
    assert found == {"loss": 2.0, "mean_average_precision": pytest.approx(expected)}


def test_batches_hold_degrees_and_weights(data_dir):
    """Nodes would not know their degree, or missing labels would count."""
    pytest.importorskip("torch")
    loaded = load("atlas_gnn", "pytorch")
    batch = map_arrays(to_numpy, next(loaded.queue("validation", data_dir)))
    stored = read_all("atlas_gnn", "validation", data_dir)
    inputs, unknown = batch["inputs"], np.isnan(stored["labels"][:8])
    np.testing.assert_array_equal(batch["weights"], ~unknown)
    for i in range(8):
        senders = inputs["senders"][i]
        degrees = np.bincount(senders[senders >= 0], minlength=MAX_NODES)
        np.testing.assert_array_equal(inputs["nodes"][i][:, 1], degrees)
