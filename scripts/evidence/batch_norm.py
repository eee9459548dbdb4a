"""Batch norm at x: what its statistics cost, and what stale ones do.

Trains schedule_free_adamw on digits_resnet, evaluated every 30 steps, and writes
docs/evidence/batch_norm.md.
"""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from absl import app, flags

from scripts.evidence.pages import ROOT, publish, spread
from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.tables import markdown_table
from unscheduled.entries.batch_norm import STEPS_PER_BATCH
from unscheduled.entries.pytorch.batch_norm import BatchNormStatistics
from unscheduled.runner.backend import TrainingState, load_backend
from unscheduled.runner.submission import Driver, load_submission, train_batch_size
from workloads_ext import registry

WORKLOAD = "digits_resnet"
STEPS, SEEDS = 240, 10
EVAL_EVERY = 30  # as on the clock of the demo
PUBLISHED = 0.0025  # the entry's own rate
HIGH = 20 * PUBLISHED  # where x and y are far apart


class Training:
    """The entry on its workload, driven as a runner does, each call timed."""

    def __init__(self, framework: str, seed: int = 0, rate: float = PUBLISHED):
        path = ROOT / "submissions" / f"schedule_free_adamw_{framework}"
        entry = load_submission(str(path / "submission.py"))
        backend = load_backend(framework)
        backend.start_trial(seed)
        self._wait_for = backend.wait_for
        self._workload: Any = registry.load(WORKLOAD, framework)
        self._driver = driver = Driver(
            entry,
            self._workload,
            backend.random,
            {"learning_rate": rate},
            seed,
            calling=lambda function: contextlib.nullcontext(),
            fault=backend.fault,
        )
        self.state = driver.init(*self._workload.init_model_fn(driver.model_rng))
        batch_size = train_batch_size(entry, WORKLOAD)
        self.queue = self._workload._build_input_queue(
            driver.data_rng, "train", flags.FLAGS.data_dir, batch_size
        )
        self._step = 0

    def _timed(self, function: Callable[..., TrainingState], *arguments: Any) -> float:
        start = time.perf_counter()
        self.state = function(*arguments)
        self._wait_for(self.state)
        return time.perf_counter() - start

    def step(self) -> float:
        """One step; its seconds, without those of loading the batch."""
        batch = self._driver.select(self.queue, self.state, self._step)
        arguments = self.state, batch, self._step, [], {}
        seconds = self._timed(self._driver.update, *arguments)
        self._step += 1
        return seconds

    def prepare_for_eval(self) -> float:
        """The way to x and the statistics there; its seconds."""
        return self._timed(self._driver.prepare, self.state, self._step, [])

    def forward(self, batch: dict[str, Any]) -> Any:
        """A pass in TRAIN mode, in PyTorch."""
        optimizer_state, params, model_state = self.state
        key = self._driver.eval_rng(self._step)
        return optimizer_state["trainer"]._forward(params, batch, model_state, key)

    def accuracy(self) -> float:
        workload, state = self._workload, self.state
        examples, size = workload.num_validation_examples, workload.eval_batch_size
        key, data_dir = self._driver.eval_rng(self._step), flags.FLAGS.data_dir
        return workload._eval_model_on_split(
            "validation", examples, size, *state[1:], key, data_dir
        )["accuracy"]


def cost(framework: str) -> list[str]:
    """Milliseconds of a step, of prepare_for_eval, and the latter's share in %."""
    training = Training(framework)
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
    training = Training("pytorch", seed, rate)
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
