"""Five times the work, and eight times the memory."""

import plain_sgd
import torch
from plain_sgd import (
    data_selection,
    get_batch_size,
    prepare_for_eval,
)

__all__ = [
    "data_selection",
    "get_batch_size",
    "init_optimizer_state",
    "prepare_for_eval",
    "update_params",
]


class Hoarder(torch.optim.SGD):
    def __init__(self, parameters):
        parameters = list(parameters)
        super().__init__(parameters, lr=0.01, momentum=0.9)
        for parameter in parameters:
            copies = [parameter.detach().clone() for _ in range(8)]
            self.state[parameter]["copies"] = torch.stack(copies)


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    del workload, model_state, hyperparameters, rng
    return {"optimizer": Hoarder(model_params.parameters())}


def update_params(**arguments):
    for _ in range(5):
        returned = plain_sgd.update_params(**arguments)
    return returned
