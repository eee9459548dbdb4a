"""The trials of a run: one in self-tuning, one a point of the space in external."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.benchmark.text import printable
from unscheduled.benchmark.write import write_json
from unscheduled.runner import meta_data, rules, seeds
from unscheduled.runner.loop import Settings, Trial
from unscheduled.runner.measurements import Logger, MetricsLogger, NoLogger
from unscheduled.runner.progress import ProgressLine
from unscheduled.runner.records import Outcome, read_seed
from unscheduled.runner.search_space import as_hyperparameters, read_point


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
      settings: the run's.
      experiment: the folder of the trials.
      points: hyperparameters by index, None in self-tuning.
      indices: which of them to run; trial n has index n - 1.
      rng_seed: what the seeds of the trials are derived from; None for one from the
        hardware.
      flags: as given, for `flags_<n>.json`.
      start_wandb: makes a wandb run, or None.
      console: where progress goes; by default standard output, of the first rank.

    Raises:
      UserError: where a trial can't go on; those before it are whole.
    """
    ranks = settings.ranks
    console = console or Console(quiet=not ranks.is_first)
    outcomes = []
    for index in indices:
        directory = TrialDirectory(experiment / f"trial_{index + 1}")
        begin = functools.partial(_begin, directory, points[index], rng_seed, index)
        seed, values, outcome = ranks.from_first(begin)
        if outcome is None:
            hyperparameters = values and as_hyperparameters(values)
            trial = Trial(settings, directory, hyperparameters, seed)
            if not trial.books.finished:
                wandb_run = None
                if start_wandb and ranks.is_first:
                    wandb_run = start_wandb(directory, hyperparameters)
                _run_trial(settings, directory, trial, seed, flags, wandb_run, console)
            outcome = _outcome(index + 1, trial, settings)
            if ranks.is_first:
                write_json(directory.outcome, dataclasses.asdict(outcome))
        outcomes.append(outcome)
        console.print(_describe(outcome), highlight=False, markup=False, soft_wrap=True)
    return outcomes


def _begin(
    directory: TrialDirectory, point: Any, rng_seed: int | None, index: int
) -> tuple[int, dict[str, Any] | None, Outcome | None]:
    """What a trial's folder, made if missing, says of it: for all ranks.

    Returns:
      (its seed, its hyperparameters or None, its outcome or None if it has to run).
    """
    directory.path.mkdir(exist_ok=True)
    outcome = None
    if directory.outcome.exists():
        outcome = Outcome.read(directory.outcome)
    seed = _trial_seed(directory, rng_seed, index)
    return seed, _trial_hyperparameters(directory, point), outcome


def _run_trial(
    settings: Settings,
    directory: TrialDirectory,
    trial: Trial,
    seed: int,
    flags: dict[str, Any],
    wandb_run: Any,
    console: Console,
) -> None:
    """Runs a trial that has not ended, with its logs and its progress line."""
    logger: Logger = NoLogger()
    if settings.ranks.is_first:
        count = trial.books.preemption_count
        meta = meta_data.collect(settings.workload, seed, settings.backend.describe())
        write_json(directory.meta_data(count), meta)
        write_json(directory.flags(count), flags)
        logger = MetricsLogger(directory, trial.books.csv_rows, wandb_run)
    try:
        with ProgressLine(settings.workload, settings.budget_sec, console) as progress:
            trial.run(logger, progress)
    finally:
        logger.finish()


def _trial_seed(directory: TrialDirectory, rng_seed: int | None, index: int) -> int:
    """The seed that the trial began with, else a new one."""
    meta = directory.meta_data(0)
    if meta.exists():
        return read_seed(meta)
    if rng_seed is None:
        rng_seed = seeds.hardware_seed()
    return seeds.trial_seed(rng_seed, index)


def _trial_hyperparameters(
    directory: TrialDirectory, point: Any
) -> dict[str, Any] | None:
    """The hyperparameters that the trial began with, else the point's, written."""
    if point is None:
        return None
    if not directory.hparams.exists():
        write_json(directory.hparams, point._asdict())
    return read_point(directory.hparams)


def _outcome(number: int, trial: Trial, settings: Settings) -> Outcome:
    hits = [
        results["score"]
        for _, results in trial.books.eval_results
        if settings.workload.has_reached_validation_target(results)
    ]
    return Outcome(
        trial=number,
        reason=rules.why_ended(trial.books.train_state),
        global_step=trial.books.global_step,
        submission_time_sec=trial.books.train_state["accumulated_submission_time"],
        time_to_target_sec=hits[0] if hits else None,
    )


def _describe(outcome: Outcome) -> str:
    target = outcome.time_to_target_sec
    reached = "missed" if target is None else f"reached after {target:.2f} s"
    return (
        f"trial {outcome.trial}: {printable(outcome.reason)} at step "
        f"{outcome.global_step}, {outcome.submission_time_sec:.2f} s of submission "
        f"time; validation target {reached}"
    )
