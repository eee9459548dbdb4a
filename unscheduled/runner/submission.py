"""A submission: the functions of the API, from a file of the user's."""

import contextlib
import importlib
import inspect
import operator
import reprlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from unscheduled import spec
from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand
from unscheduled.benchmark.targets import read_target

REQUIRED = ("init_optimizer_state", "update_params", "data_selection", "get_batch_size")


class Submission(NamedTuple):
    """The functions of the AlgoPerf API; the optional ones may be None."""

    path: str
    init_optimizer_state: Callable[..., Any]
    update_params: Callable[..., Any]
    data_selection: Callable[..., Any]
    get_batch_size: Callable[[str], int]
    prepare_for_eval: Callable[..., Any] | None
    get_eval_batch_size: Callable[[str], int] | None

    @property
    def takes_train_state(self) -> bool:
        """Whether `update_params` asks for the run's train_state."""
        return "train_state" in inspect.signature(self.update_params).parameters


class SubmissionError(UserError):
    """An exception out of submitted code, whose author wants the traceback too."""


class ReturnedError(UserError):
    """A function of the API returned what it may not."""


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

    The folders that hold it are its packages, up to the outermost that has an
    `__init__.py`, as for the official runner. Where its own folder has none, it can
    import the files beside it by their names too.
    """
    folder, name = locate(submission_path)
    beside = expand(submission_path).resolve().parent
    if not (beside / "__init__.py").exists():
        sys.path.insert(0, str(beside))
    sys.path.insert(0, str(folder))
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
    """The global batch sizes of (training, evaluation), to divide over the devices."""
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
        size = operator.index(size)
    if size < 1:
        raise UserError(f"{submission.path}: {function} must be positive, got {size}.")
    return size
