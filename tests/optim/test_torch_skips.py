"""Steps of the PyTorch optimizers that the device may skip (`found_inf`)."""

import copy

import pytest
import torch

from tests import trajectories
from tests.optim.test_torch import OWN, assert_same, loss, make_params, values
from unscheduled.optim_torch import AdamWScheduleFree, Lookahead, RAdam
from unscheduled.optim_torch.nadamw import NAdamW

SKIPPING = {
    **OWN,
    "NAdamW": lambda ps, lr=0.1, **options: NAdamW(ps, lr=lr, **options),
    "Lookahead-RAdam": lambda ps, lr=0.1: Lookahead(RAdam(ps, lr=lr), k=3),
    "Lookahead-AdamWScheduleFree": lambda ps, lr=0.1: Lookahead(
        AdamWScheduleFree(ps, lr=lr), k=3
    ),
    "Lookahead-AdamW": lambda ps, lr=0.1: Lookahead(
        torch.optim.AdamW(ps, lr=lr, fused=True), k=3
    ),
}


def train(params, optimizer, broken=None):
    """Steps, with those that are broken to be skipped; None: without `found_inf`."""
    for is_broken in [False] * 9 if broken is None else broken:
        optimizer.zero_grad()
        loss(params).backward()
        if is_broken:
            params[0].grad[0] = torch.nan
        before = [p.grad.clone() for p in params]
        if broken is not None:
            optimizer.found_inf = torch.tensor(float(is_broken))
        optimizer.step()
        torch.testing.assert_close([p.grad for p in params], before, equal_nan=True)


BROKEN = [True, *[False] * 3, True, True, *[False] * 5, True, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("name", SKIPPING)
def test_the_device_skips_as_the_host_would(name, dtype):
    """Scalars on the device that are others than on the host, or gradients changed."""
    if name == "Lookahead-AdamW" and dtype == torch.complex64:
        pytest.skip("torch's fused AdamW takes no complex parameters")
    results = []
    for broken in (None, BROKEN):
        params = make_params(dtype)
        optimizer = SKIPPING[name](params)
        train(params, optimizer, broken)
        trajectories.switch(optimizer, "eval")
        results.append((params, optimizer))
    (params, host), (others, device) = results
    # Of bfloat16 numbers near 2, a few roundings.
    tolerance = {"rtol": 0, "atol": 2**-5} if dtype == torch.bfloat16 else {}
    assert_same(values(others), values(params), **tolerance)
    assert str(host.state_dict()["state"][0].keys()) == str(
        device.state_dict()["state"][0].keys()
    )
    for ours, theirs in zip(
        device.state_dict()["state"].values(),
        host.state_dict()["state"].values(),
        strict=True,
    ):
        for key, value in theirs.items():
            assert type(ours[key]) is type(value)
            if not torch.is_tensor(value):
                assert ours[key] == pytest.approx(value), key


@pytest.mark.parametrize("name", SKIPPING)
def test_a_run_may_go_on_on_the_host(name):
    """Counters that a checkpoint or the next step takes for something else."""
    params = make_params()
    optimizer = SKIPPING[name](params)
    train(params, optimizer, BROKEN)
    others = [torch.nn.Parameter(p.detach().clone()) for p in params]
    other = SKIPPING[name](others)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.found_inf = None
    train(params, optimizer)
    train(others, other)
    assert_same(values(others), values(params), rtol=0, atol=0)


def test_lookahead_refuses_to_skip_what_it_must_read():
    """A momentum that is pulled back, or an α, of a step that was not taken."""
    for options in ({"adaptive": True}, {"momentum": "pullback"}):
        params = make_params()
        optimizer = Lookahead(RAdam(params), **options)
        with pytest.raises(ValueError, match="found_inf goes with"):
            train(params, optimizer, [False])


def test_nadamw_is_torch_s_nadam_with_a_constant_momentum():
    """Another bias correction than Dozat's, or a decay that is coupled."""
    options = {"lr": 0.01, "betas": (0.93, 0.995), "weight_decay": 0.1}
    ours, theirs = make_params(torch.float64), make_params(torch.float64)
    train(ours, NAdamW(ours, **options))
    constant = {"momentum_decay": 1e6, "decoupled_weight_decay": True}
    train(theirs, torch.optim.NAdam(theirs, **options, **constant))
    # torch keeps the product of its momenta in float32.
    assert_same(values(ours), values(theirs), rtol=1e-7, atol=0)
