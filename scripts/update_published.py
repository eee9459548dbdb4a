r"""Make the package's figures of published submissions anew, from a tree of logs.

    python scripts/update_published.py LOGS --version=rolling --date=2026-06-26 \
        --source="mlcommons/submissions_algorithms at ec13723, branch a100_scoring" \
        --targets=workload_targets.json

LOGS is what scripts/score.py takes. Targets are those of --targets, a file in the
official format; budgets and hardware those of the meta_data_<n>.json beside the logs.
What is neither given nor recorded there stays as it is in the package. Writes
targets/algoperf_<version>.json and published/<version>_<ruleset>.json below --out, and
prints what becomes of the scores, to be reviewed before it is committed.
"""

import datetime
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from absl import app, flags

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_json
from unscheduled.benchmark.rulesets import RULESETS
from unscheduled.benchmark.targets import BENCHMARKS, Benchmark, load_benchmark
from unscheduled.benchmark.text import printable
from unscheduled.scoring import published
from unscheduled.scoring.leaderboard import rank
from unscheduled.scoring.logs import Trial, read_logs
from unscheduled.scoring.times import RULES, Hit, Study, study_results, workload_results

BUDGET = "max_allowed_runtime_sec"
HARDWARE = ("gpu_model_name", "gpu_count")
COLUMNS = (
    *("time_sec", "steps", "index", "n_hit", "n_trials", "best", "run_sec", "step_sec"),
    *("end_sec", "end_steps", "near_sec", "lost"),
)
TEXTS = {
    "_how": "By scripts/update_published.py: a row a study of each workload that the "
    "version scores, by study_results of unscheduled.scoring.times. In studies: the "
    "fastest trial, as documented. In official: the hit by the official code, the "
    "fewest evaluations and then the lowest trial number, where it is another.",
    "_columns": "time_sec, steps and index (of the evaluation) are of the hit, null "
    "where all trials missed; best is the target's metric; run_sec is submission time "
    "of the longest trial; step_sec is seconds a step where all missed, null otherwise "
    "(time_sec / steps then); the last four are those of Course in "
    "unscheduled.scoring.times. null where not known.",
    "_hardware": "gpu_model_name and gpu_count of every meta_data_<n>.json there.",
}


def make_targets(
    official: Mapping[str, Any], budgets: Mapping[str, float], **about: Any
) -> dict[str, Any]:
    """A targets file of the workloads that score, with the budgets of their runs.

    Raises:
      UserError: the budget of one is not known.
    """
    scored = [*official["base_workloads"], *official["held_out_workloads"]]
    lacking = [workload for workload in scored if workload not in budgets]
    if lacking:
        raise UserError(f"No budget is recorded for {', '.join(lacking)}.")
    return {
        **about,
        "base_workloads": official["base_workloads"],
        "held_out_workloads": official["held_out_workloads"],
        "workloads": {w: official["workloads"][w] for w in scored},
        "run_settings": {w: {BUDGET: budgets[w]} for w in scored},
    }


def make_figures(
    trials: Sequence[Trial], benchmark: Benchmark, **about: Any
) -> dict[str, Any]:
    """A file of published figures; `about` are its facts beside the figures."""
    by_rule = (study_results(trials, benchmark, rule) for rule in RULES)
    studies: dict[str, Any] = {}
    official: dict[str, Any] = {}
    for ours, theirs in zip(*by_rule, strict=True):
        _of(studies, ours)[ours.study] = _row(ours)
        if theirs.hit != ours.hit:
            _of(official, theirs)[theirs.study] = _hit(theirs.hit)
    return {**about, "columns": COLUMNS, "studies": studies, "official": official}


def recorded(trials: Iterable[Trial], *names: str) -> dict[tuple[str, str], Any]:
    """(name, workload) -> what the meta data of the trials say.

    The workload is empty where `name` is not about one: all trials share the value.

    Raises:
      UserError: two trials say different things.
    """
    found: dict[tuple[str, str], Any] = {}
    for trial in trials:
        for path in sorted(trial.path.parent.glob("meta_data_*.json")):
            meta = read_json(path)
            for name in names:
                key = (name, trial.workload if name.startswith("workload.") else "")
                value = meta.get(name, found.get(key))
                if value is not None and found.setdefault(key, value) != value:
                    raise UserError(
                        f"{path} has {name} {value}, runs before it {found[key]}: "
                        "they don't belong to one board."
                    )
    return found


def in_rows(facts: Any, depth: int = 0) -> str:
    """JSON with a line a study, so that a small change is a small diff."""
    if not isinstance(facts, dict) or not facts:
        return json.dumps(facts, allow_nan=False)
    indent = "\n" + " " * (depth + 1)
    inner = ",".join(
        f"{indent}{json.dumps(key)}: {in_rows(value, depth + 1)}"
        for key, value in facts.items()
    )
    return f"{{{inner}{indent[:-1]}}}"


def review(new: Mapping[str, float], old: Mapping[str, float]) -> list[str]:
    """A line a submission, best first, with the score that it had."""
    had = {name: f"was {score:.4f}" for name, score in old.items()}
    lines = [
        f"{score:.4f}  {name} ({had.get(name, 'new')})" for name, score in new.items()
    ]
    return [
        *lines,
        *(f"gone    {name} ({had[name]})" for name in old if name not in new),
    ]


def scores(studies: Iterable[Study], benchmark: Benchmark) -> dict[str, float]:
    """By submission, best first."""
    return {
        r.submission: r.score for r in rank(workload_results(studies), benchmark).rows
    }


def _of(studies: dict[str, Any], study: Study) -> dict[str, Any]:
    cell = f"{study.workload}_{study.framework}"
    return studies.setdefault(study.submission, {}).setdefault(cell, {})


def _row(study: Study) -> list[float | None]:
    step_sec = study.step_sec if math.isinf(study.hit.time_sec) else math.nan
    rest = (study.best, study.run_sec, step_sec, *asdict(study.course).values())
    return [*_hit(study.hit), study.n_hit, study.n_trials, *map(_known, rest)]


def _hit(hit: Hit) -> list[float | None]:
    return [*map(_known, (hit.time_sec, hit.steps, hit.index))]


def _known(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) else value


_VERSION = flags.DEFINE_enum("version", "rolling", published.VERSIONS, "What to make.")
_RULESET = flags.DEFINE_enum("ruleset", "self", RULESETS, "How the runs were tuned.")
_DATE = flags.DEFINE_string(
    "date", None, "Of the source, as 2026-06-26.", required=True
)
_SOURCE = flags.DEFINE_string("source", None, "Where LOGS are from.", required=True)
_TARGETS = flags.DEFINE_string("targets", None, "The official workload_targets.json.")
_OUT = flags.DEFINE_string("out", None, "Where to write; by default into the library.")


def update(roots: Sequence[str]) -> None:
    """Read the logs below `roots`, write both files, and print what has changed."""
    version, ruleset, date = _VERSION.value, _RULESET.value, _DATE.value
    try:
        datetime.date.fromisoformat(date)
    except ValueError:
        raise UserError(f"--date is {date!r}: give it as 2026-06-26.") from None
    trials = read_logs(roots).trials
    found = recorded(trials, f"workload.{BUDGET}", *HARDWARE)
    targets = _earlier(BENCHMARKS[version])
    old = _earlier(published.published_path(version, ruleset))
    before = _scores_before(version, ruleset) if old else {}
    budgets = {w: each[BUDGET] for w, each in targets.get("run_settings", {}).items()}
    budgets |= {w: value for (_, w), value in found.items() if w}
    official = read_json(_TARGETS.value) if _TARGETS.value else targets
    if _TARGETS.value:
        load_benchmark(Path(_TARGETS.value))  # that it is a targets file
    facts = make_targets(
        official,
        budgets,
        _source=f"{_SOURCE.value}: targets and step hints of workload_targets.json, "
        f"{BUDGET} as the runs record it in meta_data_<n>.json.",
        date=date,
        benchmark_version=version,
        notes=targets.get("notes", []),
    )
    file = BENCHMARKS[version]
    path = _write(Path(_OUT.value, "targets", file.name) if _OUT.value else file, facts)
    benchmark = load_benchmark(path)

    hardware = {name: found.get((name, ""), old.get(name)) for name in HARDWARE}
    facts = make_figures(
        trials,
        benchmark,
        _source=f"{_SOURCE.value}: figures of the published runs.",
        **TEXTS,
        date=date,
        version=version,
        ruleset=ruleset,
        **hardware,
        notes=old.get("notes", []),
    )
    folder = Path(_OUT.value, "published") if _OUT.value else published.FOLDER
    _write(published.published_path(version, ruleset, folder), facts)
    new = scores(study_results(trials, benchmark), benchmark)
    print(*review(new, before), sep="\n")


def _scores_before(version: str, ruleset: str) -> dict[str, float]:
    studies = published.load_published(version, ruleset).studies["documented"]
    return scores(studies, load_benchmark(BENCHMARKS[version]))


def _earlier(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _write(path: Path, facts: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(in_rows(facts) + "\n", encoding="utf-8")
    print(path)
    return path


def main(argv: Sequence[str]) -> int:
    try:
        update(argv[1:])
    except (UserError, OSError) as error:
        print(f"update_published.py: {printable(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    app.run(main)
