r"""Schedule-Free SGD against averaging and a schedule, on logistic regression.

Writes docs/evidence/schedule_free.md and its figure; about a minute on one core.

Example:
  python -m scripts.evidence.schedule_free
"""

from pathlib import Path
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


class Method(NamedTuple):
    """beta1: of the gradient's place; sequence: which one is the result, x or z."""

    label: str
    beta1: float
    sequence: str
    color: str


# With β = 0 the gradient is taken at z, and z is plain SGD.
METHODS = (
    Method("Schedule-Free", 0.9, "x", pages.BLUE),
    Method("constant rate", 0.0, "z", pages.BLACK),
    Method("Polyak averaging", 0.0, "x", pages.ORANGE),
    Method("primal averaging", 1.0, "x", pages.GREEN),
)
DECAY = "linear decay"


class Settings(NamedTuple):
    """Half of the seeds choose the rates, the other half are reported."""

    problems: tuple[str, ...] = tuple(logistic.LOADERS)
    horizons: tuple[int, ...] = (250, 500, 1000, 2000, 4000)
    rates: tuple[float, ...] = tuple(2.0**power for power in range(-6, 3))
    seeds: int = 20
    batch_size: int = 8
    points: int = 20  # of a curve


QUICK = Settings(
    problems=("breast_cancer",),
    horizons=(500, 2000),
    rates=(0.25, 1.0),
    seeds=10,
    points=10,
)


class Curve(NamedTuple):
    """steps: (points,); gaps, errors: (rates, points, seeds)."""

    steps: np.ndarray
    gaps: np.ndarray
    errors: np.ndarray

    def at(self, step: int) -> int:
        """The index of a step."""
        return int(np.searchsorted(self.steps, step))

    def chosen(self, rate: int) -> "Curve":
        """The curve of one rate, of the seeds that are reported."""
        gaps, errors = self.gaps[rate], self.errors[rate]
        return Curve(self.steps, pages.reported(gaps), pages.reported(errors))

    def best_rate(self, steps: tuple[int, ...]) -> int:
        """Least median gap, by the geometric mean over steps, on the other seeds."""
        points = [self.at(step) for step in steps]
        medians = np.median(pages.tuning(self.gaps)[:, points], axis=-1)
        return int(np.log(medians).mean(axis=1).argmin())


class Result(NamedTuple):
    """anytime: the curves by label; decay: by horizon, each of its own runs."""

    problem: logistic.Problem
    anytime: dict[str, Curve]
    decay: dict[int, Curve]


def record_steps(settings: Settings, horizon: int) -> np.ndarray:
    """About evenly spaced on a logarithmic axis, the horizons among them."""
    spaced = np.geomspace(settings.horizons[0] / 4, horizon, settings.points)
    horizons = [h for h in settings.horizons if h <= horizon]
    return np.unique([*spaced.round().astype(int), *horizons])


def run(
    problem: logistic.Problem,
    settings: Settings,
    rate: float,
    beta1: float,
    horizon: int,
    sequences: list[str],
    decay: bool = False,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Gaps and errors, (points, seeds), of the sequences, x or z, of all seeds."""
    wanted = set(record_steps(settings, horizon).tolist())
    found: dict[str, list] = {name: [] for name in sequences}
    state = schedule_free_init([logistic.zeros(problem, settings.seeds)])
    drawn = logistic.batches(
        problem, range(settings.seeds), horizon, settings.batch_size
    )
    for step, rows in enumerate(drawn, start=1):
        lr = rate * (1 - (step - 1) / horizon) if decay else rate
        (y,) = schedule_free_y(state, beta1)
        grads = [logistic.gradient(problem, y, rows)]
        state = schedule_free_step(state, grads, sgd(), lr=lr, beta1=beta1)
        if step in wanted:
            for name, measured in found.items():
                (weights,) = state.x if name == "x" else state.z
                error = logistic.test_error(problem, weights)
                measured.append((logistic.gap(problem, weights), error))
    return {name: tuple(np.stack(v, axis=1)) for name, v in found.items()}


def measure_problem(name: str, settings: Settings) -> Result:
    """Every method with every rate on one problem."""
    problem = logistic.load(name)
    last = settings.horizons[-1]
    runs = {}
    for beta1 in {method.beta1 for method in METHODS}:
        wanted = [m.sequence for m in METHODS if m.beta1 == beta1]
        runs[beta1] = [
            run(problem, settings, r, beta1, last, wanted) for r in settings.rates
        ]
    anytime = {
        m.label: _curve(settings, last, runs[m.beta1], m.sequence) for m in METHODS
    }
    decay = {}
    for horizon in settings.horizons:
        decayed = [
            run(problem, settings, r, 0.0, horizon, ["z"], decay=True)
            for r in settings.rates
        ]
        decay[horizon] = _curve(settings, horizon, decayed, "z")
    return Result(problem, anytime, decay)


def _curve(settings: Settings, horizon: int, runs: list, sequence: str) -> Curve:
    gaps, errors = zip(*(r[sequence] for r in runs), strict=True)
    return Curve(record_steps(settings, horizon), np.stack(gaps), np.stack(errors))


def measure(settings: Settings) -> list[Result]:
    """One result for each problem."""
    return [measure_problem(name, settings) for name in settings.problems]


def final(result: Result, label: str, horizon: int, horizons: tuple[int, ...]):
    """Rate index, gaps and errors of the reported seeds at a horizon.

    The rate is the best for `horizons`; linear decay has one for each horizon anyway.
    """
    if label == DECAY:
        curve, horizons = result.decay[horizon], (horizon,)
    else:
        curve = result.anytime[label]
    rate = curve.best_rate(horizons)
    chosen = curve.chosen(rate)
    point = chosen.at(horizon)
    return rate, chosen.gaps[point], chosen.errors[point]


def gap_table(result: Result, settings: Settings, one_rate: bool) -> str:
    """Gaps at each horizon, with the rate where it differs from row to row."""
    labels = [m.label for m in METHODS] + [DECAY]
    rows = []
    for horizon in settings.horizons:
        cells = []
        for label in labels:
            tuned_for = settings.horizons if one_rate else (horizon,)
            rate, gaps, _ = final(result, label, horizon, tuned_for)
            varies = label == DECAY or not one_rate
            note = f" at {settings.rates[rate]:.3g}" if varies else ""
            cells.append(f"{pages.spread(1000 * gaps)}{note}")
        rows.append([str(horizon), *cells])
    header = ["steps"]
    for label in labels:
        rate = final(result, label, settings.horizons[-1], settings.horizons)[0]
        constant = one_rate and label != DECAY
        note = f" at {settings.rates[rate]:.3g}" if constant else ""
        header.append(f"{label}{note}")
    return markdown_table(header, rows)


def ratios(
    result: Result, label: str, settings: Settings, one_rate: bool
) -> list[np.ndarray]:
    """For each horizon a method's gaps over linear decay's, seed by seed."""
    found = []
    for horizon in settings.horizons:
        tuned_for = settings.horizons if one_rate else (horizon,)
        gaps = final(result, label, horizon, tuned_for)[1]
        found.append(gaps / final(result, DECAY, horizon, ())[1])
    return found


def ratio_table(results: list[Result], settings: Settings, one_rate: bool) -> str:
    """Medians and quartiles of the ratios."""
    rows = [
        [
            f"{result.problem.name}, {method.label}",
            *map(pages.spread, ratios(result, method.label, settings, one_rate)),
        ]
        for result in results
        for method in METHODS
    ]
    return markdown_table(["steps", *map(str, settings.horizons)], rows)


def summary_table(results: list[Result], settings: Settings) -> str:
    """The range of the median ratios over problems and horizons."""
    rows = []
    for method in METHODS:
        cells = []
        for one_rate in (True, False):
            medians = [
                np.median(ratio)
                for result in results
                for ratio in ratios(result, method.label, settings, one_rate)
            ]
            cells.append(f"{min(medians):.2f} to {max(medians):.2f}")
        rows.append([method.label, *cells])
    return markdown_table(["", "one rate", "best rate for each horizon"], rows)


def error_table(results: list[Result], settings: Settings) -> str:
    """Test errors at the last horizon, one rate for all horizons."""
    labels = [m.label for m in METHODS] + [DECAY]
    last = settings.horizons[-1]
    rows = [
        [
            result.problem.name,
            *(
                pages.spread(100 * final(result, label, last, settings.horizons)[2])
                for label in labels
            ),
        ]
        for result in results
    ]
    return markdown_table(["", *labels], rows)


def draw(results: list[Result], settings: Settings):
    """A row of panels for each problem: one rate, and the best for each horizon."""
    figure, axes = pages.new_figure(len(results), 2, (10, 3.9 * len(results)))
    for (left, right), result in zip(axes, results, strict=True):
        _draw_curves(left, result, settings)
        _draw_ends(right, result, settings)
        name = result.problem.name
        left.set_title(f"{name}: one rate for all horizons", fontsize=10)
        right.set_title(f"{name}: the best rate for each horizon", fontsize=10)
        right.sharey(left)
        for panel in (left, right):
            panel.set(xscale="log", yscale="log", xlabel="steps", ylabel="gap, nats")
            panel.set_xticks(settings.horizons, [str(h) for h in settings.horizons])
            panel.minorticks_off()
    axes[0][0].legend(fontsize=8, frameon=False)
    return figure


def _draw_curves(panel, result: Result, settings: Settings) -> None:
    """Medians, with quartiles: a band, or for linear decay a bar at its end."""
    for method in METHODS:
        curve = result.anytime[method.label]
        steps, gaps, _ = curve.chosen(curve.best_rate(settings.horizons))
        pages.draw_band(panel, steps, gaps, method.color, method.label)
    for i, (horizon, curve) in enumerate(result.decay.items()):
        label = f"{DECAY}, a run for each horizon" if i == 0 else None
        steps, gaps, _ = curve.chosen(curve.best_rate((horizon,)))
        panel.plot(
            steps, np.median(gaps, axis=-1), "--", color=pages.RED, lw=1, label=label
        )
        _draw_bars(panel, [horizon], gaps[-1:], pages.RED, "o")


def _draw_ends(panel, result: Result, settings: Settings) -> None:
    styles = [(m.label, m.color, "o-") for m in METHODS] + [(DECAY, pages.RED, "o--")]
    for i, (label, color, style) in enumerate(styles):
        gaps = [final(result, label, h, (h,))[1] for h in settings.horizons]
        steps = np.array(settings.horizons) * 1.03 ** (i - 2)  # bars side by side
        _draw_bars(panel, steps, np.stack(gaps), color, style)


def _draw_bars(panel, steps, gaps: np.ndarray, color: str, style: str) -> None:
    ends = np.quantile(gaps, [0.25, 0.5, 0.75], axis=-1)
    pages.draw_bars(panel, steps, ends, color, style, lw=1, markersize=5)


def write(results: list[Result], settings: Settings, out_dir: Path) -> None:
    """The figure and the page."""
    pages.save_figures({"schedule_free": draw(results, settings)}, out_dir)
    minima = [
        [r.problem.name, f"{r.problem.minimum:.10f}", f"{r.problem.certified:.0e}"]
        for r in results
    ]
    gaps = [
        f"{r.problem.name}, {how}:\n\n{gap_table(r, settings, one_rate)}"
        for r in results
        for one_rate, how in (
            (True, "one rate for all horizons"),
            (False, "the best rate for each horizon"),
        )
    ]
    rates = ", ".join(f"{rate:g}" for rate in settings.rates)
    blocks = {
        "settings": f"Rates: {rates}. Batch {settings.batch_size}. "
        f"{settings.seeds} seeds: half choose the rates,\nhalf are reported.",
        "minima": markdown_table(["", "min F, nats", "off by at most"], minima),
        "gaps": "\n\n".join(gaps),
        "summary": summary_table(results, settings),
        "ratios": ratio_table(results, settings, one_rate=True),
        "ratios_best": ratio_table(results, settings, one_rate=False),
        "errors": error_table(results, settings),
    }
    pages.fill_page("schedule_free", blocks, out_dir)


def main(_) -> None:
    settings, out_dir = pages.from_flags(Settings(), QUICK)
    write(measure(settings), settings, out_dir)


if __name__ == "__main__":
    app.run(main)
