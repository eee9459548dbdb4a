"""Trains entries on every embedded workload, twice over, scores and reports them.

First on the wall clock, as the benchmark does; then on a clock that counts a fixed
time a step, whose table is the same in every run on one machine. Runs that are there
already, complete or not, are resumed: remove the folder to start anew.
"""

import concurrent.futures
import os
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

from absl import app, flags

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.read import expand
from unscheduled.benchmark.run_files import TrialDirectory, experiment_path
from unscheduled.benchmark.targets import read_target
from unscheduled.benchmark.write import alone
from workloads_ext.registry import WORKLOADS

ROOT = Path(__file__).resolve().parents[1]
# One thread for torch: as fast as two on models of this size, and never waiting.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TITLES = {
    "wall": "The wall clock of this machine",
    "steps": "A clock that counts steps: the same numbers in every run on one machine",
}
Run = tuple[str, str, str, int]  # entry, framework, workload, study: its seed

flags.DEFINE_string("data_dir", "data", "Where data sets are, or are made.")
flags.DEFINE_string("experiment_dir", "runs/demo", "Where runs are written.")
flags.DEFINE_list("entries", "schedule_free_adamw,nadamw", "Algorithms to train.")
flags.DEFINE_integer("studies", 1, "Runs of each, by seed.", lower_bound=1)


def folder(clock: str = "") -> Path:
    return expand(flags.FLAGS.experiment_dir) / clock


def script(name: str, *arguments: str | Path, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, check=True, text=True, **options)


def has_ended(clock: str, run: Run) -> bool:
    entry, framework, workload, study = run
    experiments = str(folder(clock) / f"{entry}_{framework}")
    path = experiment_path(experiments, f"study_{study}", workload, framework)
    return TrialDirectory.numbered(path, 1).outcome.exists()


def train(clock: str, run: Run, **options) -> subprocess.CompletedProcess:
    entry, framework, workload, study = run
    target = read_target(workload)
    step_sec = target.max_allowed_runtime_sec / target.step_hint
    submission = f"{entry}_{framework}"
    result = script(
        "run.py",
        f"--workload={workload}",
        f"--framework={framework}",
        f"--submission_path={ROOT}/submissions/{submission}/submission.py",
        "--tuning_ruleset=self",
        f"--data_dir={flags.FLAGS.data_dir}",
        f"--experiment_dir={folder(clock) / submission}",
        f"--experiment_name=study_{study}",
        f"--clock={'wall' if clock == 'wall' else f'steps:{step_sec}'}",
        "--nosave_intermediate_checkpoints",
        "--resume_last_run",
        f"--rng_seed={study}",
        **options,
    )
    if not has_ended(clock, run):
        raise UserError(f"{submission} on {workload} ended without an outcome.")
    return result


def unfinished(clock: str) -> list[Run]:
    studies = range(flags.FLAGS.studies)
    runs = product(flags.FLAGS.entries, FRAMEWORKS, WORKLOADS, studies)
    return [run for run in runs if not has_ended(clock, run)]


def train_all() -> None:
    """On the wall clock one run at a time, on the steps clock two."""
    for run in unfinished("wall"):
        print("\n{} in {} on {}".format(*run), flush=True)
        train("wall", run)
    print("\nOn a clock that counts steps:", flush=True)
    runs = unfinished("steps")
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        results = pool.map(lambda r: train("steps", r, stdout=subprocess.PIPE), runs)
        for run, result in zip(runs, results, strict=True):
            last = result.stdout.splitlines()[-1]
            print("{} in {}: {}".format(*run[:2], last), flush=True)


def show() -> None:
    """Prints the tables, and writes a report of each clock beside its logs."""
    for clock, title in TITLES.items():
        print(f"\n=== {title}", flush=True)
        script("score.py", folder(clock))
    print(flush=True)
    options = ["--baseline=nadamw_pytorch"] if "nadamw" in flags.FLAGS.entries else []
    for clock in TITLES:
        out = folder() / f"report_{clock}.html"
        script("report.py", folder(clock), f"--out={out}", *options)


def main(_) -> int:
    start = time.monotonic()
    try:
        folder().mkdir(parents=True, exist_ok=True)
        waiting = f"Waiting for another demo in {folder()}."
        with alone(folder() / ".demo.lock", waiting):
            train_all()
            show()
    except subprocess.CalledProcessError as error:
        return error.returncode  # it has said what is wrong
    except (UserError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"All of it took {time.monotonic() - start:.0f} s.")
    return 0


if __name__ == "__main__":
    app.run(main)
