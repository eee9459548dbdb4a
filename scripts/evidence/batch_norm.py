"""Batch norm at x: what its statistics cost, and what stale ones do.

Trains schedule_free_adamw on digits_resnet, evaluated every 30 steps, and writes
docs/evidence/batch_norm.md.
"""

import statistics
from collections.abc import Iterator

import numpy as np
from absl import app

from scripts.evidence.pages import publish, spread
from scripts.evidence.training import Training
from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.tables import markdown_table
from unscheduled.entries.batch_norm import STEPS_PER_BATCH
from unscheduled.entries.pytorch.batch_norm import BatchNormStatistics

STEPS, SEEDS = 240, 10
EVAL_EVERY = 30  # as on the clock of the demo
PUBLISHED = 0.0025  # the entry's own rate
HIGH = 20 * PUBLISHED  # where x and y are far apart


def entry(framework: str, seed: int = 0, rate: float = PUBLISHED) -> Training:
    rates = {"learning_rate": rate}
    return Training("schedule_free_adamw", framework, "digits_resnet", seed, rates)


def cost(framework: str) -> list[str]:
    """Milliseconds of a step, of prepare_for_eval, and the latter's share in %."""
    training = entry(framework)
    steps, preparations = [], []
    for step in range(1, STEPS + 1):
        steps.append(training.step())
        if step % EVAL_EVERY == 0:
            preparations.append(training.prepare_for_eval())
    # The first of each compile, or measure the share that a layer keeps.
    step_ms = 1e3 * statistics.median(steps[EVAL_EVERY:])
    prepare_ms = 1e3 * statistics.median(preparations[1:])
    share = prepare_ms / (EVAL_EVERY * step_ms + prepare_ms)
    return [f"{step_ms:.1f}", f"{prepare_ms:.1f}", f"{100 * share:.1f}"]


def accuracies(seed: int, rate: float) -> Iterator[tuple[float, float, float]]:
    """At each evaluation: (stale, ours, from eight batches), in PyTorch."""
    training = entry("pytorch", seed, rate)
    for step in range(1, STEPS + 1):
        training.step()
        if step % EVAL_EVERY:
            continue
        statistics_at_y = BatchNormStatistics(training.state.model_params).snapshot()
        training.prepare_for_eval()
        at_x = BatchNormStatistics(training.state.model_params)
        ours, snapshot = training.accuracy(), at_x.snapshot()
        at_x.put_back(statistics_at_y)
        stale = training.accuracy()
        for _ in range(8 * STEPS_PER_BATCH):
            at_x.observe(next(training.queue))
        at_x.refresh(training.forward)
        eight = training.accuracy()
        at_x.put_back(snapshot)
        yield stale, ours, eight


def accuracy_block(rate: float) -> str:
    runs = [[*accuracies(seed, rate)] for seed in range(SEEDS)]
    by_step = np.moveaxis(np.asarray(runs), 0, -1)  # evaluation, kind, seed
    rows = [
        [str(i * EVAL_EVERY), *map(spread, kinds)]
        for i, kinds in enumerate(by_step, start=1)
    ]
    header = ("step", "stale: those of y", "ours: one batch at x", "eight batches at x")
    return markdown_table(header, rows)


def main(_) -> None:
    header = ("framework", "step, ms", "`prepare_for_eval`, ms", "its share, %")
    blocks = {
        "cost": markdown_table(header, [[name, *cost(name)] for name in FRAMEWORKS]),
        "accuracy_published": accuracy_block(PUBLISHED),
        "accuracy_high": accuracy_block(HIGH),
    }
    publish("batch_norm", blocks)


if __name__ == "__main__":
    app.run(main)
