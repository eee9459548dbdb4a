"""What a trial ran on and by which clock, from the JSON files beside its log."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unscheduled.scoring.irregularities import Irregularity, printable
from unscheduled.scoring.log_file import UnusableError, read_bytes


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


def hardware(trial_folder: Path) -> tuple[Hardware, list[Irregularity]]:
    """What a trial ran on at the end, and what is irregular in the files about it.

    Args:
      trial_folder: the folder of its log, with `meta_data_<preemption>.json` and
        `flags_<preemption>.json`.
    """
    meta, irregular = newest(trial_folder, "meta_data")
    flags, more = newest(trial_folder, "flags")
    notes = [*irregular, *more]
    facts = {
        name: _fact(trial_folder, source, name, kind, notes)
        for source, name, kind in (
            (meta, "gpu_model_name", str),
            (meta, "gpu_count", int),
            (flags, "clock", str),
            (flags, "tuning_ruleset", str),
        )
    }
    # A machine without GPUs is recorded by its CPUs alone.
    cpu_alone = "gpu_count" not in meta and "cpu_count" in meta
    found = Hardware(
        gpu_model=facts["gpu_model_name"],
        gpu_count=0 if cpu_alone else facts["gpu_count"],
        clock=facts["clock"] or "wall",
        tuning_ruleset=facts["tuning_ruleset"],
    )
    return found, notes


def _fact(
    folder: Path, source: Mapping[str, Any], name: str, kind: type, notes: list
) -> Any:
    """`source[name]` where it is of that kind; else None, with a note if it's there."""
    value = source.get(name)
    if isinstance(value, str) and kind is str:
        return printable(value)
    if value is None or (type(value) is int and kind is int and value >= 0):
        return value
    notes.append(Irregularity("broken_json", folder, f"{name} is {str(value)[:40]!r}"))
    return None


def newest(trial_folder: Path, kind: str) -> tuple[dict[str, Any], list[Irregularity]]:
    """The last of a trial's files `<kind>_<preemption>.json`; empty where it has none.

    A file that is not a JSON object is read as an empty one, and is irregular.
    """
    name = re.compile(re.escape(kind) + "_([0-9]+)[.]json")
    try:
        names = [m for p in trial_folder.iterdir() if (m := name.fullmatch(p.name))]
    except OSError as error:
        what = f"can't be listed: {error.strerror}"
        return {}, [Irregularity("broken_json", trial_folder, what)]
    if not names:
        return {}, []
    path = trial_folder / max(names, key=lambda m: (int(m[1]), m[0]))[0]
    try:
        facts = json.loads(read_bytes(path)[0])
    except UnusableError as error:
        return {}, [Irregularity("broken_json", path, error.args[1])]
    except (ValueError, RecursionError) as error:
        return {}, [Irregularity("broken_json", path, f"not JSON: {error}")]
    if not isinstance(facts, dict):
        return {}, [Irregularity("broken_json", path, "not a JSON object")]
    return facts, []
