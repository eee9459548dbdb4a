"""Folders of one submission that differ by a time after its name."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from unscheduled.scoring.find import FoundLog
from unscheduled.scoring.irregularities import Irregularity

LogT = TypeVar("LogT", bound=FoundLog)

# What the runners' --append_timestamp adds.
_STAMP = re.compile("(.+)(-[0-9]{4}(?:-[0-9]{2}){5})")


def join_timestamped(
    trials: Sequence[LogT],
) -> tuple[list[LogT], list[Irregularity]]:
    """Trials of `sub` and of `sub-2026-01-31-23-59-59` as of one submission, `sub`.

    A name that no other shares without its time is left as it is. Where both have a
    study of the same name, the time goes to that of the later one, which is another.
    """
    names = {trial.submission for trial in trials}
    stamps = {name: match for name in names if (match := _STAMP.fullmatch(name))}
    shared = Counter(stamps[name][1] if name in stamps else name for name in names)
    joined = {n: m for n, m in stamps.items() if shared[m[1]] > 1}
    owners: dict[tuple, str] = {}
    found = []
    for trial in sorted(trials, key=lambda t: (t.submission in joined, t.key)):
        folder = trial.submission
        if match := joined.get(folder):
            trial = replace(trial, submission=match[1])
            if owners.get(trial.key[:-1], folder) != folder:
                trial = replace(trial, study=trial.study + match[2])
        owners[trial.key[:-1]] = folder
        found.append(trial)
    folders = {
        trial.submission: trial.path.parents[3]
        for trial in trials
        if trial.submission in joined
    }
    return sorted(found, key=lambda trial: trial.key), [
        Irregularity("timestamped", folder, f"{joined[name][1]} with a time after it")
        for name, folder in sorted(folders.items())
    ]
