"""RAdam for JAX: cosine decay over `step_hint`, no warmup.

Adam whose adaptive rate is rectified while its variance is large, so that no warmup
is needed (Liu et al., arXiv 1908.03265), with decoupled weight decay.
"""

from typing import NamedTuple

import optax

from unscheduled.entries.api import prepare_for_eval, resolve, update_params
from unscheduled.entries.data import data_selection, get_batch_size
from unscheduled.entries.jax.training import Trainer
from unscheduled.optim_jax.radam import radam


class Hyperparameters(NamedTuple):
    """Those of the published NadamW baseline (AlgoPerf v0.5/v0.6), without its warmup.

    Not tuned: rectification takes the place of warmup with all else equal.
    """

    learning_rate: float = 0.0017486387539278373
    one_minus_beta1: float = 0.06733926164
    beta2: float = 0.9955159689799007
    weight_decay: float = 0.08121616522670176
    label_smoothing: float | None = None  # the workload's own
    dropout_rate: float | None = 0.1
    grad_clip: float | None = None


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    hp = resolve(Hyperparameters, hyperparameters)
    b1 = 1 - hp.one_minus_beta1
    schedule = optax.cosine_decay_schedule(1.0, workload.step_hint)

    def make_optimizer(learning_rate):
        return radam(learning_rate, b1, hp.beta2, weight_decay=hp.weight_decay)

    trainer = Trainer(workload, make_optimizer, hp, schedule)
    return trainer.init(model_params, model_state)
