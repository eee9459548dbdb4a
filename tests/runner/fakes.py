"""A workload, a submission and a framework made of numbers, on a clock by hand.

Everything that takes time moves the clock by a known amount, so that the rules are
tested to the second without waiting for one.
"""

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console

from unscheduled import spec
from unscheduled.runner.backend import TrainingState
from unscheduled.runner.logs import Profiler
from unscheduled.runner.loop import Settings
from unscheduled.runner.seeds import NumpyRandom
from unscheduled.runner.submission import Submission


class HandClock:
    """Moves only when told to; starts at a time that is not zero."""

    def __init__(self):
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def step_done(self) -> None:
        pass

    def resume(self, saved_now: float) -> float:
        return self.time - saved_now

    def pass_time(self, seconds: float) -> None:
        self.time += seconds


class FakeWorkload:
    """Its metric is the number of steps done, and both targets are numbers of steps."""

    target_metric_name = "accuracy"
    model_params_types = None
    loss_type = spec.LossType.MEAN_SQUARED_ERROR

    def __init__(self, clock, validation_target=10, test_target=10, eval_sec=100.0):
        self._clock = clock
        self.validation_target_value = validation_target
        self.test_target_value = test_target
        self.eval_period_time_sec = 5
        self.max_allowed_runtime_sec = 50
        self.eval_batch_size = 4
        self.eval_sec = eval_sec
        self.metrics_logger: Any = None
        self.evaluated: list[tuple[int, float]] = []  # (step, parameter)
        self.eval_error: Exception | None = None

    def attach_metrics_logger(self, metrics_logger):
        self.metrics_logger = metrics_logger

    def _build_input_queue(self, data_rng, split, data_dir, global_batch_size):
        rng = np.random.default_rng(data_rng)
        while True:
            yield {"inputs": rng.normal(size=global_batch_size)}

    def init_model_fn(self, rng):
        return np.zeros(1), None

    def eval_model(self, batch_size, params, model_state, rng, data, v2, global_step):
        if self.eval_error is not None:
            raise self.eval_error
        self._clock.pass_time(self.eval_sec)
        self.evaluated.append((global_step, float(params[0])))
        return {
            "validation/accuracy": float(global_step),
            "test/accuracy": float(global_step),
        }

    def has_reached_validation_target(self, results):
        return results["validation/accuracy"] >= self.validation_target_value

    def has_reached_test_target(self, results):
        return results["test/accuracy"] >= self.test_target_value


class FakeBackend:
    """Checkpoints are kept in a list, with a folder that tells which in its place.

    Args:
      clock: moved on by `wait_sec` seconds where the runner waits for the devices.
    """

    random = NumpyRandom()

    def __init__(self, clock):
        self._clock = clock
        self.wait_sec = 0.0
        self.saved: list[tuple[TrainingState, dict[str, Any]]] = []
        self.save_error: Exception | None = None

    def start_trial(self, seed):
        pass

    def compile_model(self, model_params, wanted):
        return model_params

    def synchronize(self):
        pass

    def wait_for(self, state):
        self._clock.pass_time(self.wait_sec)

    def fault(self, state, before):
        return None if isinstance(state.optimizer_state, dict) else "must return a dict"

    def generator_state(self):
        return None

    def restore_generators(self, state):
        pass

    def save(self, path, state, record):
        if self.save_error is not None:
            raise self.save_error
        copy = TrainingState(state.optimizer_state, state.model_params.copy(), None)
        record = {**record, "train_state": dict(record["train_state"])}
        record["eval_results"] = [*record["eval_results"]]
        self.saved.append((copy, record))
        path.mkdir()
        (path / "index").write_text(str(len(self.saved) - 1))

    def restore(self, path, state):
        saved, record = self.saved[int((path / "index").read_text())]
        return saved._replace(model_params=saved.model_params.copy()), record

    def device_count(self):
        return 1

    def describe(self):
        return {"fake_version": "1"}


class FakeSubmission:
    """Adds a batch's sum to the parameter in a step; tells what it was given.

    Args:
      clock: moved on by the times below, in seconds.
      complete_at: global step at which it raises TrainingCompleteError.
    """

    def __init__(self, clock, step_sec=2.0, data_sec=1.0, prepare_sec=0.5):
        self._clock = clock
        self.step_sec, self.data_sec, self.prepare_sec = step_sec, data_sec, prepare_sec
        self.complete_at: int | None = None
        self.before_step: Callable[[int], None] = lambda global_step: None
        self.train_states: list[dict[str, Any]] = []
        self.hyperparameters: list[Any] = []
        self.rngs: list[tuple[int, ...]] = []

    def init_optimizer_state(self, workload, params, model_state, hyperparameters, rng):
        self.hyperparameters.append(hyperparameters)
        return {}

    def data_selection(self, workload, queue, *rest):
        self._clock.pass_time(self.data_sec)
        return next(queue)

    def update_params(
        self, *, current_param_container, batch, global_step, rng, train_state, **rest
    ):
        self.before_step(global_step)
        self._clock.pass_time(self.step_sec)
        self.train_states.append(dict(train_state))
        self.rngs.append(tuple(rng.tolist()))
        if global_step == self.complete_at:
            raise spec.TrainingCompleteError
        total = batch["inputs"].sum() + 1e-9 * rng[0] + np.random.normal()
        return {}, current_param_container + total, None

    def prepare_for_eval(self, *, current_param_container, **rest):
        self._clock.pass_time(self.prepare_sec)
        return {}, current_param_container, None

    def as_submission(self) -> Submission:
        return Submission(
            path="fake",
            init_optimizer_state=self.init_optimizer_state,
            update_params=self.update_params,
            data_selection=self.data_selection,
            get_batch_size=lambda name: 4,
            prepare_for_eval=self.prepare_for_eval,
            get_eval_batch_size=None,
        )


def make_settings(clock, workload, submission, backend, **changes) -> Settings:
    """Settings of a run over the fakes, with a budget of 50 s unless changed."""
    return Settings(
        **{
            "workload": workload,
            "submission": submission.as_submission(),
            "backend": backend,
            "clock": clock,
            "profiler": Profiler(enabled=False),
            "global_batch_size": 4,
            "global_eval_batch_size": 4,
            "data_dir": "nowhere",
            "budget_sec": 50.0,
            **changes,
        }
    )


@contextlib.contextmanager
def captured_console():
    """A console that is no terminal, and the text it takes."""
    text = io.StringIO()
    yield Console(file=text, width=200), text
