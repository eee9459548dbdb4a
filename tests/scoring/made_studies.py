"""Studies made of plain numbers, for the tests."""

import math
from collections.abc import Mapping, Sequence

from unscheduled.benchmark.targets import Benchmark, Target
from unscheduled.scoring.times import MISS, Hit, Study

INF, NAN = math.inf, math.nan
TARGET = Target("accuracy", 0.5, 10.0)
BENCHMARK = Benchmark(
    version="test",
    base=("x", "y"),
    held_out={"x_v": "x"},
    targets=dict.fromkeys(("x", "y", "x_v"), TARGET),
)


def make_study(
    submission: str = "a",
    workload: str = "x",
    study: str = "study_0",
    time_sec: float = INF,
    steps: float = 8.0,
    best: float = NAN,
    run_sec: float = NAN,
    step_sec: float = NAN,
    framework: str = "jax",
) -> Study:
    """A study of one trial; it missed where `time_sec` is inf."""
    hit = MISS if time_sec == INF else Hit(time_sec, steps, 0)
    return Study(
        submission=submission,
        workload=workload,
        study=study,
        framework=framework,
        hit=hit,
        n_hit=int(hit is not MISS),
        n_trials=1,
        best=best,
        run_sec=run_sec,
        step_sec=step_sec if hit is MISS else time_sec / steps,
    )


def make_group(times_sec: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Study]:
    """Studies from {submission: {workload: seconds of its studies}}."""
    return [
        make_study(submission, workload, f"study_{i}", time_sec)
        for submission, workloads in times_sec.items()
        for workload, times in workloads.items()
        for i, time_sec in enumerate(times)
    ]
