"""Lookahead's settings on logistic regression.

Writes docs/evidence/lookahead.md and its figure; about a minute on one core.
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
COLORS = {0.25: pages.BLUE, 0.5: pages.ORANGE, 0.8: pages.GREEN}  # of each α
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


def all_settings() -> list[Setting]:
    """Each k with each α and with an adaptive one; two more ways with the momentum."""
    settings = []
    for k in KS:
        settings += [Setting(k, alpha) for alpha in COLORS]
        settings.append(Setting(k, 0.25, adaptive=True))
    momenta: tuple[Momentum, ...] = ("reset", "pullback")
    return settings + [Setting(KS[0], 0.5, momentum=momentum) for momentum in momenta]


class Result(NamedTuple):
    """gaps: (rates, seeds) of each setting, None being the inner optimizer alone."""

    problem: logistic.Problem
    gaps: dict[Setting | None, np.ndarray]


def train(
    problem: logistic.Problem, setting: Setting | None, rate: float, seeds: range
) -> np.ndarray:
    """Final gaps of the seeds; the inner optimizer is SGD with momentum."""
    if setting and setting.adaptive and len(seeds) > 1:  # each has an α of its own
        runs = [train(problem, setting, rate, range(s, s + 1)) for s in seeds]
        return np.concatenate(runs)
    fast = Fast([w := logistic.zeros(problem, len(seeds))], [0 * w], [])
    state = lookahead_init(fast)
    for rows in logistic.batches(problem, seeds, STEPS, BATCH_SIZE):
        grads = [logistic.gradient(problem, fast.weights[0], rows)]
        momentum = INNER_MOMENTUM * fast.momentum[0] + grads[0]
        fast = Fast([fast.weights[0] - rate * momentum], [momentum], [])
        if setting is not None:
            state, fast = lookahead_step(state, fast, grads, **setting._asdict())
    return logistic.gap(problem, fast.weights[0])


def measure() -> list[Result]:
    results = []
    for name in PROBLEMS:
        problem, seeds = logistic.load(name), range(SEEDS)
        gaps = {
            setting: np.stack([train(problem, setting, rate, seeds) for rate in RATES])
            for setting in (None, *all_settings())
        }
        results.append(Result(problem, gaps))
    return results


def best_table(result: Result) -> str:
    """Each setting at its own best rate, against the inner optimizer at its own."""
    rows, alone = [], None
    for setting, gaps in result.gaps.items():
        tuning, reported = pages.halves(gaps)
        medians = np.median(tuning, axis=-1)
        best, near = int(medians.argmin()), np.sum(medians <= 2 * min(medians))
        shown, label, ratio = reported[best], "inner alone", ""
        if setting is None:
            alone = shown
        else:
            label = f"k = {setting.k}, {setting.label}"
            ratio = pages.spread(shown / alone)
        cells = [f"{RATES[best]:.3g}", pages.spread(1000 * shown), ratio, str(near)]
        rows.append([label, *cells])
    header = ["", "best rate", "gap, 0.001 nats", "over inner alone's"]
    return markdown_table([*header, "rates within 2x"], rows)


def shift_table(results: list[Result]) -> str:
    """Lookahead's gap at a rate over the inner optimizer's at α times the rate."""
    rows = []
    for result, k, alpha in product(results, KS, (0.25, 0.5)):
        setting = Setting(k, alpha)
        ours, alone = (pages.halves(result.gaps[s])[1] for s in (setting, None))
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
    figure, axes = pages.new_figure(len(results), len(KS), (10, 3.9 * len(results)))
    for panel, (result, k) in zip(axes.flat, product(results, KS), strict=True):
        for setting, gaps in result.gaps.items():
            if setting and (setting.k != k or setting.momentum != "keep"):
                continue
            color, label = pages.BLACK, "inner alone"
            if setting:
                color = pages.RED if setting.adaptive else COLORS[setting.alpha]
                label = setting.label
            shown, style = pages.halves(gaps)[1], {"marker": "o", "ms": 3}
            pages.draw_band(panel, RATES, shown, color, label, **style)
        panel.set(yscale="log", xlabel="learning rate", ylabel="gap, nats")
        panel.set_xscale("log", base=2)
        panel.set_title(f"{result.problem.name}, k = {k}", fontsize=10)
    axes[0][0].legend(fontsize=8, frameon=False)
    return figure


def write(results: list[Result]) -> None:
    best = [f"{r.problem.name}:\n\n{best_table(r)}" for r in results]
    blocks = {"best": "\n\n".join(best), "shift": shift_table(results)}
    pages.publish("lookahead", blocks, lookahead_settings=draw_settings(results))


if __name__ == "__main__":
    app.run(lambda _: write(measure()))
