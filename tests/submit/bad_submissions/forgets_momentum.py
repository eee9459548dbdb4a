"""Momentum that a checkpoint does not keep."""

import torch
from plain_sgd import (
    data_selection,
    get_batch_size,
    prepare_for_eval,
    update_params,
)

__all__ = [
    "data_selection",
    "get_batch_size",
    "init_optimizer_state",
    "prepare_for_eval",
    "update_params",
]


class Forgetful(torch.optim.SGD):
    def state_dict(self):
        return {**super().state_dict(), "state": {}}


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    del workload, model_state, hyperparameters, rng
    parameters = model_params.parameters()
    return {"optimizer": Forgetful(parameters, lr=0.01, momentum=0.9)}
