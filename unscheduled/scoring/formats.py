"""Scores for machines: JSON with everything, CSV, and Markdown; see docs/scoring.md.

The names of columns and keys are stable: new ones may come, none is renamed.
"""

import csv
import io
import json
import math
from dataclasses import asdict
from typing import Any

from unscheduled.benchmark.tables import markdown_table, number
from unscheduled.benchmark.targets import Benchmark
from unscheduled.scoring import profiles
from unscheduled.scoring.intervals import Intervals
from unscheduled.scoring.leaderboard import Leaderboard, Row
from unscheduled.scoring.logs import Trial
from unscheduled.scoring.scored import Scored
from unscheduled.scoring.tables import (
    comparison,
    coverage,
    score_table,
    what_was_read,
)
from unscheduled.scoring.times import MISS, Study
from unscheduled.scoring.uncertainty import result_intervals
from unscheduled.scoring.verdicts import Verdict, verdicts
from unscheduled.scoring.what_if import WhatIf
from unscheduled.scoring.why import framework_facts

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
    """Everything, as strict JSON: there is no Infinity and no NaN in it.

    Args:
      intervals, if_so: how sure the figures are, and what would be, where asked for.
    """
    facts = as_dict(scored)
    facts["intervals"] = None if intervals is None else intervals.as_dict()
    facts["what_if"] = None if if_so is None else _what_if(if_so)
    return json.dumps(_finite(facts), indent=1, allow_nan=False) + "\n"


def to_csv(scored: Scored) -> str:
    """A line a submission and workload of the benchmark, with `CSV_COLUMNS`.

    A number that there is none of is an empty cell.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    rows = {row.submission: row for row in scored.leaderboard.rows}
    for cell in cells(scored):
        row = rows[cell["submission"]]
        line = {
            "benchmark": scored.benchmark.version,
            "ruleset": scored.ruleset.name,
            "rule": scored.rule,
            "n_hit_base": row.n_hit,
            **_picked(row, "score", "time_ratio", "both_ratio", "n_both"),
            **cell,
        }
        writer.writerow(_finite(line))
    return text.getvalue()


def to_markdown(scored: Scored) -> str:
    """Leaderboard and median seconds to target as tables, and the notes as a list."""
    title = f"AlgoPerf scores, benchmark {scored.benchmark.version}"
    blocks = _markdown_scores(title, scored.leaderboard, scored.benchmark, scored)
    if part := scored.part:
        title = "On the workloads with logs alone"
        blocks += _markdown_scores(title, part.leaderboard, part.benchmark, scored)
    blocks += ["### Median seconds to target", _markdown_cells(scored)]
    sentences = [
        *coverage(scored.leaderboard, scored.benchmark),
        *comparison(scored),
        *scored.notes,
        *what_was_read(scored),
    ]
    blocks.append("\n".join(f"- {_markdown(sentence)}" for sentence in sentences))
    return "\n\n".join(blocks) + "\n"


def as_dict(scored: Scored) -> dict[str, Any]:
    """Everything, as plain values; missed times are inf, unknown ones NaN or None."""
    benchmark, rows, published = (
        scored.benchmark,
        scored.leaderboard.rows,
        scored.published,
    )
    return {
        "format": FORMAT,
        "nulls": NULLS,
        "benchmark": {
            "version": benchmark.version,
            "base": list(benchmark.base),
            "held_out": benchmark.held_out,
            "targets": {
                workload: {
                    **_picked(target, "metric", "value", "max_allowed_runtime_sec"),
                    "miss_counts_as_sec": scored.ruleset.miss_sec(
                        target.max_allowed_runtime_sec
                    ),
                }
                for workload, target in benchmark.targets.items()
            },
        },
        "ruleset": vars(scored.ruleset),
        "rule": scored.rule,
        "baseline": scored.baseline,
        "published": published
        and _picked(
            published,
            *("version", "ruleset", "source", "submissions"),
            *("gpu_model_name", "gpu_count"),
        ),
        "leaderboard": [
            {**_scores(row, benchmark), "source": scored.source(row.submission)}
            for row in rows
        ],
        "part": scored.part
        and {
            "base": list(scored.part.benchmark.base),
            "held_out": list(scored.part.benchmark.held_out),
            "leaderboard": [
                _scores(row, scored.part.benchmark)
                for row in scored.part.leaderboard.rows
            ],
        },
        "cells": cells(scored),
        "studies": [_study(study, scored) for study in scored.studies],
        "frameworks": framework_facts(scored),
        "unscored": [_unscored(trial) for trial in scored.unscored],
        "profiles": {
            "tau": profiles.TAU.tolist(),
            "share": {row.submission: row.profile for row in rows},
        },
        "coverage": coverage(scored.leaderboard, benchmark),
        "comparison": comparison(scored),
        "notes": scored.notes,
        "read": scored.summary and vars(scored.summary),
        "irregularities": [
            {
                **_picked(one, "rule"),
                "path": str(one.path),
                **_picked(one, "line", "what"),
                "text": str(one),
            }
            for one in scored.warnings
        ],
    }


def cells(scored: Scored) -> list[dict[str, Any]]:
    """Each submission on each workload of the benchmark, run or not."""
    results = {(r.submission, r.workload): r for r in scored.results}
    ratios = {
        (row.submission, workload): ratio
        for row in scored.leaderboard.rows
        for workload, ratio in zip(scored.benchmark.base, row.ratios, strict=True)
    }
    use, intervals = scored.budget_use(), result_intervals(scored.studies)
    judged, never_ran = verdicts(scored), Verdict("never_ran", "never ran")
    found = []
    for submission in scored.submissions:
        for workload in scored.benchmark.workloads:
            key = (submission, workload)
            cell = {
                "submission": submission,
                "source": scored.source(submission),
                "workload": workload,
                "role": "held_out" if workload in scored.benchmark.held_out else "base",
                "status": "not_run",
                **dict.fromkeys(("time_sec", "steps")),
                **dict.fromkeys(("n_hit", "n_studies"), 0),
                "ratio_to_best": ratios.get(key),
                **dict.fromkeys(("budget_share", "closest_miss")),
                **dict.fromkeys(("time_low_sec", "time_high_sec", "time_level")),
                **_verdict(judged.get(key, never_ran)),
            }
            if result := results.get(key):
                cell |= _picked(result, "time_sec", "steps", "n_hit", "n_studies")
                cell["status"] = "missed" if math.isinf(result.time_sec) else "hit"
                cell["budget_share"] = use[key].to_target
                if misses := use[key].misses:
                    cell["closest_miss"] = misses.words
                if interval := intervals[key].time_sec:
                    cell["time_low_sec"] = interval.low
                    cell["time_high_sec"] = interval.high
                    cell["time_level"] = interval.level
            found.append(cell)
    return found


def _picked(record: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _unscored(trial: Trial) -> dict[str, Any]:
    ran = len(trial.score) > 0
    return {
        **_picked(trial, "submission", "workload", "framework", "study"),
        "trial": trial.number,
        "time_sec": float(trial.score[-1]) if ran else None,
        "steps": float(trial.global_step[-1]) if ran else None,
        "n_evaluations": len(trial.score),
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    names = {"kind": "verdict", "words": "why", "budget_share": "budget_used"}
    names["steps"] = "run_steps"
    return {names.get(key, key): value for key, value in vars(verdict).items()}


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


def _scores(row: Row, benchmark: Benchmark) -> dict[str, Any]:
    return {
        **_picked(row, "submission", "score", "n_hit"),
        "n_base": len(benchmark.base),
        **_picked(row, "time_ratio", "both_ratio", "n_both"),
    }


def _study(study: Study, scored: Scored) -> dict[str, Any]:
    return {
        "submission": study.submission,
        "source": scored.source(study.submission),
        **_picked(study, "workload", "framework", "study"),
        "status": "missed" if study.hit is MISS else "hit",
        "time_sec": study.hit.time_sec,
        "steps": study.hit.steps,
        "evaluation": study.hit.index,
        **_picked(study, "n_hit", "n_trials", "best", "run_sec", "step_sec"),
        "course": vars(study.course),
    }


def _finite(value: Any) -> Any:
    """`value` with None in place of every inf and NaN in it."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _markdown_scores(
    title: str, leaderboard: Leaderboard, benchmark: Benchmark, scored: Scored
) -> list[str]:
    table = score_table(title, leaderboard, benchmark, scored, with_runs=True)
    return [
        f"### {_markdown(title)}",
        _markdown_table([*table.headings], [[*row] for row in table.rows]),
    ]


def _markdown_cells(scored: Scored) -> str:
    """A row a workload, a column a submission."""
    submissions = [row.submission for row in scored.leaderboard.rows]
    times_sec = {(r.submission, r.workload): r.time_sec for r in scored.results}
    return _markdown_table(
        ["workload", *submissions],
        [
            [workload, *(number(times_sec.get((s, workload))) for s in submissions)]
            for workload in scored.leaderboard.workloads_run
        ],
    )


def _markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    escaped = ([_markdown(cell) for cell in row] for row in rows)
    return markdown_table([_markdown(heading) for heading in headings], escaped)


def _markdown(text: str) -> str:
    r"""`text` on one line, without the signs that Markdown would read.

    >>> print(_markdown("a|b_[c]"))
    a\|b\_\[c\]
    """
    text = " ".join(text.split())
    return "".join(f"\\{c}" if c in r"\`*_[]<>|" else c for c in text)
