"""A submission: the functions of the API from a user's file, and the calls of them."""

import contextlib
import importlib
import inspect
import numbers
import reprlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from unscheduled import spec
from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand
from unscheduled.benchmark.targets import read_target
from unscheduled.runner.backend import TrainingState

REQUIRED = ("init_optimizer_state", "update_params", "data_selection", "get_batch_size")
EvalResults = list[tuple[int, dict[str, float]]]  # (global step, metrics)


class Submission(NamedTuple):
    """The functions of the AlgoPerf API; the optional ones may be None."""

    path: str
    init_optimizer_state: Callable[..., Any]
    update_params: Callable[..., Any]
    data_selection: Callable[..., Any]
    get_batch_size: Callable[[str], int]
    prepare_for_eval: Callable[..., Any] | None
    get_eval_batch_size: Callable[[str], int] | None


class SubmissionError(UserError):
    """An exception out of submitted code, whose author wants the traceback too."""


class ReturnedError(UserError):
    """A function of the API returned what it may not."""

    def __init__(self, function: str, expected: str, returned: Any):
        kind = type(returned).__name__
        if isinstance(returned, tuple | list):
            kind += f" of {', '.join(type(item).__name__ for item in returned)}"
        super().__init__(f"{function} {expected}, got {kind}.")


@contextlib.contextmanager
def calling(path: str, function: str) -> Iterator[None]:
    """Names a submission's file and function in the errors of a block that calls it."""
    try:
        yield
    except ReturnedError as error:
        raise UserError(f"{path}: {error}") from error
    except UserError:
        raise
    except SystemExit as end:
        raise UserError(
            f"{path}: {function} called sys.exit({reprlib.repr(end.code)}), which "
            "must not end a run."
        ) from end
    except Exception as error:
        is_complete = isinstance(error, spec.TrainingCompleteError)
        if function == "update_params" and is_complete:
            raise
        if function == "init_optimizer_state" and isinstance(error, ValueError):
            raise UserError(f"{path}: {error}") from error
        raise SubmissionError(
            f"{path}: {function} failed with the {type(error).__name__} above."
        ) from error


def load_submission(submission_path: str) -> Submission:
    """Imports a submission from its Python file.

    Its packages are the folders around it, as for the official runner, up to the last
    that has an `__init__.py`. Without one, it can import the files beside it by name.
    """
    folder, name = locate(submission_path)
    beside = expand(submission_path).resolve().parent
    own = [] if (beside / "__init__.py").exists() else [str(beside)]
    sys.path[:0] = [str(folder), *own]
    module = importlib.import_module(name)
    names = Submission._fields[1:]
    functions: dict[str, Any] = {name: getattr(module, name, None) for name in names}
    missing = [name for name in REQUIRED if not callable(functions[name])]
    if missing:
        raise UserError(f"{submission_path} lacks {', '.join(missing)}.")
    return Submission(submission_path, **functions)


def locate(submission_path: str) -> tuple[Path, str]:
    """The folder to import a submission from, and its module's name there."""
    path = expand(submission_path).resolve()
    if path.suffix != ".py" or not path.is_file():
        raise UserError(
            f"--submission_path must be a Python file that exists, "
            f"got {submission_path!r}."
        )
    names, folder = [path.stem], path.parent
    while any((f / "__init__.py").exists() for f in (folder, folder.parent)):
        names.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(names)


def global_batch_sizes(
    submission: Submission, workload_name: str, eval_batch_size: int, devices: int
) -> tuple[int, int]:
    """The global batch sizes of training and evaluation."""
    train = train_batch_size(submission, workload_name)
    if submission.get_eval_batch_size is not None:
        eval_batch_size = _batch_size(
            submission, "get_eval_batch_size", workload_name, eval_batch_size
        )
    for kind, size in (("batch", train), ("evaluation batch", eval_batch_size)):
        if size % devices:
            raise UserError(
                f"the global {kind} size {size} does not divide over {devices} devices."
            )
    return train, eval_batch_size


def train_batch_size(submission: Submission, workload_name: str) -> int:
    """The batch size on an embedded workload: the submission's, else the workload's."""
    own = int(read_target(workload_name).batch_size)
    return _batch_size(submission, "get_batch_size", workload_name, own)


def _batch_size(
    submission: Submission, function: str, workload_name: str, default: int
) -> int:
    with calling(submission.path, function):
        try:
            size = getattr(submission, function)(workload_name)
        except ValueError:  # as the API has it for a workload that it does not know
            size = default
    is_integer = isinstance(size, numbers.Integral) and not isinstance(size, bool)
    if not is_integer or not 1 <= int(size) < 2**31:
        raise UserError(
            f"{submission.path}: {function} must return a whole number from 1 to "
            f"2**31 - 1, got {reprlib.repr(size)}."
        )
    return int(size)


@dataclass
class Driver:
    """Calls one submission on one workload with the official loop's keys and arguments.

    Each call is in a context, `calling` with the function's name, that decides what
    becomes of exceptions, among them `ReturnedError`, in the words of `fault`.

    Source: AlgoPerf's submission_runner.py, `train_once`.
    """

    submission: Submission
    workload: spec.Workload
    random: Any  # the framework's `Backend.random`
    hyperparameters: Any  # None in self-tuning, else a namedtuple
    seed: int
    calling: Callable[[str], contextlib.AbstractContextManager[None]]
    fault: Callable[[TrainingState, TrainingState], str | None]  # `Backend.fault`

    def __post_init__(self):
        self.data_rng, self._init_rng, self.model_rng, self._rng = self.random.split(
            self.random.key(self.seed), 4
        )
        self._keys: tuple[int, Any] = (-1, None)

    def init(self, model_params: Any, model_state: Any) -> TrainingState:
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
            if fault := self.fault(state, state):
                raise ReturnedError(function, fault, optimizer_state)
            return state

    def select(self, queue: Iterator[Any], state: TrainingState, step: int) -> Any:
        with self.calling("data_selection"):
            batch = self.submission.data_selection(
                self.workload,
                queue,
                *state,
                self.hyperparameters,
                step,
                self._key(step, 0),
            )
            if not isinstance(batch, dict | tuple | list):
                raise ReturnedError("data_selection", "must return a batch", batch)
            return batch

    def update(
        self,
        state: TrainingState,
        batch: Any,
        step: int,
        eval_results: EvalResults,
        train_state: dict[str, Any],
    ) -> TrainingState:
        arguments = {"batch": batch, "rng": self._key(step, 1)}
        if "train_state" in inspect.signature(self.submission.update_params).parameters:
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
            fault = "must return (optimizer_state, model_params, model_state)"
            if isinstance(returned, tuple | list) and len(returned) == 3:
                new = TrainingState(*returned)
                fault = self.fault(new, state)
                if fault is None:
                    return new
            raise ReturnedError(function, fault, returned)
