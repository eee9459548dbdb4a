"""torch's own inputs for its optimizers, from the installed package, on ours."""

import inspect

import pytest
import torch

from tests import cases

pytest.importorskip("expecttest", reason="torch.testing's own tests need expecttest")
inputs = pytest.importorskip("torch.testing._internal.common_optimizers")

# Ours, with torch's inputs for the optimizer that it stands in for.
PAIRS = [
    (a.torch_class(), getattr(inputs, f"optim_inputs_func_{a.torch_inputs}"))
    for a in cases.OWN
]
IMPLEMENTATIONS = ({"foreach": True}, {"foreach": False}, {"fused": True})


def ours_understands(factory, options):
    """Not amsgrad, dampening, nesterov, coupled decay: other algorithms."""
    return options.keys() <= inspect.signature(factory).parameters.keys()


CASES = [
    pytest.param(factory, case.kwargs, id=f"{factory.__name__}-{case.desc}")
    for factory, inputs_func in PAIRS
    for case in inputs_func(device="cpu")
    if ours_understands(factory, case.kwargs)
]


def test_most_of_torch_s_inputs_apply():
    """Inputs that torch renames, so that none is left to test."""
    assert len(CASES) >= 16


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, ids=str)
@pytest.mark.parametrize(("factory", "options"), CASES)
def test_it_goes_in_the_right_direction(factory, options, implementation):
    """torch's test of the same name: a linear model, with and without a scheduler."""
    if not ours_understands(factory, implementation):
        pytest.skip("has no such implementation")
    for with_schedulers in (False, True):
        generator = torch.Generator().manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(10, 5, generator=generator))
        bias = torch.nn.Parameter(torch.randn(10, generator=generator))
        x = torch.randn(5, generator=generator)
        optimizer = factory(
            [{"params": [weight]}, {"params": [bias]}], **options, **implementation
        )
        schedulers = [
            torch.optim.lr_scheduler.StepLR(optimizer, gamma=0.9, step_size=10),
            torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer),
        ]

        def closure(weight=weight, bias=bias, x=x, optimizer=optimizer):
            optimizer.zero_grad()
            # Flat enough for Schedule-Free SGD, whose default rate is 1.
            loss = 0.02 * (weight.mv(x) + bias).square().sum()
            # What is maximized is the negative, so that the loss goes down.
            (-loss if options.get("maximize") else loss).backward()
            return loss

        start = closure().item()
        for _ in range(20):
            loss = optimizer.step(closure)
            if with_schedulers:
                schedulers[0].step()
                schedulers[1].step(loss.detach())
        assert closure().item() < start


@pytest.mark.parametrize("case", inputs.get_error_inputs_for_all_optims("cpu", None))
@pytest.mark.parametrize("factory", [factory for factory, _ in PAIRS])
def test_what_torch_refuses_for_all_is_refused(factory, case):
    """A constructor that takes what every optimizer of torch's refuses."""
    error = case.optimizer_error_input
    params = error.params
    if params is None:
        params = [torch.nn.Parameter(torch.ones(1))]
    expected = (case.error_type, ValueError)
    with pytest.raises(expected):
        factory(params, **error.kwargs)
