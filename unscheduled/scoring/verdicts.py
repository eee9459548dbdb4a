"""Why a submission has the time that it has on a workload, or none: in words, by rules.

docs/leaderboard.md has the rules in their order, and what the steps needed are.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from unscheduled.benchmark.tables import Table, number
from unscheduled.benchmark.targets import Target
from unscheduled.scoring import profiles
from unscheduled.scoring.comparison import PARTS_NOTE
from unscheduled.scoring.scored import Scored
from unscheduled.scoring.times import MISS, Cells, Result, Study, approach, by_cell

LOST = 1 / 3
EARLY = 0.9  # of a run, and of a budget
CLOSE = 1.2  # a factor below it is told in percent
DEAR = 1.25  # a factor from which on the cost of a step is worth a word
WHY_NOTE = (
    "Seconds: the median to the target; fastest: of the group. The rest is about the "
    "middle study, up to its hit or its last evaluation. Needed: by the submission's "
    "own hits, else the median of the others', else the benchmark's step_hint. Of "
    "usual: over the median ms a step of all submissions in the same framework. "
    f"{PARTS_NOTE}"
)
FRAMEWORK_NOTE = (
    "What the choice of a framework decides before any algorithm does: the median over "
    "the submissions of the group, whose batch sizes may differ."
)

# workload -> framework -> submission -> seconds a step, the median of its studies
StepCosts = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True)
class Verdict:
    """On one submission on one workload; a figure is NaN where it is unknown.

    The kind of a hit is `fastest`, `reached` or `filtered` (over 4x the fastest, or by
    a held-out variant); of a miss `never_ran`, `diverged`, `stopped`, `ended`,
    `too_slow` or `not_enough`.
    """

    kind: str
    words: str
    best: float = math.nan
    budget_used: float = math.nan  # share, to the target or to the last evaluation
    run_steps: float = math.nan  # to there
    steps_needed: float = math.nan
    step_sec: float = math.nan
    step_ratio: float = math.nan  # to the median of all in the same framework


NEVER_RAN = Verdict("never_ran", "never ran")
Verdicts = Mapping[tuple[str, str], Verdict]  # (submission, workload) -> verdict


def verdicts(scored: Scored) -> Verdicts:
    """On every submission and every workload that anybody ran."""
    cells, costs = by_cell(scored.studies), step_costs(scored.studies)
    found = {}
    for workload in scored.leaderboard.workloads_run:
        target = scored.benchmark.targets[workload]
        budget_sec = scored.ruleset.budget_sec(target.max_allowed_runtime_sec)
        ran = scored.results_on(workload)
        fastest = next(iter(ran.values()))
        for row in scored.leaderboard.rows:
            key = row.submission, workload
            if row.submission not in ran:
                found[key] = NEVER_RAN
                continue
            study = typical(cells[key], target)
            needed = steps_needed(key, cells, target)
            ratio, dear = cost(study, costs.get(workload, {}))
            if study.hit == MISS:
                told = miss(study, target, budget_sec, needed, dear)
                sec, steps = study.course.end_sec, study.course.end_steps
            else:
                base = dict(zip(scored.benchmark.base, row.ratios, strict=True))
                counts = math.isfinite(base.get(workload, 1.0))
                told = hit(ran[row.submission], fastest, counts)
                sec, steps = study.hit.time_sec, study.hit.steps
            figures = (study.best, _over(sec, budget_sec), steps, needed)
            found[key] = Verdict(*told, *figures, study.step_sec, ratio)
    return found


def hit(result: Result, fastest: Result, counts: bool = True) -> tuple[str, str]:
    """The kind and words of a hit, which `counts` if the filters of the score leave it.

    >>> hit(Result("a", "x", 6.0, 9, 3, 3), Result("b", "x", 4.0, 3, 3, 3))
    ('reached', '1.50x the time of b: 3.00x the steps, 0.50x the time a step')
    """
    if not counts and result.time_sec <= profiles.SLOWEST * fastest.time_sec:
        return "filtered", "reached, but not on the held-out variant: counts as a miss"
    if result.time_sec == fastest.time_sec:
        return "fastest", "fastest"
    time = _over(result.time_sec, fastest.time_sec)
    steps = _over(result.steps, fastest.steps)
    words = f"{time:.2f}x the time of {fastest.submission}"
    if steps > 0 and time > 0:
        words += f": {steps:.2f}x the steps, {time / steps:.2f}x the time a step"
    if counts:
        return "reached", words
    return "filtered", f"{words}; over {profiles.SLOWEST:g}x counts as a miss"


def miss(
    study: Study, target: Target, budget_sec: float, needed: float, dear: str = ""
) -> tuple[str, str]:
    """The kind and words of a miss by the first rule that holds.

    `needed` steps are NaN where unknown; `dear` is a remark on the cost of a step.
    """
    course, share = study.course, _over(1, budget_sec)
    if math.isnan(course.end_sec):
        return NEVER_RAN.kind, NEVER_RAN.words
    if math.isnan(study.best):
        return "diverged", f"diverged: never a finite {target.metric}"
    near = _of_budget(course.near_sec * share)
    if course.lost >= LOST:
        return "diverged", f"diverged after {near}"
    short = f"{100 * approach(study.best, target).short:.2g}% short"
    factor = _over(needed, course.end_steps)
    run = EARLY if not factor > 1 else 1 / 2
    if course.near_sec < run * course.end_sec:
        worse = " and got worse" if course.lost > 0.05 else ""
        return "stopped", f"stopped improving at {near}{worse}, {short}"
    if course.end_sec * share < EARLY:
        return "ended", f"ended at {_of_budget(course.end_sec * share)}, {short}"
    if factor > 1:
        words = f"too slow: would need {factor:.1f}x the steps it had"
        if factor < CLOSE:
            words = f"too slow by {max(1, 100 * (factor - 1)):.0f}%"
        return "too_slow", f"{words}{dear}"
    had = f"{1 / factor:.1f}x the steps needed" if factor > 0 else "its whole run"
    return "not_enough", f"not enough progress in {had}, {short}"


def typical(studies: Sequence[Study], target: Target) -> Study:
    """The middle one of the hits, by time, where they decide; else of the misses."""
    hits = [study for study in studies if study.hit != MISS]
    if 2 * len(hits) > len(studies):
        return sorted(hits, key=lambda s: s.hit.time_sec)[(len(hits) - 1) // 2]
    sign = 1 if target.lower_is_better else -1
    misses = [study for study in studies if study.hit == MISS]
    misses.sort(key=lambda s: math.inf if math.isnan(s.best) else sign * s.best)
    return misses[(len(misses) - 1) // 2]


def steps_needed(key: tuple[str, str], cells: Cells, target: Target) -> float:
    """By the submission's own hits, else by the others', else `step_hint`."""
    hits = {
        name: [study.hit.steps for study in studies if study.hit != MISS]
        for (name, workload), studies in cells.items()
        if workload == key[1]
    }
    others = [median(steps) for steps in hits.values() if steps]
    return median(hits[key[0]] or others or [target.step_hint])


def step_costs(studies: Iterable[Study]) -> StepCosts:
    costs: dict[str, dict[str, dict[str, float]]] = {}
    for (submission, workload), cell in by_cell(studies).items():
        known = [s.step_sec for s in cell if not math.isnan(s.step_sec)]
        if known:
            frameworks = costs.setdefault(workload, {})
            frameworks.setdefault(cell[0].framework, {})[submission] = median(known)
    return costs


def framework_facts(scored: Scored) -> list[dict[str, Any]]:
    """Seconds a step by workload and framework over the submissions of the group."""
    costs = step_costs(scored.studies)
    return [
        {
            "workload": workload,
            "framework": framework,
            "step_sec": median(steps_sec.values()),
            "low_sec": min(steps_sec.values()),
            "high_sec": max(steps_sec.values()),
            "n_submissions": len(steps_sec),
        }
        for workload in scored.leaderboard.workloads_run
        for framework, steps_sec in sorted(costs.get(workload, {}).items())
    ]


def cost(study: Study, costs: Mapping[str, Mapping[str, float]]) -> tuple[float, str]:
    """A step's time over the median of its framework, and a remark if it is dear.

    One framework is dearer than another where both its median and its lowest are, so
    that a few runs on slow machines don't make it so.
    """
    framework, dear = study.framework, ""
    own = sorted(costs.get(framework, {}).values())
    ratio = _over(study.step_sec, median(own or [math.nan]))
    for name, by_submission in costs.items():
        other = by_submission.values()
        times = _over(median(own or [0]), median(other))
        if not dear and times >= DEAR and own[0] >= DEAR * min(other):
            dear = f"; a step takes {times:.1f}x as long in {framework} as in {name}"
    if ratio >= DEAR:
        dear = f"; a step takes {ratio:.1f}x as long as usual in {framework}"
    return ratio, dear


def _over(value: float, other: float) -> float:
    return value / other if other > 0 else math.nan


def _of_budget(share: float) -> str:
    return number(100 * share, ".0f", "an unknown share", "% of the budget")


def why_table(scored: Scored, submission: str, found: Verdicts) -> Table:
    rows = []
    for workload in scored.leaderboard.workloads_run:
        times = {s: r.time_sec for s, r in scored.results_on(workload).items()}
        best = next(iter(times))
        reached = times[best] < math.inf
        verdict = found[submission, workload]
        target = scored.benchmark.targets[workload]
        ratio = number(verdict.step_ratio, ",.2f", unit="x")
        row = (
            workload,
            verdict.words,
            _figure(times.get(submission, math.nan)),
            f"{_figure(times[best])} {best}" if reached else "nobody",
            number(100 * verdict.budget_used, ",.0f", unit="%"),
            f"{_figure(verdict.run_steps)}, {_figure(verdict.steps_needed)}",
            f"{_figure(1e3 * verdict.step_sec)}, {ratio}",
            f"{number(verdict.best, ',.4f')}, {target.value:g}",
        )
        rows.append(row)
    headings = (
        *("workload", "verdict", "seconds", "fastest", "budget", "steps, needed"),
        *("ms a step, of usual", "best, target"),
    )
    return Table(submission, headings, rows, "llr")


def why_summary(scored: Scored, submission: str, found: Verdicts) -> str:
    """Where it is the fastest, and where it loses how much of the score."""
    base, run = scored.benchmark.base, scored.leaderboard.base_run
    row = next(r for r in scored.leaderboard.rows if r.submission == submission)
    points = profiles.scores_of_ratios(np.array(row.ratios)[:, None], len(base))
    lost = dict(zip(base, (1 / len(base) - points).tolist(), strict=True))
    wins = [w for w in run if found[submission, w].kind == "fastest"]
    worst_first = sorted(run, key=lambda workload: -lost[workload])
    losses = [f"{lost[w]:.3f} on {w}" for w in worst_first if lost[w] >= 5e-4]
    return (
        f"{submission} is the fastest on {', '.join(wins) or 'no workload'}. "
        f"It loses {', '.join(losses) or 'nothing'}."
    )


def framework_table(scored: Scored) -> Table:
    rows = []
    for fact in framework_facts(scored):
        sec = [fact[key] for key in ("step_sec", "low_sec", "high_sec")]
        figures = (*(_figure(1e3 * each) for each in sec), str(fact["n_submissions"]))
        rows.append((fact["workload"], fact["framework"], *figures))
    headings = ("workload", "framework", "ms a step", "lowest", "highest", "entries")
    return Table("Milliseconds a step, by framework", headings, rows, "llr")


def _figure(value: float) -> str:
    return number(value, ",.0f" if abs(value) >= 100 else ",.1f")
