"""The rehearsal: import, batch sizes, then a few steps on each workload."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.targets import read_target
from unscheduled.runner.backend import load_backend
from unscheduled.runner.search_space import read_search_space, trial_points
from unscheduled.runner.submission import Submission, load_submission
from unscheduled.submit.rehearsal import surroundings
from unscheduled.submit.rehearsal.report import CannotGoOnError, Report
from unscheduled.submit.rehearsal.tools import Tools, load_tools
from unscheduled.submit.rehearsal.training import Training
from unscheduled.submit.rules.workload_names import BASE_WORKLOADS

__all__ = ["CannotGoOnError", "rehearse"]

_HARNESS = ("tensorflow", "algoperf.pytorch_utils", "algoperf.jax_sharding_utils")
_NO_WORKLOAD = "no_such_workload"


def rehearse(task: dict[str, Any], report: Report) -> None:
    """Does what `unscheduled.submit.dry_run` asks for.

    Raises:
      CannotGoOnError: where it can't go on; what stopped it is in the report.
    """
    framework = task["framework"]
    backend, tools = load_backend(framework), load_tools(framework)
    _import_harness()
    tools.prepare(Path(task["folder"], "compiled"))
    report.reach("its import")
    submission = _import(task["submission"], tools, report)
    report.reach("its batch sizes")
    sizes = _batch_sizes(submission, task["workloads"], report)
    environment, settings = surroundings.environment(), tools.settings()
    for name in task["workloads"]:
        with report.calling(f"training on {name}"):
            training = Training(
                submission,
                backend,
                tools,
                report,
                name,
                framework,
                hyperparameters=_hyperparameters(task["search_space"]),
                data_dir=task["data_dir"] or str(Path(task["folder"], "data")),
                batch_size=sizes[name],
            )
            training.run(Path(task["folder"], f"checkpoint_{name}"))
    _report_changes(report, "training", environment, settings, tools)


def _import_harness() -> None:
    """Imports what the official runner has imported before any submission.

    These set flags and environment variables of their own.
    """
    for name in _HARNESS:
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)


def _hyperparameters(search_space: str | None) -> Any:
    if search_space is None:
        return None
    return trial_points(read_search_space(search_space), 1)[0]


def _import(path: str, tools: Tools, report: Report) -> Submission:
    """The submission, with whatever its import changed reported."""
    environment, settings = surroundings.environment(), tools.settings()
    flags = _defined_flags()
    with report.calling("the import"):
        try:
            submission = load_submission(path)
        except UserError as error:
            report.add("E102", str(error))
            raise CannotGoOnError from error
    if tools.uses_devices():
        message = (
            "the import takes devices, before the harness can set them up: do nothing "
            "at import."
        )
        report.add("W602", message)
    _report_changes(report, "the import", environment, settings, tools)
    new_flags = sorted(_defined_flags() - flags)
    if new_flags:
        message = f"the import defines the flags {', '.join(new_flags)}: use none."
        report.add("W602", message)
    return submission


def _defined_flags() -> set[str]:
    from absl import flags, logging  # which defines some of its own

    del logging
    return set(flags.FLAGS)


def _report_changes(
    report: Report,
    what: str,
    environment: dict[str, str],
    settings: dict[str, Any],
    tools: Tools,
) -> None:
    names = surroundings.changed(environment, surroundings.environment())
    if names:
        report.add("E606", f"{what} changes environment variables: {', '.join(names)}.")
    names = surroundings.changed(settings, tools.settings())
    if names:
        message = f"{what} changes settings of the framework: {', '.join(names)}."
        report.add("W602", message)


def _batch_sizes(
    submission: Submission, workloads: list[str], report: Report
) -> dict[str, int]:
    """The batch sizes for the embedded workloads; all official ones are asked for."""
    for name in BASE_WORKLOADS:
        with report.calling(f"get_batch_size({name!r})"):
            _check_size(submission.get_batch_size(name), name, report)
    try:
        _check_size(submission.get_batch_size(_NO_WORKLOAD), _NO_WORKLOAD, report)
    except ValueError:
        pass
    except Exception as error:
        message = (
            f"get_batch_size raises {type(error).__name__} for a name it does not "
            "know: raise ValueError, so that the harness asks for the base workload."
        )
        report.add("E602", message)
    sizes = {}
    for name in workloads:
        try:
            sizes[name] = int(submission.get_batch_size(name))
        except Exception:  # any kind: that was reported above
            sizes[name] = int(read_target(name).batch_size)
    return sizes


def _check_size(size: Any, name: str, report: Report) -> None:
    if not isinstance(size, int) or size <= 0:
        message = f"get_batch_size({name!r}) must be a positive int, got {size!r}."
        report.add("E602", message)
