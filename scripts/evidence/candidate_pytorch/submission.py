"""Schedule-Free AdamW with every change that time_to_target.md tries; not an entry."""

from collections import deque
from typing import Any, NamedTuple

from scripts.evidence.candidate_pytorch.decay_at_z import DecayAtZ
from scripts.evidence.candidate_pytorch.muon import MuonScheduleFree
from scripts.evidence.candidate_pytorch.other_average import OtherAverage
from scripts.evidence.candidate_pytorch.polyak import PolyakRate, PolyakTrainer
from submissions.schedule_free_adamw_pytorch import submission as schedule_free_adamw
from unscheduled import spec
from unscheduled.entries.api import prepare_for_eval, resolve, update_params
from unscheduled.entries.data import get_batch_size
from unscheduled.entries.pytorch.training import Trainer
from unscheduled.optim_torch.lookahead import Lookahead
from unscheduled.optim_torch.schedule_free import AdamWScheduleFree, RAdamScheduleFree

__all__ = ["get_batch_size", "prepare_for_eval", "update_params"]


_PUBLISHED = schedule_free_adamw.Hyperparameters()


class Hyperparameters(NamedTuple):
    """The published setting of schedule_free_adamw, and what may be changed."""

    learning_rate: float = _PUBLISHED.learning_rate
    one_minus_beta1: float = _PUBLISHED.one_minus_beta1
    beta2: float = _PUBLISHED.beta2
    weight_decay: float = _PUBLISHED.weight_decay
    warmup_factor: float = _PUBLISHED.warmup_factor
    rectified: int = 0  # 1 for RAdam instead of warmup
    r: float = _PUBLISHED.r
    weight_lr_power: float = _PUBLISHED.weight_lr_power
    decoupling_c: float | None = None
    muon: float = 0.0  # times the rate, for matrices; 0 for AdamW there too
    muon_momentum: float = 0.9
    adaptive_muon: int = 0  # 1 for AdamW's step from Muon's for matrices
    linear_muon: int = 0  # 1 for AdamW where there are more than two axes
    sync_period: int = 0  # of Lookahead around it; 0 for none
    slow_step_size: float = 0.5
    label_smoothing: float | None = _PUBLISHED.label_smoothing
    dropout_rate: float | None = _PUBLISHED.dropout_rate
    grad_clip: float | None = _PUBLISHED.grad_clip
    echo: int = 1  # steps a fetched batch; 0 for as many as waiting is worth
    evaluated: float = 0.0  # at the average of the last 1 / evaluated steps; 0 for x
    spacing: int = 0  # fetches from one step on a batch to the next
    decay_at_z: int = 0  # 1 for decay where z is, not y
    polyak: float = 0.0  # times ScheduleFree+'s rate; 0 for the rate as it is


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    hp = resolve(Hyperparameters, hyperparameters)

    def make_optimizer(learning_rate):
        shared = {
            "lr": learning_rate,
            "betas": (1 - hp.one_minus_beta1, hp.beta2),
            "weight_decay": 0.0 if hp.decay_at_z else hp.weight_decay,
            "r": hp.r,
            "weight_lr_power": hp.weight_lr_power,
            "decoupling_c": hp.decoupling_c,
        }
        params = list(model_params.parameters())
        matrices, others = split(workload, model_params, bool(hp.linear_muon))
        warmup = int(hp.warmup_factor * 0.75 * workload.step_hint)
        optimizer: Any
        if hp.rectified:
            optimizer = RAdamScheduleFree(params, **shared)
        elif (hp.muon or hp.adaptive_muon) and matrices:
            options = {**shared, "warmup_steps": warmup}
            scale = None if hp.adaptive_muon else hp.muon
            optimizer = MuonScheduleFree(
                matrices, others, scale, hp.muon_momentum, **options
            )
        else:
            optimizer = AdamWScheduleFree(params, **shared, warmup_steps=warmup)
        if hp.decay_at_z:
            return DecayAtZ(optimizer, hp.weight_decay, warmup)
        if hp.polyak:
            factor = hp.polyak * learning_rate / hp.learning_rate  # of the guard
            return PolyakRate(optimizer, factor, _PUBLISHED.learning_rate)
        if hp.evaluated:
            return OtherAverage(optimizer, hp.evaluated, warmup)
        if not hp.sync_period:
            return optimizer
        return Lookahead(optimizer, k=hp.sync_period, alpha=hp.slow_step_size)

    trainer_of = PolyakTrainer if hp.polyak else Trainer
    trainer = trainer_of(workload, model_params, make_optimizer, hp, echoes=not hp.echo)
    batches = Echo(hp.echo, hp.spacing) if hp.echo else trainer
    return {"trainer": trainer, "batches": batches}


def split(workload, model, only_linear):
    """(Hidden matrices, all other parameters)."""
    parts = [], []
    for name, parameter in model.named_parameters():
        is_hidden = (
            (parameter.dim() == 2 if only_linear else parameter.dim() > 1)
            and workload.model_params_types[name] != spec.ParameterType.EMBEDDING
            and not workload.is_output_params(name)
        )
        parts[not is_hidden].append(parameter)
    return parts


class Echo:
    """Several steps a fetched batch: at once, or `spacing` fetches apart."""

    def __init__(self, count: int, spacing: int) -> None:
        self._count, self._spacing = count, spacing
        self._recent = deque(maxlen=(count - 1) * spacing + 1)
        self._step = 0

    def next_batch(self, state, queue):
        del state
        turn = self._step % self._count
        self._step += 1
        if turn == 0:
            self._recent.appendleft(next(queue))
        return self._recent[min(turn * self._spacing, len(self._recent) - 1)]

    def state_dict(self):
        raise NotImplementedError("Candidates are run whole, without checkpoints.")

    load_state_dict = state_dict


def data_selection(
    workload,
    input_queue,
    optimizer_state,
    current_param_container,
    model_state,
    hyperparameters,
    global_step,
    rng,
):
    return optimizer_state["batches"].next_batch(optimizer_state, input_queue)
