"""SGD or AdamW with a decay, an average or Lookahead: what networks.py compares."""

from typing import NamedTuple

import torch

from unscheduled.entries.api import prepare_for_eval, resolve, update_params
from unscheduled.entries.data import data_selection, get_batch_size
from unscheduled.entries.pytorch.optimizers import momentum_sgd
from unscheduled.entries.pytorch.schedules import WarmupCosine, WarmupLinear
from unscheduled.entries.pytorch.training import Trainer
from unscheduled.optim_torch.lookahead import Lookahead
from unscheduled.optim_torch.schedule_free import AdamWScheduleFree, SGDScheduleFree

__all__ = ["data_selection", "get_batch_size", "prepare_for_eval", "update_params"]

_MOMENTUM, _BETA2, _WEIGHT_DECAY, _WARMUP = 0.9, 0.99, 0.01, 0.05


class Hyperparameters(NamedTuple):
    learning_rate: float = 0.0025
    sgd: int = 0  # 1 for SGD with momentum instead of AdamW
    cosine: int = 0
    linear: int = 0  # 1 for a decay to 0 at `step_hint`, of either form
    schedule_free: int = 0
    sync_period: int = 0  # of Lookahead around it; 0 for none
    averaged: float = 0.0  # evaluated at a moving average of this decay; 0 for none
    label_smoothing: float | None = None
    dropout_rate: float | None = 0.0
    grad_clip: float | None = None


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    hp = resolve(Hyperparameters, hyperparameters)
    warmup = int(_WARMUP * workload.step_hint)
    schedule = None
    if hp.cosine:
        schedule = WarmupCosine(warmup, workload.step_hint)
    elif hp.linear:
        schedule = WarmupLinear(warmup, workload.step_hint - warmup, 0.0)
    elif not hp.schedule_free:
        schedule = WarmupLinear(warmup, 1, 1.0)

    def make_optimizer(learning_rate):
        optimizer = base_of(hp, learning_rate, list(model_params.parameters()), warmup)
        if hp.sync_period:
            return Lookahead(optimizer, k=hp.sync_period, alpha=0.5)
        return Averaged(optimizer, hp.averaged) if hp.averaged else optimizer

    return {"trainer": Trainer(workload, model_params, make_optimizer, hp, schedule)}


def base_of(hp, rate, params, warmup):
    betas = _MOMENTUM, _BETA2
    free = {"weight_decay": _WEIGHT_DECAY, "warmup_steps": warmup}
    if hp.schedule_free and hp.sgd:
        return SGDScheduleFree(params, lr=rate, momentum=_MOMENTUM, warmup_steps=warmup)
    if hp.schedule_free:
        return AdamWScheduleFree(params, lr=rate, betas=betas, **free)
    if hp.sgd:
        return momentum_sgd(params, lr=rate, momentum=_MOMENTUM)
    return torch.optim.AdamW(
        params, rate, betas, weight_decay=_WEIGHT_DECAY, fused=True
    )


class Averaged:
    """Evaluates at a moving average of the parameters (Polyak averaging)."""

    can_skip = True

    def __init__(self, optimizer, decay):
        self._inner, self._decay = optimizer, decay
        self.param_groups = optimizer.param_groups
        self._parameters = [p for g in self.param_groups for p in g["params"]]
        self._averages = [p.detach().clone() for p in self._parameters]
        self._steps, self._at_average = 0, False
        self.found_inf = torch.zeros(())

    def step(self):
        self._inner.found_inf = self.found_inf
        self._inner.step()
        self._steps += 1
        weight = max(1 - self._decay, 1 / self._steps)
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, self._parameters, weight)

    def train(self):
        if self._at_average:
            self._swap()

    def eval(self):
        if not self._at_average:
            self._swap()

    @torch.no_grad()
    def _swap(self):
        self._at_average = not self._at_average
        for p, average in zip(self._parameters, self._averages, strict=True):
            here = p.clone()
            p.copy_(average)
            average.copy_(here)
