"""Entries on embedded workloads, for the evidence scripts: each step timed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from absl import flags

from unscheduled.runner.backend import load_backend
from unscheduled.runner.submission import load_submission
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
        self.backend = load_backend(framework)
        self.backend.start_trial(seed)
        self.workload: Any = registry.load(workload, framework)
        self.rng = self.backend.random.key(seed)
        self.params, self.model_state = self.workload.init_model_fn(self.rng)
        self.state = self.entry.init_optimizer_state(
            self.workload,
            self.params,
            self.model_state,
            hyperparameters,
            self.rng,
        )
        self.queue = self.workload._build_input_queue(
            self.rng,
            "train",
            flags.FLAGS.data_dir,
            self.entry.get_batch_size(workload),
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
