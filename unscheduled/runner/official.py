"""`--harness=official`: the same command line, run by the official runner.

The flags of both harnesses would clash in one process, so the official one gets a
process of its own, by way of `official_process`.
"""

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand
from unscheduled.runner.run_directory import (
    check_free,
    experiment_path,
    lock_experiment,
)
from unscheduled.runner.submission import locate

_REPOSITORY = Path(__file__).resolve().parents[2]
_OURS_ALONE = ("harness", "clock")
_READ_ALREADY = ("flagfile", "undefok")  # by absl, which has the flags in it too

# What the official code needs and does not say, as versions that work with the others.
_UNSTATED = ("importlib_resources", "tensorflow-metadata<=1.17.2")
_WITH_TORCHVISION = ("cifar", "fastmri", "imagenet")  # how these workloads' names begin

HOW_TO_INSTALL = (
    "git clone https://github.com/mlcommons/algorithmic-efficiency, in it git checkout "
    "2c90454, then here make official ALGOPERF=/path/to/algorithmic-efficiency, and "
    "run with .venv-official/bin/python; its datasets/README.md is about the data."
)


def run(flags: Any) -> None:
    """Takes the place of this process with the official runner.

    Args:
      flags: absl's, of `scripts/run.py`; those the user gave are passed on, and the
        others are left to the official defaults.

    Raises:
      UserError: for a flag that only the embedded harness has, a run that is there
        already, or where there is no official code or not all that it needs.
    """
    _refuse(flags)
    arguments = command(flags, _find_runner())
    _check_environment(flags.framework, flags.workload)
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
    raise UserError(
        "--harness=official needs the official code, which is not installed: "
        + HOW_TO_INSTALL
    )


def _check_environment(framework: str, workload: str) -> None:
    """Raises UserError where a run needs what is not here, or not in a version for it.

    Upstream pins versions that are the measure of its times; others work too, and are
    told on standard error.
    """
    missing, other = [], []
    try:
        needs = [*_needs(framework, workload)]
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(
            "--harness=official finds the official code, but not installed: "
            + HOW_TO_INSTALL
        ) from error
    for need in needs:
        wanted = f"{need.name}{need.specifier}"
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(wanted)
            continue
        if not need.specifier.contains(version, prereleases=True):
            found = missing if wanted in _UNSTATED else other
            found.append(f"{wanted} (here {version})")
    if missing:
        raise UserError(
            f"--harness=official needs {', '.join(missing)}, which this environment "
            f"lacks: {HOW_TO_INSTALL}"
        )
    if other:
        print(f"Not in upstream's versions: {', '.join(other)}.", file=sys.stderr)


def _needs(framework: str, workload: str) -> Iterator[Requirement]:
    """What a run needs, of all that the official code declares and does not."""
    family = workload.partition("_")[0]
    has_torchvision = framework == "pytorch" and family in _WITH_TORCHVISION
    for need in map(Requirement, importlib.metadata.requires("algoperf") or ()):
        if need.name == "algoperf" or (
            need.name == "torchvision" and not has_torchvision
        ):
            continue
        # Both frameworks are imported whatever the run's is.
        extras = ("", "jax-core-deps", "jax-cpu", "pytorch-cpu", *_extras(family))
        if need.marker is None or any(
            need.marker.evaluate({"extra": extra}) for extra in extras
        ):
            yield need
    yield from map(Requirement, _UNSTATED)


def _extras(family: str) -> list[str]:
    """The extras of a family of workloads, such as librispeech-conformer's."""
    names = importlib.metadata.metadata("algoperf").get_all("Provides-Extra") or []
    return [name for name in names if name.partition("-")[0] == family]


def _refuse(flags: Any) -> None:
    if flags["clock"].present:
        raise UserError("--clock needs --harness=embedded: official time is real.")
    if flags.rng_seed == 0:
        raise UserError(
            "--rng_seed=0 asks the official runner for a random seed: give another "
            "number, or leave it out."
        )


def _check_experiment(flags: Any) -> None:
    """Answers what the official runner would ask on the terminal, of its first rank.

    A folder that is there is locked, as for our own runs: `exec` keeps the lock.
    """
    is_first = os.environ.get("LOCAL_RANK", "0") == "0"
    if not is_first or flags.append_timestamp:
        return
    path = experiment_path(
        flags.experiment_dir, flags.experiment_name, flags.workload, flags.framework
    )
    if not (flags.overwrite or flags.resume_last_run):
        check_free(path)
    if path.exists():
        lock_experiment(path)
