"""One run of Schedule-Free beside AdamW's cosine decays made for three horizons.

docs/evidence/horizons.md; the runs are in the table of miniature.py.
"""

from typing import NamedTuple

import numpy as np
from absl import app, flags

from scripts.evidence.miniature import TABLE, run_of
from scripts.evidence.pages import publish
from scripts.run_table import Result, Run, complete, read_table
from unscheduled.benchmark.tables import markdown_table
from unscheduled.benchmark.targets import read_target

WORKLOADS = ("digits_resnet", "digits_vit", "stdlib_lm")
SHARES = (0.25, 0.5, 1.0)  # of step_hint
SEEDS = range(3)
_ALIKE = {"dropout_rate": 0.0, "label_smoothing": 0.0, "learning_rate": 0.0025}


class Algorithm(NamedTuple):
    entry: str
    point: dict[str, float]
    has_schedule: bool  # so that each horizon takes a run of its own


ALGORITHMS = {
    "AdamW, cosine decay": Algorithm("adamw", _ALIKE, True),
    "Schedule-Free AdamW": Algorithm("schedule_free_adamw", _ALIKE, False),
    "and a window of a fifth": Algorithm("refined_schedule_free", _ALIKE, False),
}


def runs_of(workload: str, algorithm: Algorithm, share: float) -> list[Run]:
    """Until that share of `step_hint`; without a schedule, the run to all of it."""
    share = share if algorithm.has_schedule else 1.0
    found = []
    for seed in SEEDS:
        run = run_of(workload, "pytorch", algorithm.entry, algorithm.point, seed)
        steps = round(share * run.step_hint)
        hint = steps if algorithm.has_schedule else run.step_hint
        found.append(
            run._replace(
                steps=steps, step_hint=hint, every=2 * run.every, until_target=False
            )
        )
    return found


def value_at(result: Result, step: float) -> float:
    """The validation value of the last evaluation until a step."""
    return [e.validation for e in result.evaluations if e.step <= step + 1][-1]


def horizons(table: dict[Run, Result]) -> str:
    """Mean and spread of the value at each horizon, a row an algorithm."""
    rows = []
    for workload in WORKLOADS:
        target = read_target(workload)
        for name, algorithm in ALGORITHMS.items():
            cells = []
            for share in SHARES:
                runs = runs_of(workload, algorithm, share)
                step = round(share * target.step_hint)
                values = [value_at(table[run], step) for run in runs if run in table]
                middle, spread = np.mean(values), np.std(values)
                cells.append(f"{middle:.4g} ± {spread:.2g}" if values else "not run")
            rows.append((workload, target.metric, name, *cells))
    headings = ("workload", "metric", "algorithm", *(f"{s:g} hint" for s in SHARES))
    return markdown_table(headings, rows)


def main(_) -> None:
    if flags.FLAGS.train:
        cases = [
            (w, a, s) for w in WORKLOADS for a in ALGORITHMS.values() for s in SHARES
        ]
        runs = [run for case in cases for run in runs_of(*case)]
        complete(TABLE, runs, flags.FLAGS.data_dir, flags.FLAGS.jobs)
    publish("horizons", {"horizons": horizons(read_table(TABLE))})


if __name__ == "__main__":
    app.run(main)
