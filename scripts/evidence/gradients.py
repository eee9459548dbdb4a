"""The sizes of gradients in the first steps of a transformer, by optimizer.

docs/evidence/gradients.md; figures 2 and 3 of Liu et al., arXiv 1908.03265.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from absl import app, flags

from scripts.evidence import pages
from scripts.evidence.steps import mean_loss, start
from unscheduled.benchmark.tables import markdown_table
from unscheduled.optim_torch import RAdam

WORKLOAD, RATE, BETAS = "numbers_transformer", 0.005, (0.9, 0.999)
STEPS, WARMUP, COLLECTED = 100, 20, 20
SHOWN = (1, 2, 5, 10, 20, 50, 100)
SEEDS = range(3)
BINS = np.linspace(-12, 0, 61)  # log10 |g|


def _constant(step: int) -> float:
    return 1.0


class Variant(NamedTuple):
    """factor: on the rate at a step, from 1; options: of the optimizer."""

    optimizer: Any
    factor: Callable[[int], float] = _constant
    options: Mapping[str, float] = {}


VARIANTS = {
    "Adam": Variant(torch.optim.Adam),
    "Adam, warmup": Variant(torch.optim.Adam, lambda step: min(1.0, step / WARMUP)),
    "Adam, v first": Variant(torch.optim.Adam, lambda step: float(step > COLLECTED)),
    "Adam, ε = 1e-4": Variant(torch.optim.Adam, options={"eps": 1e-4}),
    "RAdam": Variant(RAdam),
}


def train(data_dir: str, name: str, seed: int) -> tuple[np.ndarray, list[float]]:
    """(histograms (steps, bins) of the share of gradients, the loss at each step)."""
    variant = VARIANTS[name]
    workload, model, queue, _ = start(WORKLOAD, data_dir, 64, seed)
    parameters = list(model.parameters())
    optimizer = variant.optimizer(parameters, lr=RATE, betas=BETAS, **variant.options)
    histograms, losses = [], []
    for step in range(1, STEPS + 1):
        mean = mean_loss(workload, model, next(queue), 0.0)
        optimizer.zero_grad()
        mean.backward()
        sizes = torch.cat([p.grad.flatten() for p in parameters]).abs().numpy()
        logs = np.log10(np.maximum(sizes, 10 ** BINS[0]))
        histograms.append(np.histogram(logs, BINS)[0] / len(logs))
        losses.append(float(mean.detach()))
        for group in optimizer.param_groups:
            group["lr"] = RATE * variant.factor(step)
        optimizer.step()
        if variant is VARIANTS["Adam, v first"] and step <= COLLECTED:
            for state in optimizer.state.values():
                state["exp_avg"].zero_()  # only v is collected
    return np.array(histograms), losses


Found = dict[str, list[tuple[np.ndarray, list[float]]]]


def median(histogram: np.ndarray) -> float:
    """log10 |g| that half of the gradients are below, between the edges of its bin."""
    return float(np.interp(0.5, np.cumsum(histogram), BINS[1:]))


def medians_table(found: Found) -> str:
    """The median of log10 |g| at some steps: of seeds, the median (least to most)."""
    rows = []
    for name, runs in found.items():
        cells = []
        for step in SHOWN:
            low, middle, high = np.quantile(
                [median(histograms[step - 1]) for histograms, _ in runs], [0, 0.5, 1]
            )
            cells.append(f"{middle:.1f} ({low:.1f} to {high:.1f})")
        losses = np.quantile([np.mean(run[1][-10:]) for run in runs], [0, 0.5, 1])
        last = f"{losses[1]:.2f} ({losses[0]:.2f} to {losses[2]:.2f})"
        rows.append((name, *cells, last))
    headings = ("", *(f"step {step}" for step in SHOWN), "loss, last 10 steps")
    return markdown_table(headings, rows)


def draw(found: Found):
    figure, (panels,) = pages.new_figure(1, len(found), (13, 3.4))
    for panel, (name, runs) in zip(panels, found.items(), strict=True):
        mean = np.mean([histograms for histograms, _ in runs], 0)
        panel.pcolormesh(BINS, range(1, STEPS + 2), mean, cmap="Greys", rasterized=True)
        panel.set(title=name, xlabel="log10 |gradient|", yscale="log", ylim=(STEPS, 1))
    panels[0].set_ylabel("step")
    return figure


def main(_) -> None:
    torch.set_num_threads(1)
    data_dir = flags.FLAGS.data_dir
    found = {n: [train(data_dir, n, seed) for seed in SEEDS] for n in VARIANTS}
    blocks = {"medians": medians_table(found)}
    pages.publish("gradients", blocks, gradients=draw(found))


if __name__ == "__main__":
    app.run(main)
