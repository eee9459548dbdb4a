"""Projects refined_schedule_free onto the board: docs/evidence/projection.md.

Official steps of the published Schedule-Free entry, times the ratio of steps on the
workload that mirrors it here, at the published entry's milliseconds a step, times what
Muon adds to those.
"""

import json
import math
import subprocess
import sys
from typing import Any, NamedTuple

from absl import app

from scripts.evidence.miniature import TABLE
from scripts.evidence.pages import ROOT, publish
from scripts.evidence.refined_schedule_free import SEEDS, log_ratios
from scripts.run_table import Result, Run, read_table
from unscheduled.benchmark.frameworks import FRAMEWORKS, SPELLINGS
from unscheduled.benchmark.tables import markdown_table
from workloads_ext import registry

_PUBLISHED = {"pytorch": "schedule_free_adamw_v2", "jax": "schedule_free_adamw_jax_v2"}
# Schedule-Free without smoothing there, in JAX; with it none got there.
_LM, _LM_STEPS = "finewebedu_lm", 57_000


# A step with Muon, on each rank, over one without, there: the `step_sec` that
# `scripts/score.py --against=published:rolling --format=csv` has, the middle of
# muon_torch_replicated_jax_hps and _torch_hps over the median of ademamix, lion and the
# two schedule_free_adamw. Clicks, MRI and Deep Speech are left out: time_to_target.md.
_MUON_MS = {
    "finewebedu_lm": 1.09,
    "imagenet_vit": 1.03,
    "librispeech_conformer": 1.08,
    "ogbg": 1.07,
    "wmt": 1.18,
}


class Case(NamedTuple):
    """Ratios that are assumed instead of those here."""

    words: str
    ratios: dict[str, float]


# Weights t^.75, a window of t / 1.75, are the only shorter one on the board: the steps
# of v1 there over v2's. A window of t / 5 is as much shorter again by this power.
_OF_V1 = {
    "criteo1tb": 1.30,
    "fastmri": 0.85,
    "librispeech_deepspeech": 1.15,
    "ogbg": 0.56,
    "wmt": 1.82,
}
_POWER = math.log(5) / math.log(1.75)
CASES = {
    "as here": Case("the ratios here", {}),
    "as v1": Case(
        "those here, but v1's official ratio where that is above 1",
        {name: value for name, value in _OF_V1.items() if value > 1},
    ),
    "extrapolated": Case(
        f"those here, but v1's official ratio to the power {_POWER:.2f} where there is "
        "one",
        {name: value**_POWER for name, value in _OF_V1.items()},
    ),
}


def ratios(table: dict[Run, Result], framework: str) -> dict[str, float]:
    """The flagship's steps over the published setting's, by official workload."""
    found = {}
    for name in registry.WORKLOADS:
        loaded: Any = registry.load(name, framework)
        other = "SF v2"
        if loaded.mirrors == _LM or framework == "jax":  # where smoothing is dead
            other = "SF v2 without smoothing"
        logs = log_ratios(table, name, other, "pytorch", SEEDS["pytorch"])
        found[loaded.mirrors] = math.exp(logs.mean()) if len(logs) else math.nan
    return found


def assumptions(ratios: dict[str, float], framework: str) -> list[str]:
    lines = []
    for workload, ratio in ratios.items():
        ratio *= _MUON_MS.get(workload, 1.0)  # as if by as many more steps
        what = f"steps*{ratio:.3f}"
        if workload == _LM and framework == "pytorch":
            what = f"{_LM_STEPS * ratio:.0f}steps"
        lines.append(f"{_PUBLISHED[framework]}/{workload}={what}")
    return lines


def project(lines: list[str], framework: str) -> dict[str, Any]:
    """The published entry's row, under these assumptions."""
    command = [sys.executable, "scripts/score.py", "--against=published:rolling"]
    command += ["--format=json", *(f"--what_if={line}" for line in lines)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    what_if = json.loads(done.stdout)["what_if"]
    rows = {row["submission"]: row for row in what_if["scores"]}
    # None where it is missed, before and after.
    missed = {"before": None, "after": None}
    times = [(*each["times_sec"], missed)[0] for each in what_if["assumptions"]]
    return {**rows[_PUBLISHED[framework]], "times": times}


def seconds(value: float | None) -> str:
    return "missed" if value is None else f"{value:.0f}"


def main(_) -> None:
    table = read_table(TABLE)
    rows, cells = [], []
    for framework in FRAMEWORKS:
        here = ratios(table, framework)
        for name, case in CASES.items():
            lines = assumptions({**here, **case.ratios}, framework)
            row = project(lines, framework)
            band = row["interval"]
            interval = f"{band['low']:.2f} to {band['high']:.2f}" if band else ""
            scores = f"{row['before']:.3f}", f"{row['score']:.3f}"
            rows.append((SPELLINGS[framework], case.words, *scores, interval))
            for line, time in zip(lines, row["times"], strict=True):
                times = seconds(time["before"]), seconds(time["after"])
                workload, what = line.partition("/")[2].split("=", 1)
                cells.append((SPELLINGS[framework], name, workload, what, *times))
    names = ("framework", "ratios", "published entry", "projected", "95% of studies")
    details = ("framework", "ratios", "workload", "assumed", "before, s", "after, s")
    blocks = {
        "scores": markdown_table(names, rows),
        "cells": markdown_table(details, cells),
    }
    publish("projection", blocks)


if __name__ == "__main__":
    app.run(main)
