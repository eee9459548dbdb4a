"""The PyTorch and JAX twins, with weights copied from one to the other."""

import dataclasses

import numpy as np
import pytest

import workloads_ext
from tests.workloads.helpers import (
    EVAL,
    TRAIN,
    flatten,
    flax_path,
    load,
    random_state,
    to_flax,
    to_numpy,
)

pytest.importorskip("torch")
pytest.importorskip("jax")
TOLERANCE = 1e-5  # float32, logits of order one, two libraries' convolutions


@pytest.fixture(params=workloads_ext.WORKLOADS)
def twins(request):
    """Both twins with the same weights, away from the zeros of the start."""
    import torch

    torch_twin, jax_twin = (load(request.param, fw) for fw in ("pytorch", "jax"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in torch_twin.params.state_dict().items():
            if tensor.dim() == 1:
                noise = torch.randn(tensor.shape, generator=generator).to(tensor)
                tensor += 0.1 * noise + ("bn2.weight" in name)
    params, statistics = to_flax(torch_twin.params)
    state = {"batch_stats": statistics} if statistics else None
    return torch_twin, dataclasses.replace(jax_twin, params=params, model_state=state)


def batches(twins, data_dir, split="train", size=8):
    """The same batch in both frameworks."""
    seed = random_state("pytorch")
    return [
        next(twin.workload._build_input_queue(seed, split, data_dir, size))
        for twin in twins
    ]


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
    inputs = to_numpy(torch_batch["inputs"])
    if inputs.ndim == 4:
        inputs = inputs.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(inputs, to_numpy(jax_batch["inputs"]))
    np.testing.assert_array_equal(
        to_numpy(torch_batch["targets"]), to_numpy(jax_batch["targets"])
    )


@pytest.mark.parametrize("mode", [TRAIN, EVAL])
def test_same_logits_and_loss(twins, mode, data_dir):
    """The twins would be different models."""
    logits, losses = [], []
    for twin, batch in zip(twins, batches(twins, data_dir), strict=True):
        out, _ = twin.model(batch, mode, update_batch_norm=mode == TRAIN)
        labels = to_numpy(batch["targets"])
        logits.append(out)
        losses.append(twin.loss(labels, out, label_smoothing=0.1))
    assert np.abs(logits[0]).max() > 0.1
    np.testing.assert_allclose(logits[0], logits[1], atol=TOLERANCE, rtol=TOLERANCE)
    for name, value in losses[0].items():
        np.testing.assert_allclose(value, losses[1][name], rtol=TOLERANCE)


def test_same_evaluation(twins, data_dir):
    """The twins would score differently with the same weights."""
    torch_results, jax_results = (twin.evaluate(data_dir) for twin in twins)
    assert set(torch_results) == set(jax_results)
    for name, value in torch_results.items():
        assert jax_results[name] == pytest.approx(value, rel=TOLERANCE)


def test_same_statistics(data_dir):
    """The running means, or the variances but for n / (n - 1), would differ."""
    torch_twin, jax_twin = (load("digits_resnet", fw) for fw in ("pytorch", "jax"))
    params, statistics = to_flax(torch_twin.params)
    jax_twin = dataclasses.replace(
        jax_twin, params=params, model_state={"batch_stats": statistics}
    )
    twins = torch_twin, jax_twin
    torch_batch, jax_batch = batches(twins, data_dir)
    torch_twin.model(torch_batch, TRAIN, update_batch_norm=True)
    _, state = jax_twin.model(jax_batch, TRAIN, update_batch_norm=True)
    _, updated = to_flax(torch_twin.params)
    for path, value in flatten(updated).items():
        other = to_numpy(flatten(state["batch_stats"])[path])
        if path.endswith("var"):
            # PyTorch's running variance is unbiased, flax's is not.
            side = {"0": 8, "1": 4, "2": 2}.get(path.partition("blocks_")[2][:1], 8)
            n = 8 * side * side
            other = 0.9 + (other - 0.9) * n / (n - 1)
        np.testing.assert_allclose(value, other, atol=TOLERANCE, rtol=TOLERANCE)
