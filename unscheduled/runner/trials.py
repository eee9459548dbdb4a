"""The trials of a run: one in self-tuning, one a point of the space in external."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_json
from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.benchmark.write import write_json
from unscheduled.runner import machine, rules, seeds
from unscheduled.runner.loop import Settings, Trial
from unscheduled.runner.metrics_logger import MetricsLogger, NoLogger
from unscheduled.runner.progress import StatusLine
from unscheduled.runner.search_space import as_hyperparameters, read_point


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a trial ended; times in seconds of submission time."""

    trial: int
    reason: str
    global_step: int
    submission_time_sec: float
    time_to_target_sec: float | None

    def __str__(self) -> str:
        target = self.time_to_target_sec
        reached = "missed" if target is None else f"reached after {target:.2f} s"
        return (
            f"trial {self.trial}: {self.reason} at step {self.global_step}, "
            f"{self.submission_time_sec:.2f} s of submission time; "
            f"validation target {reached}"
        )


def run_trials(
    settings: Settings,
    experiment: Path,
    points: list[Any],
    indices: range,
    rng_seed: int | None,
    flags: dict[str, Any],
    start_wandb: Callable[[TrialDirectory, Any], Any] | None = None,
    console: Console | None = None,
) -> list[Outcome]:
    """Runs the trials one after the other, each in its own folder with its own seed.

    Args:
      experiment: the folder of the trials.
      points: hyperparameters by index, None in self-tuning.
      indices: which of them to run; trial n has index n - 1.
      rng_seed: what the trials' seeds derive from; None for one from the hardware.
      flags: as given, for `flags_<n>.json`.
    """
    ranks = settings.ranks
    console = console or Console(quiet=not ranks.is_first)
    outcomes = []
    for index in indices:
        directory = TrialDirectory.numbered(experiment, index + 1)
        begin = functools.partial(_begin, directory, points[index], rng_seed, index)
        seed, values, outcome = ranks.from_first(begin)
        if outcome is None:
            hyperparameters = values and as_hyperparameters(values)
            trial = Trial(settings, directory, hyperparameters, seed)
            if not trial.progress.finished:
                wandb_run = None
                if start_wandb and ranks.is_first:
                    wandb_run = start_wandb(directory, hyperparameters)
                _run_trial(settings, directory, trial, seed, flags, wandb_run, console)
            outcome = _outcome(index + 1, trial, settings)
            if ranks.is_first:
                write_json(directory.outcome, dataclasses.asdict(outcome))
        outcomes.append(outcome)
        console.print(str(outcome), highlight=False, markup=False, soft_wrap=True)
    return outcomes


def _begin(
    directory: TrialDirectory, point: Any, rng_seed: int | None, index: int
) -> tuple[int, dict[str, Any] | None, Outcome | None]:
    """What a trial's folder, made if missing, says of it: for all ranks.

    Returns:
      Its seed, its hyperparameters if any, and its outcome if it has ended; the first
      two are those that it began with, else new ones.
    """
    directory.path.mkdir(exist_ok=True)
    outcome = _read_outcome(directory.outcome) if directory.outcome.exists() else None
    meta_data = directory.meta_data(0)
    if meta_data.exists():
        seed = _read_seed(meta_data)
    else:
        seed = seeds.trial_seed(rng_seed, index)
    if point is None:
        return seed, None, outcome
    if not directory.hparams.exists():
        write_json(directory.hparams, point._asdict())
    return seed, read_point(directory.hparams), outcome


def _run_trial(
    settings: Settings,
    directory: TrialDirectory,
    trial: Trial,
    seed: int,
    flags: dict[str, Any],
    wandb_run: Any,
    console: Console,
) -> None:
    """Runs a trial that has not ended, with its logs and its status line."""
    logger = NoLogger()
    if settings.ranks.is_first:
        count = trial.progress.preemption_count
        meta = machine.describe(settings.workload, seed, settings.backend.describe())
        write_json(directory.meta_data(count), meta)
        write_json(directory.flags(count), flags)
        logger = MetricsLogger(directory, trial.progress.csv_rows, wandb_run)
    try:
        with StatusLine(settings.workload, settings.budget_sec, console) as status_line:
            trial.run(logger, status_line)
    finally:
        logger.finish()


def _outcome(number: int, trial: Trial, settings: Settings) -> Outcome:
    progress = trial.progress
    hits = [
        results["score"]
        for _, results in progress.eval_results
        if settings.workload.has_reached_validation_target(results)
    ]
    return Outcome(
        trial=number,
        reason=rules.why_ended(progress.train_state),
        global_step=progress.global_step,
        submission_time_sec=progress.train_state["accumulated_submission_time"],
        time_to_target_sec=hits[0] if hits else None,
    )


def _read_outcome(path: Path) -> Outcome:
    values = read_json(path)
    names = {field.name for field in dataclasses.fields(Outcome)}
    if not isinstance(values, dict) or values.keys() != names:
        raise UserError(
            f"{path} is not the outcome of a trial: remove it, and --resume_last_run "
            "makes it again from the last checkpoint."
        )
    return Outcome(**values)


def _read_seed(path: Path) -> int:
    match read_json(path):
        case {"rng_seed": int(seed)} if 0 <= seed < 2**31:
            return seed
    raise UserError(
        f"{path} has no rng_seed from 0 to 2**31 - 1: put it back, or start anew with "
        "--overwrite."
    )
