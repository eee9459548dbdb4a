"""Compares refined_schedule_free with NadamW and with the published Schedule-Free.

The protocol, and how its setting was found, is docs/evidence/time_to_target.md. The
runs are in the table of miniature.py.
"""

import math

import numpy as np
from absl import app, flags

from scripts.evidence import time_to_target
from scripts.evidence.miniature import TABLE, run_of, spread, steps
from scripts.evidence.miniature import as_published as others_as_published
from scripts.evidence.miniature import runs_of as others_runs
from scripts.evidence.pages import publish
from scripts.evidence.time_to_target import CONFIRMING, TUNING, cost
from scripts.run_table import Result, Run, complete, read_table
from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.tables import markdown_table
from workloads_ext import registry

FLAGSHIP = "refined_schedule_free"
FIRST_CHOICE = "without Muon"  # run in PyTorch alone
OTHERS = ("NadamW", "SF v2")
SEEDS = {"pytorch": range(5), "jax": range(3)}
VARIANT_SEEDS = range(2)
_RESAMPLES = 10_000
_WORKLOADS = {"tuning": TUNING, "held back": CONFIRMING, "all nine": registry.WORKLOADS}


def runs_of(workload: str, name: str, framework: str, seeds: range) -> list[Run]:
    """An entry's, without dropout."""
    if name == FIRST_CHOICE:
        return time_to_target.runs_of(workload, time_to_target.FIRST_CHOICE, seeds)
    if name != FLAGSHIP:
        return others_runs(workload, name, framework, seeds)
    point = {"dropout_rate": 0.0}
    return [run_of(workload, framework, FLAGSHIP, point, seed) for seed in seeds]


def as_published(workload: str, name: str) -> list[Run]:
    """With the dropout that an entry has, from one seed."""
    if name != FLAGSHIP:
        return others_as_published(workload, name)
    return [run_of(workload, "pytorch", FLAGSHIP, {}, 0)]


def all_runs() -> list[Run]:
    names = (FLAGSHIP, *OTHERS)
    runs = []
    for framework, seeds in SEEDS.items():
        for seed in seeds:
            once = range(seed, seed + 1)
            for w in registry.WORKLOADS:
                runs += [r for n in names for r in runs_of(w, n, framework, once)]
    for w in registry.VARIANTS:
        runs += [r for n in names for r in runs_of(w, n, "pytorch", VARIANT_SEEDS)]
    return runs + [
        r for w in registry.WORKLOADS for n in names for r in as_published(w, n)
    ]


def log_ratios(
    table: dict[Run, Result], workload: str, other: str, framework: str, seeds: range
) -> np.ndarray:
    """log(the flagship's steps / the other's) of each seed that has both."""
    names = (FLAGSHIP, other)
    pairs = zip(*(runs_of(workload, n, framework, seeds) for n in names), strict=True)
    found = [pair for pair in pairs if all(run in table for run in pair)]
    return np.log([cost(table, a) / cost(table, b) for a, b in found])


def interval(logs: list[np.ndarray]) -> str:
    """Geometric mean over workloads and, of seeds drawn anew, 95% of such means."""
    rng = np.random.default_rng(0)
    drawn = [rng.choice(each, (_RESAMPLES, len(each))).mean(1) for each in logs]
    means = np.mean(drawn, 0)
    low, high = np.exp(np.quantile(means, [0.025, 0.975]))
    middle = math.exp(np.mean([each.mean() for each in logs]))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def comparison(
    table: dict[Run, Result],
    framework: str,
    seeds: range,
    groups: dict,
    others: tuple[str, ...] = OTHERS,
) -> str:
    """A row a workload: steps of all, and the flagship's ratios; then means."""
    names = (FLAGSHIP, *others)
    rows, logs = [], {}
    for workload in dict.fromkeys(w for group in groups.values() for w in group):
        found = [steps(table, runs_of(workload, n, framework, seeds)) for n in names]
        cells = []
        for other in others:
            each = log_ratios(table, workload, other, framework, seeds)
            logs[workload, other] = each
            cells.append(f"{math.exp(each.mean()):.2f}" if len(each) else "not run")
        rows.append((workload, *map(spread, found), *cells))
    for name, group in groups.items():
        means = []
        for other in others:
            each = [logs[w, other] for w in group]
            means.append(interval(each) if all(map(len, each)) else "not run")
        rows.append((f"geometric mean, {name}", *("" for _ in names), *means))
    ratios = (f"of {other}" for other in others)
    return markdown_table(("workload", *names, *ratios), rows)


def with_dropout(table: dict[Run, Result]) -> str:
    """Steps of the three with the dropout that they have as entries."""
    names = (FLAGSHIP, *OTHERS)
    rows = [
        (w, *(spread(steps(table, as_published(w, n))) for n in names))
        for w in registry.WORKLOADS
    ]
    return markdown_table(("workload", *names), rows)


def main(_) -> None:
    if flags.FLAGS.train:
        complete(TABLE, all_runs(), flags.FLAGS.data_dir, flags.FLAGS.jobs)
    table = read_table(TABLE)
    blocks = {f: comparison(table, f, SEEDS[f], _WORKLOADS) for f in FRAMEWORKS}
    variants = {"variants": [*registry.VARIANTS]}
    blocks["variants"] = comparison(table, "pytorch", VARIANT_SEEDS, variants)
    blocks["first"] = comparison(
        table, "pytorch", SEEDS["pytorch"], _WORKLOADS | variants, (FIRST_CHOICE,)
    )
    blocks["dropout"] = with_dropout(table)
    publish(FLAGSHIP, blocks)


if __name__ == "__main__":
    app.run(main)
