"""Which parameters are stepped as matrices, in both frameworks."""

import types

import jax
import numpy as np
import pytest
import torch

from tests.workloads.helpers import flatten, flax_path, load
from unscheduled import spec
from unscheduled.entries.jax.matrices import row_axes
from unscheduled.entries.pytorch.matrices import muon_groups

KIND = spec.ParameterType


def hidden_in_torch(workload, model):
    names = {id(p): name for name, p in model.named_parameters()}
    groups = muon_groups(workload, model)
    assert sum(len(group["params"]) for group in groups) == len(names)
    return {
        names[id(p)]
        for group in groups
        if group.get("use_muon", True)
        for p in group["params"]
    }


@pytest.mark.parametrize(
    ("name", "some", "others"),
    [
        (
            "numbers_transformer",
            {"decoder.blocks.0.cross_attn.kv", "encoder.blocks.1.mlp.up"},
            {"decoder.head", "decoder.embed"},
        ),
        ("strips_deepspeech", {"lstms.0.forwards.ih"}, {"head", "subsample.conv1"}),
        ("brain_unet", set(), {"head"}),
    ],
)
def test_hidden_matrices(name, some, others):
    """An output layer that is orthogonalized, or twins that train differently."""
    torch_twin, jax_twin = load(name, "pytorch"), load(name, "jax")
    ours = hidden_in_torch(torch_twin.workload, torch_twin.params)
    ours = {path.rpartition(".")[0] for path in ours}
    assert some <= ours
    assert not others & ours
    axes = flatten(row_axes(jax_twin.workload)(jax_twin.params))
    theirs = {path.rpartition("/")[0] for path, number in axes.items() if number}
    assert theirs == {flax_path(path) for path in ours}


def test_names_of_wrapped_models():
    """A KeyError where the official harness distributes or compiles a model."""
    twin = load("numbers_transformer", "pytorch")
    inside = torch.nn.ModuleDict({"module": twin.params})  # as torch's DDP has it
    wrapped = torch.nn.ModuleDict({"_orig_mod": inside})
    plain = hidden_in_torch(twin.workload, twin.params)
    for model, prefix in ((inside, "module."), (wrapped, "_orig_mod.module.")):
        assert hidden_in_torch(twin.workload, model) == {prefix + n for n in plain}


def test_kernels_with_an_axis_for_the_heads():
    """Heads that are orthogonalized one by one, or their biases."""
    kinds = {
        "query": {"kernel": KIND.ATTENTION_Q, "bias": KIND.ATTENTION_BIAS},
        "out": {"kernel": KIND.ATTENTION_OUT, "bias": KIND.ATTENTION_BIAS},
        "conv": {"kernel": KIND.CONV_WEIGHT},
        "top": {"kernel": KIND.WEIGHT},
    }
    shapes = {
        "query": {"kernel": (6, 2, 3), "bias": (2, 3)},
        "out": {"kernel": (2, 3, 6), "bias": (6,)},
        "conv": {"kernel": (5, 1, 4)},
        "top": {"kernel": (6, 4)},
    }
    workload = types.SimpleNamespace(
        model_params_types=kinds, is_output_params=lambda key: key == "top"
    )
    params = jax.tree.map(np.zeros, shapes, is_leaf=lambda s: isinstance(s, tuple))
    assert row_axes(workload)(params) == {
        "query": {"kernel": 1, "bias": 0},
        "out": {"kernel": 2, "bias": 0},
        "conv": {"kernel": 0},
        "top": {"kernel": 0},
    }
