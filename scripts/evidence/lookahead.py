r"""Lookahead's variance on noisy quadratics, and its settings on logistic regression.

Writes docs/evidence/lookahead.md and its figures; about a minute on one core.

Example:
  python -m scripts.evidence.lookahead
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import app

from scripts.evidence import logistic, pages
from unscheduled.benchmark.tables import markdown_table
from unscheduled.optim_numpy.lookahead import (
    Fast,
    Momentum,
    lookahead_init,
    lookahead_step,
)


class Setting(NamedTuple):
    """Of Lookahead; where adaptive, alpha is the lower bound."""

    k: int
    alpha: float
    adaptive: bool = False
    momentum: Momentum = "keep"

    @property
    def label(self) -> str:
        """Without k."""
        if self.adaptive:
            return f"adaptive alpha, at least {self.alpha:g}"
        note = "" if self.momentum == "keep" else f", momentum {self.momentum}"
        return f"alpha = {self.alpha:g}{note}"

    @property
    def color(self) -> str:
        """The same in every figure."""
        if self.adaptive:
            return pages.RED
        return {0.25: pages.BLUE, 0.5: pages.ORANGE, 0.8: pages.GREEN}[self.alpha]


ALONE = "inner alone"


class Settings(NamedTuple):
    """Half of the seeds choose the rates, the other half are reported."""

    curvatures: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)  # times rate
    samples: int = 2000
    burn_in: int = 1000
    averaged: int = 1000
    problems: tuple[str, ...] = tuple(logistic.LOADERS)
    ks: tuple[int, ...] = (5, 20)
    alphas: tuple[float, ...] = (0.25, 0.5, 0.8)
    adaptive_low: float = 0.25
    rates: tuple[float, ...] = tuple(2.0 ** (i / 2) for i in range(-16, -3))
    steps: int = 1000  # a multiple of each k: the slow weights have just moved
    seeds: int = 20
    batch_size: int = 8
    inner_momentum: float = 0.9

    def all(self) -> list[Setting]:
        """Each k with each α, and the other two ways with the momentum."""
        settings = []
        for k in self.ks:
            settings += [Setting(k, alpha) for alpha in self.alphas]
            settings.append(Setting(k, self.adaptive_low, adaptive=True))
        middle = self.alphas[len(self.alphas) // 2]
        ways: tuple[Momentum, ...] = ("reset", "pullback")
        return settings + [Setting(self.ks[0], middle, momentum=way) for way in ways]


QUICK = Settings(
    curvatures=(0.1, 1.0),
    samples=1000,
    burn_in=200,
    averaged=500,
    problems=("breast_cancer",),
    ks=(5,),
    rates=(2**-6, 2**-2),
    steps=500,
    seeds=4,
)


# Noisy quadratics: gradient A (x - c) with c ~ N(0, 1); s = γ A is all that matters.


def sgd_variance(s: np.ndarray) -> np.ndarray:
    """V_SGD = γ² A² / (1 - (1 - γA)²)."""
    return s**2 / (1 - (1 - s) ** 2)


def lookahead_variance(s: np.ndarray, k: int, alpha: float) -> np.ndarray:
    """V_LA, of the slow weights (Zhang et al., Proposition 2)."""
    noise = alpha**2 * (1 - (1 - s) ** (2 * k))
    pull = 2 * alpha * (1 - alpha) * (1 - (1 - s) ** k)
    return noise / (noise + pull) * sgd_variance(s)


def matched_s(s: np.ndarray, k: int, alpha: float) -> np.ndarray:
    """s of the SGD whose mean shrinks per step as Lookahead's does; for s up to 1."""
    return 1 - (1 - alpha * (1 - (1 - s) ** k)) ** (1 / k)


def simulated_variance(settings: Settings, k: int, alpha: float) -> np.ndarray:
    """Variance of the slow weights, over samples and syncs, for each curvature."""
    rng = np.random.default_rng(0)
    s = np.array(settings.curvatures)
    shape = (settings.samples, len(s))
    fast = Fast([np.sqrt(sgd_variance(s)) * rng.standard_normal(shape)], [], [])
    state = lookahead_init(fast)
    variances = []
    for step in range(1, settings.burn_in + settings.averaged + 1):
        (x,) = fast.weights
        grads = [s * (x - rng.standard_normal(shape))]
        fast = Fast([x - grads[0]], [], [])
        state, fast = lookahead_step(state, fast, grads, k=k, alpha=alpha)
        if step % k == 0 and step > settings.burn_in:
            variances.append(np.mean(state.slow[0] ** 2, axis=0))
    return np.mean(variances, axis=0)


def measure_variances(settings: Settings) -> dict[Setting, np.ndarray]:
    """For each k and each fixed α."""
    return {
        Setting(k, alpha): simulated_variance(settings, k, alpha)
        for k in settings.ks
        for alpha in settings.alphas
    }


# Logistic regression.


class Result(NamedTuple):
    """gaps: (rates, seeds) for each setting, None being the inner optimizer alone.

    alphas: (rates,), the mean α of the adaptive settings.
    """

    problem: logistic.Problem
    gaps: dict[Setting | None, np.ndarray]
    alphas: dict[Setting, np.ndarray]


def train(
    problem: logistic.Problem,
    settings: Settings,
    setting: Setting | None,
    rate: float,
    seeds: range,
) -> tuple[np.ndarray, float]:
    """Final gaps of the seeds and the mean α; inner: SGD with momentum."""
    fast = Fast([w := logistic.zeros(problem, len(seeds))], [0 * w], [])
    state = lookahead_init(fast)
    alphas = []
    for rows in logistic.batches(problem, seeds, settings.steps, settings.batch_size):
        grads = [logistic.gradient(problem, fast.weights[0], rows)]
        momentum = settings.inner_momentum * fast.momentum[0] + grads[0]
        fast = Fast([fast.weights[0] - rate * momentum], [momentum], [])
        if setting is not None:
            before, ahead = state.slow[0], fast.weights[0]
            state, fast = lookahead_step(state, fast, grads, **setting._asdict())
            if setting.adaptive and state.t % setting.k == 0:
                alphas.append(_interpolated(before, ahead, state.slow[0]))
    mean_alpha = float(np.mean(alphas)) if alphas else np.nan
    return logistic.gap(problem, fast.weights[0]), mean_alpha


def _interpolated(start: np.ndarray, end: np.ndarray, point: np.ndarray) -> float:
    """How far the point is on the way."""
    way = end - start
    return float(np.sum((point - start) * way) / np.sum(way * way))


def train_all_seeds(
    problem: logistic.Problem, settings: Settings, setting: Setting | None, rate: float
) -> tuple[np.ndarray, float]:
    """All seeds at once, but one by one where each has an α of its own."""
    if setting is None or not setting.adaptive:
        return train(problem, settings, setting, rate, range(settings.seeds))
    gaps, alphas = zip(
        *(
            train(problem, settings, setting, rate, range(seed, seed + 1))
            for seed in range(settings.seeds)
        ),
        strict=True,
    )
    return np.concatenate(gaps), float(np.mean(alphas))


def measure_problem(name: str, settings: Settings) -> Result:
    """Every setting at every rate."""
    problem = logistic.load(name)
    gaps, alphas = {}, {}
    for setting in [None, *settings.all()]:
        runs = [train_all_seeds(problem, settings, setting, r) for r in settings.rates]
        gaps[setting] = np.stack([gaps for gaps, _ in runs])
        if setting is not None and setting.adaptive:
            alphas[setting] = np.array([alpha for _, alpha in runs])
    return Result(problem, gaps, alphas)


def measure(settings: Settings) -> list[Result]:
    """One result for each problem."""
    return [measure_problem(name, settings) for name in settings.problems]


# Tables.


def variance_table(settings: Settings, simulated: dict[Setting, np.ndarray]) -> str:
    """The simulation over the formula, and the formula over SGD's variance."""
    s = np.array(settings.curvatures)
    rows = []
    for setting, variances in simulated.items():
        k, alpha = setting.k, setting.alpha
        formula = lookahead_variance(s, k, alpha)
        for what, ratio in (
            ("simulated / formula", variances / formula),
            ("V_LA / V_SGD, same rate", formula / sgd_variance(s)),
            (
                "V_LA / V_SGD, same contraction",
                formula / sgd_variance(matched_s(s, k, alpha)),
            ),
        ):
            rows.append(
                [f"k = {k}, {setting.label}: {what}", *map("{:.3f}".format, ratio)]
            )
    return markdown_table(["rate times curvature", *(f"{x:g}" for x in s)], rows)


def at_best(gaps: np.ndarray) -> tuple[int, np.ndarray, int]:
    """The best rate, the gaps there, and how many rates are within twice the least.

    The first half of the seeds chooses and counts, the gaps are of the others.
    """
    medians = np.median(pages.tuning(gaps), axis=-1)
    best = int(medians.argmin())
    return best, pages.reported(gaps[best]), int(np.sum(medians <= 2 * medians[best]))


def best_table(result: Result, settings: Settings) -> str:
    """Each setting at its own best rate, against the inner optimizer at its own."""
    alone = at_best(result.gaps[None])[1]
    rows = []
    for setting, gaps in result.gaps.items():
        best, shown, near = at_best(gaps)
        label = ALONE if setting is None else f"k = {setting.k}, {setting.label}"
        rate = settings.rates[best]
        alphas = result.alphas.get(setting) if setting else None
        mean = "" if alphas is None else f"{alphas[best]:.2f}"
        ratio = "" if setting is None else pages.spread(shown / alone)
        rows.append(
            [label, f"{rate:.3g}", pages.spread(1000 * shown), ratio, str(near), mean]
        )
    header = ["", "best rate", "gap, 0.001 nats", "over inner alone's"]
    return markdown_table([*header, "rates within 2x", "mean alpha"], rows)


def shift_table(results: list[Result], settings: Settings) -> str:
    """Lookahead's gap at a rate over that of the inner optimizer at α times the rate.

    At every second rate, of the reported seeds, seed by seed; α must be a power of 2.
    """
    rates = settings.rates
    inner_rates = rates[::2]
    rows = []
    for result in results:
        shown = {setting: pages.reported(gaps) for setting, gaps in result.gaps.items()}
        for setting in _plain(result):
            if np.log2(setting.alpha) % 1:
                continue
            cells = []
            for inner_rate in inner_rates:
                rate = inner_rate / setting.alpha
                if rate in rates:
                    ours = shown[setting][rates.index(rate)]
                    ratio = ours / shown[None][rates.index(inner_rate)]
                cells.append(pages.spread(ratio) if rate in rates else "")
            label = f"{result.problem.name}, k = {setting.k}, {setting.label}"
            rows.append([label, *cells])
    header = ["inner alone's rate", *(f"{rate:.3g}" for rate in inner_rates)]
    return markdown_table(header, rows)


def _plain(result: Result) -> list[Setting]:
    """The settings with a fixed α that keep the momentum."""
    return [
        setting
        for setting in result.gaps
        if setting and not setting.adaptive and setting.momentum == "keep"
    ]


# Figures.


def draw_variances(settings: Settings, simulated: dict[Setting, np.ndarray]):
    """The formula as curves, the simulation as points; at matched speed beside it."""
    figure, (panels,) = pages.new_figure(1, 2, (10, 3.9))
    grid = np.geomspace(settings.curvatures[0], settings.curvatures[-1], 100)
    for setting, variances in simulated.items():
        k, alpha = setting.k, setting.alpha
        style = {"color": setting.color, "ls": "-" if k == settings.ks[0] else "--"}
        formula = lookahead_variance(grid, k, alpha)
        label = f"k = {k}, {setting.label}"
        panels[0].plot(grid, formula / sgd_variance(grid), **style, label=label)
        ratio = variances / sgd_variance(np.array(settings.curvatures))
        marker = "o" if k == settings.ks[0] else "s"
        panels[0].plot(settings.curvatures, ratio, marker, color=style["color"], ms=4)
        matched = sgd_variance(matched_s(grid, k, alpha))
        panels[1].plot(grid, formula / matched, **style)
    panels[0].set(title="SGD at the same rate (points: simulated)", ylim=(0, 1))
    panels[1].set(title="SGD of the same mean contraction", yscale="log")
    for panel in panels:
        panel.set(xscale="log", xlabel="rate times curvature, $\\gamma A$")
        panel.set_ylabel("steady-state variance over SGD's")
        panel.title.set_fontsize(10)
    panels[1].axhline(1, color=pages.BLACK, lw=0.8)
    panels[0].legend(fontsize=8, frameon=False, ncols=2)
    return figure


def draw_settings(results: list[Result], settings: Settings):
    """The final gap against the rate: a row for each problem, a column for each k."""
    figure, axes = pages.new_figure(
        len(results), len(settings.ks), (10, 3.9 * len(results))
    )
    for row, result in zip(axes, results, strict=True):
        for panel, k in zip(row, settings.ks, strict=True):
            chosen = [s for s in result.gaps if s and s.k == k and s.momentum == "keep"]
            for setting in [None, *chosen]:
                color, label = (
                    (setting.color, setting.label) if setting else (pages.BLACK, ALONE)
                )
                gaps = pages.reported(result.gaps[setting])
                pages.draw_band(
                    panel, settings.rates, gaps, color, label, marker="o", ms=3
                )
            panel.set(yscale="log", xlabel="learning rate", ylabel="gap, nats")
            panel.set_xscale("log", base=2)
            panel.set_title(f"{result.problem.name}, k = {k}", fontsize=10)
    axes[0][0].legend(fontsize=8, frameon=False)
    return figure


def write(
    simulated: dict[Setting, np.ndarray],
    results: list[Result],
    settings: Settings,
    out_dir: Path,
) -> None:
    """The figures and the page."""
    figures = {
        "lookahead_variance": draw_variances(settings, simulated),
        "lookahead_settings": draw_settings(results, settings),
    }
    pages.save_figures(figures, out_dir)
    blocks = {
        "variance": variance_table(settings, simulated),
        "settings": f"{settings.steps} steps, batch {settings.batch_size}, "
        f"{settings.seeds} seeds, {len(settings.rates)} rates from "
        f"{settings.rates[0]:.3g} to {settings.rates[-1]:.3g}.",
        "best": "\n\n".join(
            f"{r.problem.name}:\n\n{best_table(r, settings)}" for r in results
        ),
        "shift": shift_table(results, settings),
    }
    pages.fill_page("lookahead", blocks, out_dir)


def main(_) -> None:
    settings, out_dir = pages.from_flags(Settings(), QUICK)
    write(measure_variances(settings), measure(settings), settings, out_dir)


if __name__ == "__main__":
    app.run(main)
