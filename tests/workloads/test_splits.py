"""No example of one split is known from another."""

import datetime
import itertools

import networkx as nx
import numpy as np
import pytest

from tests.workloads.helpers import read_all
from workloads_ext.atlas_gnn import workload as graphs
from workloads_ext.brain_unet import workload as brain
from workloads_ext.digits_resnet import workload as digits
from workloads_ext.flights_dlrm import workload as flights
from workloads_ext.numbers_transformer import workload as numbers
from workloads_ext.strips_conformer import workload as strips

SPLITS = ("train", "validation", "test")


def assert_disjoint(sets):
    """Sets by split, none of them empty."""
    assert {*sets} == {*SPLITS}
    assert all(sets.values())
    for one, other in itertools.combinations(sets.values(), 2):
        assert not one & other


@pytest.fixture(scope="module")
def originals():
    """The images of each split of scikit-learn's digits, in bytes."""
    data = pytest.importorskip("sklearn.datasets").load_digits()
    splits = digits.split_indices(data.target)
    found = np.sort(np.concatenate([*splits.values()]))
    np.testing.assert_array_equal(found, np.arange(len(data.target)))
    for split in ("validation", "test"):
        counts = np.bincount(data.target[splits[split]])
        np.testing.assert_array_equal(counts, [30] * 10)
    return {
        split: {image.tobytes() for image in data.images[indices]}
        for split, indices in splits.items()
    }


def test_digits_are_copies_of_originals_of_one_split(originals, monkeypatch, tmp_path):
    """Copies of a test image, however turned, would be trained on."""
    seen = {split: set() for split in SPLITS}

    def copy(image, split, rng):
        seen[split].add(image.tobytes())
        return np.zeros((digits.SIDE, digits.SIDE), np.uint8)

    monkeypatch.setattr(digits, "_copy", copy)
    digits.Digits(data_dir=tmp_path).arrays()
    assert seen == originals
    assert_disjoint(seen)


def test_strips_hold_originals_of_one_split(originals, monkeypatch, tmp_path):
    """Test strips would be made of digits that were trained on."""
    seen = []

    def example(images, labels, rng):
        assert len(images) == len(labels)
        seen.append({image.tobytes() for image in images})
        return {name: np.zeros(*kind) for name, kind in strips.Strips.shapes.items()}

    monkeypatch.setattr(strips, "_example", example)
    monkeypatch.setattr(strips, "SIZES", dict.fromkeys(SPLITS, 1))
    strips.Strips(data_dir=tmp_path).arrays()
    assert dict(zip(strips.SIZES, seen, strict=True)) == originals


def test_a_strip_is_made_of_the_images_it_is_given():
    """Strips would show other digits than their labels say."""
    rng = np.random.RandomState(0)
    images = np.zeros((10, 8, 8))
    images[:, 0] = 16
    images[:, 1] = np.arange(1, 11)[:, None]  # says which digit it is
    found = None
    while found is None:
        found = strips._strip(images, np.arange(10), rng)
    frames, labels = found
    shown = frames[frames.max(1) > 0]
    read = [
        round(16 * frame[frame > 0].min() / frame.max())
        for frame in shown[::16]  # each digit is as broad
    ]
    assert read == [label for label in labels if label != strips.SPACE]


def test_slices_of_different_splits_are_apart(monkeypatch, tmp_path):
    """Test slices would be neighbours, all but the same, of slices trained on."""
    heights = {split: set() for split in (*SPLITS, None)}
    for height in range(20, 140):
        heights[brain.split_of_height(height)].add(height)
    between = heights.pop(None)
    assert_disjoint(heights)
    for one, other in itertools.combinations(heights.values(), 2):
        assert min(abs(a - b) for a in one for b in other) >= 3
    assert len(between) == 20

    volume = np.broadcast_to(np.arange(200), (4, 4, 200))  # says how high it is
    monkeypatch.setattr(brain, "_volume", lambda: volume)
    shape = (brain.SIDE, brain.SIDE)
    monkeypatch.setattr(brain, "_seen", lambda p, _: np.full(shape, p.max() / 255))
    arrays = brain.BrainSlices(data_dir=tmp_path).arrays()
    assert {s: {*a["image"][:, 0, 0].tolist()} for s, a in arrays.items()} == heights


def adjacency(examples):
    """Adjacency matrices (n, MAX_NODES, MAX_NODES) of stored graphs."""
    count = len(examples["ends"])
    matrices = np.zeros((count, graphs.MAX_NODES + 1, graphs.MAX_NODES + 1), np.int64)
    senders, receivers = examples["ends"][..., 0], examples["ends"][..., 1]
    matrices[np.arange(count)[:, None], senders, receivers] = 1  # -1: the last row
    return matrices[:, :-1, :-1]


def invariants(examples):
    """What isomorphic graphs have in common: nodes, degrees, closed walks."""
    matrices = adjacency(examples)
    powers = list(itertools.accumulate([matrices] * 7, np.matmul))
    walks = np.stack([np.trace(p, axis1=1, axis2=2) for p in powers], axis=1)
    degrees = np.sort(matrices.sum(1), axis=1)
    keys = np.column_stack([examples["n_nodes"], degrees, walks])
    return [tuple(key) for key in keys.tolist()]


def test_graphs_are_isomorphic_to_none_of_another_split(data_dir):
    """Test graphs would be graphs of training with other names for their nodes."""
    by_key = {}
    for split in SPLITS:
        examples = read_all("atlas_gnn", split, data_dir)
        matrices = adjacency(examples)
        np.testing.assert_array_equal(matrices, matrices.swapaxes(1, 2))
        keys = invariants(examples)
        for key, matrix, n in zip(keys, matrices, examples["n_nodes"], strict=True):
            by_split = by_key.setdefault(key, {})
            by_split.setdefault(split, []).append(matrix[:n, :n])
    pairs = [
        pair
        for by_split in by_key.values()
        for one, other in itertools.combinations(by_split, 2)
        for pair in itertools.product(by_split[one], by_split[other])
    ]
    for one, other in pairs:
        one, other = nx.from_numpy_array(one), nx.from_numpy_array(other)
        assert not nx.is_isomorphic(one, other)


def test_isomorphic_graphs_are_of_one_split():
    """The split would depend on the order of the nodes."""
    rng = np.random.RandomState(0)
    for graph in (graphs._generated(rng) for _ in range(20)):
        order = rng.permutation(len(graph)).tolist()
        other = nx.relabel_nodes(graph, dict(enumerate(order)))
        assert graphs.split_of_graph(graph) == graphs.split_of_graph(other)


def test_numbers_are_in_one_split_each(monkeypatch, tmp_path):
    """A number of the test set would be known by another of its names."""
    monkeypatch.setattr(numbers, "SIZES", {"train": 90, "validation": 9, "test": 9})
    # Instead of its words, a number's digits.
    monkeypatch.setattr(
        numbers, "_words", lambda number, kind: ([], [int(d) for d in str(number)])
    )
    arrays = numbers.Numbers(data_dir=tmp_path).arrays()
    assert_disjoint({s: {*map(bytes, a["english"])} for s, a in arrays.items()})


def test_translations_are_in_one_split_each(data_dir):
    """Sentences of the test set would be trained on."""
    rows = {s: read_all("numbers_transformer", s, data_dir)["english"] for s in SPLITS}
    assert_disjoint({split: {*map(bytes, words)} for split, words in rows.items()})


def test_hours_are_in_one_split_each(monkeypatch, tmp_path):
    """Flights of a test hour would be trained on, with its weather and delays."""
    start = datetime.datetime(2013, 1, 1)
    hours = [start + datetime.timedelta(hours=i) for i in range(400)]
    columns = dict.fromkeys((*flights.CATEGORICAL, "dep_delay", "arr_delay"), "1")
    times = dict.fromkeys(("sched_dep_time", "sched_arr_time"), "1200")
    when = ("year", "month", "day", "hour")
    rows = [
        {
            **columns,
            **times,
            **{name: str(getattr(hour, name)) for name in when},
            "distance": str(1000 * i),  # says which hour it is
        }
        for i, hour in enumerate(hours)
        for _ in range(3)
    ]
    monkeypatch.setattr(flights, "_tables", lambda: (rows, {}))
    sizes = {"train": 900, "validation": 110, "test": 110}
    monkeypatch.setattr(flights, "SIZES", sizes)
    arrays = flights.Flights(data_dir=tmp_path).arrays()
    distance = flights.NUMERIC.index("distance")
    assert {split: len(a["label"]) for split, a in arrays.items()} == sizes
    assert_disjoint({s: {*a["numeric"][:, distance]} for s, a in arrays.items()})
