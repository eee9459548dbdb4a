r"""Trains entries on every embedded workload, twice over, scores and reports them.

First on the wall clock, as the benchmark does; then on a clock that counts a fixed
time a step, whose table is the same in every run on one machine. Runs that are there
already, whole or not, are gone on with: remove the folder to start anew.

Example:
  python scripts/demo.py --data_dir=data --experiment_dir=runs/demo

  python scripts/demo.py --entries=all --studies=3 --clocks=steps \
      --experiment_dir=runs/entries
"""

import concurrent.futures
import itertools
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from absl import app, flags

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.lock import alone
from unscheduled.benchmark.read import expand
from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.benchmark.targets import read_target
from unscheduled.runner.run_directory import experiment_path
from workloads_ext.registry import WORKLOADS

SCRIPTS = Path(__file__).resolve().parent
ENTRIES = sorted(
    path.name.removesuffix("_jax") for path in SCRIPTS.parent.glob("submissions/*_jax")
)
# One thread for torch, which is as fast as two on models of this size and does not
# wait for the other where the machine has something else to do.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TITLES = {
    "wall": "The wall clock of this machine",
    "steps": "A clock that counts steps: the same numbers in every run on one machine",
}

flags.DEFINE_string("data_dir", "data", "Where data sets are, or are made.")
flags.DEFINE_string("experiment_dir", "runs/demo", "Where runs are written.")
flags.DEFINE_list(
    "entries", "schedule_free_adamw,nadamw", "Algorithms to train, or all."
)
flags.DEFINE_integer("studies", 1, "Runs of each, by seed.", lower_bound=1)
flags.DEFINE_list("clocks", "wall,steps", "Clocks to train by.")
for name, choices in (("entries", ["all", *ENTRIES]), ("clocks", [*TITLES])):
    flags.register_validator(
        name,
        lambda given, choices=choices: set(given) <= set(choices),
        f"choose from {', '.join(choices)}",
    )


class Run(NamedTuple):
    """One training: the study is its seed."""

    entry: str
    framework: str
    workload: str
    study: int

    def train(self, kind: str, **options) -> subprocess.CompletedProcess:
        """Runs `scripts/run.py`, which has ended where there is an outcome."""
        arguments = self.command(kind)
        result = subprocess.run(arguments, env=ENVIRONMENT, check=True, **options)
        if not self.has_ended(kind):
            raise UserError(f"{shlex.join(arguments)} ended without an outcome.")
        return result

    def experiment_dir(self, kind: str) -> str:
        return f"{logs(kind)}/{self.entry}_{self.framework}"

    def has_ended(self, kind: str) -> bool:
        path = experiment_path(
            self.experiment_dir(kind), self.name, self.workload, self.framework
        )
        return TrialDirectory.numbered(path, 1).outcome.exists()

    @property
    def name(self) -> str:
        return f"study_{self.study}"

    def command(self, kind: str) -> list[str]:
        """Runs one entry on one workload, into the tree that scoring reads."""
        target = read_target(self.workload)
        step_sec = target.max_allowed_runtime_sec / target.step_hint
        folder = f"{SCRIPTS.parent}/submissions/{self.entry}_{self.framework}"
        return [
            sys.executable,
            str(SCRIPTS / "run.py"),
            f"--workload={self.workload}",
            f"--framework={self.framework}",
            f"--submission_path={folder}/submission.py",
            "--tuning_ruleset=self",
            f"--data_dir={flags.FLAGS.data_dir}",
            f"--experiment_dir={self.experiment_dir(kind)}",
            f"--experiment_name={self.name}",
            f"--clock={'wall' if kind == 'wall' else f'steps:{step_sec}'}",
            "--nosave_intermediate_checkpoints",
            "--resume_last_run",
            f"--rng_seed={self.study}",
        ]


def unfinished(kind: str) -> list[Run]:
    """The runs that have yet to end."""
    entries = ENTRIES if "all" in flags.FLAGS.entries else flags.FLAGS.entries
    studies = range(flags.FLAGS.studies)
    runs = itertools.starmap(
        Run, itertools.product(entries, FRAMEWORKS, WORKLOADS, studies)
    )
    return [run for run in runs if not run.has_ended(kind)]


def train_on_the_wall_clock() -> None:
    """One run after the other: nothing else takes their time."""
    for run in unfinished("wall"):
        print("\n{} in {} on {}".format(*run), flush=True)
        run.train("wall")


def train_on_the_steps_clock() -> None:
    """Two runs at a time, which changes nothing on this clock."""

    def train(run):
        return run.train("steps", stdout=subprocess.PIPE, text=True)

    print("\nOn a clock that counts steps:", flush=True)
    runs = unfinished("steps")
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for run, result in zip(runs, pool.map(train, runs), strict=True):
            last = result.stdout.splitlines()[-1]
            print("{} in {}: {}".format(*run[:2], last), flush=True)


def score(kind: str) -> None:
    """Prints the tables of one clock."""
    print(f"\n=== {TITLES[kind]}", flush=True)
    subprocess.run([sys.executable, str(SCRIPTS / "score.py"), logs(kind)], check=True)


def report(kind: str) -> None:
    """Writes the report of one clock beside its logs, and prints its path."""
    command = [sys.executable, str(SCRIPTS / "report.py"), logs(kind)]
    baseline = Path(logs(kind)) / "nadamw_pytorch"
    if baseline.exists():
        command.append(f"--baseline={baseline.name}")
    out = folder() / f"report_{kind}.html"
    subprocess.run([*command, f"--out={out}"], check=True)


def folder() -> Path:
    return expand(flags.FLAGS.experiment_dir)


def logs(kind: str) -> str:
    return str(folder() / kind)


TRAIN = {"wall": train_on_the_wall_clock, "steps": train_on_the_steps_clock}


def demonstrate() -> None:
    """Trains what is missing, then prints the tables and writes the reports."""
    for kind in flags.FLAGS.clocks:
        TRAIN[kind]()
    for kind in flags.FLAGS.clocks:
        score(kind)
    print(flush=True)
    for kind in flags.FLAGS.clocks:
        report(kind)


def main(_) -> int:
    start = time.monotonic()
    try:
        folder().mkdir(parents=True, exist_ok=True)
        waiting = f"Waiting for another demo in {folder()}."
        with alone(folder() / ".demo.lock", waiting):
            demonstrate()
    except subprocess.CalledProcessError as error:
        return error.returncode  # it has said what is wrong
    except (UserError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"All of it took {time.monotonic() - start:.0f} s.")
    return 0


if __name__ == "__main__":
    app.run(main)
