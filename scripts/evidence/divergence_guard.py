"""What the divergence guard costs while training is healthy.

Times steps of entries with the guard and without, in turns in one process, and writes
docs/evidence/divergence_guard.md.
"""

import itertools
from typing import Any
from unittest import mock

import numpy as np
import torch
from absl import app

from scripts.evidence.pages import publish, spread
from scripts.evidence.training import Training
from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.tables import markdown_table
from unscheduled.entries.jax import step
from workloads_ext import WORKLOADS

ALGORITHMS = ("schedule_free_adamw", "nadamw")
WARM_UP = 5  # steps until everything is compiled
STEPS = 300


def unguarded(algorithm: str, framework: str, workload: str) -> Training:
    """Training that doesn't look at its loss and gradient."""
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


def ratios(*case: Any) -> np.ndarray:
    """Times of neighbouring steps, guarded over unguarded."""
    pair = (Training(*case), unguarded(*case))
    times = np.empty((WARM_UP + STEPS, 2))
    for turn in range(WARM_UP + STEPS):
        # Which of them goes first alternates.
        for side in (0, 1) if turn % 2 else (1, 0):
            times[turn, side] = pair[side].step()
    return times[WARM_UP:, 0] / times[WARM_UP:, 1]


def main(_) -> None:
    rows = []
    for case in itertools.product(ALGORITHMS, FRAMEWORKS, WORKLOADS):
        rows.append([*case, spread(ratios(*case))])
        print(*rows[-1], flush=True)
    header = ("entry", "framework", "workload", "guarded / unguarded")
    publish("divergence_guard", {"cost": markdown_table(header, rows)})


if __name__ == "__main__":
    app.run(main)
