"""The baseline for PyTorch: NadamW with linear warmup and cosine decay.

Adam with Nesterov momentum (Dozat, 2016) and decoupled weight decay; the schedule
ends at `step_hint`. torch and optax correct the bias of the momentum's next value by
1 - β1^(t+1), as Dozat does; AlgoPerf's own NadamW by 1 - β1^t, so that its first steps,
in warmup, are longer.
"""

from typing import NamedTuple

from unscheduled.entries.api import prepare_for_eval, resolve, update_params
from unscheduled.entries.data import data_selection, get_batch_size
from unscheduled.entries.pytorch.schedules import WarmupCosine
from unscheduled.entries.pytorch.training import Trainer
from unscheduled.optim_torch.nadamw import NAdamW


class Hyperparameters(NamedTuple):
    """The published self-tuning baseline (AlgoPerf v0.5/v0.6, nadamw full budget)."""

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
    warmup_steps = int(hp.warmup_factor * workload.step_hint)
    schedule = WarmupCosine(warmup_steps, workload.step_hint)
    betas = 1 - hp.one_minus_beta1, hp.beta2

    def make_optimizer(learning_rate):
        params = model_params.parameters()
        return NAdamW(params, learning_rate, betas, weight_decay=hp.weight_decay)

    return {"trainer": Trainer(workload, model_params, make_optimizer, hp, schedule)}
