"""The ResNet of digits: its statistics, its start, its augmentation."""

import numpy as np
import pytest

from tests.workloads.helpers import (
    EVAL,
    TOLERANCE,
    TRAIN,
    batches,
    flatten,
    load,
    random_state,
    to_flax,
    to_numpy,
    twins_of,
)
from workloads_ext.digits_resnet.workload import SIDE, shift_images


@pytest.fixture
def torch_digits():
    return load("digits_resnet", "pytorch")


@pytest.fixture
def jax_digits():
    return load("digits_resnet", "jax")


def train_batch(loaded, data_dir):
    rng = random_state(loaded.framework)
    return next(loaded.workload._build_input_queue(rng, "train", data_dir, 8))


def torch_statistics(loaded):
    return {
        name: to_numpy(buffer).copy()
        for name, buffer in loaded.params.named_buffers()
        if "running" in name
    }


def assert_same(first, second):
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_torch_update_moves_the_statistics(torch_digits, data_dir):
    """Evaluation would use the statistics of the start."""
    before = torch_statistics(torch_digits)
    batch = train_batch(torch_digits, data_dir)
    torch_digits.model(batch, TRAIN, update_batch_norm=True)
    after = torch_statistics(torch_digits)
    inputs = torch_digits.params.conv1(batch["inputs"])
    expected = 0.1 * to_numpy(inputs.mean((0, 2, 3)))
    np.testing.assert_allclose(
        after["bn1.running_mean"], expected, rtol=1e-4, atol=1e-6
    )
    assert all((before[name] != after[name]).any() for name in before)


def test_torch_no_update_still_normalises_by_the_batch(torch_digits, data_dir):
    """A forward pass that must not touch the statistics would touch or use them."""
    batch = train_batch(torch_digits, data_dir)
    frozen, _ = torch_digits.model(batch, TRAIN, update_batch_norm=False)
    before = torch_statistics(torch_digits)
    assert not before["bn1.running_mean"].any()
    updated, _ = torch_digits.model(batch, TRAIN, update_batch_norm=True)
    np.testing.assert_array_equal(frozen, updated)
    after = torch_statistics(torch_digits)
    again, _ = torch_digits.model(batch, TRAIN, update_batch_norm=False)
    np.testing.assert_array_equal(again, updated)
    assert_same(after, torch_statistics(torch_digits))


def test_torch_evaluation_uses_the_running_statistics(torch_digits, data_dir):
    """A model that last ran without an update would evaluate by the batch."""
    batch = train_batch(torch_digits, data_dir)
    torch_digits.model(batch, TRAIN, update_batch_norm=False)
    whole, _ = torch_digits.model(batch, EVAL)
    half = {name: value[:4] for name, value in batch.items()}
    part, _ = torch_digits.model(half, EVAL)
    np.testing.assert_allclose(whole[:4], part, atol=1e-6)
    assert not torch_statistics(torch_digits)["bn1.running_mean"].any()


def test_torch_update_in_evaluation_raises(torch_digits, data_dir):
    """Evaluation would change the model."""
    batch = train_batch(torch_digits, data_dir)
    with pytest.raises(ValueError, match="update_batch_norm must be False"):
        torch_digits.model(batch, EVAL, update_batch_norm=True)


def test_torch_evaluation_keeps_no_graph(torch_digits, data_dir):
    """Evaluation would need the memory of training."""
    logits, _ = torch_digits.workload.model_fn(
        torch_digits.params,
        train_batch(torch_digits, data_dir),
        None,
        EVAL,
        None,
        False,
    )
    assert not logits.requires_grad


def test_jax_update_moves_the_statistics(jax_digits, data_dir):
    """Evaluation would use the statistics of the start."""
    batch = train_batch(jax_digits, data_dir)
    _, state = jax_digits.model(batch, TRAIN, update_batch_norm=True)
    before, after = flatten(jax_digits.model_state), flatten(state)
    assert set(state) == {"batch_stats"}
    assert set(before) == set(after)
    assert all((before[name] != after[name]).any() for name in before)


def test_jax_no_update_uses_the_running_statistics(jax_digits, data_dir):
    """Without an update, the official workload normalises by running statistics."""
    batch = train_batch(jax_digits, data_dir)
    trained, state = jax_digits.model(batch, TRAIN)
    assert_same(flatten(jax_digits.model_state), flatten(state))
    evaluated, _ = jax_digits.model(batch, EVAL)
    np.testing.assert_array_equal(trained, evaluated)
    half = {name: value[:4] for name, value in batch.items()}
    part, _ = jax_digits.model(half, EVAL)
    np.testing.assert_allclose(evaluated[:4], part, atol=1e-6)


def test_blocks_start_as_identities(torch_digits, jax_digits):
    """The last batch norm of a block would not start at zero, as it does officially."""
    for i in range(3):
        assert not torch_digits.params.blocks[i].bn2.weight.any()
        assert not jax_digits.params[f"blocks_{i}"]["bn2"]["scale"].any()


def test_shift_images():
    """Augmentation would wrap digits around, move them too far, or not at all."""
    images = np.arange(1, 65, dtype=np.uint8).reshape(1, 8, 8, 1).repeat(200, 0)
    shifted = shift_images(images, np.random.default_rng(0))
    padded = np.pad(images[0, :, :, 0], 1)
    windows = [padded[i : i + 8, j : j + 8] for i in range(3) for j in range(3)]
    found = {
        next(k for k, window in enumerate(windows) if (window == image).all())
        for image in shifted[..., 0]
    }
    assert found == set(range(9))


def test_same_statistics(data_dir):
    """The running means, or the variances but for n / (n - 1), would differ."""
    torch_twin, jax_twin = twins = twins_of("digits_resnet")
    torch_batch, jax_batch = batches(twins, data_dir)
    _, starts = to_flax(torch_twin)
    torch_twin.model(torch_batch, TRAIN, update_batch_norm=True)
    _, state = jax_twin.model(jax_batch, TRAIN, update_batch_norm=True)
    _, updated = to_flax(torch_twin)
    for path, value in flatten(updated).items():
        other = to_numpy(flatten(state["batch_stats"])[path])
        if path.endswith("var"):
            # PyTorch's running variance is unbiased, flax's is not.
            halvings = int(path.partition("blocks_")[2][:1] or 0)
            n = 8 * (SIDE // 2**halvings) ** 2
            kept = 0.9 * flatten(starts)[path]
            other = kept + (other - kept) * n / (n - 1)
        np.testing.assert_allclose(value, other, atol=TOLERANCE, rtol=TOLERANCE)
