"""A step that gives nothing back."""

import plain_sgd
from plain_sgd import (
    data_selection,
    get_batch_size,
    init_optimizer_state,
    prepare_for_eval,
)

__all__ = [
    "data_selection",
    "get_batch_size",
    "init_optimizer_state",
    "prepare_for_eval",
    "update_params",
]


def update_params(**arguments):
    plain_sgd.update_params(**arguments)
