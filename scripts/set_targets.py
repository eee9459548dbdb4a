"""Sets the targets of the embedded workloads, by AlgoPerf's protocol scaled down.

docs/evidence/targets.md says how, and has the runs' summary; targets.csv beside it has
every run. Runs that are there are not trained again: the command can be stopped.
"""

import json
import math
import statistics
from typing import NamedTuple

from absl import app, flags

from scripts.evidence.pages import PAGES, publish
from scripts.run_table import Result, Run, complete, point_of, read_table
from unscheduled.benchmark.tables import markdown_table
from unscheduled.benchmark.targets import BENCHMARKS, Target, read_target
from unscheduled.benchmark.write import write_json
from unscheduled.runner.search_space import read_search_space, trial_points
from workloads_ext.registry import ALL, WORKLOADS

flags.DEFINE_list("workloads", [*ALL], "Of which to train what is missing.")

TABLE = PAGES / "targets.csv"
FRAMEWORK = "pytorch"
POINTS = 5  # of each algorithm
SEEDS = range(1, 6)  # of the best point; the search has seed 0
EVALUATIONS = 10  # of a run
_SHARE = 0.75  # of step_hint, that the protocol's runs last
_EARLY = 6  # of the evaluations after the first: docs/evidence/targets.md says why
_BUDGET = 2.0  # times what step_hint steps take here
_BEFORE_TARGET = 8  # evaluations
# arXiv 2306.07179 and its repository's archived baselines; smoothing of 0 is added, for
# the language model that came later.
_ADAM = {
    "learning_rate": {"min": 1e-4, "max": 1e-2, "scaling": "log"},
    "one_minus_beta1": {"min": 4e-3, "max": 0.1, "scaling": "log"},
    "beta2": {"feasible_points": [0.999]},
    "warmup_factor": {"feasible_points": [0.05]},
    "weight_decay": {"min": 5e-3, "max": 1.0, "scaling": "log"},
    "label_smoothing": {"feasible_points": [0.0, 0.1, 0.2]},
    "dropout_rate": {"feasible_points": [0.0, 0.1]},
}
_ADAMW = {**_ADAM, "one_minus_beta1": {"min": 0.02, "max": 0.5, "scaling": "log"}}
_SGD = read_search_space("tuning_search_spaces/nesterov.json")
SPACES = {"adamw": _ADAMW, "nadamw": _ADAM, "nesterov": _SGD, "heavy_ball": _SGD}


class Found(NamedTuple):
    """What the runs of a workload say."""

    best: Run  # of the search
    target: float
    test_target: float
    steps: list[float]  # of the seeds, to the target; inf for a miss
    ms_a_step: float


def runs(workload: str, algorithm: str, points: list[str], seeds) -> list[Run]:
    steps = round(_SHARE * read_target(workload).step_hint)
    every = steps // EVALUATIONS
    rest = (steps, steps, every, False)  # the schedule ends with the run
    return [
        Run(workload, FRAMEWORK, algorithm, point, seed, *rest)
        for point in points
        for seed in seeds
    ]


def search(workload: str) -> list[Run]:
    """All points of all algorithms."""
    found = []
    for algorithm, space in SPACES.items():
        points = [point_of(p._asdict()) for p in trial_points(space, POINTS)]
        found += runs(workload, algorithm, points, [0])
    return found


def base_of(workload: str) -> str:
    """The workload whose best point a variant takes; itself for the others."""
    folder = ALL[workload]["workload_path"]
    return folder.partition("/")[0]


def again(table: dict[Run, Result], workload: str) -> list[Run]:
    """The best point of the search, from other seeds."""
    best = best_of(table, base_of(workload))
    return runs(workload, best.entry, [best.point], SEEDS)


def wrong_rates(table: dict[Run, Result], workload: str) -> list[Run]:
    """The best point with a tenth of its learning rate, and with ten times that."""
    best = best_of(table, base_of(workload))
    found = []
    for factor in (0.1, 10):
        point = json.loads(best.point)
        point["learning_rate"] *= factor
        found += runs(workload, best.entry, [point_of(point)], SEEDS[:1])
    return found


def best_of(table: dict[Run, Result], workload: str) -> Run:
    target = read_target(workload)
    sign = 1 if target.lower_is_better else -1

    def rank(run: Run) -> float:
        value = table[run].best(target).validation
        return math.inf if math.isnan(value) else sign * value

    return min(search(workload), key=rank)


def found(table: dict[Run, Result], workload: str) -> Found:
    target = read_target(workload)
    results = [table[run] for run in again(table, workload)]
    values = [result.early(_EARLY).best(target).validation for result in results]
    value = _rounded(values, statistics.median, target)
    reached = Target(target.metric, value)
    hits = [result.first_hit(reached) for result in results]
    hits = [e for e in hits if math.isfinite(e.step)]
    worst = max if target.lower_is_better else min
    times = [r.ms_a_step for run, r in table.items() if run.workload == workload]
    return Found(
        best=best_of(table, base_of(workload)),
        target=value,
        test_target=_rounded([e.test for e in hits], worst, target),
        steps=[result.steps_to(reached) for result in results],
        ms_a_step=min(times),
    )


def _rounded(values: list[float], choose, target: Target) -> float:
    """To four places, and no harder than what it was."""
    value, sign = choose(values), 1 if target.lower_is_better else -1
    return sign * math.ceil(sign * value * 1e4) / 1e4


def write_targets(all_found: dict[str, Found]) -> None:
    """Puts what was found into the targets file; step_hint and batch sizes stay."""
    path = BENCHMARKS["ext"]
    facts = json.loads(path.read_text())
    for name, each in all_found.items():
        row, settings = facts["workloads"][name], facts["run_settings"][name]
        row["validation_target_value"] = each.target
        settings["test_target_value"] = each.test_target
        step_sec = each.ms_a_step / 1000
        budget = _BUDGET * row["step_hint"] * step_sec
        settings["max_allowed_runtime_sec"] = math.ceil(budget)
        period = _SHARE * row["step_hint"] * step_sec / _BEFORE_TARGET
        settings["eval_period_time_sec"] = max(1, round(period))
    write_json(path, facts)


def summary(table: dict[Run, Result], all_found: dict[str, Found]) -> str:
    """Of each workload: the best of each algorithm, and what the seeds gave."""
    names = (
        "workload",
        "metric",
        *SPACES,
        "best, rate",
        "target",
        "test",
        "reached at",
    )
    rows = []
    for name, each in all_found.items():
        target, bests = read_target(name), []
        for algorithm in SPACES if name in WORKLOADS else ():
            of_it = [run for run in search(name) if run.entry == algorithm]
            bests.append(_best_value(table, of_it, target))
        blank = [""] * (len(SPACES) - len(bests))
        rate = json.loads(each.best.point)["learning_rate"]
        best = f"{each.best.entry}, {rate:.2g}"
        values = (best, f"{each.target:g}", f"{each.test_target:g}")
        steps = " ".join(map(str, sorted(each.steps)))
        wrong = [_best_value(table, [r], target) for r in wrong_rates(table, name)]
        rows.append((name, target.metric, *bests, *blank, *values, steps, *wrong))
    return markdown_table((*names, "rate / 10", "rate x 10"), rows)


def _best_value(table: dict[Run, Result], runs: list[Run], target: Target) -> str:
    found = tuple(table[run].best(target) for run in runs if run in table)
    return f"{Result(found, 0.0).best(target).validation:.4g}" if found else "not run"


def _is_complete(table: dict[Run, Result], name: str) -> bool:
    has_search = {*search(base_of(name))} <= {*table}
    return has_search and {*again(table, name)} <= {*table}


def train(names: list[str]) -> None:
    """Fills the table: what is searched for depends on what was found before."""
    options = flags.FLAGS.data_dir, flags.FLAGS.jobs
    searched = [name for name in names if name in WORKLOADS]
    complete(TABLE, (run for name in searched for run in search(name)), *options)
    for of_best in (again, wrong_rates):
        table = read_table(TABLE)
        complete(TABLE, (r for name in names for r in of_best(table, name)), *options)


def main(_) -> None:
    if flags.FLAGS.train:
        train(flags.FLAGS.workloads)
    table = read_table(TABLE)
    all_found = {n: found(table, n) for n in ALL if _is_complete(table, n)}
    write_targets(all_found)
    publish("targets", {"targets": summary(table, all_found)})


if __name__ == "__main__":
    app.run(main)
