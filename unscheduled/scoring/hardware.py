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
_TEXTS = """gpu_model_name cpu_model_name python_version torch_version jax_version
git_commit_hash clock tuning_ruleset"""
_FACTS = {"gpu_count": int, "cpu_count": int, **dict.fromkeys(_TEXTS.split(), str)}


def hardware_notes(
    trials: Sequence[Trial], published: Published
) -> tuple[list[str], list[LogWarning]]:
    """Whether `trials` compare with published ones, by the JSON files beside each."""
    wanted, warnings, differences = gpus(vars(published)), [], Counter[str]()
    for trial in trials:
        meta, broken = newest(trial.path.parent, "meta_data")
        flags, also_broken = newest(trial.path.parent, "flags")
        warnings += broken + also_broken
        clock, ruleset = flags.get("clock", "wall"), flags.get("tuning_ruleset")
        sentences = {
            f"ran on other hardware ({gpus(meta)}): their times, ratios and scores do "
            "not compare with the published ones": gpus(meta) != wanted,
            f"ran by the clock {clock}: their seconds were counted, not measured": clock
            != "wall",
            f"were made by the ruleset {ruleset}, the published ones by "
            f"{published.ruleset}": ruleset not in (None, published.ruleset),
        }
        differences.update(what for what, differs in sentences.items() if differs)
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
    """The last of a trial's `<kind>_<preemption>.json`; printable, and all or none."""
    name = re.compile(f"{kind}_([0-9]+)[.]json")
    found = ((name.fullmatch(path.name), path) for path in trial.glob("*.json"))
    numbered = [(int(match[1]), path) for match, path in found if match]
    if not numbered:
        return {}, []
    _, path = max(numbered)
    facts = {}
    try:
        content = read_json(path)
        if not isinstance(content, dict):
            raise UserError("is not a JSON object")
        for name, kind_of_fact in _FACTS.items():
            if (value := content.get(name)) is not None:
                if type(value) is not kind_of_fact:
                    raise UserError(f"{name} is {printable(value, 40)!r}")
                facts[name] = printable(value) if isinstance(value, str) else value
    except UserError as error:
        return {}, [unreadable("broken_json", path, error)]
    return facts, []
