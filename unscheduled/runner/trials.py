"""The trials of a run: one in self-tuning, one a point of the space in external."""

import functools
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_json
from unscheduled.benchmark.run_files import TrialDirectory
from unscheduled.benchmark.write import write_json
from unscheduled.runner import rules, seeds
from unscheduled.runner.loop import Settings, Trial
from unscheduled.runner.search_space import as_hyperparameters, is_finite


class Outcome(NamedTuple):
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
    points: list[Any],  # hyperparameters by index, None in self-tuning
    indices: range,  # of the trials to run; trial n has index n - 1
    rng_seed: int | None,  # None for one from the hardware
    flags: dict[str, Any],  # to be recorded
    console: Console | None = None,
) -> list[Outcome]:
    """Runs the trials one after the other, each in its own folder with its own seed."""
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
                trial.run(flags, console)
            outcome = _outcome(index + 1, trial, settings)
            if ranks.is_first:
                write_json(directory.outcome, outcome._asdict())
        outcomes.append(outcome)
        console.print(str(outcome), highlight=False, markup=False, soft_wrap=True)
    return outcomes


def _begin(
    directory: TrialDirectory, point: Any, rng_seed: int | None, index: int
) -> tuple[int, dict[str, Any] | None, Outcome | None]:
    """A trial's seed, hyperparameters and outcome: its folder's, else new or None."""
    directory.path.mkdir(exist_ok=True)
    seed, values, outcome = seeds.trial_seed(rng_seed, index), None, None
    if directory.outcome.exists():
        outcome = Outcome(**_read(directory.outcome, _OUTCOME))
    if directory.meta_data(0).exists():
        meta_data = _read(directory.meta_data(0), {"rng_seed": _is_count}, True)
        seed = meta_data["rng_seed"]
    if point is not None:
        expected = point._asdict()
        if not directory.hparams.exists():
            write_json(directory.hparams, expected)
        checks = {n: functools.partial(_is_like, v) for n, v in expected.items()}
        values = _read(directory.hparams, checks)
    return seed, values, outcome


def _read(
    path: Path, checks: dict[str, Callable[[Any], bool]], has_more: bool = False
) -> dict[str, Any]:
    """The values of these names in a JSON object, where each passes its check."""
    values = read_json(path)
    if not isinstance(values, dict):
        values = {}
    for name in checks if has_more else {**checks, **values}:
        check = checks.get(name)
        if name not in values or check is None or not check(values[name]):
            found = reprlib.repr(values[name]) if name in values else "missing"
            raise UserError(
                f"{path} is damaged ({name!r} is {found}): put it back, or start anew "
                "with --overwrite."
            )
    return values


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 2**63


def _is_like(expected: Any, value: Any) -> bool:
    """Whether a value can be the hyperparameter that the search space has as this."""
    are_numbers = {type(each) in (int, float) for each in (expected, value)}
    return len(are_numbers) == 1 and is_finite(value)


_OUTCOME = {
    "trial": _is_count,
    "reason": rules.REASONS.__contains__,
    "global_step": _is_count,
    "submission_time_sec": _is_time,
    "time_to_target_sec": lambda value: value is None or _is_time(value),
}


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
