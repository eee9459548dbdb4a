"""The PyTorch and JAX twins, with weights copied from one to the other."""

import numpy as np
import pytest

from tests.workloads.helpers import (
    EVAL,
    TRAIN,
    batches,
    few,
    flatten,
    flax_path,
    map_arrays,
    to_numpy,
    tolerance_of,
    twins_of,
)
from workloads_ext import registry

pytest.importorskip("torch")
pytest.importorskip("jax")


@pytest.fixture(scope="module", params=registry.ALL)
def made(request):
    return [few(twin) for twin in twins_of(request.param)]


@pytest.fixture
def twins(made):
    """The twins, to do with as one likes."""
    return [twin.copy() for twin in made]


def test_same_names_shapes_and_types(twins):
    """A parameter would exist, or have its role, in one framework only."""
    torch_twin, jax_twin = twins
    converted = {path: leaf.shape for path, leaf in flatten(jax_twin.params).items()}
    original = flatten(jax_twin.workload.param_shapes)
    assert {path: shape.shape_tuple for path, shape in original.items()} == converted
    torch_types = {
        flax_path(name).rpartition("/")[0] + name.endswith("bias") * "/bias": kind
        for name, kind in torch_twin.workload.model_params_types.items()
    }
    jax_types = {
        path.rpartition("/")[0] + path.endswith("bias") * "/bias": kind
        for path, kind in flatten(jax_twin.workload.model_params_types).items()
    }
    assert torch_types == jax_types


def test_same_batches(twins, data_dir):
    """The twins would train on different data."""
    torch_batch, jax_batch = batches(twins, data_dir)
    torch_batch, jax_batch = (
        flatten(map_arrays(to_numpy, batch)) for batch in (torch_batch, jax_batch)
    )
    assert set(torch_batch) == set(jax_batch)
    for name, array in torch_batch.items():
        if array.shape != jax_batch[name].shape:
            array = np.moveaxis(array, 1, -1)  # PyTorch's channels come first
        np.testing.assert_array_equal(array, jax_batch[name])


@pytest.mark.parametrize("mode", [TRAIN, EVAL])
def test_same_logits_and_loss(twins, mode, data_dir):
    """The twins would be different models."""
    outputs, losses = [], []
    for twin, batch in zip(twins, batches(twins, data_dir), strict=True):
        out, _ = twin.model(batch, mode, update_batch_norm=mode == TRAIN)
        labels = map_arrays(to_numpy, batch["targets"])
        outputs.append(flatten(out))
        losses.append(twin.loss(labels, out, label_smoothing=0.1))
    tolerance = tolerance_of(twins[0].workload)
    for name, array in outputs[0].items():
        assert np.abs(array).max() > 0.1
        np.testing.assert_allclose(
            array, outputs[1][name], atol=tolerance, rtol=tolerance
        )
    for name, value in losses[0].items():
        np.testing.assert_allclose(value, losses[1][name], rtol=tolerance)


def test_same_gradients(twins, data_dir):
    """The twins would learn differently, such as through a mask that one lacks."""
    pairs = zip(twins, batches(twins, data_dir), strict=True)
    torch_gradients, jax_gradients = (twin.gradients(batch) for twin, batch in pairs)
    assert torch_gradients.keys() == jax_gradients.keys()
    tolerance = tolerance_of(twins[0].workload)
    for name, array in torch_gradients.items():
        assert np.abs(array).max() > 0, name
        np.testing.assert_allclose(
            array, jax_gradients[name], atol=tolerance, rtol=tolerance, err_msg=name
        )


def test_same_evaluation(twins, data_dir):
    """The twins would score differently with the same weights."""
    torch_results, jax_results = (twin.evaluate(data_dir) for twin in twins)
    assert set(torch_results) == set(jax_results)
    for name, value in torch_results.items():
        rel = tolerance_of(twins[0].workload)
        assert jax_results[name] == pytest.approx(value, rel=rel, abs=1e-6)
