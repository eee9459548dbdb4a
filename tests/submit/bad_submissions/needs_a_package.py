"""A package that is not installed."""

import no_such_package_anywhere as learned_optimizer
from plain_sgd import (
    data_selection,
    get_batch_size,
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


learned_optimizer.load()
