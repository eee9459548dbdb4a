"""Which parameters Muon's step is for, in PyTorch."""

from typing import Any

import torch

from ... import spec


def muon_groups(workload: spec.Workload, model: torch.nn.Module) -> list[Any]:
    """Parameter groups: hidden matrices, and all other parameters.

    Hidden are those that are neither embeddings nor of the output layer, by what the
    workload calls them; a convolution is no matrix.
    """
    hidden, others = [], []
    types = workload.model_params_types
    for name, parameter in model.named_parameters():
        name = name.replace("_orig_mod.", "").removeprefix("module.")  # of wrappers
        is_embedding = types[name] is spec.ParameterType.EMBEDDING
        is_hidden = not is_embedding and not workload.is_output_params(name)
        (hidden if is_hidden and parameter.dim() == 2 else others).append(parameter)
    groups = ({"params": hidden}, {"params": others, "use_muon": False})
    return [group for group in groups if group["params"]]
