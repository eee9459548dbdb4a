"""The published submissions that the package carries, and the scores they give."""

import csv
import doctest
import json
import math
from pathlib import Path

import pytest

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.rulesets import RULESETS, ruleset
from unscheduled.benchmark.targets import BENCHMARKS, load_benchmark
from unscheduled.scoring import published
from unscheduled.scoring.leaderboard import rank
from unscheduled.scoring.published import load_published, parse_against
from unscheduled.scoring.times import MISS, RULES, workload_results

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "algoperf"
GROUPS = [(version, name) for version in ("0.5", "0.6") for name in RULESETS]

# By the official code, whose choice among tied trials is the lowest number here.
OFFICIAL = {
    ("0.5", "self"): {
        "schedule_free_adamw": 0.8541666666666646,
        "baseline": 0.8194444444444425,
        "nadamw_sequential": 0.33080808080808083,
        "sinv6_75": 0.14204545454545456,
        "sinv6": 0.09027777777777775,
        "adamg": 0.0,
    },
    ("0.5", "external"): {
        "shampoo_submission": 0.7784090909090892,
        "schedule_free_adamw": 0.7077020202020199,
        "generalized_adam": 0.6382575757575758,
        "cyclic_lr": 0.630050505050505,
        "nadamp": 0.5909090909090909,
        "baseline": 0.5707070707070706,
        "amos": 0.4917929292929301,
        "caspr_adaptive": 0.47222222222222215,
        "lawa_queue": 0.369949494949495,
        "lawa_ema": 0.3383838383838384,
        "schedule_free_prodigy": 0.0,
    },
    ("0.6", "self"): {"schedule_free_adamw_v2": 0.7499999999999997},
    ("0.6", "external"): {
        "shampoo": 0.6243686868686883,
        "baseline": 0.4715909090909091,
    },
}
# Where the documented rule gives another score.
DOCUMENTED = {
    ("0.5", "external"): {"lawa_ema": 0.3434343434343434},
    ("0.6", "external"): {"baseline": 0.45896464646464646},
}


def scores(version, name, rule):
    results = workload_results(load_published(version, name).studies[rule])
    board = rank(results, load_benchmark(BENCHMARKS[version]))
    return {row.submission: row.score for row in board.rows}


@pytest.mark.parametrize(("version", "name"), GROUPS)
def test_scores(version, name):
    """A published score would not come out of the figures in the package."""
    official = OFFICIAL[version, name]
    documented = {**official, **DOCUMENTED.get((version, name), {})}
    # 1e-12: two orders of adding up a hundred trapezoids
    for rule, expected in (("official", official), ("documented", documented)):
        assert scores(version, name, rule) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("version", "name"), GROUPS)
def test_files(version, name):
    """Figures would come without their source, or grow without anybody noticing."""
    path = Path(published.__file__).parent / f"v{version.replace('.', '')}_{name}.json"
    facts = json.loads(path.read_text())
    assert "mlcommons/submissions_algorithms at 12c8e4ea" in facts["_source"]
    assert (facts["version"], facts["ruleset"]) == (version, name)
    assert path.stat().st_size < 100_000
    group = load_published(version, name)
    assert (group.gpu_model_name, group.gpu_count) == ("Tesla V100-SXM2-16GB", 8)


@pytest.mark.parametrize(("version", "name"), GROUPS)
def test_rules_differ_where_they_should(version, name):
    """The rules would share hits, or a miss would be a hit by one of them."""
    by_rule = load_published(version, name).studies
    for ours, theirs in zip(by_rule["documented"], by_rule["official"], strict=True):
        assert ours.hit.time_sec <= theirs.hit.time_sec
        assert ours.hit.index >= theirs.hit.index
        assert (ours.hit is MISS) == (theirs.hit is MISS) == (ours.n_hit == 0)
        assert ours.n_trials == theirs.n_trials
        assert ours.step_sec > 0
    changed = by_rule["documented"] != by_rule["official"]
    assert changed == (name == "external")


def test_only_some():
    """A name in --against would be ignored, or a misspelt one be an empty group."""
    some = parse_against("published:0.5/baseline,schedule_free_adamw", "external")
    assert some.submissions == ("baseline", "schedule_free_adamw")
    assert {s.submission for s in some.studies["official"]} == set(some.submissions)
    with pytest.raises(UserError, match=r"'shampo' .*choose from baseline, shampoo"):
        parse_against("published:0.6/shampo", "external")
    with pytest.raises(UserError, match="No published submission ''"):
        parse_against("published:0.6/", "external")


@pytest.mark.parametrize("text", ["published:0.7", "0.5", "published", "", "x:0.5"])
def test_nothing_to_score_against(text):
    """A misspelt group would be a traceback, or another group."""
    with pytest.raises(UserError, match=r"choose from published:0.5, published:0.6"):
        parse_against(text, "self")


def test_unknown_group():
    """A version that was never published would be a missing file."""
    with pytest.raises(UserError, match=r"versions are 0.5, 0.6, rolling"):
        load_published("0.4", "self")
    with pytest.raises(UserError, match="published as version rolling by external"):
        load_published("rolling", "external")


@pytest.mark.parametrize(
    ("version", "name", "factor", "n_studies", "n_trials"),
    [
        ("0.5", "self", 3.0, 5, 1),
        ("0.5", "external", 1.0, 5, 5),
        ("0.6", "self", 1.5, 3, 1),
        ("0.6", "external", 1.0, 3, 5),
        ("rolling", "self", 1.5, 3, 1),
        ("ext", "self", 1.5, None, None),
        ("ext", "external", 1.0, None, None),
    ],
)
def test_rulesets(version, name, factor, n_studies, n_trials):
    """A miss would count as another budget, or missing runs would not be missed."""
    rules = ruleset(name, version)
    assert (rules.budget_factor, rules.n_studies) == (factor, n_studies)
    assert rules.n_trials == n_trials
    assert rules.miss_sec(10.0) == factor * 10 + 1


def test_unknown_ruleset():
    """A misspelt ruleset would be scored as the other."""
    with pytest.raises(UserError, match="'slef': choose from self, external"):
        ruleset("slef", "0.5")


def test_examples():
    """The examples in the documentation would show something else than they print."""
    outcome = doctest.testmod(published)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def number(text):
    """A cell of the published tables; empty is a miss."""
    return float(text) if text else math.inf


def published_rows(version, name):
    """(submission, workload, study) -> figures, from the tables of every trial."""
    key = (f"v{version.replace('.', '')}", f"{name}_tuning")
    file = "time_to_target.csv"
    if key == ("v05", "external_tuning"):
        file = "time_to_target_v05_external_studies.csv"
    with open(DATA / file, newline="") as handle:
        rows = [
            row
            for row in csv.DictReader(handle)
            if (row["version"], row["ruleset"]) == key
        ]
    groups = {}
    for row in rows:
        names = (row["submission"], row["workload"], row["study"])
        groups.setdefault(names, []).append(row)
    return groups


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no published tables at {DATA}")
@pytest.mark.parametrize(("version", "name"), GROUPS)
def test_figures(version, name):
    """A figure in the package would not be that of the published logs."""
    rows = published_rows(version, name)
    target = load_benchmark(BENCHMARKS[version]).targets
    by_rule = load_published(version, name).studies
    scored = {names for names in rows if names[1] in target}
    for rule in RULES:
        assert {(s.submission, s.workload, s.study) for s in by_rule[rule]} == scored
    for ours, theirs in zip(by_rule["documented"], by_rule["official"], strict=True):
        group = rows[ours.submission, ours.workload, ours.study]
        fastest = min(group, key=lambda row: number(row["time_to_target_seconds"]))
        assert ours.hit.time_sec == number(fastest["time_to_target_seconds"])
        assert ours.hit.steps == number(fastest["first_step_hit"])
        if "n_trials" in fastest:  # a row a study
            assert ours.n_hit == int(fastest["n_hit"])
            assert ours.n_trials == int(fastest["n_trials"])
            assert ours.run_sec == number(fastest["last_time_seconds_max"])
            if int(fastest["n_tied_at_min_index"]) < 2:  # else by order of listing
                picked_sec = number(fastest["time_official_pick_seconds"])
                assert theirs.hit.time_sec == picked_sec
        else:  # a row a trial
            times_sec = [number(row["time_to_target_seconds"]) for row in group]
            assert ours.n_hit == sum(map(math.isfinite, times_sec))
            assert ours.n_trials == len(group)
            assert ours.run_sec == max(number(r["last_time_seconds"]) for r in group)
            earliest = min(group, key=lambda row: number(row["eval_index_hit"]))
            assert theirs.hit.index == number(earliest["eval_index_hit"])
        best = [float(row["best_value"]) for row in group if row["best_value"]]
        pick = min if target[ours.workload].lower_is_better else max
        # 1e-12: the tables and the package print the same number
        assert ours.best == pytest.approx(pick(best), rel=1e-12)
