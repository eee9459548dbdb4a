"""The functions of the API, called with the keys and arguments of the official loop."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from unscheduled import spec
from unscheduled.runner.backend import TrainingState
from unscheduled.runner.submission import ReturnedError, Submission

EvalResults = list[tuple[int, dict[str, float]]]  # (global step, metrics)


@dataclass
class Driver:
    """One submission on one workload; the state is the caller's to keep.

    Each call is in a context, `calling` with the function's name, that decides what
    becomes of exceptions; a wrong return value, for which `fault` has the words of the
    framework, raises `ReturnedError` in it.

    Source: AlgoPerf's submission_runner.py, `train_once`.
    """

    submission: Submission
    workload: spec.Workload
    random: Any  # the framework's `Backend.random`
    hyperparameters: Any  # None in self-tuning, else a namedtuple
    seed: int
    calling: Callable[[str], AbstractContextManager[None]]
    fault: Callable[[TrainingState, TrainingState], str | None]  # `Backend.fault`

    def __post_init__(self):
        self.data_rng, self._init_rng, self.model_rng, self._rng = self.random.split(
            self.random.key(self.seed), 4
        )
        self._keys: tuple[int, Any] = (-1, None)

    def init(self, model_params: Any, model_state: Any) -> TrainingState:
        """The state before the first step."""
        function = "init_optimizer_state"
        with self.calling(function):
            optimizer_state = self.submission.init_optimizer_state(
                self.workload,
                model_params,
                model_state,
                self.hyperparameters,
                self._init_rng,
            )
            state = TrainingState(optimizer_state, model_params, model_state)
            return self._checked(function, optimizer_state, state, state)

    def select(self, queue: Iterator[Any], state: TrainingState, step: int) -> Any:
        """The batch of the step after `step` others."""
        function = "data_selection"
        with self.calling(function):
            batch = self.submission.data_selection(
                self.workload,
                queue,
                state.optimizer_state,
                state.model_params,
                state.model_state,
                self.hyperparameters,
                step,
                self._key(step, 0),
            )
            if not isinstance(batch, dict | tuple | list):
                raise _wrong(function, "must return a batch", batch)
            return batch

    def update(
        self,
        state: TrainingState,
        batch: Any,
        step: int,
        eval_results: EvalResults,
        train_state: dict[str, Any],
    ) -> TrainingState:
        """The state after one more step than `step`."""
        arguments = {"batch": batch, "rng": self._key(step, 1)}
        if self.submission.takes_train_state:
            arguments["train_state"] = MappingProxyType(train_state)
        return self._called("update_params", state, step, eval_results, arguments)

    def prepare(
        self, state: TrainingState, step: int, eval_results: EvalResults
    ) -> TrainingState:
        """The state to evaluate after `step` steps; as it is where nothing prepares."""
        if self.submission.prepare_for_eval is None:
            return state
        arguments = {"rng": self._key(step - 1, 2)}
        return self._called("prepare_for_eval", state, step, eval_results, arguments)

    def eval_rng(self, step: int) -> Any:
        """The key of the evaluation after `step` steps."""
        return self._key(step - 1, 3)

    def _key(self, step: int, which: int) -> Any:
        """Of the keys of a step: selection, update, preparation, evaluation."""
        if self._keys[0] != step:
            step_rng = self.random.fold_in(self._rng, step)
            self._keys = step, self.random.split(step_rng, 4)
        return self._keys[1][which]

    def _called(
        self,
        function: str,
        state: TrainingState,
        step: int,
        eval_results: EvalResults,
        arguments: dict[str, Any],
    ) -> TrainingState:
        """The state that update_params or prepare_for_eval makes of another."""
        with self.calling(function):
            returned = getattr(self.submission, function)(
                workload=self.workload,
                current_param_container=state.model_params,
                current_params_types=self.workload.model_params_types,
                model_state=state.model_state,
                hyperparameters=self.hyperparameters,
                loss_type=self.workload.loss_type,
                optimizer_state=state.optimizer_state,
                eval_results=eval_results,
                global_step=step,
                **arguments,
            )
            if not isinstance(returned, tuple | list) or len(returned) != 3:
                expected = "must return (optimizer_state, model_params, model_state)"
                raise _wrong(function, expected, returned)
            return self._checked(function, returned, TrainingState(*returned), state)

    def _checked(
        self, function: str, returned: Any, state: TrainingState, before: TrainingState
    ) -> TrainingState:
        if fault := self.fault(state, before):
            raise _wrong(function, fault, returned)
        return state


def _wrong(function: str, expected: str, returned: Any) -> ReturnedError:
    kind = type(returned).__name__
    if isinstance(returned, tuple | list):
        kind += f" of {', '.join(type(item).__name__ for item in returned)}"
    return ReturnedError(f"{function} {expected}, got {kind}.")
