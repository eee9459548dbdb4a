"""Filters, profiles and scores: by hand, and against the oracle."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.targets import Benchmark, Target
from unscheduled.scoring import profiles, times
from unscheduled.scoring.leaderboard import rank
from unscheduled.scoring.times import Result

from . import oracle

INF, NAN = math.inf, math.nan


def benchmark(base, held_out=(), budget_sec=NAN):
    """A benchmark of these workloads; a held-out one is named `<base>_<variant>`."""
    target = Target("accuracy", 0.5, budget_sec)
    return Benchmark(
        version="test",
        base=tuple(base),
        held_out={variant: variant.partition("_")[0] for variant in held_out},
        targets=dict.fromkeys((*base, *held_out), target),
    )


def results(**times_sec):
    """Results of submissions, from submission={workload: seconds}."""
    return [
        Result(submission, workload, seconds, seconds, 1, 1)
        for submission, row in times_sec.items()
        for workload, seconds in row.items()
    ]


def scores(leaderboard):
    return {row.submission: row.score for row in leaderboard.rows}


def eligible(base, held_out):
    """Filter columns of one base workload and one variant of it."""
    return profiles.eligible_times(
        np.array(base)[:, None], np.array(held_out)[:, None], np.array([0])
    )[:, 0].tolist()


@pytest.mark.parametrize(
    ("base", "held_out", "expected"),
    [
        ([1.0, 4.0], [1.0, 1.0], [1.0, 4.0]),  # exactly 4x stays
        ([1.0, 4.001], [1.0, 1.0], [1.0, INF]),  # over 4x of the base workload
        ([1.0, 2.0], [4.0, 1.0], [1.0, 2.0]),  # exactly 4x of the variant stays
        ([1.0, 2.0], [4.001, 1.0], [INF, 2.0]),  # over 4x of the variant
        ([1.0, 2.0], [INF, 1.0], [INF, 2.0]),  # variant missed
        ([1.0, 2.0], [NAN, 1.0], [INF, 2.0]),  # variant not run
        ([INF, 2.0], [1.0, 9.0], [INF, 2.0]),  # base missed: its variant is no measure
        ([NAN, 2.0], [1.0, 9.0], [INF, 2.0]),  # nor where the base was not run
        ([1.0, 5.0], [9.0, 1.0], [INF, INF]),  # over 4x of who is then disqualified
    ],
)
def test_filters(base, held_out, expected):
    """A filter of version 0.5 would be missing, or come in another order."""
    assert eligible(base, held_out) == expected


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (1.0, 1.0),
        (1.5, (99 - 17 + 0.5) / 99),
        (2.0, (99 - 33 + 0.5) / 99),
        (4.0, 0.5 / 99),
        (4.0001, 0.0),
        (INF, 0.0),
    ],
)
def test_score_in_closed_form(ratio, expected):
    """The integral would be taken on another grid, or by another rule."""
    profile = profiles.performance_profile(np.array([[ratio]]), 1)
    assert profile.shape == (1, 100)
    assert profiles.profile_scores(profile) == pytest.approx([expected], abs=1e-12)


def test_by_hand():
    """Shares would be taken of the workloads run, not of the benchmark's."""
    board = rank(
        results(
            quick={"a": 10.0, "b": 10.0}, late={"a": 20.0, "b": INF}, lone={"c": 7.0}
        ),
        benchmark("abcd"),
    )
    assert scores(board) == pytest.approx(
        {"quick": 2 / 4, "late": 66.5 / 99 / 4, "lone": 1 / 4}, abs=1e-12
    )
    assert [row.submission for row in board.rows] == ["quick", "lone", "late"]
    assert [row.n_hit for row in board.rows] == [2, 1, 1]
    assert board.base_run == ("a", "b", "c")


def test_equal_times_share_the_lead():
    """Equally fast submissions would not both lead, or not where the time is zero."""
    board = rank(
        results(x={"a": 3.0, "b": 0.0}, y={"a": 3.0, "b": 0.0}), benchmark("ab")
    )
    assert scores(board) == pytest.approx({"x": 1.0, "y": 1.0}, abs=1e-12)


def test_held_out_that_nobody_ran():
    """Logs of the base workloads alone would all score zero."""
    board = rank(results(x={"a": 1.0}), benchmark("a", ["a_v"]))
    assert scores(board) == pytest.approx({"x": 1.0}, abs=1e-12)
    assert board.held_out_run == ()


def test_time_ratio_by_hand():
    """The comparison with a baseline would be upside down, or an arithmetic mean."""
    group = results(x={"a": 1.0, "b": 8.0}, y={"a": 2.0, "b": 2.0}, z={"a": 9.0})
    board = rank(group, benchmark("abc"), baseline="y")
    ratios = {row.submission: row.time_ratio for row in board.rows}
    assert ratios == pytest.approx({"x": 2**0.5, "y": 1.0, "z": NAN}, nan_ok=True)
    assert rank(group, benchmark("abc")).rows[0].time_ratio is None


@pytest.mark.parametrize(
    ("budget_sec", "factor", "expected"),
    [(9.0, 3.0, 28.0 / 7), (9.0, 1.0, 10.0 / 7), (9.0, None, NAN), (NAN, 3.0, NAN)],
)
def test_time_ratio_of_a_miss(budget_sec, factor, expected):
    """A miss of unknown budget would be given a number."""
    group = results(x={"a": INF, "b": INF}, y={"a": 7.0, "b": INF})
    board = rank(group, benchmark("ab", (), budget_sec), "y", factor)
    (ratio,) = (row.time_ratio for row in board.rows if row.submission == "x")
    assert ratio == pytest.approx(expected**0.5, nan_ok=True)


def test_time_ratio_of_nothing():
    """Submissions with logs of held-out workloads alone would raise a warning."""
    group = results(x={"a_v": 1.0}, y={"a_v": 2.0})
    (row, _) = rank(group, benchmark("a", ["a_v"]), baseline="x").rows
    assert math.isnan(row.time_ratio)


def test_ratio_over_workloads_that_both_reached():
    """A made-up time of a miss would be all that there is to compare by."""
    group = results(  # at b, x is slow and y misses
        x={"a": 8.0, "b": 9.0, "c": INF}, y={"a": 8.0, "b": INF}, z={"b": 3.0}
    )
    rows = {row.submission: row for row in rank(group, benchmark("abc"), "y").rows}
    assert (rows["x"].both_ratio, rows["x"].n_both) == (1.0, 1)
    assert (rows["y"].both_ratio, rows["y"].n_both) == (1.0, 1)
    assert math.isnan(rows["z"].both_ratio)
    assert rows["z"].n_both == 0
    unnamed = rank(group, benchmark("abc")).rows[0]
    assert (unnamed.both_ratio, unnamed.n_both) == (None, None)


def test_profile_and_ratios_stand_behind_the_score():
    """The data beside a score would be another submission's, or before the filters."""
    group = results(x={"a": 2.0, "b": 9.0}, y={"a": 8.1, "b": 3.0})
    x, y = sorted(rank(group, benchmark("abc")).rows, key=lambda row: row.submission)
    assert x.ratios == (1.0, 3.0, INF)
    assert y.ratios == (INF, 1.0, INF)  # 8.1 is over 4 times 2
    assert (x.profile[0], x.profile[-1]) == (1 / 3, 2 / 3)
    assert set(y.profile) == {1 / 3}


def test_unknown_baseline():
    """A misspelt baseline would be left out without a word."""
    with pytest.raises(UserError, match="Unknown baseline 'z': choose from x, y"):
        rank(results(y={"a": 1.0}, x={"a": 1.0}), benchmark("a"), baseline="z")


# Few distinct times, so that ties and exactly four times the fastest come up often.
seconds = st.sampled_from([1.0, 1.5, 2.0, 3.0, 4.0, 4.0001, 6.0, 8.0, 16.0, INF])
seconds |= st.floats(1.0, 20.0)
row = st.dictionaries(st.sampled_from(["a", "b", "c", "a_v", "a_w", "b_v"]), seconds)


@settings(deadline=None, max_examples=500, derandomize=True)
@given(rows=st.lists(row.filter(bool), min_size=1, max_size=4))
def test_oracle(rows):
    """Scores would differ from the rules as written."""
    group = {f"s{i}": row for i, row in enumerate(rows)}
    run = {workload for row in rows for workload in row}
    test = benchmark("abc", ["a_v", "a_w", "b_v"])
    held_out = {v: base for v, base in test.held_out.items() if v in run}
    expected = oracle.scores(group, list(test.base), held_out)
    board = rank(results(**group), test, "s0", 3.0)
    # 1e-12: two orders of adding up a hundred trapezoids
    assert scores(board) == pytest.approx(expected, abs=1e-12)
    for row in board.rows:
        both = oracle.both_ratio(group[row.submission], group["s0"], test.base)
        expected_row = pytest.approx(both, rel=1e-12, nan_ok=True)
        assert (row.both_ratio, row.n_both) == expected_row


@pytest.mark.parametrize("module", [times, profiles])
def test_examples(module):
    """The examples in the documentation would show something else than they print."""
    outcome = doctest.testmod(module, extraglobs={"np": np})
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_a_ratio_on_the_grid_counts_from_there():
    """A ratio of 5/3, which rounding may put beside the point of the official grid."""
    group = results(x={"a": 3.0}, y={"a": 5.0})
    board = rank(group, benchmark("a"))
    # From the 23rd of 100 points on, with half of the interval before it.
    assert scores(board)["y"] == pytest.approx((99 - 22 + 0.5) / 99)
