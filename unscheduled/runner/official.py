"""`--harness=official`: the same command line, run by the official runner.

The flags of both harnesses would clash in one process, so the official one gets a
process of its own, by way of `official_process`.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand
from unscheduled.runner.run_directory import check_free, experiment_path
from unscheduled.runner.submission import locate

_REPOSITORY = Path(__file__).resolve().parents[2]
_OURS_ALONE = ("harness", "clock")
_READ_ALREADY = ("flagfile", "undefok")  # by absl, which has the flags in it too

HOW_TO_INSTALL = (
    "--harness=official needs the official code, which is not installed: git clone "
    "https://github.com/mlcommons/algorithmic-efficiency, in it git checkout 2c90454 "
    "and pip install --editable '.[jax_cpu,pytorch_cpu,full]' (with jax_gpu or "
    "pytorch_gpu where there is one); its datasets/README.md is about the data."
)


def run(flags: Any) -> None:
    """Takes the place of this process with the official runner.

    Args:
      flags: absl's, of `scripts/run.py`; those the user gave are passed on, and the
        others are left to the official defaults.

    Raises:
      UserError: for a flag that only the embedded harness has, a run that is there
        already, or where there is no official code.
    """
    _refuse(flags)
    arguments = command(flags, _find_runner())
    _check_experiment(flags)
    sys.stdout.flush()
    path = [str(_REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    os.execve(sys.executable, arguments, environment)


def command(flags: Any, runner: Path) -> list[str]:
    """The command line of the official run.

    Args:
      flags: absl's.
      runner: the official `submission_runner.py`.
    """
    root, module = locate(flags.submission_path)
    changed = {
        "submission_path": module.replace(".", "/") + ".py",
        "experiment_dir": str(expand(flags.experiment_dir).resolve()),
    }
    given = {flags[name].name: flags[name] for name in flags if flags[name].present}
    passed = [
        f"--{name}={changed[name]}" if name in changed else flag.serialize()
        for name, flag in given.items()
        if name not in _OURS_ALONE + _READ_ALREADY
    ]
    process = "unscheduled.runner.official_process"
    return [sys.executable, "-m", process, str(runner), str(root), *passed]


def _find_runner() -> Path:
    """The official runner: beside the package, editable or not."""
    spec = importlib.util.find_spec("algoperf")
    for folder in (spec and spec.submodule_search_locations) or ():
        runner = Path(folder).parent / "submission_runner.py"
        if runner.is_file():
            return runner
    raise UserError(HOW_TO_INSTALL)


def _refuse(flags: Any) -> None:
    if flags["clock"].present:
        raise UserError("--clock needs --harness=embedded: official time is real.")
    if flags.rng_seed == 0:
        raise UserError(
            "--rng_seed=0 asks the official runner for a random seed: give another "
            "number, or leave it out."
        )


def _check_experiment(flags: Any) -> None:
    """Answers what the official runner would ask on the terminal, of its first rank."""
    is_first = os.environ.get("LOCAL_RANK", "0") == "0"
    if is_first and not (
        flags.append_timestamp or flags.overwrite or flags.resume_last_run
    ):
        check_free(
            experiment_path(
                flags.experiment_dir,
                flags.experiment_name,
                flags.workload,
                flags.framework,
            )
        )
