"""What runs say for a submission, as text for its pull request."""

import io
from collections.abc import Iterable
from pathlib import Path

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.rulesets import ruleset
from unscheduled.benchmark.targets import choose_benchmark
from unscheduled.benchmark.text import fenced, printable
from unscheduled.scoring.hardware import newest
from unscheduled.scoring.logs import Trial, read_logs
from unscheduled.scoring.scored import score_group
from unscheduled.scoring.tables import print_scores

_LONGEST = 80  # characters of a fact
# Of a run's meta data: how each fact is said.
_FACTS = {
    "gpu_count": "GPUs: {}",
    "gpu_model_name": "{}",
    "cpu_count": "CPUs: {}",
    "cpu_model_name": "{}",
    "python_version": "Python {}",
    "torch_version": "torch {}",
    "jax_version": "jax {}",
    "git_commit_hash": "commit {:.7}",
}


def evidence(root: Path, submission: str, benchmark: str = "auto") -> str:
    """Times to target and scores of a tree of runs, and what they were run on.

    `submission` is the folder in `root` that has this submission's runs.
    """
    try:
        reading = read_logs([root])
        trials = reading.trials
        chosen = choose_benchmark(benchmark, {trial.workload for trial in trials})
        scored = score_group(reading, chosen, ruleset("self", chosen.version))
    except UserError as error:
        raise UserError(f"--evidence={root}: {error}") from error
    names = sorted({trial.submission for trial in trials})
    if submission not in names:
        raise UserError(
            f"--evidence={root} has no runs of {submission}, only of "
            f"{', '.join(names)}; name the submission's folder so."
        )
    tables = io.StringIO()
    print_scores(tables, scored)
    lines = [line.rstrip() for line in tables.getvalue().splitlines()]
    text = "\n".join(lines).replace(f"{root.absolute()}/", "").strip("\n")
    own = [trial for trial in trials if trial.submission == submission]
    return (
        "Seconds are submission time, a submission's time on a workload is the median "
        "over its studies, and scores depend on who is in the table.\n\n"
        # What logs say is text of others, and no markup.
        + fenced(f"{text}\n\nRuns of {printable(submission)}:\n{_conditions(own)}")
    )


def _conditions(trials: Iterable[Trial]) -> str:
    """On what the trials ran and by which clock: a line for each that differs."""
    workloads: dict[str, dict[str, None]] = {}
    for trial in trials:
        condition = _condition(trial.path.parent)
        workloads.setdefault(condition, {})[trial.workload] = None
    return "\n".join(f"- {', '.join(w)}: {line}" for line, w in workloads.items())


def _condition(trial: Path) -> str:
    (meta, odd), (flags, odd_flags) = newest(trial, "meta_data"), newest(trial, "flags")
    if odd or odd_flags:
        raise UserError(str([*odd, *odd_flags][0]))
    facts = [
        form.format(printable(meta[key], _LONGEST))
        for key, form in _FACTS.items()
        if key in meta
    ]
    machine = ", ".join(facts) or "machine and versions not recorded"
    ruleset = printable(flags.get("tuning_ruleset", "not recorded"), _LONGEST)
    clock = _clock(printable(flags.get("clock", "wall"), _LONGEST))
    return f"{machine}; tuning ruleset: {ruleset}; {clock}"


def _clock(clock: str) -> str:
    if clock == "wall":
        return "wall-clock time."
    try:
        each = f"counts {float(clock.removeprefix('steps:')):.4g} s a step"
    except ValueError:
        each = f"is not known here, {clock}"
    return f"seconds are not measured: a clock that {each}."
