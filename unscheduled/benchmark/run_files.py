"""The files of a run: where they lie, what they are called, and whose they are.

`<experiment_dir>/<experiment_name>/<workload>_<framework>/trial_<n>/`, as the official
runner lays it out; its scoring reads `<submission>/<study>/` in front of the workload.
"""

import datetime
import fcntl
import os
import platform
import re
from pathlib import Path

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.read import expand
from unscheduled.benchmark.write import UNFINISHED, recover, whole

EVAL_MEASUREMENTS = "eval_measurements.csv"
ZIPPED = f"{EVAL_MEASUREMENTS}.gz"
OUTCOME = "outcome.json"  # there once the trial has ended
LAYOUT = (
    f"<submission>/<study>/<workload>_({'|'.join(FRAMEWORKS)})/trial_<N>/"
    f"{EVAL_MEASUREMENTS}"
)
TRIAL = re.compile("trial_([0-9]+)")
WORKLOAD = re.compile(f"(.+)_({'|'.join(FRAMEWORKS)})")
_CHECKPOINT = re.compile("checkpoint_(0|[1-9][0-9]*)")


class TrialDirectory:
    def __init__(self, path: Path):
        self.path = path
        self.hparams = path / "hparams.json"
        self.measurements = path / "measurements.csv"
        self.eval_measurements = path / EVAL_MEASUREMENTS
        self.outcome = path / OUTCOME

    @classmethod
    def numbered(cls, experiment: Path, number: int) -> "TrialDirectory":
        return cls(experiment / f"trial_{number}")

    def flags(self, preemption_count: int) -> Path:
        return self.path / f"flags_{preemption_count}.json"

    def meta_data(self, preemption_count: int) -> Path:
        return self.path / f"meta_data_{preemption_count}.json"

    def checkpoint(self, global_step: int) -> Path:
        return self.path / f"checkpoint_{global_step}"

    def checkpoints(self) -> list[Path]:
        """All checkpoints, oldest first, without those half written."""
        names = (path.name for path in self.path.glob("checkpoint_*"))
        steps = [int(m[1]) for name in names if (m := _CHECKPOINT.fullmatch(name))]
        return [self.checkpoint(step) for step in sorted(steps)]

    def recover(self) -> None:
        """Puts right the checkpoints that a killed process left half written."""
        for path in [*self.path.glob(f"checkpoint_*{UNFINISHED}")]:
            checkpoint = path.with_name(path.name.removesuffix(UNFINISHED))
            if _CHECKPOINT.fullmatch(checkpoint.name):
                recover(checkpoint)


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
    path = expand(experiment_dir) / experiment_name / f"{workload}_{framework}"
    return Path(os.path.realpath(path))  # so that no two paths lead to one run


def open_experiment(path: Path, resume: bool, overwrite: bool) -> Path:
    """Makes and locks the folder of an experiment, or takes the one that is there."""
    lock_experiment(path)
    recover(path)
    if overwrite:
        with whole(path) as empty:
            empty.mkdir()
    elif not resume:
        check_free(path)
    path.mkdir(exist_ok=True)
    return path


def lock_experiment(path: Path) -> None:
    """Keeps other runs out of an experiment for as long as this process lives.

    The lock is this process's own (POSIX, so on a network too), on a file beside the
    folder: no child inherits it, but an `exec` keeps it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_name(f".{path.name}.lock")
    # Never closed: closing any descriptor of the file would free the lock.
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    os.set_inheritable(descriptor, True)
    now = datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")
    holder = f"process {os.getpid()} on {platform.node()} since {now}"
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode(), 0)
    except (BlockingIOError, PermissionError) as error:
        known = os.pread(descriptor, 200, 0).decode(errors="replace")
        raise UserError(
            f"{path} is in use by {known or 'another process'}: wait until it ends, "
            "or choose another --experiment_name."
        ) from error
    except OSError as error:
        raise UserError(f"{file} can't be locked: {error.strerror}.") from error


def check_free(path: Path) -> None:
    """Raises UserError where an experiment is there that no flag tells to take."""
    if path.exists():
        raise UserError(
            f"{path} is there already: say --resume_last_run to go on with it, "
            "--overwrite to start anew, or another --experiment_name."
        )
