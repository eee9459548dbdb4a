"""Schedule-Free RAdam for JAX: no decay of the rate, no horizon, no warmup.

The gradient is taken at y, the model is evaluated at x (Defazio et al., arXiv
2405.15682); RAdam rectifies the variance of the adaptive rate (Liu et al., arXiv
1908.03265), which takes the place of warmup. Nothing depends on `step_hint`.
"""

from typing import NamedTuple

from unscheduled.entries.api import prepare_for_eval, resolve, update_params
from unscheduled.entries.data import data_selection, get_batch_size
from unscheduled.entries.jax.training import Trainer
from unscheduled.optim_jax.schedule_free import (
    schedule_free_eval_params,
    schedule_free_radam,
    schedule_free_train_params,
)


class Hyperparameters(NamedTuple):
    """Those of schedule_free_adamw, as published, without its warmup.

    Not tuned: rectification takes the place of warmup with all else equal.
    """

    learning_rate: float = 0.0025
    one_minus_beta1: float = 0.1
    beta2: float = 0.9955159689799007
    weight_decay: float = 0.08121616522670176
    weight_lr_power: float = 2.0
    label_smoothing: float | None = 0.2
    dropout_rate: float | None = None  # the workload's own
    grad_clip: float | None = None


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    hp = resolve(Hyperparameters, hyperparameters)

    def make_optimizer(learning_rate):
        return schedule_free_radam(
            learning_rate,
            b1=1 - hp.one_minus_beta1,
            b2=hp.beta2,
            weight_decay=hp.weight_decay,
            weight_lr_power=hp.weight_lr_power,
        )

    trainer = Trainer(
        workload,
        make_optimizer,
        hp,
        eval_params=schedule_free_eval_params,
        train_params=schedule_free_train_params,
    )
    return trainer.init(model_params, model_state)
