"""The protocol of the targets, and what is said about candidates, on made-up runs."""

import itertools
import math

import numpy as np
import pytest

from scripts import set_targets
from scripts.evidence import miniature, time_to_target
from scripts.run_table import Evaluation, Result
from unscheduled.benchmark.targets import read_target


def result(*pairs):
    """Of (validation, test), evaluated every ten steps."""
    evaluations = (Evaluation(10 * i, *pair) for i, pair in enumerate(pairs, 1))
    return Result(tuple(evaluations), 2.0)


@pytest.fixture
def accuracy_table():
    """Searched runs of digits_resnet, the third the best, and five seeds of that."""
    search = set_targets.search("digits_resnet")
    table = {run: result((0.1 + 0.01 * i, 0.1)) for i, run in enumerate(search[:3])}
    table |= {run: result((math.nan, 0.9)) for run in search[3:]}
    again = set_targets.again(table, "digits_resnet")
    assert all(run.point == search[2].point for run in again)
    values = [(0.50001, 0.31), (0.49, 0.1), (0.6, 0.30009), (0.55, 0.35), (0.2, 0.9)]
    table |= {
        run: result((0.1, 0.0), pair) for run, pair in zip(again, values, strict=True)
    }
    return table


def test_targets_are_the_median_and_the_worst_that_reached_it(accuracy_table):
    """A target that no seed or every seed reaches, or a test target of a miss."""
    found = set_targets.found(accuracy_table, "digits_resnet")
    assert found.target == 0.5  # of .50001, and no harder than that
    assert found.test_target == 0.3
    assert found.steps == [20, math.inf, 20, 20, math.inf]


def test_what_comes_late_sets_no_target(accuracy_table):
    """A target at the end of what a tuned run can reach, where no other gets to."""
    runs = set_targets.again(accuracy_table, "digits_resnet")
    values = [(0.1, 0.0), *[(0.4, 0.2)] * 5]  # the start, and five evaluations
    late = {run: result(*values, (0.5, 0.3), (0.9, 0.9)) for run in runs}
    found = set_targets.found(accuracy_table | late, "digits_resnet")
    assert (found.target, found.test_target) == (0.5, 0.3)
    assert found.steps == [70] * 5


def test_wrong_rates_are_ten_times_off(accuracy_table):
    """A check of the rate that changes something else."""
    best = set_targets.best_of(accuracy_table, "digits_resnet")
    slow, fast = set_targets.wrong_rates(accuracy_table, "digits_resnet")
    rates = [
        set_targets.json.loads(run.point)["learning_rate"] for run in (slow, best, fast)
    ]
    np.testing.assert_allclose(rates, rates[1] * np.array([0.1, 1, 10]))
    assert slow._replace(point="") == fast._replace(point="")


def test_a_lower_loss_is_better():
    """The sign of a metric lost: the worst run would set the target."""
    target = read_target("flights_dlrm")
    assert set_targets._rounded([0.41001], max, target) == 0.4101
    search = set_targets.search("flights_dlrm")
    table = {run: result((0.5 - 0.01 * i, 0.5)) for i, run in enumerate(search)}
    assert set_targets.best_of(table, "flights_dlrm") == search[-1]


def made_up(points_and_steps):
    """Runs that reach their target at those steps; None for a miss."""
    table = {}
    for run, steps in points_and_steps:
        target = read_target(run.workload)
        off = 1 if target.lower_is_better else -1
        rows = [Evaluation(1, target.value + off, 0.0)]
        if steps is not None:
            rows.append(Evaluation(steps, target.value, 0.0))
        table[run] = Result(tuple(rows), 2.0)
    return table


def test_ratios_stand_beside_the_board(monkeypatch):
    """A ratio of the wrong pair, or a contradiction that is passed over."""
    names = {"SF v1": 300, "SF v2": 200, "SF v2 without smoothing": None}
    runs = [
        (run, steps)
        for name, steps in names.items()
        for run in miniature.runs_of("atlas_gnn", name)
    ]
    board = {
        "SF v1": miniature.Outcome(50, True),
        "SF v2": miniature.Outcome(100, True),
        "SF v2 without smoothing": miniature.Outcome(90, False),
    }
    monkeypatch.setattr(miniature, "official", lambda workload, name: board[name])
    blocks = miniature.fidelity(made_up(runs))
    row = next(r for r in blocks["fidelity"].splitlines() if r.startswith("| atlas"))
    cells = [cell.strip() for cell in row.split("|")[2:5]]
    assert cells == ["1.50 (0.50)", f"> {runs[0][0].steps / 200:.2f} (?)", "not run"]
    assert blocks["contradictions"] == ("- atlas_gnn: SF v1 / SF v2, 1.50 (0.50)")


def test_pairs_whose_batches_differ_on_the_board_do_not_count():
    """Steps of half the batch taken for a slower algorithm."""
    names = {"SF v2": 200, "SF v2 without smoothing": 300}
    runs = [
        (r, n)
        for name, n in names.items()
        for r in miniature.runs_of("brain_unet", name)
    ]
    blocks = miniature.fidelity(made_up(runs))
    row = next(r for r in blocks["fidelity"].splitlines() if r.startswith("| brain"))
    assert "1.50 (0.70)*" in row
    assert blocks["correlation"].endswith("over 0 pairs: too few.")
    assert "brain" not in blocks["contradictions"]


def test_the_same_program_has_one_name():
    """Runs that are trained twice, or two programs that share a row."""
    v1 = miniature.SETTINGS["SF v1"]
    entries = {
        workload: miniature.named(workload, v1).entry
        for workload in ("stdlib_lm", "digits_resnet", "strips_conformer")
    }
    assert entries == {
        "stdlib_lm": miniature.SCHEDULE_FREE,
        "digits_resnet": miniature.STALE,
        "strips_conformer": miniature.STALE,
    }
    points = {
        (workload, name): miniature.runs_of(workload, name)[0].point
        for workload in ("atlas_gnn", "brain_unet")
        for name in ("SF v2", "NadamW")
    }
    assert points == {
        ("atlas_gnn", "SF v2"): '{"dropout_rate": 0.0}',
        ("brain_unet", "SF v2"): "",  # its own is none
        ("atlas_gnn", "NadamW"): '{"dropout_rate": 0.0}',
        ("brain_unet", "NadamW"): '{"dropout_rate": 0.0}',
    }


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((30, True), (20, True), "1.50"),
        ((30, False), (20, True), "> 1.50"),
        ((15, False), (20, True), None),
        ((15, True), (20, False), "< 0.75"),
        ((25, True), (20, False), None),
        ((20, False), (20, False), None),
    ],
)
def test_what_a_miss_says(one, other, expected):
    """A run that had no time would count as one that is slow in steps."""
    found = miniature.ratio(miniature.Outcome(*one), miniature.Outcome(*other))
    assert (found and str(found)) == expected


def test_the_board_says_what_it_says():
    """Steps of another workload or study."""
    assert miniature.official("atlas_gnn", "SF v1") == (15853, True)
    assert miniature.official("strips_deepspeech", "SF v2 without smoothing") == (
        19783,
        False,
    )


def test_a_candidate_is_the_geometric_mean_of_its_ratios():
    """A miss that costs nothing, or a mean that one workload decides."""
    name, seeds = "one change", range(2)
    point = time_to_target.ROUNDS[name].candidates["no smoothing"]
    runs = []
    for workload, seed in itertools.product(time_to_target.TUNING, seeds):
        once = range(seed, seed + 1)
        (other,) = time_to_target.base_runs(workload, None, once)
        (one,) = time_to_target.runs_of(workload, point, once)
        is_miss = (workload, seed) == ("atlas_gnn", 0)
        runs += [(other, 200), (one, None if is_miss else 100)]
    table = made_up(runs)
    cost = time_to_target._MISS * runs[0][0].steps
    expected = math.exp((11 * math.log(0.5) + math.log(cost / 200)) / 12)
    row = time_to_target.round_table(table, name).splitlines()[-1]
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[1] == "no smoothing"
    assert cells[-3].startswith(f"{expected:.2f} ")
    assert cells[-2] == "1/12"
    assert time_to_target.round_table({}, name) == "Not run yet."
