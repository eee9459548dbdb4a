"""The compiled step of the PyTorch optimizers."""

import copy
import inspect
import os
import subprocess
import sys

import pytest
import torch

from tests import cases, trajectories
from unscheduled.optim_torch import AdamWScheduleFree, fused

FACTORIES = [a.torch_class() for a in cases.OWN]
FUSED = [f for f in FACTORIES if "fused" in inspect.signature(f).parameters]


def make_params(dtype=torch.float32):
    """Every layout: contiguous, channels last, transposed, empty, of one number."""
    generator = torch.Generator().manual_seed(0)

    def randn(*shape):
        return torch.randn(shape, generator=generator).to(dtype)

    tensors = [randn(n, 7) for n in range(1, 11)] + [
        randn(4, 3, 5, 5).to(memory_format=torch.channels_last),
        randn(6, 5).t(),
        randn(0, 3),
        randn(1),
        randn(),
    ]
    return [torch.nn.Parameter(t) for t in tensors]


def train(params, optimizer, steps=12):
    for _ in range(steps):
        optimizer.zero_grad()
        sum((p**2 + p.sin()).sum() for p in params).backward()
        optimizer.step()
    trajectories.switch(optimizer, "eval")
    return [p.detach().clone() for p in params]


@pytest.mark.parametrize("factory", FUSED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_is_foreach(factory, dtype):
    """A kernel of another step, or one that leaves a parameter out.

    bfloat16 parameters, which keep x, are not compiled and must still be stepped.
    """
    results = []
    for options in ({"fused": True}, {"foreach": True}):
        params = make_params(dtype)
        optimizer = factory(params, lr=0.05, weight_decay=0.1, maximize=True, **options)
        results.append(train(params, optimizer))
    for p, q in zip(*results, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)
    assert all(
        compiled is not None
        for (name, _, kind), compiled in fused._compiled.items()
        if kind == torch.float32
    )


@pytest.mark.parametrize("factory", FUSED)
def test_no_length_is_compiled_anew(factory):
    """A step that stops to compile when a model has another shape."""
    train(make_params(), factory(make_params(), fused=True), steps=1)
    params = [torch.nn.Parameter(torch.ones(n, 3)) for n in range(40, 70)]
    params += [torch.nn.Parameter(torch.ones(shape)) for shape in ((), (1,), (0, 2))]
    torch._dynamo.utils.counters.clear()
    train(params, factory(params, fused=True), steps=7)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 0


def test_gradients_of_another_layout_are_stepped():
    """A kernel that pairs a number with its neighbour's gradient."""
    params = [torch.nn.Parameter(torch.arange(6.0).view(2, 3)) for _ in range(2)]
    for p, options in zip(params, ({"fused": True}, {}), strict=True):
        p.grad = (torch.arange(6.0).view(3, 2) - 2.5).t()
        AdamWScheduleFree([p], lr=0.1, **options).step()
    torch.testing.assert_close(params[0], params[1])


def test_replaced_memory_is_noticed():
    """A step of memory that a parameter or its state no longer has."""
    params = [torch.nn.Parameter(torch.ones(5)) for _ in range(2)]
    optimizers = [
        AdamWScheduleFree(params[:1], lr=0.1, fused=True),
        AdamWScheduleFree(params[1:], lr=0.1),
    ]
    for p, optimizer in zip(params, optimizers, strict=True):
        p.grad = torch.ones(5)
        optimizer.step()
        p.data = p.data.clone() + 1
        optimizer.step()
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        optimizer.step()
        optimizer.eval()
    torch.testing.assert_close(params[0], params[1])


def test_without_a_compiler_it_warns_and_does_as_foreach(tmp_path):
    """A crash, or a silent slow step, on a machine without a compiler."""
    script = """
import warnings, torch
from unscheduled.optim_torch import AdamWScheduleFree
params = [torch.nn.Parameter(torch.ones(5)) for _ in range(2)]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for p, fused in zip(params, (True, None)):
        p.grad = torch.ones(5)
        optimizer = AdamWScheduleFree([p], fused=fused)
        for _ in range(3):
            optimizer.step()
assert torch.equal(*params), params
messages = [str(w.message) for w in caught if "using foreach" in str(w.message)]
assert len(messages) == 1, messages
"""
    environment = {
        **os.environ,
        "CXX": str(tmp_path / "no-compiler"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("factory", FUSED)
def test_on_another_device_it_is_foreach(factory, monkeypatch):
    """A compiled step on a GPU, where it is many times slower."""
    monkeypatch.setattr(fused, "step", None)
    p = torch.nn.Parameter(torch.ones(3, device="meta"))
    optimizer = factory([p], lr=0.1, fused=True)
    trajectories.switch(optimizer, "train")
    for _ in range(12):
        p.grad = torch.ones_like(p)
        optimizer.step()
    assert p.is_meta
