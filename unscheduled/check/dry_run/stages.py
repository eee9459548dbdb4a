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
from unscheduled.check.dry_run import training
from unscheduled.check.dry_run.process import DONE
from unscheduled.runner.submission import Submission, load_submission

# What the official runner has imported before any submission; these set flags and
# environment variables of their own.
_HARNESS = ("tensorflow", "algoperf.pytorch_utils", "algoperf.jax_sharding_utils")
# What torch's compilers and its OpenMP set for themselves once they run.
_RUNTIMES = ("TORCHINDUCTOR_", "TRITON_", "KMP_")


def main() -> None:
    task, told, secret = json.load(sys.stdin)

    def tell(kind: str, value: Any) -> None:
        with open(told, "a") as file:
            file.write(json.dumps([kind, value]) + "\n")

    with contextlib.suppress(training.CannotGoOnError):  # why is in what was told
        dry_run(task, training.Report(Path(task["submission"]), tell))
    tell(DONE, secret)
    os._exit(0)  # not waiting for threads that the submission has started


def dry_run(task: dict[str, Any], report: training.Report) -> None:
    """Does what `process.run` asks for; raises `CannotGoOnError` where it can't."""
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
            training.Training(task, submission, tools, report, name, size).run()
    _report_changes(report, "training", surroundings, tools)


def _surroundings(tools: ModuleType) -> tuple[dict[str, Any], dict[str, Any]]:
    """The environment variables and settings that are nobody's but the benchmark's."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(_RUNTIMES)}
    return variables, tools.settings()


def _report_changes(
    report: training.Report, what: str, before: Any, tools: ModuleType
) -> None:
    variables, settings = map(training.changed, before, _surroundings(tools))
    if variables:
        report.add("E606", what, ", ".join(variables))
    if settings:
        report.add("W602", what, f"changes settings: {', '.join(settings)}")


def _batch_sizes(
    submission: Submission, workloads: list[str], report: training.Report
) -> dict[str, int]:
    """The batch sizes for the embedded workloads; all official ones are asked for."""
    sizes = {}
    official = load_benchmark(BENCHMARKS["0.6"]).base
    for name in (*official, *workloads, "no_such_workload"):
        with report.calling(f"get_batch_size({name!r})"):
            try:
                size = submission.get_batch_size(name)
            except (ValueError, LookupError) as error:
                if name in official:
                    raise
                if not isinstance(error, ValueError):  # which the API asks for
                    kind = type(error).__name__
                    report.add("E602", f"raise ValueError for other names, not {kind}")
                continue
            if not isinstance(size, int) or size <= 0:
                report.stop("E602", f"return a positive int, got {size!r} for {name}")
            sizes[name] = size
    return {n: sizes.get(n) or int(read_target(n).batch_size) for n in workloads}


if __name__ == "__main__":
    main()
