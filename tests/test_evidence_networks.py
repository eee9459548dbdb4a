"""What the pages on networks, gradients and echoing compute, from made-up runs."""

import math

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import torch

from scripts.evidence import echoing, gradients, networks
from scripts.evidence.network_pytorch.submission import Averaged
from scripts.run_table import Evaluation, Result
from unscheduled.scoring.times import MISS, Hit


def ending_at(run, values):
    """A run with these validation values, evenly spaced to its end."""
    steps = np.linspace(1, run.steps, len(values))
    evaluations = (
        Evaluation(s, v, math.nan) for s, v in zip(steps, values, strict=True)
    )
    return Result(tuple(evaluations), 1.0)


def test_the_best_rate_is_by_the_last_value():
    """Rates chosen by the best value on the way, or as if more were less."""
    algorithm = networks.ADAMW[2]
    table = {}
    for rate, values in zip(
        algorithm.rates, ([0.1, 0.6], [0.9, 0.5], [0.1, math.nan]), strict=True
    ):
        run = networks.run_at("digits_resnet", algorithm, rate, 1.0, 0)
        assert networks.best_rate(table, "digits_resnet", algorithm) is None
        table[run] = ending_at(run, values)
    best = networks.best_rate(table, "digits_resnet", algorithm)
    assert best == algorithm.rates[0]


def test_horizons_are_runs_of_decays_and_looks_at_one_run_without():
    """A decay that is cut off, or a Schedule-Free run for each horizon."""
    with_decay, _, without = networks.ADAMW
    runs = {
        a.name: {networks.run_at("stdlib_lm", a, 0.001, s, 0) for s in networks.SHARES}
        for a in (with_decay, without)
    }
    ends = sorted((run.steps, run.step_hint) for run in runs[with_decay.name])
    assert ends == [(300, 300), (600, 600), (1200, 1200)]
    (run,) = runs[without.name]
    result = ending_at(run, [9.0, 8.0, 7.0, 6.0, 5.0])
    assert networks.value_at(result, 0.5 * run.steps) == 7.0


def test_an_average_is_evaluated_and_training_goes_on():
    """Averages of the wrong steps, or training that goes on from the average."""
    p = torch.nn.Parameter(torch.zeros(2))
    sgd = torch.optim.SGD([p], lr=1.0, fused=True)
    optimizer = Averaged(sgd, decay=0.5)
    for _ in range(3):
        p.grad = -torch.ones(2)
        optimizer.found_inf = torch.zeros(())
        optimizer.train()
        optimizer.step()
        optimizer.eval()
    # The first step alone, the mean of two, then half of the third.
    np.testing.assert_allclose(p.detach(), (1.5 + 3) / 2)
    optimizer.train()
    np.testing.assert_allclose(p.detach(), 3.0)


def test_the_median_of_a_histogram():
    """A median that is that of the bins, or off by one of them."""
    histogram = np.zeros(len(gradients.BINS) - 1)
    histogram[[9, 10]] = 0.25, 0.75
    expected = gradients.BINS[10] + (gradients.BINS[11] - gradients.BINS[10]) / 3
    assert gradients.median(histogram) == pytest.approx(expected)


def test_gradients_of_each_variant(data_dir, monkeypatch):
    """Variants that take the same steps, or moments that are not collected first."""
    monkeypatch.setattr(gradients, "STEPS", 3)
    monkeypatch.setattr(gradients, "COLLECTED", 2)
    losses = {}
    for name in gradients.VARIANTS:
        histograms, losses[name] = gradients.train(data_dir, name, 0)
        np.testing.assert_allclose(histograms.sum(1), 1.0)
    assert len({each[0] for each in losses.values()}) == 1  # before any step
    assert len({each[2] for each in losses.values()}) == len(losses)


def test_echoing_is_compared_with_waiting_at_every_step(monkeypatch):
    """A ratio to a run that did not wait."""
    monkeypatch.setattr(echoing, "WORKLOADS", ("a", "b"))
    alone = {("a", "0"): Hit(10, 100, 3), ("b", "0"): Hit(4, 9, 1)}
    waiting = {("a", "0"): Hit(12.5, 120, 4), ("b", "0"): MISS}
    text = echoing.table({"without waiting": alone, "with fetches": waiting})
    assert "| a | 100 | 120 | 0.50 |" in text
    assert "| b | 9 | missed | inf |" in text
    alone |= {("a", "1"): Hit(10, 100, 3), ("b", "1"): Hit(4, 9, 1)}
    waiting |= {("a", "1"): Hit(25, 140, 5), ("b", "1"): Hit(10, 10, 2)}
    waiting["b", "0"] = Hit(2.5, 8, 1)
    text = echoing.table({"without waiting": alone, "with fetches": waiting})
    assert "| a | 100 (100 to 100) | 130 (120 to 140) | 0.71 |" in text
    assert "| geometric mean |  |  | 0.59 (0.35 to 1.00) |" in text
