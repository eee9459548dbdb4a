"""What Muon's step is for matrices, in both frameworks."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from unscheduled import optim_jax, optim_torch
from unscheduled.optim_jax.muon import orthogonalized as orthogonalized_jax
from unscheduled.optim_numpy.muon import orthogonalized
from unscheduled.optim_torch.muon import orthogonalized as orthogonalized_torch

SHAPES = [(8, 32), (32, 8), (16, 16), (5, 1)]


def matrix(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_are_about_one(shape):
    """Directions that keep the gradient's lengths, of another size than AdamW's."""
    values = np.linalg.svd(orthogonalized(matrix(shape)), compute_uv=False)
    values /= 0.2 * max(shape) ** 0.5
    assert ((values > 0.6) & (values < 1.3)).all()  # what the iteration gives


@pytest.mark.parametrize("shape", SHAPES)
def test_frameworks_agree_on_the_direction(shape):
    """A tall matrix that is not turned back, or matrices of a shape that are mixed."""
    matrices = [matrix(shape, seed) for seed in range(3)] + [matrix((4, 4))]
    expected = [orthogonalized(m) for m in matrices]
    for ours, theirs in zip(
        orthogonalized_torch([torch.tensor(m) for m in matrices]), expected, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for m, theirs in zip(matrices, expected, strict=True):
        np.testing.assert_allclose(
            orthogonalized_jax(jnp.asarray(m)), theirs, atol=1e-5
        )


def test_torchs_muon_has_the_same_direction():
    """Coefficients, or a size, of our own."""
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("torch.optim.Muon came with torch 2.9")
    p = torch.nn.Parameter(torch.zeros(8, 32))
    p.grad = torch.tensor(matrix((8, 32)))
    torch.optim.Muon(
        [p],
        lr=1.0,
        weight_decay=0.0,
        nesterov=False,
        adjust_lr_fn="match_rms_adamw",
    ).step()
    # It rounds to bfloat16 in between.
    expected = orthogonalized(p.grad.numpy())
    np.testing.assert_allclose(-p.detach(), expected, atol=0.1 * np.abs(expected).max())


def test_optaxs_muon_has_the_same_direction():
    """As with torch's."""
    import optax

    if not hasattr(optax.contrib, "scale_by_muon"):
        pytest.skip("this optax has no Muon")
    gradient = jnp.asarray(matrix((8, 32)))
    muon = optax.contrib.scale_by_muon(nesterov=False)
    updates, _ = muon.update(gradient, muon.init(gradient))
    expected = orthogonalized(np.asarray(gradient)) / (0.2 * 32**0.5)
    np.testing.assert_allclose(updates, expected, atol=1e-4)


def test_axes_that_are_rows():
    """Heads that are orthogonalized one by one, or columns taken for rows."""
    kernel = matrix((6, 2, 4))
    for row_axes, flat in ((1, (6, 8)), (2, (12, 4))):
        expected = orthogonalized(kernel.reshape(flat)).reshape(kernel.shape)
        ours = orthogonalized_jax(jnp.asarray(kernel), row_axes)
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def first_step(optimizer, *values):
    """From these parameters, with gradients of the same values: z, where x is."""
    params = [torch.nn.Parameter(torch.as_tensor(v).clone()) for v in values]
    optimizer = optimizer(params)
    for p in params:
        p.grad = p.detach().clone()
    optimizer.step()
    optimizer.eval()
    return [p.detach().numpy() for p in params]


def test_a_group_may_keep_adamws_step():
    """An output layer that is orthogonalized."""
    hidden, output = matrix((4, 6)), matrix((6, 4))

    def make(params):
        groups = [{"params": params[:1]}, {"params": params[1:], "use_muon": False}]
        return optim_torch.MuonScheduleFree(groups, lr=0.1)

    ours = first_step(make, hidden, output)
    adamw = first_step(lambda ps: optim_torch.AdamWScheduleFree(ps, lr=0.1), output)
    np.testing.assert_allclose(
        ours[0], hidden - 0.1 * orthogonalized(hidden), atol=1e-5
    )
    np.testing.assert_array_equal(ours[1], adamw[0])


def test_row_axes_say_which_take_muons_step():
    """An output layer that is orthogonalized, in JAX."""
    y = {"hidden": jnp.asarray(matrix((4, 6))), "output": jnp.asarray(matrix((6, 4)))}
    optimizer = optim_jax.schedule_free_muon(
        0.1, row_axes=lambda params: {"hidden": 1, "output": 0}
    )
    _, state = optimizer.update(y, optimizer.init(y), y)
    adamw = optim_jax.schedule_free_adamw(0.1)
    _, other = adamw.update(y, adamw.init(y), y)
    expected = y["hidden"] - 0.1 * orthogonalized(np.asarray(y["hidden"]))
    np.testing.assert_allclose(state.z["hidden"], expected, atol=1e-5)
    np.testing.assert_allclose(state.z["output"], other.z["output"], rtol=1e-6)


def test_a_complex_matrix_is_two_real_ones():
    """Complex products, where torch.optim has pairs of real numbers."""
    pair = matrix((4, 6, 2))
    (z,) = first_step(
        lambda ps: optim_torch.MuonScheduleFree(ps, lr=0.1),
        torch.view_as_complex(torch.tensor(pair)),
    )
    for part, value in ((z.real, pair[..., 0]), (z.imag, pair[..., 1])):
        np.testing.assert_allclose(part, value - 0.1 * orthogonalized(value), atol=1e-5)


def test_sharded_matrices_are_refused():
    """Parts of a matrix that are orthogonalized one by one."""
    p = torch.nn.Parameter(torch.zeros(2, 2))
    p.to_local = lambda: p  # as a DTensor has it
    with pytest.raises(ValueError, match="whole matrices"):
        optim_torch.MuonScheduleFree([p])
    optim_torch.MuonScheduleFree([p], use_muon=False)
