"""A table of training runs that grows: each run is trained once, and kept as a row.

Steps are counted, not timed, so a row is the same on every machine but for rounding.
A command that needs runs asks for them here: those in the table are read, the others
trained and appended as they end, so that it can be stopped and goes on.
"""

import concurrent.futures
import csv
import dataclasses
import json
import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from rich.console import Console

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.benchmark.targets import Target, read_target
from unscheduled.benchmark.write import alone
from unscheduled.runner import process

flags.DEFINE_integer("jobs", 2, "Runs at a time, of one thread each.", lower_bound=1)
flags.DEFINE_boolean("train", True, "Train what is missing, or use what there is.")

ROOT = Path(__file__).resolve().parents[1]
_ONE_THREAD = {  # of each worker, so that as many as there are cores don't wait
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


class Run(NamedTuple):
    """What is trained: a submission at a point, from a seed."""

    workload: str
    framework: str
    entry: str  # the submission's folder in `submissions`, or by its path
    point: str  # JSON, as `point_of` writes it; empty for the submission's own setting
    seed: int
    steps: int  # at most
    step_hint: int  # what schedules go by
    every: int  # steps between evaluations
    until_target: bool  # or to the end, whatever is reached


class Evaluation(NamedTuple):
    step: float  # inf for one that never was
    validation: float  # of the target's metric
    test: float


class Result(NamedTuple):
    evaluations: tuple[Evaluation, ...]
    ms_a_step: float  # on the machine that trained it, without evaluations

    def best(self, target: Target) -> Evaluation:
        """The evaluation with the best validation value; ties go to the first."""
        sign = 1 if target.lower_is_better else -1
        finite = [e for e in self.evaluations if math.isfinite(e.validation)]
        return min(finite, key=lambda e: sign * e.validation, default=_NEVER)

    def early(self, count: int) -> "Result":
        """Of it the evaluation at the start, and as many after that."""
        return Result(self.evaluations[: count + 1], self.ms_a_step)

    def first_hit(self, target: Target) -> Evaluation:
        """The first evaluation that reached the target; at step inf for a miss."""
        hits = (e for e in self.evaluations if target.reached(np.array(e.validation)))
        return next(hits, _NEVER)

    def steps_to(self, target: Target) -> float:
        """Steps at the first evaluation that reached the target; inf for a miss."""
        return self.first_hit(target).step


_NEVER = Evaluation(math.inf, math.nan, math.nan)
_COLUMNS = (*Run._fields, *Result._fields)


def point_of(values: dict[str, Any] | None) -> str:
    """Hyperparameters as the text that names a run."""
    return json.dumps(values, sort_keys=True) if values else ""


def read_table(path: Path) -> dict[Run, Result]:
    """All runs in a table; none where there is no file yet."""
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        return dict(map(_parsed, csv.DictReader(file)))


def complete(
    path: Path, runs: Iterable[Run], data_dir: str, jobs: int
) -> dict[Run, Result]:
    """The results of `runs`, of which those that the table lacks are trained first."""
    runs = list(dict.fromkeys(runs))
    table = read_table(path)
    missing = [run for run in runs if run not in table]
    for number, (run, result) in enumerate(_trained(missing, data_dir, jobs), 1):
        _append(path, run, result)
        table[run] = result
        best = result.best(read_target(run.workload))
        print(
            f"{number}/{len(missing)} {run.workload} {run.framework} {run.entry} "
            f"seed {run.seed} {run.point}: best {best.validation:.4f} at step "
            f"{best.step}, {result.ms_a_step:.1f} ms a step",
            flush=True,
        )
    return {run: table[run] for run in runs}


def _trained(runs: list[Run], data_dir: str, jobs: int) -> Iterator[tuple[Run, Result]]:
    os.environ |= _ONE_THREAD  # which the workers inherit
    # Runs that differ by their seed are the same program.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(data_dir, "compiled")
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        jobs, context, process.die_with_parent
    ) as pool:
        waiting = {pool.submit(train, run, data_dir): run for run in runs}
        try:
            for done in concurrent.futures.as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def train(run: Run, data_dir: str) -> Result:
    """Trains one run, in this process."""
    from unscheduled.runner.backend import load_backend
    from unscheduled.runner.logs import Profiler
    from unscheduled.runner.loop import Settings
    from unscheduled.runner.rules import StepsClock
    from unscheduled.runner.search_space import as_hyperparameters
    from unscheduled.runner.submission import load_submission, train_batch_size
    from unscheduled.runner.trials import run_trials
    from workloads_ext import registry

    workload: Any = registry.load(run.workload, run.framework)
    target = dataclasses.replace(
        read_target(run.workload),
        step_hint=run.step_hint,
        eval_period_time_sec=run.every,
    )
    workload._target = target

    evaluation = _Evaluation(workload, target, run.until_target)
    workload.eval_model = evaluation
    workload.has_reached_validation_target = evaluation.ends
    workload.has_reached_test_target = lambda results: True
    folder = run.entry if "/" in run.entry else f"submissions/{run.entry}"
    path = ROOT / f"{folder}_{run.framework}" / "submission.py"
    submission = load_submission(str(path))
    settings = Settings(
        workload=workload,
        submission=submission,
        backend=load_backend(run.framework),
        clock=StepsClock(1.0),
        profiler=Profiler(enabled=False),
        global_batch_size=train_batch_size(submission, run.workload),
        global_eval_batch_size=workload.eval_batch_size,
        data_dir=data_dir,
        budget_sec=math.inf,
        max_global_steps=run.steps,
        save_checkpoints=False,
    )
    point = as_hyperparameters(json.loads(run.point)) if run.point else None
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as runs:
        run_trials(
            settings, Path(runs), [point], range(1), run.seed, {}, Console(quiet=True)
        )
        with open(TrialDirectory.numbered(Path(runs), 1).eval_measurements) as file:
            rows = list(csv.DictReader(file))
    seconds = time.perf_counter() - start - evaluation.seconds
    names = (f"{split}/{target.metric}" for split in ("validation", "test"))
    columns = ("global_step", *names)
    values = [[float(row[column]) for column in columns] for row in rows]
    evaluations = [Evaluation(int(step), *rest) for step, *rest in values]
    return Result(tuple(evaluations), 1000 * seconds / evaluations[-1].step)


class _Evaluation:
    """A workload's evaluation, of what a table keeps.

    Where a run ends at the target, earlier test values are of no use: they are NaN.
    """

    def __init__(self, workload: Any, target: Target, until_target: bool) -> None:
        self.seconds = 0.0
        self._metric = target.metric
        self._sizes = {
            "validation": workload.num_validation_examples,
            "test": workload.num_test_examples,
        }
        self._evaluate = workload._eval_model_on_split
        self._reached = target.reached
        self._until_target = until_target

    def __call__(
        self, batch_size, params, model_state, rng, data_dir, v2_dir, step
    ) -> dict[str, float]:
        start = time.perf_counter()
        results: dict[str, float] = {f"test/{self._metric}": math.nan}
        for split, size in self._sizes.items():
            if split == "test" and self._until_target and not self.ends(results):
                break
            metrics = self._evaluate(
                split, size, batch_size, params, model_state, rng, data_dir, step
            )
            results |= {f"{split}/{name}": value for name, value in metrics.items()}
        self.seconds += time.perf_counter() - start
        return results

    def ends(self, results: dict[str, float]) -> bool:
        """At the target, if the run is to it, and where nothing more can come."""
        value = results[f"validation/{self._metric}"]
        if not math.isfinite(value):
            return True
        return self._until_target and bool(self._reached(np.array(value)))


def _append(path: Path, run: Run, result: Result) -> None:
    evaluations = [[e.step, *(float(f"{v:.6g}") for v in e[1:])] for e in result[0]]
    row = (*run, json.dumps(evaluations), f"{result.ms_a_step:.2f}")
    with alone(path.with_suffix(".lock"), f"Waiting for another writer of {path}."):
        is_new = not path.exists()
        with open(path, "a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([_COLUMNS, row] if is_new else [row])


def _parsed(row: dict[str, str]) -> tuple[Run, Result]:
    try:
        run = Run(
            workload=row["workload"],
            framework=row["framework"],
            entry=row["entry"],
            point=row["point"],
            seed=int(row["seed"]),
            steps=int(row["steps"]),
            step_hint=int(row["step_hint"]),
            every=int(row["every"]),
            until_target=row["until_target"] == "True",
        )
        evaluations = (Evaluation(*e) for e in json.loads(row["evaluations"]))
        return run, Result(tuple(evaluations), float(row["ms_a_step"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"A row of the table of runs is damaged: {row}.") from error
