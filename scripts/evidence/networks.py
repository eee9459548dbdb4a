"""What the papers claim of networks: one run against decays, and weights averaged.

docs/evidence/networks.md has the protocol; the runs are in the table of miniature.py.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from absl import app, flags

from scripts.evidence.miniature import TABLE, run_of
from scripts.evidence.pages import publish
from scripts.run_table import Result, Run, complete, read_table
from unscheduled.benchmark.tables import markdown_table
from unscheduled.benchmark.targets import read_target

flags.DEFINE_list("tables", ["horizons", "averages"], "Which tables to train.")

ENTRY = "scripts/evidence/network"
SHARES = (0.25, 0.5, 1.0)  # of step_hint
SEEDS = range(3)
Table = dict[Run, Result]


class Algorithm(NamedTuple):
    name: str
    point: dict[str, float]
    rates: tuple[float, ...]

    @property
    def decays(self) -> bool:
        """To a horizon, so that each takes a run of its own."""
        return "cosine" in self.point or "linear" in self.point


_ADAMW, _SGD = (0.001, 0.0025, 0.005), (0.03, 0.1, 0.3)
ADAMW = (
    Algorithm("AdamW, cosine decay", {"cosine": 1}, _ADAMW),
    Algorithm("AdamW, linear decay", {"linear": 1}, _ADAMW),
    Algorithm("Schedule-Free AdamW", {"schedule_free": 1}, _ADAMW),
)
SGD = (
    Algorithm("SGD, cosine decay", {"sgd": 1, "cosine": 1}, _SGD),
    Algorithm("SGD, linear decay", {"sgd": 1, "linear": 1}, _SGD),
    Algorithm("Schedule-Free SGD", {"sgd": 1, "schedule_free": 1}, (0.5, 1.5, 5.0)),
)
HORIZONS = {
    "digits_resnet": (*ADAMW, *SGD),
    "stdlib_lm": ADAMW,
    "digits_vit": ADAMW,
}
AVERAGES = {
    "digits_resnet": tuple(
        Algorithm(f"{base}{name}", {**is_sgd, **point}, rates)
        for base, is_sgd, rates in (("AdamW", {}, _ADAMW), ("SGD", {"sgd": 1}, _SGD))
        for name, point in (
            ("", {}),
            (", Lookahead 5, .5", {"sync_period": 5}),
            (", Polyak average", {"averaged": 0.99}),
        )
    )
}


def run_at(
    workload: str, algorithm: Algorithm, rate: float, share: float, seed: int
) -> Run:
    """Until that share of `step_hint`; without a decay, the run to all of it."""
    point = {**algorithm.point, "learning_rate": rate}
    run = run_of(workload, "pytorch", ENTRY, point, seed)
    steps = round((share if algorithm.decays else 1) * run.step_hint)
    every = 2 * run.every
    return run._replace(
        steps=steps,
        step_hint=steps,
        every=every,
        until_target=False,
    )


def best_rate(table: Table, workload: str, algorithm: Algorithm) -> float | None:
    """By the last value of the whole horizon from seed 0; None if a run lacks."""
    target = read_target(workload)
    sign = 1 if target.lower_is_better else -1
    found = {}
    for rate in algorithm.rates:
        run = run_at(workload, algorithm, rate, 1.0, 0)
        if run not in table:
            return None
        value = sign * table[run].evaluations[-1].validation
        found[rate] = value if math.isfinite(value) else math.inf
    return min(found, key=found.__getitem__)


def train(cases: dict[str, tuple[Algorithm, ...]], shares: Iterable[float]) -> None:
    def finish(runs: Iterator[Run]) -> None:
        complete(TABLE, runs, flags.FLAGS.data_dir, flags.FLAGS.jobs)

    for workload, algorithms in cases.items():
        finish(run_at(workload, a, r, 1.0, 0) for a in algorithms for r in a.rates)
        table = read_table(TABLE)
        rates = {a.name: best_rate(table, workload, a) for a in algorithms}
        for seed in SEEDS:
            finish(
                run_at(workload, a, rate, share, seed)
                for a in algorithms
                if (rate := rates[a.name]) is not None
                for share in shares
            )


def value_at(result: Result, step: float) -> float:
    """The validation value of the last evaluation until a step."""
    return [e.validation for e in result.evaluations if e.step <= step + 1][-1]


def mean_of(values: list[float]) -> str:
    """Mean ± standard deviation (how many)."""
    if not values:
        return "not run"
    spread = f" ± {np.std(values, ddof=1):.2g}" if len(values) > 1 else ""
    return f"{np.mean(values):.4g}{spread} ({len(values)})"


def rows_of(
    table: Table, cases: dict[str, tuple[Algorithm, ...]], shares: Iterable[float]
) -> str:
    """A row an algorithm: its best rate, and mean ± standard deviation at horizons."""
    rows = []
    for workload, algorithms in cases.items():
        target = read_target(workload)
        for algorithm in algorithms:
            rate = best_rate(table, workload, algorithm)
            if rate is None:
                rows.append(
                    (workload, algorithm.name, "not run", *("" for _ in shares))
                )
                continue
            cells = []
            for share in shares:
                runs = [run_at(workload, algorithm, rate, share, s) for s in SEEDS]
                step = round(share * target.step_hint)
                values = [value_at(table[run], step) for run in runs if run in table]
                cells.append(mean_of(values))
            rows.append((workload, algorithm.name, f"{rate:g}", *cells))
    headings = ("workload", "algorithm", "rate", *(f"{s:g} hint" for s in shares))
    return markdown_table(headings, rows)


def main(_) -> None:
    tables = {"horizons": (HORIZONS, SHARES), "averages": (AVERAGES, (1.0,))}
    if flags.FLAGS.train:
        for name in flags.FLAGS.tables:
            train(*tables[name])
    table = read_table(TABLE)
    blocks = {name: rows_of(table, *case) for name, case in tables.items()}
    publish("networks", blocks)


if __name__ == "__main__":
    app.run(main)
