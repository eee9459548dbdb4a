"""The step of the PyTorch optimizers under torch.compile."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from tests import trajectories
from tests.optim.test_torch import OWN, assert_same, loss, make, step, values


def run(name, dtype=torch.float32, **options):
    """The graphs of 12 steps, and whether the parameters end where they should."""
    torch._dynamo.reset()
    counter = CompileCounter()  # it counts graphs and compiles nothing
    params, optimizer = make(name, dtype=dtype, **options)
    others, plain = make(name, dtype=dtype, **options)
    compiled = torch.compile(optimizer.step, backend=counter)
    for _ in range(12):
        optimizer.zero_grad()
        loss(params).backward()
        compiled()
        step(others, plain)
    for o in (optimizer, plain):
        trajectories.switch(o, "eval")
    # A few roundings of bfloat16 numbers near 2: traced and not, they are elsewhere.
    tolerance = {"rtol": 0, "atol": 2**-4} if dtype == torch.bfloat16 else {}
    assert_same(values(params), values(others), **tolerance)
    return counter.frame_count


@pytest.mark.parametrize("name", [*OWN, "Lookahead-AdamWScheduleFree"])
def test_one_graph_does_for_all_steps(name):
    """Numbers in the graph, which is compiled anew until torch gives up."""
    assert run(name, weight_decay=0.1, maximize=True) == 1


@pytest.mark.parametrize("name", ["AdamWScheduleFree", "RAdam"])
def test_the_traced_step_is_the_step_in_every_precision(name):
    """A kernel that computes in bfloat16 or with the product of complex numbers."""
    for dtype in (torch.bfloat16, torch.complex64):
        assert run(name, dtype, weight_decay=0.1) == 1


@pytest.mark.parametrize("name", ["ScheduleFreeWrapper", "Lookahead"])
def test_wrappers_of_torch_s_optimizers_take_few_graphs(name):
    """A graph a step: torch's own looks at all that the state has.

    Before the wrapper's first numbers, at the first, and for any.
    """
    assert run(name) <= 3
