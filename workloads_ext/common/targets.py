"""Targets and budgets, read from `workload_targets.json`: their only home."""

import dataclasses
import json
import pathlib

import numpy as np

from unscheduled.scoring.targets import Target

__all__ = ["TARGETS_PATH", "Targets", "read_targets"]

TARGETS_PATH = pathlib.Path(__file__).parent.parent / "workload_targets.json"


@dataclasses.dataclass(frozen=True)
class Targets:
    """One workload's entry; times in seconds, `step_hint` in steps."""

    target_metric_name: str
    validation_target_value: float
    test_target_value: float
    step_hint: int
    max_allowed_runtime_sec: int
    eval_period_time_sec: int

    def reached_validation(self, eval_result: dict[str, float]) -> bool:
        """Whether the validation metric is at its target or better."""
        return self._reached("validation", eval_result, self.validation_target_value)

    def reached_test(self, eval_result: dict[str, float]) -> bool:
        """Whether the test metric is at its target or better."""
        return self._reached("test", eval_result, self.test_target_value)

    def _reached(self, split, eval_result, target) -> bool:
        value = np.asarray(eval_result[f"{split}/{self.target_metric_name}"])
        return bool(Target(self.target_metric_name, target).reached(value))


def read_targets(name: str, path: pathlib.Path = TARGETS_PATH) -> Targets:
    """Reads the entry of workload `name`.

    Raises:
      ValueError: if there is none, or its metric has no known direction.
    """
    facts = json.loads(path.read_text())
    entries = facts["workloads"]
    if name not in entries:
        raise ValueError(f"{path} has targets for {[*entries]}, not for {name!r}.")
    targets = Targets(**entries[name], **facts["run_settings"][name])
    Target(targets.target_metric_name, targets.validation_target_value)  # checks it
    return targets
