r"""Batch norm at x: what its statistics cost, and what stale ones do.

Trains schedule_free_adamw on digits_resnet, evaluated every 30 steps, and writes
the blocks of docs/evidence/batch_norm.md.

Example:
  python -m scripts.evidence.batch_norm --data_dir=data
"""

import statistics
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from absl import app

from scripts.evidence.pages import fill_page, from_flags, spread, table
from scripts.evidence.training import Training
from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.entries.batch_norm import STEPS_PER_BATCH
from unscheduled.entries.pytorch.batch_norm import BatchNormStatistics

WORKLOAD = "digits_resnet"
EVAL_EVERY = 30  # as on the clock of the demo
PUBLISHED = 0.0025  # the entry's own rate
RATES = (PUBLISHED, 20 * PUBLISHED)  # at the second x and y are far apart


class Settings(NamedTuple):
    steps: int
    seeds: int


FULL, QUICK = Settings(240, 10), Settings(60, 2)


def entry(framework: str, seed: int = 0, rate: float = PUBLISHED) -> Training:
    rates = {"learning_rate": rate}
    return Training("schedule_free_adamw", framework, WORKLOAD, seed, rates)


def cost(framework: str, settings: Settings) -> tuple[float, float, float]:
    """Milliseconds of a step, of prepare_for_eval, and the latter's share in %."""
    training = entry(framework)
    steps, preparations = [], []
    for step in range(1, settings.steps + 1):
        steps.append(training.step())
        if step % EVAL_EVERY == 0:
            preparations.append(training.prepare_for_eval())
    # The first of each compile, or measure the share that a layer keeps.
    step_ms = 1e3 * statistics.median(steps[EVAL_EVERY:])
    prepare_ms = 1e3 * statistics.median(preparations[1:])
    share = prepare_ms / (EVAL_EVERY * step_ms + prepare_ms)
    return step_ms, prepare_ms, 100 * share


def third_step_cost(settings: Settings) -> float:
    """The share in % of a forward pass at every third step, in PyTorch."""
    training = entry("pytorch")
    steps, passes = [], []
    for _ in range(settings.steps):
        steps.append(training.step())
        batch = next(training.queue)
        start = time.perf_counter()
        with torch.no_grad():
            training.forward(batch)
        passes.append(time.perf_counter() - start)
    third = statistics.median(passes) / 3
    return 100 * third / (statistics.median(steps) + third)


def accuracies(
    settings: Settings, seed: int, rate: float
) -> Iterator[tuple[float, float, float]]:
    """At each evaluation: (stale, ours, from eight batches), in PyTorch."""
    training = entry("pytorch", seed, rate)
    for step in range(1, settings.steps + 1):
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


def cost_block(settings: Settings) -> str:
    rows = []
    for framework in FRAMEWORKS:
        step_ms, prepare_ms, share = cost(framework, settings)
        values = (f"{step_ms:.1f}", f"{prepare_ms:.1f}", f"{share:.1f}")
        rows.append((framework, *values))
    header = ("framework", "step, ms", "`prepare_for_eval`, ms", "its share, %")
    other = third_step_cost(settings)
    return (
        f"{table(header, rows)}\n\n"
        f"A forward pass at every third step would be {other:.0f}% in PyTorch."
    )


def accuracy_block(settings: Settings, rate: float) -> str:
    runs = [[*accuracies(settings, seed, rate)] for seed in range(settings.seeds)]
    by_step = np.moveaxis(np.asarray(runs), 0, -1)  # evaluation, kind, seed
    rows = [
        (str((i + 1) * EVAL_EVERY), *(spread(kind, 3) for kind in kinds))
        for i, kinds in enumerate(by_step)
    ]
    header = ("step", "stale: those of y", "ours: one batch at x", "eight batches at x")
    return table(header, rows)


def main(_):
    settings, out_dir = from_flags(FULL, QUICK)
    blocks = {"cost": cost_block(settings)}
    for name, rate in zip(("published", "high"), RATES, strict=True):
        blocks[f"accuracy_{name}"] = accuracy_block(settings, rate)
    print(fill_page("batch_norm", blocks, out_dir))


if __name__ == "__main__":
    app.run(main)
