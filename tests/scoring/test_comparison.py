"""Comparison of two submissions: against enumeration, and by hand."""

import math
from dataclasses import replace
from itertools import product
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unscheduled.benchmark.errors import UserError
from unscheduled.scoring.comparison import compare, p_faster
from unscheduled.scoring.leaderboard import rank
from unscheduled.scoring.times import workload_results

from .made_studies import BENCHMARK, INF, NAN, make_group, make_study

derandomized = settings(deadline=None, max_examples=60, derandomize=True)
seconds = st.lists(
    st.sampled_from([1.0, 2.0, 3.0, 5.0, 9.0, INF]), min_size=1, max_size=4
)
rows = st.fixed_dictionaries({"x": seconds, "y": seconds})


def log_mean(a, b, miss_sec):
    """Mean over workloads of log a/b, with the rule for misses; None: unknown."""
    logs = []
    for workload in a:
        sec = a[workload], b[workload]
        if sec == (INF, INF):
            sec = 1, 1
        logs.append([math.log(miss_sec) if t == INF else math.log(t) for t in sec])
    terms = [x - y for x, y in logs]
    return None if {INF, -INF} <= set(terms) else sum(terms) / len(terms)


@pytest.mark.parametrize("budget_factor", [None, 2.0])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"x": [2.0, 3.0, 8.0]}, {"x": [2.5, 3.0, INF]}),
        ({"x": [2.0, INF], "y": [3.0, 4.0]}, {"x": [3.0, 4.0], "y": [1.0, INF]}),
        ({"x": [2.0, INF], "y": [3.0, INF]}, {"x": [30.0, INF], "y": [1.0, INF]}),
    ],
)
def test_p_faster_medians_all_resamples(a, b, budget_factor):
    """The probability would not be the bootstrap's, or misses would count otherwise."""
    miss_sec = INF if budget_factor is None else 10 * budget_factor + 1
    workloads = [*a]
    cells = [row[w] for row in (a, b) for w in workloads]
    outcomes = []
    for drawn in product(*(product(cell, repeat=len(cell)) for cell in cells)):
        medians = [median(values) for values in drawn]
        medians_a, medians_b = medians[: len(workloads)], medians[len(workloads) :]
        m = log_mean(
            dict(zip(workloads, medians_a, strict=True)),
            dict(zip(workloads, medians_b, strict=True)),
            miss_sec,
        )
        outcomes.append(0.5 if m is None or m == 0 else float(m < 0))
    exact = sum(outcomes) / len(outcomes)
    n = 20_000
    found = compare(
        make_group({"a": a, "b": b}), BENCHMARK, "a", "b", budget_factor, n_resamples=n
    )
    # four standard deviations of a share of n resamples
    assert found.p_faster == pytest.approx(exact, abs=2 / math.sqrt(n))


@derandomized
@given(a=rows, b=rows)
def test_time_ratio_is_that_of_the_leaderboard(a, b):
    """Two tables of one report would show two ratios for the same runs."""
    group = make_group({"a": a, "b": b})
    board = rank(workload_results(group), BENCHMARK, "b", 3.0)
    (row,) = (row for row in board.rows if row.submission == "a")
    found = compare(group, BENCHMARK, "a", "b", 3.0, n_resamples=5)
    assert found.time_ratio.value == pytest.approx(row.time_ratio)
    both = math.nan if found.both_hit is None else found.both_hit.time.value
    assert both == pytest.approx(row.both_ratio, nan_ok=True)


@derandomized
@given(a=rows, b=rows)
def test_sides(a, b):
    """Exchanging the two would not turn every ratio upside down."""
    group = make_group({"a": a, "b": b})
    forth = compare(group, BENCHMARK, "a", "b", n_resamples=5)
    back = compare(group, BENCHMARK, "b", "a", n_resamples=5)
    assert inverse(forth.time_ratio.value) == pytest.approx(
        back.time_ratio.value, nan_ok=True
    )
    for one, other in zip(forth.workloads, back.workloads, strict=True):
        assert one.p_faster == pytest.approx(1 - other.p_faster)
        for part in ("time", "steps", "step_sec"):
            ratio = getattr(one.parts, part).value
            assert inverse(ratio) == pytest.approx(
                getattr(other.parts, part).value, nan_ok=True
            )


def inverse(ratio):
    return INF if ratio == 0 else 1 / ratio


@derandomized
@given(a=rows, b=rows, power=st.integers(-3, 3), data=st.data())
def test_unit_and_order_do_not_matter(a, b, power, data):
    """Minutes in place of seconds, or another order of files, would change it."""
    group = make_group({"a": a, "b": b})
    scaled = make_group(
        {
            s: {w: [2.0**power * t for t in times] for w, times in row.items()}
            for s, row in (("a", a), ("b", b))
        }
    )
    first, shuffled, other = (
        compare(studies, BENCHMARK, "a", "b", n_resamples=20)
        for studies in (group, data.draw(st.permutations(group)), scaled)
    )
    # repr: a NaN is like another, and a sign of zero is not lost
    assert repr(shuffled) == repr(first)
    assert other.p_faster == first.p_faster
    assert other.time_ratio.value == pytest.approx(first.time_ratio.value, nan_ok=True)


@derandomized
@given(a=rows, b=rows)
def test_faster_is_not_less_probably_faster(a, b):
    """Reaching targets in half the time would make `a` look slower."""
    half = {w: [t / 2 for t in times] for w, times in a.items()}
    before, after = (
        compare(make_group({"a": row, "b": b}), BENCHMARK, "a", "b", n_resamples=20)
        for row in (a, half)
    )
    assert [w.p_faster for w in after.workloads] >= [
        w.p_faster for w in before.workloads
    ]
    if before.p_faster is not None and after.p_faster is not None:
        assert after.p_faster >= before.p_faster


def test_a_copy_is_faster_half_of_the_time():
    """A submission would beat its own copy."""
    times = {"x": [2.0, 3.0, 4.0], "y": [5.0, INF, 7.0]}
    found = compare(make_group({"a": times, "b": times}), BENCHMARK, "a", "b")
    assert found.p_faster == pytest.approx(0.5, abs=2 / math.sqrt(5000))
    assert [w.p_faster for w in found.workloads] == [0.5, 0.5]
    assert found.time_ratio.value == 1
    assert found.time_ratio.interval is not None
    assert found.time_ratio.interval.low < 1 < found.time_ratio.interval.high


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1.0], [2.0], 1.0),
        ([2.0], [2.0], 0.5),
        ([INF], [INF], 0.5),
        ([INF], [9.0], 0.0),
        ([1.0, INF, 3.0], [2.0, INF], (1 + 1 + 0 + 0.5 + 0 + 1) / 6),
    ],
)
def test_pairs_of_studies(a, b, expected):
    """Ties or misses would count for one side."""
    assert p_faster(a, b) == pytest.approx(expected)


def test_steps_and_seconds_a_step():
    """A gain of fewer steps would be taken for one of faster steps."""
    group = [
        *(make_study("a", "x", f"{i}", t, steps=t / 2) for i, t in enumerate([4, 6])),
        *(make_study("b", "x", f"{i}", t, steps=t) for i, t in enumerate([10, 10])),
    ]
    (found,) = compare(group, BENCHMARK, "a", "b").workloads
    parts = found.parts
    assert parts.time.value == pytest.approx(0.5)
    assert parts.steps.value == pytest.approx(0.25)
    assert parts.step_sec.value == pytest.approx(2.0)
    assert parts.step_sec.interval is not None
    assert parts.step_sec.interval.low == pytest.approx(2.0)
    assert parts.step_sec.interval.high == pytest.approx(2.0)
    assert parts.time.interval is not None
    assert parts.time.interval.low == pytest.approx(0.4)


def test_parts_multiply():
    """Steps and seconds a step would not explain the time, in medians of even n."""
    group = [
        make_study("a", "x", "0", 4.0, steps=1.0),
        make_study("a", "x", "1", 6.0, steps=9.0),
        make_study("b", "x", "0", 5.0, steps=3.0),
        make_study("b", "x", "1", 7.0, steps=2.0),
    ]
    found = compare(group, BENCHMARK, "a", "b")
    assert found.both_hit is not None
    for parts in (found.workloads[0].parts, found.both_hit):
        product_ = parts.steps.value * parts.step_sec.value
        assert parts.time.value == pytest.approx(product_)


@pytest.mark.parametrize(
    ("a_sec", "b_sec", "time"), [(INF, 2.0, INF), (2.0, INF, 0.0), (INF, INF, NAN)]
)
def test_seconds_a_step_medians_a_miss(a_sec, b_sec, time):
    """A miss would hide how fast the steps were, or be given a number of them."""
    group = [
        make_study("a", "x", f"{i}", a_sec, steps=4.0, step_sec=0.5) for i in range(3)
    ] + [make_study("b", "x", f"{i}", b_sec, steps=4.0, step_sec=0.5) for i in range(3)]
    found = compare(group, BENCHMARK, "a", "b")
    parts = found.workloads[0].parts
    assert parts.step_sec.value == pytest.approx(1.0)
    assert parts.time.value == pytest.approx(time, nan_ok=True)
    assert parts.steps.value == pytest.approx(time, nan_ok=True)
    assert (parts.time.interval is None) == math.isnan(time)
    assert found.both_hit is None
    # One study of three without evaluations: the median of the rest is not theirs.
    unknown = [replace(s, step_sec=NAN) if s.study == "0" else s for s in group]
    (other,) = compare(unknown, BENCHMARK, "a", "b").workloads
    assert math.isnan(other.parts.step_sec.value)


def test_what_both_hit():
    """A workload that one missed would make both means infinite, or be left unsaid."""
    group = make_group(
        {
            "a": {"x": [1.0, 1.0], "y": [INF, INF]},
            "b": {"x": [2.0, 4.0], "y": [5.0, 5.0]},
        }
    )
    found = compare(group, BENCHMARK, "a", "b")
    assert found.both_hit is not None
    assert found.both_hit.time.value == pytest.approx(1 / 3)
    assert found.time_ratio.value == INF
    assert found.p_faster == 0
    within = compare(group, BENCHMARK, "a", "b", budget_factor=1.0)
    assert within.time_ratio.value == pytest.approx(math.sqrt(11 / 5 / 3))


def test_a_miss_in_some_resamples():
    """A workload that a resample misses would make its means of hits infinite."""
    group = make_group(
        {
            "a": {"x": [1.0, 2.0, 3.0], "y": [4.0, 5.0, INF]},
            "b": {"x": [2.0, 2.0, 2.0], "y": [5.0, 6.0, 7.0]},
        }
    )
    found = compare(group, BENCHMARK, "a", "b")
    assert found.both_hit is not None
    for ratio in (found.both_hit.time, found.both_hit.steps):
        assert ratio.interval is not None
        assert 0 < ratio.interval.low <= ratio.value <= ratio.interval.high < INF
    # Without a known budget a miss is longer than any time.
    assert found.time_ratio.interval is not None
    assert found.time_ratio.interval.high == INF


def test_neither_is_faster():
    """Each missed what the other hit, and the first one would be called faster."""
    group = make_group(
        {
            "a": {"x": [1.0, 1.0], "y": [INF, INF]},
            "b": {"x": [INF, INF], "y": [1.0, 1.0]},
        }
    )
    found = compare(group, BENCHMARK, "a", "b")
    assert math.isnan(found.time_ratio.value)
    assert found.time_ratio.interval is None
    assert found.p_faster == 0.5


def test_one_study():
    """A probability or an interval would be made of one run."""
    group = make_group(
        {"a": {"x": [1.0], "y": [1.0, 2.0]}, "b": {"x": [2.0, 3.0], "y": [3.0, 4.0]}}
    )
    found = compare(group, BENCHMARK, "a", "b")
    assert found.p_faster is None
    assert found.time_ratio.value < 1
    assert found.time_ratio.interval is None
    intervals = [w.parts.time.interval for w in found.workloads]
    assert intervals[0] is None
    assert intervals[1] is not None


def test_workloads_that_one_ran():
    """A workload would be left out of the comparison without a word."""
    group = make_group(
        {"a": {"x": [1.0], "x_v": [1.0]}, "b": {"x": [2.0], "y": [3.0], "x_v": [1.0]}}
    )
    found = compare(group, BENCHMARK, "a", "b")
    assert [w.workload for w in found.workloads] == ["x"]
    assert found.left_out == ("y",)


def test_errors():
    """A misspelt name or two submissions without a common workload would pass."""
    group = make_group({"a": {"x": [1.0]}, "b": {"y": [2.0]}})
    with pytest.raises(UserError, match="a ran x, c ran none"):
        compare(group, BENCHMARK, "a", "c")
    with pytest.raises(UserError, match="a ran x, b ran y"):
        compare(group, BENCHMARK, "a", "b")
    mixed = [make_study("a"), make_study("a", framework="pytorch", study="1")]
    with pytest.raises(UserError, match="both frameworks"):
        compare(mixed, BENCHMARK, "a", "a")
