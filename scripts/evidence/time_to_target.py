"""Looks for a better setting of Schedule-Free AdamW, by steps to the targets.

docs/evidence/time_to_target.md is the protocol, written before the first run. The runs
are in the table of miniature.py, which has those of the published settings.
"""

import itertools
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from absl import app, flags

from scripts.evidence.miniature import TABLE, run_of
from scripts.evidence.miniature import runs_of as published_runs
from scripts.evidence.pages import publish
from scripts.run_table import Result, Run, complete, read_table
from unscheduled.benchmark.tables import markdown_table
from unscheduled.benchmark.targets import read_target
from unscheduled.entries.echoing import steps_a_batch
from workloads_ext import registry

flags.DEFINE_list("rounds", ["one change"], "Which rounds to train.")

CONFIRMING = ("flights_dlrm", "digits_vit", "strips_conformer")
TUNING = tuple(w for w in registry.WORKLOADS if w not in CONFIRMING)
ENTRY = "scripts/evidence/candidate"
_MISS = 2.0  # times the budget, that a miss counts as

Point = Mapping[str, float | None]


class Round(NamedTuple):
    candidates: dict[str, Point]
    seeds: range
    base: Point | None = None  # what they are compared with; None for the published
    goes_on: float = 0.97  # the highest score over the seeds so far that gets another


_SCHEDULE_FREE_WINDOW = 10.0  # C of Algorithm 1 at the published β1 of 0.9
_SHORTER = {"decoupling_c": 5 * _SCHEDULE_FREE_WINDOW}
_OWN = {"label_smoothing": None}  # the workload's
_WINDOW_OWN = {**_SHORTER, **_OWN}
FIRST_CHOICE = {**_WINDOW_OWN, "learning_rate": 0.005}
_LINEAR_MUON = {**FIRST_CHOICE, "linear_muon": 1}
CHOSEN = {**_LINEAR_MUON, "muon": 1.0}
ROUNDS = {
    "one change": Round(
        {
            "no smoothing": {"label_smoothing": 0.0},
            "r .75": {"r": 0.75},
            "Muon for matrices": {"muon": 1.0},
            "rate .005": {"learning_rate": 0.005},
            "window C 5x": {"decoupling_c": 5 * _SCHEDULE_FREE_WINDOW},
            "β1 .95": {"one_minus_beta1": 0.05},
            "r 2": {"r": 2.0},
            "Muon, three times the rate": {"muon": 3.0},
            "decay .02": {"weight_decay": 0.02},
            "warmup .1": {"warmup_factor": 0.1},
            "window C 20x": {"decoupling_c": 20 * _SCHEDULE_FREE_WINDOW},
            "RAdam for warmup": {"rectified": 1},
            "β2 .98": {"beta2": 0.98},
            "Lookahead 5, .5": {"sync_period": 5},
            "smoothing .1": {"label_smoothing": 0.1},
            "rate .00125": {"learning_rate": 0.00125},
            "rate .01": {"learning_rate": 0.01},
            "warmup .05": {"warmup_factor": 0.05},
            "β1 .98": {"one_minus_beta1": 0.02},
            "β2 .999": {"beta2": 0.999},
            "r .5": {"r": 0.5},
            "window C 2.5x": {"decoupling_c": 2.5 * _SCHEDULE_FREE_WINDOW},
            "no decay": {"weight_decay": 0.0},
            "decay .3": {"weight_decay": 0.3},
            "clipped at 1": {"grad_clip": 1.0},
            "Muon, no momentum": {"muon": 1.0, "muon_momentum": 0.0},
            "Lookahead 5, .8": {"sync_period": 5, "slow_step_size": 0.8},
        },
        range(2),
    ),
    "together": Round(
        {
            "window C 5x": _SHORTER,
            "and r 2": {**_SHORTER, "r": 2.0},
            "and own smoothing": _WINDOW_OWN,
            "and rate .005": {**_SHORTER, "learning_rate": 0.005},
            "and rate .005, own smoothing": FIRST_CHOICE,
            "C 10x, rate .005, own smoothing": {
                **FIRST_CHOICE,
                "decoupling_c": 10 * _SCHEDULE_FREE_WINDOW,
            },
            "rate .005, evaluated at an average of window C 5x": {
                "learning_rate": 0.005,
                "evaluated": 5.0,
            },
        },
        range(3),
    ),
    "with Muon": Round(
        {
            "rate .0025, Muon three times that": {**_WINDOW_OWN, "muon": 3.0},
            "rate .005, Muon the same": {**FIRST_CHOICE, "muon": 1.0},
            "rate .005, AdamW's step from Muon's": {**FIRST_CHOICE, "adaptive_muon": 1},
            "rate .0025, AdamW's step from Muon's": {
                **_WINDOW_OWN,
                "adaptive_muon": 1,
            },
            "rate .005, Muon the same, linear layers": CHOSEN,
            "rate .005, Muon twice that, linear layers": {**_LINEAR_MUON, "muon": 2.0},
            "rate .005, Muon half that, linear layers": {**_LINEAR_MUON, "muon": 0.5},
            "rate .005, AdamW's step from Muon's, linear layers": {
                **_LINEAR_MUON,
                "adaptive_muon": 1,
            },
            "no Muon, rate .005": FIRST_CHOICE,
            "no Muon, rate .005, warmup .05": {**FIRST_CHOICE, "warmup_factor": 0.05},
            "no Muon, rate .0035": {**FIRST_CHOICE, "learning_rate": 0.0035},
            "no Muon, rate .005, clipped at 1": {**FIRST_CHOICE, "grad_clip": 1.0},
        },
        range(3),
        goes_on=0.6,
    ),
    "around the choice": Round(
        {
            label: {**CHOSEN, **change}
            for label, change in {
                "decay at z": {"decay_at_z": 1},
                "β1 .95": {"one_minus_beta1": 0.05},
                "r .5": {"r": 0.5},
                "window C 2.5x": {"decoupling_c": 2.5 * _SCHEDULE_FREE_WINDOW},
                "clipped at 1": {"grad_clip": 1.0},
                "β2 .98": {"beta2": 0.98},
                "no decay": {"weight_decay": 0.0},
                "β1 .98": {"one_minus_beta1": 0.02},
                "β2 .999": {"beta2": 0.999},
                "warmup .05": {"warmup_factor": 0.05},
                "decay .3": {"weight_decay": 0.3},
                "Muon, momentum .95": {"muon_momentum": 0.95},
                "Muon, no momentum": {"muon_momentum": 0.0},
                "Polyak rate": {"polyak": 1.0},
                "Polyak rate, a third": {"polyak": 1 / 3},
                "window C 10x": {"decoupling_c": 10 * _SCHEDULE_FREE_WINDOW},
                "no warmup": {"warmup_factor": 0.0},
                "Polyak rate, no Muon": {"muon": 0.0, "polyak": 1.0},
            }.items()
        },
        range(3),
        CHOSEN,
    ),
    "echoes": Round(
        {
            f"echo {count}{' apart' * bool(spacing)}": {
                **FIRST_CHOICE,
                "echo": count,
                "spacing": spacing,
            }
            for count, spacing in ((2, 0), (3, 0), (4, 0), (2, 4), (3, 4), (4, 4))
        },
        range(1),
        FIRST_CHOICE,
    ),
    "echoes further apart": Round(
        {
            f"echo {count}, {spacing} apart": {
                **CHOSEN,
                "echo": count,
                "spacing": spacing,
            }
            for spacing, count in itertools.product((4, 8, 16), (2, 3))
        },
        range(2),
        CHOSEN,
        goes_on=math.inf,
    ),
}


def runs_of(workload: str, point: Point, seeds: range) -> list[Run]:
    """A candidate's, without dropout, as the published setting's here."""
    point = {**point, "dropout_rate": 0.0}
    return [run_of(workload, "pytorch", ENTRY, point, seed) for seed in seeds]


def base_runs(workload: str, base: Point | None, seeds: range) -> list[Run]:
    if base is None:
        return published_runs(workload, "SF v2", seeds=seeds)
    return runs_of(workload, base, seeds)


def train(name: str) -> None:
    """Trains what a round lacks: seed after seed, those that may go on."""
    candidates, seeds, base, goes_on = ROUNDS[name]
    for seed in seeds:
        once = range(seed, seed + 1)
        runs = [run for w in TUNING for run in base_runs(w, base, once)]
        for point in candidates.values():
            done = range(seed)
            if not done or score(read_table(TABLE), point, base, done) <= goes_on:
                runs += [run for w in TUNING for run in runs_of(w, point, once)]
        complete(TABLE, runs, flags.FLAGS.data_dir, flags.FLAGS.jobs)


def cost(table: dict[Run, Result], run: Run) -> float:
    """Steps to the target; a miss counts as `_MISS` budgets."""
    target = read_target(run.workload)
    steps = table[run].steps_to(target)
    return _MISS * run.steps if math.isinf(steps) else steps


def log_ratios(
    table: dict[Run, Result],
    workload: str,
    point: Point,
    base: Point | None,
    seeds: range,
) -> list[float]:
    """log(candidate / what it is compared with) of each seed that has both runs."""
    pairs = zip(
        runs_of(workload, point, seeds), base_runs(workload, base, seeds), strict=True
    )
    found = [(one, other) for one, other in pairs if one in table and other in table]
    return [math.log(cost(table, a) / cost(table, b)) for a, b in found]


def score(
    table: dict[Run, Result], point: Point, base: Point | None, seeds: range
) -> float:
    """The geometric mean of a candidate's ratios, over workloads."""
    means = [np.mean(log_ratios(table, w, point, base, seeds)) for w in TUNING]
    return math.exp(np.mean(means))


def round_table(table: dict[Run, Result], name: str) -> str:
    """A row a candidate: its ratio on each workload, their geometric mean, misses."""
    candidates, seeds, base, _ = ROUNDS[name]
    rows = []
    for label, point in candidates.items():
        logs = [log_ratios(table, w, point, base, seeds) for w in TUNING]
        if not all(logs):
            continue
        means = [float(np.mean(each)) for each in logs]
        error = np.std(np.concatenate(logs), ddof=1) / math.sqrt(sum(map(len, logs)))
        mean = float(np.mean(means))
        runs = [run for w in TUNING for run in runs_of(w, point, seeds) if run in table]
        misses = sum(
            math.isinf(table[r].steps_to(read_target(r.workload))) for r in runs
        )
        summary = f"{math.exp(mean):.2f} (x/÷ {math.exp(error):.2f})"
        cells = [f"{math.exp(value):.2f}" for value in means]
        rows.append((mean, (label, *cells, summary, f"{misses}/{len(runs)}")))
    rows.sort(key=lambda row: row[0])
    names = ("candidate", *TUNING, "geometric mean", "misses")
    return markdown_table(names, [row for _, row in rows]) if rows else "Not run yet."


def waiting_table(table: dict[Run, Result], name: str) -> str:
    """Time to the target with echoes over that without, by what a fetch takes.

    Fetches go on while steps are taken, so e steps on each batch take max(fetch, e).
    """
    candidates, seeds, base, _ = ROUNDS[name]
    steps = {}
    for label, point in candidates.items():
        logs = [log_ratios(table, w, point, base, seeds) for w in TUNING]
        if all(logs):
            steps[label] = math.exp(np.mean([np.mean(each) for each in logs]))
    rows = []
    for fetch in (0.5, 1.0, 2.5, 5.0):
        cells = []
        for label, more in steps.items():
            echo = candidates[label]["echo"] or 1
            time = more / echo * max(fetch, echo) / max(fetch, 1)
            cells.append(f"{time:.2f}")
        rows.append((f"{fetch:g}", *cells, str(steps_a_batch(fetch))))
    return markdown_table(("steps a fetch takes", *steps, "the entry takes"), rows)


def compute(table: dict[Run, Result]) -> str:
    """What the runs of candidates took, and all runs of the table."""
    rows = []
    for name, entry in (("candidates", ENTRY), ("all of miniature.csv", "")):
        results = [result for run, result in table.items() if entry in run.entry]
        ms = sum(r.evaluations[-1].step * r.ms_a_step for r in results)
        rows.append((name, str(len(results)), f"{ms / 3.6e6:.1f}"))
    names = ("runs of", "number", "hours of one core, without evaluations")
    return markdown_table(names, rows)


def main(_) -> None:
    if flags.FLAGS.train:
        for name in flags.FLAGS.rounds:
            train(name)
    table = read_table(TABLE)
    names = {name: name.replace(" ", "_") for name in ROUNDS}
    blocks = {block: round_table(table, n) for n, block in names.items()}
    blocks |= {
        "waiting": waiting_table(table, "echoes"),
        "waiting_further_apart": waiting_table(table, "echoes further apart"),
        "compute": compute(table),
    }
    publish("time_to_target", blocks)


if __name__ == "__main__":
    app.run(main)
