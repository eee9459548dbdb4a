"""A KeyError where the harness waits for a ValueError."""

from plain_sgd import (
    _BATCH_SIZES,
    data_selection,
    init_optimizer_state,
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


def get_batch_size(workload_name):
    return _BATCH_SIZES[workload_name]
