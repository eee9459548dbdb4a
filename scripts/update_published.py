r"""Make the package's figures of the rolling leaderboard anew, from a tree of logs.

    python scripts/update_published.py LOGS --date=2026-06-26 \
        --source="mlcommons/submissions_algorithms at ec13723, branch a100_scoring" \
        --targets=workload_targets.json

docs/leaderboard.md says what comes from where. Prints what becomes of the scores, to be
reviewed before it is committed.
"""

import datetime
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from absl import app, flags

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_json
from unscheduled.benchmark.targets import BENCHMARKS, Benchmark, load_benchmark
from unscheduled.benchmark.text import printable
from unscheduled.scoring import published
from unscheduled.scoring.leaderboard import rank
from unscheduled.scoring.logs import Trial, read_logs
from unscheduled.scoring.times import RULES, Study, study_results, workload_results

BUDGET = "max_allowed_runtime_sec"
HARDWARE = ("gpu_model_name", "gpu_count")
COLUMNS = (
    *("time_sec", "steps", "index", "n_hit", "n_trials", "best", "run_sec", "step_sec"),
    *("end_sec", "end_steps", "near_sec", "lost"),
)

_DATE = flags.DEFINE_string(
    "date", None, "Of the source, as 2026-06-26.", required=True
)
_SOURCE = flags.DEFINE_string("source", None, "Where LOGS are from.", required=True)
_TARGETS = flags.DEFINE_string("targets", None, "The official workload_targets.json.")
_OUT = flags.DEFINE_string("out", None, "Where to write; by default into the library.")


def figures(trials: Sequence[Trial], benchmark: Benchmark) -> dict[str, Any]:
    """Every study's figures, and where the official code takes another hit."""
    by_rule = (study_results(trials, benchmark, rule) for rule in RULES)
    found: dict[str, dict[str, Any]] = {"studies": {}, "official": {}}
    for ours, theirs in zip(*by_rule, strict=True):
        rows = {"studies": _row(ours)}
        if theirs.hit != ours.hit:
            rows["official"] = _known(astuple(theirs.hit))
        for kind, row in rows.items():
            cells = found[kind].setdefault(ours.submission, {})
            cell = cells.setdefault(f"{ours.workload}_{ours.framework}", {})
            cell[ours.study] = row
    return {"columns": COLUMNS, **found}


def _row(study: Study) -> list[float | None]:
    step_sec = study.step_sec if math.isinf(study.hit.time_sec) else math.nan
    rest = (study.best, study.run_sec, step_sec, *astuple(study.course))
    return [*_known(astuple(study.hit)), study.n_hit, study.n_trials, *_known(rest)]


def _known(values: Iterable[float]) -> list[float | None]:
    """JSON numbers: null for what is not finite, integers for whole numbers."""
    finite = (value if math.isfinite(value) else None for value in values)
    return [int(v) if v is not None and v == int(v) else v for v in finite]


def recorded(trials: Iterable[Trial]) -> dict[tuple[str, str], Any]:
    """(name, workload or "") -> a budget or the hardware, as the meta data say."""
    found: dict[tuple[str, str], Any] = {}
    for trial in trials:
        keys = {name: (name, "") for name in HARDWARE}
        keys[f"workload.{BUDGET}"] = (BUDGET, trial.workload)
        for path in sorted(trial.path.parent.glob("meta_data_*.json")):
            meta = read_json(path)
            for name, key in keys.items():
                value = meta.get(name)
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


def scores(studies: Iterable[Study], benchmark: Benchmark) -> dict[str, float]:
    rows = rank(workload_results(studies), benchmark).rows
    return {row.submission: row.score for row in rows}


def review(new: Mapping[str, float], old: Mapping[str, float]) -> list[str]:
    """A line a submission, best first, with the score that it had."""
    had = {name: f"was {score:.4f}" for name, score in old.items()}
    lines = [
        f"{score:.4f}  {name} ({had.get(name, 'new')})" for name, score in new.items()
    ]
    return lines + [f"gone    {name} ({had[name]})" for name in old if name not in new]


def update(roots: Sequence[str]) -> None:
    try:
        datetime.date.fromisoformat(_DATE.value)
    except ValueError:
        raise UserError(f"--date is {_DATE.value!r}: give it as 2026-06-26.") from None
    targets_file = BENCHMARKS["rolling"]
    figures_file = published.published_path("rolling", "self")
    targets, figures_before = read_json(targets_file), read_json(figures_file)
    group = published.load_published("rolling", "self")
    before = scores(group.studies["documented"], load_benchmark(targets_file))

    trials = read_logs(roots).trials
    found = recorded(trials)
    budgets = {w: each[BUDGET] for w, each in targets["run_settings"].items()}
    budgets |= {w: value for (_, w), value in found.items() if w}
    official_file = Path(_TARGETS.value or targets_file)
    load_benchmark(official_file)  # that it is a targets file
    official = read_json(official_file)
    scored = [*official["base_workloads"], *official["held_out_workloads"]]
    if lacking := [workload for workload in scored if workload not in budgets]:
        raise UserError(f"No budget is recorded for {', '.join(lacking)}.")
    facts = targets | {
        "_source": f"{_SOURCE.value}: targets and step hints of workload_targets.json, "
        f"{BUDGET} as the runs record it in meta_data_<n>.json.",
        "date": _DATE.value,
        "base_workloads": official["base_workloads"],
        "held_out_workloads": official["held_out_workloads"],
        "workloads": {w: official["workloads"][w] for w in scored},
        "run_settings": {w: {BUDGET: budgets[w]} for w in scored},
    }
    benchmark = load_benchmark(_write("targets", targets_file, facts))
    facts = figures_before | {
        "_source": f"{_SOURCE.value}: figures of the published runs.",
        "date": _DATE.value,
        **{name: found[name, ""] for name in HARDWARE if (name, "") in found},
        **figures(trials, benchmark),
    }
    _write("published", figures_file, facts)
    after = scores(study_results(trials, benchmark), benchmark)
    print(*review(after, before), sep="\n")


def _write(folder: str, packaged: Path, facts: Mapping[str, Any]) -> Path:
    path = Path(_OUT.value, folder, packaged.name) if _OUT.value else packaged
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
