"""Trains entries on the embedded workloads, scores them, and reports.

The whole suite with one entry is `scripts/suite.py --entries=nadamw`. Runs that are
there already, complete or not, are resumed: remove the folder to start anew.
"""

import concurrent.futures
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

from absl import app, flags

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.read import expand
from unscheduled.benchmark.run_files import TrialDirectory, experiment_path
from unscheduled.benchmark.targets import read_target
from unscheduled.benchmark.write import alone
from workloads_ext.registry import ALL, WORKLOADS

ROOT = Path(__file__).resolve().parents[1]
ENTRIES = ("refined_schedule_free", "schedule_free_adamw", "nadamw")
# One thread for torch: as fast as two on models of this size, and never waiting.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

flags.DEFINE_string("data_dir", "data", "Where data sets are, or are made.")
flags.DEFINE_string("experiment_dir", "runs/suite", "Where runs are written.")
flags.DEFINE_list("entries", [*ENTRIES], "Algorithms to train.")
flags.DEFINE_multi_enum("framework", ["pytorch"], FRAMEWORKS, "Frameworks to train in.")
flags.DEFINE_list("workloads", [*WORKLOADS], "Workloads to train on.")
flags.DEFINE_integer("studies", 1, "Runs of each, by seed.", lower_bound=1)
flags.DEFINE_enum(
    "clock",
    "wall",
    ["wall", "steps"],
    "The machine's, one run at a time; or one that counts a fixed time a step, two "
    "runs at a time, whose results are always the same on one machine.",
)
flags.DEFINE_float(
    "fetch",
    0.0,
    "Steps that a fetch takes, of the time that the steps clock gives a step.",
    lower_bound=0.0,
)


class Run(NamedTuple):
    entry: str
    framework: str
    workload: str
    study: int  # its seed

    @property
    def submission(self) -> str:
        return f"{self.entry}_{self.framework}"

    def has_ended(self) -> bool:
        experiments, name = str(folder() / self.submission), f"study_{self.study}"
        path = experiment_path(experiments, name, self.workload, self.framework)
        return TrialDirectory.numbered(path, 1).outcome.exists()


def folder() -> Path:
    return expand(flags.FLAGS.experiment_dir)


def script(name: str, *arguments: str | Path, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, check=True, text=True, **options)


def train(run: Run) -> str:
    """Trains a run; returns the line that says how it ended."""
    target, clock = read_target(run.workload), flags.FLAGS.clock
    step_sec = target.max_allowed_runtime_sec / target.step_hint
    if clock == "steps":
        clock = f"steps:{step_sec}"
    result = script(
        "run.py",
        f"--workload={run.workload}",
        f"--framework={run.framework}",
        f"--submission_path={ROOT}/submissions/{run.submission}/submission.py",
        "--tuning_ruleset=self",
        f"--data_dir={flags.FLAGS.data_dir}",
        f"--experiment_dir={folder() / run.submission}",
        f"--experiment_name=study_{run.study}",
        f"--clock={clock}",
        f"--fetch_sec={flags.FLAGS.fetch * step_sec}",
        "--nosave_intermediate_checkpoints",
        "--resume_last_run",
        f"--rng_seed={run.study}",
        stdout=subprocess.PIPE,
    )
    if not run.has_ended():
        raise UserError(f"{run.submission} on {run.workload} ended without an outcome.")
    return result.stdout.splitlines()[-1]


def runs() -> Iterator[Run]:
    options = flags.FLAGS
    studies = range(options.studies)
    yield from map(
        Run._make,
        product(options.entries, options.framework, options.workloads, studies),
    )


def train_all() -> None:
    left = [run for run in runs() if not run.has_ended()]
    at_a_time = 1 if flags.FLAGS.clock == "wall" else 2
    with concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
        ends = pool.map(train, left)
        for number, (run, end) in enumerate(zip(left, ends, strict=True), 1):
            what = f"{run.submission} on {run.workload}, study {run.study}"
            print(f"{number}/{len(left)} {what}: {end}", flush=True)


def show() -> None:
    """Prints the table, and writes a report beside the logs."""
    script("score.py", folder())
    baseline = f"--baseline=nadamw_{flags.FLAGS.framework[0]}"
    options = [baseline] if "nadamw" in flags.FLAGS.entries else []
    script("report.py", folder(), f"--out={folder() / 'report.html'}", *options)


def main(_) -> int:
    start = time.monotonic()
    try:
        for name in set(flags.FLAGS.workloads) - set(ALL):
            choices = ", ".join(ALL)
            raise UserError(f"--workloads must be among {choices}, got {name!r}.")
        folder().mkdir(parents=True, exist_ok=True)
        waiting = f"Waiting for another suite in {folder()}."
        with alone(folder() / ".suite.lock", waiting):
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
