"""The process of the official runner: makes our workloads and submissions known to it.

Example:
  python -m unscheduled.runner.official_process \
      .../submission_runner.py FOLDER_OF_SUBMISSIONS --workload=digits_resnet ...
"""

import importlib
import os
import runpy
import sys
from pathlib import Path
from typing import Any

from unscheduled.benchmark.targets import read_target
from unscheduled.runner import embedded


def register_workloads() -> list[str]:
    """Adds the embedded workloads to the official registry; returns all names.

    Its entries are paths inside the package `algoperf.workloads`, which is told that
    it has a second folder.
    """
    package = importlib.import_module("algoperf.workloads")
    registry = importlib.import_module("algoperf.workloads.workloads")
    package.__path__.append(str(embedded.FOLDER))
    for name, info in embedded.registry().WORKLOADS.items():
        registry.WORKLOADS.setdefault(name, dict(info))
    return [*registry.WORKLOADS]


def give_batch_size(submission: str, workload: str) -> None:
    """Lets a submission that has no batch size for an embedded workload take its own.

    Args:
      submission: the module's path, as the official runner takes it.
      workload: an embedded one.
    """
    module: Any = importlib.import_module(
        submission.removesuffix(".py").replace("/", ".")
    )
    batch_sizes = module.get_batch_size

    def get_batch_size(workload_name: str) -> int:
        try:
            return batch_sizes(workload_name)
        except ValueError:
            if workload_name != workload:
                raise
            return int(read_target(workload).batch_size)

    module.get_batch_size = get_batch_size


def main(runner: str, submissions: str, flags: list[str]) -> int | None:
    """Runs the official runner as `__main__`, with its flags.

    Args:
      runner: the official `submission_runner.py`.
      submissions: the folder that the submission's module path starts in.
      flags: in the form --name=value.
    """
    names = register_workloads()
    fault = _fault(flags, names)
    if fault:
        print(f"Error: {fault}", file=sys.stderr)
        return 1
    sys.path[:0] = [submissions, str(Path(runner).parent)]
    sys.argv = [runner, *flags]
    workload = _value(flags, "workload")
    if workload in embedded.registry().WORKLOADS:
        give_batch_size(_value(flags, "submission_path"), workload)
    runpy.run_path(runner, run_name="__main__")
    return None


def _value(flags: list[str], name: str) -> str:
    (value,) = (f.partition("=")[2] for f in flags if f.startswith(f"--{name}="))
    return value


def _fault(flags: list[str], names: list[str]) -> str | None:
    """What the official runner would say in a traceback."""
    name = _value(flags, "workload")
    if name not in names:
        return f"--workload must be one of {', '.join(names)}, got {name!r}."
    if "LOCAL_RANK" in os.environ:
        import torch

        if not torch.cuda.is_available():
            return "torchrun with --harness=official needs GPUs: it has no other way."
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
