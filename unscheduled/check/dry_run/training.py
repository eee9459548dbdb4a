"""A few steps of a submission on one workload, beside AdamW, and what is found."""

import contextlib
import dataclasses
import functools
import importlib.util
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from unscheduled import spec
from unscheduled.benchmark.errors import first_line
from unscheduled.check.dry_run.process import FOUND, REACHED
from unscheduled.check.findings import Finding, finding
from unscheduled.check.sources import sources
from unscheduled.runner import embedded, rules
from unscheduled.runner.backend import TrainingState, load_backend
from unscheduled.runner.search_space import read_search_space, trial_points
from unscheduled.runner.submission import Driver, ReturnedError, Submission

STEPS = 3
ROUNDS = 7  # of timing; the median of fewer jumps on a busy machine
TOO_MUCH = 2.0  # times AdamW's
SEED = 0
# A step that goes on from a checkpoint gives the same numbers; a program that is
# compiled a second time may round them differently.
RTOL, ATOL = 1e-4, 1e-6
# Set anew by init_model_fn, which submissions may call; given by the harness.
_MAY_CHANGE = ("_param_shapes", "_param_types", "metrics_logger")


class CannotGoOnError(Exception):
    """The dry run can't go on; why is in the report."""


class Report:
    """Tells of findings, each once, by a function of a kind of line and its value."""

    def __init__(self, submission: Path, tell: Callable[[str, Any], None]):
        self._submission = str(submission)
        self._files = {str(code.path) for code in sources(submission).values()}
        self._tell = tell
        self._told: set[Finding] = set()

    def reach(self, stage: str) -> None:
        self._tell(REACHED, stage)

    def add(self, code: str, *facts: object, place: Any = None) -> None:
        """Reports something about a place, or else about the submission's file."""
        path, line = place or (self._submission, 1)
        found = finding(path, line, code, *facts)
        if found not in self._told:
            self._told.add(found)
            self._tell(FOUND, dataclasses.astuple(found))

    def stop(self, code: str, *facts: object, place: Any = None) -> NoReturn:
        """Reports it, then raises `CannotGoOnError`."""
        self.add(code, *facts, place=place)
        raise CannotGoOnError

    @contextlib.contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Reports what a call of submitted code raises, an exit too, then stops."""
        try:
            yield
        except CannotGoOnError:
            raise
        except ReturnedError as error:
            self.stop("E601", error)
        except BaseException as error:
            place = self._place_of(error)
            if isinstance(error, ModuleNotFoundError) and error.name:
                package = error.name.partition(".")[0]
                if importlib.util.find_spec(package) is None:
                    self.stop("N601", package, place=place)
            said = f"{what} fails with {type(error).__name__}: {first_line(error)}"
            self.stop("E601", said, place=place)

    def _place_of(self, error: BaseException) -> tuple[str, int] | None:
        """The innermost line of the submission that led to the error."""
        frames = traceback.walk_tb(error.__traceback__)
        lines = [(frame.f_code.co_filename, line) for frame, line in frames]
        return [None, *(place for place in lines if place[0] in self._files)][-1]


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names that are new, gone or have another value.

    >>> changed({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
    ['b', 'c']
    """

    def is_same(a: Any, b: Any) -> bool:
        simple = int | float | str | bytes | tuple
        return a is b or (isinstance(a, simple) and isinstance(b, simple) and a == b)

    names = before.keys() | after.keys()
    return sorted(n for n in names if not is_same(before.get(n), after.get(n)))


class Training:
    """One workload, and a submission that trains on it as the harness would."""

    def __init__(
        self,
        task: dict[str, Any],  # what `process.run` asks for
        submission: Submission,
        tools: ModuleType,  # `pytorch.py` or `jax.py`
        report: Report,
        name: str,
        batch_size: int,
    ):
        framework, space = task["framework"], task["search_space"]
        self._tools, self._report, self._name = tools, report, name
        self._data_dir = task["data_dir"]
        self._backend = load_backend(framework)
        self._backend.start_trial(SEED)
        self._workload: Any = embedded.registry().load(name, framework)
        self._driver = Driver(
            submission,
            self._workload,
            self._backend.random,
            trial_points(read_search_space(space), 1)[0] if space else None,
            SEED,
            calling=report.calling,
            fault=self._fault,
        )
        self._queue = self._workload._build_input_queue(
            self._driver.data_rng,
            "train",
            data_dir=self._data_dir,
            global_batch_size=batch_size,
        )
        self._checkpoint = Path(task["folder"], f"checkpoint_{name}")
        self._train_state = rules.new_train_state()

    def run(self) -> None:
        """Trains, evaluates, resumes, measures; stops where submitted code fails."""
        params, model_state = self._initial_model()
        before = self._parts()
        state = self._driver.init(params, model_state)
        unsaved = self._unsaved(state.optimizer_state)
        for key, value in unsaved.items():
            self._report.add("W601", key, type(value).__name__)
        for step in range(STEPS):
            state = self._step(state, step)
        self._check_finite(state, f"after {STEPS} steps")
        self._report.reach(f"prepare_for_eval on {self._name}")
        state = self._driver.prepare(state, STEPS, [])
        self._check_finite(state, "after prepare_for_eval")
        self._evaluate(state)
        if names := changed(before, self._parts()):
            self._report.add("E605", ", ".join(names))
        state = self._step(state, STEPS)
        if not unsaved:
            state = self._resume(state)
        self._compare_with_adamw(state)

    def _initial_model(self) -> tuple[Any, Any]:
        return self._workload.init_model_fn(self._driver.model_rng)

    def _parts(self) -> dict[str, Any]:
        """The attributes of the workload, but for what it caches itself."""
        cls = type(self._workload)
        return {
            name: value
            for name, value in vars(self._workload).items()
            if name not in _MAY_CHANGE
            and not isinstance(getattr(cls, name, None), functools.cached_property)
        }

    def _unsaved(self, optimizer_state: Any) -> dict[str, Any]:
        """What the official checkpoint leaves out, in PyTorch only."""
        items = optimizer_state.items() if isinstance(optimizer_state, dict) else ()
        methods = ("state_dict", "load_state_dict")
        return {k: v for k, v in items if not any(hasattr(v, m) for m in methods)}

    def _fault(self, state: TrainingState, before: TrainingState) -> None:
        """Stops where the runner would, but not for what checkpoints leave out."""
        saved = state.optimizer_state
        if unsaved := self._unsaved(saved):
            saved = {k: v for k, v in saved.items() if k not in unsaved}
        fault = self._backend.fault(state._replace(optimizer_state=saved), before)
        if fault:
            self._report.stop("E604", f"the submission {fault}.")

    def _step(
        self, state: TrainingState, step: int, batch: Any = None
    ) -> TrainingState:
        self._report.reach(f"step {step + 1} on {self._name}")
        if batch is None:
            batch = self._driver.select(self._queue, state, step)
        return self._driver.update(state, batch, step, [], self._train_state)

    def _check_finite(self, state: TrainingState, when: str) -> None:
        arrays = self._tools.arrays(state.model_params)
        if not all(np.isfinite(array).all() for array in arrays):
            self._report.stop("E603", f"parameters {when}", self._name)

    def _evaluate(self, state: TrainingState) -> None:
        size, rng = self._workload.eval_batch_size, self._driver.eval_rng(STEPS)
        with self._report.calling("an evaluation of the parameters"):
            metrics = self._workload._eval_model_on_split(
                "validation", size, size, *state[1:], rng, self._data_dir
            )
        if not np.isfinite([*metrics.values()]).all():
            self._report.add("E603", "the model's outputs in evaluation", self._name)

    def _resume(self, state: TrainingState) -> TrainingState:
        """Saves, takes one step; restores, takes it again: the same parameters?"""
        step, backend = STEPS + 1, self._backend
        batch = self._driver.select(self._queue, state, step)
        generators = backend.generator_state()
        try:
            backend.save(self._checkpoint, state, {})
        except Exception as error:  # each format has its own
            self._report.add("E607", f"no checkpoint can be made: {first_line(error)}.")
            return state
        state = self._step(state, step, batch)
        fresh = self._driver.init(*self._initial_model())
        try:
            restored, _ = backend.restore(self._checkpoint, fresh)
        except Exception as error:
            message = f"a checkpoint can't be restored: {first_line(error)}."
            self._report.add("E607", message)
            return state
        backend.restore_generators(generators)
        resumed = self._step(restored, step, batch)
        states = (state.model_params, resumed.model_params)
        pairs = zip(*map(self._tools.arrays, states), strict=True)
        if not all(np.allclose(a, b, RTOL, ATOL) for a, b in pairs):
            what = f"a run on {self._name} that goes on from a checkpoint"
            why = "the optimizer state lacks something"
            self._report.add("E607", f"{what} takes other steps: {why}.")
        return state

    def _compare_with_adamw(self, state: TrainingState) -> None:
        """Median times of steps in turns, and bytes of parameters and state."""
        other, adamw_step = self._tools.adamw(self._mean_loss, *self._initial_model())
        times = []
        for step in range(STEPS + 2, STEPS + 3 + ROUNDS):
            start = time.perf_counter()
            state = self._step(state, step)
            self._backend.wait_for(state)
            end = time.perf_counter()
            batch, rng = next(self._queue), self._driver.eval_rng(step)
            other_start = time.perf_counter()
            other = adamw_step(other, batch, rng)
            self._backend.wait_for(other)
            times.append((end - start, time.perf_counter() - other_start))
        # Without the first, which may compile.
        ms, other_ms = 1000 * np.median(times[1:], axis=0)
        mb, other_mb = (self._tools.nbytes(each) / 1e6 for each in (state, other))
        slower, larger = ms / other_ms, mb / other_mb
        self._report.add("N602", self._name, ms, other_ms, slower, mb, other_mb, larger)
        for code, ratio in (("W603", slower), ("W604", larger)):
            if ratio > TOO_MUCH:
                self._report.add(code, self._name, ratio)

    def _mean_loss(self, params, model_state, batch, rng):
        mode = spec.ForwardPassMode.TRAIN
        logits, model_state = self._workload.model_fn(
            params, batch, model_state, mode, rng, update_batch_norm=True
        )
        losses = self._workload.loss_fn(batch["targets"], logits, batch.get("weights"))
        return losses["summed"] / losses["n_valid_examples"], model_state
