"""SGD with heavy-ball momentum for PyTorch, with linear warmup and linear decay.

The weight decay is coupled: it is added to the gradient.
"""

from typing import NamedTuple

from unscheduled.entries.api import prepare_for_eval, resolve, update_params
from unscheduled.entries.data import data_selection, get_batch_size
from unscheduled.entries.pytorch.optimizers import momentum_sgd
from unscheduled.entries.pytorch.schedules import WarmupLinear
from unscheduled.entries.pytorch.training import Trainer


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
    schedule = WarmupLinear(warmup_steps, decay_steps, hp.end_factor)

    def make_optimizer(learning_rate):
        return momentum_sgd(
            model_params.parameters(),
            lr=learning_rate,
            momentum=1 - hp.one_minus_beta1,
            weight_decay=hp.weight_decay,
            nesterov=False,
        )

    return {"trainer": Trainer(workload, model_params, make_optimizer, hp, schedule)}
