"""An environment variable, set by the import."""

import os

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


os.environ["PLAIN_SGD"] = "1"
