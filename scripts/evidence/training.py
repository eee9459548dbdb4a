"""Entries on embedded workloads, for the evidence scripts: each step timed."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

from absl import flags

from scripts.evidence.pages import ROOT
from unscheduled.runner.backend import TrainingState, load_backend
from unscheduled.runner.driver import Driver
from unscheduled.runner.submission import load_submission, train_batch_size
from workloads_ext import registry


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
        entry = load_submission(str(path))
        backend = load_backend(framework)
        backend.start_trial(seed)
        self._wait_for = backend.wait_for
        self._workload: Any = registry.load(workload, framework)
        self._driver = driver = Driver(
            entry,
            self._workload,
            backend.random,
            hyperparameters,
            seed,
            calling=lambda function: contextlib.nullcontext(),
            fault=backend.fault,
        )
        self.state = driver.init(*self._workload.init_model_fn(driver.model_rng))
        batch_size = train_batch_size(entry, workload)
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
            "validation",
            *(examples, size, state.model_params, state.model_state, key, data_dir),
        )["accuracy"]
