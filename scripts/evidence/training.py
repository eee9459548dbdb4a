"""Entries on embedded workloads, for the evidence scripts: each step timed."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from unscheduled.runner.backend import TrainingState, load_backend
from unscheduled.runner.driver import Driver
from unscheduled.runner.submission import calling, load_submission, train_batch_size
from workloads_ext import registry

flags.DEFINE_string("data_dir", "data", "Where data sets are, or are made.")

ROOT = Path(__file__).resolve().parents[2]


class Training:
    """An entry on an embedded workload, driven as a runner does, without its clock."""

    def __init__(
        self,
        algorithm: str,
        framework: str,
        workload: str,
        seed: int = 0,
        hyperparameters: dict[str, float] | None = None,
    ):
        path = ROOT / "submissions" / f"{algorithm}_{framework}" / "submission.py"
        self.entry = load_submission(str(path))
        backend = load_backend(framework)
        backend.start_trial(seed)
        self.workload: Any = registry.load(workload, framework)
        self._driver = Driver(
            self.entry,
            self.workload,
            backend.random,
            hyperparameters,
            seed,
            calling=functools.partial(calling, self.entry.path),
            fault=backend.fault,
        )
        self._wait_for = backend.wait_for
        self.state = self._driver.init(
            *self.workload.init_model_fn(self._driver.model_rng)
        )
        self.queue = self.workload._build_input_queue(
            self._driver.data_rng,
            "train",
            flags.FLAGS.data_dir,
            train_batch_size(self.entry, workload),
        )
        self.step_count = 0

    def _timed(self, function: Callable[..., TrainingState], *arguments: Any) -> float:
        start = time.perf_counter()
        self.state = function(*arguments)
        self._wait_for(self.state)
        return time.perf_counter() - start

    def step(self) -> float:
        """One step; its seconds, without those of loading the batch."""
        batch = self._driver.select(self.queue, self.state, self.step_count)
        arguments = self.state, batch, self.step_count, [], {}
        seconds = self._timed(self._driver.update, *arguments)
        self.step_count += 1
        return seconds

    def prepare_for_eval(self) -> float:
        """The way to x and the statistics there; its seconds."""
        return self._timed(self._driver.prepare, self.state, self.step_count, [])

    def forward(self, batch: dict[str, Any]) -> Any:
        """A pass in TRAIN mode, in PyTorch."""
        optimizer_state, params, model_state = self.state
        key = self._driver.eval_rng(self.step_count)
        return optimizer_state["trainer"]._forward(params, batch, model_state, key)

    def accuracy(self) -> float:
        """On the validation split."""
        results = self.workload._eval_model_on_split(
            "validation",
            self.workload.num_validation_examples,
            self.workload.eval_batch_size,
            self.state.model_params,
            self.state.model_state,
            self._driver.eval_rng(self.step_count),
            flags.FLAGS.data_dir,
        )
        return results["accuracy"]
