"""The file: what is in it, what is not, and that names cannot do anything."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from tests.scoring.trees import make_trial, write_log
from unscheduled.report.figures import curves_chart, ratios_chart, times_chart
from unscheduled.report.page import address, render
from unscheduled.scoring.logs import Reading, read_logs
from unscheduled.scoring.warnings import LogWarning

from .made_logs import HOSTILE, MISSED, SUBMISSIONS, read_report, report_of, write_logs

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
CLOSING = "</script><script>alert(1)</script><!--"


class Parsed(HTMLParser):
    """Elements of a page, and the text in them."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.data: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        tag, attributes = self.elements[-1] if self.elements else ("", {})
        key = attributes.get("id") or tag
        self.data[key] = self.data.get(key, "") + data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(report, out="report.html", read=("Read 16 trials.",)):
    return render(report, read, Path(out))


def run_script(name, *arguments, cwd=None):
    command = [sys.executable, "-W", "error", str(SCRIPTS / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    return write_logs(tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def page(logs):
    return page_of(read_report(logs), logs.parent / "reports" / "report.html")


def test_plotly_is_there_once(page):
    """The file would be twice as large, or need the network."""
    assert page.count("plotly.js v") == 1
    assert 4e6 < len(page) < 6e6


def test_nothing_is_loaded(page):
    """The report would ask a network for something, and tell it who reads it."""
    parsed = Parsed(page)
    for tag in ("script", "img", "iframe", "link", "object", "embed", "base", "form"):
        for attributes in parsed.all(tag):
            assert "src" not in attributes
            assert tag == "script"
    assert {a["href"].startswith(("#", "./")) for a in parsed.all("a")} == {True}
    policies = [a for a in parsed.all("meta") if "http-equiv" in a]
    assert policies[0]["content"].startswith("default-src 'none'; script-src 'sha256-")
    assert "url(" not in parsed.data["style"]


@pytest.mark.parametrize("name", [HOSTILE, CLOSING])
def test_hostile_names(name, logs):
    """A submission's name would become part of the page, or run as a script."""
    reading = read_logs([logs])
    trials = [replace(t, submission=name) for t in reading.trials if t.number == 1]
    kept = {trial.key: trial for trial in trials}
    gone = LogWarning("no_log", logs / name, name)
    parsed = Parsed(page_of(report_of(Reading([*kept.values()], [gone]), None)))
    assert len(parsed.all("script")) == 3
    assert not parsed.all("img")
    (button,) = [a for a in parsed.all("button") if "data-submission" in a]
    assert button["data-submission"] == name
    figures = json.loads(parsed.data["figures"])
    groups = {t.get("legendgroup") for f in figures.values() for t in f["data"]}
    assert groups == {None, name}


def test_plotly_reads_no_tags(logs):
    """Plotly would read a name as its own markup or template."""
    report = read_report(logs)
    workload = report.workloads[0]
    figures = [
        times_chart(workload, "seconds"),
        curves_chart(workload, "steps"),
        ratios_chart(report),
    ]
    for figure in figures:
        told = json.dumps(
            [
                trace.get(key)
                for trace in json.loads(figure.to_json())["data"]
                for key in ("hovertemplate", "text", "y")
            ]
        )
        assert "<img" not in told
        assert "%{x} $a_b$" not in told
        assert "&lt;img" in told


def test_tables_have_all_submissions(page, logs):
    """A submission that missed everything would be left out of a table."""
    rows = re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
    for name in ("fast", "slow", "&lt;img src=x"):
        assert sum(f'class="name">{name}' in row for row in rows) >= 6
    assert MISSED in page
    assert page.count("<caption>") == page.count("<table")


@pytest.mark.parametrize("out", ["a/b/report.html", "report.html", "../r.html"])
def test_links_lead_to_files(logs, tmp_path, out, monkeypatch):
    """A link would lead nowhere from where the report lies."""
    monkeypatch.chdir(tmp_path)
    parsed = Parsed(page_of(read_report(logs), out))
    links = [a["href"] for a in parsed.all("a") if a["href"].startswith("./")]
    assert len(links) == 2 * 16  # folder and log of each run
    for href in links:
        target = Path(os.path.normpath(Path(out).parent / unquote(href)))
        assert target.exists(), href


def test_link_of_an_odd_name(tmp_path):
    """A name that is not UTF-8, or looks like a scheme, would end the report."""
    folder = tmp_path / os.fsdecode(b"javascript:\xff#?%41")
    folder.mkdir()
    expected = "./javascript%3A%FF%23%3F%2541"
    assert address(folder, tmp_path / "r.html") == expected


def test_largest_group_fits(tmp_path):
    """17 submissions, 8 workloads and 6 variants, 5 studies would not open."""
    trials = []
    for s in range(17):
        for study in range(5):
            evaluations = [(i + s, i, min(0.99, i / 200)) for i in range(400)]
            trials.append(
                make_trial(evaluations, submission=f"s{s}", study=f"study_{study}")
            )
    for trial in trials:
        (tmp_path / trial.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / trial.path).mkdir()
    trials = [replace(t, path=tmp_path / t.path / "x.csv") for t in trials]
    report = report_of(Reading(trials, []), baseline="s3", max_points=100_000 // 14)
    size = len(page_of(report)) - 4.9e6  # of one workload of 14
    assert 4.9e6 + 14 * size < 15e6


def test_reading_is_told(tmp_path):
    """A reader would not learn what was left out."""
    write_log(tmp_path, "1,1,1")
    (tmp_path / "sub" / "study_0" / "digits_resnet_jax" / "trial_2").mkdir()
    page = page_of(read_report(tmp_path, baseline=None), read=["Read 1 trial."])
    assert "Read 1 trial." in page
    assert "1 x no_log: " in page
    assert "trial_2: " in page


@pytest.fixture
def one_run(tmp_path):
    write_log(tmp_path / "logs", "1,1,0.5", "2,2,1")
    return tmp_path


def test_why(page):
    """The page would not say where a submission loses, or let its name do anything."""
    parsed = Parsed(page)
    assert "slow is the fastest on no workload. It loses" in page
    assert "3.00x the time of fast: 1.00x the steps, 3.00x the time a step" in page
    assert "never ran" in page  # an empty log is no run
    assert {"why", "frameworks"} <= {s.get("id") for s in parsed.all("section")}


def test_script(one_run):
    """The program would not write what it says it has written."""
    done = run_script(
        "report.py", "logs", "--out=new/report.html", "--strict", cwd=one_run
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Report: new/report.html\n"
    assert "AlgoPerf scores" in (one_run / "new/report.html").read_text()


def test_script_without_logs(tmp_path):
    """Published submissions alone could not be looked at."""
    done = run_script("report.py", "--against=published:0.6", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    parsed = Parsed((tmp_path / "report.html").read_text())
    names = [a.get("data-submission") for a in parsed.all("button")]
    assert "schedule_free_adamw_v2" in names


def test_script_strict(one_run):
    """--strict would report on logs that are not as they should be."""
    (one_run / "logs/sub/study_0/digits_resnet_jax/trial_2").mkdir()
    done = run_script("report.py", "logs", "--strict", cwd=one_run)
    assert done.returncode == 2
    assert done.stderr.startswith("report.py: ")
    assert not (one_run / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "No such folder: nowhere."),
        (["mnist"], "There is nothing to report. Not in this benchmark, and left"),
        (["logs", "--baseline=x"], "Unknown baseline 'x': choose from sub."),
        (["logs", "--out=logs"], "Is a directory"),
    ],
)
def test_script_errors(one_run, arguments, message):
    """A user's slip would end in a traceback."""
    write_log(one_run / "mnist", "1,1,1", workload="mnist_jax")
    done = run_script("report.py", *arguments, cwd=one_run)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("missing", ["jinja2", "plotly", "matplotlib"])
def test_missing_library(one_run, missing):
    """Without the library a user would get a traceback, not what to install."""
    code = (
        f"import runpy, sys; sys.modules[{missing!r}] = None\n"
        f"sys.argv = ['report.py', 'logs', '--figures=figures']\n"
        f"runpy.run_path({str(SCRIPTS / 'report.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=one_run,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"report.py: A report needs {missing}: pip install {missing}.\n"
    )


def test_page_is_the_same_again(logs):
    """Two reports of the same logs would differ."""
    assert page_of(read_report(logs)) == page_of(read_report(logs))


def test_no_nan_in_data(page):
    """Strict JSON has no NaN: the browser would show no chart at all."""
    figures = Parsed(page).data["figures"]
    json.loads(figures, parse_constant=lambda name: pytest.fail(name))
    assert np.isfinite(len(figures))


def test_all_submissions_are_toggled(page):
    """A submission would have no button."""
    buttons = Parsed(page).all("button")
    names = [a["data-submission"] for a in buttons if "data-submission" in a]
    assert names == [*SUBMISSIONS]
