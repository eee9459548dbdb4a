"""Intervals, comparisons and budgets as they are shown."""

import io
import json
import math
from dataclasses import replace

import pytest

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.rulesets import ruleset
from unscheduled.benchmark.targets import BENCHMARKS, load_benchmark
from unscheduled.scoring.comparison import PARTS_NOTE, all_intervals
from unscheduled.scoring.published import load_published
from unscheduled.scoring.scored import NOTHING_READ, score_group
from unscheduled.scoring.tables import console_for, interval_tables

OURS = "schedule_free_adamw"


@pytest.fixture(scope="module")
def scored():
    """The published self-tuning submissions of version 0.5."""
    published = load_published("0.5", "self")
    benchmark = load_benchmark(BENCHMARKS["0.5"])
    rules = ruleset("self", "0.5")
    return score_group(NOTHING_READ, benchmark, rules, published=published)


def shown(scored, found):
    file = io.StringIO()
    console_for(file).print(*interval_tables(scored, found), sep="\n")
    return [line.split("  ") for line in file.getvalue().splitlines()]


def row(lines, *first):
    """The cells of the only row with these first cells."""
    rows = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    (found,) = [cells for cells in rows if cells[: len(first)] == [*first]]
    return found[len(first) :]


def test_tables(scored):
    """A figure would stand below another heading, or a miss look like a time."""
    intervals = all_intervals(scored, n_resamples=200)
    lines = shown(scored, intervals)
    own, found = intervals.scores[OURS], intervals.comparisons[OURS]
    assert own.interval is not None
    low, high = own.interval.low, own.interval.high
    expected = [f"{low:.4f} to {high:.4f}", f"{100 * own.p_best:.1f}%"]
    assert row(lines, OURS, "0.8542") == expected
    assert found.both_hit is not None
    assert found.p_faster is not None
    cells = row(lines, OURS, f"{100 * found.p_faster:.1f}%")
    both = found.both_hit
    ratios = (found.time_ratio, both.time, both.steps, both.step_sec)
    for cell, ratio in zip(cells, ratios, strict=True):
        assert cell.startswith(f"{ratio.value:.3f} (")
    # medians, intervals and shares by hand from the published times
    assert row(lines, "librispeech_deepspeech", "baseline") == [
        "36051.12",
        "36047.31 to a miss",
        "94%",
        "21.6%",
        "70.4%",
        "4/5",
        "wer 0.121639, 1.4% above 0.119936",
    ]
    resnet = row(lines, "imagenet_resnet", OURS)
    assert resnet[:4] == ["missed", "missed", "94%", "missed"]


def test_one_study(scored):
    """One study would be shown with an interval, or stop the tables."""
    first = [s for s in scored.studies if s.study == "study_0"]
    found = all_intervals(replace(scored, studies=first), n_resamples=20)
    lines = shown(scored, found)
    assert row(lines, OURS, "0.8542")[0] == "-"
    assert row(lines, "imagenet_vit", OURS)[1:3] == ["-", "-"]
    assert row(lines, OURS, "n/a")[0].endswith("(-)")


def test_options(scored):
    """Options would not reach all that is resampled."""
    found = all_intervals(scored, level=0.5, n_resamples=100, seed=1)
    same, other = (all_intervals(scored, 0.5, 100, seed) for seed in (1, 2))
    assert found.as_dict() == found.as_dict()
    assert repr(found.as_dict()) == repr(same.as_dict())
    assert repr(found.as_dict()) != repr(other.as_dict())
    score = found.scores["baseline"].interval
    ratio = found.comparisons["schedule_free_adamw"].time_ratio.interval
    median = found.medians["baseline", "wmt"].time_sec
    assert score is not None
    assert ratio is not None
    assert median is not None
    assert (score.level, ratio.level, median.level) == (0.5, 0.5, 0.625)
    with pytest.raises(UserError, match="level is 95"):
        all_intervals(scored, level=95)


def test_plain_values(scored):
    """What goes to JSON would be no plain values, or lack a cell."""
    found = all_intervals(scored, n_resamples=20).as_dict()
    copied = json.loads(json.dumps(found))
    assert len(copied["cells"]) == len(scored.results) == 80
    assert len(copied["scores"]) == 6
    assert "baseline" not in [row["a"] for row in copied["comparisons"]]
    assert {row["b"] for row in copied["comparisons"]} == {"baseline"}
    assert copied["parts_note"] == PARTS_NOTE
    missed = [c for c in copied["cells"] if math.isinf(c["budget"]["to_target"])]
    assert len(missed) == sum(math.isinf(r.time_sec) for r in scored.results)
