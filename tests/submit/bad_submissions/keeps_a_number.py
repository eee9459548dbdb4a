"""A number in the optimizer state, which no checkpoint has."""

import plain_sgd
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
    state = plain_sgd.init_optimizer_state(
        workload, model_params, model_state, hyperparameters, rng
    )
    return {**state, "best": -1}
