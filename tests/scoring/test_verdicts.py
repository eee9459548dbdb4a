"""Why a miss is a miss: the rules one by one, and on the published logs."""

import math

import numpy as np
import pytest

from unscheduled.benchmark.rulesets import ruleset
from unscheduled.benchmark.targets import BENCHMARKS, Target, load_benchmark
from unscheduled.scoring.published import load_published
from unscheduled.scoring.scored import NOTHING_READ, score_group
from unscheduled.scoring.times import MISS, Course, Result, Study, by_cell, course
from unscheduled.scoring.verdicts import (
    cost,
    framework_facts,
    hit,
    miss,
    step_costs,
    steps_needed,
    typical,
    verdicts,
    why_summary,
    why_table,
)

from .made_studies import make_study
from .test_rolling import scored_group
from .trees import make_trial

ACCURACY = Target("accuracy", 0.5, step_hint=400)
NAN = math.nan


def missed(best=0.49, end_sec=100.0, steps=100.0, near_sec=100.0, lost=0.0):
    """A study of accuracy that missed 0.5."""
    ran = Course(end_sec, steps, near_sec, lost)
    return Study("a", "x", "s", "jax", MISS, 0, 1, best, step_sec=1.0, course=ran)


@pytest.mark.parametrize(
    ("study", "needed", "verdict"),
    [
        (missed(end_sec=NAN), 100, ("never_ran", "never ran")),
        (missed(best=NAN), 90, ("diverged", "diverged: never a finite accuracy")),
        (
            missed(near_sec=40, lost=0.34),
            90,
            ("diverged", "diverged after 40% of the bu"),
        ),
        (
            missed(near_sec=78, lost=0.04),
            90,
            ("stopped", "stopped improving at 78% of t"),
        ),
        (
            missed(near_sec=78, lost=0.06),
            90,
            ("stopped", "get and got worse, 2% short"),
        ),
        (missed(near_sec=78), 106, ("too_slow", "too slow by 6%")),
        (missed(near_sec=49), 106, ("stopped", "stopped improving at 49% of the bud")),
        (missed(end_sec=80, near_sec=80), 210, ("ended", "ended at 80% of the budget")),
        (missed(), 210, ("too_slow", "too slow: would need 2.1x the steps it had")),
        (missed(), 100.1, ("too_slow", "too slow by 1%")),
        (missed(), 50, ("not_enough", "not enough progress in 2.0x the steps needed")),
        (missed(), NAN, ("not_enough", "not enough progress in its whole run")),
    ],
)
def test_rules(study, needed, verdict):
    """A run would be said to have failed for another reason than it did."""
    kind, words = miss(study, ACCURACY, 100.0, needed)
    assert (kind, verdict[1] in words) == (verdict[0], True), words


def test_without_a_budget():
    """Where no budget is known, a division by it, or a verdict that needs it."""
    assert miss(missed(), ACCURACY, NAN, 150)[0] == "too_slow"
    words = miss(missed(near_sec=50), ACCURACY, NAN, 50)[1]
    assert words.startswith("stopped improving at an unknown share")


@pytest.mark.parametrize(
    ("seconds", "steps", "counts", "kind", "words"),
    [
        (4, 3, True, "fastest", "fastest"),
        (6, 9, True, "reached", "1.50x the time of b: 3.00x the steps, 0.50x the time"),
        (20, 3, False, "filtered", "5.00x the time of b: 1.00x the steps, 5.00x the "),
        (20, 3, False, "filtered", "; over 4x counts as a miss"),
        (6, 9, False, "filtered", "not on the held-out variant: counts as a miss"),
    ],
)
def test_hits(seconds, steps, counts, kind, words):
    """A hit would be compared with the wrong one, or a filtered one pass for one."""
    found = hit(
        Result("a", "x", seconds, steps, 3, 3), Result("b", "x", 4, 3, 3, 3), counts
    )
    assert (found[0], words in found[1]) == (kind, True), found


def test_no_time_at_all():
    """A time or a step of zero would be a division by it."""
    nothing = Result("b", "x", 0, 0, 1, 1)
    assert hit(Result("a", "x", 6, 9, 1, 1), nothing)[0] == "reached"
    study = make_study(time_sec=0.0)
    assert cost(study, step_costs([study])["x"])[1] == ""


def test_typical():
    """A cell's verdict would be on its best or worst study."""
    hits = [make_study(time_sec=t) for t in (5, 1, 3)]
    misses = [make_study(best=best) for best in (0.1, NAN, 0.3)]
    assert typical(hits, ACCURACY).hit.time_sec == 3
    assert typical(misses, ACCURACY).best == 0.1
    assert typical(misses, Target("loss", 0.01)).best == 0.3
    assert typical([hits[0], misses[0]], ACCURACY) == misses[0]  # the median is a miss
    assert typical([*hits[:2], misses[0]], ACCURACY) == hits[1]


def test_steps_needed():
    """A run would be held against the wrong steps."""
    own, other, third = (
        make_study(s, time_sec=1, steps=n, study=i)
        for s, n, i in (("a", 7, "0"), ("b", 10, "0"), ("c", 20, "0"))
    )
    missing = make_study("a", study="1")

    def needed(*studies):
        return steps_needed(("a", "x"), by_cell(studies), ACCURACY)

    assert needed(own, missing, other) == 7
    assert needed(missing, other, third) == 15
    assert needed(missing) == 400


@pytest.mark.parametrize(
    ("jax", "pytorch", "words"),
    [
        ([1.0, 1.0], [3.0, 3.0], "; a step takes 3.0x as long in pytorch as in jax"),
        ([1.0, 1.0], [1.1, 3.0, 3.0], ""),  # slow machines
        ([1.0], [1.0, 1.0, 2.0], "; a step takes 2.0x as long as usual in pytorch"),
        ([], [1.0], ""),
    ],
)
def test_cost(jax, pytorch, words):
    """A framework would be blamed for a slow machine, or nothing for a slow step."""
    costs = {"jax": jax, "pytorch": pytorch}
    costs = {f: dict(zip("abc", sec, strict=False)) for f, sec in costs.items() if sec}
    study = make_study(framework="pytorch", step_sec=pytorch[-1])
    assert cost(study, costs)[1] == words


def test_course():
    """What a run did at its end would be told of another evaluation."""
    rows = [(1, 10, 0.1), (2, 20, 0.4), (3, 30, 0.401), (4, 40, 0.3), (5, 50, 0.35)]
    found = course(make_trial(rows), ACCURACY)
    assert (found.end_sec, found.end_steps) == (5, 50)
    assert found.near_sec == 2  # lacks 0.1, later 0.099: within 5%
    assert found.lost == pytest.approx((0.401 - 0.35) / (0.401 - 0.1))
    rows = [(1, 10, 100.0), (2, 20, 1.0), (3, 30, 10.0)]
    found = course(make_trial(rows, metric="loss"), Target("loss", 0.5))
    assert found.lost == pytest.approx(1 / 2)  # of two powers of ten, one
    for best in np.linspace(0.05, 0.6, 200):  # exactly 0, on every machine
        rows = [(1, 10, 1.0), (2, 20, best)]
        found = course(make_trial(rows, metric="loss"), Target("loss", 0.5))
        assert found.lost == 0
    for end in (np.nan, np.inf):
        rows = [(1, 10, 0.1), (2, 20, end)]
        assert course(make_trial(rows), ACCURACY).lost == 1
    assert course(make_trial([(1, 10, np.nan)]), ACCURACY) == Course(1, 10, NAN, 1)
    assert course(make_trial([]), ACCURACY) == Course()


@pytest.fixture(scope="module")
def scored():
    return scored_group()


@pytest.mark.parametrize(
    ("submission", "workload", "kind", "words"),
    [
        (
            "schedule_free_adamw_v2",
            "finewebedu_lm",
            "not_enough",
            "not enough progress in 2.2x the steps needed, 3.7% short",
        ),
        (
            "schedule_free_adamw_v2",
            "imagenet_resnet",
            "too_slow",
            "too slow: would need 2.2x the steps it had; a step takes 2.3x as long in "
            "pytorch as in jax",
        ),
        (
            "schedule_free_adamw_v2",
            "imagenet_vit",
            "too_slow",
            "too slow: would need 1.4x the steps it had; a step takes 1.7x as long in "
            "pytorch as in jax",
        ),
        ("schedule_free_adamw_v2", "wmt", "fastest", "fastest"),
        (
            "schedule_free_adamw_v2",
            "ogbg",
            "reached",
            "3.45x the time of muon_torch: 3.69x the steps, 0.94x the time a step",
        ),
        (
            "schedule_free_adamw_jax_v2",
            "wmt",
            "stopped",
            "stopped improving at 78% of the budget, 0.085% short",
        ),
        (
            "schedule_free_adamw_jax",
            "imagenet_resnet",
            "diverged",
            "diverged after 59% of the budget",
        ),
        (
            "nadamw",
            "librispeech_conformer",
            "too_slow",
            "too slow: would need 3.2x the steps it had; a step takes 3.5x as long in "
            "jax as in pytorch",
        ),
        ("muon_torch", "fastmri", "ended", "ended at 57% of the budget, 0.066% short"),
    ],
)
def test_published(scored, submission, workload, kind, words):
    """A published miss would be told as another than what its log shows."""
    verdict = verdicts(scored)[submission, workload]
    assert (verdict.kind, verdict.words) == (kind, words)


def test_published_figures(scored):
    """A verdict's figures would be of another study, or of another measure."""
    found = verdicts(scored)
    assert len(found) == 17 * 9
    vit = found["schedule_free_adamw_v2", "imagenet_vit"]
    assert (vit.run_steps, vit.best) == (112339, 0.65356)
    assert vit.budget_used == pytest.approx(0.99, abs=0.01)  # its last evaluation
    assert vit.step_sec == pytest.approx(0.847, abs=1e-3)
    assert vit.step_ratio == pytest.approx(1.02, abs=5e-3)
    assert found["nadamw", "imagenet_vit"].kind == "fastest"


def test_former_versions():
    """Verdicts would need figures that the files of former versions have not."""
    published = load_published("0.6", "self")
    benchmark = load_benchmark(BENCHMARKS["0.6"])
    rules = ruleset("self", "0.6")
    group = score_group(NOTHING_READ, benchmark, rules, published=published)
    found = verdicts(group)
    resnet = found["schedule_free_adamw_v2", "imagenet_resnet"]
    assert (resnet.kind, resnet.words) == ("too_slow", "too slow by 3%")
    words = found["schedule_free_adamw_v2", "ogbg"].words  # its threads ran out
    assert words == "ended at 21% of the budget, 7.3% short"


def test_page(scored):
    """A submission's page would leave out where it loses, or to whom."""
    name = "schedule_free_adamw_v2"
    found = verdicts(scored)
    table = why_table(scored, name, found)
    page = {row[0]: dict(zip(table.headings, row, strict=True)) for row in table.rows}
    assert list(page) == list(scored.benchmark.base)
    assert page["finewebedu_lm"]["fastest"] == "12,875 schedule_free_adamw_jax"
    assert page["imagenet_resnet"]["fastest"] == "nobody"
    assert page["imagenet_resnet"]["seconds"] == "missed"
    assert page["imagenet_vit"]["steps, needed"] == "112,339, 158,334"
    assert page["imagenet_vit"]["ms a step, of usual"] == "847, 1.02x"
    text = why_summary(scored, name, found)
    assert "is the fastest on fastmri, wmt. It loses 0.111 on imagenet_resnet" in text


def test_frameworks(scored):
    """What a framework decides would be another submission's or another's."""
    facts = {(f["workload"], f["framework"]): f for f in framework_facts(scored)}
    assert len(facts) == 9 * 2
    resnet = facts["imagenet_resnet", "pytorch"]
    assert resnet["n_submissions"] == 8
    # The range of ms a step that the board's own page gives.
    assert resnet["low_sec"] > 0.66
    assert resnet["high_sec"] < 0.83
    assert facts["imagenet_resnet", "jax"]["low_sec"] == pytest.approx(0.275, abs=2e-3)
