"""Batch norm over the frames that are there, in both frameworks and over ranks."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.workloads.helpers import noise, to_numpy

X = 2 + 3 * noise(np.zeros((4, 6, 4)))
VALID = np.arange(6) < np.array([[6], [2], [1], [5]])


def test_masked_batch_norm():
    """Means and variances would be of padding too, or be averaged over examples."""
    torch = pytest.importorskip("torch")
    jax = pytest.importorskip("jax")
    from flax import linen as nn

    from workloads_ext.common.layers_jax import masked_batch_norm
    from workloads_ext.common.layers_torch import MaskedBatchNorm

    mean, var = X[VALID].mean(0), X[VALID].var(0)
    expected = (X - mean) / np.sqrt(var + 1e-3)

    ours = MaskedBatchNorm(4, eps=1e-3)
    found = ours(torch.from_numpy(X), torch.from_numpy(VALID))
    statistics = [(ours.running_mean, ours.running_var)]

    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x, valid):
            return masked_batch_norm("bn")(x, False, valid)

    variables = Layer().init(jax.random.key(0), X, VALID)
    other, state = Layer().apply(variables, X, VALID, mutable=["batch_stats"])
    held = state["batch_stats"]["bn"]
    statistics.append((held["mean"], held["var"]))
    for array in (found, other):
        np.testing.assert_allclose(
            to_numpy(array)[VALID], expected[VALID], rtol=1e-4, atol=1e-5
        )
    for running_mean, running_var in statistics:
        np.testing.assert_allclose(to_numpy(running_mean), 0.1 * mean, rtol=1e-5)
        np.testing.assert_allclose(to_numpy(running_var), 0.9 + 0.1 * var, rtol=1e-5)


RANK = """
import sys

import numpy as np
import torch
import torch.distributed as dist

from tests.workloads.helpers import noise
from tests.workloads.test_masked_batch_norm import VALID, X
from workloads_ext.common.layers_torch import MaskedBatchNorm

folder, rank, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if count > 1:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=count
    )
size = len(X) // count
rows = slice(rank * size, (rank + 1) * size)
x = torch.tensor(X[rows], requires_grad=True)
valid, wanted = torch.tensor(VALID[rows]), torch.tensor(noise(X)[rows])
layer = MaskedBatchNorm(X.shape[-1], eps=1e-3)
y = layer(x, valid)
((y - wanted).square() * valid[..., None]).sum().backward()
held = {"y": y, "x": x.grad, "weight": layer.weight.grad, "bias": layer.bias.grad}
held |= dict(layer.named_buffers())
arrays = {name: tensor.detach().numpy() for name, tensor in held.items()}
np.savez(f"{folder}/{rank}_of_{count}.npz", **arrays)
if count > 1:
    dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_ranks_normalise_like_one(tmp_path):
    """Statistics, or gradients through them, would be those of a rank's own frames."""
    pytest.importorskip("torch")
    places = ((0, 2), (1, 2), (0, 1))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(tmp_path), str(rank), str(count)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank, count in places
    ]
    assert [process.wait(timeout=600) for process in processes] == [0] * 3
    first, second, whole = (
        dict(np.load(tmp_path / f"{rank}_of_{count}.npz")) for rank, count in places
    )
    for name, expected in whole.items():
        if name in ("y", "x"):
            found = np.concatenate([first[name], second[name]])
        elif name in ("weight", "bias"):  # which DistributedDataParallel averages
            found = first[name] + second[name]
        else:
            found = first[name]
            np.testing.assert_array_equal(found, second[name])
        # Sums of float32 in another order.
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
