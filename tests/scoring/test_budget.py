"""Views by budget, by hand."""

import math

import pytest

from unscheduled.benchmark.targets import Benchmark, Target, budgets_sec
from unscheduled.scoring.times import (
    approach,
    budget_use,
    closest_miss,
)

from .made_studies import BENCHMARK, INF, NAN, TARGET, make_study

WER = Target("wer", 0.1)


def use(studies, budget_factor: float | None = 2.0, benchmark=BENCHMARK):
    (found,) = budget_use(studies, benchmark, budget_factor).values()
    return found


def test_shares():
    """A share would be of another budget, or the median's that of the longest run."""
    found = use(
        [
            make_study(study="0", time_sec=4.0, run_sec=5.0),
            make_study(study="1", time_sec=6.0, run_sec=15.0),
            make_study(study="2", time_sec=INF, run_sec=10.0, best=0.4),
        ]
    )
    assert found.budget_sec == 20
    assert found.to_target == pytest.approx(6 / 20)
    assert found.run == pytest.approx(15 / 20)
    assert (found.n_hit, found.n_studies) == (2, 3)
    assert found.misses == approach(0.4, TARGET)


def test_misses():
    """A median that missed would seem to have taken a part of the budget."""
    found = use([make_study(study=f"{i}") for i in range(3)])
    assert found.to_target == INF
    assert math.isnan(found.run)
    assert found.misses is None


def test_unknown_budget():
    """A share would be shown though nobody said what the budget was."""
    study = make_study(time_sec=4.0, run_sec=5.0)
    unknown = Benchmark("test", ("x",), {}, {"x": Target("accuracy", 0.5)})
    for found in (use([study], None), use([study], 3.0, unknown)):
        assert math.isnan(found.budget_sec)
        assert math.isnan(found.to_target)
        assert math.isnan(found.run)
    assert budgets_sec(BENCHMARK, ["x", "x_v"], 1.5).tolist() == [15, 15]


@pytest.mark.parametrize(
    ("value", "target", "short", "words"),
    [
        (0.4, TARGET, 0.2, "accuracy 0.4, 20.0% below 0.5"),
        (0.6, TARGET, -0.2, "accuracy 0.6, 20.0% above 0.5"),
        (0.15, WER, 0.5, "wer 0.15, 50.0% above 0.1"),
        (0.05, WER, -0.5, "wer 0.05, 50.0% below 0.1"),
        (0.1, WER, 0.0, "wer 0.1, just 0.1"),
        (3.0, Target("loss", -2.0), 2.5, "loss 3, 250.0% above -2"),
        (0.5, Target("loss", 0.0), NAN, "loss 0.5, above 0"),
        (0.50004, Target("wer", 0.5), 8e-5, "wer 0.50004, 0.008% above 0.5"),
    ],
)
def test_approach(value, target, short, words):
    """What is still to go would have the sign of what is beyond the target."""
    found = approach(value, target)
    assert found.short == pytest.approx(short, nan_ok=True)
    assert found.words == words


def test_closest_of_the_misses():
    """The closest would be the farthest, a hit, or a run that diverged."""
    studies = [
        make_study(study="0", best=0.3),
        make_study(study="1", best=0.2),
        make_study(study="2", best=NAN),
        make_study(study="3", time_sec=1.0, best=0.05),
        make_study(study="4", best=INF),
    ]
    found = closest_miss(studies, WER)
    assert found is not None
    assert found.value == 0.2
    found = closest_miss(studies, Target("accuracy", 0.5))
    assert found is not None
    assert found.value == 0.3
    assert closest_miss(studies[2:], WER) is None
