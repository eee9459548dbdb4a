"""Lookahead around RAdam for PyTorch: cosine decay over `step_hint`, no warmup.

RAdam needs no warmup (Liu et al., arXiv 1908.03265). After every k of its steps the
slow weights take a step α towards the fast ones, which go on from there (Zhang et al.,
arXiv 1907.08610). The slow weights are what is evaluated.
"""

from typing import NamedTuple

from unscheduled.entries.api import prepare_for_eval, resolve, update_params
from unscheduled.entries.data import data_selection, get_batch_size
from unscheduled.entries.pytorch.schedules import WarmupCosine
from unscheduled.entries.pytorch.training import Trainer
from unscheduled.optim_torch.lookahead import Lookahead
from unscheduled.optim_torch.radam import RAdam


class Hyperparameters(NamedTuple):
    """RAdam's: those of the published NadamW baseline (AlgoPerf v0.5/v0.6).

    k and α are those of Lookahead's paper on ImageNet (section 5.2). Not tuned.
    """

    learning_rate: float = 0.0017486387539278373
    one_minus_beta1: float = 0.06733926164
    beta2: float = 0.9955159689799007
    weight_decay: float = 0.08121616522670176
    sync_period: int = 5  # k
    slow_step_size: float = 0.5  # α
    label_smoothing: float | None = None  # the workload's own
    dropout_rate: float | None = 0.1
    grad_clip: float | None = None


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    hp = resolve(Hyperparameters, hyperparameters)
    schedule = WarmupCosine(0, workload.step_hint)
    betas = 1 - hp.one_minus_beta1, hp.beta2

    def make_optimizer(learning_rate):
        params = model_params.parameters()
        base = RAdam(params, learning_rate, betas, weight_decay=hp.weight_decay)
        return Lookahead(base, k=hp.sync_period, alpha=hp.slow_step_size)

    return {"trainer": Trainer(workload, model_params, make_optimizer, hp, schedule)}
