"""What a change would be worth: a group scored with some of its cells assumed.

An assumption is `SUBMISSION/WORKLOAD=WHAT`; WORKLOAD may be `all`, and WHAT is one of

NAME or NAME,NAME   the studies of NAME; of several, those of the fastest there
3640s               seconds to the target, in every study
57000steps          steps to the target, at what a step takes in each study
ms*0.94             a factor on what a step takes
steps*0.5           a factor on the steps to the target

Assumptions hold one after another. Under a factor, a study that was too slow (see
`verdicts`) reaches the target in the steps that are needed, where they fit into the
budget; one that missed for another reason misses still.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_text
from unscheduled.benchmark.targets import Target
from unscheduled.scoring.leaderboard import Leaderboard, rank
from unscheduled.scoring.scored import Scored
from unscheduled.scoring.times import MISS, Cells, Hit, Study, by_cell, workload_results
from unscheduled.scoring.uncertainty import (
    N_RESAMPLES,
    ScoreInterval,
    score_intervals,
)
from unscheduled.scoring.verdicts import miss, steps_needed

_NUMBER = "([0-9.]+(?:e[0-9]+)?)"
_TIME = re.compile(_NUMBER + " ?s")
_STEPS = re.compile(_NUMBER + " ?steps")
_FACTOR = re.compile("(ms|steps) ?[*x] ?" + _NUMBER)


@dataclass(frozen=True)
class Assumption:
    """`text` as it was given; of `submission` on `workload`, or on `all`."""

    text: str
    submission: str
    workload: str
    what: str


@dataclass(frozen=True)
class Change:
    """What one assumption does, the others left out.

    Attributes:
      times_sec: workload -> median before and after, where they differ.
      score: of the submission with this assumption alone.
    """

    assumption: Assumption
    times_sec: Mapping[str, tuple[float, float]]
    score: float


@dataclass(frozen=True)
class WhatIf:
    """A group as it is and as it would be.

    Attributes:
      before, after: scores by submission; after with all assumptions, best first.
      intervals: of the scores after, by resampling the studies.
    """

    changes: tuple[Change, ...]
    before: Mapping[str, float]
    after: Mapping[str, float]
    intervals: Mapping[str, ScoreInterval]


def read_assumptions(given: Sequence[str]) -> list[Assumption]:
    """Assumptions, and files that have one a line; # begins a comment.

    >>> read_assumptions(["a/wmt=ms*0.94"])[0].what
    'ms*0.94'

    Raises:
      UserError: there is no such file.
      UserError: one of them is no assumption.
    """
    lines: list[str] = []
    for text in given:
        file = [] if "=" in text else read_text(Path(text)).splitlines()
        lines += file or [text]
    lines = [line.partition("#")[0].strip() for line in lines]
    return [_assumption(line) for line in lines if line]


def what_if(
    scored: Scored, assumptions: Sequence[Assumption], n_resamples: int = N_RESAMPLES
) -> WhatIf:
    """Score the group with all of the assumptions, and with each alone.

    Raises:
      UserError: an assumption names what is not there, or can't be.
    """
    after = scored.studies
    for assumption in assumptions:
        after = assume(after, assumption, scored)
    board = rank(workload_results(after), scored.benchmark)
    return WhatIf(
        changes=tuple(_alone(scored, each) for each in assumptions),
        before=_scores(scored.leaderboard),
        after=_scores(board),
        intervals=score_intervals(after, scored.benchmark, n_resamples=n_resamples),
    )


def assume(
    studies: Sequence[Study], assumption: Assumption, scored: Scored
) -> list[Study]:
    """`studies` with the cells that an assumption is about replaced."""
    cells, benchmark = by_cell(studies), scored.benchmark
    name, workload = assumption.submission, assumption.workload
    _choose(assumption, "submission", name, scored.submissions)
    _choose(assumption, "workload", workload, (*benchmark.workloads, "all"))
    workloads = benchmark.workloads if workload == "all" else [workload]
    replaced = {(name, w): _cell(assumption, w, cells, scored) for w in workloads}
    if workload != "all" and not replaced[name, workload]:
        raise UserError(
            f"--what_if={assumption.text}: there are no studies of {workload}."
        )
    kept = [s for s in studies if not replaced.get((s.submission, s.workload))]
    return kept + [study for cell in replaced.values() for study in cell]


def _cell(
    assumption: Assumption, workload: str, cells: Cells, scored: Scored
) -> list[Study]:
    """The studies that are assumed; none where there is nothing to take them from."""
    what, key = assumption.what, (assumption.submission, workload)
    own, target = cells.get(key, []), scored.benchmark.targets[workload]
    budget_sec = scored.ruleset.budget_sec(target.max_allowed_runtime_sec)
    if time := _TIME.fullmatch(what):
        sec = _positive(assumption, time[1])
        if sec > budget_sec:
            raise UserError(
                f"--what_if={assumption.text}: {workload} has {budget_sec:.0f} s."
            )
        mine = [s for s in scored.studies if s.submission == key[0]]
        blank = {s.key[2:]: Study(*key, s.study, s.framework, MISS, 0, 1) for s in mine}
        return [
            _reached(s, sec, sec / s.step_sec, math.inf) for s in own or blank.values()
        ]
    if steps := _STEPS.fullmatch(what):
        n = _positive(assumption, steps[1])
        return [_reached(s, n * s.step_sec, n, budget_sec) for s in own]
    if factor := _FACTOR.fullmatch(what):
        by = {"ms": 1.0, "steps": 1.0, factor[1]: _positive(assumption, factor[2])}
        needed = steps_needed(key, cells, target) if own else math.nan
        return [
            _scaled(s, **by, needed=needed, target=target, budget_sec=budget_sec)
            for s in own
        ]
    names = what.split(",")
    for name in names:
        _choose(assumption, "submission", name, scored.submissions)
    ran = [cells[name, workload] for name in names if (name, workload) in cells]
    fastest = min(ran, key=lambda c: median(s.hit.time_sec for s in c), default=[])
    return [replace(study, submission=key[0]) for study in fastest]


def _scaled(
    study: Study,
    ms: float,
    steps: float,
    needed: float,
    target: Target,
    budget_sec: float,
) -> Study:
    """A study by factors on the time a step and on the steps to the target."""
    taken = study.hit.steps
    if study.hit == MISS:
        if miss(study, target, budget_sec, needed)[0] != "too_slow":
            return study
        taken = needed
    study = replace(study, step_sec=ms * study.step_sec)
    return _reached(study, steps * taken * study.step_sec, steps * taken, budget_sec)


def _reached(study: Study, sec: float, steps: float, budget_sec: float) -> Study:
    """`study`, with the target reached then; a miss where that is not in the budget."""
    hit = MISS if sec > budget_sec else Hit(sec, steps, 0)
    return replace(study, hit=hit, n_hit=int(hit != MISS))


def _alone(scored: Scored, assumption: Assumption) -> Change:
    name = assumption.submission
    results = workload_results(assume(scored.studies, assumption, scored))
    before, after = (
        {r.workload: r.time_sec for r in group if r.submission == name}
        for group in (scored.results, results)
    )
    return Change(
        assumption=assumption,
        times_sec={
            workload: (before.get(workload, math.nan), sec)
            for workload, sec in after.items()
            if before.get(workload) != sec
        },
        score=_scores(rank(results, scored.benchmark))[name],
    )


def _scores(board: Leaderboard) -> dict[str, float]:
    return {row.submission: row.score for row in board.rows}


def _assumption(text: str) -> Assumption:
    whom, equals, what = text.partition("=")
    submission, slash, workload = whom.partition("/")
    if not (equals and slash and submission and workload and what):
        raise UserError(
            f"--what_if={text} is no assumption: give SUBMISSION/WORKLOAD=WHAT, where "
            "WHAT is a submission, or as 3640s, 57000steps, ms*0.94 or steps*0.5."
        )
    return Assumption(text, submission.strip(), workload.strip(), what.strip())


def _positive(assumption: Assumption, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise UserError(f"--what_if={assumption.text}: {number} is not above 0.")
    return value


def _choose(assumption: Assumption, kind: str, name: str, among: Sequence[str]) -> None:
    if name not in among:
        raise UserError(
            f"--what_if={assumption.text}: no {kind} {name!r}, choose from "
            f"{', '.join(among)}."
        )
