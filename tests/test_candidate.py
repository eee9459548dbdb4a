"""The candidates of the search for a setting: what they are beside the entry."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from scripts import run_table
from scripts.evidence import time_to_target
from scripts.evidence.candidate_pytorch.decay_at_z import DecayAtZ
from scripts.evidence.candidate_pytorch.muon import MuonScheduleFree, orthogonal
from scripts.evidence.candidate_pytorch.polyak import PolyakRate
from scripts.evidence.candidate_pytorch.submission import Echo
from unscheduled.optim_torch.schedule_free import AdamWScheduleFree, SGDScheduleFree


@pytest.mark.slow
def test_without_a_change_it_is_the_entry(data_dir):
    """Ratios to a setting that no entry has."""
    run = run_table.Run(
        "digits_resnet", "pytorch", "schedule_free_adamw", "", 0, 6, 10, 3, False
    )
    evaluations = [
        run_table.train(run._replace(entry=entry, point=point), data_dir).evaluations
        for entry, point in (
            (run.entry, ""),
            (time_to_target.ENTRY, ""),
            (time_to_target.ENTRY, run_table.point_of({"learning_rate": 0.01})),
        )
    ]
    assert evaluations[0] == evaluations[1] != evaluations[2]


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"polyak": 1.0}, {"decay_at_z": 1}])
def test_changes_go_around_muon(data_dir, change):
    """A change that a search would find broken after hours."""
    point = run_table.point_of({**time_to_target.CHOSEN, **change})
    run = run_table.Run(
        "stdlib_lm", "pytorch", time_to_target.ENTRY, point, 0, 4, 10, 2, False
    )
    evaluations = run_table.train(run, data_dir).evaluations
    assert all(np.isfinite(each.validation) for each in evaluations)


def test_echoes_at_once_and_apart():
    """Batches that are lost, or used another number of times."""
    at_once = Echo(3, 0)
    queue = iter(range(100))
    assert [at_once.next_batch(None, queue) for _ in range(7)] == [0, 0, 0, 1, 1, 1, 2]
    apart = Echo(2, 2)
    queue = iter(range(100))
    taken = [apart.next_batch(None, queue) for _ in range(10)]
    assert taken == [0, 0, 1, 0, 2, 0, 3, 1, 4, 2]


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 4, 3, 3)])
def test_orthogonal_steps(shape):
    """Directions that keep the gradient's lengths, of another size than AdamW's."""
    torch.manual_seed(0)
    step = orthogonal(torch.randn(shape))
    assert step.shape == shape
    values = torch.linalg.svdvals(step.flatten(1)) / max(step.flatten(1).shape) ** 0.5
    assert ((values > 0.2 * 0.6) & (values < 0.2 * 1.3)).all()  # Newton-Schulz's own


def test_matrices_and_others_take_their_own_steps():
    """A parameter that is stepped by the wrong one, or a broken step that is taken."""
    torch.manual_seed(0)
    matrix, other = (torch.nn.Parameter(torch.randn(4, 4)) for _ in range(2))
    alone = torch.nn.Parameter(other.detach().clone())
    options = {"lr": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.0}
    both = MuonScheduleFree([matrix], [other], 1.0, 0.0, **options)
    single = AdamWScheduleFree([alone], **options)
    before = matrix.detach().clone()
    grad = torch.randn(4, 4)
    matrix.grad, other.grad, alone.grad = grad.clone(), grad.clone(), grad.clone()
    both.step()
    single.step()
    both.eval()
    single.eval()
    np.testing.assert_array_equal(other.detach(), alone.detach())
    # After one step x is z.
    np.testing.assert_allclose(
        matrix.detach(), before - 0.1 * orthogonal(grad), rtol=1e-5, atol=1e-6
    )
    both.train()
    kept = [p.detach().clone() for p in (matrix, other)]
    both.found_inf = torch.ones(())
    matrix.grad, other.grad = torch.full((4, 4), torch.nan), torch.full((4, 4), 1.0)
    both.step()
    for old, new in zip(kept, (matrix, other), strict=True):
        np.testing.assert_array_equal(old, new.detach())


@pytest.mark.parametrize("beta", [0.5, 0.8])
def test_decay_at_z(beta):
    """Weights that decay where y is, or an average that loses what z lost."""
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=4), rng.normal(size=(6, 4))
    parameter = torch.nn.Parameter(torch.tensor(start))
    inner = SGDScheduleFree([parameter], lr=0.1, momentum=beta)
    optimizer = DecayAtZ(inner, 0.3, warmup_steps=0)
    x, z = start.copy(), start.copy()
    for t, gradient in enumerate(gradients, start=1):
        z = (1 - 0.1 * 0.3 * (t > 1)) * z - 0.1 * gradient  # z comes with the first
        x += (z - x) / t
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        y = (1 - beta) * z + beta * x
        np.testing.assert_allclose(parameter.detach(), y, rtol=1e-12)


def test_polyak_rate():
    """Another rate than that of the equation, or decay that goes another way."""
    rng = np.random.default_rng(0)
    parameter = torch.nn.Parameter(torch.tensor(rng.normal(size=4)))
    inner = AdamWScheduleFree([parameter], lr=9.0, weight_decay=0.1)
    optimizer = PolyakRate(inner, 0.5, 0.01)
    (group,) = inner.param_groups
    norms, weights = [], 0.95 ** np.arange(5)[::-1]
    for t in range(5):
        gradient = rng.normal(size=4)
        y = parameter.detach().numpy()
        z = inner.state[parameter]["z"].numpy() if t else y
        norms.append(np.abs(gradient).sum() * np.sqrt(np.pi / 2))
        norm = np.average(norms, weights=weights[-t - 1 :])
        expected = 0.5 * (2.0 + gradient @ (z - y)) / norm
        optimizer.loss, parameter.grad = 2.0, torch.tensor(gradient)
        optimizer.step()
        assert group["lr"] == pytest.approx(expected, rel=1e-12)
        assert group["weight_decay"] == pytest.approx(0.1 * expected / 0.01)
    optimizer.loss = -100.0  # and never uphill
    optimizer.step()
    assert group["lr"] == 0
