"""The stages of a dry run: import, batch sizes, then a few steps on each workload."""

import contextlib
import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from unscheduled.benchmark.targets import BENCHMARKS, load_benchmark, read_target
from unscheduled.check.dry_run.process import DONE
from unscheduled.check.dry_run.report import CannotGoOnError, Report, changed
from unscheduled.check.dry_run.training import Training
from unscheduled.runner.submission import Submission, load_submission

# What the official runner has imported before any submission; these set flags and
# environment variables of their own.
_HARNESS = ("tensorflow", "algoperf.pytorch_utils", "algoperf.jax_sharding_utils")
# What torch's compilers and its OpenMP set for themselves once they run.
_RUNTIMES = ("TORCHINDUCTOR_", "TRITON_", "KMP_")


def main(task: dict[str, Any]) -> None:
    """A dry run in this process, which it ends."""
    with open(task["told"], "w", buffering=1) as file:

        def tell(kind: str, value: Any) -> None:
            file.write(json.dumps([kind, value]) + "\n")

        with contextlib.suppress(CannotGoOnError):  # why is in what was told
            dry_run(task, Report(Path(task["submission"]), tell))
        tell(DONE, None)
    os._exit(0)  # not waiting for threads that the submission has started


def dry_run(task: dict[str, Any], report: Report) -> None:
    """Does what `process.run` asks for.

    Raises:
      CannotGoOnError: where it can't go on; what stopped it is in the report.
    """
    tools = importlib.import_module(f"unscheduled.check.dry_run.{task['framework']}")
    for name in _HARNESS:
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    tools.prepare(Path(task["folder"], "compiled"))
    report.reach("its import")
    surroundings = _surroundings(tools)
    with report.calling("the import"):
        submission = load_submission(task["submission"])
    if tools.uses_devices():
        report.add("W602", "the import", "takes devices, which the harness sets up")
    _report_changes(report, "the import", surroundings, tools)
    report.reach("its batch sizes")
    sizes = _batch_sizes(submission, task["workloads"], report)
    surroundings = _surroundings(tools)
    for name, size in sizes.items():
        with report.calling(f"training on {name}"):
            Training(task, submission, tools, report, name, size).run()
    _report_changes(report, "training", surroundings, tools)


def _surroundings(tools: ModuleType) -> tuple[dict[str, Any], dict[str, Any]]:
    """The environment variables and settings that are nobody's but the benchmark's."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(_RUNTIMES)}
    return variables, tools.settings()


def _report_changes(report: Report, what: str, before: Any, tools: ModuleType) -> None:
    variables, settings = map(changed, before, _surroundings(tools))
    if variables:
        report.add("E606", what, ", ".join(variables))
    if settings:
        report.add("W602", what, f"changes settings: {', '.join(settings)}")


def _batch_sizes(
    submission: Submission, workloads: list[str], report: Report
) -> dict[str, int]:
    """The batch sizes for the embedded workloads; all official ones are asked for."""

    def size_for(name: str) -> int:
        size = submission.get_batch_size(name)
        if not isinstance(size, int) or size <= 0:
            report.stop("E602", f"return a positive int, got {size!r} for {name}")
        return size

    for name in load_benchmark(BENCHMARKS["0.6"]).base:
        with report.calling(f"get_batch_size({name!r})"):
            size_for(name)
    sizes = {name: int(read_target(name).batch_size) for name in workloads}
    for name in (*workloads, "no_such_workload"):
        with report.calling(f"get_batch_size({name!r})"):
            try:
                sizes[name] = size_for(name)
            except ValueError:  # as the API has it for a name it doesn't know
                pass
            except LookupError as error:
                kind = type(error).__name__
                report.add("E602", f"raise ValueError for other names, not {kind}")
    return {name: sizes[name] for name in workloads}


if __name__ == "__main__":
    main(json.load(sys.stdin))
