r"""What the intervals of the scorer are worth, and what they say of published runs.

Simulates studies whose true medians are known, counts how often the intervals cover
them, and writes the blocks of docs/evidence/uncertainty.md.

Example:
  python -m scripts.evidence.uncertainty
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from absl import app

from scripts.evidence.pages import fill_page, from_flags, table
from unscheduled.benchmark.rulesets import RULESETS, ruleset
from unscheduled.benchmark.targets import (
    BENCHMARKS,
    Benchmark,
    Target,
    load_benchmark,
)
from unscheduled.scoring.comparison import Comparison, Ratio, compare
from unscheduled.scoring.leaderboard import rank
from unscheduled.scoring.published import load_published
from unscheduled.scoring.times import MISS, Hit, Study, workload_results
from unscheduled.scoring.uncertainty import (
    Cells,
    Interval,
    by_cell,
    median_interval,
    percentile_interval,
    resampled_medians,
    score_intervals,
)

SPREAD = 0.1  # of the logarithm of a time: what the published runs have, see the page
WORKLOADS = tuple("abcdefgh")
OURS, BASELINE = "schedule_free_adamw", "baseline"
# Of OURS and BASELINE, the same in both rulesets; source: get_batch_size of their
# submission.py, mlcommons/submissions_algorithms at 12c8e4ea, previous_leaderboards.
BATCH_SIZES = {
    "criteo1tb": (262_144, 262_144),
    "fastmri": (16, 32),
    "imagenet_resnet": (1024, 1024),
    "imagenet_vit": (1024, 1024),
    "librispeech_conformer": (224, 256),
    "librispeech_deepspeech": (128, 256),
    "ogbg": (512, 512),
    "wmt": (128, 128),
}


class Settings(NamedTuple):
    simulated: int  # samples of studies, of one cell
    groups: int  # samples of a whole group
    resamples: int
    n_studies: tuple[int, ...]


FULL = Settings(10_000, 1000, 1000, (3, 5, 10))
QUICK = Settings(100, 10, 50, (3, 5))


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
        deviations = NormalDist().inv_cdf(0.5 / (1 - self.p_miss))
        return self.median_sec * math.exp(self.spread * deviations)


Populations = dict[tuple[str, str], Population]  # by submission and workload


def make_studies(populations: Populations, draw: Callable) -> list[Study]:
    """Studies with the times that `draw` gives of each population."""
    studies = []
    for (submission, workload), population in populations.items():
        for i, time_sec in enumerate(draw(population)):
            hit = MISS if time_sec == np.inf else Hit(float(time_sec), 1.0, 0)
            names = (submission, workload, f"study_{i}", "jax")
            studies.append(Study(*names, hit, int(hit is not MISS), 1))
    return studies


def share(values) -> str:
    return f"{100 * np.mean(values):.1f}%"


def covers(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def median_block(settings: Settings) -> str:
    """Both intervals of one median, with and without misses."""
    rng = np.random.default_rng(0)
    rows = []
    for n in settings.n_studies:
        stated = median_interval([float(i + 1) for i in range(n)])
        assert stated is not None
        ends = f"x({stated.low:.0f}) to x({stated.high:.0f})"
        row = [str(n), ends, share(stated.level)]
        for p_miss in (0.0, 0.2):
            population = Population(1.0, SPREAD, p_miss)
            truth = population.true_median()
            exact, bootstrap = [], []
            for _ in range(settings.simulated):
                values = population.draw(n, rng)
                interval = median_interval(values.tolist())
                assert interval is not None
                exact.append(covers(interval, truth))
                draws = rng.integers(n, size=(settings.resamples, n))
                medians = resampled_medians(values, draws)
                bootstrap.append(covers(percentile_interval(medians), truth))
            row += [share(exact), share(bootstrap)]
        rows.append(row)
    header = ("studies", "exact interval", "its level")
    columns = ("covers", "bootstrap covers", "covers, 20% miss", "bootstrap, 20% miss")
    return table((*header, *columns), rows)


def ratio_block(settings: Settings) -> str:
    """Ratios and p of two submissions that are as fast as each other."""
    benchmark = Benchmark(
        "simulated", WORKLOADS, {}, dict.fromkeys(WORKLOADS, Target("wer", 0.1))
    )
    population = Population(1.0, SPREAD, 0.0)
    populations = {(s, w): population for s in "ab" for w in WORKLOADS}
    rng = np.random.default_rng(0)
    rows = []
    for n in settings.n_studies:
        results = [
            compare(
                make_studies(populations, lambda p, n=n: p.draw(n, rng)),
                benchmark,
                "a",
                "b",
                n_resamples=settings.resamples,
                seed=seed,
            )
            for seed in range(settings.groups)
        ]
        one = [covers(_interval(r.workloads[0].parts.time), 1) for r in results]
        mean = [covers(_interval(r.time_ratio), 1) for r in results]
        width = np.mean([_width(r.time_ratio) for r in results])
        sure = [not 0.025 <= _p(r) <= 0.975 for r in results]
        row = (str(n), share(one), share(mean), f"{100 * width:.1f}%", share(sure))
        rows.append(row)
    header = (
        "studies",
        "one workload",
        "mean of eight",
        "its width, high / low - 1",
        "p beyond 2.5% or 97.5%",
    )
    return table(header, rows)


def published_populations(cells: Cells) -> Populations:
    """Populations like the published studies: their medians, spreads and misses.

    Cells with one hit or none have the spread that the simulations have.
    """
    populations = {}
    for key, studies in cells.items():
        times_sec = np.array([study.hit.time_sec for study in studies])
        hits = np.log(times_sec[np.isfinite(times_sec)])
        spread = float(hits.std(ddof=1)) if len(hits) > 1 else SPREAD
        median_sec = float(np.exp(np.median(hits))) if len(hits) else 1.0
        populations[key] = Population(median_sec, spread, 1 - len(hits) / len(studies))
    return populations


def score_block(settings: Settings) -> str:
    """How often the interval of a score covers the score of the true medians."""
    benchmark = load_benchmark(BENCHMARKS["0.5"])
    published = load_published("0.5", "self").studies["documented"]
    populations = published_populations(by_cell(published))
    truth = _scores(make_studies(populations, lambda p: [p.true_median()]), benchmark)
    rng = np.random.default_rng(0)
    covered: dict[str, list[str]] = {name: [f"`{name}`"] for name in truth}
    for n in settings.n_studies:
        found = [
            score_intervals(
                make_studies(populations, lambda p, n=n: p.draw(n, rng)),
                benchmark,
                n_resamples=settings.resamples,
                seed=seed,
            )
            for seed in range(settings.groups)
        ]
        for name, score in truth.items():
            intervals = [group[name].interval for group in found]
            # The sums of a score depend on their order in the last digits.
            low = np.array([i.low for i in intervals if i]) - 1e-9
            high = np.array([i.high for i in intervals if i]) + 1e-9
            covered[name].append(share((low <= score) & (score <= high)))
            covered[name].append(f"{np.mean(high - low):.3f}")
    ranked = sorted(truth, key=lambda name: -truth[name])
    rows = [
        [*covered[name][:1], f"{truth[name]:.4f}", *covered[name][1:]]
        for name in ranked
    ]
    header = ["submission", "true score"]
    for n in settings.n_studies:
        header += [f"covered, {n} studies", "width"]
    return table(header, rows)


def published_block(settings: Settings) -> str:
    """The published leaderboards with intervals."""
    rows = []
    for version in ("0.5", "0.6"):
        benchmark = load_benchmark(BENCHMARKS[version])
        for rules in RULESETS:
            studies = load_published(version, rules).studies["documented"]
            found = score_intervals(studies, benchmark)
            if len(found) < 2:
                continue  # alone, it is the fastest everywhere
            for row in sorted(found.values(), key=lambda row: -row.score):
                if row.score == 0:
                    continue
                rows.append(
                    (
                        f"{version} {rules}",
                        f"`{row.submission}`",
                        f"{row.score:.4f}",
                        _ends(row.interval, 4),
                        f"{row.p_best:.3f}",
                    )
                )
    header = ("group", "submission", "score", "95% interval", "best in its group")
    return table(header, rows)


def in_examples(studies: list[Study]) -> list[Study]:
    """The base workloads' studies of the two, with examples in the place of steps."""
    return [
        replace(
            study,
            hit=replace(study.hit, steps=study.hit.steps * batch_size),
            step_sec=study.step_sec / batch_size,
        )
        for study in studies
        if study.submission in (OURS, BASELINE) and study.workload in BATCH_SIZES
        for batch_size in [BATCH_SIZES[study.workload][study.submission == BASELINE]]
    ]


def compare_published(rules: str, examples: bool) -> Comparison:
    """Schedule-Free's first entry against the baseline, version 0.5."""
    studies = load_published("0.5", rules).studies["documented"]
    factor = ruleset(rules, "0.5").budget_factor
    benchmark = load_benchmark(BENCHMARKS["0.5"])
    if examples:
        studies = in_examples(studies)
    return compare(studies, benchmark, OURS, BASELINE, factor)


def comparison_block(settings: Settings) -> str:
    """A row a workload, self-tuning."""
    rows = []
    found = compare_published("self", examples=False)
    for comparison in found.workloads:
        parts = comparison.parts
        rows.append(
            (
                comparison.workload,
                "{:,} / {:,}".format(*BATCH_SIZES[comparison.workload]),
                f"{comparison.p_faster:.2f}",
                *(_ratio(r) for r in (parts.time, parts.steps, parts.step_sec)),
            )
        )
    header = ("workload", "batch sizes", "p of two studies")
    return table((*header, "time", "steps", "seconds a step"), rows)


def summary_block(settings: Settings) -> str:
    """Means over workloads, a row a ruleset and a way to count."""
    rows = []
    for rules in RULESETS:
        steps, examples = (compare_published(rules, examples=e) for e in (False, True))
        p = f"{steps.p_faster:.3f}"
        rows.append((f"{rules}: time of all workloads", p, _ratio(steps.time_ratio)))
        assert steps.both_hit is not None
        assert examples.both_hit is not None
        n_both = sum(0 < w.parts.time.value < math.inf for w in steps.workloads)
        for what, ratio in (
            ("time", steps.both_hit.time),
            ("steps", steps.both_hit.steps),
            ("seconds a step", steps.both_hit.step_sec),
            ("examples", examples.both_hit.steps),
            ("seconds an example", examples.both_hit.step_sec),
        ):
            rows.append((f"{rules}: {what}, {n_both} both hit", "", _ratio(ratio)))
    return table(("geometric mean of the ratios of", "p", "ratio"), rows)


def spread_block(settings: Settings) -> str:
    """Standard deviations of log times of the published cells with three hits."""
    rows = []
    for rules in RULESETS:
        cells = by_cell(load_published("0.5", rules).studies["documented"])
        hits = [
            [study.hit.time_sec for study in cell if study.hit != MISS]
            for cell in cells.values()
        ]
        spreads = [np.log(times).std(ddof=1) for times in hits if len(times) > 2]
        some = [0 < len(h) < len(c) for h, c in zip(hits, cells.values(), strict=True)]
        quantiles = (f"{q:.2f}" for q in np.quantile(spreads, [0.1, 0.5, 0.9]))
        rows.append((f"0.5 {rules}", str(len(cells)), str(sum(some)), *quantiles))
    header = ("group", "cells", "with hits and misses", "10%", "median", "90%")
    return table(header, rows)


def cost_block(settings: Settings) -> str:
    """Seconds to score resamples of all of version 0.5, both rulesets as one group."""
    benchmark = load_benchmark(BENCHMARKS["0.5"])
    studies = [
        replace(study, submission=f"{study.submission}, {rules}")
        for rules in RULESETS
        for study in load_published("0.5", rules).studies["documented"]
    ]
    n = 10 * settings.resamples
    start = time.perf_counter()
    found = score_intervals(studies, benchmark, n_resamples=n)
    seconds = time.perf_counter() - start
    return (
        f"{n} resamples of {len(found)} submissions and {len(studies)} studies: "
        f"{seconds:.1f} s on one core."
    )


def _interval(ratio: Ratio) -> Interval:
    assert ratio.interval is not None
    return ratio.interval


def _p(comparison: Comparison) -> float:
    assert comparison.p_faster is not None
    return comparison.p_faster


def _width(ratio: Ratio) -> float:
    interval = _interval(ratio)
    return interval.high / interval.low - 1


def _scores(studies: list[Study], benchmark: Benchmark) -> dict[str, float]:
    rows = rank(workload_results(studies), benchmark).rows
    return {row.submission: row.score for row in rows}


def _ends(interval: Interval | None, digits: int) -> str:
    if interval is None:
        return "none"
    return f"{interval.low:.{digits}f} to {interval.high:.{digits}f}"


def _ratio(ratio: Ratio) -> str:
    if math.isnan(ratio.value):
        return "both missed"
    return f"{ratio.value:.3f} ({_ends(ratio.interval, 3)})"


BLOCKS = {
    "medians": median_block,
    "ratios": ratio_block,
    "scores": score_block,
    "spreads": spread_block,
    "published": published_block,
    "comparison": comparison_block,
    "summary": summary_block,
    "cost": cost_block,
}


def main(_):
    settings, out_dir = from_flags(FULL, QUICK)
    blocks = {name: block(settings) for name, block in BLOCKS.items()}
    print(fill_page("uncertainty", blocks, out_dir))


if __name__ == "__main__":
    app.run(main)
