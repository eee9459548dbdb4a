"""SGD with heavy-ball momentum for JAX, with linear warmup and linear decay.

The weight decay is coupled: it is added to the gradient.
"""

from typing import NamedTuple

import optax

from unscheduled.entries.api import prepare_for_eval, resolve, update_params
from unscheduled.entries.data import data_selection, get_batch_size
from unscheduled.entries.jax.training import Trainer


class Hyperparameters(NamedTuple):
    """Those that set AlgoPerf's target on imagenet_resnet, with its schedule.

    Found for that workload; there is no published setting for all of them.
    """

    learning_rate: float = 4.131896390902391
    one_minus_beta1: float = 0.0725241886745209
    weight_decay: float = 5.6687777311501786e-6
    warmup_factor: float = 0.05  # of step_hint
    decay_steps_factor: float = 0.9007765761611038  # of the steps after warmup
    end_factor: float = 0.001  # of the peak rate
    label_smoothing: float | None = 0.2
    dropout_rate: float | None = None  # the workload's own
    grad_clip: float | None = None


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    hp = resolve(Hyperparameters, hyperparameters)
    warmup_steps = int(hp.warmup_factor * workload.step_hint)
    decay_steps = int(hp.decay_steps_factor * (workload.step_hint - warmup_steps))
    warmup = optax.linear_schedule(0.0, 1.0, warmup_steps)
    decay = optax.linear_schedule(1.0, hp.end_factor, decay_steps)
    schedule = optax.join_schedules([warmup, decay], [warmup_steps])

    def make_optimizer(learning_rate):
        sgd = optax.sgd(learning_rate, 1 - hp.one_minus_beta1, nesterov=False)
        return optax.chain(optax.add_decayed_weights(hp.weight_decay), sgd)

    trainer = Trainer(workload, make_optimizer, hp, schedule)
    return trainer.init(model_params, model_state)
