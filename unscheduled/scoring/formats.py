"""Scores for machines: JSON with everything, CSV, and Markdown; see docs/scoring.md.

The names of columns and keys are stable: new ones may come, none is renamed.
"""

import csv
import io
import json
import math
from dataclasses import asdict
from typing import Any

from unscheduled.benchmark.tables import Table, markdown_text, number
from unscheduled.scoring import profiles
from unscheduled.scoring.comparison import Intervals
from unscheduled.scoring.scored import Part, Scored
from unscheduled.scoring.tables import (
    comparison,
    coverage,
    score_table,
    unscored_run,
    what_was_read,
)
from unscheduled.scoring.times import Study
from unscheduled.scoring.uncertainty import result_intervals
from unscheduled.scoring.verdicts import NEVER_RAN, framework_facts, verdicts
from unscheduled.scoring.what_if import WhatIf

FORMAT = 1  # of the JSON; goes up where a key changes its meaning

NULLS = (
    "null is a number that there is none of: a time, steps or ratio where the target "
    "was missed or not run (status says which) or, for ratios, filtered out; a budget "
    "or comparison that is not known."
)

CSV_COLUMNS = (
    *("benchmark", "ruleset", "rule", "submission", "source"),
    *("score", "n_hit_base", "time_ratio", "both_ratio", "n_both"),
    *("workload", "role", "status", "time_sec", "steps", "n_hit", "n_studies"),
    *("ratio_to_best", "budget_share", "closest_miss"),
    *("time_low_sec", "time_high_sec", "time_level"),
    *("verdict", "why", "best", "budget_used", "run_steps", "steps_needed"),
    *("step_sec", "step_ratio"),
)


def to_json(
    scored: Scored, intervals: Intervals | None = None, if_so: WhatIf | None = None
) -> str:
    facts = as_dict(scored)
    facts["intervals"] = intervals and intervals.as_dict()
    facts["what_if"] = if_so and _what_if(if_so)
    return json.dumps(_finite(facts), indent=1, allow_nan=False) + "\n"


def to_csv(scored: Scored) -> str:
    """A line a submission and workload of the benchmark, with `CSV_COLUMNS`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    how = {"benchmark": scored.benchmark.version, "ruleset": scored.ruleset.name}
    rows = {row.submission: row for row in scored.leaderboard.rows}
    for cell in cells(scored):
        row = rows[cell["submission"]]
        on_board = _picked(row, "score", "time_ratio", "both_ratio", "n_both")
        facts = {**how, "rule": scored.rule, "n_hit_base": row.n_hit, **on_board}
        writer.writerow(_finite(facts | cell))
    return text.getvalue()


def to_markdown(scored: Scored) -> str:
    """Leaderboard and median seconds to target as tables, and the notes as a list."""
    board = scored.leaderboard
    title = f"AlgoPerf scores, benchmark {scored.benchmark.version}"
    tables = [score_table(title, scored, scored, with_runs=True)]
    if part := scored.part:
        title = "On the workloads with logs alone"
        tables.append(score_table(title, part, scored, with_runs=True))
    names = [row.submission for row in board.rows]
    sec = {(r.submission, r.workload): r.time_sec for r in scored.results}
    rows = [[w, *(number(sec.get((s, w))) for s in names)] for w in board.workloads_run]
    tables.append(Table("Median seconds to target", ["workload", *names], rows))
    sentences = coverage(scored) + comparison(scored) + scored.notes
    sentences += what_was_read(scored)
    notes = "\n".join(f"- {markdown_text(sentence)}" for sentence in sentences)
    return "\n\n".join([*(table.markdown() for table in tables), notes]) + "\n"


def as_dict(scored: Scored) -> dict[str, Any]:
    """Everything, as plain values; missed times are inf, unknown ones NaN or None."""
    benchmark, part = scored.benchmark, scored.part
    about = ("version", "ruleset", "source", "submissions", "gpu_model_name")
    targets = {}
    for workload, target in benchmark.targets.items():
        budget_sec = target.max_allowed_runtime_sec
        targets[workload] = {
            **_picked(target, "metric", "value", "max_allowed_runtime_sec"),
            "miss_counts_as_sec": scored.ruleset.miss_sec(budget_sec),
        }
    return {
        "format": FORMAT,
        "nulls": NULLS,
        "benchmark": {
            **_picked(benchmark, "version", "base", "held_out"),
            "targets": targets,
        },
        "ruleset": vars(scored.ruleset),
        **_picked(scored, "rule", "baseline"),
        "published": scored.published
        and _picked(scored.published, *about, "gpu_count"),
        "leaderboard": [
            {**row, "source": scored.source(row["submission"])}
            for row in _scores(scored)
        ],
        "part": part
        and {
            "base": part.benchmark.base,
            "held_out": list(part.benchmark.held_out),
            "leaderboard": _scores(part),
        },
        "cells": cells(scored),
        "studies": [_study(study, scored) for study in scored.studies],
        "frameworks": framework_facts(scored),
        "unscored": [unscored_run(trial) for trial in scored.unscored],
        "profiles": {
            "tau": profiles.TAU.tolist(),
            "share": {r.submission: r.profile for r in scored.leaderboard.rows},
        },
        "coverage": coverage(scored),
        "comparison": comparison(scored),
        "notes": scored.notes,
        "read": scored.summary and vars(scored.summary),
        "irregularities": [
            {
                "rule": one.rule,
                "path": str(one.path),
                **_picked(one, "line", "what"),
                "text": str(one),
            }
            for one in scored.warnings
        ],
    }


def cells(scored: Scored) -> list[dict[str, Any]]:
    """Each submission on each workload of the benchmark, run or not."""
    benchmark, found = scored.benchmark, []
    results = {(r.submission, r.workload): r for r in scored.results}
    use, intervals = scored.budget_use(), result_intervals(scored.studies)
    judged = verdicts(scored)
    for row in sorted(scored.leaderboard.rows, key=lambda row: row.submission):
        ratios = dict(zip(benchmark.base, row.ratios, strict=True))
        for workload in benchmark.workloads:
            key = (row.submission, workload)
            used, verdict = use.get(key), {**vars(judged.get(key, NEVER_RAN))}
            misses = used and used.misses
            interval = intervals[key].time_sec if key in intervals else None
            cell = {
                "submission": row.submission,
                "source": scored.source(row.submission),
                "workload": workload,
                "role": "held_out" if workload in benchmark.held_out else "base",
                "status": _status(results[key].time_sec) if used else "not_run",
                **_picked(results.get(key), "time_sec", "steps"),
                "n_hit": used.n_hit if used else 0,
                "n_studies": used.n_studies if used else 0,
                "ratio_to_best": ratios.get(workload),
                "budget_share": used and used.to_target,
                "closest_miss": misses and misses.words,
                "time_low_sec": interval and interval.low,
                "time_high_sec": interval and interval.high,
                "time_level": interval and interval.level,
                "verdict": verdict.pop("kind"),
                "why": verdict.pop("words"),
            }
            found.append(cell | verdict)
    return found


def _picked(record: Any, *names: str) -> dict[str, Any]:
    return {name: record and getattr(record, name) for name in names}


def _status(time_sec: float) -> str:
    return "missed" if math.isinf(time_sec) else "hit"


def _what_if(if_so: WhatIf) -> dict[str, Any]:
    return {
        "assumptions": [
            {
                **vars(change.assumption),
                "times_sec": [
                    {"workload": workload, "before": before, "after": after}
                    for workload, (before, after) in change.times_sec.items()
                ],
                "score_alone": change.score,
            }
            for change in if_so.changes
        ],
        "scores": [
            {**asdict(if_so.intervals[name]), "before": if_so.before[name]}
            for name in if_so.after
        ],
    }


def _scores(group: Scored | Part) -> list[dict[str, Any]]:
    return [
        {
            **_picked(row, "submission", "score", "n_hit"),
            "n_base": len(group.benchmark.base),
            **_picked(row, "time_ratio", "both_ratio", "n_both"),
        }
        for row in group.leaderboard.rows
    ]


def _study(study: Study, scored: Scored) -> dict[str, Any]:
    return {
        "submission": study.submission,
        "source": scored.source(study.submission),
        **_picked(study, "workload", "framework", "study"),
        "status": _status(study.hit.time_sec),
        **_picked(study.hit, "time_sec", "steps"),
        "evaluation": study.hit.index,
        **_picked(study, "n_hit", "n_trials", "best", "run_sec", "step_sec"),
        "course": vars(study.course),
    }


def _finite(value: Any) -> Any:
    """`value` for JSON: with None in place of every inf and NaN in it."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
