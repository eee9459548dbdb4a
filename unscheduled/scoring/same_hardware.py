"""Whether the times of logs compare with published ones: the hardware they ran on."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from unscheduled.scoring.irregularities import Irregularity
from unscheduled.scoring.logs import Trial
from unscheduled.scoring.meta_data import Hardware, hardware
from unscheduled.scoring.published import Published


def hardware_notes(
    trials: Sequence[Trial], published: Published
) -> tuple[list[str], list[Irregularity]]:
    """Say what the trials ran on beside what the published runs did.

    Reads the meta data and flags beside each trial's log.

    Returns:
      Sentences, a warning for each kind of difference; what was irregular about the
      files.
    """
    wanted = Hardware(published.gpu_model_name, published.gpu_count)
    notes = [
        f"The published runs had {wanted} each: times compare with those of other runs "
        "on the same hardware alone."
    ]
    found: Counter[Hardware] = Counter()
    irregular = []
    for trial in trials:
        ran_on, wrong = hardware(trial.path.parent)
        found[ran_on] += 1
        irregular += wrong
    n = len(trials)
    for text, count in _counts(found, str).items():
        if text != str(wanted):
            notes.append(
                f"Warning: not so {count} of {n} trials in the logs ({text}): their "
                "times, ratios and scores do not compare with the published ones."
            )
    for clock, count in _counts(found, lambda h: h.clock).items():
        if clock != "wall":
            notes.append(
                f"Warning: {count} of {n} trials in the logs ran by the clock {clock}: "
                "their seconds were counted, not measured."
            )
    for ruleset, count in _counts(found, lambda h: h.tuning_ruleset).items():
        if ruleset not in (None, published.ruleset):
            notes.append(
                f"Warning: {count} of {n} trials in the logs were made by the ruleset "
                f"{ruleset}, the published ones by {published.ruleset}."
            )
    if n and len(notes) == 1:
        notes.append("The trials in the logs ran on the same.")
    return notes, irregular


def _counts(found: Counter[Hardware], of: Callable[[Hardware], Any]) -> Counter:
    """How many trials each value of `of` has."""
    counts = Counter()
    for ran_on, count in found.items():
        counts[of(ran_on)] += count
    return counts
