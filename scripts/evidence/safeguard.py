r"""What the look for steps to skip costs while training is healthy.

Times steps of entries with their safeguard and without, in turns in one process, and
writes the block of docs/evidence/safeguard.md.

Example:
  python -m scripts.evidence.safeguard --data_dir=data
"""

import itertools
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from absl import app

from scripts.evidence.pages import fill_page, from_flags, spread
from scripts.evidence.training import Training
from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.tables import markdown_table
from unscheduled.entries.jax import step
from workloads_ext import WORKLOADS

ALGORITHMS = ("schedule_free_adamw", "nadamw")
WARM_UP = 5  # steps until all is compiled


class Settings(NamedTuple):
    steps: int


FULL, QUICK = Settings(300), Settings(4)


def unguarded(algorithm: str, framework: str, workload: str) -> Training:
    """Training that does not look at its loss and gradient."""
    if framework == "jax":
        parts = {
            "_global_norm": lambda grads: 0.0,
            "_model_state": lambda finite, new, old: new,
            "select": lambda finite, take, keep, *state: take(*state),
        }
        with (
            mock.patch.multiple(step, **parts),
            mock.patch("jax.default_backend", return_value="not a CPU"),
        ):
            training = Training(algorithm, framework, workload)
            training.step()  # which compiles it
        return training
    training = Training(algorithm, framework, workload)
    trainer = training.state.optimizer_state["trainer"]
    zero = torch.zeros(())
    trainer._grad_norm = lambda: zero
    trainer._statistics.snapshot = list
    return training


def ratios(
    settings: Settings, algorithm: str, framework: str, workload: str
) -> np.ndarray:
    """Times of neighbouring steps, guarded over unguarded."""
    pair = (
        Training(algorithm, framework, workload),
        unguarded(algorithm, framework, workload),
    )
    for _ in range(WARM_UP):
        for training in pair:
            training.step()
    times = np.empty((settings.steps, 2))
    for turn in range(settings.steps):
        # Which of them goes first alternates.
        for side in (0, 1) if turn % 2 else (1, 0):
            times[turn, side] = pair[side].step()
    return times[:, 0] / times[:, 1]


def main(_):
    settings, out_dir = from_flags(FULL, QUICK)
    cases = itertools.product(ALGORITHMS, FRAMEWORKS, WORKLOADS)
    rows = []
    for case in cases:
        rows.append((*case, spread(ratios(settings, *case))))
        print(*rows[-1], flush=True)
    header = ("entry", "framework", "workload", "guarded / unguarded")
    print(fill_page("safeguard", {"cost": markdown_table(header, rows)}, out_dir))


if __name__ == "__main__":
    app.run(main)
