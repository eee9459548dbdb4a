"""A group of submissions, scored: all that a table or a file says about it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.rulesets import Ruleset
from unscheduled.benchmark.targets import Benchmark
from unscheduled.scoring import times
from unscheduled.scoring.hardware import hardware_notes
from unscheduled.scoring.leaderboard import Leaderboard, rank
from unscheduled.scoring.logs import Reading, Summary, Trial, missing, without_metric
from unscheduled.scoring.published import Published
from unscheduled.scoring.times import RULES, BudgetUse, Result, Study, budget_use
from unscheduled.scoring.warnings import LogWarning

MINE = " (mine)"  # after a name that a published submission has too
NOTHING_READ = Reading([], [])


@dataclass(frozen=True)
class Part:
    """The same group on the workloads that the logs have, where they lack some."""

    benchmark: Benchmark
    leaderboard: Leaderboard


@dataclass(frozen=True)
class Scored:
    benchmark: Benchmark
    ruleset: Ruleset
    rule: str
    baseline: str | None
    published: Published | None
    own: tuple[str, ...]  # read from logs; the others are published
    studies: list[Study]
    results: list[Result]
    leaderboard: Leaderboard
    part: Part | None  # None where the logs have all of the workloads
    notes: list[str]  # sentences about the scores
    warnings: list[LogWarning]
    summary: Summary | None  # None without logs
    unscored: tuple[Trial, ...] = ()  # on workloads that are not in the benchmark

    @property
    def submissions(self) -> list[str]:
        return sorted(row.submission for row in self.leaderboard.rows)

    def budget_use(self) -> dict[tuple[str, str], BudgetUse]:
        factor = self.ruleset.budget_factor
        return budget_use(self.studies, self.benchmark, factor)

    def results_on(self, workload: str) -> dict[str, Result]:
        """By submission, the fastest first."""
        ran = [result for result in self.results if result.workload == workload]
        ran.sort(key=lambda result: (result.time_sec, result.submission))
        return {result.submission: result for result in ran}

    def source(self, submission: str) -> str:
        return "logs" if submission in self.own else "published"


def score_group(
    reading: Reading,
    benchmark: Benchmark,
    ruleset: Ruleset,
    rule: str = "documented",
    baseline: str | None = None,
    published: Published | None = None,
) -> Scored:
    """Score the submissions of `reading`, and `published` ones, against one another.

    Args:
      baseline: submission to compare times with; where it is None, the published one
        called baseline, if there is one.

    Raises:
      UserError: no such baseline or rule, or a workload was run in both frameworks.
    """
    if rule not in RULES:
        raise UserError(f"Unknown rule {rule!r}: choose from {', '.join(RULES)}.")
    trials = [t for t in reading.trials if t.workload in benchmark.targets]
    unscored = tuple(t for t in reading.trials if t.workload not in benchmark.targets)
    metrics = {workload: t.metric for workload, t in benchmark.targets.items()}
    warnings = reading.warnings + without_metric(trials, metrics)
    if ruleset.n_studies is not None and ruleset.n_trials is not None:
        expected = ruleset.n_studies, ruleset.n_trials
        warnings += missing(trials, *expected, benchmark.workloads)
    names = {name: name for name in sorted({trial.submission for trial in trials})}
    group = {each: times.study_results(trials, benchmark, each) for each in RULES}
    notes = []
    if workloads := sorted({trial.workload for trial in unscored}):
        notes.append(
            f"Not in this benchmark, and left out: {', '.join(workloads)}. Benchmark "
            f"{benchmark.version} has no target for it, so there are times and steps "
            "alone."
        )
    notes += benchmark.notes
    if published:
        theirs = published.submissions
        names = {name: name + MINE if name in theirs else name for name in names}
        for each in RULES:
            own = [replace(s, submission=names[s.submission]) for s in group[each]]
            group[each] = own + published.studies[each]
        hardware, broken = hardware_notes(reading.trials, published)
        warnings += broken
        notes += [
            f"{name} from the logs is called {called}, as {name} is a published "
            "submission."
            for name, called in names.items()
            if name != called
        ]
        if published.date:
            about = f"{published.date}. {published.source}"
            notes.append(f"The published runs are those of {about}")
        notes += [*hardware, *published.notes]
        if baseline is None and "baseline" in theirs:
            baseline = "baseline"
    results = {each: times.workload_results(group[each]) for each in RULES}
    for one, other in zip(results["documented"], results["official"], strict=True):
        if one.time_sec != other.time_sec:
            notes.append(
                f"{one.submission}, {one.workload}: the rules differ, "
                f"{one.time_sec:.2f} s by the documented one and "
                f"{other.time_sec:.2f} s by the official code."
            )
    return Scored(
        benchmark=benchmark,
        ruleset=ruleset,
        rule=rule,
        baseline=baseline,
        published=published,
        own=tuple(names.values()),
        studies=group[rule],
        results=results[rule],
        leaderboard=rank(results[rule], benchmark, baseline, ruleset.budget_factor),
        part=_part(results[rule], benchmark, names.values(), baseline, ruleset),
        notes=notes,
        warnings=warnings,
        summary=Reading(reading.trials, warnings).summary() if reading.trials else None,
        unscored=unscored,
    )


def _part(
    results: Sequence[Result],
    benchmark: Benchmark,
    own: Collection[str],
    baseline: str | None,
    ruleset: Ruleset,
) -> Part | None:
    """Scores on the workloads that any of `own` ran; None for all or none of them.

    A held-out workload that nobody ran has no effect, and is none that they lack.
    """
    run = {result.workload for result in results if result.submission in own}
    anybody = {result.workload for result in results} | set(benchmark.base)
    base = tuple(w for w in benchmark.base if w in run)
    held_out = {w: b for w, b in benchmark.held_out.items() if {w, b} <= run}
    ran = {*base, *held_out}
    if not base or ran >= anybody & set(benchmark.workloads):
        return None
    targets = {w: t for w, t in benchmark.targets.items() if w in ran}
    smaller = replace(benchmark, base=base, held_out=held_out, targets=targets)
    results = [result for result in results if result.workload in ran]
    if baseline not in {result.submission for result in results}:
        baseline = None
    return Part(smaller, rank(results, smaller, baseline, ruleset.budget_factor))
