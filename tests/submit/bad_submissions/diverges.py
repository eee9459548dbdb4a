"""A learning rate that no model survives."""

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


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    del workload, model_state, hyperparameters, rng
    return {"optimizer": torch.optim.SGD(model_params.parameters(), lr=1e30)}
