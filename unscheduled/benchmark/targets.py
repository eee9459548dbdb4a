"""The targets of a benchmark: which workloads count, and what a run must reach."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.metrics import METRICS
from unscheduled.benchmark.read import read_json
from unscheduled.benchmark.text import printable

_TARGETS = Path(__file__).parent / "targets"
_MAX_NAME, _MAX_WORKLOADS, _MAX_NUMBER = 200, 1_000, 1e300

# In the order in which `auto` tries them.
BENCHMARKS = {
    "ext": _TARGETS / "ext.json",
    "0.6": _TARGETS / "algoperf_v06.json",
    "0.5": _TARGETS / "algoperf_v05.json",
    "rolling": _TARGETS / "algoperf_rolling.json",
}


@dataclass(frozen=True)
class Target:
    """What the validation metric `metric` of a workload must reach.

    Attributes:
      max_allowed_runtime_sec: budget of a run under the external tuning ruleset; NaN
        where the targets file does not say.
      step_hint: steps that the benchmark's own baseline was given; NaN where the file
        does not say.
      test_value: the target of the test split, and
      eval_period_time_sec: seconds between evaluations, and
      batch_size: of a submission that has none for the workload; NaN all three where
        the file does not say, which ours does for embedded workloads.
    """

    metric: str
    value: float
    max_allowed_runtime_sec: float = math.nan
    step_hint: float = math.nan
    test_value: float = math.nan
    eval_period_time_sec: float = math.nan
    batch_size: float = math.nan

    def __post_init__(self):
        if self.metric not in METRICS:
            choices = ", ".join(sorted(METRICS))
            shown = printable(self.metric, 40)
            raise UserError(f"unknown metric {shown!r}, choose from {choices}")

    @property
    def lower_is_better(self) -> bool:
        return METRICS[self.metric].lower_is_better

    def reached(self, values: np.ndarray, split: str = "validation") -> np.ndarray:
        """Where `values` are as good as a split's target or better; NaN never is.

        >>> Target("wer", 0.1).reached(np.array([0.2, 0.1, np.nan]))
        array([False,  True, False])
        """
        target = {"validation": self.value, "test": self.test_value}[split]
        return values <= target if self.lower_is_better else values >= target

    def best(self, values: np.ndarray) -> float:
        """The best of the metric's values, shape (n,); NaN where none is finite.

        >>> Target("loss", 0.1).best(np.array([0.3, np.nan, 0.2]))
        0.2
        """
        values = values[np.isfinite(values)]
        best = values.min if self.lower_is_better else values.max
        return float(best()) if len(values) else math.nan

    def __str__(self) -> str:
        sign = "<=" if self.lower_is_better else ">="
        return f"validation {self.metric} {sign} {self.value:g}"


@dataclass(frozen=True)
class Benchmark:
    """One version of the benchmark: its workloads and their targets.

    Attributes:
      held_out: held-out variant -> the base workload that it decides about.
      notes: sentences about this version, from its file.
    """

    version: str
    base: tuple[str, ...]
    held_out: dict[str, str]
    targets: dict[str, Target]
    notes: tuple[str, ...] = ()

    @property
    def workloads(self) -> tuple[str, ...]:
        """The workloads that count, base workloads first."""
        return (*self.base, *self.held_out)


def choose_benchmark(name: str, workloads: Iterable[str]) -> Benchmark:
    """Load the benchmark called `name`, for logs of `workloads`.

    `auto` takes the first of `BENCHMARKS` that scores all of the workloads, apart from
    those that none scores. Another name is one of `BENCHMARKS` or the path of a targets
    file in the official format.

    Raises:
      UserError: no such benchmark, or it scores none of the workloads.
    """
    found = set(workloads)
    if name == "auto":
        return _first_with_all(found)
    if name in BENCHMARKS:
        benchmark = load_benchmark(BENCHMARKS[name])
    elif Path(name).is_file():
        benchmark = load_benchmark(Path(name))
    else:
        raise UserError(
            f"Unknown benchmark {name!r}: choose from auto, {', '.join(BENCHMARKS)}, "
            "or name a targets file."
        )
    if not found & set(benchmark.workloads):
        raise UserError(
            f"Benchmark {name} scores none of the workloads found "
            f"({_listed(found)}), only {_listed(benchmark.workloads)}."
        )
    return benchmark


def load_benchmark(path: Path) -> Benchmark:
    """Read a targets file in the official format, `workload_targets*.json`.

    Where the file has `run_settings`, with a `max_allowed_runtime_sec` by workload,
    that is the budget; the official tool passes over it.

    Raises:
      UserError: the file is not of that format.
    """
    facts = read_json(path)
    try:
        base = _workloads(facts, "base_workloads")
        held_out = _workloads(facts, "held_out_workloads")
        return Benchmark(
            version=printable(facts["benchmark_version"], _MAX_NAME),
            base=base,
            held_out={variant: _base_of(variant, base) for variant in held_out},
            targets={
                workload: _target(workload, facts) for workload in (*base, *held_out)
            },
            notes=_notes(facts.get("notes", [])),
        )
    except KeyError as error:
        raise UserError(f"{path} is not a targets file: {error} missing.") from None
    except (TypeError, AttributeError, UserError) as error:
        raise UserError(f"{path} is not a targets file: {error}.") from None


def read_target(workload: str, path: Path = BENCHMARKS["ext"]) -> Target:
    """The target of an embedded workload, with all that a run of it needs.

    Raises:
      UserError: the file has none, or not all of it.
    """
    targets = load_benchmark(path).targets
    if workload not in targets:
        raise UserError(f"{path} has targets for {_listed(targets)}, not {workload!r}.")
    unsaid = [name for name, value in vars(targets[workload]).items() if value != value]
    if unsaid:
        raise UserError(f"{path} does not say {', '.join(unsaid)} of {workload}.")
    return targets[workload]


def budgets_sec(
    benchmark: Benchmark, workloads: Sequence[str], budget_factor: float | None
) -> np.ndarray:
    """Seconds that a run was given on each of `workloads`, shape (W,).

    Args:
      budget_factor: times `max_allowed_runtime_sec`: 1 for external tuning, 1.5 for
        self-tuning, 3 in version 0.5; where it is None, the budgets are unknown, NaN.
    """
    factor = math.nan if budget_factor is None else budget_factor
    targets = [benchmark.targets[workload] for workload in workloads]
    return factor * np.array([t.max_allowed_runtime_sec for t in targets], float)


def _first_with_all(found: set[str]) -> Benchmark:
    benchmarks = {name: load_benchmark(path) for name, path in BENCHMARKS.items()}
    known = {w for benchmark in benchmarks.values() for w in benchmark.workloads}
    for benchmark in benchmarks.values():
        if found & known <= set(benchmark.workloads):
            return benchmark
    valid = "; ".join(
        f"{name}: {_listed(benchmark.workloads)}"
        for name, benchmark in benchmarks.items()
    )
    raise UserError(
        f"No one benchmark scores all of {_listed(found)}: say which one to score "
        f"({valid})."
    )


def _target(workload: str, facts: dict) -> Target:
    row = {**facts["workloads"][workload]}  # which raises where it is no mapping
    settings = {**facts.get("run_settings", {}).get(workload, {})}

    def number(name: str, value: Any) -> float:
        if type(value) not in (int, float) or abs(value) > _MAX_NUMBER:
            shown = printable(value, 40)
            raise UserError(f"{name} of {workload} is {shown!r}, not a number")
        return value

    def positive(name: str) -> float:
        value = number(name, settings.get(name, math.nan))
        if value <= 0:
            raise UserError(f"{name} of {workload} is {value}")
        return value

    target = Target(
        metric=row["target_metric_name"],
        value=number("validation_target_value", row["validation_target_value"]),
        step_hint=number("step_hint", row.get("step_hint", math.nan)),
        test_value=number(
            "test_target_value", settings.get("test_target_value", math.nan)
        ),
        max_allowed_runtime_sec=positive("max_allowed_runtime_sec"),
        eval_period_time_sec=positive("eval_period_time_sec"),
        batch_size=positive("batch_size"),
    )
    if math.isnan(target.value):
        raise UserError(f"validation_target_value of {workload} is NaN")
    return target


def _notes(notes: Any) -> tuple[str, ...]:
    if not isinstance(notes, list) or not all(isinstance(n, str) for n in notes):
        raise UserError("notes is not a list of sentences")
    return tuple(map(printable, notes))


def _workloads(facts: Any, name: str) -> tuple[str, ...]:
    """The names of workloads that a targets file lists as `name`."""
    names = facts[name]
    are_names = isinstance(names, list) and all(
        isinstance(each, str) and each.isprintable() and 0 < len(each) <= _MAX_NAME
        for each in names
    )
    if not are_names or len(names) > _MAX_WORKLOADS or len(set(names)) < len(names):
        raise UserError(f"{name} is not a list of different names")
    return tuple(names)


def _base_of(variant: str, base: Sequence[str]) -> str:
    """The longest base name that `variant` extends, as in ogbg_gelu of ogbg."""
    parents = [name for name in base if variant.startswith(f"{name}_")]
    if not parents:
        raise UserError(f"held-out workload {variant!r} extends no base workload")
    return max(parents, key=len)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
