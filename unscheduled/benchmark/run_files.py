"""The files of a run: where they lie and what they are called.

`<experiment_dir>/<experiment_name>/<workload>_<framework>/trial_<n>/`, as the official
runner lays it out; its scoring reads `<submission>/<study>/` in front of the workload.
"""

import re
from pathlib import Path

from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.write import UNFINISHED, recover

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
