"""RAdam's variance against time, and RAdam against Adam's warmup on stdlib_lm.

Writes docs/evidence/radam.md and its figure; about five minutes on one core.
"""

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from absl import app, flags
from scipy.special import betaln

from scripts.evidence import pages
from scripts.evidence.steps import mean_loss, start
from unscheduled.benchmark.tables import markdown_table
from unscheduled.optim_numpy.radam import rectification, rho, rho_inf
from unscheduled.optim_torch import RAdam

BETA2 = 0.999
SAMPLES = 20_000
TIMES = (
    *(3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 50, 100, 200, 500),
    *(1000, 2000, 5000, 10_000),
)
BETA2S = (0.999, 0.99)
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
SEEDS = 3
STEPS, WARMUP_STEPS = 150, 15
BATCH_SIZE = 8


def exact_variance(degrees: float) -> float:
    """Of ψ, where ψ² is scaled inverse chi-square; the page has the formula."""
    half = (degrees - 1) / 2
    power = (2 * degrees - 5) * np.log(2) + 2 * betaln(half, half)
    return degrees / (degrees - 2) - degrees * np.exp(power) / np.pi


def approximate_variance(degrees: float) -> float:
    """To first order, ρ / (2 (ρ - 2) (ρ - 4)); for ρ > 4 only."""
    return degrees / (2 * (degrees - 2) * (degrees - 4))


def simulate() -> dict[int, float]:
    """The sample variance of ψ = 1 / sqrt(v / (1 - beta2^t)) at times, g ~ N(0, 1)."""
    rng = np.random.default_rng(0)
    v = np.zeros(SAMPLES)
    found = {}
    for t in range(1, max(TIMES) + 1):
        v *= BETA2
        v += (1 - BETA2) * rng.standard_normal(SAMPLES) ** 2
        if t in TIMES:
            found[t] = float(np.var(np.sqrt((1 - BETA2**t) / v)))
    return found


def rectified(variance: float, t: int) -> float:
    """The variance of r_t ψ; nan below the threshold, where RAdam doesn't use ψ."""
    rect = rectification(t, BETA2)
    return np.nan if rect is None else rect**2 * variance


def _rectifications(beta2: float) -> np.ndarray:
    """r_t; 1 in the un-adapted steps."""
    return np.array([rectification(t, beta2) or 1.0 for t in range(1, STEPS + 1)])


class Variant(NamedTuple):
    """factors: on the learning rate at each step, from beta2; RAdam has its own."""

    optimizer: type[torch.optim.Optimizer]
    factors: Callable[[float], np.ndarray]
    color: str


VARIANTS = {
    "Adam": Variant(torch.optim.Adam, lambda beta2: np.ones(STEPS), pages.BLACK),
    "Adam, warmup": Variant(
        torch.optim.Adam,
        lambda beta2: np.minimum(1.0, np.arange(1, STEPS + 1) / WARMUP_STEPS),
        pages.ORANGE,
    ),
    "RAdam": Variant(RAdam, _rectifications, pages.BLUE),
    # As low a rate as RAdam's on average, but no warmup.
    "Adam, mean r_t": Variant(
        torch.optim.Adam,
        lambda beta2: np.full(STEPS, _rectifications(beta2).mean()),
        pages.GREEN,
    ),
}
Losses = dict[tuple[float, str], np.ndarray]  # (rates, seeds) by beta2 and variant


def train(
    data_dir: str, variant: Variant, beta2: float, rate: float, seed: int
) -> float:
    """The validation loss, nats a byte, after the last step; inf where it diverged."""
    workload, model, queue, data_rng = start("stdlib_lm", data_dir, BATCH_SIZE, seed)
    make: Any = variant.optimizer
    optimizer = make(model.parameters(), lr=rate, betas=(0.9, beta2), foreach=True)
    for factor in variant.factors(beta2):
        if variant.optimizer is not RAdam:
            optimizer.param_groups[0]["lr"] = rate * float(factor)
        mean_loss(workload, model, next(queue)).backward()
        optimizer.step()
        optimizer.zero_grad()
    examples, size = workload.num_validation_examples, workload.eval_batch_size
    evaluated = workload._eval_model_on_split(
        "validation", examples, size, model, None, data_rng, data_dir
    )
    return evaluated["loss"] if np.isfinite(evaluated["loss"]) else np.inf


def train_all(data_dir: str) -> Losses:
    losses = {}
    for beta2, (label, variant) in product(BETA2S, VARIANTS.items()):
        points = product(RATES, range(SEEDS))
        found = [train(data_dir, variant, beta2, rate, seed) for rate, seed in points]
        losses[beta2, label] = np.reshape(found, (len(RATES), SEEDS))
    return losses


def variance_table(simulated: dict[int, float]) -> str:
    """ψ and r_t ψ against time, in units of the limit of the approximation."""
    limit = approximate_variance(rho_inf(BETA2))
    rows = []
    for t, variance in simulated.items():
        degrees = rho(t, BETA2)
        row = [str(t), f"{degrees:.5g}", f"{variance:.3g}"]
        row += [f"{exact_variance(degrees):.3g}", "", ""]
        if degrees > 4:
            row[-2] = f"{approximate_variance(degrees):.3g}"
            row[-1] = f"{rectified(variance, t) / limit:.2f}"
        rows.append(row)
    header = ["t", "rho_t", "simulated", "exact, of rho_t", "first order, of rho_t"]
    return markdown_table([*header, "simulated, rectified, over the limit"], rows)


def loss_table(losses: Losses) -> str:
    rows = []
    for beta2, (i, rate) in product(BETA2S, enumerate(RATES)):
        row = [f"{beta2:g}", f"{rate:g}"]
        for label in VARIANTS:
            low, middle, high = np.quantile(losses[beta2, label][i], [0, 0.5, 1])
            row.append(f"{middle:.3f} ({low:.3f} to {high:.3f})")
        rows.append(row)
    return markdown_table(["beta2", "learning rate", *VARIANTS], rows)


def draw_losses(losses: Losses):
    figure, (panels,) = pages.new_figure(1, len(BETA2S), (10, 3.9))
    for panel, beta2 in zip(panels, BETA2S, strict=True):
        for i, (label, variant) in enumerate(VARIANTS.items()):
            ends = np.quantile(losses[beta2, label], [0, 0.5, 1], axis=1)
            rates = np.array(RATES) * 1.05 ** (i - 1)  # bars side by side
            style = {"label": label, "ms": 4, "lw": 1.2}
            pages.draw_bars(panel, rates, ends, variant.color, "o-", **style)
        panel.set(xscale="log", xlabel="learning rate", ylabel="validation loss, nats")
        panel.set_title(f"beta2 = {beta2:g}", fontsize=10)
    panels[0].legend(fontsize=8, frameon=False)
    return figure


def write(simulated: dict[int, float], losses: Losses) -> None:
    blocks = {"variance": variance_table(simulated), "losses": loss_table(losses)}
    pages.publish("radam", blocks, radam_losses=draw_losses(losses))


def main(_) -> None:
    torch.set_num_threads(1)
    write(simulate(), train_all(flags.FLAGS.data_dir))


if __name__ == "__main__":
    app.run(main)
