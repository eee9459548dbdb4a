"""What a change would be worth: a group scored with some of its cells assumed.

An assumption is `SUBMISSION/WORKLOAD=WHAT`; docs/leaderboard.md says what WHAT may be,
and what it means for studies that missed.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_text
from unscheduled.scoring.leaderboard import Leaderboard, rank
from unscheduled.scoring.scored import Scored
from unscheduled.scoring.times import MISS, Cells, Hit, Study, by_cell, workload_results
from unscheduled.scoring.uncertainty import N_RESAMPLES, ScoreInterval, score_intervals
from unscheduled.scoring.verdicts import miss, steps_needed

_NUMBER = r"([0-9]*\.?[0-9]+(?:e[0-9]+)?)"
_FIGURE = re.compile(rf"{_NUMBER} ?(s|steps)|(ms|steps) ?[*x] ?{_NUMBER}")


@dataclass(frozen=True)
class Assumption:
    """`text` as it was given, in parts."""

    text: str
    submission: str
    workload: str
    what: str

    def error(self, what: str) -> UserError:
        return UserError(f"--what_if={self.text}: {what}")

    def choose(self, kind: str, name: str, among: Sequence[str]) -> None:
        if name not in among:
            choices = ", ".join(among)
            raise self.error(f"no {kind} {name!r}, choose from {choices}.")


@dataclass(frozen=True)
class Change:
    assumption: Assumption
    times_sec: Mapping[str, tuple[float, float]]  # medians before and after
    score: float


@dataclass(frozen=True)
class WhatIf:
    """Scores by submission as they are and with all assumptions, best first."""

    changes: tuple[Change, ...]
    before: Mapping[str, float]
    after: Mapping[str, float]
    intervals: Mapping[str, ScoreInterval]


def read_assumptions(given: Sequence[str]) -> list[Assumption]:
    """Assumptions, and files that have one a line; # begins a comment.

    >>> read_assumptions(["a/wmt=ms*0.94"])[0].what
    'ms*0.94'
    """
    lines: list[str] = []
    for text in given:
        lines += [text] if "=" in text else read_text(text).splitlines()
    found = []
    for text in filter(None, (line.partition("#")[0].strip() for line in lines)):
        whom, _, what = text.partition("=")
        submission, _, workload = whom.partition("/")
        if not (submission and workload and what):
            raise UserError(
                f"--what_if={text} is no assumption: give SUBMISSION/WORKLOAD=WHAT, "
                "where WHAT is a submission, or as 3640s, 57000steps, ms*0.94 or "
                "steps*0.5."
            )
        names = (submission.strip(), workload.strip(), what.strip())
        found.append(Assumption(text, *names))
    return found


def what_if(
    scored: Scored, assumptions: Sequence[Assumption], n_resamples: int = N_RESAMPLES
) -> WhatIf:
    after = scored.studies
    for assumption in assumptions:
        after = _assume(after, assumption, scored)
    return WhatIf(
        changes=tuple(_alone(scored, each) for each in assumptions),
        before=_scores(scored.leaderboard),
        after=_scores(rank(workload_results(after), scored.benchmark)),
        intervals=score_intervals(after, scored.benchmark, n_resamples=n_resamples),
    )


def _assume(
    studies: Sequence[Study], assumption: Assumption, scored: Scored
) -> list[Study]:
    """`studies` with the cells that an assumption is about replaced."""
    cells, every = by_cell(studies), scored.benchmark.workloads
    name, workload = assumption.submission, assumption.workload
    assumption.choose("submission", name, scored.submissions)
    assumption.choose("workload", workload, (*every, "all"))
    workloads = every if workload == "all" else [workload]
    replaced = {(name, w): _cell(assumption, w, cells, scored) for w in workloads}
    if workload != "all" and not replaced[name, workload]:
        raise assumption.error(f"there are no studies of {workload}.")
    kept = [s for s in studies if not replaced.get((s.submission, s.workload))]
    return kept + [study for cell in replaced.values() for study in cell]


def _cell(
    assumption: Assumption, workload: str, cells: Cells, scored: Scored
) -> list[Study]:
    """The studies that are assumed; none where there is nothing to take them from."""
    name, target = assumption.submission, scored.benchmark.targets[workload]
    own = cells.get((name, workload), [])
    figure = _FIGURE.fullmatch(assumption.what)
    if figure is None:  # the studies of the fastest of those that are named
        names = assumption.what.split(",")
        for other in names:
            assumption.choose("submission", other, scored.submissions)
        ran = [cells[other, workload] for other in names if (other, workload) in cells]
        fastest = min(ran, key=lambda c: median(s.hit.time_sec for s in c), default=[])
        return [replace(study, submission=name) for study in fastest]
    amount, unit, scaled, factor = figure.groups()
    value = float(amount or factor)
    if not value:
        raise assumption.error(f"{value:g} is not above 0.")
    budget_sec = scored.ruleset.budget_sec(target.max_allowed_runtime_sec)
    if unit == "s":
        if value > budget_sec:
            raise assumption.error(f"{workload} has {budget_sec:.0f} s.")
        mine = {s.study: s.framework for s in scored.studies if s.submission == name}
        blank = [Study(name, workload, *each, MISS, 0, 1) for each in mine.items()]
        return [_reached(s, value, value / s.step_sec, math.inf) for s in own or blank]
    if unit == "steps":
        return [_reached(s, value * s.step_sec, value, budget_sec) for s in own]
    by = {"ms": 1.0, "steps": 1.0, scaled: value}
    changed = []
    for study in own:
        steps = study.hit.steps
        if study.hit == MISS:
            steps = steps_needed((name, workload), cells, target)
            if miss(study, target, budget_sec, steps)[0] != "too_slow":
                changed.append(study)
                continue
        paced, steps = (
            replace(study, step_sec=by["ms"] * study.step_sec),
            steps * by["steps"],
        )
        changed.append(_reached(paced, steps * paced.step_sec, steps, budget_sec))
    return changed


def _reached(study: Study, sec: float, steps: float, budget_sec: float) -> Study:
    """`study`, with the target reached then; a miss where that is not in the budget."""
    hit = MISS if sec > budget_sec else Hit(sec, steps, 0)
    return replace(study, hit=hit, n_hit=int(hit != MISS))


def _alone(scored: Scored, assumption: Assumption) -> Change:
    name = assumption.submission
    results = workload_results(_assume(scored.studies, assumption, scored))
    before, after = (
        {r.workload: r.time_sec for r in group if r.submission == name}
        for group in (scored.results, results)
    )
    times_sec = {w: (before.get(w, math.nan), sec) for w, sec in after.items()}
    changed = {w: pair for w, pair in times_sec.items() if pair[0] != pair[1]}
    score = _scores(rank(results, scored.benchmark))[name]
    return Change(assumption, changed, score)


def _scores(board: Leaderboard) -> dict[str, float]:
    return {row.submission: row.score for row in board.rows}
