"""Compares averaging windows of Schedule-Free AdamW far beyond the targets.

docs/evidence/averaging_window.md; its runs are in the table of miniature.py.
"""

from absl import app, flags

from scripts.evidence.miniature import TABLE, run_of
from scripts.evidence.pages import publish
from scripts.evidence.time_to_target import ENTRY, Point
from scripts.run_table import Result, Run, complete, read_table
from unscheduled.benchmark.tables import markdown_table
from unscheduled.benchmark.targets import Target, read_target

WORKLOAD = "numbers_transformer"
_TIMES = 4  # step_hint
SETTINGS: dict[str, Point] = {
    "v2": {},
    "weights t^.75": {"r": 0.75},
    "C 5x": {"decoupling_c": 50.0},
    "rate .005": {"learning_rate": 0.005},
}


def long_run(point: Point) -> Run:
    """Four times `step_hint`, whatever is reached on the way."""
    run = run_of(WORKLOAD, "pytorch", ENTRY, {**point, "dropout_rate": 0.0}, 0)
    steps = _TIMES * run.step_hint
    return run._replace(steps=steps, every=2 * run.every, until_target=False)


def best_by(result: Result, target: Target, step: float) -> str:
    """The best validation value until a step."""
    seen = tuple(e for e in result.evaluations if e.step <= step + 1)
    return f"{result._replace(evaluations=seen).best(target).validation:.4g}"


def curves(table: dict[Run, Result]) -> str:
    """A row a setting: the best value by each share of the run."""
    target, rows = read_target(WORKLOAD), []
    shares = (0.25, 0.5, 1, 2, 3, _TIMES)
    for name, point in SETTINGS.items():
        run = long_run(point)
        if run in table:
            steps = (share * run.step_hint for share in shares)
            rows.append((name, *(best_by(table[run], target, s) for s in steps)))
    return markdown_table((WORKLOAD, *(f"{s} hint" for s in shares)), rows)


def main(_) -> None:
    if flags.FLAGS.train:
        runs = [long_run(point) for point in SETTINGS.values()]
        complete(TABLE, runs, flags.FLAGS.data_dir, flags.FLAGS.jobs)
    table = read_table(TABLE)
    publish("averaging_window", {WORKLOAD: curves(table)})


if __name__ == "__main__":
    app.run(main)
