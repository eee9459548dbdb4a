"""The rolling leaderboard in the package: its scores, and the command that makes it."""

import csv
import json
import math
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from unscheduled.benchmark.rulesets import ruleset
from unscheduled.benchmark.targets import BENCHMARKS, choose_benchmark, load_benchmark
from unscheduled.scoring.leaderboard import rank
from unscheduled.scoring.logs import read_logs
from unscheduled.scoring.published import load_published, published_path
from unscheduled.scoring.scored import NOTHING_READ, Scored, score_group
from unscheduled.scoring.times import RULES, study_results, workload_results

from . import oracle
from .trees import LM, LM_HEADER, write_log

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "update_published.py"
TARBALL = (
    Path(__file__).resolve().parents[2].parent
    / "shared"
    / "algoperf"
    / "rolling_a100_eval_logs.tar.xz"
)
ROLLING = load_benchmark(BENCHMARKS["rolling"])
# As published, to the digits that were published.
LEADERS = {
    "schedule_free_adamw_v2": 0.5679,
    "ademamix": 0.5191,
    "schedule_free_adamw": 0.4669,
    "nadamw_baselinev05": 0.4506,
    "schedule_free_adamw_jax_v2": 0.4405,
    "muon_torch": 0.4231,
    "schedule_free_adamw_jax": 0.4108,
    "nadamw": 0.3844,
}
PACKAGED = published_path("rolling", "self")
SOURCE = (
    "mlcommons/submissions_algorithms at ec13723, branch a100_scoring, "
    "logs/self_tuning/**"
)
BUDGETS = {"digits_resnet": 20, "stdlib_lm": 24}
WORSE = math.ceil(LM.value) + 1  # than the target


def scored_group() -> Scored:
    """The published group as score.py scores it."""
    rules = ruleset("self", "rolling")
    published = load_published("rolling", "self")
    return score_group(NOTHING_READ, ROLLING, rules, published=published)


def update(*arguments):
    command = [sys.executable, "-W", "error", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def oracle_scores(times):
    """Scores of {submission: {workload: seconds a study}}, without the package."""
    medians = {
        submission: {w: oracle.median(studies) for w, studies in cells.items()}
        for submission, cells in times.items()
    }
    base = json.loads(BENCHMARKS["rolling"].read_text())["base_workloads"]
    return oracle.scores(medians, base, {})


@pytest.mark.parametrize("rule", RULES)
def test_scores_of_the_package(rule):
    """A score of the group would not be what the formula makes of its times."""
    facts = json.loads(published_path("rolling", "self").read_text())
    times = {
        submission: {
            cell.rpartition("_")[0]: [
                float("inf") if row[0] is None else row[0] for row in rows.values()
            ]
            for cell, rows in cells.items()
        }
        for submission, cells in facts["studies"].items()
    }
    studies = load_published("rolling", "self").studies[rule]
    rows = rank(workload_results(studies), ROLLING).rows
    scores = {row.submission: row.score for row in rows}
    # 1e-12: two orders of adding up a hundred trapezoids
    assert scores == pytest.approx(oracle_scores(times), rel=0, abs=1e-12)
    assert len(scores) == 17
    assert [row.submission for row in rows[:8]] == list(LEADERS)
    assert {s: round(scores[s], 4) for s in LEADERS} == LEADERS


def test_facts():
    """Figures would come without source, date and hardware, or with wrong budgets."""
    group = load_published("rolling", "self")
    assert (group.source, group.date) == (
        f"{SOURCE}: figures of the published runs.",
        "2026-06-26",
    )
    assert (group.gpu_model_name, group.gpu_count) == ("NVIDIA A100-SXM4-40GB", 4)
    budgets = {w: t.max_allowed_runtime_sec for w, t in ROLLING.targets.items()}
    assert budgets == {
        "criteo1tb": 8915,
        "fastmri": 2745,
        "imagenet_resnet": 49918,
        "imagenet_vit": 64292,
        "librispeech_conformer": 43680,
        "librispeech_deepspeech": 36949,
        "finewebedu_lm": 31967,
        "ogbg": 11303,
        "wmt": 16114,
    }
    assert ROLLING.targets["finewebedu_lm"].metric == "ppl"
    assert published_path("rolling", "self").stat().st_size < 100_000


def test_the_two_that_are_called_0_6():
    """Nobody would learn that upstream's file calls nine workloads 0.6."""
    closed = choose_benchmark("0.6", ["ogbg", "finewebedu_lm"])
    assert len(closed.base) == 8
    assert (
        "workload_targets.json has nine by now, with finewebedu_lm" in closed.notes[0]
    )
    scored = scored_group()
    assert any("calls these nine workloads 0.6" in note for note in scored.notes)
    assert f"The published runs are those of 2026-06-26. {SOURCE}" in "".join(
        scored.notes
    )


def write_tree(root: Path, budget_sec: int = 20, gpus: int = 4) -> Path:
    """Two submissions on the embedded workloads, with meta data for one of them."""
    path = write_log(root, "3,10,0.5", "6,20,0.99", submission="a")
    lm = {"workload": "stdlib_lm_jax", "header": LM_HEADER}
    write_log(root, f"8,40,{WORSE}", submission="a", **lm)
    write_log(root, "4,9,0.2", "9,18,0.99", submission="b")
    for log in root.rglob("*.csv"):
        workload = log.parent.parent.name.rpartition("_")[0]
        meta = {
            "workload.max_allowed_runtime_sec": BUDGETS[workload],
            "gpu_model_name": "A",
            "gpu_count": 4,
        }
        if log == path:
            meta |= {"workload.max_allowed_runtime_sec": budget_sec, "gpu_count": gpus}
        (log.parent / "meta_data_0.json").write_text(json.dumps(meta))
    return root


def of_ext(tree, out, *more):
    official = json.loads(BENCHMARKS["ext"].read_text())
    official |= {"base_workloads": [*BUDGETS], "held_out_workloads": []}
    targets = tree.parent / "workload_targets.json"
    targets.write_text(json.dumps(official))
    facts = [tree, f"--targets={targets}", f"--out={out}", *more]
    return update(*facts, "--date=2026-07-01", "--source=somewhere at 1234567")


def test_update(tmp_path):
    """Next month's board would need a change of code, or be of unknown origin."""
    done = of_ext(write_tree(tmp_path / "logs"), tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.5000  a (new)" in done.stdout
    assert "gone    ademamix (was 0.5191)" in done.stdout
    path = tmp_path / "out" / "targets" / "algoperf_rolling.json"
    benchmark = load_benchmark(path)
    assert (benchmark.version, benchmark.base) == ("rolling", tuple(BUDGETS))
    assert json.loads(path.read_text())["date"] == "2026-07-01"
    assert benchmark.targets["stdlib_lm"].max_allowed_runtime_sec == 24
    path = published_path("rolling", "self", tmp_path / "out" / "published")
    facts = json.loads(path.read_text())
    assert (facts["date"], facts["version"], facts["ruleset"]) == (
        "2026-07-01",
        "rolling",
        "self",
    )
    assert facts["_source"].startswith("somewhere at 1234567: ")
    assert (facts["gpu_model_name"], facts["gpu_count"]) == ("A", 4)
    rows = facts["studies"]["a"]
    hit = [6, 20, 1, 1, 1, 0.99, 6, None, 6, 20, 6, 0]
    assert rows["digits_resnet_jax"]["study_0"] == hit
    missed = [None, None, None, 0, 1, WORSE, 8, 0.2, 8, 40, 8, 0]
    assert rows["stdlib_lm_jax"]["study_0"] == missed
    assert path.read_text().count('\n    "study_') == 3  # a line a study


@pytest.mark.parametrize(
    ("tree", "arguments", "message"),
    [
        ({"budget_sec": 21}, [], "max_allowed_runtime_sec 20, runs before it 21"),
        ({"gpus": 8}, [], "gpu_count 4, runs before it 8"),
        ({}, ["--targets=nowhere.json"], "nowhere.json can't be read"),
        ({}, [f"--targets={PACKAGED}"], "is not a targets file: 'base_work"),
        ({}, ["--date=June"], "--date is 'June': give it as 2026-06-26."),
    ],
)
def test_update_refuses(tmp_path, tree, arguments, message):
    """Runs of several budgets would be on one board, or a slip be a traceback."""
    tree = write_tree(tmp_path / "logs", **tree)
    facts = ["--date=2026-07-01", "--source=x", f"--targets={BENCHMARKS['ext']}"]
    done = update(tree, f"--out={tmp_path / 'out'}", *facts, *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def published_logs(tmp_path_factory):
    if not TARBALL.exists():
        pytest.skip(f"the published logs are not at {TARBALL}")
    folder = tmp_path_factory.mktemp("rolling")
    with tarfile.open(TARBALL) as archive:
        archive.extractall(folder, filter="data")
    return folder / "rolling_a100" / "logs" / "self_tuning"


def test_package_is_of_the_logs(published_logs, tmp_path):
    """The package would hold other figures than its command makes of the logs."""
    done = update(
        published_logs,
        f"--out={tmp_path}",
        f"--source={SOURCE}",
        "--date=2026-06-26",
        f"--targets={TARBALL.parent / 'workload_targets.json'}",
    )
    assert (done.returncode, done.stderr) == (0, "")
    for path in (published_path("rolling", "self"), BENCHMARKS["rolling"]):
        (made,) = tmp_path.rglob(path.name)
        assert made.read_text() == path.read_text()


def test_logs_by_the_oracle(published_logs):
    """A score of the published logs would not be what the official formula gives."""
    facts = json.loads(BENCHMARKS["rolling"].read_text())["workloads"]
    times = {}
    for path in published_logs.rglob("eval_measurements.csv"):
        submission, _, cell, _ = path.relative_to(published_logs).parts[:4]
        workload = cell.rpartition("_")[0]
        target = facts[workload]
        metric = target["target_metric_name"]
        with open(path, newline="") as file:
            rows = [
                (float(r["score"]), r["global_step"], float(r[f"validation/{metric}"]))
                for r in csv.DictReader(file)
            ]
        goal, lower = (
            target["validation_target_value"],
            metric in ("loss", "wer", "ppl"),
        )
        seconds, _ = oracle.study_time([rows], goal, lower, "official")
        times.setdefault(submission, {}).setdefault(workload, []).append(seconds)
    trials = read_logs([published_logs]).trials
    results = workload_results(study_results(trials, ROLLING))
    scores = {row.submission: row.score for row in rank(results, ROLLING).rows}
    # 1e-12: two orders of adding up a hundred trapezoids
    assert scores == pytest.approx(oracle_scores(times), rel=0, abs=1e-12)
