"""Runs the baseline past any target and says what targets that suggests.

docs/evidence/targets.md has the rule: the medians over several seeds in each framework
of what NadamW reaches in half of step_hint steps.
"""

import csv
import shutil
import statistics
from itertools import product
from pathlib import Path
from typing import Any

from absl import app, flags

from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.runner.backend import load_backend
from unscheduled.runner.logs import Profiler
from unscheduled.runner.loop import Settings
from unscheduled.runner.rules import StepsClock
from unscheduled.runner.submission import load_submission, train_batch_size
from unscheduled.runner.trials import run_trials
from workloads_ext import registry

flags.DEFINE_enum("workload", None, list(registry.WORKLOADS), "Name of the workload.")
flags.DEFINE_string("data_dir", "data", "Where data sets are, or are made.")
flags.mark_flag_as_required("workload")

ROOT = Path(__file__).resolve().parents[1]
OUT = Path("runs/targets")
SEEDS = range(5)


def train(name: str, framework: str, seed: int) -> dict[str, str]:
    """Trains the baseline for half of step_hint; returns the row of its evaluation."""
    workload: Any = registry.load(name, framework)
    workload.has_reached_validation_target = lambda results: False
    submission = load_submission(f"{ROOT}/submissions/nadamw_{framework}/submission.py")
    settings = Settings(
        workload=workload,
        submission=submission,
        backend=load_backend(framework),
        clock=StepsClock(workload.max_allowed_runtime_sec / workload.step_hint),
        profiler=Profiler(enabled=False),
        global_batch_size=train_batch_size(submission, name),
        global_eval_batch_size=workload.eval_batch_size,
        data_dir=flags.FLAGS.data_dir,
        budget_sec=float("inf"),
        max_global_steps=workload.step_hint // 2,
        save_checkpoints=False,
    )
    folder = OUT / f"seed_{seed}" / f"{name}_{framework}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run_trials(settings, folder, [None], range(1), seed, {})
    with open(TrialDirectory.numbered(folder, 1).eval_measurements) as file:
        row = list(csv.DictReader(file))[-1]
    assert int(row["global_step"]) == settings.max_global_steps
    return row


def main(_) -> None:
    name = flags.FLAGS.workload
    runs = [train(name, *each) for each in product(FRAMEWORKS, SEEDS)]
    metric = registry.load(name, "pytorch").target_metric_name
    for split in ("validation", "test"):
        values = [float(row[f"{split}/{metric}"]) for row in runs]
        print(
            f"{name} {split}_target_value: {statistics.median(values):.4f} (median of "
            f"{len(values)} runs from {min(values):.4f} to {max(values):.4f})"
        )


if __name__ == "__main__":
    app.run(main)
