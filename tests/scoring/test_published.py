"""Parity with the published leaderboards, where their data lies beside the project."""

import csv
import math
import tarfile
from pathlib import Path

import pytest

from unscheduled.benchmark.targets import BENCHMARKS, load_benchmark
from unscheduled.scoring.leaderboard import rank
from unscheduled.scoring.logs import read_logs
from unscheduled.scoring.times import RULES, Result, study_results, workload_results

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "algoperf"
VERSIONS = {"v05": "0.5", "v06": "0.6"}
RULESETS = [(v, r) for v in VERSIONS for r in ("self_tuning", "external_tuning")]
# The published score by each rule; ties between trials by the lowest trial number.
SCORE = {"documented": "score_min_time_rule", "official": "score_sorted_listing"}

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the published results are not at {DATA}"
)


def table(name, version, ruleset):
    """The rows of a published table about one ruleset of one version."""
    with open(DATA / name, newline="") as file:
        rows = list(csv.DictReader(file))
    return [r for r in rows if (r["version"], r["ruleset"]) == (version, ruleset)]


def benchmark(version):
    return load_benchmark(BENCHMARKS[VERSIONS[version]])


def published_results(version, ruleset, time_column):
    """Results from the table of medians, without reading logs."""
    return [
        Result(
            submission=row["submission"],
            workload=row["workload"],
            time_sec=float(row[time_column]),
            steps=math.nan,
            n_hit=int(row["n_studies_hit"]),
            n_studies=int(row["n_studies"]),
        )
        for row in table("workload_medians.csv", version, ruleset)
        if row["workload"] in benchmark(version).workloads
    ]


def check_scores(results, version, ruleset, column):
    scores = {r.submission: r.score for r in rank(results, benchmark(version)).rows}
    rows = table("scores.csv", version, ruleset)
    expected = {row["submission"]: float(row[column]) for row in rows}
    # 1e-12: two orders of adding up a hundred trapezoids
    assert scores == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.fixture(scope="module")
def self_tuning_logs(tmp_path_factory):
    """Trials of the self-tuning logs, by version."""
    folder = tmp_path_factory.mktemp("published")
    with tarfile.open(DATA / "self_tuning_eval_logs.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return {
        version: read_logs([folder / f"algoperf_{version}" / "logs" / "self_tuning"])
        for version in VERSIONS
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("rule", RULES)
def test_scores_from_logs(self_tuning_logs, version, rule):
    """A published score would not come out of the published logs."""
    trials = self_tuning_logs[version].trials
    results = workload_results(study_results(trials, benchmark(version), rule))
    for column in (SCORE[rule], "score"):  # one trial a study: the rules agree
        check_scores(results, version, "self_tuning", column)
    assert self_tuning_logs[version].warnings == []


@pytest.mark.parametrize("version", VERSIONS)
def test_medians_from_logs(self_tuning_logs, version):
    """A time to target or a count of studies would differ from the published one."""
    trials = self_tuning_logs[version].trials
    results = workload_results(study_results(trials, benchmark(version)))
    expected = published_results(version, "self_tuning", "median_time_min_rule")
    assert {
        (r.submission, r.workload): (r.time_sec, r.n_hit, r.n_studies) for r in results
    } == {
        (r.submission, r.workload): (r.time_sec, r.n_hit, r.n_studies) for r in expected
    }


@pytest.mark.parametrize(("version", "ruleset"), RULESETS)
@pytest.mark.parametrize(
    ("times", "column"),
    [
        ("median_time_official", "score"),
        ("median_time_min_rule", "score_min_time_rule"),
    ],
)
def test_scores_from_medians(version, ruleset, times, column):
    """A published score of either ruleset would not come out of its times."""
    check_scores(published_results(version, ruleset, times), version, ruleset, column)


@pytest.mark.parametrize(("version", "ruleset"), RULESETS)
def test_time_ratios(version, ruleset):
    """A published speedup over the baseline would not come out of its times."""
    results = published_results(version, ruleset, "median_time_official")
    # The official tool compares version 0.6 with the budgets of 0.5 too.
    factor = 3.0 if ruleset == "self_tuning" else 1.0
    for row in table("speedups.csv", version, ruleset):
        board = rank(results, benchmark("v05"), row["base"], factor)
        ratios = {r.submission: r.time_ratio for r in board.rows}
        expected = float(row["gmean_time_ratio"])
        assert ratios[row["submission"]] == pytest.approx(expected, nan_ok=True)
