"""What trials ran on and by which clock, from the JSON files beside their logs."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_json
from unscheduled.benchmark.text import printable
from unscheduled.scoring.logs import Trial
from unscheduled.scoring.published import Published
from unscheduled.scoring.warnings import LogWarning, unreadable

# The facts that are read, and their types.
_FACTS = {
    **dict.fromkeys(("gpu_count", "cpu_count"), int),
    **dict.fromkeys(("gpu_model_name", "cpu_model_name", "python_version"), str),
    **dict.fromkeys(("torch_version", "jax_version", "git_commit_hash"), str),
    **dict.fromkeys(("clock", "tuning_ruleset"), str),
}


def hardware_notes(
    trials: Sequence[Trial], published: Published
) -> tuple[list[str], list[LogWarning]]:
    """Whether the times of `trials` compare with published ones, in sentences.

    Reads the meta data and flags beside each log, and says what is wrong with them.
    """
    wanted, warnings, differences = gpus(vars(published)), [], Counter[str]()
    for trial in trials:
        meta, broken = newest(trial.path.parent, "meta_data")
        flags, also_broken = newest(trial.path.parent, "flags")
        warnings += broken + also_broken
        if (ran_on := gpus(meta)) != wanted:
            differences[
                f"ran on other hardware ({ran_on}): their times, ratios and scores do "
                "not compare with the published ones"
            ] += 1
        if (clock := flags.get("clock", "wall")) != "wall":
            what = f"ran by the clock {clock}: their seconds were counted, not measured"
            differences[what] += 1
        if (ruleset := flags.get("tuning_ruleset")) not in (None, published.ruleset):
            differences[
                f"were made by the ruleset {ruleset}, the published ones by "
                f"{published.ruleset}"
            ] += 1
    notes = [
        f"The published runs had {wanted} each: times compare with those of other runs "
        "on the same hardware alone."
    ]
    for what, n in differences.items():
        notes.append(f"Warning: {n} of {len(trials)} trials in the logs {what}.")
    if trials and not differences:
        notes.append("The trials in the logs ran on the same.")
    return notes, warnings


def gpus(facts: Mapping[str, Any]) -> str:
    """The GPUs of a machine; one that has none is recorded by its CPUs alone."""
    count = facts.get("gpu_count", 0 if "cpu_count" in facts else None)
    if count is None:
        return "GPUs not recorded"
    return f"{count} x {facts.get('gpu_model_name', 'GPU')}" if count else "no GPU"


def newest(trial: Path, kind: str) -> tuple[dict[str, Any], list[LogWarning]]:
    """The facts of the last of a trial's files `<kind>_<preemption>.json`.

    They are printable; where one is of another type, none is known.
    """
    name = re.compile(f"{kind}_([0-9]+)[.]json")
    found = ((name.fullmatch(path.name), path) for path in trial.glob("*.json"))
    numbered = [(int(match[1]), path) for match, path in found if match]
    if not numbered:
        return {}, []
    _, path = max(numbered)
    try:
        content = read_json(path)
    except UserError as error:
        return {}, [unreadable("broken_json", path, error)]
    if not isinstance(content, dict):
        return {}, [LogWarning("broken_json", path, "is not a JSON object")]
    facts = {}
    for name in _FACTS:
        value = content.get(name)
        if value is not None and type(value) is not _FACTS[name]:
            what = f"{name} is {printable(value, 40)!r}"
            return {}, [LogWarning("broken_json", path, what)]
        if value is not None:
            facts[name] = printable(value) if isinstance(value, str) else value
    return facts, []
