"""`--harness=official`: the same command line, run by the official runner.

The flags of both would clash in one process, so `run` replaces this process by another,
in which `main` makes our workloads and submissions known to the official runner.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import runpy
import sys
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from unscheduled.benchmark import run_files
from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand
from unscheduled.benchmark.targets import read_target
from unscheduled.runner import embedded
from unscheduled.runner.submission import locate

_REPOSITORY = Path(__file__).resolve().parents[2]
# Flags of ours alone, and of absl's, which has read what they say already.
_NOT_PASSED_ON = ("harness", "clock", "scale", "fetch_sec", "flagfile", "undefok")

# What the official code needs and does not say, as versions that work with the others.
_UNSTATED = ("importlib_resources", "tensorflow-metadata<=1.17.2")
_WITH_TORCHVISION = ("cifar", "fastmri", "imagenet")  # how these workloads' names begin

HOW_TO_INSTALL = (
    "git clone https://github.com/mlcommons/algorithmic-efficiency, in it git checkout "
    "2c90454, then here make official ALGOPERF=/path/to/algorithmic-efficiency, and "
    "run with .venv-official/bin/python; its datasets/README.md is about the data."
)


def run(flags: Any) -> None:
    """Replaces this process by the official runner, with the flags the user gave."""
    if flags["clock"].present:
        raise UserError("--clock needs --harness=embedded: official time is real.")
    if flags["scale"].present:
        raise UserError("--scale needs --harness=embedded: official sizes are fixed.")
    if flags["fetch_sec"].present:
        raise UserError("--fetch_sec needs --harness=embedded: official data are real.")
    if flags.rng_seed == 0:
        raise UserError(
            "--rng_seed=0 asks the official runner for a random seed: give another "
            "number, or leave it out."
        )
    runner = _find_runner()
    root, module = locate(flags.submission_path)
    _check_environment(flags.framework, flags.workload)
    _check_experiment(flags)
    sys.stdout.flush()
    path = [str(_REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    changed = {
        "submission_path": module.replace(".", "/") + ".py",
        "experiment_dir": str(expand(flags.experiment_dir).resolve()),
    }
    given = {flags[name].name: flags[name] for name in flags if flags[name].present}
    passed = [
        f"--{name}={changed[name]}" if name in changed else flag.serialize()
        for name, flag in given.items()
        if name not in _NOT_PASSED_ON
    ]
    command = [sys.executable, "-m", __name__, str(runner), str(root), *passed]
    os.execve(sys.executable, command, environment)


def _find_runner() -> Path:
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
    """Raises UserError where a run lacks a package; names versions not upstream's."""
    family = workload.partition("_")[0]  # whose extra may be librispeech-conformer
    skipped = {"algoperf"}
    if framework != "pytorch" or family not in _WITH_TORCHVISION:
        skipped.add("torchvision")
    # Both frameworks are imported whatever the run's is.
    extras = ["", "jax-core-deps", "jax-cpu", "pytorch-cpu"]
    provided = importlib.metadata.metadata("algoperf").get_all("Provides-Extra") or []
    extras += [name for name in provided if name.partition("-")[0] == family]
    missing, other = [], []
    for text in [*(importlib.metadata.requires("algoperf") or ()), *_UNSTATED]:
        need = Requirement(text)
        marker = need.marker
        if need.name in skipped or not (
            marker is None or any(marker.evaluate({"extra": e}) for e in extras)
        ):
            continue
        wanted = f"{need.name}{need.specifier}"
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(wanted)
            continue
        if not need.specifier.contains(version, prereleases=True):
            found = missing if text in _UNSTATED else other
            found.append(f"{wanted} (here {version})")
    if missing:
        raise UserError(
            f"--harness=official needs {', '.join(missing)}, which this environment "
            f"lacks: {HOW_TO_INSTALL}"
        )
    if other:
        print(f"Not in upstream's versions: {', '.join(other)}.", file=sys.stderr)


def _check_experiment(flags: Any) -> None:
    """Answers what the official runner would ask on the terminal, in the first rank."""
    if os.environ.get("LOCAL_RANK", "0") != "0" or flags.append_timestamp:
        return
    path = run_files.experiment_path(
        flags.experiment_dir, flags.experiment_name, flags.workload, flags.framework
    )
    if not (flags.overwrite or flags.resume_last_run):
        run_files.check_free(path)
    if path.exists():
        run_files.lock_experiment(path)  # which `exec` keeps


def main(runner: str, submissions: str, flags: list[str]) -> None:
    """Runs the official `submission_runner.py`, with flags in the form --name=value."""
    ours = embedded.registry().ALL
    package = importlib.import_module("algoperf.workloads")
    registry = importlib.import_module("algoperf.workloads.workloads")
    package.__path__.append(str(embedded.FOLDER))  # where entries' paths begin
    for name, info in ours.items():
        registry.WORKLOADS.setdefault(name, dict(info))
    values = {name: value for name, _, value in (f.partition("=") for f in flags)}
    workload = values["--workload"]
    if workload not in registry.WORKLOADS:
        choices = ", ".join(registry.WORKLOADS)
        sys.exit(f"Error: --workload must be one of {choices}, got {workload!r}.")
    sys.path[:0] = [submissions, str(Path(runner).parent)]
    sys.argv = [runner, *flags]
    if workload in ours:
        give_batch_size(values["--submission_path"], workload)
    runpy.run_path(runner, run_name="__main__")


def give_batch_size(submission: str, workload: str) -> None:
    """Gives a submission that has no batch size for an embedded workload its own."""
    name = submission.removesuffix(".py").replace("/", ".")
    module: Any = importlib.import_module(name)
    batch_sizes = module.get_batch_size

    def get_batch_size(workload_name: str) -> int:
        try:
            return batch_sizes(workload_name)
        except ValueError:
            if workload_name != workload:
                raise
            return int(read_target(workload).batch_size)

    module.get_batch_size = get_batch_size


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
