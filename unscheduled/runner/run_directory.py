"""Every path of a run, and how files are written: whole or not at all.

`<experiment_dir>/<experiment_name>/<workload>_<framework>/trial_<n>/`, as the official
runner lays it out and its scoring reads it.
"""

import contextlib
import datetime
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand

_CHECKPOINT = re.compile(r"checkpoint_(\d+)")


class TrialDirectory:
    """The paths of one trial.

    Args:
      path: `.../trial_<n>`.
    """

    def __init__(self, path: Path):
        self.path = path
        self.hparams = path / "hparams.json"
        self.measurements = path / "measurements.csv"
        self.eval_measurements = path / "eval_measurements.csv"
        self.outcome = path / "outcome.json"  # there once the trial has ended
        self.traces = path / "traces"

    def flags(self, preemption_count: int) -> Path:
        return self.path / f"flags_{preemption_count}.json"

    def meta_data(self, preemption_count: int) -> Path:
        return self.path / f"meta_data_{preemption_count}.json"

    def checkpoint(self, global_step: int) -> Path:
        return self.path / f"checkpoint_{global_step}"

    def checkpoints(self) -> list[Path]:
        """All whole checkpoints, oldest first; those being written do not count."""
        matches = [
            _CHECKPOINT.fullmatch(p.name) for p in self.path.glob("checkpoint_*")
        ]
        steps = sorted(int(m.group(1)) for m in matches if m)
        return [self.checkpoint(step) for step in steps]

    def remove_unfinished(self) -> None:
        """Removes what a killed process left half written."""
        for path in self.path.iterdir():
            if ".tmp" in path.name:
                remove(path)


def experiment_path(
    experiment_dir: str,
    experiment_name: str,
    workload: str,
    framework: str,
    append_timestamp: bool = False,
) -> Path:
    """The folder of an experiment's runs on one workload in one framework."""
    if append_timestamp:
        experiment_name += datetime.datetime.now().strftime("-%Y-%m-%d-%H-%M-%S")
    root = expand(experiment_dir).resolve()
    return root / experiment_name / f"{workload}_{framework}"


def open_experiment(path: Path, resume: bool, overwrite: bool) -> None:
    """Makes the folder of an experiment, or takes the one that is there.

    Raises:
      UserError: where it is there and neither flag says what to do with it.
    """
    if path.exists() and overwrite:
        shutil.rmtree(path)
    elif not resume:
        check_free(path)
    path.mkdir(parents=True, exist_ok=True)


def check_free(path: Path) -> None:
    """Raises UserError where an experiment is there that no flag tells to take."""
    if path.exists():
        raise UserError(
            f"{path} is there already: say --resume_last_run to go on with it, "
            "--overwrite to start anew, or another --experiment_name."
        )


def remove(path: Path) -> None:
    """Removes a file, or a folder with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` once the block has ended well.

    The content is on disk before the name changes, so that a crash at any moment
    leaves either the old file or the new one.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """As `whole_file`, for a folder that the block makes.

    What the block writes beside it, under names of its own, is removed too.
    """
    around = path.with_name(path.name + ".tmp")
    shutil.rmtree(around, ignore_errors=True)
    around.mkdir()
    try:
        yield around / path.name
        shutil.rmtree(path, ignore_errors=True)
        os.replace(around / path.name, path)
    finally:
        shutil.rmtree(around, ignore_errors=True)


def check_space(folder: Path, size: int) -> None:
    """Raises OSError where `size` bytes and some more do not fit into a folder.

    Writers of checkpoints say little, or a lot, where they run out of space.
    """
    needed, free = 1.2 * size + 1e6, shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"{os.strerror(errno.ENOSPC)}: {needed / 1e6:.1f} MB needed, "
            f"{free / 1e6:.1f} MB free",
        )


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
      UserError: where it is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not a JSON file: {error}.") from error
