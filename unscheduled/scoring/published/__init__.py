"""The published submissions of each version of the benchmark, as figures a study.

The files beside this one say where their figures come from and what they mean;
scripts/update_published.py makes those of the rolling leaderboard.
"""

import json
import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.rulesets import RULESETS
from unscheduled.scoring.times import MISS, Course, Hit, Study

FOLDER = Path(__file__).parent
VERSIONS = ("0.5", "0.6", "rolling")


@dataclass(frozen=True)
class Published:
    version: str
    ruleset: str
    source: str
    date: str | None  # None for a version that is closed
    gpu_model_name: str
    gpu_count: int
    notes: tuple[str, ...]
    studies: dict[str, list[Study]]  # by rule

    @property
    def submissions(self) -> tuple[str, ...]:
        return tuple(sorted({s.submission for s in self.studies["documented"]}))


def load_published(version: str, ruleset: str) -> Published:
    """The published submissions; raises UserError where there are none.

    >>> load_published("0.6", "external").submissions
    ('baseline', 'shampoo')
    """
    path = published_path(version, ruleset)
    if version not in VERSIONS or ruleset not in RULESETS or not path.exists():
        raise UserError(
            f"Nothing is published as version {version} by {ruleset} tuning: versions "
            f"are {', '.join(VERSIONS)}."
        )
    facts = json.loads(path.read_text(encoding="utf-8"))
    return Published(
        version,
        ruleset,
        source=facts["_source"],
        date=facts.get("date"),
        gpu_model_name=facts["gpu_model_name"],
        gpu_count=facts["gpu_count"],
        notes=tuple(facts["notes"]),
        studies={
            "documented": _studies(facts, {}),
            "official": _studies(facts, facts["official"]),
        },
    )


def published_path(version: str, ruleset: str, folder: Path = FOLDER) -> Path:
    stem = f"v{version.replace('.', '')}" if version[0].isdigit() else version
    return folder / f"{stem}_{ruleset}.json"


def parse_against(text: str, ruleset: str) -> Published:
    """What `published:<version>[/<name>,...]` stands for; else raises UserError.

    >>> parse_against("published:0.5/schedule_free_adamw", "self").submissions
    ('schedule_free_adamw',)
    """
    scheme, _, rest = text.partition(":")
    version, slash, names = rest.partition("/")
    if scheme != "published" or version not in VERSIONS:
        choices = ", ".join(f"published:{version}" for version in VERSIONS)
        raise UserError(
            f"Nothing to score against called {text!r}: choose from {choices}, with "
            "/<submission>,<submission> after it for some of its submissions."
        )
    published = load_published(version, ruleset)
    kept = names.split(",") if slash else published.submissions
    for name in kept:
        if name not in published.submissions:
            choices = ", ".join(published.submissions)
            raise UserError(
                f"No published submission {name!r} in version {version}, {ruleset} "
                f"tuning: choose from {choices}."
            )
    studies = {
        rule: [study for study in studies if study.submission in kept]
        for rule, studies in published.studies.items()
    }
    return replace(published, studies=studies)


def _studies(facts: dict[str, Any], hits: dict[str, Any]) -> list[Study]:
    """Studies with the hits of the file, except where `hits` has another."""
    studies = []
    for submission, cells in facts["studies"].items():
        for cell, rows in cells.items():
            workload, _, framework = cell.rpartition("_")
            for study, row in rows.items():
                figures = dict(zip(facts["columns"], row, strict=True))
                of_rule = hits.get(submission, {}).get(cell, {}).get(study, row[:3])
                time_sec, steps, index = of_rule
                found = index is not None
                hit = Hit(float(time_sec), float(steps), index) if found else MISS
                names = (submission, workload, study, framework)
                studies.append(_study(names, hit, figures))
    return studies


def _study(names: tuple[str, str, str, str], hit: Hit, figures: dict) -> Study:
    step_sec = figures["step_sec"] if hit is MISS else hit.time_sec / hit.steps
    known = {
        name: math.nan if value is None else float(value)
        for name, value in {**figures, "step_sec": step_sec}.items()
    }
    if "end_sec" in known:
        course = Course(**{field.name: known[field.name] for field in fields(Course)})
    else:  # the file knows when a run ended, and at what pace it went
        course = Course(known["run_sec"], known["run_sec"] / known["step_sec"])
    counts = (figures["n_hit"], figures["n_trials"])
    measured = (known["best"], known["run_sec"], known["step_sec"])
    return Study(*names, hit, *counts, *measured, course)
