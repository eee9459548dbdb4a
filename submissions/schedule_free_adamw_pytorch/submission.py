"""Schedule-Free AdamW for PyTorch: no decay of the rate, no horizon to know.

The gradient is taken at y, the model is evaluated at x (Defazio et al., arXiv
2405.15682). Only the warmup depends on `step_hint`.
"""

from typing import NamedTuple

from unscheduled.entries.api import prepare_for_eval, resolve, update_params
from unscheduled.entries.data import data_selection, get_batch_size
from unscheduled.entries.pytorch.training import Trainer
from unscheduled.optim_torch.schedule_free import AdamWScheduleFree


class Hyperparameters(NamedTuple):
    """The published self-tuning setting (AlgoPerf v0.5/v0.6, schedule_free_adamw)."""

    learning_rate: float = 0.0025
    one_minus_beta1: float = 0.1
    beta2: float = 0.9955159689799007
    weight_decay: float = 0.08121616522670176
    warmup_factor: float = 0.02  # of 0.75 step_hint
    r: float = 0.0  # the average weighs step t by t^r
    weight_lr_power: float = 2.0
    label_smoothing: float | None = 0.2
    dropout_rate: float | None = None  # the workload's own
    grad_clip: float | None = None


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    hp = resolve(Hyperparameters, hyperparameters)
    warmup_steps = int(hp.warmup_factor * 0.75 * workload.step_hint)

    def make_optimizer(learning_rate):
        return AdamWScheduleFree(
            model_params.parameters(),
            lr=learning_rate,
            betas=(1 - hp.one_minus_beta1, hp.beta2),
            weight_decay=hp.weight_decay,
            warmup_steps=warmup_steps,
            r=hp.r,
            weight_lr_power=hp.weight_lr_power,
        )

    return {"trainer": Trainer(workload, model_params, make_optimizer, hp)}
