r"""Lookahead's variance on noisy quadratics, and its settings on logistic regression.

Writes docs/evidence/lookahead.md and its figure; about a minute on one core.

Example:
  python -m scripts.evidence.lookahead
"""

from itertools import product
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

KS = (5, 20)
ALPHAS = (0.25, 0.5, 0.8)
CURVATURES = np.array([0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0])  # times the rate: s = γ A
SAMPLES = 2000
BURN_IN, AVERAGED = 1000, 1000  # steps of the simulation
PROBLEMS = tuple(logistic.LOADERS)
RATES = tuple(2.0 ** (i / 2) for i in range(-16, -3))
STEPS = 1000  # a multiple of each k: the slow weights have just moved
SEEDS = 20  # half of them choose the rates, the other half are reported
BATCH_SIZE = 8
INNER_MOMENTUM = 0.9


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
        fixed = dict(zip(ALPHAS, (pages.BLUE, pages.ORANGE, pages.GREEN), strict=True))
        return pages.RED if self.adaptive else fixed[self.alpha]


def all_settings() -> list[Setting]:
    """Each k with each α and with an adaptive one; two more ways with the momentum."""
    settings = []
    for k in KS:
        settings += [Setting(k, alpha) for alpha in ALPHAS]
        settings.append(Setting(k, ALPHAS[0], adaptive=True))
    momenta: tuple[Momentum, ...] = ("reset", "pullback")
    return settings + [Setting(KS[0], 0.5, momentum=momentum) for momentum in momenta]


# Noisy quadratics: gradient A (x - c) with c ~ N(0, 1); only s = γ A matters.


def sgd_variance(s: np.ndarray) -> np.ndarray:
    """V_SGD = γ² A² / (1 - (1 - γA)²)."""
    return s**2 / (1 - (1 - s) ** 2)


def lookahead_variance(s: np.ndarray, k: int, alpha: float) -> np.ndarray:
    """V_LA, of the slow weights (Zhang et al., Proposition 2)."""
    noise = alpha**2 * (1 - (1 - s) ** (2 * k))
    pull = 2 * alpha * (1 - alpha) * (1 - (1 - s) ** k)
    return noise / (noise + pull) * sgd_variance(s)


def matched_variance(s: np.ndarray, k: int, alpha: float) -> np.ndarray:
    """V_SGD at the rate whose mean shrinks as fast as Lookahead's; for s up to 1."""
    return sgd_variance(1 - (1 - alpha * (1 - (1 - s) ** k)) ** (1 / k))


def simulated_variance(k: int, alpha: float) -> np.ndarray:
    """Variance of the slow weights, over samples and syncs, for each curvature."""
    rng = np.random.default_rng(0)
    s, shape = CURVATURES, (SAMPLES, len(CURVATURES))
    fast = Fast([np.sqrt(sgd_variance(s)) * rng.standard_normal(shape)], [], [])
    state = lookahead_init(fast)
    variances = []
    for step in range(1, BURN_IN + AVERAGED + 1):
        (x,) = fast.weights
        grads = [s * (x - rng.standard_normal(shape))]
        fast = Fast([x - grads[0]], [], [])
        state, fast = lookahead_step(state, fast, grads, k=k, alpha=alpha)
        if step % k == 0 and step > BURN_IN:
            variances.append(np.mean(state.slow[0] ** 2, axis=0))
    return np.mean(variances, axis=0)


def simulate() -> dict[Setting, np.ndarray]:
    """The variances for each k and each fixed α."""
    pairs = product(KS, ALPHAS)
    return {Setting(*pair): simulated_variance(*pair) for pair in pairs}


# Logistic regression.


class Result(NamedTuple):
    """Of each setting, None being the inner optimizer alone.

    gaps: (rates, seeds); alphas: (rates,), the mean α.
    """

    problem: logistic.Problem
    gaps: dict[Setting | None, np.ndarray]
    alphas: dict[Setting | None, np.ndarray]


def train(
    problem: logistic.Problem, setting: Setting | None, rate: float, seeds: range
) -> tuple[np.ndarray, float]:
    """Final gaps of the seeds and the mean α; inner: SGD with momentum."""
    if setting and setting.adaptive and len(seeds) > 1:  # each has an α of its own
        runs = [train(problem, setting, rate, range(s, s + 1)) for s in seeds]
        gaps, alphas = zip(*runs, strict=True)
        return np.concatenate(gaps), float(np.mean(alphas))
    fast = Fast([w := logistic.zeros(problem, len(seeds))], [0 * w], [])
    state = lookahead_init(fast)
    alphas = []
    for rows in logistic.batches(problem, seeds, STEPS, BATCH_SIZE):
        grads = [logistic.gradient(problem, fast.weights[0], rows)]
        momentum = INNER_MOMENTUM * fast.momentum[0] + grads[0]
        fast = Fast([fast.weights[0] - rate * momentum], [momentum], [])
        if setting is not None:
            before, ahead = state.slow[0], fast.weights[0]
            state, fast = lookahead_step(state, fast, grads, **setting._asdict())
            if state.t % setting.k == 0:
                way, moved = ahead - before, state.slow[0] - before
                alphas.append(np.sum(moved * way) / np.sum(way * way))
    mean_alpha = float(np.mean(alphas)) if alphas else np.nan
    return logistic.gap(problem, fast.weights[0]), mean_alpha


def measure() -> list[Result]:
    results = []
    for name in PROBLEMS:
        result = Result(logistic.load(name), {}, {})
        for setting in (None, *all_settings()):
            runs = [
                train(result.problem, setting, rate, range(SEEDS)) for rate in RATES
            ]
            result.gaps[setting] = np.stack([gaps for gaps, _ in runs])
            result.alphas[setting] = np.array([alpha for _, alpha in runs])
        results.append(result)
    return results


def variance_table(simulated: dict[Setting, np.ndarray]) -> str:
    """The simulation over the formula, and the formula over SGD's variance."""
    s = CURVATURES
    rows = []
    for setting, variances in simulated.items():
        formula = lookahead_variance(s, setting.k, setting.alpha)
        matched = matched_variance(s, setting.k, setting.alpha)
        for what, ratio in {
            "simulated / formula": variances / formula,
            "V_LA / V_SGD, same rate": formula / sgd_variance(s),
            "V_LA / V_SGD, same contraction": formula / matched,
        }.items():
            label = f"k = {setting.k}, {setting.label}: {what}"
            rows.append([label, *map("{:.3f}".format, ratio)])
    return markdown_table(["rate times curvature", *(f"{x:g}" for x in s)], rows)


def best_table(result: Result) -> str:
    """Each setting at its own best rate, against the inner optimizer at its own."""
    rows, alone = [], None
    for setting, gaps in result.gaps.items():
        medians = np.median(pages.tuning(gaps), axis=-1)
        best, near = int(medians.argmin()), np.sum(medians <= 2 * min(medians))
        shown = pages.reported(gaps[best])
        label, ratio, mean_alpha = "inner alone", "", ""
        if setting is None:
            alone = shown
        else:
            label = f"k = {setting.k}, {setting.label}"
            ratio = pages.spread(shown / alone)
            if setting.adaptive:
                mean_alpha = f"{result.alphas[setting][best]:.2f}"
        cells = [f"{RATES[best]:.3g}", pages.spread(1000 * shown), ratio]
        rows.append([label, *cells, str(near), mean_alpha])
    header = ["", "best rate", "gap, 0.001 nats", "over inner alone's"]
    return markdown_table([*header, "rates within 2x", "mean alpha"], rows)


def shift_table(results: list[Result]) -> str:
    """Lookahead's gap at a rate over that of the inner optimizer at α times the rate.

    At every second rate, on the reported seeds, seed by seed, where α is a power of 2.
    """
    rows = []
    for result, k, alpha in product(results, KS, (0.25, 0.5)):
        setting = Setting(k, alpha)
        ours, alone = (pages.reported(result.gaps[s]) for s in (setting, None))
        row = [f"{result.problem.name}, k = {k}, {setting.label}"]
        for inner_rate, inner_gaps in zip(RATES[::2], alone[::2], strict=True):
            rate = inner_rate / alpha
            known = rate in RATES
            ratio = ours[RATES.index(rate)] / inner_gaps if known else None
            row.append("" if ratio is None else pages.spread(ratio))
        rows.append(row)
    return markdown_table(
        ["inner alone's rate", *(f"{rate:.3g}" for rate in RATES[::2])], rows
    )


def draw_settings(results: list[Result]):
    """The final gap against the rate, a panel for each problem and k."""
    figure, axes = pages.new_figure(len(results), len(KS), (10, 3.9 * len(results)))
    for panel, (result, k) in zip(axes.flat, product(results, KS), strict=True):
        for setting, gaps in result.gaps.items():
            if setting and (setting.k != k or setting.momentum != "keep"):
                continue
            color = setting.color if setting else pages.BLACK
            label = setting.label if setting else "inner alone"
            shown, style = pages.reported(gaps), {"marker": "o", "ms": 3}
            pages.draw_band(panel, RATES, shown, color, label, **style)
        panel.set(yscale="log", xlabel="learning rate", ylabel="gap, nats")
        panel.set_xscale("log", base=2)
        panel.set_title(f"{result.problem.name}, k = {k}", fontsize=10)
    axes[0][0].legend(fontsize=8, frameon=False)
    return figure


def write(simulated: dict[Setting, np.ndarray], results: list[Result]) -> None:
    best = [f"{r.problem.name}:\n\n{best_table(r)}" for r in results]
    blocks = {
        "variance": variance_table(simulated),
        "best": "\n\n".join(best),
        "shift": shift_table(results),
    }
    pages.publish("lookahead", blocks, lookahead_settings=draw_settings(results))


if __name__ == "__main__":
    app.run(lambda _: write(simulate(), measure()))
