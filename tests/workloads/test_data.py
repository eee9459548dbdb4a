"""The queues of batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads_ext.common.data import EvalQueue, TrainQueue, pad, seed_integers

SEED = (5, 6)


def noisy_batch(indices, rng):
    return {"inputs": indices, "noise": rng.random(len(indices))}


def train_queue(num_examples=50, batch_size=8, seed=SEED):
    return TrainQueue(num_examples, batch_size, seed, noisy_batch, lambda batch: batch)


def eval_queue(num_examples=10, batch_size=4):
    def make_batch(indices):
        return {"inputs": indices + 1.0}

    return EvalQueue(np.arange(num_examples), batch_size, make_batch, lambda b: b)


def assert_same(first, second):
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_same_seed_same_batches():
    """A run could not be repeated."""
    first, second = train_queue(), train_queue()
    for _ in range(20):
        assert_same(next(first), next(second))


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_skip_is_that_many_nexts(n, m):
    """A resumed run would train on other batches than the run it resumes."""
    skipped, walked = train_queue(), train_queue()
    skipped.skip(n)
    skipped.skip(m)
    for _ in range(n + m):
        next(walked)
    assert_same(next(skipped), next(walked))


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5))
def test_epoch_is_a_permutation_without_the_remainder(num_examples, batch_size, epoch):
    """Some examples would be seen more often than others."""
    num_examples = max(num_examples, batch_size)
    queue = train_queue(num_examples, batch_size)
    rows = num_examples // batch_size
    batches = [queue.indices(epoch * rows + row) for row in range(rows)]
    seen = np.concatenate(batches)
    assert all(len(batch) == batch_size for batch in batches)
    assert len(set(seen.tolist())) == len(seen) == rows * batch_size
    assert set(seen.tolist()) <= set(range(num_examples))


def test_seeds_and_epochs_differ():
    """Every trial, or every epoch, would see the same order and augmentation."""
    queue, other = train_queue(48, 48), train_queue(48, 48, seed=(5, 7))
    first, second, elsewhere = next(queue), next(queue), next(other)
    for name in ("inputs", "noise"):
        assert (first[name] != second[name]).any()
        assert (first[name] != elsewhere[name]).any()


def test_evaluation_batches_repeat_in_order():
    """Evaluation would depend on how often it was run before."""
    queue = eval_queue()
    batches = [next(queue) for _ in range(3)]
    np.testing.assert_array_equal(batches[0]["inputs"], [1, 2, 3, 4])
    np.testing.assert_array_equal(batches[2]["inputs"], [9, 10, 0, 0])
    assert_same(next(queue), batches[0])
    queue.skip(1)
    assert_same(next(queue), batches[2])
    for batch, again in zip(batches, queue.one_pass(10), strict=True):
        assert_same(batch, again)


def test_masks_are_on_every_evaluation_batch():
    """Padding would count as examples, or full batches would lack a mask."""
    weights = [batch["weights"] for batch in eval_queue().one_pass(10)]
    np.testing.assert_array_equal(weights, [[1] * 4, [1] * 4, [1, 1, 0, 0]])
    assert weights[0].dtype == np.float32


def test_pad_keeps_dtypes_and_inner_shapes():
    """Padded batches would recompile or lose their integer labels."""
    batch = pad({"x": np.ones((2, 3, 4), np.uint8)}, 2, 5)
    assert batch["x"].shape == (5, 3, 4)
    assert batch["x"].dtype == np.uint8
    assert not batch["x"][2:].any()
    assert batch["weights"].tolist() == [1, 1, 0, 0, 0]
    masked = pad({"x": np.ones((2, 3)), "weights": np.eye(2, 3)}, 2, 3)
    np.testing.assert_array_equal(masked["weights"], np.eye(3) * [1, 1, 0])


def test_bad_sizes_raise():
    """A batch larger than the data would make an endless loop or an empty batch."""
    with pytest.raises(ValueError, match=r"between 1 and 50.* 51"):
        train_queue(50, 51)
    with pytest.raises(ValueError, match="got 0"):
        train_queue(50, 0)


def test_pad_nested_inputs():
    """Inputs that are several arrays, of which one would stay short."""
    batch = pad({"inputs": {"a": np.ones(2)}, "targets": (np.ones((2, 3)),)}, 2, 3)
    assert batch["inputs"]["a"].tolist() == [1, 1, 0]
    assert batch["targets"][0].sum(1).tolist() == [3, 3, 0]


def test_seed_integers_of_numpy_states():
    """PyTorch runs, whose states are lists or arrays, would not start."""
    assert seed_integers(np.array([3, 4])) == (3, 4)
    assert seed_integers([np.int32(3), 4]) == (3, 4)


def test_seed_integers_of_jax_keys():
    """Raw and typed keys of the same seed would shuffle differently."""
    jax = pytest.importorskip("jax")
    raw, typed = jax.random.PRNGKey(7), jax.random.key(7)
    assert seed_integers(raw) == seed_integers(typed) == (0, 7)
