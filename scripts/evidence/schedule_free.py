"""Schedule-Free SGD against averaging and a schedule, on logistic regression.

Writes docs/evidence/schedule_free.md and its figure; about a minute on one core.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from absl import app

from scripts.evidence import logistic, pages
from unscheduled.benchmark.tables import markdown_table
from unscheduled.optim_numpy.schedule_free import (
    schedule_free_init,
    schedule_free_step,
    schedule_free_y,
    sgd,
)

PROBLEMS = tuple(logistic.LOADERS)
HORIZONS = (250, 500, 1000, 2000, 4000)
RATES = tuple(2.0**power for power in range(-6, 3))
SEEDS = 20  # half of them choose the rates, the other half are reported
BATCH_SIZE = 8
POINTS = 20  # of a curve


class Method(NamedTuple):
    """beta1: where the gradient is taken; sequence: whether the result is x or z."""

    label: str
    beta1: float
    sequence: str
    color: str
    decays: bool = False  # linearly to zero, in a run for each horizon


# With β = 0 the gradient is taken at z, and z is plain SGD.
METHODS = (
    Method("Schedule-Free", 0.9, "x", pages.BLUE),
    Method("constant rate", 0.0, "z", pages.BLACK),
    Method("Polyak averaging", 0.0, "x", pages.ORANGE),
    Method("primal averaging", 1.0, "x", pages.GREEN),
    Method("linear decay", 0.0, "z", pages.RED, decays=True),
)


class Result(NamedTuple):
    """curves: (rates, steps, seeds) of gaps and of errors, by method and horizon."""

    problem: logistic.Problem
    curves: dict[tuple[Method, int], tuple[np.ndarray, np.ndarray]]


def record_steps(horizon: int) -> np.ndarray:
    """About evenly spaced on a logarithmic axis, the horizons among them."""
    spaced = np.geomspace(HORIZONS[0] / 4, horizon, POINTS).round().astype(int)
    return np.unique([*spaced, *(h for h in HORIZONS if h <= horizon)])


def run(
    problem: logistic.Problem, method: Method, horizon: int, rate: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Gaps and test errors of all seeds, at each of `record_steps`."""
    recorded = set(record_steps(horizon).tolist())
    state = schedule_free_init([logistic.zeros(problem, SEEDS)])
    drawn = logistic.batches(problem, range(SEEDS), horizon, BATCH_SIZE)
    for step, rows in enumerate(drawn, start=1):
        lr = rate * (1 - (step - 1) / horizon) if method.decays else rate
        (y,) = schedule_free_y(state, method.beta1)
        grads = [logistic.gradient(problem, y, rows)]
        state = schedule_free_step(state, grads, sgd(), lr=lr, beta1=method.beta1)
        if step in recorded:
            (weights,) = getattr(state, method.sequence)
            yield logistic.gap(problem, weights), logistic.test_error(problem, weights)


def measure() -> list[Result]:
    results = []
    for name in PROBLEMS:
        result = Result(logistic.load(name), {})
        for method in METHODS:
            for horizon in HORIZONS if method.decays else HORIZONS[-1:]:
                runs = [[*run(result.problem, method, horizon, rate)] for rate in RATES]
                gaps, errors = np.moveaxis(np.array(runs), 2, 0)
                result.curves[method, horizon] = gaps, errors
        results.append(result)
    return results


class Best(NamedTuple):
    """The best rate; the gaps of the reported seeds, all along and at the horizon."""

    rate: float
    curve: np.ndarray
    gaps: np.ndarray
    errors: np.ndarray


def best(result: Result, method: Method, horizon: int, one_rate: bool) -> Best:
    """At the rate that is best on the other seeds, at one horizon or at all."""
    end = horizon if method.decays else HORIZONS[-1]
    (gaps, shown_gaps), (_, errors) = map(pages.halves, result.curves[method, end])
    tuned_for = HORIZONS if one_rate and not method.decays else (horizon,)
    steps = record_steps(end)
    medians = np.median(gaps[:, np.searchsorted(steps, tuned_for)], axis=-1)
    rate = int(np.log(medians).mean(axis=1).argmin())
    curve, at_horizon = shown_gaps[rate], np.searchsorted(steps, horizon)
    return Best(RATES[rate], curve, curve[at_horizon], errors[rate][at_horizon])


def gap_table(result: Result, one_rate: bool) -> str:
    rows = []
    for horizon in HORIZONS:
        ends = (best(result, method, horizon, one_rate) for method in METHODS)
        cells = (f"{pages.spread(1000 * end.gaps)} at {end.rate:.3g}" for end in ends)
        rows.append([str(horizon), *cells])
    return markdown_table(["steps", *(m.label for m in METHODS)], rows)


def summary_table(results: list[Result]) -> str:
    """The range, over problems and horizons, of the median gap over linear decay's."""
    *others, decay = METHODS
    rows = []
    for method in others:
        row = [method.label]
        for one_rate in (True, False):
            medians = []
            for result in results:
                for horizon in HORIZONS:
                    ours = best(result, method, horizon, one_rate).gaps
                    theirs = best(result, decay, horizon, one_rate).gaps
                    medians.append(np.median(ours / theirs))  # seed by seed
            row.append(f"{min(medians):.2f} to {max(medians):.2f}")
        rows.append(row)
    return markdown_table(["", "one rate", "best rate for each horizon"], rows)


def error_table(results: list[Result]) -> str:
    rows = []
    for result in results:
        ends = (best(result, m, HORIZONS[-1], one_rate=True) for m in METHODS)
        cells = (pages.spread(100 * end.errors) for end in ends)
        rows.append([result.problem.name, *cells])
    return markdown_table(["", *(m.label for m in METHODS)], rows)


def draw(results: list[Result]):
    """Medians in a band of quartiles; for linear decay a bar where each run ends."""
    figure, (panels,) = pages.new_figure(1, len(results), (5 * len(results), 3.9))
    for panel, result in zip(panels, results, strict=True):
        *others, decay = METHODS
        for method in others:
            curve = best(result, method, HORIZONS[-1], one_rate=True).curve
            steps = record_steps(HORIZONS[-1])
            pages.draw_band(panel, steps, curve, method.color, method.label)
        for horizon in HORIZONS:
            curve = best(result, decay, horizon, one_rate=True).curve
            quartiles, steps = pages.quartiles(curve), record_steps(horizon)
            (line,) = panel.plot(steps, quartiles[1], "--", color=decay.color, lw=1)
            ends = quartiles[:, -1:]
            pages.draw_bars(panel, [horizon], ends, decay.color, "o", lw=1, ms=5)
        line.set_label(f"{decay.label}, a run for each horizon")
        panel.set(xscale="log", yscale="log", xlabel="steps", ylabel="gap, nats")
        panel.set_xticks(HORIZONS, [str(h) for h in HORIZONS])
        panel.minorticks_off()
        panel.set_title(result.problem.name, fontsize=10)
    panels[0].legend(fontsize=8, frameon=False)
    return figure


def write(results: list[Result]) -> None:
    problems = [r.problem for r in results]
    minima = [[p.name, f"{p.minimum:.10f}", f"{p.certified:.0e}"] for p in problems]
    gaps = [
        f"{r.problem.name}, {how} rate for {which}:\n\n{gap_table(r, how == 'one')}"
        for r in results
        for how, which in (("one", "all horizons"), ("the best", "each horizon"))
    ]
    blocks = {
        "minima": markdown_table(["", "min F, nats", "off by at most"], minima),
        "gaps": "\n\n".join(gaps),
        "summary": summary_table(results),
        "errors": error_table(results),
    }
    pages.publish("schedule_free", blocks, schedule_free=draw(results))


if __name__ == "__main__":
    app.run(lambda _: write(measure()))
