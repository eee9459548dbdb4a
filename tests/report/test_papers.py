"""Figures for papers: all of them, of the same values as the page's."""

import xml.etree.ElementTree as ET

import pytest

from tests.scoring.trees import DIGITS, make_trial
from unscheduled.report.model import on_axis
from unscheduled.report.papers import draw_curves, draw_times, save_figures
from unscheduled.scoring.logs import Reading

from .made_logs import HOSTILE, MISSED, read_report, report_of, write_logs


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return read_report(write_logs(tmp_path_factory.mktemp("logs")))


def test_files(report, tmp_path):
    """A figure would be missing, empty, or no image; or change from run to run."""
    paths = save_figures(report, tmp_path / "a")
    names = {path.stem for path in paths}
    assert names == {
        "profiles",
        "ratios",
        *(
            f"{kind}_{workload}_{axis}"
            for kind in ("times", "curves")
            for workload in ("digits_resnet", "stdlib_lm")
            for axis in ("seconds", "steps")
        ),
    }
    for path in paths:
        if path.suffix == ".svg":
            assert ET.parse(path).getroot().tag.endswith("svg")
        else:
            assert path.read_bytes().startswith(b"\x89PNG")
    again = save_figures(report, tmp_path / "b")
    for one, other in zip(paths, again, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("axis", ["seconds", "steps"])
def test_curves(report, axis):
    """Curves would be drawn against the other axis, or without hits and target."""
    (panel,) = draw_curves(report, report.workloads[0], axis).axes
    curve = next(
        run for run in report.workloads[0].curves if run.entry.submission == "fast"
    )
    drawn = [line.get_xydata().tolist() for line in panel.lines]
    points = zip(on_axis(axis, curve).tolist(), curve.values.tolist(), strict=True)
    assert [list(point) for point in points] in drawn
    assert [[on_axis(axis, curve.hit), curve.hit_value]] in drawn
    assert panel.texts[0].get_text() == f"target {DIGITS.value:g}"


def test_misses_are_drawn(report):
    """A submission that missed would have no row."""
    (panel,) = draw_times(report.workloads[0], "seconds").axes
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert labels[-1] == f"{HOSTILE}\n{MISSED}"
    assert panel.lines[-1].get_marker() == "x"
    assert panel.lines[-1].get_xydata().tolist() == [[3, 2]]


def test_nothing_but_an_empty_log(tmp_path):
    """A run that has just begun would end the figures in a traceback."""
    report = report_of(Reading([make_trial([])], []), baseline=None)
    assert save_figures(report, tmp_path)
