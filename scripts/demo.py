r"""Trains every entry on every embedded workload, twice over, and scores them.

First on the wall clock, as the benchmark does; then on a clock that counts a fixed
time a step, whose table is the same on every run. Runs that are there already, whole
or not, are gone on with: remove the folder to start anew.

Example:
  python scripts/demo.py --data_dir=data --experiment_dir=runs/demo
"""

import concurrent.futures
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

from absl import app, flags

from unscheduled.runner.run_directory import TrialDirectory, experiment_path
from workloads_ext.common.targets import read_targets
from workloads_ext.registry import FRAMEWORKS, WORKLOADS

flags.DEFINE_string("data_dir", "data", "Where data sets are, or are made.")
flags.DEFINE_string("experiment_dir", "runs/demo", "Where runs are written.")

SCRIPTS = Path(__file__).resolve().parent
ENTRIES = ("schedule_free_adamw", "nadamw")
STUDY = "study_0"
RUNS = list(itertools.product(ENTRIES, FRAMEWORKS, WORKLOADS))
# One thread for torch, which is as fast as two on models of this size and does not
# wait for the other where the machine has something else to do.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TITLES = {
    "wall": "The wall clock of this machine",
    "steps": "A clock that counts steps: the same numbers in every run",
}


def command(kind: str, entry: str, framework: str, workload: str) -> list[str]:
    """Runs one entry on one workload, into the tree that scoring reads."""
    target = read_targets(workload)
    step_sec = target.max_allowed_runtime_sec / target.step_hint
    submission = f"{entry}_{framework}"
    return [
        sys.executable,
        str(SCRIPTS / "run.py"),
        f"--workload={workload}",
        f"--framework={framework}",
        f"--submission_path={SCRIPTS.parent}/submissions/{submission}/submission.py",
        "--tuning_ruleset=self",
        f"--data_dir={flags.FLAGS.data_dir}",
        f"--experiment_dir={logs(kind)}/{submission}",
        f"--experiment_name={STUDY}",
        f"--clock={'wall' if kind == 'wall' else f'steps:{step_sec}'}",
        "--nosave_intermediate_checkpoints",
        "--resume_last_run",
        "--rng_seed=0",
    ]


def unfinished(kind: str) -> list[tuple[str, str, str]]:
    """The runs that have yet to end."""

    def outcome(entry, framework, workload):
        experiment = Path(logs(kind)) / f"{entry}_{framework}"
        path = experiment_path(str(experiment), STUDY, workload, framework)
        return TrialDirectory(path / "trial_1").outcome

    return [run for run in RUNS if not outcome(*run).exists()]


def train_on_the_wall_clock() -> None:
    """One run after the other: nothing else takes their time."""
    for run in unfinished("wall"):
        print("\n{} in {} on {}".format(*run), flush=True)
        subprocess.run(command("wall", *run), env=ENVIRONMENT, check=True)


def train_on_the_steps_clock() -> None:
    """Two runs at a time, which changes nothing on this clock."""

    def train(run):
        arguments = command("steps", *run)
        return subprocess.run(
            arguments, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE, text=True
        )

    runs = unfinished("steps")
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for run, result in zip(runs, pool.map(train, runs), strict=True):
            last = result.stdout.splitlines()[-1]
            print("{} in {}: {}".format(*run[:2], last), flush=True)


def score(kind: str, title: str) -> None:
    """Prints the tables of one clock."""
    print(f"\n=== {title}", flush=True)
    subprocess.run([sys.executable, str(SCRIPTS / "score.py"), logs(kind)], check=True)


def logs(kind: str) -> str:
    return str(Path(flags.FLAGS.experiment_dir) / kind)


def main(_) -> int:
    start = time.monotonic()
    try:
        train_on_the_wall_clock()
        print("\nThe same again, on a clock that counts steps:", flush=True)
        train_on_the_steps_clock()
        for kind, title in TITLES.items():
            score(kind, title)
    except subprocess.CalledProcessError as error:
        return error.returncode  # it has said what is wrong
    print(f"All of it took {time.monotonic() - start:.0f} s.")
    return 0


if __name__ == "__main__":
    app.run(main)
