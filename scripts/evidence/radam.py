r"""RAdam's variance against time, and RAdam against Adam's warmup on stdlib_lm.

Writes docs/evidence/radam.md and its figures; about five minutes on one core.

Example:
  python -m scripts.evidence.radam --data_dir=data
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from absl import app, flags
from scipy.special import betaln

from scripts.evidence import pages
from unscheduled import spec
from unscheduled.benchmark.tables import markdown_table
from unscheduled.optim_numpy.radam import rectification, rho, rho_inf
from unscheduled.optim_torch import RAdam
from unscheduled.runner.seeds import NumpyRandom
from workloads_ext import registry

flags.DEFINE_string("data_dir", "data", "Where data sets are, or are made.")


class Settings(NamedTuple):
    """Of the simulation, then of the language model."""

    beta2: float = 0.999
    samples: int = 20_000
    times: tuple[int, ...] = (
        *(3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 50, 100, 200, 500),
        *(1000, 2000, 5000, 10_000),
    )
    beta2s: tuple[float, ...] = (0.999, 0.99)
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    seeds: int = 3
    steps: int = 150
    warmup_steps: int = 15
    batch_size: int = 8


QUICK = Settings(
    samples=5000,
    times=(5, 10, 20, 50, 100, 200),
    beta2s=(0.99,),
    rates=(1e-2,),
    seeds=1,
    steps=20,
    warmup_steps=5,
)


# The variance of the adaptive rate, psi = 1 / sqrt(v / (1 - beta2^t)), for g ~ N(0, 1).


def exact_variance(degrees: float) -> float:
    """Of psi where psi² is scaled inverse chi-square, with τ = 1; finite for ρ > 2.

    Var[ψ] = ρ / (ρ - 2) - ρ 2^(2ρ - 5) / π B((ρ - 1) / 2, (ρ - 1) / 2)²
    """
    half = (degrees - 1) / 2
    power = (2 * degrees - 5) * np.log(2) + 2 * betaln(half, half)
    return degrees / (degrees - 2) - degrees * np.exp(power) / np.pi


def approximate_variance(degrees: float) -> float:
    """To first order, ρ / (2 (ρ - 2) (ρ - 4)); for ρ > 4 only."""
    return degrees / (2 * (degrees - 2) * (degrees - 4))


def simulate(settings: Settings) -> dict[int, float]:
    """The sample variance of psi at each time."""
    rng = np.random.default_rng(0)
    v = np.zeros(settings.samples)
    found = {}
    for t in range(1, max(settings.times) + 1):
        v *= settings.beta2
        v += (1 - settings.beta2) * rng.standard_normal(settings.samples) ** 2
        if t in settings.times:
            found[t] = float(np.var(np.sqrt((1 - settings.beta2**t) / v)))
    return found


def rectified(variance: float, t: int, beta2: float) -> float:
    """Of r_t psi; nan below the threshold, where RAdam does not use psi."""
    rect = rectification(t, beta2)
    return np.nan if rect is None else rect**2 * variance


# The language model.


class Variant(NamedTuple):
    """factors: what the rate is multiplied by at each step; RAdam does so itself."""

    label: str
    optimizer: type[torch.optim.Optimizer]
    factors: Callable[[Settings, float], np.ndarray]
    color: str


def _ones(settings: Settings, beta2: float) -> np.ndarray:
    return np.ones(settings.steps)


def _warmup(settings: Settings, beta2: float) -> np.ndarray:
    steps = np.arange(1, settings.steps + 1)
    return np.minimum(1.0, steps / settings.warmup_steps)


def _rectifications(settings: Settings, beta2: float) -> np.ndarray:
    """r_t; 1 in the un-adapted steps."""
    steps = range(1, settings.steps + 1)
    return np.array([rectification(t, beta2) or 1.0 for t in steps])


def _mean_rectification(settings: Settings, beta2: float) -> np.ndarray:
    """A constant: as low a rate as RAdam's on average, but no warmup."""
    return np.full(settings.steps, _rectifications(settings, beta2).mean())


VARIANTS = (
    Variant("Adam", torch.optim.Adam, _ones, pages.BLACK),
    Variant("Adam, warmup", torch.optim.Adam, _warmup, pages.ORANGE),
    Variant("RAdam", RAdam, _rectifications, pages.BLUE),
    Variant("Adam, mean r_t", torch.optim.Adam, _mean_rectification, pages.GREEN),
)
Losses = dict[tuple[float, str], np.ndarray]


class Task:
    """stdlib_lm with its training batches, which all variants share by seed."""

    def __init__(self, settings: Settings, data_dir: str) -> None:
        self.workload: Any = registry.load("stdlib_lm", "pytorch")
        self.data_dir = data_dir
        source = NumpyRandom()
        self.rngs = [source.split(source.key(s), 2) for s in range(settings.seeds)]
        self.queues = [
            self.workload._build_input_queue(
                data_rng, "train", data_dir, settings.batch_size
            )
            for _, data_rng in self.rngs
        ]

    def mean_loss(self, model: torch.nn.Module, seed: int, step: int) -> torch.Tensor:
        """Of batch number `step`."""
        batch = self.queues[seed].batch(step)
        mode = spec.ForwardPassMode.TRAIN
        logits, _ = self.workload.model_fn(model, batch, None, mode, None, False)
        loss = self.workload.loss_fn(batch["targets"], logits)
        return loss["summed"] / loss["n_valid_examples"]

    def validation_loss(self, model: torch.nn.Module) -> float:
        """In nats a byte; inf where it is not a number."""
        loss = self.workload._eval_model_on_split(
            "validation",
            self.workload.num_validation_examples,
            self.workload.eval_batch_size,
            model,
            None,
            self.rngs[0][1],
            self.data_dir,
        )["loss"]
        return loss if np.isfinite(loss) else np.inf


def train(
    task: Task,
    variant: Variant,
    rate: float,
    beta2: float,
    seed: int,
    settings: Settings,
) -> float:
    """The validation loss after the last step."""
    model, _ = task.workload.init_model_fn(task.rngs[seed][0])
    optimizer: Any = variant.optimizer
    optimizer = optimizer(model.parameters(), lr=rate, betas=(0.9, beta2), foreach=True)
    for step, factor in enumerate(variant.factors(settings, beta2)):
        if variant.optimizer is not RAdam:
            optimizer.param_groups[0]["lr"] = rate * float(factor)
        task.mean_loss(model, seed, step).backward()
        optimizer.step()
        optimizer.zero_grad()
    return task.validation_loss(model)


def train_all(settings: Settings, data_dir: str) -> Losses:
    """Losses (rates, seeds) for each beta2 and variant."""
    task = Task(settings, data_dir)
    return {
        (beta2, variant.label): np.array(
            [
                [
                    train(task, variant, rate, beta2, seed, settings)
                    for seed in range(settings.seeds)
                ]
                for rate in settings.rates
            ]
        )
        for beta2 in settings.beta2s
        for variant in VARIANTS
    }


# Tables.


def variance_table(settings: Settings, simulated: dict[int, float]) -> str:
    """psi and r_t psi against time, in units of the limit of the approximation."""
    limit = approximate_variance(rho_inf(settings.beta2))
    rows = []
    for t, variance in simulated.items():
        degrees = rho(t, settings.beta2)
        rows.append(
            [
                str(t),
                f"{degrees:.5g}",
                f"{variance:.3g}",
                f"{exact_variance(degrees):.3g}",
                f"{approximate_variance(degrees):.3g}" if degrees > 4 else "",
                f"{rectified(variance, t, settings.beta2) / limit:.2f}".replace(
                    "nan", ""
                ),
            ]
        )
    header = ["t", "rho_t", "simulated", "exact, of rho_t", "first order, of rho_t"]
    return markdown_table([*header, "simulated, rectified, over the limit"], rows)


def range_table(settings: Settings, simulated: dict[int, float]) -> str:
    """Largest over smallest variance from different times on."""
    rows = []
    for start in (t for t in (5, 10, 100) if t in simulated):
        kept = [t for t in simulated if t >= start]
        plain = [simulated[t] for t in kept]
        ours = [rectified(simulated[t], t, settings.beta2) for t in kept]
        ratios = (f"{max(v) / min(v):.3g}" for v in (plain, ours))
        rows.append([f"from t = {start} to {kept[-1]}", *ratios])
    return markdown_table(["largest variance over smallest", "psi", "r_t psi"], rows)


def loss_table(settings: Settings, losses: Losses, beta2: float) -> str:
    """Median, least and largest of the seeds for each rate."""
    rows = []
    for i, rate in enumerate(settings.rates):
        cells = (losses[beta2, variant.label][i] for variant in VARIANTS)
        rows.append([f"{rate:g}", *map(_median_and_range, cells)])
    return markdown_table(["learning rate", *(v.label for v in VARIANTS)], rows)


def _median_and_range(values: np.ndarray) -> str:
    return f"{np.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def best_table(settings: Settings, losses: Losses) -> str:
    """The best rate of each variant, how many are near it, and the mean factor."""
    rows = []
    for beta2 in settings.beta2s:
        for variant in VARIANTS:
            values = losses[beta2, variant.label]
            medians = np.median(values, axis=1)
            best = int(medians.argmin())
            rows.append(
                [
                    f"{variant.label}, {beta2:g}",
                    f"{settings.rates[best]:g}",
                    _median_and_range(values[best]),
                    str(np.sum(medians <= medians[best] + 0.1)),
                    f"{variant.factors(settings, beta2).mean():.2f}",
                ]
            )
    header = ["optimizer, beta2", "best rate", "validation loss, nats"]
    return markdown_table(
        [*header, "rates within 0.1", "mean factor on the rate"], rows
    )


# Figures.


def draw_variances(settings: Settings, simulated: dict[int, float]):
    """psi and r_t psi: simulated as points, formulas as curves."""
    figure, ((panel,),) = pages.new_figure(1, 1, (7, 4.3))
    times = np.unique(np.geomspace(3, max(simulated), 200).round().astype(int))
    degrees = {t: rho(int(t), settings.beta2) for t in times}
    panel.plot(
        times,
        [exact_variance(d) for d in degrees.values()],
        color=pages.BLACK,
        label="psi, exact for rho_t degrees of freedom",
    )
    above = [t for t in times if degrees[t] > 4]
    panel.plot(
        above,
        [approximate_variance(degrees[t]) for t in above],
        "--",
        color=pages.SKY,
        label="psi, first order",
    )
    panel.plot(*zip(*simulated.items(), strict=True), "o", color=pages.BLACK, ms=4)
    ours = {t: rectified(v, t, settings.beta2) for t, v in simulated.items()}
    panel.plot(*zip(*ours.items(), strict=True), "s", color=pages.RED, ms=4)
    panel.plot(
        above,
        [rectified(exact_variance(degrees[t]), int(t), settings.beta2) for t in above],
        color=pages.RED,
        label="r_t psi, exact",
    )
    panel.axvline(above[0], color="0.5", lw=1, ls=":")
    panel.text(above[0] * 1.05, 2, f"rho_t > 4 from t = {above[0]}", fontsize=8)
    panel.set(xscale="log", yscale="log", xlabel="step t", ylabel="variance")
    panel.set_title(f"beta2 = {settings.beta2:g}, points: simulated", fontsize=10)
    panel.legend(fontsize=8, frameon=False)
    return figure


def draw_losses(settings: Settings, losses: Losses):
    """The final loss against the rate, a panel for each beta2."""
    figure, (panels,) = pages.new_figure(1, len(settings.beta2s), (10, 3.9))
    for panel, beta2 in zip(panels, settings.beta2s, strict=True):
        for i, variant in enumerate(VARIANTS):
            ends = np.quantile(losses[beta2, variant.label], [0, 0.5, 1], axis=1)
            rates = np.array(settings.rates) * 1.05 ** (i - 1)  # bars side by side
            style = {"label": variant.label, "ms": 4, "lw": 1.2}
            pages.draw_bars(panel, rates, ends, variant.color, "o-", **style)
        panel.set(xscale="log", xlabel="learning rate", ylabel="validation loss, nats")
        panel.set_title(f"beta2 = {beta2:g}", fontsize=10)
    panels[0].legend(fontsize=8, frameon=False)
    return figure


def write(
    simulated: dict[int, float], losses: Losses, settings: Settings, out_dir: Path
) -> None:
    """The figures and the page."""
    figures = {
        "radam_variance": draw_variances(settings, simulated),
        "radam_losses": draw_losses(settings, losses),
    }
    pages.save_figures(figures, out_dir)
    blocks = {
        "variance": variance_table(settings, simulated),
        "range": range_table(settings, simulated),
        "settings": f"{settings.steps} steps of batch {settings.batch_size}, "
        f"{settings.seeds} seeds; warmup is linear over {settings.warmup_steps} steps.",
        "best": best_table(settings, losses),
        "losses": "\n\n".join(
            f"beta2 = {beta2:g}:\n\n{loss_table(settings, losses, beta2)}"
            for beta2 in settings.beta2s
        ),
    }
    pages.fill_page("radam", blocks, out_dir)


def main(_) -> None:
    torch.set_num_threads(1)
    settings, out_dir = pages.from_flags(Settings(), QUICK)
    losses = train_all(settings, flags.FLAGS.data_dir)
    write(simulate(settings), losses, settings, out_dir)


if __name__ == "__main__":
    app.run(main)
