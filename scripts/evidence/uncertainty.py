"""What the intervals of the scorer are worth.

Simulates studies whose true medians are known, counts how often the intervals cover
them, and writes docs/evidence/uncertainty.md; some minutes on one core.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from absl import app
from scipy.stats import norm

from scripts.evidence.pages import publish
from unscheduled.benchmark.tables import markdown_table
from unscheduled.benchmark.targets import BENCHMARKS, Benchmark, Target, load_benchmark
from unscheduled.scoring.comparison import compare
from unscheduled.scoring.leaderboard import rank
from unscheduled.scoring.published import load_published
from unscheduled.scoring.times import MISS, Hit, Study, by_cell, workload_results
from unscheduled.scoring.uncertainty import (
    median_interval,
    percentile_interval,
    resampled_medians,
    score_intervals,
)

SIMULATED = 10_000  # samples of the studies of one cell
GROUPS = 1000  # samples of a whole group
RESAMPLES = 1000
N_STUDIES = (3, 5, 10)
SPREAD = 0.1  # of the logarithm of a time: about that of the published runs
WORKLOADS = tuple("abcdefgh")


class Population(NamedTuple):
    """A submission's studies on a workload: lognormal times, some of them misses."""

    median_sec: float  # of the hits
    spread: float
    p_miss: float

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        times_sec = self.median_sec * np.exp(self.spread * rng.standard_normal(n))
        return np.where(rng.random(n) < self.p_miss, np.inf, times_sec)

    def true_median(self) -> float:
        """Misses included."""
        if self.p_miss >= 0.5:
            return math.inf
        quantile = norm.ppf(0.5 / (1 - self.p_miss))
        return self.median_sec * math.exp(self.spread * quantile)


Populations = dict[tuple[str, str], Population]  # by submission and workload


def make_studies(
    populations: Populations, draw: Callable[[Population], Iterable[float]]
) -> list[Study]:
    """Studies with the times that `draw` gives of each population."""
    studies = []
    for (submission, workload), population in populations.items():
        for i, time_sec in enumerate(draw(population)):
            hit = MISS if time_sec == np.inf else Hit(float(time_sec), 1.0, 0)
            names = (submission, workload, f"study_{i}", "jax")
            studies.append(Study(*names, hit, int(hit is not MISS), 1))
    return studies


def sampled_groups(
    populations: Populations, n: int, rng: np.random.Generator
) -> Iterator[tuple[list[Study], dict[str, int]]]:
    """Samples of `n` studies of each population, and how each is to be resampled."""
    for seed in range(GROUPS):
        studies = make_studies(populations, lambda each: each.draw(n, rng))
        yield studies, {"n_resamples": RESAMPLES, "seed": seed}


def share(values: Iterable[bool]) -> str:
    return f"{100 * np.mean([*values]):.1f}%"


def covers(interval: Any, truth: float) -> bool:
    # The sums of a score depend on their order in the last digits.
    return interval.low - 1e-9 <= truth <= interval.high + 1e-9


def medians() -> str:
    rng = np.random.default_rng(0)
    rows = []
    for n in N_STUDIES:
        stated: Any = median_interval([float(i + 1) for i in range(n)])
        row = [str(n), f"x({stated.low:.0f}) to x({stated.high:.0f})"]
        row.append(share([stated.level]))
        for p_miss in (0.0, 0.2):
            population = Population(1.0, SPREAD, p_miss)
            exact, bootstrap = [], []
            for _ in range(SIMULATED):
                values = population.draw(n, rng)
                exact.append(median_interval(values.tolist()))
                draws = rng.integers(n, size=(RESAMPLES, n))
                resampled = resampled_medians(values, draws)
                bootstrap.append(percentile_interval(resampled))
            truth = population.true_median()
            for intervals in (exact, bootstrap):
                row.append(share(covers(interval, truth) for interval in intervals))
        rows.append(row)
    header = ("studies", "exact interval", "its level", "covers", "bootstrap covers")
    return markdown_table((*header, "covers, 20% miss", "bootstrap, 20% miss"), rows)


def ratios() -> str:
    """Ratios and p of two submissions that are as fast as each other."""
    targets = dict.fromkeys(WORKLOADS, Target("wer", 0.1))
    benchmark = Benchmark("simulated", WORKLOADS, {}, targets)
    populations = dict.fromkeys(product("ab", WORKLOADS), Population(1.0, SPREAD, 0.0))
    rng = np.random.default_rng(0)
    rows = []
    for n in N_STUDIES:
        groups = sampled_groups(populations, n, rng)
        found: Any = [compare(s, benchmark, "a", "b", **how) for s, how in groups]
        one = (covers(c.workloads[0].parts.time.interval, 1) for c in found)
        intervals = [c.time_ratio.interval for c in found]
        mean = (covers(interval, 1) for interval in intervals)
        width = np.mean([interval.high / interval.low - 1 for interval in intervals])
        sure = (not 0.025 <= c.p_faster <= 0.975 for c in found)
        row = [str(n), share(one), share(mean), f"{100 * width:.1f}%", share(sure)]
        rows.append(row)
    header = ("studies", "one workload", "mean of eight", "its width, high / low - 1")
    return markdown_table((*header, "p beyond 2.5% or 97.5%"), rows)


def published_populations() -> Populations:
    """Like the published studies of each; SPREAD where there are not two hits."""
    cells = by_cell(load_published("0.5", "self").studies["documented"])
    populations = {}
    for key, studies in cells.items():
        times_sec = np.array([study.hit.time_sec for study in studies])
        hits = np.log(times_sec[np.isfinite(times_sec)])
        spread = float(hits.std(ddof=1)) if len(hits) > 1 else SPREAD
        median_sec = float(np.exp(np.median(hits))) if len(hits) else 1.0
        populations[key] = Population(median_sec, spread, 1 - len(hits) / len(studies))
    return populations


def scores() -> str:
    """How often the interval of a score covers the score of the true medians."""
    benchmark = load_benchmark(BENCHMARKS["0.5"])
    populations = published_populations()
    exact = make_studies(populations, lambda population: [population.true_median()])
    ranked = rank(workload_results(exact), benchmark).rows
    rows = [[f"`{row.submission}`", f"{row.score:.4f}"] for row in ranked]
    rng = np.random.default_rng(0)
    header = ["submission", "true score"]
    for n in N_STUDIES:
        header += [f"covered, {n} studies", "width"]
        groups = sampled_groups(populations, n, rng)
        found = [score_intervals(s, benchmark, **how) for s, how in groups]
        for row, cells in zip(ranked, rows, strict=True):
            intervals: Any = [group[row.submission].interval for group in found]
            covered = share(covers(interval, row.score) for interval in intervals)
            width = np.mean([interval.high - interval.low for interval in intervals])
            cells += [covered, f"{width:.3f}"]
    return markdown_table(header, rows)


if __name__ == "__main__":
    blocks = (medians, ratios, scores)
    app.run(lambda _: publish("uncertainty", {b.__name__: b() for b in blocks}))
