"""Intervals over studies: against enumeration, and what must not change them."""

import math
from collections import Counter
from dataclasses import replace
from itertools import product
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unscheduled.benchmark.errors import UserError
from unscheduled.scoring import profiles
from unscheduled.scoring.leaderboard import rank
from unscheduled.scoring.times import workload_results
from unscheduled.scoring.uncertainty import (
    Interval,
    median_coverage,
    median_interval,
    percentile_interval,
    resample_scores,
    resampled_medians,
    result_intervals,
    score_intervals,
)

from . import oracle
from .made_studies import BENCHMARK, INF, make_group

derandomized = settings(deadline=None, max_examples=60, derandomize=True)
seconds = st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0, 9.0, INF])
groups = st.dictionaries(
    st.sampled_from("abc"),
    st.dictionaries(
        st.sampled_from(["x", "y", "x_v"]),
        st.lists(seconds, min_size=1, max_size=4),
        min_size=1,
    ),
    min_size=1,
)


def four_sigma(p, n):
    """How far a share of n independent draws may be from its probability p."""
    return 4 * math.sqrt(p * (1 - p) / n) + 1e-12


@pytest.mark.parametrize("n", range(1, 8))
def test_coverage_by_enumeration(n):
    """The probability that an interval states would not be the one it has."""
    for k in range(1, (n + 1) // 2 + 1):
        # Each draw falls below the median, 0, or above it; all outcomes as likely.
        outcomes = [sorted(o) for o in product((-1, 1), repeat=n)]
        covered = sum(o[k - 1] < 0 < o[-k] for o in outcomes)
        assert median_coverage(n, k) == covered / len(outcomes)


@pytest.mark.parametrize(
    ("n", "level", "expected"),
    [
        (2, 0.95, Interval(1, 2, 0.5, "exact")),
        (3, 0.95, Interval(1, 3, 0.75, "exact")),
        (5, 0.95, Interval(1, 5, 0.9375, "exact")),
        (6, 0.95, Interval(1, 6, 0.96875, "exact")),
        (9, 0.95, Interval(2, 8, 1 - 20 / 512, "exact")),
        (5, 0.5, Interval(2, 4, 0.625, "exact")),
    ],
)
def test_shortest_interval_of_the_level(n, level, expected):
    """An interval would be too long, too short, or claim what it has not."""
    values = [float(i) for i in range(n, 0, -1)]
    assert median_interval(values, level) == expected


def test_one_study_has_no_interval():
    """One run would look certain, with an interval of no width."""
    assert median_interval([3.0]) is None
    group = make_group({"a": {"x": [3.0]}, "b": {"x": [2.0, 4.0]}})
    assert result_intervals(group)["a", "x"].time_sec is None
    intervals = score_intervals(group, BENCHMARK, n_resamples=50)
    assert intervals["a"].interval is None
    assert intervals["b"].interval is not None


def test_misses_take_part():
    """An interval would end at the slowest hit, as if nothing had been missed."""
    group = make_group({"a": {"x": [3.0, INF, 2.0]}})
    intervals = result_intervals(group)["a", "x"]
    assert intervals.time_sec == Interval(2.0, INF, 0.75, "exact")
    assert intervals.steps == Interval(8.0, INF, 0.75, "exact")


@derandomized
@given(values=st.lists(seconds, min_size=1, max_size=4))
def test_medians_of_all_resamples(values):
    """A resample's median would be another than that of its studies."""
    draws = [*product(range(len(values)), repeat=len(values))]
    medians = resampled_medians(np.array(values), np.array(draws))
    assert medians.tolist() == [median(values[i] for i in draw) for draw in draws]


@pytest.mark.parametrize("n", [3, 5])
def test_percentile_interval_of_few_studies_is_min_to_max(n):
    """The page would be wrong that 95% by percentiles are 75% of three studies."""
    values = np.arange(float(n))
    draws = np.array([*product(range(n), repeat=n)])
    interval = percentile_interval(resampled_medians(values, draws))
    exact = median_interval([*map(float, values)])
    assert exact is not None
    assert (interval.low, interval.high) == (exact.low, exact.high)


def test_percentiles_of_what_is_unknown_or_infinite():
    """inf - inf would make an end NaN, or NaN would be dropped and narrow the ends."""
    samples = np.array([1.0, INF, INF, INF])
    assert percentile_interval(samples, 0.5) == Interval(INF, INF, 0.5, "bootstrap")
    samples = np.array([np.nan, 1.0, 2.0, 3.0])
    assert percentile_interval(samples, 0.9).low == -INF
    assert percentile_interval(samples, 0.9).high == INF
    assert percentile_interval(samples, 0.5) == Interval(1, 3, 0.5, "bootstrap")


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, math.nan])
def test_level_out_of_range(level):
    """A level in percent would give an interval without a word."""
    with pytest.raises(UserError, match="choose between 0 and 1"):
        percentile_interval(np.array([1.0, 2.0]), level)


@pytest.mark.parametrize(
    "times_sec",
    [
        {"a": {"x": [2.0, 3.0, 8.0]}, "b": {"x": [2.5, INF, 3.0]}},
        {"a": {"x": [2.0, 9.0], "x_v": [1.0, INF]}, "b": {"x": [3.0], "x_v": [2.0]}},
        {"a": {"x": [2.0, 3.0]}, "b": {"x": [2.0, INF], "y": [5.0, 1.0]}},
    ],
)
def test_scores_of_all_resamples(times_sec):
    """The scores would not be those of studies drawn with replacement, each cell by
    itself, and of the official filters."""
    cells = [
        (s, w, values) for s, row in times_sec.items() for w, values in row.items()
    ]
    held_out = {
        w: b
        for w, b in BENCHMARK.held_out.items()
        if any(w in row for row in times_sec.values())
    }
    exact = Counter()
    resamples = [[*product(values, repeat=len(values))] for _, _, values in cells]
    for drawn in product(*resamples):
        times = {submission: {} for submission in times_sec}
        for (submission, workload, _), values in zip(cells, drawn, strict=True):
            times[submission][workload] = oracle.median(values)
        scores = oracle.scores(times, [*BENCHMARK.base], held_out)
        exact[tuple(round(scores[s], 9) for s in sorted(scores))] += 1
    n = 20_000
    samples = resample_scores(make_group(times_sec), BENCHMARK, n, seed=3)
    sampled = Counter(map(tuple, samples.round(9).tolist()))
    assert set(sampled) <= set(exact)
    for scores, count in exact.items():
        p = count / exact.total()
        assert sampled[scores] / n == pytest.approx(p, abs=four_sigma(p, n))


@derandomized
@given(times_sec=groups)
def test_scores_of_equal_studies_are_the_leaderboard(times_sec):
    """The arrays would apply other filters, or another integral, than the ranking."""
    studies = make_group(
        {s: {w: [v[0]] * 3 for w, v in row.items()} for s, row in times_sec.items()}
    )
    board = rank(workload_results(studies), BENCHMARK)
    samples = resample_scores(studies, BENCHMARK, n_resamples=3)
    expected = [
        {r.submission: r.score for r in board.rows}[s] for s in sorted(times_sec)
    ]
    # 1e-12: two orders of adding up
    np.testing.assert_allclose(samples, [expected] * 3, rtol=0, atol=1e-12)


@derandomized
@given(
    ratios=st.lists(
        st.lists(
            st.floats(1, 5) | st.sampled_from([1.0, 4.0, 5 / 3, INF]),
            min_size=2,
            max_size=2,
        ),
        min_size=1,
    )
)
def test_scores_without_profiles(ratios):
    """The short cut past the profiles would be on another grid."""
    array = np.array(ratios)
    expected = profiles.profile_scores(profiles.performance_profile(array, 2))
    found = profiles.scores_of_ratios(array, 2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@derandomized
@given(times_sec=groups, data=st.data())
def test_order_and_names_of_studies_do_not_matter(times_sec, data):
    """The order of files, or the names of studies, would move an interval."""
    studies = make_group(times_sec)
    other = [
        replace(study, study=f"z{i}")
        for i, study in enumerate(data.draw(st.permutations(studies)))
    ]
    assert score_intervals(other, BENCHMARK, n_resamples=20) == score_intervals(
        studies, BENCHMARK, n_resamples=20
    )
    assert result_intervals(other) == result_intervals(studies)


@derandomized
@given(times_sec=groups, power=st.integers(-3, 3))
def test_scores_have_no_unit(times_sec, power):
    """Times in minutes would be scored otherwise than times in seconds."""
    scaled = {
        s: {w: [2.0**power * t for t in times] for w, times in row.items()}
        for s, row in times_sec.items()
    }
    before, after = (
        resample_scores(make_group(group), BENCHMARK, 20)
        for group in (times_sec, scaled)
    )
    np.testing.assert_array_equal(before, after)


@derandomized
@given(times_sec=groups)
def test_faster_is_not_worse(times_sec):
    """Reaching targets in half the time would lower a score in some resample."""
    base = {
        s: {w: times for w, times in row.items() if w != "x_v"} or {"x": [INF]}
        for s, row in times_sec.items()
    }
    first = min(base)
    faster = base | {first: {w: [t / 2 for t in v] for w, v in base[first].items()}}
    before, after = (
        resample_scores(make_group(group), BENCHMARK, 20) for group in (base, faster)
    )
    assert (after[:, 0] >= before[:, 0]).all()
    assert (after[:, 1:] <= before[:, 1:]).all()


def test_a_copy_is_above_half_of_the_time():
    """A submission would beat its own copy, or both would be called best."""
    times = {"x": [2.0, 3.0, 4.0], "y": [5.0, INF, 7.0]}
    group = make_group({"a": times, "b": times, "c": {"x": [100.0, 100.0]}})
    n = 4000
    samples = resample_scores(group, BENCHMARK, n)
    tolerance = four_sigma(0.5, n)
    a, b, c = samples.T
    p_above = np.mean((a > b) + 0.5 * (a == b))
    assert p_above == pytest.approx(0.5, abs=tolerance)
    assert np.mean(a > c) > 0.9
    best = score_intervals(group, BENCHMARK, n_resamples=n)
    assert sum(row.p_best for row in best.values()) == pytest.approx(1)
    assert best["a"].p_best == pytest.approx(0.5, abs=tolerance)
    assert best["c"].p_best == 0


def test_seed():
    """Two runs of one command would differ, or a seed would change nothing."""
    group = make_group({"a": {"x": [2.0, 3.0, 4.0]}, "b": {"x": [3.0, 3.5, 9.0]}})
    first, again, other = (
        resample_scores(group, BENCHMARK, 600, seed) for seed in (1, 1, 2)
    )
    assert first.shape == (600, 2)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_nothing_to_resample():
    """No studies would end in an error about arrays."""
    with pytest.raises(UserError, match="no studies"):
        score_intervals([], BENCHMARK)
