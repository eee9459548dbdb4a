"""The metrics and targets of a benchmark: which workloads count, what is reached."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_json
from unscheduled.benchmark.text import printable


class Metric(NamedTuple):
    """A metric's direction, and the range that its values can be in."""

    lower_is_better: bool
    low: float = -math.inf
    high: float = math.inf


METRICS = {
    "loss": Metric(True),
    "ce_loss": Metric(True),
    "ctc_loss": Metric(True),
    "l1_loss": Metric(True),
    "error_rate": Metric(True, 0.0, 1.0),
    "wer": Metric(True, 0.0),
    "ppl": Metric(True, 0.0),
    "accuracy": Metric(False, 0.0, 1.0),
    "bleu": Metric(False, 0.0, 100.0),
    "mean_average_precision": Metric(False, 0.0, 1.0),
    "ssim": Metric(False, -1.0, 1.0),
}

_TARGETS = Path(__file__).parent / "targets"

BENCHMARKS = {  # in the order in which `auto` tries them
    "ext": _TARGETS / "ext.json",
    "0.6": _TARGETS / "algoperf_v06.json",
    "0.5": _TARGETS / "algoperf_v05.json",
    "rolling": _TARGETS / "algoperf_rolling.json",
}
_POSITIVE = ("max_allowed_runtime_sec", "eval_period_time_sec", "batch_size")


@dataclass(frozen=True)
class Target:
    """What a workload's `metric` must reach; NaN is what the targets file lacks."""

    metric: str
    value: float
    max_allowed_runtime_sec: float = math.nan  # under the external tuning ruleset
    step_hint: float = math.nan  # what the benchmark's own baseline was given
    test_value: float = math.nan
    eval_period_time_sec: float = math.nan
    batch_size: float = math.nan  # for submissions that have none for the workload

    def __post_init__(self):
        if self.metric not in METRICS:
            choices = ", ".join(sorted(METRICS))
            raise UserError(f"unknown metric {self.metric!r}, choose from {choices}")

    @property
    def lower_is_better(self) -> bool:
        return METRICS[self.metric].lower_is_better

    def reached(self, values: np.ndarray, split: str = "validation") -> np.ndarray:
        """Where `values` are as good as a split's target or better; NaN never is."""
        target = {"validation": self.value, "test": self.test_value}[split]
        return values <= target if self.lower_is_better else values >= target

    def best(self, values: np.ndarray) -> float:
        """The best of the metric's values, shape (n,); NaN where none is finite."""
        values = values[np.isfinite(values)]
        best = values.min if self.lower_is_better else values.max
        return float(best()) if len(values) else math.nan

    def __str__(self) -> str:
        sign = "<=" if self.lower_is_better else ">="
        return f"validation {self.metric} {sign} {self.value:g}"


@dataclass(frozen=True)
class Benchmark:
    version: str
    base: tuple[str, ...]
    held_out: dict[str, str]  # variant -> the base workload that it decides about
    targets: dict[str, Target]
    notes: tuple[str, ...] = ()

    @property
    def workloads(self) -> tuple[str, ...]:  # that count
        return (*self.base, *self.held_out)


def choose_benchmark(name: str, workloads: Iterable[str]) -> Benchmark:
    """Loads the benchmark called `name`, for logs of `workloads`.

    `auto` takes the first of `BENCHMARKS` that scores all of the workloads, apart from
    those that none scores. Another name is one of `BENCHMARKS` or the path of a targets
    file in the official format.
    """
    found = set(workloads)
    if name == "auto":
        benchmarks = [load_benchmark(path) for path in BENCHMARKS.values()]
        scored = found & {w for b in benchmarks for w in b.workloads}
        for benchmark in benchmarks:
            if scored <= {*benchmark.workloads}:
                return benchmark
        raise UserError(
            f"No one benchmark scores all of {_listed(found)}: say which one to score, "
            f"of {', '.join(BENCHMARKS)}."
        )
    path = BENCHMARKS.get(name, Path(name))
    if not path.is_file():
        raise UserError(
            f"Unknown benchmark {name!r}: choose from auto, {', '.join(BENCHMARKS)}, "
            "or name a targets file."
        )
    benchmark = load_benchmark(path)
    if not found & {*benchmark.workloads}:
        raise UserError(
            f"Benchmark {name} scores none of the workloads found "
            f"({_listed(found)}), only {_listed(benchmark.workloads)}."
        )
    return benchmark


def load_benchmark(path: Path) -> Benchmark:
    """Reads a targets file in the official format, `workload_targets*.json`.

    Ours have `run_settings` of each workload as well, which the official tool ignores.
    """
    facts = read_json(path)
    try:
        base, held_out = facts["base_workloads"], facts["held_out_workloads"]
        notes = facts.get("notes", [])
        if not all(isinstance(each, list) for each in (base, held_out, notes)):
            raise UserError("workloads and notes must be lists")
        if len({*base, *held_out}) < len(base) + len(held_out):
            raise UserError("it lists a workload twice")
        return Benchmark(
            version=printable(facts["benchmark_version"]),
            base=tuple(base),
            held_out={variant: _base_of(variant, base) for variant in held_out},
            targets={name: _target(name, facts) for name in (*base, *held_out)},
            notes=tuple(map(printable, notes)),
        )
    except (KeyError, TypeError, AttributeError, RecursionError, UserError) as error:
        lacks = " missing" if isinstance(error, KeyError) else ""
        raise UserError(f"{path} is not a targets file: {error}{lacks}.") from None


def read_target(workload: str, path: Path = BENCHMARKS["ext"]) -> Target:
    """The target of an embedded workload, with all that a run of it needs."""
    targets = load_benchmark(path).targets
    if workload not in targets:
        raise UserError(f"{path} has targets for {_listed(targets)}, not {workload!r}.")
    missing = [name for name, v in vars(targets[workload]).items() if v != v]
    if missing:
        raise UserError(f"{path} does not say {', '.join(missing)} of {workload}.")
    return targets[workload]


def budgets_sec(
    benchmark: Benchmark, workloads: Sequence[str], budget_factor: float | None
) -> np.ndarray:
    """Seconds that a run was given on each of `workloads`; NaN where unknown."""
    factor = math.nan if budget_factor is None else budget_factor
    given = [benchmark.targets[each].max_allowed_runtime_sec for each in workloads]
    return factor * np.array(given, float)


def _target(workload: str, facts: dict) -> Target:
    row = facts["workloads"][workload]
    values = {**row, **facts.get("run_settings", {}).get(workload, {})}

    def number(name: str) -> float:
        value = values.get(name, math.nan)
        is_number = type(value) in (int, float) and abs(value) < 1e300
        if not is_number and value == value:
            raise UserError(f"{name} of {workload} is {value!r:.40}, not a number")
        if name in _POSITIVE and value <= 0:
            raise UserError(f"{name} of {workload} is {value}")
        return value

    target = Target(
        metric=row["target_metric_name"],
        value=number("validation_target_value"),
        test_value=number("test_target_value"),
        step_hint=number("step_hint"),
        **{name: number(name) for name in _POSITIVE},
    )
    if math.isnan(target.value):
        raise UserError(f"validation_target_value of {workload} is missing or NaN")
    return target


def _base_of(variant: str, base: Sequence[str]) -> str:
    """The longest base name that `variant` extends, as in ogbg_gelu of ogbg."""
    parents = [name for name in base if variant.startswith(f"{name}_")]
    if not parents:
        raise UserError(f"held-out workload {variant!r} extends no base workload")
    return max(parents, key=len)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
