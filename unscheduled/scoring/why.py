"""A page a submission: where it wins, where it loses, and to what."""

import math

import numpy as np

from unscheduled.benchmark.tables import Table, number
from unscheduled.scoring import profiles
from unscheduled.scoring.comparison import PARTS_NOTE
from unscheduled.scoring.scored import Scored
from unscheduled.scoring.verdicts import Verdicts, framework_facts

NOTE = (
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


def page(scored: Scored, submission: str, found: Verdicts) -> Table:
    """A row a workload."""
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


def summary(scored: Scored, submission: str, found: Verdicts) -> str:
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


def frameworks(scored: Scored) -> Table:
    """A row a workload and framework: milliseconds a step."""
    rows = []
    for fact in framework_facts(scored):
        sec = [fact[key] for key in ("step_sec", "low_sec", "high_sec")]
        figures = (*(_figure(1e3 * each) for each in sec), str(fact["n_submissions"]))
        rows.append((fact["workload"], fact["framework"], *figures))
    headings = ("workload", "framework", "ms a step", "lowest", "highest", "entries")
    return Table("Milliseconds a step, by framework", headings, rows, "llr")


def _figure(value: float) -> str:
    return number(value, ",.0f" if abs(value) >= 100 else ",.1f")
