"""Refined Schedule-Free for PyTorch, with data echoing where it would wait.

Schedule-Free (Defazio et al., arXiv 2405.15682) over Muon's step for hidden matrices
(Jordan et al., 2024) and AdamW's for the rest, with an averaging window of its own
length (C of Song et al., arXiv 2507.09846), and two steps on a batch where it would
wait for the next one (Choi et al., arXiv 1907.05550). Only the warmup depends on
`step_hint`.
"""

from typing import NamedTuple

from unscheduled.entries.api import prepare_for_eval, resolve, update_params
from unscheduled.entries.data import get_batch_size
from unscheduled.entries.echoing import data_selection
from unscheduled.entries.pytorch.matrices import muon_groups
from unscheduled.entries.pytorch.training import Trainer
from unscheduled.optim_torch.muon import MuonScheduleFree


class Hyperparameters(NamedTuple):
    """Those of schedule_free_adamw_v2 (AlgoPerf v0.6), but rate, C and smoothing.

    How these were chosen is in unscheduled's docs/evidence/time_to_target.md.
    """

    learning_rate: float = 0.005
    one_minus_beta1: float = 0.1
    beta2: float = 0.9955159689799007
    weight_decay: float = 0.08121616522670176
    warmup_factor: float = 0.02  # of 0.75 step_hint
    decoupling_c: float = 50.0  # C: x is an average over about a fifth of all steps
    label_smoothing: float | None = None  # the workload's own
    dropout_rate: float | None = None  # the workload's own
    grad_clip: float | None = None


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    hp = resolve(Hyperparameters, hyperparameters)
    warmup_steps = int(hp.warmup_factor * 0.75 * workload.step_hint)

    def make_optimizer(learning_rate):
        return MuonScheduleFree(
            muon_groups(workload, model_params),
            lr=learning_rate,
            betas=(1 - hp.one_minus_beta1, hp.beta2),
            weight_decay=hp.weight_decay,
            warmup_steps=warmup_steps,
            decoupling_c=hp.decoupling_c,
        )

    trainer = Trainer(workload, model_params, make_optimizer, hp, echoes=True)
    return {"trainer": trainer}
