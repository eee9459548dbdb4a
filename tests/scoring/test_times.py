"""Times to target: by hand, and against the slow loops of the oracle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.targets import Benchmark, Target
from unscheduled.scoring.times import (
    MISS,
    RULES,
    Hit,
    first_hit,
    study_results,
    times_matrix,
    workload_results,
)

from . import oracle
from .trees import make_trial

ACCURACY = Target("accuracy", 0.5)
BENCHMARK = Benchmark("test", ("digits_resnet",), {}, {"digits_resnet": ACCURACY})


def studies(*times_sec):
    """A trial a study that reaches the target after these seconds."""
    return [
        make_trial([(time_sec, 7, 0.5)] if time_sec < math.inf else [], study=f"s{i}")
        for i, time_sec in enumerate(times_sec)
    ]


def test_first_occurrence():
    """A later, better evaluation would be taken for the time to target."""
    trial = make_trial([(1, 10, 0.4), (2, 20, 0.5), (3, 30, 0.3), (4, 40, 0.9)])
    assert first_hit(trial, ACCURACY) == Hit(time_sec=2, steps=20, index=1)


def test_first_row_counts_after_a_resume():
    """Steps repeated after a resume would be sorted, or take the place of the first."""
    trial = make_trial([(5, 20, 0.1), (6, 30, 0.6), (7, 20, 0.7), (8, 30, 0.8)])
    assert first_hit(trial, ACCURACY) == Hit(time_sec=6, steps=30, index=1)


@pytest.mark.parametrize("rows", [[], [(1, 1, math.nan)], [(1, 1, 0.4999)]])
def test_miss(rows):
    """No evaluation, NaN or just below the target would count as reaching it."""
    assert first_hit(make_trial(rows), ACCURACY) is MISS


def test_metric_not_logged():
    """One log of another metric would stop the scoring of all others, or hit."""
    trial = make_trial([(1, 1, 0.5)], metric="loss")
    assert first_hit(trial, ACCURACY) is MISS
    (study,) = study_results([trial], BENCHMARK)
    assert (study.n_hit, study.n_trials, study.run_sec) == (0, 1, 1)
    assert math.isnan(study.best)


def study_hit(hits, rule="documented"):
    """The hit of a study whose trials, from number 1 on, hit like this."""
    trials = []
    for number, hit in enumerate(hits, 1):
        rows = [(0.0, 0, 0.1)] * (0 if hit is MISS else hit.index)
        last = [] if hit is MISS else [(hit.time_sec, hit.steps, 0.5)]
        trials.append(make_trial(rows + last, number=number))
    (found,) = study_results(trials, BENCHMARK, rule)
    return found.hit


def test_rules_differ():
    """The fastest trial and the one with the fewest evaluations would be confused."""
    few, fast = Hit(30.0, 900, 2), Hit(20.0, 500, 7)
    assert study_hit([few, MISS, fast]) == fast
    assert study_hit([fast, MISS, few], "official") == few
    assert study_hit([MISS, MISS]) is MISS


@pytest.mark.parametrize("rule", RULES)
def test_ties_go_to_the_lowest_trial(rule):
    """The order in which a file system lists trials would decide a score."""
    first, second = Hit(5.0, 10, 3), Hit(5.0, 20, 3)
    assert study_hit([first, second], rule).steps == 10


@pytest.mark.parametrize(
    ("times_sec", "median_sec", "n_hit"),
    [
        ((3.0,), 3.0, 1),
        ((9.0, 1.0, 4.0), 4.0, 3),
        ((9.0, math.inf, 4.0), 9.0, 2),
        ((9.0, math.inf, math.inf), math.inf, 1),
        ((1.0, 2.0), 1.5, 2),
        ((1.0, math.inf), math.inf, 1),
        ((math.inf, math.inf), math.inf, 0),
    ],
)
def test_median_of_studies(times_sec, median_sec, n_hit):
    """Misses would be left out of the median, in favour of who misses often."""
    (result,) = workload_results(study_results(studies(*times_sec), BENCHMARK))
    assert result.time_sec == median_sec
    assert result.steps == (7 if median_sec < math.inf else math.inf)
    assert (result.n_hit, result.n_studies) == (n_hit, len(times_sec))


def test_other_workloads_are_passed_over():
    """A workload that the benchmark does not score would stop the scoring."""
    assert study_results([make_trial([], workload="mnist")], BENCHMARK) == []


def test_both_frameworks():
    """Runs of two different programs would be one submission's studies."""
    trials = [make_trial([], framework=f, study=f) for f in ("jax", "pytorch")]
    with pytest.raises(UserError, match="both frameworks"):
        workload_results(study_results(trials, BENCHMARK))


def test_what_a_study_knows():
    """The best value, the time run or the time a step would be another trial's."""
    trials = [
        make_trial([(4, 2, 0.2), (9, 3, 0.6)], number=1),
        make_trial([(8, 4, 0.7), (30, 9, math.nan)], number=2),
        make_trial([], number=3),
    ]
    (hit,) = study_results(trials, BENCHMARK)
    assert (hit.n_hit, hit.n_trials, hit.best, hit.run_sec) == (2, 3, 0.7, 30)
    assert hit.step_sec == 2
    missed = [make_trial([(6, 3, 0.2)]), make_trial([(20, 4, 0.1)], number=2)]
    (miss,) = study_results(missed, BENCHMARK)
    assert (miss.hit, miss.best, miss.step_sec) == (MISS, 0.2, 3.5)
    (nothing,) = study_results(trials[2:], BENCHMARK)
    assert np.isnan([nothing.best, nothing.run_sec, nothing.step_sec]).all()


def test_times_matrix():
    """A workload without logs would look like a missed one."""
    results = workload_results(study_results(studies(2.0), BENCHMARK))
    matrix = times_matrix(results, ["a", "sub"], ["digits_resnet", "other"])
    np.testing.assert_array_equal(matrix, [[np.nan, np.nan], [2.0, np.nan]])


evaluation = st.tuples(
    st.sampled_from([1.0, 2.0, 3.0, 5.0, 8.5]),
    st.integers(1, 9),
    st.sampled_from([0.4, 0.5, 0.6, math.nan]),
)
study = st.lists(st.lists(evaluation, max_size=5), min_size=1, max_size=4)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(
    runs=st.lists(study, min_size=1, max_size=5),
    metric=st.sampled_from(["accuracy", "loss"]),
    rule=st.sampled_from(sorted(RULES)),
    data=st.data(),
)
def test_oracle(runs, metric, rule, data):
    """Times or steps would differ from the rules as written, or follow file order."""
    trials = [
        make_trial(rows, metric=metric, study=f"s{i}", number=number)
        for i, trials in enumerate(runs)
        for number, rows in enumerate(trials, 1)
    ]
    benchmark = Benchmark(
        "test", BENCHMARK.base, {}, {"digits_resnet": Target(metric, 0.5)}
    )
    shuffled = data.draw(st.permutations(trials))
    (result,) = workload_results(study_results(shuffled, benchmark, rule))
    expected = [oracle.study_time(run, 0.5, metric == "loss", rule) for run in runs]
    assert result.time_sec == oracle.median([seconds for seconds, _ in expected])
    assert result.steps == oracle.median([steps for _, steps in expected])
    assert result.n_hit == sum(seconds < math.inf for seconds, _ in expected)
