r"""Batch norm at x: what its statistics cost, and what stale ones do.

Trains schedule_free_adamw on digits_resnet, evaluated every 30 steps, and writes
the blocks of docs/evidence/batch_norm.md.

Example:
  python scripts/evidence_batch_norm.py --data_dir=data
"""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import torch
from absl import app, flags
from evidence_common import fill_page, from_flags, spread, table

from unscheduled.entries import STEPS_PER_BATCH
from unscheduled.entries.pytorch.batch_norm import BatchNormStatistics
from unscheduled.runner.backend import FRAMEWORKS, load_backend
from unscheduled.runner.submission import load_submission
from workloads_ext import registry

flags.DEFINE_string("data_dir", "data", "Where data sets are, or are made.")

ROOT = Path(__file__).resolve().parents[1]
WORKLOAD = "digits_resnet"
EVAL_EVERY = 30  # as on the clock of the demo
PUBLISHED = 0.0025  # the entry's own rate
RATES = (PUBLISHED, 20 * PUBLISHED)  # at the second x and y are far apart


class Settings(NamedTuple):
    steps: int
    seeds: int


FULL, QUICK = Settings(240, 10), Settings(40, 2)


class Training:
    """The entry on the workload, driven as a runner drives it, without its clock."""

    def __init__(self, framework: str, seed: int, rate: float = PUBLISHED):
        path = ROOT / "submissions" / f"schedule_free_adamw_{framework}/submission.py"
        self.entry = load_submission(str(path))
        self.backend = load_backend(framework)
        self.backend.start_trial(seed)
        self.workload: Any = registry.load(WORKLOAD, framework)
        self.rng = self.backend.random.key(seed)
        self.params, self.model_state = self.workload.init_model_fn(self.rng)
        self.state = self.entry.init_optimizer_state(
            self.workload,
            self.params,
            self.model_state,
            {"learning_rate": rate},
            self.rng,
        )
        self.queue = self.workload._build_input_queue(
            self.rng,
            "train",
            flags.FLAGS.data_dir,
            self.entry.get_batch_size(WORKLOAD),
        )
        self.step_count = 0

    def _timed(self, function: Callable[..., Any], **extra: Any) -> float:
        start = time.perf_counter()
        self.state, self.params, self.model_state = function(
            workload=self.workload,
            current_param_container=self.params,
            current_params_types=None,
            model_state=self.model_state,
            hyperparameters=None,
            loss_type=self.workload.loss_type,
            optimizer_state=self.state,
            eval_results=[],
            global_step=self.step_count,
            rng=self.rng,
            **extra,
        )
        if isinstance(self.params, dict):
            jax.block_until_ready((self.params, self.model_state))
        return time.perf_counter() - start

    def step(self) -> float:
        """One step; its seconds, without those of loading the batch."""
        seconds = self._timed(self.entry.update_params, batch=next(self.queue))
        self.step_count += 1
        return seconds

    def prepare_for_eval(self) -> float:
        """The way to x and the statistics there; its seconds."""
        assert self.entry.prepare_for_eval is not None
        return self._timed(self.entry.prepare_for_eval)

    def forward(self, batch: dict[str, Any]) -> Any:
        """A pass in TRAIN mode, in PyTorch."""
        trainer = self.state["trainer"]
        return trainer._forward(self.params, batch, self.model_state, self.rng)

    def accuracy(self) -> float:
        """On the validation split."""
        results = self.workload._eval_model_on_split(
            "validation",
            self.workload.num_validation_examples,
            self.workload.eval_batch_size,
            self.params,
            self.model_state,
            self.rng,
            flags.FLAGS.data_dir,
        )
        return results["accuracy"]


def cost(framework: str, settings: Settings) -> tuple[float, float, float]:
    """Milliseconds of a step, of prepare_for_eval, and the latter's share in %."""
    training = Training(framework, seed=0)
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
    training = Training("pytorch", seed=0)
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
    training = Training("pytorch", seed, rate)
    for step in range(1, settings.steps + 1):
        training.step()
        if step % EVAL_EVERY:
            continue
        statistics_at_y = BatchNormStatistics(training.params).snapshot()
        training.prepare_for_eval()
        at_x = BatchNormStatistics(training.params)
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
