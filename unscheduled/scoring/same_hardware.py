"""Whether the times of logs compare with published ones: the hardware they ran on."""

from collections import Counter
from collections.abc import Sequence

from unscheduled.scoring.logs import Trial
from unscheduled.scoring.meta_data import Hardware, hardware
from unscheduled.scoring.published import Published
from unscheduled.scoring.warnings import LogWarning


def hardware_notes(
    trials: Sequence[Trial], published: Published
) -> tuple[list[str], list[LogWarning]]:
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
    found = [hardware(trial.path.parent) for trial in trials]
    n = len(trials)
    for text, count in Counter(str(ran_on) for ran_on, _ in found).items():
        if text != str(wanted):
            notes.append(
                f"Warning: not so {count} of {n} trials in the logs ({text}): their "
                "times, ratios and scores do not compare with the published ones."
            )
    for clock, count in Counter(ran_on.clock for ran_on, _ in found).items():
        if clock != "wall":
            notes.append(
                f"Warning: {count} of {n} trials in the logs ran by the clock {clock}: "
                "their seconds were counted, not measured."
            )
    for ruleset, count in Counter(h.tuning_ruleset for h, _ in found).items():
        if ruleset not in (None, published.ruleset):
            notes.append(
                f"Warning: {count} of {n} trials in the logs were made by the ruleset "
                f"{ruleset}, the published ones by {published.ruleset}."
            )
    if n and len(notes) == 1:
        notes.append("The trials in the logs ran on the same.")
    return notes, [one for _, irregular in found for one in irregular]
