"""A setting of torch, changed by the import."""

import torch
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


torch.set_float32_matmul_precision("high")
