"""What a trial ran on and by which clock, from the JSON files beside its log."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_json
from unscheduled.benchmark.text import printable
from unscheduled.scoring.warnings import LogWarning, unreadable

_MAX_COUNT = 1_000_000
# The facts that are read: the form of a text, None for a count.
_FACTS = {
    "gpu_count": None,
    "gpu_model_name": ".*",
    "cpu_count": None,
    "cpu_model_name": ".*",
    "python_version": ".*",
    "torch_version": ".*",
    "jax_version": ".*",
    "git_commit_hash": ".*",
    "clock": r"wall|steps:([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?",
    "tuning_ruleset": ".*",
}


@dataclass(frozen=True)
class Hardware:
    """What times of a trial depend on; None where it is not recorded.

    Attributes:
      gpu_count: 0 where the machine is recorded, but no GPU.
      clock: `wall`, or `steps:<seconds>` where time was not measured but counted.
      tuning_ruleset: `external` or `self`.
    """

    gpu_model: str | None = None
    gpu_count: int | None = None
    clock: str = "wall"
    tuning_ruleset: str | None = None

    def __str__(self) -> str:
        if self.gpu_count is None:
            return "GPUs not recorded"
        if self.gpu_count == 0:
            return "no GPU"
        return f"{self.gpu_count} x {self.gpu_model or 'GPU of unknown model'}"


def hardware(trial_folder: Path) -> tuple[Hardware, list[LogWarning]]:
    """What a trial ran on at the end, and what is irregular in the files about it.

    Args:
      trial_folder: the folder of its log, with `meta_data_<preemption>.json` and
        `flags_<preemption>.json`.
    """
    meta, irregular = newest(trial_folder, "meta_data")
    flags, more = newest(trial_folder, "flags")
    # A machine without GPUs is recorded by its CPUs alone.
    n_gpus = 0 if "cpu_count" in meta else None
    found = Hardware(
        gpu_model=meta.get("gpu_model_name"),
        gpu_count=meta.get("gpu_count", n_gpus),
        clock=flags.get("clock", "wall"),
        tuning_ruleset=flags.get("tuning_ruleset"),
    )
    return found, irregular + more


def newest(trial_folder: Path, kind: str) -> tuple[dict[str, Any], list[LogWarning]]:
    """The facts of the last of a trial's files `<kind>_<preemption>.json`.

    Returns:
      Those of `_FACTS` that are there, in text that prints; none where the trial has no
      such file, or one that is irregular: no JSON object, or a fact of another form.
    """
    name = re.compile(re.escape(kind) + "_([0-9]+)[.]json")
    try:
        names = [m for p in trial_folder.iterdir() if (m := name.fullmatch(p.name))]
    except OSError as error:
        what = f"can't be listed: {error.strerror}"
        return {}, [LogWarning("broken_json", trial_folder, what)]
    if not names:
        return {}, []
    path = trial_folder / max(names, key=lambda m: (int(m[1]), m[0]))[0]
    try:
        content = read_json(path)
    except UserError as error:
        return {}, [unreadable("broken_json", path, error)]
    if not isinstance(content, dict):
        return {}, [LogWarning("broken_json", path, "is not a JSON object")]
    facts, irregular = {}, []
    for name in [name for name in _FACTS if content.get(name) is not None]:
        value = content[name]
        if _is_fact(name, value):
            facts[name] = printable(value) if isinstance(value, str) else value
        else:
            what = f"{name} is {printable(value, 40)!r}"
            irregular.append(LogWarning("broken_json", path, what))
    return ({} if irregular else facts), irregular


def _is_fact(name: str, value: Any) -> bool:
    form = _FACTS[name]
    if form is None:
        return type(value) is int and 0 <= value <= _MAX_COUNT
    return isinstance(value, str) and re.fullmatch(form, value, re.DOTALL) is not None
