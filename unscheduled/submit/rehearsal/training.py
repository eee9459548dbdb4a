"""A few steps of a submission on one workload, beside AdamW."""

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from unscheduled.benchmark.errors import first_line
from unscheduled.runner import embedded, rules
from unscheduled.runner.backend import Backend, TrainingState
from unscheduled.runner.driver import Driver
from unscheduled.runner.submission import Submission
from unscheduled.submit.rehearsal import surroundings
from unscheduled.submit.rehearsal.report import CannotGoOnError, Report
from unscheduled.submit.rehearsal.tools import Tools

STEPS = 3
ROUNDS = 7  # of timing; the median of fewer jumps on a busy machine
TOO_MUCH = 2.0  # times AdamW's
SEED = 0
# A step that goes on from a checkpoint gives the same numbers; a program that is
# compiled a second time may round them differently.
RTOL, ATOL = 1e-4, 1e-6


class Training:
    """One workload, and a submission that trains on it as the harness would.

    Args:
      submission, backend, tools: what trains, and the framework's two sides.
      report: takes the findings.
      name, framework: of the workload.
      hyperparameters: None in self-tuning.
      data_dir: where the data set is made.
      batch_size: the global one.
    """

    def __init__(
        self,
        submission: Submission,
        backend: Backend,
        tools: Tools,
        report: Report,
        name: str,
        framework: str,
        *,
        hyperparameters: Any,
        data_dir: str,
        batch_size: int,
    ):
        self._backend = backend
        self._tools = tools
        self._report = report
        self._name = name
        self._workload: Any = embedded.registry().load(name, framework)
        backend.start_trial(SEED)
        self._driver = Driver(
            submission,
            self._workload,
            backend.random,
            hyperparameters,
            SEED,
            calling=report.calling,
            fault=lambda state, before: None,  # `form_faults` says more
        )
        self._queue = self._workload._build_input_queue(
            self._driver.data_rng,
            "train",
            data_dir=data_dir,
            global_batch_size=batch_size,
        )
        self._train_state = rules.new_train_state()

    def run(self, checkpoint: Path) -> None:
        """Trains, evaluates, resumes, measures.

        Args:
          checkpoint: a path to write one to.

        Raises:
          CannotGoOnError: where submitted code fails.
        """
        params, model_state = self._workload.init_model_fn(self._driver.model_rng)
        before = surroundings.parts_of(self._workload), self._tools.code_of(params)
        state = self._start(params, model_state)
        for step in range(STEPS):
            batch = self._select(state, step)
            state = self._step(state, batch, step)
        self._check_finite(state, f"after {STEPS} steps")
        state = self._prepare_for_eval(state, STEPS)
        self._check_finite(state, "after prepare_for_eval")
        self._check_logits(state, batch)
        self._check_surroundings(state, *before)
        state = self._step(state, self._select(state, STEPS), STEPS)
        state = self._resume(state, checkpoint)
        self._compare_with_adamw(state)

    def _start(self, params: Any, model_state: Any) -> TrainingState:
        state = self._driver.init(params, model_state)
        faults = self._tools.form_faults(state.optimizer_state)
        for code, message in faults:
            self._report.add(code, message)
        if any(code.startswith("E") for code, _ in faults):
            raise CannotGoOnError
        return state

    def _select(self, state: TrainingState, step: int) -> Any:
        return self._driver.select(self._queue, state, step)

    def _step(self, state: TrainingState, batch: Any, step: int) -> TrainingState:
        self._report.reach(f"step {step + 1} on {self._name}")
        return self._driver.update(state, batch, step, [], self._train_state)

    def _prepare_for_eval(self, state: TrainingState, step: int) -> TrainingState:
        self._report.reach(f"prepare_for_eval on {self._name}")
        return self._driver.prepare(state, step, [])

    def _check_finite(self, state: TrainingState, when: str) -> None:
        if not all(
            np.isfinite(a).all() for a in self._tools.arrays(state.model_params)
        ):
            message = f"parameters are not finite {when} on {self._name}."
            self._report.add("E603", message)
            raise CannotGoOnError

    def _check_logits(self, state: TrainingState, batch: Any) -> None:
        with self._report.calling("an evaluation of the parameters"):
            logits = self._tools.logits(self._workload, state, batch)
        if not np.isfinite(logits).all():
            message = (
                f"the model's outputs in evaluation are not finite ({self._name})."
            )
            self._report.add("E603", message)

    def _check_surroundings(
        self, state: TrainingState, parts: dict[str, Any], code: Any
    ) -> None:
        names = surroundings.changed(parts, surroundings.parts_of(self._workload))
        if names:
            message = f"training changes the workload: {', '.join(names)}; leave it."
            self._report.add("E605", message)
        if self._tools.code_of(state.model_params) != code:
            message = (
                "the model that is evaluated runs submitted code (a hook, or another "
                "forward): take it away in prepare_for_eval."
            )
            self._report.add("E605", message)

    def _resume(self, state: TrainingState, checkpoint: Path) -> TrainingState:
        """Saves, takes one step; restores, takes it again: the same parameters?"""
        step, tools = STEPS + 1, self._tools
        batch = self._select(state, step)
        generators = self._backend.generator_state()
        try:
            self._backend.save(checkpoint, tools.saved_part(state), {})
        except Exception as error:  # each format has its own
            self._report.add("E607", f"no checkpoint can be made: {first_line(error)}")
            return self._step(state, batch, step)
        state = self._step(state, batch, step)
        params, model_state = self._workload.init_model_fn(self._driver.model_rng)
        fresh = self._start(params, model_state)
        saved_whole = tools.saved_part(fresh).optimizer_state == fresh.optimizer_state
        try:
            restored, _ = self._backend.restore(checkpoint, tools.saved_part(fresh))
        except Exception as error:  # each format has its own
            message = f"a checkpoint can't be restored: {first_line(error)}"
            self._report.add("E607", message)
            return state
        if not saved_whole:
            restored = restored._replace(optimizer_state=fresh.optimizer_state)
        self._backend.restore_generators(generators)
        resumed = self._step(restored, batch, step)
        pairs = zip(
            tools.arrays(state.model_params),
            tools.arrays(resumed.model_params),
            strict=True,
        )
        if saved_whole and not all(np.allclose(*p, RTOL, ATOL) for p in pairs):
            message = (
                f"a run on {self._name} that goes on from a checkpoint takes other "
                "steps: the optimizer state lacks something."
            )
            self._report.add("E607", message)
        return state

    def _compare_with_adamw(self, state: TrainingState) -> None:
        """Median times of steps in turns, and bytes of parameters and state."""
        initial = self._workload.init_model_fn(self._driver.model_rng)
        other = self._tools.adamw(self._workload, *initial)
        own_times, other_times = [], []
        for turn in range(ROUNDS + 1):
            step = STEPS + 2 + turn
            batch = self._select(state, step)
            start = time.perf_counter()
            state = self._step(state, batch, step)
            self._backend.wait_for(state)
            own_times.append(time.perf_counter() - start)
            batch, rng = next(self._queue), self._driver.eval_rng(step)
            start = time.perf_counter()
            other = self._tools.adamw_step(self._workload, other, batch, rng)
            self._backend.wait_for(other)
            other_times.append(time.perf_counter() - start)
        milliseconds = [
            1000 * statistics.median(times[1:]) for times in (own_times, other_times)
        ]
        megabytes = [self._tools.nbytes(s) / 1e6 for s in (state, other)]
        self._report_costs(milliseconds, megabytes)

    def _report_costs(self, milliseconds: list[float], megabytes: list[float]) -> None:
        time_ratio = milliseconds[0] / milliseconds[1]
        memory_ratio = megabytes[0] / megabytes[1]
        message = (
            f"{self._name}: a step takes {milliseconds[0]:.1f} ms, AdamW's "
            f"{milliseconds[1]:.1f} ({time_ratio:.2f} times); parameters and state "
            f"take {megabytes[0]:.2f} MB, AdamW's {megabytes[1]:.2f} "
            f"({memory_ratio:.2f} times)."
        )
        self._report.add("N602", message)
        for code, ratio, what in (
            ("W603", time_ratio, "time"),
            ("W604", memory_ratio, "memory"),
        ):
            if ratio > TOO_MUCH:
                message = (
                    f"{self._name}: a step takes {ratio:.1f} times AdamW's {what}; "
                    "make sure that it pays, and fits the benchmark's GPUs."
                )
                self._report.add(code, message)
