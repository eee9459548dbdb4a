r"""What the look for steps to skip costs while training is healthy.

Times steps of entries with their safeguard and without, in turns in one process, and
writes the block of docs/evidence/safeguard.md.

Example:
  python scripts/evidence_safeguard.py --data_dir=data
"""

import itertools
from typing import NamedTuple
from unittest import mock

import jax
import numpy as np
import optax
import torch
from absl import app
from evidence_common import fill_page, from_flags, spread, table
from evidence_training import Training

from unscheduled.runner.backend import FRAMEWORKS

ALGORITHMS = ("schedule_free_adamw", "nadamw")
WORKLOADS = ("digits_resnet", "stdlib_lm")
WARM_UP = 5  # steps until all is compiled


class Settings(NamedTuple):
    steps: int


FULL, QUICK = Settings(300), Settings(4)


def plain_step(
    workload, forward, optimizer, label_smoothing, grad_clip, *arguments
) -> tuple:
    """`unscheduled.entries.jax.step.train_step` with nothing to guard it."""
    params, optimizer_state, skipped, model_state, batch, rng = arguments
    assert grad_clip is None
    smoothing = {} if label_smoothing is None else {"label_smoothing": label_smoothing}

    def mean_loss(params):
        logits, new_model_state = forward(params, batch, model_state, rng)
        losses = workload.loss_fn(
            label_batch=batch["targets"],
            logits_batch=logits,
            mask_batch=batch.get("weights"),
            **smoothing,
        )
        return losses["summed"] / losses["n_valid_examples"], new_model_state

    (loss, model_state), grads = jax.value_and_grad(mean_loss, has_aux=True)(params)
    updates, optimizer_state = optimizer.update(grads, optimizer_state, params)
    state = (optax.apply_updates(params, updates), optimizer_state, skipped)
    return state, model_state, {"loss": loss}


def unguarded(algorithm: str, framework: str, workload: str) -> Training:
    """Training that does not look at its loss and gradient."""
    if framework == "jax":
        step = "unscheduled.entries.jax.training.train_step"
        with mock.patch(step, plain_step):
            training = Training(algorithm, framework, workload)
            training.step()  # which compiles it
        return training
    training = Training(algorithm, framework, workload)
    trainer = training.state["trainer"]
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
    for step in range(settings.steps):
        # Which of them goes first alternates.
        for side in (0, 1) if step % 2 else (1, 0):
            times[step, side] = pair[side].step()
    return times[:, 0] / times[:, 1]


def main(_):
    settings, out_dir = from_flags(FULL, QUICK)
    cases = itertools.product(ALGORITHMS, FRAMEWORKS, WORKLOADS)
    rows = []
    for case in cases:
        rows.append((*case, spread(ratios(settings, *case))))
        print(*rows[-1], flush=True)
    header = ("entry", "framework", "workload", "guarded / unguarded")
    print(fill_page("safeguard", {"cost": table(header, rows)}, out_dir))


if __name__ == "__main__":
    app.run(main)
