"""AdamW (arXiv 1711.05101) for JAX: linear warmup, cosine decay over `step_hint`."""

from typing import NamedTuple

import optax

from unscheduled.entries.api import prepare_for_eval, resolve, update_params
from unscheduled.entries.data import data_selection, get_batch_size
from unscheduled.entries.jax.training import Trainer


class Hyperparameters(NamedTuple):
    """Those of the published NadamW baseline (AlgoPerf v0.5/v0.6). Not tuned."""

    learning_rate: float = 0.0017486387539278373
    one_minus_beta1: float = 0.06733926164
    beta2: float = 0.9955159689799007
    weight_decay: float = 0.08121616522670176
    warmup_factor: float = 0.02  # of step_hint
    label_smoothing: float | None = None  # the workload's own
    dropout_rate: float | None = 0.1
    grad_clip: float | None = None


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    hp = resolve(Hyperparameters, hyperparameters)
    steps, b1 = workload.step_hint, 1 - hp.one_minus_beta1
    warmup_steps = int(hp.warmup_factor * steps)
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps, steps)

    def make_optimizer(learning_rate):
        return optax.adamw(learning_rate, b1, hp.beta2, weight_decay=hp.weight_decay)

    trainer = Trainer(workload, make_optimizer, hp, schedule)
    return trainer.init(model_params, model_state)
