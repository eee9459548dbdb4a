"""What a report shows, before it is drawn."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scoring.trees import DIGITS, LM, make_trial, write_log
from unscheduled.benchmark.targets import Target
from unscheduled.report.model import Workload, thinned
from unscheduled.report.styles import (
    BASELINE_COLOR,
    COLORS,
    DASHES,
    SYMBOLS,
    make_styles,
)
from unscheduled.report.words import missed, number
from unscheduled.scoring.logs import Reading

from .made_logs import HOSTILE, NEAR, SUBMISSIONS, read_report, report_of, write_logs

# Machado et al. 2009, severity 1.0, for linear RGB.
VISION = {
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
BACKGROUNDS = ("#ffffff", "#161a21")  # --card of page.css, light and dark


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return read_report(write_logs(tmp_path_factory.mktemp("logs")))


def linear_rgb(color: str) -> np.ndarray:
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(
        channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
    )


def contrast(a: str, b: str) -> float:
    low, high = sorted(linear_rgb(c) @ [0.2126, 0.7152, 0.0722] for c in (a, b))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ]
    xyz = to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("color", [*COLORS, BASELINE_COLOR])
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_contrast(color, background):
    """A line would be lost on the light or on the dark page (WCAG asks for 3:1)."""
    assert contrast(color, background) >= 3


@pytest.mark.parametrize("vision", VISION)
def test_colors_are_told_apart(vision):
    """Two submissions would look alike to a colour-blind reader (2.3: just seen)."""
    seen = [lab(np.array(VISION[vision]) @ linear_rgb(color)) for color in COLORS]
    assert min(math.dist(a, b) for a, b in combinations(seen, 2)) > 15


def test_styles_differ():
    """Two of many submissions would look the same, or like the baseline."""
    names = [f"s{i}" for i in range(42)]
    styles = make_styles([*names, "base"], "base")
    assert len(set(styles.values())) == 43
    looks = {(s.color, s.symbol) for s in styles.values()}
    assert len(looks) == 43
    assert len(COLORS) * len(SYMBOLS) == 42
    assert {s.dash for s in styles.values()} == set(DASHES)


def test_one_style_everywhere(report):
    """A submission would change its colour between charts."""
    styles = {entry.submission: entry.style for entry in report.entries}
    assert set(styles) == set(SUBMISSIONS)
    assert styles["slow"].color == BASELINE_COLOR
    for workload in report.workloads:
        drawn = {(c.entry.submission, c.entry.style) for c in workload.curves}
        drawn |= {(c.result.submission, c.entry.style) for c in workload.cells}
        assert drawn <= set(styles.items())
    assert [e.submission for e in report.entries] == ["fast", "slow", HOSTILE]


def test_misses_are_shown(report):
    """A submission that misses, or has an empty log, would be dropped."""
    digits, lm = report.workloads
    assert [c.result.submission for c in digits.cells] == ["fast", "slow", HOSTILE]
    miss = digits.cells[-1]
    assert miss.missed
    assert miss.use.misses.value == NEAR
    assert miss.end("seconds") == 3
    assert [c.missed for c in lm.cells] == [False, False, True]
    assert len(report.runs) == 16
    words = [entry.ratio_words for entry in report.entries]
    assert words == [("1.00", "1.00"), ("3.00", "3.00"), ("missed", "never ran")]


def test_comparison_with_the_baseline(report):
    """Gains in steps and in seconds a step would be swapped, or left out."""
    fast, slow, _ = report.entries
    assert slow.comparison is None
    both = fast.comparison.both_hit
    assert both.time.value == pytest.approx(1 / 3)
    assert both.steps.value == pytest.approx(1)
    assert both.step_sec.value == pytest.approx(1 / 3)


def test_nothing_in_common_with_the_baseline():
    """A submission on other workloads than the baseline's would end the report."""
    trials = [
        make_trial([(1, 1, 1)], submission="a"),
        make_trial([(1, 1, 0)], LM.metric, submission="b", workload="stdlib_lm"),
    ]
    a, b = report_of(Reading(trials, []), baseline="b").entries
    assert a.comparison is None
    assert b.comparison is None


def test_curves_hold_hits(report):
    """A symbol would lie beside its curve."""
    for workload in report.workloads:
        for curve in workload.curves:
            if math.isfinite(curve.hit.time_sec):
                at = curve.time_sec == curve.hit.time_sec
                assert curve.values[at].item() == curve.hit_value
                assert workload.target.reached(curve.hit_value)


@pytest.mark.parametrize("scale", [1, -1])
def test_trial_that_stands(tmp_path, scale):
    """All trials of a search would look as if they counted."""
    target = DIGITS.value
    away = 0.1 * (scale > 0)  # hits, or misses at different distances
    for trial, seconds in ((1, 30), (2, 10), (3, 20)):
        value = target + 0.001 if away else 0.9 - seconds / 1000
        write_log(tmp_path, f"{seconds},5,{value}", trial=trial)
    runs = read_report(tmp_path, baseline=None).workloads[0].runs
    assert [run.stands for run in runs] == [False, True, False]


def test_thinned_report_keeps_hits(tmp_path):
    """A long curve would lose its hit or its best value to the thinning."""
    values = np.full(5000, 0.5)
    values[1234], values[4321] = 0.99, 0.999
    rows = [f"{i},{i},{v}" for i, v in enumerate(values)]
    write_log(tmp_path, *rows)
    report = read_report(tmp_path, baseline=None, max_points=100)
    (curve,) = report.workloads[0].curves
    assert report.max_curve_points == 100
    assert 100 <= len(curve.values) <= 102
    assert {0, 1234, 4321, 4999} <= set(curve.steps.tolist())
    assert curve.hit_value == 0.99


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 300), st.integers(2, 50), st.lists(st.integers(0, 299)))
def test_thinned(n, limit, keep):
    """Points would be drawn twice, out of order, or not at the ends."""
    keep = [index for index in keep if index < n]
    shown = thinned(n, limit, keep)
    assert (np.diff(shown) > 0).all()
    if n:
        assert shown[0] == 0
        assert shown[-1] == n - 1
    assert set(keep) <= set(shown.tolist())
    assert len(shown) <= min(limit, n) + len(keep)


def test_window_holds_the_target():
    """The target line would be out of sight, or one bad start would hide the rest."""
    trials = [
        make_trial([(i, i, v) for i, v in enumerate(values)], LM.metric, study=f"s{k}")
        for k, values in enumerate([[90, 3, 2, 1, 0.5], [80, 3, 2, 1, np.nan]])
    ]
    trials = [make_trial([], study="empty"), *trials]
    target = Target(LM.metric, 0.1)
    runs = report_of(Reading(_as_lm(trials), []), baseline=None).workloads[0].runs
    low, high = Workload("x", target, True, [], runs).window
    assert low < 0.1
    assert 3 <= high < 40
    assert Workload("x", target, True, [], []).window == (0.1, 0.1)


def _as_lm(trials):
    """The same runs on the workload that has a loss."""
    return [type(t)(**{**vars(t), "workload": "stdlib_lm"}) for t in trials]


def test_missed():
    """A near miss would be told as a hit, or a diverged run as a number."""
    target = Target("accuracy", 0.72)
    assert missed(0.7199999, target) == "missed, accuracy 0.72, 1e-05% below 0.72"
    assert missed(math.nan, target) == "missed, never evaluated to a finite value"


def test_number():
    """Long times would be told with an exponent."""
    figures = (1234567.8, 12.3456, 0.00012, math.inf)
    assert [*map(number, figures)] == ["1,234,568", "12.35", "0.00012", "never"]
