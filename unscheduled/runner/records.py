"""What the runner writes down of a trial and reads back, checked as it is read."""

import dataclasses
from numbers import Real
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_json
from unscheduled.runner import rules

# What a record has besides the bookkeeping.
_POSITIONS = ("batches_taken", "clock_now", "global_generators", "framework_generators")


@dataclasses.dataclass
class Bookkeeping:
    """What the runner carries from step to step.

    train_state: as the rules have it, times in seconds.
    eval_results: (global step, metrics) of each evaluation.
    preemption_count: how often the trial was resumed.
    csv_rows: rows written to (measurements.csv, eval_measurements.csv).
    finished: whether the trial has ended and written its last rows.
    """

    train_state: dict[str, Any] = dataclasses.field(
        default_factory=rules.new_train_state
    )
    eval_results: list[tuple[int, dict[str, float]]] = dataclasses.field(
        default_factory=list
    )
    global_step: int = 0
    preemption_count: int = 0
    csv_rows: tuple[int, int] = (0, 0)
    finished: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a trial ended; times in seconds of submission time."""

    trial: int
    reason: str
    global_step: int
    submission_time_sec: float
    time_to_target_sec: float | None

    @classmethod
    def read(cls, path: Path) -> "Outcome":
        """The outcome in `outcome.json`.

        Raises:
          UserError: for any other content.
        """
        values = read_json(path)
        names = {field.name for field in dataclasses.fields(cls)}
        if isinstance(values, dict) and values.keys() == names:
            outcome = cls(**values)
            counts = (outcome.trial, outcome.global_step)
            times = [outcome.submission_time_sec]
            if outcome.time_to_target_sec is not None:
                times.append(outcome.time_to_target_sec)
            if (
                outcome.reason in rules.REASONS
                and all(map(_is_count, counts))
                and all(_is_time(time) and time >= 0 for time in times)
            ):
                return outcome
        raise UserError(
            f"{path} is not the outcome of a trial: remove it, and --resume_last_run "
            "makes it again from the last checkpoint."
        )


def read_seed(path: Path) -> int:
    """The trial's seed in `meta_data_0.json`.

    Raises:
      UserError: where it has none.
    """
    match read_json(path):
        case {"rng_seed": seed} if _is_count(seed) and seed < 2**31:
            return seed
    raise UserError(
        f"{path} has no rng_seed from 0 to 2**31 - 1: put it back, or start anew with "
        "--overwrite."
    )


def check_record(record: dict[str, Any]) -> None:
    """Raises ValueError for a record that `Checkpoints.save` did not write."""
    for name in (*(f.name for f in dataclasses.fields(Bookkeeping)), *_POSITIONS):
        if name not in record:
            raise ValueError(f"it lacks {name!r}")
        if not _is_valid(name, record[name]):
            raise ValueError(f"its {name} is {record[name]!r:.60}")


def _is_valid(name: str, value: Any) -> bool:
    match name, value:
        case "train_state", dict():
            new = rules.new_train_state()
            flags = {key for key, default in new.items() if isinstance(default, bool)}
            return value.keys() == new.keys() and all(
                isinstance(v, bool) if key in flags else _is_time(v)
                for key, v in value.items()
            )
        case "eval_results", [*results]:
            return all(map(_is_result, results))
        case "csv_rows", [first, second]:
            return _is_count(first) and _is_count(second)
        case "global_step" | "preemption_count" | "batches_taken", _:
            return _is_count(value)
        case "clock_now", _:
            return _is_time(value)
        case ("finished", bool()) | ("global_generators", dict()):
            return True
        case "framework_generators", dict() | None:
            return True
    return False


def _is_result(result: Any) -> bool:
    match result:
        case [step, {"score": _} as metrics]:
            numbers = all(isinstance(value, Real) for value in metrics.values())
            return _is_count(step) and numbers
    return False


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 2**63  # NaN is not
