"""Steps of the PyTorch entries, skipped by the device: exactly, and without a read."""

import contextlib
import operator

import pytest
import torch
from torch.optim import optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from tests.entries import stub
from tests.entries.stub_torch import Training, to_torch
from tests.entries.submissions import ALGORITHMS, load, rate

READS = {"_local_scalar_dense", "item", "is_nonzero", "nonzero", "equal", "allclose"}
# Of a tensor, past the dispatcher too.
METHODS = ("cpu", "item", "numpy", "tolist", "__array__", "__bool__", "__float__")
METHODS += ("__index__", "__int__")


class NoReads(TorchDispatchMode):
    """Fails on what waits for the device: reads, and copies to and from it."""

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        assert op.overloadpacket.__name__ not in READS, op
        if op.overloadpacket.__name__.startswith("_fused_") and args[0][0].is_meta:
            scalars = (kwargs["lr"], kwargs["found_inf"])  # they have no "meta" kernel
            assert all(s.is_meta and s.dtype == torch.float32 for s in scalars)
            return None
        out = op(*args, **(kwargs or {}))
        tensors = torch.utils._pytree.tree_leaves((args, kwargs, out))
        # Where an argument is elsewhere, torch copies it, as a number for torch.where.
        assert len({t.device for t in tensors if torch.is_tensor(t)}) < 2, op
        return out


@contextlib.contextmanager
def no_reads(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("a value was read")

    with NoReads(), monkeypatch.context() as patch:
        for name in METHODS:
            patch.setattr(torch.Tensor, name, fail)
        yield


@pytest.mark.parametrize(
    "read",
    [
        lambda t: t.item(),
        lambda t: bool(t),
        lambda t: t.tolist(),
        lambda t: t.nonzero(),
        lambda t: torch.equal(t, t),
        lambda t: t.to("meta"),
    ],
)
def test_a_read_is_seen(read, monkeypatch):
    """A test that nothing can fail."""
    with pytest.raises(AssertionError), no_reads(monkeypatch):
        read(torch.ones(()))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("grad_clip", [None, 1.0])
def test_a_step_reads_nothing(algorithm, grad_clip, monkeypatch):
    """A host that waits for the device in every step."""
    entry = load(algorithm, "pytorch")
    training = Training(entry, True, {"grad_clip": grad_clip})
    for batch in map(to_torch, stub.batches(10)):
        with no_reads(monkeypatch):
            training.step(batch)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_step_elsewhere_copies_nothing(algorithm, monkeypatch):
    """Scalars sent to the device by a copy, which waits, or kept on the host.

    The device is "meta", whose tensors have no values that could be read.
    """
    monkeypatch.setattr(
        optimizer, "_get_fused_kernels_supported_devices", lambda: ["meta"]
    )
    # What is kept on the host, at evaluations.
    monkeypatch.setattr("unscheduled.entries.pytorch.training._on_host", list)
    training = Training(load(algorithm, "pytorch"), True, device="meta")
    for batch in map(to_torch, stub.batches(10)):
        batch = {n: torch.empty_like(t, device="meta") for n, t in batch.items()}
        with NoReads():
            training.step(batch)


def assert_same(ours, theirs):
    """The same numbers, to the bit, in the same dicts and lists."""
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        ours, theirs = ours.values(), theirs.values()
    elif not isinstance(ours, list | tuple):
        same = torch.equal if torch.is_tensor(ours) else operator.eq
        assert same(ours, theirs)
        return
    for our, their in zip(ours, theirs, strict=True):
        assert_same(our, their)


def one_infinite(grad):
    return grad.index_fill(-1, torch.tensor([0]), torch.inf)


@pytest.mark.parametrize("broken", ["loss", "gradient"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_step_that_is_skipped_leaves_no_trace(algorithm, broken):
    """A moment, an average, a counter or a schedule that moves on, by a bit or a step.

    Skipped are the first step, the one in which Lookahead syncs, and two at a time.
    """
    entry = load(algorithm, "pytorch")
    training, reference = (Training(entry, True, rate(algorithm)) for _ in range(2))
    for step, batch in enumerate(stub.batches(14)):
        for _ in range({0: 1, 4: 1, 9: 2}.get(step, 0)):
            if broken == "loss":
                training.step({**batch, "targets": batch["targets"] * torch.inf})
            else:
                weight = training.model[1].weight
                hook = weight.register_hook(one_infinite)
                training.step(batch)
                hook.remove()
        training.step(batch)
        reference.step(batch)
    ours, theirs = (
        {**t.state["trainer"].state_dict(), "model": t.model.state_dict()}
        for t in (training, reference)
    )
    assert (ours.pop("skipped"), theirs.pop("skipped")) == (4, 0)
    assert_same(ours, theirs)
