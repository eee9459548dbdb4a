"""The PyTorch optimizers on parameters that two processes share."""

import os

import pytest
import torch

from tests.optim.test_torch import ALL
from tests.trajectories import switch

pytestmark = pytest.mark.slow

STEPS = 8
# Of these, and only some: each takes seconds. Saved: whether the state is flattened.
SAVED = {"AdamWScheduleFree": True, "ScheduleFreeWrapper": False, "Lookahead": True}
SOME = {
    "fsdp": tuple(name for name in ALL if name != "MuonScheduleFree"),
    "fsdp-fused": ("AdamWScheduleFree", "RAdam"),
    "fsdp-saved": tuple(SAVED),
}
CASES = [(kind, name) for kind in ("ddp", *SOME) for name in SOME.get(kind, ALL)]


def make_model():
    torch.manual_seed(0)
    # Uneven, so that the two parts of a sharded parameter differ in size.
    return torch.nn.Sequential(
        torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)
    )


def inputs():
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(1))


def train(model, optimizer, rows, steps=STEPS):
    for _ in range(steps):
        optimizer.zero_grad()
        model(inputs()[rows]).square().mean().backward()
        optimizer.step()
    switch(optimizer, "eval")


def saved_and_loaded(model, optimizer, factory, flat):
    """Another optimizer, with the first one's state from torch's checkpoint tool."""
    from torch.distributed.checkpoint import state_dict as tool

    options = tool.StateDictOptions(flatten_optimizer_state_dict=flat)
    saved = tool.get_optimizer_state_dict(model, optimizer, options=options)
    optimizer.zero_grad()  # else the tool takes the other for one that has begun
    other = factory(model.parameters())
    tool.set_optimizer_state_dict(model, other, saved, options=options)
    switch(other, "train")
    return other


def _rank(rank, world_size, init_file, folder):
    from torch.distributed.fsdp import fully_shard

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{init_file}", rank=rank, world_size=world_size
    )
    mesh = torch.distributed.init_device_mesh("cpu", (world_size,))
    results = {}
    for kind, name in CASES:
        factory = ALL[name]
        options = {"fused": True} if kind == "fsdp-fused" else {}
        model = make_model()
        if kind == "ddp":
            model = torch.nn.parallel.DistributedDataParallel(model)
        else:
            for layer in (model[0], model[2], model):
                fully_shard(layer, mesh=mesh)
        optimizer = factory(model.parameters(), **options)
        rows = slice(rank * 4, rank * 4 + 4)
        if kind == "fsdp-saved":
            train(model, optimizer, rows, steps=5)
            optimizer = saved_and_loaded(model, optimizer, factory, SAVED[name])
            train(model, optimizer, rows, steps=STEPS - 5)
        else:
            train(model, optimizer, rows)
        results[f"{kind}-{name}"] = [
            (p.full_tensor() if hasattr(p, "full_tensor") else p).detach().clone()
            for p in model.parameters()
        ]
    torch.save(results, folder / f"{rank}.pt")
    # Without taking the process group down: its threads race with the exit.
    os._exit(0)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    pytest.importorskip("torch.distributed.fsdp", reason="no FSDP")
    if not hasattr(torch.distributed.fsdp, "fully_shard"):
        pytest.skip("fully_shard came with torch 2.6")
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(_rank, (2, folder / "init", folder), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_two_processes_train_like_one(results, name, kind):
    """State of the whole parameter beside a part of it, or parts that drift apart.

    Or, from torch's checkpoint tool in mid-run, at x, state that is lost.
    """
    model = make_model()
    train(model, ALL[name](model.parameters()), slice(None))
    for result in results:
        ours = result[f"{kind}-{name}"]
        for p, q in zip(ours, model.parameters(), strict=True):
            torch.testing.assert_close(p, q.detach(), rtol=1e-4, atol=1e-5)
