"""What a pull request says of the submission that it sends in, in upstream's form."""

import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.rulesets import FOLDERS, SPELLINGS
from unscheduled.benchmark.rulesets import ruleset as ruleset_of
from unscheduled.benchmark.targets import choose_benchmark
from unscheduled.benchmark.text import fenced, printable
from unscheduled.bundle.bundle import library_version
from unscheduled.check.folder import (
    INFO,
    KEYS,
    NUM_TRIALS,
    REQUIREMENTS,
    SEARCH_SPACE,
    read_info,
    wrong_choice,
)
from unscheduled.scoring.hardware import newest
from unscheduled.scoring.logs import Trial, read_logs
from unscheduled.scoring.scored import score_group
from unscheduled.scoring.tables import print_scores

# Upstream cuts each line at "#", and hands the values to a shell.
_FORBIDDEN = "#$`\\"
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


def submission_info(
    folder: Path, *, ruleset: str, name: str, authors: str, affiliations: str
) -> dict[str, str]:
    """What submission_info.yml of a folder says, as these people send it in."""
    path, values = folder / INFO, read_info(folder)
    if values is None:
        raise UserError(f"{path} is missing; it needs {', '.join(KEYS)}.")
    if set(values) != set(KEYS):
        raise UserError(f"{path} must have the keys {', '.join(KEYS)}, and no other.")
    if problem := wrong_choice(values, "framework"):
        raise UserError(f"{path}: {problem}.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(
            "the submission's folder must be named in lower-case letters, digits and "
            f"underscores, a letter first, got {name!r}; --name gives it another."
        )
    sent_in = {
        "submission_folder": name,
        "authors": authors,
        "affiliations": affiliations,
        "ruleset": SPELLINGS[ruleset],
    }
    return {key: _text(key, {**values, **sent_in}[key]) for key in KEYS}


def _text(key: str, value: Any) -> str:
    """A value as one line of text that upstream's automation leaves as it is."""
    one_line = " ".join(value.split()) if isinstance(value, str) else value
    text = "" if value is None else printable(one_line)
    if not text:
        raise UserError(f"{key} of the submission must not be empty.")
    if set(_FORBIDDEN) & set(text):
        raise UserError(
            f"{key} must do without {' '.join(_FORBIDDEN)}, which the automation of "
            f"pull requests garbles, got {text!r}."
        )
    return text


def to_yaml(info: Mapping[str, str]) -> str:
    lines = (f"{k}: {json.dumps(v, ensure_ascii=False)}\n" for k, v in info.items())
    return "".join(lines)


def pull_request(
    info: Mapping[str, str],
    ruleset: str,
    files: Mapping[str, str],
    evidence: str | None,
) -> str:
    """The description of the pull request, in Markdown; `files` by their place."""
    evidence = evidence or "None is given: no runs of this submission were named."
    needs = "no package that the benchmark doesn't install"
    if REQUIREMENTS in files:
        needs = f"what `{REQUIREMENTS}` lists"
    return f"""\
# New Submission

## Submission Information

```yaml
{to_yaml(info)}```

## Evidence for the Submission's Performance

{evidence}

## Comments

`submission.py` is the recipe. Beside it lies the part of unscheduled
{library_version()} that it uses, under the same names as there, with its imports made
relative; it is under the Apache License 2.0 like all of it.

It needs {needs}.

To run it, from the folder of the harness with this repository's `submissions/` in it:

```
{_command(info, ruleset)}
```
"""


def _command(info: Mapping[str, str], ruleset: str) -> str:
    folder = f"submissions/{FOLDERS[ruleset]}/{info['submission_folder']}"
    framework = info["framework"].lower()
    options = [
        f"--framework={framework} --workload=mnist --tuning_ruleset={ruleset}",
        f"--submission_path={folder}/submission.py",
        "--data_dir=... --experiment_dir=... --experiment_name=study_0",
    ]
    if ruleset == "external":
        options.append(f"--tuning_search_space={folder}/{SEARCH_SPACE}")
        options.append(f"--num_tuning_trials={NUM_TRIALS}")
    return " \\\n    ".join(["python submission_runner.py", *options])


def evidence(root: Path, submission: str, benchmark: str = "auto") -> str:
    """Scores of a tree of runs, and what those in the submission's folder ran on."""
    try:
        reading = read_logs([root])
        trials = reading.trials
        chosen = choose_benchmark(benchmark, {trial.workload for trial in trials})
        scored = score_group(reading, chosen, ruleset_of("self", chosen.version))
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
    tuning = printable(flags.get("tuning_ruleset", "not recorded"), _LONGEST)
    clock = _clock(printable(flags.get("clock", "wall"), _LONGEST))
    return f"{machine}; tuning ruleset: {tuning}; {clock}"


def _clock(clock: str) -> str:
    if clock == "wall":
        return "wall-clock time."
    try:
        each = f"counts {float(clock.removeprefix('steps:')):.4g} s a step"
    except ValueError:
        each = f"is not known here, {clock}"
    return f"seconds are not measured: a clock that {each}."
